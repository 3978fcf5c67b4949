"""HubSpot from end to end: its signed webhooks in, its API asked, one invitation each, and the contact told of the link."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from producers.crm.config import CrmValues, load_crms
from producers.crm.hubspot_sink import sink_of
from tests.factories import a_number, a_request
from tests.hubspot_fake import (
    SECRET,
    SIGNED_URL,
    TOKEN,
    FakeHubSpot,
    a_hubspot,
    an_event,
    deliver,
    replying,
    signed_headers,
    throttled,
)
from tests.integration.crm_web import Desk, a_desk, sandbox_free
from tests.integration.runtime_shop import Bench, a_bench
from tests.stack import Stack, free_port
from worker.clock import SystemClock
from worker.domain.event import EventState
from worker.domain.job import JobRecord
from worker.domain.outgoing import OutgoingState
from worker.domain.states import Lane
from worker.execution.attempt import attempt
from worker.execution.tell import Teller
from worker.execution.trade import Outlet

PATH = SIGNED_URL.rpartition("/")[2]
SOURCE = "crm:hubspot"
NAMES = {"link": "linkferry_link", "state": "linkferry_state", "reason": "linkferry_reason"}
now_ms = SystemClock().now_ms


def _written(hubspot: FakeHubSpot, **more: str) -> dict[str, str]:
    keys = {
        "PATH": PATH,
        "CLIENT_SECRET": SECRET,
        "URL": SIGNED_URL,
        "TOKEN": TOKEN,
        "API_URL": hubspot.url,
        **more,
    }
    return {f"CRM_HUBSPOT_{key}": value for key, value in keys.items()}


@pytest.fixture
async def hubspot() -> AsyncIterator[FakeHubSpot]:
    """Run an account."""
    async with a_hubspot() as hubspot:
        yield hubspot


@pytest.fixture
async def desk(real_redis: Any, valkey_url: str, hubspot: FakeHubSpot) -> AsyncIterator[Desk]:
    """Serve the web process's app, with HubSpot on."""
    async with a_desk(valkey_url, _written(hubspot)) as desk:
        yield desk


async def _deliver(desk: Desk, *events: dict[str, Any], **options: str) -> list[int]:
    url = str(desk.client.make_url(f"/crm/hubspot/{PATH}"))
    return await deliver(desk.client.session, url, events, now_ms=now_ms, **options)


async def _work(desk: Desk, **changes: Any) -> None:
    """Do what a worker's bell does, with a HubSpot module of its own."""
    crms = load_crms(desk.settings)
    await desk.worker(crms=crms, **changes).take(SOURCE)
    for crm in crms.values():
        await crm.aclose()


async def _job(desk: Desk, job_id: str) -> JobRecord:
    job = await desk.ledger.queries.job(job_id)
    assert job is not None
    return job


async def _jobs(desk: Desk) -> list[JobRecord]:
    done = await desk.events(EventState.DONE)
    return [await _job(desk, job_id) for job_id in sorted({job for event in done for job in event.job_ids})]


# --- a contact becomes an invitation ------------------------------------------------------------------------


async def test_a_new_contact_becomes_an_invitation(desk: Desk, hubspot: FakeHubSpot) -> None:
    """What HubSpot shows of the contact and its company, under the contact's id; nothing is asked before the ack."""
    number = a_number()
    hubspot.add_contact(
        11, firstname="Dana", lastname="Levi", email="dana@example.com", mobilephone=f"+{number}"
    )
    hubspot.add_company(900, "11", name="Dana Flowers")

    assert await _deliver(desk, an_event(11)) == [200]
    assert not hubspot.calls
    await _work(desk)

    [job] = await _jobs(desk)
    assert (job.source, job.number) == (SOURCE, number)
    assert job.request.business_name == "Dana Flowers"
    assert job.request.external_id == "11"
    assert (job.request.contact.name, job.request.contact.email) == ("Dana Levi", "dana@example.com")


async def test_a_hundred_events_are_three_calls(desk: Desk, hubspot: FakeHubSpot) -> None:
    """One batch of contacts, one of their companies' ids, one of the companies."""
    for contact in range(100):
        hubspot.add_contact(contact, phone=a_number())
        hubspot.add_company(1000 + contact, str(contact), name=f"Shop {contact}")

    assert await _deliver(desk, *(an_event(contact, eventId=contact) for contact in range(100))) == [200]
    await _work(desk)

    assert await desk.invitations() == 100
    assert len(hubspot.calls) == 3


async def test_copies_retries_and_disorder_are_one_invitation(desk: Desk, hubspot: FakeHubSpot) -> None:
    """HubSpot sends twice, out of order and each property by itself, and says so."""
    hubspot.add_contact(11, phone=a_number(), company="Dana Flowers")
    changed = [
        an_event(11, "contact.propertyChange", propertyName=name, eventId=number)
        for number, name in enumerate(("phone", "company", "email"))
    ]
    events = [an_event(11, eventId=7), *changed] * 25
    random.shuffle(events)
    statuses = await asyncio.gather(*(_deliver(desk, {**event, "attemptNumber": 3}) for event in events))
    await asyncio.gather(*(_work(desk, worker_id=f"w{each}") for each in range(3)))

    assert Counter(map(tuple, statuses)) == {(200,): 100}
    assert len(await desk.events()) == 4
    assert await desk.invitations() == 1


async def test_a_company_that_is_tied_later_completes_the_contact(desk: Desk, hubspot: FakeHubSpot) -> None:
    """Until then it is incomplete, which is no failure that anybody has to look at."""
    hubspot.add_contact(11, phone=a_number())
    await _deliver(desk, an_event(11))
    await _work(desk)
    [skipped] = await desk.events(EventState.SKIPPED)
    assert skipped.reason == "incomplete"

    hubspot.add_company(900, "11", name="Dana Flowers")
    tied = an_event(
        0, "contact.associationChange", associationType="CONTACT_TO_COMPANY", fromObjectId=11, toObjectId=900
    )
    await _deliver(desk, tied)
    await _work(desk)

    [job] = await _jobs(desk)
    assert job.request.business_name == "Dana Flowers"


async def test_merged_contacts_are_one_customer(desk: Desk, hubspot: FakeHubSpot) -> None:
    """The old one's event, which came first and is worked on last, and the merge's own."""
    hubspot.add_contact(11, phone="03-1111111")
    hubspot.add_contact(12, phone=a_number(), company="Dana Flowers")
    hubspot.merge("11", "12")
    merge = an_event(11, "contact.merge", primaryObjectId=11, mergedObjectIds=[11], newObjectId=12, eventId=8)
    await _deliver(desk, merge, an_event(11))
    await _work(desk)

    [job] = await _jobs(desk)
    assert job.request.external_id == "12"


async def test_what_is_not_for_us_is_acked_and_counted(desk: Desk, hubspot: FakeHubSpot) -> None:
    """HubSpot would send it ten times more otherwise."""
    hubspot.add_contact(11, phone=a_number(), company="Dana Flowers")
    events = [
        an_event(11, "contact.deletion"),
        an_event(900, "company.creation"),
        an_event(11, "contact.propertyChange", propertyName="hs_score"),
        an_event(12),
        an_event(11),
    ]
    assert await _deliver(desk, *events) == [200]
    await _work(desk)

    assert {event.reason for event in await desk.events(EventState.SKIPPED)} == {"gone"}
    assert await desk.invitations() == 1


# --- who is let in ------------------------------------------------------------------------------------------


async def test_what_hubspot_did_not_sign_is_refused(desk: Desk) -> None:
    """Over real HTTP, with bytes that no header should hold; nothing is recorded, and HubSpot is not told more."""
    body = json.dumps([an_event(11)]).encode()
    signed = signed_headers(body, now_ms())
    refused: list[dict[str, str]] = [
        {},
        {**signed, "X-HubSpot-Signature-v3": "x"},
        {**signed, "X-HubSpot-Signature-v3": "\udcff\udcfe"},
        {**signed, "X-HubSpot-Request-Timestamp": "\udcd9\udca1"},
        signed_headers(body, now_ms(), secret="another"),
        signed_headers(body, now_ms(), url="https://elsewhere.example/crm/hubspot/x"),
        signed_headers(body, now_ms() - 301_000),
        signed_headers(body, now_ms() + 301_000),
        signed_headers(b"[]", now_ms()),
    ]
    for headers in refused:
        async with desk.client.session.post(
            desk.client.make_url(f"/crm/hubspot/{PATH}"), data=body, headers=headers
        ) as response:
            assert response.status == 401, headers
            assert "HubSpot" not in await response.text()

    assert await desk.events() == []


async def test_a_signed_body_that_makes_no_sense_is_refused(desk: Desk) -> None:
    """With 400: HubSpot shows it in the app's log."""
    for body in (b"{}", b"\xff"):
        async with desk.client.session.post(
            desk.client.make_url(f"/crm/hubspot/{PATH}"), data=body, headers=signed_headers(body, now_ms())
        ) as response:
            assert response.status == 400


async def test_the_same_event_with_other_content_waits_for_a_person(desk: Desk, hubspot: FakeHubSpot) -> None:
    """It is acked, or it would come again; and it is not worked on."""
    hubspot.add_contact(11, phone=a_number(), company="Dana Flowers")
    event = an_event(11, "contact.propertyChange", propertyName="email", propertyValue="a@example.com")
    assert await _deliver(desk, event) == [200]
    assert await _deliver(desk, {**event, "propertyValue": "b@example.com"}) == [200]
    await _work(desk)

    [altered] = await desk.events(EventState.FAILED)
    assert altered.reason == "altered"
    assert await desk.invitations() == 1


# --- when HubSpot is not there ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (throttled(**{"Retry-After": "30"}), "crm_throttled"),
        (replying(503), "crm_unreachable"),
        (replying(401), "crm_refused"),
    ],
)
async def test_events_wait_while_hubspot_does_not_answer(
    desk: Desk, hubspot: FakeHubSpot, handler: Any, reason: str
) -> None:
    """None is lost, none is failed, and a try is used up only where HubSpot was really asked in vain."""
    hubspot.add_contact(11, phone=a_number(), company="Dana Flowers")
    hubspot.misbehave.append(handler)
    await _deliver(desk, an_event(11))
    await _work(desk)

    [event] = await desk.events()
    assert (event.state, event.reason) == (EventState.WAITING, reason)
    assert event.failures == (1 if reason == "crm_unreachable" else 0)


async def test_a_contact_that_hubspot_chokes_on_holds_up_no_other(desk: Desk, hubspot: FakeHubSpot) -> None:
    """A 400 for both, then for the first alone: that one fails, the other is invited."""
    hubspot.add_contact(11, phone=a_number(), company="Dana Flowers")
    hubspot.add_contact(12, phone=a_number(), company="Noa Bikes")
    hubspot.misbehave += [replying(400), replying(400)]
    await _deliver(desk, an_event(11), an_event(12))
    await _work(desk)

    [failed] = await desk.events(EventState.FAILED)
    assert failed.reason == "crm_refused"
    assert len(await desk.events(EventState.DONE)) == 1
    assert await desk.invitations() == 1


# --- telling HubSpot ----------------------------------------------------------------------------------------


@pytest.fixture
async def bench(real_redis: Any, valkey_url: str, tmp_path: Any) -> AsyncIterator[Bench]:
    """Open a worker's shop."""
    async with a_bench(valkey_url, tmp_path) as bench:
        yield bench


async def _tell(bench: Bench, hubspot: FakeHubSpot, **request: Any) -> Teller:
    """Make a link for a contact's request and tell HubSpot of it."""
    keys = {"TOKEN": TOKEN, "API_URL": hubspot.url, "WRITE_BACK": json.dumps(NAMES)}
    values = {key: SecretStr(value) for key, value in keys.items()}
    found = sink_of(CrmValues(name="hubspot", values=values))
    assert found is not None
    plan, sink = found
    teller = Teller(bench.shop, [Outlet(plan=plan, sink=sink)])
    await bench.shop.ledger.outbox.enable([plan])
    source = request.pop("source", SOURCE)
    receipt = await bench.accept(source=source, request=a_request(**request))
    await attempt(receipt.job_ids[0], Lane.LIVE, bench.shop)
    await teller.tell("hubspot")
    return teller


async def test_the_contact_is_told_of_its_link(bench: Bench, hubspot: FakeHubSpot) -> None:
    """The link, the state, and no reason."""
    hubspot.properties.update(NAMES.values())
    hubspot.add_contact(11)
    teller = await _tell(bench, hubspot, external_id="11")
    await teller.aclose()

    told = hubspot.records["contacts"]["11"]
    assert told["linkferry_link"].startswith("http")
    assert (told["linkferry_state"], told["linkferry_reason"]) == ("link_created", "")
    page = await bench.shop.ledger.outbox.find(sink="hubspot", state=OutgoingState.TOLD)
    assert len(page.items) == 1


async def test_only_hubspots_own_customers_are_told_there(bench: Bench, hubspot: FakeHubSpot) -> None:
    """A row of a spreadsheet may have an id that is some contact's by chance."""
    hubspot.properties.update(NAMES.values())
    hubspot.add_contact(11)
    teller = await _tell(bench, hubspot, external_id="11", source="csv")
    await teller.aclose()

    assert not hubspot.calls


async def test_a_missing_property_keeps_the_events_until_it_is_there(
    bench: Bench, hubspot: FakeHubSpot
) -> None:
    """An operator creates it; no event is to blame, and none is lost."""
    hubspot.add_contact(11)
    teller = await _tell(bench, hubspot, external_id="11")
    await teller.aclose()

    [sink] = await bench.shop.ledger.outbox.sinks()
    assert (sink.waiting, sink.failed) == (1, 0)
    assert sink.paused_until_ms is not None
    assert sink.fault == "refused"


# --- the whole way ------------------------------------------------------------------------------------------


async def test_from_a_webhook_to_a_link(tmp_path: Path, hubspot: FakeHubSpot) -> None:
    """Real processes: HubSpot calls `web`, a worker asks it and then the partner, one mail, and HubSpot is told."""
    hubspot.properties.update(NAMES.values())
    for contact in range(20):
        hubspot.add_contact(
            contact, phone=a_number(), company="Dana Flowers", email=f"c{contact}@example.com"
        )
    async with Stack(tmp_path) as stack:
        written = _written(hubspot, WRITE_BACK=json.dumps(NAMES))
        settings = {f"LINKFERRY_{name}": value for name, value in written.items()}
        outside = sandbox_free(tmp_path) | settings
        port = free_port()
        stack.spawn("-m", "linkferry", "web", **outside, LINKFERRY_WEB_PORT=str(port))
        stack.start_worker("-m", "linkferry", "worker", **outside)

        async def is_up() -> bool:
            with contextlib.suppress(aiohttp.ClientError):
                async with stack.http.get(f"http://127.0.0.1:{port}/readyz") as response:
                    return response.status == 200
            return False

        async def mails() -> set[str]:
            return {mail["to"] for mail in await stack.outbox()}

        await stack.until(is_up, "web answers")
        url = f"http://127.0.0.1:{port}/crm/hubspot/{PATH}"
        events = [an_event(contact, eventId=contact) for contact in range(20)]
        assert await deliver(stack.http, url, events, now_ms=now_ms) == [200]
        assert await deliver(stack.http, url, events, now_ms=now_ms) == [200]

        async def all_told() -> bool:
            return len(await mails()) == 20

        def is_hubspot_told() -> bool:
            return all("linkferry_link" in each for each in hubspot.records["contacts"].values())

        await stack.until(all_told, "every customer has a mail")
        await stack.until(is_hubspot_told, "every contact has its link")
        assert len(await stack.outbox()) == 20
        assert stack.logs().count("Dana Flowers") == 0
