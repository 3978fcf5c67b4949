"""Which column of a file is which field: by its canonical name, a known alias, or the operator's `--map`.

A guess is made only where there is one meaning. What could mean two things, or nothing where something is
needed, stops the run before its first row.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from producers.backfill.reader import InputProblemError
from worker.domain.parse import CANONICAL_FIELDS, Problem

IGNORE = "ignore"  #: `--map ignore=Column` leaves a column out
OWN_PREFIX = "_"  #: columns that our result files add; never input
#: What a WhatsApp link cannot be made without. A file with a `product` column may ask for other links only.
MANDATORY = ("whatsapp", "business_name", "display_name")

#: Field → other names of its column, in the form that `_fold` gives.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "whatsapp": (
        *("whatsapp number", "whatsapp phone", "wa number", "number to connect"),
        *("וואטסאפ", "ווטסאפ", "מספר וואטסאפ", "מספר ווטסאפ", "מספר לחיבור"),
    ),
    "business_name": (
        *("business", "company", "company name", "organization", "organisation"),
        *("שם העסק", "שם עסק", "עסק", "שם החברה", "חברה"),
    ),
    "display_name": ("whatsapp name", "whatsapp display name", "שם תצוגה", "שם לתצוגה", "שם בוואטסאפ"),
    "business_email": ("company email", "מייל העסק", "דואל העסק", "אימייל העסק"),
    "business_id": (
        *("company id", "company number", "vat number", "tax id", "registration number"),
        *("חפ", "עמ", "ח.פ.", "ח.פ", "ע.מ.", "עוסק מורשה", "מספר עוסק", "מספר חברה"),
    ),
    "business_address": ("address", "company address", "כתובת", "כתובת העסק"),
    "onboarding_logo": ("logo", "logo url", "לוגו"),
    "onboarding_message": ("welcome message", "הודעה", "הודעת פתיחה"),
    "reference": ("ref", "our reference", "אסמכתא", "סימוכין"),
    "product": ("products", "מוצר", "מוצרים"),
    "type": ("facebook type", "סוג"),
    "email": (
        *("e mail", "mail", "email address", "contact email", "customer email"),
        *("דואל", "מייל", "אימייל", "דואר אלקטרוני", "כתובת מייל"),
    ),
    "phone": (
        *("phone number", "mobile", "mobile phone", "mobile number", "cell", "cellphone", "telephone"),
        *("contact phone", "customer phone", "טלפון", "נייד", "טלפון נייד", "מספר טלפון", "סלולרי"),
    ),
    "name": (
        "contact",
        "contact name",
        "full name",
        "customer name",
        "שם",
        "שם מלא",
        "איש קשר",
        "שם איש קשר",
    ),
    "locale": ("language", "lang", "שפה"),
    "external_id": ("crm id", "customer id", "contact id", "record id", "מזהה לקוח", "מספר לקוח"),
    "channels": ("channel", "send by", "ערוץ", "ערוצים"),
}
#: Names that people give to columns of different meaning.
AMBIGUOUS: Mapping[str, tuple[str, ...]] = {
    "id": ("business_id", "external_id", "reference"),
    "number": ("whatsapp", "phone", "business_id"),
    "מספר": ("whatsapp", "phone", "business_id"),
    "מזהה": ("business_id", "external_id"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Where each field lies in a row."""

    places: tuple[tuple[str, int], ...]  #: field, index of its cell
    warnings: tuple[Problem, ...]  #: columns that are not used
    report: tuple[int, ...]  #: indexes of the columns that result files repeat: all but our own

    def fields_of(self, cells: Sequence[str]) -> dict[str, str]:
        """Return a row as `parse_request` takes it."""
        return {field: cells[index] for field, index in self.places}


def read_map(text: str) -> tuple[str, str]:
    """Return the field and the column of a `--map` argument.

    Raises:
        InputProblemError: it is not `field=Column`.
    """
    field, equals, written = text.partition("=")
    if not (equals and field.strip() and written.strip()):
        raise InputProblemError("bad_map", f"--map {text}: not of the form field=Column.", _SAY_WHICH)
    return field.strip(), written.strip()


def find_columns(header: Sequence[str], mapping: Sequence[tuple[str, str]] = ()) -> Columns:
    """Return where each field lies; *mapping* holds the operator's own pairs of field and column.

    Raises:
        InputProblemError: `--map` names no column or no field, a header is ambiguous, two columns mean one
            field, or a mandatory one is missing.
    """
    chosen, ignored = _chosen(header, mapping)
    taken = {*chosen.values(), *ignored}
    places = dict(chosen)
    warnings: list[Problem] = []
    ambiguous: list[str] = []
    for index, written in enumerate(header):
        if index in taken or written.startswith(OWN_PREFIX):
            continue
        field = _MEANING.get(_fold(written))
        if field is None:
            warnings.append(_unknown(index, written))
        elif field in AMBIGUOUS:
            ambiguous.append(_choices(written, field))
        elif field in chosen:
            warnings.append(_overruled(written, field, header[chosen[field]]))
        elif field in places:
            raise _twice(field, header[places[field]], written)
        else:
            places[field] = index
    if ambiguous:
        raise InputProblemError("ambiguous_column", "; ".join(ambiguous) + ".", _SAY_WHICH)
    _require(places, header)
    report = tuple(index for index, written in enumerate(header) if not written.startswith(OWN_PREFIX))
    return Columns(places=tuple(places.items()), warnings=tuple(warnings), report=report)


def _chosen(header: Sequence[str], mapping: Sequence[tuple[str, str]]) -> tuple[dict[str, int], set[int]]:
    """Return what `--map` says: field → index, and the indexes that it leaves out."""
    chosen: dict[str, int] = {}
    ignored: set[int] = set()
    for field, written in mapping:
        index = _index_of(written, header)
        if field == IGNORE:
            ignored.add(index)
        elif field not in CANONICAL_FIELDS:
            raise _no_such_field(field)
        elif field in chosen:
            raise _twice(field, header[chosen[field]], written)
        else:
            chosen[field] = index
    return chosen, ignored


def _no_such_field(field: str) -> InputProblemError:
    nearest = _nearest(field, CANONICAL_FIELDS)
    hint = f"Did you mean `{nearest}`?" if nearest else f"Fields: {', '.join(CANONICAL_FIELDS)}."
    return InputProblemError("unknown_field", f"--map: there is no field `{field}`.", hint)


def _index_of(written: str, header: Sequence[str]) -> int:
    same = [index for index, name in enumerate(header) if name == written.strip()]
    same = same or [index for index, name in enumerate(header) if _fold(name) == _fold(written)]
    if len(same) == 1:
        return same[0]
    if same:
        raise InputProblemError(
            "duplicate_column", f"--map: {len(same)} columns are called `{written}`.", "Rename all but one."
        )
    nearest = _nearest(written, header)
    hint = f"Did you mean `{nearest}`?" if nearest else f"Columns: {', '.join(header)}."
    raise InputProblemError("no_such_column", f"--map: there is no column `{written}`.", hint)


def _require(places: Mapping[str, int], header: Sequence[str]) -> None:
    if "product" in places:
        return
    missing = [field for field in MANDATORY if field not in places]
    if not missing:
        return
    names = ", ".join(f"`{field}`" for field in missing)
    raise InputProblemError(
        "missing_column",
        f"There is no column for {names}. Columns: {', '.join(header)}.",
        f"Name it in the header, or say which it is: --map {missing[0]}=COLUMN. "
        "(A `product` column asks for Facebook and Instagram links.)",
    )


def _unknown(index: int, written: str) -> Problem:
    if not written:
        message, remedy = f"column {index + 1} has no name and is not used", "Name it if it matters."
    else:
        nearest = _nearest(written, CANONICAL_FIELDS)
        message = f"column `{written}` is not known and not used"
        remedy = f"Did you mean `{nearest}`? " if nearest else ""
        remedy += f"To use it: --map {nearest or 'FIELD'}={_shown(written)}."
    return Problem(field=written, code="unknown_column", message=message, remedy=remedy)


def _overruled(written: str, field: str, by: str) -> Problem:
    message = f"column `{written}` is not used: --map says that `{field}` is `{by}`"
    return Problem(
        field=written, code="overruled_column", message=message, remedy="Nothing, if that is meant."
    )


def _twice(field: str, first: str, second: str) -> InputProblemError:
    return InputProblemError(
        "duplicate_column",
        f"Columns `{first}` and `{second}` both mean `{field}`.",
        f"Say which: --map {field}={_shown(second)}, or rename one.",
    )


def _choices(written: str, folded: str) -> str:
    meanings = " or ".join(f"`{field}`" for field in AMBIGUOUS[folded])
    return f"Column `{written}` may mean {meanings}"


def _nearest(word: str, known: Sequence[str]) -> str | None:
    """Return the known name that *word* is most like, by its letters or as the alias of a field."""
    folded = {_fold(name): name for name in known}
    if known is CANONICAL_FIELDS:
        folded |= _FIELD_OF_ALIAS
    close = difflib.get_close_matches(_fold(word), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def _shown(written: str) -> str:
    return f'"{written}"' if " " in written else written


_DROPPED = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad\"'`\u05f3\u05f4\u2018-\u201f*]")


def _fold(written: str) -> str:
    """Return a header's name without what people vary: case, spaces, underscores, quotes, hidden marks."""
    text = _DROPPED.sub("", unicodedata.normalize("NFKC", written)).casefold()
    return " ".join(re.split(r"[\s_:-]+", text)).strip()


_FIELD_OF_ALIAS = {_fold(alias): field for field, aliases in ALIASES.items() for alias in aliases}
#: Folded name of a column → its field, or itself where it is ambiguous.
_MEANING = (
    _FIELD_OF_ALIAS
    | {_fold(field): field for field in CANONICAL_FIELDS}
    | {_fold(name): name for name in AMBIGUOUS}
)
_SAY_WHICH = (
    "Say which with --map FIELD=COLUMN (--map ignore=COLUMN leaves a column out), or rename the column."
)
