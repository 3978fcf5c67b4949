"""Feeds the broker: rings for what may run now, and again for bells that nobody heard.

The broker never holds more than about a second's worth of bulk bells, however long the backlog, so that a pause, a
cancelled batch or a live customer takes effect at once.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from worker.broker import BrokerBell
from worker.domain.outcome import NotDone
from worker.domain.states import Lane
from worker.execution.handlers import RERING_AFTER_S
from worker.ledger import Ledger
from worker.limits import Limits

#: Bells for live jobs outstanding in the fleet; more wait in the ledger.
_LIVE_BELLS = 200
#: Even a slow partner gets a few bells ahead, so that no slot passes for want of one.
_FEWEST_BULK_BELLS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeder:
    """Rings for jobs that wait."""

    ledger: Ledger
    limits: Limits
    bell: BrokerBell
    bulk_places: int  #: bulk attempts at once in one worker
    token: Callable[[], Awaitable[str | NotDone]]  #: the partner's: without one no call can be made

    async def run_once(self) -> int:
        """Ring for as many jobs as the fleet can use now; return how many."""
        status = await self.limits.status()
        if status.closed_reason is not None or isinstance(await self.token(), NotDone):
            return 0  # no call can be made: bells would only be handed back, again and again
        live = await self.ledger.feed(Lane.LIVE, want=_LIVE_BELLS, rering_after_s=RERING_AFTER_S)
        self.bell.ring(live, Lane.LIVE)
        bulk = await self.ledger.feed(
            Lane.BULK, want=await self._bulk_bells(status.rate), rering_after_s=RERING_AFTER_S
        )
        self.bell.ring(bulk, Lane.BULK)
        return len(live) + len(bulk)

    async def _bulk_bells(self, rate: float) -> int:
        workers = max(1, len(await self.ledger.fleet.workers()))
        return max(_FEWEST_BULK_BELLS, min(math.ceil(rate), workers * self.bulk_places))
