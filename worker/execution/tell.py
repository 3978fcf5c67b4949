"""Tells our own events to each sink, out of the ledger's outbox: claim, say, settle.

At least once and in no promised order. A crash between the two last leaves the event under its lease; when that runs
out it is told again, by the same id. A sink that is down is asked with one event at a time until it takes one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from worker.domain.ids import invitation_of, product_of
from worker.domain.job import JobRecord
from worker.domain.outgoing import (
    ClaimedOutgoing,
    NotTold,
    OutgoingEvent,
    OutgoingType,
    Standing,
    TellFault,
    Telling,
    Told,
    retry_after,
)
from worker.domain.reasons import Catalogue
from worker.execution.attempt import surely
from worker.execution.shop import Shop
from worker.execution.trade import Outlet, Trade
from worker.ledger import LedgerFull, LedgerUnavailable
from worker.maintenance.minder import Duty
from worker.telemetry import log

WEBHOOK = "webhook"
#: Events told at once to one sink by one process.
_AT_ONCE = 8
#: A bell that finds this many events for each place lets the next bell go on: a process that drains must not wait.
_MOST_EACH = 100
#: Above the longest a sink takes over one event, with room for a slow ledger.
_LEASE_S = 45.0
_RING_EVERY_S = 0.5
_RERING_AFTER_S = 1.0
_PRIORITY = 25


class Teller:
    """Answers the bells of the sinks that this process has."""

    def __init__(self, shop: Shop, outlets: Sequence[Outlet]) -> None:
        self._shop = shop
        self._outlets = {outlet.plan.name: outlet for outlet in outlets}
        self._busy: set[str] = set()

    async def ring_due(self) -> int:
        """Ring for the sinks that have something to be told; return how many."""
        due = await self._shop.ledger.outbox.due(rering_after_s=_RERING_AFTER_S)
        for sink in due:
            self._shop.bell.ring_events(sink)
        return len(due)

    async def tell(self, sink: str) -> None:
        """Tell a sink what is due, several events at once; a bell that comes meanwhile changes nothing."""
        outlet = self._outlets.get(sink)
        if outlet is None or sink in self._busy:
            return
        self._busy.add(sink)
        try:
            # Each to its end, whatever becomes of another: a bell that comes then must find none of them at work.
            ends = await asyncio.gather(
                *(self._tell_on(outlet) for _ in range(_AT_ONCE)), return_exceptions=True
            )
            for end in ends:
                if isinstance(end, BaseException):
                    log.error("telling_broken_off", target=sink, exc_info=end)
        finally:
            self._busy.discard(sink)

    async def aclose(self) -> None:
        """Close the sinks."""
        for outlet in self._outlets.values():
            await outlet.sink.aclose()

    async def _tell_on(self, outlet: Outlet) -> None:
        try:
            for _ in range(_MOST_EACH):
                if self._shop.draining.is_set() or not await self._tell_next(outlet):
                    return
        except (LedgerUnavailable, LedgerFull) as exc:
            log.warning("telling_postponed", target=outlet.plan.name, error=type(exc).__name__)

    async def _tell_next(self, outlet: Outlet) -> bool:
        claimed = await self._shop.ledger.outbox.claim(
            outlet.plan.name, want=1, worker_id=self._shop.worker_id, lease_s=_LEASE_S
        )
        for event in claimed:
            await self._tell_one(event, outlet)
        return bool(claimed)

    async def _tell_one(self, event: ClaimedOutgoing, outlet: Outlet) -> None:
        # A crash from here on: told again when the lease has run out, by the same id.
        telling = await self._say(event, outlet)
        delay_s = None
        if isinstance(telling, NotTold):
            delay_s = retry_after(event.failures, chance=random.random())  # noqa: S311 - jitter, not a secret
        held = await surely(
            lambda: self._shop.ledger.outbox.settle(event.lease, telling, delay_s=delay_s),
            event.job_id,
            self._shop,
        )
        is_last = isinstance(telling, NotTold) and delay_s is None
        self._report(event, telling, is_last=is_last, held=held)

    async def _say(self, event: ClaimedOutgoing, outlet: Outlet) -> Telling:
        try:
            job = await self._shop.ledger.queries.job(event.job_id)
            said = OutgoingEvent(
                id=event.id,
                type=event.type,
                occurred_at_ms=event.occurred_at_ms,
                data=data_of(event, job, self._shop.catalogue),
                now=None if job is None else Standing(state=job.state, reason=job.reason, link=job.link),
            )
            return await outlet.sink.send(said)
        except (LedgerUnavailable, LedgerFull):
            raise
        except Exception:
            # One event that we can't say, or a sink can't stand, must not keep the others from it.
            log.exception("sink_failed", target=event.sink, job_id=event.job_id)
            return NotTold(fault=TellFault.OUR_FAULT)

    def _report(self, event: ClaimedOutgoing, telling: Telling, *, is_last: bool, held: bool) -> None:
        outcome = "failed" if is_last else type(telling).__name__.lower()
        fault = None if isinstance(telling, Told) else telling.fault.value
        self._shop.stats.count(
            "events_told", target=event.sink, kind=event.type.value, outcome=outcome, reason=fault
        )
        tell = log.info if isinstance(telling, Told) else log.warning
        tell(
            "event_told" if isinstance(telling, Told) else "event_not_told",
            job_id=event.job_id,
            kind=event.type.value,
            target=event.sink,
            outcome=outcome,
            reason=fault,
            status=telling.status,
            attempt=event.attempt,
            lease_held=held,
        )


def tell_trade(shop: Shop, outlets: Sequence[Outlet]) -> Trade:
    """Return the trade that tells our own events to *outlets*, and rings for them."""
    teller = Teller(shop, outlets)
    return Trade(
        queue="events",
        actor="tell_events",
        priority=_PRIORITY,
        work=teller.tell,
        duties=(Duty(name="ring_events", run_once=teller.ring_due, every_s=_RING_EVERY_S),),
        aclose=teller.aclose,
    )


def data_of(event: ClaimedOutgoing, job: JobRecord | None, catalogue: Catalogue) -> dict[str, Any]:
    """Return what an event says: what was so when it happened, and whose it is. No number, address or name.

    *job* is None where its record has been deleted since. Raises ValueError and KeyError for an event that another
    version of Linkferry left.
    """
    facts = event.facts
    request = job.request if job is not None else None
    data: dict[str, Any] = {
        "job_id": event.job_id,
        "invitation_id": invitation_of(event.job_id),
        "product": product_of(event.job_id).value,
        "state": facts["state"],
        "reference": request.reference if request is not None else None,
        "external_id": request.external_id if request is not None else None,
        "source": job.source if job is not None else None,
        "batch": job.batch_id if job is not None else None,
    }
    match event.type:
        case OutgoingType.LINK_CREATED:
            data |= {"link": facts["link"], "landing_page": facts["landing_page"] or None}
        case OutgoingType.INVITATION_SENT:
            jobs = [invitation_of(event.job_id) + code for code in facts["codes"]]
            data |= {"channel": facts["channel"], "delivery_id": facts["delivery_id"], "job_ids": jobs}
        case OutgoingType.JOB_FAILED:
            data |= _why(facts, catalogue)
        case OutgoingType.LINK_ONBOARDED:
            pass
        case _:
            raise ValueError("an event of a type that this version does not know")
    return data


def _why(facts: Any, catalogue: Catalogue) -> dict[str, Any]:
    reason = catalogue.named(facts["reason"])
    return {
        "reason": facts["reason"],
        "reason_class": facts["reason_class"] or reason.reason_class.value,
        "code": int(facts["code"]) if facts["code"] else None,
        "meaning": reason.meaning,
        "remedy": reason.remedy,
        "is_explained": "is_explained" in facts,
    }
