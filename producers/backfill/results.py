"""What a backfill tells its caller: while it runs, and at its end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from producers.backfill.reading import Assumptions
from worker.domain.job import Receipt
from worker.domain.parse import Problem
from worker.domain.states import JobState

SAMPLES_KEPT = 20  #: warnings and errors shown by the CLI; the failed file has all errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A problem and where it is."""

    line: int
    problem: Problem


@dataclass(slots=True, kw_only=True)
class Tally:
    """Rows by what became of them. rows = accepted + duplicates + rejected (+ unprocessed)."""

    rows: int = 0  #: read so far, blank ones left out
    accepted: int = 0
    jobs: int = 0  #: links that the accepted rows ask for: one partner call each
    duplicates: int = 0  #: recorded before, by this file or another
    #: of the duplicates: what was recorded stands in the failed queue, and keeps the number
    in_failed_queue: int = 0
    first_failed: str | None = None  #: the job of the first of these
    rejected: int = 0  #: rows in the failed file: invalid ones and conflicts
    conflicts: int = 0  #: of the rejected: their number stands with other data
    warnings: int = 0  #: rows with a warning
    unprocessed: int = 0  #: left over by a run that was stopped
    error_codes: Counter[str] = field(default_factory=Counter)  #: `field:code` → rows
    warning_codes: Counter[str] = field(default_factory=Counter)
    errors: list[Noted] = field(default_factory=list)  #: the first few
    warned: list[Noted] = field(default_factory=list)  #: the first few

    def note_known(self, receipt: Receipt) -> None:
        """Count a row that was recorded before."""
        self.duplicates += 1
        if receipt.state is JobState.FAILED:
            self.in_failed_queue += 1
            self.first_failed = self.first_failed or next(iter(receipt.job_ids), None)

    def note_errors(self, line: int, problems: tuple[Problem, ...]) -> None:
        """Count a rejected row."""
        self.rejected += 1
        _note(line, problems, self.error_codes, self.errors)

    def note_warnings(self, line: int, problems: tuple[Problem, ...]) -> None:
        """Count a row with warnings."""
        self.warnings += 1
        _note(line, problems, self.warning_codes, self.warned)


def _note(line: int, problems: tuple[Problem, ...], codes: Counter[str], kept: list[Noted]) -> None:
    codes.update({f"{found.field}:{found.code}" for found in problems})
    if len(kept) < SAMPLES_KEPT:
        kept.extend(Noted(line=line, problem=found) for found in problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run stands."""

    run: str
    total: int | None  #: rows expected, from the file's lines; None: not known
    tally: Tally  #: the run's own, still counting: read it, don't keep it
    elapsed_s: float
    go_on: str  #: how, should the run be cut off now: `to go on: linkferry …`, or what to do with a pipe

    @property
    def rows_per_s(self) -> float:
        """Return the rate since the beginning."""
        return self.tally.rows / self.elapsed_s if self.elapsed_s > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a run ended before its file did."""

    #: max_errors, interrupted, cancelled, full, ledger_unavailable, ledger_full, report_unwritable, or the file's own
    code: str
    message: str
    remedy: str  #: the command to go on with included


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillResult:
    """What a run came to."""

    run: str
    tally: Tally
    elapsed_s: float
    column_warnings: tuple[Problem, ...] = ()
    assumed: Assumptions | None = None  #: what was taken for granted of the file
    failed_files: tuple[Path, ...] = ()  #: a resumed run may have several: each bad row is in one of them
    success_files: tuple[Path, ...] = ()  #: likewise; only where they were asked for
    unprocessed_file: Path | None = None
    stop: Stop | None = None  #: None: the whole file was read and all of it is durable
    go_on: str | None = None  #: the command that goes on with the run, where it was stopped
    #: rows that this run had accepted before it was resumed: of the `duplicates` now
    accepted_before: int = 0

    @property
    def failed_file(self) -> Path | None:
        """Return the newest of the run's files of bad rows, or None where no row was bad."""
        return self.failed_files[-1] if self.failed_files else None

    @property
    def exit_code(self) -> int:
        """Return 0 done, 3 done with bad rows, 1 stopped or nothing taken."""
        if self.stop is not None:
            return 1
        if not self.tally.rejected:
            return 0
        return 3 if self.tally.accepted or self.tally.duplicates else 1

    def as_document(self) -> dict[str, Any]:
        """Return the result as `--json` prints it."""
        tally = self.tally
        return {
            "run": self.run,
            "rows": tally.rows,
            "accepted": tally.accepted,
            "duplicates": tally.duplicates,
            "in_failed_queue": tally.in_failed_queue,
            "accepted_before": self.accepted_before,
            "rejected": tally.rejected,
            "conflicts": tally.conflicts,
            "warnings": tally.warnings,
            "unprocessed": tally.unprocessed,
            "jobs": tally.jobs,
            "errors": dict(tally.error_codes.most_common()),
            "failed_file": _path_text(self.failed_file),
            "failed_files": [str(path) for path in self.failed_files],
            "success_files": [str(path) for path in self.success_files],
            "unprocessed_file": _path_text(self.unprocessed_file),
            "assumed": self.assumed.as_document() if self.assumed else None,
            "elapsed_s": round(self.elapsed_s, 3),
            "stopped": _stop_document(self.stop),
            "resume": self.go_on,
        }


def _path_text(path: Path | None) -> str | None:
    return str(path) if path else None


def _stop_document(stop: Stop | None) -> dict[str, str] | None:
    if stop is None:
        return None
    return {"code": stop.code, "message": stop.message, "remedy": stop.remedy}
