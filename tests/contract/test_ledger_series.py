"""What happened over time: counted by the moves themselves, read with zeros, bounded and forgotten by itself."""

from __future__ import annotations

import pytest
import redis.asyncio

from tests.contract.ledger_desk import DOUBTFUL, LINKED, SNOOZED, Desk, a_fail, own_fail, retry
from worker.domain.outcome import Fail, FoundOurs, Linked, Refused, Sent, Undelivered
from worker.domain.states import Channel, Lane
from worker.ledger.series import NAMES

pytestmark = pytest.mark.redis


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> Desk:
    return await Desk.open(store)


async def totals(desk: Desk) -> dict[str, int]:
    """Return what the last hour holds, less what did not happen."""
    series = await desk.ledger.series.read(minutes=60, step_min=1)
    return {name: series.total(name) for name in NAMES if series.total(name)}


async def test_a_job_is_counted_where_it_moves(desk: Desk) -> None:
    """Accepted, called, linked, sent: each once, in the minute in which it happened."""
    job = (await desk.accept()).job_ids[0]
    desk.advance(60)
    await desk.end(job, LINKED)
    [delivery] = await desk.ledger.deliveries.of_invitation(job[:-1])
    desk.advance(120)
    lease = await desk.send(delivery.id)
    await desk.ledger.deliveries.settle(lease, Sent(provider_id="1"), can_resend=True)

    series = await desk.ledger.series.read(minutes=60, step_min=1)

    assert series.lines["accepted"][-4:] == [1, 0, 0, 0]
    assert series.lines["calls"][-4:] == [0, 1, 0, 0]
    assert series.lines["linked"][-4:] == [0, 1, 0, 0]
    assert series.lines["sent"][-4:] == [0, 0, 0, 1]
    assert series.lines["sent.email"] == series.lines["sent"]
    assert series.lines["failed"] == [0] * 60
    assert series.step_ms == 60_000
    assert series.start_ms == desk.now_ms // 60_000 * 60_000 - 59 * 60_000


async def test_what_settles_twice_is_counted_once(desk: Desk) -> None:
    """A repeated settle and a repeated accept change no number."""
    job = (await desk.accept()).job_ids[0]
    lease = await desk.call(job)
    await desk.ledger.settle(lease, LINKED)
    await desk.ledger.settle(lease, LINKED)

    assert await totals(desk) == {"accepted": 1, "calls": 1, "linked": 1}


async def test_all_jobs_of_an_invitation_are_accepted_and_a_duplicate_is_not(desk: Desk) -> None:
    """A backfill's chunk is counted in one write."""
    await desk.accept_batch("b", 150)
    first = await desk.accept(claim_key="n:972501234567")
    await desk.accept(claim_key="n:972501234567", fingerprint="another")

    assert first.job_ids
    assert await totals(desk) == {"accepted": 151}


async def test_only_a_true_failure_is_one(desk: Desk) -> None:
    """A retry, a snooze and a doubt are calls that came to nothing yet; a failure and a discard are counted."""
    for outcome in (
        retry(),
        SNOOZED,
        DOUBTFUL,
        Refused(fail=own_fail()),
        Refused(fail=own_fail(), is_discard=True),
    ):
        await desk.end((await desk.accept()).job_ids[0], outcome)

    assert await totals(desk) == {"accepted": 5, "calls": 5, "failed": 1, "dead": 1}


async def test_an_explained_failure_counts_for_its_new_reason_and_not_twice(desk: Desk) -> None:
    """The charts show one failure; each reason's trend shows that jobs came to stand there."""
    job = (await desk.accept()).job_ids[0]
    await desk.end(job, Refused(fail=a_fail("unknown_17")))
    await desk.ledger.explain(job, own_fail("number_not_registered"))

    read = await desk.ledger.series.reasons(hours=24)

    assert (await totals(desk))["failed"] == 1
    assert read.hours[("link", "unknown_17")][-1] == 1
    assert read.hours[("link", "number_not_registered")][-1] == 1


async def test_a_link_found_by_a_look_up_is_a_link(desk: Desk) -> None:
    """Whatever way it came about."""
    job = (await desk.accept()).job_ids[0]
    await desk.end(job, DOUBTFUL)
    await desk.ledger.resolve(job, FoundOurs(linked=Linked(link="https://partner.example/1")), grace_s=0)

    assert (await totals(desk))["linked"] == 1


async def test_a_failed_message_is_counted_by_its_channel_and_reason(desk: Desk) -> None:
    """Failed messages have trends, too."""
    lease = await desk.send(await desk.a_delivery(channels=(Channel.SMS,)))
    fail = Fail(reason="address_refused", reason_class="recipient")
    await desk.ledger.deliveries.settle(lease, Undelivered(fail=fail), can_resend=False)

    series = await desk.ledger.series.read(minutes=60, step_min=1)
    read = await desk.ledger.series.reasons(hours=1)

    assert series.total("delivery_failed") == series.total("delivery_failed.sms") == 1
    assert read.hours == {("delivery", "address_refused"): [1]}


@pytest.mark.parametrize(("minutes", "step_min"), [(60, 1), (24 * 60, 15), (7 * 24 * 60, 60)])
async def test_each_span_holds_all_of_it(desk: Desk, minutes: int, step_min: int) -> None:
    """An hour by minutes, a day by quarters, a week by hours: the first and the last moment are in it."""
    steps = minutes // step_min
    desk.now_ms = desk.now_ms // 3_600_000 * 3_600_000 + 1
    await desk.accept()
    desk.advance((minutes - step_min) * 60)
    await desk.accept()
    await desk.accept()

    series = await desk.ledger.series.read(minutes=minutes, step_min=step_min)

    assert len(series.lines["accepted"]) == steps
    assert (series.lines["accepted"][0], series.lines["accepted"][-1]) == (1, 2)
    assert series.total("accepted") == 3


async def test_what_is_older_than_the_span_is_not_in_it(desk: Desk) -> None:
    """A step further back and it is gone from the picture."""
    await desk.accept()
    desk.advance(3600)

    assert (await desk.ledger.series.read(minutes=60, step_min=1)).total("accepted") == 0
    assert (await desk.ledger.series.read(minutes=120, step_min=1)).total("accepted") == 1
    assert (await desk.ledger.series.read(minutes=24 * 60, step_min=60)).total("accepted") == 1


@pytest.mark.parametrize(
    ("minutes", "step_min"), [(60, 0), (0, 1), (61, 2), (26 * 60, 1), (9 * 24 * 60, 60), (7 * 24 * 60, 15)]
)
async def test_what_is_not_kept_cannot_be_read(desk: Desk, minutes: int, step_min: int) -> None:
    """A zero where nothing is known would be a lie."""
    with pytest.raises(ValueError, match="minutes"):
        await desk.ledger.series.read(minutes=minutes, step_min=step_min)


async def test_it_forgets_by_itself_and_stays_small(desk: Desk, store: redis.asyncio.Redis) -> None:
    """Every key of it expires: minutes after a day, hours after nine."""
    await desk.end((await desk.accept()).job_ids[0], Refused(fail=own_fail()))
    lives = {}
    for prefix in (":sm:", ":sh:", ":sr:"):
        async for key in store.scan_iter(match=f"*{prefix}*"):
            lives[prefix] = await store.ttl(key)

    assert 25 * 3600 < lives[":sm:"] <= 26 * 3600
    assert 8 * 86_400 < lives[":sh:"] <= 9 * 86_400
    assert 8 * 86_400 < lives[":sr:"] <= 9 * 86_400


async def test_an_outsiders_codes_cannot_fill_the_memory(desk: Desk, store: redis.asyncio.Redis) -> None:
    """A day knows some thousands of reasons; those that it knows are counted on."""
    await desk.end((await desk.accept()).job_ids[0], Refused(fail=own_fail("name_refused")))
    [key] = [key async for key in store.scan_iter(match="*:sr:*")]
    await store.hset(key, mapping={f"1:link:made_up_{n}": 1 for n in range(5_000)})
    for reason in ("name_refused", "unknown_4711"):
        await desk.end((await desk.accept()).job_ids[0], Refused(fail=own_fail(reason)))

    read = await desk.ledger.series.reasons(hours=24)

    assert read.hours[("link", "name_refused")][-1] == 2
    assert ("link", "unknown_4711") not in read.hours


async def test_the_lanes_make_no_difference(desk: Desk) -> None:
    """A bulk job is counted as a live one is."""
    await desk.accept_batch("b", 3)
    await desk.drain(Lane.BULK, LINKED)

    assert await totals(desk) == {"accepted": 3, "calls": 3, "linked": 3}
