"""An event that came in from outside (a CRM's webhook): recorded as it came, worked on after its ack."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from worker.domain.job import HistoryEntry, Lease
from worker.domain.parse import Problem


class EventState(StrEnum):
    """Where an incoming event stands. Only `failed` needs a person."""

    WAITING = "waiting"
    WORKING = "working"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


#: Every reason that an event can have; docs/crm/README.md tells what each means.
EVENT_REASONS = frozenset(
    {
        "altered", "conflict", "crm_refused", "crm_throttled", "crm_unreachable", "deleted", "discarded", "fault",
        "filtered", "gone", "incomplete", "invalid_request", "irrelevant_association", "irrelevant_column",
        "irrelevant_property", "ledger_full", "not_a_contact", "own_write_back", "unknown_app", "unknown_board",
        "unknown_portal", "unknown_type",
    }
)  # fmt: skip


class EventVerdict(StrEnum):
    """What recording an event came to; all but FULL are acked."""

    RECORDED = "recorded"
    DUPLICATE = "duplicate"
    ALTERED = "altered"  #: this key was seen with another body: recorded as failed, for a person to look at
    FULL = "full"  #: as many wait as may: not recorded, the sender is asked to come again


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to be recorded. Ids are made by the caller, so that recording twice is harmless."""

    id: str
    source: str  #: `crm:hubspot`, …
    key: str  #: the sender's own identity of the event, the same for every redelivery
    digest: str  #: of what may not differ between redeliveries
    body: str  #: JSON, as the source's module reads it again; holds personal data, never log it


@dataclass(frozen=True, slots=True, kw_only=True)
class EventReceipt:
    """What recording one event came to."""

    id: str  #: of the record that stands, the first one's for a duplicate
    verdict: EventVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedEvent:
    """An event that this process may work on, while the lease holds."""

    id: str
    source: str
    key: str
    body: str
    attempt: int
    failures: int
    received_at_ms: int
    lease: Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDone:
    """It became these jobs, or was about jobs that stood already."""

    job_ids: tuple[str, ...]
    is_new: bool = True
    contact_differs: bool = False  #: they stand with another contact; nothing was changed


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSkipped:
    """Deliberately not followed; the reason is one of our own words."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFailed:
    """It can't become a request as it is: a person mends the CRM, the field map or the event."""

    reason: str
    problems: tuple[Problem, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRetry:
    """The CRM could not be asked, or the ledger is full: again after *delay_s*; `failed` after *max_failures* of them."""

    reason: str
    delay_s: float
    max_failures: int | None = 12  #: None: a wait that uses up no try (the CRM's own rate limit)


EventOutcome = EventDone | EventSkipped | EventFailed | EventRetry


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """An event as an operator sees it. `body` holds personal data."""

    id: str
    source: str
    key: str
    state: EventState
    received_at_ms: int
    changed_at_ms: int
    attempt: int = 0
    failures: int = 0
    reason: str | None = None
    problems: tuple[Problem, ...] = ()
    job_ids: tuple[str, ...] = ()
    is_new: bool = True  #: False: the jobs stood already
    contact_differs: bool = False  #: they stood with another contact, and that one stands
    due_at_ms: int | None = None  #: of a waiting one
    body: str = ""  #: until it is done or skipped; lists leave it out
    history: tuple[HistoryEntry, ...] = ()  #: what operators did to it; lists leave it out
