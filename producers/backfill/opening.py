"""A stream opened: unzipped where it is gzip, looked into, and known for a text or a workbook, or refused by name."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import BinaryIO, cast

from producers.backfill.encodings import LOOK_AHEAD_BYTES
from producers.backfill.problems import InputProblemError

READ_BYTES = 256 * 1024
ZIP_MAGIC = b"PK\x03\x04"
OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEAD_BYTES = 4096  #: enough to know a format by
_SAVE_AS = "Save it as `CSV UTF-8` or as .xlsx from the program that it comes from."
_UNPACK = "Unpack it and give the file that is in it."
_TYPE_IT = "Give the spreadsheet that it was taken of."
_OTHER_FORMATS = {
    b"%PDF": ("a PDF document", _SAVE_AS),
    b"\x89PNG": ("a picture", _TYPE_IT),
    b"\xff\xd8\xff": ("a picture", _TYPE_IT),
    b"GIF8": ("a picture", _TYPE_IT),
    b"{\\rtf": ("a text document (RTF)", _SAVE_AS),
    b"PK\x05\x06": ("an empty zip file", _UNPACK),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip file", _UNPACK),
    b"Rar!": ("a RAR file", _UNPACK),
    b"BZh": ("packed by bzip2", _UNPACK),
    b"\xfd7zXZ": ("packed by xz", _UNPACK),
    b"(\xb5/\xfd": ("packed by zstd", _UNPACK),
}
# CRMs and banks give web pages and Excel-2003 XML the name .xls.
_MARKUP = (b"<html", b"<!doctype", b"<table", b"<?xml", b"<meta", b"<head")


def plain(stream: BinaryIO) -> io.BufferedReader:
    """Return the stream buffered, and unzipped where it is gzip."""
    buffered: io.BufferedReader = io.BufferedReader(cast("io.RawIOBase", stream), READ_BYTES)
    if buffered.peek(2)[:2] != b"\x1f\x8b":
        return buffered
    return io.BufferedReader(cast("io.RawIOBase", _Unzipped(fileobj=buffered, mode="rb")), READ_BYTES)


def look_ahead(
    stream: io.BufferedReader, *, is_known: bool, has_paused: bool = False
) -> tuple[bytes, io.BufferedReader]:
    """Return the first bytes of *stream*, and a stream that begins with them again.

    A file whose encoding *is_known* need not be looked into far. Of a pipe that *has_paused* it is what has come.
    """
    size = _HEAD_BYTES if is_known else LOOK_AHEAD_BYTES
    head = stream.read1(size) if has_paused else stream.read(size)
    return head, io.BufferedReader(_Rejoined(head, stream), READ_BYTES)


def refuse_other_formats(head: bytes) -> None:
    """Refuse what is neither text nor workbook.

    Raises:
        InputProblemError: it is; says what it is.
    """
    for magic, (what, remedy) in _OTHER_FORMATS.items():
        if head.startswith(magic):
            raise InputProblemError(
                "not_csv", f"The file is {what}, neither CSV text nor a workbook.", remedy
            )
    if head[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_MARKUP):
        remedy = "Open it in Excel and save it as .xlsx or as `CSV UTF-8`."
        raise InputProblemError("not_csv", "The file is a web page or XML, whatever its name says.", remedy)


class _Rejoined(io.RawIOBase):
    """A stream with what was read off its beginning put back."""

    def __init__(self, head: bytes, stream: io.BufferedReader) -> None:
        self._head = head
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed: any buffer
        if not self._head:
            return self._stream.readinto1(buffer)
        size = min(len(buffer), len(self._head))
        buffer[:size] = self._head[:size]
        self._head = self._head[size:]
        return size


class _Unzipped(gzip.GzipFile):
    """Gzip whose damage is told in the operator's words."""

    def read(self, size: int | None = -1) -> bytes:
        try:
            return super().read(size)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            remedy = "Unpack it with `gunzip` and give the CSV file."
            raise InputProblemError("bad_gzip", "The gzip file is damaged or cut off.", remedy) from None
