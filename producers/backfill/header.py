"""Where a table begins: its first row with text, or the first of a few whose cells are names that we know.

Exports often carry a title, a date or an explanation above the table, mostly in one merged cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from producers.backfill.aliases import fold, means_something

HEADER_ROWS = 10  #: rows with text that are looked at
_NAMES_ENOUGH = 2  #: a row of data may by chance hold one word that is a column's name, such as whatsapp


def name_counter(mapped: Sequence[str]) -> Callable[[Sequence[str]], int]:
    """Return what counts the cells that name a column: a known one, one of our own, or one of *mapped* (`--map`)."""
    written = {fold(name) for name in mapped}

    def count(cells: Sequence[str]) -> int:
        return sum(1 for cell in cells if cell and (means_something(cell) or fold(cell) in written))

    return count


def header_among(counts: Sequence[int]) -> int:
    """Return which row is the header, given how many names each of the first rows holds."""
    if not counts or counts[0]:
        return 0
    return next((index for index, count in enumerate(counts) if count >= _NAMES_ENOUGH), 0)
