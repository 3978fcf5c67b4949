"""`linkferry batch …`: backfills as wholes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import batch_view, filters
from linkferry.commands.holds import cleared_lines
from linkferry.commands.story import say_wrapped
from linkferry.frame import FAILED, USAGE, CommandError, command, complain
from linkferry.output import confirm, emit, instant, print_fields, say
from linkferry.tables import Column, number, of_name, print_end, print_table, when

if TYPE_CHECKING:
    from linkferry.session import Session

Run = Annotated[str, typer.Argument(metavar="RUN", help="The batch's id, as `backfill` printed it.")]
Every = Annotated[float, typer.Option("--every", min=0.1, help="Seconds between two looks.")]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Where to write it: a .csv or .jsonl, `-` is standard output. Without it `<file>.<RUN>.report.csv`.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing beside the report.")]
WaitForRunning = Annotated[
    bool, typer.Option("--wait", help="Wait until the calls under way have ended, and say what came of them.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(
        group, name="batch", help="Backfills as wholes: list, show, watch, pause, resume, cancel, report."
    )
    _register_looking(group)
    _register_following(group)
    _register_steering(group)
    _register_cancelling(group)


def _register_looking(group: typer.Typer) -> None:
    @command(group, "list")
    async def list_batches(
        session: Session, limit: filters.Limit = 50, cursor: filters.Cursor = None
    ) -> None:
        """List the batches, newest first."""
        document = await filters.page(session.queries.batches(cursor=cursor, limit=limit))
        emit(document, lambda: _print_batches(document))

    @command(group, "show")
    async def show(session: Session, run: Run) -> None:
        """Show one batch: how many were accepted, where they stand, what stops it, when it will be done."""
        document = await _progress(session, run)
        emit(document, lambda: _print_batch(document))


def _register_following(group: typer.Typer) -> None:
    @command(group, "watch")
    async def watch(session: Session, run: Run, every_s: Every = 1.0) -> int:
        """Watch a batch until it has ended; Ctrl-C leaves it alone. Exit code 3 if some of its jobs failed.

        The time that is left follows from the partner's rate now, what is ahead in the same lane and how fast it went
        lately; where something stops it, that is said instead. With `--json` a line for each look.

        Example: `linkferry batch watch RUN`
        """
        from linkferry.commands.batch_watch import watch

        return await watch(session, run, await _progress(session, run), every_s=every_s)

    @command(group, "report")
    async def report(session: Session, run: Run, out: Out = None, is_quiet: Quiet = False) -> int:
        """Join each row to its end: link, reason, remedy, messages. A CSV that Excel reads, only you may read it.

        In the order of the file; `--json` prints a line for each row. Rejected rows are in the run's failed file.

        Example: `linkferry batch report RUN --out ends.csv`
        """
        from linkferry.commands.batch_report import report

        return await report(session, run, out, is_quiet=is_quiet)


def _register_steering(group: typer.Typer) -> None:
    @command(group, "pause")
    async def pause(session: Session, run: Run, why: filters.Why = "") -> None:
        """Start no more of this batch's jobs."""
        if (await _batch(session, run))["cancelled_at"]:
            raise _cancelled(run, "paused")
        await session.commands.pause(f"batch:{run}", by=filters.operator(), why=why)
        emit({"batch": run, "paused": True}, lambda: say(f"Paused. Go on with: linkferry batch resume {run}"))

    @command(group, "resume")
    async def resume(session: Session, run: Run, why: filters.Why = "") -> None:
        """Go on with this batch; a hold on it is cleared too."""
        batch = await _batch(session, run)
        if batch["cancelled_at"] and not (batch["paused"] or batch["held"]):
            raise _cancelled(run, "resumed")
        held = await session.holds.hold(f"batch:{run}")
        cleared = await session.commands.resume(f"batch:{run}", by=filters.operator(), why=why)
        stood = [held] if held is not None and held["target"] in cleared else []
        emit(
            {"batch": run, "paused": False, "holds_cleared": cleared, "holds": stood},
            lambda: say(f"Resumed.{cleared_lines(stood)}"),
        )


def _register_cancelling(group: typer.Typer) -> None:
    @command(group, "cancel")
    async def cancel(
        session: Session,
        run: Run,
        why: filters.Why = "",
        is_sure: filters.Yes = False,
        is_waiting: WaitForRunning = False,
    ) -> int:
        """Cancel what of the batch has not ended; links already made stay, and calls under way are left alone.

        What got through of those is told with `--wait`, or later by `linkferry batch show RUN`.

        Example: `linkferry batch cancel RUN --why "wrong list" --wait`
        """
        await _batch(session, run)
        if not is_sure and not confirm(f"Cancel all of batch {run} that has not ended?"):
            message = "Nothing done. Add --yes to go ahead without being asked."
            raise CommandError(message, exit_code=USAGE)
        document = await session.commands.cancel_batch(run, by=filters.operator(), why=why)
        if document is None:
            return FAILED
        if is_waiting:
            document |= await _wait_for_calls(session, run)
        emit(document, lambda: _say_cancelled(document))
        return 0


async def _wait_for_calls(session: Session, run: str) -> dict[str, Any]:
    """Wait until no call of the cancelled batch is under way; return what came of them. Ctrl-C ends the waiting.

    However it ends, that the batch is cancelled is said.
    """
    from worker.ledger import LedgerUnavailable
    from worker.limits import LimitsUnavailable

    later = f"The batch is cancelled. What came of the calls under way: linkferry batch show {run}"
    try:
        while True:
            shown = await _progress(session, run)
            if not (shown["progress"]["spared"] or {}).get("running"):
                return {"spared": shown["progress"]["spared"], "got_through": batch_view.got_through(shown)}
            await asyncio.sleep(0.5)
    except (LedgerUnavailable, LimitsUnavailable) as exc:
        message = f"Redis does not answer ({exc}). {later}"
        raise CommandError(message) from exc
    except asyncio.CancelledError:  # Ctrl-C
        complain(later)
        raise


def _say_cancelled(document: dict[str, Any]) -> None:
    said = [f"{document['cancelled']} cancelled"]
    if "spared" in document:
        said += [document["got_through"]] if document["got_through"] else []
    else:
        if document["running"]:
            said.append(f"{document['running']} are being worked on and end as they may")
        if document["in_doubt"]:
            said.append(f"{document['in_doubt']} are in doubt: a look-up will tell")
    say("; ".join(said) + ".")
    if "spared" not in document and (document["running"] or document["in_doubt"]):
        say(f"What came of them: linkferry batch show {document['batch']}")


async def _progress(session: Session, run: str) -> dict[str, Any]:
    document = await session.queries.batch_progress(run)
    if document is None:
        raise await _no_such_batch(session, run)
    return document


async def _batch(session: Session, run: str) -> dict[str, Any]:
    document = await session.queries.batch(run)
    if document is None:
        raise await _no_such_batch(session, run)
    return document


def _cancelled(run: str, past: str) -> CommandError:
    return CommandError(
        f"Batch {run} was cancelled: nothing of it is left to be {past}. To ask for its links after all, backfill its "
        f"file again. What came of it: linkferry batch show {run}"
    )


async def _no_such_batch(session: Session, run: str) -> CommandError:
    return CommandError(f"There is no batch {run}.{await filters.batches_like(session, run)}")


def _print_batch(document: dict[str, Any]) -> None:
    shown = _flat({name: value for name, value in document.items() if name != "progress"})
    for name in ("total", "stopped", "opened"):
        shown.pop(name, None)
    progress = document["progress"]
    shown["import"] = batch_view.importing(document)
    if progress["jobs"]:
        shown["ended"] = f"{progress['ended']:,} of {progress['jobs']:,} ({batch_view.share(document):.0f} %)"
    shown["expected"] = batch_view.expectation(document)
    shown["beside"] = batch_view.neighbours(document) if not progress["is_over"] else ""
    shown["failed"] = ", ".join(batch_view.failures(document))
    shown["cancel"] = batch_view.got_through(document)
    print_fields(shown)
    for remedy in batch_view.remedies(document):
        say(remedy)
    if progress["window"]["said"]:
        say_wrapped(progress["window"]["said"]["text"])
    if progress["import"] == "cut_off":
        complain(batch_view.way_to_go_on(document))


def _print_batches(document: dict[str, Any]) -> None:
    rows = []
    for item in document["items"]:
        shown = _flat(item)
        # A count of none says nothing that an empty cell does not.
        rows.append([_cell(shown.get(column.header)) for column in _COLUMNS])
    if rows:
        print_table(_COLUMNS, rows)
    print_end(document)


def _cell(value: object) -> object:
    return f"{value:,}" if isinstance(value, int) and value else value or ""


_COLUMNS = (
    Column("batch"),
    of_name("name", rank=1),
    number("rows"),
    number("accepted", rank=4),
    number("duplicates", rank=5),
    number("rejected", rank=3),
    Column("stopped", rank=2),
    Column("jobs", rank=2, is_text=True),
    when("opened", rank=6),
)


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    """Return the batch with its counts as one phrase."""
    shown = {}
    for name, value in document.items():
        if isinstance(value, dict):
            shown[name] = ", ".join(f"{each} {count:,}" for each, count in value.items() if count)
        else:
            shown[name] = instant(value) if name.endswith("_at") else value
    if not document["closed_at"] and document["total"]:
        shown["rows"] = f"{document['rows']:,} of about {document['total']:,}"
    shown["stopped"] = "held" if document["held"] else "paused" if document["paused"] else ""
    shown["opened"] = shown["opened_at"]
    return shown
