"""A CSV file as rows: streamed, numbered by line, and forgiving of bad rows but never of silent loss.

Spreadsheet programs write commas, semicolons or tabs, with or without a byte order mark; people open quotes
and forget to close them. A row that cannot be split is a row with a *fault*; only what makes the whole file
unreadable stops the reading.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO, NamedTuple, cast

from producers.backfill.formulas import unguard
from worker.domain.parse import Problem

DELIMITERS = ",;\t|"  #: in the order that breaks a tie
MAX_LINE_BYTES = 1024 * 1024
MAX_ROW_LINES = 100  #: a quoted cell may hold line breaks, but one this long is a quote that nobody closed
READ_BYTES = 256 * 1024
MARK = "_line"  #: a column that only our own result files have: their cells are guarded against formulas
UNSPLIT = "row"  #: what a fault names in place of a field


class InputProblemError(Exception):
    """The file cannot be read, or not further; the text is for the operator."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.code = code
        self.message = message
        self.remedy = remedy


class Row(NamedTuple):
    """One row. With a fault, `cells` is the raw text as one cell."""

    line: int  #: where it begins, counted from 1 in the file as it lies
    cells: list[str]
    fault: Problem | None = None
    has_lost_quotes: bool = False  #: `"כהן" ושות'`: quotes at a cell's start are read as CSV's own


class Sheet:
    """A CSV file being read: its header at once, its rows as they are asked for."""

    def __init__(self, stream: BinaryIO) -> None:
        """Read the header.

        Raises:
            InputProblemError: empty, no text, not UTF-8, or an Excel workbook.
        """
        self._lines = _Lines(_plain(stream))
        first = self._lines.first()
        self.is_delimiter_declared = first.lower().startswith("sep=") and len(first.rstrip("\r\n")) == 5
        self.delimiter = first[4] if self.is_delimiter_declared else sniff_delimiter(first)
        if self.is_delimiter_declared:
            self._lines.drop_held()
        else:
            self._lines.push_back()
        self.header = self._read_header()
        self.is_ours = MARK in self.header  #: one of our own result files, to be read as it was written
        if self.is_ours:
            self.header = list(map(unguard, self.header))

    def _read_header(self) -> list[str]:
        for cells in self._csv():
            self._lines.held.clear()
            if any(map(str.strip, cells)):
                return [cell.strip() for cell in cells]
        raise InputProblemError(
            "empty_file", "The file has no header.", "Its first row must name the columns."
        )

    def rows(self) -> Iterator[Row]:
        """Yield every row but blank ones.

        Raises:
            InputProblemError: the rest of the file cannot be read.
        """
        return map(_unguarded, self._all_rows()) if self.is_ours else self._all_rows()

    def _all_rows(self) -> Iterator[Row]:
        while True:
            try:
                yield from self._split_rows()
            except (csv.Error, _RunawayQuoteError):
                yield self._unsplit()
            else:
                return

    def _split_rows(self) -> Iterator[Row]:
        lines, width, looks_odd = self._lines, len(self.header), _odd_quotes(self.delimiter)
        held = lines.held
        for cells in self._csv():
            if len(cells) == width and len(held) == 1 and not lines.is_suspect and not lines.is_at_end:
                if cells[0].strip() or any(map(str.strip, cells)):
                    text = held[0]
                    yield Row(lines.number, cells, None, '"' in text and looks_odd(text))
            elif any(map(str.strip, cells)):
                yield self._unusual(cells, width, looks_odd)
            held.clear()

    def _unusual(self, cells: list[str], width: int, looks_odd: Callable[[str], bool]) -> Row:
        """Return a row that has more than one line, another width or a NUL."""
        lines, text = self._lines, "".join(self._lines.held)
        has_lines = len(lines.held) > 1
        if len(cells) > width and not any(cells[width:]):
            cells = cells[:width]
        # A quote that nobody closed ends at the next one: what follows that, or the width, gives it away.
        if lines.is_at_end or (has_lines and (len(cells) != width or looks_odd(text))):
            raise _RunawayQuoteError
        line, text = lines.number - len(lines.held) + 1, text.rstrip("\r\n")
        if lines.is_suspect:
            lines.is_suspect = False
            return Row(line, [text], _NUL)
        if len(cells) != width:
            return Row(line, [text], _ragged(len(cells), width))
        return Row(line, cells)

    def _unsplit(self) -> Row:
        """Return the line that csv gave up; the lines that its open quote swallowed are read again."""
        lines = self._lines
        raw, line = lines.held[0].rstrip("\r\n"), lines.number - len(lines.held) + 1
        lines.push_back(keep=1)
        if "\r" in raw:
            return Row(line, [raw], _STRAY_BREAK)
        return Row(line, [raw], _TOO_LONG if len(raw) > csv.field_size_limit() else _UNCLOSED)

    def _csv(self) -> Iterator[list[str]]:
        return csv.reader(self._lines.read(), delimiter=self.delimiter, quotechar='"', doublequote=True)


class _Lines:
    """The file's lines as text. Remembers those of the row that is being read, and can read them again."""

    def __init__(self, stream: BinaryIO) -> None:
        self.number = 0  #: of the line given last
        self.held: list[str] = []  #: the lines given since the reader last cleared this
        self.is_suspect = False  #: a NUL was met
        self.is_at_end = False  #: csv asked for a line after the last: it was inside a quote
        self._bytes_read = 0
        self._again: deque[str] = deque()
        self._raw: Iterator[bytes] = iter(partial(stream.readline, MAX_LINE_BYTES), b"")
        self._stream = stream

    def first(self) -> str:
        """Return the first line, without its byte order mark."""
        raw = next(self._raw, b"")
        if not raw:
            raise InputProblemError(
                "empty_file", "The file is empty.", "Its first row must name the columns."
            )
        self._refuse_other_formats(raw)
        self._refuse_long(raw)
        raw = raw.removeprefix(codecs.BOM_UTF8)
        if b"\r" in raw and b"\n" not in raw:
            self._raw = _carriage_return_lines(raw, self._stream)
            raw = next(self._raw)
        self.held.append(self._decode(raw))
        self.number, self._bytes_read = 1, len(raw)
        return self.held[0]

    def read(self) -> Iterator[str]:
        """Yield line after line, first those that were pushed back."""
        self.is_at_end = False
        held = self.held
        while self._again:
            yield self._give(self._again.popleft())
        for raw in self._raw:
            if len(raw) >= MAX_LINE_BYTES:
                self._refuse_long(raw)
            try:
                text = raw.decode()
            except UnicodeDecodeError:
                text = self._decode(raw)
            self._bytes_read += len(raw)
            self.number += 1
            held.append(text)
            if "\0" in text:
                self.is_suspect = True
            if len(held) > MAX_ROW_LINES:
                raise _RunawayQuoteError
            yield text
        self.is_at_end = True

    def _give(self, text: str) -> str:
        self.number += 1
        self.held.append(text)
        self.is_suspect |= "\0" in text
        if len(self.held) > MAX_ROW_LINES:
            raise _RunawayQuoteError
        return text

    def push_back(self, *, keep: int = 0) -> None:
        """Have the held lines read again, but for the first *keep*."""
        again = self.held[keep:]
        self._again.extendleft(reversed(again))
        self.number -= len(again)
        self.drop_held()

    def drop_held(self) -> None:
        """Forget the held lines."""
        self.held.clear()
        self.is_suspect = False

    def _decode(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise not_utf8(raw, line=self.number + 1, byte=self._bytes_read + error.start + 1) from None

    def _refuse_long(self, raw: bytes) -> None:
        if len(raw) >= MAX_LINE_BYTES:
            message = f"Line {self.number + 1} is longer than 1 MiB."
            raise InputProblemError("line_too_long", message, "Is it a CSV file?")

    def _refuse_other_formats(self, raw: bytes) -> None:
        for magic, (what, remedy) in _OTHER_FORMATS.items():
            if raw.startswith(magic):
                raise InputProblemError("not_csv", f"The file is {what}, not CSV text in UTF-8.", remedy)


class _RunawayQuoteError(Exception):
    """A quoted cell has no end in sight."""


def count_lines(stream: BinaryIO) -> int:
    """Return how many lines the stream has, having made sure that all of it is UTF-8; closes it.

    Raises:
        InputProblemError: it is not UTF-8; names the line and the byte.
    """
    with _plain(stream) as plain:
        lines = read = 0
        while block := _read_block(plain):
            if read == 0 and block.startswith(tuple(_OTHER_FORMATS)):
                return 0  # reading it will say what it is
            try:
                block.decode()
            except UnicodeDecodeError as error:
                line = lines + block.count(b"\n", 0, error.start) + 1
                raise not_utf8(block, line=line, byte=read + error.start + 1) from None
            lines += block.count(b"\n")
            read += len(block)
        return lines


def no_rows() -> InputProblemError:
    """Return the problem of a file that has a header only."""
    return InputProblemError("no_rows", "The file has a header and no rows.", "Is it the right file?")


def not_utf8(raw: bytes, *, line: int, byte: int) -> InputProblemError:
    """Return the problem of text in another encoding, with a guess where one is safe."""
    guess, remedy = "", _SAVE_AS
    try:
        # Hebrew text in this encoding never passes for UTF-8, and undefined bytes rule out most others.
        raw.decode("cp1255")
    except UnicodeDecodeError:
        pass
    else:
        guess, remedy = " It looks like Windows-1255 (Hebrew).", _FROM_HEBREW
    return InputProblemError(
        "not_utf8", f"The file is not UTF-8: line {line}, byte {byte} of the file.{guess}", remedy
    )


def sniff_delimiter(header: str) -> str:
    """Return the delimiter of a header line: the candidate that occurs most often outside of quotes.

    The header alone decides: its cells are names, whereas the rows' commas and bars may be anybody's prose.
    """
    bare = re.sub(r'"[^"]*"?', "", header)
    return max(DELIMITERS, key=lambda candidate: (bare.count(candidate), -DELIMITERS.index(candidate)))


def _odd_quotes(delimiter: str) -> Callable[[str], bool]:
    """Return a test for lines where text follows a closing quote, so that CSV drops the quotes."""
    mark = re.escape(delimiter)
    hint = re.compile(rf'(?<=[^{mark}"])"(?=[^{mark}"\r\n])')
    cell = re.compile(rf'(?:"(?:[^"]|"")*+"([^{mark}\r\n]*)|[^{mark}\r\n]*)(?:{mark}|$)')

    def looks_odd(text: str) -> bool:
        return hint.search(text) is not None and any(found[1] for found in cell.finditer(text))

    return looks_odd


def _plain(stream: BinaryIO) -> BinaryIO:
    """Return the stream buffered, and unzipped where it is gzip."""
    buffered = io.BufferedReader(cast("io.RawIOBase", stream), READ_BYTES)
    if buffered.peek(2)[:2] != b"\x1f\x8b":
        return buffered
    return cast("BinaryIO", io.BufferedReader(_Unzipped(fileobj=buffered, mode="rb"), READ_BYTES))


class _Unzipped(gzip.GzipFile):
    """Gzip whose damage is told in the operator's words."""

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            remedy = "Unpack it with `gunzip` and give the CSV file."
            raise InputProblemError("bad_gzip", "The gzip file is damaged or cut off.", remedy) from None


def _read_block(stream: BinaryIO) -> bytes:
    """Return about a mebibyte that ends at a line's end."""
    block = stream.read(1024 * 1024)
    return block + stream.readline() if block else b""


def _carriage_return_lines(head: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file that ends them the old Macintosh way."""
    rest = head
    while True:
        *lines, rest = rest.split(b"\r")
        yield from (line + b"\n" for line in lines)
        block = stream.read(READ_BYTES)
        if not block:
            break
        rest += block
    if rest:
        yield rest


def _unguarded(row: Row) -> Row:
    return row._replace(cells=list(map(unguard, row.cells)))


def _ragged(found: int, wanted: int) -> Problem:
    which = "few" if found < wanted else "many"
    return Problem(
        field=UNSPLIT,
        code=f"too_{which}_cells",
        message=f"the row has {found} cells where the header has {wanted}",
        remedy="Put text that holds the delimiter in double quotes, and keep a delimiter for each empty cell.",
    )


_UNCLOSED = Problem(
    field=UNSPLIT,
    code="unclosed_quote",
    message="a double quote is opened and not closed",
    remedy='Close it, or write a double quote inside a quoted cell twice: "".',
)
_STRAY_BREAK = Problem(
    field=UNSPLIT,
    code="stray_line_break",
    message="a carriage return stands in the middle of the line",
    remedy="Remove it, or put the cell in double quotes.",
)
_TOO_LONG = Problem(
    field=UNSPLIT,
    code="cell_too_long",
    message="a cell is longer than 131,072 characters",
    remedy="No field takes that much; shorten it.",
)
_NUL = Problem(
    field=UNSPLIT, code="nul_byte", message="the row holds a NUL byte", remedy="Write the row's text anew."
)
_SAVE_AS = "Save it as `CSV UTF-8` from the program that it comes from."
_FROM_HEBREW = f"{_SAVE_AS} Or convert it: iconv -f WINDOWS-1255 -t UTF-8 OLD.csv > NEW.csv"
_FROM_UTF16 = f"{_SAVE_AS} Or convert it: iconv -f UTF-16 -t UTF-8 OLD.csv > NEW.csv"
_OTHER_FORMATS = {
    b"\xff\xfe": ("UTF-16 text", _FROM_UTF16),
    b"\xfe\xff": ("UTF-16 text", _FROM_UTF16),
    b"PK\x03\x04": ("an Excel workbook or a zip file", _SAVE_AS),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", _SAVE_AS),
    b"%PDF": ("a PDF document", _SAVE_AS),
}
