"""How long the partner takes, told honestly."""

from __future__ import annotations

import dataclasses

import pytest

from producers.backfill.forecast import forecast, lane_stop, waiting_ahead
from worker.limits import BreakerState, CredentialsState, LimitsStatus

OPEN = LimitsStatus(
    rate=5.0,
    ceiling=5.0,
    breaker=BreakerState.CLOSED,
    breaker_until_ms=None,
    is_paused=False,
    is_throttled=False,
    paused_until_ms=None,
    credentials=CredentialsState.OK,
    credentials_code=None,
    next_try_ms=None,
    waiting_s=0.0,
    taken={},
)
EMPTY = {
    "jobs": {"available": 0, "scheduled": 0, "running": 0},
    "lanes": {lane: {"waiting": 0, "paused": False, "held": None} for lane in ("live", "bulk")},
    "batches": {"paused": [], "held": []},
}


def expect(calls=100, *, ahead=0, now_ms=0, **changes):
    return forecast(calls, dataclasses.replace(OPEN, **changes), waiting_ahead=ahead, now_ms=now_ms)


def test_calls_take_their_time_at_the_present_rate():
    """Which may be less than what is configured."""
    assert expect().eta_s == 20.0
    slowed = expect(rate=2.5)
    assert (slowed.eta_s, slowed.is_slowed) == (40.0, True)


def test_what_waits_already_goes_first():
    """It is the partner's time all the same."""
    assert expect(ahead=400).eta_s == 100.0


def test_a_pause_with_an_end_is_waited_for():
    """The partner's own, an operator's or the breaker's: whichever ends last."""
    paused = expect(is_throttled=True, paused_until_ms=31_000, now_ms=1_000)
    assert (paused.eta_s, paused.stopped) == (50.0, "partner_throttled")
    broken = expect(breaker=BreakerState.OPEN, breaker_until_ms=11_000, now_ms=1_000)
    assert (broken.eta_s, broken.stopped) == (30.0, "breaker_open")


def test_a_stop_without_an_end_is_told():
    """Nobody knows when it ends, so the time counts from then."""
    assert (expect(is_paused=True).stopped, expect(is_paused=True).eta_s) == ("paused", 20.0)
    assert expect(credentials=CredentialsState.HELD).stopped == "credentials_held"
    assert forecast(1, OPEN, waiting_ahead=0, now_ms=0, stopped="bulk_paused").stopped == "bulk_paused"


def status(**changes):
    return {**EMPTY, **changes}


def test_all_that_may_run_is_ahead():
    """Live and bulk, waiting, due later or running."""
    lanes = {
        "live": {"waiting": 3, "paused": False, "held": None},
        "bulk": {"waiting": 40, "paused": False, "held": None},
    }
    document = status(jobs={"available": 43, "scheduled": 5, "running": 2}, lanes=lanes)
    assert waiting_ahead(document) == 50
    assert lane_stop(document) is None


@pytest.mark.parametrize("stop", [{"paused": True, "held": None}, {"paused": False, "held": "unknown_17"}])
def test_what_is_kept_back_is_not(stop):
    """A paused or held lane or batch waits for a person, not for the partner."""
    lanes = {"live": {"waiting": 3, **stop}, "bulk": {"waiting": 40, "paused": False, "held": None}}
    batches = {
        "paused": [{"batch": "a", "waiting": 30}],
        "held": [{"batch": "a", "waiting": 30}, {"batch": "b", "waiting": 4}],
    }
    assert waiting_ahead(status(lanes=lanes, batches=batches)) == 6
    lanes = {"live": {"waiting": 3, "paused": False, "held": None}, "bulk": {"waiting": 40, **stop}}
    assert waiting_ahead(status(lanes=lanes)) == 3
    assert lane_stop(status(lanes=lanes)) in {"bulk_paused", "bulk_held"}
