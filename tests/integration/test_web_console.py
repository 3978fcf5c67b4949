"""The web server with the API and the console in it: each caller gets its own kind of answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from linkferry import doctor, doctor_console
from linkferry.session import Session
from linkferry.up import Stack, print_banner
from linkferry.web import build_app
from tests.integration.console_desk import PASSWORD, Browser
from worker.domain.roles import Role
from worker.ledger import Ledger
from worker.limits import Limits
from worker.ops.accounts import Accounts
from worker.settings import Settings, load_settings


def settings_of(**given: object) -> Settings:
    return load_settings(environ={}, env_file=None, **given)


@pytest.fixture
async def session(real_redis, valkey_url: str) -> AsyncIterator[Session]:
    settings = settings_of(redis_url=valkey_url, namespace="web-console", api_keys="a-key")
    session = Session(
        settings=settings,
        ledger=Ledger(real_redis, namespace="web-console"),
        limits=Limits(real_redis, namespace="web-console", name="partner", ceiling=5),
        catalogue=settings.load_catalogue(),
    )
    await session.ledger.open()
    yield session
    await session.aclose()


@pytest.fixture
async def browser(session: Session) -> AsyncIterator[Browser]:
    server = TestServer(build_app(session))
    await server.start_server()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield Browser(http, f"http://127.0.0.1:{server.port}")
    await server.close()


async def test_a_browser_comes_to_the_sign_in_and_on_to_the_overview(
    session: Session, browser: Browser
) -> None:
    """The whole way, with the real cost of a password."""
    await Accounts(session.ledger).add("dana", Role.VIEWER, PASSWORD, by="test")
    asked = await browser.get("/")
    assert (asked.status, asked.place) == (303, "/login")

    assert (await browser.sign_in("dana", to="/")).place == "/"

    page = await browser.get("/")
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "dana" in page.text


@pytest.mark.parametrize("accept", ["*/*", "text/plain", "application/json"])
async def test_a_program_at_the_root_is_told_what_there_is(browser: Browser, accept: str) -> None:
    """As ever, and where people find the console."""
    browser.headers = {"Accept": accept}

    answer = await browser.get("/")

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "/openapi.json" in answer.text
    assert "browser" in answer.text


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/healthz", 200, "application/json"),
        ("/readyz", 200, "application/json"),
        ("/openapi.json", 200, "application/json"),
        ("/metrics", 200, "text/plain"),
        ("/v1/onboardings", 401, "application/problem+json"),
        ("/v1/none", 404, "application/problem+json"),
        ("/crm/none/none", 405, "application/problem+json"),
        ("/none", 404, "text/html"),
    ],
)
async def test_machines_get_problems_and_people_pages(
    browser: Browser, path: str, status: int, kind: str
) -> None:
    """Also a machine that says it takes HTML."""
    answer = await browser.get(path)

    assert answer.status == status
    assert answer.headers["Content-Type"].partition(";")[0] == kind
    assert ("Content-Security-Policy" in answer.headers) == (kind == "text/html")


async def test_a_session_is_no_key_of_the_api(session: Session, browser: Browser) -> None:
    """What a page could make a browser send opens nothing there."""
    await Accounts(session.ledger).add("dana", Role.ADMIN, PASSWORD, by="test")
    await browser.sign_in("dana")

    assert (await browser.get("/v1/onboardings")).status == 401
    assert (await browser.get("/v1/onboardings", Authorization="Bearer a-key")).status == 200


@pytest.mark.parametrize("is_sandbox", [False, True])
def test_up_says_where_the_console_is_and_how_to_come_in(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path, is_sandbox: bool
) -> None:
    """The command is ready to be typed, for the sandbox as well; with an account there it is not shown."""
    from linkferry import frame

    monkeypatch.setattr(frame, "_flags_so_far", lambda: frame.Flags(is_sandbox=is_sandbox))
    settings = settings_of(redis_url="redis://x", data_dir=tmp_path, sandbox=is_sandbox)
    stack = Stack(settings=settings, is_embedded=False)

    print_banner(stack, None, has_users=False)
    told = capsys.readouterr().out
    print_banner(stack, None, has_users=True)
    later = capsys.readouterr().out

    sandbox = "--sandbox " if is_sandbox else ""
    assert "Console     http://127.0.0.1:8080/" in told
    assert f"linkferry {sandbox}user add admin --role admin --generate" in told
    assert "http://127.0.0.1:8080/" in later
    assert "user add" not in later


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, None),
        ({"web_host": "::1"}, None),
        ({"web_host": "0.0.0.0"}, "nobody can sign in"),
        ({"web_host": "0.0.0.0", "public_url": "http://ops.example"}, "nobody can sign in"),
        ({"public_url": "https://ops.example"}, "TRUSTED_PROXIES"),
        ({"web_host": "0.0.0.0", "public_url": "https://ops.example", "trusted_proxies": "10.0.0.0/8"}, None),
    ],
)
def test_doctor_sees_a_way_in_that_is_not_private(given: dict[str, str], text: str | None) -> None:
    """And a proxy that hides who comes through it."""
    findings = list(doctor_console.look_at_settings(settings_of(**given)))

    assert [text in each.text for each in findings if text] == ([True] if text else [])
    assert len(findings) == (text is not None)


async def test_doctor_sees_that_nobody_could_manage_the_users(session: Session) -> None:
    """No account, no admin, all well."""
    told = []
    for name, role in ((None, None), ("vera", Role.VIEWER), ("adina", Role.ADMIN)):
        if name:
            await session.ledger.users.add(name, role=role, password_hash="x", by="test")
        [finding] = await doctor_console.look_at_users(session.ledger)
        told.append((finding.level, finding.text))

    assert told == [
        (doctor.Level.WARN, "Nobody can sign in to the console yet."),
        (doctor.Level.WARN, "None of the console's users is an admin."),
        (doctor.Level.OK, "2 people may sign in to the console."),
    ]
