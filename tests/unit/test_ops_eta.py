"""When a batch will be done: the rate, who goes first, who shares the lane, and what was seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.ledger import Ahead
from worker.ops.eta import HEADROOM, Pace, eta_s

ALONE = Ahead(live=0, bulk=0, queues=0)


def test_alone_it_takes_as_long_as_the_rate_says() -> None:
    """A thousand calls at ten a second."""
    assert eta_s(1_000, ALONE, rate=10) == pytest.approx(100 / HEADROOM)


def test_whoever_shares_the_lane_makes_it_longer() -> None:
    """An equal batch beside it: twice as long."""
    shared = Ahead(live=0, bulk=1_000, queues=1)

    assert eta_s(1_000, shared, rate=10) == pytest.approx(200 / HEADROOM)


def test_live_jobs_go_first_but_for_a_tenth() -> None:
    """All of them together take what they take; a short batch is through by its tenth alone."""
    behind = Ahead(live=900, bulk=0, queues=0)

    assert eta_s(1_000, behind, rate=10) == pytest.approx(190 / HEADROOM)
    assert eta_s(10, behind, rate=10) == pytest.approx(10 / HEADROOM)


def test_a_live_lane_that_asks_for_everything_leaves_a_tenth() -> None:
    """However much comes in."""
    pace = Pace(over_s=5, live_per_s=50)

    assert eta_s(100, ALONE, rate=10, pace=pace) == pytest.approx(100 / HEADROOM)
    assert eta_s(100, Ahead(live=5, bulk=0, queues=0), rate=10, pace=pace) == pytest.approx(100 / HEADROOM)


def test_a_slow_partner_is_believed_more_than_the_rate() -> None:
    """Seen for long enough; the canary's first seconds say nothing."""
    slow = Pace(over_s=30, ended_per_s=2)

    assert eta_s(1_000, ALONE, rate=10, pace=slow) == pytest.approx(500)
    assert eta_s(1_000, ALONE, rate=10, pace=Pace(over_s=3, ended_per_s=2)) == pytest.approx(100 / HEADROOM)


def test_what_goes_faster_than_the_rate_is_believed_too() -> None:
    """The workers have other settings than whoever asks."""
    fast = Pace(over_s=30, ended_per_s=40)

    assert eta_s(1_000, ALONE, rate=5, pace=fast) == pytest.approx(25)


def test_nothing_that_moves_has_no_time() -> None:
    """No fantasy; and nothing to do takes none."""
    still = Pace(over_s=30, ended_per_s=0)

    assert eta_s(1_000, ALONE, rate=10, pace=still) is None
    assert eta_s(0, ALONE, rate=10, pace=still) == 0


@given(
    calls=st.integers(0, 10**6),
    live=st.integers(0, 10**6),
    bulk=st.integers(0, 10**6),
    rate=st.floats(0.1, 1000),
    live_per_s=st.floats(0, 2000),
)
def test_it_is_never_sooner_than_the_rate_allows(
    calls: int, live: int, bulk: int, rate: float, live_per_s: float
) -> None:
    """And never later than a tenth of the rate would take."""
    ahead = Ahead(live=live, bulk=bulk, queues=1)
    found = eta_s(calls, ahead, rate=rate, pace=Pace(live_per_s=live_per_s))

    assert found is not None
    assert calls / (HEADROOM * rate) * 0.999 <= found <= (calls + bulk) / (HEADROOM * rate * 0.1) * 1.001
