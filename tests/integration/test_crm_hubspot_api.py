"""HubSpot's API over real HTTP: contacts and companies in batches, its limits obeyed, every failure told apart."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis.asyncio
from aiohttp import web
from pydantic import SecretStr

from producers.crm.config import CrmValues
from producers.crm.http import BODY_CAP
from producers.crm.hubspot import HubSpot, configure
from producers.crm.hubspot_api import HubSpotApi, PropertyRefusedError
from producers.crm.model import FetchLaterError, FetchRefusedError, QuestionRefusedError, Wanted
from tests.hubspot_fake import (
    ALL_SCOPES,
    SECRET,
    SIGNED_URL,
    TOKEN,
    FakeHubSpot,
    Handler,
    a_hubspot,
    answer,
    problem,
    replying,
    throttled,
)
from worker.domain.states import Lane
from worker.limits import Closed, ClosedReason, Granted, Limits, LimitsUnavailable

SLOT = Granted(slot_us=0, wait_s=0.0, token="t", lane=Lane.LIVE, interval_us=1)


class RecordingSlots:
    """A rate that never waits, and what it was told."""

    def __init__(self) -> None:
        self.given = 0
        self.obeyed: list[tuple[int, Mapping[str, str]]] = []
        self.answer: Granted | Closed | LimitsUnavailable = SLOT

    async def acquire(self, lane: Lane, *, give_up_s: float | None = None) -> Granted | Closed:
        """Give a slot, or what was set."""
        if isinstance(self.answer, LimitsUnavailable):
            raise self.answer
        self.given += 1
        return self.answer

    async def obey(self, headers: Mapping[str, str], status: int) -> None:
        """Note it."""
        if isinstance(self.answer, LimitsUnavailable):
            raise self.answer
        self.obeyed.append((status, headers))


@asynccontextmanager
async def an_api(hubspot: FakeHubSpot, **options: Any) -> AsyncIterator[HubSpotApi]:
    """Return a client of *hubspot*, closed afterwards."""
    api = HubSpotApi(**({"token": TOKEN, "base_url": hubspot.url} | options))
    try:
        yield api
    finally:
        await api.aclose()


@asynccontextmanager
async def a_crm(hubspot: FakeHubSpot, **settings: str) -> AsyncIterator[HubSpot]:
    """Return the whole module against *hubspot*."""
    written = {"CLIENT_SECRET": SECRET, "URL": SIGNED_URL, "TOKEN": TOKEN, "API_URL": hubspot.url, **settings}
    values = {name: SecretStr(value) for name, value in written.items()}
    crm = configure(CrmValues(name="hubspot", values=values))
    try:
        yield crm
    finally:
        await crm.aclose()


def _bodies(*ids: str) -> list[dict[str, str]]:
    return [{"objectId": each} for each in ids]


# --- what comes back ----------------------------------------------------------------------------------------


async def test_contacts_come_with_their_companies() -> None:
    """Two calls more where the map reads the company: who it is, and its name."""
    async with a_hubspot() as hubspot, a_crm(hubspot) as crm:
        dana = hubspot.add_contact(11, firstname="Dana", lastname="Levi", mobilephone="050-1234567")
        noa = hubspot.add_contact(12, firstname="Noa", phone="052-1234567", company="Noa Cakes")
        hubspot.add_company(900, dana, name="Dana Flowers")

        wholes = await crm.fetch(_bodies(dana, noa))
        first, second = [crm.wanted(whole or {}) for whole in wholes]

    assert isinstance(first, Wanted)
    assert isinstance(second, Wanted)
    assert (first.fields["business_name"], first.fields["name"]) == ("Dana Flowers", "Dana Levi")
    assert (second.fields["business_name"], second.fields["external_id"]) == ("Noa Cakes", noa)
    assert [call.path for call in hubspot.calls] == [
        "/crm/v3/objects/contacts/batch/read",
        "/crm/v4/associations/contacts/companies/batch/read",
        "/crm/v3/objects/companies/batch/read",
    ]


async def test_only_what_the_map_reads_is_asked_for() -> None:
    """Properties have to be named, and no company is asked for where none is read."""
    async with (
        a_hubspot() as hubspot,
        a_crm(
            hubspot, MAP='{"business_name": "company", "display_name": "brand", "only_if": {"stage": "won"}}'
        ) as crm,
    ):
        hubspot.add_contact(11, mobilephone="050-1234567")
        await crm.fetch(_bodies("11"))

    (call,) = hubspot.calls
    assert {"brand", "stage", "firstname", "lastname"} < set(call.body["properties"])
    assert not {"name", "company.name"} & set(call.body["properties"])


async def test_a_contact_is_asked_for_once_however_many_events_name_it() -> None:
    """And a hundred at most in one call."""
    async with (
        a_hubspot() as hubspot,
        a_crm(hubspot, MAP='{"business_name": "company", "display_name": "company"}') as crm,
    ):
        ids = [hubspot.add_contact(number, phone="050-1234567") for number in range(1000, 1130)]
        wholes = await crm.fetch(_bodies(*ids, *ids[:50]))

    assert [len(call.ids) for call in hubspot.calls] == [100, 30]
    assert [whole and whole["id"] for whole in wholes] == ids + ids[:50]


async def test_what_does_not_exist_is_none() -> None:
    """HubSpot answers 207 for it, and the others are there all the same."""
    async with a_hubspot() as hubspot, a_crm(hubspot) as crm:
        hubspot.add_contact(11, phone="050-1234567")
        gone, found, odd = await crm.fetch([*_bodies("10", "11"), {}])

    assert gone is None
    assert odd is None
    assert found is not None
    assert found["company"] is None


async def test_a_merged_contact_is_found_by_its_old_id() -> None:
    """An event may name the one that was merged away before a worker came to it."""
    async with a_hubspot() as hubspot, a_crm(hubspot) as crm:
        old, new = hubspot.add_contact(11, phone="1"), hubspot.add_contact(12, phone="050-1234567")
        hubspot.add_company(900, new, name="Dana Flowers")
        hubspot.merge(old, new)

        wholes = await crm.fetch(_bodies(old, new))
        fields = [crm.wanted(whole or {}) for whole in wholes]

    assert all(isinstance(each, Wanted) for each in fields)
    assert fields[0] == fields[1]
    assert isinstance(fields[0], Wanted)
    assert fields[0].fields["business_name"] == "Dana Flowers"
    assert fields[0].fields["external_id"] == new


async def test_the_primary_company_is_the_contacts_company() -> None:
    """Where none is primary, the one that is there longest."""
    async with a_hubspot() as hubspot, an_api(hubspot) as api:
        for contact in ("11", "12"):
            hubspot.add_contact(contact)
        hubspot.add_company(800, "11", primary=False, name="Landlord")
        hubspot.add_company(900, "11", name="Dana Flowers")
        hubspot.add_company(902, "12", primary=False, name="Later")
        hubspot.add_company(901, "12", primary=False, name="Earlier")

        found = await api.companies_of(["11", "12", "13"], {"name"})

    assert {contact: company["properties"]["name"] for contact, company in found.items()} == {
        "11": "Dana Flowers",
        "12": "Earlier",
    }


async def test_a_compressed_answer_is_read() -> None:
    """None was asked for, but a proxy may not care."""
    body = gzip.compress(json.dumps({"results": [{"id": "11", "properties": {"email": "a@b.c"}}]}).encode())
    async with a_hubspot() as hubspot, an_api(hubspot) as api:
        hubspot.misbehave.append(replying(200, body, **{"Content-Encoding": "gzip"}))
        found = await api.contacts(["11"], {"email"})

    assert found["11"]["properties"]["email"] == "a@b.c"


async def test_a_contact_is_updated() -> None:
    """Its properties, and nothing else."""
    async with a_hubspot() as hubspot, an_api(hubspot) as api:
        hubspot.properties.add("linkferry_link")
        hubspot.add_contact(11, email="dana@example.com")
        assert await api.update_contact("11", {"linkferry_link": "https://x.example/1"})
        assert not await api.update_contact("12", {"linkferry_link": "https://x.example/1"})

    assert hubspot.records["contacts"]["11"] == {
        "email": "dana@example.com",
        "linkferry_link": "https://x.example/1",
    }


# --- what HubSpot asks us to do -----------------------------------------------------------------------------


async def test_every_call_takes_a_slot_and_tells_what_was_answered() -> None:
    """The rate is the fleet's: HubSpot counts all processes together."""
    slots = RecordingSlots()
    async with a_hubspot() as hubspot, an_api(hubspot, slots=slots) as api:
        hubspot.add_contact(11)
        await api.contacts(["11"], {"email"})

    assert slots.given == len(hubspot.calls) == 1
    assert [status for status, _ in slots.obeyed] == [200]


@pytest.mark.parametrize(
    ("handler", "delay_s"),
    [
        (throttled(**{"Retry-After": "7"}), 7.0),
        (throttled(), 10.0),
        (throttled(**{"X-HubSpot-RateLimit-Interval-Milliseconds": "4000"}), 4.0),
        (throttled("SECONDLY"), 1.0),
        (throttled("DAILY"), 900.0),
        (throttled(**{"X-HubSpot-RateLimit-Daily-Remaining": "0"}), 900.0),
        (replying(429, b"<html>"), 10.0),
    ],
)
async def test_a_refusal_for_its_rate_is_obeyed_and_uses_up_no_try(handler: Handler, delay_s: float) -> None:
    """By `Retry-After`, else by what HubSpot says of the limit that was met; the whole fleet is told."""
    slots = RecordingSlots()
    async with a_hubspot() as hubspot, an_api(hubspot, slots=slots) as api:
        hubspot.misbehave.append(handler)
        with pytest.raises(FetchLaterError) as later:
            await api.contacts(["11"], {"email"})

    assert (later.value.reason, later.value.delay_s, later.value.is_failure) == (
        "crm_throttled",
        delay_s,
        False,
    )
    ((status, headers),) = slots.obeyed
    assert (status, float(headers["Retry-After"])) == (429, delay_s)


async def test_the_whole_fleet_waits_where_hubspot_asks_for_it(store: redis.asyncio.Redis) -> None:
    """With the real limits: the next call is not made, and comes back without a try used up."""
    slots = Limits(store, namespace="t", ceiling=100, name="hubspot")
    async with a_hubspot() as hubspot, an_api(hubspot, slots=slots, patience_s=0.2) as api:
        hubspot.add_contact(11)
        await api.contacts(["11"], {"email"})
        hubspot.misbehave.append(throttled(**{"Retry-After": "30"}))
        for _ in range(2):
            with pytest.raises(FetchLaterError) as later:
                await api.contacts(["11"], {"email"})

    assert len(hubspot.calls) == 2
    assert not later.value.is_failure
    assert later.value.delay_s is not None
    assert 25 < later.value.delay_s <= 30


async def test_a_used_up_window_is_waited_for(store: redis.asyncio.Redis) -> None:
    """HubSpot says it with the last call that it answers."""
    slots = Limits(store, namespace="t", ceiling=100, name="hubspot")

    async def last(_: web.Request) -> web.Response:
        return answer(200, {"results": []}, **{"X-HubSpot-RateLimit-Remaining": "0"})

    async with a_hubspot() as hubspot, an_api(hubspot, slots=slots, patience_s=0.2) as api:
        hubspot.misbehave.append(last)
        await api.contacts(["11"], {"email"})
        with pytest.raises(FetchLaterError) as later:
            await api.contacts(["11"], {"email"})

    assert len(hubspot.calls) == 1
    assert later.value.delay_s is not None
    assert 5 < later.value.delay_s <= 10


@pytest.mark.parametrize(
    "refusal", [Closed(reason=ClosedReason.PAUSED, for_s=0.0), LimitsUnavailable("no Redis")]
)
async def test_without_a_slot_nothing_is_asked(refusal: Closed | LimitsUnavailable) -> None:
    """And no try is used up: HubSpot is not to blame."""
    slots = RecordingSlots()
    slots.answer = refusal
    async with a_hubspot() as hubspot, an_api(hubspot, slots=slots) as api:
        with pytest.raises(FetchLaterError) as later:
            await api.contacts(["11"], {"email"})

    assert not hubspot.calls
    assert not later.value.is_failure


# --- what may go wrong --------------------------------------------------------------------------------------


async def _partly(_: web.Request) -> web.Response:
    errors = [{"status": "error", "category": "INTERNAL_ERROR", "message": "try again", "context": {}}]
    return answer(207, {"status": "COMPLETE", "results": [], "numErrors": 1, "errors": errors})


async def _cut_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"results": [')
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.mark.parametrize(
    "handler",
    [
        replying(500),
        replying(502, b"<html>bad gateway</html>"),
        replying(423),
        replying(477),
        replying(200, b"<html>"),
        replying(200, b"[]"),
        replying(200, b"[" * 200_000),
        replying(200, b"\xff\xfe"),
        replying(200, b'{"results": {}}'),
        replying(200, b"not gzip", **{"Content-Encoding": "gzip"}),
        replying(200, gzip.compress(b" " * (BODY_CAP + 1)), **{"Content-Encoding": "gzip"}),
        _partly,
        _cut_off,
    ],
)
async def test_an_answer_that_tells_nothing_is_asked_for_again(handler: Handler) -> None:
    """What was not told must not pass for gone."""
    async with a_hubspot() as hubspot, an_api(hubspot) as api:
        hubspot.add_contact(11)
        hubspot.misbehave.append(handler)
        with pytest.raises(FetchLaterError) as later:
            await api.contacts(["11"], {"email"})
        assert (later.value.reason, later.value.is_failure) == ("crm_unreachable", True)
        assert await api.contacts(["11"], {"email"})


async def test_an_endless_answer_is_cut_off() -> None:
    """It is read up to a cap, and then the connection is closed: the server can't go on."""
    is_hung_up: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(10 * BODY_CAP // 65_536):
                await response.write(b" " * 65_536)
            is_hung_up.set_result(False)
        except ConnectionError:
            is_hung_up.set_result(True)
        return response

    async with a_hubspot() as hubspot, an_api(hubspot) as api:
        hubspot.misbehave.append(endless)
        with pytest.raises(FetchLaterError):
            await api.contacts(["11"], {"email"})
        assert await is_hung_up


async def test_a_maintenance_says_when_to_come_again() -> None:
    """503 with a `Retry-After`."""
    async with a_hubspot() as hubspot, an_api(hubspot) as api:
        hubspot.misbehave.append(replying(503, **{"Retry-After": "120"}))
        with pytest.raises(FetchLaterError) as later:
            await api.contacts(["11"], {"email"})
    assert later.value.delay_s == 120.0


async def test_a_silent_server_does_not_hold_us() -> None:
    """The deadline is for the whole call, trickled bytes included."""

    written = 0

    async def trickle(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            written += 1
            await asyncio.sleep(0.01)

    async with a_hubspot() as hubspot, an_api(hubspot, timeout_s=0.2) as api:
        hubspot.misbehave.append(trickle)
        with pytest.raises(FetchLaterError) as later:
            await api.contacts(["11"], {"email"})
    assert later.value.reason == "crm_unreachable"
    assert written <= 30


async def test_nobody_there_is_unreachable() -> None:
    """An ordinary outage."""
    async with an_api(FakeHubSpot(url="http://127.0.0.1:1")) as api:
        with pytest.raises(FetchLaterError) as later:
            await api.contacts(["11"], {"email"})
    assert later.value.is_failure


async def test_a_question_that_is_refused_is_told_from_a_token_that_is() -> None:
    """One bad id spoils a batch read: whoever asked can ask for fewer."""
    async with a_hubspot() as hubspot, an_api(hubspot) as api:
        hubspot.add_contact(11)
        with pytest.raises(QuestionRefusedError, match="crm_refused") as refused:
            await api.contacts(["11", "x"], {"email"})
    assert "linkferry crm retry" in refused.value.remedy


async def test_a_redirect_is_not_followed() -> None:
    """The token goes where the setting says, and nowhere else."""
    async with a_hubspot() as other, a_hubspot() as hubspot, an_api(hubspot) as api:
        hubspot.misbehave.append(replying(307, Location=other.url))
        with pytest.raises(FetchRefusedError, match="crm_refused"):
            await api.contacts(["11"], {"email"})
    assert not other.calls


async def test_a_refused_token_needs_a_person() -> None:
    """And says which setting."""
    async with a_hubspot() as hubspot, an_api(hubspot, token="old") as api:
        with pytest.raises(FetchRefusedError) as refused:
            await api.contacts(["11"], {"email"})
    assert refused.value.reason == "crm_refused"
    assert "LINKFERRY_CRM_HUBSPOT_TOKEN" in refused.value.remedy


@pytest.mark.parametrize(
    ("missing", "call"),
    [
        ("crm.objects.contacts.read", lambda api: api.contacts(["11"], {"email"})),
        ("crm.objects.companies.read", lambda api: api.companies_of(["11"], {"name"})),
        ("crm.objects.contacts.write", lambda api: api.update_contact("11", {"linkferry_link": "x"})),
    ],
)
async def test_a_missing_scope_is_named(missing: str, call: Callable[[HubSpotApi], Awaitable[Any]]) -> None:
    """So that an operator knows the box to tick."""
    async with a_hubspot() as hubspot, an_api(hubspot) as api:
        hubspot.scopes = ALL_SCOPES - {missing}
        hubspot.add_contact(11)
        with pytest.raises(FetchRefusedError) as refused:
            await call(api)
    assert f"the scope {missing}, then" in refused.value.remedy


async def test_what_hubspot_says_of_scopes_is_told_in_our_words_only() -> None:
    """Whoever answers in its place must not write into our log."""

    async def hostile(_: web.Request) -> web.Response:
        names = ["a\nb", "<script>", 7, "dana@example.com", "x" * 500, "sales-email-read"]
        return problem(403, "MISSING_SCOPES", "…", errors=[{"context": {"requiredScopes": names}}, 3, None])

    async with a_hubspot() as hubspot, an_api(hubspot) as api:
        hubspot.misbehave.append(hostile)
        with pytest.raises(FetchRefusedError) as refused:
            await api.contacts(["11"], {"email"})
    assert "the scope sales-email-read, then" in refused.value.remedy


async def test_a_property_that_does_not_exist_is_named() -> None:
    """The write-back's properties are to be created by an operator."""
    async with a_hubspot() as hubspot, an_api(hubspot) as api:
        hubspot.add_contact(11)
        with pytest.raises(PropertyRefusedError) as refused:
            await api.update_contact("11", {"linkferry_link": "x", "linkferry_state": "y"})
    assert "linkferry_link, linkferry_state" in refused.value.remedy


async def test_an_outage_of_redis_after_an_answer_does_not_cost_the_answer() -> None:
    """The note of the rate is worth less."""

    class Forgetful(RecordingSlots):
        async def obey(self, headers: Mapping[str, str], status: int) -> None:
            raise LimitsUnavailable("no Redis")

    async with a_hubspot() as hubspot, an_api(hubspot, slots=Forgetful()) as api:
        hubspot.add_contact(11, email="a@b.c")
        assert await api.contacts(["11"], {"email"})


@pytest.mark.parametrize("results", [[None, 3, "x", {}, {"id": "11"}, {"id": "11", "properties": 3}], []])
async def test_odd_results_are_passed_over(results: Sequence[Any]) -> None:
    """An object without an id or properties is nobody's."""

    async def odd(_: web.Request) -> web.Response:
        return answer(200, {"results": results})

    async with a_hubspot() as hubspot, an_api(hubspot) as api:
        hubspot.misbehave.extend([odd, odd])
        assert await api.contacts(["11"], {"email"}) == {}
        assert await api.companies_of(["11"], {"name"}) == {}
