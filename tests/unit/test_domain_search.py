"""By what customers are found, and what a text typed into a search field may mean."""

from __future__ import annotations

import pytest

from tests.factories import a_request
from worker.domain.ids import new_invitation_id
from worker.domain.request import Contact
from worker.domain.search import (
    WORDS_KEPT,
    Guess,
    SearchKeys,
    changed_terms,
    guess,
    moments,
    number_term,
    terms_of,
    words_of,
)

INVITATION = new_invitation_id(now_ms=1_790_000_000_000, chance=77)
CUSTOMER = a_request(
    whatsapp="972501234567",
    business_name="מספרת דנה בעמ",
    business_name_written='מספרת דנה בע"מ',
    display_name="Dana's Café",
    business_email="Office@Dana.example",
    external_id="501",
    reference="spring-24",
    contact=Contact(name="Dana Levi", email="dana@example.com", phone="972521111111"),
)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("Dana  Flowers", ["dana", "flowers"]),
        ("DANA'S flowers-shop", ["danas", "flowers", "shop"]),
        ('דנה בע"מ', ["דנה", "בעמ"]),
        ("דנה בע״מ", ["דנה", "בעמ"]),
        ("שָׁלוֹם", ["שלום"]),
        ("Café Ωmega", ["cafe", "ωmega"]),
        ("１２３ Ｓhop", ["123", "shop"]),
        ("“Dana” & Co.", ["dana", "co"]),
        ("Straße_7", ["strasse", "7"]),
        ("!!!", []),
    ],
)
def test_names_are_compared_by_their_words(written: str, words: list[str]) -> None:
    """Whatever their case, quotes, points and accents."""
    assert words_of(written) == words


@pytest.mark.parametrize(
    "asked",
    [
        SearchKeys(number="972501234567"),
        SearchKeys(number="972521111111"),
        SearchKeys(email="DANA@example.com"),
        SearchKeys(external_id="501"),
        SearchKeys(reference="spring-24"),
        SearchKeys(name="dana"),
        SearchKeys(name="Café Dana"),
        SearchKeys(name="cafe"),
        SearchKeys(name="מספ"),
        SearchKeys(name='דנה בע"מ'),
        SearchKeys(name="מספרת ד"),
        SearchKeys(name="dana", email="dana@example.com", number="972501234567"),
    ],
)
def test_a_customer_is_found_by_what_was_asked_for_him(asked: SearchKeys) -> None:
    """He fits, and stands in the index wherever it is asked."""
    stands = terms_of(CUSTOMER, INVITATION)

    assert asked.match(CUSTOMER)
    assert asked.sought
    for where in asked.sought:
        assert any(term[:2] == where.bucket and term[4:].startswith(where.beginning) for term in stands), (
            where
        )


@pytest.mark.parametrize(
    "asked",
    [
        SearchKeys(number="972501234568"),
        SearchKeys(email="levi@example.com"),
        SearchKeys(email="office@dana.example"),
        SearchKeys(name="levi"),
        SearchKeys(external_id="50"),
        SearchKeys(reference="501"),
        SearchKeys(name="da"),
        SearchKeys(name="ana"),
        SearchKeys(name="dana cohen"),
        SearchKeys(name="!"),
        SearchKeys(name=""),
        SearchKeys(name="dana", external_id="502"),
    ],
)
def test_what_does_not_fit_is_told_apart(asked: SearchKeys) -> None:
    """An end of a word, two letters of one, a value of another field, a name without letters."""
    assert not asked.match(CUSTOMER)


def test_a_number_that_the_link_brought_fits_as_well() -> None:
    """Coexistence: the partner chose it."""
    request = a_request(whatsapp="1")
    asked = SearchKeys(number="972559876543")

    assert not asked.match(request)
    assert asked.match(request, allotted="972559876543")
    assert number_term("972559876543", INVITATION)[2:4] in moments()
    assert number_term(None, INVITATION) == ""


def test_without_a_business_the_contact_is_found() -> None:
    """A Facebook request has a contact alone; one without a contact's address has the business's."""
    request = a_request(
        business_name=None,
        display_name=None,
        business_email="Office@dana.example",
        contact=Contact(name="Dana Levi", phone="972521111111"),
    )

    assert SearchKeys(name="levi", email="office@dana.example").match(request)
    assert any(term.endswith("levi ") for term in terms_of(request, INVITATION))


def test_terms_stand_in_buckets_of_their_moment() -> None:
    """Four signs name the bucket, the last two of them after the invitation's time; none is told twice."""
    terms = terms_of(CUSTOMER, INVITATION)

    assert len(set(terms)) == len(terms)
    assert {term[2:4] for term in terms} == {INVITATION[7:9]} <= set(moments())
    assert not any("\n" in term for term in terms)


def test_a_number_given_twice_is_one_term() -> None:
    """The invitation goes to the number itself."""
    contact = Contact(email="dana@example.com", phone="972501234567")
    once = a_request(whatsapp="972501234567", contact=Contact(email="dana@example.com"))
    twice = a_request(whatsapp="972501234567", contact=contact)

    assert terms_of(twice, INVITATION) == terms_of(once, INVITATION)


def test_a_name_of_very_many_words_is_kept_in_bounds() -> None:
    """A request's names cost the index a bounded number of terms."""
    request = a_request(business_name=" ".join(f"word{nth}" for nth in range(99)))

    assert sum("word" in term for term in terms_of(request, INVITATION)) <= WORDS_KEPT


def test_an_edit_changes_what_it_changes() -> None:
    """The rest of the terms stays."""
    before = a_request(whatsapp="972501234567", business_name="Dana Flowers")
    after = a_request(whatsapp="972501234567", business_name="Dana Gardens")

    lost, gained = changed_terms(before, after, INVITATION)

    assert [term[4:] for term in gained] == ["gardens "]
    assert lost == []  # the display name says flowers still


@pytest.mark.parametrize(
    ("typed", "kind", "value"),
    [
        (f" {INVITATION}w ", Guess.JOB_ID, f"{INVITATION}w"),
        (INVITATION.upper(), Guess.JOB_ID, INVITATION),
        (f"{INVITATION}.email.invitation.1", Guess.JOB_ID, INVITATION),
        ("050-123-4567", Guess.NUMBER, "972501234567"),
        ("+972 50 123 4567", Guess.NUMBER, "972501234567"),
        ("dana@example.com", Guess.EMAIL, "dana@example.com"),
        ("501", Guess.OTHER, "501"),
        ("דנה", Guess.OTHER, "דנה"),
        ("HUB-2024-000123", Guess.OTHER, "HUB-2024-000123"),
        ("", Guess.OTHER, ""),
    ],
)
def test_what_is_typed_is_guessed(typed: str, kind: Guess, value: str) -> None:
    """An id, a number, an address; anything else may be an id of the caller's or a name."""
    guessed = guess(typed)

    assert (guessed.kind, guessed.value) == (kind, value)


def test_an_id_is_found_as_it_was_copied() -> None:
    """With the spaces that its file had: requests hold one for each run of them."""
    request = a_request(external_id="A 7", reference="REF 001 A/B")

    assert SearchKeys(reference=" REF 001  A/B").match(request)
    assert SearchKeys(external_id="A\u00a0 7\u200f").match(request)
    assert not SearchKeys(reference="REF 001A/B").match(request)
