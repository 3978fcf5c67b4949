"""How far a batch is, what of it failed and why, what stops it, and when it will be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worker.domain.reasons import Catalogue
from worker.domain.states import ENDED_STATES, JobState, Lane
from worker.ledger import BatchRecord, Ledger
from worker.limits import BreakerState, CredentialsState, Limits
from worker.limits.values import LimitsStatus
from worker.ops.eta import NOT_WATCHED, Pace, eta_s
from worker.ops.holds import outlook_said
from worker.ops.views import failed_view, iso
from worker.ops.window import window_view

#: An importer tells where it is every two seconds; not heard of for so long, it has died or was cut off.
TOLD_WITHIN_MS = 30_000
_SHORT_MS = 1_000  # the partner's shorter pauses are waited out, not told


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """Looks at one batch, from the ledger and the limits; changes nothing."""

    ledger: Ledger
    limits: Limits
    catalogue: Catalogue
    has_credentials: bool

    async def look(self, record: BatchRecord, pace: Pace = NOT_WATCHED) -> dict[str, Any]:
        """Return how the batch stands, ready for JSON; raises LedgerUnavailable, LimitsUnavailable."""
        now_ms = await self.ledger.now_ms()
        status = await self.limits.status()
        ended = sum(record.jobs[state] for state in ENDED_STATES)
        under_way = sum(record.jobs.values()) - ended
        importing = import_state(record, now_ms)
        stops = await self._stops(record, status) if under_way or importing == "running" else []
        return {
            "jobs": ended + under_way + record.pruned,
            "ended": ended + record.pruned,
            "under_way": under_way,
            "import": importing,
            "read": record.read,
            "file": record.path,
            "options": record.options,
            "is_over": not under_way and importing != "running",
            "failures": [
                {**failed_view(name, self.catalogue), "count": count}
                for name, count in record.failures.items()
            ],
            "spared": await self._spared(record),
            "stops": stops,
            "window": await window_view(self.ledger),
            "rate": status.rate,
            "slots_taken": {lane.value: status.taken[lane] for lane in Lane},
            **await self._expected(record, status, pace, now_ms, is_stopped=bool(stops)),
        }

    async def _expected(
        self, record: BatchRecord, status: LimitsStatus, pace: Pace, now_ms: int, *, is_stopped: bool
    ) -> dict[str, Any]:
        """Return the time that is left; none where something stops the batch, or where nobody can know."""
        waiting = record.jobs[JobState.AVAILABLE]
        calls = waiting + unread(record, now_ms)
        ahead = await self.ledger.batches.ahead(record.id, waiting=calls)
        left_s = eta_s(calls, ahead, rate=status.rate, pace=pace)
        # Later tries, and the answers that nobody understood, come to their end when they do.
        is_known = calls > 0 or not (record.jobs[JobState.SCHEDULED] or record.jobs[JobState.IN_DOUBT])
        if is_stopped or not is_known or left_s is None:
            left_s = None
        return {
            "ahead": {"live": ahead.live, "bulk": ahead.bulk, "batches": ahead.queues},
            "eta_s": None if left_s is None else round(left_s, 1),
            "eta_at": None if left_s is None else iso(now_ms + round(left_s * 1000)),
            "is_stuck": bool(calls and not is_stopped and pace.is_known and not pace.ended_per_s),
        }

    async def _spared(self, record: BatchRecord) -> dict[str, int] | None:
        if record.cancelled_at_ms is None:
            return None
        found = await self.ledger.batches.spared(record.id)
        return {state.value: count for state, count in found.items()}

    async def _stops(self, record: BatchRecord, status: LimitsStatus) -> list[dict[str, Any]]:
        """Return all that keeps the batch's jobs from being worked on, the most general first."""
        stops = [] if await self.ledger.fleet.workers() else [_stop("no_worker", "no worker runs", _START)]
        stops += self._closed(status, await self.ledger.now_ms())
        scopes = {Lane.BULK.value: "the bulk lane", f"batch:{record.id}": "this batch"}
        pauses, holds = await self.ledger.batches.pauses(), await self.ledger.batches.holds()
        for scope, what in scopes.items():
            lift = "resume --lane bulk" if scope == Lane.BULK else f"batch resume {record.id}"
            if scope in pauses:
                stops.append(
                    _stop("paused", f"{what} is paused by an operator", f"Go on with: linkferry {lift}")
                )
            if scope in holds:
                found = self.catalogue.named(holds[scope].reason)
                text = f"{what} is held, because its calls fail alike ({found.name}): {found.meaning}"
                outlook = outlook_said(await self.ledger.batches.outlook(scope))
                remedy = outlook["text"] if outlook else found.remedy
                more = {"reason": found.name, "waiting": holds[scope].count, "outlook": outlook}
                stops.append(_stop("held", text.rstrip("."), f"{remedy} Then: linkferry {lift}", **more))
        return stops

    def _closed(self, status: LimitsStatus, now_ms: int) -> list[dict[str, Any]]:
        """Return why no call is made at all now."""
        stops = []
        if not self.has_credentials:
            stops.append(_stop("credentials_missing", "the partner's credentials are missing", _SET))
        if status.is_paused:
            until = iso(status.paused_until_ms)
            stops.append(_stop("calls_paused", "an operator has paused all calls", _RESUME, until=until))
        if self.has_credentials and status.credentials is CredentialsState.HELD:
            until = iso(status.next_try_ms)
            stops.append(
                _stop("credentials_held", "the partner refuses our credentials", _MEND_THEM, until=until)
            )
        if status.breaker is BreakerState.OPEN:
            until = iso(status.breaker_until_ms)
            stops.append(_stop("breaker_open", "the partner keeps failing", _BY_ITSELF, until=until))
        if status.is_throttled and (status.paused_until_ms or 0) - now_ms > _SHORT_MS:
            until = iso(status.paused_until_ms)
            stops.append(_stop("partner_throttled", "the partner asked for a pause", _BY_ITSELF, until=until))
        return stops


def import_state(record: BatchRecord, now_ms: int) -> str:
    """Return whether rows still come: `done`, `running`, `cut_off`, `cancelled`, or `unknown` for other sources."""
    if record.cancelled_at_ms is not None:
        return "cancelled"
    if record.closed_at_ms is not None:
        return "done"
    if record.told_at_ms is None:
        return "unknown"
    return "running" if now_ms - record.told_at_ms < TOLD_WITHIN_MS else "cut_off"


def unread(record: BatchRecord, now_ms: int) -> int:
    """Return how many rows of the file are still to come, about."""
    if import_state(record, now_ms) != "running" or record.total is None:
        return 0
    # A run that is gone on with reads from the start again what is known already.
    known = record.accepted + record.duplicates + record.rejected
    return max(0, record.total - max(known, record.read or 0))


def _stop(why: str, text: str, remedy: str, **more: Any) -> dict[str, Any]:
    return {"why": why, "text": text, "remedy": remedy, "until": None, **more}


_START = "Start some: linkferry up"
_RESUME = "Go on with: linkferry resume"
_SET = "Set LINKFERRY_PROVIDER_CLIENT_ID and LINKFERRY_PROVIDER_CLIENT_SECRET."
_MEND_THEM = "Correct them, or have the partner unblock us, then: linkferry resume. It is tried again by itself as well."
_BY_ITSELF = "Nothing: it goes on by itself."
