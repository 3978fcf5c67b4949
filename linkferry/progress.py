"""Progress of a backfill: a bar on a terminal, a JSON line a second where there is none. On standard error either way."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from linkferry.output import console

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import ProgressColumn, TaskID

    from producers.backfill.results import Progress

_LINE_EVERY_S = 1.0
_OVER = ("linked", "onboarded", "revoked", "failed", "dead", "cancelled")


@contextmanager
def writing_progress(*, is_quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """Yield what shows how a run's rows are recorded."""
    if is_quiet:
        yield None
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
        yield lambda progress: lines.tell(
            {
                "run": progress.run,
                "rows": progress.tally.rows,
                "total": progress.total,
                "accepted": progress.tally.accepted,
                "duplicates": progress.tally.duplicates,
                "rejected": progress.tally.rejected,
                "rows_per_s": round(progress.rows_per_s, 1),
            }
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
        yield lambda counts: lines.tell({"jobs": counts})


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
    """One JSON line a second at most."""

    def __init__(self) -> None:
        self._told_s = float("-inf")

    def tell(self, document: dict[str, object]) -> None:
        """Print *document*, unless a line was printed less than a second ago."""
        now_s = time.monotonic()
        if now_s - self._told_s >= _LINE_EVERY_S:
            self._told_s = now_s
            sys.stderr.write(json.dumps(document, ensure_ascii=False) + "\n")
            sys.stderr.flush()
