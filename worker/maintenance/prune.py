"""Deletes what has been kept long enough, a bounded piece at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.domain.states import JobState
from worker.ledger import Ledger
from worker.telemetry import log

_PIECE = 200
_WARNED = frozenset({JobState.FAILED, JobState.DEAD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruner:
    """Deletes final jobs older than their state is kept for. What waits, runs or is in doubt is never pruned.

    What needs a person goes only where its end could be warned of a day ahead.
    """

    ledger: Ledger
    keep_s: Mapping[JobState, float]

    async def run_once(self) -> int:
        """Prune until nothing more is old enough, or a second's worth is done; return how many jobs went."""
        total = 0
        for _ in range(20):
            gone = await self.ledger.prune(older_than_s=self.keep_s, limit=_PIECE, warned=_WARNED)
            total += gone
            if gone < _PIECE:
                break
        if total:
            log.info("jobs_pruned", count=total)
        return total
