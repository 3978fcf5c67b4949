"""How fast a bulk requeue may go: five first, then twice what has ended; and when it stops by itself. Pure.

The first jobs show whether what failed them is really mended. As long as the ends are good, more are let go at a time,
up to what the partner's rate works off in some seconds, so that a stop always finds few under way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

CANARY = 5  #: jobs let go first
LOOK_BACK = 20  #: of the latest ends, this many decide whether it goes on
FEWEST_TO_STOP = 3
LEAST_CAP = 50  #: jobs under way, however slow the partner
CAP_S = 20.0  #: jobs under way, in seconds of the partner's rate
#: One of the canaries may try again for hours. After so long the others' ends are enough, if they are good.
CANARY_WAIT_S = 60.0
_FEWEST_GOOD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """How far a requeue has come since its canary began."""

    released: int
    ended: int
    in_flight: int  #: let go, and not at an end: of earlier canaries, too
    latest: tuple[bool, ...] = ()  #: the latest ends, oldest first: whether the job failed again
    waited_s: float = 0.0  #: since the last ones were let go


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """Why a requeue stops by itself: so many of the latest ends were failures again."""

    failed: int
    ended: int


def room(ramp: Ramp, *, rate: float) -> int:
    """Return how many more jobs may be let go now; the partner allows *rate* calls/s."""
    if failing(ramp) is not None:
        return 0
    if ramp.ended < CANARY and not _is_good_enough(ramp):
        return max(0, CANARY - ramp.released)
    cap = max(LEAST_CAP, math.ceil(CAP_S * rate))
    return max(0, min(2 * ramp.ended, cap) - ramp.in_flight)


def failing(ramp: Ramp) -> Failing | None:
    """Return why it is to stop, or None: half of the latest ends failed again, and at least three."""
    ends = ramp.latest[-LOOK_BACK:]
    failed = sum(ends)
    if failed < FEWEST_TO_STOP or 2 * failed < len(ends):
        return None
    return Failing(failed=failed, ended=len(ends))


def _is_good_enough(ramp: Ramp) -> bool:
    return ramp.ended >= _FEWEST_GOOD and ramp.waited_s >= CANARY_WAIT_S and not any(ramp.latest)
