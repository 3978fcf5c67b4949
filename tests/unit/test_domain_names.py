"""Names as the partner takes them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.names import acceptable_name, ascii_digits, clean_text, is_acceptable_name


@pytest.mark.parametrize(
    ("written", "accepted"),
    [
        ('דנה פרחים בע"מ', "דנה פרחים בעמ"),
        ("דנה פרחים בע״מ", "דנה פרחים בעמ"),
        ("צ'ופצ'יק", "צופציק"),
        ("Dana's Flowers", "Danas Flowers"),
        ("תל־אביב", "תל-אביב"),
        ("Dana – Flowers", "Dana - Flowers"),
        ("A & B, Ltd.", "A B Ltd"),
        ("Café №5", "Café 5"),
        ("Dana ❤️ Flowers", "Dana Flowers"),
        ("e\u0301clair!", "éclair"),
        ("«Dana»", "Dana"),
        ("Dana_Flowers/TLV", "Dana Flowers TLV"),
    ],
)
def test_refused_signs_are_mended(written, accepted):
    """Quotes are dropped, dashes become hyphens, other signs a space."""
    found = acceptable_name(written, 100)

    assert (found.text, found.is_altered) == (accepted, True)


@pytest.mark.parametrize(
    "name", ["Dana Flowers", "פרחי דנה", "Café 24-7", "שָׁלוֹם", "店名", "ร้านดอกไม้", "Ünal"]
)
def test_letters_of_any_script_stay_as_they_are(name):
    """Vowel points and accents belong to their letters."""
    assert acceptable_name(name, 100).text == unicodedata.normalize("NFC", name)
    assert not acceptable_name(name, 100).is_altered


def test_invisible_marks_and_spaces_are_no_alteration():
    """Nobody sees them, so nobody is asked about them."""
    found = acceptable_name("\u202b Dana \u00a0\t Flowers\u200e\n", 100)

    assert (found.text, found.is_altered) == ("Dana Flowers", False)


def test_a_long_name_is_cut_at_a_words_end():
    """Half a word looks like a mistake; half a long word is the best that can be had."""
    assert acceptable_name("Dana Flowers and More", 16).text == "Dana Flowers and"
    assert acceptable_name("Dana Flowers and More", 15).text == "Dana Flowers"
    assert acceptable_name("x" * 30, 10).text == "x" * 10


@pytest.mark.parametrize("text", ["", "  ", "!!!", "-", '"', "\u0301", "❤️"])
def test_nothing_but_signs_gives_no_name(text):
    """Such a text can't be mended."""
    assert acceptable_name(text, 100).text == ""


@given(st.text(max_size=150), st.integers(3, 100))
def test_a_mended_name_is_always_accepted_and_stays_so(text, limit):
    """What comes out fits the rule, so mending twice changes nothing."""
    found = acceptable_name(text, limit).text

    assert len(found) <= limit
    assert all(
        sign in " -" or unicodedata.category(sign)[0] in "LM" or unicodedata.category(sign) == "Nd"
        for sign in found
    )
    assert found == "" or is_acceptable_name(found, limit)


@given(st.text(max_size=100))
def test_clean_text_is_stable_tidy_and_can_be_stored(text):
    """NFC, no controls, no double spaces, and always encodable."""
    cleaned = clean_text(text)

    assert clean_text(cleaned) == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned == " ".join(cleaned.split())
    assert not any(unicodedata.category(sign) in {"Cc", "Cf", "Cs"} for sign in cleaned)
    cleaned.encode()


def test_digits_of_other_scripts_become_plain_ones():
    """Arabic-Indic and full width alike; signs that are no decimals stay."""
    assert ascii_digits("٠٥٠-１２²") == "050-12²"
