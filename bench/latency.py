"""Idle latency: from accepted (durable, in the ledger) to the partner call's arrival, one job at a time.

`python -m bench.latency`. Beside it, in the same run, the floor under it: one bare HTTP request to the same partner.
Goals: p50 ≤ 3 ms, p99 ≤ 10 ms.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time

import aiohttp
import uvloop

from bench.partner import QuickPartner
from bench.stack import BenchStack, invitation
from worker.domain.states import Lane

JOBS, SPARSE = 300, 15


def shown(name: str, seconds: list[float]) -> str:
    ranked = sorted(seconds)
    p99 = ranked[min(len(ranked) - 1, int(0.99 * len(ranked)))]
    return (
        f"{name:<44} n={len(ranked):<4} p50 {statistics.median(ranked) * 1e3:6.2f} ms  "
        f"p95 {ranked[int(0.95 * len(ranked)) - 1] * 1e3:6.2f} ms  p99 {p99 * 1e3:6.2f} ms  max {ranked[-1] * 1e3:6.2f} ms"
    )


async def measure(
    stack: BenchStack, partner: QuickPartner, first: int, count: int, gap: tuple[float, float]
) -> list[float]:
    seconds = []
    for nth in range(first, first + count):
        (receipt,) = await stack.ledger.accept([invitation(nth)], max_waiting=10**6)
        accepted = time.perf_counter()
        stack.bell.ring(receipt.ring, Lane.LIVE)
        job_id = receipt.job_ids[0]
        seconds.append(await partner.arrival(job_id) - accepted)
        await asyncio.sleep(random.uniform(*gap))
    return seconds


async def bare_call(partner: QuickPartner, count: int) -> list[float]:
    seconds = []
    async with aiohttp.ClientSession() as http:
        for nth in range(count):
            began = time.perf_counter()
            async with http.post(
                f"{partner.url}/whatsapp/createAccount", json={"reference": f"bare{nth}", "whatsapp": "1"}
            ):
                pass
            seconds.append(partner.arrived[f"bare{nth}"] - began)
            await asyncio.sleep(0.02)
    return seconds


async def main() -> None:
    async with QuickPartner() as partner, BenchStack(partner.url) as stack:
        await measure(stack, partner, 1, 20, (0.01, 0.02))  # connections, token, warm code
        print(shown("bare request → arrival", await bare_call(partner, 100)))
        print(
            shown(
                "accepted → call arrives (30–70 ms apart)",
                await measure(stack, partner, 1000, JOBS, (0.03, 0.07)),
            )
        )
        print(
            shown(
                "accepted → call arrives (2 s apart, idle)",
                await measure(stack, partner, 5000, SPARSE, (2.0, 2.0)),
            )
        )


if __name__ == "__main__":
    # The loop that `web` and the workers run on.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
