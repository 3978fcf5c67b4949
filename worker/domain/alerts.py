"""What an operator is told of: incidents, each with its beginning and its end, and the facts they are seen by.

Pure values. What makes an incident is `alert_rules`, what is said of it `alert_words`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from worker.domain.states import Channel, Lane

_DAY_S = 86_400.0


class AlertKind(StrEnum):
    """What can be wrong. Together with a scope it names an incident: no two of one name are open at once."""

    CALLS_STOPPED = "calls_stopped"  #: no call to the partner is made; the scope says why
    LANE_PAUSED = "lane_paused"  #: an operator's pause that may have been forgotten
    HOLD = "hold"  #: a guard stopped a lane or a batch
    LIVE_LATE = "live_late"  #: a single customer waits too long
    BULK_STALLED = "bulk_stalled"  #: backfills make no progress though nothing holds them
    FAILED_GROWS = "failed_grows"  #: the failed queue
    REASON_SURGES = "reason_surges"  #: one reason in it
    EXPIRING = "expiring"  #: dead letters, or failed jobs, are deleted soon; the scope names them and the day
    MESSAGES_FAIL = "messages_fail"  #: most messages of a channel fail for good
    CHANNEL_STOPPED = "channel_stopped"  #: messages wait, and none goes out
    EVENTS_STOPPED = "events_stopped"  #: a receiver of our events does not take them
    LINKS_MISSING = "links_missing"  #: so many links at once that the partner's list is not believed
    OTHER = "other"  #: as read, of a kind that only another version of Linkferry knows

    @classmethod
    def _missing_(cls, _value: object) -> AlertKind:
        return cls.OTHER


class AlertPhase(StrEnum):
    """What of an incident is told."""

    OPENED = "opened"
    ENDED = "ended"
    TEST = "test"  #: a sample that an operator sends; of no incident


# --- incidents ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that is wrong at one look."""

    kind: AlertKind
    scope: str = "-"
    count: int = 0  #: jobs, messages or events concerned
    #: what its words are filled with; nothing personal
    params: Mapping[str, str | int] = field(default_factory=dict)
    since_ms: int | None = None  #: when it began, where that is known
    after_s: float = 0.0  #: it has to stand for so long before anybody is told

    @property
    def key(self) -> str:
        """Return what its incident is known by while it is open."""
        return f"{self.kind} {self.scope}"


class TellingState(StrEnum):
    """Where the telling of one phase to one sink stands."""

    WAITING = "waiting"
    TOLD = "told"
    FAILED = "failed"  #: given up


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertTelling:
    """How the telling of one phase to one sink stands."""

    phase: AlertPhase
    sink: str
    state: TellingState
    tries: int = 0
    failures: int = 0
    at_ms: int | None = None  #: of the last try's end
    fault: str | None = None
    status: int | None = None  #: of an HTTP answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One trouble from its beginning to its end, as the ledger keeps it."""

    id: str
    kind: AlertKind
    scope: str
    began_at_ms: int  #: of the trouble, as far as that is known
    opened_at_ms: int
    last_seen_ms: int
    ended_at_ms: int | None = None  #: None: open
    count: int = 0
    peak: int = 0
    params: Mapping[str, str | int] = field(default_factory=dict)
    tellings: tuple[AlertTelling, ...] = ()

    @property
    def key(self) -> str:
        """Return what it is known by while it is open."""
        return f"{self.kind} {self.scope}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From where on something is told; a count of 0 tells nothing of that."""

    late_s: float = 60.0  #: a live job waits
    stopped_s: float = 600.0  #: calls rest, a backfill or a channel stands still
    failed: int = 50  #: jobs that failed within an hour
    surge: int = 20  #: jobs that failed for one reason within ten minutes


#: The sink of the address in ALERT_URL.
WEBHOOK = "webhook"


def mail_sink(address: str) -> str:
    """Return the name of the sink of one address in ALERT_EMAIL: nobody's address is in the ledger."""
    return f"email:{hashlib.sha256(address.lower().encode()).hexdigest()[:8]}"


# --- the facts of one look ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneFacts:
    """How a lane stands."""

    free: int = 0  #: jobs that wait though neither a pause nor a hold keeps them
    oldest_s: float | None = None  #: how long the oldest of these has waited
    waiting: int = 0  #: with those behind pauses and holds
    is_paused: bool = False
    taken: int = 0  #: slots of the partner's rate taken ever: it rises while the lane makes progress


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonFacts:
    """Failed jobs of one reason that still wait for a person."""

    recent: int = 0  #: entered in the last ten minutes
    hour: int = 0  #: in the last hour
    before: int = 0  #: in the day before the last ten minutes
    total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFacts:
    """How the messages of one channel fare."""

    waiting: int = 0  #: due, or put off after the provider refused us
    fault: str | None = None  #: why the last of these was put off
    sent: int = 0  #: in the last quarter of an hour, counted up to a bound
    failed: int = 0  #: the same
    last_sent_ms: int | None = None  #: None: not lately


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldFacts:
    """A hold that stands."""

    target: str
    reason: str
    since_ms: int
    waiting: int
    is_explaining: bool = False  #: the partner's lists are being looked at, which may clear it


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkFacts:
    """A trouble with a receiver of our events."""

    sink: str
    trouble: str  #: endpoint_gone, endpoint_down, events_failed, events_dropped
    waiting: int
    since_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that one look sees, at one instant of the ledger's clock."""

    now_ms: int
    closed: str | None = None  #: why no call to the partner is made, our own word
    lanes: Mapping[Lane, LaneFacts] = field(default_factory=dict)
    holds: Sequence[HoldFacts] = ()
    reasons: Mapping[str, ReasonFacts] = field(default_factory=dict)
    expiring: Mapping[str, int] = field(default_factory=dict)  #: by `expiry_windows`' scopes
    channels: Mapping[Channel, ChannelFacts] = field(default_factory=dict)
    sinks: Sequence[SinkFacts] = ()
    links_missing: int = 0  #: in a list of the partner's that is not believed
    links_missing_since_ms: int | None = None

    def lane(self, lane: Lane) -> LaneFacts:
        """Return how *lane* stands."""
        return self.lanes.get(lane, LaneFacts())


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryWindow:
    """Jobs of one state that are deleted on one day: those that entered it within these instants."""

    scope: str  #: `dead:2026-10-05`
    state: str
    from_ms: int
    before_ms: int


def expiry_windows(
    state: str, keep_s: float, now_ms: int, *, later_ms: int | None = None
) -> list[ExpiryWindow]:
    """Return which jobs of *state*, kept for *keep_s*, are deleted today and tomorrow (UTC).

    Days, so that each job is warned of once, a day ahead or two. What is kept for a day or less can't be warned of.
    *later_ms*: when those go that became due all at once, and others with them; nothing goes before.
    """
    if not _DAY_S < keep_s < float("inf"):
        return []
    keep_ms, midnight = (
        round(keep_s * 1000),
        datetime.fromtimestamp(now_ms / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0),
    )
    windows = []
    for ahead in (0, 1):
        day = midnight + timedelta(days=ahead)
        begins, ends = (round(each.timestamp() * 1000) for each in (day, day + timedelta(days=1)))
        if later_ms is not None and later_ms >= ends:
            continue
        is_first = later_ms is not None and begins <= later_ms  # with all that is due by then
        windows.append(
            ExpiryWindow(
                scope=f"{state}:{day.date().isoformat()}",
                state=state,
                from_ms=0 if is_first else max(begins, now_ms) - keep_ms,
                before_ms=ends - keep_ms,
            )
        )
    return windows
