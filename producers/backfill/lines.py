"""A text's lines, one at a time; those of the row that is being read are kept, and can be read again."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from functools import partial

from producers.backfill.encodings import Encoding, contradicted
from producers.backfill.opening import READ_BYTES
from producers.backfill.problems import InputProblemError

MAX_LINE_BYTES = 1024 * 1024
MAX_ROW_LINES = 100  #: a quoted cell may hold line breaks, but one this long is a quote that nobody closed


class RunawayQuoteError(Exception):
    """A quoted cell has no end in sight."""


class Lines:
    """The lines of a UTF-8 stream. Remembers those of the row that is being read, and can read them again."""

    def __init__(self, stream: io.BufferedReader, encoding: Encoding) -> None:
        """Read from where *stream* stands: after its mark."""
        self.number = 0  #: of the line given last
        self.held: list[str] = []  #: the lines given since the reader last cleared this
        self.is_suspect = False  #: a NUL was met
        self.is_at_end = False  #: csv asked for a line after the last: it was inside a quote
        self._encoding = encoding
        self._bytes_read = len(encoding.mark)
        self._again: deque[str] = deque()
        self._raw: Iterator[bytes] = iter(partial(stream.readline, MAX_LINE_BYTES), b"")
        self._stream = stream

    def first(self) -> str:
        """Return the first line; it is held, too.

        Raises:
            InputProblemError: there is none, or it is no text.
        """
        raw = next(self._raw, b"")
        if not raw:
            raise InputProblemError(
                "empty_file", "The file is empty.", "Its first row must name the columns."
            )
        is_cut = len(raw) >= MAX_LINE_BYTES  # then a return at its very end may be half of a Windows line end
        if b"\n" not in raw and b"\r" in (raw[:-1] if is_cut else raw):
            self._raw = _carriage_return_lines(raw, self._stream)
            raw = next(self._raw)
        self._refuse_long(raw)
        self.held.append(self._decode(raw))
        self.number, self._bytes_read = 1, self._bytes_read + len(raw)
        return self.held[0]

    def read(self) -> Iterator[str]:
        """Yield line after line, first those that were pushed back.

        Raises:
            InputProblemError: the rest cannot be read.
            RunawayQuoteError: the reader has held more lines than any row has.
        """
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
                raise RunawayQuoteError
            yield text
        self.is_at_end = True

    def preview(self, count: int) -> list[str]:
        """Return the next lines, *count* of them with text, and have them read again."""
        texts: list[str] = []
        for text in self.read():
            texts.append(text)
            if sum(map(bool, map(str.strip, texts))) >= count or len(texts) == MAX_ROW_LINES:
                break
        self.push_back()
        return texts

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

    def _give(self, text: str) -> str:
        self.number += 1
        self.held.append(text)
        self.is_suspect |= "\0" in text
        if len(self.held) > MAX_ROW_LINES:
            raise RunawayQuoteError
        return text

    def _decode(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            byte = self._bytes_read + error.start + 1
            raise contradicted(raw, self._encoding, line=self.number + 1, byte=byte) from None

    def _refuse_long(self, raw: bytes) -> None:
        if len(raw) >= MAX_LINE_BYTES:
            message = f"Line {self.number + 1} is longer than 1 MiB."
            raise InputProblemError("line_too_long", message, "Is it a CSV file?")


def _carriage_return_lines(head: bytes, stream: io.BufferedReader) -> Iterator[bytes]:
    """Yield the lines of a file that ends them the old Macintosh way."""
    rest = head
    while True:
        *lines, rest = rest.split(b"\r")
        yield from (line + b"\n" for line in lines)
        if len(rest) >= MAX_LINE_BYTES:  # whoever reads it refuses it
            yield rest
            rest = b""
        block = stream.read1(READ_BYTES)
        if not block:
            break
        rest += block
    if rest:
        yield rest
