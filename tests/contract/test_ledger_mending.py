"""What brings jobs on without an attempt: look-ups, better reasons, rescues."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.ledger_desk import DOUBTFUL, LINK, LINKED, SNOOZED, Desk, a_fail, retry
from tests.factories import a_request
from worker.domain.outcome import Absent, Fail, FoundForeign, FoundOurs, Linked, Refused
from worker.domain.request import Product
from worker.domain.states import JobState

OURS = FoundOurs(linked=Linked(link=LINK))
FINISHED = FoundOurs(linked=Linked(link=LINK), is_finished=True)
FOREIGN = FoundForeign(fail=Fail(reason="number_has_link", reason_class="link_exists", is_own_data=True))
GRACE_S = 60.0


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


async def look(desk: Desk, job: str) -> JobState | None:
    """Look the job up in a complete list that does not hold it."""
    return await desk.ledger.resolve(job, Absent(list_began_ms=desk.now_ms), grace_s=GRACE_S)


# --- in doubt ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finding", "state"),
    [(OURS, JobState.LINKED), (FINISHED, JobState.ONBOARDED), (FOREIGN, JobState.FAILED)],
)
async def test_a_look_up_settles_a_doubt(
    desk: Desk, finding: FoundOurs | FoundForeign, state: JobState
) -> None:
    """What the partner's list holds is the truth."""
    job = await desk.job_in(JobState.IN_DOUBT)

    assert await desk.ledger.resolve(job, finding, grace_s=GRACE_S) is state


async def test_two_late_lists_prove_that_there_is_no_link(desk: Desk) -> None:
    """One list may lag; after the second the job tries again."""
    job = await desk.job_in(JobState.IN_DOUBT)
    desk.advance(61)
    assert await look(desk, job) is JobState.IN_DOUBT
    desk.advance(1)

    assert await look(desk, job) is JobState.AVAILABLE
    assert (await desk.claim(job)).attempt == 2


async def test_a_list_begun_too_early_proves_nothing(desk: Desk) -> None:
    """A create may take effect after its answer was lost."""
    job = await desk.job_in(JobState.IN_DOUBT)
    for _ in range(3):
        desk.advance(15)
        await look(desk, job)

    assert await desk.state(job) is JobState.IN_DOUBT


async def test_the_same_list_counts_once(desk: Desk) -> None:
    """Saying it again after a lost answer is no second proof."""
    job = await desk.job_in(JobState.IN_DOUBT)
    desk.advance(61)
    await look(desk, job)
    await look(desk, job)

    assert await desk.state(job) is JobState.IN_DOUBT


async def test_grace_runs_from_the_end_of_the_lease_after_a_crash(desk: Desk) -> None:
    """Nobody knows when a dead process's call ended, only that it did within the lease."""
    job = await desk.job_in(JobState.AVAILABLE)
    await desk.call(job)
    desk.advance(60)
    await desk.ledger.rescue()
    desk.advance(59)
    await look(desk, job)
    desk.advance(1)
    await look(desk, job)

    assert await desk.state(job) is JobState.IN_DOUBT
    desk.advance(1)
    assert await look(desk, job) is JobState.AVAILABLE


async def test_an_answer_after_the_look_ups_changes_nothing(desk: Desk) -> None:
    """Once a doubt is settled the call's token is worth nothing."""
    job = await desk.job_in(JobState.AVAILABLE)
    lease = await desk.call(job)
    await desk.ledger.settle(lease, DOUBTFUL)
    for _ in range(2):
        desk.advance(61)
        await look(desk, job)

    settled = await desk.ledger.settle(lease, LINKED)
    assert await desk.state(job) is JobState.AVAILABLE
    assert not settled.held


async def test_a_doubt_whose_cancel_was_asked_for_is_cancelled(desk: Desk) -> None:
    """Proven absent and not wanted any more."""
    job = await desk.job_in(JobState.AVAILABLE)
    lease = await desk.call(job)
    await desk.ledger.cancel(job, by="dana", why="mistake")
    await desk.ledger.settle(lease, DOUBTFUL)
    for _ in range(2):
        desk.advance(61)
        await look(desk, job)

    assert await desk.state(job) is JobState.CANCELLED


async def test_only_a_doubt_is_resolved(desk: Desk) -> None:
    """A job that stands elsewhere is not touched by a list."""
    job = await desk.job_in(JobState.AVAILABLE)

    assert await desk.ledger.resolve(job, OURS, grace_s=GRACE_S) is None
    assert await desk.state(job) is JobState.AVAILABLE


# --- explained and released --------------------------------------------------------------------------------


async def test_a_fail_is_given_its_better_reason(desk: Desk) -> None:
    """The failed queue shows why, not only a number, and the partner's answer stays."""
    job = await desk.job_in(JobState.AVAILABLE)
    await desk.end(job, Refused(fail=a_fail()))
    better = Fail(reason="number_not_registered", reason_class="not_registered", code=17, raw="{}")

    assert await desk.ledger.explain(job, better) is JobState.FAILED
    assert [group.reason for group in await desk.ledger.queries.groups()] == ["number_not_registered"]
    assert await desk.ledger.queries.unexplained(10) == []


@pytest.mark.parametrize(("found", "state"), [(OURS, JobState.LINKED), (FINISHED, JobState.ONBOARDED)])
async def test_a_fail_whose_link_is_ours_is_no_fail(desk: Desk, found: FoundOurs, state: JobState) -> None:
    """The create had worked: the customer gets his link."""
    job = await desk.job_in(JobState.FAILED)

    assert await desk.ledger.explain(job, found) is state
    assert await desk.ledger.queries.groups() == []
    deliveries = await desk.ledger.deliveries.of_invitation(job[:-1])
    assert len(deliveries) == (1 if state is JobState.LINKED else 0)


async def test_what_cannot_be_explained_goes_to_the_back(desk: Desk) -> None:
    """A full page of hopeless rows does not hide those behind it."""
    jobs = []
    for _ in range(2):
        jobs.append(await desk.job_in(JobState.AVAILABLE))
        await desk.end(jobs[-1], Refused(fail=a_fail()))
        desk.advance(1)
    await desk.ledger.explain(jobs[0], a_fail())

    assert [job.id for job in await desk.ledger.queries.unexplained(1)] == [jobs[1]]


async def test_only_a_failed_job_is_explained(desk: Desk) -> None:
    """The operator was quicker."""
    job = await desk.job_in(JobState.AVAILABLE)

    assert await desk.ledger.explain(job, OURS) is None


async def test_a_released_job_tries_again_afresh(desk: Desk) -> None:
    """Its cause went away by itself: it has all its tries again, and its history."""
    job = await desk.job_in(JobState.AVAILABLE)
    await desk.end(job, retry(max_failures=1))

    assert await desk.ledger.release(job)
    assert not await desk.ledger.release(job)
    assert (await desk.claim(job)).failures == 0
    assert [entry.event for entry in await desk.ledger.queries.history(job)][-1] == "released"


# --- rescued -----------------------------------------------------------------------------------------------


async def test_a_lease_that_runs_is_not_rescued(desk: Desk) -> None:
    """Rescue is by the lease's end alone."""
    await desk.job_in(JobState.RUNNING)
    desk.advance(59)

    assert (await desk.ledger.rescue()).total == 0


async def test_a_crash_before_the_call_costs_nothing(desk: Desk) -> None:
    """No call was begun: the job is available again."""
    job = await desk.job_in(JobState.RUNNING)
    desk.advance(60)

    assert (await desk.ledger.rescue()).available == (job,)
    assert await desk.state(job) is JobState.AVAILABLE


async def test_a_crash_in_a_whatsapp_call_is_a_doubt(desk: Desk) -> None:
    """Whether the link was made is for a look-up to tell."""
    job = await desk.job_in(JobState.AVAILABLE)
    await desk.call(job)
    desk.advance(60)

    assert (await desk.ledger.rescue()).in_doubt == (job,)


async def test_a_crash_in_a_facebook_call_is_retried_once(desk: Desk) -> None:
    """Links are unlimited and there is no list: one possible orphan, then a person decides."""
    request = a_request(products=(Product.FACEBOOK_PAGE,), whatsapp=None)
    [job] = (await desk.accept(request=request)).job_ids
    await desk.call(job)
    desk.advance(60)
    first = await desk.ledger.rescue()
    record = await desk.ledger.queries.job(job)
    desk.advance(60)
    await desk.ledger.promote()
    await desk.call(job)
    desk.advance(60)
    second = await desk.ledger.rescue()

    assert (first.retried, second.failed) == ((job,), (job,))
    assert record is not None
    assert record.orphans == 1
    assert [group.reason for group in await desk.ledger.queries.groups()] == ["unknown_outcome"]


async def test_a_job_that_kills_its_process_three_times_is_set_aside(desk: Desk) -> None:
    """Three starts without an end: a person looks at it before it kills a fourth."""
    job = await desk.job_in(JobState.AVAILABLE)
    for _ in range(3):
        await desk.claim(job)
        desk.advance(60)
        rescued = await desk.ledger.rescue()

    assert rescued.failed == (job,)
    assert [group.reason for group in await desk.ledger.queries.groups()] == ["crashed_three_times"]


async def test_an_attempt_that_ended_acquits_the_job(desk: Desk) -> None:
    """Only starts in a row without any end count against it."""
    job = await desk.job_in(JobState.AVAILABLE)
    for _ in range(4):
        await desk.claim(job)
        desk.advance(60)
        await desk.ledger.rescue()
        await desk.end(job, SNOOZED)

    assert await desk.state(job) is JobState.AVAILABLE


async def test_crashes_in_the_call_count_after_proven_absence(desk: Desk) -> None:
    """Each time the lists prove that no link exists; the third time a person looks."""
    job = await desk.job_in(JobState.AVAILABLE)
    for _ in range(3):
        await desk.call(job)
        desk.advance(60)
        await desk.ledger.rescue()
        for _ in range(2):
            desk.advance(61)
            await look(desk, job)

    assert await desk.state(job) is JobState.FAILED


async def test_a_crashed_job_whose_cancel_was_asked_for_is_cancelled(desk: Desk) -> None:
    """No call was begun and nobody wants it."""
    job = await desk.job_in(JobState.RUNNING)
    await desk.ledger.cancel(job, by="dana", why="mistake")
    desk.advance(60)

    assert (await desk.ledger.rescue()).cancelled == (job,)


async def test_a_full_batch_of_rescues_leaves_the_next_one_room(desk: Desk) -> None:
    """Each rescued row leaves the index, whatever becomes of it."""
    for _ in range(5):
        await desk.call(await desk.job_in(JobState.AVAILABLE))
    desk.advance(30)
    last = await desk.job_in(JobState.RUNNING)
    desk.advance(60)
    rescued = [await desk.ledger.rescue(limit=3), await desk.ledger.rescue(limit=3)]

    assert [each.total for each in rescued] == [3, 3]
    assert last in rescued[1].available


async def test_a_dead_worker_s_leases_end_at_once(desk: Desk) -> None:
    """The supervisor saw it die: nobody waits for the leases to run out."""
    mine = await desk.call(await desk.job_in(JobState.AVAILABLE), worker="w1")
    other = await desk.claim(await desk.job_in(JobState.AVAILABLE), worker="w10")
    await desk.claim_delivery(await desk.a_delivery())

    assert await desk.ledger.abandon("w1") == 2
    assert (await desk.ledger.rescue()).in_doubt == (mine.subject_id,)
    assert await desk.ledger.deliveries.rescue() == 1
    assert await desk.state(other.id) is JobState.RUNNING
