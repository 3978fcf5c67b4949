"""The web server, a worker's duties and the sandbox partner around one ledger whose clock can be turned."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from linkferry.session import open_session
from linkferry.web import build_app
from tests.factories import a_number, a_request
from tests.integration.runtime_shop import Bench, a_bench
from worker.domain.event import EventRecord
from worker.domain.job import JobRecord
from worker.domain.report import WEBHOOK_SOURCE
from worker.domain.request import Product
from worker.domain.states import JobState, Lane
from worker.execution.attempt import attempt
from worker.ledger import Ledger, open_redis
from worker.maintenance.completing import duties_of_completion
from worker.partner.sandbox.state import Link

SECRET = "an-unguessable-secret-of-24"
PARTNER = "34.165.99.212"
PATH = f"/provider/webhook/{SECRET}"


@dataclasses.dataclass
class Desk:
    """What the tests hold in their hands."""

    bench: Bench
    client: TestClient[Any, Any]
    ahead_ms: int = 0  #: how far the ledger's clock is turned forward

    @property
    def ledger(self) -> Ledger:
        return self.bench.shop.ledger

    def advance(self, seconds: float) -> None:
        self.ahead_ms += round(seconds * 1000)

    async def linked(self, *, product: Product = Product.WHATSAPP, number: str | None = None) -> str:
        """Return the job of a customer whose link was made."""
        changes: dict[str, Any] = {"products": (product,)}
        if product is Product.WHATSAPP:
            changes["whatsapp"] = number or a_number()
        else:
            changes |= {"whatsapp": None, "display_name": None}
        receipt = await self.bench.accept(request=a_request(**changes))
        await attempt(receipt.job_ids[0], Lane.LIVE, self.bench.shop)
        assert await self.state(receipt.job_ids[0]) is JobState.LINKED
        return receipt.job_ids[0]

    async def job(self, job_id: str) -> JobRecord:
        record = await self.ledger.queries.job(job_id)
        assert record is not None
        return record

    async def state(self, job_id: str) -> JobState:
        return (await self.job(job_id)).state

    def link_of(self, job_id: str) -> Link:
        """Return the job's link at the partner."""
        return self.bench.sandbox.state.by_reference[job_id][-1]

    def finish(self, job_id: str, *, number: str | None = None) -> None:
        """Let the customer finish, without telling anybody."""
        self.bench.sandbox.state.finish(self.link_of(job_id), final_number=number)

    def lists(self) -> int:
        """Return how often the list of links was asked for."""
        return self.bench.sandbox.state.calls["get_accounts"]

    async def report(self, body: Any, *, path: str = PATH, **headers: str) -> int:
        """Post a report as the partner does; return the HTTP status."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        async with self.client.post(path, data=raw, headers=named) as answer:
            await answer.read()
            return answer.status

    async def report_of(self, job_id: str, **changes: Any) -> int:
        """Report that the customer of a job has finished, in the words of the sandbox."""
        link = self.link_of(job_id)
        event = {"type": link.kind, "whatsapp": link.number or "", "reference": job_id, "status": 1}
        return await self.report(event | changes)

    async def turn(self, name: str) -> None:
        """Let one duty have its turn, as a worker that has just started."""
        duties = {duty.name: duty for duty in duties_of_completion(self.bench.shop, self.bench.settings)}
        await duties[name].run_once()

    async def poll(self) -> None:
        """Let the time of a poll come and go."""
        view = await self.ledger.completing.view()
        if view.polled_at_ms is None:
            await self.turn("poll")
        self.advance(self.bench.settings.poll_s)
        await self.turn("poll")

    async def events(self, source: str = WEBHOOK_SOURCE) -> list[EventRecord]:
        """Return what is known of the reports, the latest first."""
        return list((await self.ledger.intake.find(source=source, limit=500)).items)

    async def counted(self, name: str) -> dict[str, float]:
        """Return this worker's and the web server's counters of one name."""
        await self.bench.shop.stats.flush(self.ledger.fleet)
        stats = await self.ledger.fleet.stats()
        return {key: value for key, value in stats.items() if key.startswith(name)}


@asynccontextmanager
async def a_desk(redis_url: str, folder: Path, **settings: Any) -> AsyncIterator[Desk]:
    """Open a desk on an emptied Valkey."""
    given = {"provider_webhook_secret": SECRET, "poll_s": 300, "doubt_grace_s": 60} | settings
    async with a_bench(redis_url, folder, real_channels=True, **given) as bench:
        redis = open_redis(redis_url)
        async with open_session(bench.settings) as session:
            desk = Desk(bench, TestClient(TestServer(build_app(session))))
            ledger = Ledger(
                redis,
                namespace=bench.settings.namespace,
                now_ms=lambda: time.time_ns() // 1_000_000 + desk.ahead_ms,
            )
            await ledger.open()
            desk.bench = dataclasses.replace(bench, shop=dataclasses.replace(bench.shop, ledger=ledger))
            async with desk.client:
                yield desk
        await redis.aclose()


def a_listener(answers: list[int], seen: list[tuple[bytes, str]]) -> web.Application:
    """Return a server that answers with *answers* in turn, then 200, and keeps what it was sent."""

    async def take(request: web.Request) -> web.Response:
        seen.append((await request.read(), request.headers["Content-Type"]))
        return web.Response(status=answers.pop(0) if answers else 200)

    app = web.Application()
    app.add_routes([web.post("/hook", take)])
    return app
