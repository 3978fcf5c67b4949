"""An event of our own that others are told of (`link.created`, …): what it says, and what telling it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from worker.domain.job import Lease
from worker.domain.states import JobState

#: Seconds before the second, third, … try: the schedule that Standard Webhooks recommends. Ten tries in three days.
SCHEDULE_S = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
#: Of a wait, the most that chance adds: what failed together does not come back together.
_JITTER = 0.1


#: Events kept for one sink, waiting or failed; more are counted and not kept. The ledger's scripts say the same.
MOST_UNTOLD = 200_000


class OutgoingType(StrEnum):
    """What can have happened. The ledger's scripts use the same words."""

    LINK_CREATED = "link.created"
    INVITATION_SENT = "invitation.sent"
    LINK_ONBOARDED = "link.onboarded"
    JOB_FAILED = "job.failed"
    TEST = "events.test"  #: a sample that an operator sends; the ledger never leaves one
    UNKNOWN = "unknown"  #: as read, of a type that only another version of Linkferry knows; never told

    @classmethod
    def _missing_(cls, _value: object) -> OutgoingType:
        return cls.UNKNOWN


class OutgoingState(StrEnum):
    """Where the telling of an event stands. Only `failed` needs a person."""

    WAITING = "waiting"
    SENDING = "sending"
    TOLD = "told"
    FAILED = "failed"


class TellFault(StrEnum):
    """Why an event could not be told; our own words, not reasons of a job."""

    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"  #: answered, but not with a 2xx
    REDIRECTED = "redirected"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"  #: asked us to come back later
    ENDPOINT_GONE = "endpoint_gone"  #: 410: the receiver wants no more events
    CREDENTIALS_REFUSED = "credentials_refused"
    NOT_CONCERNED = "not_concerned"  #: nothing there for the event to be told about
    OUR_FAULT = "our_fault"  #: the sink itself failed, or we can't say the event


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedOutgoing:
    """An event that this process may tell, while the lease holds."""

    id: str  #: stays the same however often it is told
    sink: str
    type: OutgoingType
    job_id: str
    occurred_at_ms: int
    attempt: int  #: 1 on the first try
    failures: int
    facts: Mapping[str, str]  #: what was so when it happened
    lease: Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the job stands when its event is told, which may be long after it happened."""

    state: JobState
    reason: str | None = None
    link: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingEvent:
    """An event as a sink gets it. `data` and `now` hold a link: never log it."""

    id: str
    type: OutgoingType
    occurred_at_ms: int
    data: Mapping[str, Any] = field(repr=False)
    now: Standing | None = None  #: not in `document`; None: the job's record is deleted

    def document(self) -> dict[str, Any]:
        """Return the event as Standard Webhooks has it: type, timestamp, data."""
        at = datetime.fromtimestamp(self.occurred_at_ms / 1000, UTC)
        timestamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"type": self.type.value, "timestamp": timestamp, "data": dict(self.data)}


# --- what telling came to ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The sink took it."""

    status: int | None = None  #: of the HTTP answer


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTold:
    """Worth another try, by the schedule; several in a row mean that the sink is down."""

    fault: TellFault
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkBusy:
    """The sink asked to be left alone for *delay_s*, or its credentials are refused: no event is to blame."""

    fault: TellFault
    delay_s: float
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkGone:
    """The sink wants no more events: it is switched off until a person turns it on again."""

    fault: TellFault = TellFault.ENDPOINT_GONE
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverTold:
    """The event can't be told there: nothing to update, say. It is dropped, and counted by its fault."""

    fault: TellFault
    status: int | None = None


Telling = Told | NotTold | SinkBusy | SinkGone | NeverTold


def retry_after(failures: int, *, chance: float) -> float | None:
    """Return the seconds until the next try after *failures* earlier ones and this one; None: that was the last.

    *chance* in [0, 1) stretches the wait by up to a tenth.
    """
    if failures >= len(SCHEDULE_S):
        return None
    return SCHEDULE_S[failures] * (1 + _JITTER * chance)


# --- as read back ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingRecord:
    """An event as an operator sees it."""

    id: str
    sink: str
    type: OutgoingType
    state: OutgoingState
    job_id: str
    occurred_at_ms: int
    attempt: int = 0
    failures: int = 0
    due_at_ms: int | None = None
    changed_at_ms: int | None = None
    fault: str | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkPlan:
    """A sink that is to be switched on."""

    name: str
    only_source: str | None = None  #: events of other requests are not for it: `crm:hubspot`
    mark: str = ""  #: of where it leads: another one is no longer gone, down or paused


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkRecord:
    """How a sink stands."""

    name: str
    is_enabled: bool
    waiting: int = 0
    sending: int = 0
    failed: int = 0
    told: int = 0  #: ever
    dropped: int = 0  #: events never recorded, because too many were kept
    oldest_due_ms: int | None = None
    down_since_ms: int | None = None  #: None: it works, as far as is known
    paused_until_ms: int | None = None
    gone_since_ms: int | None = None
    fault: str | None = None  #: why it is down, paused or gone
    status: int | None = None

    @property
    def is_full(self) -> bool:
        """Tell whether further events are dropped."""
        return self.waiting + self.failed >= MOST_UNTOLD

    def is_stopped(self, now_ms: int) -> bool:
        """Tell whether it is down, paused or gone at *now_ms*."""
        is_paused = self.paused_until_ms is not None and self.paused_until_ms > now_ms
        return is_paused or self.down_since_ms is not None or self.gone_since_ms is not None
