"""`linkferry holds`: what stands still, and what was seen before it was stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from linkferry.frame import command
from linkferry.output import emit, instant, print_fields, say
from linkferry.tables import Column, print_table

if TYPE_CHECKING:
    from linkferry.session import Session

BATCH = "batch:"
_EVIDENCE = ("job", "number", Column("code", rank=1), Column("what the partner answered", is_text=True))


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""

    @command(app, "holds")
    async def holds(session: Session) -> None:
        """Show what is held, why and since when, how much waits behind it, and the answers that made it.

        Example: `linkferry holds`, then `linkferry resume --lane live --why "the partner mended it"`
        """
        items = await session.holds.all()
        emit({"items": items, "next": None, "total": len(items)}, lambda: print_holds(items))


def print_holds(items: list[dict[str, Any]]) -> None:
    """Print holds for people."""
    if not items:
        say("Nothing is held.")
    for each in items:
        name = f" ({each['batch']})" if each["batch"] else ""
        say(f"{each['target']}{name} is held: {each['reason']}")
        print_fields(
            {
                "since": instant(each["since"]),
                "waiting": f"{each['waiting']:,} jobs",
                "means": each["meaning"],
                "to do": each["remedy"],
                "then": _how_to_clear(each["target"]),
            }
        )
        if each["evidence"]:
            print_table(_EVIDENCE, [_row(job) for job in each["evidence"]])


def _row(job: dict[str, Any]) -> tuple[Any, ...]:
    return job["job_id"], job["number"], job["code"], job["answer"] or job["state"]


def _how_to_clear(target: str) -> str:
    if target.startswith(BATCH):
        return f"linkferry batch resume {target.removeprefix(BATCH)}"
    return "linkferry resume" if target == "calls" else f"linkferry resume --lane {target}"
