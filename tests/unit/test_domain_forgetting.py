"""A customer in what others wrote: found however it is written, taken out, and nobody else with it."""

from __future__ import annotations

import json

import pytest

from worker.domain.forgetting import ERASED, Person

OFRA = Person(
    numbers=frozenset({"972501234567", "97239876543", "442079460000"}),
    emails=frozenset({"ofra@flowers.example"}),
    links=frozenset({"https://partner.example/onboarding/abc"}),
    names=frozenset({"Ofra Levi Flowers", "Ofra Levi", "Ofra", "עפרה לוי", "O"}),
    ids=frozenset({"crm-77", "501"}),
)


@pytest.mark.parametrize(
    "written",
    [
        "972501234567",
        "+972 50-123-4567",
        "050-123-4567",
        "(050) 1234567",
        "0501234567.",
        "00972501234567",
        "03-987-6543",
        "+44 20 7946 0000",
        "OFRA@flowers.example",
        '"https://partner.example/onboarding/abc"',
    ],
)
def test_a_number_address_or_link_is_found_however_it_is_written(written: str) -> None:
    """And nothing of it is left."""
    text = f"call of {written}, again"

    assert OFRA.is_in(text)
    assert not OFRA.is_in(OFRA.scrub(text))
    assert OFRA.scrub(text).startswith("call of ")
    assert OFRA.scrub(text).endswith(", again")


@pytest.mark.parametrize(
    "written",
    [
        "972501234568",
        "1790972501234567890",
        "x0501234567",
        "0501234567x",
        "ofra@flowers.example.com.evil",
        "not-ofra@flowers.example",
        "https://partner.example/onboarding/abcd",
        "id 501 of 2026-11-22",
        "",
    ],
)
def test_what_is_only_like_it_is_somebody_elses(written: str) -> None:
    """It stays as it is."""
    assert not OFRA.is_in(written)
    assert OFRA.scrub(written) == written


def test_escaped_letters_do_not_hide_an_address() -> None:
    """A body that came in is JSON, written as its sender likes."""
    body = json.dumps({"mail": "ofra@flowers.example"}).replace("o", "\\u006f", 1)

    assert not OFRA.is_in(body)
    assert OFRA.is_in_document(body)
    assert not OFRA.is_in_document('{"mail": "avi\\u0040bikes.example"}')
    assert not OFRA.is_in_document("\\u no JSON at all")


def test_one_word_may_be_anybodys_name() -> None:
    """Two are hers in any text; one, and her ids, only where the text is about her."""
    text = "Ofra and crm-77: Ofra Levi called, עפרה לוי too; O. and 501 did not"

    assert OFRA.scrub(text) == f"Ofra and crm-77: {ERASED} called, {ERASED} too; O. and 501 did not"
    assert OFRA.scrub(text, is_own=True) == (
        f"{ERASED} and {ERASED}: {ERASED} called, {ERASED} too; O. and 501 did not"
    )
    assert OFRA.is_named_in("for Ofra")
    assert not OFRA.is_named_in("for Ofrat")


@pytest.mark.parametrize(
    ("asked", "clean"),
    [
        ({"number": "972501234567"}, {"number": ERASED}),
        ({"email": "Ofra@Flowers.Example", "state": "failed"}, {"email": ERASED, "state": "failed"}),
        ({"name": "ofra lev"}, {"name": ERASED}),
        ({"external_id": "501"}, {"external_id": ERASED}),
        ({"batch": "501"}, {"batch": "501"}),
        ({"name": "o"}, {"name": "o"}),
        ({"reason": "crm-77", "min_attempts": 3}, {"reason": "crm-77", "min_attempts": 3}),
    ],
)
def test_a_filter_loses_whom_it_looked_for(asked: dict[str, object], clean: dict[str, object]) -> None:
    """By whatever it looked for her; what else it says stays."""
    assert json.loads(OFRA.scrub_filter(json.dumps(asked))) == clean


@pytest.mark.parametrize("text", ["", "[1]", "call of 0501234567"])
def test_what_is_no_filter_is_scrubbed_as_a_text(text: str) -> None:
    """Another version may have written it."""
    assert not OFRA.is_in(OFRA.scrub_filter(text))
    assert OFRA.scrub_filter("[1]") == "[1]"


def test_nobody_is_in_nothing() -> None:
    """Whoever is known by nothing is found nowhere."""
    nobody = Person()

    assert not nobody.is_named_in("972501234567 ofra@flowers.example")
    assert nobody.scrub("972501234567", is_own=True) == "972501234567"
