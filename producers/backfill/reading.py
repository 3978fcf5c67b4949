"""How a file is to be read, as far as the operator says, and what was assumed where he does not."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Any

from producers.backfill.problems import InputProblemError

DELIMITERS = ",;\t|"  #: in the order that breaks a tie
_DELIMITER_WORDS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}
_DELIMITER_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
# Text codecs that decode next to anything, or into something else than what a spreadsheet holds.
_NOT_FOR_FILES = frozenset({"idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape", "utf-7"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What the operator says of the file; None leaves it to the file itself.

    Raises:
        InputProblemError: no such encoding, or a delimiter of more than one character.
    """

    encoding: str | None = None  #: `--encoding`: a name that Python knows, such as windows-1255
    delimiter: str | None = None  #: `--delimiter`: one character, or comma, semicolon, tab, pipe
    sheet: str | None = None  #: `--sheet`: of a workbook, by its name or its number from 1

    def __post_init__(self) -> None:
        """Bring both into the form that the reader takes."""
        if self.encoding is not None:
            object.__setattr__(self, "encoding", _codec(self.encoding))
        if self.delimiter is not None:
            object.__setattr__(self, "delimiter", _delimiter(self.delimiter))


@dataclass(slots=True, kw_only=True)
class Assumptions:
    """What was taken for granted of a file. Filled in as it is read: `repaired` and `without_value` count up."""

    kind: str = "csv"  #: csv, xlsx, xlsb, xls, ods
    encoding: str | None = None  #: None: a workbook, which says so itself
    encoding_by: str | None = None  #: mark, content or option
    delimiter: str | None = None
    delimiter_by: str | None = None  #: sep_line, header or option
    sheet: str | None = None
    other_sheets: tuple[str, ...] = ()  #: that were not read
    header_line: int = 1  #: the row of a workbook, the line of a text
    is_title_skipped: bool = False  #: rows above the header were taken for a title
    repaired: int = 0  #: numbers of a workbook that were read as the text they stand for: 501234567.0
    without_value: int = 0  #: formulas of a workbook that were saved without their value, so read as empty

    def as_document(self) -> dict[str, Any]:
        """Return what is known as `--json` prints it; what does not apply is left out."""
        document = {
            "kind": self.kind,
            "encoding": self.encoding,
            "encoding_by": self.encoding_by,
            "delimiter": self.delimiter,
            "delimiter_by": self.delimiter_by,
            "sheet": self.sheet,
            "other_sheets": list(self.other_sheets),
            "header_line": self.header_line,
            "title_skipped": self.is_title_skipped,
            "numbers_read_as_text": self.repaired,
            "formulas_without_value": self.without_value,
        }
        return {name: value for name, value in document.items() if value not in (None, [], 0, False)}

    def sentence(self) -> str:
        """Return the same as one line for a person."""
        parts = [self._how()]
        if self.is_title_skipped:
            parts.append(f"header in line {self.header_line} (what stands above it is not read)")
        if self.repaired:
            parts.append(f"number cells as the digits they show ({self.repaired})")
        if self.without_value:
            parts.append(
                f"formulas that were saved without a value as empty ({self.without_value}: open the workbook in "
                "Excel and save it, then they have one)"
            )
        return "Read as " + ", ".join(parts) + "."

    def _how(self) -> str:
        if self.kind == "csv":
            delimiter = self.delimiter or ","
            name = _DELIMITER_NAMES.get(delimiter, f"`{delimiter}`")
            return f"{self.encoding} text, cells apart by {name}"
        others = f" (not read: {', '.join(self.other_sheets)})" if self.other_sheets else ""
        return f"{self.kind} workbook, sheet `{self.sheet}`{others}"


def _codec(written: str) -> str:
    try:
        found = codecs.lookup(written.strip())
    except (LookupError, ValueError):
        found = None
    if found is None or found.name in _NOT_FOR_FILES or not getattr(found, "_is_text_encoding", False):
        raise InputProblemError(
            "unknown_encoding",
            f"--encoding {written}: no such encoding.",
            "Say for example utf-8, windows-1255, iso-8859-8, cp862 or utf-16.",
        )
    return found.name


def _delimiter(written: str) -> str:
    delimiter = _DELIMITER_WORDS.get(written.strip().lower(), written)
    if len(delimiter) != 1 or delimiter in '"\r\n\0' or delimiter.isalnum():
        raise InputProblemError(
            "bad_delimiter",
            f"--delimiter {written}: not a delimiter.",
            "Say comma, semicolon, tab, pipe, or one character.",
        )
    return delimiter
