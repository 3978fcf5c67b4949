"""A file of rows, whatever it is: CSV text in any usual encoding, packed or not, or a workbook.

It says what it assumed (`Sheet.assumptions`). What makes the whole file unreadable is an `InputProblemError`; a bad
row is a row with a fault, and none is lost in silence.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from producers.backfill.csv_rows import CsvRows, sniff_delimiter
from producers.backfill.encodings import (
    HEBREW,
    LOOK_AHEAD_BYTES,
    UTF_8,
    AsUtf8,
    Encoding,
    by_head,
    by_mark_or_option,
    contradicted,
    defined_in_hebrew,
    unknown,
)
from producers.backfill.opening import READ_BYTES, look_ahead, plain, refuse_other_formats
from producers.backfill.pipe import PipeStream
from producers.backfill.problems import InputProblemError, no_rows
from producers.backfill.reading import DELIMITERS, Assumptions, ReadOptions
from producers.backfill.rows import Row
from producers.backfill.workbook import WorkbookRows, is_workbook
from worker.domain.formulas import unguard

__all__ = [
    "DELIMITERS",
    "MARK",
    "Assumptions",
    "InputProblemError",
    "ReadOptions",
    "Row",
    "Sheet",
    "Survey",
    "count_lines",
    "no_rows",
    "sniff_delimiter",
    "survey",
]

MARK = "_line"  #: a column that only our own result files have: their cells are guarded against formulas
_AS_IT_IS = ReadOptions()
_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Survey:
    """What a look over the whole file gave."""

    encoding: Encoding | None  #: None: a workbook, which is not looked over
    lines: int  #: 0 for a workbook


class _Rows(Protocol):
    header: list[str]
    assumptions: Assumptions

    def rows(self) -> Iterator[Row]: ...


class Sheet:
    """A file being read: its header at once, its rows as they are asked for."""

    def __init__(
        self,
        stream: BinaryIO,
        options: ReadOptions = _AS_IT_IS,
        *,
        found: Survey | None = None,
        mapped: Sequence[str] = (),
    ) -> None:
        """Read the header.

        Give the *found* survey of a file that can be read twice: its encoding is then certain. That of a stream is
        decided from its first 64 KiB, or what comes of a slow pipe in its first second. *mapped* are the columns that `--map` names, to know the header by.

        Raises:
            InputProblemError: empty, or nothing that can be read.
        """
        opened = plain(stream)
        has_paused = isinstance(stream, PipeStream) and stream.has_paused
        head, again = look_ahead(opened, is_known=found is not None, has_paused=has_paused)
        self._stream = again  # were it let go, *stream* would be closed with it: that is its owner's to do
        self._source: _Rows
        if is_workbook(head):
            self._source = book = WorkbookRows(again, options, mapped)
            self.expected_rows: int | None = book.expected_rows
        else:
            refuse_other_formats(head)
            _refuse_sheet_option(options)
            encoding = found.encoding if found else None
            encoding = encoding or by_mark_or_option(head, options.encoding)
            is_whole = len(head) < LOOK_AHEAD_BYTES and not has_paused
            encoding = encoding or by_head(head, is_whole=is_whole)
            self._source = text = CsvRows(_as_utf8(again, encoding), encoding, options, mapped)
            #: A little high where cells hold line breaks; None: not known.
            self.expected_rows = max(0, found.lines - text.header_end) if found else None
        self.header = self._source.header
        self.assumptions = self._source.assumptions
        self.is_ours = MARK in self.header  #: one of our own result files, to be read as it was written
        if self.is_ours:
            self.header = list(map(unguard, self.header))

    def rows(self) -> Iterator[Row]:
        """Yield every row but blank ones.

        Raises:
            InputProblemError: the rest of the file cannot be read.
        """
        rows = self._source.rows()
        return map(_unguarded, rows) if self.is_ours else rows


def survey(stream: BinaryIO, options: ReadOptions = _AS_IT_IS) -> Survey:
    """Look over a whole file, which is closed then: its encoding and how many lines it has.

    Raises:
        InputProblemError: it is in no encoding that can be told, or not in the one that it or the operator says.
    """
    with stream, plain(stream) as opened:
        head, again = look_ahead(opened, is_known=True)
        if is_workbook(head):
            return Survey(None, 0)
        refuse_other_formats(head)
        encoding = by_mark_or_option(head, options.encoding)
        if encoding is None:
            return _weigh(again)
        with _as_utf8(again, encoding) as text:
            return Survey(encoding, _count_utf8(text, encoding))


def count_lines(stream: BinaryIO) -> int:
    """Return how many lines the stream has, having made sure that all of it can be read; closes it.

    Raises:
        InputProblemError: it cannot; names the line and the byte.
    """
    return survey(stream).lines


def _as_utf8(stream: io.BufferedReader, encoding: Encoding) -> io.BufferedReader:
    """Return a stream of UTF-8 from after the file's mark."""
    stream.read(len(encoding.mark))
    if encoding.codec == UTF_8:
        return stream
    return io.BufferedReader(AsUtf8(stream, encoding), READ_BYTES)


def _count_utf8(stream: io.BufferedReader, encoding: Encoding) -> int:
    """Return the number of lines, all of them UTF-8."""
    count = _LineCount()
    read = len(encoding.mark)
    for block in _blocks(stream):
        try:
            block.decode()
        except UnicodeDecodeError as error:
            line, byte = count.line_at(block, error.start), read + error.start + 1
            raise contradicted(block, encoding, line=line, byte=byte) from None
        count.add(block)
        read += len(block)
    return count.total


def _weigh(stream: io.BufferedReader) -> Survey:
    """Return which of UTF-8 and Windows-1255 all of the text is."""
    off: InputProblemError | None = None  # where it is not UTF-8
    may_be_hebrew = True
    count, read = _LineCount(), 0
    for block in _blocks(stream):
        if not block.isascii():
            may_be_hebrew = may_be_hebrew and defined_in_hebrew(block)
            try:
                off is None and block.decode()
            except UnicodeDecodeError as error:
                off = unknown(line=count.line_at(block, error.start), byte=read + error.start + 1)
            if off is not None and not may_be_hebrew:
                raise off
        count.add(block)
        read += len(block)
    return Survey(Encoding(HEBREW if off else UTF_8, "content"), count.total)


class _LineCount:
    """How many lines there were: by their line feeds, or where there are none by their returns."""

    def __init__(self) -> None:
        self._feeds = self._returns = 0

    @property
    def total(self) -> int:
        return self._feeds or self._returns

    def add(self, block: bytes) -> None:
        self._feeds += block.count(b"\n")
        self._returns += block.count(b"\r")

    def line_at(self, block: bytes, place: int) -> int:
        """Return the line that *place* in the next *block* is in."""
        feeds = self._feeds + block.count(b"\n", 0, place)
        return (feeds or self._returns + block.count(b"\r", 0, place)) + 1


def _blocks(stream: io.BufferedReader) -> Iterator[bytes]:
    """Yield blocks of about a mebibyte; a character of UTF-8 that one cuts is left to the next."""
    cut = b""
    while block := stream.read(_BLOCK_BYTES):
        block = cut + block
        end = len(block) - _cut_bytes(block)
        cut = block[end:]
        yield block[:end]
    if cut:
        yield cut


def _cut_bytes(block: bytes) -> int:
    """Return how many bytes at the end begin a character of UTF-8 that is not whole."""
    for back, byte in enumerate(reversed(block[-3:]), start=1):
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < needed else 0
        if byte < 0x80:
            break
    return 0


def _refuse_sheet_option(options: ReadOptions) -> None:
    if options.sheet is not None:
        raise InputProblemError(
            "no_sheets",
            f"--sheet {options.sheet}: the file is CSV text, which has no sheets.",
            "Leave it out.",
        )


def _unguarded(row: Row) -> Row:
    return row._replace(cells=list(map(unguard, row.cells)))
