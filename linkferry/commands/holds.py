"""`linkferry holds`: what stands still, held or paused, and what was seen before it was stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from linkferry.frame import command
from linkferry.output import emit, instant, print_fields, say
from linkferry.tables import Column, print_table
from worker.domain.targets import BATCH, CALLS, CHANNEL

if TYPE_CHECKING:
    from linkferry.session import Session

_EVIDENCE = ("job", "number", Column("code", rank=1), Column("what the partner answered", is_text=True))


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""

    @command(app, "holds")
    async def holds(session: Session) -> None:
        """Show what is held, why and since when, how much waits behind it, and the answers that made it; then what is paused.

        A hold is Linkferry's own, because calls failed alike; a pause is a person's.

        Example: `linkferry holds`, then `linkferry resume --lane live --why "the partner mended it"`
        """
        from worker.ops.overview import paused

        items = await session.holds.all()
        pauses = [
            each for each in await paused(session.scene) if each["target"] != CALLS
        ]  # that one is among the holds
        document = {"items": items, "next": None, "total": len(items), "pauses": pauses}
        emit(document, lambda: print_standstill(items, pauses))


def print_standstill(items: list[dict[str, Any]], pauses: list[dict[str, Any]]) -> None:
    """Print holds and pauses for people."""
    if not items and not pauses:
        say("Nothing is held. Nothing is paused.")
    elif not items:
        say("Nothing is held.")
    print_holds(items)
    for each in pauses:
        name = f" ({each['name']})" if each["name"] else ""
        say(f"{each['target']}{name} {_is(each['target'])} paused")
        print_fields(
            {
                "since": instant(each["since"]),
                "until": instant(each["until"]),
                "by": each["by"],
                "why": each["why"],
                "waiting": _waiting(each["target"], each["count"]),
                "then": how_to_lift(each["target"]),
            }
        )


def print_holds(items: list[dict[str, Any]]) -> None:
    """Print holds for people."""
    for each in items:
        name = f" ({each['batch']})" if each["batch"] else ""
        say(f"{each['target']}{name} {_is(each['target'])} held: {each['reason']}")
        print_fields(
            {
                "since": instant(each["since"]),
                "until": instant(each["until"]),
                "waiting": _waiting(each["target"], each["waiting"]),
                "means": each["meaning"],
                "to do": each["outlook"]["text"] if each["outlook"] else each["remedy"],
                "then": how_to_lift(each["target"]),
            }
        )
        if each["evidence"]:
            print_table(_EVIDENCE, [_row(job) for job in each["evidence"]])


def _is(target: str) -> str:
    return "are" if target == CALLS else "is"


def _waiting(target: str, count: int) -> str:
    """Return how much waits: behind a channel messages, else jobs."""
    what = "message" if target.startswith(CHANNEL) else "job"
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _row(job: dict[str, Any]) -> tuple[Any, ...]:
    return job["job_id"], job["number"], job["code"], job["answer"] or job["state"]


def cleared_lines(holds: list[dict[str, Any]]) -> str:
    """Return why each hold stood that was cleared: who clears one is not to wonder afterwards."""
    lines = []
    for each in holds:
        name = f" ({each['batch']})" if each["batch"] else ""
        since = f"held since {instant(each['since'])} for {each['reason']}"
        waited = f"{_waiting(each['target'], each['waiting'])} waited"
        lines.append(f"\nHold cleared: {each['target']}{name}, {since}; {waited}. {each['meaning']}")
    return "".join(lines)


def how_to_lift(target: str) -> str:
    """Return the command that ends a hold or pause of *target*."""
    if target.startswith(BATCH):
        return f"linkferry batch resume {target.removeprefix(BATCH)}"
    if target.startswith(CHANNEL):
        return f"linkferry resume --channel {target.removeprefix(CHANNEL)}"
    return "linkferry resume" if target == CALLS else f"linkferry resume --lane {target}"
