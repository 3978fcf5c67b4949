"""Reading answers: nothing the partner may send raises, and each ending says no more than is known."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import a_request
from worker.domain.outcome import Answered, Ending, NotDone, Unanswered
from worker.domain.reasons import Catalogue
from worker.domain.request import Product
from worker.partner import lists
from worker.partner.wire import Reply, create_body, inflate, masked, read_ending, retry_after_s

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def ending_of(body: object, http_status: int = 200, **headers: str) -> Ending:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_ending(Reply(http_status=http_status, headers=named, body=raw), now=NOW)


@pytest.mark.parametrize(
    ("body", "is_ok", "code"),
    [
        ({"status": "OK", "reason": 1}, True, 1),
        ({"status": "ok"}, True, None),
        ({"status": " Fail ", "reason": "22"}, False, 22),
        ({"status": "fail", "reason": 4.0}, False, 4),
        ({"reason": 1}, True, 1),
        ({"reason": "7"}, False, 7),
        ({"status": "ERROR", "reason": 9}, False, 9),
        ({"status": "FAIL", "reason": [9]}, False, None),
        ({"status": "FAIL", "reason": True}, False, None),
        ({"status": "OK", "reason": "9" * 5_000}, True, None),
    ],
)
def test_a_readable_verdict_is_answered(body: object, is_ok: bool, code: int | None) -> None:
    """By status in any letter case, else by a reason that is a number or stands for one."""
    ending = ending_of(body)

    assert isinstance(ending, Answered)
    assert (ending.is_ok, ending.code) == (is_ok, code)


@pytest.mark.parametrize("http_status", [200, 400, 404, 429, 500, 503])
def test_an_ok_in_the_body_outweighs_the_http_status(http_status: int) -> None:
    """HTTP statuses are not documented: the body is believed first."""
    assert isinstance(ending_of({"status": "OK", "reason": 1}, http_status), Answered)


@pytest.mark.parametrize("http_status", [200, 400, 404, 405, 500, 502])
def test_a_fail_in_the_body_outweighs_the_http_status(http_status: int) -> None:
    """The partner's own code tells more than the status does."""
    ending = ending_of({"status": "FAIL", "reason": 22}, http_status)

    assert isinstance(ending, Answered)
    assert ending.code == 22


@pytest.mark.parametrize(
    ("http_status", "headers", "reason"),
    [
        (429, {}, "partner_throttled"),
        (429, {"Retry_After": "3"}, "partner_throttled"),
        (503, {"Retry_After": "3"}, "partner_throttled"),
        (401, {}, "token_expired"),
        (403, {}, "partner_turned_away"),
        (404, {}, "partner_not_found_path"),
        (405, {}, "partner_not_found_path"),
        (308, {}, "partner_not_found_path"),
    ],
)
def test_a_call_turned_away_at_the_door_is_not_done(
    http_status: int, headers: dict[str, str], reason: str
) -> None:
    """A page with such a status says that the call was not even begun."""
    ending = ending_of(b"<h1>no</h1>", http_status, **headers)

    assert isinstance(ending, NotDone)
    assert ending.reason == reason
    assert ending.retry_after_s == (3.0 if headers else None)


@pytest.mark.parametrize(
    ("body", "http_status", "reason"),
    [
        (b"", 200, "partner_unreadable"),
        (b"<html>", 200, "partner_unreadable"),
        (b"<html>", 400, "partner_unreadable"),
        (b"<html>", 302, "partner_unreadable"),
        (b"<html>", 500, "partner_error"),
        (b"", 502, "partner_error"),
        (b"<html>", 503, "partner_error"),
        (b"[1]", 200, "partner_unreadable"),
        (b'"OK"', 200, "partner_unreadable"),
        (b'{"status": "OK"', 200, "partner_unreadable"),
        (b'{"status": ["OK"], "reason": {}}', 200, "partner_unreadable"),
        (b"[" * 100_000, 200, "partner_unreadable"),
        (b'{"reason": ' + b"1" * 10_000 + b"}", 200, "partner_unreadable"),
        (b"\xff\xfe\x00", 200, "partner_unreadable"),
    ],
)
def test_what_cannot_be_read_leaves_the_outcome_unknown(body: bytes, http_status: int, reason: str) -> None:
    """Garbage is never taken for a FAIL: the link may have been made."""
    ending = ending_of(body, http_status)

    assert isinstance(ending, Unanswered)
    assert ending.reason == reason


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["status", "reason", "list", "whatsapp", "onboarding_link"])
                | st.text(max_size=4),
                inner,
                max_size=5,
            )
        ),
    ).map(lambda value: json.dumps(value).encode()),
    st.integers(100, 599),
    st.text(max_size=20),
)
def test_no_answer_raises(body: bytes, http_status: int, retry_after: str) -> None:
    """Whatever comes back is an ending whose record can be stored, and so is a list made of it."""
    reply = Reply(http_status=http_status, headers={"Retry-After": retry_after}, body=body)
    ending = read_ending(reply, now=NOW)
    record = ending.raw if isinstance(ending, Answered) else ending.detail
    record.encode()
    for row in (lists.account_entry, lists.registered_number):
        assert isinstance(lists.read_list(ending, row), list | NotDone | Unanswered)


def test_half_a_surrogate_pair_does_not_reach_the_ledger() -> None:
    """It can be escaped in JSON and could be written to no store."""
    ending = ending_of(
        b'{"status": "OK", "onboarding_link": "https://x/\\ud83d", "\\udc00": ["\\ud83d\\ude00"]}'
    )

    assert isinstance(ending, Answered)
    json.dumps(dict(ending.body), ensure_ascii=False).encode()
    assert "😀" in str(ending.body)


def test_the_record_of_an_answer_is_masked_and_short() -> None:
    """Numbers, addresses and links are masked, also where the text is cut."""
    long = "x" * 1_990 + " 972501234567 dana@example.com https://onboarding.direct/secret " * 200
    ending = ending_of({"status": "FAIL", "reason": 9, "message": long})

    assert isinstance(ending, Answered)
    assert len(ending.raw) <= 2_000
    for secret in ("972501234567", "dana@", "direct/secret"):
        assert secret not in ending.raw
    assert "0123456" not in masked("9" * 5_990 + " 972501234567", keep=2_000)


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("3", 3.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("999999999", 3_600.0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2020 12:00:30 GMT", 0.0),
        ("Sat, 21 Nov 9999 12:00:30 GMT", 3_600.0),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_capped(text: str, wait_s: float | None) -> None:
    """An absurd wait must not stop the fleet for weeks, and nonsense is as good as none."""
    assert retry_after_s({"Retry-After": text}, now=NOW) == wait_s


def test_compression_is_read_within_the_cap() -> None:
    """Nobody asked for it, so anything odd about it makes the answer unreadable."""
    assert inflate(b"plain", "", cap=10) == b"plain"
    assert inflate(gzip.compress(b"ok"), "gzip", cap=10) == b"ok"
    assert inflate(zlib.compress(b"ok"), "deflate", cap=10) == b"ok"
    assert inflate(gzip.compress(b"x" * 11), "gzip", cap=10) is None
    assert inflate(gzip.compress(b"ok")[:-4], "gzip", cap=10) is None
    assert inflate(b"?", "gzip", cap=10) is None
    assert inflate(b"?", "br", cap=10) is None


def test_a_create_carries_the_jobs_id_as_its_reference() -> None:
    """The caller's own reference stays here; by the job's id the look-up finds what is ours."""
    request = a_request(
        products=(Product.WHATSAPP, Product.INSTAGRAM_PAGE), reference="crm 7", basic_templates=True
    )
    whatsapp = create_body(request, Product.WHATSAPP, "j1w")
    instagram = create_body(request, Product.INSTAGRAM_PAGE, "j14")

    assert whatsapp["reference"] == "j1w"
    assert whatsapp["whatsapp"] == request.whatsapp
    assert instagram["reference"] == "j14"
    assert instagram["type"] == 4
    assert "whatsapp" not in instagram


@pytest.mark.parametrize(
    "changes",
    [
        {"whatsapp": None},
        {"whatsapp": True},
        {"whatsapp": "dana"},
        {"status": None},
        {"status": "done"},
        {"onboarding_link": 7},
        {"coexistence": "perhaps"},
        {"reference": []},
    ],
)
def test_a_row_that_is_not_what_it_should_be_breaks_the_list(changes: dict[str, object]) -> None:
    """Absence from a list decides about a second create: half a list would be worse than none."""
    good = {
        "whatsapp": 972501234567,
        "reference": 7,
        "onboarding_link": None,
        "status": "0",
        "coexistence": "1",
    }
    whole = lists.read_list(ending_of({"status": "OK", "list": [good]}), lists.account_entry)
    broken = lists.read_list(ending_of({"status": "OK", "list": [good, good | changes]}), lists.account_entry)

    assert isinstance(whole, list)
    assert (whole[0].whatsapp, whole[0].reference, whole[0].is_coexistence) == ("972501234567", "7", True)
    assert isinstance(broken, Unanswered)
    assert "dana" not in broken.detail


@pytest.mark.parametrize(
    "more", [{"next": "/page/2"}, {"has_more": True}, {"total": 2}, {"list": None}, {"list": {}}]
)
def test_a_list_that_is_not_whole_is_unknown(more: dict[str, object]) -> None:
    """Should paging come one day, the first page must not pass for everything."""
    row = {"whatsapp": "972501234567", "status": 0}

    assert isinstance(
        lists.read_list(ending_of({"status": "OK", "list": [row], **more}), lists.account_entry), Unanswered
    )


def test_a_refused_list_is_not_done() -> None:
    """A FAIL says which; there is nothing to doubt about a list."""
    refused = lists.read_list(ending_of({"status": "FAIL", "reason": 9}), lists.account_entry)

    assert isinstance(refused, NotDone)
    assert "9" in refused.detail


def test_a_registered_number_is_read() -> None:
    """Its expiry may come as a number or as text."""
    row = {"whatsapp": "972501234567", "expiration": "1790000000", "onboarding_link": None, "comment": "x"}
    found = lists.read_list(ending_of({"status": "OK", "reason": 1, "list": [row]}), lists.registered_number)

    assert isinstance(found, list)
    assert (found[0].whatsapp, found[0].expires_s, found[0].link) == ("972501234567", 1_790_000_000, None)


def test_every_reason_that_the_client_gives_is_in_the_catalogue() -> None:
    """A name that nobody explains would be an operator's riddle."""
    folder = Path(lists.__file__).parent
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("*.py")]
    given = {
        name
        for text in texts
        for name in re.findall(r'(?<!warning\()"((?:partner|token|calls|credentials)_\w+)"', text)
    }
    known = {reason.name for reason in Catalogue.shipped().all()}

    assert {"partner_unreachable", "token_expired", "credentials_missing"} <= given
    assert given <= known
