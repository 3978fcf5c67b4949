"""Failed jobs in a whole Linkferry, and bulk acts on them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from tests.factories import an_invitation
from tests.stack import Stack
from worker.domain.act import Act, ActState
from worker.domain.job import ClaimedJob
from worker.domain.outcome import Fail, Refused
from worker.domain.states import Lane
from worker.ledger import Ledger
from worker.ledger.acts import ActRecord

FAIL = Refused(fail=Fail(reason="name_refused", reason_class="bad_data", code=9, is_own_data=True))


async def fail_some(ledger: Ledger, count: int, *, lane: Lane = Lane.BULK) -> list[str]:
    """Return so many new jobs that failed before any worker runs."""
    jobs: list[str] = []
    for start in range(0, count, 100):
        rows = [an_invitation(lane=lane) for _ in range(min(100, count - start))]
        receipts = await ledger.accept(rows, max_waiting=10 * count)
        new = [receipt.job_ids[0] for receipt in receipts]
        await asyncio.gather(*(_fail(ledger, job) for job in new))
        jobs += new
    return jobs


async def _fail(ledger: Ledger, job_id: str) -> None:
    claimed = await ledger.claim(job_id, worker_id="test", lease_s=60)
    assert isinstance(claimed, ClaimedJob), claimed
    await ledger.settle(claimed.lease, FAIL)


async def start_act(ledger: Ledger, act: Act, jobs: Sequence[str], *, is_canary: bool = True) -> str:
    """Freeze and start an act on these jobs; nobody here drives it."""
    act_id = f"a-{act.value}"
    await ledger.acts.open(act_id, act, by="cli:dana")
    seen = await ledger.acts.add(act_id, jobs, seen=0)
    assert seen == len(jobs)
    assert await ledger.acts.freeze(act_id, seen=seen)
    assert (await ledger.acts.start(act_id, by="cli:dana", why="mended", is_canary=is_canary)).done
    return act_id


async def act_of(stack: Stack, act_id: str) -> ActRecord:
    """Return how an act stands."""
    record = await stack.ledger.acts.get(act_id)
    assert record is not None
    return record


async def until_done(stack: Stack, act_id: str, *, within_s: float) -> ActRecord:
    """Wait until an act is done."""

    async def is_done() -> bool:
        return (await act_of(stack, act_id)).state is ActState.DONE

    await stack.until(is_done, "the act is done", within_s=within_s)
    return await act_of(stack, act_id)


async def assert_once_each(stack: Stack, jobs: Sequence[str]) -> None:
    """Check that each job was requeued once and has one link at the partner, and that the books are right."""
    records = await stack.ledger.queries.jobs(list(jobs))
    numbers: dict[str, Any] = (await stack.partner())["numbers"]
    assert {job.requeues for job in records} == {1}
    assert {len(numbers[str(job.number)]["links"]) for job in records} == {1}
    audit = await stack.ledger.queries.audit()
    assert (audit.difference, audit.wrong) == (0, ())
