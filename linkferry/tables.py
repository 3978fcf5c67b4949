"""Tables that stay readable in a narrow terminal: what is to be copied is never folded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from linkferry.frame import flags
from linkferry.hints import as_typed
from linkferry.output import console, print_fields, say

if TYPE_CHECKING:
    from rich.table import Table

_GAP = 2  #: blanks between two columns
_LEAST_TEXT = 24  #: columns that running text needs to be readable


@dataclass(frozen=True, slots=True)
class Column:
    """A column and how much it is worth."""

    header: str
    rank: int = 0  #: 0 always shows; of the others, the highest goes first where room is short
    is_text: bool = False  #: running text, which may be wrapped; all else stays whole


def print_table(columns: Sequence[Column | str], rows: Iterable[Sequence[object]]) -> None:
    """Print a plain table, or where even its first columns find no room, a block per row.

    Cells are data: nothing in them is taken for markup.
    """
    known = [each if isinstance(each, Column) else Column(each) for each in columns]
    cells = [[_cell(cell) for cell in row] for row in rows]
    out = console()
    for highest in sorted({each.rank for each in known}, reverse=True):
        kept = [index for index, each in enumerate(known) if each.rank <= highest]
        if _width(known, cells, kept) <= out.width:
            out.print(_table(known, cells, kept))
            return
    _print_blocks(known, cells)


def _cell(value: object) -> str:
    """Return a value as text; its hints go by the short name, as there is no room for a path."""
    text = "" if value is None else str(value)
    return as_typed(text, is_sandbox=flags().is_sandbox, by="linkferry")


def _widths(column: Column, texts: Sequence[str]) -> int:
    """Return how many columns of the terminal it needs at least."""
    from rich.cells import cell_len

    longest = max((cell_len(text) for text in (column.header, *texts)), default=0)
    return min(longest, _LEAST_TEXT) if column.is_text else longest


def _width(columns: Sequence[Column], cells: Sequence[Sequence[str]], kept: Sequence[int]) -> int:
    widths = (_widths(columns[index], [row[index] for row in cells]) for index in kept)
    return sum(widths) + _GAP * (len(kept) - 1)


def _table(columns: Sequence[Column], cells: Sequence[Sequence[str]], kept: Sequence[int]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for index in kept:
        column = columns[index]
        table.add_column(
            column.header,
            no_wrap=not column.is_text,
            overflow="fold" if column.is_text else "ignore",
            min_width=_widths(column, [row[index] for row in cells]),
        )
    for row in cells:
        table.add_row(*(Text(row[index]) for index in kept))
    return table


def _print_blocks(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> None:
    for row in cells:
        say(row[0])
        print_fields({column.header: text for column, text in zip(columns[1:], row[1:], strict=True)})
