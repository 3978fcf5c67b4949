"""Signatures by Standard Webhooks: the same as the reference library's, and safe from whatever a stranger sends."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from worker.domain.standard_webhooks import (
    InvalidSecret,
    SignatureFault,
    SignatureRefused,
    SigningSecret,
    parse_secret,
    receiver_address,
    sign,
    signed_headers,
    verify,
)

TEXT = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRET = parse_secret(TEXT)
OTHER = parse_secret("whsec_" + base64.b64encode(b"x" * 32).decode())
ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

keys = st.binary(min_size=24, max_size=64)
ids = st.from_regex(r"[A-Za-z0-9_-]{1,60}", fullmatch=True)


def refusal(headers: Mapping[str, str], body: bytes = BODY, *, now_s: float = AT) -> SignatureFault:
    """Return why a message is refused."""
    with pytest.raises(SignatureRefused) as refused:
        verify([SECRET], headers, body, now_s=now_s)
    assert str(refused.value) == refused.value.code
    return refused.value.code


def headers_with(**changes: str) -> dict[str, str]:
    """Return a good message's headers but for *changes* (`id`, `timestamp`, `signature`)."""
    return signed_headers([SECRET], ID, AT, BODY) | {
        f"webhook-{name}": value for name, value in changes.items()
    }


def test_the_published_vector_is_met() -> None:
    """Id, time, body and secret of the specification give its signature."""
    assert sign([SECRET], ID, AT, BODY) == SIGNATURE
    assert verify([SECRET], headers_with(signature=SIGNATURE), BODY, now_s=AT) == ID


@given(key=keys, message_id=ids, at_s=st.integers(0, 4_000_000_000), body=st.text())
def test_it_signs_as_the_reference_library_does(key: bytes, message_id: str, at_s: int, body: str) -> None:
    """Whatever the body, the two never differ."""
    text = "whsec_" + base64.b64encode(key).decode()
    theirs = Webhook(text).sign(message_id, datetime.fromtimestamp(at_s, UTC), body)

    assert sign([parse_secret(text)], message_id, at_s, body.encode()) == theirs


@given(body=st.text(), key=keys)
def test_the_reference_library_takes_what_we_send(body: str, key: bytes) -> None:
    """A receiver that uses it needs nothing of ours."""
    text = "whsec_" + base64.b64encode(key).decode()
    document = f'"{"x" * len(body)}"'
    now_s = int(datetime.now(UTC).timestamp())

    headers = signed_headers([OTHER, parse_secret(text)], "evt_1", now_s, document.encode())

    assert Webhook(text).verify(document, headers) == document.strip('"')


@given(body=st.binary(), message_id=ids, lateness_s=st.floats(-300, 300))
def test_what_we_sign_we_take(body: bytes, message_id: str, lateness_s: float) -> None:
    """Within the tolerance, both ways."""
    headers = signed_headers([SECRET], message_id, AT, body)

    assert verify([OTHER, SECRET], headers, body, now_s=AT + lateness_s) == message_id


anything = st.text(max_size=200) | st.text(alphabet="v1,= .0123456789-_\ud800\u05d0", max_size=200)


@given(message_id=anything, timestamp=anything, signature=anything, body=st.binary(max_size=200))
def test_whatever_a_stranger_sends_is_refused_and_nothing_else(
    message_id: str, timestamp: str, signature: str, body: bytes
) -> None:
    """No other exception, so no traceback and no 500."""
    headers = {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signature}

    with pytest.raises(SignatureRefused):
        verify([SECRET], headers, body, now_s=AT)


@given(signature=anything)
def test_a_signature_made_up_for_a_good_message_is_refused(signature: str) -> None:
    """Id and time alone prove nothing."""
    assert refusal(headers_with(signature=signature)) in {"signature_missing", "signature_wrong"}


@given(place=st.integers(0, len(BODY) - 1), bit=st.integers(0, 7))
def test_a_body_with_one_bit_turned_is_refused(place: int, bit: int) -> None:
    """The whole body is signed."""
    body = bytearray(BODY)
    body[place] ^= 1 << bit

    assert refusal(headers_with(), bytes(body)) == "signature_wrong"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"id": "msg_other"}, "signature_wrong"),
        ({"id": ""}, "id_malformed"),
        ({"id": "a.b"}, "id_malformed"),
        ({"id": "a b"}, "id_malformed"),
        ({"id": "a" * 257}, "id_malformed"),
        ({"timestamp": str(AT + 1)}, "signature_wrong"),
        ({"timestamp": f"{AT}.0"}, "timestamp_malformed"),
        ({"timestamp": f" {AT}"}, "timestamp_malformed"),
        ({"timestamp": "-1"}, "timestamp_malformed"),
        ({"timestamp": "nan"}, "timestamp_malformed"),
        ({"timestamp": "٣"}, "timestamp_malformed"),
        ({"timestamp": "9" * 5000}, "timestamp_malformed"),
        ({"signature": ""}, "signature_missing"),
        ({"signature": "v1"}, "signature_missing"),
        ({"signature": "v1a,abc"}, "signature_missing"),
        ({"signature": "v1,"}, "signature_wrong"),
        ({"signature": SIGNATURE[3:]}, "signature_missing"),
        ({"signature": SIGNATURE[:-1]}, "signature_wrong"),
        ({"signature": "v2" + SIGNATURE[2:]}, "signature_missing"),
    ],
)
def test_each_way_of_being_wrong_has_its_word(changes: dict[str, str], fault: str) -> None:
    """What the log says helps whoever sets it up."""
    assert refusal(headers_with(**changes)) == fault


def test_a_wrong_secret_is_refused() -> None:
    """Nor does having no secret let anything in."""
    headers = signed_headers([OTHER], ID, AT, BODY)
    assert refusal(headers) == "signature_wrong"
    with pytest.raises(SignatureRefused):
        verify([], headers, BODY, now_s=AT)


@pytest.mark.parametrize(("now_s", "fault"), [(AT + 301, "timestamp_stale"), (AT - 301, "timestamp_future")])
def test_old_and_future_messages_are_refused(now_s: float, fault: str) -> None:
    """A replay works for five minutes at most, whichever way the clock is set."""
    assert refusal(headers_with(), now_s=now_s) == fault


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_or_repeated_header_is_refused(missing: str) -> None:
    """Which of two would count is nobody's guess."""
    headers = headers_with()
    assert refusal(headers | {missing.upper(): headers[missing]}) == "header_repeated"
    del headers[missing]
    assert refusal(headers) == "header_missing"


def test_one_good_signature_among_others_is_enough() -> None:
    """The sender changes its secret, or signs by other versions too; names of headers match in any case."""
    headers = {
        name.title(): value for name, value in headers_with(signature=f"v1a,x v1,AAAA {SIGNATURE}").items()
    }

    assert verify([SECRET], headers, BODY, now_s=AT) == ID


def test_both_secrets_sign_while_one_is_changed() -> None:
    """A receiver that knows either of them is content."""
    headers = signed_headers([OTHER, SECRET], ID, AT, BODY)
    for secret in (OTHER, SECRET):
        assert verify([secret], headers, BODY, now_s=AT) == ID


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "begin"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begin"),
        ("whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begin"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La_aSw", "base64"),
        ("whsec_שלום", "base64"),
        ("whsec_c2hvcnQ=", "24 to 64"),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), "24 to 64"),
    ],
)
def test_what_is_no_secret_is_refused_without_being_quoted(text: str, why: str) -> None:
    """The error goes to a terminal or a log."""
    with pytest.raises(InvalidSecret, match=why) as refused:
        parse_secret(text)
    assert not text or text not in str(refused.value)


def test_a_secret_shows_nowhere() -> None:
    """Neither as text nor in a repr."""
    secret = SigningSecret(key=b"k" * 24)

    assert "k" * 4 not in f"{secret} {secret!r}"


@pytest.mark.parametrize(("message_id", "at_s"), [("a.b", AT), ("", AT), ("é", AT), (ID, -1), (ID, 10**12)])
def test_what_could_not_be_verified_is_not_signed(message_id: str, at_s: int) -> None:
    """A dot in an id would make its signature ambiguous."""
    with pytest.raises(ValueError, match="without dots"):
        sign([SECRET], message_id, at_s, BODY)


def test_nothing_signs_nothing() -> None:
    """An unsigned event is never sent by mistake."""
    with pytest.raises(ValueError, match="nothing to sign with"):
        sign([], ID, AT, BODY)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/a/b/",
        "https://[2001:db8::1]/x",
        "http://localhost:8080/x",
        "http://127.0.0.1/",
        "http://[::1]:1/",
    ],
)
def test_events_may_go_by_https_or_stay_here(url: str) -> None:
    """To the letter: a slash at the end may matter to the receiver."""
    assert receiver_address(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "http://127.evil.example/",
        "http://10.0.0.1/",
        "ftp://example.com",
        "example.com",
        "https://",
        "http://[half",
        "",
    ],
)
def test_events_never_go_where_anybody_reads_them(url: str) -> None:
    """They carry customers' links."""
    with pytest.raises(ValueError, match=r"https|URL"):
        receiver_address(url)
