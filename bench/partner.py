"""The outside world for benches, on loopback in the bench's own process: a quick partner and a mail server.

The partner answers at once (or after a while) and notes when each create arrives, by our reference, so that both ends
read one clock. The mail server takes every message and notes when.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import Self

from aiohttp import web


class QuickPartner:
    """Serve tokens and creates."""

    def __init__(self, *, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.arrived: dict[str, float] = {}  # reference → perf_counter at the request's arrival
        self._awaited: dict[str, asyncio.Event] = {}
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
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

    async def arrival(self, reference: str) -> float:
        """Return when the create of *reference* arrived, once it has. Polling for it would slow down what is measured."""
        if reference not in self.arrived:
            await self._awaited.setdefault(reference, asyncio.Event()).wait()
        return self.arrived[reference]

    async def _token(self, _request: web.Request) -> web.Response:
        end = str(int(time.time()) + 3600)
        return web.json_response(
            {"status": "OK", "access_token": "bench", "expiration_time": end, "reason": 1}
        )

    async def _create(self, request: web.Request) -> web.Response:
        now = time.perf_counter()
        body = json.loads(await request.read())
        self.arrived.setdefault(body["reference"], now)
        if awaited := self._awaited.pop(body["reference"], None):
            awaited.set()
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        link = f"https://onboarding.example/{next(self._numbers)}"
        return web.json_response(
            {"status": "OK", "whatsapp": body["whatsapp"], "onboarding_link": link, "reason": 1}
        )


class MailSink:
    """Take every mail by SMTP, as cheaply as can be: no more than replies and a count."""

    def __init__(self) -> None:
        self.taken: list[float] = []  # perf_counter at each message's end

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Conversation(self.taken), "127.0.0.1", 0)
        self.url = f"smtp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


class _Conversation(asyncio.Protocol):
    """One connection's SMTP."""

    def __init__(self, taken: list[float]) -> None:
        self._taken = taken
        self._buffer = b""
        self._is_data = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        transport.write(b"220 bench ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = b"\r\n.\r\n" if self._is_data else b"\r\n"
            piece, found, rest = self._buffer.partition(end)
            if not found:
                return
            self._buffer = rest
            if self._is_data:
                self._is_data = False
                self._taken.append(time.perf_counter())
                self._transport.write(b"250 2.0.0 taken\r\n")
            else:
                self._command(piece[:4].upper())

    def _command(self, verb: bytes) -> None:
        if verb == b"DATA":
            self._is_data = True
            self._transport.write(b"354 go on\r\n")
        elif verb == b"QUIT":
            self._transport.write(b"221 2.0.0 bye\r\n")
            self._transport.close()
        else:
            self._transport.write(b"250 2.0.0 bench\r\n")
