"""The trail as it is shown: contacts masked unless asked for, looking accounted for; exports; why a hold stands."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import pytest
import redis.asyncio

from tests.contract.ledger_desk import Desk, a_fail
from tests.factories import a_request
from worker.domain.outcome import Refused
from worker.domain.reasons import Catalogue
from worker.domain.request import Product
from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter
from worker.limits import Limits, LimitsUnavailable
from worker.ops.commands import Commands
from worker.ops.export import COLUMNS, count, csv_head, csv_line, rows
from worker.ops.holds import Holds
from worker.ops.trail import ACTS, AuditTrail

CATALOGUE = Catalogue.shipped()


@pytest.fixture
async def desk(fake_redis: redis.asyncio.Redis) -> Desk:
    return await Desk.open(fake_redis)


@pytest.fixture
async def limits(fake_redis: redis.asyncio.Redis) -> Limits:
    return Limits(fake_redis, namespace="test", name="partner", ceiling=10)


async def test_before_after_and_filters_are_masked(desk: Desk) -> None:
    """Unless somebody asks to see them."""
    changes = [{"field": "whatsapp", "before": "+972501234567", "after": "+972501234568"}]
    trail = AuditTrail(desk.ledger)
    await desk.ledger.trail.record(
        "edit", by="cli:dana", subject="j", detail={"changes": changes, "was": "x"}
    )
    await desk.ledger.trail.record(
        "act_started", by="cli:dana", detail={"filter": {"number": "972501234567", "reason": "x"}, "total": 3}
    )

    act, edit = (await trail.find())["items"]

    assert edit["detail"]["changes"] == [
        {"field": "whatsapp", "before": "+9725******67", "after": "+9725******68"}
    ]
    assert act["detail"] == {"filter": {"number": "9725******67", "reason": "x"}, "total": "3"}
    whole = await trail.entry(edit["id"].lstrip("0"), is_revealed=True)
    assert whole is not None
    assert whole["detail"]["changes"] == changes
    assert await trail.entry("99") is None
    assert await trail.entry("x") is None


async def test_what_is_taught_is_shown_whole(desk: Desk) -> None:
    """A reason's name is no customer's."""
    await desk.ledger.trail.record("teach", by="cli:dana", detail={"after": {"name": "number_frozen"}})
    [entry] = (await AuditTrail(desk.ledger).find())["items"]

    assert entry["detail"] == {"after": {"name": "number_frozen"}}


async def test_only_what_is_young_enough_is_found(desk: Desk) -> None:
    """`since` is a length of time back from now."""
    trail = AuditTrail(desk.ledger)
    await trail.reveal(by="user:dana", subject="old")
    desk.advance(3_600)
    await trail.reveal(by="user:dana", subject="young", what="job")

    assert [each["subject"] for each in (await trail.find(since_s=600))["items"]] == ["young"]


async def test_a_reveal_of_nothing_is_no_act(desk: Desk) -> None:
    """An empty list shows nobody."""
    await AuditTrail(desk.ledger).reveal(by="user:dana", shown=0, what="job list")

    assert (await AuditTrail(desk.ledger).find())["total"] == 0


def test_every_act_of_the_scripts_has_its_words() -> None:
    """A new act is to be told in words, too."""
    folder = resources.files("worker.ledger") / "lua"
    texts = [each.read_text(encoding="utf-8") for each in folder.iterdir() if each.name.endswith(".lua")]
    acts = {act for text in texts for act in re.findall(r"\baccount\('(\w+[a-z])'", text)}
    acts |= {f"act_{event}" for text in texts for event in re.findall(r"account_act\(act, '(\w+)'", text)}
    assert len(acts) > 10

    assert acts <= set(ACTS)


# --- export --------------------------------------------------------------------------------------------------


async def exported(desk: Desk, *states: JobState, **asked: Any) -> list[Mapping[str, str]]:
    return [
        row async for row in rows(desk.ledger, JobFilter(**asked), states or (JobState.FAILED,), CATALOGUE)
    ]


async def test_a_row_holds_the_request_and_why_it_failed(desk: Desk) -> None:
    """The fields that a backfill reads first, then ours."""
    job = await desk.job_in(JobState.FAILED, request=a_request(whatsapp="972501234567", reference="A-1"))

    [row] = await exported(desk)

    assert tuple(row) == COLUMNS
    assert (row["whatsapp"], row["reference"], row["product"]) == ("+972501234567", "A-1", "whatsapp")
    assert (row["_job_id"], row["_state"], row["_reason"], row["_code"]) == (
        job,
        "failed",
        "name_refused",
        "9",
    )
    assert row["_attempts"] == "1"
    assert row["_meaning"]


async def test_each_row_asks_for_its_own_link_alone(desk: Desk) -> None:
    """A customer's other links are made or wait."""
    request = a_request(products=(Product.WHATSAPP, Product.FACEBOOK_PAGE))
    [_, page] = (await desk.accept(request=request)).job_ids
    await desk.end(page, Refused(fail=a_fail()))

    assert [(row["_job_id"], row["product"]) for row in await exported(desk)] == [(page, "facebook:3")]


async def test_what_matches_is_exported_page_by_page(desk: Desk) -> None:
    """More than a page, each once, and no other's."""
    jobs = [await desk.job_in(JobState.FAILED) for _ in range(450)]
    await desk.job_in(JobState.DEAD)

    found = await exported(desk, reason="name_refused")

    assert sorted(row["_job_id"] for row in found) == sorted(jobs)
    assert await count(desk.ledger, JobFilter(), [JobState.FAILED]) == (450, True)


async def test_no_cell_runs_as_a_formula(desk: Desk) -> None:
    """And what was guarded is given back by the reader."""
    await desk.job_in(JobState.FAILED, request=a_request(reference="=HYPERLINK(1)", external_id='a"b;=c'))
    [row] = await exported(desk)

    text = csv_head() + csv_line(row)
    [read] = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))

    assert text.startswith("\ufeffwhatsapp,")
    assert read["reference"] == "'=HYPERLINK(1)"
    assert read["whatsapp"].startswith("'+972")
    assert read["external_id"] == "a\"b;'=c"


async def test_an_export_is_accounted_for(desk: Desk) -> None:
    """Customers' data left the house: by whom, which and how many."""
    await AuditTrail(desk.ledger).exported(
        JobFilter(reason="name_refused"), [JobState.DEAD], by="cli:dana", count=7, to="mend.csv"
    )
    [entry] = (await AuditTrail(desk.ledger).find(act="export"))["items"]

    assert entry["detail"] == {
        "filter": {"reason": "name_refused", "states": ["dead"]},
        "count": "7",
        "to": "mend.csv",
    }


# --- holds ---------------------------------------------------------------------------------------------------


async def test_a_hold_shows_what_was_seen_before_work_stopped(desk: Desk, limits: Limits) -> None:
    """The reason, since when, how many wait, and the answers that made it, masked."""
    jobs = [(await desk.accept()).job_ids[0] for _ in range(6)]
    for job in jobs[:5]:
        raw = json.dumps({"status": "FAIL", "reason": 17, "number": "972501234567"})
        await desk.end(job, Refused(fail=a_fail(raw=raw)))
    holds = Holds(desk.ledger, limits, CATALOGUE)

    [hold] = await holds.all()

    assert (hold["target"], hold["reason"], hold["waiting"]) == ("live", "unknown_17", 1)
    assert hold["since"] is not None
    assert sorted(each["job_id"] for each in hold["evidence"]) == sorted(jobs[:5])
    assert all(each["code"] == 17 for each in hold["evidence"])
    assert '"reason": 17' in hold["evidence"][0]["answer"]
    assert "972501234567" not in str(hold)
    assert await holds.hold("bulk") is None


async def test_a_hold_of_a_batch_names_it(desk: Desk, limits: Limits) -> None:
    """By the name of its file."""
    await desk.ledger.batches.open("b", name="customers.csv", source="csv", by="cli:dana")
    await desk.accept(lane=Lane.BULK, batch_id="b")
    await desk.ledger.batches.hold("batch:b", "unknown_17")

    hold = await Holds(desk.ledger, limits, CATALOGUE).hold("batch:b")

    assert hold is not None
    assert (hold["batch"], hold["waiting"]) == ("customers.csv", 1)


async def _break_off() -> None:
    raise LimitsUnavailable("gone")


async def test_refused_credentials_are_a_hold_of_all_calls(
    desk: Desk, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen, and cleared, like any other; clearing is accounted for."""
    await limits.hold_credentials("f00", 2)
    holds, commands = Holds(desk.ledger, limits, CATALOGUE), Commands(desk.ledger, limits, CATALOGUE)

    hold = await holds.hold("calls")
    assert hold is not None
    assert (hold["target"], hold["reason"]) == ("calls", "credentials_held")

    with monkeypatch.context() as broken:
        broken.setattr(limits, "resume", _break_off)
        with pytest.raises(LimitsUnavailable):
            await commands.clear_hold("calls", by="user:dana", why="tried")
    [tried] = (await desk.ledger.trail.find(act="clear_hold")).items
    assert tried.why == "tried", "who tried is recorded before anything is lifted"
    desk.advance(1)

    assert await commands.clear_hold("calls", by="user:dana", why="new secret") == "credentials_held"
    entry, _ = (await desk.ledger.trail.find(act="clear_hold")).items
    assert (entry.subject, entry.why, entry.detail["reason"]) == ("calls", "new secret", "credentials_held")
