"""Batches, and the guards that keep a systemic FAIL from draining one into the failed queue."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.ledger_desk import LINKED, Desk, a_fail, own_fail, retry
from worker.domain.outcome import Fail, FoundOurs, Linked, Refused
from worker.domain.states import Channel, JobState, Lane

UNKNOWN = Refused(fail=a_fail())
NOT_REGISTERED = Fail(reason="number_not_registered", reason_class="not_registered", is_own_data=True)
OWN = Refused(fail=own_fail())


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


async def held(desk: Desk) -> dict[str, str]:
    """Return what is held, and why."""
    return {target: hold.reason for target, hold in (await desk.ledger.batches.holds()).items()}


# --- batches -----------------------------------------------------------------------------------------------


async def test_a_batch_tells_what_became_of_its_rows(desk: Desk) -> None:
    """Counts by state, and of rows that never became jobs."""
    await desk.ledger.batches.open("b", name="May.csv", source="csv", by="dana", total=9)
    jobs = await desk.accept_batch("b", 3)
    await desk.ledger.batches.add_counts("b", rejected=2, duplicates=1)
    await desk.end(jobs[0], LINKED)
    desk.advance(5)
    await desk.ledger.batches.close("b")
    batch = await desk.ledger.batches.get("b")

    assert batch is not None
    assert (batch.name, batch.source, batch.by, batch.total) == ("May.csv", "csv", "dana", 9)
    assert (batch.accepted, batch.rejected, batch.duplicates) == (3, 2, 1)
    assert batch.closed_at_ms == desk.now_ms
    assert {state: n for state, n in batch.jobs.items() if n} == {
        JobState.AVAILABLE: 2,
        JobState.LINKED: 1,
    }


async def test_opening_a_batch_again_changes_nothing(desk: Desk) -> None:
    """A resumed run goes on with the batch it began."""
    await desk.ledger.batches.open("b", name="May.csv", source="csv", by="dana")
    desk.advance(5)
    await desk.ledger.batches.open("b", name="other", source="csv", by="eve", total=4)
    batch = await desk.ledger.batches.get("b")

    assert batch is not None
    assert (batch.name, batch.by, batch.total) == ("May.csv", "dana", 4)


async def test_batches_are_listed_newest_first(desk: Desk) -> None:
    """Also one that was never opened, only used."""
    for name in ("a", "b"):
        await desk.ledger.batches.open(name, name=name, source="csv", by="dana")
        desk.advance(1)
    await desk.accept_batch("c", 1)

    assert [batch.id for batch in await desk.ledger.batches.all(2)] == ["c", "b"]
    assert await desk.ledger.batches.get("nobody") is None


async def test_batches_are_listed_page_by_page(desk: Desk) -> None:
    """A page goes on behind the last one's batch, also where newer ones have come in between."""
    for name in ("a", "b", "c"):
        await desk.ledger.batches.open(name, name=name, source="csv", by="dana")
        desk.advance(1)

    first = await desk.ledger.batches.page(limit=2)
    await desk.ledger.batches.open("d", name="d", source="csv", by="dana")
    second = await desk.ledger.batches.page(cursor=first.next, limit=2)

    assert ([batch.id for batch in first.items], first.next, first.total) == (["c", "b"], "b", 3)
    assert ([batch.id for batch in second.items], second.next, second.total) == (["a"], None, 4)
    with pytest.raises(ValueError, match="cursor"):
        await desk.ledger.batches.page(cursor="nowhere")


async def test_a_batch_s_jobs_come_in_the_order_of_the_file(desk: Desk) -> None:
    """What a report is written from."""
    jobs = await desk.accept_batch("b", 7)

    assert await desk.ledger.batches.job_ids("b", 2, 3) == jobs[2:5]
    assert await desk.ledger.batches.job_ids("b", 7, 3) == []


async def test_cancelling_a_batch_spares_what_is_made(desk: Desk) -> None:
    """Waiting jobs end, running ones are marked, links stay; twice has the effect of once."""
    jobs = await desk.accept_batch("b", 120)
    await desk.end(jobs[0], LINKED)
    lease = await desk.call(jobs[1])
    first = await desk.ledger.batches.cancel("b", by="dana", why="wrong file")
    second = await desk.ledger.batches.cancel("b", by="dana", why="wrong file")
    settled = await desk.ledger.settle(lease, retry())

    assert (first.cancelled, first.running) == (118, 1)
    assert (second.cancelled, second.running) == (0, 1)
    assert settled.state is JobState.CANCELLED
    assert await desk.state(jobs[0]) is JobState.LINKED


# --- pauses ------------------------------------------------------------------------------------------------


async def test_pauses_are_listed_until_they_are_over(desk: Desk) -> None:
    """`all` means both lanes."""
    await desk.ledger.batches.pause("all")
    await desk.ledger.batches.pause("batch:b")
    assert await desk.ledger.batches.pauses() == {"live", "bulk", "batch:b"}
    await desk.ledger.batches.resume("all")

    assert await desk.ledger.batches.pauses() == {"batch:b"}


async def test_a_paused_channel_begins_no_message_and_loses_none(desk: Desk) -> None:
    """Neither a new one is rung for, nor is one taken whose bell is out; jobs and the other channel go on."""
    rung, waiting = await desk.a_delivery(), await desk.a_delivery()
    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=1) == [rung]
    await desk.ledger.batches.pause("channel:email", by="dana", why="the mail server moves")

    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=10, rering_after_s=0) == []
    assert await desk.ledger.deliveries.claim(rung, worker_id="w1", lease_s=60) is None
    assert await desk.ledger.batches.pauses() == {"channel:email"}
    await desk.claim((await desk.accept()).job_ids[0])
    await desk.ledger.batches.resume("channel:email", by="dana")

    assert set(await desk.ledger.deliveries.due(Channel.EMAIL, want=10)) == {waiting, rung}
    assert await desk.ledger.deliveries.claim(rung, worker_id="w1", lease_s=60) is not None
    acts = await desk.ledger.trail.find(subject="channel:email")
    assert {entry.act for entry in acts.items} == {"pause", "resume"}


async def test_a_target_that_is_none_is_refused(desk: Desk) -> None:
    """A typing mistake must not look like a pause."""
    for target in ("bluk", "channel:pigeon", "channel:"):
        with pytest.raises(ValueError, match="neither"):
            await desk.ledger.batches.pause(target)


# --- holds -------------------------------------------------------------------------------------------------


async def test_five_equal_fails_hold_the_batch(desk: Desk) -> None:
    """A partner that FAILs everything costs the canary, and nothing more."""
    await desk.accept_batch("b", 50)
    failed = await desk.drain(Lane.BULK, UNKNOWN)

    assert len(failed) == 5
    assert await held(desk) == {"batch:b": "unknown_17"}
    assert await desk.ledger.feed(Lane.BULK, want=50) == []
    hold = (await desk.ledger.batches.holds())["batch:b"]
    assert (hold.count, hold.since_ms) == (45, desk.now_ms)


@pytest.mark.parametrize("between", [LINKED, OWN, Refused(fail=a_fail("unknown_18"))])
async def test_another_ending_breaks_the_row(desk: Desk, between: Linked | Refused) -> None:
    """A link, a row's own mistake or another FAIL: the partner does not fail everything."""
    await desk.accept_batch("b", 50)
    rung = await desk.ledger.feed(Lane.BULK, want=50)
    for job, outcome in zip(rung, [UNKNOWN] * 4 + [between], strict=True):
        await desk.end(job, outcome)

    assert await held(desk) == {}


async def test_rows_at_fault_themselves_hold_nothing(desk: Desk) -> None:
    """Five bad rows say nothing about the sixth."""
    await desk.accept_batch("b", 50)
    await desk.drain(Lane.BULK, OWN)

    assert await held(desk) == {}


async def test_a_retry_neither_breaks_nor_lengthens_the_row(desk: Desk) -> None:
    """Only endings of jobs count."""
    await desk.accept_batch("b", 50)
    await desk.drain(Lane.BULK, retry())

    assert await held(desk) == {}


async def test_tries_used_up_in_a_row_hold_too(desk: Desk) -> None:
    """A partner that is down does not drain a batch either."""
    await desk.accept_batch("b", 50)
    await desk.drain(Lane.BULK, retry(max_failures=1))

    assert await held(desk) == {"batch:b": "partner_unreachable"}


async def test_what_is_in_flight_when_the_hold_comes_goes_back(desk: Desk) -> None:
    """The answer proves that no link was made: the job waits instead of failing."""
    await desk.accept_batch("b", 50)
    await desk.drain(Lane.BULK, LINKED)
    rung = await desk.ledger.feed(Lane.BULK, want=50)
    leases = [await desk.call(job) for job in rung]
    states = [(await desk.ledger.settle(lease, UNKNOWN)).state for lease in leases]

    assert states == [JobState.FAILED] * 5 + [JobState.AVAILABLE] * 5


async def test_another_reason_still_fails_behind_a_hold(desk: Desk) -> None:
    """A hold is for its reason alone."""
    await desk.accept_batch("b", 50)
    await desk.drain(Lane.BULK, LINKED)
    leases = [await desk.call(job) for job in await desk.ledger.feed(Lane.BULK, want=50)]
    for lease in leases[:5]:
        await desk.ledger.settle(lease, UNKNOWN)

    assert (await desk.ledger.settle(leases[5], OWN)).state is JobState.FAILED
    assert await held(desk) == {"batch:b": "unknown_17"}


async def test_a_job_sent_back_by_a_hold_is_cancelled_if_that_was_asked_for(desk: Desk) -> None:
    """It would have been rescheduled."""
    await desk.accept_batch("b", 50)
    await desk.drain(Lane.BULK, LINKED)
    leases = [await desk.call(job) for job in await desk.ledger.feed(Lane.BULK, want=50)]
    for lease in leases[:5]:
        await desk.ledger.settle(lease, UNKNOWN)
    await desk.ledger.cancel(leases[5].subject_id, by="dana", why="mistake")

    assert (await desk.ledger.settle(leases[5], UNKNOWN)).state is JobState.CANCELLED


async def test_one_bad_file_does_not_stop_its_neighbours(desk: Desk) -> None:
    """Its batch is held; the lane is not, until the same FAIL shows elsewhere."""
    await desk.accept_batch("b", 50)
    await desk.drain(Lane.BULK, UNKNOWN)
    [other, *_] = await desk.accept_batch("c", 50)
    assert await held(desk) == {"batch:b": "unknown_17"}
    await desk.end(other, UNKNOWN)

    assert await held(desk) == {"batch:b": "unknown_17", "bulk": "unknown_17"}


async def test_five_equal_fails_hold_the_live_lane(desk: Desk) -> None:
    """Customers one at a time wait behind the hold as well, the sixth included."""
    jobs = [(await desk.accept()).job_ids[0] for _ in range(6)]
    states = [(await desk.ledger.settle(await desk.call(job), UNKNOWN)).state for job in jobs[:5]]

    assert states == [JobState.FAILED] * 5
    assert await held(desk) == {"live": "unknown_17"}
    lanes = await desk.ledger.queries.lanes()
    assert (lanes[Lane.LIVE].waiting, lanes[Lane.LIVE].held) == (1, "unknown_17")


async def test_a_cleared_hold_begins_with_a_canary(desk: Desk) -> None:
    """However far the batch had come."""
    await desk.accept_batch("b", 80)
    for _ in range(3):
        await desk.drain(Lane.BULK, LINKED)
    await desk.ledger.batches.hold("batch:b", "by_hand")
    assert await desk.ledger.feed(Lane.BULK, want=50) == []

    assert await desk.ledger.batches.clear_hold("batch:b")
    assert not await desk.ledger.batches.clear_hold("batch:b")
    assert len(await desk.ledger.feed(Lane.BULK, want=50)) == 5


async def test_a_cleared_lane_begins_with_a_canary_and_grows_out_of_it(desk: Desk) -> None:
    """Live jobs are rung at once again after a hundred endings."""
    await desk.ledger.batches.hold("live", "by_hand")
    await desk.ledger.batches.clear_hold("live")
    for _ in range(110):
        await desk.accept()
    assert len(await desk.ledger.feed(Lane.LIVE, want=50)) == 5
    desk.advance(11)
    while await desk.drain(Lane.LIVE, LINKED):
        pass

    assert (await desk.accept()).ring != ()


async def test_a_hold_explained_away_is_cleared(desk: Desk) -> None:
    """All of its evidence was the rows' own data: nothing is wrong with the partner."""
    await desk.accept_batch("b", 50)
    failed = await desk.drain(Lane.BULK, UNKNOWN)
    for job in failed[:4]:
        await desk.ledger.explain(job, NOT_REGISTERED)
    assert await held(desk) == {"batch:b": "unknown_17"}
    await desk.ledger.explain(failed[4], FoundOurs(linked=LINKED))

    assert await held(desk) == {}
    assert len(await desk.ledger.feed(Lane.BULK, want=50)) == 5


async def test_a_hold_is_cleared_though_one_of_its_rows_was_mended_by_hand(desk: Desk) -> None:
    """A row that somebody edited, requeued or gave up no longer stands in the way of the look-up's word."""
    await desk.accept_batch("b", 50)
    mended, *others = await desk.drain(Lane.BULK, UNKNOWN)
    await desk.ledger.discard(mended, by="cli:dana", why="no customer of ours")
    for job in others:
        await desk.ledger.explain(job, NOT_REGISTERED)

    assert await held(desk) == {}


async def test_a_hold_knows_what_its_fails_were_explained_as(desk: Desk) -> None:
    """Looked up and not; and nothing of it is left to the next hold."""
    await desk.accept_batch("b", 50)
    failed = await desk.drain(Lane.BULK, UNKNOWN)
    fresh = await desk.ledger.batches.outlook("batch:b")
    for job in failed[:3]:
        await desk.ledger.explain(job, NOT_REGISTERED)
    await desk.ledger.explain(failed[3], UNKNOWN.fail)
    partly = await desk.ledger.batches.outlook("batch:b")
    await desk.ledger.batches.clear_hold("batch:b")
    after = await desk.ledger.batches.outlook("batch:b")

    assert (fresh.standing, fresh.is_explaining, fresh.explained) == (5, True, {})
    assert (partly.standing, partly.looked_up, partly.is_explaining) == (2, 1, False)
    assert partly.explained == {"number_not_registered": 3}
    assert (after.standing, after.explained) == (0, {})


async def test_a_hold_stands_while_one_fail_is_not_the_row_s_own(desk: Desk) -> None:
    """Something may still be wrong for all."""
    await desk.accept_batch("b", 50)
    failed = await desk.drain(Lane.BULK, UNKNOWN)
    systemic = Fail(reason="account_blocked", reason_class="credentials")
    for job in failed[:4]:
        await desk.ledger.explain(job, NOT_REGISTERED)
    await desk.ledger.explain(failed[4], systemic)

    assert await held(desk) == {"batch:b": "unknown_17"}


async def test_a_requeued_batch_meets_the_hold_again(desk: Desk) -> None:
    """Cleared too early, the canary pays and the hold is back: at most ten of five thousand fail."""
    await desk.accept_batch("b", 200)
    await desk.drain(Lane.BULK, UNKNOWN)
    await desk.ledger.batches.clear_hold("batch:b")
    await desk.drain(Lane.BULK, UNKNOWN)

    assert await held(desk) == {"batch:b": "unknown_17"}
    assert (await desk.ledger.queries.counts())[JobState.FAILED] == 10
