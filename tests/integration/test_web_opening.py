"""A web server that starts before its Redis: nothing touches the ledger until it is known to be of our version."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import redis.asyncio
from aiohttp.test_utils import TestServer

from linkferry.opening import Opening
from linkferry.session import Session
from linkferry.web import build_app
from tests.integration.console_desk import Browser
from worker.ledger import Ledger, LedgerUnavailable, SchemaMismatch
from worker.limits import Limits
from worker.settings import load_settings

AUTH = {"Authorization": "Bearer a-key"}


@pytest.fixture
async def session(real_redis: redis.asyncio.Redis, valkey_url: str) -> AsyncIterator[Session]:
    settings = load_settings(
        environ={}, env_file=None, redis_url=valkey_url, namespace="opening", api_keys="a-key"
    )
    session = Session(
        settings=settings,
        ledger=Ledger(real_redis, namespace="opening"),
        limits=Limits(real_redis, namespace="opening", name="partner", ceiling=5),
        catalogue=settings.load_catalogue(),
    )
    yield session
    await session.aclose()


@pytest.fixture
def opening(session: Session) -> Opening:
    return Opening(session.ledger, again_s=0.01)


@pytest.fixture
async def browser(session: Session, opening: Opening) -> AsyncIterator[Browser]:
    server = TestServer(build_app(session, opening))
    await server.start_server()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield Browser(http, f"http://127.0.0.1:{server.port}")
    await server.close()


@pytest.mark.parametrize("path", ["/v1/onboardings", "/readyz", "/metrics", "/login", "/jobs"])
async def test_until_the_ledger_is_open_what_needs_it_is_503(
    browser: Browser, opening: Opening, real_redis: redis.asyncio.Redis, path: str
) -> None:
    """Though Redis answers by now; nothing is written there, and each caller gets his own kind of answer."""
    answer = await browser.get(path, **AUTH)
    kind = "text/html" if path in {"/login", "/jobs"} else "application/problem+json"

    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Content-Type"].partition(";")[0] == kind
    assert "The ledger does not answer" in answer.text
    assert ("linkferry.css" in answer.text) == (kind == "text/html")
    assert (await browser.get("/healthz")).status == 200
    assert await real_redis.keys("*") == []

    assert await opening.attempt()
    assert (await browser.get(path, **AUTH)).status != 503


async def test_it_is_opened_as_soon_as_redis_answers(
    opening: Opening, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the background, and for good."""
    stop, tries, really = asyncio.Event(), [], session.ledger.open

    async def away_at_first() -> None:
        tries.append(opening.is_open)
        if len(tries) < 3:
            raise LedgerUnavailable("ConnectionError")
        await really()

    monkeypatch.setattr(session.ledger, "open", away_at_first)
    serving = asyncio.create_task(opening.until(stop))
    await asyncio.wait_for(opening.wait(), 10)
    stop.set()
    await asyncio.wait_for(serving, 10)

    assert tries == [False, False, False]


async def test_a_newer_ledger_behind_a_redis_that_was_away_ends_the_server(
    opening: Opening, session: Session, real_redis: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says names both versions; nothing is done with the ledger."""
    await real_redis.hset("{opening}:m", "schema", "99")
    really = session.ledger.open

    async def away_once() -> None:
        monkeypatch.setattr(session.ledger, "open", really)
        raise LedgerUnavailable("ConnectionError")

    monkeypatch.setattr(session.ledger, "open", away_once)
    with pytest.raises(SchemaMismatch, match="99"):
        await asyncio.wait_for(opening.until(asyncio.Event()), 10)

    assert not opening.is_open
    assert await real_redis.keys("*") == [b"{opening}:m"]


async def test_to_be_stopped_ends_the_wait_for_redis(
    opening: Opening, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it is away."""
    stop = asyncio.Event()

    async def away() -> None:
        stop.set()
        raise LedgerUnavailable("ConnectionError")

    monkeypatch.setattr(session.ledger, "open", away)
    await asyncio.wait_for(opening.until(stop), 10)

    assert not opening.is_open
