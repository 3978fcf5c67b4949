"""monday's tokens: only those of our app, for our address and for now open the door."""

from __future__ import annotations

import base64
import hmac
import json
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from producers.crm.config import CrmValues
from producers.crm.model import NotAuthenticError, RawRequest, UnreadableError
from producers.crm.monday import MOST_UNPROVEN_BYTES, SKEW_S, Monday, configure
from producers.crm.monday_events import BoardMaps
from tests.monday_fake import NOW, NOW_S, SHORT_LIVED, SIGNING_SECRET, URL, a_token, an_event

BODY = json.dumps(an_event()).encode()


def a_crm(**changes: Any) -> Monday:
    return Monday(**{"maps": BoardMaps({}), "signing_secret": SIGNING_SECRET, "url": URL, **changes})


def a_request(authorization: str | None, body: bytes = BODY, *, later_s: float = 0) -> RawRequest:
    headers = {} if authorization is None else {"authorization": authorization}
    return RawRequest(method="POST", headers=headers, body=body, received_at=NOW + timedelta(seconds=later_s))


def refusal(authorization: str | None, **changes: Any) -> str:
    crm = changes.pop("crm", None) or a_crm()
    request = a_request(authorization, **changes)
    with pytest.raises(NotAuthenticError) as refused:
        take(crm, request)
    # A cause would carry the token's content into a traceback.
    assert refused.value.__cause__ is None
    return refused.value.code


def take(crm: Monday, request: RawRequest) -> None:
    crm.verify(request)
    crm.read(request)


def handmade(header: dict[str, Any], claims: Any, key: bytes) -> str:
    """Return a token that no library would make."""
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in (header, claims)]
    signature = hmac.digest(key, b".".join(parts), sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer  "])
def test_a_token_is_taken_with_and_without_bearer(scheme: str) -> None:
    """monday's own documentation shows both."""
    request = a_request(scheme + a_token())

    a_crm().verify(request)
    assert len(a_crm().read(request).events) == 1


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (a_token("f" * 32), "token_wrong"),
        (a_token("f" * 64, algorithm="HS512"), "token_malformed"),
        (handmade({"alg": "HS384"}, {"exp": NOW_S, "aud": URL}, SIGNING_SECRET.encode()), "token_malformed"),
        (jwt.encode({"exp": NOW_S + 300, "aud": URL}, None, algorithm="none"), "token_malformed"),
        (a_token(aud="https://evil.example.com"), "token_audience"),
        (a_token(aud=[URL]), "token_audience"),
        (a_token(aud=None), "token_audience"),
        (a_token(aud=URL + "/"), "token_audience"),
        (a_token(exp=None), "token_malformed"),
        (a_token(exp="tomorrow"), "token_malformed"),
        (a_token(exp=True), "token_malformed"),
        (a_token(exp=10**400), "token_malformed"),
        (a_token(exp=float("inf")), "token_malformed"),
        (a_token(exp=float("nan")), "token_malformed"),
        (a_token(exp=NOW_S - SKEW_S), "token_stale"),
        (a_token(iat=NOW_S + SKEW_S + 1), "token_future"),
        (a_token(iat=[]), "token_malformed"),
        (a_token(nbf=NOW_S + SKEW_S + 1), "token_future"),
        (handmade({"alg": "HS256"}, ["exp"], SIGNING_SECRET.encode()), "token_malformed"),
        (handmade({"alg": ["HS256"]}, {"exp": NOW_S}, SIGNING_SECRET.encode()), "token_malformed"),
        (
            handmade({"alg": "HS256", "crit": ["x"]}, {"exp": NOW_S}, SIGNING_SECRET.encode()),
            "token_malformed",
        ),
        ("", "token_missing"),
        ("Bearer ", "token_malformed"),
        ("Bearer", "token_malformed"),
        ("a.b.c", "token_malformed"),
        ("é.é.é", "token_malformed"),
        ("\udcff.a.b", "token_malformed"),
        ("A" * 9_000, "token_malformed"),
        (base64.urlsafe_b64encode(b"[" * 3_000).decode() + ".a.b", "token_malformed"),
        (f"{a_token()}, {a_token()}", "token_malformed"),
    ],
)
def test_any_other_token_is_refused(token: str, code: str) -> None:
    """Wrong secret, algorithm, address or time; no token; half a token."""
    assert refusal(token) == code


def test_a_token_signed_by_a_public_key_as_if_it_were_the_secret_is_refused() -> None:
    """The classic confusion: a key pair's public half, known to all, passed off as the shared secret."""
    public = b"-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK==\n-----END PUBLIC KEY-----\n"
    claims = {"exp": NOW_S + 300, "aud": URL}
    for key in (public, SIGNING_SECRET.encode()):
        assert refusal(handmade({"alg": "RS256", "typ": "JWT"}, claims, key)) == "token_malformed"
    confused = handmade({"alg": "HS256", "typ": "JWT"}, claims, public)

    assert refusal(confused) == "token_wrong"
    assert refusal(confused, crm=a_crm(signing_secret=public.decode())) == "token_malformed"


def test_a_token_holds_until_it_runs_out() -> None:
    """With a minute for clocks that differ, at both ends."""
    token = a_token()

    a_crm().verify(a_request(token, later_s=300 + SKEW_S - 1))
    a_crm().verify(a_request(token, later_s=-SKEW_S))
    assert refusal(token, later_s=300 + SKEW_S) == "token_stale"
    assert refusal(token, later_s=-SKEW_S - 1) == "token_future"


@given(st.data())
def test_a_token_with_one_character_changed_or_cut_is_refused(data: st.DataObject) -> None:
    """Wherever it is."""
    token = a_token()
    at = data.draw(st.integers(0, len(token) - 2))  # the last character's spare bits mean nothing
    letter = data.draw(st.sampled_from("ABCDxyz019-_. ").filter(lambda each: each != token[at]))

    assert refusal(token[:at] + letter + token[at + 1 :]) in {"token_wrong", "token_malformed"}
    assert refusal(token[:at]) in {"token_wrong", "token_malformed", "token_missing"}


@given(st.text(max_size=200), st.binary(max_size=300))
def test_any_header_and_any_bytes_are_refused(header: str, body: bytes) -> None:
    """Nothing but a refusal comes of what no secret made."""
    assert refusal(header, body=body)


@given(st.binary(max_size=300))
def test_any_bytes_under_a_good_token_are_read_or_refused(body: bytes) -> None:
    """Nothing but the two refusals comes out."""
    request = a_request(a_token(), body)
    a_crm().verify(request)

    with suppress(NotAuthenticError, UnreadableError):
        a_crm().read(request)


def test_without_an_address_the_audience_is_not_looked_at() -> None:
    """But the token must run out all the same."""
    crm = a_crm(url=None)

    crm.verify(a_request(a_token(aud="https://elsewhere.example.com")))
    assert refusal(a_token(exp=None), crm=crm) == "token_malformed"


def test_a_large_body_without_a_token_is_not_even_parsed() -> None:
    """Only a handshake may come without one, and that is small."""
    with pytest.raises(NotAuthenticError) as refused:
        a_crm().verify(a_request(None, b" " * (MOST_UNPROVEN_BYTES + 1)))

    assert refused.value.code == "token_missing"


def test_the_short_lived_token_is_nowhere() -> None:
    """It opens monday's API in the user's name for five minutes."""
    request = a_request(a_token())
    a_crm().verify(request)

    assert SHORT_LIVED not in repr(a_crm().read(request))
    stale = a_request(a_token(exp=1))
    with pytest.raises(NotAuthenticError) as refused:
        a_crm().verify(stale)
    assert SHORT_LIVED not in repr(refused.value)


# --- the handshake -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", [None, a_token()])
def test_a_handshake_is_answered_with_the_same_challenge(authorization: str | None) -> None:
    """And nothing is recorded; a token is checked if there is one."""
    request = a_request(authorization, b' {"challenge": "a\\u05d0\\"b"} ')
    a_crm().verify(request)
    reading = a_crm().read(request)

    assert (list(reading.events), list(reading.skipped)) == ([], [])
    assert json.loads(reading.answer.body) == {"challenge": 'aא"b'}
    assert (reading.answer.status, reading.answer.content_type) == (200, "application/json")


def test_a_handshake_with_a_wrong_token_is_refused() -> None:
    """Whoever shows one must show a good one."""
    assert refusal(a_token("f" * 32), body=b'{"challenge": "a"}') == "token_wrong"


@pytest.mark.parametrize(
    "body",
    [
        b'{"challenge": 1}',
        b'{"challenge": null}',
        b'{"challenge": ["a"]}',
        json.dumps({"challenge": "a" * 257}).encode(),
        b'{"challenge": "a", "event": {}}',
        b'{"challenge": "a", "challenge": "b"}',
        b'"challenge"',
        b'{"challenge": "\\ud800"}',
        b'{"challenge": "\xff"}',
        b"",
        BODY,
    ],
)
def test_nothing_else_passes_for_a_handshake(body: bytes) -> None:
    """Exactly one member, a text of 256 characters at most."""
    assert refusal(None, body=body) in {"token_missing", "unreadable"}


@pytest.mark.parametrize(
    ("written", "audience", "is_let_in"),
    [
        ({}, "https://links.example.com/crm/monday/a-path", True),
        ({}, "https://other.example.com/crm/monday/a-path", False),
        ({"URL": URL}, URL, True),
        ({"URL": URL}, "https://links.example.com/crm/monday/a-path", False),
    ],
)
def test_a_token_is_for_our_public_address_unless_another_is_named(
    written: dict[str, str], audience: str, is_let_in: bool
) -> None:
    """Another installation's token, of the same app, opens nothing here."""
    given = {"PATH": "a-path", "SIGNING_SECRET": SIGNING_SECRET, "MAP": '{"whatsapp": "phone"}'} | written
    values = {name: SecretStr(text) for name, text in given.items()}
    crm = configure(CrmValues(name="monday", values=values, public_url="https://links.example.com"))
    request = a_request(a_token(aud=audience))

    if is_let_in:
        crm.verify(request)
    else:
        with pytest.raises(NotAuthenticError, match="token_audience"):
            crm.verify(request)
