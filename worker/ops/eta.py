"""When a batch will be done, as far as anybody can know: no promise where something stops it. Pure.

The partner's rate is shared: live jobs go first, the bulk lane keeps a tenth whatever they ask for, and batches are
served in turn. Jobs that come later, and tries that have to be made again, are not foreseen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from worker.ledger import Ahead

#: What the limiter aims at of the rate, and the part of it that is the bulk lane's own; see `worker/limits/lua/`.
HEADROOM = 0.995
BULK_SHARE = 0.1
#: Endings observed for less than this tell more about the canary at a batch's begin than about its pace.
ENOUGH_S = 15.0
_SURELY_FASTER = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What somebody who watches has seen lately."""

    over_s: float = 0.0  #: for how long
    ended_per_s: float = 0.0  #: jobs of the batch that came to an end
    live_per_s: float = 0.0  #: calls made for the live lane

    @property
    def is_known(self) -> bool:
        """Tell whether it was looked at for long enough."""
        return self.over_s >= ENOUGH_S


NOT_WATCHED = Pace()


def eta_s(calls: int, ahead: Ahead, *, rate: float, pace: Pace = NOT_WATCHED) -> float | None:
    """Return seconds until *calls* of a batch are made at *rate* calls/s, or None where nothing moves.

    The slower of what the rate allows and of what was seen: a partner that answers slowly uses up no rate. What is
    seen to go faster than *rate* shows that it is not the fleet's: whoever asks has other settings than the workers.
    """
    allowed_s = _allowed_s(calls + ahead.bulk, ahead.live, HEADROOM * rate, pace.live_per_s)
    if not pace.is_known or not calls:
        return allowed_s
    if not pace.ended_per_s:
        return None
    seen_s = calls / pace.ended_per_s
    return seen_s if pace.ended_per_s > rate * _SURELY_FASTER else max(allowed_s, seen_s)


def _allowed_s(bulk: int, live: int, rate: float, live_per_s: float) -> float:
    """Return how long *bulk* calls take behind *live* waiting ones, with *live_per_s* more of those coming in."""
    least = BULK_SHARE * rate
    drained_per_s = rate - least - live_per_s
    first_s = live / drained_per_s if drained_per_s > 0 else math.inf if live else 0.0
    if bulk <= least * first_s:
        return bulk / least
    return first_s + (bulk - least * first_s) / max(least, rate - live_per_s)
