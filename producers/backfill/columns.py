"""Which column of a file is which field: by its canonical name, a known alias, or the operator's `--map`.

A guess is made only where there is one meaning. What could mean two things, or nothing where something is
needed, stops the run before its first row.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from producers.backfill.aliases import ALIASES, AMBIGUOUS, FIELD_OF_ALIAS, MEANING, OWN_PREFIX, fold
from producers.backfill.problems import InputProblemError
from worker.domain.parse import CANONICAL_FIELDS, Problem

__all__ = ["ALIASES", "AMBIGUOUS", "Columns", "find_columns", "read_map"]

IGNORE = "ignore"  #: `--map ignore=Column` leaves a column out
#: What a WhatsApp link cannot be made without. A file with a `product` column may ask for other links only.
MANDATORY = ("whatsapp", "business_name", "display_name")
#: Field, another whose column may well serve for it too, and what that other one is for.
_MAY_SERVE = (
    ("whatsapp", "phone", "which is where the invitation's SMS goes, not the number to connect"),
    ("display_name", "business_name", "which messages greet with, not the name that WhatsApp shows"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Where each field lies in a row."""

    places: tuple[tuple[str, int], ...]  #: field, index of its cell
    warnings: tuple[Problem, ...]  #: columns that are not used, or that every WhatsApp row will lack
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
        if index in taken or not written or written.startswith(OWN_PREFIX):
            continue
        field = MEANING.get(fold(written))
        if field is None:
            warnings.append(_unknown(written))
        elif field in AMBIGUOUS:
            ambiguous.append(_choices(written, field))
        elif field in chosen:
            warnings.append(_overruled(written, field, header[chosen[field]]))
        else:
            _place(places, field, index, header)
    if ambiguous:
        raise InputProblemError("ambiguous_column", "; ".join(ambiguous) + ".", _SAY_WHICH)
    _require(places, header, [each.field for each in warnings if each.code == "unknown_column"])
    warnings += _lacking(places, header)
    warnings += _unnamed(
        [index for index, written in enumerate(header) if not written and index not in taken]
    )
    report = tuple(index for index, written in enumerate(header) if not written.startswith(OWN_PREFIX))
    return Columns(places=tuple(places.items()), warnings=tuple(warnings), report=report)


def _place(places: dict[str, int], field: str, index: int, header: Sequence[str]) -> None:
    if field in places:
        raise _twice(field, header[places[field]], header[index])
    places[field] = index


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
    same = same or [index for index, name in enumerate(header) if fold(name) == fold(written)]
    if len(same) == 1:
        return same[0]
    if same:
        raise InputProblemError(
            "duplicate_column", f"--map: {len(same)} columns are called `{written}`.", "Rename all but one."
        )
    nearest = _nearest(written, header)
    hint = f"Did you mean `{nearest}`?" if nearest else f"Columns: {', '.join(header)}."
    raise InputProblemError("no_such_column", f"--map: there is no column `{written}`.", hint)


def _require(places: Mapping[str, int], header: Sequence[str], unknown: Sequence[str]) -> None:
    missing = [field for field in MANDATORY if field not in places]
    if "product" in places:
        # A list of Facebook pages needs none of them, but a slip of the pen would make every other row a bad one.
        meant = {_nearest(written, CANONICAL_FIELDS) for written in unknown}
        missing = [field for field in missing if field in meant]
    if not missing:
        return
    names = ", ".join(f"`{field}`" for field in missing)
    raise InputProblemError(
        "missing_column",
        f"There is no column for {names}. Columns: {', '.join(filter(None, header))}.",
        " ".join([_candidates(missing, places, header), *_say_which(missing, places, unknown)]).strip(),
    )


def _lacking(places: Mapping[str, int], header: Sequence[str]) -> list[Problem]:
    """Return what each WhatsApp row of a file with `product` will be refused for: said once, with what to type."""
    missing = [field for field in MANDATORY if field not in places]
    if "whatsapp" in missing or not missing:
        return []  # without numbers it is a list of pages, which needs no names
    return [
        Problem(
            field,
            "missing_column",
            "there is none, and each WhatsApp link needs it",
            _candidates([field], places, header)
            or f"Name it in the header, or say which it is: --map {field}=COLUMN.",
        )
        for field in missing
    ]


def _candidates(missing: Sequence[str], places: Mapping[str, int], header: Sequence[str]) -> str:
    """Return the `--map` to give where another field's column may well be the missing one's too; else nothing.

    It is not taken unasked: the number to connect is often not the one that takes the SMS, and the name in
    WhatsApp cannot be changed later.
    """
    found = [each for each in _MAY_SERVE if each[0] in missing and each[1] in places]
    if not found:
        return ""
    reading = "; ".join(f"`{header[places[near]]}` was read as `{near}`, {why}" for _, near, why in found)
    maps = [
        f"--map {name}={_shown(header[places[near]])}" for field, near, _ in found for name in (field, near)
    ]
    return f"{reading}. If it serves for both, say so: {' '.join(maps)}."


def _say_which(missing: Sequence[str], places: Mapping[str, int], unknown: Sequence[str]) -> list[str]:
    served = {field for field, near, _ in _MAY_SERVE if near in places}
    without = [field for field in missing if field not in served]
    if not without:
        return []
    meant = [_shown(written) for written in unknown if _nearest(written, CANONICAL_FIELDS) == without[0]]
    return [
        f"Name it in the header, or say which it is: --map {without[0]}={meant[0] if meant else 'COLUMN'}.",
        "(A `product` column asks for Facebook and Instagram links.)",
    ]


def _unnamed(indexes: Sequence[int]) -> list[Problem]:
    if not indexes:
        return []
    first, last = indexes[0] + 1, indexes[-1] + 1
    what = f"column {first} has no name and is not used"
    if first != last:
        what = f"{len(indexes)} columns from {first} to {last} have no name and are not used"
    return [Problem("", "unknown_column", what, "Name it if it matters.")]


def _unknown(written: str) -> Problem:
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
    folded = {fold(name): name for name in known}
    if known is CANONICAL_FIELDS:
        folded |= FIELD_OF_ALIAS
    close = difflib.get_close_matches(fold(word), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def _shown(written: str) -> str:
    return f'"{written}"' if " " in written else written


_SAY_WHICH = (
    "Say which with --map FIELD=COLUMN (--map ignore=COLUMN leaves a column out), or rename the column."
)
