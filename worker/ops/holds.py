"""Holds, with why they stand: what was seen before the work was stopped, so that nobody clears one unseen."""

from __future__ import annotations

from typing import Any

from worker.domain.job import JobRecord
from worker.domain.reasons import Catalogue
from worker.domain.states import Lane
from worker.domain.targets import CALLS
from worker.ledger import Hold, HoldOutlook, Ledger
from worker.limits import ClosedReason, Limits
from worker.limits.values import LimitsStatus
from worker.ops.views import answered, iso, job_view, reason_view
from worker.ops.words import Said, said

_LONGEST_ANSWER = 300
_NAMES = {ClosedReason.PAUSED: "calls_paused"}  #: where the catalogue's word is another


class Holds:
    """Reads what is held. `Commands.clear_hold` and `Commands.resume` clear it."""

    def __init__(self, ledger: Ledger, limits: Limits, catalogue: Catalogue) -> None:
        """Read from *ledger* and *limits*; *catalogue* explains the reasons."""
        self._ledger = ledger
        self._limits = limits
        self._catalogue = catalogue

    async def all(self) -> list[dict[str, Any]]:
        """Return every hold with its evidence, the oldest first; raises LedgerUnavailable, LimitsUnavailable."""
        holds = await self._ledger.batches.holds()
        found = [
            await self._view(target, holds[target])
            for target in sorted(holds, key=lambda each: holds[each].since_ms)
        ]
        calls = await self._calls()
        return [*([calls] if calls else []), *found]

    async def hold(self, target: str) -> dict[str, Any] | None:
        """Return why *target* (`live`, `bulk`, `batch:<id>`, `calls`) is held, or None where it is not.

        With since when, how many jobs wait behind it, and the jobs whose answers made it (`evidence`: partner's code and
        answer, masked, where a job still shows them). Raises LedgerUnavailable, LimitsUnavailable.
        """
        if target == CALLS:
            return await self._calls()
        hold = (await self._ledger.batches.holds()).get(target)
        return None if hold is None else await self._view(target, hold)

    async def _view(self, target: str, hold: Hold) -> dict[str, Any]:
        suspects = await self._ledger.queries.jobs(await self._ledger.batches.suspects(target))
        outlook = await self._ledger.batches.outlook(target)
        return {
            "target": target,
            **reason_view(hold.reason, self._catalogue),
            "explained": dict(outlook.explained),
            "outlook": outlook_said(outlook),
            "since": iso(hold.since_ms),
            "until": None,
            "waiting": hold.count,
            "evidence": [evidence_view(job, self._catalogue) for job in suspects],
            "batch": await self._batch_name(target),
        }

    async def _batch_name(self, target: str) -> str | None:
        kind, _, batch_id = target.partition(":")
        record = await self._ledger.batches.get(batch_id) if kind == "batch" else None
        return None if record is None else record.name

    async def _calls(self) -> dict[str, Any] | None:
        status = await self._limits.status()
        if status.closed_reason is None:
            return None
        lanes = await self._ledger.queries.lanes()
        reason = status.closed_reason
        return {
            "target": CALLS,
            **reason_view(_NAMES.get(reason, reason.value), self._catalogue),
            "since": iso(_since_ms(status)),
            "until": iso(_until_ms(status)),
            "waiting": sum(lanes[lane].waiting for lane in Lane if lane in lanes),
            "explained": {},
            "outlook": None,
            "evidence": [],
            "batch": None,
        }


def outlook_said(outlook: HoldOutlook) -> Said | None:
    """Return what has come, or may come, of the failures that made a hold; None where its reason's remedy says all."""
    found = ", ".join(f"{name} ({count})" for name, count in sorted(outlook.explained.items()))
    if outlook.is_over:
        return said("hold_over", found=found)
    if outlook.is_explaining:
        return said("hold_explaining_more", found=found) if found else said("hold_explaining")
    return said("hold_explained_in_part", count=outlook.standing, found=found) if found else None


def _since_ms(status: LimitsStatus) -> int | None:
    return {
        ClosedReason.PAUSED: status.paused_since_ms,
        ClosedReason.CREDENTIALS_HELD: status.held_since_ms,
        ClosedReason.BREAKER_OPEN: status.broke_at_ms,
        ClosedReason.PARTNER_THROTTLED: status.throttled_since_ms,
    }.get(status.closed_reason or ClosedReason.PAUSED)


def _until_ms(status: LimitsStatus) -> int | None:
    """Return when what stops the calls ends, or is tried again, by itself; None: a person ends it."""
    return {
        ClosedReason.CREDENTIALS_HELD: status.next_try_ms,
        ClosedReason.BREAKER_OPEN: status.breaker_until_ms,
    }.get(status.closed_reason or ClosedReason.PAUSED, status.paused_until_ms)


def evidence_view(job: JobRecord, catalogue: Catalogue) -> dict[str, Any]:
    """Return one job whose FAIL made a hold, with what the partner answered, masked."""
    return {
        **job_view(job, catalogue),
        "answer": (answered(job.raw) or "")[:_LONGEST_ANSWER] or None,
    }
