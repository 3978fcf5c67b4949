"""What one job costs the server as work grows: the scripts of an attempt, and the questions operators ask.

    .venv/bin/python -m bench.growth [--full]      # 1,000 against 100,000 waiting jobs; --full: and 1,000,000 (minutes)

Each size has a server of its own and no worker; they are measured in turns. Scripts are timed by the server itself (the slowest
call may be one that the machine interrupted), questions by the clock of their caller.
Goals: flat per job; no script above 5 ms; a console page within 100 ms and a CLI answer within 0.5 s at a million.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
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
GOAL_FLAT = (
    2.0  #: for a thousandfold backlog: deeper trees and colder caches, but nothing that follows its length
)
_CHUNK = 100
_ROUNDS = 8
_FED = 96  #: bells per feed: two workers' worth
_LINK = Linked(link="https://onboarding.example/abcdefgh")


@dataclass
class Costs:
    """What was measured at one size, round by round."""

    waiting: int
    script_us: dict[str, list[float]] = field(default_factory=dict)  #: the server's own mean per call
    worst_ms: dict[str, list[float]] = field(default_factory=dict)  #: the slowest single call
    question_ms: dict[str, list[float]] = field(default_factory=dict)  #: at the caller


@dataclass
class Site:
    """A server of one size, and what is under way on it."""

    redis: Redis
    ledger: Ledger
    costs: Costs
    rung: list[str] = field(default_factory=list)
    claimed: list[ClaimedJob] = field(default_factory=list)
    filled: int = 0

    async def scripts(self, what: str, calls: Callable[[], Awaitable[object]]) -> None:
        """Run *calls* and note what the server says that each script call of theirs cost."""
        await self.redis.config_resetstat()
        await calls()
        means, most = await self.redis.info("commandstats"), await self.redis.info("latencystats")
        self.costs.script_us.setdefault(what, []).append(means["cmdstat_evalsha"]["usec_per_call"])
        self.costs.worst_ms.setdefault(what, []).append(
            most["latency_percentiles_usec_evalsha"]["p100"] / 1000
        )

    async def question(self, what: str, ask: Callable[[], Awaitable[object]]) -> None:
        """Ask once; note how long it took."""
        began = time.perf_counter()
        await ask()
        self.costs.question_ms.setdefault(what, []).append((time.perf_counter() - began) * 1e3)


async def measure(sizes: list[int]) -> list[Costs]:
    """Fill a ledger of each size and measure them in turns, so that the machine's moods fall on all alike."""
    async with contextlib.AsyncExitStack() as stack:
        sites = [await open_site(stack, waiting) for waiting in sizes]
        for _ in range(_ROUNDS):
            for site in sites:
                await attempt(site)
            for site in sites:
                await questions(site)
        return [site.costs for site in sites]


async def open_site(stack: contextlib.AsyncExitStack, waiting: int) -> Site:
    """Run a server with *waiting* jobs, its canary passed and its append-only file at rest."""
    redis = open_redis(stack.enter_context(a_server()))
    ledger = Ledger(redis, namespace="linkferry")
    stack.push_async_callback(ledger.aclose)
    await ledger.open()
    site = Site(redis, ledger, Costs(waiting))
    await redis.config_set("latency-tracking-info-percentiles", "50 100")
    await ledger.batches.open("b1", name="customers.csv", source="csv", by="bench", total=waiting)
    await fill(ledger, 0, waiting)
    while len(site.rung) < _FED:
        await feed(site)
        for verb in (claim, begin, settle):
            await verb(site)
        site.claimed.clear()
    while (await redis.info("persistence"))["aof_rewrite_in_progress"]:
        await asyncio.sleep(0.1)
    return site


async def fill(ledger: Ledger, first: int, last: int) -> None:
    for start in range(first, last, _CHUNK):
        rows = [
            invitation(nth, lane=Lane.BULK, email=f"c{nth}@example.com", batch_id="b1")
            for nth in range(start, min(start + _CHUNK, last))
        ]
        await ledger.accept(rows, max_waiting=10**7, durable=False)


async def feed(site: Site) -> None:
    site.rung[:] = await site.ledger.feed(Lane.BULK, want=_FED)


async def claim(site: Site) -> None:
    for job_id in site.rung:
        job = await site.ledger.claim(job_id, worker_id="bench", lease_s=600)
        assert isinstance(job, ClaimedJob), job
        site.claimed.append(job)


async def begin(site: Site) -> None:
    for job in site.claimed:
        assert await site.ledger.begin_call(job.lease)


async def settle(site: Site) -> None:
    for job in site.claimed:
        assert (await site.ledger.settle(job.lease, _LINK)).held


async def more(site: Site) -> None:
    site.filled += _CHUNK
    await fill(site.ledger, 5_000_000 + site.filled, 5_000_000 + site.filled + _CHUNK)


async def attempt(site: Site) -> None:
    """Take jobs through an attempt each, verb by verb."""
    for name, verb in _ATTEMPT.items():
        await site.scripts(name, lambda verb=verb: verb(site))
    site.claimed.clear()


async def questions(site: Site) -> None:
    """Ask what `status`, `job list`, `failed list`, the console and the minders ask."""
    ledger, ask = site.ledger, site.ledger.queries
    for name, call in {
        "rescue": ledger.rescue,
        "promote": ledger.promote,
        "deliveries due (64)": lambda: ledger.deliveries.due(Channel.EMAIL, want=64),
        "counts": ask.counts,
        "lanes": ask.lanes,
        "audit": ask.audit,
    }.items():
        await site.scripts(name, call)
    for name, call in {
        "counts": ask.counts,
        "lanes": ask.lanes,
        "audit": ask.audit,
        "find: newest 50": lambda: ask.find(JobFilter()),
        "find: state=linked": lambda: ask.find(JobFilter(state=JobState.LINKED)),
        "find: batch": lambda: ask.find(JobFilter(batch="b1")),
        "find: a number": lambda: ask.find(JobFilter(number="972500000005")),
        "find: source, state": lambda: ask.find(JobFilter(source="bench", state=JobState.AVAILABLE)),
        "find: nothing found": lambda: ask.find(JobFilter(source="nowhere")),
    }.items():
        await site.question(name, call)


_ATTEMPT = {
    "accept (100 rows)": more,
    "feed (96 bells)": feed,
    "claim": claim,
    "begin_call": begin,
    "settle (linked)": settle,
}


def show(all_costs: list[Costs]) -> None:
    """Print the median round of each size, and the slowest single call of all."""
    sizes = "".join(f"{costs.waiting:>12,}" for costs in all_costs)
    script_us = [
        {name: statistics.median(each) for name, each in costs.script_us.items()} for costs in all_costs
    ]
    print(
        f"{'scripts, µs on the server':<28}{sizes}   growth   slowest of all (goal ≤ {GOAL_SCRIPT_MS:g} ms)"
    )
    for name in script_us[0]:
        cells = "".join(f"{us[name]:>12.0f}" for us in script_us)
        worst = max(max(costs.worst_ms[name]) for costs in all_costs)
        verdict = "" if worst <= GOAL_SCRIPT_MS else "  missed"
        print(
            f"{name:<28}{cells}   × {script_us[-1][name] / script_us[0][name]:4.2f}   {worst:6.2f} ms{verdict}"
        )
    asked_ms = [
        {name: statistics.median(each) for name, each in costs.question_ms.items()} for costs in all_costs
    ]
    print(f"{'questions, ms at the caller':<28}{sizes}   growth   (goal ≤ {GOAL_PAGE_MS:g} ms at a million)")
    for name in asked_ms[0]:
        cells = "".join(f"{ms[name]:>12.2f}" for ms in asked_ms)
        verdict = "" if asked_ms[-1][name] <= GOAL_PAGE_MS else "  missed"
        print(f"{name:<28}{cells}   × {asked_ms[-1][name] / asked_ms[0][name]:4.2f} {verdict}")
    shares = {
        "accept (100 rows)": _CHUNK,
        "feed (96 bells)": _FED,
        "claim": 1,
        "begin_call": 1,
        "settle (linked)": 1,
    }
    job_us = [sum(us[name] / share for name, share in shares.items()) for us in script_us]
    growth = job_us[-1] / job_us[0]
    told = ", ".join(f"{us:.0f} µs at {costs.waiting:,}" for us, costs in zip(job_us, all_costs, strict=True))
    verdict = "met" if growth <= GOAL_FLAT else "missed"
    print(f"one job, accept to settle: {told}   × {growth:.2f}   goal flat (≤ {GOAL_FLAT}): {verdict}")


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--full", action="store_true", help="a million as well")
    asked = options.parse_args()
    print(machine())
    show(await measure([1_000, 100_000, *([1_000_000] if asked.full else [])]))


if __name__ == "__main__":
    run(main())
