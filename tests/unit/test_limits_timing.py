"""Redis's time on our own clock."""

from __future__ import annotations

import asyncio

import pytest

from worker.limits.timing import Patience, ServerClock, Timing, nap

SECOND = 1_000_000


def test_a_slot_falls_on_our_clock_by_the_quickest_reply():
    """A reply that lay about while the loop was blocked must not move the slots."""
    clock = ServerClock()
    clock.observe(1000 * SECOND, sent_s=10.0, received_s=10.0002)

    clock.observe(1001 * SECOND, sent_s=11.0, received_s=11.4)

    assert clock.monotonic_of(1005 * SECOND) == pytest.approx(15.0001, abs=1e-6)


def test_an_old_reading_gives_way_to_a_fresh_one():
    """Two clocks drift apart: after a minute a slower but fresh reply is worth more."""
    clock = ServerClock()
    clock.observe(1000 * SECOND, sent_s=10.0, received_s=10.0)

    clock.observe(1060 * SECOND, sent_s=70.009, received_s=70.011)

    assert clock.monotonic_of(1061 * SECOND) == pytest.approx(71.010, abs=1e-4)


def test_a_clock_that_was_set_is_believed_at_once():
    """After a failover to a server whose clock is an hour on, slots are an hour on too."""
    clock = ServerClock()
    clock.observe(1000 * SECOND, sent_s=10.0, received_s=10.0002)

    clock.observe(4601 * SECOND, sent_s=11.0, received_s=11.01)

    assert clock.monotonic_of(4602 * SECOND) == pytest.approx(12.005 + 0.004, abs=1e-4)


def test_a_poor_reading_errs_to_the_late_side():
    """A first reply that took 100 ms (a connection was made) must not let a call go early."""
    clock = ServerClock()

    clock.observe(1000 * SECOND, sent_s=10.0, received_s=10.1)

    assert clock.monotonic_of(1000 * SECOND) == pytest.approx(10.1, abs=0.002)


def test_no_reading_is_an_error():
    """A slot cannot be placed before Redis told its time."""
    with pytest.raises(RuntimeError):
        ServerClock().monotonic_of(1)


async def test_a_nap_ends_at_once_when_the_process_stops():
    """A draining process does not sleep its waiters out."""
    stop = asyncio.Event()
    sleeper = asyncio.create_task(nap(60, stop))
    await asyncio.sleep(0)

    stop.set()

    assert await sleeper is True
    assert await nap(60, stop) is True


@pytest.mark.parametrize("stop", [None, asyncio.Event()])
async def test_a_nap_that_is_over_was_not_stopped(stop):
    """Time running out is the ordinary end."""
    assert await nap(0.002, stop) is False
    assert await nap(-1, stop) is False


def test_patience_without_an_end_is_infinite():
    """Most askers wait as long as it takes."""
    assert Patience(Timing(), None, None).left_s == float("inf")
    assert not Patience(Timing(), None, None).is_stopped
