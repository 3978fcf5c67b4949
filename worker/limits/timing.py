"""When a slot comes, on this process's own clock, and sleeping until then.

A slot is an instant of Redis's clock; a process can only sleep by its own. Every reply tells Redis's time,
which was read somewhere between sending and receiving: the quicker the round trip, the better the reading.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from worker.limits.scripts import NowUs

# What two undisciplined clocks may drift apart; a reading grows worse by this as it ages.
_DRIFT = 200e-6
#: Waking this much before the target counts as on it: timers tick in milliseconds, half of one each way.
_EARLY_S = 0.0005


@dataclass(frozen=True, slots=True)
class _Reading:
    offset_s: float  # Redis time less our monotonic time
    error_s: float  # half the round trip
    at_s: float  # monotonic


class ServerClock:
    """Redis's time on our monotonic clock, by the best recent reading."""

    def __init__(self) -> None:
        self._best: _Reading | None = None

    def observe(self, now_us: int, *, sent_s: float, received_s: float) -> None:
        """Take in that Redis said *now_us* between the monotonic instants *sent_s* and *received_s*."""
        error_s = (received_s - sent_s) / 2
        new = _Reading(now_us / 1e6 - (sent_s + received_s) / 2, error_s, received_s)
        best = self._best
        if best is None:
            self._best = new
            return
        kept_error_s = best.error_s + (received_s - best.at_s) * _DRIFT
        # Readings that cannot both be true: a clock was set, or another server took over.
        is_stepped = abs(new.offset_s - best.offset_s) > new.error_s + kept_error_s
        if is_stepped or error_s <= kept_error_s:
            self._best = new

    def monotonic_of(self, instant_us: int) -> float:
        """Return the monotonic time of an instant of Redis's clock; a poor reading errs to the late side.

        Raises:
            RuntimeError: No reply was observed yet.
        """
        if self._best is None:
            raise RuntimeError("no reply of Redis was observed yet")
        return instant_us / 1e6 - self._best.offset_s + max(0.0, self._best.error_s - 2 * _EARLY_S)


async def nap(for_s: float, stop: asyncio.Event | None) -> bool:
    """Sleep, at least half a millisecond less than *for_s* long. Return True as soon as *stop* is set."""
    if stop is None:
        await asyncio.sleep(max(0.0, for_s - _EARLY_S))
        return False
    if stop.is_set():
        return True
    if for_s <= _EARLY_S:
        return False
    try:
        async with asyncio.timeout(for_s - _EARLY_S):
            await stop.wait()
    except TimeoutError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What the limits take from the machine; tests put their own in."""

    now_us: NowUs = None  #: instead of Redis's TIME
    monotonic: Callable[[], float] = time.monotonic  #: seconds; finer than an event loop's cached time
    nap: Callable[[float, asyncio.Event | None], Awaitable[bool]] = nap  #: True when stopped
    chance: Callable[[], float] = random.random  #: in [0, 1), for the breaker's jitter


class Patience:
    """How long one asker still waits, and whether its process is stopping."""

    def __init__(self, timing: Timing, stop: asyncio.Event | None, give_up_s: float | None) -> None:
        self.stop = stop
        self._timing = timing
        self._until_s = math.inf if give_up_s is None else timing.monotonic() + give_up_s

    @property
    def is_stopped(self) -> bool:
        """Whether this process finishes what runs and begins nothing more."""
        return self.stop is not None and self.stop.is_set()

    @property
    def left_s(self) -> float:
        """How long it still waits; infinite where it does not give up."""
        return self._until_s - self._timing.monotonic()
