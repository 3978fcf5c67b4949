"""What `linkferry doctor` says of the send window."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from linkferry.doctor import Finding, bad, ok
from linkferry.output import span
from worker.domain.send_window import SendWindow
from worker.domain.send_window_syntax import is_off
from worker.settings import Settings


def look_at_reminders(settings: Settings) -> Iterator[Finding]:
    """Yield whether customers who have not finished are reminded, and when."""
    if not settings.reminders:
        yield ok("reminders", "Off: nobody is reminded (LINKFERRY_REMINDERS).")
        return
    times = " and ".join(span(each) for each in settings.reminders)
    yield ok("reminders", f"On: {times} after the first message, who has not finished is reminded.")


def look_at_window(settings: Settings, now: datetime | None = None) -> Iterator[Finding]:
    """Yield whether messages may go out *now*, and when next; nothing where they always may."""
    if is_off(settings.send_window):
        return
    now = now or datetime.now(UTC)
    window = SendWindow.parse(settings.send_window)
    opens = window.opens_at(now)
    live = " Single customers do not wait." if settings.send_window_live else ""
    if opens is None:
        yield bad(
            "send window",
            f"SEND_WINDOW ({window.text}) never opens: no message goes out.",
            "Give it hours that no holiday takes away: docs/send-window.md",
        )
    elif opens == now:
        yield ok("send window", f"Open now ({window.text}).{live}")
    else:
        until = f"{opens.astimezone(UTC):%Y-%m-%dT%H:%MZ}"
        yield ok("send window", f"Closed until {until} ({window.text}): messages wait.{live}")
