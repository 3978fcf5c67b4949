"""Webhooks in: 10,000 signed events into one `linkferry web` with a real Valkey (AOF), each acked once it is durable.

`python -m bench.events`. Beside it, in the same run and from the same client, a bare aiohttp handler that reads the
body and answers. First as fast as 32 connections go, which is a server's own maximum; then at half of that maximum, by
the clock: an ack's time counts from when its request was due, so that a queue before the client is not forgotten.
Goal: p99 of the ack at most 50 ms at half of its own maximum.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.stack import ROOT, a_server, machine, run
from worker.domain.standard_webhooks import parse_secret, signed_headers
from worker.ledger import Ledger, open_redis

CONNECTIONS = 32
GOAL_MS = 50.0
BATCH = 100
PATH = "/crm/generic/0123456789abcdefghijklmnopqrstuv"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_BARE = """
import asyncio, sys
from aiohttp import web
import uvloop

async def handle(request):
    await request.read()
    return web.Response(body=b"{}", content_type="application/json")

app = web.Application()
app.router.add_post("/crm/{name}/{path}", handle)
uvloop.install()
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
"""


def an_event(run_id: str, nth: int) -> dict[str, object]:
    return {
        "event_id": f"{run_id}-{nth}",
        "type": "contact.created",
        "data": {
            "id": f"c-{nth}",
            "company": {"name": f"Business {nth}"},
            "phone": f"+97250{nth:07d}",
            "email": f"customer{nth}@example.com",
            "name": "Dana Levi",
        },
    }


def requests_of(run_id: str, events: int, per_request: int) -> list[bytes]:
    """Return signed HTTP requests, as they go over the wire."""
    secret = parse_secret(SECRET)
    now_s = int(time.time())
    wire = []
    for first in range(0, events, per_request):
        bodies = [an_event(run_id, nth) for nth in range(first, min(events, first + per_request))]
        body = json.dumps(bodies if per_request > 1 else bodies[0]).encode()
        headers = signed_headers([secret], f"{run_id}-{first}", now_s, body)
        lines = [f"POST {PATH} HTTP/1.1", "Host: bench", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        wire.append("\r\n".join(lines).encode() + body)
    return wire


class Client:
    """One connection, kept alive: a request out, its whole answer in. As little Python as can be."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def post(self, wire: bytes) -> None:
        self._writer.write(wire)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"the server said {head[:60]!r}")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


async def clients(port: int) -> list[Client]:
    found = [Client(port) for _ in range(CONNECTIONS)]
    for client in found:
        await client.open()
    return found


async def flat_out(port: int, wire: Sequence[bytes]) -> tuple[float, list[float]]:
    """Send everything, each connection one after the other; return requests/s and each answer's seconds."""
    left, seconds = iter(wire), []

    async def work(client: Client) -> None:
        for request in left:
            began = time.perf_counter()
            await client.post(request)
            seconds.append(time.perf_counter() - began)

    people = await clients(port)
    began = time.perf_counter()
    await asyncio.gather(*map(work, people))
    rate = len(wire) / (time.perf_counter() - began)
    for client in people:
        client.close()
    return rate, seconds


async def by_the_clock(port: int, wire: Sequence[bytes], rate: float) -> list[float]:
    """Send a request each 1/rate seconds; return the seconds from when each was due to its whole answer."""
    idle: asyncio.Queue[Client] = asyncio.Queue()
    people = await clients(port)
    for client in people:
        idle.put_nowait(client)
    seconds: list[float] = []

    async def send(client: Client, request: bytes, due: float) -> None:
        await client.post(request)
        seconds.append(time.perf_counter() - due)
        idle.put_nowait(client)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for nth, request in enumerate(wire):
            due = began + nth / rate
            if (ahead := due - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            tasks.create_task(send(await idle.get(), request, due))
    for client in people:
        client.close()
    return seconds


def shown(seconds: Sequence[float]) -> str:
    ranked = sorted(seconds)
    at = [ranked[min(len(ranked) - 1, int(share * len(ranked)))] * 1e3 for share in (0.95, 0.99)]
    return f"p50 {statistics.median(ranked) * 1e3:5.1f} ms  p95 {at[0]:5.1f} ms  p99 {at[1]:5.1f} ms  max {ranked[-1] * 1e3:5.1f} ms"


@contextlib.contextmanager
def a_process(*arguments: str, port: int, environment: dict[str, str]) -> Iterator[int]:
    """Run a Python process until the block ends, once it listens on *port*."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env={k: v for k, v in os.environ.items() if not k.startswith("LINKFERRY_")} | environment,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT,
        )  # fmt: skip
        try:
            give_up_at = time.monotonic() + 20
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if process.poll() is not None or time.monotonic() > give_up_at:
                    log.seek(0)
                    raise RuntimeError(log.read().decode(errors="replace")[-2000:])
                time.sleep(0.05)
            yield process.pid
        finally:
            process.terminate()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def measure(name: str, port: int, events: int, per_request: int, *, goal: bool = False) -> float:
    what = f"{name}, {per_request} event{'s' if per_request > 1 else ''} a request"
    rate, seconds = await flat_out(port, requests_of(secrets.token_hex(4), events, per_request))
    print(f"{what:<44} flat out: {rate * per_request:8,.0f} events/s   {shown(seconds)}")
    half = await by_the_clock(port, requests_of(secrets.token_hex(4), events, per_request), rate / 2)
    p99 = sorted(half)[int(0.99 * len(half))] * 1e3
    verdict = f"   goal p99 ≤ {GOAL_MS:.0f} ms: {'met' if p99 <= GOAL_MS else 'missed'}" if goal else ""
    print(f"{'':<44} at half:  {rate * per_request / 2:8,.0f} events/s   {shown(half)}{verdict}")
    return rate


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--events", type=int, default=10_000)
    events = options.parse_args().events
    print(machine())
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(a_server())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lf-bench-")))
        (folder / "bare.py").write_text(_BARE, encoding="utf-8")
        bare, ours = free_port(), free_port()
        stack.enter_context(a_process(str(folder / "bare.py"), str(bare), port=bare, environment={}))
        environment = {
            "LINKFERRY_REDIS_URL": url,
            "LINKFERRY_WEB_PORT": str(ours),
            "LINKFERRY_LOG_FORMAT": "json",
            "LINKFERRY_CRM_GENERIC_PATH": PATH.rpartition("/")[2],
            "LINKFERRY_CRM_GENERIC_SECRET": SECRET,
            "PYTHONPATH": str(ROOT),
        }
        stack.enter_context(a_process("-m", "linkferry", "web", port=ours, environment=environment))
        bare_rate = await measure("bare aiohttp handler", bare, events, 1)
        our_rate = await measure("linkferry web", ours, events, 1, goal=True)
        print(f"{'':<44} {our_rate / bare_rate:.2f} of the bare handler")
        await measure("bare aiohttp handler", bare, events, BATCH)
        await measure("linkferry web", ours, events, BATCH, goal=True)
        async with open_redis(url) as redis:
            ledger = Ledger(redis, namespace="linkferry")
            await ledger.open()
            counts = await ledger.intake.counts()
            recorded = sum(sum(states.values()) for states in counts.values())
            print(f"recorded {recorded:,} of {4 * events:,} events")


if __name__ == "__main__":
    run(main())
