"""What is taught is kept beside the jobs, taken up by every process, and accounted for."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis.asyncio

from tests.contract.ledger_desk import Desk, a_fail, own_fail
from worker.domain.lessons import Lesson, LiveCatalogue
from worker.domain.outcome import Fail, Refused, Undelivered
from worker.domain.reasons import Catalogue
from worker.domain.states import Channel, JobState, Lane
from worker.ledger import JobFilter

FROZEN = Lesson(
    name="number_frozen",
    call="create_whatsapp",
    code=77,
    reason_class="bad_data",
    policy="fail",
    meaning="קפוא: the number is frozen.",
    remedy="Ask for another.",
    by="cli:dana",
    why="the partner said so",
)


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> Desk:
    return await Desk.open(store)


async def test_a_lesson_is_kept_with_who_taught_it_and_when(desk: Desk) -> None:
    """And read back in the order they were taught."""
    await desk.ledger.taught.teach(FROZEN)
    desk.advance(5)
    await desk.ledger.taught.teach(Lesson(name="foreign_link", policy="discard", by="user:noa"))

    [first, second] = await desk.ledger.taught.lessons()

    assert first == Lesson.from_document(
        FROZEN.document(), by="cli:dana", why="the partner said so", at_ms=desk.now_ms - 5_000
    )
    assert (second.name, second.policy, second.by) == ("foreign_link", "discard", "user:noa")


async def test_another_process_takes_a_lesson_up_with_its_next_look(desk: Desk) -> None:
    """One small read tells that nothing is new."""
    mine, theirs = LiveCatalogue(Catalogue.shipped()), LiveCatalogue(Catalogue.shipped())
    assert await desk.ledger.taught.refresh(mine)
    assert not await desk.ledger.taught.refresh(mine)

    await desk.ledger.taught.teach(FROZEN)

    for catalogue in (mine, theirs):
        assert await desk.ledger.taught.refresh(catalogue)
        assert catalogue.for_code("create_whatsapp", 77).name == "number_frozen"
        assert not await desk.ledger.taught.refresh(catalogue)


async def test_a_lesson_that_is_taken_back_no_longer_holds(desk: Desk) -> None:
    """In no process, and a second time there is nothing to take back."""
    catalogue = LiveCatalogue(Catalogue.shipped())
    await desk.ledger.taught.teach(FROZEN)
    await desk.ledger.taught.refresh(catalogue)

    assert await desk.ledger.taught.unteach(FROZEN.key, by="cli:noa", why="it was not so")
    assert not await desk.ledger.taught.unteach(FROZEN.key, by="cli:noa", why="again")
    await desk.ledger.taught.refresh(catalogue)

    assert catalogue.for_code("create_whatsapp", 77).name == "unknown_77"


async def test_a_lesson_of_a_newer_version_is_left_out(desk: Desk, store: redis.asyncio.Redis) -> None:
    """A fleet is updated a machine at a time: a word that this one does not know must not stop it."""
    await desk.ledger.taught.teach(FROZEN)
    odd = json.dumps({"name": "other", "call": None, "code": None, "class": "of_tomorrow"})
    await store.hset("{test}:taught", "other", f"{odd}\x1f1\x1fcli:x\x1f")
    catalogue = LiveCatalogue(Catalogue.shipped())

    assert await desk.ledger.taught.refresh(catalogue)
    assert [each.name for each in catalogue.lessons] == ["number_frozen"]


async def test_teaching_is_accounted_for_with_before_and_after(desk: Desk) -> None:
    """Also the taking back."""
    await desk.ledger.taught.teach(FROZEN)
    await desk.ledger.taught.unteach(FROZEN.key, by="cli:noa", why="wrong")

    back, taught = (await desk.ledger.trail.find()).items

    assert (taught.act, taught.subject, taught.by, taught.why) == (
        "teach",
        "create_whatsapp:77",
        "cli:dana",
        "the partner said so",
    )
    assert taught.detail["before"] == ""
    assert json.loads(taught.detail["after"]) == FROZEN.document()
    assert (back.act, back.by, back.detail["after"]) == ("unteach", "cli:noa", "")
    assert json.loads(back.detail["before"]) == FROZEN.document()


async def test_what_failed_before_it_was_taught_is_found_by_its_class_of_now(desk: Desk) -> None:
    """With other filters as well, dead letters too, until it is taught no more; what failed with a class keeps that."""
    jobs = [(await desk.accept()).job_ids[0] for _ in range(3)]
    for job in jobs[:2]:
        await desk.end(job, Refused(fail=a_fail("unknown_77", code=77)))
    await desk.end(jobs[2], Refused(fail=own_fail("number_invalid")))
    await desk.ledger.discard(jobs[1], by="cli:dana", why="")

    async def found(reason_class: str, **further: Any) -> set[str]:
        page = await desk.ledger.queries.find(JobFilter(reason_class=reason_class, **further))
        assert page.total == len(page.items)
        return {job.id for job in page.items}

    assert await found("unknown") == {jobs[0]}
    await desk.ledger.taught.teach(FROZEN, classes={"unknown_77": "not_registered"})
    assert await found("unknown") == await found("unknown", min_attempts=1) == set()
    assert await found("not_registered") == await found("not_registered", min_attempts=1) == {jobs[0]}
    assert await found("not_registered", state=JobState.DEAD) == {jobs[1]}
    assert await found("bad_data") == await found("bad_data", lane=Lane.LIVE) == {jobs[2]}

    await desk.ledger.taught.unteach(FROZEN.key, by="cli:dana", why="", classes={"unknown_77": ""})
    assert await found("unknown") == await found("unknown", min_attempts=1) == {jobs[0]}
    assert await found("not_registered", min_attempts=1) == set()


async def test_a_message_that_failed_before_it_was_taught_is_found_by_its_class_of_now(desk: Desk) -> None:
    """As jobs are."""
    lease = await desk.send(await desk.a_delivery(channels=(Channel.SMS,)))
    fail = Fail(reason="unknown_77", reason_class="unknown", code=77)
    await desk.ledger.deliveries.settle(lease, Undelivered(fail=fail), can_resend=False)
    await desk.ledger.taught.teach(FROZEN, classes={"unknown_77": "recipient"})

    for lane in (None, Lane.LIVE):
        for reason_class, count in (("recipient", 1), ("unknown", 0)):
            wanted = JobFilter(reason_class=reason_class, stage="delivery", lane=lane)
            assert (await desk.ledger.deliveries.failed(wanted)).total == count
