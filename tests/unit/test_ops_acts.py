"""Bulk acts as the CLI and the console work with them: documents, refusals, messages beside jobs."""

from __future__ import annotations

import json

import pytest
import redis.asyncio

from tests.contract.acts_desk import DANA, driven
from tests.contract.ledger_desk import LINKED, Desk, own_fail
from worker.domain.act import Act
from worker.domain.outcome import Deleted, Refused
from worker.domain.reasons import Catalogue
from worker.domain.states import JobState
from worker.ledger import JobFilter
from worker.limits import Limits
from worker.ops.acts import ActRefused, Acts

FAILED = [JobState.FAILED]


@pytest.fixture
async def desk(fake_redis: redis.asyncio.Redis) -> Desk:
    return await Desk.open(fake_redis)


@pytest.fixture
def limits(fake_redis: redis.asyncio.Redis) -> Limits:
    return Limits(fake_redis, namespace="test", name="partner", ceiling=5)


@pytest.fixture
def acts(desk: Desk, limits: Limits) -> Acts:
    return Acts(desk.ledger, limits, Catalogue.shipped())


async def test_a_preview_tells_calls_and_time_and_is_ready_for_json(desk: Desk, acts: Acts) -> None:
    """What an operator decides by."""
    for _ in range(8):
        await desk.job_in(JobState.FAILED)
    told: list[int] = []
    document = await acts.preview(
        Act.REQUEUE, JobFilter(reason="name_refused"), states=FAILED, by=DANA, on_progress=told.append
    )

    assert (document["state"], document["total"], document["waiting"]) == ("previewed", 8, 8)
    assert document["by_reason"] == {"name_refused": 8}
    assert (document["calls_needed"], document["seconds_at_rate"], document["rate"]) == (8, 1.6, 5.0)
    assert document["filter"] == {"reason": "name_refused", "states": ["failed"]}
    assert told[-1] == 8
    assert json.loads(json.dumps(document)) == document


async def test_a_filter_touches_no_other(desk: Desk, acts: Acts) -> None:
    """The set is counted by reason first, then exactly it is worked on."""
    mended = await desk.job_in(JobState.FAILED)
    [other] = (await desk.accept()).job_ids
    await desk.end(other, Refused(fail=own_fail("name_taken")))
    preview = await acts.preview(Act.REQUEUE, JobFilter(reason="name_refused"), states=FAILED, by=DANA)
    document = await driven(acts, preview["act_id"])

    assert document["done"] == 1
    assert await desk.state(mended) is JobState.AVAILABLE
    assert await desk.state(other) is JobState.FAILED


async def test_more_than_one_job_needs_a_why(desk: Desk, acts: Acts) -> None:
    """It is what the next person asks first; one job may go without."""
    jobs = [await desk.job_in(JobState.FAILED) for _ in range(3)]
    many = await acts.preview_ids(Act.DISCARD, jobs[:2], by=DANA)
    one = await acts.preview_ids(Act.DISCARD, jobs[2:], by=DANA)

    with pytest.raises(ActRefused, match="Say why") as refused:
        await acts.start(many["act_id"], by=DANA, why=" ")
    assert refused.value.code == "why_missing"
    assert (await acts.start(one["act_id"], by=DANA, why=""))["state"] == "running"


async def test_refusals_say_what_to_do(desk: Desk, acts: Acts) -> None:
    """Each has a word for programs and a sentence for people."""
    act_id = (await acts.preview_ids(Act.REQUEUE, [await desk.job_in(JobState.FAILED)], by=DANA))["act_id"]
    await acts.start(act_id, by=DANA, why="x")

    for code, deed in (
        ("already_started", acts.start(act_id, by=DANA, why="x")),
        ("gone", acts.start("nobody", by=DANA, why="x")),
        ("gone", acts.carry_preview("nobody")),
        ("gone", acts.undo("nobody", by=DANA)),
        ("taken", acts.carry_preview(act_id)),
        ("not_stopped", acts.go_on(act_id, by=DANA, why="x")),
        ("not_undoable", acts.undo(act_id, by=DANA)),
    ):
        with pytest.raises(ActRefused) as refused:
            await deed
        assert refused.value.code == code
        assert "{" not in str(refused.value)


async def test_too_many_for_one_act_is_said_before_anything_is_done(
    desk: Desk, acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody oversees a set without end."""
    monkeypatch.setattr("worker.ops.acts.MOST_IDS", 2)
    for _ in range(3):
        await desk.job_in(JobState.FAILED)

    act_id = await acts.begin_preview(Act.DISCARD, JobFilter(), states=FAILED, by=DANA)
    with pytest.raises(ActRefused, match="narrow the filter"):
        await acts.carry_preview(act_id)
    given_up = await acts.get(act_id)

    assert given_up is not None
    assert (given_up["state"], given_up["given_up"]["code"]) == ("expired", "act_refused_too_many")


async def test_too_many_counts_what_is_fit_alone(
    desk: Desk, acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a state most of a ledger is linked: that is counted, and not looked at one by one."""
    monkeypatch.setattr("worker.ops.acts.MOST_IDS", 2)
    fit = [await desk.job_in(JobState.FAILED), await desk.job_in(JobState.DEAD)]
    for state in (JobState.LINKED, JobState.LINKED, JobState.AVAILABLE, JobState.SCHEDULED, JobState.RUNNING):
        await desk.job_in(state)
    looked_at: list[int] = []
    document = await acts.preview(
        Act.REQUEUE, JobFilter(), states=list(JobState), by=DANA, on_progress=looked_at.append
    )
    items = await acts.items(document["act_id"])

    assert looked_at[-1] == 2
    assert {each["job_id"] for each in items["items"]} == set(fit)
    assert (document["total"], document["seen"]) == (2, 7)
    assert document["not_eligible"] == {"is_linked": 2, "waits_already": 2, "is_running": 1}


@pytest.mark.parametrize("act", list(Act))
@pytest.mark.parametrize("state", sorted(set(JobState) - {JobState.ONBOARDED, JobState.REVOKED}))
async def test_what_is_counted_unlooked_at_is_what_looking_would_say(
    desk: Desk, acts: Acts, act: Act, state: JobState
) -> None:
    """By ids every job is weighed by the script; by a filter only where its state is fit."""
    job = await desk.job_in(state)
    by_id = await acts.preview_ids(act, [job], by=DANA)
    by_filter = await acts.preview(act, JobFilter(stage="link"), states=[state], by=DANA)

    compared = ("total", "seen", "by_reason", "not_eligible")
    assert [by_filter[name] for name in compared] == [by_id[name] for name in compared]


async def test_a_preview_begun_here_may_be_carried_by_another_process(desk: Desk, acts: Acts) -> None:
    """The console answers at once and freezes the set beside it."""
    await desk.job_in(JobState.DEAD)
    act_id = await acts.begin_preview(Act.REQUEUE, JobFilter(), states=[JobState.DEAD], by=DANA)
    begun = await acts.get(act_id)
    document = await acts.carry_preview(act_id)

    assert begun is not None
    assert (begun["state"], begun["total"]) == ("previewing", 0)
    assert (document["state"], document["total"]) == ("previewed", 1)


async def test_failed_messages_are_sent_again_without_a_call(desk: Desk, acts: Acts) -> None:
    """The link is there already; of jobs and messages together each has its own number."""
    message, job = await desk.a_failed_message(), await desk.job_in(JobState.FAILED)
    preview = await acts.preview(Act.REQUEUE, JobFilter(), states=FAILED, by=DANA)
    document = await driven(acts, preview["act_id"])
    record = await desk.ledger.deliveries.get(message)

    assert (preview["total"], preview["messages"], preview["calls_needed"]) == (2, 1, 1)
    assert document["done"] == 2
    assert record is not None
    assert record.state == "pending"
    assert await desk.state(job) is JobState.AVAILABLE


@pytest.mark.parametrize(
    ("change", "why"),
    [("replace", "change_pending"), ("onboarded", "is_onboarded"), ("made anew", "link_replaced")],
)
async def test_a_message_whose_link_is_gone_is_not_counted_as_one_to_send(
    desk: Desk, acts: Acts, change: str, why: str
) -> None:
    """As one that is sent again by itself is refused: nothing would go out, and the preview says so."""
    message = await desk.a_failed_message()
    record = await desk.ledger.deliveries.get(message)
    assert record is not None
    [job] = record.job_ids
    if change == "onboarded":
        await desk.ledger.completing.complete(job, number=None, how="list", link=None)
    else:
        await desk.ledger.replace(job, by=DANA, why="new brand")
    if change == "made anew":
        await desk.end(job, Deleted())
        await desk.end(job, LINKED)
    preview = await acts.preview(Act.REQUEUE, JobFilter(stage="delivery"), states=FAILED, by=DANA)

    assert (preview["total"], preview["not_eligible"]) == (0, {why: 1})


async def test_messages_in_doubt_are_only_sent_again_by_their_id(desk: Desk, acts: Acts) -> None:
    """The customer may have it: a bulk act must not send it twice."""
    message = await desk.a_doubtful_message()

    in_bulk = await acts.preview(Act.REQUEUE, JobFilter(), states=FAILED, by=DANA)
    by_id = await acts.preview_ids(Act.REQUEUE, [message], by=DANA)

    assert (in_bulk["total"], by_id["total"]) == (0, 1)


async def test_what_is_personal_in_a_filter_is_shown_masked(desk: Desk, acts: Acts) -> None:
    """A list of acts is no list of customers."""
    await desk.job_in(JobState.FAILED)
    document = await acts.preview(
        Act.REQUEUE, JobFilter(number="972501234567", email="dana@example.com"), states=FAILED, by=DANA
    )

    assert "1234567" not in json.dumps(document)
    assert "dana@" not in json.dumps(document)


async def test_undoing_a_discard_is_previewed_and_started_like_any_act(desk: Desk, acts: Acts) -> None:
    """Once; the second finds it undone."""
    jobs = [await desk.job_in(JobState.FAILED) for _ in range(3)]
    discard = await driven(acts, (await acts.preview_ids(Act.DISCARD, jobs, by=DANA))["act_id"])
    undo = await acts.undo(str(discard["act_id"]), by=DANA)
    restored = await driven(acts, undo["act_id"])

    assert discard["can_undo"] is True
    assert (undo["act"], undo["total"], undo["undo_of"]) == ("restore", 3, discard["act_id"])
    assert (restored["state"], restored["done"]) == ("done", 3)
    assert [await desk.state(job) for job in jobs] == [JobState.FAILED] * 3
    with pytest.raises(ActRefused, match="only once"):
        await acts.undo(str(discard["act_id"]), by=DANA)


async def a_stopped_discard(desk: Desk, acts: Acts) -> tuple[str, list[str]]:
    """Return a discard of 60 that stopped at the first step, and its jobs."""
    jobs = [await desk.job_in(JobState.FAILED) for _ in range(60)]
    act_id = (await acts.preview_ids(Act.DISCARD, jobs, by=DANA))["act_id"]
    await acts.start(act_id, by=DANA, why="x")
    await acts.step(act_id)
    await acts.stop(act_id, by=DANA, why="wrong list")
    return act_id, jobs


async def test_what_is_taken_back_does_not_go_on(desk: Desk, acts: Acts) -> None:
    """The rest would be discarded by an act that somebody took back."""
    act_id, jobs = await a_stopped_discard(desk, acts)
    await driven(acts, (await acts.undo(act_id, by=DANA))["act_id"])

    with pytest.raises(ActRefused, match="taken back") as refused:
        await acts.go_on(act_id, by=DANA, why="x")
    assert refused.value.code == "taken_back"
    assert [await desk.state(job) for job in jobs] == [JobState.FAILED] * 60
    assert (await acts.get(act_id) or {})["can_undo"] is False


async def test_an_undo_that_came_not_to_its_end_may_be_followed_by_another(desk: Desk, acts: Acts) -> None:
    """It takes back what still stands as the discard left it, and no more."""
    jobs = [await desk.job_in(JobState.FAILED) for _ in range(60)]
    act_id = str(
        (await driven(acts, (await acts.preview_ids(Act.DISCARD, jobs, by=DANA))["act_id"]))["act_id"]
    )
    first = (await acts.undo(act_id, by=DANA))["act_id"]
    await acts.start(first, by=DANA, why="x")
    await acts.step(first)
    await acts.stop(first, by=DANA, why="lunch")
    between = await acts.get(act_id) or {}
    second = await acts.undo(act_id, by=DANA)
    await driven(acts, second["act_id"])

    undone = between["undone"]  # one step: as many as the server's pace allows
    assert 0 < undone < 60
    assert (between["can_undo"], between["undone_by"]) == (True, first)
    assert second["total"] == 60 - undone
    assert [await desk.state(job) for job in jobs] == [JobState.FAILED] * 60
    assert (await acts.get(act_id) or {})["can_undo"] is False


async def test_an_undo_that_was_refused_everything_stands_in_nobodys_way(desk: Desk, acts: Acts) -> None:
    """Another invitation has the number at that time, and not for ever."""
    job = await desk.job_in(JobState.FAILED, claim_key="n:972501")
    discard = (await acts.preview_ids(Act.DISCARD, [job], by=DANA))["act_id"]
    await driven(acts, discard)
    undo = (await acts.undo(discard, by=DANA))["act_id"]
    await desk.accept(claim_key="n:972501")
    refused = await driven(acts, undo)

    assert refused["refused"] == {"claimed_by_another": 1}
    assert (await acts.get(discard) or {})["can_undo"] is True


async def test_items_are_listed_by_what_became_of_them(desk: Desk, acts: Acts) -> None:
    """In pages, with why for those that were left alone."""
    jobs = [await desk.job_in(JobState.FAILED) for _ in range(4)]
    act_id = (await acts.preview_ids(Act.REQUEUE, jobs, by=DANA))["act_id"]
    await desk.requeue(jobs[1])
    await driven(acts, act_id)
    await desk.end(jobs[0], LINKED)

    first = await acts.items(act_id, limit=3)
    rest = await acts.items(act_id, limit=3, cursor=first["next"])
    refused = await acts.items(act_id, outcome="refused")

    assert [item["outcome"] for item in (*first["items"], *rest["items"])] == [
        "linked",
        "refused",
        "done",
        "done",
    ]
    assert (first["total"], rest["next"], refused["total"]) == (4, None, 1)
    assert refused["items"] == [
        {"job_id": jobs[1], "name": "Dana Flowers", "outcome": "refused", "refusal": "waits_already"}
    ]
    with pytest.raises(ValueError, match="lost"):
        await acts.items(act_id, outcome="lost")
