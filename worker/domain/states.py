"""The states of jobs and deliveries, and the one table of moves between them.

The Lua scripts, the CLI, the API and the docs use these very words; a test fails where they drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Lane(StrEnum):
    """A place in the order, with its share of the partner's rate."""

    LIVE = "live"  #: one customer at a time: CRM events, API calls
    BULK = "bulk"  #: backfills


class Channel(StrEnum):
    """How a link reaches the customer."""

    EMAIL = "email"
    SMS = "sms"


class ChannelPolicy(StrEnum):
    """Which of an invitation's channels get a message."""

    ALL = "all"  #: every channel that has a contact
    FIRST = "first"  #: the first that works, falling back to the next


class JobState(StrEnum):
    """Where a job stands. Who enters and leaves each state is `TRANSITIONS`."""

    AVAILABLE = "available"  #: may be claimed now
    SCHEDULED = "scheduled"  #: waits for its time
    RUNNING = "running"  #: claimed under a lease; a crash leaves it here until the rescue
    IN_DOUBT = "in_doubt"  #: a create was begun and its answer never understood
    LINKED = "linked"  #: the partner made our link
    ONBOARDED = "onboarded"  #: the customer finished; final
    REVOKED = "revoked"  #: an operator deleted the partner's link; final
    FAILED = "failed"  #: needs a person: the failed queue
    DEAD = "dead"  #: discarded: the dead-letter queue
    CANCELLED = "cancelled"  #: final


WAITING_STATES = frozenset({JobState.AVAILABLE, JobState.SCHEDULED})
#: States in which an attempt has come to its end, one way or the other.
ENDED_STATES = frozenset(
    {
        JobState.LINKED,
        JobState.ONBOARDED,
        JobState.REVOKED,
        JobState.FAILED,
        JobState.DEAD,
        JobState.CANCELLED,
    }
)
#: States in which the claim on the customer's number is let go.
CLAIM_FREE_STATES = frozenset({JobState.CANCELLED, JobState.DEAD, JobState.REVOKED})


class DeliveryState(StrEnum):
    """Where one message to one customer stands."""

    PENDING = "pending"  #: waits for its turn or its time
    SENDING = "sending"  #: claimed under a lease
    SENT = "sent"  #: the mail or SMS provider took it; final
    IN_DOUBT = "in_doubt"  #: the provider may have taken it
    FAILED = "failed"  #: refused for good; shows in the failed queue
    SKIPPED = "skipped"  #: nobody to send to, or not allowed to; the reason says why


@dataclass(frozen=True, slots=True)
class Transition:
    """What one ledger verb may do: from any of `sources` to any of `targets`."""

    sources: frozenset[JobState]
    targets: frozenset[JobState]


def _move(sources: str, targets: str) -> Transition:
    return Transition(
        frozenset(JobState(word) for word in sources.split()),
        frozenset(JobState(word) for word in targets.split()),
    )


#: Ledger verb → the moves it may make. Where a change of a link is called off, the job is linked again, or revoked. `settle_*` also takes a late answer out of `in_doubt`, by the call's token.
TRANSITIONS: Mapping[str, Transition] = {
    "promote": _move("scheduled", "available"),
    "claim": _move("available", "running"),
    "settle_linked": _move("running in_doubt", "linked"),
    "settle_failed": _move("running in_doubt", "failed available dead cancelled linked revoked"),
    "settle_retry": _move("running in_doubt", "scheduled failed available cancelled linked revoked"),
    "settle_snoozed": _move("running", "scheduled available cancelled linked revoked"),
    "settle_doubt": _move("running in_doubt", "in_doubt"),
    "settle_deleted": _move("running", "available scheduled revoked"),
    "settle_finished": _move("running", "onboarded"),
    "resolve": _move("in_doubt", "linked onboarded failed available cancelled revoked"),
    "explain": _move("failed", "failed linked onboarded"),
    "release": _move("failed", "available"),
    "rescue": _move("running", "available in_doubt scheduled failed cancelled linked revoked"),
    "requeue": _move("failed dead", "available"),
    "discard": _move("failed", "dead"),
    "restore": _move("dead", "failed"),
    "cancel": _move("available scheduled running failed", "cancelled running linked revoked"),
    "replace": _move("linked failed", "available"),
    "revoke": _move("linked failed", "available revoked"),
    #: Besides `linked`: where its link only seemed to have vanished, or was to be changed and stands as it did.
    "complete": _move("linked failed available scheduled", "onboarded"),
    "vanish": _move("linked", "failed"),
}
