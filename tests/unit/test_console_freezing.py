"""Previews beside requests, what a form wishes, and what is said of an act in an address."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from worker.domain.act import Act
from worker.domain.states import JobState
from worker.ledger import JobFilter, LedgerUnavailable
from worker.ops.acts import ActRefused
from worker.ops.console.forms import Form
from worker.ops.console.freezing import Freezing
from worker.ops.console.told import see, told_of
from worker.ops.console.wishes import Wish, WishError, read_wish

ALL_FAILED = Wish(act=Act.REQUEUE, wanted=JobFilter(state=JobState.FAILED), states=(JobState.FAILED,))


class SlowActs:
    """Acts whose sets are frozen when the test says so, or fail as it says."""

    def __init__(self, error: Exception | None = None) -> None:
        self.may_end = asyncio.Event()
        self.error = error
        self.carried: list[str] = []
        self.given_up: list[str] = []

    async def begin_preview(self, act: Act, wanted: JobFilter, **_: Any) -> str:
        return f"{act.value}-{wanted.state}"

    async def carry_preview(self, act_id: str) -> dict[str, Any]:
        await self.may_end.wait()
        if self.error:
            raise self.error
        self.carried.append(act_id)
        return {"act_id": act_id}

    async def give_up(self, act_id: str) -> None:
        self.given_up.append(act_id)


def freezing(acts: SlowActs, *, at_once_s: float = 0.0) -> Freezing:
    made: Any = acts
    return Freezing(made, at_once_s=at_once_s)


async def test_a_large_set_is_frozen_while_its_page_is_shown() -> None:
    """The request is answered before the set is whole, and it becomes whole all the same."""
    acts = SlowActs()
    beside = freezing(acts)
    act_id = await beside.begin(ALL_FAILED, by="user:oren")
    assert (act_id, acts.carried) == ("requeue-failed", [])
    acts.may_end.set()
    while not acts.carried:
        await asyncio.sleep(0)

    assert acts.carried == [act_id]
    assert not beside.has_failed(act_id)


async def test_a_small_set_is_whole_when_the_page_is_shown() -> None:
    """Nobody sees a progress page for ten jobs."""
    acts = SlowActs()
    acts.may_end.set()
    act_id = await freezing(acts, at_once_s=30.0).begin(ALL_FAILED, by="user:oren")

    assert acts.carried == [act_id]


@pytest.mark.parametrize(
    ("error", "code"), [(ActRefused("too_many"), "act_refused_too_many"), (LedgerUnavailable("away"), None)]
)
async def test_why_a_set_was_given_up_is_known(error: Exception, code: str | None) -> None:
    """Its page says so, in place of a number that never rises again."""
    acts = SlowActs(error)
    acts.may_end.set()
    beside = freezing(acts, at_once_s=30.0)
    act_id = await beside.begin(ALL_FAILED, by="user:oren")
    trouble = beside.trouble_of(act_id)

    assert beside.has_failed(act_id)
    assert (trouble["code"] if trouble else None) == code
    assert not beside.has_failed("another")


async def test_what_nobody_expected_is_said_and_noted_on_the_act() -> None:
    """Its page asks for the number every two seconds: it must not do so for an hour. The text stays in nobody's log."""
    acts = SlowActs(RuntimeError("972501234567"))
    acts.may_end.set()
    beside = freezing(acts, at_once_s=30.0)
    with capture_logs() as logged:
        act_id = await beside.begin(ALL_FAILED, by="user:oren")
    trouble = beside.trouble_of(act_id)

    assert trouble is not None
    assert trouble["code"] == "act_refused_broken"
    assert acts.given_up == [act_id]
    assert [(each["event"], each["error"]) for each in logged] == [("preview_broken", "RuntimeError")]
    assert "972501234567" not in str(logged)


async def test_who_asks_for_one_preview_too_many_is_told_to_wait() -> None:
    """Some dozens wait for their turn already; when they are through, it is taken."""
    acts = SlowActs()
    beside = freezing(acts)
    for _ in range(24):
        await beside.begin(ALL_FAILED, by="user:oren")
    with pytest.raises(ActRefused, match="wait a minute") as refused:
        await beside.begin(ALL_FAILED, by="user:oren")
    acts.may_end.set()
    while len(acts.carried) < 24:
        await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert refused.value.code == "busy"
    assert await beside.begin(ALL_FAILED, by="user:oren")
    await beside.aclose()


async def test_what_is_under_way_ends_with_the_server() -> None:
    """No task outlives the application."""
    acts = SlowActs()
    beside = freezing(acts)
    await beside.begin(ALL_FAILED, by="user:oren")
    await beside.aclose()

    assert acts.carried == []
    assert len(asyncio.all_tasks()) == 1


# --- wishes ------------------------------------------------------------------------------------------------


def a_wish(**fields: str) -> Wish:
    return read_wish(Form(list(fields.items())))


def test_a_wish_for_all_looks_where_its_list_does() -> None:
    """One state where the filter names it; the failed ones for a reason; else all."""
    assert a_wish(act="requeue", scope="all", filter='{"state": "dead"}').states == (JobState.DEAD,)
    assert a_wish(act="requeue", scope="all", filter='{"reason": "x"}').states == (JobState.FAILED,)
    assert a_wish(act="cancel", scope="all", filter='{"batch": "b"}').states == tuple(JobState)


def test_a_list_of_jobs_is_about_jobs() -> None:
    """Messages are among them only where the page was about messages."""
    links = a_wish(act="requeue", scope="all", filter='{"state": "failed"}').wanted
    messages = a_wish(act="requeue", scope="all", filter='{"state": "failed", "stage": "delivery"}').wanted
    assert links is not None
    assert messages is not None
    assert (links.stage, messages.stage) == ("link", "delivery")


def test_the_ticked_are_taken_once_each() -> None:
    """Whatever a browser repeats; an id of a mile is left out."""
    pairs = [("act", "discard"), ("job_id", "a"), ("job_id", "b"), ("job_id", "a"), ("job_id", "x" * 999)]
    assert read_wish(Form(pairs)).ids == ("a", "b")
    with pytest.raises(WishError, match="nothing_ticked"):
        read_wish(Form([("act", "discard"), ("job_id", "")]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"state": 5}',
        '{"name": "\\ud800"}',
        '{"\\ud800": "x"}',
        "[" * 100_000,
        '{"stage": "x"}',
    ],
)
def test_a_filter_that_no_page_of_ours_wrote_is_refused(text: str) -> None:
    """Also one whose text could not be kept: half of a surrogate pair."""
    with pytest.raises(WishError, match="bad_filter"):
        a_wish(act="discard", scope="all", filter=text)


# --- what is said in an address ----------------------------------------------------------------------------


def test_only_our_own_sentences_are_said() -> None:
    """Words of the tables; anything else is nothing."""
    done = told_of({"told": "discard"})
    refused = told_of({"not": "is_running"})
    assert done is not None
    assert done.tone == "good"
    assert refused is not None
    assert refused.why is not None
    assert refused.why["text"] == "it is running"
    for query in ({}, {"told": "x"}, {"not": "x"}, {"told": ""}, {"not": "../etc"}):
        assert told_of(query) is None


def test_every_refusal_of_an_act_can_be_said() -> None:
    """Without naming what an address must not carry."""
    for code in (
        "gone",
        "expired",
        "nothing_eligible",
        "why_missing",
        "not_running",
        "not_undoable",
        "taken",
        "taken_back",
        "busy",
        "broken",
    ):
        told = told_of({"not": code})
        assert told is not None, code
    for code in ("already_started", "too_many"):
        told = told_of({"not": code})
        assert told is not None
        assert told.why is None or "{" not in told.why["text"]


def test_a_redirect_keeps_what_its_address_has() -> None:
    """The word is added to a query that is there already."""
    assert see("/jobs?state=failed", told="stop").headers["Location"] == "/jobs?state=failed&told=stop"
    assert see("/dead", refused="gone", anchor="items").headers["Location"] == "/dead?not=gone#items"
    assert see("/dead").headers["Location"] == "/dead"
