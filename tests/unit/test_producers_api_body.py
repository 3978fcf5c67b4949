"""The API's body: strict about names and types, so that a mistake is told instead of guessed around."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from producers.api_body import placed, read_members
from producers.bodies import BadBodyError, parse_json_object
from worker.domain.parse import CANONICAL_FIELDS, ParsedRequest, ParseRules, Problem, parse_request
from worker.domain.request import Product

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def read(**document):
    return read_members(document, now=NOW)


def test_flat_names_and_the_contact_become_a_rows_fields():
    """One parser serves files and calls, so a call is read as a row."""
    body = read(
        whatsapp=972501234567,
        business_name="Dana",
        basic_templates=True,
        products=["whatsapp", "facebook:1"],
        contact={"email": "d@example.com", "phone": "0501234567"},
        channels=["sms", "email"],
    )

    assert body.problems == ()
    assert body.fields == {
        "whatsapp": "972501234567",
        "business_name": "Dana",
        "basic_templates": "1",
        "product": "whatsapp;facebook:1",
        "email": "d@example.com",
        "phone": "0501234567",
        "channels": "sms;email",
    }
    assert set(body.fields) <= set(CANONICAL_FIELDS)


def test_products_are_whatsapp_unless_said():
    """The usual case needs no word."""
    assert read().fields == {"product": "whatsapp"}


def test_no_channels_means_no_message():
    """An empty list is an answer, a missing one is not."""
    assert read(channels=[]).fields["channels"] == "none"
    parsed = parse_request(
        {**read(channels=[], products=["facebook:1"]).fields, "external_id": "1"}, ParseRules()
    )
    assert isinstance(parsed, ParsedRequest)
    assert parsed.request.channels == ()
    assert parsed.request.products == (Product.FACEBOOK_MESSENGER,)


@pytest.mark.parametrize(
    ("document", "field", "code"),
    [
        ({"bussiness_name": "x"}, "bussiness_name", "unknown_field"),
        ({"email": "x@example.com"}, "email", "unknown_field"),
        ({"contact": {"mail": "x"}}, "contact.mail", "unknown_field"),
        ({"contact": "x@example.com"}, "contact", "wrong_type"),
        ({"contact": {"email": 5}}, "contact.email", "wrong_type"),
        ({"business_name": 5}, "business_name", "wrong_type"),
        ({"business_name": ["x"]}, "business_name", "wrong_type"),
        ({"whatsapp": 9725.0}, "whatsapp", "wrong_type"),
        ({"whatsapp": True}, "whatsapp", "wrong_type"),
        ({"products": "whatsapp"}, "products", "wrong_type"),
        ({"products": [1]}, "products", "wrong_type"),
        ({"reference": "\ud800"}, "reference", "bad_text"),
        ({"\ud800x": 1}, "?x", "unknown_field"),
        ({"contact": {"\udfff": 1}}, "contact.?", "unknown_field"),
        ({"reference": "x" * 51}, "reference", "too_long"),
        ({"contact": {"email": f"{'x' * 243}@example.com"}}, "contact.email", "too_long"),
        ({"not_before": "soon"}, "not_before", "bad_time"),
        ({"not_before": "2026-11-22T08:00:00"}, "not_before", "bad_time"),
        ({"not_before": True}, "not_before", "bad_time"),
        ({"not_before": 1e300}, "not_before", "bad_time"),
        ({"not_before": 1_795_348_800_000}, "not_before", "bad_time"),
        ({"not_before": 4_102_444_800}, "not_before", "too_far"),
    ],
)
def test_a_wrong_name_or_type_is_told_by_its_place(document, field, code):
    """With what to do about it."""
    (problem,) = read(**document).problems

    assert (problem.field, problem.code) == (field, code)
    assert problem.remedy


def test_the_nearest_name_is_proposed():
    """Most unknown names are misspelt ones."""
    assert "`business_name`" in read(bussiness_name="x").problems[0].remedy
    assert "`contact.email`" in read(contact={"emial": "x"}).problems[0].remedy


@pytest.mark.parametrize("value", ["2026-11-21T14:00:01+02:00", 1_795_262_401, 1_795_262_401.0])
def test_a_time_is_iso_with_an_offset_or_unix_seconds(value):
    """All three say the same instant."""
    assert read(not_before=value).not_before_ms == 1_795_262_401_000


def test_a_time_that_has_passed_means_now():
    """A late call is no mistake."""
    assert read(not_before=1_795_262_399).not_before_ms is None


def test_null_is_as_good_as_missing():
    """Many clients send every name they know."""
    body = read(whatsapp=None, contact=None, products=None, channels=None, not_before=None)

    assert (body.fields, body.problems) == ({"product": "whatsapp"}, ())


def test_problems_of_the_fields_are_named_as_the_body_names_them():
    """`email` of a row is `contact.email` here."""
    assert placed(Problem("email", "c", "m", "r")).field == "contact.email"
    assert placed(Problem("product", "c", "m", "r")).field == "products"
    assert placed(Problem("whatsapp", "c", "m", "r")).field == "whatsapp"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"\xff",
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b"[" * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_object_is_refused(raw):
    """Every way of being broken ends in one 400."""
    with pytest.raises(BadBodyError) as caught:
        parse_json_object(raw)

    assert caught.value.response.status == 400
