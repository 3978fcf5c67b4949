"""An act that does not move, or would not, says what it waits for, and how it goes on."""

from __future__ import annotations

import pytest
import redis.asyncio

from tests.contract.acts_desk import DANA, driven
from tests.contract.ledger_desk import Desk, retry
from worker.domain.act import Act
from worker.domain.reasons import Catalogue
from worker.domain.states import JobState, Lane
from worker.limits import Limits
from worker.ops.acts import Acts


@pytest.fixture
async def desk(fake_redis: redis.asyncio.Redis) -> Desk:
    return await Desk.open(fake_redis)


@pytest.fixture
def limits(fake_redis: redis.asyncio.Redis) -> Limits:
    return Limits(fake_redis, namespace="test", name="partner", ceiling=5)


@pytest.fixture
def acts(desk: Desk, limits: Limits) -> Acts:
    return Acts(desk.ledger, limits, Catalogue.shipped())


async def test_an_act_says_what_it_waits_for(desk: Desk, acts: Acts, limits: Limits) -> None:
    """No worker, paused calls, a held lane: an operator is not left to wonder why nothing moves."""
    jobs = [await desk.job_in(JobState.FAILED) for _ in range(6)]
    document = await driven(acts, (await acts.preview_ids(Act.REQUEUE, jobs, by=DANA))["act_id"])
    waits = [document["waits_for"]]
    await desk.ledger.fleet.beat("w1", {}, 60)
    await desk.ledger.batches.hold(Lane.BULK, "unknown_17")
    waits.append((await acts.get(str(document["act_id"])) or {})["waits_for"])
    await limits.pause(None)
    waits.append((await acts.get(str(document["act_id"])) or {})["waits_for"])

    assert [each["code"] for each in waits] == [
        "act_waits_no_worker",
        "act_waits_lane_held",
        "act_waits_paused",
    ]


async def test_a_preview_says_what_its_calls_would_wait_for(desk: Desk, acts: Acts, limits: Limits) -> None:
    """The time at the present rate is no promise where no call is made; what needs none waits for nobody."""
    jobs = [await desk.job_in(JobState.FAILED) for _ in range(6)]
    nobody_works = await acts.preview_ids(Act.REQUEUE, jobs, by=DANA)
    await desk.ledger.fleet.beat("w1", {}, 60)
    free = await acts.preview_ids(Act.REQUEUE, jobs, by=DANA)
    await limits.pause(None)
    paused = await acts.preview_ids(Act.REQUEUE, jobs, by=DANA)
    of_nothing = await acts.preview_ids(Act.REQUEUE, ["gone"], by=DANA)
    discard = await acts.preview_ids(Act.DISCARD, jobs, by=DANA)

    assert nobody_works["waits_for"]["code"] == "act_waits_no_worker"
    assert free["waits_for"] is None
    assert paused["waits_for"]["code"] == "act_waits_paused"
    assert of_nothing["waits_for"] is None
    assert discard["waits_for"] is None


async def test_an_act_behind_a_stopped_batch_says_which_and_how_it_goes_on(
    desk: Desk, acts: Acts, fake_redis: redis.asyncio.Redis
) -> None:
    """Its canary is queued behind the batch's pause or hold: nothing moves, and nothing is wrong with the lane."""
    await desk.ledger.fleet.beat("w1", {}, 60)
    await desk.ledger.batches.open("b7", name="november.csv", source="csv", by=DANA)
    jobs = [await desk.job_in(JobState.FAILED, lane=Lane.BULK, batch_id="b7") for _ in range(7)]
    await desk.ledger.batches.pause("batch:b7")
    act_id = str(
        (await driven(acts, (await acts.preview_ids(Act.REQUEUE, jobs, by=DANA))["act_id"]))["act_id"]
    )

    paused = (await acts.get(act_id) or {})["waits_for"]
    await desk.ledger.batches.resume("batch:b7")
    freed = (await acts.get(act_id) or {})["waits_for"]
    await desk.ledger.batches.hold("batch:b7", "unknown_17")
    held = (await acts.get(act_id) or {})["waits_for"]

    assert paused["text"] == (
        "Batch november.csv is paused by an operator. Go on with: linkferry batch resume b7"
    )
    assert freed is None
    assert held["text"].startswith("Batch november.csv is held, because its calls fail alike (unknown_17).")
    assert held["text"].endswith("linkferry batch resume b7")


async def test_an_act_of_few_says_that_their_own_lane_is_stopped(desk: Desk, acts: Acts) -> None:
    """They wait where they were, not in the bulk lane."""
    await desk.ledger.fleet.beat("w1", {}, 60)
    jobs = [await desk.job_in(JobState.FAILED, lane=Lane.LIVE) for _ in range(2)]
    await desk.ledger.batches.pause(Lane.LIVE)
    document = await driven(acts, (await acts.preview_ids(Act.REQUEUE, jobs, by=DANA))["act_id"])

    assert document["waits_for"]["text"].endswith("linkferry resume --lane live")


async def test_messages_wait_for_their_channel_and_never_for_the_partner(
    desk: Desk, acts: Acts, limits: Limits
) -> None:
    """They need no call: that calls are paused keeps none of them."""
    await desk.ledger.fleet.beat("w1", {}, 60)
    message = await desk.a_failed_message()
    await limits.pause(None)
    act_id = str((await acts.preview_ids(Act.REQUEUE, [message], by=DANA))["act_id"])
    free = (await driven(acts, act_id))["waits_for"]
    await desk.ledger.batches.pause("channel:email")
    paused = (await acts.get(act_id) or {})["waits_for"]

    assert free is None
    assert paused["text"].endswith("linkferry resume --channel email")


async def test_an_act_whose_jobs_try_again_says_when(desk: Desk, acts: Acts) -> None:
    """The partner was down for a moment: the canary is put off, and nobody has to do anything."""
    await desk.ledger.fleet.beat("w1", {}, 60)
    jobs = [await desk.job_in(JobState.FAILED) for _ in range(2)]
    act_id = str((await acts.preview_ids(Act.REQUEUE, jobs, by=DANA))["act_id"])
    await driven(acts, act_id)
    for job in jobs:
        await desk.end(job, retry(90))
    waits = (await acts.get(act_id) or {})["waits_for"]

    assert waits["code"] == "act_waits_retry"
    assert waits["params"]["due_at"] is not None
