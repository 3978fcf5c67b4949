"""What a brand profile may hold, and which of them a request gets."""

from __future__ import annotations

import pytest

from worker.domain.brand import BRAND_FIELDS, Brand, LiveBrands, brand_from_settings, parse_brand
from worker.domain.dedupe import contact_mark, fingerprint, partner_fields
from worker.domain.fields import Problem
from worker.domain.parse import InvalidRequest, ParsedRequest, ParseRules, parse_request
from worker.domain.request import OnboardingRequest, Product

WHOLE = {
    "name": "acme-north",
    "name_he": "אקמי צפון",
    "name_en": "Acme North",
    "logo": "https://acme.example/logo.png",
    "colour": "#0B6E4F",
    "contact_person": "Noa Levi",
    "phone": "03-6201234",
    "reply_to": "hello@ACME.example",
    "sms_sender": "ACME",
    "privacy_url": "https://acme.example/privacy",
    "verify_url": "https://acme.example/is-it-us",
}
PLAIN = {"whatsapp": "0501234567", "business_name": "Dana", "display_name": "Dana"}
ACME, OTHER = Brand(name="acme", name_en="Acme"), Brand(name="other", name_he="אחר")


def kept(**changes: str) -> Brand:
    brand, problems = parse_brand(WHOLE | changes)
    assert brand is not None, problems
    return brand


def refused(**changes: str) -> Problem:
    brand, problems = parse_brand(WHOLE | changes)
    assert brand is None
    [problem] = problems
    return problem


def known(*brands: Brand, default: str | None = None) -> LiveBrands:
    live = LiveBrands(lambda: brand_from_settings(brand_name="Settings"))
    live.take(brands, default=default, version=1)
    return live


def asked(rules: ParseRules, **fields: str) -> OnboardingRequest:
    parsed = parse_request(PLAIN | fields, rules)
    assert isinstance(parsed, ParsedRequest), parsed
    return parsed.request


# --- the fields ----------------------------------------------------------------------------------------------


def test_a_whole_profile_is_kept_in_one_form() -> None:
    """Numbers as digits, colours and domains in small letters."""
    brand, warnings = parse_brand(WHOLE)

    assert warnings == []
    assert brand is not None
    assert (brand.phone, brand.colour, brand.reply_to) == ("97236201234", "#0b6e4f", "hello@acme.example")
    assert brand.document() | {"phone": "03-6201234", "colour": "#0B6E4F"} == WHOLE | {
        "reply_to": "hello@acme.example"
    }


def test_a_profile_is_read_back_as_it_was_written() -> None:
    """A field that a later version adds does not upset this one."""
    brand = kept()

    assert Brand.from_document(brand.document() | {"jingle": "la"}) == brand
    assert set(brand.document()) == {"name", *BRAND_FIELDS}


@pytest.mark.parametrize(
    ("field", "text", "code", "said"),
    [
        ("name", "Acme North", "bad_name", "acme-north"),
        ("name", "", "needs_a_name", "acme-north"),
        ("name", "a" * 41, "bad_name", "at most 40"),
        ("name_en", "Acme www.acme.example", "holds_link", "fields of their own"),
        ("name_he", "א" * 61, "too_long", "at most 60"),
        ("logo", "http://acme.example/logo.png", "not_https", "https://acme.example/logo.png"),
        ("logo", "//acme.example/logo.png", "not_https", "https://"),
        ("privacy_url", "acme.example", "not_https", "https://acme.example/privacy"),
        ("verify_url", 'https://acme.example/"><script>', "bad_url", "address bar"),
        ("verify_url", "https://אקמי.example/", "bad_url", "address bar"),
        ("privacy_url", "https://acme.example/o'brien", "bad_url", "address bar"),
        ("verify_url", "https://acme.example:99999/", "bad_url", "up to 65535"),
        ("verify_url", "https://user:pw@acme.example/", "not_https", "https://"),
        ("privacy_url", "https://acme.example/" + "x" * 500, "too_long", "at most 500"),
        ("colour", "green", "not_a_colour", "#0b6e4f"),
        ("colour", "#0b6e4", "not_a_colour", "six hexadecimal digits"),
        ("phone", "12", "short_code", "country code"),
        ("phone", "1-700-123-456", "service_number", "called from everywhere"),
        ("reply_to", "hello at acme", "not_an_email", "dana@example.com"),
        ("sms_sender", "ACME FLOWERS", "too_long", "ACME FLOWER"),
        ("sms_sender", "אקמי", "not_a_sender", "ACME or 972501234567"),
        ("contact_person", "https://x.example", "holds_link", "the name alone"),
    ],
)
def test_what_a_field_cannot_be_is_told_with_the_remedy(field: str, text: str, code: str, said: str) -> None:
    """Each error names its field and what to write instead."""
    problem = refused(**{field: text})

    assert (problem.field, problem.code) == (field, code)
    assert said in f"{problem.message} {problem.remedy}".replace("Six", "six")


def test_all_that_is_wrong_is_told_at_once() -> None:
    """Nobody wants to mend ten fields in ten rounds."""
    brand, problems = parse_brand({"name": "x y", "colour": "red", "phone": "1"})

    assert brand is None
    assert [each.field for each in problems] == ["name", "colour", "phone", "name_he"]


def test_one_name_is_enough_and_serves_for_both_languages() -> None:
    """A message in Hebrew from an agency with an English name alone bears that."""
    brand, _ = parse_brand({"name": "acme", "name_en": "Acme"})

    assert brand is not None
    assert (brand.called("he"), brand.called("en")) == ("Acme", "Acme")
    assert (kept().called("he"), kept().called("en")) == ("אקמי צפון", "Acme North")


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("Acme 24", "Acme 24"),
        ("054-1234567", "972541234567"),
        ("+44 20 7946 0958", "442079460958"),
        ("5555", "5555"),
    ],
)
def test_an_sms_comes_from_a_word_or_a_number(text: str, sender: str) -> None:
    """Short codes are numbers of their own."""
    assert kept(sms_sender=text).sms_sender == sender


@pytest.mark.parametrize(("text", "colour"), [("0b6e4f", "#0b6e4f"), ("#ABCDEF", "#abcdef")])
def test_a_colour_needs_no_hash(text: str, colour: str) -> None:
    """Unquoted, a shell takes it for a comment."""
    assert kept(colour=text).colour == colour


def test_a_logo_of_another_kind_is_only_warned_of() -> None:
    """Its address need not tell its kind."""
    brand, warnings = parse_brand(WHOLE | {"logo": "https://acme.example/logo"})

    assert brand is not None
    assert [each.code for each in warnings] == ["check_picture"]


# --- which one a request gets --------------------------------------------------------------------------------


def test_a_request_gets_the_brand_it_names_else_the_default_else_the_settings() -> None:
    """In this order."""
    live = known(ACME, OTHER, default="other")

    assert live.chosen("acme") == ACME
    assert live.chosen(None) == OTHER
    assert known(ACME).chosen(None).called("he") == "Settings"


def test_a_removed_brand_gives_the_default_and_is_known_as_removed() -> None:
    """No message is lost for it."""
    live = known(ACME, default="acme")

    assert live.chosen("gone") == ACME
    assert live.is_removed("gone")
    assert not live.is_removed("acme")
    assert not live.is_removed(None)


def test_a_default_that_is_not_there_is_none() -> None:
    """Two reads of a ledger that changes between them."""
    assert known(ACME, default="gone").default is None


def test_the_settings_are_asked_only_where_they_are_needed() -> None:
    """A command that sends nothing need not understand EMAIL_FROM."""

    def refuse() -> Brand:
        raise AssertionError("asked")

    live = LiveBrands(refuse)
    live.take([ACME], default="acme", version=1)

    assert live.chosen(None) == ACME


def test_a_brand_nobody_knows_is_an_error_that_names_the_nearest() -> None:
    """And says where the name that WhatsApp shows belongs."""
    found = parse_request(PLAIN | {"brand": "Acne"}, ParseRules(brands=known(ACME, OTHER)))

    assert isinstance(found, InvalidRequest)
    [problem] = found.problems
    assert (problem.field, problem.code) == ("brand", "unknown_value")
    assert problem.remedy == "Did you mean acme? Known: acme, other."
    far = parse_request(PLAIN | {"brand": "פרחי דנה"}, ParseRules(brands=known(ACME)))
    assert isinstance(far, InvalidRequest)
    assert "display_name" in far.problems[0].remedy


def test_a_name_is_known_whatever_its_case() -> None:
    """Spreadsheets begin cells with a capital."""
    assert asked(ParseRules(brands=known(ACME)), brand=" ACME ").brand == "acme"


def test_where_no_brands_were_read_a_name_is_only_looked_at_as_such() -> None:
    """A ledger that is away must not refuse what it may know."""
    assert asked(ParseRules(), brand="acme").brand == "acme"
    assert asked(ParseRules(brands=LiveBrands()), brand="acme").brand == "acme"
    assert isinstance(parse_request(PLAIN | {"brand": "no such"}, ParseRules()), InvalidRequest)


def test_a_batchs_brand_is_that_of_rows_that_name_none() -> None:
    """The row's own wins."""
    rules = ParseRules(brands=known(ACME, OTHER), brand="other")

    assert asked(rules).brand == "other"
    assert asked(rules, brand="acme").brand == "acme"


@pytest.mark.parametrize(("text", "is_agreed"), [("כן", True), ("yes", True), ("0", False), ("", False)])
def test_agreed_is_yes_or_no(text: str, is_agreed: bool) -> None:
    """Nothing said is no."""
    assert asked(ParseRules(), agreed=text).is_agreed is is_agreed


def test_agreed_in_other_words_is_an_error() -> None:
    """It must not be taken for a yes."""
    found = parse_request(PLAIN | {"agreed": "maybe"})

    assert isinstance(found, InvalidRequest)
    assert [each.field for each in found.problems] == ["agreed"]


def test_brand_and_agreed_stay_with_us() -> None:
    """The same request with another brand is a duplicate, and the partner hears of neither."""
    plain, branded = asked(ParseRules()), asked(ParseRules(), brand="acme", agreed="1")

    assert fingerprint(plain) == fingerprint(branded)
    assert contact_mark(plain) == contact_mark(branded)
    assert partner_fields(plain, Product.WHATSAPP) == partner_fields(branded, Product.WHATSAPP)
    assert OnboardingRequest.decode(branded.encode()) == branded
    assert "brand" not in plain.encode()


def test_a_brand_without_a_latin_name_is_warned_of() -> None:
    """English texts have no room for Hebrew, and would not say who they are from."""
    brand, warnings = parse_brand({"name": "acme", "name_he": "אקמי"})

    assert brand is not None
    assert [each.code for each in warnings] == ["no_latin_name"]
    assert parse_brand({"name": "acme", "name_he": "Acme"})[1] == []
