"""`linkferry backfill`: a file of customers, recorded row by row."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from linkferry import frame
from linkferry.commands import filters
from linkferry.frame import DONE_WITH_BAD_ROWS, FAILED, USAGE, CommandError, command, complain
from linkferry.notices import tell_what_is_missing
from linkferry.output import emit, say

if TYPE_CHECKING:
    from linkferry.session import Session
    from producers.backfill.intake import BackfillOptions
    from producers.backfill.reader import InputProblemError
    from producers.backfill.results import BackfillResult, DryRunResult, Tally
    from worker.domain.parse import Problem
    from worker.settings import Settings

_MOST_ERRORS_SHOWN = 20
_UNDER_WAY = ("available", "scheduled", "running", "in_doubt")
_USAGE_CODES = frozenset({"bad_map", "unknown_field", "no_such_column", "no_such_run"})

File = Annotated[
    str, typer.Argument(metavar="FILE", help="A CSV file with a header (may be .gz); `-` is standard input.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check every row, record nothing.")]
Mapping = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="FIELD=COLUMN", help="Which column a field is in; may be repeated."),
]
ChannelWords = Annotated[
    list[str] | None,
    typer.Option("--channel", help="`email`, `sms` or `none`, for rows that do not say; may be repeated."),
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait until every job has come to its end. Exit code 3 if some failed.")
]
Resume = Annotated[
    str | None, typer.Option("--resume", metavar="RUN", help="Go on with a run that was stopped.")
]
AcceptNames = Annotated[
    bool, typer.Option("--accept-names", help="Send names in the form the partner accepts where it differs.")
]
MaxErrors = Annotated[
    int | None, typer.Option("--max-errors", min=0, help="Stop when more rows than this are bad.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""

    @command(app, "backfill")
    def backfill(
        *,
        file: File,
        is_dry: DryRun = False,
        mapping: Mapping = None,
        channels: ChannelWords = None,
        is_waiting: Wait = False,
        resume: Resume = None,
        is_accepting_names: AcceptNames = False,
        max_errors: MaxErrors = None,
        is_quiet: Quiet = False,
    ) -> int:
        """Ask for the links of a whole file of customers. Bad rows never stop it; the same file again adds nothing.

        Bad rows come back in `<file>.<run>.failed.csv`, which is valid input once mended.

        Example: `linkferry backfill customers.csv --dry-run`, then the same without `--dry-run`.
        """
        from producers.backfill.reader import InputProblemError

        settings = frame.settings()
        source = _source(file)
        try:
            options = _options(
                settings,
                mapping,
                channels,
                resume=resume,
                accept_names=is_accepting_names,
                max_errors=max_errors,
            )
            if is_dry:
                return _dry_run(source, options)
            return (
                frame.in_session(
                    lambda session: _backfill(
                        session, source, options, is_waiting=is_waiting, is_quiet=is_quiet
                    )
                )
                or 0
            )
        except InputProblemError as problem:
            return _refuse(problem)


def _source(file: str) -> Path | BinaryIO:
    return sys.stdin.buffer if file == "-" else Path(file)


def _options(
    settings: Settings,
    mapping: list[str] | None,
    channels: list[str] | None,
    *,
    resume: str | None,
    accept_names: bool,
    max_errors: int | None,
) -> BackfillOptions:
    from producers.backfill.columns import read_map
    from producers.backfill.intake import BackfillOptions
    from worker.domain.parse import ParseRules

    rules = ParseRules(
        region=settings.default_region, locale=settings.default_locale, accept_names=accept_names
    )
    return BackfillOptions(
        rules=rules,
        mapping=tuple(read_map(text) for text in mapping or ()),
        defaults={"channels": _channel_words(channels)} if channels else {},
        max_errors=max_errors,
        resume=resume,
        by=filters.operator(),
    )


def _channel_words(words: list[str]) -> str:
    from worker.domain.states import Channel

    parts = [part.strip().lower() for word in words for part in word.split(",") if part.strip()]
    for part in parts:
        if part not in {*Channel, "none"}:
            message = f"--channel {part}: say one of email, sms, none."
            raise CommandError(message, exit_code=USAGE)
    if "none" in parts and set(parts) != {"none"}:
        message = "--channel none: say it alone, or leave it out."
        raise CommandError(message, exit_code=USAGE)
    return ",".join(dict.fromkeys(parts))


def _refuse(problem: InputProblemError) -> int:
    emit({"error": problem.code, "message": problem.message, "remedy": problem.remedy}, lambda: None)
    complain(f"{problem.message} {problem.remedy} Nothing was recorded.")
    return USAGE if problem.code in _USAGE_CODES else FAILED


# --- the dry run -------------------------------------------------------------------------------------------


def _dry_run(source: Path | BinaryIO, options: BackfillOptions) -> int:
    from producers.backfill.dry_run import dry_run

    shown: list[tuple[int, tuple[Problem, ...]]] = []

    def keep(line: int, problems: tuple[Problem, ...]) -> None:
        shown.append((line, problems))

    result = dry_run(source, options=options, on_errors=keep)
    document = result.as_document() | {"dry_run": True, "problems": [_problem_view(*each) for each in shown]}
    emit(document, lambda: _say_dry_run(result, shown))
    return result.exit_code


def _problem_view(line: int, problems: tuple[Problem, ...]) -> dict[str, Any]:
    return {
        "line": line,
        "problems": [
            {"field": each.field, "code": each.code, "message": each.message, "remedy": each.remedy}
            for each in problems
        ],
    }


def _say_dry_run(result: DryRunResult, shown: list[tuple[int, tuple[Problem, ...]]]) -> None:
    for warning in result.column_warnings:
        say(f"Column {warning.field}: {warning.message}. {warning.remedy}")
    for line, problems in shown:
        for each in problems:
            say(f"Line {line}: {each.field}: {each.message}. {each.remedy}")
    _say_warnings(result.tally)
    tally = result.tally
    rate = frame.settings().provider_rate
    from linkferry.output import span

    say(
        f"Dry run, nothing recorded: {tally.rows} rows, {tally.accepted} good, {tally.duplicates} twice in the file, "
        f"{tally.rejected} bad. {tally.jobs} links to make: about {span(tally.jobs / rate)} at {rate:g} calls/s."
    )
    if result.stop is not None:
        complain(f"{result.stop.message} {result.stop.remedy}")


# --- the run -----------------------------------------------------------------------------------------------


async def _backfill(
    session: Session, source: Path | BinaryIO, options: BackfillOptions, *, is_waiting: bool, is_quiet: bool
) -> int:
    from linkferry.progress import waiting_progress, writing_progress
    from producers.backfill.importer import run_backfill

    stop = asyncio.Event()
    _stop_on_signals(stop)
    door = session.door(accept_names=options.rules.accept_names)
    with writing_progress(is_quiet=is_quiet) as progress:
        result = await run_backfill(
            source, door=door, ledger=session.ledger, options=options, progress=progress, stop=stop
        )
    document, jobs = result.as_document(), None
    if not is_quiet and (result.tally.accepted or result.tally.duplicates):
        await tell_what_is_missing(session)
    if is_waiting and result.stop is None:
        with waiting_progress(is_quiet=is_quiet) as tell:
            document["jobs_by_state"] = jobs = await wait_for_batch(session, result.run, stop, tell)
    if result.stop is not None:
        document["stopped"]["remedy"] = frame.hint(result.stop.remedy)
    emit(document, lambda: _say_result(result, jobs))
    if result.stop is not None:
        complain(f"{result.stop.message} {result.stop.remedy}")
    return _exit_code(result, jobs or {}, has_waited=is_waiting and not stop.is_set())


def _exit_code(result: BackfillResult, jobs: dict[str, int], *, has_waited: bool) -> int:
    """Return the run's exit code, jobs that were waited for included: 3 where some failed, 1 where waiting was cut."""
    if result.exit_code == FAILED:
        return FAILED
    if jobs and not has_waited and any(jobs.get(state) for state in _UNDER_WAY):
        return FAILED
    return DONE_WITH_BAD_ROWS if jobs.get("failed") else result.exit_code


def _stop_on_signals(stop: asyncio.Event) -> None:
    """Let Ctrl-C end the run in order: what is in flight is counted, the way to go on is told."""
    loop = asyncio.get_running_loop()

    def ask(number: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(number)  # a second one ends it at once

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask, number)


async def wait_for_batch(
    session: Session, run: str, stop: asyncio.Event, tell: Callable[[dict[str, int]], None]
) -> dict[str, int]:
    """Wait until no job of the batch is left to be worked on, or *stop*; return its jobs by state."""
    while True:
        counts = await jobs_by_state(session, run)
        tell(counts)
        if not any(counts.get(state) for state in _UNDER_WAY):
            return counts
        try:
            await asyncio.wait_for(stop.wait(), 1.0)
        except TimeoutError:
            continue
        complain(f"Stopped waiting; the jobs go on. See: linkferry batch show {run}")
        return counts


async def jobs_by_state(session: Session, run: str) -> dict[str, int]:
    """Return how many of the batch's jobs are in each state, empty ones left out."""
    record = await session.ledger.batches.get(run)
    counts = record.jobs if record else {}
    return {state.value: count for state, count in counts.items() if count}


def _say_result(result: BackfillResult, jobs: dict[str, int] | None) -> None:
    tally = result.tally
    for warning in result.column_warnings:
        say(f"Column {warning.field}: {warning.message}. {warning.remedy}")
    _say_errors(tally)
    _say_warnings(tally)
    say(
        f"Run {result.run}: {tally.rows} rows, {tally.accepted} accepted, {tally.duplicates} known already, "
        f"{tally.rejected} bad, in {result.elapsed_s:.1f} s."
    )
    if result.failed_file:
        say(f"Bad rows: {result.failed_file} (mend them there and backfill that file)")
    if result.unprocessed_file:
        say(f"Rows not come to: {result.unprocessed_file}")
    _say_jobs(result.run, jobs, is_any_accepted=bool(tally.accepted))


def _say_jobs(run: str, jobs: dict[str, int] | None, *, is_any_accepted: bool) -> None:
    if jobs is None:
        if is_any_accepted:
            say(f"Follow it: linkferry batch show {run}")
        return
    say("Jobs: " + (", ".join(f"{state} {count}" for state, count in jobs.items()) or "none"))
    if jobs.get("failed"):
        say(f"Why: linkferry failed list --batch {run}")


def _say_errors(tally: Tally) -> None:
    for noted in tally.errors[:_MOST_ERRORS_SHOWN]:
        say(f"Line {noted.line}: {noted.problem.field}: {noted.problem.message}. {noted.problem.remedy}")
    if tally.rejected > len({noted.line for noted in tally.errors}):
        say(f"… {tally.rejected} bad rows in all, each with its reason in the failed file.")


def _say_warnings(tally: Tally) -> None:
    if not tally.warnings:
        return
    for noted in tally.warned[:_MOST_ERRORS_SHOWN]:
        say(f"Line {noted.line}: note: {noted.problem.field}: {noted.problem.message}")
    if tally.warnings > _MOST_ERRORS_SHOWN:
        say(f"… {tally.warnings} rows with a note in all.")
