"""A bulk requeue beside live customers: what it costs the server at a time, and what a live job feels of it.

    .venv/bin/python -m bench.requeue [--full]     # 60,000 jobs, half of them failed; --full: 1,000,000, 100,000 (minutes)

All failed jobs of a reason are previewed and requeued by one act without a canary, which is the worst case: all are let go as
fast as its driver, a real worker, may. Live jobs come in one at a time beside a backfill, in turns with the act and without it,
so that the machine's moods fall on both alike. Scripts are timed by the server itself (the slowest may be one that the machine
interrupted: the slowest single command stands beside it); a connection that asks it for nothing every few ms shows how long
anybody else may wait. At the end some thousands more are requeued with nobody else there, each step measured by the CPU time of
the server's thread: what our script costs, however often the machine interrupts it.
Goals: no step above 10 ms of the server's CPU, nor (p99) of the clock; a live job's call begins as soon as without it (p95,
within a slot of the rate).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass

from redis.asyncio import Redis

from bench.latency import shown
from bench.partner import QuickPartner
from bench.stack import BenchStack, invitation, machine, main_thread_cpu_ms, run, server_pid
from worker.domain.act import Act
from worker.domain.job import ClaimedJob
from worker.domain.outcome import Fail, Refused
from worker.domain.reasons import Catalogue
from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter, open_redis
from worker.ledger.scripts import hash_of, verbs
from worker.limits import Limits
from worker.ops.acts import ActRefused, Acts

GOAL_SCRIPT_MS = 10.0
RATE = 50.0  #: calls/s: slots, not this machine's cores, are what jobs wait for
_CHUNK = 100
_SPELL = 20  #: live customers in a row
_ASK_EVERY_S = 0.002
_ALONE = 12_000
_ALONE_FROM = 4_000_000
_OTHERS_FROM = 6_000_000
_LIVE_FROM = 8_000_000
_FAIL = Refused(fail=Fail(reason="partner_timeout", reason_class="transient", is_own_data=True))
_LOG_FROM_US = 200
_LOG_KEPT = 100_000
#: Digest → the ledger's verb, as a server with script flags knows it.
_VERBS = {hash_of(verb, has_shebang=True): verb for verb in verbs()}


@dataclass
class Waits:
    """How long a bare question waited for the server, in ms."""

    times_ms: list[float]

    def told(self, what: str) -> str:
        ranked = sorted(self.times_ms)
        p999 = ranked[min(len(ranked) - 1, int(0.999 * len(ranked)))]
        return f"{what:<44} n={len(ranked):<6} p99.9 {p999:6.2f} ms  max {ranked[-1]:6.2f} ms"


async def fill(stack: BenchStack, jobs: int, failed: int) -> None:
    """Record a backfill, and *failed* jobs that failed one by one."""
    await stack.ledger.batches.open("b1", name="customers.csv", source="csv", by="bench", total=jobs)
    for start in range(0, failed, _CHUNK):
        await _fail(stack, start)
    for start in range(0, jobs - failed, _CHUNK):
        rows = [
            invitation(_OTHERS_FROM + start + nth, lane=Lane.BULK, batch_id="b1") for nth in range(_CHUNK)
        ]
        await stack.ledger.accept(rows, max_waiting=10**7, durable=False)
    await rewritten(stack)


async def rewritten(stack: BenchStack) -> None:
    """Wait until the server no longer writes its file anew."""
    while (await stack.redis.info("persistence"))["aof_rewrite_in_progress"]:
        await asyncio.sleep(0.1)


async def _fail(stack: BenchStack, start: int) -> None:
    rows = [invitation(start + nth, lane=Lane.BULK) for nth in range(_CHUNK)]
    receipts = await stack.ledger.accept(rows, max_waiting=10**7, durable=False)

    async def one(job_id: str) -> None:
        job = await stack.ledger.claim(job_id, worker_id="bench", lease_s=600)
        assert isinstance(job, ClaimedJob), job
        await stack.ledger.settle(job.lease, _FAIL)

    await asyncio.gather(*(one(receipt.job_ids[0]) for receipt in receipts))


@contextlib.asynccontextmanager
async def asking(url: str) -> AsyncIterator[Waits]:
    """Ask the server for nothing every few ms on a connection of its own, for as long as the block lasts."""
    redis, waits = open_redis(url), Waits([])

    async def ask() -> None:
        while True:
            began = time.perf_counter()
            await redis.ping()
            waits.times_ms.append((time.perf_counter() - began) * 1e3)
            await asyncio.sleep(_ASK_EVERY_S)

    task = asyncio.create_task(ask())
    try:
        yield waits
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await redis.aclose()


async def live(stack: BenchStack, partner: QuickPartner, numbers: itertools.count[int]) -> float:
    """Send one live customer; return how many seconds after its acceptance its call arrived."""
    (receipt,) = await stack.ledger.accept([invitation(next(numbers))], max_waiting=10**7)
    accepted = time.perf_counter()
    stack.bell.ring(receipt.ring, Lane.LIVE)
    took = await partner.arrival(receipt.job_ids[0]) - accepted
    await asyncio.sleep(0.05)
    return took


async def server_times(redis: Redis, what: Awaitable[object]) -> dict[str, list[float]]:
    """Return how many ms each call took the server, by script or command, while *what* ran: all but the quickest."""
    await redis.slowlog_reset()
    await what
    times: dict[str, list[float]] = {}
    for entry in await redis.slowlog_get(_LOG_KEPT):
        words = entry["command"].decode(errors="replace").split()
        is_script = words[0].upper() == "EVALSHA"
        name = _VERBS.get(words[1], "another script") if is_script else "single commands"
        times.setdefault(name, []).append(entry["duration"] / 1000)
    return {name: sorted(each) for name, each in times.items()}


def tell(times: dict[str, list[float]], verb: str) -> None:
    """Print what *verb* took, and beside it the slowest single command: what is the machine's, not the script's."""
    own, others = times[verb], times.get("single commands", [0.0])
    p99 = ranked(own, 0.99)
    judged = "met" if p99 <= GOAL_SCRIPT_MS else "missed"
    print(
        f"  {verb} on the server: n={len(own)}  p50 {ranked(own, 0.5):.2f} ms  p99 {p99:.2f} ms: {judged}  "
        f"max {own[-1]:.2f} ms; a single command's max {others[-1]:.2f} ms"
    )


async def measure(stack: BenchStack, partner: QuickPartner, requeued: int) -> None:
    """Preview, then requeue with live customers meanwhile; between two spells of it, live customers without it."""
    acts = Acts(stack.ledger, Limits(stack.redis, namespace="linkferry", ceiling=RATE), Catalogue.shipped())
    numbers = itertools.count(_LIVE_FROM)
    found: list[str] = []
    without: list[float] = []
    beside: list[float] = []

    async def preview() -> None:
        wanted = JobFilter(reason="partner_timeout")
        document = await acts.preview(Act.REQUEUE, wanted, states=[JobState.FAILED], by="bench")
        found.append(document["act_id"])

    async def carry_out() -> None:
        await acts.start(found[0], by="bench", why="bench", is_canary=False)
        while (document := await acts.get(found[0])) is not None and document["waiting"]:
            beside.extend([await live(stack, partner, numbers) for _ in range(_SPELL)])
            with contextlib.suppress(ActRefused):  # all are let go by now
                await acts.stop(found[0], by="bench", why="bench")
                without.extend([await live(stack, partner, numbers) for _ in range(_SPELL)])
                await acts.go_on(found[0], by="bench", why="bench")

    for what, verb in ((preview, "act_add"), (carry_out, "act_step")):
        began = time.perf_counter()
        async with asking(stack.url) as waits:
            times = await server_times(stack.redis, what())
        print(f"{what.__name__}, {requeued:,} jobs: {time.perf_counter() - began:.1f} s")
        tell(times, verb)
        print(waits.told("  a bare question meanwhile"))
    print(shown("live, accepted → call, without it", without))
    print(shown("live, accepted → call, beside it", beside))
    p95 = (ranked(sorted(without), 0.95), ranked(sorted(beside), 0.95))
    judged = "met" if p95[1] <= p95[0] + 1 / RATE else "missed"
    print(f"live p95 {p95[0] * 1e3:.1f} ms without, {p95[1] * 1e3:.1f} ms beside it: {judged}")


async def measure_alone(stack: BenchStack) -> None:
    """Requeue some thousands, without a worker or a customer, step by step on the CPU clock of the server's thread."""
    await stack.end_workers()
    # To write its file anew the server forks, which takes it tens of ms with a million jobs, whoever asks for what.
    await stack.redis.config_set("auto-aof-rewrite-percentage", 0)
    await rewritten(stack)
    for start in range(_ALONE_FROM, _ALONE_FROM + _ALONE, _CHUNK):
        await _fail(stack, start)
    acts = Acts(stack.ledger, Limits(stack.redis, namespace="linkferry", ceiling=RATE), Catalogue.shipped())
    wanted = JobFilter(reason="partner_timeout")
    document = await acts.preview(Act.REQUEUE, wanted, states=[JobState.FAILED], by="bench")
    await acts.start(document["act_id"], by="bench", why="bench", is_canary=False)
    pid, costs = await server_pid(stack.redis), list[float]()
    while True:
        before = main_thread_cpu_ms(pid)
        step = await stack.ledger.acts.step(document["act_id"], rate=RATE)
        if not step.taken:
            break
        costs.append(main_thread_cpu_ms(pid) - before)
    costs.sort()
    judged = "met" if costs[-1] <= GOAL_SCRIPT_MS else "missed"
    print(f"alone, {document['total']:,} jobs, the server's CPU for a step and the two looks around it:")
    print(
        f"  n={len(costs)}  p50 {ranked(costs, 0.5):.2f} ms  p99 {ranked(costs, 0.99):.2f} ms  max {costs[-1]:.2f} ms: {judged}"
    )


def ranked(seconds: list[float], share: float) -> float:
    """Return the value below which *share* of them lie, of sorted ones."""
    return seconds[min(len(seconds) - 1, int(share * len(seconds)))]


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--full", action="store_true", help="a million jobs, of which 100,000 failed")
    is_full = options.parse_args().full
    jobs, failed = (1_000_000, 100_000) if is_full else (60_000, 30_000)
    print(machine())
    async with (
        QuickPartner() as partner,
        BenchStack(partner.url, workers=0, provider_rate=RATE) as stack,
    ):
        await stack.redis.config_set("slowlog-log-slower-than", _LOG_FROM_US)
        began = time.perf_counter()
        await fill(stack, jobs, failed)
        print(f"{jobs:,} jobs, {failed:,} failed, made in {time.perf_counter() - began:.0f} s")
        await stack.redis.config_set("slowlog-max-len", _LOG_KEPT)
        stack.start_worker()
        await stack.workers_up(1)
        await measure(stack, partner, failed)
        await measure_alone(stack)


if __name__ == "__main__":
    run(main())
