"""What waits for the send window: how much, until when, and what becomes of it when the window is another."""

from __future__ import annotations

from dataclasses import dataclass

from worker.domain.send_window import ClosedTimes
from worker.domain.states import Channel
from worker.ledger.errors import translated
from worker.ledger.keys import Keys
from worker.ledger.scripts import Scripts

_KINDS = ("live", "others")  #: as in window.lua


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOff:
    """Messages of one channel that wait for the send window."""

    channel: Channel
    count: int
    until_ms: int  #: when the first of them may go out


class Window:
    """Looks at the messages that were put off, and judges them anew."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def waiting(self) -> tuple[PutOff, ...]:
        """Return what waits for the window to open, by channel; channels with none are left out.

        Raises LedgerUnavailable.
        """
        now = await self._scripts.now()
        asked = [(channel, f"{self._keys.put_off}{channel}:{kind}") for channel in Channel for kind in _KINDS]
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for _, key in asked:
                    pipe.zcount(key, f"({now}", "+inf")
                    pipe.zrangebyscore(key, f"({now}", "+inf", start=0, num=1, withscores=True)
                replies = await pipe.execute()
        found: dict[Channel, PutOff] = {}
        for (channel, _), count, first in zip(asked, replies[::2], replies[1::2], strict=True):
            if not first:
                continue
            each = PutOff(channel=channel, count=int(count), until_ms=int(first[0][1]))
            found[channel] = _both(found[channel], each) if channel in found else each
        return tuple(found.values())

    async def judge(self, channel: Channel, closed: ClosedTimes, *, limit: int = 50) -> int:
        """Let up to *limit* live and as many other waiting messages of a channel go by the window as it is now.

        Return how many were changed: 0 when all are right. Raises LedgerUnavailable.
        """
        return int(await self._scripts.run("window_judge", channel, closed.encode(), limit))


def _both(one: PutOff, other: PutOff) -> PutOff:
    until_ms = min(one.until_ms, other.until_ms)
    return PutOff(channel=one.channel, count=one.count + other.count, until_ms=until_ms)
