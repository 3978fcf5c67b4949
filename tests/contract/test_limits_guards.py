"""Pushback, breaker, credentials hold and the operator's pause, on fakeredis and on a real Valkey."""

from __future__ import annotations

import pytest

from tests.contract.limits_time import START_US, SimulatedTime
from worker.domain.states import Lane
from worker.limits import (
    BreakerState,
    Closed,
    ClosedReason,
    CredentialsState,
    Granted,
    Limits,
)

CEILING = 20.0


@pytest.fixture
def time():
    return SimulatedTime()


@pytest.fixture
def limits(store, time):
    return Limits(store, namespace="t", ceiling=CEILING, timing=time.timing)


async def why_closed(limits) -> ClosedReason | None:
    answer = await limits.take(Lane.LIVE)
    return answer.reason if isinstance(answer, Closed) else None


# --- pushback -----------------------------------------------------------------------------------------------


async def test_one_processs_pushback_pauses_all(store, time, limits):
    """Promise 8: Retry-After is obeyed by the whole fleet."""
    other = Limits(store, namespace="t", ceiling=CEILING, timing=time.timing)

    await other.pushback(30)

    for lane in Lane:
        assert await limits.take(lane) == Closed(reason=ClosedReason.PARTNER_THROTTLED, for_s=30.0)
    time.pass_by(30)
    assert isinstance(await limits.take(Lane.LIVE), Granted)


async def test_no_burst_follows_a_pause(limits, time):
    """The sequence goes on where the pause ends, one slot after the other."""
    await limits.pushback(30)
    time.pass_by(29.5)

    slots = [await limits.take(Lane.LIVE) for _ in range(3)]

    assert slots[0].slot_us == START_US + 30_000_000
    assert slots[1].slot_us - slots[0].slot_us == slots[0].interval_us


@pytest.mark.parametrize(
    ("told", "pause_s"), [(1e9, 3600), (None, 1), (float("nan"), 1), (float("inf"), 3600)]
)
async def test_a_pause_is_capped_and_has_a_default(limits, told, pause_s):
    """An absurd Retry-After costs an hour, a missing one a second."""
    await limits.pushback(told)

    assert (await limits.status()).paused_until_ms == START_US // 1000 + pause_s * 1000


async def test_a_shorter_pause_does_not_end_a_longer_one(limits, time):
    """Answers come in any order."""
    await limits.pushback(60)
    await limits.pushback(1)

    assert (await limits.status()).paused_until_ms == START_US // 1000 + 60_000


async def test_the_rate_is_halved_once_in_ten_seconds(limits, time):
    """Thirty calls under way are refused together: that is one message, not thirty."""
    for _ in range(30):
        await limits.pushback(0)
    assert (await limits.status()).rate == pytest.approx(CEILING / 2)

    time.pass_by(10)
    await limits.pushback(0)

    assert (await limits.status()).rate == pytest.approx(CEILING * 0.55 / 2)


async def test_the_rate_rises_again_to_the_ceiling_and_not_above(limits, time):
    """+5 % of the ceiling for each clean ten seconds."""
    await limits.pushback(0)

    rates = []
    for _ in range(12):
        time.pass_by(10)
        rates.append((await limits.status()).rate)

    assert rates == pytest.approx([11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 20, 20])
    assert (await limits.take(Lane.LIVE)).interval_us == round(1e6 / (0.995 * CEILING))


async def test_a_pause_earns_no_rise(limits, time):
    """Only seconds in which calls went through are clean."""
    await limits.pushback(60)
    time.pass_by(69)
    assert (await limits.status()).rate == pytest.approx(10)

    time.pass_by(1)

    assert (await limits.status()).rate == pytest.approx(11)


async def test_slow_down_never_becomes_a_stop(limits, time):
    """However long the partner pushes back, some calls go on: only they can find out that it is over."""
    for _ in range(20):
        await limits.pushback(0)
        time.pass_by(10)
    await limits.pushback(0)

    assert (await limits.status()).rate >= CEILING * 0.02


async def test_a_changed_setting_counts_at_once(store, time, limits):
    """A deploy with another rate needs no clearing of anything; a cut is a share of the ceiling."""
    await limits.pushback(0)

    doubled = Limits(store, namespace="t", ceiling=2 * CEILING, timing=time.timing)

    assert (await doubled.status()).rate == pytest.approx(CEILING)


async def test_headers_are_obeyed(limits):
    """A used-up quota pauses without a cut; a 429 does both."""
    await limits.obey({"Content-Type": "application/json"}, 200)
    assert not (await limits.status()).is_throttled

    await limits.obey({"RateLimit": '"x";r=0;t=30'}, 200)
    status = await limits.status()
    assert (status.is_throttled, status.rate) == (True, CEILING)

    await limits.obey({"retry-after": "40"}, 429)
    status = await limits.status()
    assert (status.paused_until_ms, status.rate) == (START_US // 1000 + 40_000, CEILING / 2)


async def test_a_clock_stepping_back_ends_a_pause(limits, time):
    """A pause an hour longer than was ever asked for is the clock's mistake."""
    await limits.pushback(3600)
    time.pass_by(-7200)

    assert isinstance(await limits.take(Lane.LIVE), Granted)


# --- breaker ------------------------------------------------------------------------------------------------


async def fail(limits, times=1):
    return [await limits.note(ok=False, elapsed_s=0.1) for _ in range(times)]


async def succeed(limits, times=1, elapsed_s=0.1):
    return [await limits.note(ok=True, elapsed_s=elapsed_s) for _ in range(times)]


async def opened(limits, time):
    """Trip the breaker and wait until it lets a probe through."""
    await fail(limits, 20)
    time.pass_by(15)


async def test_half_of_twenty_calls_failing_opens_the_breaker(limits, time):
    """Fewer calls, or fewer failures, are no proof."""
    assert await succeed(limits, 10) + await fail(limits, 9) == [None] * 19

    (change,) = await fail(limits)

    assert (change.old, change.new, change.for_s) == ("closed", "open", 15.0)
    assert await limits.take(Lane.LIVE) == Closed(reason=ClosedReason.BREAKER_OPEN, for_s=15.0)
    status = await limits.status()
    assert (status.breaker, status.breaker_until_ms) == (BreakerState.OPEN, START_US // 1000 + 15_000)


async def test_business_answers_keep_the_breaker_closed(limits):
    """A partner that refuses every row is at work."""
    assert await succeed(limits, 100) == [None] * 100


async def test_slow_answers_open_the_breaker(limits):
    """Four in five beyond 5 s."""
    assert await succeed(limits, 4) + await succeed(limits, 15, elapsed_s=5.1) == [None] * 19

    (change,) = await succeed(limits, 1, elapsed_s=5.1)

    assert change.new is BreakerState.OPEN


async def test_the_window_forgets_after_a_minute(limits, time):
    """Yesterday's failures are not today's."""
    await fail(limits, 19)
    time.pass_by(60)

    assert await fail(limits, 19) == [None] * 19


async def test_the_window_slides(limits, time):
    """Failures spread over the minute count together."""
    changes = []
    for _ in range(20):
        changes += await fail(limits)
        time.pass_by(2.5)

    assert changes[:19] == [None] * 19
    assert changes[19].new is BreakerState.OPEN


async def test_one_probe_then_five_close_the_breaker(limits, time):
    """Half open, the partner is tried gently."""
    await opened(limits, time)
    assert (await limits.status()).breaker is BreakerState.HALF_OPEN

    probe = await limits.take(Lane.LIVE)
    assert probe.is_probe
    assert await why_closed(limits) == "breaker_open"

    time.pass_by(0.2)
    assert await succeed(limits) == [None]
    probes = [await limits.take(Lane.LIVE) for _ in range(5)]
    assert all(probe.is_probe for probe in probes)
    assert await why_closed(limits) == "breaker_open"

    *_, change = await succeed(limits, 5)
    assert (change.old, change.new) == ("half_open", "closed")
    assert not (await limits.take(Lane.LIVE)).is_probe


async def test_a_failing_probe_opens_it_for_twice_as_long_up_to_five_minutes(limits, time):
    """A partner that stays down is asked ever less often."""
    await fail(limits, 20)

    lasted = []
    for _ in range(7):
        time.pass_by((await limits.take(Lane.LIVE)).for_s)
        assert (await limits.take(Lane.LIVE)).is_probe
        time.pass_by(0.2)
        (change,) = await fail(limits)
        lasted.append(change.for_s)

    assert lasted == [30, 60, 120, 240, 300, 300, 300]


async def test_breaks_are_jittered(store, time):
    """Several fleets do not come back to the partner at the same instant."""
    timing = SimulatedTime().timing
    limits = Limits(
        store, namespace="t", ceiling=CEILING, timing=type(timing)(now_us=lambda: time.us, chance=lambda: 0.5)
    )

    *_, change = await fail(limits, 20)

    assert change.for_s == pytest.approx(16.5)


async def test_calls_from_before_the_break_prove_nothing(limits, time):
    """A call that began before half open and times out now does not open it again."""
    await opened(limits, time)
    assert (await limits.take(Lane.LIVE)).is_probe
    time.pass_by(1)

    assert await limits.note(ok=False, elapsed_s=15) is None
    assert await limits.note(ok=True, elapsed_s=15) is None

    assert await why_closed(limits) == "breaker_open"


async def test_a_probe_given_back_is_free_again(limits, time):
    """A lost claim must not cost the fleet its only probe."""
    await opened(limits, time)
    probe = await limits.take(Lane.LIVE)

    await limits.give_back(probe)

    assert (await limits.take(Lane.LIVE)).is_probe


async def test_a_probe_that_died_with_its_process_is_replaced(limits, time):
    """Half open must not last for ever."""
    await opened(limits, time)
    await limits.take(Lane.LIVE)

    time.pass_by(60)

    assert (await limits.take(Lane.LIVE)).is_probe
    assert await why_closed(limits) == "breaker_open"


async def test_a_slow_probe_that_answers_is_good(limits, time):
    """A slow partner is to be relieved, not left."""
    await opened(limits, time)
    await limits.take(Lane.LIVE)
    time.pass_by(8)

    await succeed(limits, 1, elapsed_s=8)

    assert (await limits.take(Lane.LIVE)).is_probe


# --- credentials --------------------------------------------------------------------------------------------


async def test_refused_credentials_hold_all_calls_but_the_token_call(limits):
    """Work waits; nothing fails; only a token call can end it."""
    await limits.hold_credentials("old", 2)

    for lane in Lane:
        assert await limits.take(lane) == Closed(reason=ClosedReason.CREDENTIALS_HELD, for_s=300.0)
    assert isinstance(await limits.take(Lane.LIVE, is_token_call=True), Granted)
    status = await limits.status()
    assert (status.credentials, status.credentials_code) == (CredentialsState.HELD, 2)
    assert status.next_try_ms == START_US // 1000 + 300_000


@pytest.mark.parametrize(("code", "wait_s"), [(2, 300), (3, 900)])
async def test_refused_credentials_are_tried_seldom_and_by_one(limits, time, code, wait_s):
    """Too many wrong tries get our address blocked."""
    await limits.hold_credentials("old", code)
    time.pass_by(wait_s - 1)
    assert not await limits.may_probe("old")

    time.pass_by(1)

    assert [await limits.may_probe("old") for _ in range(3)] == [True, False, False]


async def test_changed_credentials_are_tried_at_once_but_once(limits):
    """The operator mended the settings; two processes of a rolling deploy do not try in turns for ever."""
    await limits.hold_credentials("old", 2)

    assert [await limits.may_probe(mark) for mark in ["new", "old", "new"]] == [True, False, False]


async def test_resume_lets_refused_credentials_be_tried_at_once(limits):
    """The partner was mended instead."""
    await limits.hold_credentials("old", 3)

    await limits.resume()

    assert [await limits.may_probe("old") for _ in range(2)] == [True, False]
    assert await why_closed(limits) == "credentials_held"


async def test_a_token_ends_the_hold(limits):
    """Work goes on by itself when the credentials are right."""
    await limits.hold_credentials("old", 2)

    await limits.clear_credentials()

    assert await why_closed(limits) is None
    assert (await limits.status()).credentials is CredentialsState.OK
    assert all([await limits.may_probe("old") for _ in range(3)])


# --- the operator -------------------------------------------------------------------------------------------


async def test_an_operators_pause_lasts_until_he_resumes(limits, time):
    """Days later too."""
    await limits.pause()
    time.pass_by(7 * 86_400)
    assert await why_closed(limits) == "paused"
    status = await limits.status()
    assert (status.is_paused, status.paused_until_ms) == (True, None)

    await limits.resume()

    assert await why_closed(limits) is None


async def test_an_operators_pause_may_have_an_end(limits, time):
    """A maintenance window."""
    await limits.pause(120)
    assert await limits.take(Lane.BULK) == Closed(reason=ClosedReason.PAUSED, for_s=120.0)

    time.pass_by(120)

    assert await why_closed(limits) is None
    assert not (await limits.status()).is_paused


async def test_resume_leaves_the_partners_pause_unless_told(limits):
    """Retry-After is a promise; breaking it takes a word more."""
    await limits.pushback(600)
    await limits.resume()
    assert await why_closed(limits) == "partner_throttled"

    await limits.resume(against_partner=True)

    assert await why_closed(limits) is None


async def test_status_of_a_fresh_limit(limits):
    """Nothing is written before the first call, and nothing is wrong."""
    status = await limits.status()

    assert (status.rate, status.ceiling, status.breaker) == (CEILING, CEILING, BreakerState.CLOSED)
    assert (status.is_paused, status.is_throttled, status.paused_until_ms, status.waiting_s) == (
        False,
        False,
        None,
        0,
    )
    assert (status.credentials, status.credentials_code, status.next_try_ms) == (
        CredentialsState.OK,
        None,
        None,
    )
    assert status.taken == {Lane.LIVE: 0, Lane.BULK: 0}


async def test_a_decoding_client_serves_as_well(time, valkey_url):
    """The ledger's client may decode or not."""
    import redis.asyncio

    client = redis.asyncio.Redis.from_url(valkey_url, decode_responses=True)
    await client.flushall()
    limits = Limits(client, namespace="t", ceiling=CEILING, timing=time.timing)

    await limits.take(Lane.LIVE)

    assert isinstance(await limits.acquire(Lane.LIVE), Granted)
    await client.aclose()
