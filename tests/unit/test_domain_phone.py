"""Numbers as people write them, and the masks for what is kept. Vectors: the traps met in real lists."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.phone import (
    PhoneNumber,
    PhoneProblem,
    mask_email,
    mask_number,
    mask_text,
    normalise_number,
    plain_mobile,
)


@pytest.mark.parametrize(
    "text",
    [
        "972501234567",
        "050-123-4567",
        "0501234567",
        "501234567",
        "+972501234567",
        "+9720501234567",
        "+972 (0)50-123-4567",
        "972-050-1234567",
        "00972501234567",
        "(050) 123.4567",
        "050–123–4567",
        "٠٥٠١٢٣٤٥٦٧",
        "９７２５０１２３４５６７",
        "\u200e050-1234567\u202c",
        "\u2066+972 50 123 4567\u2069",
        "\u00a0050 1234567 ",
        "501234567.0",
        "972501234567.0",
        "tel:+972-50-123-4567",
        "'0501234567",
    ],
)
def test_every_way_of_writing_a_mobile_means_the_same_number(text):
    """Trunk zeros, brackets, dashes, other digits, bidi marks and spreadsheet floats are all read through."""
    assert normalise_number(text) == PhoneNumber("972501234567", is_mobile=True)


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("03-1234567", "97231234567"),
        ("31234567", "97231234567"),
        ("077-1234567", "972771234567"),
        ("+972 2 123 4567", "97221234567"),
        ("03/1234567", "97231234567"),
    ],
)
def test_fixed_and_voip_numbers_are_no_mobiles(text, digits):
    """A fixed number can be onboarded, but takes no SMS."""
    assert normalise_number(text) == PhoneNumber(digits, is_mobile=False)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("97250123456", "too_short"),
        ("050123456", "too_short"),
        ("05012345678", "too_long"),
        ("9725012345678", "too_long"),
        ("03-1234567/8", "too_long"),
        ("1" * 200, "too_long"),
        ("011972501234567", "dialling_prefix"),
        ("050-1234567 / 052-1234567", "two_numbers"),
        ("050.. / 052..", "two_numbers"),
        ("0501234567 0521234567", "two_numbers"),
        ("0501234567\n0521234567", "two_numbers"),
        ("0501234567 or 0521234567", "two_numbers"),
        ("0501234567, 0521234567", "two_numbers"),
        ("*6050", "short_code"),
        ("144", "short_code"),
        ("1-800-123456", "not_registrable"),
        ("1-800-555-1234", "not_registrable"),
        ("1-700-700-700", "not_registrable"),
        ("+972 1-800-123456", "not_registrable"),
        ("0121234567", "unknown_prefix"),
        ("050-1234567 ext 12", "extension"),
        ("050-1234567x12", "extension"),
        ("050-1234567 שלוחה 3", "extension"),
        ("050-1234567;ext=3", "extension"),
        ("5.01234567E+08", "digits_lost"),
        ("9.72501E+11", "digits_lost"),
        ("050-CALL-NOW", "letters"),
        ("dana", "not_a_number"),
        ("", "not_a_number"),
        ("+999123456789", "not_a_number"),
        ("+0501234567", "not_a_number"),
        ("+44 12", "short_code"),
        ("+1 415 55526", "impossible"),
    ],
)
def test_what_is_no_number_is_refused_with_its_own_reason(text, code):
    """Each trap is named, so that whoever filled in the cell learns what to write."""
    found = normalise_number(text)

    assert isinstance(found, PhoneProblem)
    assert found.code == code
    assert found.message
    assert found.remedy


@pytest.mark.parametrize("text", ["0591234567", "056-1234567", "591234567"])
def test_a_bare_059_or_056_is_taken_with_a_warning(text):
    """Both sides of the border use these prefixes; only the country code tells."""
    found = normalise_number(text)

    assert isinstance(found, PhoneNumber)
    assert found.digits.startswith("9725")
    assert "+970" in (found.warning or "")


def test_a_palestinian_number_with_its_country_code_is_no_ambiguity():
    """+970 59 is read as it stands."""
    assert normalise_number("+970 59 123 4567") == PhoneNumber("970591234567", is_mobile=True)


@pytest.mark.parametrize(
    ("text", "digits", "is_mobile"),
    [
        ("+44 7911 123456", "447911123456", True),
        ("0044 7911 123456", "447911123456", True),
        ("+1 (415) 555-2671", "14155552671", None),
        ("+39 06 1234 5678", "390612345678", False),
    ],
)
def test_numbers_of_other_countries_are_read(text, digits, is_mobile):
    """A plus or 00 says that a country code follows; Italy keeps its leading zero."""
    assert normalise_number(text) == PhoneNumber(digits, is_mobile)


def test_a_foreign_number_without_a_plus_is_taken_with_a_warning():
    """The partner's own form has no plus, so 447911123456 must be understood."""
    found = normalise_number("447911123456")

    assert isinstance(found, PhoneNumber)
    assert (found.digits, found.is_mobile) == ("447911123456", True)
    assert found.warning


def test_a_number_outside_known_ranges_is_a_warning_only():
    """Google's ranges lag behind what operators hand out."""
    found = normalise_number("+44 50 1234 567")

    assert isinstance(found, PhoneNumber)
    assert "no range" in (found.warning or "")


@pytest.mark.parametrize(
    ("text", "region", "digits"),
    [
        ("020 7946 0958", "GB", "442079460958"),
        ("011972501234567", "US", "972501234567"),
        ("972501234567", "GB", "972501234567"),
    ],
)
def test_the_region_decides_how_national_numbers_are_read(text, region, digits):
    """The default region is a setting."""
    found = normalise_number(text, region=region)

    assert isinstance(found, PhoneNumber)
    assert found.digits == digits


def test_an_unknown_region_is_a_problem_and_no_crash():
    """A bad setting does not raise in the middle of a row."""
    assert isinstance(normalise_number("0501234567", region="ZZ"), PhoneProblem)


@given(st.text(max_size=120))
def test_no_text_makes_it_raise_and_numbers_are_digits(text):
    """Whatever a cell holds, the answer is a number of E.164 or a problem."""
    for region in ("IL", "US"):
        found = normalise_number(text, region=region)
        if isinstance(found, PhoneNumber):
            assert found.digits.isascii()
            assert found.digits.isdigit()
            assert 7 <= len(found.digits) <= 17


@given(st.text("0123456789+-.*/() xXE\u200e\u0665", max_size=24))
def test_what_was_read_once_reads_the_same_again(text):
    """The digits that come out are the canonical form."""
    found = normalise_number(text)
    if isinstance(found, PhoneNumber):
        again = normalise_number("+" + found.digits)
        assert isinstance(again, PhoneNumber)
        assert again.digits == found.digits


@given(st.from_regex(r"(9725|05)[0-9]{8}", fullmatch=True))
def test_the_quick_way_says_what_the_thorough_way_says(text):
    """The fast path is an optimisation and no rule of its own."""
    quick = plain_mobile(text, "IL")
    thorough = normalise_number(" " + text)

    assert isinstance(thorough, PhoneNumber)
    assert quick in {thorough.digits, None}
    assert (quick is None) == (thorough.warning is not None)


def test_masks_keep_what_an_operator_needs_to_recognise():
    """Four digits and the last two; a letter and the domain."""
    assert mask_number("972501234567") == "9725******67"
    assert mask_number("12345") == "***45"
    assert mask_number("") == ""
    assert mask_email("dana@example.com") == "d***@example.com"
    assert mask_email("nonsense") == "***"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('{"whatsapp":"972501234567"}', '{"whatsapp":"9725******67"}'),
        ("call +972 50-123-4567 now", "call 9725******67 now"),
        ("a.dana@example.com", "a***@example.com"),
        ("https://p.example.com/o/abc?x=1", "https://p.example.com/***"),
        (r"https:\/\/p.example.com\/o\/abc", "https://p.example.com/***".replace("://", r":\/\/")),
        ("https://user:secret@p.example.com/o", "https://p.example.com/***"),
        ("p.example.com/o/abc", "p.example.com/***"),
        ("on 2026-11-21 code 25, text/html, HTTP/1.1", "on 2026-11-21 code 25, text/html, HTTP/1.1"),
        ("reason 13", "reason 13"),
    ],
)
def test_raw_answers_are_masked(text, masked):
    """Numbers of seven digits or more, addresses and links never reach a record as they are."""
    assert mask_text(text) == masked


@given(st.from_regex(r"972[0-9]{9}", fullmatch=True), st.text(max_size=30), st.text(max_size=30))
def test_a_number_never_survives_the_mask(digits, before, after):
    """Whatever stands around it."""
    assert digits not in mask_text(before + digits + after)


@pytest.mark.parametrize("unit", ["a", "1", "a.", "1 ", "@", "a@", "https://", "a-", "a/"])
def test_a_hostile_answer_costs_a_pass_and_not_its_square(unit):
    """64 KiB of the worst text is masked in well under a second."""
    began = time.thread_time()
    mask_text(unit * (65_536 // len(unit)))

    assert time.thread_time() - began < 1.0
