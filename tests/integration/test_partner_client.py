"""The partner client against servers that misbehave: every call has one of three endings, and only one request."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket

import pytest

from tests.partner_fakes import (
    FixedToken,
    RecordingGate,
    a_client,
    always,
    an_answer,
    leap,
    raw_server,
    read_request,
)
from worker.domain.outcome import Answered, Ending, NotDone, Unanswered

OK = json.dumps({"status": "OK", "reason": 1, "onboarding_link": "https://onboarding.direct/1"}).encode()


async def create(url: str, **changes: object) -> Ending:
    async with a_client(url, tokens=changes.pop("tokens", FixedToken()), **changes) as client:
        return await client.create_whatsapp({"whatsapp": "972501234567"})


async def test_an_answer_in_the_partners_own_terms_is_answered() -> None:
    """The body is kept whole for the caller and masked for the record; the gate hears of every answer."""
    gate = RecordingGate()
    async with raw_server(always(an_answer(OK, "200 OK", "RateLimit: r=1"))) as url:
        ending = await create(url, gate=gate)

    assert isinstance(ending, Answered)
    assert (ending.is_ok, ending.code, ending.http_status) == (True, 1, 200)
    assert ending.body["onboarding_link"] == "https://onboarding.direct/1"
    assert "direct/1" not in ending.raw
    assert gate.told[0][0] == 200
    assert gate.told[0][1]["RateLimit"] == "r=1"


async def test_a_refused_connection_is_not_done() -> None:
    """Nobody listens: surely nothing was done."""
    with contextlib.closing(socket.socket()) as idle:
        idle.bind(("127.0.0.1", 0))
        ending = await create(f"http://127.0.0.1:{idle.getsockname()[1]}")

    assert isinstance(ending, NotDone)
    assert ending.reason == "partner_unreachable"


async def test_an_unknown_host_is_not_done() -> None:
    """A name that leads nowhere is a failure before any byte."""
    ending = await create("http://no-such-host.invalid")

    assert isinstance(ending, NotDone)
    assert ending.reason == "partner_unreachable"


async def test_a_failed_tls_handshake_is_not_done() -> None:
    """The server does not speak TLS: no request went out."""
    async with raw_server(always(an_answer(OK))) as url:
        ending = await create(url.replace("http:", "https:"))

    assert isinstance(ending, NotDone)
    assert ending.reason == "partner_unreachable"


async def test_a_handshake_that_never_ends_is_not_done() -> None:
    """The deadline passed before the request could be sent."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(silent) as url:
        ending = await create(url.replace("http:", "https:"), timeout_s=0.2)

    assert isinstance(ending, NotDone)


async def test_silence_is_unanswered_at_the_deadline() -> None:
    """The request went out and no answer came: nobody knows."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        leap(30.0)
        await reader.read()

    async with raw_server(silent) as url:
        ending = await create(url, timeout_s=30.0)

    assert isinstance(ending, Unanswered)
    assert ending.reason == "partner_timeout"


async def test_a_trickling_answer_meets_the_total_deadline() -> None:
    """Bytes that keep coming do not prolong the call."""

    written = 0

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            written += 1
            await writer.drain()
            leap(1.0)
            await asyncio.sleep(0)

    async with raw_server(trickle) as url:
        ending = await create(url, timeout_s=30.0)

    assert isinstance(ending, Unanswered)
    assert ending.reason == "partner_timeout"
    assert written <= 40


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_body_over_the_cap_is_unanswered(is_told: bool) -> None:
    """A huge answer is cut off by counting what came, whatever its header promises."""

    async def huge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        length = b"Content-Length: 99999999\r\n" if is_told else b"Connection: close\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with raw_server(huge) as url:
        ending = await create(url)

    assert isinstance(ending, Unanswered)
    assert ending.reason == "partner_unreadable"


async def test_a_compressed_bomb_is_unanswered_and_honest_compression_is_read() -> None:
    """Compression nobody asked for is read within the same cap."""
    bomb = an_answer(gzip.compress(b" " * 10_000_000), "200 OK", "Content-Encoding: gzip")
    honest = an_answer(gzip.compress(OK), "200 OK", "Content-Encoding: gzip")
    async with raw_server(always(bomb)) as url:
        assert isinstance(await create(url), Unanswered)
    async with raw_server(always(honest)) as url:
        assert isinstance(await create(url), Answered)


@pytest.mark.parametrize(
    "cut",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"\x00\xff nothing like HTTP \r\n\r\n",
        b"HTTP/1.1 99999 \xff\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: minus one\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
async def test_a_connection_lost_or_garbled_after_sending_is_unanswered(cut: bytes) -> None:
    """Once the request is out, anything but a whole answer leaves the outcome unknown."""

    async def cut_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(cut)
        await writer.drain()
        writer.close()

    async with raw_server(cut_off) as url:
        ending = await create(url)

    assert isinstance(ending, Unanswered)
    assert ending.reason == "partner_dropped"


@pytest.mark.parametrize("method", ["create", "list"])
async def test_a_reused_connection_that_dies_is_unanswered_and_nothing_is_sent_twice(method: str) -> None:
    """The server closes a kept connection on the next request: ambiguous, so no silent second request."""
    requests = 0

    async def one_then_die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await read_request(reader)
        requests += 1
        writer.write(an_answer(OK))
        await read_request(reader)
        requests += 1

    async with raw_server(one_then_die) as url, a_client(url, tokens=FixedToken()) as client:
        first = await client.create_whatsapp({})
        second = await (client.create_whatsapp({}) if method == "create" else client.get_accounts())

    assert isinstance(first, Answered)
    assert isinstance(second, Unanswered)
    assert requests == 2


async def test_an_idle_connection_closed_by_the_server_does_not_matter() -> None:
    """A connection known to be closed is not used again: the next call opens a new one."""
    closed = asyncio.Event()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(an_answer(OK))
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with raw_server(one) as url, a_client(url, tokens=FixedToken()) as client:
        assert isinstance(await client.create_whatsapp({}), Answered)
        await closed.wait()
        for _ in range(5):
            await asyncio.sleep(0)  # the client's loop sees the end of the connection
        assert isinstance(await client.create_whatsapp({}), Answered)


async def test_a_redirect_is_not_followed() -> None:
    """A POST that was moved did nothing; one that was answered by 302 may have acted."""
    for status, kind in (("308 Permanent Redirect", NotDone), ("302 Found", Unanswered)):
        async with raw_server(always(an_answer(b"", status, "Location: /elsewhere"))) as url:
            assert isinstance(await create(url), kind)


async def test_a_429_is_not_done_and_says_how_long_to_wait() -> None:
    """The wait comes from Retry-After; the gate is told too."""
    gate = RecordingGate()
    async with raw_server(always(an_answer(b"slow", "429 Too Many", "Retry-After: 7"))) as url:
        ending = await create(url, gate=gate)

    assert isinstance(ending, NotDone)
    assert (ending.reason, ending.retry_after_s, ending.http_status) == ("partner_throttled", 7.0, 429)
    assert gate.told[0][0] == 429


async def test_a_gate_that_fails_does_not_cost_the_answer() -> None:
    """Redis may be down when the partner answers: the link is not lost for it."""

    class BrokenGate:
        async def obey(self, headers: object, status: int) -> None:
            raise ConnectionError

    async with raw_server(always(an_answer(OK))) as url:
        assert isinstance(await create(url, gate=BrokenGate()), Answered)


@pytest.mark.parametrize(
    "answer", [an_answer(b'{"status":"FAIL","reason":3}'), an_answer(b"<h1>no</h1>", "401 Unauthorized")]
)
async def test_a_token_that_is_not_taken_is_dropped(answer: bytes) -> None:
    """FAIL 3 and HTTP 401 say that the token is no good: nothing was done."""
    tokens = FixedToken()
    async with raw_server(always(answer)) as url:
        ending = await create(url, tokens=tokens)

    assert isinstance(ending, NotDone)
    assert ending.reason == "token_expired"
    assert tokens.dropped == ["fixed"]


@pytest.mark.parametrize("missing", ["client_id", "client_secret"])
async def test_without_credentials_nothing_is_sent(missing: str) -> None:
    """Both credentials are needed; without them no call leaves the machine."""

    async def unwanted(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        pytest.fail("something was sent")

    async with raw_server(unwanted) as url, a_client(url, **{missing: None}) as client:
        ending = await client.create_whatsapp({})

    assert isinstance(ending, NotDone)
    assert ending.reason == "credentials_missing"


async def test_a_broken_list_is_no_list() -> None:
    """One row that is no row makes the whole list unknown; a whole one is read."""
    row = {
        "whatsapp": "972501234567",
        "reference": "job1",
        "onboarding_link": "https://x.example/1",
        "status": 0,
    }
    whole = json.dumps({"status": "OK", "reason": 1, "list": [row]}).encode()
    broken = json.dumps({"status": "OK", "reason": 1, "list": [row, {"whatsapp": None}]}).encode()
    async with raw_server(always(an_answer(whole))) as url, a_client(url, tokens=FixedToken()) as client:
        entries = await client.get_accounts()
    async with raw_server(always(an_answer(broken))) as url, a_client(url, tokens=FixedToken()) as client:
        unknown = await client.get_accounts()

    assert isinstance(entries, list)
    assert (entries[0].reference, entries[0].is_finished) == ("job1", False)
    assert isinstance(unknown, Unanswered)


async def test_a_list_larger_than_a_creates_cap_is_read() -> None:
    """Lists come in one piece and have a cap of their own."""
    row = {
        "whatsapp": "972501234567",
        "reference": "job1",
        "onboarding_link": "https://x.example/1",
        "status": 0,
    }
    answer = an_answer(json.dumps({"status": "OK", "reason": 1, "list": [row] * 5_000}).encode())
    async with raw_server(always(answer)) as url, a_client(url, tokens=FixedToken()) as client:
        entries = await client.get_accounts()

    assert isinstance(entries, list)
    assert len(entries) == 5_000


async def test_a_cancelled_call_stays_cancelled() -> None:
    """A drain may cancel a call: that is no ending, and must not pass for one."""
    arrived = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        await reader.read()

    async with raw_server(silent) as url, a_client(url, tokens=FixedToken()) as client:
        call = asyncio.create_task(client.create_whatsapp({}))
        await arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


class SlowToken(FixedToken):
    """Gives its token when the event says so."""

    def __init__(self, is_time: asyncio.Event) -> None:
        super().__init__()
        self._is_time = is_time

    async def token(self) -> str:
        await self._is_time.wait()
        return await super().token()


async def test_a_token_that_comes_after_the_deadline_sends_nothing() -> None:
    """Waiting for a token is part of the call: a process that stood still meanwhile must not act late."""
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(10))
        writer.close()

    is_time = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, is_time.set)
    async with raw_server(serve) as url:
        ending = await create(url, tokens=SlowToken(is_time), timeout_s=0.1)

    assert asked == []
    assert isinstance(ending, NotDone)
