"""What the partner's headers ask for, hostile ones included."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.limits.headers import MOST_PAUSE_S, Advice, read_advice

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "pause_s"),
    [
        ("30", 30.0),
        (" 30 ", 30.0),
        ("1.5", 1.5),
        ("0", 0.0),
        ("1000000", MOST_PAUSE_S),
        ("999999999999999", MOST_PAUSE_S),
        ("Sun, 01 Mar 2026 12:00:20 GMT", 20.0),
        ("Sun, 01 Mar 2026 14:00:20 +0200", 20.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2099 11:00:00 GMT", MOST_PAUSE_S),
        ("-5", None),
        ("NaN", None),
        ("inf", None),
        ("1e9", None),
        ("٣٠", None),
        ("soon", None),
        ("", None),
        ("9" * 2000, None),
        ("Sun, 99 Mar 2026 12:00:20 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_never_more_than_an_hour(value, pause_s):
    """A Retry-After that makes no sense leaves the pause to us; the 429 itself stands."""
    assert read_advice({"Retry-After": value}, 429, now=NOW) == Advice(pause_s, is_pushback=True)


def test_a_date_is_measured_by_the_clock_that_wrote_it():
    """Our clock being an hour off must not make a pause of 20 s an hour long."""
    headers = {"Date": "Sun, 01 Mar 2026 13:00:00 GMT", "Retry-After": "Sun, 01 Mar 2026 13:00:20 GMT"}

    assert read_advice(headers, 429, now=NOW) == Advice(20.0, is_pushback=True)


@pytest.mark.parametrize(
    ("headers", "pause_s"),
    [
        ({"RateLimit": '"x";r=0;t=30'}, 30.0),
        ({"ratelimit": '"x"; r=0 ; t=30'}, 30.0),
        ({"RateLimit": '"burst";r=0;t=30, "daily";r=0;t=60'}, 60.0),
        ({"RateLimit": '"burst";r=7;t=30, "daily";r=0;t=60'}, 60.0),
        ({"RateLimit": '"a,b;r=0;t=9";r=3;t=30'}, None),
        ({"RateLimit": '"x\\";r=0;t=9";r=3;t=30'}, None),
        ({"RateLimit": '"x";r=5;t=30'}, None),
        ({"RateLimit": '"x";r=0'}, None),
        ({"RateLimit": '"x";r=-1;t=30'}, None),
        ({"RateLimit": '"x";r=0;t=99999999'}, MOST_PAUSE_S),
        ({"RateLimit": '"unclosed;r=0;t=30'}, None),
        ({"RateLimit": ";;;,,,==="}, None),
        ({"RateLimit": "limit=100, remaining=0, reset=30"}, 30.0),
        ({"RateLimit": "limit=100, remaining=4, reset=30"}, None),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "12"}, 12.0),
        ({"RateLimit-Remaining": "0, 100;w=60", "RateLimit-Reset": "12"}, 12.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 12)}, 12.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW.timestamp() + 12) * 1000)}, 12.0),
        ({"x-rate-limit-remaining": "0", "x-rate-limit-reset": "12"}, 12.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW.timestamp()) - 12)}, 0.0),
        ({"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "12"}, None),
        ({"X-RateLimit-Remaining": "0"}, None),
        ({"X-RateLimit-Remaining": "none", "X-RateLimit-Reset": "12"}, None),
        ({}, None),
    ],
)
def test_a_used_up_quota_pauses_but_is_no_pushback(headers, pause_s):
    """A good answer that says "none left" stops the next call; no call was refused, so the rate stays."""
    wanted = None if pause_s is None else Advice(pause_s, is_pushback=False)

    assert read_advice(headers, 200, now=NOW) == wanted


def test_retry_after_goes_before_every_quota():
    """The draft demands it."""
    headers = {"Retry-After": "3", "RateLimit": '"x";r=0;t=30'}

    assert read_advice(headers, 429, now=NOW) == Advice(3.0, is_pushback=True)


@pytest.mark.parametrize(
    ("status", "headers", "advice"),
    [
        (429, {}, Advice(None, is_pushback=True)),
        (429, {"RateLimit": '"x";r=0;t=30'}, Advice(30.0, is_pushback=True)),
        (503, {"Retry-After": "5"}, Advice(5.0, is_pushback=True)),
        (503, {}, None),
        (500, {}, None),
        (403, {"Retry-After": "5"}, Advice(5.0, is_pushback=False)),
        (200, {"Retry-After": "5"}, None),
        (301, {"Retry-After": "5"}, None),
    ],
)
def test_the_status_tells_a_pushback_from_a_failure(status, headers, advice):
    """A 5xx without a Retry-After is the breaker's business, a 429 never is."""
    assert read_advice(headers, status, now=NOW) == advice


NAMES = [
    "Retry-After",
    "RateLimit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "X-RateLimit-Remaining",
    "Date",
]


VALUES = st.text(max_size=40) | st.text('"\\,;=rt0123456789 -GMT:', max_size=60)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(headers=st.dictionaries(st.sampled_from(NAMES), VALUES), status=st.integers(100, 599))
def test_no_header_can_break_the_reading(headers, status):
    """Whatever a partner sends, there is an answer, and no pause beyond the cap."""
    advice = read_advice(headers, status, now=NOW)

    assert advice is None or advice.pause_s is None or 0 <= advice.pause_s <= MOST_PAUSE_S
