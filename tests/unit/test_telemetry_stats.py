"""Counters survive a failed flush, and a late loop is told once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

import pytest

from worker.telemetry import LoopLag, Stats, parse_stat_key, stat_key


class Sink:
    """Adds up what is flushed; fails when told to, and may be kept waiting."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self.flushes = 0
        self.fault: BaseException | None = None
        self.gate: asyncio.Event | None = None

    async def add_stats(self, counts: Mapping[str, float]) -> None:
        self.flushes += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        self.total.update(counts)


async def test_counts_are_flushed_once() -> None:
    """Flushed counts are not counted again; with nothing new the sink is left in peace."""
    stats, sink = Stats(), Sink()
    stats.count("calls", outcome="linked", reason=None)
    stats.count("calls", 2, outcome="linked")
    await stats.flush(sink)
    await stats.flush(sink)

    assert sink.total == {"calls|outcome=linked": 3}
    assert sink.flushes == 1


@pytest.mark.parametrize("fault", [ConnectionError("away"), asyncio.CancelledError()])
async def test_a_failed_flush_loses_no_count(fault: BaseException) -> None:
    """What was counted before it, and while it hung, is there at the next one."""
    stats, sink = Stats(), Sink()
    sink.fault, sink.gate = fault, asyncio.Event()
    stats.count("calls", 2)
    flushing = asyncio.create_task(stats.flush(sink))
    while not sink.flushes:
        await asyncio.sleep(0)
    stats.count("calls", 3)
    stats.count("lookups")
    sink.gate.set()
    await asyncio.gather(flushing, return_exceptions=True)
    assert sink.total == {}

    sink.fault = None
    await stats.flush(sink)

    assert sink.total == {"calls": 5, "lookups": 1}


def test_a_key_tells_its_name_and_labels_whatever_they_hold() -> None:
    """Labels come back as they went in, in one order."""
    key = stat_key("calls", {"reason": "a=b", "outcome": "failed"})

    assert key == stat_key("calls", {"outcome": "failed", "reason": "a=b"})
    assert parse_stat_key(key) == ("calls", {"outcome": "failed", "reason": "a=b"})
    assert parse_stat_key("lookups") == ("lookups", {})


async def test_the_worst_lag_since_the_last_look_is_told_once() -> None:
    """One blocking call stalls everything: its length is the lag; taken, it is forgotten."""
    now = [0.0]
    lag = LoopLag(interval_s=0.001, monotonic=lambda: now[0])
    watching = asyncio.create_task(lag.watch())
    await asyncio.sleep(0)  # the first measurement has begun
    now[0] += 0.751  # the loop was blocked for 0.75 s
    while not lag.worst_s:
        await asyncio.sleep(0.001)
    watching.cancel()

    assert lag.take() == pytest.approx(0.75)
    assert lag.take() == 0.0
