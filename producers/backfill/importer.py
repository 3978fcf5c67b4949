"""A backfill: a file of customers, recorded row by row, that may be stopped and run again at any time.

Bad rows never stop it, and nothing is done twice: what is recorded already answers `duplicate`. So resuming is
reading the file again from its start.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from producers.backfill.feed import Feed, open_feed
from producers.backfill.intake import BackfillOptions, rare_collections
from producers.backfill.reader import InputProblemError, Row
from producers.backfill.reports import ResultFiles, require_writable
from producers.backfill.results import BackfillResult, Progress, Stop, Tally
from producers.backfill.runs import SOURCE, add_counts, go_on_command, open_run
from producers.backfill.verdicts import conflict, contact_differs
from producers.enqueue import CHUNKS_IN_FLIGHT, Door, Origin, Parcel, row_text
from worker.clock import Clock, SystemClock
from worker.domain.job import Receipt, Verdict
from worker.domain.parse import InvalidRequest, Problem
from worker.domain.states import Lane
from worker.ledger import BatchRecord, Ledger, LedgerFull, LedgerUnavailable
from worker.telemetry import log

PROGRESS_EVERY_S = 0.1
TELL_EVERY_S = 2.0  #: the batch is told where its importer is, so that others see whether it lives
_TAKES_NO_MORE = frozenset({"ledger_unavailable", "ledger_full", "full", "cancelled"})
_ONLY_ONCE = "to go on, give the same rows in again: what was recorded is not done twice."
_CANCELLED = "The rest of the file was not recorded; to ask for its links after all, backfill it anew."
_TAKE_THE_REST = "Then backfill the unprocessed file: what was recorded is not done twice."

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
    stop = stop or asyncio.Event()
    feed = await open_feed(source, options, stop)
    try:
        require_writable(feed.intake.folder)
        first = await feed.first_rows(stop)
        batch = await open_run(ledger, feed.intake, options, clock)
        importer = _Importer(batch, feed, door, ledger, options, progress, clock)
        with rare_collections(), contextlib.closing(importer):
            return await importer.run(first, stop)
    finally:
        feed.close()


class _Importer:
    """One run: what is in flight, what was counted, what is reported."""

    def __init__(
        self,
        batch: BatchRecord,
        feed: Feed,
        door: Door,
        ledger: Ledger,
        options: BackfillOptions,
        progress: ProgressSink | None,
        clock: Clock,
    ) -> None:
        self._run = batch.id
        self._before = batch  # its counts as they stood: of interest when a run is resumed
        self._feed = feed
        self._intake = intake = feed.intake
        self._door = door
        self._ledger = ledger
        self._max_errors = options.max_errors
        self._held_back = options.held_back
        self._progress = progress
        self._clock = clock
        self._began = self._told = clock.monotonic()
        self._tally = Tally()
        self._in_flight: deque[_Sent] = deque()
        # the latest chunk, held back: whichever is the last is sent durably
        self._last: _Parsed | None = None
        self._left: list[Row] = []  # rows that were read and not recorded, or nobody knows
        self._stop: Stop | None = None
        self._command = go_on_command(intake, options, self._run)
        self._files = ResultFiles(
            intake.folder,
            intake.stem,
            self._run,
            intake.sheet.header,
            intake.columns.report,
            is_resumed=options.resume is not None,
            has_success=options.has_success_file,
        )

    def close(self) -> None:
        """Finish the result files and drop what is in flight."""
        for sent in self._in_flight:
            sent.receipts.cancel()
        self._files.close()

    async def run(self, first: list[Row], stop: asyncio.Event) -> BackfillResult:
        """Take the whole file, chunk after chunk, or as much of it as can be."""
        self._tell()
        telling = asyncio.create_task(self._keep_telling_batch())
        try:
            await self._take_all(first, stop)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        await self._conclude(stop)
        self._tell()
        return self._result()

    async def _take_all(self, first: list[Row], stop: asyncio.Event) -> None:
        rows = first
        while rows:
            if stop.is_set():
                self._interrupt()
            if self._stop is not None:
                self._left.extend(rows)
                break
            await self._take(rows)
            rows = await self._more(stop)
        await self._send_last()

    def _interrupt(self) -> None:
        self._halt("interrupted", "The run was interrupted.")

    async def _keep_telling_batch(self) -> None:
        while True:
            with contextlib.suppress(LedgerUnavailable, LedgerFull):  # the rows' own calls will tell
                await self._ledger.batches.tell(self._run, read=self._tally.rows)
            await asyncio.sleep(TELL_EVERY_S)

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
        last, self._last = self._last, None
        if last is None:
            return
        if self._stop is not None and self._stop.code in _TAKES_NO_MORE:
            self._left.extend(last.rows)
            return
        await self._send(last, durable=True)
        await self._receive()

    def _parse(self, rows: Sequence[Row]) -> _Parsed:
        """Return the good rows and what they ask for; the others are reported."""
        good, parcels, tally = [], [], self._tally
        tally.rows += len(rows)
        rows = self._without_held_back(rows)
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

    def _without_held_back(self, rows: Sequence[Row]) -> Sequence[Row]:
        held_back = self._held_back
        if held_back is None:
            return rows
        try:
            held = self._files.unprocessed.write_all(row for row in rows if row.line in held_back)
        except OSError as error:
            self._halt("report_unwritable", f"The unprocessed file cannot be written: {error.strerror}.")
            return ()
        self._tally.unprocessed += held
        return [row for row in rows if row.line not in held_back] if held else rows

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
            self._note_success(row, receipt)
        elif receipt.verdict is Verdict.DUPLICATE:
            tally.note_known(receipt)
            if receipt.contact_differs:
                tally.note_warnings(row.line, (contact_differs(receipt),))
            self._note_success(row, receipt)
        elif receipt.verdict is Verdict.CONFLICT:
            tally.conflicts += 1
            self._reject(row, (conflict(receipt),))
        else:
            self._left.append(row)
            if receipt.verdict is Verdict.CANCELLED:
                self._halt("cancelled", "Its batch was cancelled meanwhile.", _CANCELLED)
            else:
                self._halt("full", "As many jobs wait as may (LINKFERRY_MAX_WAITING).")

    def _note_success(self, row: Row, receipt: Receipt) -> None:
        try:
            self._files.write_success(row, receipt)
        except OSError as error:
            self._halt("report_unwritable", f"The success file cannot be written: {error.strerror}.")

    def _reject(self, row: Row, problems: tuple[Problem, ...]) -> None:
        self._tally.note_errors(row.line, problems)
        try:
            self._files.write_failed(row, problems)
        except OSError as error:
            self._halt("report_unwritable", f"The failed file cannot be written: {error.strerror}.")

    async def _more(self, stop: asyncio.Event) -> list[Row]:
        try:
            while (rows := await self._feed.next_rows()) is None:
                if stop.is_set():
                    self._interrupt()
                if self._stop is not None:
                    return []
                if self._last is not None or self._in_flight:  # a silent pipe: what came of it is recorded
                    await self._send_last()
                    self._tell()
        except InputProblemError as error:
            self._halt(error.code, error.message, error.remedy)
            return []
        return rows

    async def _conclude(self, stop: asyncio.Event) -> None:
        """Tell the batch its counts, and keep what was not come to."""
        try:
            await self._tell_batch()
        except (LedgerUnavailable, LedgerFull):
            self._halt(
                "ledger_unavailable", "Redis stopped answering before it told that all is on its disk."
            )
        if self._stop is None:
            return
        if self._stop.code == "cancelled":  # nobody wants the rest
            self._tally.unprocessed += len(self._left)
            return
        try:
            self._tally.unprocessed += self._files.unprocessed.write_all(self._left)
            async for rows in self._feed.rest(stop):
                self._tally.unprocessed += self._files.unprocessed.write_all(rows)
        except OSError as error:
            log.warning("unprocessed_not_written", run=self._run, error=error.strerror)

    async def _tell_batch(self) -> None:
        await add_counts(self._ledger, self._before, self._tally)
        now = await self._ledger.batches.get(self._run)
        if now is None or now.accepted < self._before.accepted + self._tally.accepted:
            # It was restarted under us, and had not synced all that it had answered.
            self._halt("ledger_lost_rows", "Redis lost rows that it had taken: it was restarted meanwhile.")
        if self._stop is None:
            await self._ledger.batches.close(self._run)
        else:
            await self._ledger.batches.tell(self._run, read=self._tally.rows, is_leaving=True)

    def _halt(self, code: str, message: str, remedy: str = "") -> None:
        """Have the run end; the first reason stands."""
        if self._stop is not None:
            return
        if code == "cancelled":
            self._command = None
            self._stop = Stop(code=code, message=message, remedy=remedy)
        else:
            how = f"To go on: {self._command}" if self._command else _TAKE_THE_REST
            if code == "interrupted" and not self._command:  # the rest never came out of the pipe
                how = f"T{_ONLY_ONCE[1:]}"
            self._stop = Stop(code=code, message=message, remedy=f"{remedy} {how}".strip())

    def _tell(self) -> None:
        self._told = self._clock.monotonic()
        self._files.flush()
        if self._progress is not None:
            self._progress(
                Progress(
                    run=self._run,
                    total=self._intake.expected_rows,
                    tally=self._tally,
                    elapsed_s=self._told - self._began,
                    go_on=f"to go on: {self._command}" if self._command else _ONLY_ONCE,
                )
            )

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
            assumed=self._intake.sheet.assumptions,
            failed_files=self._files.failed_paths,
            success_files=self._files.success_paths,
            unprocessed_file=self._files.unprocessed.path,
            stop=self._stop,
            go_on=self._command if self._stop else None,
            accepted_before=self._before.accepted,
        )
