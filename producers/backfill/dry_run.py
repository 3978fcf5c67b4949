"""A backfill that records nothing: every error of every row, what is known already, and what the run would come to."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from producers.backfill.checks import CheckedRow, RowCheck
from producers.backfill.feed import Feed, open_feed
from producers.backfill.intake import BackfillOptions, Intake, rare_collections
from producers.backfill.reader import Assumptions, InputProblemError, Row, no_rows
from producers.backfill.reports import LINE_AND_ERROR, RowsFile, report_path
from producers.backfill.results import Stop, Tally
from producers.backfill.runs import SOURCE
from producers.backfill.verdicts import conflict, contact_differs, in_file_conflict
from producers.enqueue import row_text
from worker.clock import Clock, SystemClock
from worker.domain.dedupe import claim_key, contact_mark, fingerprint, is_anothers_id
from worker.domain.job import Receipt, Verdict
from worker.domain.parse import InvalidRequest, ParsedRequest, Problem
from worker.ledger import Known, LedgerUnavailable

RUN = "dry-run"  #: stands in the names of result files where a run's id would
#: Rows that are looked at together: one question to the ledger, and eight logos at a time never run dry.
_LOOKED_AT_ONCE = 1_000

ErrorSink = Callable[[int, tuple[Problem, ...]], None]  #: line, everything wrong with it
KnownOf = Callable[[Sequence[str]], Awaitable[list[Known | None]]]  #: claims → who stands on each of them


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckProgress:
    """How far a dry run is."""

    total: int | None  #: rows expected; None: not known
    tally: Tally  #: still counting: read it, don't keep it
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a dry run goes into besides the rows' own text, and whom it tells."""

    known: KnownOf | None = None  #: asks the ledger; None: it is not asked
    checks: Sequence[RowCheck] = ()
    has_report: bool = False  #: bad rows are written into a failed file, as a run does
    on_errors: ErrorSink | None = None
    progress: Callable[[CheckProgress], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRunResult:
    """What a run would come to: nothing was recorded. In the tally, `accepted` are the valid rows that are new."""

    tally: Tally  #: `duplicates` are those within the file; rows = accepted + duplicates + known + rejected
    known: int | None  #: rows that the ledger knows; None: it could not be asked
    elapsed_s: float
    column_warnings: tuple[Problem, ...] = ()
    assumed: Assumptions | None = None
    failed_file: Path | None = None
    report_error: str | None = None  #: what the system said when the failed file could not be written
    stop: Stop | None = None

    @property
    def exit_code(self) -> int:
        """Return what the run itself would end with, as far as the file decides."""
        if self.stop is not None:
            return 1
        if not self.tally.rejected:
            return 0
        return 3 if self.tally.accepted or self.known else 1

    def as_document(self) -> dict[str, Any]:
        """Return the result as `--json` prints it."""
        tally, stop = self.tally, self.stop
        return {
            "dry_run": True,
            "rows": tally.rows,
            "valid": tally.accepted,
            "duplicates_in_file": tally.duplicates,
            "known": self.known,
            "invalid": tally.rejected,
            "conflicts": tally.conflicts,
            "warnings": tally.warnings,
            "jobs": tally.jobs,
            "errors": dict(tally.error_codes.most_common()),
            "assumed": self.assumed.as_document() if self.assumed else None,
            "failed_file": str(self.failed_file) if self.failed_file else None,
            "elapsed_s": round(self.elapsed_s, 3),
            "stopped": stop and {"code": stop.code, "message": stop.message, "remedy": stop.remedy},
        }


_ROWS_ONLY = Scope()


async def dry_run(
    source: Path | BinaryIO,
    *,
    options: BackfillOptions,
    scope: Scope = _ROWS_ONLY,
    clock: Clock | None = None,
) -> DryRunResult:
    """Read a file as `run_backfill` would, and record nothing at all.

    Files are written where they were asked for: the failed file, and the lists of *scope*'s checks.

    Raises:
        InputProblemError: what would stop the run before its first row.
    """
    clock = clock or SystemClock()
    feed = await open_feed(source, options)
    look = _Look(feed.intake, scope, clock)
    stop = None
    try:
        with rare_collections():
            while (rows := await _next_rows(feed)) != []:
                await look.take(rows or ())
            await look.finish()
    except InputProblemError as error:
        await look.finish()
        if not look.has_rows:
            raise
        stop = Stop(code=error.code, message=error.message, remedy=error.remedy)
    finally:
        feed.close()
        look.close()
    if not look.has_rows:
        raise no_rows()
    return look.result(stop)


async def _next_rows(feed: Feed) -> list[Row] | None:
    await asyncio.sleep(0)  # reading a file leaves the loop no other moment to hear a Ctrl-C
    return await feed.next_rows()


class _Read(NamedTuple):
    """A row that has been parsed and not looked at further."""

    row: Row
    parsed: ParsedRequest | InvalidRequest
    claim: str  #: empty where it is invalid


class _Look:
    """Counts rows by what would become of them, a thousand at a time and in the order of the file."""

    def __init__(self, intake: Intake, scope: Scope, clock: Clock) -> None:
        self._intake = intake
        self._scope = scope
        self._clock = clock
        self._began = clock.monotonic()
        self._tally = Tally()
        self._known: int | None = None if scope.known is None else 0
        self._pending: list[_Read] = []
        self._firsts = Firsts()
        self._failed: RowsFile | None = None
        self._report_error: str | None = None
        if scope.has_report:
            path = report_path(intake.folder, intake.stem, RUN, "failed")
            self._failed = RowsFile(path, intake.sheet.header, intake.columns.report, own=LINE_AND_ERROR)
        for check in scope.checks:
            check.begin(intake)

    @property
    def has_rows(self) -> bool:
        return bool(self._tally.rows)

    async def take(self, rows: Sequence[Row]) -> None:
        """Parse a chunk; look at it once there is enough."""
        for row in rows:
            fields, parsed = self._intake.read(row)
            claim = _claim_of(fields, parsed) if isinstance(parsed, ParsedRequest) else ""
            self._pending.append(_Read(row, parsed, claim))
        self._tally.rows += len(rows)
        if len(self._pending) >= _LOOKED_AT_ONCE:
            await self.finish()
        if self._scope.progress is not None:
            self._scope.progress(
                CheckProgress(
                    total=self._intake.expected_rows, tally=self._tally, elapsed_s=self._elapsed_s()
                )
            )

    async def finish(self) -> None:
        """Look at the rows that were parsed so far."""
        pending, self._pending = self._pending, []
        answers = iter(await self._ask([each.claim for each in pending if each.claim]))
        looked: list[CheckedRow] = []
        for row, parsed, claim in pending:
            if isinstance(parsed, InvalidRequest):
                self._reject(row, parsed.problems)
            elif (checked := self._weigh(row, parsed, claim, next(answers))) is not None:
                looked.append(checked)
        if looked:
            for check in self._scope.checks:
                await check.examine(looked)

    async def _ask(self, claims: Sequence[str]) -> Sequence[Known | None]:
        """Return who stands on the claims; a ledger that went away is asked no more, and the rest goes on."""
        if self._known is not None and self._scope.known is not None and claims:
            try:
                return await self._scope.known(claims)
            except LedgerUnavailable:
                self._known = None
        return [None] * len(claims)

    def _weigh(self, row: Row, parsed: ParsedRequest, claim: str, known: Known | None) -> CheckedRow | None:
        """Count a valid row as a run would; None: it contradicts what stands already."""
        tally, mark = self._tally, fingerprint(parsed.request)
        first = self._firsts.meet(claim, mark, row.line)
        if known is not None and known.fingerprint != mark:
            self._contradict(row, conflict(_receipt(known, Verdict.CONFLICT)))
            return None
        is_same_contact = known is None or known.contact_mark == contact_mark(parsed.request)
        if known is not None and is_anothers_id(
            claim, is_same_source=known.source == SOURCE, is_same_contact=is_same_contact
        ):
            receipt = replace(_receipt(known, Verdict.CONFLICT), is_anothers_id=True)
            self._contradict(row, conflict(receipt))
            return None
        if known is None and first is not None and not first.is_same:
            self._contradict(row, in_file_conflict(first.line))
            return None
        warnings = parsed.warnings
        if known is not None and not is_same_contact:
            warnings = (*warnings, contact_differs(_receipt(known, Verdict.DUPLICATE)))
        if warnings:
            tally.note_warnings(row.line, warnings)
        is_again = first is not None and first.is_same
        if is_again:
            tally.duplicates += 1
        elif known is not None:
            self._known = (self._known or 0) + 1
        else:
            tally.accepted += 1
            tally.jobs += len(parsed.request.products)
        return CheckedRow(row.line, parsed.request, known, is_first=not is_again)

    def _contradict(self, row: Row, problem: Problem) -> None:
        self._tally.conflicts += 1
        self._reject(row, (problem,))

    def _reject(self, row: Row, problems: tuple[Problem, ...]) -> None:
        self._tally.note_errors(row.line, problems)
        if self._scope.on_errors is not None:
            self._scope.on_errors(row.line, problems)
        if self._failed is None or self._report_error is not None:
            return
        codes = ";".join(f"{found.field}:{found.code}" for found in problems)
        texts = " | ".join(f"{found.message}. {found.remedy}".strip() for found in problems)
        try:
            self._failed.write(row, str(row.line), codes, texts)
        except OSError as error:
            self._report_error = error.strerror or type(error).__name__

    def close(self) -> None:
        """Finish the result files."""
        if self._failed is not None:
            try:
                self._failed.close()
            except OSError as error:
                self._report_error = error.strerror or type(error).__name__
        for check in self._scope.checks:
            check.close()

    def result(self, stop: Stop | None) -> DryRunResult:
        """Return what it came to."""
        return DryRunResult(
            tally=self._tally,
            known=self._known,
            elapsed_s=self._elapsed_s(),
            column_warnings=self._intake.columns.warnings,
            assumed=self._intake.sheet.assumptions,
            failed_file=self._failed.path if self._failed is not None else None,
            report_error=self._report_error,
            stop=stop,
        )

    def _elapsed_s(self) -> float:
        return self._clock.monotonic() - self._began


def _claim_of(fields: Mapping[str, str], parsed: ParsedRequest) -> str:
    """Return what no two requests may stand on at once, as a run would have it."""
    request = parsed.request
    return claim_key(request, None, "" if request.number else row_text(fields))


def _receipt(known: Known, verdict: Verdict) -> Receipt:
    return Receipt(
        verdict=verdict, invitation_id=known.invitation_id, job_ids=known.job_ids, state=known.state
    )


# --- who came first ----------------------------------------------------------------------------------------


class First(NamedTuple):
    """An earlier row of the file for the same customer."""

    line: int
    is_same: bool  #: it asks the partner for the very same


class Firsts:
    """The first row of each customer in a file: a dictionary of two small integers each, 106 MB for a million."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}

    def meet(self, claim: str, mark: str, line: int) -> First | None:
        """Remember the row and return None, or the row that was first on the same *claim*."""
        check = zlib.crc32(mark.encode())
        found = self._seen.setdefault(_number_of(claim), line << 32 | check)
        first = found >> 32
        return None if first == line else First(first, found & 0xFFFFFFFF == check)


def _number_of(claim: str) -> int:
    """Return a claim as an integer below 2^60, which Python keeps in 32 bytes: a number's digits, else a hash."""
    if claim.startswith("n:"):
        return int(claim[2:])
    return -int.from_bytes(blake2b(claim.encode(), digest_size=7).digest()) - 1
