"""Tables that stay readable in a narrow terminal: what is to be copied is never folded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from linkferry.frame import flags
from linkferry.hints import as_typed
from linkferry.output import brief_instant, console, print_fields, say

if TYPE_CHECKING:
    from rich.table import Table

_GAP = 2  #: blanks between two columns
_LEAST_TEXT = 24  #: columns that running text needs to be readable
_LEAST_NAME = 12  #: columns by which a name is known


@dataclass(frozen=True, slots=True)
class Column:
    """A column and how much it is worth."""

    header: str
    rank: int = 0  #: 0 always shows; of the others, the highest goes first where room is short
    is_text: bool = False  #: running text, which may be wrapped; all else stays whole
    is_name: bool = False  #: to be recognised, not copied: cut where room is short
    least: int = _LEAST_TEXT  #: columns that its running text needs
    brief: Callable[[str], str] | None = None  #: how a cell is written where room is short
    is_number: bool = False  #: a count, its digits under each other


def when(header: str, rank: int = 0) -> Column:
    """Return a column of instants, which go without year and seconds where room is short."""
    return Column(header, rank, brief=brief_instant)


def of_name(header: str = "customer", rank: int = 0) -> Column:
    """Return a column of customers' names, cut where room is short."""
    return Column(header, rank, is_name=True, least=_LEAST_NAME)


def number(header: str, rank: int = 0) -> Column:
    """Return a column of counts, their last digits under each other."""
    return Column(header, rank, is_number=True)


def keeping(columns: Sequence[Column | str], header: str) -> tuple[Column | str, ...]:
    """Return *columns* with that one always shown: it is what was asked for."""
    return tuple(header if isinstance(each, Column) and each.header == header else each for each in columns)


Cells = Sequence[Sequence[str]]


def print_table(columns: Sequence[Column | str], rows: Iterable[Sequence[object]]) -> None:
    """Print a plain table, or where even its first columns find no room, a block per row.

    Where room is short, cells are written briefly before a column goes, and columns that say nothing go first. Cells are
    data: nothing in them is taken for markup.
    """
    known = [each if isinstance(each, Column) else Column(each) for each in columns]
    whole = [[_cell(cell) for cell in row] for row in rows]
    brief = [[_briefly(column, cell) for column, cell in zip(known, row, strict=True)] for row in whole]
    out = console()
    for kept in _choices(known, whole):
        for cells in (whole, brief):
            if _width(known, cells, kept, is_cut=cells is brief) <= out.width:
                out.print(_table(known, _cut(known, cells, kept, out.width), kept))
                return
    _print_blocks(known, whole)


def _choices(columns: Sequence[Column], cells: Cells) -> Iterator[list[int]]:
    """Yield which columns to show, all of them first, then ever fewer."""
    kept = list(range(len(columns)))
    yield kept
    kept = [index for index in kept if not columns[index].rank or any(row[index] for row in cells)]
    for highest in sorted({columns[index].rank for index in kept}, reverse=True):
        yield [index for index in kept if columns[index].rank <= highest]


def _cell(value: object) -> str:
    """Return a value as text; its hints go by the short name, as there is no room for a path."""
    text = "" if value is None else str(value)
    return as_typed(text, is_sandbox=flags().is_sandbox, by="linkferry")


def _briefly(column: Column, cell: str) -> str:
    return cell if column.brief is None else column.brief(cell)


def _least(column: Column, texts: Iterable[str], *, is_cut: bool = True) -> int:
    """Return how many columns of the terminal it needs at least; a name is cut only where *is_cut*."""
    from rich.cells import cell_len

    longest = max((cell_len(text) for text in (column.header, *texts)), default=0)
    is_elastic = column.is_text or (column.is_name and is_cut)
    return min(longest, max(column.least, cell_len(column.header))) if is_elastic else longest


def _width(columns: Sequence[Column], cells: Cells, kept: Sequence[int], *, is_cut: bool) -> int:
    widths = (_least(columns[index], [row[index] for row in cells], is_cut=is_cut) for index in kept)
    return sum(widths) + _GAP * (len(kept) - 1)


def _cut(columns: Sequence[Column], cells: Cells, kept: Sequence[int], width: int) -> Cells:
    """Return the cells with names cut to the room that the columns beside them leave."""
    from rich.cells import cell_len, set_cell_size

    names = [index for index in kept if columns[index].is_name]
    if not names:
        return cells
    spare = (width - _width(columns, cells, kept, is_cut=True)) // len(names)
    room = {index: _least(columns[index], [row[index] for row in cells]) + spare for index in names}

    def fitted(index: int, cell: str) -> str:
        if index not in room or cell_len(cell) <= room[index]:
            return cell
        return set_cell_size(cell, room[index] - 1).rstrip() + "…"

    return [[fitted(index, cell) for index, cell in enumerate(row)] for row in cells]


def _table(columns: Sequence[Column], cells: Cells, kept: Sequence[int]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for index in kept:
        column = columns[index]
        table.add_column(
            column.header,
            justify="right" if column.is_number else "left",
            no_wrap=not column.is_text,
            # Rich aligns only what it may cut; a number finds its room all the same.
            overflow="fold" if column.is_text else "crop" if column.is_number else "ignore",
            min_width=_least(column, [row[index] for row in cells]),
        )
    for row in cells:
        table.add_row(*(Text(row[index]) for index in kept))
    return table


def _print_blocks(columns: Sequence[Column], cells: Cells) -> None:
    for row in cells:
        say(row[0])
        print_fields({column.header: text for column, text in zip(columns[1:], row[1:], strict=True)})


# --- what stands under a list ---------------------------------------------------------------------------------


def print_end(page: dict[str, Any], *, nothing: str = "None.") -> None:
    """Print how many there are, and how to see those behind the page; *nothing* where there are none."""
    items = page["items"]
    if items:
        say(f"{len(items):,} of {total_text(page)}.")
    elif not page["next"]:
        say(nothing)
    if any(item.get("requeues") and item["state"] == "failed" for item in items):
        say("×: failed again, after so many requeues.")
    if page["next"]:
        say(
            f"More: add --cursor {page['next']}"
            if items
            else f"None so far; go on with --cursor {page['next']}"
        )


def total_text(page: dict[str, Any]) -> str:
    """Return how many there are, for people; a page that does not know says the least."""
    least = "" if page.get("is_total_exact", True) else "at least "
    by_stage = page.get("by_stage") or {}
    kinds = [
        f"{by_stage[stage]:,} {word}{'' if by_stage[stage] == 1 else 's'}"
        for stage, word in (("link", "job"), ("delivery", "message"))
        if by_stage.get(stage)
    ]
    of_both = f": {', '.join(kinds)}" if len(kinds) > 1 else ""
    return f"{least}{page['total']:,}{of_both}"
