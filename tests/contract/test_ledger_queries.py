"""Reading the ledger: counts, lists, groups and the audit."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.ledger_desk import LINKED, Desk, a_fail, own_fail
from tests.factories import a_request
from worker.domain.outcome import Refused
from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter, Page

EASY_STATES = [
    JobState.AVAILABLE,
    JobState.SCHEDULED,
    JobState.RUNNING,
    JobState.IN_DOUBT,
    JobState.LINKED,
    JobState.FAILED,
    JobState.DEAD,
    JobState.CANCELLED,
]


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


async def find(desk: Desk, wanted: JobFilter, *, limit: int = 3) -> tuple[list[str], int]:
    """Page through a list to its end; return the ids in order, and the first page's total."""
    ids: list[str] = []
    cursor, total = None, None
    while True:
        page: Page[object] = await desk.ledger.queries.find(wanted, cursor=cursor, limit=limit)
        ids += [job.id for job in page.items]
        total = page.total if total is None else total
        cursor = page.next
        if cursor is None:
            return ids, total


async def test_every_job_is_counted_once(desk: Desk) -> None:
    """In exactly the state it stands in."""
    for state in EASY_STATES:
        await desk.job_in(state)
    counts = await desk.ledger.queries.counts()

    assert {state: n for state, n in counts.items() if n} == dict.fromkeys(EASY_STATES, 1)


async def test_the_books_balance(desk: Desk) -> None:
    """accepted = ended + waiting + running + in doubt + pruned."""
    for state in EASY_STATES:
        await desk.job_in(state)
    desk.advance(10)
    await desk.ledger.prune({JobState.CANCELLED: 1}, limit=10)
    audit = await desk.ledger.queries.audit()

    assert (audit.accepted, audit.ended, audit.waiting) == (8, 3, 2)
    assert (audit.running, audit.in_doubt, audit.pruned, audit.difference) == (1, 1, 1, 0)


async def test_a_damaged_ledger_is_noticed(desk: Desk) -> None:
    """A job lost from its index, and one that says another state than its index."""
    lost, wrong = await desk.job_in(JobState.LINKED), await desk.job_in(JobState.LINKED)
    await desk.redis.zrem("{test}:z:linked", lost)
    await desk.redis.hset("{test}:j:" + wrong, "s", "failed")
    audit = await desk.ledger.queries.audit()

    assert audit.difference == 1
    assert any(wrong in line for line in audit.wrong)
    await desk.redis.zadd("{test}:z:linked", {lost: desk.now_ms})
    await desk.redis.hset("{test}:j:" + wrong, "s", "linked")


async def test_lanes_tell_what_waits_and_since_when(desk: Desk) -> None:
    """The oldest waiting job is what an alarm looks at."""
    await desk.accept()
    desk.advance(30)
    await desk.accept()
    await desk.ledger.batches.pause("bulk")
    lanes = await desk.ledger.queries.lanes()

    assert (lanes[Lane.LIVE].waiting, lanes[Lane.LIVE].oldest_s) == (2, 30.0)
    assert (lanes[Lane.BULK].waiting, lanes[Lane.BULK].oldest_s, lanes[Lane.BULK].paused) == (0, None, True)


@pytest.mark.parametrize("state", EASY_STATES)
async def test_jobs_are_found_by_state(desk: Desk, state: JobState) -> None:
    """Newest first, whatever the page's size."""
    jobs = []
    for _ in range(7):
        jobs.append(await desk.job_in(state))
        desk.advance(1)
    await desk.job_in(JobState.LINKED if state is not JobState.LINKED else JobState.FAILED)

    assert await find(desk, JobFilter(state=state)) == (jobs[::-1], 7)


async def test_all_jobs_are_found_once(desk: Desk) -> None:
    """Without a filter the list runs over all states, whoever changed last first."""
    jobs = []
    for state in EASY_STATES[2:]:
        jobs.append(await desk.job_in(state))
        desk.advance(1)
    ids, total = await find(desk, JobFilter())

    assert (sorted(ids), total) == (sorted(jobs), 6)


async def test_jobs_that_share_a_moment_are_found_once(desk: Desk) -> None:
    """A page may end amid jobs of the same millisecond."""
    jobs = await desk.accept_batch("b", 40)
    await desk.ledger.batches.cancel("b", by="dana", why="wrong file")
    ids, total = await find(desk, JobFilter(state=JobState.CANCELLED), limit=7)

    assert (sorted(ids), len(ids), total) == (sorted(jobs), 40, 40)


async def test_jobs_are_found_by_reason_and_class(desk: Desk) -> None:
    """The failed queue's groups can be opened."""
    mine, other = await desk.job_in(JobState.FAILED), await desk.job_in(JobState.AVAILABLE)
    await desk.end(other, Refused(fail=a_fail()))

    assert await find(desk, JobFilter(reason="name_refused")) == ([mine], 1)
    assert await find(desk, JobFilter(reason_class="unknown")) == ([other], 1)
    assert await find(desk, JobFilter(state=JobState.LINKED, reason_class="unknown")) == ([], 0)


async def test_jobs_are_found_by_several_things_at_once(desk: Desk) -> None:
    """Lane, batch, source and age narrow a list down."""
    jobs = await desk.accept_batch("b", 6, source="csv")
    await desk.accept_batch("c", 3, source="csv")
    await desk.accept(source="api")
    await desk.end(jobs[0], LINKED)
    await desk.end(jobs[1], Refused(fail=own_fail()))
    desk.advance(100)
    young = await desk.accept(lane=Lane.BULK, batch_id="b", source="cli")

    assert await find(desk, JobFilter(batch="b")) == ([young.job_ids[0], *jobs[::-1]], 7)
    assert await find(desk, JobFilter(batch="b", state=JobState.LINKED)) == ([jobs[0]], 1)
    assert await find(desk, JobFilter(batch="b", reason="name_refused")) == ([jobs[1]], 1)
    assert await find(desk, JobFilter(batch="b", source="csv")) == (jobs[::-1], 6)
    assert (await find(desk, JobFilter(lane=Lane.LIVE)))[1] == 1
    assert (await find(desk, JobFilter(lane=Lane.BULK, state=JobState.AVAILABLE)))[1] == 8
    assert (await find(desk, JobFilter(source="csv", older_than_s=50)))[1] == 9
    assert await find(desk, JobFilter(state=JobState.AVAILABLE, source="cli")) == ([young.job_ids[0]], 1)


async def test_a_job_is_found_by_its_number(desk: Desk) -> None:
    """What an operator has on the telephone."""
    request = a_request()
    receipt = await desk.accept(request=request)

    assert await find(desk, JobFilter(number=request.number)) == (list(receipt.job_ids), 1)
    assert await find(desk, JobFilter(number=request.number, state=JobState.FAILED)) == ([], 0)
    assert await find(desk, JobFilter(number="972509999999")) == ([], 0)


async def test_failed_deliveries_are_not_jobs(desk: Desk) -> None:
    """They have a list of their own."""
    await desk.job_in(JobState.FAILED)

    assert await find(desk, JobFilter(stage="delivery")) == ([], 0)


async def test_groups_tell_the_failed_jobs_by_reason(desk: Desk) -> None:
    """Largest first, with the first and the last time; an empty group is gone."""
    first = desk.now_ms
    for _ in range(2):
        job = await desk.job_in(JobState.FAILED)
        desk.advance(1)
    await desk.end(await desk.job_in(JobState.AVAILABLE), Refused(fail=a_fail()))
    groups = await desk.ledger.queries.groups()

    assert [(group.reason, group.reason_class, group.code, group.count) for group in groups] == [
        ("name_refused", "bad_data", 9, 2),
        ("unknown_17", "unknown", 17, 1),
    ]
    assert (groups[0].first_ms, groups[0].last_ms) == (first, first + 1000)
    await desk.requeue(job)
    assert [group.count for group in await desk.ledger.queries.groups()] == [1, 1]


async def test_doubts_are_listed_oldest_first(desk: Desk) -> None:
    """What a look-up goes through."""
    jobs = []
    for _ in range(3):
        jobs.append(await desk.job_in(JobState.IN_DOUBT))
        desk.advance(1)

    assert [job.id for job in await desk.ledger.queries.doubts(2)] == jobs[:2]


async def test_what_is_not_there_is_not_found(desk: Desk) -> None:
    """No job, no history, no error."""
    assert await desk.ledger.queries.job("01m3250v020000000002w") is None
    assert await desk.ledger.queries.jobs(["01m3250v020000000002w"]) == []
    assert await desk.ledger.queries.history("01m3250v020000000002w") == []
    assert await desk.ledger.queries.groups() == []
