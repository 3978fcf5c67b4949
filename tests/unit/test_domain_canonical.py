"""A request written as canonical fields is read back as the same request, in every region."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import a_request
from worker.domain.canonical import (
    EDITABLE_FIELDS,
    PERSONAL_FIELDS,
    canonical_fields,
    canonical_fields_of,
    mask_field,
)
from worker.domain.parse import CANONICAL_FIELDS, ParsedRequest, ParseRules, parse_request
from worker.domain.request import Contact, Product

_words = st.text(alphabet="abcdeשלוםדנה 123-'.&", min_size=1, max_size=60)
_rows = st.fixed_dictionaries(
    {
        "whatsapp": st.sampled_from(
            ["0501234567", "972501234567", "+14155552671", "coexistence", "03-6123456"]
        ),
        "business_name": _words,
        "display_name": st.sampled_from(["Dana Flowers", "פרחי דנה"]),
    },
    optional={
        "product": st.sampled_from(["whatsapp", "whatsapp;facebook:1", "facebook:3;facebook:2"]),
        "business_email": st.just("b@example.com"),
        "business_id": st.just("514000000"),
        "business_address": _words,
        "onboarding_logo": st.just("https://example.com/logo.png"),
        "onboarding_message": st.just("Hello there"),
        "reference": _words,
        "external_id": _words,
        "basic_templates": st.sampled_from(["1", "0", "yes"]),
        "email": st.just("Dana@Example.com"),
        "phone": st.sampled_from(["050-1111111", "+44 7400 123456"]),
        "name": _words,
        "locale": st.sampled_from(["en", "עברית"]),
        "channels": st.sampled_from(["none", "sms;email", "email"]),
        "channel_policy": st.sampled_from(["all", "first"]),
        "server": st.just("https://chat.example.com"),
        "account_id": st.just("12"),
        "inbox_id": st.just("7"),
    },
)


@given(row=_rows, region=st.sampled_from(["IL", "US", "GB"]), accept=st.booleans())
def test_what_is_written_back_reads_as_the_same_request(
    row: dict[str, str], region: str, accept: bool
) -> None:
    """Whatever was asked for, and wherever the reader thinks that numbers belong."""
    parsed = parse_request(row, ParseRules(accept_names=accept))
    if not isinstance(parsed, ParsedRequest):
        return
    fields = canonical_fields(parsed.request)
    again = parse_request(fields, ParseRules(region=region))

    assert tuple(fields) == CANONICAL_FIELDS
    assert isinstance(again, ParsedRequest), again
    assert canonical_fields(again.request) == fields
    # A name that can't be read as it was written is given as it was sent: then it is no longer known how it was written.
    written = parsed.request.business_name_written
    if written is None or fields["business_name"] == written:
        assert again.request == parsed.request


def test_a_row_for_one_of_several_products_asks_for_that_one() -> None:
    """What of an invitation went well is not asked for again."""
    request = a_request(products=(Product.WHATSAPP, Product.FACEBOOK_PAGE))

    assert canonical_fields_of(request, Product.FACEBOOK_PAGE)["product"] == "facebook:3"
    assert canonical_fields(request)["product"] == "whatsapp;facebook:3"


def test_products_cannot_be_edited() -> None:
    """A job is for one product, and an invitation for those it was accepted with."""
    assert set(CANONICAL_FIELDS) - set(EDITABLE_FIELDS) == {"product", "type"}


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("whatsapp", "+972501234567", "+9725******67"),
        ("whatsapp", "coexistence", "coexistence"),
        ("phone", "972501234567", "9725******67"),
        ("email", "dana@example.com", "d***@example.com"),
        ("name", "Dana Levi", "D***"),
        ("business_name", "Dana Flowers", "Dana Flowers"),
        ("business_name", "Dana 050-123-4567", "Dana 0501****67"),
        ("onboarding_message", "Write to dana@example.com", "Write to d***@example.com"),
        ("onboarding_logo", "https://example.com/l/dana.png", "https://example.com/***"),
        ("locale", "he", "he"),
        ("email", "", ""),
        ("reference", "A-1", "A-1"),
    ],
)
def test_what_is_personal_is_masked(name: str, text: str, shown: str) -> None:
    """Numbers keep their ends, addresses their domain, a person's name a letter; a business is known by its name."""
    assert mask_field(name, text) == shown


def test_every_personal_field_hides_what_it_holds() -> None:
    """A field that is called personal and shown whole would be a leak."""
    request = a_request(
        business_email="b@example.com",
        business_id="514000000",
        business_name="Dana d@example.com",
        display_name="Dana 0501111111",
        business_address="1 Herzl, 0501111111",
        onboarding_logo="https://example.com/l.png",
        onboarding_message="Hello 0501111111",
        contact=Contact(name="Dana", email="d@example.com", phone="972501111111", locale="en"),
    )
    fields: dict[str, Any] = canonical_fields(request)

    assert all(mask_field(name, fields[name]) != fields[name] for name in PERSONAL_FIELDS)
