"""A real HTTP receiver of our events: it verifies every signature, and answers as a test tells it to."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Receiver:
    """What came in, and what is answered: *answers* in order, then always *then*."""

    url: str = ""
    then: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    answers: list[int] = field(default_factory=list)
    got: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    seen_headers: list[dict[str, str]] = field(default_factory=list)
    open_at_once: int = 0
    most_at_once: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)  #: cleared: nothing is answered

    def counts(self) -> Counter[str]:
        """Return how often each event came."""
        return Counter(self.ids)

    async def take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        # The reference library is the judge of what we sign; it raises for anything wrong.
        Webhook(SECRET).verify(body, dict(request.headers))
        self.open_at_once += 1
        self.most_at_once = max(self.most_at_once, self.open_at_once)
        try:
            self.ids.append(request.headers["webhook-id"])
            self.seen_headers.append(dict(request.headers))
            self.got.append(json.loads(body))
            await self.gate.wait()
        finally:
            self.open_at_once -= 1
        status = self.answers.pop(0) if self.answers else self.then
        return web.Response(status=status, headers=self.headers, text="seen")


@asynccontextmanager
async def a_receiver(**how: Any) -> AsyncIterator[Receiver]:
    """Run a receiver on a free port of this machine."""
    receiver = Receiver(**how)
    receiver.gate.set()
    app = web.Application()
    app.router.add_post("/events/", receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [(_, port)] = [name[:2] for name in runner.addresses]
    receiver.url = f"http://127.0.0.1:{port}/events/"
    try:
        yield receiver
    finally:
        receiver.gate.set()
        await runner.cleanup()
