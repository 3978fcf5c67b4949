"""What a backfill says on standard error while it runs, and when it breaks off."""

from __future__ import annotations

import asyncio
import json

import pytest

from linkferry import progress as shown
from linkferry.frame import Flags, _flags
from linkferry.hints import as_typed
from producers.backfill.results import Progress, Tally

GO_ON = "to go on: linkferry backfill in.csv --resume 20261122-abcdef"
TYPED = as_typed(GO_ON, is_sandbox=False)


def at(rows: int) -> Progress:
    return Progress(run="20261122-abcdef", total=10, tally=Tally(rows=rows), elapsed_s=1.0, go_on=GO_ON)


@pytest.mark.parametrize("is_quiet", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError, ZeroDivisionError])
def test_however_a_run_breaks_off_the_way_to_go_on_is_said(capsys, is_quiet, error) -> None:
    """A second Ctrl-C, or a fault of our own: the run and its command are the last thing to lose."""
    with pytest.raises(error), shown.writing_progress(is_quiet=is_quiet) as tell:  # noqa: PT012 - the way it is used
        tell(at(1))
        tell(at(2))
        raise error

    assert capsys.readouterr().err == f"Run 20261122-abcdef was broken off; {TYPED}\n"


def test_what_stops_before_the_first_row_says_nothing_of_a_run(capsys) -> None:
    """There is none."""
    with pytest.raises(ZeroDivisionError), shown.writing_progress(is_quiet=False):
        raise ZeroDivisionError

    assert capsys.readouterr().err == ""


def test_a_line_is_said_again_only_where_it_has_changed(capsys, monkeypatch) -> None:
    """An act that waits does not fill a log with what was said before."""
    now = [100.0]
    monkeypatch.setattr(shown.time, "monotonic", lambda: now[0])
    document = {"act_id": "a1", "total": 9, "done": 2, "waiting": 7, "in_flight": 2, "linked": 0, "sent": 0}
    token = _flags.set(Flags())
    try:
        with shown.acting_progress() as show:
            for minute, linked in enumerate((0, 0, 0, 1, 1)):
                now[0] = 100.0 + 60 * (minute + 1)
                show(document | {"failed_again": 0, "linked": linked})
    finally:
        _flags.reset(token)

    assert [line.split(", ")[2] for line in capsys.readouterr().err.splitlines()] == ["0 linked", "1 linked"]


@pytest.mark.parametrize("is_json", [True, False])
def test_the_first_line_after_a_second_names_the_run_and_how_to_go_on(capsys, monkeypatch, is_json) -> None:
    """A kill leaves no chance to say it later; what is over sooner says nothing at all."""
    now = [100.0]
    monkeypatch.setattr(shown.time, "monotonic", lambda: now[0])
    token = _flags.set(Flags(is_json=is_json))
    try:
        with shown.writing_progress(is_quiet=False) as tell:
            for seconds in (0.0, 0.5, 1.1, 1.2, 6.5):
                now[0] = 100.0 + seconds
                tell(at(int(seconds * 10)))
    finally:
        _flags.reset(token)
    lines = capsys.readouterr().err.splitlines()

    if is_json:
        assert [json.loads(line)["go_on"] for line in lines] == [TYPED, TYPED]
    else:
        assert lines[0].endswith(f"11 rows/s. Should it be cut off, {TYPED}")
        assert "resume" not in lines[1]
    assert len(lines) == 2
