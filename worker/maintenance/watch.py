"""Watches for what an operator must hear of: holds, a stalled lane, dead letters about to expire."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog

from worker.domain.states import Lane
from worker.ledger import Ledger
from worker.limits import Limits
from worker.telemetry import Stats

log = structlog.get_logger()


@dataclass(kw_only=True)
class Watch:
    """Raises one alarm when something begins and one line when it ends, not one per job."""

    ledger: Ledger
    limits: Limits
    stats: Stats
    late_after_s: float = 900.0  #: a waiting job older than this is an alarm, unless something holds its lane
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
        return alarms
