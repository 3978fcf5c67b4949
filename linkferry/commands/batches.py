"""`linkferry batch …`: backfills as wholes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.frame import FAILED, USAGE, CommandError, command
from linkferry.output import confirm, emit, instant, print_fields, say
from linkferry.tables import Column, print_table

if TYPE_CHECKING:
    from linkferry.session import Session

Run = Annotated[str, typer.Argument(metavar="RUN", help="The batch's id, as `backfill` printed it.")]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="batch", help="Backfills as wholes: list, show, pause, resume, cancel.")
    _register_looking(group)
    _register_steering(group)


def _register_looking(group: typer.Typer) -> None:
    @command(group, "list")
    async def list_batches(session: Session, limit: filters.Limit = 50) -> None:
        """List the latest batches, newest first."""
        document = await session.queries.batches(limit=limit)
        emit(document, lambda: _print_batches(document["items"]))

    @command(group, "show")
    async def show(session: Session, run: Run) -> None:
        """Show one batch: how many were accepted, where they stand, what holds it."""
        document = await _batch(session, run)
        emit(document, lambda: _print_batch(document))


def _register_steering(group: typer.Typer) -> None:
    @command(group, "pause")
    async def pause(session: Session, run: Run) -> None:
        """Start no more of this batch's jobs."""
        await _batch(session, run)
        await session.commands.pause(f"batch:{run}")
        emit({"batch": run, "paused": True}, lambda: say(f"Paused. Go on with: linkferry batch resume {run}"))

    @command(group, "resume")
    async def resume(session: Session, run: Run) -> None:
        """Go on with this batch; a hold on it is cleared too."""
        await _batch(session, run)
        cleared = await session.commands.resume(f"batch:{run}")
        emit(
            {"batch": run, "paused": False, "holds_cleared": cleared},
            lambda: say("Resumed." + (" Its hold is cleared." if cleared else "")),
        )

    @command(group, "cancel")
    async def cancel(session: Session, run: Run, why: filters.Why = "", is_sure: filters.Yes = False) -> int:
        """Cancel what of the batch has not ended; links already made stay.

        Example: `linkferry batch cancel RUN --why "wrong list"`
        """
        await _batch(session, run)
        if not is_sure and not confirm(f"Cancel all of batch {run} that has not ended?"):
            message = "Nothing done. Add --yes to go ahead without being asked."
            raise CommandError(message, exit_code=USAGE)
        document = await session.commands.cancel_batch(run, by=filters.operator(), why=why)
        if document is None:
            return FAILED
        emit(
            document,
            lambda: say(
                f"{document['cancelled']} cancelled; {document['running']} are being worked on and end as they may."
            ),
        )
        return 0


async def _batch(session: Session, run: str) -> dict[str, Any]:
    document = await session.queries.batch(run)
    if document is None:
        message = f"There is no batch {run}. `linkferry batch list` shows what there is."
        raise CommandError(message)
    return document


def _print_batch(document: dict[str, Any]) -> None:
    shown = _flat(document)
    print_fields({name: value for name, value in shown.items() if name not in {"total", "stopped", "opened"}})


def _print_batches(items: list[dict[str, Any]]) -> None:
    if not items:
        say("None.")
        return
    shown = [_flat(item) for item in items]
    print_table(_COLUMNS, [[item.get(column.header) or "" for column in _COLUMNS] for item in shown])


_COLUMNS = (
    Column("batch"),
    Column("name", rank=2, is_text=True),
    Column("rows"),
    Column("accepted", rank=1),
    Column("duplicates", rank=3),
    Column("rejected", rank=1),
    Column("stopped", rank=1),
    Column("jobs", is_text=True),
    Column("opened", rank=4),
)


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    """Return the batch with its counts as one phrase."""
    shown = {}
    for name, value in document.items():
        if isinstance(value, dict):
            shown[name] = ", ".join(f"{each} {count}" for each, count in value.items() if count)
        else:
            shown[name] = instant(value) if name.endswith("_at") else value
    if not document["closed_at"] and document["total"]:
        shown["rows"] = f"{document['rows']} of about {document['total']}"
    shown["stopped"] = "held" if document["held"] else "paused" if document["paused"] else ""
    shown["opened"] = shown["opened_at"]
    return shown
