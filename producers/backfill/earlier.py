"""Which lines of an input a run's earlier result files hold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from producers.backfill.reader import MARK, InputProblemError, Sheet

_LINES_A_PAGE = 8192


class Lines:
    """A set of line numbers, a bit each: a million of them take 125 KB."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def add(self, line: int) -> None:
        """Put in a line."""
        page, bit = divmod(line, _LINES_A_PAGE)
        bits = self._pages.get(page)
        if bits is None:
            bits = self._pages[page] = bytearray(_LINES_A_PAGE // 8)
        bits[bit >> 3] |= 1 << (bit & 7)

    def __contains__(self, line: object) -> bool:
        """Tell whether the line was put in."""
        if not isinstance(line, int):
            return False
        page, bit = divmod(line, _LINES_A_PAGE)
        bits = self._pages.get(page)
        return bits is not None and bool(bits[bit >> 3] & 1 << (bit & 7))


def lines_of(paths: Iterable[Path]) -> Lines:
    """Return the lines whose rows these result files hold.

    A process that was killed may have left half a row at a file's end: that one does not count. Neither does what
    somebody has made unreadable since: such rows are rather written twice than lost.
    """
    lines = Lines()
    for path in paths:
        with contextlib.suppress(InputProblemError, OSError):
            for line in _whole_rows(path):
                lines.add(line)
    return lines


def _whole_rows(path: Path) -> Iterator[int]:
    with path.open("rb") as stream:
        stream.seek(-1, 2)
        is_whole = stream.read(1) in b"\r\n"
    last: int | None = None
    with path.open("rb") as stream:
        sheet = Sheet(stream)
        if MARK not in sheet.header:
            return
        place = sheet.header.index(MARK)
        for row in sheet.rows():
            if last is not None:
                yield last
            cell = row.cells[place].strip() if row.fault is None else ""
            last = int(cell) if cell.isdecimal() else None
    if is_whole and last is not None:
        yield last
