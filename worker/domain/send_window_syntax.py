"""How a send window is written: `Sun-Thu 09:00-20:00; Fri 09:00-12:00; tz=Asia/Jerusalem; holidays=IL`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from datetime import date
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from worker.domain.send_window import DaysOff, Hours
from worker.domain.send_window_days import PLACES, Place, is_country, place_named

OFF = "off"
#: What a business in Israel takes for good manners; docs/send-window.md says why each part is as it is.
IL = (
    "Sun-Thu 09:00-20:00; Fri,eve 09:00-12:00; tz=Asia/Jerusalem; "
    "holidays=IL; remembrance=IL; shabbat=Jerusalem"
)
PROFILES = {"il": IL}

_EVE = "eve"
_WHOLES = "write off, il, or days with hours, such as Sun-Thu 09:00-20:00"
_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAYS = {name[:3]: number for number, name in enumerate(_NAMES)} | {
    name: number for number, name in enumerate(_NAMES)
}
_DIGIT = re.compile(r"\d")
_HOURS = re.compile(r"(\d{1,2}):(\d\d)-(\d{1,2}):(\d\d)")
_COUNTRY = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,5})?")
_DATES = re.compile(r"(\d{4}-\d\d-\d\d)(?:\.\.(\d{4}-\d\d-\d\d))?")
_MINUTES_OF_DAY = 1440
_POLE, _DATE_LINE = 90.0, 180.0


def is_off(text: str) -> bool:
    """Tell whether the setting says that messages may always go out."""
    return text.strip().lower() in {"", OFF}


def parts_of(text: str) -> dict[str, Any]:
    """Return the fields of the window that *text* means, less the text.

    Raises:
        ValueError: names the part that means nothing, and what it may be.
    """
    reader = _Reader()
    written = PROFILES.get(text.strip().lower(), text)
    for part in filter(None, (piece.strip() for piece in written.split(";"))):
        reader.read(part)
    return reader.parts()


class _Reader:
    """Takes up a window part by part."""

    def __init__(self) -> None:
        self._weekly: list[tuple[Hours, ...]] = [()] * len(_NAMES)
        self._eve: tuple[Hours, ...] | None = None
        self._fields: dict[str, Any] = {}

    def read(self, part: str) -> None:
        name, is_key, value = part.partition("=")
        if not is_key:
            self._read_hours(part)
            return
        key = name.strip().lower()
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            meant = (
                f"did you mean {near[0]}=?" if near else f"may be {', '.join(f'{each}=' for each in _KEYS)}"
            )
            raise ValueError(f"has {part!r}, of which {key}= is unknown: {meant}")
        field, convert = _KEYS[key]
        if field in self._fields:
            raise ValueError(f"says {key}= twice: write one, with commas where it takes several")
        self._fields[field] = convert(value.strip())

    def _read_hours(self, part: str) -> None:
        written = "".join(part.split())
        digit = _DIGIT.search(written)
        days, hours = (written, "") if digit is None else (written[: digit.start()], written[digit.start() :])
        if _is_a_word_for_all(part, written):
            near = difflib.get_close_matches(part.lower(), [*PROFILES, OFF], n=1, cutoff=0.5)
            meant = f"did you mean {near[0]}?" if near else _WHOLES
            raise ValueError(f"has {part!r}, which means nothing here: {meant}")
        if not days:
            raise ValueError(f"has {part!r}, which names no day: write daily {hours}")
        if not hours:
            if days.lower() in {*PROFILES, OFF}:
                raise ValueError(
                    f"has {days!r} beside other parts: it stands alone, or write hours of your own"
                )
            raise ValueError(f"has {part!r}, which lacks hours: write {days} 09:00-18:00")
        spans = _hours(hours)
        for number in _days(days):
            if number is None:
                self._eve = _once(spans, self._eve, _EVE)
            else:
                self._weekly[number] = _once(spans, self._weekly[number], _NAMES[number].capitalize())

    def parts(self) -> dict[str, Any]:
        if not any(self._weekly):
            raise ValueError("names no hours: write days and hours, such as Sun-Thu 09:00-20:00")
        if "zone" not in self._fields:
            raise ValueError("has no time zone: add tz=Asia/Jerusalem, or your own")
        has_eves = self._fields.get("holidays") or self._fields.get("shabbat")
        if self._eve is not None and not has_eves:
            raise ValueError(
                "has hours for eve, but no holidays whose eve it could be: add holidays=IL or shabbat=Jerusalem"
            )
        return {"weekly": tuple(self._weekly), "eve": self._eve, **self._fields}


def _is_a_word_for_all(part: str, written: str) -> bool:
    """Tell whether a part is no try at days and hours: it names no day, and has no time of day."""
    first = re.split(r"[-,]", written.lower())[0]
    is_known = any(first.startswith(day) for day in (*_DAYS, "daily", _EVE, *PROFILES, OFF) if first)
    is_misspelt_profile = first not in {*PROFILES, OFF} and first[:-1] in {*PROFILES, OFF}
    return ":" not in part and (is_misspelt_profile or not is_known)


def _once(spans: tuple[Hours, ...], before: tuple[Hours, ...] | None, day: str) -> tuple[Hours, ...]:
    if before:
        raise ValueError(
            f"has hours for {day} twice: write them once, such as {day[:3]} 09:00-13:00,15:00-19:00"
        )
    return spans


def _days(text: str) -> list[int | None]:
    """Return the numbers of days, Monday 0; None stands for the eve of a holiday."""
    found: list[int | None] = []
    for word in text.lower().split(","):
        if word == "daily":
            found += range(len(_NAMES))
        elif word == _EVE:
            found.append(None)
        else:
            first, _, last = word.partition("-")
            begin, end = _day(first, text), _day(last or first, text)
            found += [(begin + number) % len(_NAMES) for number in range((end - begin) % len(_NAMES) + 1)]
    return found


def _day(word: str, text: str) -> int:
    if word not in _DAYS:
        raise ValueError(
            f"has {text!r}, of which {word!r} is no day: write Sun, Mon … Sat, Sun-Thu, Mon,Wed, daily or eve"
        )
    return _DAYS[word]


def _hours(text: str) -> tuple[Hours, ...]:
    spans = sorted((_span(word.strip()) for word in text.split(",")), key=lambda each: each.from_minute)
    for one, other in pairwise(spans):
        if other.from_minute < one.until_minute:
            raise ValueError(f"has {text.strip()!r}, whose hours overlap: write them apart")
    return tuple(spans)


def _span(word: str) -> Hours:
    match = _HOURS.fullmatch(word)
    if match is None:
        raise ValueError(
            f"has {word!r}, which is no time of day: write 09:00-18:00, or 09:00-13:00,15:00-19:00"
        )
    hours = Hours(_minutes(match[1], match[2], word), _minutes(match[3], match[4], word))
    if hours.from_minute > hours.until_minute:
        raise ValueError(
            f"has {word!r}, which passes midnight: write it in two, until 24:00 and, for the next day, from 00:00"
        )
    if hours.from_minute == hours.until_minute:
        raise ValueError(f"has {word!r}, which is no time at all: end later than you begin")
    return hours


def _minutes(hour: str, minute: str, word: str) -> int:
    total = int(hour) * 60 + int(minute)
    if int(minute) >= 60 or total > _MINUTES_OF_DAY:
        raise ValueError(f"has {word!r}: hours are 00:00 to 24:00")
    return total


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (OSError, ValueError, KeyError):
        near = difflib.get_close_matches(value, available_timezones(), n=1)
        meant = f"did you mean {near[0]}?" if near else "write one such as Asia/Jerusalem or Europe/London"
        raise ValueError(f"has tz={value}, which is no time zone: {meant}") from None
    return value


def _countries(value: str) -> tuple[str, ...]:
    codes = tuple(word.strip().upper() for word in value.split(",") if word.strip())
    wrong = next((code for code in codes if not _COUNTRY.fullmatch(code) or not is_country(code)), None)
    if wrong is not None or not codes:
        raise ValueError(
            f"has holidays={value}: {wrong or 'nothing'} is no country with known holidays; write IL, GB or US-NY"
        )
    return codes


def _remembrance(value: str) -> bool:
    if value.upper() != "IL":
        raise ValueError(
            f"has remembrance={value}: only IL is known (Holocaust Day, Memorial Day, Tisha B'Av)"
        )
    return True


def _place(value: str) -> Place:
    latitude, comma, longitude = value.partition(",")
    if comma:
        try:
            place = Place(value, float(latitude), float(longitude))
        except ValueError:
            place = None
        if place and abs(place.latitude) <= _POLE and abs(place.longitude) <= _DATE_LINE:
            return place
        raise ValueError(
            f"has shabbat={value}, which is no place: write a city, or degrees north,east such as 31.78,35.22"
        )
    found = place_named(value)
    if found is None:
        near = difflib.get_close_matches(value.lower(), PLACES, n=1)
        meant = (
            f"did you mean {PLACES[near[0]].name}?"
            if near
            else "write degrees north,east instead, such as 31.78,35.22"
        )
        raise ValueError(f"has shabbat={value}, a city that is not known: {meant}")
    return found


def _dates(value: str) -> tuple[DaysOff, ...]:
    return tuple(_days_off(word.strip()) for word in value.split(",") if word.strip())


def _days_off(word: str) -> DaysOff:
    match = _DATES.fullmatch(word)
    try:
        if match is not None:
            first = date.fromisoformat(match[1])
            last = date.fromisoformat(match[2]) if match[2] else first
            if first <= last:
                return DaysOff(first, last)
    except ValueError:
        pass
    raise ValueError(f"has off={word}, which is no date: write 2026-12-24, or 2026-12-24..2026-12-26")


_KEYS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "tz": ("zone", _zone),
    "holidays": ("holidays", _countries),
    "remembrance": ("has_remembrance", _remembrance),
    "shabbat": ("shabbat", _place),
    "off": ("off", _dates),
}
