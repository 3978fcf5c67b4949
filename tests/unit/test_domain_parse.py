"""Rows become requests, or teach whoever wrote them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.names import is_acceptable_name
from worker.domain.parse import (
    CANONICAL_FIELDS,
    InvalidRequest,
    ParsedRequest,
    ParseRules,
    nearest_field,
    parse_request,
)
from worker.domain.request import Contact, OnboardingRequest, Product
from worker.domain.states import Channel, ChannelPolicy

PLAIN = {
    "whatsapp": "0501234567",
    "business_name": "Dana Flowers",
    "display_name": "Dana Flowers",
    "email": "dana@example.com",
}


def understood(**changes):
    """Parse the plain row with *changes*; fail the test where it is refused."""
    rules = changes.pop("rules", ParseRules())
    found = parse_request(PLAIN | changes, rules)
    assert isinstance(found, ParsedRequest), found
    return found


def refused(**changes):
    """Parse the plain row with *changes*; return {field: code} of what is wrong."""
    rules = changes.pop("rules", ParseRules())
    found = parse_request(PLAIN | changes, rules)
    assert isinstance(found, InvalidRequest), found
    assert all(problem.message and problem.remedy for problem in found.problems)
    return {problem.field: problem.code for problem in found.problems}


def remedy(**changes):
    """Return the remedies of a refused row as one text."""
    found = parse_request(PLAIN | changes)
    assert isinstance(found, InvalidRequest), found
    return " ".join(problem.remedy for problem in found.problems)


def warned(**changes):
    """Return {field: code} of the warnings about an understood row."""
    return {problem.field: problem.code for problem in understood(**changes).warnings}


def test_a_plain_row_is_one_whatsapp_request():
    """What is not said takes its default; nothing is worth a warning."""
    found = understood(phone="0501234567", locale="en", name="Dana")

    assert found.warnings == ()
    assert found.request == OnboardingRequest(
        products=(Product.WHATSAPP,),
        whatsapp="972501234567",
        business_name="Dana Flowers",
        display_name="Dana Flowers",
        contact=Contact(name="Dana", email="dana@example.com", phone="972501234567", locale="en"),
    )


def test_every_field_arrives():
    """A row with everything filled loses nothing, and survives the ledger."""
    found = understood(
        product="whatsapp; Facebook:1 ;facebook:3",
        business_email="Office@Example.COM",
        business_id="512345678",
        business_address="דרך השלום 7, תל אביב",
        onboarding_logo="https://example.com/logo.png",
        onboarding_message="Welcome to Dana",
        reference="row 7",
        basic_templates="yes",
        phone="052-1234567",
        external_id="C-7",
        channels="sms;email",
        channel_policy="First",
        server="https://chat.example.com",
        account_id="12",
        inbox_id="34",
    )
    request = found.request

    assert found.warnings == ()
    assert request.products == (Product.WHATSAPP, Product.FACEBOOK_MESSENGER, Product.FACEBOOK_PAGE)
    assert request.business_email == "Office@example.com"
    assert (request.business_id, request.account_id, request.inbox_id) == ("512345678", 12, 34)
    assert request.basic_templates
    assert request.channels == (Channel.SMS, Channel.EMAIL)
    assert request.channel_policy is ChannelPolicy.FIRST
    assert OnboardingRequest.decode(request.encode()) == request


def test_everything_wrong_is_said_at_once():
    """Whoever mends a row wants to mend it once."""
    assert refused(whatsapp="12", business_name="", display_name="ab", email="dana", onboarding_logo="x") == {
        "whatsapp": "short_code",
        "business_name": "missing",
        "display_name": "too_short",
        "email": "not_an_email",
        "onboarding_logo": "not_https",
    }


@pytest.mark.parametrize("field", ["whatsapp", "business_name", "display_name"])
@pytest.mark.parametrize("empty", ["", "  ", "\u200f"])
def test_what_a_whatsapp_link_needs_must_be_there(field, empty):
    """A cell of blanks and invisible marks is empty."""
    assert refused(**{field: empty}) == {field: "missing"}


# --- numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["1", "coexistence", "Coexistence", "1.0"])
def test_coexistence_is_asked_for_by_word_or_by_1(word):
    """The partner allots the number."""
    request = understood(whatsapp=word).request

    assert request.is_coexistence
    assert request.number is None


def test_a_slip_in_coexistence_names_the_word():
    """A typo is no number, and the remedy says what was meant."""
    assert refused(whatsapp="coexistance") == {"whatsapp": "unknown_value"}
    assert "coexistence" in remedy(whatsapp="coexistance")


def test_a_doubtful_number_is_taken_with_a_warning():
    """059 may be Palestinian."""
    assert warned(whatsapp="0591234567") == {"whatsapp": "check_number"}


def test_only_a_mobile_can_take_the_sms():
    """A fixed contact number is kept, and said to be of no use for SMS."""
    assert warned(phone="03-1234567") == {"phone": "not_mobile"}
    assert refused(phone="0501234567 / 0521234567") == {"phone": "two_numbers"}


# --- names -------------------------------------------------------------------------------------------------


def test_a_business_name_is_mended_with_a_warning_and_kept_as_written():
    """The partner gets בעמ, the customer reads בע"מ."""
    found = understood(business_name='פרחי דנה בע"מ')

    assert found.request.business_name == "פרחי דנה בעמ"
    assert found.request.customer_name == 'פרחי דנה בע"מ'
    assert [(problem.field, problem.code) for problem in found.warnings] == [("business_name", "altered")]


def test_a_display_name_is_never_altered_unasked():
    """It can't be changed later: the acceptable form is proposed."""
    assert refused(display_name='פרחי דנה בע"מ') == {"display_name": "refused_characters"}
    assert "פרחי דנה בעמ" in remedy(display_name='פרחי דנה בע"מ')


def test_accepted_names_are_altered_with_a_warning():
    """The operator said so."""
    found = understood(display_name='פרחי דנה בע"מ', rules=ParseRules(accept_names=True))

    assert found.request.display_name == "פרחי דנה בעמ"
    assert {problem.code for problem in found.warnings} == {"altered"}


@pytest.mark.parametrize(
    ("field", "limit"), [("business_name", 100), ("display_name", 50), ("onboarding_message", 200)]
)
def test_too_long_a_text_is_refused_with_a_shorter_form(field, limit):
    """A legal name is not cut unasked; with accepted names it is."""
    text = "abcd " * (limit // 5) + "end"

    assert understood(**{field: text[:limit].strip()})
    assert refused(**{field: text}) == {field: "too_long"}
    assert text[: limit - 6] in remedy(**{field: text})
    assert understood(**{field: text}, rules=ParseRules(accept_names=True))


def test_a_name_of_signs_alone_can_not_be_mended():
    """There is nothing left to send."""
    assert refused(business_name="!!!", display_name="★★★") == {
        "business_name": "no_letters",
        "display_name": "too_short",
    }


@pytest.mark.parametrize(
    "name", ["DANA FLOWERS", "WhatsApp Dana", "Dana Facebook", "www dana", "dana co il", "12345"]
)
def test_names_that_whatsapp_turns_down_are_warned_of(name):
    """A person decides: some brands are written so."""
    assert warned(display_name=name) == {"display_name": "check_name"}


@pytest.mark.parametrize("name", ["IKEA", "פרחי דנה", "Dana 24", "Becoming"])
def test_ordinary_names_are_not_warned_of(name):
    """Acronyms may be capitals, Hebrew has no case."""
    assert warned(display_name=name) == {}


def test_an_onboarding_message_is_mended_like_a_business_name():
    """The partner takes letters, numbers and dashes."""
    found = understood(onboarding_message="Welcome! It's easy.")

    assert found.request.onboarding_message == "Welcome Its easy"
    assert {problem.code for problem in found.warnings} == {"altered"}


# --- other fields ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "text", "code"),
    [
        ("business_email", "dana", "not_an_email"),
        ("business_email", "d" * 195 + "@x.com", "too_long"),
        ("email", "a@b@c.com", "not_an_email"),
        ("email", "Dana <dana@example.com>", "not_an_email"),
        ("email", "דנה@example.com", "not_an_email"),
        ("email", "dana@example", "not_an_email"),
        ("email", "dana..f@example.com", "not_an_email"),
        ("email", "x" * 65 + "@example.com", "not_an_email"),
        ("business_id", "51-234-ab", "not_digits"),
        ("business_id", "1" * 21, "too_long"),
        ("business_id", "5.12345E+08", "digits_lost"),
        ("business_address", "x" * 301, "too_long"),
        ("onboarding_logo", "http://example.com/logo.png", "not_https"),
        ("onboarding_logo", "example.com/logo.png", "not_https"),
        ("onboarding_logo", "https://example.com/a b.png", "not_https"),
        ("onboarding_logo", "https://example.com/" + "x" * 1000 + ".png", "too_long"),
        ("basic_templates", "maybe", "unknown_value"),
        ("reference", "x" * 51, "too_long"),
        ("name", "x" * 201, "too_long"),
        ("locale", "42", "unknown_value"),
        ("channels", "email;pigeon", "unknown_value"),
        ("channel_policy", "last", "unknown_value"),
    ],
)
def test_a_bad_field_is_refused_by_its_own_rule(field, text, code):
    """One error, naming the field."""
    assert refused(**{field: text}) == {field: code}


@pytest.mark.parametrize(
    ("field", "text", "kept"),
    [
        ("business_id", "51-234567-8", "512345678"),
        ("business_id", "512345678.0", "512345678"),
        ("business_id", "٥١٢٣٤٥٦٧٨", "512345678"),
        ("basic_templates", "כן", True),
        ("basic_templates", "0", False),
        ("basic_templates", "TRUE", True),
        ("business_address", " דרך  השלום 7\n", "דרך השלום 7"),
        ("channels", "none", ()),
        ("channels", "mail, sms", (Channel.EMAIL, Channel.SMS)),
    ],
)
def test_a_field_is_read_generously(field, text, kept):
    """What can be understood without guessing is understood."""
    assert getattr(understood(**{field: text}).request, field) == kept


@pytest.mark.parametrize(
    ("field", "text", "near"),
    [
        ("product", "whatsap", "whatsapp"),
        ("product", "facebok:1", "facebook:1"),
        ("channels", "emial", "email"),
        ("channel_policy", "frist", "first"),
    ],
)
def test_a_slip_names_the_nearest_known_value(field, text, near):
    """The remedy says what was probably meant."""
    assert f"Did you mean {near}?" in remedy(**{field: text})


def test_half_a_landing_page_is_warned_of():
    """It takes name, address and id; a row without both extras wants none."""
    assert warned(business_id="512345678") == {"business_address": "no_landing_page"}
    assert warned(business_address="TLV") == {"business_id": "no_landing_page"}
    assert warned(business_address="TLV", business_id="512345678") == {}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"email": "dana@gmial.com"}, {"email": "check_email"}),
        ({"onboarding_logo": "https://example.com/logo"}, {"onboarding_logo": "check_logo"}),
        ({"business_id": "51-2", "business_address": "TLV"}, {"business_id": "separators_dropped"}),
        ({"email": ""}, {"email": "no_contact"}),
        ({"email": "", "channels": "none"}, {}),
        ({"channels": "sms"}, {"phone": "no_contact"}),
        ({"server": "https://chat.example.com"}, {"server": "not_used"}),
        ({"locale": "fr"}, {"locale": "no_such_language"}),
        ({"type": "1"}, {"type": "not_used"}),
    ],
)
def test_what_is_doubtful_is_a_warning_and_no_error(changes, expected):
    """The row goes on; the report says what to look at."""
    assert warned(**changes) == expected


@pytest.mark.parametrize(
    ("written", "locale"),
    [("he", "he"), ("he-IL", "he"), ("en_US", "en"), ("iw", "he"), ("English", "en"), ("", "en")],
)
def test_languages_are_read_as_systems_write_them(written, locale):
    """Tags with regions, old codes and plain words; the default where none is given."""
    assert understood(locale=written, rules=ParseRules(locale="en")).request.contact.locale == locale


# --- products ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("product", "kind", "products"),
    [
        ("", "", (Product.WHATSAPP,)),
        ("WhatsApp", "", (Product.WHATSAPP,)),
        ("whatsapp;facebook:1", "", (Product.WHATSAPP, Product.FACEBOOK_MESSENGER)),
        ("facebook:4, facebook:2", "", (Product.INSTAGRAM_PAGE, Product.INSTAGRAM_MESSENGER)),
        ("facebook", "3", (Product.FACEBOOK_PAGE,)),
        ("facebook", "3.0", (Product.FACEBOOK_PAGE,)),
        ("whatsapp; facebook", "2", (Product.WHATSAPP, Product.INSTAGRAM_MESSENGER)),
        ("facebook:1", "1", (Product.FACEBOOK_MESSENGER,)),
    ],
)
def test_products_are_read_in_every_documented_form(product, kind, products):
    """In the order asked for."""
    assert understood(product=product, type=kind).request.products == products


@pytest.mark.parametrize(
    ("product", "kind", "expected"),
    [
        ("whatsapp;whatsapp", "", {"product": "product_twice"}),
        ("facebook;facebook:1", "1", {"product": "product_twice"}),
        ("facebook", "", {"type": "missing"}),
        ("facebook", "5", {"type": "unknown_value"}),
        ("facebook:5", "", {"product": "unknown_value"}),
        ("facebook:1", "2", {"type": "contradiction"}),
        ("telegram", "", {"product": "unknown_value"}),
        (";", "", {"product": "unknown_value"}),
    ],
)
def test_products_that_make_no_sense_are_refused(product, kind, expected):
    """Without a heap of other complaints about fields that an unknown product may not need."""
    assert refused(product=product, type=kind) == expected


def test_an_unknown_product_does_not_ask_for_whatsapp_fields():
    """The one mistake is named alone."""
    found = parse_request({"product": "facebok:1", "email": "dana@example.com"})

    assert isinstance(found, InvalidRequest)
    assert [problem.field for problem in found.problems] == ["product"]


def test_facebook_alone_needs_no_number_and_sends_no_whatsapp_field():
    """What it does not use is said once for each field; the name is kept for the message as written."""
    found = understood(
        product="facebook:1", business_name='דנה בע"מ', server="https://chat.example.com", account_id="7"
    )

    assert found.request.whatsapp is None
    assert found.request.display_name is None
    assert found.request.customer_name == 'דנה בע"מ'
    assert (found.request.server, found.request.account_id) == ("https://chat.example.com", 7)
    assert {(problem.field, problem.code) for problem in found.warnings} == {
        ("whatsapp", "not_used"),
        ("display_name", "not_used"),
    }


def test_a_bare_facebook_row_is_enough():
    """Product and contact."""
    found = parse_request({"product": "facebook:2", "email": "dana@example.com"})

    assert isinstance(found, ParsedRequest)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("field", "text", "code"),
    [
        ("server", "chat", "not_a_url"),
        ("server", "https://chat.example.com/" + "x" * 200, "too_long"),
        ("account_id", "seven", "not_digits"),
        ("account_id", "0", "not_above_zero"),
        ("inbox_id", "1" * 51, "too_long"),
    ],
)
def test_omni_channel_fields_have_their_rules(field, text, code):
    """They go with Facebook links only."""
    assert refused(product="facebook:1", **{field: text}) == {field: code}


# --- at large ----------------------------------------------------------------------------------------------


def test_the_nearest_field_is_named():
    """For headers and bodies with a slip in them."""
    assert nearest_field("bussiness_name") == "business_name"
    assert nearest_field("zzz") is None


_CELLS = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            "",
            "1",
            "0501234567",
            "whatsapp",
            "facebook:1;facebook",
            "none",
            'בע"מ',
            "a@b.co",
            "https://x.y/z.png",
            "he",
        ]
    ),
)


@given(st.dictionaries(st.sampled_from(CANONICAL_FIELDS), _CELLS))
def test_no_row_makes_it_raise_and_what_is_understood_fits_the_rules(fields):
    """Any text in any field; what passes is within the partner's limits and survives the ledger."""
    for rules in (ParseRules(), ParseRules(accept_names=True)):
        found = parse_request(fields, rules)
        if isinstance(found, InvalidRequest):
            assert found.problems
            continue
        request = found.request
        assert OnboardingRequest.decode(request.encode()) == request
        if Product.WHATSAPP in request.products:
            assert request.whatsapp
            assert is_acceptable_name(request.business_name or "", 100)
            assert is_acceptable_name(request.display_name or "", 50)
            assert len(request.display_name or "") >= 3
        assert request.onboarding_message is None or is_acceptable_name(request.onboarding_message, 200)


@given(st.text(min_size=1, max_size=120))
def test_any_name_is_sent_in_a_form_the_partner_takes(name):
    """With accepted names a name is altered or refused, never sent as it can't be."""
    found = parse_request(
        PLAIN | {"business_name": name, "display_name": name}, ParseRules(accept_names=True)
    )
    if isinstance(found, ParsedRequest):
        assert is_acceptable_name(found.request.business_name or "", 100)
        assert is_acceptable_name(found.request.display_name or "", 50)
