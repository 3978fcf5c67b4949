"""The web process's app with CRMs switched on, over a real Valkey; and a worker of their events in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from linkferry.session import Session
from linkferry.web import build_app
from producers.crm.config import load_crms
from producers.crm.model import Crm
from producers.crm.work import EventWorker, WorkDeps
from producers.enqueue import Door
from worker.clock import SystemClock
from worker.domain.event import EventRecord, EventState
from worker.ledger import Ledger, open_redis
from worker.limits import Limits
from worker.settings import Settings, load_settings
from worker.telemetry import Stats

PATH = "Xq8_3vTt-0aZ7LmPnRbY4w"
BEARER = "a-static-token-nobody-guesses"
GENERIC = {"CRM_GENERIC_PATH": PATH, "CRM_GENERIC_BEARER": BEARER}
URL = f"/crm/generic/{PATH}"
SOURCE = "crm:generic"
AUTH = {"Authorization": f"Bearer {BEARER}"}


class CountingBell:
    """Counts what it is rung for."""

    def __init__(self) -> None:
        self.sources: list[str] = []

    def ring(self, job_ids: Any, lane: Any) -> None:
        """Hear nothing of jobs."""

    def ring_intake(self, source: str) -> None:
        self.sources.append(source)

    async def aclose(self) -> None:
        """Nothing is open."""


@dataclass
class Desk:
    """What the tests hold in their hands."""

    settings: Settings
    session: Session
    client: TestClient
    bell: CountingBell
    stats: Stats = field(default_factory=Stats)

    @property
    def ledger(self) -> Ledger:
        return self.session.ledger

    async def post(self, body: Any, *, url: str = URL, **headers: str) -> tuple[int, dict[str, Any]]:
        """Post to the generic CRM with its token; return the status and the answer."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self.client.post(url, data=raw, headers=AUTH | named)
        return answer.status, await answer.json(content_type=None)

    async def events(self, state: EventState | None = None) -> list[EventRecord]:
        page = await self.ledger.intake.find(state=state, limit=500)
        return list(page.items)

    async def invitations(self) -> int:
        """Return how many jobs were accepted."""
        return (await self.ledger.queries.audit()).accepted

    async def counted(self) -> dict[str, float]:
        """Return the fleet's CRM counters."""
        stats = await self.ledger.fleet.stats()
        return {name: value for name, value in stats.items() if name.startswith(("crm", "alarms"))}

    def worker(self, *, crms: Mapping[str, Crm] | None = None, **changes: Any) -> EventWorker:
        parts: dict[str, Any] = {
            "crms": load_crms(self.settings) if crms is None else crms,
            "intake": self.ledger.intake,
            "door": Door(self.ledger, self.bell),
            "stats": self.stats,
            "clock": SystemClock(),
            "worker_id": "w1",
            "lease_s": 60.0,
            "keeping": lambda _lease: nullcontext(),
        }
        return EventWorker(WorkDeps(**(parts | changes)))


def settings_for(redis_url: str, written: Mapping[str, str], **changes: Any) -> Settings:
    environ = {f"LINKFERRY_{name}": value for name, value in written.items()}
    return load_settings(environ=environ, env_file=None, redis_url=redis_url, **changes)


@asynccontextmanager
async def a_desk(redis_url: str, written: Mapping[str, str] = GENERIC, **changes: Any) -> AsyncIterator[Desk]:
    """Serve the app on an emptied Valkey."""
    settings = settings_for(redis_url, written, **changes)
    redis = open_redis(redis_url)
    session = Session(
        settings=settings,
        ledger=Ledger(redis, namespace="crm-test"),
        limits=Limits(redis, namespace="crm-test", name="partner", ceiling=5.0),
        catalogue=settings.load_catalogue(),
    )
    bell = CountingBell()
    session._bell = bell  # type: ignore[assignment]
    await session.ledger.open()
    client = TestClient(TestServer(build_app(session)))
    await client.start_server()
    try:
        yield Desk(settings, session, client, bell)
    finally:
        await client.close()
        await session.aclose()
        await redis.aclose()


async def raw_http(client: TestClient, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """Send bytes as they are, a piece at a time, and return the whole answer."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause_s)
    answer = await reader.read(65536)
    writer.close()
    return answer


def customer(number: str, **changes: Any) -> dict[str, Any]:
    """Return a body that asks for one invitation."""
    return {"whatsapp": number, "business_name": "Dana Flowers", "email": "dana@example.com"} | changes


def sandbox_free(folder: Path) -> dict[str, str]:
    """Return the settings that take a stack's worker out of the sandbox, but not off this machine."""
    address = json.loads((folder / "data" / "sandbox" / "address.json").read_text())
    return {
        "LINKFERRY_SANDBOX": "0",
        "LINKFERRY_NAMESPACE": "linkferry-sandbox",
        "LINKFERRY_PROVIDER_URL": address.get("api_url") or address["url"],
        "LINKFERRY_PROVIDER_CLIENT_ID": "sandbox-client",
        "LINKFERRY_PROVIDER_CLIENT_SECRET": "sandbox-secret",
        "LINKFERRY_SMTP_URL": f"smtp://127.0.0.1:{address['smtp_port']}",
        "LINKFERRY_EMAIL_FROM": "Acme <links@acme.example>",
    }
