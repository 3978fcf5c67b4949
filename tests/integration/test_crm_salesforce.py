"""Salesforce from end to end: an outbound message over real HTTP, a real Valkey, a worker, jobs."""

from __future__ import annotations

import asyncio
import io
import json
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import structlog

from producers.crm.config import load_crms
from producers.crm.soap import ACK, MAX_BYTES
from tests.integration.crm_web import PATH, Desk, a_desk, settings_for
from tests.salesforce_bodies import ORG_ID, SESSION_ID, a_lead, a_message, a_notification
from worker.domain.event import EventState
from worker.settings import SettingsError

URL = f"/crm/salesforce/{PATH}"
SOURCE = "crm:salesforce"
WRITTEN = {"CRM_SALESFORCE_PATH": PATH, "CRM_SALESFORCE_ORG_IDS": ORG_ID}
HEADERS = {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'}


@pytest.fixture
async def desk(real_redis, valkey_url) -> AsyncIterator[Desk]:
    async with a_desk(valkey_url, WRITTEN) as desk:
        yield desk


async def send(desk: Desk, body: bytes) -> tuple[int, bytes]:
    answer = await desk.client.post(URL, data=io.BytesIO(body), headers=HEADERS)
    if answer.status == 200:
        assert answer.headers["Content-Type"] == "text/xml"
    return answer.status, await answer.read()


def a_hundred() -> bytes:
    return a_message(a_notification(nth) for nth in range(100))


async def test_a_hundred_notifications_get_the_exact_ack_and_become_a_hundred_jobs(desk: Desk):
    """All are recorded before the one answer, which is right to the byte."""
    assert await send(desk, a_hundred()) == (200, ACK)
    assert len(await desk.events(EventState.WAITING)) == 100
    assert desk.bell.sources == [SOURCE]

    assert await desk.worker().take(SOURCE) == 100
    assert len(await desk.events(EventState.DONE)) == 100
    assert await desk.invitations() == 100


async def test_a_message_that_comes_again_is_acked_again_and_makes_nothing(desk: Desk):
    """While the first one waits, and after it was worked on."""
    await send(desk, a_message())
    assert await send(desk, a_message()) == (200, ACK)
    await desk.worker().take(SOURCE)
    assert await send(desk, a_message()) == (200, ACK)

    assert await desk.worker().take(SOURCE) == 0
    assert len(await desk.events()) == 1
    assert await desk.invitations() == 1


async def test_copies_at_once_are_one_event(desk: Desk):
    """However many of Salesforce's servers send it."""
    answers = await asyncio.gather(*(send(desk, a_message()) for _ in range(20)))

    assert Counter(answers) == {(200, ACK): 20}
    assert len(await desk.events()) == 1


async def test_a_message_of_which_nothing_is_followed_is_acked_too(desk: Desk):
    """And counted with its reasons; no worker is woken."""
    gone = "<Notification><Id>04l000000000001</Id></Notification>"
    assert await send(desk, a_message([gone, a_notification(kind="Case")])) == (200, ACK)

    assert await desk.events() == []
    assert desk.bell.sources == []


async def test_the_same_record_by_another_notification_is_one_customer(desk: Desk):
    """A rule that fires twice makes two events and one invitation."""
    await send(desk, a_message())
    await send(desk, a_message([a_notification(7, fields=a_lead())]))
    await desk.worker().take(SOURCE)

    assert len(await desk.events(EventState.DONE)) == 2
    assert await desk.invitations() == 1


async def test_a_redelivery_with_another_number_waits_for_a_person(desk: Desk):
    """Salesforce is acked, as it would only send it again."""
    await send(desk, a_message())
    changed = a_message([a_notification(fields=a_lead(MobilePhone="0529999999"))])
    assert await send(desk, changed) == (200, ACK)

    [altered] = await desk.events(EventState.FAILED)
    assert altered.reason == "altered"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (a_message(org_id="00D09000007zzzzEAA"), 401),
        (a_message()[:-30], 401),
        (a_message().replace(b"Dana", b"\xff"), 401),
        (b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>", 401),
        (b"{}", 401),
        (b"", 401),
        (a_message([" "]), 400),
        (b"<" + b"a" * MAX_BYTES, 413),
    ],
)
async def test_what_is_refused_leaves_nothing_behind(desk: Desk, body: bytes, status: int):
    """A problem document, no event, no traceback, and nothing of the body in the log."""
    with structlog.testing.capture_logs() as logs:
        told, document = await send(desk, body)

    assert told == status
    assert json.loads(document)["status"] == status
    assert await desk.events() == []
    assert [line["event"] for line in logs if line["log_level"] != "info"] == ["crm_request_refused"]
    assert "Dana" not in repr(logs)
    assert ORG_ID not in repr(logs)


async def test_the_session_id_is_nowhere(desk: Desk):
    """Not in the ledger, not in the log, not in what a worker makes of it."""
    with structlog.testing.capture_logs() as logs:
        await send(desk, a_message())
        await desk.worker().take(SOURCE)

    redis = desk.ledger._scripts.redis
    for key in await redis.keys("*"):
        raw = await redis.dump(key)
        assert SESSION_ID.encode() not in raw
        assert b"SessionId" not in raw
    assert SESSION_ID not in repr(logs)


async def test_a_full_ledger_asks_salesforce_to_come_again(real_redis, valkey_url):
    """It does so for 24 hours; what was recorded of the message is a duplicate then."""
    async with a_desk(valkey_url, WRITTEN, max_waiting=50) as desk:
        status, _ = await send(desk, a_hundred())
        assert status == 503
    async with a_desk(valkey_url, WRITTEN) as desk:
        assert await send(desk, a_hundred()) == (200, ACK)
        assert len(await desk.events(EventState.WAITING)) == 100


async def test_without_its_organizations_it_does_not_start(valkey_url):
    """The setting is named."""
    with pytest.raises(SettingsError, match="LINKFERRY_CRM_SALESFORCE_ORG_IDS"):
        load_crms(settings_for(valkey_url, {"CRM_SALESFORCE_PATH": PATH}))
