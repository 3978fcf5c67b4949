"""The feeder and the bells on a real Valkey: few of them, fair, silent while calls are closed, rung again when lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from tests.factories import an_invitation
from tests.integration.runtime_shop import Bench, a_bench
from worker.broker import BrokerBell, make_broker
from worker.domain.states import Lane
from worker.execution.attempt import attempt
from worker.ledger import Ledger
from worker.maintenance.feed import Feeder

RATE = 20


@pytest.fixture
async def bench(real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_bench(valkey_url, tmp_path, provider_rate=500) as opened:
        yield opened


def a_feeder(bench: Bench, **changes: object) -> Feeder:
    parts: dict[str, object] = {
        "ledger": bench.shop.ledger,
        "limits": bench.shop.limits,
        "bell": bench.bell,
        "bulk_places": 24,
        "token": bench.shop.partner.token,
    }
    return Feeder(**(parts | changes))  # type: ignore[arg-type]


async def backfill(bench: Bench, count: int, batch: str | None = None) -> None:
    ledger = bench.shop.ledger
    if batch:
        await ledger.batches.open(batch, name=batch, source="csv", by="test")
    for _ in range(0, count, 100):
        rows = [an_invitation(lane=Lane.BULK, batch_id=batch, channels=()) for _ in range(100)]
        await ledger.accept(rows, max_waiting=100_000, durable=False)


async def test_twenty_thousand_waiting_jobs_leave_the_broker_small(
    real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path
) -> None:
    """Nobody listens and the feeder turns and turns: the broker holds a second's worth of bells and a handful of keys."""
    async with a_bench(valkey_url, tmp_path, provider_rate=RATE) as bench:
        await backfill(bench, 20_000)  # of no batch: no ramp keeps the bells few
        broker = make_broker(bench.settings.broker_url_effective, namespace=bench.settings.namespace)
        bell = BrokerBell(broker)
        feeder = a_feeder(bench, bell=bell)
        for _ in range(30):
            await feeder.run_once()
        await bell.aclose()

        bells = redis.asyncio.Redis.from_url(bench.settings.broker_url_effective)
        keys = [key.decode() for key in await bells.keys("*")]
        queue = f"{bench.settings.namespace}-bells:bulk"
        waiting = await bells.llen(queue)
        await bells.aclose()
        assert waiting == RATE
        assert len(keys) <= 8, keys
        assert (await bench.shop.ledger.queries.lanes())[Lane.BULK].waiting == 20_000


async def test_two_batches_share_the_lane_fairly_and_a_pause_takes_effect_at_once(bench: Bench) -> None:
    """Fed and worked for real, each has half; a paused batch gets nothing more from the next bell on; so does a lane."""
    await backfill(bench, 300, "a")
    await backfill(bench, 300, "b")
    feeder, ledger = a_feeder(bench), bench.shop.ledger

    async def work(rounds: int) -> Counter[str]:
        done: Counter[str] = Counter()
        for _ in range(rounds):
            await feeder.run_once()
            rung, bench.bell.jobs[:] = bench.bell.jobs[:], []
            endings = await asyncio.gather(*(attempt(job_id, Lane.BULK, bench.shop) for job_id in rung))
            ended = [job_id for job_id, ending in zip(rung, endings, strict=True) if ending]
            done.update(str(job.batch_id) for job in await ledger.queries.jobs(ended))
        return done

    done = await work(8)
    assert sum(done.values()) >= 60
    assert abs(done["a"] - done["b"]) <= 2

    await feeder.run_once()  # bells of both are on their way …
    await ledger.batches.pause("batch:a")
    done = await work(4)
    assert done["a"] == 0
    assert done["b"] >= 20

    await ledger.batches.pause("bulk")
    assert await work(3) == Counter()
    await ledger.batches.resume("bulk")
    await ledger.batches.resume("batch:a")
    done = await work(6)
    assert done["a"] >= 20
    assert done["b"] >= 20


@pytest.mark.parametrize("way", ["paused", "credentials_held", "throttled", "no_token"])
async def test_no_bell_is_rung_while_no_call_can_be_made(bench: Bench, way: str) -> None:
    """Paused, credentials held, the partner asked for a pause, or no token to be had: jobs wait without a sound."""
    await backfill(bench, 100, "b")
    limits = bench.shop.limits
    match way:
        case "paused":
            await limits.pause()
        case "credentials_held":
            await limits.hold_credentials("fingerprint", 2)
        case "throttled":
            await limits.pushback(60)
        case "no_token":
            bench.sandbox.faults.update({"calls": ["access_token"], "error_before": 1.0})
    feeder = a_feeder(bench)

    assert [await feeder.run_once() for _ in range(3)] == [0, 0, 0]

    assert bench.bell.jobs == []
    bench.sandbox.faults.reset()
    if way in {"paused", "throttled"}:
        await limits.resume(against_partner=True)
        assert await feeder.run_once() > 0


async def test_without_credentials_no_bell_is_rung(
    real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path
) -> None:
    """Nothing is set: jobs are taken in and wait, and no call leaves."""
    async with a_bench(valkey_url, tmp_path, real_channels=True, provider_client_secret=None) as bench:
        await backfill(bench, 100, "b")
        assert await a_feeder(bench).run_once() == 0
        assert bench.bell.jobs == []
        assert bench.sandbox.state.calls.total() == 0


async def test_a_bell_nobody_heard_is_rung_again_after_ten_seconds(bench: Bench) -> None:
    """The broker's keys were wiped: the ledger rings for the same jobs and messages again, and not sooner."""
    await backfill(bench, 100, "b")
    real = bench.shop.ledger
    now_ms = await real.now_ms()
    time_of = [now_ms]
    ledger = Ledger(real._scripts.redis, namespace=bench.settings.namespace, now_ms=lambda: time_of[0])
    await ledger.open()
    feeder = a_feeder(bench, ledger=ledger)
    assert await feeder.run_once() == 5  # a batch begins with its canary
    first, bench.bell.jobs[:] = sorted(bench.bell.jobs), []

    time_of[0] += 9_000
    assert await feeder.run_once() == 0
    time_of[0] += 1_001
    assert await feeder.run_once() == 5

    assert sorted(bench.bell.jobs) == first
