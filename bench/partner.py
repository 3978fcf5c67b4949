"""A partner that answers at once (or after a while), for benches: it notes when each create arrives, by our reference."""

from __future__ import annotations

import asyncio
import itertools
import json
import time

from aiohttp import web


class QuickPartner:
    """Serve tokens and creates on loopback in the bench's own process, so that both ends read one clock."""

    def __init__(self, *, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.arrived: dict[str, float] = {}  # reference → perf_counter at the request's arrival
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> QuickPartner:
        app = web.Application()
        app.router.add_post("/settings/accessToken", self._token)
        app.router.add_post("/whatsapp/createAccount", self._create)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _token(self, _request: web.Request) -> web.Response:
        end = str(int(time.time()) + 3600)
        return web.json_response(
            {"status": "OK", "access_token": "bench", "expiration_time": end, "reason": 1}
        )

    async def _create(self, request: web.Request) -> web.Response:
        now = time.perf_counter()
        body = json.loads(await request.read())
        self.arrived.setdefault(body["reference"], now)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        link = f"https://onboarding.example/{next(self._numbers)}"
        return web.json_response(
            {"status": "OK", "whatsapp": body["whatsapp"], "onboarding_link": link, "reason": 1}
        )
