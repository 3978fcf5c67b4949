"""A run: the batch that a file's rows join, opened anew or gone on with, and how to go on with it."""

from __future__ import annotations

import secrets
import shlex

from producers.backfill.intake import BackfillOptions, Intake
from producers.backfill.reader import InputProblemError
from producers.backfill.results import Tally
from worker.clock import Clock
from worker.ledger import BatchRecord, Ledger
from worker.telemetry import log

SOURCE = "csv"
_RUN_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_ALL_RUNS = "`linkferry batch list` shows all runs."


def new_run_id(clock: Clock) -> str:
    """Return an id that no run has."""
    return f"{clock.now():%Y%m%d}-" + "".join(secrets.choice(_RUN_LETTERS) for _ in range(6))


async def open_run(ledger: Ledger, intake: Intake, options: BackfillOptions, clock: Clock) -> BatchRecord:
    """Return the batch that the rows join: a new one, or the one to go on with, as it stands.

    Raises:
        InputProblemError: there is no such run, or it is of another file, was read otherwise, or was cancelled.
        LedgerUnavailable: Redis does not answer.
        LedgerFull: Redis takes no writes.
    """
    run = options.resume
    if run is None:
        run = options.run or new_run_id(clock)
        await ledger.batches.open(
            run,
            name=intake.name,
            source=SOURCE,
            by=options.by,
            total=intake.expected_rows,
            path="" if intake.is_pipe else str(intake.path and intake.path.absolute()),
            options=shlex.join(option_words(options)),
        )
    batch = await ledger.batches.get(run)
    if batch is None:
        raise InputProblemError("no_such_run", f"There is no run {run}.", _ALL_RUNS)
    if options.resume is not None:
        _require_same(batch, intake, options)
    log.info("backfill_started", run=run, rows=intake.expected_rows, is_resumed=options.resume is not None)
    return batch


def _require_same(batch: BatchRecord, intake: Intake, options: BackfillOptions) -> None:
    """Refuse what would mix two files, or read one in two ways; raises InputProblemError."""
    run = batch.id
    if batch.cancelled_at_ms is not None:
        remedy = "To ask for its links after all, leave out --resume: the file then has a run of its own."
        raise InputProblemError("cancelled_run", f"Run {run} was cancelled.", remedy)
    if batch.name != intake.name:
        remedy = (
            f"Give {batch.name} to go on with it, or leave out --resume: this file then has a run of its own."
        )
        raise InputProblemError("other_file", f"Run {run} is of {batch.name}, not of {intake.name}.", remedy)
    if batch.options is not None and batch.options != shlex.join(option_words(options)):
        message = (
            f"Run {run} was begun with {batch.options or 'no options'}: its rows would be read in two ways."
        )
        path = "FILE" if intake.path is None else str(intake.path)
        remedy = f"To go on: {_command(path, batch.options, run)} (or leave out --resume)."
        raise InputProblemError("other_options", message, remedy)


async def add_counts(ledger: Ledger, before: BatchRecord, tally: Tally) -> None:
    """Add a run's counts to its batch, which stood as *before* when it began.

    A resumed run reads the whole file again: only what is new is added. Raises LedgerUnavailable, LedgerFull.
    """
    already = before.accepted + before.duplicates
    await ledger.batches.add_counts(
        before.id,
        rejected=max(0, tally.rejected - before.rejected),
        duplicates=max(0, tally.duplicates - already),
        conflicts=max(0, tally.conflicts - before.conflicts),
    )


def option_words(options: BackfillOptions) -> tuple[str, ...]:
    """Return the words of the command line that decide how rows are read, in an order of their own."""
    words: list[str] = []
    for field, column in sorted(options.mapping):
        words += ["--map", f"{field}={column}"]
    for name, text in sorted(options.defaults.items()):
        words += ["--channel" if name == "channels" else f"--{name.replace('_', '-')}", text]
    reading = options.reading
    for name, word in (
        ("encoding", reading.encoding),
        ("delimiter", "tab" if reading.delimiter == "\t" else reading.delimiter),
        ("sheet", reading.sheet),
    ):
        if word is not None:
            words += [f"--{name}", word]
    if options.rules.brand is not None:
        words += ["--brand", options.rules.brand]
    if options.rules.accept_names:
        words.append("--accept-names")
    # Gone on with otherwise, a run would record what it had held back.
    return (*words, "--only-ready") if options.held_back is not None else tuple(words)


def go_on_command(intake: Intake, options: BackfillOptions, run: str) -> str | None:
    """Return the command that goes on with a run; None for a pipe, which cannot be read twice."""
    if intake.is_pipe or intake.path is None:
        return None
    words = [*option_words(options), *(["--success-file"] if options.has_success_file else [])]
    return _command(str(intake.path), shlex.join(words), run)


def command_of(run: str, *, path: str | None, options: str | None) -> str | None:
    """Return the command that goes on with a run as its batch tells of it; None where its file is not known."""
    return _command(path, options or "", run) if path else None


def _command(path: str, options: str, run: str) -> str:
    parts = ["linkferry backfill", shlex.quote(path), options, f"--resume {run}"]
    return " ".join(part for part in parts if part)
