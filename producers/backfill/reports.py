"""Result files beside the input: rows that failed, rows that a stopped run did not come to, rows that stand.

Each is valid input again: the original columns first, then ours, whose names begin with `_` and are ignored when
read. They hold personal data, so only their owner may read them, and they never overwrite one another. A run that is
resumed reads its file from the start, and writes only what its earlier files do not hold.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import IO, Protocol

from producers.backfill.earlier import lines_of
from producers.backfill.reader import MARK, InputProblemError, Row
from worker.domain.formulas import guard
from worker.domain.job import Receipt
from worker.domain.parse import Problem

LINE_ONLY = (MARK,)
LINE_AND_ERROR = (MARK, "_error_code", "_error")
LINE_AND_JOBS = (MARK, "_job_ids", "_verdict")


def report_path(folder: Path, stem: str, run: str, kind: str) -> Path:
    """Return a path that no file has yet: `<stem>.<run>.<kind>.csv`, numbered where the run wrote one before."""
    path, number = folder / f"{stem}.{run}.{kind}.csv", 2
    while path.exists():
        path, number = folder / f"{stem}.{run}.{kind}.{number}.csv", number + 1
    return path


def earlier_reports(folder: Path, stem: str, run: str, kind: str) -> tuple[Path, ...]:
    """Return the files of that kind that the run has left in the folder, the oldest first."""
    name = re.compile(re.escape(f"{stem}.{run}.{kind}") + r"(?:\.(\d+))?\.csv")
    found = [(name.fullmatch(path.name), path) for path in folder.iterdir()]
    return tuple(path for _, path in sorted((int(match[1] or 1), path) for match, path in found if match))


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
        self,
        path: Path,
        header: Sequence[str],
        columns: Sequence[int],
        *,
        own: Sequence[str],
        skip: Container[int] = (),
    ) -> None:
        """Prepare the file for *columns* (indexes in *header*) followed by our *own*; lines in *skip* are left out."""
        self._wanted = path
        self._skip = skip
        self._columns = tuple(columns)
        self._names = [*(guard(header[index]) for index in columns), *own]
        self._file: IO[str] | None = None
        self._rows: _Writer | None = None
        self.path: Path | None = None  #: where it is, once it has a row

    def write(self, row: Row, *own: str) -> None:
        """Add one row; raises OSError when the disk does not take it."""
        if row.line in self._skip:
            return
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


class ResultFiles:
    """All result files of one run."""

    def __init__(
        self,
        folder: Path,
        stem: str,
        run: str,
        header: Sequence[str],
        columns: Sequence[int],
        *,
        is_resumed: bool,
        has_success: bool,
    ) -> None:
        """Prepare the files of *run*; where it *is_resumed*, look through those that it has left before."""

        def report(kind: str, own: Sequence[str], earlier: Sequence[Path] = ()) -> RowsFile:
            path = report_path(folder, stem, run, kind)
            return RowsFile(path, header, columns, own=own, skip=lines_of(earlier) if earlier else ())

        def left(kind: str) -> tuple[Path, ...]:
            return earlier_reports(folder, stem, run, kind) if is_resumed else ()

        self._failed_before, self._success_before = left("failed"), left("success")
        self.failed = report("failed", LINE_AND_ERROR, self._failed_before)
        self.unprocessed = report("unprocessed", LINE_ONLY)
        self.success = report("success", LINE_AND_JOBS, self._success_before) if has_success else None

    @property
    def failed_paths(self) -> tuple[Path, ...]:
        """Return the run's files of bad rows, the oldest first."""
        return (*self._failed_before, *([self.failed.path] if self.failed.path else []))

    @property
    def success_paths(self) -> tuple[Path, ...]:
        """Return the run's files of rows that stand, the oldest first."""
        new = self.success.path if self.success else None
        return (*self._success_before, *([new] if new else []))

    def write_failed(self, row: Row, problems: Sequence[Problem]) -> None:
        """Write down a bad row with all that is wrong with it; raises OSError."""
        codes = ";".join(f"{found.field}:{found.code}" for found in problems)
        texts = " | ".join(f"{found.message}. {found.remedy}".strip() for found in problems)
        self.failed.write(row, str(row.line), codes, texts)

    def write_success(self, row: Row, receipt: Receipt) -> None:
        """Write down a row that stands with its jobs, where that was asked for; raises OSError."""
        if self.success is not None:
            self.success.write(row, str(row.line), ";".join(receipt.job_ids), receipt.verdict.value)

    def flush(self) -> None:
        """Hand what was written to the system."""
        self.failed.flush()
        if self.success is not None:
            self.success.flush()

    def close(self) -> None:
        """Finish the files."""
        for each in (self.failed, self.unprocessed, self.success):
            if each is not None:
                each.close()


class _Writer(Protocol):
    def writerow(self, row: Iterable[str], /) -> object: ...


def _create(path: Path) -> tuple[IO[str], Path]:
    # O_EXCL: not even a run that began in the same moment is overwritten.
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    # Excel takes UTF-8 for the local encoding unless a byte order mark says otherwise.
    return os.fdopen(handle, "w", encoding="utf-8-sig", newline=""), path
