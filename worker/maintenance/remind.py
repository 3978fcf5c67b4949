"""Reminds customers who were sent their links and have not finished: `REMINDERS` after the message, twice at most."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from worker.ledger import Ledger
from worker.telemetry import Stats, log

#: How long one turn may last; well below the lease of the duty.
_TURN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminder:
    """Makes the reminders that are due. What sends invitations sends them: in its window, by its pauses."""

    ledger: Ledger
    stats: Stats
    after_s: Sequence[float]  #: from the message to each reminder; empty: none are made

    async def run_once(self) -> int:
        """Make what is due, until nothing is or a turn's time is up; return how many messages were made.

        Raises LedgerUnavailable, LedgerFull: the next turn goes on.
        """
        until, total = time.monotonic() + _TURN_S, 0
        for number, after_s in enumerate(self.after_s, start=1):
            has_more = True
            while has_more and time.monotonic() < until:
                made, has_more = await self.ledger.reminding.remind(number, after_s=after_s)
                total += made
        if total:
            self.stats.count("reminders", total)
            log.info("reminders_made", count=total)
        return total
