"""The gate of the console: every route, every role, every way of being sent by somebody else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace

import aiohttp
import pytest
import structlog
from aiohttp import web

from tests.integration.console_desk import NAMES, PASSWORD, Browser, ConsoleDesk, a_console
from worker.domain.roles import Role
from worker.ledger import LedgerFull, LedgerUnavailable
from worker.ops.console import app as console_app
from worker.ops.console.app import UngatedRouteError, console_routes
from worker.ops.console.gate import access_of, requires
from worker.ops.console.headers import CONTENT_SECURITY_POLICY

#: What there is for everybody.
PUBLIC = {("GET", "/login"), ("POST", "/login"), ("GET", "/static/{name}"), ("GET", "/robots.txt")}
ORDER = [None, Role.VIEWER, Role.OPERATOR, Role.ADMIN]
TROUBLES = {
    "unavailable": LedgerUnavailable("x"),
    "full": LedgerFull("OOM"),
    "broken": RuntimeError("dana@example.com is in here"),
}


@requires(Role.VIEWER)
async def trouble(request: web.Request) -> web.Response:
    """Go wrong in the way that is asked for."""
    kind = request.match_info["kind"]
    if kind in TROUBLES:
        raise TROUBLES[kind]
    raise web.HTTPNotFound if kind == "gone" else web.HTTPConflict


async def undeclared(_request: web.Request) -> web.Response:
    return web.Response(text="SECRET")


@requires(Role.OPERATOR)
async def act(_request: web.Request) -> web.Response:
    return web.Response(text="DONE")


@requires(Role.VIEWER)
async def half(request: web.Request) -> web.StreamResponse:
    """Begin an answer, and fail."""
    response = web.StreamResponse(headers={"Content-Type": "text/csv"})
    await response.prepare(request)
    await response.write(b"one,row\r\n")
    raise LedgerUnavailable("x")


async def machine(request: web.Request) -> web.Response:
    if request.method == "POST":
        raise LedgerUnavailable("x")
    return web.json_response({"ok": True})


ROUTES = [
    web.get("/trouble/{kind}", trouble),
    web.get("/half", half),
    web.get("/undeclared", undeclared),
    web.post("/undeclared", undeclared),
    web.post("/act", act),
    web.get("/v1/machine", machine),
    web.post("/v1/machine", machine),
]


@pytest.fixture
async def desk(real_redis) -> AsyncIterator[ConsoleDesk]:
    async with a_console(real_redis, routes=ROUTES) as desk:
        yield desk


def all_routes(desk: ConsoleDesk) -> Iterator[tuple[str, str, Role | None]]:
    """Yield method, a path and the least role of each route that is not public."""
    for route in console_routes(desk.deps):
        if (route.method, route.path) in PUBLIC:
            continue
        declared = access_of(route.handler)
        assert isinstance(declared, Role), f"{route.method} {route.path} is public"
        yield route.method, re.sub(r"\{\w+(?::[^}]*)?\}", "x", route.path), declared


async def send(browser: Browser, method: str, path: str, csrf: str | None):
    if method == "GET":
        return await browser.get(path)
    return await browser.post(path, {"name": "x"}, csrf=csrf)


async def test_every_route_is_for_its_role_and_those_above(desk: ConsoleDesk) -> None:
    """All routes of all pages, with nobody signed in and with each role; a route added tomorrow is in it."""
    routes = list(all_routes(desk))
    assert len(routes) > 15
    for role in ORDER:
        for method, path, least in routes:
            browser = desk.browser() if role is None else await desk.signed_in(role)
            csrf = "0" * 64 if role is None else await browser.csrf()
            answer = await send(browser, method, path, csrf)
            told = (method, path, role, answer.status)
            if role is None:
                assert answer.status == 303, told
                assert answer.place.startswith("/login"), told
                assert answer.text == "", told
            elif role.covers(least):
                assert answer.status not in {401, 403, 500}, (*told, answer.text)
                assert not answer.place.startswith("/login") or path == "/logout", told
            else:
                assert answer.status == 403, told
                assert "Not for your role" in answer.text, told


async def test_every_route_that_acts_wants_its_sessions_token(desk: ConsoleDesk) -> None:
    """None, another session's, the sign-in form's: refused before anything is done, whatever the role."""
    browser = await desk.signed_in(Role.ADMIN)
    another = await (await desk.signed_in(Role.ADMIN)).csrf()
    before_sign_in = (await desk.browser().get("/login")).csrf

    for method, path, _ in all_routes(desk):
        for token in (None, "", another, before_sign_in):
            if method == "POST":
                answer = await browser.post(path, {"name": "x"}, csrf=token)
                assert answer.status == 403, (path, token)
                assert "This page is out of date" in answer.text, (path, token)

    assert (await browser.get("/account")).status == 200
    entry = (await desk.trail("request_refused"))[0]
    assert (entry.by, entry.detail["cause"]) == (f"user:{NAMES[Role.ADMIN]}", "stale_token")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": None, "Referer": "https://evil.example/"},
        {"Origin": None, "Sec_Fetch_Site": "cross-site"},
        {"Origin": None, "Sec_Fetch_Site": "same-site"},
        {"Origin": None, "Sec_Fetch_Site": None},
    ],
)
async def test_what_another_sites_page_sends_is_refused(
    desk: ConsoleDesk, headers: dict[str, str | None]
) -> None:
    """Even with the right token and cookie; it is recorded whose session it was."""
    browser = await desk.signed_in(Role.OPERATOR)
    csrf = await browser.csrf()

    answer = await browser.post("/act", csrf=csrf, **headers)

    assert answer.status == 403
    assert "The request came from another site" in answer.text
    [entry] = await desk.trail("request_refused")
    assert (entry.by, entry.subject, entry.detail["cause"]) == (
        f"user:{NAMES[Role.OPERATOR]}",
        "/act",
        "foreign_origin",
    )
    assert (await browser.post("/act", csrf=csrf)).text == "DONE"


async def test_the_token_may_come_as_a_header(desk: ConsoleDesk) -> None:
    """As htmx sends it."""
    browser = await desk.signed_in(Role.OPERATOR)
    csrf = await browser.csrf()

    assert (await browser.post("/act", X_CSRF_Token=csrf)).text == "DONE"
    assert (await browser.post("/act", X_CSRF_Token="0" * 64)).status == 403


async def test_a_refused_role_is_recorded(desk: ConsoleDesk) -> None:
    """Who wanted what, and what it would have taken."""
    browser = await desk.signed_in(Role.VIEWER)

    answer = await browser.post("/act", csrf=await browser.csrf())

    assert answer.status == 403
    assert "operator" in answer.text
    [entry] = await desk.trail("role_refused")
    assert (entry.by, entry.subject, entry.detail) == (
        f"user:{NAMES[Role.VIEWER]}",
        "/act",
        {"method": "POST", "needed": "operator"},
    )


async def test_refusals_of_one_user_do_not_fill_the_trail(desk: ConsoleDesk, monkeypatch) -> None:
    """A script of his is refused as often as it asks, and recorded as often as anybody would read it."""
    monkeypatch.setattr("worker.ops.console.throttle._REFUSALS", (5, 10.0))
    browser = await desk.signed_in(Role.VIEWER)
    csrf = await browser.csrf()

    for _ in range(8):
        assert (await browser.post("/act", csrf=csrf)).status == 403

    assert len(await desk.trail("role_refused")) == 5
    desk.advance(10)
    assert (await browser.post("/act", csrf=csrf)).status == 403
    assert len(await desk.trail("role_refused")) == 6


async def test_a_route_that_says_nothing_is_closed(desk: ConsoleDesk) -> None:
    """Also to an admin, should it get past the check at the start."""
    browser = await desk.signed_in(Role.ADMIN)

    for answer in (
        await browser.get("/undeclared"),
        await browser.post("/undeclared", csrf=await browser.csrf()),
        await desk.browser().get("/undeclared"),
    ):
        assert answer.status == 500
        assert "SECRET" not in answer.text


async def test_the_console_does_not_start_with_such_a_route(desk: ConsoleDesk, monkeypatch) -> None:
    """A forgotten decorator is found before anybody can use it."""
    monkeypatch.setattr(console_app, "PAGES", (lambda _deps: [web.get("/new", undeclared)],))

    with pytest.raises(UngatedRouteError, match="GET /new"):
        console_routes(desk.deps)


async def test_nothing_but_the_way_in_is_public(desk: ConsoleDesk) -> None:
    """A new public route is a decision, to be written down here."""
    routes = console_routes(desk.deps)

    assert {(each.method, each.path) for each in routes if access_of(each.handler) == "public"} == PUBLIC


async def test_every_answer_has_the_headers(desk: ConsoleDesk) -> None:
    """Pages, redirects, refusals, errors, static files: nothing runs in them, frames them or is kept."""
    browser = await desk.signed_in(Role.VIEWER)
    answers = [
        await browser.get("/account"),
        await desk.browser().get("/login"),
        await desk.browser().get("/account"),
        await browser.get("/users"),
        await browser.get("/no/such/page"),
        await browser.get("/undeclared"),
        await browser.get("/act"),
        await browser.post("/act"),
        await browser.get("/trouble/broken"),
        await browser.get("/trouble/unavailable"),
        await browser.get("/robots.txt"),
        await browser.get("/static/linkferry.css"),
        await browser.get("/static/none"),
    ]
    assert {each.status for each in answers} == {200, 303, 403, 404, 405, 500, 503}
    for each in answers:
        assert each.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert each.headers["X-Frame-Options"] == "DENY"
        assert each.headers["X-Content-Type-Options"] == "nosniff"
        assert each.headers["Referrer-Policy"] == "same-origin"
        assert each.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert each.headers["X-Robots-Tag"] == "noindex, nofollow"
        assert each.headers["Server"] == "linkferry"
        kept = "no-cache" if each.headers.get("Content-Type", "").startswith("text/css") else "no-store"
        assert each.headers["Cache-Control"] == kept


def test_the_policy_lets_nothing_run_that_is_not_ours() -> None:
    """No inline code, no inline style, no frame, no plug-in, no other site."""
    parts = dict(part.split(" ", 1) for part in CONTENT_SECURITY_POLICY.split("; "))

    assert parts["default-src"] == parts["frame-ancestors"] == parts["base-uri"] == "'none'"
    assert parts["script-src"] == parts["style-src"] == parts["form-action"] == "'self'"
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY


async def test_no_page_has_inline_code_or_style(desk: ConsoleDesk) -> None:
    """The policy would stop it, and the page would not work."""
    browser = await desk.signed_in(Role.ADMIN)
    for method, path, _ in all_routes(desk):
        if method == "GET":
            text = (await browser.get(path)).text
            assert not re.search(r"<style|<[^>]+\sstyle=|<[^>]+\son\w+=|javascript:", text), path
            assert not re.search(r"<script(?![^>]*\ssrc=)", text), path


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("unavailable", 503, "The ledger does not answer"),
        ("full", 503, "Redis takes no more writes"),
        ("broken", 500, "Something went wrong here"),
        ("gone", 404, "There is no such page"),
        ("other", 409, "The form cannot be read"),
    ],
)
async def test_what_goes_wrong_is_a_page(desk: ConsoleDesk, kind: str, status: int, text: str) -> None:
    """In words, with no traceback and nothing of what upset it, neither there nor in the log."""
    browser = await desk.signed_in(Role.VIEWER)

    with structlog.testing.capture_logs() as logs:
        answer = await browser.get(f"/trouble/{kind}")

    assert answer.status == status
    assert text in answer.text
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "dana@example.com" not in answer.text + repr(logs)
    assert "Traceback" not in answer.text
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert [each["event"] for each in logs] == (["page_failed"] if kind == "broken" else [])


async def test_an_answer_that_breaks_off_is_seen_to_be_broken(desk: ConsoleDesk) -> None:
    """A file that is not whole must not look whole, and nothing of a page of errors is in it."""
    browser = await desk.signed_in(Role.VIEWER)

    with structlog.testing.capture_logs() as logs, pytest.raises(aiohttp.ClientPayloadError):
        await browser.get("/half")

    assert [each["event"] for each in logs] == ["answer_cut_off"]
    assert (await browser.get("/account")).status == 200


async def test_without_redis_there_is_a_page_that_says_so(desk: ConsoleDesk, monkeypatch) -> None:
    """For who is signed in and for who is not."""
    browser = await desk.signed_in(Role.VIEWER)

    async def away(*_args: object, **_kwargs: object) -> None:
        raise LedgerUnavailable("ConnectionError")

    nothing = SimpleNamespace(read=away, has_any=away, get=away, list=away)
    monkeypatch.setattr(desk.ledger, "sessions", nothing)
    monkeypatch.setattr(desk.ledger, "users", nothing)

    for answer in (await browser.get("/account"), await desk.browser().get("/login")):
        assert answer.status == 503
        assert "The ledger does not answer" in answer.text


async def test_machines_are_none_of_the_consoles_business(desk: ConsoleDesk) -> None:
    """Their paths have no pages, no headers of ours, no tokens; their errors stay theirs."""
    browser = desk.browser()

    answer = await browser.get("/v1/machine")
    assert (answer.status, answer.text) == (200, '{"ok": true}')
    assert "Content-Security-Policy" not in answer.headers
    assert (await browser.get("/v1/none")).headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("{}", {"Content-Type": "application/json"}, 415),
        ("--x--", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ("a=%ff", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
        (
            "&".join(f"a{n}=1" for n in range(10_001)),
            {"Content-Type": "application/x-www-form-urlencoded"},
            400,
        ),
        ("a=" + "x" * 300_000, {"Content-Type": "application/x-www-form-urlencoded"}, 413),
        ("a=1", {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}, 415),
    ],
)
async def test_bodies_that_are_no_form_are_refused(
    desk: ConsoleDesk, body: str, headers: dict[str, str], status: int
) -> None:
    """With a page; nothing is parsed that could be something else."""
    browser = await desk.signed_in(Role.OPERATOR)
    csrf = await browser.csrf()
    sent = {"Origin": desk.base, "X-CSRF-Token": csrf, **headers}

    answer = await browser._send("POST", "/act", headers=sent, data=body)

    assert answer.status == status
    assert "DONE" not in answer.text


async def test_what_others_wrote_is_text(desk: ConsoleDesk) -> None:
    """Names of users and keys with markup in them, as a restored or manipulated ledger could hold."""
    hostile = "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>"
    await desk.ledger.users.add(hostile, role=Role.VIEWER, password_hash="x", by=hostile)
    await desk.ledger.keys_of_api.add(hostile[:60], by=hostile)
    browser = await desk.signed_in(Role.ADMIN)

    for path in ("/users", "/keys"):
        page = await browser.get(path)
        assert "&lt;img src=x onerror=alert(1)&gt;" in page.text
        assert "<img" not in page.text
        assert "<script>" not in page.text


async def test_another_language_is_answered_in_its_direction(desk: ConsoleDesk) -> None:
    """Also where something is refused."""
    browser = await desk.signed_in(Role.VIEWER)
    browser.headers["Accept-Language"] = "he"

    page = await browser.get("/users")

    assert page.status == 403
    assert '<html lang="he" dir="rtl"' in page.text


def test_the_desk_signs_in_with_what_it_says() -> None:
    """The tests' own password is one that would be taken."""
    from worker.ops.passwords import password_fault

    assert all(password_fault(PASSWORD, name) is None for name in NAMES.values())
