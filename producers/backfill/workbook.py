"""The rows of a workbook: .xlsx, .xlsb, .xls and .ods, told apart by their bytes and read by calamine.

A workbook is loaded whole, so its size is capped, unlike a CSV file's. It is unpacked once to see that it is no
bomb (`archive`), then read by a process of limited memory (`workbook_child`) into an unnamed file; its rows come
from there.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO

from producers.backfill.archive import (
    MAX_FILE_BYTES,
    Workbook,
    damaged,
    encrypted,
    examine_ole,
    examine_zip,
    too_big,
)
from producers.backfill.header import HEADER_ROWS, header_among, name_counter
from producers.backfill.opening import OLE_MAGIC, ZIP_MAGIC
from producers.backfill.problems import InputProblemError
from producers.backfill.reading import Assumptions, ReadOptions
from producers.backfill.rows import Row
from producers.backfill.sheet_scan import SheetFacts

MAX_MEMORY_BYTES = 2 * 1024 * 1024 * 1024  #: of the process that reads it, which takes some 400 bytes a cell
MAX_OUTPUT_BYTES = 4 * 1024 * 1024 * 1024
MAX_CPU_S = 600
_CHILD = Path(__file__).with_name("workbook_child.py")


def is_workbook(head: bytes) -> bool:
    """Tell whether a file that begins so is a workbook, or what else is packed the same way."""
    return head.startswith((ZIP_MAGIC, OLE_MAGIC))


class WorkbookRows:
    """One sheet of a workbook: its header at once, its rows as they are asked for."""

    def __init__(self, stream: BinaryIO, options: ReadOptions, mapped: Sequence[str]) -> None:
        """Read the sheet; *mapped* are columns of `--map`.

        Raises:
            InputProblemError: it cannot be read, or not safely; the sheet is empty or there is none such.
        """
        _refuse_text_options(options)
        data = stream.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise too_big(f"is larger than {MAX_FILE_BYTES >> 20} MiB")
        book = examine_zip(data) if data.startswith(ZIP_MAGIC) else examine_ole(data)
        self._output = _run_child(data, options.sheet or "")
        try:
            self._open(book, options.sheet, mapped)
        except InputProblemError:
            self._output.close()
            raise

    def _open(self, book: Workbook, wanted: str | None, mapped: Sequence[str]) -> None:
        account = _account(self._output)
        name = _sheet_name(account, wanted)
        facts = book.facts.get(name) or SheetFacts()
        self._errors = facts.errors
        self._first_column = int(account.get("first_column", 0))
        self.assumptions = _assume(book, account, name, facts.without_value)
        self._rows = self._numbered()
        self.header = self._find_header(mapped, name)
        self.expected_rows = max(0, int(account.get("rows", 0)) - self.assumptions.header_line)

    def rows(self) -> Iterator[Row]:
        """Yield every row but blank ones."""
        return self._rows

    def _find_header(self, mapped: Sequence[str], name: str) -> list[str]:
        first = list(itertools.islice(self._rows, HEADER_ROWS))
        if not first:
            others = ", ".join(self.assumptions.other_sheets)
            raise InputProblemError(
                "empty_file",
                f"Sheet `{name}` is empty.",
                f"Say which to read with --sheet: {others}." if others else "Is it the right file?",
            )
        count = name_counter(mapped)
        place = header_among([count(row.cells) for row in first])
        self._rows = itertools.chain(first[place + 1 :], self._rows)
        self.assumptions.header_line = first[place].line
        self.assumptions.is_title_skipped = place > 0
        return [cell.strip() for cell in first[place].cells]

    def _numbered(self) -> Iterator[Row]:
        with self._output as lines:
            for number, line in enumerate(lines, start=1):
                row = self._row(number, json.loads(line))
                if row.odd or any(map(str.strip, row.cells)):
                    yield row

    def _row(self, number: int, cells: list[Any]) -> Row:
        odd: list[tuple[int, str]] = []
        for index, cell in enumerate(cells):
            if type(cell) is not str:
                kind, cells[index] = cell
                if kind == "whole":
                    self.assumptions.repaired += 1
                else:
                    odd.append((index, kind))
        errors = [(column - self._first_column, "error") for column in self._errors.get(number, ())]
        odd += [each for each in errors if 0 <= each[0] < len(cells)]
        return Row(number, cells, odd=tuple(odd))


def _run_child(data: bytes, wanted: str) -> IO[str]:
    """Have the sheet read by a process of its own; return its output, open at the start."""
    try:
        output = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - handed to the caller
        with tempfile.TemporaryFile() as source:
            source.write(data)
            source.seek(0)
            returned = _call(source, output, wanted)
    except OSError as error:
        message = f"The workbook cannot be unpacked to {tempfile.gettempdir()}: {error.strerror}."
        raise InputProblemError(
            "no_room", message, "Make room there, or name another folder in TMPDIR."
        ) from None
    if returned != 0:
        output.close()
        if returned == -signal.SIGINT:  # Ctrl-C reaches both processes
            raise KeyboardInterrupt
        raise damaged()
    output.seek(0)
    return output


def _call(source: IO[bytes], output: IO[str], wanted: str) -> int:
    limits = (str(MAX_MEMORY_BYTES), str(MAX_OUTPUT_BYTES), str(MAX_CPU_S))
    return subprocess.run(  # noqa: S603 - our own interpreter and file; the sheet's name is an argument, no shell
        [sys.executable, "-I", str(_CHILD), wanted, *limits],
        stdin=source,
        stdout=output,
        stderr=subprocess.DEVNULL,
        check=False,
    ).returncode


def _account(output: IO[str]) -> dict[str, Any]:
    account: dict[str, Any] = json.loads(output.readline() or "{}")
    error = account.get("error")
    if error is None and "sheets" in account:
        return account
    raise encrypted() if error == "password" else damaged()


def _sheet_name(account: Mapping[str, Any], wanted: str | None) -> str:
    sheets, chosen = account["sheets"], account["sheet"]
    if chosen is not None and sheets[chosen][2]:
        return str(sheets[chosen][0])
    listed = ", ".join(f"{number} {_shown(sheet)}" for number, sheet in enumerate(sheets, start=1)) or "none"
    if wanted is None:
        message = "The workbook has no visible sheet."
    elif chosen is not None:
        message = f"--sheet {wanted}: that is a chart, not a table."
    else:
        message = f"--sheet {wanted}: there is no such sheet."
    raise InputProblemError("no_such_sheet", message, f"Say which with --sheet. Sheets: {listed}.")


def _shown(sheet: Sequence[Any]) -> str:
    name, is_visible, is_table = sheet
    return f"`{name}`" + ("" if is_visible else " (hidden)") + ("" if is_table else " (chart)")


def _assume(book: Workbook, account: Mapping[str, Any], name: str, without_value: int) -> Assumptions:
    others = tuple(str(each[0]) for each in account["sheets"] if each[0] != name)
    return Assumptions(kind=book.kind, sheet=name, other_sheets=others, without_value=without_value)


def _refuse_text_options(options: ReadOptions) -> None:
    for option, value in (("--encoding", options.encoding), ("--delimiter", options.delimiter)):
        if value is not None:
            raise InputProblemError(
                "not_for_workbooks", f"{option} is for CSV, and the file is a workbook.", "Leave it out."
            )
