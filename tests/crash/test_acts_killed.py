"""A worker that is killed in the middle of a bulk act, and a long one: each job has its turn once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.failed_desk import (
    act_of,
    assert_once_each,
    fail_some,
    requeue_beside_live,
    start_act,
    until_done,
)
from tests.stack import Stack
from worker.domain.act import Act
from worker.domain.states import JobState
from worker.ledger.acts import IDS_PER_STEP

pytestmark = pytest.mark.crash
DYING_DRIVER = Path(__file__).with_name("dying_driver.py")


async def test_a_step_whose_driver_died_behind_it_is_not_made_again(tmp_path: Path) -> None:
    """The second step stands in the ledger, and nobody heard of it; the next worker takes what comes behind it."""
    async with Stack(tmp_path) as stack:
        jobs = await fail_some(stack.ledger, 180)
        act_id = await start_act(stack.ledger, Act.REQUEUE, jobs, is_canary=False)
        doomed = stack.start_worker(str(DYING_DRIVER), "2", LINKFERRY_WORKER_ID="doomed")
        await stack.until(lambda: doomed.poll() is not None, "the driver dies")
        left = await act_of(stack, act_id)
        await stack.ledger.abandon("doomed")
        stack.start_worker()
        record = await until_done(stack, act_id, within_s=100)

        # On a busy machine the second step is smaller.
        assert IDS_PER_STEP < left.at == left.done <= 2 * IDS_PER_STEP
        assert (record.done, record.linked, record.refused) == (180, 180, {})
        await assert_once_each(stack, jobs)


async def test_a_requeue_survives_the_death_of_its_worker_on_the_way(tmp_path: Path) -> None:
    """With jobs in their calls, others let go and others still to come."""
    async with Stack(tmp_path, provider_rate=40) as stack:
        jobs = await fail_some(stack.ledger, 150)
        act_id = await start_act(stack.ledger, Act.REQUEUE, jobs)
        doomed = stack.start_worker(LINKFERRY_WORKER_ID="doomed")

        async def is_on_its_way() -> bool:
            record = await act_of(stack, act_id)
            return record.ended >= 20 and record.waiting > 0 and record.in_flight > 0

        await stack.until(is_on_its_way, "some have ended and some wait")
        stack.kill_worker(doomed)
        await stack.ledger.abandon("doomed")
        stack.start_worker()
        record = await until_done(stack, act_id, within_s=120)

        assert (record.done, record.refused, record.in_flight) == (150, {}, 0)
        assert record.linked == 150
        await assert_once_each(stack, jobs)


async def test_two_operators_on_one_set_beside_deaths_and_a_restart_make_each_call_once(
    tmp_path: Path,
) -> None:
    """Some fail again before the second act comes to them; a worker dies, and then the server."""
    async with Stack(tmp_path, provider_rate=40) as stack:
        jobs = await fail_some(stack.ledger, 120)
        in_vain = [str(job.number) for job in await stack.ledger.queries.jobs(jobs[20:60:2])]
        await stack.faults(fail_numbers=dict.fromkeys(in_vain, 5))
        first, second = [
            await start_act(stack.ledger, Act.REQUEUE, jobs, is_canary=False, name=name)
            for name in ("dana", "ben")
        ]
        doomed = stack.start_worker(LINKFERRY_WORKER_ID="doomed")
        stack.start_worker()

        async def is_on_its_way() -> bool:
            return (await act_of(stack, first)).ended >= 20

        await stack.until(is_on_its_way, "some have ended", within_s=60)
        stack.kill_worker(doomed)
        await stack.ledger.abandon("doomed")
        await stack.restart_valkey()
        stack.start_worker()
        records = [await until_done(stack, act_id, within_s=120) for act_id in (first, second)]
        found = await stack.ledger.queries.jobs(jobs)

        assert sum(record.done for record in records) == 120
        assert [record.done + sum(record.refused.values()) for record in records] == [120, 120]
        assert sum(record.linked for record in records) == 100
        assert sum(record.failed_again for record in records) == 20
        assert {job.requeues for job in found} == {1}
        assert {job.id for job in found if job.state is JobState.FAILED} == set(jobs[20:60:2])


@pytest.mark.timeout(600)
async def test_two_thousand_are_requeued_and_no_live_customer_waits_for_them(tmp_path: Path) -> None:
    """The same as with three hundred, long enough for the ramp to come to its top."""
    async with Stack(tmp_path, provider_rate=300) as stack:
        await requeue_beside_live(stack, 2_000, within_s=540)
