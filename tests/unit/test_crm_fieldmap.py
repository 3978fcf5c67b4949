"""Field maps: what they take from an object, and how they say that they make no sense."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.crm.fieldmap import (
    CONSTANT,
    SAME_AS_BUSINESS_NAME,
    FieldMap,
    FieldMapError,
    as_text,
    at_pointer,
    pointer_lookup,
)
from producers.crm.model import Unwanted, Wanted

DEFAULTS = {"whatsapp": ["mobile", "phone"], "business_name": "company", "email": "email"}
DANA = {"mobile": "0501234567", "company": "Dana Flowers", "email": "dana@example.com"}


def a_map(text: str | None = None, **written: object) -> FieldMap:
    return FieldMap.parse(text or json.dumps(written), defaults=DEFAULTS)


def test_the_first_source_that_holds_something_wins():
    """A list is tried in its order; blanks count as nothing, and each field tells where it came from."""
    wanted = a_map().fields({"mobile": " ", "phone": " 0501234567 ", "company": "Dana"}.get)

    assert isinstance(wanted, Wanted)
    assert wanted.fields["whatsapp"] == "0501234567"
    assert wanted.origins["whatsapp"] == "phone"


def test_a_map_is_laid_over_the_defaults_field_by_field():
    """Whoever maps one field keeps the others, and null takes a default away."""
    wanted = a_map(business_name="org", email=None).fields({**DANA, "org": "Org"}.get)

    assert wanted.fields == {"whatsapp": "0501234567", "business_name": "Org", "display_name": "Org"}


def test_constants_stand_alone_or_at_the_end_of_a_list():
    """A default product is a constant; a constant last is a fallback."""
    written = {"product": {"const": "whatsapp;facebook:1"}, "locale": ["lang", {"const": "en"}]}
    wanted = a_map(**written).fields(DANA.get)

    assert wanted.fields["product"] == "whatsapp;facebook:1"
    assert wanted.fields["locale"] == "en"
    assert wanted.origins["locale"] == CONSTANT


def test_the_display_name_follows_the_business_name():
    """Most CRMs know one name; a display name that is mapped and filled in wins."""
    assert a_map().fields(DANA.get).origins["display_name"] == SAME_AS_BUSINESS_NAME
    own = a_map(display_name="brand")
    assert own.fields({**DANA, "brand": "Dana's"}.get).fields["display_name"] == "Dana's"
    assert own.fields(DANA.get).fields["display_name"] == "Dana Flowers"


def test_without_a_number_a_whatsapp_request_is_incomplete():
    """A record that will be filled in later is no failure; the detail says where was looked."""
    unwanted = a_map().fields({"company": "Dana"}.get)

    assert unwanted == Unwanted("incomplete", "whatsapp: nothing at mobile, phone")


def test_a_facebook_request_needs_no_number():
    """Facebook has none, and coexistence is a word in the number's place."""
    facebook = a_map(product={"const": "facebook:1"})
    assert isinstance(facebook.fields({"company": "Dana"}.get), Wanted)
    coexistence = a_map(whatsapp={"const": "coexistence"})
    assert isinstance(coexistence.fields({"company": "Dana"}.get), Wanted)


def test_only_if_lets_through_what_has_one_of_the_values():
    """Capital letters and blanks make no difference; what is missing has no value."""
    staged = a_map(only_if={"stage": ["Won", "signed"]})

    assert isinstance(staged.fields({**DANA, "stage": " WON "}.get), Wanted)
    for stage in ("lost", "", None):
        unwanted = staged.fields({**DANA, "stage": stage}.get)
        assert isinstance(unwanted, Unwanted)
        assert unwanted.reason == "filtered"


def test_it_names_every_source_once():
    """What a CRM has to be asked for: constants are none of it, conditions are."""
    field_map = a_map(phone=["phone", {"const": "1"}], only_if={"stage": "won"})

    assert field_map.sources() == ("mobile", "phone", "company", "email", "stage")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "line 1, column 2"),
        ("[]", "one JSON object"),
        ('{"whatsap": "x"}', "Did you mean whatsapp?"),
        ('{"zzzz": "x"}', "Known: whatsapp, "),
        ('{"zzzz": null}', "Known: whatsapp, "),
        ('{"email": 7}', "email: write a source"),
        ('{"email": ""}', "email: write a source"),
        ('{"email": []}', "email: the list is empty"),
        ('{"email": {"constant": "x"}}', "email: write a source"),
        ('{"email": {"const": {}}}', "email: write a source"),
        ('{"email": "a", "email": "b"}', "email is mapped twice"),
        ('{"only_if": "won"}', "only_if: write"),
        ('{"only_if": {"stage": []}}', "only_if: stage needs a value"),
        ('{"only_if": {"stage": {}}}', "only_if: stage needs a value"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_map_is_told_in_plain_words(text: str, says: str):
    """The error names the field and what to write instead."""
    with pytest.raises(FieldMapError, match=says.replace("?", r"\?")):
        a_map(text)


def test_no_map_is_the_defaults():
    """Nothing has to be written where the CRM's usual fields will do."""
    assert FieldMap.parse(None, defaults=DEFAULTS) == FieldMap.parse("  ", defaults=DEFAULTS)


def test_json_values_become_texts():
    """Numbers keep no .0, lists are joined as products are, objects and nulls are nothing."""
    values = [
        972501234567.0,
        7,
        1.5,
        True,
        None,
        "",
        " x ",
        {"a": 1},
        ["whatsapp", None, "facebook:1", {}],
        [],
    ]
    texts = ["972501234567", "7", "1.5", "true", None, None, "x", None, "whatsapp;facebook:1", None]

    assert [as_text(value) for value in values] == texts


def test_pointers_reach_into_objects_and_lists():
    """RFC 6901, its escapes too; a word without a slash is a member at the top."""
    document = {"a": [{"b": 1}], "x/y": {"~": "deep"}, "top": "t", "": "empty"}

    pointers = {"/a/0/b": 1, "/x~1y/~0": "deep", "top": "t", "/top": "t", "/": "empty"}
    assert {each: at_pointer(document, each) for each in pointers} == pointers
    for nowhere in ("/a/1/b", "/a/-1", "/a/٠/b", "/a/b", "/top/x", "/none", "none"):
        assert at_pointer(document, nowhere) is None
    assert at_pointer([1], "top") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_whatever_a_body_holds_becomes_fields_or_nothing(document: object):
    """A strange body is unwanted or wanted, never a fault."""
    found = FieldMap.of({"whatsapp": ["/a", "a", "/0/a"]}, defaults=DEFAULTS).fields(pointer_lookup(document))

    assert isinstance(found, Wanted | Unwanted)


@given(JSON)
def test_whatever_is_written_as_a_map_is_read_or_refused(document: object):
    """A bad setting gives one kind of error."""
    with contextlib.suppress(FieldMapError):
        read = FieldMap.parse(json.dumps({"email": document, "only_if": document}), defaults=DEFAULTS)
        assert isinstance(read.fields(pointer_lookup(document)), Wanted | Unwanted)
