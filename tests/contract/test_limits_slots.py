"""The slot sequence, on fakeredis and on a real Valkey."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.contract.limits_time import SECOND, START_US, SimulatedTime
from worker.domain.states import Lane
from worker.limits import Closed, ClosedReason, Granted, Limits, LimitsUnavailable, Wait
from worker.limits.timing import Timing

RATE = 25.0
INTERVAL_US = round(SECOND / (0.995 * RATE))


@pytest.fixture
def time():
    return SimulatedTime()


@pytest.fixture
def limits(store, time):
    return Limits(store, namespace="t", ceiling=RATE, timing=time.timing)


async def granted(limits, lane) -> Granted:
    answer = await limits.take(lane)
    assert isinstance(answer, Granted), answer
    return answer


async def flood_live(limits) -> int:
    count = 0
    while isinstance(await limits.take(Lane.LIVE), Granted):
        count += 1
    return count


async def test_the_first_slot_is_now_and_the_next_one_interval_later(limits):
    """Burst 1: even an idle fleet makes two calls no nearer than the rate allows."""
    first, second = await granted(limits, Lane.LIVE), await granted(limits, Lane.LIVE)

    assert (first.slot_us, first.wait_s) == (START_US, 0.0)
    assert second.slot_us - first.slot_us == INTERVAL_US == first.interval_us
    assert second.wait_s == pytest.approx(INTERVAL_US / SECOND)


async def test_live_takes_slots_up_to_a_second_ahead(limits):
    """Further ahead a slot would be a promise that a pause must break."""
    count = await flood_live(limits)

    assert count == 1 + SECOND // INTERVAL_US
    answer = await limits.take(Lane.LIVE)
    assert isinstance(answer, Wait)
    assert 0 < answer.for_s <= INTERVAL_US / SECOND


async def test_bulk_takes_only_what_nobody_else_could_use(limits, time):
    """Bulk waits outside of the sequence, so that a live job finds it short."""
    await granted(limits, Lane.BULK)

    answer = await limits.take(Lane.BULK)
    assert isinstance(answer, Wait)
    assert answer.for_s == pytest.approx(INTERVAL_US / SECOND - 0.020, abs=2e-6)

    time.pass_by(answer.for_s)
    assert (await granted(limits, Lane.BULK)).slot_us == START_US + INTERVAL_US


async def test_bulk_gets_its_tenth_through_a_flood_of_live(limits, time):
    """A flood of live jobs must not stop a backfill for good."""
    bulk = 0
    for _ in range(2000):
        await flood_live(limits)
        bulk += isinstance(await limits.take(Lane.BULK), Granted)
        time.pass_by(0.005)

    assert bulk == pytest.approx(10 * 0.995 * RATE / 10, abs=2)


async def test_idle_time_earns_bulk_no_burst(limits, time):
    """After an idle hour there are no two slots at once for bulk: the second waits for its lead."""
    await granted(limits, Lane.BULK)
    time.pass_by(3600)

    await granted(limits, Lane.BULK)

    assert isinstance(await limits.take(Lane.BULK), Wait)


async def test_the_newest_slot_can_be_given_back(limits):
    """A lost claim costs the fleet nothing."""
    await granted(limits, Lane.LIVE)
    unused = await granted(limits, Lane.LIVE)

    await limits.give_back(unused)

    assert (await granted(limits, Lane.LIVE)).slot_us == unused.slot_us
    assert (await limits.status()).taken == {Lane.LIVE: 2, Lane.BULK: 0}


async def test_a_slot_followed_by_another_is_lost(limits):
    """Later slots are promised: one given back in between must not be given to two."""
    early = await granted(limits, Lane.LIVE)
    late = await granted(limits, Lane.LIVE)

    await limits.give_back(early)
    await limits.give_back(early)

    assert (await granted(limits, Lane.LIVE)).slot_us == late.slot_us + INTERVAL_US


async def test_giving_back_twice_is_once(limits):
    """A lost reply makes callers repeat themselves."""
    unused = await granted(limits, Lane.BULK)
    await limits.give_back(unused)
    taken = await granted(limits, Lane.BULK)

    await limits.give_back(unused)

    assert isinstance(await limits.take(Lane.BULK), Wait)
    assert taken.slot_us == unused.slot_us


async def test_bulk_given_back_keeps_its_claim_on_the_tenth(limits, time):
    """What was not used does not count as bulk's share."""
    await flood_live(limits)
    unused = await granted(limits, Lane.BULK)
    assert isinstance(await limits.take(Lane.BULK), Wait)

    await limits.give_back(unused)

    await granted(limits, Lane.BULK)


async def test_a_clock_stepping_back_does_not_stop_the_fleet(limits, time):
    """A failover to a server an hour behind: slots go on, one interval apart."""
    await granted(limits, Lane.LIVE)
    time.pass_by(-3600)

    answer = await granted(limits, Lane.LIVE)

    assert answer.wait_s <= INTERVAL_US / SECOND


async def test_limits_of_different_names_and_namespaces_are_strangers(store, time):
    """Mail, SMS and the partner have rates of their own; so has the sandbox."""
    for namespace, name in [("t", "partner"), ("t", "email"), ("t-sandbox", "partner")]:
        limits = Limits(store, namespace=namespace, name=name, ceiling=RATE, timing=time.timing)
        assert (await granted(limits, Lane.LIVE)).wait_s == 0

    assert {key.decode() for key in await store.keys("*")} == {
        "{t}:limit:partner",
        "{t}:limit:email",
        "{t-sandbox}:limit:partner",
    }


@pytest.mark.parametrize("ceiling", [0, -1, float("nan"), float("inf")])
async def test_a_rate_must_be_a_positive_number(store, ceiling):
    """A bad setting is told at once, not as a stop of all calls."""
    with pytest.raises(ValueError, match="positive"):
        Limits(store, namespace="t", ceiling=ceiling)


@pytest.mark.parametrize("ceiling", [0.01, 1.0, 3000.0])
async def test_any_rate_keeps_its_interval(store, time, ceiling):
    """From one call in a hundred seconds to thousands a second."""
    limits = Limits(store, namespace="t", ceiling=ceiling, timing=time.timing)

    first = await granted(limits, Lane.LIVE)
    time.us = first.slot_us + first.interval_us

    assert first.interval_us == pytest.approx(SECOND / (0.995 * ceiling), abs=0.51)
    assert (await granted(limits, Lane.LIVE)).slot_us == first.slot_us + first.interval_us


# --- acquire ------------------------------------------------------------------------------------------------


async def test_acquire_returns_at_the_slot(limits, time):
    """The caller makes its call at once: not a millisecond early, not noticeably late."""
    for _ in range(5):
        slot = await limits.acquire(Lane.BULK)
        assert isinstance(slot, Granted)
        assert -1000 <= time.us - slot.slot_us <= 1000


async def test_acquire_looks_at_the_pause_again(limits, time):
    """A pause that came while an asker slept to its slot holds for it too."""
    await flood_live(limits)
    time.pass_by(0.05)

    async def throttle():
        await limits.pushback(30)

    time.during_nap = [throttle]

    assert await limits.acquire(Lane.LIVE) == Closed(
        reason=ClosedReason.PARTNER_THROTTLED, for_s=pytest.approx(30, abs=1)
    )


@pytest.mark.parametrize("guard", ["operator", "breaker", "credentials"])
async def test_every_guard_that_closes_during_the_sleep_is_seen(limits, time, guard):
    """Nobody calls through a guard that closed before his slot came."""
    await flood_live(limits)
    time.pass_by(0.05)

    async def close():
        if guard == "operator":
            await limits.pause()
        elif guard == "credentials":
            await limits.hold_credentials("f", 2)
        else:
            for _ in range(20):
                await limits.note(ok=False, elapsed_s=0.1)

    time.during_nap = [close]

    answer = await limits.acquire(Lane.LIVE)
    assert isinstance(answer, Closed)
    assert answer.reason in {"paused", "breaker_open", "credentials_held"}


async def test_a_short_pause_only_moves_the_slot(limits, time):
    """Half a second is waited for; it is not worth a snooze."""
    await flood_live(limits)
    time.pass_by(0.05)

    async def throttle():
        await limits.pushback(0.5)

    time.during_nap = [throttle]
    answer = await limits.acquire(Lane.LIVE)

    assert isinstance(answer, Granted)
    assert answer.slot_us >= START_US + 0.55 * SECOND
    assert time.us >= answer.slot_us - 1000


async def test_a_late_waker_asks_anew(limits, time):
    """A call more than a quarter interval late would crowd the next one."""
    await flood_live(limits)
    time.pass_by(0.05)

    async def oversleep():
        time.oversleep_s = 0.030

    async def wake_in_time():
        time.oversleep_s = 0.0

    time.during_nap = [oversleep, wake_in_time]
    answer = await limits.acquire(Lane.LIVE)

    assert isinstance(answer, Granted)
    assert abs(time.us - answer.slot_us) <= INTERVAL_US / 4


async def test_a_process_that_is_always_late_still_gets_on(limits, time):
    """A loop that is always slow must not ask for ever: up to one slot late is within the partner's tolerance."""
    time.oversleep_s = 0.015
    await granted(limits, Lane.LIVE)

    answer = await limits.acquire(Lane.LIVE)

    assert isinstance(answer, Granted)
    assert time.us - answer.slot_us <= INTERVAL_US


async def test_stopping_wakes_every_waiter_at_once(store):
    """A draining process gives its slots back and begins nothing more."""
    limits = Limits(store, namespace="t", ceiling=0.5)
    stop = asyncio.Event()
    await limits.take(Lane.LIVE)
    waiters = [asyncio.create_task(limits.acquire(lane, stop=stop)) for lane in [*Lane] * 5]
    while (await limits.status()).taken[Lane.BULK] + sum(w.done() for w in waiters) < 1:
        await asyncio.sleep(0.001)

    stop.set()
    answers = await asyncio.gather(*waiters)

    assert {answer.reason for answer in answers} == {ClosedReason.DRAINING}


async def test_a_stopped_process_asks_for_nothing(limits):
    """Not even for a slot that is free."""
    stop = asyncio.Event()
    stop.set()

    answer = await limits.acquire(Lane.LIVE, stop=stop)

    assert answer == Closed(reason=ClosedReason.DRAINING, for_s=0.0)
    assert (await limits.status()).taken[Lane.LIVE] == 0


async def test_an_asker_may_give_up(limits):
    """Whoever cannot wait is told, and his slot is not lost."""
    await flood_live(limits)
    taken = (await limits.status()).taken

    answers = [await limits.acquire(lane, give_up_s=0.1) for lane in Lane]

    assert {answer.reason for answer in answers} == {ClosedReason.NO_SLOT}
    assert (await limits.status()).taken == taken


async def test_giving_up_ends_in_the_queue_too(store):
    """The turn of another process's asker is not waited for any longer either."""
    limits = Limits(store, namespace="t", ceiling=0.1)
    await limits.take(Lane.BULK)
    first = asyncio.create_task(limits.acquire(Lane.BULK, give_up_s=0.2))
    await asyncio.sleep(0)

    second = await limits.acquire(Lane.BULK, give_up_s=0.01)

    assert second.reason is ClosedReason.NO_SLOT
    assert (await first).reason is ClosedReason.NO_SLOT


async def test_real_time_keeps_the_interval(store):
    """With Redis's own TIME and real naps: 20 calls of 8 askers, none early, the whole as long as it should be."""
    limits = Limits(store, namespace="t", ceiling=100)
    begun: list[float] = []
    loop = asyncio.get_running_loop()

    async def ask():
        while len(begun) < 20:
            assert isinstance(await limits.acquire(Lane.BULK), Granted)
            begun.append(loop.time())

    await asyncio.gather(*(ask() for _ in range(8)))

    assert begun[19] - begun[0] >= 19 * 0.01 - 0.003


async def test_redis_gone_is_one_error(time):
    """Callers know one error, and it names no address."""

    class Broken:
        connection_pool = None

        def register_script(self, text):
            return SimpleNamespace(sha="0", script=text)

        def pipeline(self, **_):
            raise RedisConnectionError("redis://user:secret@host")

        async def hmget(self, *_):
            raise TimeoutError

    limits = Limits(Broken(), namespace="t", ceiling=1, timing=Timing())

    for verb in [
        limits.take(Lane.LIVE),
        limits.acquire(Lane.BULK),
        limits.note(ok=True, elapsed_s=0.1),
        limits.pushback(1),
        limits.obey({}, 429),
        limits.pause(),
        limits.resume(),
        limits.hold_credentials("f", 2),
        limits.clear_credentials(),
        limits.may_probe("f"),
        limits.status(),
    ]:
        with pytest.raises(LimitsUnavailable) as caught:
            await verb
        assert "secret" not in str(caught.value)
