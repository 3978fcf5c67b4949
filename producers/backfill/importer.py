"""A backfill: a file of customers, recorded row by row, that may be stopped and run again at any time.

Bad rows never stop it, and nothing is done twice: what is recorded already answers `duplicate`. So resuming is
reading the file again from its start.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shlex
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import structlog

from producers.backfill.intake import BackfillOptions, Intake, rare_collections
from producers.backfill.reader import InputProblemError, Row, no_rows
from producers.backfill.reports import LINE_AND_ERROR, LINE_ONLY, RowsFile, report_path, require_writable
from producers.backfill.results import BackfillResult, Progress, Stop, Tally
from producers.backfill.verdicts import conflict, contact_differs
from producers.enqueue import CHUNKS_IN_FLIGHT, Door, Origin, Parcel, row_text
from worker.clock import Clock, SystemClock
from worker.domain.job import Receipt, Verdict
from worker.domain.parse import InvalidRequest, Problem
from worker.domain.states import Lane
from worker.ledger import BatchRecord, Ledger, LedgerFull, LedgerUnavailable

log = structlog.get_logger()

PROGRESS_EVERY_S = 0.1
_LEDGER_STOPS = frozenset({"ledger_unavailable", "ledger_full", "full"})
SOURCE = "csv"
_RUN_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"

ProgressSink = Callable[[Progress], None]


class _Parsed(NamedTuple):
    """A chunk's good rows, and what they ask for."""

    rows: Sequence[Row]
    parcels: Sequence[Parcel]


class _Sent(NamedTuple):
    """A chunk on its way to the ledger."""

    rows: Sequence[Row]
    receipts: asyncio.Task[list[Receipt]]


async def run_backfill(
    source: Path | BinaryIO,
    *,
    door: Door,
    ledger: Ledger,
    options: BackfillOptions,
    progress: ProgressSink | None = None,
    stop: asyncio.Event | None = None,
    clock: Clock | None = None,
) -> BackfillResult:
    """Record every good row of a CSV file and report the others.

    *source* is a path, or an open binary stream such as stdin. Set *stop* to end early, as Ctrl-C does.
    An end before the file's own is told by `BackfillResult.stop`, with the command to go on with.

    Raises:
        InputProblemError: what stops a run before its first row; nothing was recorded.
        LedgerUnavailable: Redis does not answer at the start; nothing was recorded.
        LedgerFull: likewise.
    """
    clock = clock or SystemClock()
    intake = Intake(source, options)
    try:
        require_writable(intake.folder)
        first = await _next_chunk(intake)
        if not first:
            raise no_rows()
        batch = await _open_batch(ledger, intake, options, clock)
        importer = _Importer(batch, intake, door, ledger, options.max_errors, progress, clock)
        with rare_collections(), contextlib.closing(importer):
            return await importer.run(first, stop or asyncio.Event())
    finally:
        intake.close()


async def _next_chunk(intake: Intake) -> list[Row]:
    # A pipe may keep its reader waiting, and the loop has answers and signals to see to.
    return await asyncio.to_thread(intake.next_chunk) if intake.is_pipe else intake.next_chunk()


async def _open_batch(ledger: Ledger, intake: Intake, options: BackfillOptions, clock: Clock) -> BatchRecord:
    """Return the batch that the rows join: a new one, or the one to go on with, as it stands."""
    run = options.resume
    if run is None:
        letters = "".join(secrets.choice(_RUN_LETTERS) for _ in range(6))
        run = f"{clock.now():%Y%m%d}-{letters}"
        await ledger.batches.open(
            run, name=intake.name, source=SOURCE, by=options.by, total=intake.expected_rows
        )
    batch = await ledger.batches.get(run)
    if batch is None:
        remedy = "`linkferry batch list` shows all runs."
        raise InputProblemError("no_such_run", f"There is no run {run}.", remedy)
    if batch.name != intake.name:
        remedy = (
            f"Give {batch.name} to go on with it, or leave out --resume: this file then has a run of its own."
        )
        raise InputProblemError("other_file", f"Run {run} is of {batch.name}, not of {intake.name}.", remedy)
    log.info("backfill_started", run=run, rows=intake.expected_rows, is_resumed=options.resume is not None)
    return batch


class _Importer:
    """One run: what is in flight, what was counted, what is reported."""

    def __init__(
        self,
        batch: BatchRecord,
        intake: Intake,
        door: Door,
        ledger: Ledger,
        max_errors: int | None,
        progress: ProgressSink | None,
        clock: Clock,
    ) -> None:
        self._run = batch.id
        self._before = batch  # its counts as they stood: of interest when a run is resumed
        self._intake = intake
        self._door = door
        self._ledger = ledger
        self._max_errors = max_errors
        self._progress = progress
        self._clock = clock
        self._began = self._told = clock.monotonic()
        self._tally = Tally()
        self._in_flight: deque[_Sent] = deque()
        self._last: _Parsed | None = (
            None  # the latest chunk, held back: whichever is the last is sent durably
        )
        self._left: list[Row] = []  # rows that were read and not recorded, or nobody knows
        self._stop: Stop | None = None
        self._failed = self._report("failed", LINE_AND_ERROR)
        self._unprocessed = self._report("unprocessed", LINE_ONLY)

    def close(self) -> None:
        """Finish the result files and drop what is in flight."""
        for sent in self._in_flight:
            sent.receipts.cancel()
        self._failed.close()
        self._unprocessed.close()

    async def run(self, first: list[Row], stop: asyncio.Event) -> BackfillResult:
        """Take the whole file, chunk after chunk, or as much of it as can be."""
        rows = first
        self._tell()
        while rows:
            if stop.is_set():
                self._halt("interrupted", "The run was interrupted.")
            if self._stop is not None:
                self._left.extend(rows)
                break
            await self._take(rows)
            rows = await self._more()
        await self._send_last()
        await self._conclude()
        self._tell()
        return self._result()

    async def _take(self, rows: Sequence[Row]) -> None:
        """Parse a chunk while those before it are being recorded, and send off the one before."""
        parsed = self._parse(rows)
        if parsed.rows:
            if self._last is not None:
                await self._send(self._last, durable=False)
            self._last = parsed
        if self._clock.monotonic() - self._told >= PROGRESS_EVERY_S:
            self._tell()

    async def _send(self, chunk: _Parsed, *, durable: bool) -> None:
        if len(self._in_flight) >= CHUNKS_IN_FLIGHT:
            await self._receive()
        receipts = asyncio.ensure_future(self._door.enqueue_many(chunk.parcels, durable=durable))
        self._in_flight.append(_Sent(chunk.rows, receipts))
        await asyncio.sleep(0)  # on its way before the next chunk is parsed

    async def _send_last(self) -> None:
        """Send the last chunk when all others are recorded: once its rows are on the disk, so are theirs.

        Waiting for the disk chunk by chunk would halve the rate, and keep the server's disk from live jobs. A
        server that dies before this takes what it had not synced with it; the run stops, and going on adds it.
        """
        while self._in_flight:
            await self._receive()
        if self._last is None:
            return
        if self._has_lost_ledger():
            self._left.extend(self._last.rows)
            return
        await self._send(self._last, durable=True)
        await self._receive()

    def _has_lost_ledger(self) -> bool:
        return self._stop is not None and self._stop.code in _LEDGER_STOPS

    def _parse(self, rows: Sequence[Row]) -> _Parsed:
        """Return the good rows and what they ask for; the others are reported."""
        good, parcels, tally = [], [], self._tally
        tally.rows += len(rows)
        for nth, row in enumerate(rows, start=1):
            fields, parsed = self._intake.read(row)
            if isinstance(parsed, InvalidRequest):
                self._reject(row, parsed.problems)
                if self._has_too_many_errors():
                    self._halt("max_errors", f"More than {self._max_errors} rows were rejected.")
                    self._left.extend(rows[nth:])
                    tally.rows -= len(rows) - nth
                    break
                continue
            if parsed.warnings:
                tally.note_warnings(row.line, parsed.warnings)
            good.append(row)
            parcels.append((parsed, self._origin(row, fields, parsed.request.number)))
        return _Parsed(good, parcels)

    def _has_too_many_errors(self) -> bool:
        return self._max_errors is not None and self._tally.rejected > self._max_errors

    def _origin(self, row: Row, fields: Mapping[str, str], number: str | None) -> Origin:
        return Origin(
            source=SOURCE,
            lane=Lane.BULK,
            batch_id=self._run,
            line=row.line,
            row_text="" if number else row_text(fields),  # a number tells customers apart by itself
        )

    async def _receive(self) -> None:
        """Wait for the oldest chunk in flight and count what became of its rows."""
        sent = self._in_flight.popleft()
        try:
            receipts = await sent.receipts
        except LedgerUnavailable:
            self._left.extend(sent.rows)
            self._halt("ledger_unavailable", "Redis does not answer: is it running and reachable?")
        except LedgerFull:
            self._left.extend(sent.rows)
            self._halt("ledger_full", "Redis takes no writes: it is out of memory, or its disk is full.")
        else:
            for row, receipt in zip(sent.rows, receipts, strict=True):
                self._count(row, receipt)

    def _count(self, row: Row, receipt: Receipt) -> None:
        tally = self._tally
        if receipt.verdict is Verdict.ACCEPTED:
            tally.accepted += 1
            tally.jobs += len(receipt.job_ids)
        elif receipt.verdict is Verdict.DUPLICATE:
            tally.duplicates += 1
            if receipt.contact_differs:
                tally.note_warnings(row.line, (contact_differs(receipt),))
        elif receipt.verdict is Verdict.CONFLICT:
            tally.conflicts += 1
            self._reject(row, (conflict(receipt),))
        else:
            self._left.append(row)
            self._halt("full", "As many jobs wait as may (LINKFERRY_MAX_WAITING).")

    def _reject(self, row: Row, problems: tuple[Problem, ...]) -> None:
        self._tally.note_errors(row.line, problems)
        codes = ";".join(f"{found.field}:{found.code}" for found in problems)
        texts = " | ".join(f"{found.message}. {found.remedy}".strip() for found in problems)
        try:
            self._failed.write(row, str(row.line), codes, texts)
        except OSError as error:
            self._halt("report_unwritable", f"The failed file cannot be written: {error.strerror}.")

    async def _more(self) -> list[Row]:
        try:
            return await _next_chunk(self._intake)
        except InputProblemError as error:
            self._halt(error.code, error.message, error.remedy)
            return []

    async def _conclude(self) -> None:
        """Tell the batch its counts, and keep what was not come to."""
        try:
            await self._tell_batch()
        except (LedgerUnavailable, LedgerFull):
            self._halt(
                "ledger_unavailable", "Redis stopped answering before it told that all is on its disk."
            )
        if self._stop is None:
            return
        try:
            self._tally.unprocessed = self._unprocessed.write_all(self._left_over())
        except OSError as error:
            log.warning("unprocessed_not_written", run=self._run, error=error.strerror)

    def _left_over(self) -> Iterator[Row]:
        yield from self._left
        if self._intake.is_pipe and self._stop is not None and self._stop.code == "interrupted":
            return  # whoever writes into the pipe may never end
        with contextlib.suppress(InputProblemError):
            while rows := self._intake.next_chunk():
                yield from rows

    async def _tell_batch(self) -> None:
        """Add the run's counts to its batch. A resumed run reads the whole file again: only what is new is added."""
        tally, before, batches = self._tally, self._before, self._ledger.batches
        already = before.accepted + before.duplicates
        await batches.add_counts(
            self._run,
            rejected=max(0, tally.rejected - before.rejected),
            duplicates=max(0, tally.duplicates - already),
            conflicts=max(0, tally.conflicts - before.conflicts),
        )
        now = await batches.get(self._run)
        if now is None or now.accepted < before.accepted + tally.accepted:
            # It was restarted under us, and had not synced all that it had answered.
            self._halt("ledger_lost_rows", "Redis lost rows that it had taken: it was restarted meanwhile.")
        if self._stop is None:
            await batches.close(self._run)

    def _halt(self, code: str, message: str, remedy: str = "") -> None:
        """Have the run end; the first reason stands."""
        if self._stop is None:
            self._stop = Stop(code=code, message=message, remedy=f"{remedy} {self._how_to_go_on()}".strip())

    def _how_to_go_on(self) -> str:
        if self._intake.is_pipe:
            return "Then backfill the unprocessed file: what was recorded is not done twice."
        return f"To go on: linkferry backfill {shlex.quote(str(self._intake.path))} --resume {self._run}"

    def _report(self, kind: str, own: Sequence[str]) -> RowsFile:
        intake = self._intake
        path = report_path(intake.folder, intake.stem, self._run, kind)
        return RowsFile(path, intake.sheet.header, intake.columns.report, own=own)

    def _tell(self) -> None:
        self._told = self._clock.monotonic()
        self._failed.flush()
        if self._progress is not None:
            elapsed_s, total = self._told - self._began, self._intake.expected_rows
            self._progress(Progress(run=self._run, total=total, tally=self._tally, elapsed_s=elapsed_s))

    def _result(self) -> BackfillResult:
        tally = self._tally
        log.info(
            "backfill_ended",
            run=self._run,
            accepted=tally.accepted,
            duplicates=tally.duplicates,
            rejected=tally.rejected,
            stopped=self._stop.code if self._stop else None,
        )
        return BackfillResult(
            run=self._run,
            tally=tally,
            elapsed_s=self._clock.monotonic() - self._began,
            column_warnings=self._intake.columns.warnings,
            failed_file=self._failed.path,
            unprocessed_file=self._unprocessed.path,
            stop=self._stop,
        )
