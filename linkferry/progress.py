"""Progress of a backfill, on standard error: a bar on a terminal, lines elsewhere, JSON lines with `--json`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from linkferry.frame import complain, flags, hint
from linkferry.output import console

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn, TaskID

    from producers.backfill.dry_run import CheckProgress
    from producers.backfill.results import Progress

_FIRST_LINE_S = 1.0  #: what is over sooner needs no lines
_LINE_EVERY_S = 5.0
_JSON_LINE_EVERY_S = 1.0
_OVER = ("linked", "onboarded", "revoked", "failed", "dead", "cancelled")


@contextmanager
def writing_progress(*, is_quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Yield what shows how a run's rows are recorded.

    Whichever way a run breaks off without an account of its own, how to go on with it is said.
    """
    latest: list[Progress] = []
    try:
        with _shown_writing(is_quiet=is_quiet) as show:

            def take(progress: Progress) -> None:
                latest[:] = [progress]
                show(progress)

            yield take
    except BaseException:
        if latest:
            complain(f"Run {latest[0].run} was broken off; {latest[0].go_on}")
        raise


@contextmanager
def _shown_writing(*, is_quiet: bool) -> Iterator[Callable[[Progress], None]]:
    if is_quiet:
        yield lambda _progress: None
    elif sys.stderr.isatty():
        with _bar("{task.fields[bad]} bad") as (bar, task):
            yield lambda progress: bar.update(
                task,
                total=progress.total,
                completed=progress.tally.rows,
                bad=progress.tally.rejected,
                description=f"Recording {progress.run}",
            )
    else:
        lines = _Lines()
        yield lambda progress: lines.tell(_in_words(progress), _document(progress), first=progress.go_on)


@contextmanager
def checking_progress(*, is_quiet: bool) -> Iterator[Callable[[CheckProgress], None] | None]:
    """Yield what shows how a file is looked over."""
    if is_quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar("{task.fields[bad]} bad") as (bar, task):
            yield lambda progress: bar.update(
                task,
                total=progress.total,
                completed=progress.tally.rows,
                bad=progress.tally.rejected,
                description="Checking",
            )
    else:
        lines = _Lines()
        yield lambda progress: lines.tell(
            f"Checked {progress.tally.rows}{_of_total(progress.total)} rows, {progress.tally.rejected} bad",
            {"checked": progress.tally.rows, "total": progress.total, "invalid": progress.tally.rejected},
        )


@contextmanager
def waiting_progress(*, is_quiet: bool) -> Iterator[Callable[[dict[str, int]], None]]:
    """Yield what shows how a batch's jobs come to their ends."""
    if is_quiet:
        yield lambda _counts: None
    elif sys.stderr.isatty():
        with _bar("{task.fields[bad]} failed") as (bar, task):
            yield lambda counts: bar.update(
                task,
                total=sum(counts.values()),
                completed=sum(counts.get(state, 0) for state in _OVER),
                bad=counts.get("failed", 0),
                description="Making links",
            )
    else:
        lines = _Lines()
        yield lambda counts: lines.tell(
            "Jobs: " + ", ".join(f"{state} {count}" for state, count in counts.items()), {"jobs": counts}
        )


@contextmanager
def looking_progress() -> Iterator[Callable[[int], None]]:
    """Yield what shows how many jobs were looked at for a preview."""
    if sys.stderr.isatty():
        with _bar("") as (bar, task):
            yield lambda seen: bar.update(task, completed=seen, description="Looking")
    else:
        lines = _Lines()
        yield lambda seen: lines.tell(f"{seen} jobs looked at", {"seen": seen})


@contextmanager
def acting_progress() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yield what shows how a bulk act comes along, by its document."""
    if sys.stderr.isatty():
        with _bar("{task.fields[bad]} failed again") as (bar, task):
            yield lambda document: bar.update(
                task,
                total=document["total"],
                completed=document["total"] - document["waiting"] - document["in_flight"],
                bad=document["failed_again"],
                description=document["act"].capitalize(),
            )
    else:
        lines = _Lines()
        names = ("act_id", "total", "done", "waiting", "in_flight", "linked", "sent", "failed_again")
        yield lambda document: lines.tell(
            f"{document['total'] - document['waiting']} of {document['total']} taken, {document['in_flight']} under way, "
            f"{document['linked']} linked, {document['failed_again']} failed again",
            {name: document[name] for name in names},
        )


@contextmanager
def reporting_progress(*, is_quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield what shows how many rows of a report are written, of how many."""
    if is_quiet:
        yield lambda _rows, _total: None
    elif sys.stderr.isatty():
        with _bar("") as (bar, task):
            yield lambda rows, total: bar.update(
                task, total=total, completed=rows, description="Writing the report"
            )
    else:
        lines = _Lines()
        yield lambda rows, total: lines.tell(
            f"{rows} of {total} rows written", {"rows": rows, "total": total}
        )


@contextmanager
def erasing_progress() -> Iterator[Callable[[int, int], None]]:
    """Yield what shows how many jobs are erased, of how many."""
    if sys.stderr.isatty():
        with _bar("") as (bar, task):
            yield lambda erased, total: bar.update(task, total=total, completed=erased, description="Erasing")
    else:
        lines = _Lines()
        yield lambda erased, total: lines.tell(
            f"{erased} of {total} jobs erased", {"erased": erased, "total": total}
        )


def _of_total(total: int | None) -> str:
    return f" of about {total}" if total else ""


def _in_words(progress: Progress) -> str:
    return (
        f"Run {progress.run}: {progress.tally.rows}{_of_total(progress.total)} rows read, {progress.tally.rejected} bad, "
        f"{progress.rows_per_s:.0f} rows/s"
    )


def _document(progress: Progress) -> dict[str, object]:
    return {
        "run": progress.run,
        "rows": progress.tally.rows,
        "total": progress.total,
        "accepted": progress.tally.accepted,
        "duplicates": progress.tally.duplicates,
        "rejected": progress.tally.rejected,
        "rows_per_s": round(progress.rows_per_s, 1),
        "go_on": hint(progress.go_on),
    }


@contextmanager
def _bar(last: str) -> Iterator[tuple[Bar, TaskID]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _speed_column(),
        TimeRemainingColumn(),
        TextColumn(last),
    )
    with Progress(*columns, console=console(is_error=True), transient=True) as bar:
        yield bar, bar.add_task("", total=None, bad=0)


def _speed_column() -> ProgressColumn:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            """Return rows a second, lately."""
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.0f}/s" if speed else "")

    return Speed()


class _Lines:
    """A line now and then, where it says something new; none where all is over before the first is due."""

    def __init__(self) -> None:
        self._told_s = time.monotonic()
        self._wait_s = _FIRST_LINE_S
        self._last: tuple[str, dict[str, object]] | None = None

    def tell(self, text: str, document: dict[str, object], *, first: str = "") -> None:
        """Print *text*, or *document* with `--json`, unless it was done a moment ago; *first* goes once with it."""
        is_json, now_s = flags().is_json, time.monotonic()
        if now_s - self._told_s < self._wait_s or (text, document) == self._last:
            return
        self._last = text, document
        if first and not is_json and self._wait_s == _FIRST_LINE_S:
            text = f"{text}. Should it be cut off, {hint(first)}"
        self._told_s, self._wait_s = now_s, _JSON_LINE_EVERY_S if is_json else _LINE_EVERY_S
        sys.stderr.write((json.dumps(document, ensure_ascii=False) if is_json else text) + "\n")
        sys.stderr.flush()
