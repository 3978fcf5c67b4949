"""`linkferry pause`, `linkferry resume`: stop and go, for everything, one lane, or the messages by one channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from linkferry.commands import filters
from linkferry.commands.holds import cleared_lines, how_to_lift
from linkferry.frame import USAGE, CommandError, command
from linkferry.output import emit, say
from worker.domain.targets import ALL, BATCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from linkferry.session import Session

LaneOption = Annotated[str | None, typer.Option("--lane", help="`live` or `bulk`; both without it.")]
ChannelOption = Annotated[
    str | None,
    typer.Option(
        "--channel", help="`email` or `sms`: only its messages; links are made meanwhile, and these wait."
    ),
]

_BARE_WORDS = {"allow_extra_args": True}  # taken to say how they are written


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""

    @command(app, "pause", context_settings=_BARE_WORDS)
    async def pause(
        session: Session,
        context: typer.Context,
        lane: LaneOption = None,
        channel: ChannelOption = None,
        why: filters.Why = "",
    ) -> None:
        """Start no more jobs; what runs ends as it may. Nothing is lost, requests are still accepted.

        Example: `linkferry pause --lane bulk --why "the partner asked for it"`
        """
        _no_words("pause", context.args)
        target = _target(lane, channel)
        await session.commands.pause(target, by=filters.operator(), why=why)
        hint = f"linkferry resume{_options(lane, channel)}"
        emit({"target": target, "paused": True}, lambda: say(f"Paused: {target}. Go on with: {hint}"))

    @command(app, "resume", context_settings=_BARE_WORDS)
    async def resume(
        session: Session,
        context: typer.Context,
        lane: LaneOption = None,
        channel: ChannelOption = None,
        why: filters.Why = "",
    ) -> None:
        """Go on: lifts pauses and holds. Without --lane also a pause of the calls and refused credentials.

        Example: `linkferry resume`
        """
        _no_words("resume", context.args)
        target = _target(lane, channel)
        held = {each["target"]: each for each in await session.holds.all()}
        cleared = await session.commands.resume(target, by=filters.operator(), why=why)
        still = [each for each in sorted(await session.ledger.batches.pauses()) if ":" in each]
        stood = [held[each] for each in cleared if each in held]
        left = _left_held(target, held, cleared)
        emit(
            {
                "target": target,
                "paused": False,
                "holds_cleared": cleared,
                "holds": stood,
                "still_paused": still,
                "still_held": left,
            },
            lambda: say(f"Resumed: {target}.{cleared_lines(stood)}{_still_paused(still)}{_still_held(left)}"),
        )


def _no_words(verb: str, words: Sequence[str]) -> None:
    """Raise CommandError (2) for a bare word, with how what it names is written: `pause bulk` is what comes to mind."""
    if not words:
        return
    word = words[-1]
    if (option := _option_for(word)) is not None:
        message = f"{verb} {' '.join(words)}: nothing done. Say linkferry {verb} {option}"
    else:
        message = (
            f"{verb} {' '.join(words)}: nothing done. Say --lane live, --lane bulk, --channel email or --channel sms; "
            f"without any, it is everything. A backfill: linkferry batch {verb} RUN"
        )
    raise CommandError(message, exit_code=USAGE)


def _option_for(word: str) -> str | None:
    from worker.domain.states import Channel, Lane

    typed = word.strip().lower()
    kinds = {"--lane": Lane, "--channel": Channel}
    return next((f"{option} {typed}" for option, kind in kinds.items() if typed in set(kind)), None)


def _still_paused(targets: list[str]) -> str:
    return "".join(f"\nStill paused: {each}. Go on with: {how_to_lift(each)}" for each in targets)


def _left_held(target: str, held: Iterable[str], cleared: Sequence[str]) -> list[str]:
    """Return the batches that stay held: who resumes their lane would else think that all of it goes on."""
    if target not in {ALL, "bulk"}:
        return []
    return [each for each in held if each.startswith(BATCH) and each not in cleared]


def _still_held(targets: list[str]) -> str:
    return "".join(
        f"\nStill held: {each}. Why: linkferry holds. Go on with: {how_to_lift(each)}" for each in targets
    )


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
