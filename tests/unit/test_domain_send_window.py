"""The send window: when messages may go out, by wall clock, holidays and the sun."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain.send_window import ALWAYS_OPEN, SendWindow, closed_times
from worker.domain.send_window_syntax import IL

JERUSALEM = "Asia/Jerusalem"
#: All offsets from -11 to +14, half hours and quarters, clock changes north and south of the equator, and none.
ZONES = (
    "Pacific/Pago_Pago", "Pacific/Honolulu", "America/Anchorage", "America/Los_Angeles", "America/Denver",
    "America/Mexico_City", "America/New_York", "America/Caracas", "America/St_Johns", "America/Sao_Paulo",
    "Atlantic/Azores", "Europe/London", "Africa/Casablanca", "Europe/Berlin", "Africa/Cairo", "Asia/Jerusalem",
    "Europe/Moscow", "Asia/Tehran", "Asia/Dubai", "Asia/Kabul", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Shanghai",
    "Asia/Tokyo", "Australia/Adelaide", "Australia/Lord_Howe", "Pacific/Chatham", "Pacific/Kiritimati",
)  # fmt: skip


def local(zone: str, text: str, *, fold: int = 0) -> datetime:
    """Return a wall-clock time in a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold)


def told(window: SendWindow, around: datetime, days: float) -> list[tuple[datetime, datetime]]:
    """Return the closed times as instants."""
    spans = window.closed_spans(around, days=days)
    return [tuple(datetime.fromtimestamp(ms / 1000, UTC) for ms in span) for span in spans]  # type: ignore[misc]


# --- Israel -------------------------------------------------------------------------------------------------

CASES = (
    ("2026-11-22 09:00", True, "a Sunday, as it opens"),
    ("2026-11-22 08:59", False, "a Sunday, a minute before"),
    ("2026-11-22 19:59", True, "a Sunday's last minute"),
    ("2026-11-22 20:00", False, "a Sunday, as it closes"),
    ("2026-11-27 09:00", True, "a Friday morning"),
    ("2026-11-27 11:59", True, "a Friday's last minute"),
    ("2026-11-27 12:00", False, "a Friday at noon"),
    ("2026-11-28 12:00", False, "Shabbat"),
    ("2026-11-28 19:00", False, "the night after Shabbat"),
    ("2026-09-11 13:00", False, "the eve of Rosh Hashanah"),
    ("2026-09-13 10:00", False, "the second day of Rosh Hashanah, a Sunday"),
    ("2026-09-14 10:00", True, "the day after Rosh Hashanah"),
    ("2026-09-20 11:30", True, "the eve of Yom Kippur, a Sunday, before noon"),
    ("2026-09-20 12:30", False, "the eve of Yom Kippur, a Sunday, after noon"),
    ("2026-09-21 10:00", False, "Yom Kippur"),
    ("2026-09-28 10:00", True, "a day between, in Sukkot"),
    ("2026-04-01 12:30", False, "the eve of Passover, a Wednesday"),
    ("2026-04-02 10:00", False, "Passover"),
    ("2026-04-05 10:00", True, "a day between, in Passover"),
    ("2026-04-13 19:45", False, "the evening on which Holocaust Day begins"),
    ("2026-04-14 10:00", False, "Holocaust Day"),
    ("2026-04-21 10:00", False, "Memorial Day"),
    ("2026-04-22 10:00", False, "Independence Day"),
    ("2026-07-23 10:00", False, "Tisha B'Av"),
    ("2026-12-08 10:00", True, "Hanukkah"),
)  # fmt: skip


@pytest.mark.parametrize(("at", "is_open", "what"), CASES, ids=[case[2] for case in CASES])
def test_the_ready_profile_keeps_what_is_kept_in_israel(at: str, is_open: bool, what: str) -> None:
    """Fridays end at noon, eves of holidays too; Shabbat, holidays and days of remembrance are closed."""
    assert SendWindow.parse("il").is_open(local(JERUSALEM, at)) is is_open, what


def test_the_ready_profile_is_written_like_any_other() -> None:
    """What `il` stands for can be copied and changed."""
    assert SendWindow.parse(IL).weekly == SendWindow.parse("IL").weekly
    assert SendWindow.parse(IL).shabbat == SendWindow.parse("il").shabbat


def test_shabbat_begins_with_the_candles_and_ends_at_nightfall() -> None:
    """By the sun, not by the clock: forty minutes before it sets, and when three stars are seen."""
    window = SendWindow.parse("daily 00:00-24:00; tz=Asia/Jerusalem; shabbat=Jerusalem")

    spans = told(window, local(JERUSALEM, "2026-11-27 10:00"), days=2)

    [(begin, end)] = [tuple(at.astimezone(ZoneInfo(JERUSALEM)) for at in span) for span in spans]
    # Sunset in Jerusalem: 16:36 and 16:36; the calendars print 15:56 to 16:00 and 17:14 to 17:16.
    assert local(JERUSALEM, "2026-11-27 15:54") <= begin <= local(JERUSALEM, "2026-11-27 15:58")
    assert local(JERUSALEM, "2026-11-28 17:12") <= end <= local(JERUSALEM, "2026-11-28 17:18")


def test_two_days_of_a_holiday_and_a_shabbat_are_one_closed_time() -> None:
    """Abroad, where a holiday has a second day; in Israel it is over a day earlier."""
    abroad = SendWindow.parse("daily 00:00-24:00; tz=Europe/London; shabbat=London")
    home = SendWindow.parse("daily 00:00-24:00; tz=Asia/Jerusalem; shabbat=Jerusalem")
    at = datetime(2026, 4, 2, 12, tzinfo=UTC)  # the first day of Passover, a Thursday

    closes = [abroad.opens_at(at), home.opens_at(at)]

    assert [each and each.date() for each in closes] == [date(2026, 4, 4), date(2026, 4, 2)]


def test_where_the_sun_does_not_set_the_day_is_kept_by_the_clock() -> None:
    """In a polar summer Shabbat runs from Friday noon to Saturday's midnight, by the sun's own time there."""
    window = SendWindow.parse("daily 00:00-24:00; tz=UTC; shabbat=78.2,15.0")

    [(begin, end)] = told(window, datetime(2026, 6, 19, 6, tzinfo=UTC), days=2)

    assert (begin, end) == (datetime(2026, 6, 19, 11, tzinfo=UTC), datetime(2026, 6, 20, 23, tzinfo=UTC))


# --- hours, days, holidays of one's own --------------------------------------------------------------------


def test_several_hours_a_day_days_off_and_two_countries() -> None:
    """All parts together: a break at noon, an agency's own holiday, public holidays of several countries."""
    window = SendWindow.parse(
        "Mon-Fri 09:00-12:00,13:00-17:00; tz=Europe/London; holidays=GB,US-NY; off=2026-11-23..2026-11-24"
    )
    zone = "Europe/London"

    assert window.is_open(local(zone, "2026-11-25 11:59"))
    assert not window.is_open(local(zone, "2026-11-25 12:30"))
    assert window.is_open(local(zone, "2026-11-25 13:00"))
    assert not window.is_open(local(zone, "2026-11-24 10:00"))
    assert not window.is_open(local(zone, "2026-12-25 10:00"))
    assert not window.is_open(local(zone, "2026-11-26 10:00")), "Thanksgiving"
    assert window.opens_at(local(zone, "2026-11-25 17:00")) == local(zone, "2026-11-27 09:00")


def test_a_range_of_days_may_pass_the_week_s_end() -> None:
    """`Fri-Mon` is four days."""
    window = SendWindow.parse("Fri-Mon 10:00-11:00; tz=UTC")

    assert [bool(hours) for hours in window.weekly] == [True, False, False, False, True, True, True]


WRONG = (
    ("Sun-Thr 09:00-20:00; tz=Asia/Jerusalem", "'thr' is no day"),
    ("Sun-Thu 9-20; tz=Asia/Jerusalem", "'9-20', which is no time of day: write 09:00-18:00"),
    ("Sun 09:00-25:00; tz=UTC", "hours are 00:00 to 24:00"),
    ("Sun 09:00-09:00; tz=UTC", "end later than you begin"),
    ("Sun 22:00-02:00; tz=UTC", "passes midnight: write it in two"),
    ("Sun 09:00-12:00,11:00-13:00; tz=UTC", "overlap"),
    ("Sun 09:00-12:00; Sun 13:00-14:00; tz=UTC", "hours for Sunday twice"),
    ("09:00-18:00; tz=UTC", "names no day: write daily 09:00-18:00"),
    ("Mon", "lacks hours: write Mon 09:00-18:00"),
    ("tz=UTC", "names no hours"),
    ("Mon 09:00-18:00", "add tz=Asia/Jerusalem"),
    ("Mon 09:00-18:00; tz=Asia/Jeruslem", "did you mean Asia/Jerusalem?"),
    ("Mon 09:00-18:00; tz=UTC; tz=UTC", "says tz= twice"),
    ("Mon 09:00-18:00; tz=UTC; holydays=IL", "did you mean holidays=?"),
    ("Mon 09:00-18:00; tz=UTC; holidays=ZZ", "ZZ is no country"),
    ("Mon 09:00-18:00; tz=UTC; holidays=US-QQ", "US-QQ is no country"),
    ("Mon 09:00-18:00; tz=UTC; shabbat=Jerusalm", "did you mean Jerusalem?"),
    ("Mon 09:00-18:00; tz=UTC; shabbat=95,10", "no place"),
    ("Mon 09:00-18:00; tz=UTC; off=2026-02-30", "no date"),
    ("Mon 09:00-18:00; tz=UTC; off=2026-02-03..2026-02-01", "no date"),
    ("Mon 09:00-18:00; eve 09:00-12:00; tz=UTC", "add holidays=IL or shabbat=Jerusalem"),
    ("Mon 09:00-18:00; tz=UTC; remembrance=US", "only IL is known"),
    ("il; Fri 09:00-10:00", "it stands alone"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "says"), WRONG)
def test_what_means_nothing_is_named_with_the_remedy(text: str, says: str) -> None:
    """An operator mends the setting without reading the code."""
    with pytest.raises(ValueError, match=re.escape(says)):
        SendWindow.parse(text)


# --- clocks that are moved ---------------------------------------------------------------------------------


def test_an_hour_that_the_clock_skips_is_not_in_the_window() -> None:
    """Israel, 27 March 2026: 02:00 becomes 03:00. What would open at 02:30 opens as the clock is moved."""
    window = SendWindow.parse("Fri 02:30-04:00; Sat 02:30-04:00; tz=Asia/Jerusalem")
    moved = datetime(2026, 3, 27, 0, 0, tzinfo=UTC)

    assert window.opens_at(datetime(2026, 3, 26, 12, tzinfo=UTC)) == moved
    assert window.is_open(local(JERUSALEM, "2026-03-27 03:59"))
    assert not window.is_open(local(JERUSALEM, "2026-03-27 04:00"))


def test_a_window_within_the_skipped_hour_stays_shut_for_that_day() -> None:
    """Nothing goes out at a time that the clock does not show."""
    window = SendWindow.parse("Fri 02:10-02:50; tz=Asia/Jerusalem")

    opens = window.opens_at(datetime(2026, 3, 26, 12, tzinfo=UTC))

    assert opens == local(JERUSALEM, "2026-04-03 02:10")


def test_of_an_hour_shown_twice_nothing_goes_out_before_or_after_its_time() -> None:
    """Israel, 25 October 2026: 02:00 becomes 01:00. A window opens at the second 01:30, one closes at the first."""
    opening = SendWindow.parse("Sun 01:30-05:00; tz=Asia/Jerusalem")
    closing = SendWindow.parse("Sun 00:00-01:30; tz=Asia/Jerusalem")

    assert not opening.is_open(local(JERUSALEM, "2026-10-25 01:45", fold=0))
    assert not opening.is_open(local(JERUSALEM, "2026-10-25 01:15", fold=1))
    assert opening.is_open(local(JERUSALEM, "2026-10-25 01:45", fold=1))
    assert closing.is_open(local(JERUSALEM, "2026-10-25 01:15", fold=0))
    assert not closing.is_open(local(JERUSALEM, "2026-10-25 01:15", fold=1))


def test_the_ordinary_hours_hold_on_both_nights_around_a_change() -> None:
    """09:00 is 09:00 by the wall, in winter and in summer."""
    window = SendWindow.parse("daily 09:00-17:00; tz=America/New_York")

    opened = [
        window.opens_at(local("America/New_York", text)) for text in ("2026-03-07 18:00", "2026-10-31 18:00")
    ]

    assert [each and each.astimezone(UTC).hour for each in opened] == [13, 14]


@pytest.mark.parametrize("zone", ZONES)
def test_a_year_in_every_zone_is_open_at_the_hours_alone(zone: str) -> None:
    """Each day of the year opens and closes by its own wall clock; none is left out, none is added."""
    window = SendWindow.parse(f"Mon-Fri 09:00-17:30; Sat 10:00-12:00; tz={zone}")
    start = local(zone, "2026-01-01 00:00")

    spans = told(window, start, days=365)

    openings = [end.astimezone(ZoneInfo(zone)) for _, end in spans[:-1]]
    closings = [begin.astimezone(ZoneInfo(zone)) for begin, _ in spans[1:]]
    expected = [date(2025, 12, 31) + timedelta(days=number) for number in range(366)]
    expected = [day for day in expected if day.weekday() != 6]
    assert [at.date() for at in openings] == expected
    for opens, closes in zip(openings, closings, strict=True):
        hours = ("10:00", "12:00") if opens.weekday() == 5 else ("09:00", "17:30")
        assert (opens.strftime("%H:%M"), closes.strftime("%H:%M")) == hours
        assert opens.date() == closes.date()


# --- always ------------------------------------------------------------------------------------------------

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@st.composite
def windows(draw: st.DrawFn) -> SendWindow:
    """Return a window of any kind."""
    parts = []
    for day in draw(st.lists(st.sampled_from(_DAYS), min_size=1, unique=True)):
        marks = sorted(draw(st.lists(st.integers(0, 96), min_size=2, max_size=4, unique=True)))
        spans = [
            f"{a // 4:02}:{a % 4 * 15:02}-{b // 4:02}:{b % 4 * 15:02}"
            for a, b in zip(marks[::2], marks[1::2], strict=False)  # an odd last mark is left out
        ]
        parts.append(f"{day} {','.join(spans)}")
    parts.append(f"tz={draw(st.sampled_from(ZONES))}")
    parts.append(draw(st.sampled_from(["", "holidays=IL", "holidays=US,GB"])))
    parts.append(draw(st.sampled_from(["", "shabbat=Jerusalem", "shabbat=New York", "shabbat=78.2,15.0"])))
    parts.append(draw(st.sampled_from(["", "remembrance=IL"])))
    return SendWindow.parse("; ".join(parts))


INSTANTS = st.datetimes(
    min_value=datetime(2025, 1, 1), max_value=datetime(2030, 1, 1), timezones=st.just(UTC)
).map(lambda at: at.replace(microsecond=0))


@settings(max_examples=150, deadline=None)
@given(window=windows(), at=INSTANTS, minutes=st.integers(-1439, 4 * 1440 - 1))
def test_closed_times_say_the_same_as_is_open(window: SendWindow, at: datetime, minutes: int) -> None:
    """Whoever goes by the spans and whoever asks for one instant do the same."""
    asked = at + timedelta(minutes=minutes)

    is_closed = any(begin <= asked < end for begin, end in told(window, at, days=4))

    assert is_closed is not window.is_open(asked)


@settings(max_examples=100, deadline=None)
@given(window=windows(), at=INSTANTS)
def test_it_opens_when_it_says_and_not_before(window: SendWindow, at: datetime) -> None:
    """Nothing is lost: whatever waits has a time. Nothing goes out before it."""
    opens = window.opens_at(at)

    if opens is None:  # hours on the one day of the week that is always kept
        assert window.shabbat is not None
        return
    assert window.is_open(opens)
    if opens > at:
        assert not window.is_open(at)
        assert not window.is_open(opens - timedelta(seconds=1))
        assert not window.is_open(at + (opens - at) / 2)


@settings(max_examples=100, deadline=None)
@given(window=windows(), at=INSTANTS)
def test_closed_times_are_in_order_with_open_time_between(window: SendWindow, at: datetime) -> None:
    """No two of them touch, none is empty."""
    spans = window.closed_spans(at, days=10)

    assert all(begin < end for begin, end in spans)
    assert all(one[1] < other[0] for one, other in pairwise(spans))


@settings(max_examples=100, deadline=None)
@given(window=windows(), at=INSTANTS)
def test_what_is_open_is_open_by_the_wall_clock(window: SendWindow, at: datetime) -> None:
    """The plainest reading of the hours, for all that goes out: the clock on the wall shows a time within them."""
    wall = at.astimezone(ZoneInfo(window.zone))
    minute = wall.hour * 60 + wall.minute

    if window.is_open(at):
        assert any(each.from_minute <= minute < each.until_minute for each in window.weekly[wall.weekday()])


# --- what the ledger is told -------------------------------------------------------------------------------


def test_the_ledger_is_told_to_close_early() -> None:
    """What begins to go out has gone out when the window closes."""
    window = SendWindow.parse("daily 09:00-17:00; tz=UTC")
    hour = datetime(2026, 11, 22, 10, tzinfo=UTC)

    told_times = closed_times(window, hour, early_s=30, is_live_exempt=True)

    closes = datetime(2026, 11, 22, 17, tzinfo=UTC).timestamp() * 1000
    assert closes - 30_000 in [begin for begin, _ in told_times.spans]
    assert told_times.encode().startswith("1;")
    assert closed_times(window, hour, early_s=30, is_live_exempt=True) is told_times, (
        "worked out once an hour"
    )


def test_a_gap_shorter_than_a_send_is_no_gap() -> None:
    """A window that opens for less than a send may take lets nothing out that could end outside it."""
    window = SendWindow.parse("daily 09:00-09:01; tz=UTC")

    spans = closed_times(
        window, datetime(2026, 11, 22, 10, tzinfo=UTC), early_s=90, is_live_exempt=False
    ).spans

    assert len(spans) == 1


def test_no_window_says_nothing() -> None:
    """Off by default: the scripts take no closed times at all."""
    assert ALWAYS_OPEN.encode() == ""


def test_a_window_that_never_opens_has_no_opening() -> None:
    """Hours on Shabbat alone, and Shabbat is kept."""
    assert (
        SendWindow.parse("Sat 12:00-13:00; tz=UTC; shabbat=Jerusalem").opens_at(
            datetime(2026, 1, 1, tzinfo=UTC)
        )
        is None
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bad", "write off, il, or days with hours"),
        ("1", "write off, il, or days with hours"),
        ("il2", "did you mean il?"),
        ("of", "did you mean off?"),
        ("Sun-Thu", "lacks hours: write Sun-Thu 09:00-18:00"),
        ("Sun-Thu 9-17", "no time of day"),
    ],
)
def test_a_word_that_is_no_window_is_told_from_days_without_hours(text: str, said: str) -> None:
    """Whoever wrote `bad` is not told to write `bad 09:00-18:00`."""
    with pytest.raises(ValueError, match="has '") as refusal:
        SendWindow.parse(text)
    assert said in str(refusal.value)
