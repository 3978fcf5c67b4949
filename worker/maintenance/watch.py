"""Watches for what an operator must hear of: holds, a stalled lane, dead letters about to expire."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from worker.domain.outgoing import SinkRecord
from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter, Ledger
from worker.limits import Limits
from worker.telemetry import Stats, log

_DAY_S = 86_400.0


@dataclass(kw_only=True)
class Watch:
    """Raises one alarm when something begins and one line when it ends, not one per job."""

    ledger: Ledger
    limits: Limits
    stats: Stats
    late_after_s: float = 900.0  #: a waiting job older than this is an alarm, unless something holds its lane
    dead_keep_s: float = math.inf  #: dead letters are deleted at this age; an alarm comes a day ahead
    _raised: set[tuple[str, str]] = field(default_factory=set)

    async def run_once(self) -> None:
        """Compare what stands now with what was raised before."""
        standing = await self._standing()
        for target, reason in standing - self._raised:
            self.stats.count("alarms", target=target.split(":")[0], reason=reason)
            log.error("alarm_raised", target=target, reason=reason)
        for target, reason in self._raised - standing:
            log.info("alarm_ended", target=target, reason=reason)
        self._raised = standing

    async def _standing(self) -> set[tuple[str, str]]:
        alarms = {(target, hold.reason) for target, hold in (await self.ledger.batches.holds()).items()}
        status = await self.limits.status()
        if status.closed_reason is not None:
            alarms.add(("calls", status.closed_reason))
        for lane, view in (await self.ledger.queries.lanes()).items():
            is_stopped = view.paused or view.held is not None or status.closed_reason is not None
            is_late = view.oldest_s is not None and view.oldest_s > self.late_after_s
            if lane is Lane.LIVE and is_late and not is_stopped:
                alarms.add((lane.value, "oldest_job_late"))
        for sink in await self.ledger.outbox.sinks():
            alarms |= {(f"events:{sink.name}", trouble) for trouble in troubles_of(sink)}
        if await self._dead_letters_end():
            alarms.add(("dead_letters", "deleted_within_a_day"))
        return alarms

    async def _dead_letters_end(self) -> bool:
        last_day_s = self.dead_keep_s - _DAY_S
        if not 0 < last_day_s < math.inf:
            return False
        page = await self.ledger.queries.find(
            JobFilter(state=JobState.DEAD, older_than_s=last_day_s), limit=1
        )
        return bool(page.items)


def troubles_of(sink: SinkRecord) -> Iterator[str]:
    """Yield what an operator must hear of a sink of our own events."""
    if not sink.is_enabled:
        return
    if sink.gone_since_ms is not None:
        yield "endpoint_gone"
    elif sink.down_since_ms is not None:
        yield "endpoint_down"
    if sink.failed:
        yield "events_failed"
    if sink.is_full:
        yield "events_dropped"
