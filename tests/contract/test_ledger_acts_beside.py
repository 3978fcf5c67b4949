"""Bulk acts beside other people's deeds on the same jobs: what nobody decided on is left alone, what is undone stands as before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import redis.asyncio

from tests.contract.acts_desk import DANA, FAILS, ActsDesk, collected
from tests.contract.ledger_desk import LINKED, Desk, own_fail
from tests.factories import a_request
from worker.domain.act import Act, ActState
from worker.domain.outcome import Deleted, Undelivered
from worker.domain.states import JobState
from worker.ledger import JobFilter
from worker.ledger.act_records import ActRecord
from worker.ledger.acts import Acts

BEN = {"by": "user:ben", "why": "meanwhile"}
FAILED_KEEP_S = 30 * 86_400.0


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


@pytest.fixture
def acts(desk: Desk) -> ActsDesk:
    return ActsDesk(desk)


# --- what changed since the preview ------------------------------------------------------------------------


async def fail_anew(desk: Desk, job: str) -> None:
    """Have another operator requeue it, in vain."""
    await desk.requeue(job)
    await desk.end(job, FAILS)


async def edit_in_vain(desk: Desk, job: str) -> None:
    """Have another operator mend its request, and the partner find another fault with it."""
    await desk.edit(job, a_request(business_name="Fauna"))
    await desk.end(job, FAILS)


async def discard(desk: Desk, job: str) -> None:
    """Have another operator give it up for good."""
    await desk.ledger.discard(job, **BEN)


async def discard_and_restore(desk: Desk, job: str) -> None:
    """Have another operator give it up, and take that back."""
    await desk.ledger.discard(job, **BEN)
    await desk.ledger.restore(job, **BEN)


@pytest.mark.parametrize("deed", [fail_anew, edit_in_vain, discard, discard_and_restore])
@pytest.mark.parametrize("act", [Act.REQUEUE, Act.DISCARD])
async def test_what_others_dealt_with_since_the_preview_is_left_alone(
    desk: Desk, acts: ActsDesk, act: Act, deed: Callable[[Desk, str], Awaitable[None]]
) -> None:
    """It may stand failed again, or be fit as a dead letter: it is not what was looked at."""
    changed, untouched = jobs = await acts.failed(2)
    act_id = await acts.preview(act, jobs)
    desk.advance(1)
    await deed(desk, changed)
    before = await desk.ledger.queries.job(changed)
    await acts.acts.start(act_id, by=DANA, why="all of them", is_canary=True)
    record = await acts.drive(act_id)
    is_dead = act is Act.DISCARD and deed is discard

    assert record.refused == ({"is_dead": 1} if is_dead else {"changed_since": 1})
    assert record.done == 1
    assert await desk.ledger.queries.job(changed) == before
    assert await desk.state(untouched) is (JobState.DEAD if act is Act.DISCARD else JobState.AVAILABLE)


async def test_two_who_previewed_the_same_set_make_each_call_once(desk: Desk, acts: ActsDesk) -> None:
    """Also where the first one's calls were all in vain before the second one began."""
    jobs = await acts.failed(4)
    first, second = await acts.preview(Act.REQUEUE, jobs), await acts.preview(Act.REQUEUE, jobs)
    desk.advance(1)
    for act_id in (first, second):
        await acts.acts.start(act_id, by=DANA, why="mended", is_canary=True)
        await acts.drive(act_id)
        for job in jobs:
            if await desk.state(job) is JobState.AVAILABLE:
                await desk.end(job, FAILS)
    late = await acts.drive(second)
    found = await desk.ledger.queries.jobs(jobs)

    assert [(job.attempt, job.requeues) for job in found] == [(2, 1)] * 4
    assert (late.state, late.done, late.refused) == (ActState.DONE, 0, {"changed_since": 4})


async def test_a_link_that_was_replaced_since_the_preview_is_not_replaced_again(
    desk: Desk, acts: ActsDesk
) -> None:
    """Its customer has the new one."""
    job = await desk.job_in(JobState.LINKED)
    act_id = await acts.preview(Act.REPLACE, [job])
    desk.advance(1)
    await desk.ledger.replace(job, by="user:ben", why="meanwhile")
    await desk.end(job, Deleted())
    await desk.end(job, LINKED)
    await acts.acts.start(act_id, by=DANA, why="x", is_canary=True)

    assert (await acts.drive(act_id)).refused == {"changed_since": 1}
    assert await desk.state(job) is JobState.LINKED


async def test_a_message_that_failed_anew_since_the_preview_is_not_sent_again(
    desk: Desk, acts: ActsDesk
) -> None:
    """Somebody else has just tried."""
    message = await desk.a_failed_message()
    act_id = await acts.preview(Act.REQUEUE, [message])
    desk.advance(1)
    await desk.ledger.deliveries.resend(message, by="user:ben", why="meanwhile")
    full = Undelivered(fail=own_fail("mailbox_full"))
    await desk.ledger.deliveries.settle(await desk.send(message), full, can_resend=True)
    await acts.acts.start(act_id, by=DANA, why="x", is_canary=True)

    assert (await acts.drive(act_id)).refused == {"changed_since": 1}


async def test_a_clock_that_is_set_back_makes_nothing_changed(desk: Desk, acts: ActsDesk) -> None:
    """What failed in the future, as it seems, stands as it stood."""
    jobs = await acts.failed(3)
    desk.advance(-600)
    act_id = await acts.start(Act.DISCARD, jobs)

    assert (await acts.drive(act_id)).done == 3


# --- let go on ---------------------------------------------------------------------------------------------


async def test_a_step_decided_on_before_a_stop_does_not_go_past_the_new_canary(
    desk: Desk, acts: ActsDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten might have gone when a worker looked; stopped and let go on meanwhile, five may."""
    act_id = await acts.start(Act.REQUEUE, await acts.failed(40))
    await acts.step(act_id)
    await acts.end(LINKED)
    look, looked = Acts.get, list[None]()

    async def look_and_be_late(self: Acts, act: str) -> ActRecord | None:
        found = await look(self, act)
        if not looked:
            looked.append(None)
            await self.stop(act_id, **BEN)
            await self.go_on(act_id, **BEN)
        return found

    monkeypatch.setattr(Acts, "get", look_and_be_late)
    late = await acts.step(act_id)
    after = await acts.drive(act_id)

    assert late.taken == 0
    assert (after.state, after.in_flight, after.waiting) == (ActState.RUNNING, 5, 30)


async def test_an_act_is_stopped_although_the_memory_is_used_up(real_redis: redis.asyncio.Redis) -> None:
    """Else it would go on by itself as soon as there is room."""
    desk = await Desk.open(real_redis)
    acts = ActsDesk(desk)
    act_id = await acts.start(Act.DISCARD, await acts.failed(3))
    await real_redis.config_set("maxmemory", "1")
    try:
        stopped = await acts.acts.stop(act_id, **BEN)
    finally:
        await real_redis.config_set("maxmemory", "0")

    assert stopped.done
    assert (await acts.drive(act_id)).waiting == 3


# --- undone ------------------------------------------------------------------------------------------------


async def test_what_is_restored_stands_since_when_it_failed(desk: Desk, acts: ActsDesk) -> None:
    """In its old place in the list, and nobody is told of a surge; how long it is kept counts from now."""
    old = await acts.failed(30)
    desk.advance(20 * 86_400)
    new = await acts.failed(1)
    before = await desk.ledger.queries.find(JobFilter(state=JobState.FAILED), limit=50)
    discarded = await acts.start(Act.DISCARD, old)
    await acts.drive(discarded)
    desk.advance(11 * 86_400)
    undo = await acts.preview(Act.RESTORE, await collected(acts.acts.done_ids(discarded)), undo_of=discarded)
    await acts.acts.start(undo, by=DANA, why="wrong list", is_canary=True)
    await acts.drive(undo)
    after = await desk.ledger.queries.find(JobFilter(state=JobState.FAILED), limit=50)
    facts = (await desk.ledger.incidents.facts()).reasons["name_refused"]
    pruned = await desk.ledger.prune({JobState.FAILED: FAILED_KEEP_S}, limit=50)

    assert [(job.id, job.changed_at_ms) for job in after.items] == [
        (job.id, job.changed_at_ms) for job in before.items
    ]
    assert (after.items[0].id, after.items[1].kept_since_ms) == (new[0], desk.now_ms)
    assert (facts.recent, facts.hour, facts.total) == (0, 0, 31)
    assert pruned == 0


async def test_what_is_taken_back_goes_no_further(desk: Desk, acts: ActsDesk) -> None:
    """Let go on between an undo's preview and its start, it is stopped by it; what it did meanwhile may be undone as well."""
    jobs = await acts.failed(30)
    discarded = await acts.start(Act.DISCARD, jobs)
    first = (await acts.step(discarded)).taken
    await acts.acts.stop(discarded, **BEN)
    undo = await acts.preview(Act.RESTORE, await collected(acts.acts.done_ids(discarded)), undo_of=discarded)
    await acts.acts.go_on(discarded, **BEN)
    second = (await acts.step(discarded)).taken
    await acts.acts.start(undo, by=DANA, why="wrong list", is_canary=True)
    await acts.drive(discarded)
    await acts.drive(undo)
    record = await acts.get(discarded)

    assert (record.state, record.done, record.undone) == (ActState.STOPPED, first + second, first)
    assert record.waiting == 30 - first - second > 0
    assert record.stopped_because == {"reason": "by_a_person", "by": DANA, "why": "wrong list"}
    assert (await acts.states(jobs)).count(JobState.DEAD) == second


async def test_the_page_of_a_restored_job_says_until_when_it_is_kept(desk: Desk) -> None:
    """As the deleting does: from when it was restored on."""
    job = await desk.job_in(JobState.FAILED)
    await desk.ledger.discard(job, **BEN)
    desk.advance(3 * 86_400)
    await desk.ledger.restore(job, **BEN)

    assert (await desk.ledger.survey.whereabouts(job)).kept_since_ms == desk.now_ms
