"""monday.com from end to end: events over real HTTP, a fake monday that limits and refuses, a worker, jobs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from aiohttp import web

from producers.crm.config import load_crms
from producers.crm.http import BODY_CAP
from producers.crm.model import FetchLaterError, FetchRefusedError
from producers.crm.monday_api import THROTTLED_S, MondayApi
from tests.integration.crm_web import PATH, Desk, a_desk
from tests.integration.dispatch_server import a_silent_server
from tests.monday_fake import (
    API_TOKEN,
    BOARD,
    SHORT_LIVED,
    SIGNING_SECRET,
    MondayFake,
    a_monday,
    a_token,
    an_error,
    an_event,
    an_item,
    an_update,
)
from worker.domain.event import EventState

URL = f"/crm/monday/{PATH}"
SOURCE = "crm:monday"
PUBLIC_URL = f"https://links.example.com{URL}"
MAP = {"whatsapp": "phone_1", "email": "email_1", "phone": "phone_1"}


@dataclass
class Room:
    """A desk with monday on, and the monday that it asks."""

    desk: Desk
    monday: MondayFake

    async def send(self, body: Any, *, token: str | None = "") -> tuple[int, Any]:
        """Post as monday does; *token* None: without one."""
        headers = {} if token is None else {"Authorization": token or a_fresh_token()}
        answer = await self.desk.client.post(URL, data=json.dumps(body).encode(), headers=headers)
        return answer.status, await answer.json(content_type=None)

    async def work(self) -> None:
        """Have a worker take what is due."""
        crms = load_crms(self.desk.settings)
        await self.desk.worker(crms=crms).take(SOURCE)
        await crms["monday"].aclose()

    async def states(self) -> list[tuple[EventState, str | None]]:
        return [(event.state, event.reason) for event in await self.desk.events()]


def a_fresh_token(**claims: Any) -> str:
    now_s = int(datetime.now(UTC).timestamp())
    return a_token(**{"iat": now_s, "exp": now_s + 300, "aud": PUBLIC_URL, **claims})


@pytest.fixture
async def room(real_redis, valkey_url) -> AsyncIterator[Room]:
    async with a_monday() as fake:
        written = {
            "CRM_MONDAY_PATH": PATH,
            "CRM_MONDAY_SIGNING_SECRET": SIGNING_SECRET,
            "CRM_MONDAY_URL": PUBLIC_URL,
            "CRM_MONDAY_BOARDS": str(BOARD),
            "CRM_MONDAY_TOKEN": API_TOKEN,
            "CRM_MONDAY_API_URL": fake.url,
            "CRM_MONDAY_MAP": json.dumps(MAP),
        }
        async with a_desk(valkey_url, written) as desk:
            yield Room(desk, fake)


@pytest.fixture
async def monday() -> AsyncIterator[MondayFake]:
    async with a_monday() as fake:
        yield fake


@pytest.fixture
async def api(monday) -> AsyncIterator[MondayApi]:
    api = MondayApi(token=API_TOKEN, url=monday.url, timeout_s=5)
    yield api
    await api.aclose()


# --- events ------------------------------------------------------------------------------------------------


async def test_a_new_item_becomes_a_job(room: Room):
    """Without a call, as the event says all."""
    assert await room.send(an_event()) == (200, {})
    await room.work()

    assert await room.states() == [(EventState.DONE, None)]
    assert await room.desk.invitations() == 1
    assert room.monday.asked == []


async def test_a_retry_is_acked_and_makes_nothing(room: Room):
    """Once a minute for half an hour."""
    await room.send(an_event())
    await room.work()
    assert await room.send(an_event(isRetry=True)) == (200, {})
    await room.work()

    assert len(await room.desk.events()) == 1
    assert await room.desk.invitations() == 1


async def test_a_hundred_changes_are_fetched_in_one_call(room: Room):
    """As many items as monday tells of at once."""
    room.monday.has(*(an_item(nth, phone_1=(f"05{20000000 + nth}", None)) for nth in range(1, 101)))
    for nth in range(1, 101):
        await room.send(an_update("phone_1", {"phone": "1"}, pulseId=nth, triggerUuid=f"{nth:032d}"))
    await room.work()

    assert [len(ids) for ids in room.monday.asked] == [100]
    assert await room.desk.invitations() == 100


async def test_an_item_that_was_deleted_meanwhile_is_skipped(room: Room):
    """There is nobody to invite."""
    await room.send(an_update("phone_1", {"phone": "1"}))
    await room.work()

    assert await room.states() == [(EventState.SKIPPED, "gone")]


async def test_at_its_limit_monday_is_waited_for(room: Room):
    """No try is used up, and the event is done when monday is ready again."""
    room.monday.has(an_item())
    room.monday.answers.append(
        web.json_response(an_error("COMPLEXITY_BUDGET_EXHAUSTED", retry_in_seconds=30))
    )
    await room.send(an_event(columnValues={}))
    await room.work()

    [event] = await room.desk.events()
    assert (event.state, event.reason, event.failures) == (EventState.WAITING, "crm_throttled", 0)
    assert event.due_at_ms is not None


async def test_a_refused_token_loses_nothing_and_calls_for_a_person(room: Room):
    """The remedy names the setting, and neither token is in the log."""
    room.monday.answers.append(web.json_response({"errors": ["Not Authenticated"]}, status=401))
    await room.send(an_event(columnValues={}))
    with structlog.testing.capture_logs() as logs:
        await room.work()

    [event] = await room.desk.events()
    assert (event.state, event.reason, event.failures) == (EventState.WAITING, "crm_refused", 0)
    [alarm] = [line for line in logs if line["event"] == "crm_refused_us"]
    assert "LINKFERRY_CRM_MONDAY_TOKEN" in alarm["remedy"]
    assert API_TOKEN not in repr(logs)


async def test_the_handshake_is_answered_and_leaves_nothing(room: Room):
    """With or without a token: monday does not say which."""
    assert await room.send({"challenge": "3eZbrw1aBm2rZ"}, token=None) == (
        200,
        {"challenge": "3eZbrw1aBm2rZ"},
    )
    assert await room.send({"challenge": "abc"}) == (200, {"challenge": "abc"})
    assert await room.desk.events() == []


@pytest.mark.parametrize(
    "token",
    [
        None,
        a_fresh_token(aud="https://elsewhere.example.com"),
        a_fresh_token(exp=1),
        a_fresh_token()[:-3],
        a_token("f" * 32),
        "garbage",
    ],
)
async def test_a_stranger_is_refused(room: Room, token: str | None):
    """Nothing is recorded, and nothing of his token is logged."""
    with structlog.testing.capture_logs() as logs:
        status, document = await room.send(an_event(), token=token)

    assert (status, document["status"]) == (401, 401)
    assert await room.desk.events() == []
    assert token is None or token not in repr(logs)


async def test_the_short_lived_token_is_nowhere(room: Room):
    """It is part of monday's token, and opens its API in a user's name."""
    with structlog.testing.capture_logs() as logs:
        await room.send(an_event())
        await room.work()

    redis = room.desk.ledger._scripts.redis
    for key in await redis.keys("*"):
        assert SHORT_LIVED.encode() not in await redis.dump(key)
    assert SHORT_LIVED not in repr(logs)


async def test_a_webhook_added_by_hand_needs_no_token(real_redis, valkey_url):
    """The path and the board are the proof; another board is acked and not followed."""
    written = {
        "CRM_MONDAY_PATH": PATH,
        "CRM_MONDAY_BOARDS": str(BOARD),
        "CRM_MONDAY_MAP": json.dumps({"boards": {str(BOARD): MAP}}),
    }
    async with a_monday() as fake, a_desk(valkey_url, written) as desk:
        room = Room(desk, fake)
        assert await room.send(an_event(), token=None) == (200, {})
        assert await room.send(an_event(boardId=5, triggerUuid="f" * 32), token=None) == (200, {})
        await room.work()

        assert await room.states() == [(EventState.DONE, None)]


# --- the API -----------------------------------------------------------------------------------------------


async def test_more_than_a_hundred_items_are_asked_for_in_turns(monday: MondayFake, api: MondayApi):
    """Each one once."""
    monday.has(*(an_item(nth) for nth in range(150)))
    found = await api.items([*map(str, range(150)), "7", "999"])

    assert [len(ids) for ids in monday.asked] == [100, 51]
    assert set(found) == set(map(str, range(150)))


async def test_a_token_that_monday_does_not_know_is_refused(monday: MondayFake):
    """By monday itself."""
    api = MondayApi(token="another", url=monday.url)
    with pytest.raises(FetchRefusedError):
        await api.items(["1"])
    await api.aclose()


async def test_a_429_is_waited_for_as_long_as_it_says(monday: MondayFake, api: MondayApi):
    """In the header, where the body says nothing."""
    monday.answers.append(web.Response(status=429, headers={"Retry-After": "17"}))
    monday.answers.append(web.Response(status=429, text="slow down"))
    delays = []
    for _ in range(2):
        with pytest.raises(FetchLaterError) as later:
            await api.items(["1"])
        delays.append(later.value.delay_s)

    assert delays == [17, THROTTLED_S]


@pytest.mark.parametrize(
    "answer",
    [
        {"text": "<html>"},
        {"body": b"\xff\xfe"},
        {"body": b"[" * 100_000},
        {"body": b" " * (BODY_CAP + 1)},
        {"body": b"junk", "headers": {"Content-Encoding": "br"}},
        {"body": b"junk", "headers": {"Content-Encoding": "gzip"}},
    ],
)
async def test_an_answer_that_is_none_is_asked_for_again(monday: MondayFake, api: MondayApi, answer):
    """A page, noise, too much of it, or an encoding that nobody asked for."""
    monday.answers.append(web.Response(**answer))

    with pytest.raises(FetchLaterError) as later:
        await api.items(["1"])
    assert (later.value.reason, later.value.is_failure) == ("crm_unreachable", True)


async def test_a_redirect_is_not_followed_with_the_token(monday: MondayFake, api: MondayApi):
    """Wherever it leads, somebody has to look at the address first."""
    monday.answers.append(web.Response(status=307, headers={"Location": monday.url}))

    with pytest.raises(FetchRefusedError, match="crm_refused"):
        await api.items(["1"])
    assert len(monday.asked) == 1


async def test_a_monday_that_does_not_answer_is_given_up_on():
    """After the call's deadline, or at once where nobody listens."""
    async with a_silent_server() as port:
        silent = MondayApi(token="t", url=f"http://127.0.0.1:{port}/v2", timeout_s=0.05)
        with pytest.raises(FetchLaterError, match="crm_unreachable"):
            await silent.items(["1"])
        await silent.aclose()
    nobody = MondayApi(token="t", url="http://127.0.0.1:1/v2")
    with pytest.raises(FetchLaterError, match="crm_unreachable"):
        await nobody.items(["1"])
    await nobody.aclose()


async def test_no_items_are_no_call(monday: MondayFake, api: MondayApi):
    """monday would answer with items of its own choice."""
    assert await api.items([]) == {}
    assert monday.asked == []
