"""Feeding: whose bell is rung, how many at once, and in whose turn."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.ledger_desk import LINKED, SNOOZED, Desk
from worker.domain.job import ClaimRefusal
from worker.domain.states import JobState, Lane


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


async def test_no_more_bells_than_wanted_are_outstanding(desk: Desk) -> None:
    """What was rung and is not claimed yet counts."""
    jobs = [(await desk.accept(lane=Lane.BULK)).job_ids[0] for _ in range(5)]

    assert await desk.ledger.feed(Lane.BULK, want=3) == jobs[:3]
    assert await desk.ledger.feed(Lane.BULK, want=3) == []
    await desk.claim(jobs[0])
    assert await desk.ledger.feed(Lane.BULK, want=3) == [jobs[3]]


async def test_a_lost_bell_is_rung_again(desk: Desk) -> None:
    """What nobody claimed in time is rung again, and counts again."""
    jobs = [(await desk.accept(lane=Lane.BULK)).job_ids[0] for _ in range(3)]
    await desk.ledger.feed(Lane.BULK, want=2)
    desk.advance(11)

    assert await desk.ledger.feed(Lane.BULK, want=2) == jobs[:2]
    assert await desk.ledger.feed(Lane.BULK, want=2) == []


async def test_a_job_handed_back_is_first_again(desk: Desk) -> None:
    """Its place in the queue is by its due time."""
    jobs = [(await desk.accept(lane=Lane.BULK)).job_ids[0] for _ in range(2)]
    await desk.ledger.feed(Lane.BULK, want=1)
    await desk.ledger.hand_back(jobs[0])

    assert await desk.ledger.feed(Lane.BULK, want=1) == [jobs[0]]


async def test_handing_back_what_runs_changes_nothing(desk: Desk) -> None:
    """A bell that was claimed meanwhile is nobody's to hand back."""
    job = await desk.job_in(JobState.RUNNING)
    await desk.ledger.hand_back(job)

    assert await desk.state(job) is JobState.RUNNING


async def test_two_batches_share_the_lane(desk: Desk) -> None:
    """The batch that came second is served as much as the first."""
    first = await desk.accept_batch("a", 20)
    await desk.accept_batch("b", 20)
    rung = await desk.ledger.feed(Lane.BULK, want=6)

    assert len(set(rung) & set(first)) == 3


async def test_two_batches_are_rung_one_after_the_other(desk: Desk) -> None:
    """Bells are answered in their order: none waits behind the other's whole share."""
    first = await desk.accept_batch("a", 20)
    await desk.accept_batch("b", 20)
    rung = await desk.ledger.feed(Lane.BULK, want=8)

    assert [job in first for job in rung] in ([True, False] * 4, [False, True] * 4)


async def test_batches_take_turns_even_one_bell_at_a_time(desk: Desk) -> None:
    """With room for one bell, the batches are served in turn."""
    first = await desk.accept_batch("a", 4)
    await desk.accept_batch("b", 4)
    turns = []
    for _ in range(4):
        [job] = await desk.ledger.feed(Lane.BULK, want=1)
        turns.append(job in first)
        await desk.end(job, LINKED)

    assert sorted(turns[:2]) == sorted(turns[2:]) == [False, True]


async def test_the_odd_bell_is_another_batch_s_each_time(desk: Desk) -> None:
    """With room for three bells again and again, neither of two batches gets the third each time."""
    first = await desk.accept_batch("a", 20)
    await desk.accept_batch("b", 20)
    rung_of_first = []
    for _ in range(4):
        rung = await desk.ledger.feed(Lane.BULK, want=3)
        rung_of_first.append(len(set(rung) & set(first)))
        for job in rung:
            await desk.end(job, LINKED)

    assert sorted(rung_of_first[:2]) == sorted(rung_of_first[2:]) == [1, 2]


async def test_room_that_one_batch_leaves_goes_to_the_other(desk: Desk) -> None:
    """A short batch does not waste its share."""
    await desk.accept_batch("a", 1)
    await desk.accept(lane=Lane.BULK)
    jobs = [(await desk.accept(lane=Lane.BULK)).job_ids[0] for _ in range(9)]
    rung = await desk.ledger.feed(Lane.BULK, want=10)

    assert len(rung) == 10
    assert len(set(rung) & set(jobs)) == 8


async def test_a_batch_begins_with_a_canary_of_five(desk: Desk) -> None:
    """No more than five calls are risked until five have ended; then twice what has ended."""
    await desk.accept_batch("a", 60)
    rung = await desk.ledger.feed(Lane.BULK, want=50)
    for job in rung[:4]:
        await desk.end(job, LINKED)
    after_four = await desk.ledger.feed(Lane.BULK, want=50)
    await desk.end(rung[4], LINKED)
    after_five = await desk.ledger.feed(Lane.BULK, want=50)

    assert (len(rung), len(after_four), len(after_five)) == (5, 4, 6)


async def test_a_running_job_counts_for_the_canary(desk: Desk) -> None:
    """Claimed jobs are in flight as rung ones are."""
    await desk.accept_batch("a", 20)
    for job in await desk.ledger.feed(Lane.BULK, want=50):
        await desk.claim(job)

    assert await desk.ledger.feed(Lane.BULK, want=50) == []


async def test_a_snooze_proves_nothing_to_the_canary(desk: Desk) -> None:
    """Only attempts that ended let the batch grow."""
    await desk.accept_batch("a", 20)
    await desk.drain(Lane.BULK, SNOOZED)

    assert len(await desk.ledger.feed(Lane.BULK, want=50)) == 5


@pytest.mark.parametrize("target", ["bulk", "all", "batch:a"])
async def test_what_is_paused_is_not_rung(desk: Desk, target: str) -> None:
    """A pause of the lane or of the batch stops its bells until it is resumed."""
    jobs = await desk.accept_batch("a", 3)
    await desk.ledger.batches.pause(target)

    assert await desk.ledger.feed(Lane.BULK, want=10) == []
    await desk.ledger.batches.resume(target)
    assert await desk.ledger.feed(Lane.BULK, want=10) == jobs


async def test_a_paused_batch_does_not_stop_its_neighbour(desk: Desk) -> None:
    """A hundred and more stopped batches do not hide the one that may go."""
    for number in range(105):
        await desk.accept_batch(f"a{number}", 1)
        await desk.ledger.batches.pause(f"batch:a{number}")
    [job] = await desk.accept_batch("z", 1)
    rung = [*await desk.ledger.feed(Lane.BULK, want=10), *await desk.ledger.feed(Lane.BULK, want=10)]

    assert rung == [job]


async def test_a_bell_of_a_batch_paused_since_leads_back_to_the_queue(desk: Desk) -> None:
    """The claim refuses, and the job is rung when the pause is over."""
    [job] = await desk.accept_batch("a", 1)
    await desk.ledger.feed(Lane.BULK, want=1)
    await desk.ledger.batches.pause("batch:a")

    assert await desk.ledger.claim(job, worker_id="w1", lease_s=60) is ClaimRefusal.PAUSED
    assert await desk.state(job) is JobState.AVAILABLE
    await desk.ledger.batches.resume("batch:a")
    assert await desk.ledger.feed(Lane.BULK, want=1) == [job]


async def test_a_lost_bell_of_a_paused_batch_is_not_rung_again(desk: Desk) -> None:
    """It goes back to its queue instead, and leaves its room to others."""
    [job] = await desk.accept_batch("a", 1)
    await desk.ledger.feed(Lane.BULK, want=1)
    await desk.ledger.batches.pause("batch:a")
    desk.advance(11)
    [other] = await desk.accept_batch("b", 1)

    assert await desk.ledger.feed(Lane.BULK, want=1) == [other]
    assert await desk.state(job) is JobState.AVAILABLE


async def test_a_held_lane_refuses_claims(desk: Desk) -> None:
    """A hold is as good as a pause, and says so."""
    receipt = await desk.accept()
    await desk.ledger.batches.hold("live", "credentials_refused")

    refusal = await desk.ledger.claim(receipt.job_ids[0], worker_id="w1", lease_s=60)
    assert refusal is ClaimRefusal.HELD


async def test_scheduled_jobs_become_available_at_their_time(desk: Desk) -> None:
    """Promotion moves what is due, and no more than asked for."""
    jobs = [await desk.job_in(JobState.SCHEDULED, lane=Lane.BULK) for _ in range(3)]
    assert await desk.ledger.promote() == 0
    desk.advance(61)

    assert await desk.ledger.promote(limit=2) == 2
    assert await desk.ledger.promote() == 1
    assert sorted(await desk.ledger.feed(Lane.BULK, want=10)) == sorted(jobs)
