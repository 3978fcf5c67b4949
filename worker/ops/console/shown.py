"""How times, spans and counts are written for people: Jinja filters in one language."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from worker.domain.ids import is_job_id


class Texts(Protocol):
    """What this module asks of a language."""

    def gettext(self, text: str) -> str:
        """Return *text* in the language."""
        ...

    def ngettext(self, one: str, many: str, number: int) -> str:
        """Return the form that goes with *number*."""
        ...


_WORD = re.compile(r"\w+")
#: How `absolute` writes an instant, and the command line's sentences.
_INSTANT = re.compile(r"\b(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC\b")
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


class Shown:
    """Times and spans in words."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    def duration(self, seconds: float | None) -> str:
        """Return a span of *seconds* in the unit that says it best, rounded down: `40 ms`, `1.5 s`, `12 min`, `3 h`."""
        if seconds is None:
            return "–"
        _ = self._texts.gettext
        whole = int(seconds)
        if seconds < 2 * _MINUTE_S:
            return self._short(seconds)
        if whole < 2 * _HOUR_S:
            return _("%(n)s min") % {"n": whole // _MINUTE_S}
        if whole < 2 * _DAY_S:
            return _("%(n)s h") % {"n": whole // _HOUR_S}
        return self._texts.ngettext("%(num)s day", "%(num)s days", whole // _DAY_S) % {"num": whole // _DAY_S}

    def _short(self, seconds: float) -> str:
        _ = self._texts.gettext
        if 0 < seconds < 1:
            return _("%(n)s ms") % {"n": max(1, round(seconds * 1000))}
        is_told_finely = seconds < 10 and seconds != int(seconds)
        return _("%(n)s s") % {"n": f"{seconds:.1f}" if is_told_finely else int(seconds)}

    def ago(self, iso: str | None, now_ms: int) -> str:
        """Return how long before or after *now_ms* (milliseconds since 1970) an instant lies, in words."""
        _ = self._texts.gettext
        at = parsed(iso)
        if at is None:
            return "–"
        past_s = now_ms / 1000 - at.timestamp()
        if abs(past_s) < 2:
            return _("now")
        if past_s > 0:
            return _("%(span)s ago") % {"span": self.duration(float(int(past_s)))}
        return _("in %(span)s") % {"span": self.duration(_to_come(-past_s))}


def _to_come(seconds: float) -> float:
    """Return a span that `duration` rounds to the nearest: what is kept for 90 days ends in 90 days, and not in 89."""
    unit_s = next((each for each in (_DAY_S, _HOUR_S, _MINUTE_S) if seconds >= 2 * each), 0)
    return float(int(seconds + unit_s / 2))


def parsed(iso: str | None) -> datetime | None:
    """Return the instant that ISO 8601 text names; None for none."""
    if not iso:
        return None
    try:
        at = datetime.fromisoformat(iso)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def absolute(iso: str | None) -> str:
    """Return an instant to the second, in UTC: `2026-03-01 14:05:09 UTC`."""
    at = parsed(iso)
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else "–"


def with_times(text: str) -> Markup:
    """Return a sentence, escaped, whose instants the script writes anew by the reader's clock, as it does all others."""
    marked = r'<time datetime="\1T\2Z"><bdi dir="ltr" data-local>\g<0></bdi></time>'
    return Markup(_INSTANT.sub(marked, str(escape(text))))  # noqa: S704 - escaped but for what is put in here


def clock_time(iso: str | None) -> str:
    """Return an instant's time of day in UTC, `14:05`."""
    at = parsed(iso)
    return f"{at.astimezone(UTC):%H:%M}" if at else "–"


def count(number: float | None) -> str:
    """Return a whole number with its thousands set apart."""
    return "–" if number is None else f"{int(number):,}"


def web_link(text: str | None) -> str | None:
    """Return *text* where it is an http(s) address that may be made a link, else None."""
    if not text or any(sign.isspace() or not sign.isprintable() for sign in text):
        return None
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    return text if parts.scheme in {"http", "https"} and parts.hostname else None


def job_ids(text: str) -> list[str]:
    """Return the jobs that *text* names."""
    return [word for word in _WORD.findall(text) if is_job_id(word)]


def decimal(number: float | None) -> str:
    """Return a number with one place after the point where it needs one."""
    return "–" if number is None else f"{number:,.1f}".removesuffix(".0")
