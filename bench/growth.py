"""What one job costs the server as work grows: the scripts of an attempt, and the questions operators ask.

    .venv/bin/python -m bench.growth [--full]      # 1,000 against 100,000 waiting jobs; --full: and 1,000,000 (minutes)

Each size gets a fresh server, a batch of its own and no worker. Scripts are timed by the server itself (commandstats of EVALSHA around each
kind of call; the slowest single call from SLOWLOG), questions by the clock of their caller.
Goals: flat per job; no script above 5 ms; a console page within 100 ms and a CLI answer within 0.5 s at a million.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from redis.asyncio import Redis

from bench.stack import a_server, invitation, machine, run
from worker.domain.job import ClaimedJob
from worker.domain.outcome import Linked
from worker.domain.states import Channel, JobState, Lane
from worker.ledger import JobFilter, Ledger, open_redis

GOAL_SCRIPT_MS = 5.0
GOAL_PAGE_MS = 100.0
GOAL_FLAT = 1.5  #: the largest size's cost per call over the smallest's; below it is noise
_CHUNK = 100
_ATTEMPTS = 600
_FED = 96  #: bells per feed: two workers' worth
_QUESTIONS = 15


@dataclass
class Costs:
    """What was measured at one size."""

    waiting: int
    script_us: dict[str, float] = field(default_factory=dict)  #: mean of the server's own time per call
    worst_ms: dict[str, float] = field(default_factory=dict)  #: slowest single script
    question_ms: dict[str, float] = field(default_factory=dict)  #: median at the caller


class Meter:
    """Reads the server's own account of what scripts cost."""

    def __init__(self, redis: Redis, costs: Costs) -> None:
        self._redis = redis
        self._costs = costs

    async def scripts(self, what: str, calls: Callable[[], Awaitable[object]]) -> None:
        """Run *calls* and note what its scripts cost each."""
        await self._redis.config_set("slowlog-log-slower-than", 0)
        await self._redis.config_set("slowlog-max-len", 20_000)
        await self._redis.slowlog_reset()
        await self._redis.config_resetstat()
        await calls()
        stat = (await self._redis.info("commandstats"))["cmdstat_evalsha"]
        slow = [entry["duration"] for entry in await self._redis.slowlog_get(20_000) if b"EVALSHA" in entry["command"]]
        await self._redis.config_set("slowlog-log-slower-than", -1)
        self._costs.script_us[what] = stat["usec"] / stat["calls"]
        self._costs.worst_ms[what] = max(slow) / 1000

    async def question(self, what: str, ask: Callable[[], Awaitable[object]]) -> None:
        """Ask some times; note the median."""
        seconds = []
        for _ in range(_QUESTIONS):
            began = time.perf_counter()
            await ask()
            seconds.append(time.perf_counter() - began)
        self._costs.question_ms[what] = statistics.median(seconds) * 1e3


async def measure(waiting: int) -> Costs:
    """Fill a ledger with *waiting* jobs and measure."""
    costs = Costs(waiting)
    with a_server() as url:
        redis = open_redis(url)
        ledger = Ledger(redis, namespace="linkferry")
        await ledger.open()
        meter = Meter(redis, costs)
        await ledger.batches.open("b1", name="customers.csv", source="csv", by="bench", total=waiting)
        await fill(ledger, 0, waiting - _CHUNK * 10)
        await meter.scripts("accept (100 rows)", lambda: fill(ledger, waiting - _CHUNK * 10, waiting))
        await attempts(ledger, meter)
        await questions(ledger, meter)
        await ledger.aclose()
    return costs


async def fill(ledger: Ledger, first: int, last: int) -> None:
    for start in range(first, last, _CHUNK):
        rows = [
            invitation(nth, lane=Lane.BULK, email=f"c{nth}@example.com", batch_id="b1")
            for nth in range(start, min(start + _CHUNK, last))
        ]
        await ledger.accept(rows, max_waiting=10**7, durable=False)


async def attempts(ledger: Ledger, meter: Meter) -> None:
    """Take jobs through an attempt each, verb by verb; the canary is passed first, unmeasured."""
    link = Linked(link="https://onboarding.example/abcdefgh")
    rung: list[str] = []
    claimed: list[ClaimedJob] = []

    async def feed() -> None:
        rung[:] = await ledger.feed(Lane.BULK, want=_FED)

    async def claim() -> None:
        for job_id in rung:
            job = await ledger.claim(job_id, worker_id="bench", lease_s=600)
            assert isinstance(job, ClaimedJob), job
            claimed.append(job)

    async def begin() -> None:
        for job in claimed:
            assert await ledger.begin_call(job.lease)

    async def settle() -> None:
        for job in claimed:
            assert (await ledger.settle(job.lease, link)).held

    done = 0
    while len(rung) < _FED:
        await feed()
        for verb in (claim, begin, settle):
            await verb()
        claimed.clear()
    worst: dict[str, list[tuple[float, float]]] = {}
    names = {"feed (96 bells)": feed, "claim": claim, "begin_call": begin, "settle (linked)": settle}
    while done < _ATTEMPTS:
        for name, verb in names.items():
            await meter.scripts(name, verb)
            costs = meter._costs  # noqa: SLF001 - one file
            worst.setdefault(name, []).append((costs.script_us[name], costs.worst_ms[name]))
        done += len(claimed)
        claimed.clear()
    for name, rounds in worst.items():
        costs.script_us[name] = statistics.median(mean for mean, _ in rounds)
        costs.worst_ms[name] = max(most for _, most in rounds)


async def questions(ledger: Ledger, meter: Meter) -> None:
    """Ask what `status`, `job list`, `failed list`, the console and the minders ask."""
    ask = ledger.queries
    await meter.question("counts", ask.counts)
    await meter.question("lanes", ask.lanes)
    await meter.question("audit", ask.audit)
    await meter.question("find: newest 50", lambda: ask.find(JobFilter()))
    await meter.question("find: state=linked", lambda: ask.find(JobFilter(state=JobState.LINKED)))
    await meter.question("find: batch", lambda: ask.find(JobFilter(batch="b1")))
    await meter.question("find: a number", lambda: ask.find(JobFilter(number="972500000005")))
    await meter.question("find: source, state", lambda: ask.find(JobFilter(source="bench", state=JobState.AVAILABLE)))
    await meter.question("find: nothing found", lambda: ask.find(JobFilter(source="nowhere")))
    await meter.scripts("rescue", ledger.rescue)
    await meter.scripts("promote", ledger.promote)
    await meter.scripts("deliveries due (64)", lambda: ledger.deliveries.due(Channel.EMAIL, want=64))
    await meter.scripts("counts", ask.counts)
    await meter.scripts("lanes", ask.lanes)
    await meter.scripts("audit", ask.audit)


def show(all_costs: list[Costs]) -> None:
    sizes = "".join(f"{costs.waiting:>12,}" for costs in all_costs)
    first, last = all_costs[0], all_costs[-1]
    print(f"{'scripts, mean µs on the server':<32}{sizes}   growth   slowest, ms (goal ≤ {GOAL_SCRIPT_MS:g})")
    for name in first.script_us:
        cells = "".join(f"{costs.script_us[name]:>12.0f}" for costs in all_costs)
        worst = max(costs.worst_ms[name] for costs in all_costs)
        growth = last.script_us[name] / first.script_us[name]
        print(f"{name:<32}{cells}   × {growth:4.2f}   {worst:6.2f}  {'' if worst <= GOAL_SCRIPT_MS else 'missed'}")
    print(f"{'questions, median ms':<32}{sizes}   growth   (goal ≤ {GOAL_PAGE_MS:g} ms at a million)")
    for name in first.question_ms:
        cells = "".join(f"{costs.question_ms[name]:>12.2f}" for costs in all_costs)
        growth = last.question_ms[name] / first.question_ms[name]
        verdict = "" if last.question_ms[name] <= GOAL_PAGE_MS else "missed"
        print(f"{name:<32}{cells}   × {growth:4.2f}   {verdict}")
    attempt = [
        sum(costs.script_us[name] for name in ("claim", "begin_call", "settle (linked)"))
        + costs.script_us["feed (96 bells)"] / _FED
        + costs.script_us["accept (100 rows)"] / _CHUNK
        for costs in all_costs
    ]
    growth = attempt[-1] / attempt[0]
    print(
        "one job, accept to settle: "
        + ", ".join(f"{us:.0f} µs at {costs.waiting:,}" for us, costs in zip(attempt, all_costs, strict=True))
        + f"   × {growth:.2f}   goal flat (≤ {GOAL_FLAT}): {'met' if growth <= GOAL_FLAT else 'missed'}"
    )


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--full", action="store_true", help="a million as well")
    asked = options.parse_args()
    print(machine())
    show([await measure(waiting) for waiting in (1_500, 100_000, *([1_000_000] if asked.full else []))])


if __name__ == "__main__":
    run(main())
