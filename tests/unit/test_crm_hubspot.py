"""HubSpot's webhooks: who is let in, which events are followed, and what a contact becomes."""

from __future__ import annotations

import inspect
import json
import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr

from producers.crm import hubspot, hubspot_events
from producers.crm.config import CrmValues
from producers.crm.hubspot import HubSpot, configure
from producers.crm.hubspot_events import MOST_EVENTS
from producers.crm.hubspot_write_back import EXAMPLE
from producers.crm.model import (
    NotAuthenticError,
    RawRequest,
    Reading,
    UnreadableError,
    Unwanted,
    Wanted,
)
from tests.hubspot_fake import (
    APP_ID,
    PORTAL_ID,
    SECRET,
    SIGNED_URL,
    TOKEN,
    an_event,
    signature,
    signed_headers,
)
from tests.repo import ROOT
from worker.settings import SettingsError

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
#: HubSpot's published example of a request (its SDKs' own fixture).
PUBLISHED = (
    b'[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,'
    b'"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM",'
    b'"changeFlag":"NEW","appId":54321}]'
)


def _values(**changes: str | None) -> CrmValues:
    written = {"CLIENT_SECRET": SECRET, "URL": SIGNED_URL, "TOKEN": TOKEN, **changes}
    values = {name: SecretStr(value) for name, value in written.items() if value is not None}
    return CrmValues(name="hubspot", values=values)


def _hubspot(**changes: str | None) -> HubSpot:
    return configure(_values(**changes))


def _request(body: bytes, headers: dict[str, str] | None = None, *, at: datetime = NOW) -> RawRequest:
    found = signed_headers(body, NOW_MS) if headers is None else headers
    low = {name.lower(): value for name, value in found.items()}
    return RawRequest(method="POST", headers=low, body=body, received_at=at)


def _read(*events: Any, **settings: str | None) -> Reading:
    return _hubspot(**settings).read(_request(json.dumps(events).encode()))


def _refused(request: RawRequest, **settings: str | None) -> str:
    with pytest.raises(NotAuthenticError) as refused:
        _hubspot(**settings).verify(request)
    return refused.value.code


# --- who is let in ------------------------------------------------------------------------------------------


def test_a_known_signature_is_accepted() -> None:
    """The vector worked out by hand from HubSpot's rule for version 3."""
    secret, url = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy", "https://www.example.com/webhook_uri"
    headers = {
        "X-HubSpot-Signature-v3": "rQEKkaNUiu+1qGF//O/pw4BCzstSqO1PyUnGICmf+7o=",
        "X-HubSpot-Request-Timestamp": "1700000000000",
    }
    at = datetime.fromtimestamp(1_700_000_000, UTC)
    request = _request(b'{"example_field":"example_value"}', headers, at=at)

    _hubspot(CLIENT_SECRET=secret, URL=url).verify(request)


def test_the_published_signature_of_version_one_is_not_accepted() -> None:
    """It holds no time: whoever has it once may come with it for ever."""
    secret = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
    v1 = sha256(secret.encode() + PUBLISHED).hexdigest()
    assert v1 == "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de"
    older = {"X-HubSpot-Signature": v1, "X-HubSpot-Signature-Version": "v1"}
    timed = {**older, "X-HubSpot-Signature-v3": v1, "X-HubSpot-Request-Timestamp": str(NOW_MS)}

    assert _refused(_request(PUBLISHED, older), CLIENT_SECRET=secret) == "signature_missing"
    assert _refused(_request(PUBLISHED, timed), CLIENT_SECRET=secret) == "signature_wrong"


def test_a_signature_of_version_two_is_not_accepted() -> None:
    """It covers the address but holds no time either."""
    v2 = sha256(SECRET.encode() + b"POST" + SIGNED_URL.encode() + PUBLISHED).hexdigest()
    headers = {"X-HubSpot-Signature-v3": v2, "X-HubSpot-Request-Timestamp": str(NOW_MS)}

    assert _refused(_request(PUBLISHED, headers)) == "signature_wrong"


def test_the_signature_is_over_the_registered_address() -> None:
    """A request that HubSpot signed for another address of ours is none for this one, whatever its Host says."""
    other = signed_headers(PUBLISHED, NOW_MS, url="https://other.example/crm/hubspot/x")

    assert _refused(_request(PUBLISHED, {**other, "Host": "other.example"})) == "signature_wrong"


@pytest.mark.parametrize("offset_s", [-300, -1, 0, 299, 300])
def test_five_minutes_are_borne_both_ways(offset_s: int) -> None:
    """Clocks differ, and a request may have queued."""
    _hubspot().verify(_request(PUBLISHED, at=NOW + timedelta(seconds=offset_s)))


@pytest.mark.parametrize(("offset_s", "code"), [(301, "timestamp_stale"), (-301, "timestamp_future")])
def test_more_than_five_minutes_are_not(offset_s: int, code: str) -> None:
    """A replay of an old request, or one signed with a clock that is far ahead."""
    assert _refused(_request(PUBLISHED, at=NOW + timedelta(seconds=offset_s))) == code


@pytest.mark.parametrize(
    "timestamp", ["", "now", "-1", "1.7e12", " 1700000000000", "1700000000000\n", "١٧٠٠", "1_0", "9" * 400]
)
def test_a_timestamp_is_digits_only(timestamp: str) -> None:
    """Even where it is signed: `int()` takes more than HubSpot ever writes."""
    headers = {
        "X-HubSpot-Signature-v3": signature(PUBLISHED, timestamp),
        "X-HubSpot-Request-Timestamp": timestamp,
    }
    assert _refused(_request(PUBLISHED, headers)) in {"signature_missing", "timestamp_malformed"}


_ANY_TEXT = st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape"))


@given(body=st.binary(), shown=_ANY_TEXT, timestamp=_ANY_TEXT, method=_ANY_TEXT)
@example(body=b"\xff\xfe", shown="\udcff", timestamp=str(NOW_MS), method="POST")
@example(body=b"", shown="é", timestamp=str(NOW_MS), method="\udcff")
def test_no_bytes_whatever_pass_or_break_it(body: bytes, shown: str, timestamp: str, method: str) -> None:
    """Hostile headers and bodies come to the one error that is answered with 401."""
    headers = {hubspot.SIGNATURE_HEADER: shown, hubspot.TIMESTAMP_HEADER: timestamp}
    request = RawRequest(method=method, headers=headers, body=body, received_at=NOW)
    with pytest.raises(NotAuthenticError):
        _hubspot().verify(request)


@given(body=st.binary(max_size=200), secret=st.text(st.characters(codec="ascii"), min_size=1))
def test_nothing_signed_with_another_secret_passes(body: bytes, secret: str) -> None:
    """However well formed it is."""
    if secret != SECRET:
        assert _refused(_request(body, signed_headers(body, NOW_MS, secret=secret))) == "signature_wrong"


@given(body=st.binary(min_size=1, max_size=200), data=st.data())
def test_no_altered_or_truncated_body_passes(body: bytes, data: st.DataObject) -> None:
    """One byte other, one byte less, one byte more."""
    headers = signed_headers(body, NOW_MS)
    at = data.draw(st.integers(0, len(body) - 1))
    flipped = body[:at] + bytes([body[at] ^ data.draw(st.integers(1, 255))]) + body[at + 1 :]
    for altered in (flipped, body[:at], body + b"\n"):
        assert _refused(_request(altered, headers)) == "signature_wrong"


@given(body=st.binary(max_size=200), offset_ms=st.integers(-300_000, 300_000))
def test_whatever_hubspot_signs_in_time_passes(body: bytes, offset_ms: int) -> None:
    """The body is bytes: it is not looked into before it is known to be HubSpot's."""
    _hubspot().verify(_request(body, signed_headers(body, NOW_MS + offset_ms)))


def test_a_replay_is_the_same_event_again() -> None:
    """Within the five minutes a copied request passes; its events have the same keys, so nothing is done twice."""
    crm, request = _hubspot(), _request(PUBLISHED)
    crm.verify(request)
    crm.verify(request)

    assert [each.key for each in crm.read(request).events] == [each.key for each in crm.read(request).events]


# --- what is read -------------------------------------------------------------------------------------------


def test_a_retry_is_the_same_event() -> None:
    """Only `attemptNumber` differs: the key and the digest do not."""
    first, again = (_read(an_event(attemptNumber=number)).events[0] for number in (0, 6))

    assert (first.key, first.digest) == (again.key, again.digest)
    assert first.key == f"{PORTAL_ID}:contact.creation::123:4101286121:1787843156000"


def test_an_altered_event_has_another_digest() -> None:
    """The same key with other content is somebody's mistake, or worse: it has to be seen."""
    one, other = (
        _read(an_event(type_="contact.propertyChange", propertyName="email", propertyValue=value)).events[0]
        for value in ("a@example.com", "b@example.com")
    )
    assert one.key == other.key
    assert one.digest != other.digest


def test_two_properties_of_one_save_are_two_events() -> None:
    """HubSpot says itself that an `eventId` may come twice."""
    read = _read(
        *(an_event(type_="contact.propertyChange", propertyName=name) for name in ("email", "phone"))
    )
    assert len({each.key for each in read.events}) == 2


def test_the_changed_value_is_not_recorded() -> None:
    """It may be personal, and the contact is fetched anyway."""
    event = _read(
        an_event(type_="contact.propertyChange", propertyName="phone", propertyValue="0501234567")
    ).events[0]

    assert dict(event.body) == {
        "subscriptionType": "contact.propertyChange",
        "objectId": "123",
        "portalId": str(PORTAL_ID),
        "eventId": "4101286121",
        "occurredAt": "1787843156000",
        "propertyName": "phone",
    }


@pytest.mark.parametrize(
    ("event", "contact"),
    [
        (an_event(5), "5"),
        (an_event(5, "contact.restore"), "5"),
        (an_event(5, "object.creation", objectTypeId="0-1"), "5"),
        (an_event(5, "contact.propertyChange", propertyName="mobilephone"), "5"),
        (an_event(5, "object.propertyChange", objectTypeId="0-1", propertyName="lastname"), "5"),
        (an_event(5, "contact.propertyChange", propertyName="associatedcompanyid"), "5"),
        (an_event(5, "contact.merge", primaryObjectId=5, mergedObjectIds=[6], newObjectId=7), "7"),
        (an_event(5, "contact.merge", primaryObjectId=5, mergedObjectIds=[6]), "5"),
        (an_event(5, "object.merge", objectTypeId="0-1", primaryObjectId=5, newObjectId=8), "8"),
        (
            an_event(
                0,
                "contact.associationChange",
                associationType="CONTACT_TO_COMPANY",
                fromObjectId=9,
                toObjectId=3,
                associationRemoved=False,
            ),
            "9",
        ),
        (
            an_event(
                0, "object.associationChange", fromObjectTypeId="0-1", toObjectTypeId="0-2", fromObjectId=9
            ),
            "9",
        ),
    ],
)
def test_what_may_make_a_request_is_followed(event: dict[str, Any], contact: str) -> None:
    """Creation, restore, a change of what the map reads, a merge, and a company that came later."""
    read = _read(event)

    assert not read.skipped
    assert [each.body["objectId"] for each in read.events] == [contact]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (an_event(type_="contact.deletion"), "deleted"),
        (an_event(type_="contact.privacyDeletion"), "deleted"),
        (an_event(type_="object.deletion", objectTypeId="0-1"), "deleted"),
        (an_event(type_="company.creation"), "not_a_contact"),
        (an_event(type_="deal.propertyChange", propertyName="amount"), "not_a_contact"),
        (an_event(type_="object.creation", objectTypeId="0-2"), "not_a_contact"),
        (an_event(type_="object.creation"), "not_a_contact"),
        (an_event(type_="conversation.newMessage"), "not_a_contact"),
        (an_event(type_="contact.fireworks"), "unknown_type"),
        (an_event(type_=""), "unknown_type"),
        (an_event(objectId=None), "unknown_type"),
        (an_event(objectId="1/../../companies"), "unknown_type"),
        (an_event(objectId=True), "unknown_type"),
        ("an event", "unknown_type"),
        (an_event(type_="contact.propertyChange", propertyName="hs_score"), "irrelevant_property"),
        (an_event(type_="contact.propertyChange"), "irrelevant_property"),
        (
            an_event(
                type_="contact.associationChange",
                associationType="CONTACT_TO_DEAL",
                fromObjectId=1,
                toObjectId=2,
            ),
            "irrelevant_association",
        ),
        (
            an_event(
                type_="contact.associationChange",
                associationType="CONTACT_TO_COMPANY",
                fromObjectId=1,
                toObjectId=2,
                associationRemoved=True,
            ),
            "irrelevant_association",
        ),
    ],
)
def test_what_can_not_is_skipped_with_its_reason(event: Any, reason: str) -> None:
    """It is acked: HubSpot would come again with it ten times otherwise."""
    read = _read(event)

    assert list(read.skipped) == [reason]
    assert not read.events


def test_a_change_of_what_the_map_does_not_read_is_irrelevant() -> None:
    """Which properties matter is the map's business, conditions included."""
    change = an_event(type_="contact.propertyChange", propertyName="lifecyclestage")

    assert list(_read(change).skipped) == ["irrelevant_property"]
    assert _read(change, MAP='{"only_if": {"lifecyclestage": "customer"}}').events


def test_a_company_does_not_matter_where_the_map_reads_none() -> None:
    """Nothing of it could be in the request."""
    tied = an_event(0, "contact.associationChange", associationType="CONTACT_TO_COMPANY", fromObjectId=9)
    without = '{"business_name": "company", "display_name": "company"}'

    assert list(_read(tied, MAP=without).skipped) == ["irrelevant_association"]


def test_our_own_write_back_is_not_followed() -> None:
    """Or every link would make HubSpot tell us of it."""
    told = an_event(type_="contact.propertyChange", propertyName="linkferry_link")

    assert list(_read(told, WRITE_BACK=EXAMPLE).skipped) == ["own_write_back"]


def test_what_our_app_wrote_under_earlier_settings_is_our_own_too() -> None:
    """HubSpot names the app whose token made a change."""
    earlier = an_event(
        type_="contact.propertyChange",
        propertyName="old_link",
        changeSource="INTEGRATION",
        sourceId=str(APP_ID),
    )
    read = _read(earlier, WRITE_BACK=EXAMPLE, APP_ID=str(APP_ID))

    assert list(read.skipped) == ["own_write_back"]


@pytest.mark.parametrize("type_", ["contact.creation", "contact.propertyChange"])
def test_a_script_with_the_same_token_is_not_taken_for_our_write_back(type_: str) -> None:
    """Agencies create contacts with the app that Linkferry uses: these customers want their links."""
    made = an_event(type_=type_, propertyName="mobilephone", changeSource="INTEGRATION", sourceId=str(APP_ID))
    assert _read(made, WRITE_BACK=EXAMPLE, APP_ID=str(APP_ID)).events


def test_events_of_other_apps_and_accounts_are_skipped() -> None:
    """Where the settings name ours."""
    other_app, other_account = an_event(appId=1), an_event(portalId=2)
    settings = {"APP_ID": str(APP_ID), "PORTAL_IDS": f"1, {PORTAL_ID}"}

    assert list(_read(other_app, other_account, **settings).skipped) == ["unknown_app", "unknown_portal"]
    assert len(_read(other_app, other_account).events) == 2
    assert len(_read(an_event(), **settings).events) == 1


def test_unknown_members_are_no_obstacle() -> None:
    """HubSpot adds some from time to time."""
    assert _read(an_event(isSensitive=True, somethingNew={"a": [1]})).events


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'"text"',
        b"[",
        b"\xff",
        b"[" * 100_000,
        b"[1" + b"0" * 5000 + b"]",
        json.dumps([1] * (MOST_EVENTS + 1)).encode(),
    ],
)
def test_a_body_that_is_no_array_of_events_is_refused(body: bytes) -> None:
    """With an error that says what is wrong and holds nothing of it."""
    with pytest.raises(UnreadableError):
        _hubspot().read(_request(body))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    max_leaves=8,
)
_EVENTS = st.dictionaries(
    st.sampled_from(
        ["subscriptionType", "objectId", "objectTypeId", "eventId", "propertyName", "portalId", "occurredAt"]
    ),
    st.sampled_from(["contact.creation", "contact.propertyChange", "0-1", "email", 7, "\ud800"]) | _JSON,
)


@given(st.lists(_EVENTS | _JSON, max_size=5))
@example([an_event(propertyName="\ud800", eventId="\ud800", surprise="\ud83d")])
def test_whatever_is_signed_is_read_or_refused(document: list[Any]) -> None:
    """And what is read can be written to any store."""
    try:
        read = _hubspot().read(_request(json.dumps(document).encode()))
    except UnreadableError:
        return
    assert len(read.events) + len(read.skipped) == len(document)
    for event in read.events:
        (event.key + event.digest + json.dumps(event.body, ensure_ascii=False)).encode()
        assert len(event.key) < 400


# --- what a contact becomes ---------------------------------------------------------------------------------


def _contact(company: dict[str, str] | None = None, /, **properties: str | None) -> dict[str, Any]:
    whole = {"id": "5", "properties": {"hs_object_id": "5", **properties}}
    return {**whole, "company": None if company is None else {"id": "9", "properties": company}}


def test_a_contact_becomes_a_request_by_the_default_map() -> None:
    """The company's own name goes before what somebody typed into the contact."""
    whole = _contact(
        {"name": "Dana Flowers Ltd"},
        mobilephone="050-1234567",
        phone="03-1234567",
        email="dana@example.com",
        firstname="Dana",
        lastname="Levi",
        company="dana",
        hs_language="he",
    )
    wanted = _hubspot().wanted(whole)

    assert isinstance(wanted, Wanted)
    assert dict(wanted.fields) == {
        "whatsapp": "050-1234567",
        "business_name": "Dana Flowers Ltd",
        "display_name": "Dana Flowers Ltd",
        "email": "dana@example.com",
        "phone": "050-1234567",
        "name": "Dana Levi",
        "locale": "he",
        "external_id": "5",
    }


def test_a_contact_with_gaps_is_read_as_far_as_it_goes() -> None:
    """Null, blank and missing are the same nothing."""
    wanted = _hubspot().wanted(
        _contact(mobilephone=None, phone=" 0501234567 ", company="Dana", firstname=" ", lastname="Levi")
    )
    assert isinstance(wanted, Wanted)
    assert wanted.fields["whatsapp"] == "0501234567"
    assert wanted.fields["business_name"] == "Dana"
    assert wanted.fields["name"] == "Levi"


def test_a_property_called_full_name_goes_before_the_joined_one() -> None:
    """Some accounts have one of their own."""
    whole = _contact(phone="0501234567", company="Dana", full_name="Dr. Levi", firstname="Dana")

    wanted = _hubspot().wanted(whole)

    assert isinstance(wanted, Wanted)
    assert wanted.fields["name"] == "Dr. Levi"


def test_a_contact_without_a_number_is_incomplete() -> None:
    """It is skipped; the change that adds the number is an event of its own."""
    wanted = _hubspot().wanted(_contact(email="dana@example.com"))

    assert isinstance(wanted, Unwanted)
    assert wanted.reason == "incomplete"


def test_a_contact_without_a_business_name_is_incomplete() -> None:
    """Its company is often tied to it some seconds later, and that is an event of its own."""
    wanted = _hubspot().wanted(_contact(phone="0501234567"))

    assert wanted == Unwanted("incomplete", "business_name: nothing at company.name, company")


def test_a_business_name_is_not_needed_for_facebook() -> None:
    """Nor where the map does not speak of it: then the request itself says what is missing."""
    for text in ('{"product": {"const": "facebook:1"}}', '{"business_name": null, "display_name": null}'):
        assert isinstance(_hubspot(MAP=text).wanted(_contact(phone="0501234567")), Wanted)


@pytest.mark.parametrize("typed", ["Dana", None])
async def test_a_company_that_comes_later_matters_to_who_had_no_name(typed: str | None) -> None:
    """The others have their link already; a second name for the same number would be a conflict for a person."""

    class Known:
        async def contacts(self, ids: Any, properties: Any) -> Any:
            return {each: _contact(phone="0501234567", company=typed) for each in ids}

        async def companies_of(self, contact_ids: Any, properties: Any) -> Any:
            return {each: {"id": "9", "properties": {"name": "Dana Flowers"}} for each in contact_ids}

        async def aclose(self) -> None:
            """Nothing is open."""

    crm = _hubspot()
    crm._api = Known()
    tied = an_event(0, "contact.associationChange", associationType="CONTACT_TO_COMPANY", fromObjectId=5)
    events = _read(tied, an_event(5), an_event(5, "contact.propertyChange", propertyName="phone")).events
    of_tie, of_creation, of_change = [
        crm.wanted(whole or {}) for whole in await crm.fetch([each.body for each in events])
    ]

    for wanted in (of_creation, of_change):
        assert isinstance(wanted, Wanted)
        assert wanted.fields["business_name"] == "Dana Flowers"
    assert of_tie == (Unwanted("irrelevant_association") if typed else of_creation)


def test_what_would_be_fetched_is_said() -> None:
    """For whoever tries a sample without a token."""
    text = _hubspot().would_fetch({"objectId": "5"})

    assert text is not None
    assert text.startswith(
        "contact 5: company, email, firstname, full_name, hs_language, hs_object_id, lastname"
    )
    assert text.endswith("and of its company: name")


# --- the settings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://links.acme.example/crm/hubspot/abc?tenant=1",
        "https://links.acme.example/crm/hubspot/abc#x",
        "https://links.acme.example/crm%2Fhubspot/abc",
        "http://links.acme.example/crm/hubspot/abc",
        "links.acme.example/crm/hubspot/abc",
        "https://user@links.acme.example/crm",
        "https://links.acme.example/crm/hub spot",
        "https://קישור.example/crm",
    ],
)
def test_an_address_that_could_be_signed_in_two_ways_is_refused(url: str) -> None:
    """At start, by the setting's name, and with what to do; the address holds a secret part and is not repeated."""
    with pytest.raises(SettingsError, match=r"^LINKFERRY_CRM_HUBSPOT_URL must") as refused:
        _hubspot(URL=url)
    assert url not in str(refused.value)


def test_a_public_url_that_hubspot_would_not_call_is_blamed_by_its_own_name() -> None:
    """Nobody set CRM_HUBSPOT_URL: naming that would send the reader to the wrong line."""
    values = {"CLIENT_SECRET": SECRET, "TOKEN": TOKEN, "PATH": "dK3v9sQpXw71LmZt0aYc"}
    with pytest.raises(SettingsError, match=r"^LINKFERRY_PUBLIC_URL, under which HubSpot calls, must"):
        configure(
            CrmValues(
                name="hubspot",
                values={name: SecretStr(value) for name, value in values.items()},
                public_url="http://links.acme.example",
            )
        )


def test_the_address_may_be_left_to_the_public_url() -> None:
    """It is what `linkferry` itself answers at."""
    values = {"CLIENT_SECRET": SECRET, "TOKEN": TOKEN, "PATH": "dK3v9sQpXw71LmZt0aYc"}
    crm = configure(
        CrmValues(
            name="hubspot",
            values={name: SecretStr(value) for name, value in values.items()},
            public_url="https://links.acme.example",
        )
    )
    crm.verify(_request(PUBLISHED))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"CLIENT_SECRET": None}, "LINKFERRY_CRM_HUBSPOT_CLIENT_SECRET is missing"),
        ({"TOKEN": " "}, "LINKFERRY_CRM_HUBSPOT_TOKEN is missing"),
        ({"URL": None}, "LINKFERRY_CRM_HUBSPOT_URL is missing"),
        ({"APP_ID": "app"}, "LINKFERRY_CRM_HUBSPOT_APP_ID must be one id"),
        ({"APP_ID": "1,2"}, "LINKFERRY_CRM_HUBSPOT_APP_ID must be one id"),
        ({"PORTAL_IDS": "1;2"}, "LINKFERRY_CRM_HUBSPOT_PORTAL_IDS must be ids"),
        ({"RATE": "fast"}, "LINKFERRY_CRM_HUBSPOT_RATE must be calls"),
        ({"RATE": "inf"}, "LINKFERRY_CRM_HUBSPOT_RATE must be calls"),
        ({"RATE": "0"}, "LINKFERRY_CRM_HUBSPOT_RATE must be calls"),
        ({"API_URL": "hubapi"}, "LINKFERRY_CRM_HUBSPOT_API_URL must be a whole address"),
        ({"MAP": '{"email": "company name"}'}, "LINKFERRY_CRM_HUBSPOT_MAP reads company name"),
        ({"MAP": '{"email": "/properties/email"}'}, "LINKFERRY_CRM_HUBSPOT_MAP reads /properties/email"),
        ({"WRITE_BACK": "link"}, "LINKFERRY_CRM_HUBSPOT_WRITE_BACK is not JSON"),
        ({"WRITE_BACK": "[]"}, "LINKFERRY_CRM_HUBSPOT_WRITE_BACK may name link, state, reason"),
        ({"WRITE_BACK": '{"url": "x"}'}, "LINKFERRY_CRM_HUBSPOT_WRITE_BACK may name link, state, reason"),
        ({"WRITE_BACK": '{"link": "Link!"}'}, "LINKFERRY_CRM_HUBSPOT_WRITE_BACK names no property for link"),
        (
            {"WRITE_BACK": '{"link": "a", "state": "a"}'},
            "LINKFERRY_CRM_HUBSPOT_WRITE_BACK names one property twice",
        ),
        (
            {"WRITE_BACK": EXAMPLE, "MAP": '{"external_id": "erp_number"}'},
            "LINKFERRY_CRM_HUBSPOT_WRITE_BACK needs the contact's id",
        ),
        ({"WRITE_BACK": '{"link": "email"}'}, "LINKFERRY_CRM_HUBSPOT_WRITE_BACK sets email, which"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, str | None], text: str) -> None:
    """By its whole name, at start."""
    with pytest.raises(SettingsError, match=f"^{text}"):
        _hubspot(**changes)


def test_a_trial_needs_no_secrets_and_filters_nothing() -> None:
    """`linkferry crm test` reads a sample before anything is set up."""
    values = {"APP_ID": SecretStr("1"), "PORTAL_IDS": SecretStr("2")}
    crm = configure(CrmValues(name="hubspot", values=values, is_trial=True))

    assert crm.read(_request(PUBLISHED)).events


def test_a_trial_takes_a_whole_contact_and_nothing_else_does() -> None:
    """So that a map can be tried without a token; from outside a contact is no event."""
    contact = json.dumps(_contact(phone="0501234567", company="Dana")).encode()
    crm = configure(CrmValues(name="hubspot", is_trial=True))
    [event] = crm.read(_request(contact)).events

    assert crm.would_fetch(event.body) is None
    assert isinstance(crm.wanted(event.body), Wanted)
    with pytest.raises(UnreadableError):
        _hubspot().read(_request(contact))


# --- the page -----------------------------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "crm" / "hubspot.md").read_text(encoding="utf-8")


def test_the_page_names_every_setting_and_every_reason() -> None:
    """An operator finds there whatever this module may ask for or say."""
    reasons = set(re.findall(r'"([a-z]+_[a-z_]+)"', inspect.getsource(hubspot_events._why_skipped)))
    reasons |= set(re.findall(r'"([a-z]+_[a-z_]+)"', inspect.getsource(hubspot_events._why_irrelevant)))

    assert {"own_write_back", "unknown_portal"} <= reasons
    assert [key for key in hubspot.KEYS if f"`LINKFERRY_CRM_HUBSPOT_{key}`" not in PAGE] == []
    assert [reason for reason in reasons if f"`{reason}`" not in PAGE] == []


def test_the_pages_examples_are_taken_as_they_stand() -> None:
    """The default map, another one, a webhook's body, a contact and the write-back."""
    blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    _, default, other, body, contact = blocks
    crm = configure(CrmValues(name="hubspot", is_trial=True))

    assert default == hubspot.DEFAULT_MAP
    assert _hubspot(MAP=json.dumps(other))
    assert len(crm.read(_request(json.dumps(body).encode())).events) == 1
    assert isinstance(crm.wanted(contact), Wanted)
    assert f"WRITE_BACK='{EXAMPLE}'" in PAGE
    assert _hubspot(WRITE_BACK=EXAMPLE)
