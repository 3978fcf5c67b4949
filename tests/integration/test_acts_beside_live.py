"""A bulk requeue in a whole Linkferry, with live customers coming in beside it. The long one: tests/crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.failed_desk import act_of, fail_some, requeue_beside_live, start_act, until_done
from tests.stack import Stack
from worker.domain.act import Act, ActState

pytestmark = pytest.mark.redis


async def test_many_are_requeued_and_no_live_customer_waits_for_them(tmp_path: Path) -> None:
    """Five first, then more and more; each once, with the result told."""
    async with Stack(tmp_path, provider_rate=300) as stack:
        await requeue_beside_live(stack, 300, within_s=100)


async def test_a_requeue_of_what_is_not_mended_stops_by_itself(tmp_path: Path) -> None:
    """Five calls are made in vain and no more; mended and told so, it goes on to the end."""
    async with Stack(tmp_path, sandbox={"fail_code": 5}) as stack:
        jobs = await fail_some(stack.ledger, 60)
        act_id = await start_act(stack.ledger, Act.REQUEUE, jobs)
        stack.start_worker()

        async def is_stopped() -> bool:
            return (await act_of(stack, act_id)).state is ActState.STOPPED

        await stack.until(is_stopped, "it stops by itself")
        await stack.until(lambda: _is_at_rest(stack, act_id), "the canaries have ended")
        stopped = await act_of(stack, act_id)
        await stack.faults(fail_code=None)
        # Five equal answers in a row hold the lane as well, whoever asked for the calls.
        assert await stack.ledger.batches.clear_hold("bulk")
        await stack.ledger.acts.go_on(act_id, by="cli:dana", why="the name is mended")
        record = await until_done(stack, act_id, within_s=100)

        assert (stopped.done, stopped.failed_again, stopped.waiting) == (5, 5, 55)
        assert stopped.stopped_because is not None
        assert stopped.stopped_because["reason"] == "failed_again"
        assert (record.linked, record.failed_again) == (55, 5)


async def _is_at_rest(stack: Stack, act_id: str) -> bool:
    return (await act_of(stack, act_id)).in_flight == 0
