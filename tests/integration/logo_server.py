"""A web server with logos of every kind, over TLS as the partner wants them."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from tests.integration.test_dispatch_mail_login import CERTIFICATE, KEY
from tests.pictures import a_jpeg, a_png

PICTURES = {
    "fine.png": a_png(200, 60),
    "fine.jpg": a_jpeg(200, 60, before=[(0xE1, b"Exif" * 100)]),
    "big.png": a_png(400, 120),
    "page.png": b"<!doctype html><img src=fine.png>",
    "heavy.png": a_png(200, 60) + bytes(1024 * 1024),
    "empty.png": b"",
}


@dataclass
class LogoServer:
    """Where it listens, and what was asked of it."""

    port: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    now: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)  #: opens `/slow.png`

    def url(self, path: str, *, host: str = "localhost") -> str:
        return f"https://{host}:{self.port}/{path}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.lstrip("/")
        self.asked[path] += 1
        self.now += 1
        self.most_at_once = max(self.most_at_once, self.now)
        try:
            await asyncio.sleep(0)
            return await self._answer(request, path)
        finally:
            self.now -= 1

    async def _answer(self, request: web.Request, path: str) -> web.StreamResponse:
        if path.startswith("to/"):
            return web.Response(status=302, headers={"Location": path.removeprefix("to/")})
        if path.startswith("loop"):
            return web.Response(status=307, headers={"Location": "/loop"})
        if path == "slow.png":
            await self.gate.wait()
        if path == "trickle.png":
            return await self._trickle(request)
        if path not in PICTURES:
            raise web.HTTPNotFound
        return web.Response(body=PICTURES[path], content_type="image/png")

    async def _trickle(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not self.gate.is_set():
            await response.write(b"\x89")
            await asyncio.sleep(0.02)
        return response


@asynccontextmanager
async def a_logo_server(folder: Path) -> AsyncIterator[LogoServer]:
    """Serve logos on loopback."""
    (folder / "cert.pem").write_text(CERTIFICATE)
    (folder / "key.pem").write_text(KEY)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server = LogoServer()
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    server.port = runner.addresses[0][1]
    yield server
    server.gate.set()
    await runner.cleanup()


def trusting() -> ssl.SSLContext:
    """Return a client side that trusts the server."""
    return ssl.create_default_context(cadata=CERTIFICATE)
