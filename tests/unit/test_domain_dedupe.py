"""What makes two requests the same."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import a_request
from worker.domain.dedupe import (
    claim_key,
    contact_mark,
    event_key,
    fingerprint,
    is_anothers_id,
    partner_fields,
)
from worker.domain.request import Contact, Product

FULL = {
    "products": (Product.WHATSAPP, Product.FACEBOOK_MESSENGER),
    "whatsapp": "972501234567",
    "business_email": "a@example.com",
    "business_id": "512345678",
    "business_address": "TLV",
    "onboarding_logo": "https://example.com/l.png",
    "onboarding_message": "Hello",
    "basic_templates": True,
    "server": "https://chat.example.com",
    "account_id": 7,
    "inbox_id": 8,
}
ANOTHER = FULL | {
    "products": (Product.WHATSAPP, Product.FACEBOOK_PAGE),
    "whatsapp": "972507654321",
    "business_name": "Other",
    "display_name": "Other",
    "business_email": "b@example.com",
    "business_id": "1",
    "business_address": "HFA",
    "onboarding_logo": "https://example.com/m.png",
    "onboarding_message": "Bye",
    "basic_templates": False,
    "server": "https://other.example.com",
    "account_id": 9,
    "inbox_id": 10,
}


def test_the_partner_gets_its_fields_and_nothing_of_ours():
    """No contact, no reference of the caller's, nothing unset."""
    request = a_request(reference="r1", external_id="e1", whatsapp="972501234567")

    assert partner_fields(request, Product.WHATSAPP) == {
        "whatsapp": "972501234567",
        "business_name": "Dana Flowers",
        "display_name": "Dana Flowers",
    }
    assert partner_fields(request, Product.INSTAGRAM_PAGE) == {"type": 4}


def test_all_that_is_set_is_sent():
    """Templates as the integer 1, the type as an integer."""
    request = a_request(**FULL)

    assert set(partner_fields(request, Product.WHATSAPP)) == {
        "whatsapp",
        "business_name",
        "display_name",
        "business_email",
        "business_id",
        "business_address",
        "onboarding_logo",
        "onboarding_message",
        "basic_templates",
    }
    assert partner_fields(request, Product.FACEBOOK_MESSENGER) == {
        "type": 1,
        "server": "https://chat.example.com",
        "account_id": 7,
        "inbox_id": 8,
    }


@pytest.mark.parametrize("field", sorted(ANOTHER))
def test_the_fingerprint_changes_with_every_field_the_partner_gets(field):
    """Kept in step with `partner_fields`, which it does not call."""
    one = a_request(**FULL)
    other = dataclasses.replace(one, **{field: ANOTHER[field]})

    sent = [[partner_fields(request, product) for product in request.products] for request in (one, other)]
    assert sent[0] != sent[1]
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    "changes",
    [
        {"reference": "another"},
        {"external_id": "another"},
        {"contact": Contact(email="other@example.com")},
        {"business_name_written": 'Dana "Flowers"'},
        {"products": (Product.FACEBOOK_MESSENGER, Product.WHATSAPP)},
    ],
)
def test_what_the_partner_does_not_get_leaves_the_fingerprint(changes):
    """The same links are asked for, in whatever order and for whomever to read."""
    one = a_request(**FULL)

    assert fingerprint(dataclasses.replace(one, **changes)) == fingerprint(one)
    assert len(fingerprint(one)) == 16


def test_a_name_used_in_messages_only_is_not_part_of_a_facebook_fingerprint():
    """The partner does not get it."""
    one, other = (
        a_request(products=(Product.FACEBOOK_PAGE,), whatsapp=None, display_name=None, business_name=name)
        for name in ("A", "B")
    )

    assert fingerprint(one) == fingerprint(other)


def test_a_request_has_the_same_fingerprint_when_read_back():
    """The ledger compares what it stored with what comes in."""
    one = a_request(**FULL)

    assert fingerprint(type(one).decode(one.encode())) == fingerprint(one)


def test_the_contact_mark_tells_contacts_apart():
    """Eight characters; letter case in an address means nothing."""
    contact = Contact(name="Dana", email="dana@example.com", phone="972501234567", locale="he")
    mark = contact_mark(a_request(contact=contact))

    assert len(mark) == 8
    assert mark == contact_mark(a_request(contact=dataclasses.replace(contact, email="Dana@example.com")))
    for change in ({"name": "Ron"}, {"email": None}, {"phone": None}, {"locale": "en"}):
        assert contact_mark(a_request(contact=dataclasses.replace(contact, **change))) != mark


def test_a_number_is_its_own_claim():
    """Whatever else is said: one number, one link."""
    request = a_request(whatsapp="972501234567", external_id="e")

    assert claim_key(request, "key", "row") == "n:972501234567"


def test_without_a_number_the_strongest_name_there_is_claims():
    """Idempotency key, else external id, else the row, else the request."""
    request = a_request(whatsapp="1", external_id="e")
    bare = a_request(whatsapp="1")
    keys = [
        claim_key(request, "key", "row"),
        claim_key(request, None, "row"),
        claim_key(bare, None, "row"),
        claim_key(bare, None, "row 2"),
        claim_key(bare, None, None),
    ]

    assert len(set(keys)) == len(keys)
    assert all(key.startswith("b:") for key in keys)
    assert claim_key(request, "key", "row") == claim_key(bare, "key", None)
    assert claim_key(request, None, "row") == claim_key(request, None, "other row")


def test_an_external_id_claims_for_its_products_only():
    """A customer with coexistence may ask for Facebook later."""
    one = a_request(whatsapp="1", external_id="e")
    other = a_request(products=(Product.FACEBOOK_PAGE,), whatsapp=None, external_id="e")

    assert claim_key(one, None, None) != claim_key(other, None, None)


@given(st.text(), st.text(), st.text(st.characters(exclude_characters="\x1f")))
def test_keys_of_any_text_are_short_plain_and_apart_for_each_source(key, row, source):
    """They become parts of Redis keys."""
    made = event_key(source, key)

    assert len(made) == 16
    assert made.replace("-", "").replace("_", "").isalnum()
    assert event_key(source + "2", key) != made
    json.dumps(claim_key(a_request(whatsapp="1"), key, row))


@pytest.mark.parametrize("is_same_source", [True, False])
@pytest.mark.parametrize("is_same_contact", [True, False])
def test_an_id_is_anothers_only_where_source_and_contact_say_so(is_same_source, is_same_contact):
    """A number never is: whoever has it is the same customer."""
    facts = {"is_same_source": is_same_source, "is_same_contact": is_same_contact}

    assert is_anothers_id("b:x", **facts) is not (is_same_source or is_same_contact)
    assert not is_anothers_id("n:972501234567", **facts)
