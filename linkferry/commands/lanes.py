"""`linkferry pause`, `linkferry resume`: stop and go, for everything or for one lane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from linkferry.commands import filters
from linkferry.frame import command
from linkferry.output import emit, say

if TYPE_CHECKING:
    from linkferry.session import Session

LaneOption = Annotated[str | None, typer.Option("--lane", help="`live` or `bulk`; both without it.")]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""

    @command(app, "pause")
    async def pause(session: Session, lane: LaneOption = None) -> None:
        """Start no more jobs; what runs ends as it may. Nothing is lost, requests are still accepted.

        Example: `linkferry pause --lane bulk`
        """
        target = _target(lane)
        await session.commands.pause(target)
        hint = f"linkferry resume{'' if lane is None else ' --lane ' + target}"
        emit({"target": target, "paused": True}, lambda: say(f"Paused: {target}. Go on with: {hint}"))

    @command(app, "resume")
    async def resume(session: Session, lane: LaneOption = None) -> None:
        """Go on: lifts pauses and holds. Without --lane also a pause of the calls and refused credentials.

        Example: `linkferry resume`
        """
        target = _target(lane)
        cleared = await session.commands.resume(target)
        still = [each for each in sorted(await session.ledger.batches.pauses()) if each.startswith("batch:")]
        told = f" Holds cleared: {', '.join(cleared)}." if cleared else ""
        emit(
            {"target": target, "paused": False, "holds_cleared": cleared, "still_paused": still},
            lambda: say(f"Resumed: {target}.{told}{_still_paused(still)}"),
        )


def _still_paused(targets: list[str]) -> str:
    lines = (f"\nStill paused: {each}. Go on with: linkferry batch resume {each[6:]}" for each in targets)
    return "".join(lines)


def _target(lane: str | None) -> str:
    if lane is None:
        return "all"
    from worker.domain.states import Lane

    return str(filters.choice(Lane, lane, "--lane").value)
