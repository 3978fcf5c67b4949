"""What `linkferry doctor` says of the send window."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from linkferry.doctor import Level
from linkferry.doctor_window import look_at_reminders, look_at_window
from worker.settings import load_settings

FRIDAY_NIGHT = datetime(2026, 11, 27, 20, tzinfo=UTC)


def said(window: str, at: datetime = FRIDAY_NIGHT, **changes: Any) -> list[tuple[Level, str]]:
    """Return what is found."""
    settings = load_settings(environ={}, env_file=None, send_window=window, **changes)
    return [(each.level, each.text) for each in look_at_window(settings, at)]


def test_without_a_window_nothing_is_said() -> None:
    """Off by default."""
    assert said("off") == []


def test_a_closed_window_says_when_it_opens() -> None:
    """On Friday night: Sunday at nine in Israel."""
    assert said("il") == [(Level.OK, "Closed until 2026-11-29T07:00Z (il): messages wait.")]


def test_an_open_window_says_so_and_who_is_exempt() -> None:
    """At noon on a Sunday, with SEND_WINDOW_LIVE."""
    [(level, text)] = said("il", datetime(2026, 11, 22, 10, tzinfo=UTC), send_window_live=True)

    assert level is Level.OK
    assert text == "Open now (il). Single customers do not wait."


@pytest.mark.parametrize("window", ["Sat 12:00-13:00; tz=Asia/Jerusalem; shabbat=Jerusalem"])
def test_a_window_that_never_opens_is_bad(window: str) -> None:
    """Hours on the one day that is always kept: every message would wait for ever."""
    assert [level for level, _ in said(window)] == [Level.BAD]


def test_reminders_are_said_to_be_on_or_off() -> None:
    """And when they go out."""
    off, on = (load_settings(environ={}, env_file=None, reminders=each) for each in ("off", "2d,5d"))
    assert [each.text.partition(":")[0] for each in look_at_reminders(off)] == ["Off"]
    [finding] = look_at_reminders(on)
    assert finding.text.startswith("On: 2 d and 5 d after the first message")
