"""Real worker processes against a strict partner: how much of its rate is used, and how long a live customer waits.

    .venv/bin/python -m bench.fleet [--seconds 25] [--processes 2 4] [--live 20]

The partner is the sandbox in a process of its own: it answers after 50 ms, tolerates one call of jitter on its rate and refuses what
comes earlier with 429; what it was called for, and when, is its own record (GET /sandbox/calls). The raw limit is the peer:
`used` is the share of 0.995 × the rate between the backlog's first and last call. `bench/budget.py` measures the limiter by
itself; this is all of the worker.
Goals: ≥ 99 % used and no call refused, by two processes and by four; a live job is linked within 0.5 s under a backfill of
5,000 rows at 20 calls/s.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from bench.stack import ROOT, BenchStack, invitation, machine, run, until
from worker.domain.states import JobState, Lane

GOAL_USED = 0.99
GOAL_LIVE_S = 0.5
BUDGET_RATE, LIVE_RATE = 25.0, 20.0
BACKFILL = 5_000
_CHUNK = 1_000
_ANSWER_S = 0.05


class Sandbox:
    """What a bench asks of a sandbox that runs."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def creates(self) -> list[dict[str, Any]]:
        """Return the create calls so far, in order."""
        items = (await self._get("calls"))["items"]
        return [item for item in items if item["call"].startswith("create_")]

    async def begun(self) -> dict[str, float]:
        """Return when the call that made each link came, by the job's id: the link is made when it is answered."""
        numbers = (await self._get("state"))["numbers"].values()
        links = [link for number in numbers for link in number["links"]]
        return {link["reference"]: link["created_at"] - _ANSWER_S for link in links}

    async def _get(self, what: str) -> Any:
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/sandbox/{what}") as answer:
            return await answer.json()


@contextlib.asynccontextmanager
async def a_sandbox(rate: float) -> AsyncIterator[Sandbox]:
    """Run a strict sandbox in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="lf-bench-") as folder:
        address = Path(folder) / "address.json"
        command = [
            sys.executable, "-m", "worker.partner.sandbox", "--address-file", str(address), "--rate", str(rate),
            "--client-id", "bench", "--client-secret", "bench",
            "--faults", json.dumps({"latency_s": [_ANSWER_S, _ANSWER_S]}),
        ]  # fmt: skip
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            await until(address.exists, within_s=20)
            yield Sandbox(json.loads(address.read_text())["url"])
        finally:
            process.terminate()
            process.wait()


async def backfill(stack: BenchStack, rows: int) -> None:
    """Accept a batch of *rows* as a backfill does."""
    await stack.ledger.batches.open("b1", name="customers.csv", source="csv", by="bench", total=rows)
    for first in range(0, rows, _CHUNK):
        chunk = [
            invitation(nth, lane=Lane.BULK, batch_id="b1") for nth in range(first, min(first + _CHUNK, rows))
        ]
        await stack.ledger.accept(chunk, max_waiting=10**6)


async def budget(processes: int, seconds: float) -> bool:
    """Work on a backlog for a while; print and return whether the goal was met."""
    async with (
        a_sandbox(BUDGET_RATE) as sandbox,
        BenchStack(sandbox.url, workers=processes, provider_rate=BUDGET_RATE) as stack,
    ):
        await backfill(stack, int(BUDGET_RATE * seconds * 2))
        await asyncio.sleep(seconds)
        calls = await sandbox.creates()
        held = await stack.ledger.batches.holds()
    taken = [call["at"] for call in calls if call["http"] != 429]
    refused = len(calls) - len(taken)
    used = (len(taken) - 1) / (taken[-1] - taken[0]) / (0.995 * BUDGET_RATE)
    gaps = [after - before for before, after in itertools.pairwise(taken)]
    is_met = used >= GOAL_USED and refused == 0
    print(
        f"  {processes} processes: {len(taken)} calls, used {used:.2%} of 0.995 × {BUDGET_RATE:g}/s, refused {refused}; gaps "
        f"{min(gaps) * 1e3:.1f}–{max(gaps) * 1e3:.1f} ms   goal ≥ {GOAL_USED:.0%}, 0 refused: {'met' if is_met else 'missed'}"
        + (f"; held: {held}" if held else "")
    )
    return is_met


async def live(count: int) -> bool:
    """Enqueue live customers one at a time under a backfill; print and return whether the goal was met."""
    async with (
        a_sandbox(LIVE_RATE) as sandbox,
        BenchStack(sandbox.url, workers=2, provider_rate=LIVE_RATE) as stack,
    ):
        await backfill(stack, BACKFILL)
        await asyncio.sleep(3)  # the canary is over, the backfill uses the whole rate
        linked_s, began_s = [], []
        for nth in range(count):
            (receipt,) = await stack.ledger.accept([invitation(100_000 + nth)], max_waiting=10**6)
            accepted_at, accepted = time.time(), time.perf_counter()
            stack.bell.ring(receipt.ring, Lane.LIVE)
            linked_s.append(await _linked_after(stack, receipt.job_ids[0], accepted))
            began_s.append((receipt.job_ids[0], accepted_at))
            await asyncio.sleep(random.uniform(0.1, 0.5))
        begun = await sandbox.begun()
    waits = [begun[job] - at for job, at in began_s]
    is_met = max(linked_s) <= GOAL_LIVE_S
    slots_s = 2 / (0.995 * LIVE_RATE) + 0.02
    print(
        f"  live under a backfill of {BACKFILL:,} at {LIVE_RATE:g}/s ({count}): accepted → linked p50 {statistics.median(linked_s) * 1e3:.0f} ms, "
        f"most {max(linked_s) * 1e3:.0f} ms   goal ≤ {GOAL_LIVE_S * 1e3:.0f} ms: {'met' if is_met else 'missed'}\n"
        f"  accepted → call begins p50 {statistics.median(waits) * 1e3:.0f} ms, most {max(waits) * 1e3:.0f} ms   "
        f"goal two slots + 20 ms = {slots_s * 1e3:.0f} ms: {'met' if max(waits) <= slots_s else 'missed'}"
    )
    return is_met


async def _linked_after(stack: BenchStack, job_id: str, accepted: float) -> float:
    async with asyncio.timeout(30):
        while True:
            job = await stack.ledger.queries.job(job_id)
            if job is not None and job.state is JobState.LINKED:
                return time.perf_counter() - accepted
            await asyncio.sleep(0.005)


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=25.0)
    options.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    options.add_argument("--live", type=int, default=20)
    asked = options.parse_args()
    print(machine())
    for processes in asked.processes:
        await budget(processes, asked.seconds)
    await live(asked.live)


if __name__ == "__main__":
    run(main())
