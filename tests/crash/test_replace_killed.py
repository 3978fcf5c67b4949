"""Workers that are killed between the delete and the create of a replace: one link in the end, or a visible failure."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests.crash.dying_changer import POINTS
from tests.factories import a_request, an_invitation
from tests.stack import Stack
from worker.domain.change import job_id_of_reference
from worker.domain.states import JobState, Lane

pytestmark = pytest.mark.crash
DYING_CHANGER = Path(__file__).with_name("dying_changer.py")
CUSTOMERS = 12
#: Between the two halves a replace has neither link: these are also gone through one by one, on a partner without faults.
GAP = ("delete_done", "delete_unsettled", "delete_settled", "before_the_slot", "create_begun", "create_done")
#: Kills at random moments of the storm: few in a quick run, as `LINKFERRY_TEST_CHAOS_JOBS` asks for.
KILLS = max(4, int(os.environ.get("LINKFERRY_TEST_CHAOS_JOBS", "120")) // 10)


async def make_links(stack: Stack, count: int) -> dict[str, str]:
    """Return jobs with a link each, and their numbers; no worker is left."""
    numbers = [f"9725012{nth:05d}" for nth in range(count)]
    rows = [
        an_invitation(request=a_request(whatsapp=number, business_name=f"Shop {number}"), lane=Lane.BULK)
        for number in numbers
    ]
    receipts = await stack.ledger.accept(rows, max_waiting=10_000)
    jobs = {receipt.job_ids[0]: number for receipt, number in zip(receipts, numbers, strict=True)}
    worker = stack.start_worker()
    await stack.until(lambda: are_all(stack, jobs, JobState.LINKED), "all are linked")
    stack.kill_worker(worker)
    return jobs


async def are_all(stack: Stack, jobs: dict[str, str], *states: JobState) -> bool:
    records = await stack.ledger.queries.jobs(list(jobs))
    return all(record.state in states for record in records)


async def replace_all(stack: Stack, jobs: dict[str, str]) -> int:
    """Ask for another link for each that stands; return how many."""
    asked = 0
    for job in jobs:
        asked += (await stack.ledger.replace(job, by="test", why="test")).done
    return asked


async def die_once(stack: Stack, point: str) -> None:
    """Let a worker run until it dies at *point*, as its supervisor would see it."""
    doomed = stack.start_worker(str(DYING_CHANGER), point, LINKFERRY_WORKER_ID=f"doomed-{point}")
    await stack.until(lambda: doomed.poll() is not None, f"the worker dies: {point}")
    stack.workers.remove(doomed)
    await stack.ledger.abandon(f"doomed-{point}")


async def assert_one_link_each(stack: Stack, jobs: dict[str, str]) -> dict[str, Any]:
    """Check every number at the partner itself: one link that stands, never two at once, and it is the job's own."""
    partner = (await stack.partner())["numbers"]
    records = {record.id: record for record in await stack.ledger.queries.jobs(list(jobs))}
    for job, number in jobs.items():
        standing = [link for link in partner[number]["links"] if link["deleted_at"] is None]
        assert len(standing) == 1, (job, records[job].state, partner[number])
        assert partner[number]["live_max"] == 1
        assert records[job].link == standing[0]["link"]
        assert job_id_of_reference(standing[0]["reference"]) == job
        assert records[job].op is None
    assert (await stack.ledger.queries.audit()).difference == 0
    return partner


@pytest.mark.timeout(180)
@pytest.mark.parametrize("point", GAP)
async def test_a_replace_survives_a_kill_at(point: str, tmp_path: Path) -> None:
    """A dozen replaces are under way when the worker dies at that point of one of them; another brings all home."""
    async with Stack(tmp_path) as stack:
        jobs = await make_links(stack, CUSTOMERS)
        assert await replace_all(stack, jobs) == CUSTOMERS
        await die_once(stack, point)
        stack.start_worker()
        await stack.until(lambda: are_all(stack, jobs, JobState.LINKED), "all are replaced")
        partner = await assert_one_link_each(stack, jobs)
        # Each was replaced once: a delete or a create that was made twice would show here.
        assert {len(partner[number]["links"]) for number in jobs.values()} == {2}


@pytest.mark.timeout(400)
async def test_replaces_survive_kills_at_all_points_and_at_any_moment(tmp_path: Path) -> None:
    """Each point in turn, over the same customers, then kills at random moments while the partner loses answers.

    Whoever has his link is to get another one, again and again.
    """
    chance = random.Random(5)
    async with Stack(tmp_path, provider_rate=60) as stack:
        jobs = await make_links(stack, 4 * CUSTOMERS)
        asked = kills = 0
        for point in POINTS:
            asked += await replace_all(stack, jobs)
            await die_once(stack, point)
            kills += 1
        await stack.faults(calls=["delete_account", "create_whatsapp"], drop_after=0.1, drop_before=0.1)
        for _ in range(KILLS):
            worker = stack.start_worker(LINKFERRY_WORKER_ID=f"random-{kills}")
            asked += await replace_all(stack, jobs)
            await wait_for_work(stack, chance.uniform(1.5, 4.0))
            stack.kill_worker(worker)
            await stack.ledger.abandon(f"random-{kills}")
            kills += 1
        await stack.faults(drop_after=0.0, drop_before=0.0)
        stack.start_worker()
        ends = (JobState.LINKED, JobState.FAILED)
        await stack.until(lambda: are_all(stack, jobs, *ends), "all have ended", within_s=120)
        failed = [r for r in await stack.ledger.queries.jobs(list(jobs)) if r.state is JobState.FAILED]
        # Killed in its call three times over: a person is asked, who sees which half is done, and lets it go on.
        for record in failed:
            assert record.op in {"rd", "rc"}
            assert (await stack.ledger.requeue(record.id, by="test", why="seen")).done
        await stack.until(lambda: are_all(stack, jobs, JobState.LINKED), "all are linked", within_s=120)
        partner = await assert_one_link_each(stack, jobs)
        made = [len(partner[number]["links"]) for number in jobs.values()]
        print(
            f"{kills} kills, {asked} replaces of {len(jobs)} numbers, {min(made)} to {max(made)} links each"
        )
        assert sum(made) > 2 * len(jobs)


async def wait_for_work(stack: Stack, seconds: float) -> None:
    """Let a worker work for a while: until so much of the server's time has passed."""
    end_ms = await stack.ledger.now_ms() + round(seconds * 1000)

    async def is_over() -> bool:
        return await stack.ledger.now_ms() >= end_ms

    await stack.until(is_over, "the time has passed")
