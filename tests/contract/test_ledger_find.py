"""Finding jobs: nothing hides behind many others, and a list runs in the order of the time it shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis.asyncio

from tests.contract.ledger_desk import LINKED, SNOOZED, Desk, a_fail, own_fail, retry
from tests.factories import a_request, an_invitation
from worker.domain.job import JobRecord
from worker.domain.outcome import Refused
from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter, Page, finding
from worker.ledger.finding import COUNT_LIMIT

MANY = COUNT_LIMIT + 200
EVERY_FILTER = [
    JobFilter(),
    JobFilter(older_than_s=5),
    JobFilter(state=JobState.AVAILABLE),
    JobFilter(state=JobState.AVAILABLE, lane=Lane.BULK),
    JobFilter(state=JobState.AVAILABLE, batch="b"),
    JobFilter(state=JobState.AVAILABLE, older_than_s=5),
    JobFilter(state=JobState.RUNNING, older_than_s=5),
    JobFilter(state=JobState.SCHEDULED, older_than_s=5),
    JobFilter(state=JobState.FAILED),
    JobFilter(state=JobState.FAILED, older_than_s=5),
    JobFilter(state=JobState.FAILED, source="csv"),
    JobFilter(reason="name_refused", older_than_s=5),
    JobFilter(reason_class="unknown", older_than_s=5),
    JobFilter(reason="name_refused", lane=Lane.LIVE),
    JobFilter(state=JobState.LINKED, older_than_s=5, source="csv"),
    JobFilter(source="csv"),
    JobFilter(lane=Lane.BULK),
    JobFilter(newer_than_s=8),
    JobFilter(newer_than_s=12, older_than_s=4),
    JobFilter(state=JobState.FAILED, newer_than_s=8),
    JobFilter(state=JobState.LINKED, newer_than_s=12, older_than_s=4),
    JobFilter(reason="name_refused", newer_than_s=8),
    JobFilter(min_attempts=1),
    JobFilter(min_attempts=2),
    JobFilter(state=JobState.AVAILABLE, min_requeues=1),
    JobFilter(state=JobState.FAILED, min_requeues=1),
    JobFilter(reason="number_in_use", min_requeues=1),
    JobFilter(min_requeues=1),
    JobFilter(email="Dana@example.com", state=JobState.FAILED),
    JobFilter(name="flow", lane=Lane.BULK),
]


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


async def pages(desk: Desk, wanted: JobFilter, *, limit: int = 50) -> list[Page[JobRecord]]:
    """Page through a list to its end."""
    found = [await desk.ledger.queries.find(wanted, limit=limit)]
    while found[-1].next is not None:
        found.append(await desk.ledger.queries.find(wanted, cursor=found[-1].next, limit=limit))
    return found


async def listed(desk: Desk, wanted: JobFilter, *, limit: int = 50) -> list[str]:
    """Return the ids on all pages, in order."""
    return [job.id for page in await pages(desk, wanted, limit=limit) for job in page.items]


def is_match(job: JobRecord, wanted: JobFilter, now_ms: int) -> bool:
    """Say of one job what the filter means."""
    if wanted.older_than_s is not None and job.changed_at_ms >= now_ms - wanted.older_than_s * 1000:
        return False
    if (wanted.reason or wanted.reason_class) and job.state is not (wanted.state or JobState.FAILED):
        return False
    if wanted.newer_than_s is not None and job.changed_at_ms < now_ms - wanted.newer_than_s * 1000:
        return False
    if job.attempt < (wanted.min_attempts or 0) or job.requeues < (wanted.min_requeues or 0):
        return False
    pairs = [
        (wanted.state, job.state),
        (wanted.reason, job.reason),
        (wanted.reason_class, job.reason_class),
        (wanted.lane, job.lane),
        (wanted.batch, job.batch_id),
        (wanted.source, job.source),
    ]
    return all(ask is None or ask == its for ask, its in pairs)


async def all_sorts(desk: Desk) -> list[str]:
    """Return jobs in every state, each changed at another time, some on long ways round."""
    jobs: list[str] = []
    batch = await desk.accept_batch("b", 12, source="csv")
    for nth, job in enumerate(batch):
        desk.advance(1)
        match nth % 4:
            case 0:
                await desk.end(job, LINKED)
            case 1:
                await desk.end(job, Refused(fail=own_fail()))
            case 2:
                await desk.end(job, Refused(fail=a_fail()))
            case _:
                await desk.ledger.cancel(job, by="dana", why="test")
    for state in (JobState.FAILED, JobState.SCHEDULED, JobState.DEAD, JobState.RUNNING, JobState.IN_DOUBT):
        desk.advance(1)
        jobs.append(await desk.job_in(state, lane=Lane.BULK))
        jobs.append(await desk.job_in(state))
    requeued, promoted, snoozed, rung, _ = [(await desk.accept(lane=Lane.BULK)).job_ids[0] for _ in range(5)]
    await desk.end(requeued, Refused(fail=own_fail()))
    await desk.end(promoted, retry(2.0))
    desk.advance(3)
    await desk.ledger.promote()
    await desk.requeue(requeued)
    desk.advance(1)
    await desk.end(snoozed, replace(SNOOZED, delay_s=60.0))
    desk.advance(1)
    await desk.ledger.feed(Lane.BULK, want=3)
    desk.advance(3)
    young = await desk.accept_batch("b", 3, source="cli")
    again = await desk.job_in(JobState.FAILED)
    await desk.requeue(again)
    desk.advance(1)
    await desk.end(again, Refused(fail=own_fail("number_in_use")))
    explained = Refused(fail=own_fail("number_in_use")).fail
    await desk.ledger.explain(batch[2], explained)
    return [*batch, *jobs, requeued, promoted, snoozed, rung, *young, again]


async def test_every_filter_finds_exactly_its_jobs(desk: Desk) -> None:
    """Each once, on pages of any size, with a total that is right."""
    await all_sorts(desk)
    everything = [job for page in await pages(desk, JobFilter()) for job in page.items]

    for wanted in EVERY_FILTER:
        matching = sorted(job.id for job in everything if is_match(job, wanted, desk.now_ms))
        found = await listed(desk, wanted, limit=2)
        first = await desk.ledger.queries.find(wanted, limit=2)

        assert sorted(found) == matching, wanted
        assert (first.total, first.is_total_exact) == (len(matching), True), wanted


@pytest.mark.parametrize("wanted", [each for each in EVERY_FILTER if not (each.email or each.name)])
async def test_lists_run_by_the_time_they_show(desk: Desk, wanted: JobFilter) -> None:
    """Whoever changed last comes first: running, rung, scheduled, promoted, requeued and explained ones too."""
    await all_sorts(desk)
    times = [job.changed_at_ms for page in await pages(desk, wanted, limit=3) for job in page.items]

    assert times == sorted(times, reverse=True)


async def test_old_and_rare_jobs_are_found_behind_many(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """By age, by source, by both: a call goes on looking until it found what was asked for, time allowing."""
    monkeypatch.setattr("worker.ledger.paging._SCAN_S", 60.0)
    rare = (await desk.accept_batch("rare", 2, source="csv"))[0]
    await desk.ledger.batches.cancel("rare", by="dana", why="wrong file")
    waiting = (await desk.accept(source="api")).job_ids[0]
    desk.advance(601)
    for start in range(0, MANY, 1000):
        await desk.accept_batch(f"b{start // 3000}", min(1000, MANY - start), source="json")
    cancelled = JobState.CANCELLED

    for wanted, count in [
        (JobFilter(older_than_s=600), 3),
        (JobFilter(source="csv"), 2),
        (JobFilter(state=cancelled, source="csv"), 2),
        (JobFilter(state=cancelled, older_than_s=600, source="csv"), 2),
        (JobFilter(state=JobState.AVAILABLE, older_than_s=600), 1),
        (JobFilter(state=JobState.AVAILABLE, source="api"), 1),
    ]:
        page = await desk.ledger.queries.find(wanted)
        ids = {job.id for job in page.items}
        assert len(ids) == count, wanted
        assert ids & {rare, waiting}, wanted
        assert page.next is None
        assert len(await listed(desk, wanted)) == count
    crowd = await desk.ledger.queries.find(JobFilter(source="json"), limit=5)
    assert (crowd.total, crowd.is_total_exact) == (COUNT_LIMIT, False)


async def test_age_is_counted_by_the_index(desk: Desk) -> None:
    """Many cancelled jobs of two ages: the old ones come at once, all of them, exactly counted."""
    old = await desk.accept_batch("old", 60)
    await desk.ledger.batches.cancel("old", by="dana", why="wrong file")
    desk.advance(601)
    await desk.accept_batch("young", 600)
    await desk.ledger.batches.cancel("young", by="dana", why="wrong file")
    wanted = JobFilter(state=JobState.CANCELLED, older_than_s=600)
    found = await pages(desk, wanted, limit=25)

    assert [len(page.items) for page in found] == [25, 25, 10]
    assert sorted(job.id for page in found for job in page.items) == sorted(old)
    assert {(page.total, page.is_total_exact) for page in found} == {(60, True)}
    assert len(set(await listed(desk, JobFilter(source="test"), limit=500))) == 660


async def test_a_page_without_a_cursor_is_the_last(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that looked at as many as it may says where to go on, though it found nothing."""
    monkeypatch.setattr(finding, "SCAN_LIMIT", 200)
    monkeypatch.setattr(finding, "COUNT_LIMIT", 200)
    rare = await desk.accept_batch("rare", 3, source="api")
    desk.advance(1)
    await desk.accept_batch("b", 700, source="csv")
    found = await pages(desk, JobFilter(source="api"), limit=2)

    assert [len(page.items) for page in found] == [0, 0, 0, 2, 1]
    assert [(page.total, page.is_total_exact) for page in found] == [
        *[(0, False)] * 3,
        (2, False),
        (3, True),
    ]
    assert [job.id for page in found for job in page.items] == rare[::-1]


@pytest.mark.parametrize("wanted", [JobFilter(batch="b"), JobFilter(source="csv"), JobFilter(name="dana")])
async def test_a_list_that_fills_its_pages_ends_with_the_last_of_them(desk: Desk, wanted: JobFilter) -> None:
    """Nobody is led on to a page without rows."""
    await desk.accept_batch("b", 30, source="csv")
    for _ in range(30):
        await desk.accept(source="api", request=a_request(business_name="Gil", display_name="Gil"))

    for limit, count in [(30, 1), (15, 2), (10, 3)]:
        assert [len(page.items) for page in await pages(desk, wanted, limit=limit)] == [limit] * count


async def test_a_count_is_carried_from_page_to_page(desk: Desk) -> None:
    """It is not counted anew for every page, nor does it fall behind what was listed."""
    await desk.accept_batch("b", 30, source="csv")
    await desk.accept_batch("c", 30, source="api")
    found = await pages(desk, JobFilter(source="csv"), limit=12)

    assert [(len(page.items), page.total, page.is_total_exact) for page in found] == [
        (12, 30, True),
        (12, 30, True),
        (6, 30, True),
    ]


async def test_very_many_scheduled_jobs_are_listed_by_their_due_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are too many to be sorted; a list begun in one order goes on in it."""
    due_first = await desk.accept(not_before_ms=desk.now_ms + 9_000)
    desk.advance(1)
    rows = [an_invitation(not_before_ms=desk.now_ms + nth) for nth in range(5)]
    await desk.ledger.accept(rows, max_waiting=100)
    wanted, [last] = JobFilter(state=JobState.SCHEDULED), due_first.job_ids
    by_change = await listed(desk, wanted, limit=4)
    begun = await desk.ledger.queries.find(wanted, limit=4)
    monkeypatch.setattr(finding, "SORTED_LIMIT", 5)
    by_due = await listed(desk, wanted, limit=4)
    rest = await desk.ledger.queries.find(wanted, limit=4, cursor=begun.next)

    assert (len(by_change), by_change[-1], by_due[0]) == (6, last, last)
    assert sorted(by_due) == sorted(by_change)
    assert [job.id for job in rest.items] == by_change[4:]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "7",
        "change",
        "change-1-1-1-nan:a",
        "change-1-1-1-x",
        "batch-1-1-1-1",
        "rank-1-1-1-1",
        "search-1-1-1-1w",
        "due-1-1-1-1e9:a",
    ],
)
async def test_a_cursor_of_another_list_is_refused(desk: Desk, cursor: str) -> None:
    """Rather than answered with a list that is not the one begun."""
    with pytest.raises(ValueError, match="not one of our cursors"):
        await desk.ledger.queries.find(JobFilter(state=JobState.LINKED, source="csv"), cursor=cursor)
