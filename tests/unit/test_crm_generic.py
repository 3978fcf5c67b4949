"""The generic door: who is let in, what a body's events are, and what becomes of the usual bodies."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from producers.crm.fieldmap import FieldMap
from producers.crm.generic import DEFAULT_MAP, Generic
from producers.crm.model import NotAuthenticError, RawRequest, UnreadableError, Unwanted, Wanted
from worker.domain.parse import ParsedRequest, parse_request
from worker.domain.standard_webhooks import parse_secret, signed_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
BEARER = "a-static-token-nobody-guesses"
NEXT = "the-next-token-of-a-rotation"
NOW = datetime(2026, 11, 22, 1, 2, 3, tzinfo=UTC)
#: The example of the specification's own libraries.
VECTOR_BODY = b'{"test": 2432232314}'
VECTOR_HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
SIGNED = Generic(secrets=[parse_secret(SECRET)])
TOKEN = Generic(bearers=[BEARER, NEXT])
BOTH = Generic(secrets=[parse_secret(SECRET)], bearers=[BEARER])


def a_request(body: Any, *, received_at: datetime = NOW, **headers: str) -> RawRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RawRequest(method="POST", headers=named, body=raw, received_at=received_at)


def signed(
    body: bytes, *, secret: str = SECRET, at: datetime = NOW, message_id: str = "msg_1"
) -> dict[str, str]:
    return signed_headers([parse_secret(secret)], message_id, int(at.timestamp()), body)


def refused(crm: Generic, request: RawRequest) -> str:
    with pytest.raises(NotAuthenticError) as caught:
        crm.verify(request)
    return caught.value.code


# --- who is let in -----------------------------------------------------------------------------------------


def test_the_vector_of_the_specification_passes():
    """Five minutes either way, and no second longer."""
    at = datetime.fromtimestamp(1614265330, tz=UTC)
    for seconds in (-300, 0, 300):
        SIGNED.verify(a_request(VECTOR_BODY, received_at=at + timedelta(seconds=seconds), **VECTOR_HEADERS))
    stale = a_request(VECTOR_BODY, received_at=at + timedelta(seconds=301), **VECTOR_HEADERS)
    future = a_request(VECTOR_BODY, received_at=at - timedelta(seconds=301), **VECTOR_HEADERS)
    assert refused(SIGNED, stale) == "timestamp_stale"
    assert refused(SIGNED, future) == "timestamp_future"


@given(st.binary(max_size=200))
def test_what_the_reference_library_signs_is_let_in(body: bytes):
    """The library that senders use is the oracle; it signs text only."""
    text = body.decode("utf-8", "replace")
    signature = Webhook(SECRET).sign("msg_1", NOW, text)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(NOW.timestamp()))}

    SIGNED.verify(a_request(text.encode(), **headers, **{"webhook-signature": signature}))


def test_every_active_secret_is_tried():
    """While a secret is changed, senders with the old one and the new one get through."""
    rotating = Generic(secrets=[parse_secret(OTHER), parse_secret(SECRET)])
    for secret in (SECRET, OTHER):
        rotating.verify(a_request(b"{}", **signed(b"{}", secret=secret)))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"body": b"{ }"}, "signature_wrong"),
        ({"webhook-id": "msg_2"}, "signature_wrong"),
        ({"webhook-timestamp": str(int(NOW.timestamp()) + 1)}, "signature_wrong"),
        ({"webhook-timestamp": "soon"}, "timestamp_malformed"),
        ({"webhook-signature": "v1a,x v2,y v1"}, "signature_missing"),
        ({"webhook-signature": "v1,\udcff"}, "signature_wrong"),
        ({"webhook-signature": None}, "header_missing"),
        ({"webhook-id": "a, b"}, "id_malformed"),
    ],
)
def test_an_altered_request_is_refused(change: dict[str, Any], code: str):
    """Each part of a signed request is covered, and a broken one has its own word for the log."""
    headers = signed(b"{}") | {name: value for name, value in change.items() if name != "body"}
    kept = {name: value for name, value in headers.items() if value is not None}

    assert refused(SIGNED, a_request(change.get("body", b"{}"), **kept)) == code


def test_another_secret_is_refused():
    """Whoever signs with his own is a stranger."""
    assert refused(SIGNED, a_request(b"{}", **signed(b"{}", secret=OTHER))) == "signature_wrong"


def test_a_token_lets_in_as_well():
    """Any of them, whatever the case of `bearer`."""
    TOKEN.verify(a_request(b"{}", authorization=f"Bearer {BEARER}"))
    TOKEN.verify(a_request(b"{}", authorization="bearer  the-next-token-of-a-rotation "))
    for header in ("", "Bearer", "Bearer ", f"Basic {BEARER}", "Basic \udcff", "Basic /w==", BEARER):
        assert refused(TOKEN, a_request(b"{}", authorization=header)) == "token_missing"
    for token in (BEARER[:-1], BEARER + "x", "\udcff"):
        assert refused(TOKEN, a_request(b"{}", authorization=f"Bearer {token}")) == "token_wrong"


def test_a_token_may_stand_where_the_crm_can_put_it():
    """Pipedrive knows HTTP Basic only, others a header of their own for an API key."""
    basic = base64.b64encode(f"anybody:{BEARER}".encode()).decode()
    TOKEN.verify(a_request(b"{}", authorization=f"Basic {basic}"))
    TOKEN.verify(a_request(b"{}", x_api_key=BEARER))
    wrong = base64.b64encode(f"{BEARER}:wrong".encode()).decode()
    assert refused(TOKEN, a_request(b"{}", authorization=f"Basic {wrong}")) == "token_wrong"
    assert refused(TOKEN, a_request(b"{}", authorization="Bearer x", x_api_key=BEARER)) == "token_wrong"


def test_with_both_a_wrong_signature_is_not_saved_by_a_token():
    """Either will do alone; a signature that is there must be right."""
    token = {"authorization": f"Bearer {BEARER}"}
    BOTH.verify(a_request(b"{}", **token))
    BOTH.verify(a_request(b"{}", **signed(b"{}")))

    assert refused(BOTH, a_request(b"{ }", **signed(b"{}"), **token)) == "signature_wrong"
    assert refused(BOTH, a_request(b"{}")) == "token_missing"


def test_with_neither_nobody_is_let_in():
    """A door without a lock stays shut."""
    assert refused(Generic(), a_request(b"{}", authorization="Bearer x")) == "token_wrong"


HEADER_NAMES = st.sampled_from(
    ["webhook-id", "webhook-timestamp", "webhook-signature", "authorization", "x-api-key"]
)
HEADER_TEXT = st.text(max_size=60) | st.sampled_from(
    [BEARER[:-1], "Bearer", "v1,", "v1,AAAA", str(int(NOW.timestamp()))]
)


@given(
    st.dictionaries(HEADER_NAMES, HEADER_TEXT),
    st.binary(max_size=300),
    st.sampled_from([SIGNED, TOKEN, BOTH]),
)
def test_whatever_a_stranger_sends_is_refused_in_one_way(headers: dict[str, str], body: bytes, crm: Generic):
    """No header and no byte leads to another error, or in."""
    # Hypothesis tries the literals that it finds in our source: the tokens among them are no stranger's.
    assume(not any(token in value for value in headers.values() for token in (BEARER, NEXT)))
    with pytest.raises(NotAuthenticError):
        crm.verify(RawRequest(method="POST", headers=headers, body=body, received_at=NOW))


@given(
    st.binary(max_size=300) | st.text(max_size=300).map(str.encode),
    st.dictionaries(HEADER_NAMES, HEADER_TEXT),
)
def test_whatever_a_friend_sends_is_read_or_refused(body: bytes, headers: dict[str, str]):
    """Keys, digests and bodies of what is read can be recorded."""
    try:
        reading = TOKEN.read(RawRequest(method="POST", headers=headers, body=body, received_at=NOW))
    except UnreadableError:
        return
    for event in reading.events:
        assert 0 < len(event.key.encode()) <= 900
        assert event.digest
        json.dumps(event.body, ensure_ascii=False).encode()


# --- what a body's events are ------------------------------------------------------------------------------


def keys(crm: Generic, body: Any, **headers: str) -> list[str]:
    return [event.key for event in crm.read(a_request(body, **headers)).events]


def test_an_event_is_known_by_its_header_or_its_id_or_its_body():
    """The first of them that there is; a redelivery has the same."""
    event = {"event_id": "e-7", "id": 9, "data": {}}
    assert keys(TOKEN, event, webhook_id="msg_1") == ["msg:msg_1"]
    assert keys(TOKEN, event) == ["id:e-7"]
    assert keys(TOKEN, {"id": 9}) == ["id:9"]
    assert keys(TOKEN, {"a": 1}) == keys(TOKEN, b' {"a":1}\n') != keys(TOKEN, {"a": 2})


def test_events_of_an_array_are_told_apart():
    """One header stands for all of them."""
    assert keys(TOKEN, [{"a": 1}, {"a": 1}], webhook_id="m") == ["msg:m#0", "msg:m#1"]
    assert keys(TOKEN, [{"id": 1}, {"id": 2}]) == ["id:1", "id:2"]
    assert keys(TOKEN, []) == []


def test_the_place_of_the_id_can_be_said():
    """Several pointers make one key; what lacks one of them is known by its body."""
    crm = Generic(bearers=[BEARER], event_id=["/record_id", "/modified_at"])
    event = {"record_id": 5, "modified_at": "2026-11-22", "id": "other"}

    assert keys(crm, event, webhook_id="m") == ["id:5|2026-11-22"]
    assert keys(crm, {"record_id": 5})[0].startswith("body:")


def test_an_id_that_names_a_record_can_be_left_alone():
    """`body`: the same record with other data is another event."""
    crm = Generic(bearers=[BEARER], event_id=["body"])

    assert keys(crm, {"id": 1, "a": 1}) != keys(crm, {"id": 1, "a": 2})
    assert keys(crm, {"id": 1, "body": "x"})[0].startswith("body:")


def test_a_redelivery_that_counts_its_attempts_is_the_same_event():
    """Pipedrive does: only what the map looks at makes two bodies of one id differ."""
    crm = Generic(bearers=[BEARER], event_id=["/meta/id"])
    first, again, other = (
        {"meta": {"id": "u1", "attempt": attempt}, "data": {"phone": phone}}
        for attempt, phone in ((1, "0501234567"), (2, "0501234567"), (2, "0501234568"))
    )
    digests = [crm.read(a_request(body)).events[0].digest for body in (first, again, other)]

    assert digests[0] == digests[1] != digests[2]
    assert keys(crm, first) == keys(crm, again) == keys(crm, other)


def test_long_and_odd_ids_are_shortened():
    """A key is a short line, whatever is sent as an id; and headers that are no plain text are no id."""
    for odd in ("x" * 5000, "a\nb", {"a": 1}):
        [key] = keys(TOKEN, {"event_id": odd})
        assert len(key) < 250
        assert key.isprintable()
    assert keys(TOKEN, {"id": 1}, webhook_id="\udcff") == ["id:1"]


@pytest.mark.parametrize("body", [b"7", b'"x"', b"null", b"[1]", b"[[]]", [{}] * 101])
def test_other_json_is_unreadable(body: Any):
    """Objects only, and no more than a hundred."""
    with pytest.raises(UnreadableError):
        TOKEN.read(a_request(body))


# --- what becomes of the usual bodies ----------------------------------------------------------------------

DANA = {"business_name": "Dana Flowers", "email": "dana@example.com"}


@pytest.mark.parametrize(
    "body",
    [
        DANA | {"whatsapp": "0501234567"},
        DANA | {"phone": "050-123-4567", "name": "Dana"},
        {"type": "contact.created", "data": DANA | {"mobile": "0501234567"}},
        {"data": {"company": {"name": "Dana Flowers"}, "phone": "0501234567", "email": "dana@example.com"}},
        {"data": {"company": "Dana Flowers", "mobile": 972501234567, "email": "dana@example.com"}},
    ],
)
async def test_the_usual_shapes_need_no_map(body: dict[str, Any]):
    """The CSV's names, flat or under `data`, and what CRMs mostly call them."""
    [whole] = await TOKEN.fetch([body])
    assert whole is not None
    wanted = TOKEN.wanted(whole)
    assert isinstance(wanted, Wanted)
    parsed = parse_request(wanted.fields)

    assert isinstance(parsed, ParsedRequest), parsed
    assert parsed.request.whatsapp == "972501234567"
    assert parsed.request.display_name == "Dana Flowers"
    assert parsed.request.contact.email == "dana@example.com"
    assert parsed.request.contact.phone == "972501234567"


def test_a_map_finds_what_lies_elsewhere():
    """Pipedrive's lists of phones, for one."""
    written = {
        "whatsapp": "/data/phones/0/value",
        "business_name": "/data/name",
        "only_if": {"/meta/action": "create"},
    }
    crm = Generic(bearers=[BEARER], field_map=FieldMap.of(written, defaults=DEFAULT_MAP))
    body = {"meta": {"action": "create"}, "data": {"name": "Dana", "phones": [{"value": "0501234567"}]}}

    assert isinstance(crm.wanted(body), Wanted)
    assert crm.wanted(body | {"meta": {"action": "delete"}}) == Unwanted(
        "filtered", "only_if: /meta/action has none of the values asked for"
    )


def test_a_ping_is_incomplete():
    """What CRMs send to try an address is acked and comes to nothing."""
    unwanted = TOKEN.wanted({})
    assert isinstance(unwanted, Unwanted)
    assert unwanted.reason == "incomplete"


def test_the_event_s_own_type_is_not_the_kind_of_page_asked_for():
    """By Standard Webhooks `type` at the top names the event; a Facebook type stands under `data`."""
    data = {"product": "facebook", "business_name": "Dana", "type": 1}

    wanted = SIGNED.wanted({"type": "contact.created", "data": data})

    assert isinstance(wanted, Wanted)
    assert (wanted.fields["type"], wanted.origins["type"]) == ("1", "/data/type")
    bare = SIGNED.wanted({"type": "contact.created", "data": {"whatsapp": "0501234567"}})
    assert isinstance(bare, Wanted)
    assert "type" not in bare.fields
