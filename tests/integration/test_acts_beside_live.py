"""A large bulk requeue in a whole Linkferry, with live customers coming in beside it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.factories import an_invitation
from tests.integration.failed_desk import act_of, assert_once_each, fail_some, start_act, until_done
from tests.stack import Stack
from worker.domain.act import Act, ActState
from worker.domain.states import JobState, Lane

pytestmark = pytest.mark.redis
#: A live job makes its way in some 50 ms on a machine of its own; this bears neighbours.
LIVE_WITHIN_S = 3.0


async def live_times(stack: Stack, stop: asyncio.Event) -> list[float]:
    """Send live customers one after another until *stop*; return how many seconds each waited for the link."""
    times: list[float] = []
    while not stop.is_set():
        began = time.monotonic()
        (receipt,) = await stack.ledger.accept([an_invitation(lane=Lane.LIVE)], max_waiting=100_000)
        stack.bell.ring(receipt.ring, Lane.LIVE)

        async def is_linked(job_id: str = receipt.job_ids[0]) -> bool:
            job = await stack.ledger.queries.job(job_id)
            return job is not None and job.state is JobState.LINKED

        await stack.until(is_linked, "a live customer has the link")
        times.append(time.monotonic() - began)
    return times


async def test_two_thousand_are_requeued_and_no_live_customer_waits_for_them(tmp_path: Path) -> None:
    """Five first, then more and more; each once, with the result told."""
    async with Stack(tmp_path, provider_rate=300) as stack:
        jobs = await fail_some(stack.ledger, 2_000)
        for _ in range(2):
            stack.start_worker()
        act_id = await start_act(stack.ledger, Act.REQUEUE, jobs)
        stop = asyncio.Event()
        live = asyncio.create_task(live_times(stack, stop))
        record = await until_done(stack, act_id, within_s=150)
        stop.set()
        times = await live

        assert (record.done, record.linked, record.failed_again) == (2_000, 2_000, 0)
        await assert_once_each(stack, jobs)
        assert len(times) >= 5
        assert sorted(times)[len(times) // 2] < LIVE_WITHIN_S


async def test_a_requeue_of_what_is_not_mended_stops_by_itself(tmp_path: Path) -> None:
    """Five calls are made in vain and no more; mended and told so, it goes on to the end."""
    async with Stack(tmp_path, sandbox={"fail_code": 5}) as stack:
        jobs = await fail_some(stack.ledger, 60)
        act_id = await start_act(stack.ledger, Act.REQUEUE, jobs)
        stack.start_worker()

        async def is_stopped() -> bool:
            return (await act_of(stack, act_id)).state is ActState.STOPPED

        await stack.until(is_stopped, "it stops by itself", within_s=60)
        await stack.until(lambda: _is_at_rest(stack, act_id), "the canaries have ended", within_s=30)
        stopped = await act_of(stack, act_id)
        await stack.faults(fail_code=None)
        # Five equal answers in a row hold the lane as well, whoever asked for the calls.
        assert await stack.ledger.batches.clear_hold("bulk")
        await stack.ledger.acts.go_on(act_id, by="cli:dana", why="the name is mended")
        record = await until_done(stack, act_id, within_s=90)

        assert (stopped.done, stopped.failed_again, stopped.waiting) == (5, 5, 55)
        assert stopped.stopped_because is not None
        assert stopped.stopped_because["reason"] == "failed_again"
        assert (record.linked, record.failed_again) == (55, 5)


async def _is_at_rest(stack: Stack, act_id: str) -> bool:
    return (await act_of(stack, act_id)).in_flight == 0
