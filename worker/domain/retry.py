"""When to try again: exponential backoff with full jitter, apart for each class of reason.

Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.domain.reasons import ReasonClass

# A partner that asks for a year is not obeyed for longer than this; the limiter raises the alarm.
MAX_RETRY_AFTER_S = 3600.0
_MOST_DOUBLINGS = 40


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How the retries of one class are spaced, and how many there are."""

    base_s: float  #: the first delay lies between 0 and this
    cap_s: float  #: no delay is longer, but for what the partner itself asks
    max_failures: int  #: with this many failures the job is failed


_ORDINARY = RetryPolicy(base_s=5.0, cap_s=1800.0, max_failures=8)
_POLICIES: Mapping[ReasonClass, RetryPolicy] = {
    # A quarter of an hour on average at the cap: an outage of most of a day leaves jobs waiting, not failed.
    ReasonClass.TRANSIENT: RetryPolicy(base_s=5.0, cap_s=1800.0, max_failures=60),
    ReasonClass.THROTTLED: RetryPolicy(base_s=10.0, cap_s=900.0, max_failures=60),
    ReasonClass.CREDENTIALS: RetryPolicy(base_s=60.0, cap_s=900.0, max_failures=60),
    # A full mailbox is emptied within days or never.
    ReasonClass.RECIPIENT: RetryPolicy(base_s=1800.0, cap_s=6 * 3600.0, max_failures=16),
    ReasonClass.DOUBT: RetryPolicy(base_s=30.0, cap_s=600.0, max_failures=4),
}
_SNOOZES_S: Mapping[ReasonClass, float] = {
    ReasonClass.THROTTLED: 5.0,
    ReasonClass.TRANSIENT: 10.0,
    # All calls are held by then anyway; this only keeps jobs from queueing up at the hold.
    ReasonClass.CREDENTIALS: 60.0,
    ReasonClass.CONFIGURATION: 60.0,
}


def policy_for(reason_class: ReasonClass | str) -> RetryPolicy:
    """Return how failures of *reason_class* are retried."""
    return _POLICIES.get(ReasonClass(reason_class), _ORDINARY)


def retry_delay_s(
    policy: RetryPolicy,
    failures: int,
    *,
    chance: float,
    floor_s: float = 1.0,
    retry_after_s: float | None = None,
) -> float:
    """Return the seconds to wait after *failures* earlier failures; *chance* in [0, 1) picks the point.

    The delay is never under *floor_s*, and never under what the partner asked for (`retry_after_s`, taken up
    to `MAX_RETRY_AFTER_S`).
    """
    doublings = max(0, min(failures, _MOST_DOUBLINGS))
    spread_s = min(policy.cap_s, policy.base_s * 2.0**doublings)
    return max(chance * spread_s, floor_s, _obeyed_s(retry_after_s))


def snooze_delay_s(
    reason_class: ReasonClass | str, *, chance: float, retry_after_s: float | None = None
) -> float:
    """Return the seconds to put a job back for; jobs snoozed together come back spread by *chance* in [0, 1)."""
    delay_s = _SNOOZES_S.get(ReasonClass(reason_class), 30.0)
    return max(delay_s * (0.5 + chance), _obeyed_s(retry_after_s))


def _obeyed_s(retry_after_s: float | None) -> float:
    # Not `max`: a NaN from a header must lose.
    if retry_after_s is None or not retry_after_s > 0:
        return 0.0
    return min(retry_after_s, MAX_RETRY_AFTER_S)
