"""Every route of the console, as its router has them, against whatever is thrown at it.

A route added tomorrow is in all of these. Whatever happens, no answer is a fault of ours and each is locked up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producers.problems import MACHINE_PATHS
from tests.contract.ledger_desk import Desk
from tests.integration.console_desk import NAMES
from tests.integration.raw_http import Reply, send
from tests.integration.web_thread import RunningWeb, a_web
from worker.clock import SystemClock
from worker.domain.roles import Role
from worker.domain.states import JobState
from worker.ledger.trail import TrailEntry
from worker.ops.console.csrf import token_of
from worker.ops.console.gate import access_of
from worker.ops.console.sessions import SESSION_COOKIE, new_session_id

BELOW = {Role.OPERATOR: [Role.VIEWER], Role.ADMIN: [Role.VIEWER, Role.OPERATOR], Role.VIEWER: []}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
GARBAGE: list[str | bytes] = [
    f"{SESSION_COOKIE}=",
    f"{SESSION_COOKIE}={'x' * 43}",
    f"{SESSION_COOKIE}={'x' * 4000}",
    f'{SESSION_COOKIE}="{"%" * 41}"',
    SESSION_COOKIE.encode() + b"=" + b"\xff" * 43,
    f"{SESSION_COOKIE}={'a' * 43}; {SESSION_COOKIE}={'b' * 43}",
    b";=;,\x7f",
]
#: What may stand where a route has a slot.
SLOTS = ("%00", "%ff%fe", "%ed%a0%80", "%2e%2e%2f%2e%2e%2fusers", "%0d%0aX:%20y", "..;", "%C2%A0", "x" * 7000,
         "unknown_" + "9" * 7000)  # fmt: skip
#: Ways of writing a path that a careless comparison could take for another.
DISGUISES = (
    "/{}",
    "{}/",
    "/.{}",
    "{};x=1",
    "{}%2f",
    "{}%00",
    "{}?/login",
    "{}%3f/static/x",
    "/static/..{}",
    "//{}",
)


_SLOT = re.compile(r"\{\w+(?::((?:[^{}]|\{[^{}]*\})*))?\}")


@dataclass(frozen=True)
class Route:
    """One route of the console."""

    method: str
    path: str  #: as declared, slots and all
    access: Role | str  #: the least role, or `public`

    def fits(self, path: str) -> bool:
        """Tell whether the router could have this route in mind for *path*."""
        return re.fullmatch(_SLOT.sub(lambda slot: slot[1] or "[^/]+", self.path), path) is not None

    def at(self, filling: str = "x") -> str:
        """Return a path of it."""
        return _SLOT.sub(lambda slot: "1" if slot[1] else filling, self.path)


@dataclass(frozen=True)
class House:
    """A running console with a person of each role in it."""

    web: RunningWeb
    routes: tuple[Route, ...]
    sessions: Mapping[Role, str]
    jobs: tuple[str, ...]

    def ask(
        self,
        method: str,
        path: str,
        role: Role | None = None,
        *,
        csrf: str | None = None,
        fields: Sequence[tuple[str, str]] = (),
        **headers: str | bytes,
    ) -> Reply:
        """Send a request as the browser of *role* would; what comes back is locked up, and no fault of ours."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"Accept": "text/html", "Origin": self.web.base}
        body = b""
        if role:
            sent["Cookie"] = f"{SESSION_COOKIE}={self.sessions[role]}"
            csrf = token_of(self.sessions[role]) if csrf is None else csrf
        if method == "POST":
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode([("_csrf", csrf or ""), *fields]).encode()
        reply = send(self.web.port, method, path, sent, body)
        assert_sound(reply, (method, path, role))
        return reply

    def trail(self, act: str) -> list[TrailEntry]:
        """Return the last entries of an act, newest first."""
        return list(self.web.run(self.web.session.ledger.trail.find(act=act, limit=10)).items)

    def gated(self, method: str | None = None) -> list[tuple[Route, Role]]:
        """Return the routes that want a role, with it."""
        return [
            (route, route.access)
            for route in self.routes
            if isinstance(route.access, Role) and method in {None, route.method}
        ]


def assert_sound(reply: Reply, told: object) -> None:
    assert reply.status < 500, told
    headers = reply.headers
    assert "default-src 'none'" in headers["Content-Security-Policy"], told
    assert "'unsafe-inline'" not in headers["Content-Security-Policy"], told
    assert headers["X-Content-Type-Options"] == "nosniff", told
    assert headers["X-Frame-Options"] == "DENY", told
    assert headers["Referrer-Policy"] == "same-origin", told
    assert headers["Server"] == "linkferry", told
    is_static = headers.get("ETag") is not None
    assert headers["Cache-Control"] == ("no-cache" if is_static else "no-store"), told
    assert b"Traceback" not in reply.body, told


@pytest.fixture(scope="module")
def house(valkey_url: str) -> Iterator[House]:
    with a_web(valkey_url, namespace="every-route", sandbox=True) as web:
        sessions, jobs = web.run(furnished(web))
        yield House(web, tuple(console_routes(web)), sessions, tuple(jobs))
        audit = web.run(web.session.ledger.queries.audit())
        assert (audit.difference, audit.wrong) == (0, ())


def console_routes(web: RunningWeb) -> Iterator[Route]:
    for route in web.runner.app.router.routes():
        assert route.resource
        path = route.resource.canonical
        if not path.startswith(MACHINE_PATHS) and route.method != "HEAD":
            access = access_of(route.handler)
            assert access is not None, path
            yield Route(route.method, declared_path(route.resource.get_info(), path), access)


def declared_path(info: Mapping[str, Any], path: str) -> str:
    """Return the path with its slots; those of digits only are marked as such."""
    pattern = info.get("pattern")
    return re.sub(r"\{(\w+)\}", r"{\1:\\d+}", path) if pattern and r"\d" in pattern.pattern else path


async def furnished(web: RunningWeb) -> tuple[dict[Role, str], list[str]]:
    """Let a person of each role in, and a job in each state."""
    ledger, sessions = web.session.ledger, {}
    for role in Role:
        assert await ledger.users.add(NAMES[role], role=role, password_hash="x", by="test")
        sessions[role] = new_session_id()
        assert await ledger.sessions.open(sessions[role], name=NAMES[role], checked_hash="x", length_s=43_200)
    desk = WebDesk(web)
    states = (JobState.AVAILABLE, JobState.RUNNING, JobState.LINKED, JobState.FAILED, JobState.DEAD)
    jobs = [await desk.job_in(state) for state in states for _ in range(2)]
    await ledger.batches.open("run", name="x.csv", source="csv", by="test", total=3, path="/x.csv")
    return sessions, [*jobs, *await desk.accept_batch("run", 3)]


class WebDesk(Desk):
    """The ledger's desk, on the ledger and by the clock of a running web."""

    def __init__(self, web: RunningWeb) -> None:
        self.ledger, self.now_ms = web.session.ledger, SystemClock().now_ms()


def test_the_router_has_the_console(house: House) -> None:
    """Or the rest of this file looks at nothing."""
    assert len(house.gated()) > 60
    assert {route.access for route in house.routes} == {*Role, "public"}
    assert {"/mailbox", "/jobs/{job_id}", "/users"} <= {route.path for route in house.routes}


@pytest.mark.parametrize("cookie", [None, *GARBAGE], ids=lambda cookie: repr(cookie)[:32])
def test_a_cookie_that_is_none_opens_nothing(house: House, cookie: str | bytes | None) -> None:
    """Everybody is led to the sign-in, and no byte of a page comes with it."""
    for route, _ in house.gated():
        reply = house.ask(route.method, route.at(), **{"Cookie": cookie} if cookie else {})

        told = (route, reply.status)
        assert reply.status in ({303, 400} if cookie == GARBAGE[-1] else {303}), told
        if reply.status == 303:
            assert reply.headers["Location"].startswith("/login"), told
            assert reply.body == b"", told


def test_a_part_of_a_page_is_for_nobody_either(house: House) -> None:
    """htmx is told that the session has ended."""
    for route, _ in house.gated():
        reply = house.ask(route.method, route.at(), HX_Request="true")
        assert (reply.status, reply.body) == (401, b""), route


def test_a_method_that_a_route_does_not_take_does_nothing(house: House) -> None:
    """405 with what it takes, to whoever asks; HEAD where there is GET is GET without its body."""
    for path in {route.at() for route in house.routes}:
        methods = {route.method for route in house.routes if route.fits(path)}
        if "GET" in methods:
            methods.add("HEAD")
            assert house.ask("HEAD", path, Role.ADMIN).body == b"", path
        for method in set(METHODS) - methods:
            reply = house.ask(method, path, Role.ADMIN if method in {"GET", "POST"} else None)
            assert reply.status == 405, (method, path)
            assert set(reply.headers["Allow"].split(",")) == methods, (method, path)


def test_a_form_of_another_session_is_refused_and_recorded(house: House) -> None:
    """Another person's token, that of a session which has ended, none: nothing is done, and each leaves an entry."""
    others = token_of(house.sessions[Role.VIEWER])
    for route, _ in house.gated("POST"):
        for token in (others, token_of(new_session_id()), "", "\u202e"):
            reply = house.ask("POST", route.at(), Role.ADMIN, csrf=token)
            assert reply.status == 403, (route, token)
            assert "This page is out of date" in reply.text, route
        last = house.trail("request_refused")[:4]
        assert [entry.subject for entry in last] == [route.path] * 4
        assert {entry.by for entry in last} == {f"user:{NAMES[Role.ADMIN]}"}
        told = {"method": "POST", "cause": "stale_token"}
        assert all(entry.detail == (told | {"target": "x"} if "{" in route.path else told) for entry in last)


def test_a_role_too_low_is_refused_and_recorded(house: House) -> None:
    """With its own right token: every route, every role below."""
    for route, least in house.gated():
        for role in BELOW[least]:
            reply = house.ask(route.method, route.at(house.jobs[0]), role)

            assert reply.status == 403, (route, role)
            assert "Not for your role" in reply.text, route
            entry = house.trail("role_refused")[0]
            assert entry.subject == route.path.replace(r":\d+", ""), route
            assert entry.by == f"user:{NAMES[role]}", route
            told = {"method": route.method, "needed": least.value}
            assert entry.detail == (told | {"target": house.jobs[0]} if "{" in route.path else told), route


def test_what_is_refused_changes_nothing(house: House) -> None:
    """Stranger, role too low, another's token: but for the record of it, the ledger is byte for byte what it was."""
    others = token_of(house.sessions[Role.OPERATOR])
    for route, least in house.gated("POST"):
        before = house.web.run(contents(house.web))
        for job in house.jobs[:2]:
            assert house.ask("POST", route.at(job)).status == 303
            assert house.ask("POST", route.at(job), Role.ADMIN, csrf=others).status == 403
            for role in BELOW[least]:
                assert house.ask("POST", route.at(job), role).status == 403
        assert house.web.run(contents(house.web)) == before, route


async def contents(web: RunningWeb) -> dict[bytes, bytes | None]:
    """Return all that the ledger holds but the trail, which counts in `meta`, signs of life and what throttles."""
    ledger = web.session.ledger
    keys, redis = ledger._keys, ledger._scripts.redis
    passing = (keys.trail, keys.trail_entry, keys.trail_index, keys.session, keys.throttle)
    names = [name async for name in redis.scan_iter(match=f"{keys.prefix}:*", count=1000)]
    kept = [name for name in names if name.decode() not in {keys.meta, keys.stats}]
    return {name: await redis.dump(name) for name in kept if not name.decode().startswith(passing)}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_path_in_disguise_opens_nothing(house: House, disguise: str) -> None:
    """To nobody what is for somebody, to a viewer nothing that is for an admin."""
    for route, least in house.gated():
        if route.path == "/":
            continue
        path = disguise.format(route.at())
        assert house.ask(route.method, path).status in {303, 404, 405}, path
        if least is not Role.VIEWER:
            assert house.ask(route.method, path, Role.VIEWER).status in {403, 404, 405}, path
        encoded = "/" + "".join(f"%{ord(sign):02x}" for sign in route.at()[1:])
        assert house.ask(route.method, encoded).status in {303, 404}, route


@pytest.mark.parametrize("filling", SLOTS, ids=lambda filling: filling[:12])
def test_odd_signs_in_a_path_break_nothing(house: House, filling: str) -> None:
    """They are nobody's id."""
    for route in house.routes:
        if "{" in route.path and r"\d" not in route.path:
            reply = house.ask(route.method, route.at(filling), Role.ADMIN)
            assert reply.status in {200, 303, 400, 404, 422}, (route, reply.status)
            assert reply.status != 200 or route.path.startswith("/failed/"), (
                route
            )  # what is known of any reason


@pytest.mark.parametrize(
    ("referer", "place"),
    [
        ("{base}/failed?stage=link&told=x", "/failed?stage=link&told=bad_filter"),
        ("https://evil.example/failed", "/jobs?told=bad_filter"),
        ("{base}//evil.example/", "/jobs?told=bad_filter"),
        ("{base}/\\\\evil.example", "/jobs?told=bad_filter"),
        ("http://[::1", "/jobs?told=bad_filter"),
        ("{base}/\xff", "/jobs?told=bad_filter"),
        ("", "/jobs?told=bad_filter"),
    ],
)
def test_a_refused_form_leads_back_to_its_list_and_nowhere_else(
    house: House, referer: str, place: str
) -> None:
    """Whatever the browser says of where it comes from."""
    fields = [("act", "discard"), ("scope", "all"), ("filter", "[]")]
    sender = referer.format(base=house.web.base)

    reply = house.ask("POST", "/acts/preview", Role.ADMIN, fields=fields, Referer=sender)

    assert (reply.status, reply.headers["Location"]) == (303, place)


WORDS = st.sampled_from(
    ["", "0", "-1", "9" * 400, "1e400", "NaN", "٣", "²", "שלום", "\x00", "a\x00b", "\r\nX: y", "../..", "//evil", "\u202e",
     "'\"<script>", "{{7*7}}", "%(x)s", "{x}", "a" * 5000, "failed", "all", "lane:live", "batch:run", "email", "requeue",
     "discard", "cancel", "restore", "30m", "999999d", "0000000001" + "9" * 300, "2026-01-01", "unknown_" + "9" * 99,
     "viewer", "0501234567", "a@b.example", '{"state": "failed"}', '{"name": "\\ud800"}', '{"older_than_s": NaN}', "{}"]
)  # fmt: skip
TEXT = st.one_of(WORDS, st.text(max_size=40))
FIELD_NAMES = st.sampled_from(
    ["act", "batch", "by", "call", "canary", "channel", "class", "cursor", "do", "email", "expiring", "filter", "job_id",
     "kind", "lane", "lang", "limit", "meaning", "name", "newer_than", "next", "not", "number", "outcome", "older_than",
     "policy", "q", "reason", "requeues", "role", "scope", "seen", "since", "stage", "state", "subject", "target", "theme",
     "to", "told", "v", "whatsapp", "business_name", "why", "x"]
)  # fmt: skip
FIELDS = st.lists(st.tuples(FIELD_NAMES, TEXT), max_size=6)


@given(data=st.data(), query=FIELDS, form=FIELDS, role=st.sampled_from(Role), is_part=st.booleans())
@settings(
    max_examples=150,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_odd_words_in_addresses_and_forms_break_nothing(
    house: House,
    data: st.DataObject,
    query: list[tuple[str, str]],
    form: list[tuple[str, str]],
    role: Role,
    is_part: bool,
) -> None:
    """Any field, any word, on any page, also on what acts."""
    route = data.draw(st.sampled_from([each for each in house.routes if each.path != "/logout"]))
    filling = data.draw(
        st.one_of(st.sampled_from((*house.jobs, "run")), TEXT.map(lambda text: quote(text, safe="")))
    )
    path = f"{route.at(filling[:5000] or 'x')}?{urlencode(query)}"[:7500]

    reply = house.ask(route.method, path, role, fields=form, **{"HX-Request": "true"} if is_part else {})

    assert reply.status in {200, 303, 400, 403, 404, 422, 429}, (route, reply.status)
    if isinstance(route.access, Role) and not role.covers(route.access):
        assert reply.status in {303, 400, 403, 404}, (route, role, reply.status)
