"""What a customer is known by on the stop list, and how it is typed and shown."""

from __future__ import annotations

import pytest

from tests.factories import a_request
from worker.domain.request import Contact
from worker.domain.stop_list import contacts_of, read_contact, shown_contact
from worker.ops.suppressing import read_lines


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" Dana@Flowers.Example ", "dana@flowers.example"),
        ("050-123-4567", "972501234567"),
        ("+972 3 123 4567", "97231234567"),
        ("+44 20 7946 0958", "442079460958"),
    ],
)
def test_a_contact_is_kept_in_one_form(typed: str, kept: str) -> None:
    """However it is typed; a landline as well."""
    assert read_contact(typed) == kept


@pytest.mark.parametrize("typed", ["", "dana", "dana@", "12"])
def test_what_is_no_contact_is_refused_with_a_remedy(typed: str) -> None:
    """In words, and with what to write instead."""
    with pytest.raises(ValueError, match=r"\. \w"):
        read_contact(typed)


def test_a_customer_is_known_by_address_telephone_and_number() -> None:
    """Each once, the address in small letters."""
    contact = Contact(email="Dana@Flowers.example", phone="972501234567")

    assert contacts_of(a_request(whatsapp="972509999999", contact=contact)) == (
        "dana@flowers.example",
        "972501234567",
        "972509999999",
    )
    assert contacts_of(a_request(whatsapp="972501234567", contact=contact)) == (
        "dana@flowers.example",
        "972501234567",
    )


def test_a_contact_is_masked_unless_revealed() -> None:
    """Numbers and addresses each in their way."""
    assert shown_contact("dana@flowers.example", is_revealed=False) == "d***@flowers.example"
    assert shown_contact("972501234567", is_revealed=False) == "9725******67"
    assert shown_contact("972501234567", is_revealed=True) == "972501234567"


def test_a_file_is_read_line_by_line() -> None:
    """Comments and empty lines are passed over, each bad line is named, none keeps the others out."""
    lines = ["\ufeffdana@flowers.example", "", "# those who asked", "050-123-4567", "nobody", "0501234567"]

    typed = read_lines(lines, region="IL")

    assert typed.contacts == ("dana@flowers.example", "972501234567")
    assert [line for line, _ in typed.problems] == [5]
