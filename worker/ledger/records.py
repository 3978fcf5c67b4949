"""What the ledger's verbs and queries answer, where the domain has no word of its own for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from worker.domain.job import DeliveryRecord, JobRecord
from worker.domain.request import Contact, OnboardingRequest
from worker.domain.states import DeliveryState, JobState, Lane

if TYPE_CHECKING:  # two dozen records that most who read jobs have no use for
    from worker.domain.event import EventState
    from worker.domain.outgoing import OutgoingState

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """What an operator's verb came to."""

    done: bool
    #: where it stands now; None when there is no such thing
    state: JobState | DeliveryState | EventState | OutgoingState | None
    #: gone, not_failed, waits_already, dead_already, claimed_by_another, past_cancelling, …
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEdit:
    """An operator's edit of a request."""

    base: OnboardingRequest  #: that was edited: if it is another by now, nothing is done
    request: OnboardingRequest  #: to be in its place
    fingerprint: str
    changes: str  #: before and after of each field as JSON, for the trail
    told: str  #: the same in words and masked, for the job's history


@dataclass(frozen=True, slots=True, kw_only=True)
class Readdress:
    """Another contact for an invitation, by an operator."""

    base: OnboardingRequest  #: that he saw: if it is another by now, nothing is done
    contact: Contact  #: to be in the place of its own
    changes: str  #: before and after of each field as JSON, for the trail


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescued:
    """Where the jobs went whose leases had run out."""

    available: tuple[str, ...] = ()
    in_doubt: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    retried: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Return how many jobs were rescued."""
        groups = (self.available, self.in_doubt, self.failed, self.retried, self.cancelled)
        return sum(len(group) for group in groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelResult:
    """How many jobs of a batch were cancelled, and how many will be where they would be tried again."""

    cancelled: int
    running: int  #: their calls are under way and are left alone
    in_doubt: int = 0  #: their calls are made, and a look-up tells what came of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Who stands on a claim already: what a further request for the same customer would meet."""

    invitation_id: str
    job_ids: tuple[str, ...]
    state: JobState  #: of the first job
    fingerprint: str  #: of what the partner is asked for; another one is a conflict
    contact_mark: str  #: of where the invitation goes
    source: str = ""  #: by which it came: `csv`, `crm:hubspot`, …


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why a lane or batch is held."""

    reason: str
    since_ms: int
    count: int  #: jobs that wait behind it, tries to come included


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldOutlook:
    """What has become of the FAILs that made a hold."""

    standing: int = 0  #: that still stand failed and unexplained
    looked_up: int = 0  #: of those: which the partner's lists are to explain, and have not yet
    #: as what the others were explained, and how many
    explained: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_explaining(self) -> bool:
        """Tell whether the look-up may still clear it by itself."""
        return 0 < self.standing == self.looked_up

    @property
    def is_over(self) -> bool:
        """Tell whether nothing is left of what was explained in part."""
        return not self.standing and bool(self.explained)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """All that the ledger holds of one batch."""

    id: str
    name: str
    source: str
    by: str
    total: int | None  #: rows of the file, where known
    opened_at_ms: int
    closed_at_ms: int | None
    cancelled_at_ms: int | None
    accepted: int  #: invitations
    duplicates: int
    conflicts: int
    rejected: int
    pruned: int  #: jobs
    is_paused: bool
    hold: Hold | None
    jobs: dict[JobState, int]
    failures: dict[str, int]  #: failed jobs by reason, the most frequent first
    read: int | None = None  #: rows of the file that its importer has come to, as far as it has told
    told_at_ms: int | None = None  #: when it told that; it does every few seconds while it lives
    path: str | None = None  #: of the file, where it was one
    options: str | None = None  #: the options of the command that brought it; None: not known


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """One job of a batch with the messages that carry its link."""

    job_id: str
    job: JobRecord | None  #: None: pruned since
    messages: tuple[DeliveryRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What is worked on before a batch's waiting jobs, or in turn with them."""

    live: int  #: jobs of the live lane that wait
    bulk: int  #: jobs of the bulk lane's other queues that have their turns meanwhile
    queues: int  #: how many such queues


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneView:
    """How a lane stands."""

    waiting: int
    oldest_s: float | None
    paused: bool
    held: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs to list; what is None does not matter.

    `reason` and `reason_class` without a state look at failed jobs. `stage` is `link` (jobs) or `delivery`:
    failed deliveries are listed by `ledger.deliveries.failed`.
    """

    state: JobState | None = None
    reason: str | None = None
    reason_class: str | None = None
    lane: Lane | None = None
    batch: str | None = None
    source: str | None = None
    #: digits with country code: the customer's own, or one where the invitation goes
    number: str | None = None
    email: str | None = None  #: where the invitation goes; the business's own where it goes nowhere
    #: words of the business's names, or their beginnings; the contact's where it has none
    name: str | None = None
    external_id: str | None = None
    reference: str | None = None
    older_than_s: float | None = None  #: last changed longer ago than that
    newer_than_s: float | None = None  #: last changed less long ago than that
    min_attempts: int | None = None
    min_requeues: int | None = None  #: how often an operator let it try again
    stage: str | None = None

    def document(self) -> dict[str, Any]:
        """Return what is asked for, ready for JSON; what does not matter is left out."""
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: value for name, value in values if value is not None}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> JobFilter:
        """Return the filter that `document` wrote; raises ValueError for a name or word that it never writes."""
        words = dict(document)
        if unknown := set(words) - {each.name for each in fields(cls)}:
            raise ValueError(f"not of a filter: {', '.join(sorted(unknown))}")
        if words.get("state") is not None:
            words["state"] = JobState(words["state"])
        if words.get("lane") is not None:
            words["lane"] = Lane(words["lane"])
        return cls(**words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list."""

    items: tuple[T, ...]
    next: str | None  #: cursor of the next page; None at the end
    total: int
    is_total_exact: bool = True  #: False: counting stopped at a bound, there are at least `total`


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Failed jobs that share a reason."""

    reason: str
    reason_class: str
    code: int | None
    count: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The ledger's books at one instant: `difference` is 0, or a job was lost or made twice."""

    accepted: int
    ended: int
    waiting: int
    running: int
    in_doubt: int
    pruned: int
    difference: int
    wrong: tuple[str, ...] = ()  #: indexes that disagree with the jobs, a sentence each (bounded sample)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What the server says of itself, as far as it matters to what may be lost."""

    version: str
    is_aof: bool
    fsync: str  #: always, everysec, no, unknown
    maxmemory_policy: str
    loss_window: str  #: what a power cut may lose, in words
    ack_delay_ms: int = 0  #: how late it may notice that its disk holds what an accept waits for


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """One worker process that lives."""

    id: str
    facts: dict[str, Any] = field(default_factory=dict)
