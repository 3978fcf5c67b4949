"""Names of columns as people write them, in two languages; and what is said where none fits."""

from __future__ import annotations

import pytest

from producers.backfill.aliases import ALIASES, AMBIGUOUS, MEANING, fold
from producers.backfill.columns import find_columns
from producers.backfill.reader import InputProblemError
from tests.repo import ROOT
from worker.domain.parse import CANONICAL_FIELDS

NEEDED = ["whatsapp", "business_name", "display_name"]


def refusal(header: list[str]) -> InputProblemError:
    with pytest.raises(InputProblemError) as caught:
        find_columns(header)
    return caught.value


@pytest.mark.parametrize(
    ("written", "field"),
    [
        ("  Business   NAME ", "business_name"),
        ("business.name", "business_name"),
        ("\u200fשם\u00a0העסק\u200f", "business_name"),
        ("שם_העסק:", "business_name"),
        ("ＷｈａｔｓＡｐｐ", "whatsapp"),
        ("\u202bוואטסאפ\u202c", "whatsapp"),
        ("טלפון (נייד)", None),
        ("טלפון נייד*", "phone"),
        ("Mobile-Phone", "phone"),
        ('דוא"ל', "email"),
        ("דוא״ל", "email"),
        ("דוא''ל", "email"),
        ("E-Mail:", "email"),
        ("ח.פ.", "business_id"),
        ('ח"פ', "business_id"),
        ("ח.פ. / ע.מ.", "business_id"),
        ("עוסק מורשה", "business_id"),
        ("שם לתצוגה", "display_name"),
        ("איש קשר", "name"),
        ("כתובת העסק", "business_address"),
        ("לוגו", "onboarding_logo"),
        ("הודעת פתיחה", "onboarding_message"),
        ("אסמכתא", "reference"),
        ("מזהה לקוח", "external_id"),
        ("שפה", "locale"),
        ("מוצר", "product"),
        ("סוג", "type"),
        ("מזהה", "מזהה"),
    ],
)
def test_a_name_is_known_however_it_is_written(written, field):
    """Case, width, quotes, dots, dashes, brackets, no-break spaces and bidi marks are what people vary."""
    assert MEANING.get(fold(written)) == (field if written != "טלפון (נייד)" else "phone")


def test_no_name_means_two_fields_once_it_is_folded():
    """A name in two lists would be guessed at."""
    names = [fold(alias) for aliases in ALIASES.values() for alias in aliases]
    canonical = {fold(field) for field in CANONICAL_FIELDS}

    assert len(names) == len(set(names))
    assert not set(names) & {fold(name) for name in AMBIGUOUS}
    assert not set(names) & canonical
    assert all(names)


def test_every_name_is_in_the_table_that_people_read():
    """docs/spreadsheets.md is where one looks before asking."""
    text = (ROOT / "docs/spreadsheets.md").read_text(encoding="utf-8")

    missing = [alias for aliases in ALIASES.values() for alias in aliases if f"{alias}" not in text]
    assert missing == []
    assert all(f"`{field}`" in text for field in CANONICAL_FIELDS)
    assert all(f"`{name}`" in text for name in AMBIGUOUS)


def test_a_telephone_is_not_taken_for_the_number_to_connect():
    """The SMS goes to one, the link connects the other: which is which the operator says, with what he must type."""
    problem = refusal(["נייד", "business_name", "display_name"])

    assert problem.code == "missing_column"
    assert "`whatsapp`" in problem.message
    assert "`נייד` was read as `phone`" in problem.remedy
    assert "--map whatsapp=נייד --map phone=נייד" in problem.remedy


def test_what_the_remedy_says_can_be_typed():
    """One column may serve for two fields when the operator says so."""
    header = ["נייד", "שם העסק"]
    mapping = [
        ("whatsapp", "נייד"),
        ("phone", "נייד"),
        ("display_name", "שם העסק"),
        ("business_name", "שם העסק"),
    ]
    remedy = refusal(header).remedy

    assert all(
        f"--map {field}={column}" in remedy or f'--map {field}="{column}"' in remedy
        for field, column in mapping
    )
    assert dict(find_columns(header, mapping).places) == {
        "whatsapp": 0,
        "phone": 0,
        "display_name": 1,
        "business_name": 1,
    }


def test_a_list_with_numbers_and_products_is_told_once_which_column_its_whatsapp_links_lack():
    """Else every line of the file says that it lacks a name, and none how one column serves for both."""
    (warning,) = find_columns(["whatsapp", "Business name", "product"]).warnings
    assert (warning.field, warning.code) == ("display_name", "missing_column")
    assert '--map display_name="Business name" --map business_name="Business name"' in warning.remedy

    both = find_columns(["whatsapp", "product"]).warnings
    assert [each.remedy.rpartition(" ")[2] for each in both] == [
        "business_name=COLUMN.",
        "display_name=COLUMN.",
    ]
    assert find_columns(["product", "email"]).warnings == ()


def test_what_has_no_candidate_is_asked_for_beside_what_has():
    """Both are told at once."""
    remedy = refusal(["phone", "notes"]).remedy

    assert "--map whatsapp=phone" in remedy
    assert "--map business_name=COLUMN" in remedy


@pytest.mark.parametrize(
    ("tail", "said"), [([""], "column 4 has no name"), (["", "", ""], "3 columns from 4 to 6 have no name")]
)
def test_columns_without_a_name_are_told_of_once(tail, said):
    """Excel leaves dozens of them behind."""
    (warning,) = find_columns([*NEEDED, *tail]).warnings

    assert said in warning.message


def test_a_column_without_a_name_is_not_told_of_when_it_is_meant():
    """Own columns and ignored ones are no news."""
    assert find_columns([*NEEDED, "_line", "note"], [("ignore", "note")]).warnings == ()


def test_a_slip_of_the_pen_in_a_mandatory_header_stops_even_beside_a_product_column():
    """Every WhatsApp row would be a bad one; the column that was meant is named."""
    with pytest.raises(InputProblemError) as caught:
        find_columns(["whatsap", "business_name", "display_name", "product"])

    assert "no column for `whatsapp`" in str(caught.value)
    assert "--map whatsapp=whatsap" in caught.value.remedy


def test_a_list_of_pages_alone_needs_no_number():
    """With a product column what is not there is not missed."""
    assert dict(find_columns(["product", "external_id", "email"]).places)["product"] == 0
