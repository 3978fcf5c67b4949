"""Since when calls are stopped: what an operator asks first when customers wait."""

from __future__ import annotations

import pytest

from tests.contract.limits_time import START_US, SimulatedTime
from worker.domain.states import Lane
from worker.limits import BreakerState, Limits

START_MS = START_US // 1000


@pytest.fixture
def time():
    return SimulatedTime()


@pytest.fixture
def limits(store, time):
    return Limits(store, namespace="t", ceiling=20.0, timing=time.timing)


async def break_it(limits) -> None:
    for _ in range(20):
        await limits.note(False, 0.1)


async def test_nothing_is_stopped_at_first(limits):
    """And so there is no instant of anything."""
    status = await limits.status()

    assert (status.broke_at_ms, status.paused_since_ms) == (None, None)
    assert (status.throttled_since_ms, status.held_since_ms) == (None, None)


async def test_a_break_lasts_from_its_first_opening(limits, time):
    """A probe that fails makes it longer, not younger; once closed it is forgotten."""
    await break_it(limits)
    time.pass_by(20)
    await limits.take(Lane.LIVE)
    time.pass_by(1)
    await limits.note(False, 0.1)
    status = await limits.status()

    assert status.breaker is BreakerState.OPEN
    assert status.broke_at_ms == START_MS

    time.pass_by(60)
    for _ in range(6):
        await limits.take(Lane.LIVE)
        time.pass_by(1)
        await limits.note(True, 0.1)
    assert (await limits.status()).broke_at_ms is None

    await break_it(limits)
    assert (await limits.status()).broke_at_ms == time.us // 1000


async def test_pauses_last_from_their_first_moment(limits, time):
    """An operator's and the partner's: a longer one on top keeps the begin."""
    await limits.pause(60)
    await limits.pushback(60)
    time.pass_by(10)
    await limits.pause()
    await limits.pushback(120)
    status = await limits.status()

    assert (status.paused_since_ms, status.throttled_since_ms) == (START_MS, START_MS)

    await limits.resume(against_partner=True)
    time.pass_by(1)
    await limits.pause()
    status = await limits.status()
    assert (status.paused_since_ms, status.throttled_since_ms) == (time.us // 1000, None)


async def test_a_credentials_hold_lasts_from_the_first_refusal(limits, time):
    """However often they are tried meanwhile."""
    await limits.hold_credentials("old", 2)
    time.pass_by(400)
    await limits.hold_credentials("old", 2)

    assert (await limits.status()).held_since_ms == START_MS
    await limits.clear_credentials()
    assert (await limits.status()).held_since_ms is None
