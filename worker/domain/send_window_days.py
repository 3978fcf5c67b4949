"""Which days and hours are kept: public holidays, Shabbat and holidays by the sun, days of remembrance.

`holidays` and `astral` are imported on first use: the settings are read by every command, and few of them ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astral import Observer

#: Candles are lit before sunset: 40 minutes in Jerusalem, 18 to 30 elsewhere. The longest is kept everywhere.
CANDLES_BEFORE_SUNSET = timedelta(minutes=40)
#: Three small stars are seen when the sun stands so far below the horizon, by the custom most keep.
NIGHTFALL_DEGREES = 8.5
_ISRAEL_TIME = frozenset({"Asia/Jerusalem", "Asia/Tel_Aviv", "Israel"})
_NOON = timedelta(hours=12)
_DAY = timedelta(days=1)
#: Public in Israel, and no day on which work is forbidden.
_CIVIL = "Independence Day"
#: Kept for two days outside Israel.
_DOUBLED = ("Pesach", "Seventh day of Pesach", "Shavuot", "Sukkot", "Simchat Torah")
_REMEMBERED = ("Remembrance Day", "Tisha B'Av")
_PASSOVER = "Pesach"
#: From the first day of Passover to the 27th of Nisan.
_TO_HOLOCAUST_DAY = timedelta(days=12)
_FRIDAY, _SATURDAY, _SUNDAY = 4, 5, 6


@dataclass(frozen=True, slots=True)
class Place:
    """Where the sun is looked at."""

    name: str
    latitude: float  #: degrees, north positive
    longitude: float  #: degrees, east positive


#: Cities that `astral` does not list, or that most will ask for.
PLACES = {
    place.name.lower(): place
    for place in (
        Place("Jerusalem", 31.778, 35.235),
        Place("Tel Aviv", 32.08, 34.78),
        Place("Haifa", 32.815, 34.989),
        Place("Beersheba", 31.252, 34.791),
        Place("Bnei Brak", 32.084, 34.834),
        Place("Netanya", 32.321, 34.853),
        Place("Ashdod", 31.804, 34.655),
        Place("Eilat", 29.558, 34.952),
    )
}
JERUSALEM = PLACES["jerusalem"]


def place_named(name: str) -> Place | None:
    """Return the city of that name, ours or `astral`'s, or None."""
    known = PLACES.get(name.lower())
    if known is not None:
        return known
    from astral.geocoder import database, lookup

    try:
        found = lookup(name, database())
    except KeyError:
        return None
    if isinstance(found, dict):  # the name of a region
        return None
    return Place(found.name, found.latitude, found.longitude)


def is_country(code: str) -> bool:
    """Tell whether the public holidays of `IL` or `US-NY` are known."""
    import holidays

    country, _, part = code.partition("-")
    try:
        holidays.country_holidays(country, subdiv=part or None)
    except NotImplementedError:
        return False
    return True


@lru_cache(maxsize=64)
def public_holidays(code: str, year: int) -> frozenset[date]:
    """Return the public holidays of a country (`IL`) or a part of one (`US-NY`) in a year."""
    import holidays

    country, _, part = code.partition("-")
    return frozenset(holidays.country_holidays(country, subdiv=part or None, years=year))


@lru_cache(maxsize=16)
def remembrance_days(year: int) -> frozenset[date]:
    """Return Israel's days of remembrance and mourning: Holocaust Day, Memorial Day, Tisha B'Av."""
    days = {day for day, name in _israel(year, "optional").items() if name.startswith(_REMEMBERED)}
    days |= {_holocaust_day(day) for day, name in _israel(year, "public").items() if name == _PASSOVER}
    return frozenset(days)


def _holocaust_day(passover: date) -> date:
    # The 27th of Nisan, moved away from Shabbat by law.
    day = passover + _TO_HOLOCAUST_DAY
    return day + {_FRIDAY: -_DAY, _SUNDAY: _DAY}.get(day.weekday(), timedelta())


@lru_cache(maxsize=16)
def yom_tov(year: int, *, is_abroad: bool) -> frozenset[date]:
    """Return the days of a year on which work is forbidden besides Shabbat; abroad most are two.

    The days between (Chol HaMoed), Hanukkah and Purim are none.
    """
    named = {day: name for day, name in _israel(year, "public").items() if name != _CIVIL}
    second = {day + _DAY for day, name in named.items() if is_abroad and name.startswith(_DOUBLED)}
    return frozenset({*named, *second})


@lru_cache(maxsize=32)
def _israel(year: int, category: str) -> dict[date, str]:
    import holidays

    return dict(holidays.country_holidays("IL", years=year, language="en_US", categories=(category,)))


def is_abroad(zone: str) -> bool:
    """Tell whether a time zone is not Israel's."""
    return zone not in _ISRAEL_TIME


def is_kept(day: date, zone: str) -> bool:
    """Tell whether a day is a Shabbat or a Yom Tov, from the evening before to its own."""
    return day.weekday() == _SATURDAY or day in yom_tov(day.year, is_abroad=is_abroad(zone))


def kept_span(place: Place, day: date) -> tuple[datetime, datetime]:
    """Return from when to when a kept day is one: from candle lighting on its eve to its nightfall, in UTC."""
    return _candles(place, day - _DAY), _nightfall(place, day)


@lru_cache(maxsize=256)
def _candles(place: Place, eve: date) -> datetime:
    at = sunset(place, eve)
    return at - CANDLES_BEFORE_SUNSET if at else _solar(place, eve) + _NOON


@lru_cache(maxsize=256)
def sunset(place: Place, day: date) -> datetime | None:
    """Return when the sun sets, to the minute before, in UTC; None where it does not on that day."""
    from astral.sun import sunset as at

    try:
        found = at(_observer(place), date=day, tzinfo=_solar_zone(place))
    except ValueError:
        return None
    return found.astimezone(UTC).replace(second=0, microsecond=0)


@lru_cache(maxsize=256)
def _nightfall(place: Place, day: date) -> datetime:
    from astral.sun import dusk

    midnight = _solar(place, day) + _DAY
    try:
        found = dusk(_observer(place), date=day, depression=NIGHTFALL_DEGREES, tzinfo=_solar_zone(place))
    except ValueError:
        return midnight  # a white night, or a polar one
    return found.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)


def _observer(place: Place) -> Observer:
    from astral import Observer

    return Observer(place.latitude, place.longitude)


def _solar_zone(place: Place) -> timezone:
    # The place's own days, whatever the window's zone is: the sunset of a date is the one on that date there.
    return timezone(timedelta(minutes=round(place.longitude * 4)))


def _solar(place: Place, day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=_solar_zone(place)).astimezone(UTC)
