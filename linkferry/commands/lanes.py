"""`linkferry pause`, `linkferry resume`: stop and go, for everything, one lane, or the messages by one channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands import filters
from linkferry.frame import USAGE, CommandError, command
from linkferry.output import emit, instant, say

if TYPE_CHECKING:
    from linkferry.session import Session

LaneOption = Annotated[str | None, typer.Option("--lane", help="`live` or `bulk`; both without it.")]
ChannelOption = Annotated[
    str | None,
    typer.Option(
        "--channel", help="`email` or `sms`: only its messages; links are made meanwhile, and these wait."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""

    @command(app, "pause")
    async def pause(
        session: Session, lane: LaneOption = None, channel: ChannelOption = None, why: filters.Why = ""
    ) -> None:
        """Start no more jobs; what runs ends as it may. Nothing is lost, requests are still accepted.

        Example: `linkferry pause --lane bulk --why "the partner asked for it"`
        """
        target = _target(lane, channel)
        await session.commands.pause(target, by=filters.operator(), why=why)
        hint = f"linkferry resume{_options(lane, channel)}"
        emit({"target": target, "paused": True}, lambda: say(f"Paused: {target}. Go on with: {hint}"))

    @command(app, "resume")
    async def resume(
        session: Session, lane: LaneOption = None, channel: ChannelOption = None, why: filters.Why = ""
    ) -> None:
        """Go on: lifts pauses and holds. Without --lane also a pause of the calls and refused credentials.

        Example: `linkferry resume`
        """
        target = _target(lane, channel)
        held = {each["target"]: each for each in await session.holds.all()}
        cleared = await session.commands.resume(target, by=filters.operator(), why=why)
        still = [each for each in sorted(await session.ledger.batches.pauses()) if ":" in each]
        stood = [held[each] for each in cleared if each in held]
        emit(
            {
                "target": target,
                "paused": False,
                "holds_cleared": cleared,
                "holds": stood,
                "still_paused": still,
            },
            lambda: say(f"Resumed: {target}.{_cleared(stood)}{_still_paused(still)}"),
        )


def _cleared(holds: list[dict[str, Any]]) -> str:
    """Return why each hold stood that was cleared: who clears one is not to wonder afterwards."""
    lines = []
    for each in holds:
        name = f" ({each['batch']})" if each["batch"] else ""
        since = f"held since {instant(each['since'])} for {each['reason']}"
        waiting = f"{each['waiting']:,} jobs waited"
        lines.append(f"\nHold cleared: {each['target']}{name}, {since}; {waiting}. {each['meaning']}")
    return "".join(lines)


def _still_paused(targets: list[str]) -> str:
    return "".join(f"\nStill paused: {each}. Go on with: linkferry {_lifting(each)}" for each in targets)


def _lifting(target: str) -> str:
    kind, _, name = target.partition(":")
    return f"batch resume {name}" if kind == "batch" else f"resume --channel {name}"


def _options(lane: str | None, channel: str | None) -> str:
    chosen = {"lane": lane, "channel": channel}
    return "".join(f" --{name} {value}" for name, value in chosen.items() if value is not None)


def _target(lane: str | None, channel: str | None) -> str:
    """Return what is meant; raises CommandError (2) for no lane, no channel, or both at once."""
    from worker.domain.states import Channel, Lane

    if lane is not None and channel is not None:
        message = "Say --lane or --channel, one at a time."
        raise CommandError(message, exit_code=USAGE)
    if channel is not None:
        return f"channel:{filters.choice(Channel, channel, '--channel').value}"
    if lane is None:
        return "all"
    return str(filters.choice(Lane, lane, "--lane").value)
