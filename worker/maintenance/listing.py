"""Reads the partner's lists for whoever is to compare them: one call, under a slot of the rate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from worker.domain.outcome import AccountEntry, NotDone, RegisteredNumber, Unanswered
from worker.domain.states import Lane
from worker.execution.attempt import shows_health
from worker.limits import Closed, Limits
from worker.partner import PartnerClient
from worker.telemetry import Stats, log

_LIST_PATIENCE_S = 30.0
_Row = TypeVar("_Row", AccountEntry, RegisteredNumber)


async def listed(
    call: Callable[[], Awaitable[list[_Row] | NotDone | Unanswered]],
    *,
    limits: Limits,
    partner: PartnerClient,
    stats: Stats,
) -> list[_Row] | None:
    """Return the partner's whole list under a slot of the rate, or None when it can't be had now.

    Raises LimitsUnavailable.
    """
    if isinstance(await partner.token(), NotDone):
        return None
    if isinstance(await limits.acquire(Lane.LIVE, give_up_s=_LIST_PATIENCE_S), Closed):
        return None
    answer = await call()
    # A long list takes its time: that says nothing about how fast the partner answers creates.
    await limits.note(shows_health(answer), 0.0)
    if isinstance(answer, NotDone | Unanswered):
        stats.count("lookups", outcome="failed")
        log.warning("lookup_failed", reason=answer.reason)
        return None
    stats.count("lookups", outcome="listed")
    return answer
