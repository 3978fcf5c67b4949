"""Failed jobs in a whole Linkferry, and bulk acts on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from tests.by_hand import ended
from tests.factories import an_invitation
from tests.stack import Stack
from worker.domain.act import Act, ActState
from worker.domain.outcome import Fail, Refused
from worker.domain.states import JobState, Lane
from worker.ledger import Ledger
from worker.ledger.act_records import ActRecord

#: A live job makes its way in some 50 ms on a machine of its own; this bears neighbours.
LIVE_WITHIN_S = 3.0
FAIL = Refused(fail=Fail(reason="name_refused", reason_class="bad_data", code=9, is_own_data=True))


async def fail_some(ledger: Ledger, count: int, *, lane: Lane = Lane.BULK) -> list[str]:
    """Return so many new jobs, of customers who get no message, that failed before any worker runs."""
    jobs: list[str] = []
    for start in range(0, count, 100):
        rows = [an_invitation(lane=lane, channels=()) for _ in range(min(100, count - start))]
        receipts = await ledger.accept(rows, max_waiting=10 * count)
        new = [receipt.job_ids[0] for receipt in receipts]
        await asyncio.gather(*(ended(ledger, job, FAIL) for job in new))
        jobs += new
    return jobs


async def start_act(
    ledger: Ledger, act: Act, jobs: Sequence[str], *, is_canary: bool = True, name: str = "dana"
) -> str:
    """Freeze and start an act on these jobs; nobody here drives it."""
    act_id = f"a-{act.value}-{name}"
    await ledger.acts.open(act_id, act, by=f"cli:{name}")
    weighed = await ledger.acts.add(act_id, jobs, seen=0)
    assert weighed is not None
    assert weighed.seen == len(jobs)
    assert await ledger.acts.freeze(act_id, seen=weighed.seen)
    assert (await ledger.acts.start(act_id, by=f"cli:{name}", why="mended", is_canary=is_canary)).done
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


async def requeue_beside_live(stack: Stack, count: int, *, within_s: float) -> None:
    """Requeue so many by one act while live customers come in; check that each had its turn and none of these waited."""
    jobs = await fail_some(stack.ledger, count)
    for _ in range(2):
        stack.start_worker()
    act_id = await start_act(stack.ledger, Act.REQUEUE, jobs)
    stop = asyncio.Event()
    live = asyncio.create_task(live_times(stack, stop))
    try:
        record = await until_done(stack, act_id, within_s=within_s)
    finally:
        stop.set()
        times = await live
    assert (record.done, record.linked, record.failed_again) == (count, count, 0)
    await assert_once_each(stack, jobs)
    assert len(times) >= 3
    assert sorted(times)[len(times) // 2] < LIVE_WITHIN_S


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
