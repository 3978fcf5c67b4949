"""Batches to their end: what fails by reason, what a cancel leaves alone, what is ahead, each row with its messages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.ledger_desk import DOUBTFUL, LINKED, SNOOZED, Desk, a_fail, own_fail
from tests.factories import a_request, an_invitation
from worker.domain.job import Verdict
from worker.domain.outcome import Absent, Fail, Refused
from worker.domain.request import Product
from worker.domain.states import Channel, DeliveryState, JobState, Lane

OWN = Refused(fail=own_fail())


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


async def failures(desk: Desk, batch: str = "b") -> dict[str, int]:
    record = await desk.ledger.batches.get(batch)
    assert record is not None
    return record.failures


# --- failures by reason ------------------------------------------------------------------------------------


async def test_a_batch_counts_its_failed_jobs_by_reason(desk: Desk) -> None:
    """The most frequent first; another batch's and those of no batch are not among them."""
    jobs = await desk.accept_batch("b", 4)
    [other] = await desk.accept_batch("c", 1)
    for job in (*jobs[:2], other):
        await desk.end(job, OWN)
    await desk.end(jobs[2], Refused(fail=a_fail("unknown_17")))
    await desk.job_in(JobState.FAILED)

    assert list((await failures(desk)).items()) == [("name_refused", 2), ("unknown_17", 1)]
    assert await failures(desk, "c") == {"name_refused": 1}


async def test_a_failed_job_leaves_its_reason_s_count_with_its_state(desk: Desk) -> None:
    """Explained it is counted under its better reason; requeued, discarded or linked under none."""
    jobs = await desk.accept_batch("b", 3)
    for job in jobs:
        await desk.end(job, Refused(fail=a_fail("unknown_17")))
    await desk.ledger.explain(
        jobs[0], Fail(reason="number_not_registered", reason_class="not_registered", is_own_data=True)
    )
    assert await failures(desk) == {"unknown_17": 2, "number_not_registered": 1}

    await desk.requeue(jobs[0])
    await desk.requeue(jobs[1])
    await desk.ledger.discard(jobs[2], by="dana", why="no")

    assert await failures(desk) == {}


# --- a cancel ----------------------------------------------------------------------------------------------


async def test_a_cancel_tells_later_what_came_of_the_calls_it_left_alone(desk: Desk) -> None:
    """One got through, one would have been tried again, one still runs, one is in doubt."""
    jobs = await desk.accept_batch("b", 6)
    leases = [await desk.call(job) for job in jobs[:4]]
    await desk.ledger.settle(leases[3], DOUBTFUL)
    ending = await desk.ledger.batches.cancel("b", by="dana", why="wrong list")
    assert (ending.cancelled, ending.running, ending.in_doubt) == (2, 3, 1)

    await desk.ledger.settle(leases[0], LINKED)
    await desk.ledger.settle(leases[1], SNOOZED)

    assert await desk.ledger.batches.spared("b") == {
        JobState.LINKED: 1,
        JobState.CANCELLED: 1,
        JobState.RUNNING: 1,
        JobState.IN_DOUBT: 1,
    }
    again = await desk.ledger.batches.cancel("b", by="dana", why="wrong list")
    assert (again.cancelled, again.running, again.in_doubt) == (0, 1, 1)
    assert await desk.ledger.batches.spared("nobody") == {}


async def test_a_job_in_doubt_of_a_cancelled_batch_is_not_tried_again(desk: Desk) -> None:
    """Proven absent, it is cancelled instead."""
    [job] = await desk.accept_batch("b", 1)
    await desk.end(job, DOUBTFUL)
    await desk.ledger.batches.cancel("b", by="dana", why="wrong list")
    for _ in range(2):
        desk.advance(100)
        await desk.ledger.resolve(job, Absent(list_began_ms=desk.now_ms), grace_s=60, max_failures=8)

    assert await desk.state(job) is JobState.CANCELLED


async def test_what_comes_after_the_cancel_is_not_recorded(desk: Desk) -> None:
    """An import that still runs learns of it; rows of other batches are taken."""
    await desk.accept_batch("b", 1)
    await desk.ledger.batches.cancel("b", by="dana", why="wrong list")
    rows = [an_invitation(lane=Lane.BULK, batch_id=batch, line=3) for batch in ("b", "c", None)]
    receipts = await desk.ledger.accept(rows, max_waiting=100)

    assert [each.verdict for each in receipts] == [Verdict.CANCELLED, Verdict.ACCEPTED, Verdict.ACCEPTED]
    assert receipts[0].job_ids == ()
    record = await desk.ledger.batches.get("b")
    assert record is not None
    assert (record.accepted, record.jobs[JobState.AVAILABLE]) == (1, 0)


async def test_a_cancelled_batch_s_failed_job_is_not_released_by_itself(desk: Desk) -> None:
    """The number is registered now, but the operator has spoken; he may requeue it."""
    jobs = await desk.accept_batch("b", 2)
    for job in jobs:
        await desk.end(job, OWN)
    assert await desk.ledger.release(jobs[0])
    await desk.ledger.batches.cancel("b", by="dana", why="wrong list")

    assert not await desk.ledger.release(jobs[1])
    assert (await desk.requeue(jobs[1])).done


# --- what is ahead -----------------------------------------------------------------------------------------


async def test_what_is_ahead_counts_the_turns_of_others(desk: Desk) -> None:
    """Live jobs go first; each other queue has as many turns as this batch, or as it has jobs; a stopped one none."""
    await desk.accept_batch("b", 10)
    await desk.accept_batch("small", 3)
    await desk.accept_batch("large", 40)
    await desk.accept_batch("held", 40)
    await desk.ledger.batches.hold("batch:held", "unknown_17")
    for _ in range(4):
        await desk.accept(lane=Lane.BULK)  # of no batch
    await desk.accept()
    ahead = await desk.ledger.batches.ahead("b", waiting=10)

    assert (ahead.live, ahead.bulk, ahead.queues) == (1, 3 + 10 + 4, 3)
    await desk.ledger.batches.pause("live")
    assert (await desk.ledger.batches.ahead("b", waiting=0)).live == 0


# --- rows --------------------------------------------------------------------------------------------------


async def test_rows_come_with_their_messages_in_the_order_recorded(desk: Desk) -> None:
    """Of an invitation's messages each job has those that carry its link; a pruned job leaves its id."""
    two = an_invitation(
        lane=Lane.BULK,
        batch_id="b",
        line=2,
        channels=(Channel.EMAIL,),
        skips=((Channel.SMS, "no_contact"),),
    )
    await desk.ledger.accept([two], max_waiting=100)
    await desk.accept_batch("b", 2)
    ids = await desk.ledger.batches.job_ids("b", 0, 10)
    await desk.end(ids[0], LINKED)
    await desk.end(ids[1], Refused(fail=own_fail(), is_discard=True))
    desk.advance(100)
    await desk.ledger.prune({JobState.DEAD: 10}, limit=10)

    linked, gone, waits = await desk.ledger.batches.rows("b", 0, 100)

    assert [linked.job_id, gone.job_id, waits.job_id] == ids
    assert linked.job is not None
    assert (linked.job.link, linked.job.line) == (LINKED.link, 2)
    assert [(each.channel, each.state) for each in linked.messages] == [
        (Channel.EMAIL, DeliveryState.PENDING),
        (Channel.SMS, DeliveryState.SKIPPED),
    ]
    assert (gone.job, gone.messages) == (None, ())
    assert (waits.job and waits.job.state, waits.messages) == (JobState.AVAILABLE, ())
    assert await desk.ledger.batches.rows("b", 3, 100) == []


async def test_messages_that_carry_another_job_s_link_are_not_a_row_s(desk: Desk) -> None:
    """Two products of one request: the first link went out by itself."""
    both = a_request(products=(Product.WHATSAPP, Product.FACEBOOK_PAGE))
    row = an_invitation(lane=Lane.BULK, batch_id="b", line=2, request=both)
    [receipt] = await desk.ledger.accept([row], max_waiting=100)
    first, second = receipt.job_ids
    await desk.end(first, LINKED)
    await desk.ledger.deliveries.fan_out(receipt.invitation_id)
    await desk.end(second, OWN)

    by_job = {row.job_id: row.messages for row in await desk.ledger.batches.rows("b", 0, 10)}

    assert (len(by_job[first]), len(by_job[second])) == (1, 0)


async def test_an_importer_tells_where_it_is(desk: Desk) -> None:
    """And the batch keeps what is needed to go on with it: the file, and the options it was read with."""
    await desk.ledger.batches.open(
        "b", name="May.csv", source="csv", by="dana", path="/x/May.csv", options="--map whatsapp=Tel"
    )
    await desk.ledger.batches.open("none", name="May.csv", source="csv", by="dana", options="")
    await desk.ledger.batches.open("old", name="May.csv", source="csv", by="dana")
    await desk.ledger.batches.tell("b", read=300)
    record = await desk.ledger.batches.get("b")
    others = [await desk.ledger.batches.get(name) for name in ("none", "old")]

    assert record is not None
    assert (record.read, record.told_at_ms, record.path) == (300, desk.now_ms, "/x/May.csv")
    assert record.options == "--map whatsapp=Tel"
    assert [each and each.options for each in others] == ["", None]
