"""What asking the limits can come to, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from worker.domain.states import Lane


class ClosedReason(StrEnum):
    """Why no call may be made now. All of them use up no try."""

    PAUSED = "paused"  #: by an operator
    PARTNER_THROTTLED = "partner_throttled"  #: the partner asked for a pause
    CREDENTIALS_HELD = "credentials_held"  #: the partner refused the credentials
    BREAKER_OPEN = "breaker_open"  #: the partner keeps failing
    DRAINING = "draining"  #: this process is stopping
    NO_SLOT = "no_slot"  #: the caller did not want to wait so long


class BreakerState(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"  #: they do
    OPEN = "open"  #: none does
    HALF_OPEN = "half_open"  #: one probe does, then five more


class CredentialsState(StrEnum):
    """What is known of the partner's credentials."""

    OK = "ok"  #: not refused, as far as anybody knows
    HELD = "held"  #: refused: all calls wait, a token call is tried now and then


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """One slot of the rate: make one call, not before the slot and hardly after it, or give it back."""

    slot_us: int  #: when, in Redis time
    wait_s: float  #: until then, at the moment of asking
    token: str  #: names this slot for `Limits.give_back`
    lane: Lane
    interval_us: int  #: between two slots, at the rate of the moment
    late_s: float = 0.0  #: how long the slot was past when the answer came
    is_probe: bool = False  #: the breaker is half open and learns from this call: `Limits.note` its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """No slot for this lane yet."""

    for_s: float  #: when asking again makes sense


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """No call may be made now, by anybody."""

    reason: ClosedReason
    for_s: float  #: when asking again makes sense; a guess where nobody knows


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChange:
    """The breaker went from one state to another."""

    old: BreakerState
    new: BreakerState
    for_s: float  #: how long it stays open; 0 when it closed


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsStatus:
    """How one limit stands."""

    rate: float  #: calls/s aimed at now
    ceiling: float  #: calls/s configured
    breaker: BreakerState
    breaker_until_ms: int | None  #: end of the break, Redis time
    is_paused: bool  #: by an operator
    is_throttled: bool  #: by the partner
    paused_until_ms: int | None  #: end of the longer of both pauses; None: not paused, or until resumed
    credentials: CredentialsState
    credentials_code: int | None  #: the partner's reason for refusing them
    next_try_ms: int | None  #: when refused credentials are tried next
    waiting_s: float  #: how far ahead the next slot lies
    taken: Mapping[Lane, int]  #: slots taken since the limit exists
    broke_at_ms: int | None = None  #: since when the breaker is not closed
    paused_since_ms: int | None = None  #: since when an operator's pause stands
    throttled_since_ms: int | None = None  #: since when the partner's pause stands
    held_since_ms: int | None = None  #: since when the credentials are refused

    @property
    def closed_reason(self) -> ClosedReason | None:
        """Return why no call may be made now, or None where calls may go."""
        if self.is_paused:
            return ClosedReason.PAUSED
        if self.credentials is CredentialsState.HELD:
            return ClosedReason.CREDENTIALS_HELD
        if self.breaker is BreakerState.OPEN:
            return ClosedReason.BREAKER_OPEN
        return ClosedReason.PARTNER_THROTTLED if self.is_throttled else None

    @classmethod
    def from_reply(cls, reply: Sequence[str], *, ceiling: float) -> Self:
        """Read the answer of `lua/status.lua`; *ceiling* in calls/s."""
        _, share_ppm, breaker, open_until, paused, throttled, code, next_try, waiting, live, bulk = reply[:11]
        broke, paused_since, throttled_since, held = (int(each) // 1000 or None for each in reply[11:])
        ends_us = max(int(paused), int(throttled))
        return cls(
            rate=ceiling * int(share_ppm) / 1e6,
            ceiling=ceiling,
            breaker=BreakerState(breaker),
            breaker_until_ms=int(open_until) // 1000 or None,
            is_paused=paused != "0",
            is_throttled=throttled != "0",
            paused_until_ms=ends_us // 1000 if ends_us > 0 and paused != "-1" else None,
            credentials=CredentialsState.HELD if code else CredentialsState.OK,
            credentials_code=int(code) if code else None,
            next_try_ms=int(next_try) // 1000 or None,
            waiting_s=int(waiting) / 1e6,
            taken={Lane.LIVE: int(live), Lane.BULK: int(bulk)},
            broke_at_ms=broke,
            paused_since_ms=paused_since,
            throttled_since_ms=throttled_since,
            held_since_ms=held,
        )
