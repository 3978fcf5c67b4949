"""What strangers put on the wire: answered without a word of it, and without filling the log."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import structlog
from aiohttp import web

from linkferry.listening import listen
from tests.integration.raw_http import Reply, exchange, send
from tests.integration.web_thread import RunningWeb, a_web, until
from worker.ops.console import forms

SECRET = "top-secret-dana@example.com"
HOST = "Host: localhost\r\nConnection: close\r\n"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def server(valkey_url: str) -> Iterator[RunningWeb]:
    with a_web(valkey_url, namespace="wire", api_keys="a-key") as running:
        yield running


@pytest.mark.parametrize(
    "sent",
    [
        f"GET /v1/onboardings HTTP/1.1\r\n{HOST}Authorization: Bearer {SECRET}\x00\r\n\r\n",
        f"GET /jobs HTTP/1.1\r\n{HOST}Cookie: __Host-linkferry={SECRET}; \x01\r\n\r\n",
        f"GET /jobs HTTP/1.1\r\n{HOST}X-Long: {SECRET * 1000}\r\n\r\n",
        f"GET /jobs/{SECRET * 1000} HTTP/1.1\r\n{HOST}\r\n",
        f"GET /jobs?q={SECRET}\xff HTTP/1.1\r\n{HOST}\r\n",
        f"GET http://[{SECRET} HTTP/1.1\r\n{HOST}\r\n",
        f"GET /{SECRET} HTTP/1.1\r\n\r\n",
        f"{SECRET}\r\n\r\n",
        f"POST /login HTTP/1.1\r\n{HOST}Content-Length: 1\r\nContent-Length: {SECRET}\r\n\r\n",
        f"POST /v1/onboardings HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{SECRET}\r\n",
    ],
)
def test_what_is_no_http_is_neither_quoted_nor_logged(server: RunningWeb, sent: str) -> None:
    """A key or a cookie with a stray byte in it stays with whoever sent it; one short line says what kind it was."""
    with structlog.testing.capture_logs() as logs:
        reply = exchange(server.port, sent.encode("latin-1"))

    assert reply.status == 400
    assert reply.headers["Content-Type"].startswith("application/problem+json")
    assert reply.headers["Server"] == "linkferry"
    assert_locked_up(reply)
    assert "dana" not in reply.text
    assert "secret" not in repr(logs)
    assert [(each["event"], each["log_level"]) for each in logs] == [("request_unreadable", "info")]


@pytest.mark.parametrize(
    "path", ["/v1/onboardings", "/healthz", "/metrics", "/crm/x/y", "/v1/none", "/openapi.json"]
)
def test_answers_to_machines_are_what_they_say_and_are_not_kept(server: RunningWeb, path: str) -> None:
    """Whatever the answer; and they do not tell which versions run here."""
    reply = send(server.port, "GET", path)

    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Server"] == "linkferry"


@pytest.mark.parametrize(
    "path", ["/provider/", "/provider/x", "/provider/v1/links", "/crm/", "/crm/x", "/crm/x/y/z", "/v1/"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "TRACE"])
def test_there_is_nothing_at_other_paths_of_machines(server: RunningWeb, path: str, method: str) -> None:
    """A problem, to whoever asks and with whatever key."""
    reply = send(server.port, method, path, {"Authorization": "Bearer a-key"})

    assert reply.status == 404
    assert reply.headers["Content-Type"].startswith("application/problem+json")


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer  ", b"Basic ", b""])
@pytest.mark.parametrize(
    "secret", [b"\xff\xfe", b"\xed\xa0\x80", "מפתח".encode(), b"", b"a-key a-key", b"k" * 5000]
)
def test_a_key_that_is_no_text_is_no_key(server: RunningWeb, scheme: bytes, secret: bytes) -> None:
    """Refused like any other."""
    assert send(server.port, "GET", "/v1/onboardings", {"Authorization": scheme + secret}).status == 401


@pytest.mark.parametrize(
    "host", ["[::1", "a b@c/d", "x:99999999", "", b"\xff", "localhost\\@evil", "ﬁ".encode()]
)
@pytest.mark.parametrize("path", ["/login", "/", "/jobs"])
def test_a_host_that_is_none_is_nobodys_own(server: RunningWeb, host: str | bytes, path: str) -> None:
    """No password is taken there, and nothing breaks."""
    with structlog.testing.capture_logs() as logs:
        reply = send(server.port, "GET", path, {"Host": host, "Accept": "text/html"})

    assert reply.status == (403 if path == "/login" else 303)
    assert 'type="password"' not in reply.text
    assert logs == []
    assert_locked_up(reply)


@pytest.mark.parametrize("name", ["Origin", "Referer"])
@pytest.mark.parametrize(
    "origin", ["http://[::1", "http://a℀b".encode(), b"\xff", "http://", "null", "//localhost"]
)
def test_an_origin_that_is_none_is_anothers(server: RunningWeb, name: str, origin: str | bytes) -> None:
    """Fail closed."""
    reply = send(server.port, "POST", "/login", {**FORM, name: origin}, b"name=x")

    assert reply.status == 403
    assert "The request came from another site" in reply.text


def test_who_goes_away_in_the_middle_of_a_form_is_no_fault_of_ours(server: RunningWeb) -> None:
    """Nothing is logged as one."""
    head = (
        f"POST /login HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOrigin: {server.base}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nname="
    )
    before = server.server.requests_count
    others = set(server.server.connections)  # aiohttp lets those of other tests linger for 10 s
    with structlog.testing.capture_logs() as logs:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(head.encode())
            server.run(until(lambda: server.server.requests_count > before))
        server.run(until(lambda: others.issuperset(server.server.connections)))

    assert logs == []


def test_a_form_that_never_ends_is_not_waited_for(
    server: RunningWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who sends a letter now and then does not keep his place; nothing of it was done."""
    monkeypatch.setattr(forms, "_DEADLINE_S", 0.3)
    head = (
        f"POST /login HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOrigin: {server.base}\r\nConnection: close\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\nname="
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head.encode())
        answer = b""
        while b"</html>" not in answer and (piece := connection.recv(65536)):
            answer += piece

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"The form did not arrive in time" in answer


GOOD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [[b""], [b"GE"], [GOOD[:-2]], [b"GET / HTTP/1.1\r\n", b"Host: x\r\n", b"X: y\r\n"], [GOOD, b"GET / HT"]],
)
async def test_a_head_that_never_ends_is_not_waited_for(sent: list[bytes]) -> None:
    """Nothing, half a line, a line now and then, half a second request: nobody holds connections that others need."""
    async with a_server(head_deadline_s=0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in sent:
            writer.write(piece)
            await writer.drain()
            if piece == GOOD:
                await reader.readuntil(b"\r\n\r\n404: Not Found")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_an_answer_and_the_rest_after_it_may_take_longer_than_a_head() -> None:
    """A page that takes its time, and a browser that sends its next request later, lose no connection."""
    came, is_done, rested = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(_request: web.Request) -> web.Response:
        came.set()
        await is_done.wait()
        return web.Response(text="at last")

    async with a_server(web.get("/slow", slow), head_deadline_s=1.0) as port:
        later = asyncio.get_running_loop().call_later
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /slow HTTP/1.1\r\nHo")
        await writer.drain()
        writer.write(b"st: x\r\n\r\n")
        await came.wait()
        later(1.2, is_done.set)
        await reader.readuntil(b"at last")
        later(1.2, rested.set)
        await rested.wait()
        writer.write(GOOD)
        assert (await reader.readline()).startswith(b"HTTP/1.1 404")
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def a_server(*routes: web.RouteDef, head_deadline_s: float) -> AsyncIterator[int]:
    """Listen as `linkferry web` does; yield the port."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = await listen(runner, "127.0.0.1", 0, head_deadline_s=head_deadline_s)
    yield listener.sockets[0].getsockname()[1]
    listener.close()
    await runner.cleanup()


async def test_below_every_net_nothing_is_told_either() -> None:
    """A fault of the server's own layer: 500 without details, type and place in the log, no text of it anywhere."""

    async def fail(_request: web.Request, _response: web.StreamResponse) -> None:
        raise RuntimeError(SECRET)

    app = web.Application()
    app.on_response_prepare.append(fail)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = await listen(runner, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    with structlog.testing.capture_logs() as logs:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    listener.close()
    await runner.cleanup()

    assert b"dana" not in answer
    assert "dana" not in repr(logs)
    assert {each["event"] for each in logs} == {"connection_failed"}
    assert logs[0]["error"] == "RuntimeError"


def assert_locked_up(reply: Reply) -> None:
    assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
    assert reply.headers["X-Frame-Options"] == "DENY"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "no-store"
