"""Memory: Redis bytes per waiting job, and what a worker process holds, beside a bare Dramatiq worker.

    .venv/bin/python -m bench.memory [--waiting 100000] [--jobs 1000]

A process is told by its PSS (pages shared with others counted in part; goal) and its RSS, both from /proc/PID/smaps_rollup:
after boot, and after so many whole jobs with mails. The bare worker is Dramatiq's own Redis broker with as many threads and one
async actor, nothing of ours imported.
Goals: ≤ 1.2 KB of Redis per waiting job, ≤ 90 MB of RSS per worker process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from bench.partner import MailSink, QuickPartner
from bench.stack import ROOT, BenchStack, a_server, invitation, machine, run, until
from worker.domain.states import Lane
from worker.ledger import Ledger, open_redis
from worker.settings import load_settings

GOAL_BYTES = 1_229
GOAL_MB = 90.0
_CHUNK = 2_000
_SETTLED_S = 2.0  #: after boot or work, a process is left alone for so long before it is looked at


def memory_mb(pid: int) -> tuple[float, float]:
    """Return PSS and RSS of a process in MB (10⁶ bytes)."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0]) * 1024 / 1e6
    return found["Pss"], found["Rss"]


def told(what: str, pid: int, *, goal: bool = False) -> None:
    pss, rss = memory_mb(pid)
    verdict = f"   goal RSS ≤ {GOAL_MB:.0f} MB: {'met' if rss <= GOAL_MB else 'missed'}" if goal else ""
    print(f"  {what:<44} PSS {pss:6.1f} MB   RSS {rss:6.1f} MB{verdict}")


async def redis_bytes(waiting: int) -> None:
    with a_server() as url:
        redis = open_redis(url)
        ledger = Ledger(redis, namespace="linkferry")
        await ledger.open()
        await ledger.batches.open("b1", name="customers.csv", source="csv", by="bench", total=waiting)
        before = (await redis.info("memory"))["used_memory"]
        for first in range(0, waiting, _CHUNK):
            rows = [
                invitation(nth, lane=Lane.BULK, email=f"customer{nth}@example.com", batch_id="b1")
                for nth in range(first, min(first + _CHUNK, waiting))
            ]
            await ledger.accept(rows, max_waiting=10**7, durable=False)
        size = ((await redis.info("memory"))["used_memory"] - before) / waiting
        await ledger.aclose()
    verdict = "met" if size <= GOAL_BYTES else "missed"
    print(
        f"Redis, {waiting:,} waiting jobs of one batch: {size:,.0f} bytes each   goal ≤ {GOAL_BYTES:,}: {verdict}"
    )


async def our_worker(jobs: int) -> None:
    async with (
        QuickPartner() as partner,
        MailSink() as sink,
        BenchStack(
            partner.url, email_rate=10_000, smtp_url=sink.url, email_from="Bench <bench@example.com>"
        ) as stack,
    ):
        (worker,) = stack.workers
        await asyncio.sleep(_SETTLED_S)
        told("linkferry worker, after boot", worker.pid)
        rows = [invitation(nth, lane=Lane.BULK, email=f"c{nth}@example.com") for nth in range(jobs)]
        await stack.ledger.accept(rows, max_waiting=10**6)
        await until(lambda: len(sink.taken) >= jobs, within_s=60)
        await asyncio.sleep(_SETTLED_S)
        told(f"linkferry worker, after {jobs:,} jobs and mails", worker.pid, goal=True)


def bare_worker(threads: int) -> None:
    with a_server() as url:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.peers.dramatiq_bare", url, str(threads)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(_SETTLED_S)
            told(f"bare Dramatiq worker, {threads} threads, after boot", process.pid)
        finally:
            process.terminate()
            process.wait()


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--waiting", type=int, default=100_000)
    options.add_argument("--jobs", type=int, default=1_000)
    asked = options.parse_args()
    print(machine())
    await redis_bytes(asked.waiting)
    at_once = load_settings().worker_concurrency
    print(f"one worker process, {at_once} at once:")
    await asyncio.to_thread(bare_worker, at_once)
    await our_worker(asked.jobs)


if __name__ == "__main__":
    run(main())
