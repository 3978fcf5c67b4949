"""How fast a batch goes, as somebody sees who watches it, and what he is told."""

from __future__ import annotations

from typing import Any

import pytest

from linkferry.commands import batch_view
from linkferry.commands.batch_watch import PaceMeter, view_lines
from worker.ops.eta import Pace


def a_look(ended: int = 0, *, live: int = 0, stops: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    progress = {
        "jobs": 1_000,
        "ended": ended,
        "is_over": False,
        "import": "done",
        "read": 1_000,
        "failures": [],
        "spared": None,
        "stops": [{"why": why, "text": why, "remedy": f"lift {why}", "until": None} for why in stops],
        "rate": 5.0,
        "slots_taken": {"live": live, "bulk": ended},
        "ahead": {"live": 0, "bulk": 0, "batches": 0},
        "eta_s": 200.0,
        "is_stuck": False,
    }
    jobs = {"available": 1_000 - ended, "scheduled": 0, "in_doubt": 0, "linked": ended}
    return {"batch": "b", "name": "a.csv", "total": 1_000, "jobs": jobs, "progress": progress | changes}


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_the_pace_is_that_of_the_last_minute() -> None:
    """Jobs of the batch that ended, and calls made for the live lane."""
    clock = Clock()
    meter = PaceMeter(clock)
    assert meter.pace == Pace()
    for second in range(200):
        clock.now_s = float(second)
        meter.note(a_look(second * (1 if second < 100 else 2), live=second * 3))

    assert meter.pace.over_s == 60
    assert meter.pace.ended_per_s == pytest.approx(2)
    assert meter.pace.live_per_s == pytest.approx(3)


def test_what_was_seen_while_it_was_stopped_says_nothing() -> None:
    """A batch that was paused for a minute is not a slow one."""
    clock = Clock()
    meter = PaceMeter(clock)
    for second in range(60):
        clock.now_s = float(second)
        meter.note(a_look(0, stops=("paused",)))
    for second in range(60, 64):
        clock.now_s = float(second)
        meter.note(a_look((second - 60) * 5))

    assert meter.pace == Pace(over_s=3, ended_per_s=5, live_per_s=0)


def test_the_view_says_what_there_is_to_say_and_no_more() -> None:
    """Where it stands, how fast, how long; what stops it and what lifts that."""
    assert view_lines(a_look(250), Pace(over_s=10, ended_per_s=4.0)) == [
        "250 of 1,000 jobs ended (25 %)",
        "750 available, 250 linked",
        "4.0/s, 5 calls/s allowed now",
        "done in about 3 min",
        "import done",
    ]
    stopped = view_lines(a_look(stops=("held", "paused")), Pace())
    assert "stopped: held; paused" in stopped
    assert stopped[-2:] == ["lift held", "lift paused"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"eta_s": None, "is_stuck": True}, "nothing moves, and nothing is known to stop it"),
        ({"eta_s": None}, "no time is known"),
        ({"eta_s": 30.0}, "done in about 30 s"),
        ({"is_over": True}, ""),
    ],
)
def test_no_time_is_told_that_nobody_can_know(changes: dict[str, Any], says: str) -> None:
    """And none after the end."""
    assert batch_view.expectation(a_look(**changes)).startswith(says)


def test_an_import_that_was_cut_off_is_not_called_an_end() -> None:
    """The rest of the file is still to come."""
    look = a_look(1_000, **{"import": "cut_off", "is_over": True, "read": 1_000})

    assert "its import was cut off at 1,000 of about 1,000 rows" in batch_view.closing(look)
    assert batch_view.closing(a_look(1_000, is_over=True)) == "Batch b has ended: 1,000 linked."
