"""Cells of a workbook that hold no text: what that means for the field that their column is.

Excel takes 1/5 for a date and 05-01 for another; a number whose digits matter must not be guessed back from those.
"""

from __future__ import annotations

from collections.abc import Mapping

from producers.backfill.columns import Columns
from producers.backfill.rows import Row
from worker.domain.parse import InvalidRequest, ParsedRequest, Problem

#: Fields of digits, which no date, fraction or truth value can stand for.
_OF_DIGITS = frozenset({"whatsapp", "phone", "business_id", "account_id", "inbox_id"})
_AS_TEXT = "Format the column as text in the spreadsheet and enter it again."
_WORDS: Mapping[str, tuple[str, str]] = {
    "fraction": ("not_digits", "holds a number with decimals"),
    "boolean": ("not_digits", "holds TRUE or FALSE"),
    "date": ("date_cell", "holds a date"),
    "time": ("date_cell", "holds a time"),
    "rounded": ("digits_lost", "holds a number of over 15 digits, of which a spreadsheet keeps 15"),
    "error": ("cell_error", "holds a formula's error (#N/A and the like)"),
}
_ALWAYS_REFUSED = frozenset({"rounded", "error"})
_DATES = frozenset({"date", "time"})


def weigh_odd_cells(
    row: Row, columns: Columns, parsed: ParsedRequest | InvalidRequest
) -> ParsedRequest | InvalidRequest:
    """Return what was *parsed*, refused or warned about where a cell of a used column holds no text."""
    field_at = {index: name for name, index in columns.places}
    refused: list[Problem] = []
    doubtful: list[Problem] = []
    for index, kind in row.odd:
        name = field_at.get(index)
        if name is None:
            continue
        if kind in _ALWAYS_REFUSED or name in _OF_DIGITS:
            refused.append(_refusal(name, kind))
        elif kind in _DATES:
            doubtful.append(_doubt(name, row.cells[index]))
    if isinstance(parsed, ParsedRequest):
        if refused:
            return InvalidRequest(tuple(refused))
        return ParsedRequest(parsed.request, (*parsed.warnings, *doubtful)) if doubtful else parsed
    fields = {problem.field for problem in refused}
    return InvalidRequest((*refused, *(each for each in parsed.problems if each.field not in fields)))


def _refusal(name: str, kind: str) -> Problem:
    code, words = _WORDS[kind]
    remedy = "Mend the formula in the spreadsheet." if kind == "error" else _AS_TEXT
    return Problem(name, code, f"{name} {words}", remedy)


def _doubt(name: str, text: str) -> Problem:
    return Problem(name, "date_cell", f"{name} is a date in the workbook, so “{text}” is taken", _AS_TEXT)
