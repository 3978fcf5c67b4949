"""One attempt under everything that can come between its steps, with a real Valkey and the real sandbox."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from tests.integration.runtime_shop import Bench, a_bench
from worker.clock import SystemClock
from worker.domain.job import Lease
from worker.domain.lessons import Lesson
from worker.domain.states import JobState, Lane
from worker.execution import attempt as attempts
from worker.execution.attempt import attempt, follow_up
from worker.execution.heartbeat import Heartbeat
from worker.ledger import Ledger, LedgerFull, LedgerUnavailable


@pytest.fixture
async def bench(real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_bench(valkey_url, tmp_path) as opened:
        yield opened


class LeapingClock(SystemClock):
    """A clock that a test can set ahead, as it is for a process that was stopped."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


async def state_of(bench: Bench, job_id: str) -> JobState:
    job = await bench.shop.ledger.queries.job(job_id)
    assert job is not None
    return job.state


async def creates(bench: Bench) -> int:
    return bench.sandbox.state.calls["create_whatsapp"]


async def test_a_call_longer_than_its_lease_keeps_it(
    bench: Bench, real_redis: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat renews a lease of a minute through a call of three: nobody rescues it and the settle holds."""
    now_ms = [await bench.shop.ledger.now_ms()]
    ledger = Ledger(real_redis, namespace=bench.settings.namespace, now_ms=lambda: now_ms[0])
    await ledger.open()
    heartbeat = Heartbeat(ledger, interval_s=20)
    shop = dataclasses.replace(bench.shop, ledger=ledger, lease_s=60.0, heartbeat=heartbeat)
    is_asked, may_answer, create = asyncio.Event(), asyncio.Event(), shop.partner.create_whatsapp

    async def slowly(body: Any) -> Any:
        is_asked.set()
        await may_answer.wait()
        return await create(body)

    monkeypatch.setattr(shop.partner, "create_whatsapp", slowly)
    receipt = await bench.accept()
    working = asyncio.create_task(attempt(receipt.job_ids[0], Lane.LIVE, shop))
    await is_asked.wait()
    rescued = 0
    for _ in range(9):
        now_ms[0] += 20_000
        await heartbeat.run_once()
        rescued += await bench.rescuer(ledger=ledger).rescue()
    may_answer.set()

    settled = await working
    assert settled is not None
    assert (settled.held, settled.state, rescued) == (True, JobState.LINKED, 0)
    assert heartbeat.held == 0


async def test_an_unknown_code_is_judged_by_what_another_process_taught_a_moment_ago(bench: Bench) -> None:
    """Taught, then resumed at once: the next answer goes by it, though this worker has not heard of the lesson."""
    bench.sandbox.faults.update({"fail_code": 77})
    lesson = Lesson(
        name="number_frozen",
        call="create_whatsapp",
        code=77,
        reason_class="bad_data",
        policy="discard",
        meaning="It is frozen.",
        remedy="Ask for another.",
    )
    first = (await bench.accept()).job_ids[0]
    await attempt(first, Lane.LIVE, bench.shop)
    assert await state_of(bench, first) is JobState.FAILED

    await bench.shop.ledger.taught.teach(lesson)
    second = (await bench.accept()).job_ids[0]
    await attempt(second, Lane.LIVE, bench.shop)

    job = await bench.shop.ledger.queries.job(second)
    assert job is not None
    assert (job.state, job.reason, job.reason_class) == (JobState.DEAD, "number_frozen", "bad_data")


async def test_an_unknown_code_is_settled_though_nobody_can_say_what_was_taught(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger is away for the moment of that look: the answer is kept all the same."""
    bench.sandbox.faults.update({"fail_code": 77})

    async def away(_catalogue: object) -> bool:
        raise LedgerUnavailable("ConnectionError")

    monkeypatch.setattr(bench.shop.ledger.taught, "refresh", away)
    job = (await bench.accept()).job_ids[0]
    await attempt(job, Lane.LIVE, bench.shop)

    assert await state_of(bench, job) is JobState.FAILED


@pytest.mark.parametrize("lane", Lane)
async def test_a_process_that_stood_still_after_the_intent_sends_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, lane: Lane
) -> None:
    """It was stopped between the written intent and the call: no create goes out, and the job waits without a doubt."""
    clock = LeapingClock()
    shop = dataclasses.replace(bench.shop, clock=clock)
    keeping = shop.heartbeat.keeping

    def stopped_with_the_job_in_hand(lease: Lease) -> Any:
        clock.ahead_s = shop.lease_s
        return keeping(lease)

    monkeypatch.setattr(shop.heartbeat, "keeping", stopped_with_the_job_in_hand)
    receipt = await bench.accept()
    await attempt(receipt.job_ids[0], lane, shop)

    assert await creates(bench) == 0
    assert await state_of(bench, receipt.job_ids[0]) is JobState.AVAILABLE


@pytest.mark.parametrize("error", [LedgerUnavailable("ConnectionError"), LedgerFull("OOM")])
async def test_an_outcome_is_written_down_however_long_the_ledger_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The link is known in this process alone: settling is tried until it is written."""
    settle = bench.shop.ledger.settle
    left = [error, error]

    async def sometimes(*args: Any) -> Any:
        if left:
            raise left.pop()
        return await settle(*args)

    monkeypatch.setattr(bench.shop.ledger, "settle", sometimes)
    receipt = await bench.accept()
    settled = await attempt(receipt.job_ids[0], Lane.LIVE, bench.shop)

    assert settled is not None
    assert settled.held
    assert await state_of(bench, receipt.job_ids[0]) is JobState.LINKED
    assert await creates(bench) == 1


async def test_settling_is_given_up_in_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten minutes the look-up will know better than this process."""
    clock = LeapingClock()
    shop = dataclasses.replace(bench.shop, clock=clock)
    monkeypatch.setattr(attempts, "_SETTLE_WAITS_S", (0.0,))

    async def never() -> None:
        clock.ahead_s += 400
        raise LedgerUnavailable("ConnectionError")

    with pytest.raises(LedgerUnavailable):
        await attempts.surely(never, "job", shop)


async def test_a_draining_worker_hands_the_bell_back(bench: Bench) -> None:
    """The job is rung again at once, for another worker, and counts no attempt."""
    receipt = await bench.accept(lane=Lane.BULK)
    ledger = bench.shop.ledger
    assert await ledger.feed(Lane.BULK, want=10) == list(receipt.job_ids)
    assert await ledger.feed(Lane.BULK, want=10) == []

    bench.shop.draining.set()
    assert await attempt(receipt.job_ids[0], Lane.BULK, bench.shop) is None

    assert await ledger.feed(Lane.BULK, want=10) == list(receipt.job_ids)
    assert await creates(bench) == 0


@pytest.mark.parametrize("way", ["paused", "credentials"])
async def test_while_calls_are_closed_a_bell_claims_nothing(bench: Bench, way: str) -> None:
    """Paused by an operator, or credentials refused: the job waits on, counts no attempt, and no create is made."""
    receipt = await bench.accept()
    if way == "paused":
        await bench.shop.limits.pause()
    else:
        bench.sandbox.faults.update({"refuse_credentials": True})

    assert await attempt(receipt.job_ids[0], Lane.LIVE, bench.shop) is None

    job = await bench.shop.ledger.queries.job(receipt.job_ids[0])
    assert job is not None
    assert (job.state, job.attempt) == (JobState.AVAILABLE, 0)
    assert await creates(bench) == 0


async def test_a_bell_for_nothing_gives_its_slot_back(bench: Bench) -> None:
    """Rung twice, or for a job that is gone: no attempt, and the partner's budget is as before."""
    receipt = await bench.accept()
    await attempt(receipt.job_ids[0], Lane.LIVE, bench.shop)
    taken = (await bench.shop.limits.status()).taken[Lane.LIVE]

    assert await attempt(receipt.job_ids[0], Lane.LIVE, bench.shop) is None

    assert (await bench.shop.limits.status()).taken[Lane.LIVE] == taken
    assert await creates(bench) == 1


async def test_what_was_settled_decides_which_bells_follow(bench: Bench) -> None:
    """A link rings for its invitation's messages, a failure for its record, and nothing for nothing."""
    linked, failed = await bench.accept(), await bench.accept()
    follow_up("x", await attempt(linked.job_ids[0], Lane.LIVE, bench.shop), bench.shop)
    bench.sandbox.faults.update({"fail_code": 19})
    follow_up("y", await attempt(failed.job_ids[0], Lane.LIVE, bench.shop), bench.shop)
    follow_up("z", await attempt(failed.job_ids[0], Lane.LIVE, bench.shop), bench.shop)

    assert (bench.bell.fan_outs, bench.bell.failures) == (["x"], ["y"])
