"""Simulated time for the limits: Redis's clock and ours move together, by hand or by a nap."""

from __future__ import annotations

import asyncio

from worker.limits.timing import Timing

SECOND = 1_000_000
START_US = 1_800_000_000 * SECOND


class SimulatedTime:
    """A clock that stands still until somebody naps or moves it."""

    def __init__(self) -> None:
        self.us = START_US
        self.oversleep_s = 0.0  #: every nap takes so much longer
        self.during_nap: list = []  #: async functions, one to be awaited in each nap to come

    @property
    def timing(self) -> Timing:
        """Return what `Limits` takes."""
        return Timing(
            now_us=lambda: self.us,
            monotonic=lambda: (self.us - START_US) / SECOND,
            nap=self._nap,
            chance=lambda: 0.0,
        )

    def pass_by(self, seconds: float) -> None:
        """Let time go on."""
        self.us += round(seconds * SECOND)

    async def _nap(self, for_s: float, stop: asyncio.Event | None) -> bool:
        if self.during_nap:
            await self.during_nap.pop(0)()
        await asyncio.sleep(0)
        if stop is not None and stop.is_set():
            return True
        self.pass_by(max(for_s, 0.0001) + self.oversleep_s)
        return False
