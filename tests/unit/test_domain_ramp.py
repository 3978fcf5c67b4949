"""How fast a bulk requeue goes, and when it stops: rules over every course that it may take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.ramp import CANARY, CANARY_WAIT_S, LEAST_CAP, LOOK_BACK, Failing, Ramp, failing, room

RATES = st.floats(0.1, 500)
ENDS = st.lists(st.booleans(), max_size=400)


def after(ends: list[bool], *, in_flight: int = 0, waited_s: float = 0.0) -> Ramp:
    """Return how a requeue stands with these ends behind it."""
    return Ramp(
        released=len(ends) + in_flight,
        ended=len(ends),
        in_flight=in_flight,
        latest=tuple(ends[-LOOK_BACK:]),
        waited_s=waited_s,
    )


def test_five_go_first() -> None:
    """However fast the partner is; no sixth until they have ended."""
    assert room(after([]), rate=200) == CANARY
    assert room(after([], in_flight=5), rate=200) == 0
    assert room(after([False] * 4, in_flight=1), rate=200) == 0
    assert room(after([False] * 5), rate=200) == 10


@pytest.mark.parametrize(
    ("ends", "stops"),
    [
        ([True, True], None),
        ([True, True, True], Failing(failed=3, ended=3)),
        ([True, False, True, False, True], Failing(failed=3, ended=5)),
        ([False, True, False, True, False], None),
        ([False] * 10 + [True] * 9, None),
        ([False] * 10 + [True] * 10, Failing(failed=10, ended=20)),
        ([True] * 9 + [False] * 11 + [True], None),
        ([False] * 500 + [True] * 10, Failing(failed=10, ended=20)),
    ],
)
def test_it_stops_where_half_of_the_latest_ends_failed_again(ends: list[bool], stops: Failing | None) -> None:
    """At least three of the first five; later ten of the latest twenty, however good the beginning was."""
    assert failing(after(ends)) == stops


def test_one_canary_that_tries_for_hours_does_not_hold_up_the_others() -> None:
    """Three good ends and a minute's patience are enough; one bad among them is not."""
    assert room(after([False] * 3, in_flight=2, waited_s=CANARY_WAIT_S), rate=5) == 4
    assert room(after([False] * 3, in_flight=2, waited_s=CANARY_WAIT_S - 1), rate=5) == 0
    assert room(after([False] * 2, in_flight=3, waited_s=3600), rate=5) == 0
    assert room(after([False, True, False], in_flight=2, waited_s=3600), rate=5) == 0


@given(ends=ENDS, in_flight=st.integers(0, 5000), rate=RATES, waited_s=st.floats(0, 1e6))
def test_never_more_are_under_way_than_some_seconds_of_the_rate(
    ends: list[bool], in_flight: int, rate: float, waited_s: float
) -> None:
    """So that a stop always finds few; and nothing is let go after too many failures."""
    ramp = after(ends, in_flight=in_flight, waited_s=waited_s)
    allowed = room(ramp, rate=rate)

    assert allowed >= 0
    if allowed:
        assert failing(ramp) is None
        assert in_flight + allowed <= max(LEAST_CAP, 20 * rate + 1)
        assert in_flight + allowed <= max(CANARY, 2 * len(ends))


@given(rate=RATES, total=st.integers(6, 400))
def test_good_ends_bring_every_job_to_its_turn(rate: float, total: int) -> None:
    """Whatever the rate, a requeue that works is never stuck."""
    ends: list[bool] = []
    turns = 0
    while len(ends) < total:
        allowed = min(room(after(ends), rate=rate), total - len(ends))
        assert allowed > 0
        ends += [False] * allowed
        turns += 1
    assert turns <= 5 + total // LEAST_CAP


@given(st.integers(1, 400))
def test_where_nothing_is_mended_five_find_it_out(total: int) -> None:
    """All that fail again are the canaries."""
    ends: list[bool] = []
    while (allowed := min(room(after(ends), rate=100), total - len(ends))) > 0:
        ends += [True] * allowed
    assert len(ends) == min(total, CANARY)
