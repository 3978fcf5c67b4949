"""A customer in what others wrote: found however it is written, taken out, and nobody else with it."""

from __future__ import annotations

import json
from base64 import b64encode
from time import thread_time

import pytest

from worker.domain.forgetting import ERASED, Person
from worker.domain.report import WEBHOOK_SOURCE, packed
from worker.ledger.forgetting import Held
from worker.ops.forgetting_words import is_about

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


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("call 0501234567 2 times", "call (erased) 2 times"),
        ("0501234567 0521112223", "(erased) 0521112223"),
        ("0521112223 0501234567", "0521112223 (erased)"),
        ("12 0501234567 34", "12 (erased) 34"),
        ("2026-05-03 050-1234567 03.05.2026", "2026-05-03 (erased) 03.05.2026"),
        ("050/1234567", "(erased)"),
        ("050\u2013123\u20114567", "(erased)"),
        ("+972\u00a050\u200e-123-4567", "(erased)"),
        ("+972 (0)50 123 4567", "(erased)"),
        ("020 7946 0000", "(erased)"),
        ("0501234567@mail.example and 0501234567", "(erased)@mail.example and (erased)"),
    ],
)
def test_figures_beside_a_number_do_not_hide_it(text: str, clean: str) -> None:
    """They stay, and so does anybody else's number."""
    assert OFRA.is_in(text)
    assert OFRA.scrub(text) == clean


@pytest.mark.parametrize("note", ["call\n0501234567", "mail\tofra@flowers.example", "א\r\n0501234567"])
def test_a_line_break_that_is_written_as_letters_hides_nothing(note: str) -> None:
    """In JSON, in JSON within JSON, and where it was cut in the middle."""
    body = json.dumps({"note": note})

    assert OFRA.is_in_document(body)
    assert OFRA.is_in_document(body[:-2])
    assert OFRA.is_in_document(json.dumps({"event": body}))


@pytest.mark.parametrize(
    "body",
    [
        b"status=failed&phone=%2B972501234567",
        b"mail=ofra%40flowers.example",
        b"phone=050+123+4567",
        b'{"text": "\xe8 \\n0501234567"}',
    ],
    ids=["number", "mail", "blanks", "no text"],
)
def test_a_report_that_is_a_form_or_no_text_hides_nothing(body: bytes) -> None:
    """The partner's reports are kept as they came; one that failed is kept for months."""
    try:
        record = packed(body.decode(), content_type="application/x-www-form-urlencoded")
    except UnicodeDecodeError:
        record = packed(b64encode(body).decode(), content_type="application/json", is_base64=True)
    hers = Held(kind="event", id="e1", words={"o": WEBHOOK_SOURCE, "k": "k1", "body": record})
    others = Held(kind="event", id="e2", words={**hers.words, "body": record.replace("4567", "4568")})

    assert is_about(hers, OFRA)
    if "4567" in record:
        assert not is_about(others, OFRA)


@pytest.mark.parametrize("record", ["", "[", "{}", "[]", '{"body":"@","content_type":"","is_base64":true}'])
def test_a_report_that_another_version_wrote_is_about_nobody(record: str) -> None:
    """It can't be read, and stops nobody from being erased."""
    assert not is_about(
        Held(kind="event", id="e1", words={"o": WEBHOOK_SOURCE, "k": "k1", "body": record}), OFRA
    )


@pytest.mark.parametrize("piece", ["1 ", "1-", "1", "+", "0", "050-123-456 ", "\\", "\\u0030", "[", "%25"])
def test_a_hostile_text_is_read_in_one_pass(piece: str) -> None:
    """Whoever may send events must not be able to keep others from being erased."""
    began_s = thread_time()

    assert not OFRA.is_in_document(piece * (64_000 // len(piece)) + "a")
    assert thread_time() - began_s < 2


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


@pytest.mark.parametrize("nobody", [Person(), Person(numbers=frozenset({"", "972", "97212345"}))])
def test_nobody_is_in_nothing(nobody: Person) -> None:
    """Whoever is known by nothing, or by what is anybody's, is found nowhere."""
    assert not nobody.is_named_in("972501234567 ofra@flowers.example 12345")
    assert nobody.scrub("972501234567", is_own=True) == "972501234567"
