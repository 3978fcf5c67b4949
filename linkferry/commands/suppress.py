"""`linkferry suppress …`: the stop list, customers who get no message."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.frame import DONE_WITH_BAD_ROWS, FAILED, USAGE, CommandError, command, complain
from linkferry.output import emit, instant, say
from linkferry.tables import Column, print_table, when

if TYPE_CHECKING:
    from linkferry.session import Session

Who = Annotated[
    str | None,
    typer.Argument(metavar="ADDRESS|NUMBER", help="An e-mail address or a number, however written."),
]
File = Annotated[
    str | None,
    typer.Option("--file", metavar="FILE", help="One address or number a line; `-`: from standard input."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many to show.")]
_COLUMNS = ("contact", when("since", 1), Column("by", rank=2), Column("why", rank=3, is_text=True))
_PROBLEMS_TOLD = 20


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    group = typer.Typer(no_args_is_help=True)
    app.add_typer(group, name="suppress", help="The stop list: who gets no message, and no reminder.")

    @command(group, "add")
    async def add(session: Session, who: Who = None, file: File = None, why: filters.Why = "") -> int:
        """Send this customer no message any more: no invitation, no reminder, nothing by any channel.

        Example: `linkferry suppress add dana@example.com --why "asked by telephone"`
        """
        contacts, problems = _read(session, who, file)
        done = await _stop_list(session).add(contacts, by=filters.operator(), why=why)
        line = f"{done['added']} added to the stop list; {done['known']} stood there before."
        return _answer(done, problems, line)

    @command(group, "remove")
    async def remove(session: Session, who: Who = None, file: File = None, why: filters.Why = "") -> int:
        """Let this customer get messages again. What was not sent meanwhile stays so: see `linkferry resend`.

        Example: `linkferry suppress remove dana@example.com --why "asked for the link after all"`
        """
        contacts, problems = _read(session, who, file)
        done = await _stop_list(session).remove(contacts, by=filters.operator(), why=why)
        line = f"{done['removed']} taken off the stop list; {done['unknown']} did not stand there."
        code = _answer(done, problems, line)
        return code or (0 if done["removed"] or file is not None else FAILED)

    @command(group, "list")
    async def list_all(session: Session, is_revealed: filters.Reveal = False, limit: Limit = 200) -> None:
        """Show the stop list, the latest first; numbers and addresses are masked without --reveal.

        Example: `linkferry suppress list --reveal --json`
        """
        found = await _stop_list(session).all(limit=limit, is_revealed=is_revealed)
        if is_revealed:
            await session.trail.reveal(by=filters.operator(), shown=len(found["items"]), what="suppressed")
        emit(found, lambda: _print(found))


def _stop_list(session: Session) -> Any:
    from worker.ops.suppressing import StopList

    return StopList(session.ledger)


def _read(
    session: Session, who: str | None, file: str | None
) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Return the contacts that were given and the lines that are none; raises CommandError (2)."""
    from worker.domain.stop_list import read_contact
    from worker.ops.suppressing import read_lines

    region = session.settings.default_region
    if (who is None) == (file is None):
        raise CommandError("Give one ADDRESS or NUMBER, or --file with one a line.", exit_code=USAGE)
    if who is not None:
        try:
            return (read_contact(who, region=region),), []
        except ValueError as error:
            raise CommandError(f"{who[:80]!r}: {error}", exit_code=USAGE) from None
    typed = read_lines(_lines(str(file)), region=region)
    if not typed.contacts and not typed.problems:
        raise CommandError(f"--file {file} holds nothing: give one address or number a line. Nothing done.")
    return typed.contacts, [{"line": line, "problem": problem} for line, problem in typed.problems]


def _lines(file: str) -> list[str]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(
            f"--file {file} can't be read ({type(error).__name__}). Give a text file in UTF-8, one contact a line.",
            exit_code=USAGE,
        ) from None
    return text.splitlines()


def _answer(done: dict[str, Any], problems: list[dict[str, Any]], line: str) -> int:
    emit(done | {"problems": problems}, lambda: say(line))
    for each in problems[:_PROBLEMS_TOLD]:
        complain(f"line {each['line']}: {each['problem']}")
    if len(problems) > _PROBLEMS_TOLD:
        complain(f"and {len(problems) - _PROBLEMS_TOLD} more lines; --json names them all.")
    return DONE_WITH_BAD_ROWS if problems else 0


def _print(found: dict[str, Any]) -> None:
    if not found["items"]:
        say("Nobody is on the stop list.")
        return
    print_table(
        _COLUMNS,
        [(each["contact"], instant(each["since"]), each["by"], each["why"]) for each in found["items"]],
    )
    if found["total"] > len(found["items"]):
        say(f"The latest {len(found['items'])} of {found['total']:,}.")
