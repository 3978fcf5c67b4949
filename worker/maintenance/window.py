"""Lets messages that wait for the send window go by it as it is now, when it was changed or switched off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from worker.domain.send_window import ClosedTimes
from worker.domain.states import Channel
from worker.ledger import Ledger
from worker.telemetry import log

#: Calls at one turn for each channel: others have their turn between them, and the rest has the next one.
_MOST_CALLS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowMinder:
    """Judges what was put off anew. What it brings forward goes out at the channel's rate, like all else."""

    ledger: Ledger
    closed_times: Callable[[], ClosedTimes]

    async def run_once(self) -> int:
        """Put right what waits for another time than it should; return how many messages were touched."""
        return sum([await self._judge(channel) for channel in Channel])

    async def _judge(self, channel: Channel) -> int:
        total = 0
        for _ in range(_MOST_CALLS):
            changed = await self.ledger.window.judge(channel, self.closed_times())
            total += changed
            if not changed:
                break
        if total:
            log.info("waiting_messages_judged", channel=channel.value, count=total)
        return total
