"""Salesforce: whose message it is, what each record becomes, and what is kept of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from producers.crm import salesforce
from producers.crm.config import CrmValues
from producers.crm.model import Crm, NotAuthenticError, RawRequest, UnreadableError, Unwanted, Wanted
from producers.crm.salesforce import DEFAULT_MAPS, MAX_NOTIFICATIONS, RecordMaps, Salesforce
from producers.crm.soap import ACK, MAX_BYTES
from tests.repo import ROOT
from tests.salesforce_bodies import ORG_ID, SESSION_ID, a_lead, a_message, a_notification
from worker.domain.parse import ParsedRequest, ParseRules, parse_request
from worker.settings import SettingsError

OTHER_ORG_ID = "00D09000007abceEAA"


def a_request(body: bytes) -> RawRequest:
    return RawRequest(method="POST", headers={}, body=body, received_at=datetime(2026, 11, 22, tzinfo=UTC))


def a_crm(field_map: Mapping[str, Any] | None = None, org_ids: tuple[str, ...] = (ORG_ID,)) -> Salesforce:
    return Salesforce(org_ids=org_ids, maps=RecordMaps(field_map or {}))


def wanted_of(body: bytes, crm: Salesforce | None = None) -> Wanted | Unwanted:
    crm = crm or a_crm()
    [event] = crm.read(a_request(body)).events
    return crm.wanted(json.loads(json.dumps(event.body)))


def fields_of(body: bytes, crm: Salesforce | None = None) -> Mapping[str, str]:
    wanted = wanted_of(body, crm)
    assert isinstance(wanted, Wanted)
    return wanted.fields


def configured(**values: str) -> Crm:
    return salesforce.configure(
        CrmValues(name="salesforce", values={name: SecretStr(text) for name, text in values.items()})
    )


# --- whose it is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ours", [ORG_ID, ORG_ID[:15]])
@pytest.mark.parametrize("shown", [ORG_ID, ORG_ID[:15], ORG_ID[:15] + "AAA"])
def test_an_organization_is_known_by_its_first_15_characters(ours: str, shown: str) -> None:
    """The other three repeat which of them are capitals."""
    crm = a_crm(org_ids=(OTHER_ORG_ID, ours))

    assert len(crm.read(a_request(a_message(org_id=shown))).events) == 1


@pytest.mark.parametrize(
    "shown",
    [OTHER_ORG_ID, ORG_ID.lower(), ORG_ID.swapcase(), ORG_ID[:14], ORG_ID + "A", ORG_ID[:16], "", "א" * 15],
)
def test_another_organization_is_refused(shown: str) -> None:
    """In another letter case it is another one."""
    with pytest.raises(NotAuthenticError) as refused:
        a_crm().read(a_request(a_message(org_id=shown)))

    assert refused.value.code in {"unknown_organization", "no_outbound_message"}


def test_what_is_too_large_or_no_xml_is_refused_before_it_is_parsed() -> None:
    """At the cost of a glance at the raw bytes."""
    for body in (b"", b"{}", b"\xff\xfe<\x00", a_message() + b" " * MAX_BYTES):
        with pytest.raises(NotAuthenticError):
            a_crm().verify(a_request(body))
    for body in (a_message(), b"\xef\xbb\xbf" + a_message(), b" \r\n<a/>"):
        a_crm().verify(a_request(body))


def test_a_message_that_cannot_be_read_names_nobody() -> None:
    """So it is refused as a stranger's, with the reason for our own log."""
    with pytest.raises(NotAuthenticError) as refused:
        a_crm().read(a_request(b"<!DOCTYPE a><a/>"))

    assert refused.value.code == "xml_forbidden"


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=30).map(lambda tail: a_message()[:-40] + tail)))
def test_any_bytes_are_events_or_refused(body: bytes) -> None:
    """Nothing but the two refusals comes out, whatever came in."""
    with suppress(NotAuthenticError, UnreadableError):
        a_crm().verify(a_request(body))
        a_crm().read(a_request(body))


# --- events ------------------------------------------------------------------------------------------------


def test_a_hundred_records_are_a_hundred_events_and_one_answer() -> None:
    """Each with a key of its own, and the answer is the one that Salesforce takes."""
    reading = a_crm().read(a_request(a_message(a_notification(nth) for nth in range(100))))

    assert len({event.key for event in reading.events}) == 100
    assert reading.events[7].key == f"{ORG_ID[:15]}:04l090000000007AAQ"
    assert (reading.answer.status, reading.answer.body) == (200, ACK)
    assert reading.answer.content_type == "text/xml"


def test_a_message_of_skipped_records_gets_the_same_answer() -> None:
    """Salesforce would send it again for a day otherwise."""
    gone = "<Notification><Id>04l000000000001</Id></Notification>"
    reading = a_crm().read(a_request(a_message([gone, a_notification(fields={"Id": "1"}, kind="Case")])))

    assert (list(reading.events), list(reading.skipped)) == ([], ["deleted", "unknown_type"])
    assert reading.answer.body == ACK


@pytest.mark.parametrize(
    ("notifications", "why"),
    [
        ([" "], "no Notification"),
        ([a_notification(nth) for nth in range(MAX_NOTIFICATIONS + 1)], "more than 100"),
        ([a_notification().replace("<Id>04l090000000000AAQ</Id>", "")], "no Id"),
    ],
)
def test_what_salesforce_does_not_send_is_unreadable(notifications: list[str], why: str) -> None:
    """It is ours by its organization, and told so."""
    with pytest.raises(UnreadableError, match=why):
        a_crm().read(a_request(a_message(notifications)))


def test_nothing_of_the_session_is_kept() -> None:
    """Not in an event, not in an error."""
    reading = a_crm().read(a_request(a_message()))

    assert SESSION_ID not in repr(reading)
    assert "salesforce.com" not in repr([event.body for event in reading.events])


def test_a_redelivery_is_the_same_event_though_the_record_was_touched() -> None:
    """Salesforce sends the record as it is by then, but not all of it matters."""
    [first] = a_crm().read(a_request(a_message([a_notification(fields=a_lead(LastModifiedDate="1"))]))).events
    [again] = a_crm().read(a_request(a_message([a_notification(fields=a_lead(LastModifiedDate="2"))]))).events

    assert (first.key, first.digest) == (again.key, again.digest)


@pytest.mark.parametrize("changes", [{"MobilePhone": "0520000000"}, {"Company": "Other"}, {"Id": "00Q2"}])
def test_a_redelivery_that_would_become_another_request_is_told_apart(changes: dict[str, str]) -> None:
    """A person has to say which of the two counts."""
    [first] = a_crm().read(a_request(a_message())).events
    [again] = a_crm().read(a_request(a_message([a_notification(fields=a_lead(**changes))]))).events

    assert first.key == again.key
    assert first.digest != again.digest


async def test_records_come_whole() -> None:
    """Nothing is fetched."""
    bodies = [event.body for event in a_crm().read(a_request(a_message())).events]

    assert await a_crm().fetch(bodies) == bodies


# --- what a record becomes ---------------------------------------------------------------------------------


def test_a_lead_becomes_a_request_without_any_map() -> None:
    """Company, mobile, e-mail and full name are where Salesforce has them."""
    fields = fields_of(a_message([a_notification(fields=a_lead(3))]))

    assert fields == {
        "business_name": "Dana Flowers",
        "display_name": "Dana Flowers",
        "business_email": "dana@example.com",
        "whatsapp": "0501000003",
        "phone": "0501000003",
        "email": "dana@example.com",
        "name": "Dana Levi",
        "external_id": "00Q090000000003EAQ",
    }
    assert isinstance(parse_request(fields, ParseRules()), ParsedRequest)


def test_an_account_and_a_contact_have_maps_of_their_own() -> None:
    """A contact's company is a formula field, as a message holds one object."""
    account = {"Id": "0011", "Name": "Edge", "Phone": "03-1234567"}
    contact = {"Id": "0031", "LastName": "Levi", "Phone": "0501234567", "Company__c": "Edge"}

    fields = fields_of(a_message([a_notification(fields=account, kind="Account")]))
    assert (fields["business_name"], fields["whatsapp"]) == ("Edge", "03-1234567")
    fields = fields_of(a_message([a_notification(fields=contact, kind="Contact")]))
    assert (fields["business_name"], fields["whatsapp"], fields["name"]) == ("Edge", "0501234567", "Levi")


def test_a_record_without_a_number_is_incomplete() -> None:
    """It is acked and skipped: the record's next message may have one."""
    lead = a_lead()
    del lead["MobilePhone"]

    found = wanted_of(a_message([a_notification(fields=lead)]))
    assert isinstance(found, Unwanted)
    assert found.reason == "incomplete"


def test_a_map_goes_over_the_defaults_of_each_type_and_makes_others_known() -> None:
    """Custom fields and custom objects are named as in Salesforce, in any letter case."""
    crm = a_crm({"whatsapp": ["sf:number__c", "MobilePhone"], "product": {"const": "whatsapp"}})
    lead = fields_of(a_message([a_notification(fields=a_lead(Number__c="0521111111"))]), crm)
    custom = fields_of(
        a_message([a_notification(fields={"Id": "a01", "Number__c": "052"}, kind="Shop__c")]), crm
    )

    assert (lead["whatsapp"], lead["business_name"]) == ("0521111111", "Dana Flowers")
    assert custom == {"whatsapp": "052", "product": "whatsapp", "external_id": "a01"}


def test_a_map_for_each_object_names_all_that_are_followed() -> None:
    """An empty one is the defaults alone."""
    crm = a_crm({"objects": {"Lead": {}, "Shop__c": {"whatsapp": "Number__c", "business_name": "Name"}}})
    shop = {"Id": "a01", "Number__c": "0521111111", "Name": "Roses"}

    assert fields_of(a_message(), crm)["business_name"] == "Dana Flowers"
    fields = fields_of(a_message([a_notification(fields=shop, kind="Shop__c")]), crm)
    assert (fields["business_name"], fields["external_id"]) == ("Roses", "a01")
    reading = crm.read(a_request(a_message([a_notification(kind="Account")])))
    assert list(reading.skipped) == ["unknown_type"]


def test_a_map_that_lost_a_type_says_so() -> None:
    """An event that was recorded under an older map is skipped, not a fault."""
    found = a_crm({"objects": {"Lead": {}}}).wanted({"type": "Account", "fields": {}})

    assert isinstance(found, Unwanted)
    assert found.reason == "unknown_type"


def test_the_samples_of_the_page_are_true() -> None:
    """What an operator copies becomes what the page says."""
    page = (ROOT / "docs/crm/salesforce.md").read_text(encoding="utf-8")
    [sample] = re.findall(r"```xml\n(.*?)```", page, re.DOTALL)
    [field_map] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)

    assert isinstance(parse_request(fields_of(sample.encode()), ParseRules()), ParsedRequest)
    assert RecordMaps(json.loads(field_map)).map_for("Shop__c")
    for kind, fields in DEFAULT_MAPS.items():
        assert kind in page
        assert all(f"| `{name}` |" in page for name in fields)


# --- settings ----------------------------------------------------------------------------------------------


def test_it_is_configured_from_its_settings() -> None:
    """Several organizations, and a map."""
    crm = configured(ORG_IDS=f"{OTHER_ORG_ID}, {ORG_ID}", MAP='{"reference": "Id"}')

    assert crm.name == "salesforce"
    assert len(crm.read(a_request(a_message())).events) == 1


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "LINKFERRY_CRM_SALESFORCE_ORG_IDS is missing"),
        ({"ORG_IDS": " , "}, "LINKFERRY_CRM_SALESFORCE_ORG_IDS is missing"),
        ({"ORG_IDS": "00D123"}, "LINKFERRY_CRM_SALESFORCE_ORG_IDS must be ids of 15 or 18"),
        (
            {"ORG_IDS": ORG_ID, "MAP": '{"objects": {}}'},
            "LINKFERRY_CRM_SALESFORCE_MAP is no field map: objects",
        ),
        ({"ORG_IDS": ORG_ID, "MAP": '{"objects": {"Lead": 1}}'}, "objects: Lead: write a map"),
        ({"ORG_IDS": ORG_ID, "MAP": '{"objects": {"Lead": {"watsapp": "x"}}}'}, "Did you mean whatsapp"),
        ({"ORG_IDS": ORG_ID, "MAP": '{"objects": {"Lead": {}}, "name": "Name"}'}, "nothing beside it"),
        ({"ORG_IDS": ORG_ID, "MAP": '{"watsapp": "x"}'}, "Did you mean whatsapp"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(values: dict[str, str], told: str) -> None:
    """Before the first message comes."""
    with pytest.raises(SettingsError, match=told):
        configured(**values)


def test_a_trial_takes_any_organization_and_says_what_is_wrong() -> None:
    """`linkferry crm test` needs no settings, and speaks to who owns the sample."""
    crm = salesforce.configure(CrmValues(name="salesforce", is_trial=True))

    assert len(crm.read(a_request(a_message(org_id=OTHER_ORG_ID))).events) == 1
    with pytest.raises(UnreadableError, match="document type"):
        crm.read(a_request(b"<!DOCTYPE a><a/>"))
