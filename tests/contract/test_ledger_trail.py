"""The trail: every act of an operator is found again, by who, what and when, until it is as old as the jobs."""

from __future__ import annotations

from typing import Any

import pytest
import redis.asyncio

from tests.contract.ledger_desk import Desk
from worker.domain.states import JobState


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> Desk:
    return await Desk.open(store)


async def test_an_entry_is_read_back_as_it_was_left(desk: Desk) -> None:
    """Who, why, when, to what, and the rest by name; what is None is left out."""
    left = await desk.ledger.trail.record(
        "pause",
        by="cli:dana",
        why="partner says stop",
        subject="bulk",
        detail={"filter": {"reason": "link_exists"}, "count": 3, "is_all": False, "nothing": None},
    )
    [entry] = (await desk.ledger.trail.find()).items

    assert entry.id == left
    assert (entry.act, entry.by, entry.why, entry.subject) == (
        "pause",
        "cli:dana",
        "partner says stop",
        "bulk",
    )
    assert entry.at_ms == desk.now_ms
    assert entry.detail == {"filter": '{"reason":"link_exists"}', "count": "3", "is_all": "0"}


async def test_a_separator_inside_a_text_does_no_harm(desk: Desk) -> None:
    """What separates the parts of an entry never comes from outside; line breaks and Hebrew stay."""
    await desk.ledger.trail.record(
        "discard", by="user:דנה", why="one\x1ftwo\nשלום", subject="x", detail={"a": "b\x1fc", "d": "e"}
    )
    [entry] = (await desk.ledger.trail.find(by="דנה")).items

    assert entry.why == "one two\nשלום"
    assert entry.detail == {"a": "b c", "d": "e"}


async def test_a_text_without_end_is_cut_between_two_letters(desk: Desk) -> None:
    """A why of a megabyte does not fill the memory, and what is kept of it can be read."""
    for text in ("ש" * 500_000, "a" + "ש" * 500_000):
        await desk.ledger.trail.record("discard", by="cli:dana", why=text)
        [entry] = (await desk.ledger.trail.find(limit=1)).items

        assert text.startswith(entry.why)
        assert 9_000 <= len(entry.why) <= 10_001


async def test_entries_are_found_by_who_what_and_which(desk: Desk) -> None:
    """Each alone and all together, newest first; a name is found with and without where it came from."""
    trail = desk.ledger.trail
    for by, act, subject in (
        ("cli:dana", "requeue", "job1"),
        ("user:dana", "discard", "job1"),
        ("user:noa", "requeue", "job2"),
        ("user:noa", "discard", "job1"),
    ):
        await trail.record(act, by=by, subject=subject)
        desk.advance(1)

    async def acts(**asked: Any) -> list[tuple[str, str, str]]:
        page = await trail.find(**asked)
        assert page.total == len(page.items)
        assert page.is_total_exact
        return [(entry.by, entry.act, entry.subject) for entry in page.items]

    assert [who for who, _, _ in await acts()] == ["user:noa", "user:noa", "user:dana", "cli:dana"]
    assert await acts(by="dana") == [("user:dana", "discard", "job1"), ("cli:dana", "requeue", "job1")]
    assert await acts(by="cli:dana") == [("cli:dana", "requeue", "job1")]
    assert await acts(act="requeue", by="noa") == [("user:noa", "requeue", "job2")]
    assert await acts(subject="job1", act="discard", by="user:noa") == [("user:noa", "discard", "job1")]
    assert await acts(subject="job3") == []
    assert await acts(by="dan") == []


async def test_a_span_of_time_bounds_what_is_found(desk: Desk) -> None:
    """From an instant on, and before another; the total counts only these."""
    began = desk.now_ms
    for nth in range(5):
        await desk.ledger.trail.record("pause", by="cli:dana", subject=str(nth))
        desk.advance(60)

    page = await desk.ledger.trail.find(since_ms=began + 60_000, before_ms=began + 180_000)

    assert [entry.subject for entry in page.items] == ["2", "1"]
    assert page.total == 2


@pytest.mark.parametrize("asked", [{}, {"by": "dana"}, {"by": "dana", "act": "pause"}])
async def test_pages_join_without_gap_or_repeat(desk: Desk, asked: dict[str, Any]) -> None:
    """Also where many entries were left in the same millisecond, and while new ones arrive."""
    for nth in range(23):
        await desk.ledger.trail.record("pause", by="cli:dana", subject=str(nth))
        await desk.ledger.trail.record("resume", by="cli:noa", subject=str(nth))
        if nth % 7 == 6:
            desk.advance(1)
    wanted = {"act": "pause"} | asked

    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = await desk.ledger.trail.find(cursor=cursor, limit=4, **wanted)
        seen += [entry.subject for entry in page.items]
        cursor = page.next
        if cursor is None:
            break
        await desk.ledger.trail.record("pause", by="cli:dana", subject="late")

    assert seen == [str(nth) for nth in reversed(range(23))]


async def test_a_rare_act_among_many_is_found(desk: Desk) -> None:
    """Looking stays bounded per script and goes on by itself."""
    await desk.ledger.trail.record("edit", by="cli:dana", subject="job1")
    for _ in range(700):
        await desk.ledger.trail.record("reveal", by="cli:dana")
    for _ in range(700):
        await desk.ledger.trail.record("edit", by="cli:noa")

    page = await desk.ledger.trail.find(by="dana", act="edit")

    assert [entry.subject for entry in page.items] == ["job1"]
    assert (page.total, page.next) == (1, None)


@pytest.mark.parametrize("cursor", ["", "x", "1", "1-", "1-2-3", "-1-2", "1-١"])
async def test_a_cursor_of_somebody_elses_is_refused(desk: Desk, cursor: str) -> None:
    """And told by a ValueError, which commands turn into a line."""
    with pytest.raises(ValueError, match="cursor"):
        await desk.ledger.trail.find(cursor=cursor)


async def test_what_is_old_is_pruned_with_all_its_indexes(desk: Desk, store: redis.asyncio.Redis) -> None:
    """A bounded number at a time, the oldest first; nothing of them stays behind."""
    before = set(await store.keys())
    for nth in range(5):
        await desk.ledger.trail.record("edit", by="cli:dana", subject=f"job{nth}")
        desk.advance(100)

    assert await desk.ledger.trail.prune(older_than_s=250, limit=2) == 2
    assert await desk.ledger.trail.prune(older_than_s=250, limit=100) == 1
    assert [entry.subject for entry in (await desk.ledger.trail.find()).items] == ["job4", "job3"]

    desk.advance(1_000)
    assert await desk.ledger.trail.prune(older_than_s=250, limit=100) == 2
    assert set(await store.keys()) == before


async def test_what_was_done_to_a_job_stays_as_long_as_the_job(
    desk: Desk, store: redis.asyncio.Redis
) -> None:
    """However old; what stays does not keep what is younger and needless from being deleted, a few looks at a time."""
    jobs = [(await desk.accept()).job_ids[0] for _ in range(3)]
    trail = desk.ledger.trail
    message = f"{jobs[0][:20]}.1"
    for subject in (*jobs, message, "01k8abcdefghjkmnpqrsw", "bulk", "batch:b"):
        await trail.record("discard", by="cli:dana", subject=subject)
        desk.advance(1)
    desk.advance(1_000)

    gone = [await trail.prune(older_than_s=500, limit=2) for _ in range(5)]

    assert sum(gone) == 3
    kept = {message, *jobs}
    assert {entry.subject for entry in (await trail.find()).items} == kept
    await desk.ledger.cancel(jobs[1], by="cli:dana", why="x")
    desk.advance(1_000)
    await desk.ledger.prune({JobState.CANCELLED: 500.0}, limit=10)
    for _ in range(4):
        await trail.prune(older_than_s=500, limit=2)
    assert {entry.subject for entry in (await trail.find()).items} == kept - {jobs[1]}


async def test_what_was_done_to_a_jobs_messages_is_found_by_the_job(desk: Desk) -> None:
    """A resend is an act on the message; what was done to another job of the invitation is not this one's."""
    inv = "01k8abcdefghjkmnpqrs"
    trail = desk.ledger.trail
    for act, subject in (
        ("requeue", f"{inv}w"),
        ("requeue", f"{inv}3"),
        ("resend", f"{inv}.email.invitation.1"),
        ("requeue", "01k8abcdefghjkmnpqrtw"),
    ):
        await trail.record(act, by="cli:dana", subject=subject)

    page = await trail.find(subject=f"{inv}w")

    assert [(entry.act, entry.subject) for entry in page.items] == [
        ("resend", f"{inv}.email.invitation.1"),
        ("requeue", f"{inv}w"),
    ]
    assert (page.total, page.is_total_exact) == (2, True)
    await trail.record("resend", by="cli:dana", subject=f"{inv}.sms.invitation.1")
    [one] = (await trail.find(subject=f"{inv}.email.invitation.1")).items
    assert one.subject == f"{inv}.email.invitation.1"
