"""When messages may go out: hours, days, holidays, Shabbat. Pure; `send_window_syntax` reads how one is written.

A window is a set of wall-clock hours in a time zone, less the days and nights that are kept. A message is never let
out at a wall-clock time outside the hours: an hour that the clock shows twice opens at its second and closes at its
first showing, and one that it skips does not exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Self
from zoneinfo import ZoneInfo

from worker.domain.send_window_days import (
    JERUSALEM,
    Place,
    is_kept,
    kept_span,
    public_holidays,
    remembrance_days,
    sunset,
)

_DAY = timedelta(days=1)
_MINUTES_OF_DAY = 1440
#: A window that has not opened for so long is taken as one that never does.
_MOST_CLOSED = timedelta(days=400)
#: Spans are told to the ledger from a day ago to two days ahead: its clock may differ from ours, and asks hourly.
_KNOWN_BEFORE, _KNOWN_AFTER = _DAY, 2 * _DAY

Span = tuple[datetime, datetime]
SpanMs = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of a day by the wall clock: minutes after midnight, the end not included (1440: the day's end)."""

    from_minute: int
    until_minute: int


@dataclass(frozen=True, slots=True)
class DaysOff:
    """Dates on which nothing goes out, both included."""

    first: date
    last: date


@dataclass(frozen=True, slots=True, kw_only=True)
class SendWindow:
    """When messages may go out."""

    text: str  #: as it was written
    zone: str  #: IANA name
    weekly: tuple[tuple[Hours, ...], ...]  #: of seven days, Monday first
    #: of the day before a holiday, within the day's own; None: like any day
    eve: tuple[Hours, ...] | None = None
    holidays: tuple[str, ...] = ()  #: countries (`IL`, `US-NY`) whose public holidays are closed
    has_remembrance: bool = False  #: Israel's days of remembrance are closed, from the evening before
    shabbat: Place | None = None  #: where Shabbat and Yom Tov are kept by the sun
    off: tuple[DaysOff, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the window that *text* means: `il`, or hours and days of one's own (docs/send-window.md).

        Raises:
            ValueError: it means none; names the part and the remedy.
        """
        from worker.domain.send_window_syntax import parts_of

        return cls(text=text.strip(), **parts_of(text))

    def is_open(self, at: datetime) -> bool:
        """Tell whether a message may go out at an instant (aware)."""
        day = at.astimezone(ZoneInfo(self.zone)).date()
        return any(begin <= at < end for begin, end in self._open_between(day - _DAY, day + _DAY))

    def opens_at(self, at: datetime) -> datetime | None:
        """Return the first instant from *at* on at which a message may go out; None where none comes in 400 days."""
        day = at.astimezone(ZoneInfo(self.zone)).date() - _DAY
        for begin, end in self._open_between(day, day + _MOST_CLOSED):
            if end > at:
                return max(begin, at)
        return None

    def closed_spans(self, around: datetime, *, days: float) -> tuple[SpanMs, ...]:
        """Return the closed times from a day before *around* to *days* after it, in ms since 1970, the end not included.

        The first is cut off where the time asked for begins; the last is whole, or ends after 400 days.
        """
        begin, end = around - _KNOWN_BEFORE, around + timedelta(days=days)
        local = ZoneInfo(self.zone)
        spans: list[Span] = []
        closed_from = begin
        first, last = begin.astimezone(local).date() - _DAY, end.astimezone(local).date() + _DAY
        for opens, closes in self._open_between(first, last):
            if opens > closed_from and closed_from < end:
                spans.append((closed_from, opens))
            closed_from = max(closed_from, closes)
        if closed_from < end:
            spans.append((closed_from, self.opens_at(closed_from) or around + _MOST_CLOSED))
        return tuple((_ms(opens), _ms(closes)) for opens, closes in spans)

    def _open_between(self, first: date, last: date) -> Iterator[Span]:
        """Yield the open times of local days, in order; those that touch are one."""
        held: Span | None = None
        for number in range((last - first).days + 1):
            for span in self._open_on(first + number * _DAY):
                if held is not None and span[0] <= held[1]:
                    held = held[0], max(held[1], span[1])
                    continue
                if held is not None:
                    yield held
                held = span
        if held is not None:
            yield held

    def _open_on(self, day: date) -> list[Span]:
        hours = self.weekly[day.weekday()]
        if not hours or self._is_closed(day):
            return []
        if self.eve is not None and self._is_eve(day):
            hours = _common(hours, self.eve)
        spans = [(_opening(self.zone, day, each), _closing(self.zone, day, each)) for each in hours]
        spans = [span for span in spans if span[0] < span[1]]
        return _without(spans, self._kept_near(day)) if spans else []

    def _is_closed(self, day: date) -> bool:
        is_off = any(each.first <= day <= each.last for each in self.off)
        is_holiday = any(day in public_holidays(country, day.year) for country in self.holidays)
        return is_off or is_holiday or (self.has_remembrance and day in remembrance_days(day.year))

    def _is_eve(self, day: date) -> bool:
        morrow = day + _DAY
        is_holiday = any(morrow in public_holidays(country, morrow.year) for country in self.holidays)
        return is_holiday or (self.shabbat is not None and is_kept(morrow, self.zone))

    def _kept_near(self, day: date) -> Iterator[Span]:
        for number in (-1, 0, 1, 2):  # the place may lie in another zone than the window
            each = day + number * _DAY
            if self.shabbat is not None and is_kept(each, self.zone):
                yield kept_span(self.shabbat, each)
        if self.has_remembrance and day + _DAY in remembrance_days((day + _DAY).year):
            # It begins with the evening; the day itself is closed as a whole.
            evening = sunset(self.shabbat or JERUSALEM, day)
            if evening is not None:
                yield evening, evening + _DAY


def closed_until(text: str, at: datetime) -> datetime | None:
    """Return when a window, written as the setting is, opens again; None while it is open, off, or never opens.

    Raises ValueError.
    """
    from worker.domain.send_window_syntax import is_off

    window = None if is_off(text) else SendWindow.parse(text)
    opens = window.opens_at(at) if window is not None else None
    return None if opens == at else opens


# --- what the ledger is told --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedTimes:
    """When nothing may go out, for a script that goes by the ledger's own clock."""

    spans: tuple[SpanMs, ...] = ()
    known_from_ms: int = 0  #: beyond what is known nothing goes out
    known_until_ms: int = 0
    is_live_exempt: bool = False  #: invitations of the lane `live` do not wait

    def encode(self) -> str:
        """Return them as the scripts take them (`window.lua`); nothing: always open."""
        if not self.known_until_ms:
            return ""
        spans = ",".join(f"{begin}-{end}" for begin, end in self.spans)
        return f"{int(self.is_live_exempt)};{self.known_from_ms};{self.known_until_ms};{spans}"


ALWAYS_OPEN = ClosedTimes()


@lru_cache(maxsize=8)
def closed_times(window: SendWindow, hour: datetime, *, early_s: float, is_live_exempt: bool) -> ClosedTimes:
    """Return what the ledger is to be told in this *hour*.

    The window closes *early_s* seconds early: what begins to go out before that has gone out when it closes.
    """
    early_ms = round(early_s * 1000)
    spans = window.closed_spans(hour, days=_KNOWN_AFTER / _DAY)
    return ClosedTimes(
        spans=tuple(_joined((begin - early_ms, end) for begin, end in spans)),
        known_from_ms=_ms(hour - _KNOWN_BEFORE),
        known_until_ms=_ms(hour + _KNOWN_AFTER),
        is_live_exempt=is_live_exempt,
    )


def _joined(spans: Iterable[SpanMs]) -> list[SpanMs]:
    joined: list[SpanMs] = []
    for begin, end in spans:
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((begin, end))
    return joined


# --- spans and wall clocks ----------------------------------------------------------------------------------


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _common(hours: Iterable[Hours], others: Iterable[Hours]) -> tuple[Hours, ...]:
    both = (
        Hours(max(one.from_minute, other.from_minute), min(one.until_minute, other.until_minute))
        for one in hours
        for other in others
    )
    return tuple(each for each in both if each.from_minute < each.until_minute)


def _without(spans: list[Span], kept: Iterable[Span]) -> list[Span]:
    for begin, end in kept:
        cut = [
            piece
            for span in spans
            for piece in ((span[0], min(span[1], begin)), (max(span[0], end), span[1]))
        ]
        spans = [piece for piece in cut if piece[0] < piece[1]]
    return spans


def _opening(zone: str, day: date, hours: Hours) -> datetime:
    return max(_showings(zone, day, hours.from_minute))


def _closing(zone: str, day: date, hours: Hours) -> datetime:
    return min(_showings(zone, day, hours.until_minute))


@lru_cache(maxsize=4096)
def _showings(zone: str, day: date, minute: int) -> tuple[datetime, datetime]:
    """Return when the clock shows a time for the first and for the last time; one that it skips, when it skips it."""
    day, minute = (day + _DAY, 0) if minute == _MINUTES_OF_DAY else (day, minute)
    local = ZoneInfo(zone)
    wall = datetime.combine(day, time(minute // 60, minute % 60))
    first = wall.replace(tzinfo=local, fold=0).astimezone(UTC)
    last = wall.replace(tzinfo=local, fold=1).astimezone(UTC)
    if first <= last:
        return first, last
    skipped_at = _change_between(local, last, first)
    return skipped_at, skipped_at


def _change_between(local: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Return the second at which the clock is moved, between two instants on its either side."""
    offset = before.astimezone(local).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle.astimezone(local).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after
