"""The console over real HTTP, with browsers that keep cookies as theirs do, and a clock to turn by hand."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from typing import Any

import aiohttp
import argon2
import redis.asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from worker.domain.lessons import LiveCatalogue
from worker.domain.reasons import Catalogue
from worker.domain.roles import Role
from worker.ledger import Ledger
from worker.limits import Limits
from worker.ops.accounts import Accounts
from worker.ops.console.app import add_console
from worker.ops.console.deps import ConsoleDeps
from worker.ops.passwords import Passwords
from worker.settings import Settings, load_settings

EPOCH_MS = 1_790_000_000_000
PASSWORD = "correct-horse-battery"
NAMES = {Role.VIEWER: "vera", Role.OPERATOR: "oren", Role.ADMIN: "adina"}
MACHINES = ("/v1/", "/healthz")
_CSRF = re.compile(r'name="_csrf" value="([^"]+)"')
#: argon2 at its cheapest: what these tests look at is not how long it takes.
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Answer:
    """A response, read whole."""

    def __init__(self, response: aiohttp.ClientResponse, text: str) -> None:
        self.status = response.status
        self.headers = response.headers
        self.text = text
        self.place = response.headers.get("Location", "")

    @property
    def csrf(self) -> str:
        """Return the token of the page's first form."""
        found = _CSRF.search(self.text)
        assert found, f"no form with a token in: {self.text[:500]}"
        return found[1]

    def cookie(self, name: str) -> Any:
        """Return what the response sets a cookie to, with its attributes."""
        jar: SimpleCookie = SimpleCookie()
        for line in self.headers.getall("Set-Cookie", ()):
            jar.load(line)
        return jar.get(name)


class Browser:
    """One browser: its cookies, the page it is on, and the headers that it adds by itself."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self._http = http
        self.base = base
        self.cookies: dict[str, str] = {}
        self.headers = {"Accept": "text/html"}

    async def get(self, path: str, **headers: str) -> Answer:
        return await self._send("GET", path, headers=headers)

    async def post(
        self,
        path: str,
        fields: Mapping[str, str] | None = None,
        *,
        csrf: str | None = None,
        **headers: str | None,
    ) -> Answer:
        """Post a form as the browser would from our own page; a header given as None is left out."""
        data = dict(fields or {})
        if csrf is not None:
            data["_csrf"] = csrf
        own: dict[str, str | None] = {"Origin": self.base, "Sec-Fetch-Site": "same-origin"}
        return await self._send("POST", path, data=data, headers={**own, **headers})

    async def post_pairs(self, path: str, pairs: list[tuple[str, str]]) -> Answer:
        """Post a form with several values of a name, as of ticked rows."""
        headers = {"Origin": self.base, "Sec-Fetch-Site": "same-origin"}
        return await self._send("POST", path, data=aiohttp.FormData(pairs), headers=headers)

    async def sign_in(self, name: str, password: str = PASSWORD, *, to: str = "/account") -> Answer:
        """Fill in the sign-in page."""
        page = await self.get(f"/login?next={to}")
        fields = {"name": name, "password": password, "next": to}
        return await self.post("/login", fields, csrf=page.csrf)

    async def csrf(self) -> str:
        """Return the token of this browser's session."""
        return (await self.get("/account")).csrf

    async def _send(
        self, method: str, path: str, *, headers: Mapping[str, str | None], data: Any = None
    ) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in {**self.headers, **headers}.items()}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        request = self._http.request(
            method,
            self.base + path,
            data=data,
            headers={name: value for name, value in sent.items() if value is not None},
            allow_redirects=False,
        )
        async with request as response:
            answer = Answer(response, await response.text())
        jar: SimpleCookie = SimpleCookie()
        for line in answer.headers.getall("Set-Cookie", ()):
            jar.load(line)
        for name, morsel in jar.items():
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
        return answer


class ConsoleDesk:
    """A running console."""

    def __init__(self, client: redis.asyncio.Redis, settings: Settings) -> None:
        self.now_ms = EPOCH_MS
        self.ledger = Ledger(client, namespace="console", now_ms=lambda: self.now_ms)
        self.accounts = Accounts(self.ledger, Passwords(CHEAP))
        limits = Limits(client, namespace="console", name="partner", ceiling=5)
        self.deps = ConsoleDeps(
            settings=settings,
            ledger=self.ledger,
            limits=limits,
            catalogue=LiveCatalogue(Catalogue.shipped()),
            machine_paths=MACHINES,
        )
        self.deps.accounts = self.accounts  # type: ignore[misc]
        self._http: aiohttp.ClientSession | None = None
        self.base = ""

    def advance(self, seconds: float) -> None:
        """Turn the ledger's clock."""
        self.now_ms += round(seconds * 1000)

    def browser(self) -> Browser:
        """Return a browser that was never here."""
        assert self._http
        return Browser(self._http, self.base)

    async def add(self, role: Role) -> str:
        """Make the account of a role; return its name."""
        name = NAMES[role]
        assert await self.accounts.add(name, role, PASSWORD, by="test") is None
        return name

    async def signed_in(self, role: Role) -> Browser:
        """Return a browser in which the account of a role, made where it is missing, is signed in."""
        if await self.ledger.users.get(NAMES[role]) is None:
            await self.add(role)
        browser = self.browser()
        answer = await browser.sign_in(NAMES[role])
        assert answer.status == 303, answer.text
        return browser

    async def trail(self, act: str) -> list[Any]:
        """Return the trail's entries of an act, newest first."""
        return list((await self.ledger.trail.find(act=act)).items)


@asynccontextmanager
async def a_console(
    client: redis.asyncio.Redis, *, routes: list[web.RouteDef] | None = None, **settings: Any
) -> AsyncIterator[ConsoleDesk]:
    """Serve a console, with further *routes* of the test's own, on an open ledger."""
    desk = ConsoleDesk(client, load_settings(environ={}, env_file=None, namespace="console", **settings))
    await desk.ledger.open()
    app = web.Application()
    app.add_routes(routes or [])
    add_console(app, desk.deps)
    server = TestServer(app)
    await server.start_server()
    desk.base = f"http://127.0.0.1:{server.port}"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        desk._http = http
        yield desk
    await server.close()
