"""One attempt at one job, read top to bottom: slot, claim and begin, call, classify, settle.

Nothing here retries and nothing here knows Dramatiq. Each step may find that the job is no longer ours to work on;
then nothing has been done and the ledger's next bell brings it back. What the crash windows between the steps leave
behind, and who mends it, is told step by step.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

from worker.domain.change import reference_of
from worker.domain.classify import DELETE_CALL, call_of, classify_create
from worker.domain.job import ClaimedJob, ClaimRefusal, Settled
from worker.domain.outcome import Answered, Ending, NotDone, Outcome, Snoozed, Unanswered
from worker.domain.reasons import ReasonClass
from worker.domain.request import Product
from worker.domain.states import JobState, Lane
from worker.execution import changing
from worker.execution.shop import Shop
from worker.ledger import LedgerFull, LedgerUnavailable
from worker.limits import Closed, LimitsUnavailable
from worker.partner import create_body
from worker.telemetry import log

_Settled = TypeVar("_Settled")

#: Answers on which the partner shows that it works, whatever it thinks of the request.
_HEALTHY_NOT_DONE = frozenset({"partner_throttled", "token_expired", "token_refused", "token_blocked"})
#: Waits between tries to write down an outcome that is known: the last repeats while the process lives.
_SETTLE_WAITS_S = (0.05, 0.2, 0.5, 1.0, 2.0)
#: How long an outcome is held on to when the ledger is away. By then the lease has run out and a look-up settles it.
_SETTLE_PATIENCE_S = 600.0
#: A call may begin this late, or one interval of the rate late: the one call of jitter that the partner tolerates.
_LATE_S = 0.01


async def attempt(job_id: str, lane: Lane, shop: Shop) -> Settled | None:
    """Try to make the job's link. Return what was settled, or None where this bell led to no attempt."""
    async with shop.places.one(lane) as has_place:
        if not has_place or shop.draining.is_set():
            await shop.ledger.hand_back(job_id)
            return None
        claimed = await _claim_at_slot(job_id, lane, shop)
        if claimed is None:
            return None
        job, send_by = claimed
        return await _work(job, shop, send_by=send_by)


async def _claim_at_slot(job_id: str, lane: Lane, shop: Shop) -> tuple[ClaimedJob, float] | None:
    """Return the job, its call begun, and until when (by the clock) it may be sent."""
    # A token first, then the slot, then the claim: a job that waits for the rate or for credentials holds no lease, and
    # a crash meanwhile leaves it `available`. After the claim it is `in_doubt` (Facebook: one more try): nobody then
    # knows whether the partner acted. A lone live customer's slot is now: then the claim goes along with the asking.
    token = await shop.partner.token()
    if isinstance(token, NotDone):
        await shop.ledger.hand_back(job_id)
        return None
    claiming = await shop.ledger.claiming(job_id, worker_id=shop.worker_id, lease_s=shop.lease_s)
    asked = shop.clock.monotonic()
    along = claiming if lane is Lane.LIVE else None
    granted = await shop.limits.acquire(lane, stop=shop.draining, along=along)
    at_slot = shop.clock.monotonic()
    shop.stats.count("limiter_waits", lane=lane.value)
    shop.stats.count("limiter_wait_seconds", at_slot - asked, lane=lane.value)
    if isinstance(granted, Closed):
        await shop.ledger.hand_back(job_id)
        return None
    if (claimed := claiming.result) is not None:
        send_by = at_slot + max(_LATE_S, granted.interval_us / 1e6) - granted.late_s
    else:
        claimed = await shop.ledger.claim_and_begin(job_id, worker_id=shop.worker_id, lease_s=shop.lease_s)
        send_by = at_slot + shop.lease_s - shop.call_timeout_s
    if isinstance(claimed, ClaimRefusal):
        await shop.limits.give_back(granted)
        return None
    return claimed, send_by


async def _work(job: ClaimedJob, shop: Shop, *, send_by: float) -> Settled:
    with shop.heartbeat.keeping(job.lease):
        began = shop.clock.monotonic()
        if (
            began > send_by
        ):  # this process stood still: the slot is gone, or the job may be somebody else's by now
            snoozed = Snoozed(reason="lease_lost")
            return await surely(lambda: shop.ledger.settle(job.lease, snoozed), job.id, shop)
        ending = await _call(job, shop)
        elapsed_s = shop.clock.monotonic() - began
        await _tell_limits(ending, elapsed_s, shop)
        await _learn(job, ending, shop)
        outcome = _outcome(job, ending, shop)
        settled = await surely(lambda: shop.ledger.settle(job.lease, outcome), job.id, shop)
    if settled.is_rung:  # its old link is deleted, and its customer has none until the new one is made
        shop.bell.ring([job.id], job.lane)
    _report(job, outcome, settled, elapsed_s, shop)
    return settled


async def _call(job: ClaimedJob, shop: Shop) -> Ending:
    if changing.is_delete(job):
        return await changing.delete(job, shop)
    body = create_body(job.request, job.product, reference_of(job.id, job.replacements))
    if job.product is Product.WHATSAPP:
        return await shop.partner.create_whatsapp(body)
    return await shop.partner.create_facebook(body)


async def _learn(job: ClaimedJob, ending: Ending, shop: Shop) -> None:
    # Who teaches a code and lets its jobs go on at once is not to see them fail with it once more: other processes hear
    # of a lesson some seconds late. One small read, and only where the code is not known.
    if not isinstance(ending, Answered) or ending.is_ok:
        return
    call = DELETE_CALL if changing.is_delete(job) else call_of(job.product)
    if shop.catalogue.for_code(call, ending.code).reason_class is not ReasonClass.UNKNOWN:
        return
    try:
        await shop.ledger.taught.refresh(shop.catalogue)
    except LedgerUnavailable as exc:
        log.warning("lessons_not_read", error=type(exc).__name__)


def _outcome(job: ClaimedJob, ending: Ending, shop: Shop) -> Outcome:
    if changing.is_delete(job):
        return changing.outcome_of(job, ending, shop)
    return classify_create(
        job.product,
        ending,
        failures=job.failures,
        orphans=job.orphans,
        catalogue=shop.catalogue,
        chance=random.random(),  # noqa: S311 - jitter, not a secret
        number=job.request.number,
    )


def shows_health(ending: Answered | NotDone | Unanswered | list[Any]) -> bool:
    """Tell whether an answer (to a list call: its rows) shows that the partner works, whatever it thinks of us."""
    if isinstance(ending, NotDone):
        return ending.reason in _HEALTHY_NOT_DONE
    return not isinstance(ending, Unanswered)


async def _tell_limits(ending: Ending, elapsed_s: float, shop: Shop) -> None:
    # The partner's health is the fleet's business (what it asks for in headers, the client has passed on already);
    # losing one observation is not worth an attempt.
    try:
        await shop.limits.note(shows_health(ending), elapsed_s)
    except LimitsUnavailable as exc:
        log.warning("call_not_noted", error=str(exc))


async def surely(settle: Callable[[], Awaitable[_Settled]], subject_id: str, shop: Shop) -> _Settled:
    """Write an outcome down, however long the ledger is away: it is known here and nowhere else.

    Settling twice is harmless: the second finds the lease gone. Gives up after ten minutes (LedgerUnavailable).
    """
    give_up_at = shop.clock.monotonic() + _SETTLE_PATIENCE_S
    for wait_s in _waits():
        try:
            return await settle()
        except (LedgerUnavailable, LedgerFull) as exc:
            if shop.clock.monotonic() > give_up_at:
                raise
            log.warning("settle_postponed", job_id=subject_id, error=type(exc).__name__)
            await asyncio.sleep(wait_s)
    raise AssertionError("the waits never end")


def _waits() -> Iterator[float]:
    return itertools.chain(_SETTLE_WAITS_S, itertools.repeat(_SETTLE_WAITS_S[-1]))


def _report(job: ClaimedJob, outcome: Outcome, settled: Settled, elapsed_s: float, shop: Shop) -> None:
    kind = type(outcome).__name__.lower()
    fail = getattr(outcome, "fail", None)
    reason = fail.reason if fail else getattr(outcome, "reason", None)
    shop.stats.count("calls", outcome=kind, reason=reason, product=job.product.value)
    shop.stats.count("call_seconds", elapsed_s)
    log.info(
        "attempt_finished",
        job_id=job.id,
        attempt=job.attempt,
        outcome=kind,
        reason=reason,
        state=settled.state.value if settled.state else None,
        lease_held=settled.held,
        duration_s=round(elapsed_s, 3),
    )


def follow_up(job_id: str, settled: Settled | None, shop: Shop) -> None:
    """Ring whatever the settling has made due: the invitation's deliveries, or the record of a failure."""
    if settled is None or not settled.held:
        return
    if settled.deliveries:
        shop.bell.ring_fan_out(job_id)
    if settled.state is JobState.FAILED:
        shop.bell.ring_failure(job_id)
