"""A backfill that records nothing: every error of every row, and what the run would come to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from producers.backfill.intake import BackfillOptions, Intake, rare_collections
from producers.backfill.reader import InputProblemError, Row, no_rows
from producers.backfill.results import DryRunResult, Stop, Tally
from producers.backfill.verdicts import in_file_conflict
from producers.enqueue import row_text
from worker.clock import Clock, SystemClock
from worker.domain.dedupe import claim_key, fingerprint
from worker.domain.parse import InvalidRequest, Problem

ErrorSink = Callable[[int, tuple[Problem, ...]], None]  #: line, everything wrong with it


def dry_run(
    source: Path | BinaryIO,
    *,
    options: BackfillOptions,
    on_errors: ErrorSink | None = None,
    progress: Callable[[Tally], None] | None = None,
    clock: Clock | None = None,
) -> DryRunResult:
    """Read a file as `run_backfill` would, and write nothing at all.

    What the ledger holds is not asked: duplicates and conflicts are those within the file.

    Raises:
        InputProblemError: what would stop the run before its first row.
    """
    clock = clock or SystemClock()
    began = clock.monotonic()
    intake = Intake(source, options)
    check = _Check(intake, on_errors)
    stop = None
    try:
        with rare_collections():
            while rows := intake.next_chunk():
                check.take(rows)
                if progress is not None:
                    progress(check.tally)
    except InputProblemError as error:
        if not check.tally.rows:
            raise
        stop = Stop(code=error.code, message=error.message, remedy=error.remedy)
    finally:
        intake.close()
    if not check.tally.rows:
        raise no_rows()
    return DryRunResult(
        tally=check.tally,
        elapsed_s=clock.monotonic() - began,
        column_warnings=intake.columns.warnings,
        stop=stop,
    )


class _Check:
    """Counts rows, and remembers whom they are for."""

    def __init__(self, intake: Intake, on_errors: ErrorSink | None) -> None:
        self.tally = Tally()
        self._intake = intake
        self._on_errors = on_errors
        self._seen: dict[str, tuple[str, int]] = {}  # claim → fingerprint, line

    def take(self, rows: list[Row]) -> None:
        """Count a chunk."""
        self.tally.rows += len(rows)
        for row in rows:
            fields, parsed = self._intake.read(row)
            if isinstance(parsed, InvalidRequest):
                self._reject(row, parsed.problems)
                continue
            if parsed.warnings:
                self.tally.note_warnings(row.line, parsed.warnings)
            request = parsed.request
            claim = claim_key(request, None, "" if request.number else row_text(fields))
            mark, line = self._seen.setdefault(claim, (fingerprint(request), row.line))
            if line == row.line:
                self.tally.accepted += 1
                self.tally.jobs += len(request.products)
            elif mark == fingerprint(request):
                self.tally.duplicates += 1
            else:
                self.tally.conflicts += 1
                self._reject(row, (in_file_conflict(line),))

    def _reject(self, row: Row, problems: tuple[Problem, ...]) -> None:
        self.tally.note_errors(row.line, problems)
        if self._on_errors is not None:
            self._on_errors(row.line, problems)
