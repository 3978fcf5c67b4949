"""What the partner says of one customer's links right now, in sentences. Who asks it: whoever has its client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from worker.domain.change import reference_of
from worker.domain.classify import Accounts
from worker.domain.job import JobRecord
from worker.domain.outcome import AccountEntry, RegisteredNumber
from worker.domain.reasons import Catalogue
from worker.domain.request import Product
from worker.domain.states import JobState
from worker.ops.views import iso
from worker.ops.words import Said, said


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerLists:
    """The partner's two lists as they were read a moment ago; None: it could not be asked, and `reason` says why."""

    accounts: Sequence[AccountEntry] | None = None
    registered: Sequence[RegisteredNumber] | None = None
    reason: str | None = None


#: Asks the partner, under a slot of its rate and with a short patience; raises nothing.
AskPartner = Callable[[], Awaitable[PartnerLists]]
#: Reasons whose meanings speak of a link that was to be made: here it was only a list.
_LOST = frozenset({"partner_timeout", "partner_dropped", "partner_unreadable"})
#: States in which the partner may have something to say about a job.
_ASKED = frozenset(
    {JobState.LINKED, JobState.ONBOARDED, JobState.FAILED, JobState.IN_DOUBT, JobState.REVOKED, JobState.DEAD}
)


class PartnerView:
    """One look at the partner, for all jobs of a customer."""

    def __init__(self, lists: PartnerLists, catalogue: Catalogue) -> None:
        """Tell what *lists* show; *catalogue* explains why there are none."""
        self._lists = lists
        self._accounts = None if lists.accounts is None else Accounts(lists.accounts)
        self._registered = {each.whatsapp: each for each in lists.registered or ()}
        self._catalogue = catalogue

    def says(self, job: JobRecord) -> Said | None:
        """Return what the partner says of a job, or None where there is nothing that it could say."""
        if job.product is not Product.WHATSAPP:
            return said("partner_unlisted") if job.state is JobState.LINKED else None
        if self._accounts is None:
            return self._silence()
        if ours := self._accounts.made_by(reference_of(job.id, job.replacements)):
            return said("partner_finished" if ours.is_finished else "partner_waiting")
        return self._of_number(job)

    def _silence(self) -> Said:
        reason = self._lists.reason or "partner_unreachable"
        if reason in _LOST:
            return said("partner_no_answer")
        return said("partner_silent", reason=reason, meaning=self._catalogue.named(reason).meaning)

    def _of_number(self, job: JobRecord) -> Said | None:
        foreign = None
        if self._accounts is not None and job.number and not job.request.is_coexistence:
            foreign = self._accounts.of_number(job.number)
        if foreign is not None:
            return said("partner_foreign_finished" if foreign.is_finished else "partner_foreign")
        registered = self._registered.get(job.number or "")
        if registered is not None:
            return said("partner_registered", until_at=iso(registered.expires_s * 1000))
        return said("partner_absent") if job.state in _ASKED else None
