"""The filter of a list, as it stands in its address."""

from __future__ import annotations

import pytest

from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter
from worker.ops.console.filters import FIELDS, FilterForm, read_filter
from worker.ops.console.i18n import translator


def read(**query: str) -> FilterForm:
    """Return what these parameters ask for, told in English."""
    return read_filter(query, translator("en"), region="IL")


def test_every_field_means_what_the_ledger_calls_it() -> None:
    """All fields together make one filter; nothing is lost on the way."""
    form = read(
        stage="link",
        state="failed",
        reason="unknown_77",
        lane="bulk",
        batch="b1",
        source="csv",
        number="052-123 4567",
        email="dana@example.com",
        name="Dana",
        external_id="x1",
        reference="R-1",
        older_than="2h",
        newer_than="3d",
        attempts="2",
        requeues="1",
        **{"class": "bad_data"},
    )
    assert form.errors == {}
    assert form.wanted == JobFilter(
        stage="link",
        state=JobState.FAILED,
        reason="unknown_77",
        reason_class="bad_data",
        lane=Lane.BULK,
        batch="b1",
        source="csv",
        number="972521234567",
        email="dana@example.com",
        name="Dana",
        external_id="x1",
        reference="R-1",
        older_than_s=7200.0,
        newer_than_s=259_200.0,
        min_attempts=2,
        min_requeues=1,
    )
    assert set(form.values) == set(FIELDS)


def test_an_empty_field_does_not_matter() -> None:
    """A form sends all its fields; those without anything in them ask for nothing."""
    form = read(state="", reason="  ", number="", page="7")
    assert form.wanted == JobFilter()
    assert form.values == {}
    assert not form.is_open


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("state", "broken", "no such choice"),
        ("class", "broken", "no such choice"),
        ("lane", "fast", "no such choice"),
        ("older_than", "soon", "length of time"),
        ("older_than", "5", "length of time"),
        ("newer_than", "-5m", "length of time"),
        ("newer_than", "٣m", "length of time"),
        ("attempts", "0", "whole number"),
        ("attempts", "two", "whole number"),
        ("requeues", "1.5", "whole number"),
        ("requeues", "99999999999999999999", "whole number"),
        ("number", "12", "no telephone number"),
        ("name", "x" * 400, "too long"),
        ("number", "9" * 400, "too long"),
    ],
)
def test_what_cannot_be_read_is_told_at_its_field(name: str, text: str, says: str) -> None:
    """Its field says what to write, and the filter leaves it out."""
    form = read(**{name: text})
    assert says in form.errors[name]
    assert form.values[name] == text
    assert form.wanted == JobFilter()
    assert form.is_open or name == "state"


def test_what_is_wrong_is_told_in_the_readers_language() -> None:
    """The Hebrew page says it in Hebrew."""
    form = read_filter({"lane": "fast"}, translator("he"), region="IL")
    assert form.errors["lane"] == "אין אפשרות כזאת."


def test_a_number_without_its_country_is_one_of_ours() -> None:
    """The region of the settings decides where a number belongs that does not say so itself."""
    form = read_filter({"number": "07911 123456"}, translator("en"), region="GB")
    assert form.wanted.number == "447911123456"
