"""A claim that goes along with the asking for a slot: done in the same round trip if the slot is now, else not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.ledger_desk import LINKED, Desk
from worker.domain.job import ClaimedJob, ClaimRefusal
from worker.domain.states import JobState, Lane
from worker.ledger.working import Claiming
from worker.limits import Closed, Granted, Limits
from worker.limits.timing import Timing

RATE = 10.0


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


@pytest.fixture
def limits(store: redis.asyncio.Redis, desk: Desk) -> Limits:
    return Limits(store, namespace="test", ceiling=RATE, timing=Timing(now_us=lambda: desk.now_ms * 1000))


async def claiming(desk: Desk, job: str) -> Claiming:
    return await desk.ledger.claiming(job, worker_id="w1", lease_s=60)


async def state_of(desk: Desk, job: str) -> JobState:
    record = await desk.ledger.queries.job(job)
    assert record is not None
    return record.state


async def test_a_slot_that_is_now_brings_the_job_with_its_call_begun(desk: Desk, limits: Limits) -> None:
    """One round trip: the job runs under its lease, and a crash from here on leaves a doubt."""
    job, doubtful = [await desk.job_in(JobState.AVAILABLE) for _ in range(2)]
    along = await claiming(desk, job)
    slot = await limits.acquire(Lane.LIVE, along=along)

    assert isinstance(slot, Granted)
    assert isinstance(along.result, ClaimedJob)
    assert (await desk.ledger.settle(along.result.lease, LINKED)).state is JobState.LINKED

    desk.advance(1)
    await limits.acquire(Lane.LIVE, along=await claiming(desk, doubtful))
    desk.advance(61)
    assert (await desk.ledger.rescue()).in_doubt == (doubtful,)


async def test_a_slot_that_is_later_claims_nothing(desk: Desk, limits: Limits) -> None:
    """Whoever waits for the rate holds no lease."""
    job = await desk.job_in(JobState.AVAILABLE)
    await limits.take(Lane.LIVE)
    along = await claiming(desk, job)
    slot = await limits.take(Lane.LIVE, along=along)

    assert isinstance(slot, Granted)
    assert slot.wait_s > 0
    assert along.result is None
    assert await state_of(desk, job) is JobState.AVAILABLE


async def test_where_no_call_may_be_made_nothing_is_claimed(desk: Desk, limits: Limits) -> None:
    """An operator's pause: closed, and the job waits."""
    job = await desk.job_in(JobState.AVAILABLE)
    await limits.pause()
    along = await claiming(desk, job)

    assert isinstance(await limits.acquire(Lane.LIVE, along=along), Closed)
    assert along.result is None
    assert await state_of(desk, job) is JobState.AVAILABLE


async def test_a_job_that_is_not_to_be_had_is_said_to_be_so(desk: Desk, limits: Limits) -> None:
    """The slot was granted and has to be given back: the lane is paused, or somebody else has the job."""
    job = await desk.job_in(JobState.AVAILABLE)
    await desk.ledger.batches.pause("live")
    await desk.ledger.batches.pause("bulk")
    along = await claiming(desk, job)

    assert isinstance(await limits.acquire(Lane.LIVE, along=along), Granted)
    assert along.result is ClaimRefusal.PAUSED

    await desk.ledger.batches.resume("live")
    await desk.ledger.batches.resume("bulk")
    await desk.claim(job)
    desk.advance(1)
    again = await claiming(desk, job)
    await limits.acquire(Lane.LIVE, along=again)
    assert again.result is ClaimRefusal.NOT_AVAILABLE


async def test_a_server_that_lost_its_scripts_costs_a_round_trip_and_no_job(
    desk: Desk, limits: Limits, store: redis.asyncio.Redis
) -> None:
    """The slot stands; the claim, whose scripts are the ledger's to load, is asked for by itself."""
    job = await desk.job_in(JobState.AVAILABLE)
    along = await claiming(desk, job)
    await store.script_flush()

    assert isinstance(await limits.acquire(Lane.LIVE, along=along), Granted)
    assert along.result is None
    assert isinstance(await desk.ledger.claim_and_begin(job, worker_id="w1", lease_s=60), ClaimedJob)
