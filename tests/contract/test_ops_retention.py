"""When a job is said to be deleted is when it is: that it may stay a day longer, to be warned of, is said too."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import redis.asyncio

from tests.contract.full_disk import fill_disk, server_in
from tests.contract.looking_desk import DAY_S, LookingDesk
from worker.domain.states import JobState
from worker.ops.job_page import job_page
from worker.ops.retention import Retention
from worker.ops.views import iso
from worker.redis_client import open_redis


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> LookingDesk:
    return await LookingDesk.open(store)


async def pruned(desk: LookingDesk, state: JobState, keep_s: float) -> int:
    """Prune as the fleet does; return how many went."""
    return await desk.ledger.prune(older_than_s={state: keep_s}, limit=100, warned={state})


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.DEAD])
async def test_the_end_of_what_is_due_all_at_once_is_a_day_later(desk: LookingDesk, state: JobState) -> None:
    """Kept for less than before, it is deleted at the very instant that its page and its list name."""
    job = await desk.job_in(state)
    keep_s = 180 * DAY_S if state is JobState.FAILED else 90 * DAY_S  # as the desk's scene has it
    await pruned(desk, state, 2 * keep_s)
    desk.advance(keep_s + 10 * DAY_S)
    await desk.beat()
    await pruned(desk, state, keep_s)  # by workers that have the shorter time
    said = iso(desk.now_ms + round(DAY_S * 1000))
    desk.advance(DAY_S / 2)

    page = await desk.page(job)
    listed = (await Retention.read(desk.ledger, {state: keep_s})).with_end(page | {"stage": "link"})

    assert page["expires_at"] == listed["expires_at"] == said
    if state is JobState.DEAD:
        assert page["next"]["at"] == said
    desk.advance(DAY_S / 2 - 60)
    assert await pruned(desk, state, keep_s) == 0
    desk.advance(61)
    assert await pruned(desk, state, keep_s) == 1


async def test_what_is_due_after_that_day_keeps_its_own_end(desk: LookingDesk) -> None:
    """Only what was due already stays on."""
    await pruned(desk, JobState.DEAD, 180 * DAY_S)
    desk.advance(100 * DAY_S)
    new = await desk.job_in(JobState.DEAD)
    await pruned(desk, JobState.DEAD, 90 * DAY_S)

    assert (await desk.page(new))["expires_at"] == iso(desk.now_ms + round(90 * DAY_S * 1000))


async def test_what_is_kept_for_ever_has_no_end(desk: LookingDesk) -> None:
    """And what is no job at all has none that is known."""
    job = await desk.job_in(JobState.DEAD)
    retention = await Retention.read(desk.ledger, {JobState.DEAD: math.inf})
    page = await job_page(desk.scene, job)
    assert page is not None

    assert retention.with_end(page | {"stage": "link"})["expires_at"] is None
    assert retention.with_end({"stage": "delivery"})["expires_at"] is None


async def test_a_job_is_shown_while_the_disk_is_full(tmp_path: Path) -> None:
    """The server runs only what never writes then, and whoever is paged for it looks at jobs."""
    with server_in(tmp_path) as url:
        client = open_redis(url)
        desk = await LookingDesk.open(client)
        job = await desk.job_in(JobState.FAILED)
        await fill_disk(tmp_path, client)

        assert (await desk.page(job))["state"] == "failed"
        assert (await Retention.read(desk.ledger, {JobState.FAILED: DAY_S})).later_ms == {}
        await client.aclose()
