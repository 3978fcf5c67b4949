"""A process of its own that turns a workbook on its stdin into rows on its stdout, one JSON line each.

calamine loads a workbook whole, and a small file can ask it for more memory than there is, or crash it. Here that
ends one process of limited memory, and not a run, a web worker or the machine. It is started by its path and
knows nothing of Linkferry: `workbook` does, and reads what it writes.

The first line is an account: `sheets` (name, is it visible, is it a table), `sheet` (which was read, or null),
`first_column` (from 0: empty ones to its left are left out, empty rows above are not), `rows`; or `error`:
password, damaged. A cell is its text, or a pair of kind and text.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import resource
import sys
from typing import IO, Any

MOST_DIGITS = 10**15  #: Excel keeps fifteen; what follows them was lost when the number was typed
_ROWS_A_WRITE = 1000


def main(arguments: list[str], source: IO[bytes], sink: IO[str]) -> int:
    """Read one sheet; *arguments* are the sheet that is wanted (name, number or nothing) and the limits."""
    wanted, memory_bytes, output_bytes, cpu_s = arguments[0], *map(int, arguments[1:4])
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, output_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_CORE, 0),  # a core dump would hold customers' data
    ):
        _limit(limit, value)
    from python_calamine import CalamineError, PasswordError

    try:
        _read(source.read(), wanted, sink)
    except PasswordError:
        _fail(sink, "password")
    except (CalamineError, MemoryError, ValueError, OverflowError, OSError):
        _fail(sink, "damaged")
    return 0


def choose_sheet(sheets: list[list[Any]], wanted: str) -> int | None:
    """Return the index of the sheet that is *wanted*: by its name, else its number; the first visible one if empty."""
    if not wanted:
        tables = [index for index, (_, is_visible, is_table) in enumerate(sheets) if is_visible and is_table]
        return tables[0] if tables else None
    names = [name for name, _, _ in sheets]
    folded = [name.strip().casefold() for name in names]
    if wanted in names:
        return names.index(wanted)
    if folded.count(wanted.strip().casefold()) == 1:
        return folded.index(wanted.strip().casefold())
    is_number = wanted.isascii() and wanted.isdigit() and 1 <= int(wanted) <= len(names)
    return int(wanted) - 1 if is_number else None


def cell_of(value: Any) -> str | list[str]:
    """Return a cell's text, or what kind of other thing it is and the text nearest to it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return ["boolean", "TRUE" if value else "FALSE"]
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return ["rounded" if abs(value) >= MOST_DIGITS else "whole", str(int(value))]
    if isinstance(value, float):
        return ["fraction", repr(value)]
    if isinstance(value, dt.datetime) and value.time() == dt.time():
        value = value.date()
    return ["time" if isinstance(value, dt.time | dt.timedelta) else "date", str(value)]


def _read(data: bytes, wanted: str, sink: IO[str]) -> None:
    from python_calamine import SheetTypeEnum, SheetVisibleEnum, load_workbook

    book = load_workbook(io.BytesIO(data))
    sheets = [
        [each.name, each.visible == SheetVisibleEnum.Visible, each.typ == SheetTypeEnum.WorkSheet]
        for each in book.sheets_metadata
    ]
    chosen = choose_sheet(sheets, wanted)
    account: dict[str, Any] = {"sheets": sheets, "sheet": chosen}
    if chosen is None:
        _write(sink, [account])
        return
    sheet = book.get_sheet_by_index(chosen)
    column = sheet.start[1] if sheet.start else 0
    last = sheet.end[0] + 1 if sheet.end else 0
    _write(sink, [account | {"first_column": column, "rows": last}])
    rows: list[list[Any]] = []
    for cells in sheet.iter_rows():
        rows.append([cell if type(cell) is str else cell_of(cell) for cell in cells])
        if len(rows) == _ROWS_A_WRITE:
            _write(sink, rows)
            rows = []
    _write(sink, rows)


def _write(sink: IO[str], lines: list[Any]) -> None:
    sink.write("".join(json.dumps(line) + "\n" for line in lines))


def _fail(sink: IO[str], error: str) -> None:
    _write(sink, [{"error": error}])


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(kind, (value, value))
    except (ValueError, OSError):
        return  # macOS has no limit of memory: there the size of the file is the only one


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.buffer, sys.stdout))
