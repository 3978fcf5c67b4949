"""The rows of a CSV text: streamed, numbered by line, and forgiving of bad rows but never of silent loss.

Spreadsheet programs write commas, semicolons or tabs; people open quotes and forget to close them. A row that
cannot be split is a row with a *fault*; only what makes the whole file unreadable stops the reading.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from producers.backfill.encodings import Encoding
from producers.backfill.header import HEADER_ROWS, header_among, name_counter
from producers.backfill.lines import Lines, RunawayQuoteError
from producers.backfill.problems import InputProblemError
from producers.backfill.reading import DELIMITERS, Assumptions, ReadOptions
from producers.backfill.rows import NUL, STRAY_BREAK, TOO_LONG, UNCLOSED, Row, ragged

_NameCounter = Callable[[Sequence[str]], int]


class _QuoteTest(Protocol):
    def __call__(self, text: str, *, is_one_line: bool = True) -> bool: ...


#: `="0501234567"`: how people keep Excel from dropping the zero.
_is_text_formula = re.compile(r'="((?:[^"]|"")*)"').fullmatch


class CsvRows:
    """A CSV text being read: its header at once, its rows as they are asked for."""

    def __init__(
        self, stream: io.BufferedReader, encoding: Encoding, options: ReadOptions, mapped: Sequence[str]
    ) -> None:
        """Read the header from a stream of UTF-8 whose file is in *encoding*; *mapped* are columns of `--map`.

        Raises:
            InputProblemError: empty, or no text.
        """
        self._lines = lines = Lines(stream, encoding)
        self._names = name_counter(mapped)
        first = lines.first()
        is_declared = first.lower().startswith("sep=") and len(first.rstrip("\r\n")) == 5
        if is_declared:
            lines.drop_held()
        else:
            lines.push_back()
        self._declared = options.delimiter or (first[4] if is_declared else None)
        self.delimiter = self._declared or DELIMITERS[0]
        self.header, line, is_first = self._find_header()
        self.header_end = lines.number  #: the header's last line
        self.assumptions = Assumptions(
            encoding=encoding.name,
            encoding_by=encoding.by,
            delimiter=self.delimiter,
            delimiter_by="option" if options.delimiter else "sep_line" if is_declared else "header",
            header_line=line,
            is_title_skipped=not is_first,
        )

    def rows(self) -> Iterator[Row]:
        """Yield every row but blank ones.

        Raises:
            InputProblemError: the rest of the file cannot be read.
        """
        while True:
            try:
                yield from self._split_rows()
            except (csv.Error, RunawayQuoteError):
                yield self._unsplit()
            else:
                return

    # --- the header ----------------------------------------------------------------------------------------

    def _find_header(self) -> tuple[list[str], int, bool]:
        """Return the header, its line, and whether it is the first row with text."""
        lines = self._lines
        self._choose_delimiter("".join(lines.preview(1)[-1:]))
        first = self._next_record()
        if first is not None and not self._names(first):
            # Maybe a title. Whatever names more columns than it does is the header; else it is one itself.
            lines.push_back()
            first = None
        begin = 0
        if first is None:
            begin = self._go_to_header()
            first = self._next_record()
        if first is None:
            raise _bad_header(lines.number + 1)
        line = lines.number - len(lines.held) + 1
        lines.drop_held()
        return [_untricked(cell).strip() for cell in first], line, begin == 0

    def _go_to_header(self) -> int:
        """Leave out what stands above the header; return how many lines that is."""
        texts = self._lines.preview(HEADER_ROWS)
        counts = [self._names(self._split(text)) for text in texts]
        begins = [index for index, text in enumerate(texts) if text.strip()] or [0]
        begin = begins[header_among([counts[index] for index in begins])] if texts else 0
        if begin != begins[0]:
            for _ in zip(range(begin), self._lines.read(), strict=False):
                pass
            self._lines.drop_held()
        self._choose_delimiter("".join(texts[begin : begin + 1]))
        return begin if begin != begins[0] else 0

    def _next_record(self) -> list[str] | None:
        """Return the next record with text, its lines held; None: it cannot be split, and is to be read again.

        Raises:
            InputProblemError: there is none.
        """
        lines = self._lines
        try:
            for cells in self._csv():
                if any(map(str.strip, cells)):
                    if not lines.is_at_end:
                        return cells
                    lines.push_back()
                    return None
                lines.drop_held()
        except (csv.Error, RunawayQuoteError):
            lines.push_back()
            return None
        raise InputProblemError(
            "empty_file", "The file has no header.", "Its first row must name the columns."
        )

    def _choose_delimiter(self, header: str) -> None:
        self.delimiter = self._declared or sniff_delimiter(header, self._names)

    def _split(self, text: str) -> list[str]:
        return _split(text, self._declared or sniff_delimiter(text, self._names))

    # --- the rows ------------------------------------------------------------------------------------------

    def _split_rows(self) -> Iterator[Row]:
        lines, width, looks_odd = self._lines, len(self.header), _odd_quotes(self.delimiter)
        held = lines.held
        for cells in self._csv():
            if len(cells) == width and len(held) == 1 and not lines.is_suspect and not lines.is_at_end:
                if cells[0].strip() or any(map(str.strip, cells)):
                    text = held[0]
                    if '"' in text:
                        yield Row(lines.number, _all_untricked(cells, text), None, looks_odd(text))
                    else:
                        yield Row(lines.number, cells)
            elif any(map(str.strip, cells)):
                yield self._unusual(cells, width, looks_odd)
            held.clear()

    def _unusual(self, cells: list[str], width: int, looks_odd: _QuoteTest) -> Row:
        """Return a row that has more than one line, another width or a NUL."""
        lines, text = self._lines, "".join(self._lines.held)
        has_lines = len(lines.held) > 1
        if len(cells) > width and not any(map(str.strip, cells[width:])):
            cells = cells[:width]
        # A quote that nobody closed ends at the next one: what follows that, or the width, gives it away.
        if lines.is_at_end or (has_lines and (len(cells) != width or looks_odd(text, is_one_line=False))):
            raise RunawayQuoteError
        line, text = lines.number - len(lines.held) + 1, text.rstrip("\r\n")
        if lines.is_suspect:
            lines.is_suspect = False
            return Row(line, [text], NUL)
        if len(cells) != width:
            return Row(line, [text], ragged(len(cells), width))
        return Row(line, _all_untricked(cells, text))

    def _unsplit(self) -> Row:
        """Return the line that csv gave up; the lines that its open quote swallowed are read again."""
        lines = self._lines
        raw, line = lines.held[0].rstrip("\r\n"), lines.number - len(lines.held) + 1
        lines.push_back(keep=1)
        if "\r" in raw:
            return Row(line, [raw], STRAY_BREAK)
        return Row(line, [raw], TOO_LONG if len(raw) > csv.field_size_limit() else UNCLOSED)

    def _csv(self) -> Iterator[list[str]]:
        return csv.reader(self._lines.read(), delimiter=self.delimiter, quotechar='"', doublequote=True)


def sniff_delimiter(header: str, names: _NameCounter | None = None) -> str:
    """Return the delimiter of a header line: which makes the most known *names*, then the most cells.

    The header alone decides: its cells are names, whereas the rows' commas and bars may be anybody's prose.
    """
    bare = re.sub(r'"[^"]*"?', "", header)

    def rank(candidate: str) -> tuple[int, int, int]:
        known = names(_split(header, candidate)) if names and candidate in bare else 0
        return known, bare.count(candidate), -DELIMITERS.index(candidate)

    return max(DELIMITERS, key=rank)


def _split(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:
        return []


def _all_untricked(cells: list[str], text: str) -> list[str]:
    return list(map(_untricked, cells)) if '="' in text else cells


def _untricked(cell: str) -> str:
    found = _is_text_formula(cell.strip()) if cell[-1:] == '"' or cell[:1] == "=" else None
    return found[1].replace('""', '"') if found else cell


def _odd_quotes(delimiter: str) -> _QuoteTest:
    """Return a test for rows where text follows a closing quote, so that CSV drops the quotes."""
    mark = re.escape(delimiter)
    # Only one line is known by the hint: across lines, a quote that opens a cell may be what closes another's.
    hint = re.compile(rf'(?<=[^{mark}"])"(?=[^{mark}"\r\n])')
    cell = re.compile(rf'(?:"(?:[^"]|"")*+"([^{mark}\r\n]*)|[^{mark}\r\n]*)(?:{mark}|\Z)')

    def looks_odd(text: str, *, is_one_line: bool = True) -> bool:
        if is_one_line and hint.search(text) is None:
            return False
        return any(found[1] for found in cell.finditer(text.rstrip("\r\n")))

    return looks_odd


def _bad_header(line: int) -> InputProblemError:
    return InputProblemError(
        "bad_header",
        f"Line {line}, the header, cannot be split into cells: a double quote is opened and not closed, or a "
        "carriage return stands in it.",
        "Mend that line; its cells must name the columns.",
    )
