"""The values an attempt can end with, from the partner's answer to what the ledger is told.

Two floors. An **ending** is what the partner client saw of one call: `Answered`, `NotDone` (surely nothing
happened there) or `Unanswered` (nobody knows). `classify` turns an ending into an **outcome**, which the
ledger settles; retry times and reasons are decided by then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# --- endings: what one call to the partner came to ---------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The partner answered in its own terms: a JSON object with a status that could be read."""

    is_ok: bool  #: status OK, in any letter case
    code: int | None  #: the partner's `reason`; None where it sent none that is a number
    body: Mapping[str, Any]  #: all of the answer, unknown fields included; holds personal data, never log it
    http_status: int
    raw: str = ""  #: the answer's text, masked, at most 2,000 characters: this may be kept


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDone:
    """The call surely did nothing: it never reached the partner, or was turned away at the door."""

    reason: str  #: a name of the reasons catalogue: partner_unreachable, partner_throttled, token_refused, …
    detail: str = ""  #: masked, for the history
    retry_after_s: float | None = None  #: what the partner asked for
    http_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """The request was sent and what came back, if anything, does not tell whether it was done."""

    reason: str  #: partner_timeout, partner_dropped, partner_unreadable, partner_error
    detail: str = ""
    http_status: int | None = None


Ending = Answered | NotDone | Unanswered


# --- outcomes: what the ledger is told ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """Why something failed: everything an operator needs, nothing personal."""

    reason: str  #: stable name from the reasons catalogue
    reason_class: str  #: transient, throttled, credentials, bad_data, not_registered, link_exists, unknown, …
    code: int | None = None  #: the partner's own code
    raw: str = ""  #: the partner's masked answer
    detail: str = ""
    is_own_data: bool = False  #: the row itself is at fault: says nothing about its neighbours


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """The partner made a link, or a look-up found ours."""

    link: str
    landing_page: str | None = None
    number: str | None = None  #: the number that the link is for (coexistence: the temporary one)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A FAIL that needs a person; `is_discard` sends it straight to the dead letters, by the reason's policy."""

    fail: Fail
    is_discard: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A failure that time may mend; uses up a try. `max_failures` reached: the job is failed instead."""

    fail: Fail
    delay_s: float
    max_failures: int
    is_orphan: bool = False  #: a Facebook create of unknown outcome: a link may lie unused at the partner
    is_maybe_done: bool = False  #: a delete of unknown outcome: the link may be gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Snoozed:
    """Put back without using up a try: rate, breaker, credentials, pause, drain."""

    reason: str
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubtful:
    """A WhatsApp create whose outcome nobody knows: to be settled by look-up, never by a second create."""

    fail: Fail


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """The link that was to be deleted is no longer at the partner."""

    is_found: bool = True  #: False: it was gone before
    number: str | None = None  #: by which its job is not to be found any more: one that was the link's alone
    late_s: float = 0.0  #: a lost delete may still be done so long after: a new link waits for that


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The customer has finished with the link that was to be deleted: it can be neither changed nor deleted."""


Outcome = Linked | Refused | Retry | Snoozed | Doubtful | Deleted | Finished


# --- what a look-up found about one job --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundOurs:
    """The partner's list holds the link made for this very job."""

    linked: Linked
    is_finished: bool = False  #: the customer has completed it


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundForeign:
    """The number carries a link that this job did not make."""

    fail: Fail


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A complete list that was begun at `list_began_ms` (Redis time) does not hold it."""

    list_began_ms: int


Finding = FoundOurs | FoundForeign | Absent


# --- deliveries --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The provider took the message."""

    provider_id: str = ""
    segments: int = 0  #: SMS parts; 0 for mail


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """The provider refused it for good: this recipient will not get it by this channel."""

    fail: Fail


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRetry:
    """Surely not sent, and worth another try after `delay_s`."""

    fail: Fail
    delay_s: float
    max_failures: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryDoubt:
    """The provider may have taken it: the answer after the last byte was lost."""

    fail: Fail


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelDown:
    """Our side is at fault (credentials, policy): nothing was sent and no recipient is to blame."""

    fail: Fail
    pause_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Not to be sent at all: no contact, outside the allowlist, wrong customer's link."""

    reason: str


DeliveryOutcome = Sent | Undelivered | DeliveryRetry | DeliveryDoubt | ChannelDown | Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountEntry:
    """One row of the partner's list of WhatsApp links."""

    whatsapp: str
    reference: str | None
    link: str
    landing_page: str | None = None
    is_finished: bool = False
    is_coexistence: bool = False
    created_s: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredNumber:
    """One registered, verified, not yet connected number."""

    whatsapp: str
    expires_s: int
    link: str | None = None
