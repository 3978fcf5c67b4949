"""`linkferry status`: the whole at a glance, once or by itself until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linkferry.commands.story import wrapped
from linkferry.frame import DONE, command, complain, flags, hint
from linkferry.notices import what_is_missing
from linkferry.output import console, emit, instant, print_json, say, span
from linkferry.patience import Patience

if TYPE_CHECKING:
    from linkferry.session import Session

Document = dict[str, Any]
Show = Callable[[Document, str], None]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Look again by itself until Ctrl-C.")]
Every = Annotated[float, typer.Option("--every", min=0.2, help="Seconds between two looks.")]
_STATES_IN_WORDS = {
    "available": "waiting for a worker",
    "scheduled": "waiting for their time",
    "in_doubt": "the partner's answer was lost; being looked up",
    "dead": "dead letters: given up, kept a while",
}
_NO_BREAK = "\u00a0"
_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = "_.-~=+*#"
_POINTS = 30  #: of a sparkline: two minutes each
_DAY_POINTS = 24  #: an hour each
_CHARTED = (
    ("accepted", "accepted"),
    ("linked", "linked"),
    ("failed", "failed"),
    ("sent", "messages sent"),
    ("delivery_failed", "messages failed"),
)


def register(app: typer.Typer) -> None:
    """Add the command to *app*."""

    @command(app, "status")
    async def status(session: Session, *, is_watched: Watch = False, every_s: Every = 2.0) -> int:
        """Show the whole at a glance: what is wrong and for whom, jobs and messages, lanes, the partner, workers.

        Example: `linkferry status --watch`
        """
        if is_watched:
            return await _watch(session, every_s)
        document = await read_status(session)
        missing = await what_is_missing(session)
        emit(document, lambda: print_status(document, missing))
        return DONE


async def read_status(session: Session) -> Document:
    """Return the status in its fixed shape, with what the overview adds; raises LedgerUnavailable."""
    from worker.ops.overview import overview

    seen = await overview(session.scene)
    status: Document = seen["status"]
    added = (
        "at",
        "environment",
        "rate",
        "outage",
        "troubles",
        "holds",
        "pauses",
        "hour",
        "day",
        "expiring",
        "window",
    )
    return {**status, **{name: seen[name] for name in added}, "fleet": seen["workers"]}


def print_status(document: Document, missing: str = "") -> None:
    """Print the status for people, and what is *missing* for it to get on."""
    for line in status_lines(document):
        say(line)
    if missing:
        complain(missing)


def status_lines(document: Document, *, has_day: bool = True) -> list[str]:
    """Return the status as lines, with the chart of the day or without."""
    jobs = [_in_words(state, count) for state, count in document["jobs"].items() if count]
    messages = [f"{state} {count:,}" for state, count in document["deliveries"].items() if count]
    return [
        *_alarm_lines(document),
        *_counts("Jobs", jobs),
        *_counts("Messages", messages),
        *_window_lines(document["window"]),
        *_lane_lines(document),
        *_batch_lines(document),
        _partner_line(document),
        _workers_line(document),
        *_chart_lines("Last hour", document["hour"], _POINTS),
        *(_chart_lines("Last day", document["day"], _DAY_POINTS) if has_day else ()),
    ]


def _alarm_lines(document: Document) -> Iterator[str]:
    """Yield what is wrong, for whom, and what to do; a pause that an operator made is among the lanes."""
    for trouble in document["troubles"]:
        if trouble["kind"] in _TOLD_ELSEWHERE:
            continue
        what = trouble["what"]["text"]
        if trouble["since"]:
            what = f"{what.removesuffix('.')} (since {instant(trouble['since'])})."
        yield from wrapped(what, indent="! ", hanging="  ")
        if trouble["customers"]:
            yield from wrapped(trouble["expected"]["text"], indent="  ")
        yield from wrapped(trouble["remedy"]["text"], indent="  ")
    if document["expiring"]["said"]:
        yield from wrapped(document["expiring"]["said"]["text"], indent="! ", hanging="  ")


def _window_lines(window: Document) -> Iterator[str]:
    if window["said"]:
        yield from wrapped(window["said"]["text"], indent="          ")


#: Said by the lines of lanes and batches, and by what is missing.
_TOLD_ELSEWHERE = frozenset({"lane_paused", "batch_paused", "no_worker", "credentials_missing"})


def _lane_lines(document: Document) -> Iterator[str]:
    for lane, view in document["lanes"].items():
        notes = [f"{view['waiting']:,} waiting"]
        if view["waiting"]:
            notes.append(f"oldest {span(view['oldest_s'])}")
        if view["paused"]:
            notes.append(f"paused{_by_whom(document, lane)}")
        if view["held"]:
            notes.append(f"held: {view['held']}")
        yield from _fact("Lane", f"{lane}: {', '.join(notes)}")


def _batch_lines(document: Document) -> Iterator[str]:
    for kind in ("paused", "held"):
        for batch in document["batches"][kind]:
            by = _by_whom(document, f"batch:{batch['batch']}") if kind == "paused" else ""
            named = f"{batch['batch']} ({batch['name']})"
            yield from _fact("Batch", f"{named}: {kind}, {batch['waiting']:,} waiting{by}")


def _by_whom(document: Document, target: str) -> str:
    """Return who paused it and why, in brackets; nothing where that is not known."""
    made = next((each for each in document["pauses"] if each["target"] == target and each["by"]), None)
    if made is None:
        return ""
    why = f": {made['why']}" if made["why"] else ""
    return f" (by {made['by']}{why})"


def _counts(title: str, counts: Sequence[str]) -> list[str]:
    """Return counts as lines, none of them cut in two."""
    whole = "  ".join(each.replace(" ", _NO_BREAK) for each in counts)
    return [line.replace(_NO_BREAK, " ") for line in _fact(title, whole or "none yet")]


def _fact(title: str, text: str) -> list[str]:
    return wrapped(text, indent=f"{title:<10}", hanging=" " * 10)


def _partner_line(document: Document) -> str:
    partner, rate = document["provider"], document["rate"]
    pause = f", paused until {partner['paused_until']}" if partner["paused_until"] else ""
    used = f" ({rate['used'] * 100:.0f} % used)" if rate["used"] else ""
    return (
        f"Partner   {partner['rate']:g} calls/s{used}, breaker {partner['breaker']}, "
        f"credentials {partner['credentials']}{pause}"
    )


def _workers_line(document: Document) -> str:
    running = sum(each["running"] for each in document["fleet"])
    in_hand = f", {running} jobs in hand" if running else ""
    return f"Workers   {document['workers']:,}{in_hand}"


def _chart_lines(title: str, read: Document, points: int) -> Iterator[str]:
    """Yield a sparkline of a span of time for each thing of which there was any."""
    for name, word in _CHARTED:
        if read["totals"][name]:
            yield f"{title:<9} {sparkline(read['lines'][name], points)} {read['totals'][name]:>7,} {word}"
            title = ""


def sparkline(values: Sequence[int], points: int = _POINTS) -> str:
    """Return numbers as a row of bars, of plain signs where the terminal has no others."""
    size = max(1, len(values) // points)
    sums = [sum(values[at : at + size]) for at in range(0, len(values), size)]
    bars, most = _bars(), max([*sums, 1])
    # Any at all shows as more than none.
    return "".join(bars[0 if not each else max(1, round(each / most * (len(bars) - 1)))] for each in sums)


def _bars() -> str:
    try:
        _BARS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _PLAIN_BARS
    return _BARS


def _in_words(state: str, count: int) -> str:
    """Return a count of jobs; a person at a terminal also hears what the less plain states are."""
    meaning = _STATES_IN_WORDS.get(state) if sys.stdout.isatty() else None
    return f"{state} {count:,}" + (f" ({meaning})" if meaning else "")


# --- by itself ---------------------------------------------------------------------------------------------


async def _watch(session: Session, every_s: float) -> int:
    """Show the status again and again until Ctrl-C; a server that does not answer is asked again. Return the exit code."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    patience, is_given_up = Patience(again="linkferry status --watch"), False
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with _screen() as show:
        while not stop.is_set():
            away = await _look(session, show)
            if away is None:
                patience.answered()
            elif is_given_up := patience.is_over(away):
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), every_s)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
    return patience.give_up() if is_given_up else DONE


async def _look(session: Session, show: Show) -> str | None:
    """Show one look; return why there is none to be had just now, or None."""
    from worker.ledger import LedgerUnavailable
    from worker.limits import LimitsUnavailable

    try:
        document = await read_status(session)
        show(document, await what_is_missing(session))
    except (LedgerUnavailable, LimitsUnavailable) as exc:
        return str(exc)
    return None


@contextmanager
def _screen() -> Iterator[Show]:
    """Yield what shows one look: JSON lines with `--json`, a view that is drawn anew on a terminal, else lines."""
    if flags().is_json:
        yield lambda document, _missing: print_json(document)
    elif sys.stdout.isatty():
        with _live() as show:
            yield show
    else:
        yield _print_look


def _print_look(document: Document, missing: str) -> None:
    say(f"--- {instant(document['at'])}")
    print_status(document, missing)


def _screenful(document: Document, missing: str, *, most: int) -> list[str]:
    """Return one look, without the day's chart where the screen has no room for it."""
    told = [f"! {missing}"] if missing else []
    end = ["", f"At {instant(document['at'])}. Ctrl-C ends this."]
    lines = [*told, *status_lines(document), *end]
    return lines if len(lines) <= most else [*told, *status_lines(document, has_day=False), *end]


@contextmanager
def _live() -> Iterator[Show]:
    from rich.live import Live
    from rich.text import Text

    with Live(console=console(), auto_refresh=False) as live:

        def show(document: Document, missing: str) -> None:
            lines = _screenful(document, missing, most=live.console.height)
            live.update(Text("\n".join(hint(line) for line in lines)), refresh=True)

        yield show
