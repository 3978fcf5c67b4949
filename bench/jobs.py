"""Whole jobs per second, beside the best peer's bare call.

    .venv/bin/python -m bench.jobs [--jobs 3000] [--rounds 2]

Ours: accept → ring → slot → claim → begin → a call of 50 ms → settle → fan out → a mail at a local SMTP server, by two
worker processes at a rate that never binds, from the accept to the last mail. The peer: taskiq on Redis, two processes,
the same call over aiohttp and nothing else, its jobs enqueued beforehand, from its first call to its last. Rounds alternate, each
on a fresh server. The design asks for this figure to be measured and told; being ahead is for an engine to come.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bench.partner import MailSink, QuickPartner
from bench.stack import (
    PEER_BIN,
    ROOT,
    BenchStack,
    a_server,
    has_peer,
    invitation,
    machine,
    process_cpu_s,
    run,
    server_cpu_s,
    until,
)
from worker.domain.states import JobState, Lane
from worker.ledger import open_redis

CALL_S = 0.05
CONCURRENCY = 64  #: calls at once per process, ours; of these a quarter is the live lane's alone
PEER_TASKS = 256  #: tasks at once per process: the peer's best setting here
PROCESSES = 2


async def our_round(jobs: int) -> float:
    """Return whole jobs per second, and print what they cost."""
    async with (
        QuickPartner(delay_s=CALL_S) as partner,
        MailSink() as sink,
        BenchStack(
            partner.url,
            workers=PROCESSES,
            provider_rate=10_000,
            provider_concurrency=CONCURRENCY,
            email_rate=10_000,
            smtp_url=sink.url,
            email_from="Bench <bench@example.com>",
        ) as stack,
    ):
        pids = [worker.pid for worker in stack.workers]
        cpu_before = sum(process_cpu_s(pid) for pid in pids)
        server_before = await server_cpu_s(stack.redis)
        rows = [invitation(nth, lane=Lane.BULK, email=f"customer{nth}@example.com") for nth in range(jobs)]
        began = time.perf_counter()
        await stack.ledger.accept(rows, max_waiting=10**6)
        accepted_s = time.perf_counter() - began
        await until(lambda: len(sink.taken) >= jobs, within_s=90)
        elapsed_s = sink.taken[jobs - 1] - began
        counts = await stack.ledger.queries.counts()
        assert counts[JobState.LINKED] == jobs, counts
        assert len(sink.taken) == jobs, f"{len(sink.taken)} mails for {jobs} jobs"
        calls = sorted(partner.arrived.values())
        cpu_ms = (sum(process_cpu_s(pid) for pid in pids) - cpu_before) / jobs * 1e3
        server_ms = (await server_cpu_s(stack.redis) - server_before) / jobs * 1e3
    print(
        f"  linkferry  {jobs / elapsed_s:7,.0f} whole jobs/s   accepted in {accepted_s:.2f} s, first call after {calls[0] - began:.2f} s, "
        f"calls at {(jobs - 1) / (calls[-1] - calls[0]):,.0f}/s; CPU a job: workers {cpu_ms:.2f} ms, Valkey {server_ms:.2f} ms"
    )
    return jobs / elapsed_s


async def peer_round(jobs: int, kind: str) -> float:
    """Return the peer's bare calls per second."""
    async with QuickPartner(delay_s=CALL_S) as partner:
        with a_server() as url:
            environment = os.environ | {
                "REDIS_URL": url,
                "PARTNER_URL": partner.url,
                "PEER_BROKER": kind,
                "PYTHONPATH": str(ROOT),
            }
            enqueue = await asyncio.create_subprocess_exec(
                PEER_BIN / "python", "-m", "bench.peers.taskiq_calls", str(jobs), env=environment, cwd=ROOT
            )
            if await enqueue.wait():
                raise RuntimeError("the peer could not enqueue")
            async with a_peer_worker(environment) as pids:
                await until(lambda: len(partner.arrived) >= jobs, within_s=60)
                cpu_ms = sum(process_cpu_s(pid) for pid in pids()) / jobs * 1e3
            client = open_redis(url)
            server_ms = await server_cpu_s(client) / jobs * 1e3
            await client.aclose()
        calls = sorted(partner.arrived.values())
    rate = (jobs - 1) / (calls[-1] - calls[0])
    print(
        f"  taskiq     {rate:7,.0f} bare calls/s   ({kind} broker; CPU a call: workers {cpu_ms:.2f} ms with their start, "
        f"Valkey {server_ms:.2f} ms with the enqueue)"
    )
    return rate


@contextlib.asynccontextmanager
async def a_peer_worker(environment: dict[str, str]) -> AsyncIterator:
    """Run the peer's own command with two worker processes; yields a function that names its children."""
    command = [
        PEER_BIN / "taskiq", "worker", "bench.peers.taskiq_calls:broker",
        "--workers", str(PROCESSES), "--max-async-tasks", str(PEER_TASKS), "--log-level", "WARNING",
    ]  # fmt: skip
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL)
    try:
        yield lambda: children_of(process.pid)
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--jobs", type=int, default=3000)
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--peer-broker", choices=["list", "stream"], default="list")
    asked = options.parse_args()
    has_taskiq = has_peer("taskiq")
    print(f"{asked.jobs:,} jobs, {PROCESSES} worker processes, a call of {CALL_S * 1e3:.0f} ms; {machine()}")
    ours, theirs = [], []
    for _ in range(asked.rounds):
        ours.append(await our_round(asked.jobs))
        if has_taskiq:
            theirs.append(await peer_round(asked.jobs, asked.peer_broker))
    if not ours:
        return
    mine = statistics.median(ours)
    print(f"median: {mine:,.0f} whole jobs/s (no goal yet: measured and told)")
    if theirs:
        peer = statistics.median(theirs)
        print(f"beside taskiq's {peer:,.0f} bare calls/s: {mine / peer:.2f} times")


if __name__ == "__main__":
    run(main())
