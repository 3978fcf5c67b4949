"""What calamine does not tell of an .xlsx sheet, seen in its XML: formulas without a value, cells in error.

Both would come out as empty cells. The XML is looked over, not parsed: it may be hostile, and it may be large.
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from producers.backfill.problems import InputProblemError

MAX_ROWS = 1_048_576  #: an .xlsx sheet's own limit
_MAX_HELD = 1024 * 1024  #: of a row whose end has not been met
_rows = re.compile(rb"<(?:\w++:)?row[ />]")
# No pattern may look past the next `<`, nor give back what it took: a hostile sheet would cost its square.
_cells = re.compile(rb"<(?:\w++:)?c\b([^<>]{0,300}+)>")
_is_error = re.compile(rb"\bt=[\"']e[\"']").search
_bare_formulas = re.compile(
    rb"<(?:\w++:)?c\b([^<>]{0,300}+)>\s*+<(?:\w++:)?f\b(?:[^<>]*/>|[^<>]*+>[^<]*+</(?:\w++:)?f>)\s*+"
    rb"(?:(?:<(?:\w++:)?v\s*+/>|<(?:\w++:)?v>\s*+</(?:\w++:)?v>)\s*+)?</(?:\w++:)?c>"
)
_cell_name = re.compile(rb"\br=[\"']([A-Z]{1,3})(\d{1,7})[\"']")
_sheet_tags = re.compile(rb"<(?:\w++:)?sheet\b[^<>]*+>")
_relation_tags = re.compile(rb"<(?:\w++:)?Relationship\b[^<>]*+>")
_attributes = re.compile(rb"(?<![\w:])([\w:]++)\s*+=\s*+(?:\"([^\"]*)\"|'([^']*)')")


@dataclass(slots=True)
class SheetFacts:
    """What was seen in one sheet."""

    #: row (from 1) → columns (from 0) with #N/A or so
    errors: dict[int, list[int]] = field(default_factory=dict)
    without_value: int = 0  #: formulas that were saved without their value
    rows: int = 0


class SheetScan:
    """Looks a sheet's XML over as it is inflated, block by block."""

    def __init__(self) -> None:
        self.facts = SheetFacts()
        self._held = b""

    def take(self, block: bytes) -> None:
        """Look over the rows that *block* completes.

        Raises:
            InputProblemError: more rows than a sheet can have.
        """
        held = self._held + block
        cut = held.rfind(b"row>") + 4
        if cut == 3:  # not found
            cut = len(held) if len(held) > _MAX_HELD else 0
        self._look(held[:cut])
        self._held = held[cut:]

    def finish(self) -> None:
        """Look over what is left."""
        self._look(self._held)
        self._held = b""

    def _look(self, xml: bytes) -> None:
        facts = self.facts
        facts.rows += sum(1 for _ in _rows.finditer(xml))
        if facts.rows > MAX_ROWS:
            raise InputProblemError(
                "workbook_too_big",
                f"A sheet has over {MAX_ROWS:,} rows.",
                "Save it as `CSV UTF-8`: a CSV file may have any size.",
            )
        if b't="e"' in xml or b"t='e'" in xml:
            for cell in _cells.finditer(xml):
                if _is_error(cell[1]):
                    self._note_error(cell[1])
        if b"f>" in xml or b"<f" in xml or b":f " in xml:
            for cell in _bare_formulas.finditer(xml):
                # A formula whose value is the empty text is saved as a text without one.
                facts.without_value += b't="str"' not in cell[1]

    def _note_error(self, attributes: bytes) -> None:
        if name := _cell_name.search(attributes):
            self.facts.errors.setdefault(int(name[2]), []).append(_column(name[1]))


def worksheet_parts(parts: Mapping[str, bytes]) -> dict[str, str]:
    """Return each sheet's part of the archive by the sheet's name, as the workbook's own list says."""
    targets = {
        each.get("Id", ""): each.get("Target", "")
        for each in _tags(_relation_tags, parts.get("xl/_rels/workbook.xml.rels", b""))
    }
    found = {}
    for each in _tags(_sheet_tags, parts.get("xl/workbook.xml", b"")):
        link = next((value for key, value in each.items() if key.endswith(":id")), "")
        if target := targets.get(link):
            found[each.get("name", "")] = posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")
    return found


def _tags(pattern: re.Pattern[bytes], xml: bytes) -> list[dict[str, str]]:
    return [
        {
            found[1].decode("utf-8", "replace"): html.unescape(
                (found[2] or found[3] or b"").decode("utf-8", "replace")
            )
            for found in _attributes.finditer(tag[0])
        }
        for tag in pattern.finditer(xml)
    ]


def _column(letters: bytes) -> int:
    """Return the index of column A, B, …, AA."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number - 1
