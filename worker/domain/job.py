"""Jobs, invitations and deliveries at each stage of their life: a type per stage, frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from worker.domain.request import OnboardingRequest, Product
from worker.domain.states import Channel, ChannelPolicy, DeliveryState, JobState, Lane

# --- on the way in -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInvitation:
    """What a producer hands to the ledger: one request with one job per product. Ids are made by the caller."""

    id: str
    lane: Lane
    source: str  #: `api`, `cli`, `csv`, `crm:hubspot`, …
    request: OnboardingRequest
    fingerprint: str  #: of the partner fields of all products, less the reference (16 characters)
    claim_key: str  #: `n:972…` for a WhatsApp number, else `b:<hash>`: held while any invitation stands on it
    contact_mark: str  #: short hash of the contact: tells "only the contact differs" from a true duplicate
    channels: tuple[Channel, ...]  #: resolved order; a channel without a contact is in `skips` instead
    channel_policy: ChannelPolicy
    skips: tuple[tuple[Channel, str], ...] = ()  #: channel → reason it gets no message
    event_key: str | None = None  #: hash of an idempotency key or CRM event id
    batch_id: str | None = None
    line: int | None = None  #: line of the batch's file
    not_before_ms: int | None = None


class Verdict(StrEnum):
    """What the ledger did with a new invitation."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    FULL = "full"  #: the ledger holds MAX_WAITING jobs: nothing recorded
    CANCELLED = "cancelled"  #: its batch was cancelled: nothing recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a producer gets back: the ids that stand, whoever brought them first."""

    verdict: Verdict
    invitation_id: str
    job_ids: tuple[str, ...] = ()
    state: JobState = JobState.AVAILABLE  #: of the first job
    contact_differs: bool = False  #: a duplicate whose contact is another: the first contact stands
    is_replaceable: bool = False  #: a conflict whose link could be replaced by an operator
    is_key_reused: bool = False  #: a conflict of keys: the idempotency key or event stands for other data
    is_anothers_id: bool = False  #: a conflict of ids: another source gave this one to another contact
    ring: tuple[str, ...] = ()  #: jobs whose bell the caller is to ring now (live lane, not too many yet)


# --- at work -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work a claimed job (or delivery) until `expires_at_ms`, proven by `token`."""

    subject_id: str
    token: str  #: `<worker id>.<random>`
    expires_at_ms: int  #: Redis time
    ttl_s: float


class ClaimRefusal(StrEnum):
    """Why a bell led to nothing. All but HELD and PAUSED mean: somebody else has seen to it."""

    GONE = "gone"
    NOT_AVAILABLE = "not_available"
    PAUSED = "paused"
    HELD = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedJob:
    """A job that this process may work on, while the lease holds."""

    id: str
    product: Product
    lane: Lane
    batch_id: str | None
    attempt: int  #: 1 on the first; only rises
    failures: int  #: tries used up
    orphans: int  #: unknown Facebook creates so far
    request: OnboardingRequest
    lease: Lease
    op: str | None = None  #: what is being done to a link that was made: see `worker.domain.change.Op`
    replacements: int = 0  #: links that were replaced: a part of the new one's reference
    linked_number: str | None = None  #: the number of the link that is to be deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What settling came to."""

    held: bool  #: False: the lease was no longer ours and nothing was written
    state: JobState | None = None  #: where the job stands now
    deliveries: tuple[str, ...] = ()  #: delivery ids that came due by this: to be rung
    is_rung: bool = False  #: the job itself goes on at once: its bell is to be rung


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkToSend:
    """One link of an invitation, for its message."""

    job_id: str
    product: Product
    link: str
    number: str | None
    #: when the link was made that this one replaces; None: it replaces none
    replaces_at_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedDelivery:
    """A message that this process may send, while the lease holds."""

    id: str
    invitation_id: str
    channel: Channel
    template: str  #: `invitation` or `reminder`
    generation: int  #: 1 for the first message; later links come in later ones. A reminder's is its number
    failures: int
    is_resend: bool  #: sent again after doubt: the same message, mark and all
    asked_again: int = 0  #: times an operator asked for it to be sent again: another message each time
    first_sent_at_ms: int | None = None  #: when the invitation's first message went out; None: none did yet
    request: OnboardingRequest
    links: tuple[LinkToSend, ...]
    lease: Lease


# --- as read back ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One thing that happened to a job."""

    at_ms: int
    event: (
        str  #: accepted, linked, failed, retry, snoozed, in_doubt, rescued, requeued, discarded, explained, …
    )
    detail: dict[str, str | int | float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """All that the ledger holds of one job, for reading."""

    id: str
    invitation_id: str
    product: Product
    state: JobState
    lane: Lane
    source: str
    batch_id: str | None
    line: int | None
    accepted_at_ms: int
    changed_at_ms: int
    due_at_ms: int | None
    attempt: int
    failures: int
    orphans: int
    requeues: int
    number: str | None
    reason: str | None
    reason_class: str | None
    code: int | None
    raw: str | None
    link: str | None
    landing_page: str | None
    is_cancel_asked: bool
    request: OnboardingRequest
    detail: str | None = None  #: what we know beyond the partner's answer: `tries used up`, …
    dead_by: str | None = None  #: of a dead letter: who gave it up, or `policy`: the reason's own
    dead_why: str | None = None
    dead_act: str | None = None  #: the bulk act by which
    op: str | None = None  #: what is being done to its link: see `worker.domain.change.Op`
    replacements: int = 0  #: links that were replaced by later ones
    #: when the link was made that the present one, or the coming one, replaces
    replaced_at_ms: int | None = None
    next_request: OnboardingRequest | None = None  #: that of the new link, until the old one is deleted
    made_at_ms: int | None = None  #: when its present link was made, as far as that was written down
    told_generation: int | None = None  #: of the messages that tell of its present link; None: none do yet
    kept_since_ms: int | None = None  #: of a failed one: from when on it counts how long it is kept


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """All that the ledger holds of one delivery, for reading."""

    id: str
    invitation_id: str
    channel: Channel
    template: str
    generation: int
    state: DeliveryState
    failures: int
    doubts: int  #: times it was sent again after doubt
    reason: str | None
    detail: str | None
    provider_id: str | None
    changed_at_ms: int
    due_at_ms: int | None
    job_ids: tuple[str, ...]
    waits_for: str | None = None  #: of a pending one: `window`, put off until SEND_WINDOW opens
    made_at_ms: int = 0
    asked_again: int = 0  #: times an operator had it sent again
    has_gone_out: bool = False  #: it was sent, now or before it was to be sent again
