"""Result files beside the input: rows that failed, with why; rows that a stopped run did not come to.

Each is valid input again: the original columns first, then ours, whose names begin with `_` and are ignored when
read. They hold personal data, so only their owner may read them, and they never overwrite one another.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Protocol

from producers.backfill.formulas import guard
from producers.backfill.reader import MARK, InputProblemError, Row

LINE_ONLY = (MARK,)
LINE_AND_ERROR = (MARK, "_error_code", "_error")


def report_path(folder: Path, stem: str, run: str, kind: str) -> Path:
    """Return a path that no file has yet: `<stem>.<run>.<kind>.csv`, numbered where the run wrote one before."""
    path, number = folder / f"{stem}.{run}.{kind}.csv", 2
    while path.exists():
        path, number = folder / f"{stem}.{run}.{kind}.{number}.csv", number + 1
    return path


def require_writable(folder: Path) -> None:
    """Make sure that result files can be written before a row is recorded.

    Raises:
        InputProblemError: they cannot.
    """
    if not os.access(folder, os.W_OK | os.X_OK):
        message = f"Result files cannot be written to {folder}."
        raise InputProblemError(
            "folder_unwritable", message, "Name another folder, or copy the file elsewhere."
        )


def stem_of(path: Path) -> str:
    """Return the file's name without `.csv`, `.csv.gz` and the like."""
    name = path.name.removesuffix(".gz")
    return name.rpartition(".")[0] or name


class RowsFile:
    """A result file. It is created with its first row, so that a run without any leaves none behind."""

    def __init__(
        self, path: Path, header: Sequence[str], columns: Sequence[int], *, own: Sequence[str]
    ) -> None:
        """Prepare the file for *columns* (indexes in *header*) followed by our *own*."""
        self._wanted = path
        self._columns = tuple(columns)
        self._names = [*(guard(header[index]) for index in columns), *own]
        self._file: IO[str] | None = None
        self._rows: _Writer | None = None
        self.path: Path | None = None  #: where it is, once it has a row

    def write(self, row: Row, *own: str) -> None:
        """Add one row; raises OSError when the disk does not take it."""
        self._writer().writerow([*map(guard, self._cells_of(row)), *map(guard, own)])

    def write_all(self, rows: Iterable[Row]) -> int:
        """Add rows with their line numbers and return how many; raises OSError."""
        count = 0
        for row in rows:
            self.write(row, str(row.line))
            count += 1
        return count

    def flush(self) -> None:
        """Hand what was written to the system, so that a killed run leaves its errors behind."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Finish the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _cells_of(self, row: Row) -> list[str]:
        if row.fault is None:
            return [row.cells[index] for index in self._columns]
        # A row that could not be split is kept whole in the first cell: read again unmended, it fails again.
        return [row.cells[0], *[""] * (len(self._columns) - 1)][: len(self._columns)]

    def _writer(self) -> _Writer:
        if self._rows is None:
            self._file, self.path = _create(self._wanted)
            self._rows = csv.writer(self._file)
            self._rows.writerow(self._names)
        return self._rows


class _Writer(Protocol):
    def writerow(self, row: Iterable[str], /) -> object: ...


def _create(path: Path) -> tuple[IO[str], Path]:
    # O_EXCL: not even a run that began in the same moment is overwritten.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    # Excel takes UTF-8 for the local encoding unless a byte order mark says otherwise.
    return os.fdopen(handle, "w", encoding="utf-8-sig", newline=""), path
