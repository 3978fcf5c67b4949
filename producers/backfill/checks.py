"""What is looked at row by row before a file is recorded, besides the rows' own text: numbers, logos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from producers.backfill.intake import Intake
from producers.backfill.reader import Row
from producers.backfill.reports import RowsFile, report_path
from worker.domain.request import OnboardingRequest
from worker.ledger import Known


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A row that a run would take, or has taken before."""

    line: int
    request: OnboardingRequest
    known: Known | None = None  #: who stands for this customer in the ledger already
    is_first: bool = True  #: False: an earlier row of the file asks for the same


class RowCheck(Protocol):
    """Looks at rows, counts what it finds and lists it in a file of its own."""

    def begin(self, intake: Intake) -> None:
        """Take note of the file that the rows are from."""
        ...

    async def examine(self, rows: Sequence[CheckedRow]) -> None:
        """Look at the next rows, in the order of the file."""
        ...

    def close(self) -> None:
        """Finish what was written."""
        ...


class Listing:
    """A result file beside the input, with columns of our own.

    It begins with its first row and overwrites nothing. A disk that does not take it is told afterwards by
    `error`, and is no reason to stop: the counts are worth having without it.
    """

    def __init__(self, run: str, kind: str, columns: Sequence[str]) -> None:
        """Name the file `<stem>.<run>.<kind>.csv`."""
        self._run = run
        self._kind = kind
        self._columns = columns
        self._file: RowsFile | None = None
        self.error: str | None = None  #: what the system said when it could not be written

    def begin(self, intake: Intake) -> None:
        """Place it beside the input, or where result files were told to go."""
        path = report_path(intake.folder, intake.stem, self._run, self._kind)
        self._file = RowsFile(path, (), (), own=self._columns)

    def write(self, line: int, *cells: str) -> None:
        """Add a row: its line in the input and what is to be said of it."""
        if self._file is None or self.error is not None:
            return
        try:
            self._file.write(Row(line, []), str(line), *cells)
        except OSError as error:
            self.error = error.strerror or type(error).__name__

    def close(self) -> None:
        """Finish the file."""
        if self._file is None:
            return
        try:
            self._file.close()
        except OSError as error:
            self.error = error.strerror or type(error).__name__

    @property
    def path(self) -> Path | None:
        """Return where it is, or None while it has no row or could not be written."""
        return self._file.path if self._file is not None and self.error is None else None
