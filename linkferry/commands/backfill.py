"""`linkferry backfill`: a file of customers, looked over and recorded row by row."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

from linkferry import frame
from linkferry.commands import filters
from linkferry.commands.backfill_options import (
    AcceptNames,
    BrandName,
    ChannelWords,
    CheckLogos,
    Delimiter,
    DryRun,
    Encoding,
    File,
    IsPreflight,
    Mapping,
    MaxErrors,
    OnlyReady,
    Quiet,
    Report,
    Resume,
    SheetName,
    SuccessFile,
    Wait,
)
from linkferry.frame import DONE, DONE_WITH_BAD_ROWS, FAILED, USAGE, CommandError, command, complain
from linkferry.notices import tell_what_is_missing
from linkferry.output import emit

if TYPE_CHECKING:
    from linkferry.commands.backfill_check import Looked, Wishes
    from linkferry.session import Session
    from producers.backfill.intake import BackfillOptions
    from producers.backfill.problems import InputProblemError
    from producers.backfill.results import BackfillResult
    from worker.domain.parse import ParseRules
    from worker.settings import Settings

_UNDER_WAY = ("available", "scheduled", "running", "in_doubt")
#: What an option said is wrong, rather than the file.
_USAGE_CODES = frozenset(
    {
        "bad_delimiter",
        "bad_map",
        "encoding_contradicted",
        "no_such_column",
        "no_such_run",
        "no_such_sheet",
        "not_for_workbooks",
        "other_options",
        "unknown_encoding",
        "unknown_field",
    }
)


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""

    @command(app, "backfill")
    def backfill(
        *,
        file: File,
        is_dry: DryRun = False,
        is_preflight: IsPreflight = False,
        is_only_ready: OnlyReady = False,
        has_logos: CheckLogos = False,
        has_report: Report = False,
        mapping: Mapping = None,
        encoding: Encoding = None,
        delimiter: Delimiter = None,
        sheet: SheetName = None,
        channels: ChannelWords = None,
        brand: BrandName = None,
        is_waiting: Wait = False,
        resume: Resume = None,
        is_accepting_names: AcceptNames = False,
        max_errors: MaxErrors = None,
        has_success_file: SuccessFile = False,
        is_quiet: Quiet = False,
    ) -> int:
        """Ask for the links of a whole file of customers. Bad rows never stop it; the same file again adds nothing.

        Bad rows come back in `<file>.<run>.failed.csv`, which is valid input once mended.

        Example: `linkferry backfill customers.csv --dry-run --preflight`, then the same without `--dry-run`.
        """
        from linkferry.commands.backfill_check import Wishes
        from producers.backfill.problems import InputProblemError
        from producers.backfill.reading import ReadOptions

        settings = frame.settings()
        source = _source(file)
        wishes = Wishes(
            is_preflight=is_preflight or is_only_ready,
            is_only_ready=is_only_ready,
            has_logos=has_logos,
            has_report=has_report,
            is_quiet=is_quiet,
        )
        _refuse_contradictions(source, wishes, is_dry=is_dry)
        try:
            options = replace(
                _options(mapping, channels),
                rules=_rules(settings, brand=brand, accept_names=is_accepting_names),
                reading=ReadOptions(encoding=encoding, delimiter=delimiter, sheet=sheet),
                max_errors=max_errors,
                resume=resume,
                has_success_file=has_success_file,
            )
            if is_dry:
                return _dry_run(settings, source, options, wishes)
            return _run(settings, source, options, wishes, is_waiting=is_waiting)
        except InputProblemError as problem:
            return _refuse(problem)


def _source(file: str) -> Path | BinaryIO:
    return sys.stdin.buffer if file == "-" else Path(file)


def _refuse_contradictions(source: Path | BinaryIO, wishes: Wishes, *, is_dry: bool) -> None:
    if is_dry:
        return
    if wishes.has_report:
        message = "--report: goes with --dry-run; a run writes its bad rows into a file anyway."
        raise CommandError(message, exit_code=USAGE)
    is_pipe = not isinstance(source, Path) or source.is_fifo() or source.is_char_device()
    if is_pipe and (wishes.is_preflight or wishes.has_logos):
        message = (
            "--preflight, --only-ready and --check-logos read the file twice, and a pipe can be read once: "
            "save it first, or add --dry-run."
        )
        raise CommandError(message, exit_code=USAGE)


def _rules(settings: Settings, *, brand: str | None, accept_names: bool) -> ParseRules:
    from worker.domain.parse import ParseRules

    return ParseRules(
        region=settings.default_region,
        locale=settings.default_locale,
        accept_names=accept_names,
        brand=brand.strip().casefold() if brand else None,
    )


def _options(mapping: list[str] | None, channels: list[str] | None) -> BackfillOptions:
    from producers.backfill.columns import read_map
    from producers.backfill.intake import BackfillOptions

    return BackfillOptions(
        mapping=tuple(read_map(text) for text in mapping or ()),
        defaults={"channels": _channel_words(channels)} if channels else {},
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


# --- looking it over ---------------------------------------------------------------------------------------


def _dry_run(settings: Settings, source: Path | BinaryIO, options: BackfillOptions, wishes: Wishes) -> int:
    from linkferry.commands.backfill_check import look_over
    from linkferry.commands.backfill_view import say_dry_run
    from linkferry.onlooker import on_known_redis

    catalogue = settings.load_catalogue()
    with on_known_redis(settings, is_calling=wishes.is_preflight) as on_redis:
        looked = look_over(on_redis, source, options, wishes)
    emit(looked.as_document(catalogue), lambda: say_dry_run(looked, settings, catalogue))
    return looked.result.exit_code


def _look_first(
    settings: Settings, source: Path | BinaryIO, options: BackfillOptions, wishes: Wishes
) -> Looked:
    """Look the file over before it is recorded, and say what was found."""
    from linkferry.commands.backfill_check import look_over
    from linkferry.commands.backfill_view import say_checks

    looked = look_over(settings, source, options, wishes)
    if not frame.flags().is_json:
        say_checks(looked, settings, settings.load_catalogue())
    if wishes.is_only_ready and looked.preflight is not None and looked.preflight.missing:
        calls = " and ".join(looked.preflight.missing)
        message = (
            f"--only-ready: without {calls} nobody can tell which numbers are ready. Nothing was recorded."
        )
        raise CommandError(message)
    return looked


# --- the run -----------------------------------------------------------------------------------------------


def _run(
    settings: Settings,
    source: Path | BinaryIO,
    options: BackfillOptions,
    wishes: Wishes,
    *,
    is_waiting: bool,
) -> int:
    from linkferry.onlooker import on_known_redis
    from producers.backfill.runs import new_run_id
    from worker.clock import SystemClock

    found: dict[str, Any] = {}
    with ExitStack() as stack:
        if wishes.is_preflight or wishes.has_logos:
            on_redis = stack.enter_context(on_known_redis(settings, is_calling=True))
            run = options.resume or new_run_id(SystemClock())
            looked = _look_first(on_redis, source, options, replace(wishes, run=run))
            found = looked.checks_document(settings.load_catalogue())
            ready = looked.preflight if wishes.is_only_ready else None
            options = replace(options, run=run, held_back=ready.unready if ready else None)
        return (
            frame.in_session(
                lambda session: _backfill(
                    session, source, options, is_waiting=is_waiting, is_quiet=wishes.is_quiet, found=found
                )
            )
            or DONE
        )


async def _backfill(
    session: Session,
    source: Path | BinaryIO,
    options: BackfillOptions,
    *,
    is_waiting: bool,
    is_quiet: bool,
    found: dict[str, Any],
) -> int:
    from linkferry.commands.backfill_check import with_brands
    from linkferry.commands.backfill_view import say_result
    from linkferry.progress import waiting_progress, writing_progress
    from producers.backfill.importer import run_backfill

    options = with_brands(options, session.brands)
    stop = asyncio.Event()
    _stop_on_signals(stop)
    door = session.door(accept_names=options.rules.accept_names)
    with writing_progress(is_quiet=is_quiet) as progress:
        result = await run_backfill(
            source, door=door, ledger=session.ledger, options=options, progress=progress, stop=stop
        )
    document, jobs = result.as_document() | found, None
    if result.stop is not None:
        document["stopped"]["remedy"] = frame.hint(result.stop.remedy)
        document["resume"] = result.go_on and frame.hint(result.go_on)
    try:
        # Where the run was stopped, Redis may be away: nothing may come between it and the way to go on.
        if not is_quiet and result.stop is None and (result.tally.accepted or result.tally.duplicates):
            await tell_what_is_missing(session)
        if is_waiting and result.stop is None:
            with waiting_progress(is_quiet=is_quiet) as tell:
                document["jobs_by_state"] = jobs = await wait_for_batch(session, result.run, stop, tell)
    finally:
        emit(document, lambda: say_result(result, jobs))
        if result.stop is not None:
            complain(f"{result.stop.message} {result.stop.remedy}")
    return _exit_code(result, jobs or {}, has_waited=is_waiting and not stop.is_set())


def _exit_code(result: BackfillResult, jobs: dict[str, int], *, has_waited: bool) -> int:
    """Return the run's exit code, jobs that were waited for included.

    It is 3 where some failed or were held back, 1 where waiting was cut.
    """
    if result.exit_code == FAILED:
        return FAILED
    if jobs and not has_waited and any(jobs.get(state) for state in _UNDER_WAY):
        return FAILED
    has_left_some = jobs.get("failed") or result.tally.unprocessed  # `--only-ready` holds rows back
    return DONE_WITH_BAD_ROWS if has_left_some else result.exit_code


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
    """Wait until no job of the batch is left to be worked on, or *stop*; return its jobs by state.

    Sets *stop* where the server stays away and nobody could say Ctrl-C. Raises LedgerUnavailable where none was seen.
    """
    from linkferry.patience import Patience
    from worker.ledger import LedgerUnavailable

    counts: dict[str, int] = {}
    patience = Patience(subject=f"Batch {run}", again=f"linkferry batch watch {run}")
    while True:
        try:
            counts = await jobs_by_state(session, run)
        except LedgerUnavailable as exc:
            if patience.is_over(str(exc)):
                stop.set()
                patience.give_up()
                if not counts:
                    raise
                return counts
        else:
            patience.answered()
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
