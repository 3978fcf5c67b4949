"""Headers: what is plain is understood, what could mean two things stops the run before its first row."""

from __future__ import annotations

import pytest

from producers.backfill.columns import ALIASES, AMBIGUOUS, find_columns, read_map
from producers.backfill.reader import InputProblemError
from worker.domain.parse import CANONICAL_FIELDS

NEEDED = ["whatsapp", "business_name", "display_name"]


def refusal(header, mapping=()):
    with pytest.raises(InputProblemError) as caught:
        find_columns(header, mapping)
    return caught.value


def test_canonical_names_are_found_however_they_are_written():
    """Case, spaces, dashes and invisible marks are what people vary."""
    columns = find_columns(["WhatsApp", " Business Name", "display-name", "\u200fe-mail"])

    assert dict(columns.places) == {"whatsapp": 0, "business_name": 1, "display_name": 2, "email": 3}
    assert columns.warnings == ()


def test_hebrew_headers_are_understood():
    """Quotes and gershayim of every kind are typed in ח.פ. and דוא"ל."""
    columns = find_columns(["מספר וואטסאפ", "שם העסק", "שם תצוגה", 'דוא"ל', "נייד", "ח.פ.", "דוא״ל העסק"])

    assert dict(columns.places) == {
        "whatsapp": 0,
        "business_name": 1,
        "display_name": 2,
        "email": 3,
        "phone": 4,
        "business_id": 5,
        "business_email": 6,
    }


def test_no_alias_means_two_fields():
    """A name in two lists would be guessed at."""
    names = [alias for aliases in ALIASES.values() for alias in aliases]

    assert len(names) == len(set(names))
    assert not set(names) & set(AMBIGUOUS)
    assert set(ALIASES) <= set(CANONICAL_FIELDS)


def test_an_unknown_column_warns_with_the_nearest_known_name():
    """A misspelt optional column would otherwise be dropped without a word."""
    (warning,) = find_columns([*NEEDED, "bussiness_email"]).warnings

    assert warning.code == "unknown_column"
    assert "`business_email`" in warning.remedy
    assert "--map business_email=bussiness_email" in warning.remedy


def test_a_column_without_a_name_warns():
    """Excel leaves them behind."""
    assert "column 4 has no name" in find_columns([*NEEDED, ""]).warnings[0].message


def test_our_own_columns_are_ignored_and_not_repeated():
    """A failed file is valid input again."""
    columns = find_columns([*NEEDED, "_line", "_error_code", "_error"])

    assert columns.warnings == ()
    assert columns.report == (0, 1, 2)


def test_an_ambiguous_column_stops_the_run_and_names_its_meanings():
    """`id` may be the business's, the CRM's, or a reference."""
    problem = refusal([*NEEDED, "ID"])

    assert problem.code == "ambiguous_column"
    assert "`business_id` or `external_id`" in problem.message


@pytest.mark.parametrize("mapping", [[("external_id", "ID")], [("ignore", "ID")]])
def test_the_operator_decides_what_an_ambiguous_column_means(mapping):
    """`--map` gives it a meaning, or none."""
    columns = find_columns([*NEEDED, "ID"], mapping)

    assert (("external_id", 3) in columns.places) == (mapping[0][0] == "external_id")
    assert columns.warnings == ()


def test_two_columns_of_one_meaning_stop_the_run():
    """Which of the two should be mailed?"""
    problem = refusal([*NEEDED, "email", "Mail"])

    assert problem.code == "duplicate_column"
    assert "`email` and `Mail`" in problem.message


def test_map_wins_over_a_columns_own_name():
    """The column that it overrules is said to be unused."""
    columns = find_columns([*NEEDED, "email", "Mail"], [("email", "Mail")])

    assert dict(columns.places)["email"] == 4
    assert [warning.code for warning in columns.warnings] == ["overruled_column"]


@pytest.mark.parametrize(
    ("mapping", "code", "hint"),
    [
        ([("email", "E-Post")], "no_such_column", "Columns: "),
        ([("emial", "whatsapp")], "unknown_field", "`email`"),
        ([("email", "business_nam")], "no_such_column", "`business_name`"),
        ([("email", "whatsapp"), ("email", "business_name")], "duplicate_column", ""),
    ],
)
def test_a_map_that_fits_nothing_stops_the_run(mapping, code, hint):
    """A mistyped argument must not be half obeyed."""
    problem = refusal(NEEDED, mapping)

    assert problem.code == code
    assert hint in problem.remedy


@pytest.mark.parametrize("missing", NEEDED)
def test_a_missing_mandatory_column_stops_the_run(missing):
    """Every row would fail for the same cause."""
    problem = refusal([name for name in NEEDED if name != missing])

    assert problem.code == "missing_column"
    assert f"`{missing}`" in problem.message
    assert f"--map {missing}=" in problem.remedy


def test_a_file_that_names_its_products_needs_no_number():
    """Facebook links have none."""
    assert dict(find_columns(["product", "email"]).places) == {"product": 0, "email": 1}


def test_a_map_argument_is_split_at_its_first_equals_sign():
    """Column names may hold anything."""
    assert read_map("email= a=b ") == ("email", "a=b")
    with pytest.raises(InputProblemError):
        read_map("email")
