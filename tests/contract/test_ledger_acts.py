"""Bulk acts: a frozen set, each one's turn once whoever drives it, and what came of each of them known."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis.asyncio

from tests.contract.acts_desk import FAILS, ActsDesk, collected
from tests.contract.ledger_desk import DOUBTFUL, LINKED, SNOOZED, Desk, a_fail, own_fail, retry
from worker.domain.act import Act, ActOutcome, ActState
from worker.domain.outcome import FoundOurs, Refused, Sent, Undelivered
from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter, Ledger
from worker.ledger.act_records import ActRecord, Weighed, item_of
from worker.ledger.acts import Acts

WHY = {"by": "cli:ben", "why": "again"}


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


@pytest.fixture
def acts(desk: Desk) -> ActsDesk:
    return ActsDesk(desk)


# --- the set -----------------------------------------------------------------------------------------------


async def test_a_preview_says_what_is_fit_by_reason_and_what_is_not_and_why(
    desk: Desk, acts: ActsDesk
) -> None:
    """Nothing is touched by it."""
    fit = [*await acts.failed(2), await desk.job_in(JobState.DEAD)]
    number = await desk.job_in(JobState.DEAD, claim_key="n:972501")
    await desk.accept(claim_key="n:972501")
    others = [
        await desk.job_in(state)
        for state in (JobState.AVAILABLE, JobState.SCHEDULED, JobState.RUNNING, JobState.LINKED)
    ]
    doubtful = await desk.job_in(JobState.IN_DOUBT)
    act_id = await acts.preview(Act.REQUEUE, [*fit, number, *others, doubtful, "01m3250v020000000002w"])
    record = await acts.get(act_id)

    assert (record.state, record.total, record.seen) == (ActState.PREVIEWED, 3, 10)
    assert record.by_reason == {"name_refused": 3}
    assert record.not_eligible == {
        "waits_already": 2,
        "claimed_by_another": 1,
        "gone": 1,
        "is_in_doubt": 1,
        "is_linked": 1,
        "is_running": 1,
    }
    assert await acts.states(fit) == [JobState.FAILED, JobState.FAILED, JobState.DEAD]


async def test_only_one_may_freeze_a_set(desk: Desk, acts: ActsDesk) -> None:
    """Two that previewed the same act would have every job in it twice."""
    jobs = await acts.failed(3)
    await acts.acts.open("a", Act.DISCARD, by="cli:dana")

    assert await acts.acts.add("a", jobs[:2], seen=0) == Weighed(seen=2, fit=tuple(jobs[:2]))
    assert await acts.acts.add("a", jobs[:2], seen=0) is None
    assert await acts.acts.freeze("a", seen=1) is False
    assert await acts.acts.freeze("a", seen=2) is True
    assert await acts.acts.add("a", jobs[2:], seen=2) is None
    assert (await acts.get("a")).total == 2


async def test_a_start_that_comes_before_the_set_is_whole_is_refused(desk: Desk, acts: ActsDesk) -> None:
    """How many there are decides the why, the lane and the canary: it is known when the set is."""
    jobs = await acts.failed(6)
    await acts.acts.open("a", Act.REQUEUE, by="cli:dana")
    await acts.acts.add("a", jobs, seen=0)
    early = await acts.acts.start("a", by="cli:dana", why="x", is_canary=True)
    await acts.acts.freeze("a", seen=6)
    silent = await acts.acts.start("a", by="cli:dana", why=" ", is_canary=True)
    started = await acts.acts.start("a", by="cli:dana", why="x", is_canary=True)
    await acts.step("a")

    assert (early.refusal, silent.refusal, started.done) == ("previewing", "why_missing", True)
    assert (await acts.get("a")).is_canary is True
    assert (await desk.ledger.queries.jobs(jobs[:1]))[0].lane is Lane.BULK


async def test_what_decides_the_lane_is_how_many_there_are_when_it_starts(
    desk: Desk, acts: ActsDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody's look at it from before counts: a set could be frozen between that and the start."""
    act_id = await acts.preview(Act.REQUEUE, await acts.failed(6))
    before = replace(await acts.get(act_id), state=ActState.PREVIEWING, total=0)

    async def look_too_early(self: Acts, act: str) -> ActRecord:
        return before

    with monkeypatch.context() as patched:
        patched.setattr(Acts, "get", look_too_early)
        await acts.acts.start(act_id, by="cli:dana", why="x", is_canary=True)

    assert (await acts.get(act_id)).is_canary is True


async def test_a_set_that_will_not_be_whole_is_let_go(desk: Desk, acts: ActsDesk) -> None:
    """It says why for a day, and one that is whole is left alone."""
    await acts.acts.open("a", Act.DISCARD, by="cli:dana")
    await acts.acts.add("a", await acts.failed(2), seen=0)

    assert await acts.acts.give_up("a", "broken") is True
    assert ((await acts.get("a")).state, (await acts.get("a")).given_up) == (ActState.EXPIRED, "broken")
    assert (await acts.acts.items("a")) == ([], None)
    whole = await acts.preview(Act.DISCARD, await acts.failed(1))
    assert await acts.acts.give_up(whole, "broken") is False
    assert (await acts.get(whole)).given_up is None


async def test_all_that_match_are_found_in_every_state_asked_for(desk: Desk, acts: ActsDesk) -> None:
    """Failed ones and dead letters in one act."""
    failed = await acts.failed(3)
    dead = await desk.job_in(JobState.DEAD)
    found = await collected(acts.acts.matches(JobFilter(), [JobState.FAILED, JobState.DEAD]))

    assert sorted(found) == sorted([*failed, dead])


async def test_what_fails_after_the_preview_is_left_alone(desk: Desk, acts: ActsDesk) -> None:
    """What an operator did not see he did not decide on."""
    act_id = await acts.preview(Act.DISCARD, await acts.failed(2))
    [late] = await acts.failed(1)
    await acts.acts.start(act_id, by="cli:dana", why="old", is_canary=True)
    record = await acts.drive(act_id)

    assert (record.state, record.done) == (ActState.DONE, 2)
    assert await desk.state(late) is JobState.FAILED


# --- each one's turn once ----------------------------------------------------------------------------------


async def test_a_double_click_starts_an_act_once(desk: Desk, acts: ActsDesk) -> None:
    """The second is told that it runs already."""
    act_id = await acts.preview(Act.DISCARD, await acts.failed(2))
    changes = await asyncio.gather(
        *(acts.acts.start(act_id, by="cli:dana", why="x", is_canary=True) for _ in range(2))
    )

    assert sorted((each.done, each.refusal or "") for each in changes) == [
        (False, "already_started"),
        (True, ""),
    ]


async def test_however_many_drive_an_act_each_job_has_its_turn_once(desk: Desk, acts: ActsDesk) -> None:
    """The workers and the command line at once, on connections of their own."""
    jobs = await acts.failed(120)
    act_id = await acts.start(Act.REQUEUE, jobs, is_canary=False)
    others = [Ledger(desk.redis, namespace="test", now_ms=lambda: desk.now_ms) for _ in range(3)]

    async def drive(ledger: Ledger) -> None:
        while (step := await ledger.acts.step(act_id, rate=5)).record is not None and step.record.waiting:
            pass

    await asyncio.gather(*(drive(ledger) for ledger in others))
    record = await acts.get(act_id)
    found = await desk.ledger.queries.jobs(jobs)

    assert (record.done, record.refused, record.in_flight) == (120, {}, 120)
    assert Counter(job.requeues for job in found) == {1: 120}


async def test_a_step_that_took_long_makes_the_next_ones_smaller(
    acts: ActsDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nobody waits long for the server while an act runs; the act comes to its end all the same."""
    act_id = await acts.start(Act.DISCARD, await acts.failed(60))
    clock = itertools.count(step=0.01)
    monkeypatch.setattr("worker.ledger.acts.perf_counter", lambda: next(clock))
    taken = [(await acts.step(act_id)).taken for _ in range(5)]
    record = await acts.drive(act_id)

    assert taken == [12, 6, 5, 5, 5]
    assert (record.done, record.state) == (60, ActState.DONE)


async def test_a_step_by_one_who_looked_too_early_takes_nothing(
    desk: Desk, acts: ActsDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only five go first, even where two processes saw at the same instant that five may go."""
    act_id = await acts.start(Act.REQUEUE, await acts.failed(20))
    both_looked = asyncio.Barrier(2)
    look = Acts.get
    looks: list[None] = []

    async def look_together(self: Acts, act: str) -> ActRecord | None:
        found = await look(self, act)
        looks.append(None)
        if len(looks) <= 2:
            await both_looked.wait()
        return found

    monkeypatch.setattr(Acts, "get", look_together)
    steps = await asyncio.gather(acts.step(act_id), acts.step(act_id))

    assert sorted(step.taken for step in steps) == [0, 5]
    assert (await acts.get(act_id)).in_flight == 5


async def test_two_operators_on_one_set_touch_each_job_once(desk: Desk, acts: ActsDesk) -> None:
    """The second is told what was too late."""
    jobs = await acts.failed(8)
    first = await acts.start(Act.REQUEUE, jobs[:6], is_canary=False)
    second = await acts.start(Act.REQUEUE, jobs[2:], is_canary=False)
    done, late = await acts.drive(first), await acts.drive(second)

    assert (done.done, done.refused) == (6, {})
    assert (late.done, late.refused) == (2, {"waits_already": 4})
    items, _ = await acts.acts.items(second, outcome=ActOutcome.REFUSED)
    assert [(each.id, each.refusal) for each in items] == [(job, "waits_already") for job in jobs[2:6]]


async def test_a_job_that_changed_since_the_preview_is_refused_with_why(desk: Desk, acts: ActsDesk) -> None:
    """Linked by a look-up, requeued by hand, discarded, running by now."""
    linked, waiting, dead, running, fit = jobs = await acts.failed(5)
    act_id = await acts.start(Act.REQUEUE, jobs)
    desk.advance(1)
    await desk.ledger.explain(linked, FoundOurs(linked=LINKED))
    await desk.requeue(waiting)
    await desk.ledger.discard(dead, **WHY)
    await desk.requeue(running)
    await desk.claim(running)
    record = await acts.drive(act_id)

    assert record.refused == {"is_linked": 1, "is_running": 1, "waits_already": 1, "changed_since": 1}
    assert record.done == 1
    assert await desk.state(fit) is JobState.AVAILABLE


async def test_only_a_previewed_act_with_something_in_it_is_started(desk: Desk, acts: ActsDesk) -> None:
    """Each refusal in a word."""
    await acts.acts.open("open", Act.DISCARD, by="cli:dana")
    empty = await acts.preview(Act.DISCARD, [])
    old = await acts.preview(Act.DISCARD, await acts.failed(1))
    desk.advance(3601)

    async def refusal(act_id: str) -> str | None:
        return (await acts.acts.start(act_id, by="cli:dana", why="x", is_canary=True)).refusal

    assert await refusal("open") == "previewing"
    assert await refusal(empty) == "expired"
    assert await refusal(old) == "expired"
    assert await refusal("nobody") == "gone"
    assert await refusal(await acts.preview(Act.DISCARD, [])) == "nothing_eligible"


# --- what comes of a requeue -------------------------------------------------------------------------------


async def test_the_ends_of_what_was_requeued_are_counted_by_their_kind(desk: Desk, acts: ActsDesk) -> None:
    """A retry, a snooze and a doubt are no ends; the act is done with the last one."""
    jobs = await acts.failed(5)
    act_id = await acts.start(Act.REQUEUE, jobs)
    await acts.drive(act_id)
    linked, again, cancelled, retried, doubtful = jobs
    await desk.end(linked, LINKED)
    await desk.end(again, Refused(fail=a_fail("unknown_9")))
    await desk.ledger.cancel(cancelled, **WHY)
    await desk.end(retried, retry())
    await desk.end(doubtful, DOUBTFUL)
    underway = await acts.drive(act_id)
    desk.advance(31)
    await desk.ledger.promote()
    await desk.end(retried, SNOOZED)
    await desk.ledger.resolve(doubtful, FoundOurs(linked=LINKED), grace_s=0)
    await desk.ledger.cancel(retried, **WHY)
    record = await acts.drive(act_id)
    items, _ = await acts.acts.items(act_id)

    assert (underway.state, underway.in_flight, underway.ended) == (ActState.RUNNING, 2, 3)
    assert (record.state, record.linked, record.failed_again, record.ended_otherwise) == (
        ActState.DONE,
        2,
        1,
        2,
    )
    assert record.failed_by_reason == {"unknown_9": 1}
    assert [each.outcome.value for each in items] == [
        "linked",
        "failed_again",
        "ended_otherwise",
        "ended_otherwise",
        "linked",
    ]


async def test_a_job_counts_for_the_act_that_requeued_it_only_once(desk: Desk, acts: ActsDesk) -> None:
    """Failed again and requeued by hand, its next end is nobody's."""
    [job] = await acts.failed(1)
    act_id = await acts.start(Act.REQUEUE, [job])
    await acts.drive(act_id)
    await desk.end(job, FAILS)
    await desk.requeue(job)
    await desk.end(job, LINKED)
    record = await acts.drive(act_id)
    found = await desk.ledger.queries.job(job)

    assert (record.failed_again, record.linked, record.in_flight) == (1, 0, 0)
    assert found is not None
    assert found.requeues == 2


async def test_many_wait_in_the_bulk_lane_and_a_few_in_their_own(desk: Desk, acts: ActsDesk) -> None:
    """A live customer does not wait behind a thousand that an operator tries again."""
    many, few = await acts.failed(6), await acts.failed(5)
    for jobs in (many, few):
        await acts.drive(await acts.start(Act.REQUEUE, jobs, is_canary=False))

    assert {job.lane for job in await desk.ledger.queries.jobs(many)} == {Lane.BULK}
    assert {job.lane for job in await desk.ledger.queries.jobs(few)} == {Lane.LIVE}


# --- canary ------------------------------------------------------------------------------------------------


async def test_five_go_first_and_then_twice_what_has_ended(desk: Desk, acts: ActsDesk) -> None:
    """Good ends let more go; the rest waits for more of them."""
    act_id = await acts.start(Act.REQUEUE, await acts.failed(40))
    under_way = [(await acts.drive(act_id)).in_flight]
    for _ in range(3):
        await acts.end(LINKED)
        under_way.append((await acts.drive(act_id)).in_flight)

    assert under_way == [5, 10, 25, 0]
    assert (await acts.get(act_id)).linked == 40


async def test_it_stops_by_itself_where_three_of_the_first_five_fail_again(
    desk: Desk, acts: ActsDesk
) -> None:
    """Says how many and why; what was not touched stands as it stood, and it goes on when somebody says so."""
    jobs = await acts.failed(12)
    act_id = await acts.start(Act.REQUEUE, jobs)
    await acts.drive(act_id)
    await acts.end(FAILS, want=3)
    step = await acts.step(act_id)
    stopped = step.record

    assert stopped is not None
    assert step.is_at_rest
    assert (stopped.state, stopped.done, stopped.waiting) == (ActState.STOPPED, 5, 7)
    assert stopped.stopped_because == {"reason": "failed_again", "failed": 3, "ended": 3}
    assert await acts.states(jobs[5:]) == [JobState.FAILED] * 7

    await acts.end(LINKED)
    assert (await acts.acts.go_on(act_id, by="cli:dana", why="mended")).done
    again = await acts.drive(act_id)
    assert (again.state, again.done, again.in_flight) == (ActState.RUNNING, 10, 5), "five first, anew"
    await acts.end(LINKED)
    await acts.drive(act_id)
    await acts.end(LINKED)
    done = await acts.drive(act_id)
    assert (done.state, done.linked, done.failed_again) == (ActState.DONE, 9, 3)


async def test_a_stop_that_was_decided_on_older_ends_does_not_undo_a_word_to_go_on(
    desk: Desk, acts: ActsDesk
) -> None:
    """A slow process saw three failures; meanwhile a person said that it is mended."""
    act_id = await acts.start(Act.REQUEUE, await acts.failed(12))
    await acts.drive(act_id)
    await acts.end(FAILS, want=3)
    seen = (await acts.get(act_id)).latest
    await acts.step(act_id)
    await acts.acts.go_on(act_id, by="cli:dana", why="mended")
    reply = await desk.ledger._scripts.run("act_stop", act_id, "linkferry", "failed again", "{}", seen)

    assert int(reply[0]) == 0
    assert (await acts.get(act_id)).state is ActState.RUNNING


async def test_a_stop_leaves_what_is_under_way_alone(desk: Desk, acts: ActsDesk) -> None:
    """It ends as it may, and is counted."""
    act_id = await acts.start(Act.REQUEUE, await acts.failed(9))
    await acts.drive(act_id)
    first = await acts.acts.stop(act_id, by="cli:ben", why="wait")
    second = await acts.acts.stop(act_id, by="cli:ben", why="wait")
    await acts.end(LINKED)
    record = await acts.drive(act_id)

    assert (first.done, second.refusal) == (True, "not_running")
    assert (record.state, record.linked, record.waiting) == (ActState.STOPPED, 5, 4)
    assert record.stopped_because == {"reason": "by_a_person", "by": "cli:ben", "why": "wait"}
    assert await acts.acts.running() == []


# --- undo --------------------------------------------------------------------------------------------------


async def test_undoing_a_discard_restores_exactly_what_it_discarded(desk: Desk, acts: ActsDesk) -> None:
    """Not a job that was requeued since, nor one that was a dead letter before, nor one discarded anew by hand."""
    before = await desk.job_in(JobState.DEAD)
    kept, requeued, anew = jobs = await acts.failed(3)
    act_id = await acts.start(Act.DISCARD, [*jobs, before])
    await acts.drive(act_id)
    await desk.requeue(requeued)
    await desk.ledger.restore(anew, **WHY)
    await desk.ledger.discard(anew, **WHY)
    undo = await acts.preview(Act.RESTORE, await collected(acts.acts.done_ids(act_id)), undo_of=act_id)
    previewed = await acts.get(undo)
    await acts.acts.start(undo, by="cli:dana", why="wrong list", is_canary=True)
    record = await acts.drive(undo)

    assert previewed.not_eligible == {"changed_since": 1, "is_available": 1}
    assert record.done == 1
    assert await acts.states([kept, requeued, anew, before]) == [
        JobState.FAILED,
        JobState.AVAILABLE,
        JobState.DEAD,
        JobState.DEAD,
    ]
    assert (await acts.get(act_id)).undone_by == undo


async def test_a_dead_letter_says_who_gave_it_up_and_why(desk: Desk, acts: ActsDesk) -> None:
    """A person, his bulk act, or the reason's own policy; nothing of it is left on a job that came back."""
    by_hand, in_bulk = await acts.failed(2)
    by_policy = await desk.job_in(JobState.DEAD)
    await desk.ledger.discard(by_hand, by="cli:ben", why="gave up")
    act_id = await acts.start(Act.DISCARD, [in_bulk])
    await acts.drive(act_id)
    dead = await desk.ledger.queries.jobs([by_hand, in_bulk, by_policy])
    await desk.ledger.restore(in_bulk, **WHY)
    back = await desk.ledger.queries.job(in_bulk)

    assert [(job.dead_by, job.dead_why, job.dead_act) for job in dead] == [
        ("cli:ben", "gave up", None),
        ("cli:dana", "mended", act_id),
        ("policy", None, None),
    ]
    assert back is not None
    assert (back.dead_by, back.dead_why, back.dead_act) == (None, None, None)


# --- messages ----------------------------------------------------------------------------------------------


async def test_messages_are_sent_again_beside_jobs_and_their_ends_counted(desk: Desk, acts: ActsDesk) -> None:
    """No call is made for them."""
    messages = [await desk.a_failed_message() for _ in range(2)]
    act_id = await acts.start(Act.REQUEUE, messages)
    started = await acts.drive(act_id)
    lease = await desk.send(messages[0])
    await desk.ledger.deliveries.settle(lease, Sent(), can_resend=True)
    lease = await desk.send(messages[1])
    await desk.ledger.deliveries.settle(lease, Undelivered(fail=own_fail("mailbox_full")), can_resend=True)
    record = await acts.drive(act_id)

    assert (started.messages, started.in_flight, started.by_reason) == (2, 2, {"mailbox_unknown": 2})
    assert (record.state, record.sent, record.failed_by_reason) == (ActState.DONE, 1, {"mailbox_full": 1})


async def test_a_message_is_neither_discarded_nor_sent_twice(desk: Desk, acts: ActsDesk) -> None:
    """One that was sent is sent again by its job's own command only."""
    failed = await desk.a_failed_message()
    sent = await desk.a_delivery()
    lease = await desk.send(sent)
    await desk.ledger.deliveries.settle(lease, Sent(), can_resend=True)
    discard = await acts.get(await acts.preview(Act.DISCARD, [failed]))
    requeue = await acts.get(await acts.preview(Act.REQUEUE, [sent]))

    assert (discard.total, discard.not_eligible) == (0, {"is_message": 1})
    assert (requeue.total, requeue.not_eligible) == (0, {"is_sent": 1})


# --- kept and forgotten ------------------------------------------------------------------------------------


async def test_acts_are_listed_latest_first_in_pages(desk: Desk, acts: ActsDesk) -> None:
    """What nobody started is no act."""
    ids = []
    for _ in range(3):
        desk.advance(1)
        ids.append(await acts.start(Act.DISCARD, await acts.failed(1)))
    await acts.preview(Act.DISCARD, await acts.failed(1))
    first = await acts.acts.find(limit=2)
    second = await acts.acts.find(limit=2, cursor=first.next)

    assert [each.id for each in (*first.items, *second.items)] == ids[::-1]
    assert (first.total, second.next) == (3, None)
    with pytest.raises(ValueError, match="cursor"):
        await acts.acts.find(cursor="x")


async def test_old_acts_and_unstarted_sets_are_forgotten_and_nothing_of_them_is_left(
    desk: Desk, acts: ActsDesk
) -> None:
    """But for one that still runs; what it requeued ends as ever, and does not bring its record back."""
    jobs = await acts.failed(6)
    done = await acts.start(Act.DISCARD, jobs[:1])
    await acts.drive(done)
    left = await acts.preview(Act.REQUEUE, jobs[1:2])
    running = await acts.start(Act.REQUEUE, jobs[2:4])
    stopped = await acts.start(Act.REQUEUE, jobs[4:])
    for act_id in (running, stopped):
        await acts.drive(act_id)
    await acts.acts.stop(stopped, by="cli:dana", why="x")
    desk.advance(7200)

    assert await acts.acts.prune(older_than_s=3600) == 3
    await desk.end(jobs[4], LINKED)
    assert [await acts.acts.get(each) for each in (done, stopped)] == [None, None]
    assert (await acts.get(left)).state is ActState.EXPIRED
    assert (await acts.get(running)).state is ActState.RUNNING
    names = [key.decode() for key in await desk.redis.keys("*") if b":ti:of:" not in key]
    assert not [name for name in names if name.endswith((f":{done}", f":{stopped}"))]
    assert not [name for name in names if name.endswith(left) and ":ac:" not in name]


async def test_every_turn_of_an_act_is_in_the_trail(desk: Desk, acts: ActsDesk) -> None:
    """Who, why, on which filter, and how many: start, stop, going on, and the end."""
    jobs = await acts.failed(6)
    act_id = await acts.start(Act.REQUEUE, jobs, filter_document={"reason": "name_refused"})
    await acts.drive(act_id)
    await acts.acts.stop(act_id, by="user:noa", why="wait")
    await acts.acts.go_on(act_id, by="user:noa", why="go on")
    for _ in range(2):
        await acts.end(LINKED)
        await acts.drive(act_id)
    trail = (await desk.ledger.trail.find(subject=act_id)).items

    assert [(each.act, each.by, each.why) for each in trail[::-1]] == [
        ("act_start", "cli:dana", "mended"),
        ("act_stop", "user:noa", "wait"),
        ("act_continue", "user:noa", "go on"),
        ("act_end", "cli:dana", "mended"),
    ]
    assert trail[0].detail["filter"] == '{"reason": "name_refused"}'
    assert (trail[0].detail["done"], trail[0].detail["linked"]) == ("6", "6")


def test_a_mark_that_a_newer_process_made_is_a_refusal() -> None:
    """During an upgrade an older console meets letters that it does not know, and shows the act all the same."""
    assert item_of("j1", "?").outcome is ActOutcome.REFUSED
    assert item_of("j1", "?").refusal is None
