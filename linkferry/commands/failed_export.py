"""`linkferry failed export`: failed jobs or dead letters as a file that a backfill takes again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.commands.batch_report import STDOUT, name_of, new_file, standard_output
from linkferry.frame import FAILED, USAGE, CommandError, command, complain, flags
from linkferry.output import print_json, say
from linkferry.progress import reporting_progress

if TYPE_CHECKING:
    from linkferry.session import Session
    from worker.domain.states import JobState
    from worker.ledger import JobFilter

_TELL_EVERY = 500
Write = Callable[[dict[str, str]], None]
Record = Callable[[int], Awaitable[None]]


def register(group: typer.Typer) -> None:
    """Add the command to *group*."""

    @command(group, "export")
    @filters.filtered("stage")
    async def export(
        session: Session,
        *,
        file: Annotated[str, typer.Argument(help="Where the rows go; `-` is standard output.")],
        form: Annotated[
            str | None,
            typer.Option("--format", help="`csv`, or `json` (a document a line); by the file's name."),
        ] = None,
        chosen: filters.Chosen,
        is_forced: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
        is_quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
        why: filters.Why = "",
    ) -> int:
        """Write the failed queue to a file: mend it in a spreadsheet and bring it in again with `linkferry backfill`.

        A job in the failed queue keeps its number: discard it before its row comes in anew, or edit it in place with
        `linkferry failed edit`. `--state dead` writes the dead letters. Numbers and contacts are whole, so the file is
        for its owner only, and who made it is recorded before the first row leaves. Where nothing matches, nothing is
        written, and the exit code is 1.

        Example: `linkferry failed export mend.csv --class bad_data`
        """
        wanted = await chosen.read(session, state=None)
        path = None if file == STDOUT else Path(file)
        sink = _sink(path, is_json=_is_json(form, path), is_forced=is_forced)
        states = filters.failed_states(chosen.state)

        async def record(total: int) -> None:
            await session.trail.exported(
                wanted, states, by=filters.operator(), why=why, count=total, to=name_of(path)
            )

        count = await _write(session, wanted, states, sink, record, is_quiet=is_quiet or path is None)
        if not count:
            return _nothing(path)
        _conclude(path, count, holds_numbers=states[0] == "failed", is_quiet=is_quiet)
        return 0


async def _write(
    session: Session, wanted: JobFilter, states: list[JobState], sink: Any, record: Record, *, is_quiet: bool
) -> int:
    """Write the rows, once *record* has it in the trail how many are about to leave; return how many were written.

    Where there is none, nothing is recorded, and no file made.
    """
    from worker.ops.export import count, is_any, rows

    if not await is_any(session.ledger, wanted, states):
        return 0
    total, _ = await count(session.ledger, wanted, states)
    written = 0
    with sink as write, reporting_progress(is_quiet=is_quiet) as tell:
        await record(total)
        async for row in rows(session.ledger, wanted, states, session.catalogue):
            write(row)
            written += 1
            if written % _TELL_EVERY == 0:
                tell(written, max(total, written))
    return written


def _is_json(form: str | None, path: Path | None) -> bool:
    """Tell whether documents are wanted; raises CommandError (2) for a form that is none."""
    if form is None:
        return path is not None and path.suffix in {".json", ".jsonl", ".ndjson"}
    if form not in {"csv", "json"}:
        message = f"--format {form}: say `csv` or `json`."
        raise CommandError(message, exit_code=USAGE)
    return form == "json"


@contextmanager
def _sink(path: Path | None, *, is_json: bool, is_forced: bool) -> Iterator[Write]:
    """Yield what writes a row."""
    from worker.ops.export import csv_head, csv_line

    else_ = "name another, or add --force"
    opened = (
        standard_output("utf-8")
        if path is None
        else new_file(path, "utf-8", else_=else_, is_forced=is_forced)
    )
    with opened as stream:
        if not is_json:
            stream.write(csv_head())

        def write(row: dict[str, str]) -> None:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n" if is_json else csv_line(row))

        yield write


def _nothing(path: Path | None) -> int:
    """Say that nothing matched; return the exit code."""
    if flags().is_json and path is not None:
        print_json({"file": None, "rows": 0})
    complain("Nothing matches: nothing was written. `linkferry failed groups` shows what there is.")
    return FAILED


def _conclude(path: Path | None, count: int, *, holds_numbers: bool, is_quiet: bool) -> None:
    """Say what was written, and how to go on: on standard error where the rows went to standard output.

    *holds_numbers*: these jobs have to let go of theirs first; dead letters have done so.
    """
    if flags().is_json and path is not None:
        print_json({"file": str(path), "rows": count})
    if flags().is_json or is_quiet:
        return
    tell = complain if path is None else say
    kind = "failed job" if holds_numbers else "dead letter"
    tell(f"{count:,} {kind}{'' if count == 1 else 's'} written{f' to {path}' if path else ''}.")
    if count and path is not None and path.suffix == ".csv":
        name = shlex.quote(str(path))
        say(f"Mend the rows, then: linkferry backfill {name}")
        if holds_numbers:
            say(
                f"But before that let go of the numbers, which these jobs hold: linkferry failed discard --file {name}"
            )
