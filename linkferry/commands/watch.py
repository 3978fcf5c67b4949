"""`linkferry watch`: links and numbers that somebody should look after, in groups to act on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from linkferry.commands import filters
from linkferry.commands.story import say_wrapped
from linkferry.frame import command
from linkferry.output import emit, instant, say
from linkferry.tables import Column, of_name, print_table, when

if TYPE_CHECKING:
    from linkferry.session import Session

_JOBS = ("job", of_name(rank=2), Column("number", rank=1), when("since", 3))
_NUMBERS = ("number", when("ends"), Column("days left", rank=1), of_name(rank=2), Column("job", rank=3))


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""

    @command(app, "watch")
    async def watch(session: Session, is_revealed: filters.Reveal = False) -> None:
        """Show what is to be looked after once links are made: gone at the partner, running out, open for long.

        Each group says what it means and which command acts on it. Example: `linkferry watch --reveal`
        """
        from worker.ops import watching

        found = await watching.watch(session.scene, is_revealed=is_revealed)
        if is_revealed:
            shown = sum(len(group["jobs"]) + len(group["numbers"]) for group in found["items"])
            await session.trail.reveal(by=filters.operator(), shown=shown, what="watch")
        emit(found, lambda: print_groups(found))


def print_groups(found: dict[str, Any]) -> None:
    """Print what is watched for people."""
    if not found["items"]:
        say("Nothing needs looking after.")
    for group in found["items"]:
        _print_group(group)
    if found["listed_at"]:
        say(f"The partner's list of links was last read at {instant(found['listed_at'])}.")
    else:
        say_wrapped("The partner's list has not been read yet: links that are gone there would not be known.")


def _print_group(group: dict[str, Any]) -> None:
    say_wrapped(group["what"]["text"])
    if group["since"]:
        say(f"  since {instant(group['since'])}")
    if group["jobs"]:
        print_table(_JOBS, [_job_row(each) for each in group["jobs"]])
    if group["numbers"]:
        print_table(_NUMBERS, [_number_row(each) for each in group["numbers"]])
    shown = len(group["jobs"]) + len(group["numbers"])
    if shown and group["count"] > shown:
        say(f"  the first {shown} of {group['count']:,}")
    say_wrapped(group["do"]["text"], indent="  ")
    for each in group["commands"]:
        say(f"    {each}")


def _job_row(each: dict[str, Any]) -> tuple[object, ...]:
    return each["job_id"], each["name"], each["number"], instant(each["changed_at"])


def _number_row(each: dict[str, Any]) -> tuple[object, ...]:
    return each["number"], instant(each["expires_at"]), each["days_left"], each["name"], each["job_id"]
