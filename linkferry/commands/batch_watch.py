"""`linkferry batch watch`: a batch as it is worked on, until it has ended."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from linkferry.commands import batch_view
from linkferry.frame import DONE, DONE_WITH_BAD_ROWS, FAILED, complain, flags, hint
from linkferry.output import console, print_json, say
from linkferry.patience import Patience

if TYPE_CHECKING:
    from rich.console import Group

    from linkferry.session import Session
    from worker.ops.eta import Pace

Document = dict[str, Any]
_WINDOW_S = 60.0  #: how far back the pace is looked at
_LINE_EVERY_S = 10.0  #: for people without a terminal, unless what stops it changes
_REASONS_SHOWN = 5


class _Sample(NamedTuple):
    at_s: float
    ended: int
    live: int


class PaceMeter:
    """Measures how fast a batch goes, over the last minute."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._samples: deque[_Sample] = deque()
        self._stops: list[str] = []

    def note(self, document: Document) -> None:
        """Take in a look at the batch; what was seen while it was stopped says nothing of its pace."""
        progress = document["progress"]
        stops = [str(stop["why"]) for stop in progress["stops"]]
        if stops or stops != self._stops:
            self._samples.clear()
        self._stops = stops
        now_s = self._now_s()
        self._samples.append(_Sample(now_s, progress["ended"], progress["slots_taken"]["live"]))
        while now_s - self._samples[0].at_s > _WINDOW_S:
            self._samples.popleft()

    @property
    def pace(self) -> Pace:
        """Return what was seen."""
        from worker.ops.eta import Pace

        if len(self._samples) < 2:
            return Pace()
        first, last = self._samples[0], self._samples[-1]
        over_s = last.at_s - first.at_s
        if over_s <= 0:
            return Pace()
        return Pace(
            over_s=over_s,
            ended_per_s=max(0, last.ended - first.ended) / over_s,
            live_per_s=max(0, last.live - first.live) / over_s,
        )


async def watch(session: Session, run: str, first: Document, *, every_s: float) -> int:
    """Show the batch until it has ended, or Ctrl-C; return the exit code."""
    stop, meter, document = asyncio.Event(), PaceMeter(), first
    patience = Patience(subject=f"Batch {run}", again=f"linkferry batch watch {run}")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with _screen() as show:
        is_given_up = False
        while True:
            meter.note(document)
            show(document, meter.pace)
            if document["progress"]["is_over"]:
                break
            seen = await _next(session, run, meter.pace, patience, stop, every_s=every_s)
            is_given_up = seen is None and not stop.is_set()
            if seen is None:
                break
            document = seen or document  # one that is forgotten meanwhile stays as it was last seen
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
    return patience.give_up() if is_given_up else _end(document)


async def _next(
    session: Session, run: str, pace: Pace, patience: Patience, stop: asyncio.Event, *, every_s: float
) -> Document | None:
    """Return the next look (empty: there is no such batch any more); None where it is time to *stop*, or to give up."""
    from worker.ledger import LedgerUnavailable
    from worker.limits import LimitsUnavailable

    while True:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), every_s)
            return None
        try:
            found = await session.queries.batch_progress(run, pace)
        except (LedgerUnavailable, LimitsUnavailable) as exc:
            if patience.is_over(str(exc)):
                return None
            continue
        patience.answered()
        return found or {}


def _end(document: Document) -> int:
    batch, progress = document["batch"], document["progress"]
    if not progress["is_over"]:
        complain(f"Stopped watching; batch {batch} goes on. Look again: linkferry batch watch {batch}")
        return FAILED
    say(batch_view.closing(document))
    if progress["import"] == "cut_off":
        complain(batch_view.way_to_go_on(document))
        return FAILED
    if document["jobs"]["failed"]:
        say(f"Why they failed: linkferry failed list --batch {batch}")
    say(f"Row by row: linkferry batch report {batch}")
    return DONE_WITH_BAD_ROWS if document["jobs"]["failed"] else DONE


@contextmanager
def _screen() -> Iterator[Callable[[Document, Pace], None]]:
    """Yield what shows one look: JSON lines with `--json`, a view that is drawn anew on a terminal, else lines."""
    if flags().is_json:
        yield lambda document, pace: print_json(_with_pace(document, pace))
    elif sys.stdout.isatty():
        with _live() as show:
            yield show
    else:
        yield _Lines().show


def _with_pace(document: Document, pace: Pace) -> Document:
    seen = {"ended_per_s": round(pace.ended_per_s, 2), "over_s": round(pace.over_s, 1)}
    return {**document, "pace": seen if pace.over_s else None}


class _Lines:
    """A line at the beginning, at the end, every ten seconds, and when what stops the batch changes."""

    def __init__(self) -> None:
        self._told_s: float | None = None
        self._stops: list[str] = []

    def show(self, document: Document, pace: Pace) -> None:
        """Print a line where one is due."""
        progress, now_s = document["progress"], time.monotonic()
        stops = [str(stop["text"]) for stop in progress["stops"]]
        is_due = self._told_s is None or now_s - self._told_s >= _LINE_EVERY_S
        if not (is_due or progress["is_over"] or stops != self._stops):
            return
        say(_line(document, pace))
        if stops != self._stops:
            for remedy in batch_view.remedies(document):
                say(f"  {remedy}")
        self._told_s, self._stops = now_s, stops


def _line(document: Document, pace: Pace) -> str:
    progress = document["progress"]
    ended = f"{progress['ended']:,} of {progress['jobs']:,} ended ({batch_view.share(document):.0f} %)"
    parts = [
        f"{datetime.now(UTC):%H:%M:%S}Z  {ended}",
        f"{pace.ended_per_s:.1f}/s" if pace.over_s and not progress["is_over"] else "",
        batch_view.expectation(document),
        _failed(document),
        f"import {batch_view.importing(document)}" if progress["import"] == "running" else "",
    ]
    return ", ".join(part for part in parts if part)


def _failed(document: Document) -> str:
    found = batch_view.failures(document, _REASONS_SHOWN)
    return f"failed: {', '.join(found)}" if found else ""


@contextmanager
def _live() -> Iterator[Callable[[Document, Pace], None]]:
    from rich.live import Live

    with Live(console=console(), auto_refresh=False) as live:
        yield lambda document, pace: live.update(_view(document, pace), refresh=True)


def _view(document: Document, pace: Pace) -> Group:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    progress = document["progress"]
    bar = ProgressBar(total=max(1, progress["jobs"]), completed=progress["ended"], width=40)
    return Group(
        Text(f"{document['name']}  {document['batch']}", style="bold"),
        bar,
        *(Text(hint(line)) for line in view_lines(document, pace)),
    )


def view_lines(document: Document, pace: Pace) -> list[str]:
    """Return what the view says under its bar."""
    progress = document["progress"]
    allowed = f"{progress['rate']:g} calls/s allowed now"
    lines = [
        f"{progress['ended']:,} of {progress['jobs']:,} jobs ended ({batch_view.share(document):.0f} %)",
        batch_view.counts(document),
        f"{pace.ended_per_s:.1f}/s, {allowed}" if pace.over_s else allowed,
        batch_view.expectation(document),
        batch_view.neighbours(document),
        _failed(document),
        f"import {found}" if (found := batch_view.importing(document)) else "",
        batch_view.got_through(document),
        *batch_view.remedies(document),
    ]
    return [line for line in lines if line]
