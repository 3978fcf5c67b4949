"""Says that this worker lives, and hands its counters to the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from worker.execution.heartbeat import Heartbeat
from worker.ledger import Ledger
from worker.telemetry import LoopLag, Stats

_TTL_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """The sign of life of one worker process."""

    ledger: Ledger
    stats: Stats
    lag: LoopLag
    heartbeat: Heartbeat
    worker_id: str
    facts: dict[str, str | int | float]  #: host, pid, version, …: what `status` and `doctor` show of it

    async def run_once(self) -> None:
        """Beat once and flush the counters."""
        facts = self.facts | {
            "running": self.heartbeat.held,
            "loop_lag_s": round(self.lag.take(), 4),
            "ttl_s": _TTL_S,
        }
        await self.ledger.fleet.beat(self.worker_id, facts, _TTL_S)
        await self.stats.flush(self.ledger.fleet)
