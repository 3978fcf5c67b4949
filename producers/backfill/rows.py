"""A row as every reader gives it, and what can be wrong with a row that no column has looked at yet."""

from __future__ import annotations

from typing import NamedTuple

from worker.domain.parse import Problem

UNSPLIT = "row"  #: what a fault names in place of a field


class Row(NamedTuple):
    """One row. With a fault, `cells` is the raw text as one cell."""

    line: int  #: where it begins, counted from 1 in the file as it lies (in a workbook: the row's number)
    cells: list[str]
    fault: Problem | None = None
    has_lost_quotes: bool = False  #: `"כהן" ושות'`: quotes at a cell's start are read as CSV's own
    #: Of a workbook: cells that hold something else than text or a whole number (index, kind: see `oddities`).
    odd: tuple[tuple[int, str], ...] = ()


def ragged(found: int, wanted: int) -> Problem:
    """Return the fault of a row that has another number of cells than the header."""
    which = "few" if found < wanted else "many"
    return Problem(
        field=UNSPLIT,
        code=f"too_{which}_cells",
        message=f"the row has {found} cells where the header has {wanted}",
        remedy="Put text that holds the delimiter in double quotes, and keep a delimiter for each empty cell.",
    )


UNCLOSED = Problem(
    field=UNSPLIT,
    code="unclosed_quote",
    message="a double quote is opened and not closed",
    remedy='Close it, or write a double quote inside a quoted cell twice: "".',
)
STRAY_BREAK = Problem(
    field=UNSPLIT,
    code="stray_line_break",
    message="a carriage return stands in the middle of the line",
    remedy="Remove it, or put the cell in double quotes.",
)
TOO_LONG = Problem(
    field=UNSPLIT,
    code="cell_too_long",
    message="a cell is longer than 131,072 characters",
    remedy="No field takes that much; shorten it.",
)
NUL = Problem(
    field=UNSPLIT, code="nul_byte", message="the row holds a NUL byte", remedy="Write the row's text anew."
)
