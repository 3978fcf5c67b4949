"""Posting our events over real HTTP: what each answer means, and what a hostile receiver can do to us (nothing)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tests.integration.events_receiver import SECRET, a_receiver
from worker.clock import SystemClock
from worker.dispatch.webhook import WebhookSink, outcome_of
from worker.domain.outgoing import (
    SCHEDULE_S,
    NotTold,
    OutgoingEvent,
    OutgoingType,
    SinkBusy,
    SinkGone,
    TellFault,
    Told,
    retry_after,
)
from worker.domain.standard_webhooks import parse_secret

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
OTHER = "whsec_" + "b3RoZXI5" * 6
EVENT = OutgoingEvent(
    id="evt_1",
    type=OutgoingType.LINK_CREATED,
    occurred_at_ms=1_790_000_000_123,
    data={"job_id": "1", "link": "https://partner.example/1", "reference": "דנה"},
)


@asynccontextmanager
async def a_sink(
    url: str, *, total_timeout_s: float = 5.0, secret: str = SECRET
) -> AsyncIterator[WebhookSink]:
    sink = WebhookSink(url, [parse_secret(secret)], clock=SystemClock(), total_timeout_s=total_timeout_s)
    try:
        yield sink
    finally:
        await sink.aclose()


@asynccontextmanager
async def raw_server(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[str]:
    """Run a server that speaks, byte for byte, as *talk* does once the request's headers are in."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.close()


async def test_an_event_arrives_signed_and_whole() -> None:
    """The receiver verifies it by the reference library, and gets type, time and data."""
    async with a_receiver() as receiver, a_sink(receiver.url) as sink:
        assert await sink.send(EVENT) == Told(status=200)

    assert receiver.got == [
        {"type": "link.created", "timestamp": "2026-09-21T14:13:20.123Z", "data": dict(EVENT.data)}
    ]
    assert receiver.ids == ["evt_1"]
    assert receiver.seen_headers[0]["Content-Type"] == "application/json"
    assert receiver.seen_headers[0]["User-Agent"].startswith("Linkferry/")


async def test_each_try_is_signed_for_its_own_time_under_the_same_id() -> None:
    """A receiver's five minutes count from the try."""
    async with a_receiver(answers=[500]) as receiver, a_sink(receiver.url) as sink:
        assert await sink.send(EVENT) == NotTold(fault=TellFault.REFUSED, status=500)
        assert await sink.send(EVENT) == Told(status=200)

    assert receiver.ids == ["evt_1", "evt_1"]
    assert receiver.got[0] == receiver.got[1]


async def test_both_secrets_sign_while_one_is_changed() -> None:
    """A receiver that has either of them is content: ours in the test has the first alone."""
    async with a_receiver() as receiver:
        secrets = [parse_secret(OTHER), parse_secret(SECRET)]
        sink = WebhookSink(receiver.url, secrets, clock=SystemClock())
        try:
            assert await sink.send(EVENT) == Told(status=200)
        finally:
            await sink.aclose()


async def test_a_receiver_with_another_secret_refuses() -> None:
    """That the receiver in these tests verifies at all."""
    async with a_receiver() as receiver, a_sink(receiver.url, secret=OTHER) as sink:
        assert await sink.send(EVENT) == NotTold(fault=TellFault.REFUSED, status=500)
    assert receiver.got == []


@pytest.mark.parametrize(
    ("status", "retry_after_header", "telling"),
    [
        (200, None, Told(status=200)),
        (204, None, Told(status=204)),
        (299, None, Told(status=299)),
        (301, None, NotTold(fault=TellFault.REDIRECTED, status=301)),
        (308, None, NotTold(fault=TellFault.REDIRECTED, status=308)),
        (400, None, NotTold(fault=TellFault.REFUSED, status=400)),
        (401, "60", NotTold(fault=TellFault.REFUSED, status=401)),
        (410, None, SinkGone(status=410)),
        (429, None, SinkBusy(fault=TellFault.THROTTLED, delay_s=60.0, status=429)),
        (429, "7", SinkBusy(fault=TellFault.THROTTLED, delay_s=7.0, status=429)),
        (429, "0", SinkBusy(fault=TellFault.THROTTLED, delay_s=1.0, status=429)),
        (429, "999999", SinkBusy(fault=TellFault.THROTTLED, delay_s=3600.0, status=429)),
        (429, "9" * 5000, SinkBusy(fault=TellFault.THROTTLED, delay_s=3600.0, status=429)),
        (429, "soon", SinkBusy(fault=TellFault.THROTTLED, delay_s=60.0, status=429)),
        (429, "-5", SinkBusy(fault=TellFault.THROTTLED, delay_s=60.0, status=429)),
        (429, "١", SinkBusy(fault=TellFault.THROTTLED, delay_s=60.0, status=429)),
        (503, "30", SinkBusy(fault=TellFault.UNAVAILABLE, delay_s=30.0, status=503)),
        (503, None, NotTold(fault=TellFault.REFUSED, status=503)),
        (500, "30", NotTold(fault=TellFault.REFUSED, status=500)),
        (502, None, NotTold(fault=TellFault.REFUSED, status=502)),
    ],
)
def test_what_each_answer_means(status: int, retry_after_header: str | None, telling: object) -> None:
    """By the rules of Standard Webhooks."""
    assert outcome_of(status, retry_after_header, now=NOW) == telling


def test_a_date_to_come_back_at_is_understood() -> None:
    """`Retry-After` may be one; one that is past, or has no zone, is no trap."""
    later = format_datetime(NOW + timedelta(seconds=90), usegmt=True)
    past = format_datetime(NOW - timedelta(days=1), usegmt=True)

    assert outcome_of(503, later, now=NOW) == SinkBusy(fault=TellFault.UNAVAILABLE, delay_s=90.0, status=503)
    assert outcome_of(503, past, now=NOW) == SinkBusy(fault=TellFault.UNAVAILABLE, delay_s=1.0, status=503)
    assert isinstance(outcome_of(503, "Sun, 22 Nov 2026 12:00:10 -0000", now=NOW), SinkBusy)


async def test_a_redirect_is_not_followed() -> None:
    """A signed event, with a link in it, goes where the setting says and nowhere else."""
    async with a_receiver() as elsewhere:
        async with (
            a_receiver(then=307, headers={"Location": elsewhere.url}) as receiver,
            a_sink(receiver.url) as sink,
        ):
            assert await sink.send(EVENT) == NotTold(fault=TellFault.REDIRECTED, status=307)
        assert elsewhere.got == []


async def test_a_receiver_that_does_not_answer_is_given_up_on() -> None:
    """The deadline holds for the whole of it."""
    async with a_receiver() as receiver, a_sink(receiver.url, total_timeout_s=0.2) as sink:
        receiver.gate.clear()
        assert await sink.send(EVENT) == NotTold(fault=TellFault.TIMED_OUT)


async def test_a_receiver_that_trickles_is_given_up_on() -> None:
    """One byte after the other does not renew the deadline."""

    async def trickle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with raw_server(trickle) as url, a_sink(url, total_timeout_s=0.3) as sink:
        assert await sink.send(EVENT) == NotTold(fault=TellFault.TIMED_OUT)


async def test_an_endless_answer_is_cut_off() -> None:
    """A 2xx is a 2xx; nobody needs the rest."""
    sent = 0

    async def pour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
            await writer.drain()
            sent += 0x4000

    async with raw_server(pour) as url, a_sink(url, total_timeout_s=10.0) as sink:
        posted = await sink.post(EVENT)

    assert posted.telling == Told(status=200)
    assert len(posted.answer) <= 16 * 1024
    assert sent < 16 * 1024 * 1024


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 999999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=["nothing", "half", "nonsense", "huge header", "odd status", "odd length"],
)
async def test_an_answer_that_is_none_is_tried_again(answer: bytes) -> None:
    """Whatever a broken receiver says, it is a value and no exception."""

    async def talk(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    async with raw_server(talk) as url, a_sink(url) as sink:
        posted = await sink.post(EVENT)

    assert posted.telling == NotTold(fault=TellFault.UNREACHABLE)
    assert posted.error


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "https://nowhere.invalid/x"])
async def test_a_receiver_that_is_not_there_is_tried_again(url: str) -> None:
    """Refused connections and unknown names alike."""
    async with a_sink(url) as sink:
        assert await sink.send(EVENT) == NotTold(fault=TellFault.UNREACHABLE)


async def test_a_connection_is_used_again() -> None:
    """An event costs no new handshake."""
    ports: set[int] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports.add(writer.get_extra_info("peername")[1])
        for _ in range(3):
            body = await reader.readuntil(b"}}")
            assert body
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()

    async with raw_server(talk) as url, a_sink(url) as sink:
        tellings = [await sink.send(EVENT) for _ in range(3)]

    assert tellings == [Told(status=200)] * 3
    assert len(ports) == 1


def test_the_schedule_is_the_recommended_one() -> None:
    """Ten tries: at once, then after 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 hours; chance adds a tenth at most."""
    waits = [retry_after(failures, chance=0.0) for failures in range(10)]

    assert waits == [*SCHEDULE_S, None]
    assert list(SCHEDULE_S) == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert retry_after(0, chance=0.999) == pytest.approx(5.5, abs=0.01)
    assert retry_after(99, chance=0.5) is None
