"""Which encoding a text is in: its mark, else strict UTF-8, else strict Windows-1255, else the operator is asked.

Hebrew text in Windows-1255 never passes for UTF-8, and 23 byte values that it leaves undefined rule out most other
encodings; so this order guesses nothing. Statistical detectors take one short Hebrew row for Korean.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Mapping
from dataclasses import dataclass

from producers.backfill.problems import InputProblemError

LOOK_AHEAD_BYTES = 64 * 1024  #: of a stream that cannot be read twice, what its encoding is decided from
HEBREW = "cp1255"
UTF_8 = "utf-8"
_BLOCK_BYTES = 256 * 1024
#: The longer first: UTF-32's mark begins with UTF-16's.
_MARKS = {
    codecs.BOM_UTF8: UTF_8,
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_ANY_MARK: Mapping[str, tuple[str, ...]] = {
    "utf-16": ("utf-16-le", "utf-16-be"),
    "utf-32": ("utf-32-le", "utf-32-be"),
    "utf-8-sig": (UTF_8,),
}
_NAMES = {HEBREW: "windows-1255", "iso8859-8": "iso-8859-8"}
_SAVE_AS = "save it as `CSV UTF-8` from the program that it comes from"


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding, and why it was taken."""

    codec: str  #: Python's name, without any mark: utf-8, utf-16-le, cp1255
    by: str  #: mark, content or option
    mark: bytes = b""  #: what stands before the text

    @property
    def name(self) -> str:
        """Return the name that people know, which `--encoding` takes too."""
        return _NAMES.get(self.codec, self.codec)


def defined_in_hebrew(raw: bytes) -> bool:
    """Tell whether every byte is a character of Windows-1255."""
    return not raw.translate(None, _HEBREW_BYTES)


def by_mark_or_option(head: bytes, option: str | None) -> Encoding | None:
    """Return the encoding that the file's first bytes or the operator give; None: its content must tell.

    Raises:
        InputProblemError: the two contradict each other.
    """
    for mark, codec in _MARKS.items():
        if head.startswith(mark):
            if option not in {None, codec} and codec not in _ANY_MARK.get(option or "", ()):
                raise _contradiction(codec, option or "")
            return Encoding(codec, "mark", mark)
    if option is None:
        unmarked = _two_byte_codec(head)
        return Encoding(unmarked, "content") if unmarked else None
    found = _two_byte_codec(head) if option == "utf-16" else None
    return Encoding(found or _ANY_MARK.get(option, (option,))[0], "option")


def by_head(head: bytes, *, is_whole: bool) -> Encoding:
    """Return the encoding of a text without a mark, as far as its beginning tells.

    Raises:
        InputProblemError: it is neither UTF-8 nor Windows-1255.
    """
    try:
        codecs.getincrementaldecoder(UTF_8)().decode(head, final=is_whole)
    except UnicodeDecodeError as error:
        if defined_in_hebrew(head):
            return Encoding(HEBREW, "content")
        raise unknown(line=head.count(b"\n", 0, error.start) + 1, byte=error.start + 1) from None
    return Encoding(UTF_8, "content")


def unknown(*, line: int, byte: int) -> InputProblemError:
    """Return the problem of text in none of the encodings that tell themselves apart."""
    return InputProblemError(
        "not_utf8",
        f"The file is not UTF-8 (line {line}, byte {byte} of the file), and not Windows-1255 either.",
        f"Say what it is, such as --encoding cp862 (old Hebrew DOS) or iso-8859-1; or {_SAVE_AS}.",
    )


def contradicted(raw: bytes, encoding: Encoding, *, line: int, byte: int) -> InputProblemError:
    """Return the problem of a line that is not in the encoding that all before it was read in."""
    where = f"Line {line} is not {encoding.name} (byte {byte} of the file)"
    if encoding.by == "option":
        return InputProblemError(
            "not_utf8", f"{where}, which --encoding says.", "Say another, or leave it out."
        )
    if defined_in_hebrew(raw):
        guess, remedy = "; it looks like Windows-1255 (Hebrew).", "Run it again with --encoding windows-1255"
    else:
        guess, remedy = ", which all before it was read as.", "Run it again with --encoding NAME"
    return InputProblemError("not_utf8", where + guess, f"{remedy}, or {_SAVE_AS}.")


def _two_byte_codec(head: bytes) -> str | None:
    """Return the kind of UTF-16 that *head* is without a mark: its spaces, digits and delimiters have a zero half."""
    if b"\0" not in head[:4096]:
        return None
    sample = head[: len(head[:4096]) & ~1]
    zeros = {"utf-16-le": sample[1::2].count(0), "utf-16-be": sample[::2].count(0)}
    codec = max(zeros, key=lambda name: zeros[name])
    # One NUL in many characters is damage; text of two bytes has none in the other half at all.
    if min(zeros.values()) or zeros[codec] * 10 < len(sample) // 2:
        return None
    text = sample.decode(codec, "replace")
    return codec if text.count("\n") == sample.count(b"\n") else None


def _contradiction(marked: str, option: str) -> InputProblemError:
    return InputProblemError(
        "encoding_contradicted",
        f"The file begins with the byte order mark of {marked}, and --encoding says {option}.",
        "Leave --encoding out.",
    )


class AsUtf8(io.RawIOBase):
    """A stream of another encoding as UTF-8. Trouble is raised only after all that could be read before it."""

    def __init__(self, stream: io.BufferedReader, encoding: Encoding) -> None:
        """Read *stream*, which stands after its mark."""
        self._stream = stream
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding.codec)()
        self._given = b""  # decoded, not handed on yet
        self._lines = 0
        self._trouble: InputProblemError | None = None
        self._is_at_end = False

    def readable(self) -> bool:
        """Say that it is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed: any buffer
        """Fill *buffer* with UTF-8.

        Raises:
            InputProblemError: the rest is not in the encoding.
        """
        while not self._given and not self._is_at_end:
            if self._trouble is not None:
                raise self._trouble
            block = self._stream.read1(_BLOCK_BYTES)
            self._is_at_end = not block
            self._given = self._decode(block).encode("utf-8", "replace")
        size = min(len(buffer), len(self._given))
        buffer[:size] = self._given[:size]
        self._given = self._given[size:]
        return size

    def _decode(self, block: bytes) -> str:
        try:
            text = self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            good = bytes(error.object[: error.start])
            text = good.decode(self._encoding.codec, "ignore")
            line = self._lines + text.count("\n") + 1
            self._trouble, self._is_at_end = _off(self._encoding, line), False
            return text
        self._lines += text.count("\n")
        return text


def _off(encoding: Encoding, line: int) -> InputProblemError:
    remedy = (
        "Say another, or leave it out."
        if encoding.by == "option"
        else f"Say what it is with --encoding NAME, or {_SAVE_AS}."
    )
    return InputProblemError(
        "not_decodable", f"Line {line} is not {encoding.name}, which the file was read as.", remedy
    )


def _hebrew_bytes() -> bytes:
    return bytes(code for code in range(256) if bytes([code]).decode(HEBREW, "ignore"))


_HEBREW_BYTES = _hebrew_bytes()
