"""When to try again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.reasons import ReasonClass
from worker.domain.retry import MAX_RETRY_AFTER_S, RetryPolicy, policy_for, retry_delay_s, snooze_delay_s

POLICY = RetryPolicy(base_s=5.0, cap_s=1800.0, max_failures=8)
CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.integers(-3, 10_000), CHANCE)
def test_the_delay_lies_between_the_floor_and_the_cap(failures, chance):
    """Full jitter: anywhere below the exponential, never above the cap."""
    delay_s = retry_delay_s(POLICY, failures, chance=chance)

    assert 1.0 <= delay_s <= max(1.0, min(POLICY.cap_s, POLICY.base_s * 2.0 ** min(max(failures, 0), 60)))


@pytest.mark.parametrize(
    ("failures", "longest_s"), [(0, 5), (1, 10), (2, 20), (8, 1280), (9, 1800), (500, 1800)]
)
def test_the_range_doubles_with_every_failure_up_to_the_cap(failures, longest_s):
    """Half the chance is half the range."""
    assert retry_delay_s(POLICY, failures, chance=0.5) == longest_s / 2


@given(CHANCE, st.floats(0, 3600))
def test_what_the_partner_asks_for_is_the_least(chance, asked_s):
    """Retry-After outweighs a luckier draw."""
    assert retry_delay_s(POLICY, 3, chance=chance, retry_after_s=asked_s) >= asked_s
    assert snooze_delay_s(ReasonClass.THROTTLED, chance=chance, retry_after_s=asked_s) >= asked_s


@pytest.mark.parametrize("asked_s", [1e12, float("inf"), float("nan"), -5.0])
def test_a_hostile_retry_after_is_not_obeyed(asked_s):
    """A year's wait is an hour's; nonsense is none."""
    assert retry_delay_s(POLICY, 0, chance=0.5, retry_after_s=asked_s) <= MAX_RETRY_AFTER_S
    assert snooze_delay_s(ReasonClass.THROTTLED, chance=0.5, retry_after_s=asked_s) <= MAX_RETRY_AFTER_S


@pytest.mark.parametrize("reason_class", list(ReasonClass))
def test_every_class_has_a_policy_and_a_snooze(reason_class):
    """Also by its word, as a Fail carries it."""
    assert policy_for(reason_class.value).max_failures > 1
    assert snooze_delay_s(reason_class.value, chance=0.0) > 0


def test_jobs_snoozed_together_come_back_spread():
    """Not all in the same second."""
    early, late = (snooze_delay_s(ReasonClass.CREDENTIALS, chance=chance) for chance in (0.0, 0.99))

    assert late > early + 30
