"""What a create's ending means for its job, and what the partner's lists say about a job in doubt.

The one difference that matters: after a WhatsApp create of unknown outcome nothing is tried again until a
look-up has spoken, since a number can have one link only; Facebook has no list and links without limit, so
an unknown create is repeated once and counted as a possible orphan.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from worker.domain.change import job_id_of_reference
from worker.domain.outcome import (
    Absent,
    AccountEntry,
    Answered,
    Deleted,
    Doubtful,
    Ending,
    Fail,
    Finding,
    Finished,
    FoundForeign,
    FoundOurs,
    Linked,
    NotDone,
    Outcome,
    Refused,
    Retry,
    Snoozed,
    Unanswered,
)
from worker.domain.reasons import Catalogue, Policy, Reason
from worker.domain.request import Product
from worker.domain.retry import policy_for, retry_delay_s, snooze_delay_s

_LONGEST_LINK = 2048
_OK_CODE = 1  # the partner's `reason` for "no failure"
_TOKEN_EXPIRED_SNOOZE_S = 1.0
_MAX_ORPHANS = 1
DELETE_CALL = "delete_account"  #: the catalogue's name of the call that deletes a link


def call_of(product: Product) -> str:
    """Return the catalogue's name of the call that makes *product*'s link."""
    return "create_whatsapp" if product is Product.WHATSAPP else "create_facebook"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """What is known of the attempt besides its ending."""

    product: Product
    failures: int
    orphans: int
    catalogue: Catalogue
    chance: float


def classify_create(
    product: Product,
    ending: Ending,
    *,
    failures: int,
    orphans: int,
    catalogue: Catalogue,
    chance: float,
    number: str | None = None,
) -> Outcome:
    """Return what the ledger is to be told of a create call.

    *failures* and *orphans* are those before this attempt; *chance* in [0, 1) spreads retries. With *number*
    (the one asked for; not for coexistence) an answer about another number is not believed.
    """
    attempt = _Attempt(
        product=product, failures=failures, orphans=orphans, catalogue=catalogue, chance=chance
    )
    match ending:
        case NotDone():
            return _surely_not_done(ending, attempt)
        case Unanswered():
            return _unknown(ending.reason, ending.detail, "", attempt)
        case Answered(is_ok=True):
            return _made(ending, attempt, number)
        case Answered():
            return _refused(ending, attempt)


def classify_delete(ending: Ending, *, failures: int, catalogue: Catalogue, chance: float) -> Outcome:
    """Return what the ledger is to be told of the delete of a WhatsApp link; arguments as of `classify_create`.

    A delete may be said twice: one whose outcome nobody knows is retried, and is never in doubt.
    """
    attempt = _Attempt(
        product=Product.WHATSAPP, failures=failures, orphans=0, catalogue=catalogue, chance=chance
    )
    match ending:
        case NotDone():
            return _surely_not_done(ending, attempt)
        case Unanswered():
            return _maybe_deleted(ending.reason, ending.detail, "", attempt)
        case Answered(is_ok=True):
            return Deleted()
        case Answered():
            return _not_deleted(ending, attempt)


def _not_deleted(ending: Answered, attempt: _Attempt) -> Outcome:
    if ending.code == _OK_CODE:
        return _maybe_deleted("partner_unreadable", "FAIL with reason 1", ending.raw, attempt)
    reason = attempt.catalogue.for_code(DELETE_CALL, ending.code)
    if reason.name == "onboarding_not_found":
        return Deleted(is_found=False)
    if reason.name == "already_onboarded":
        return Finished()
    return _by_policy(reason, _fail(reason, code=ending.code, raw=ending.raw), attempt, None)


def _maybe_deleted(name: str, detail: str, raw: str, attempt: _Attempt) -> Outcome:
    reason = attempt.catalogue.named(name)
    retry = _retry(reason, _fail(reason, raw=raw, detail=detail), attempt)
    return replace(retry, is_maybe_done=True)


def _surely_not_done(ending: NotDone, attempt: _Attempt) -> Outcome:
    reason = attempt.catalogue.named(ending.reason)
    fail = _fail(reason, detail=ending.detail)
    return _by_policy(reason, fail, attempt, ending.retry_after_s)


def _made(ending: Answered, attempt: _Attempt, number: str | None) -> Outcome:
    link = usable_link(ending.body.get("onboarding_link"))
    if link is None:
        return _unknown("partner_unreadable", "OK without a usable link", ending.raw, attempt)
    answered = _digits(ending.body.get("whatsapp"))
    if attempt.product is not Product.WHATSAPP:
        return Linked(link=link)
    if number is not None and answered is not None and answered != number:
        # Another customer's link must never be sent: only the list can tell what happened.
        return _unknown("partner_unreadable", "OK, but about another number", ending.raw, attempt)
    return Linked(
        link=link, landing_page=usable_link(ending.body.get("landing_page")), number=answered or number
    )


def _refused(ending: Answered, attempt: _Attempt) -> Outcome:
    if ending.code == _OK_CODE:
        # FAIL with the code of success contradicts itself, so the link may have been made.
        return _unknown("partner_unreadable", "FAIL with reason 1", ending.raw, attempt)
    reason = attempt.catalogue.for_code(call_of(attempt.product), ending.code)
    return _by_policy(reason, _fail(reason, code=ending.code, raw=ending.raw), attempt, None)


def _by_policy(reason: Reason, fail: Fail, attempt: _Attempt, retry_after_s: float | None) -> Outcome:
    match reason.policy:
        case Policy.SNOOZE if reason.name == "token_expired":
            return Snoozed(reason=reason.name, delay_s=_TOKEN_EXPIRED_SNOOZE_S * (1.0 + attempt.chance))
        case Policy.SNOOZE:
            delay_s = snooze_delay_s(reason.reason_class, chance=attempt.chance, retry_after_s=retry_after_s)
            return Snoozed(reason=reason.name, delay_s=delay_s)
        case Policy.RETRY:
            return _retry(reason, fail, attempt, retry_after_s=retry_after_s)
        case Policy.FAIL | Policy.DISCARD:
            return Refused(fail=fail, is_discard=reason.policy is Policy.DISCARD)


def _unknown(name: str, detail: str, raw: str, attempt: _Attempt) -> Outcome:
    """Return the outcome of a create that may or may not have been done."""
    reason = attempt.catalogue.named(name)
    fail = _fail(reason, raw=raw, detail=detail)
    if attempt.product is Product.WHATSAPP:
        return Doubtful(fail=fail)
    if attempt.orphans < _MAX_ORPHANS:
        return _retry(reason, fail, attempt, is_orphan=True)
    last = attempt.catalogue.named("unknown_outcome")
    return Refused(fail=_fail(last, raw=raw, detail=f"{name}: {detail}" if detail else name))


def _retry(
    reason: Reason,
    fail: Fail,
    attempt: _Attempt,
    *,
    retry_after_s: float | None = None,
    is_orphan: bool = False,
) -> Retry:
    policy = policy_for(reason.reason_class)
    delay_s = retry_delay_s(policy, attempt.failures, chance=attempt.chance, retry_after_s=retry_after_s)
    return Retry(fail=fail, delay_s=delay_s, max_failures=policy.max_failures, is_orphan=is_orphan)


def _fail(reason: Reason, *, code: int | None = None, raw: str = "", detail: str = "") -> Fail:
    return Fail(
        reason=reason.name,
        reason_class=reason.reason_class.value,
        code=code,
        raw=raw,
        detail=detail,
        is_own_data=reason.is_own_data,
    )


def usable_link(value: object) -> str | None:
    """Return *value* as a web address that can be sent to a customer, or None."""
    if not isinstance(value, str):
        return None
    link = value.strip()
    host = link.partition("://")[2]
    is_usable = (
        link[:8].lower().startswith(("https://", "http://"))
        and host[:1].isalnum()
        and len(link) <= _LONGEST_LINK
        and link.isprintable()
        and not set(link) & set(" \"'<>\\`")
    )
    return link if is_usable else None


def _digits(value: object) -> str | None:
    """Return the digits of a number that the partner sent as text or as a JSON number."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    text = str(value).strip().removeprefix("+")
    return text if text.isascii() and text.isdigit() and len(text) > 1 else None


# --- look-ups ----------------------------------------------------------------------------------------------


class Accounts:
    """One complete list of the partner's links, indexed: one list serves every job in doubt."""

    def __init__(self, entries: Iterable[AccountEntry]) -> None:
        self._by_reference: dict[str, AccountEntry] = {}
        self._by_number: dict[str, AccountEntry] = {}
        self._latest: dict[str, AccountEntry] | None = None
        for entry in entries:
            _keep_finished(self._by_reference, (entry.reference or "").strip().lower(), entry)
            _keep_finished(self._by_number, _digits(entry.whatsapp) or "", entry)

    @classmethod
    def indexed(cls, entries: Iterable[AccountEntry]) -> Self:
        """Return the list ready for `latest_of`: half a second's work for 100,000 links, so for a thread of its own."""
        accounts = cls(entries)
        accounts.latest_of("")
        return accounts

    def made_by(self, reference: str) -> AccountEntry | None:
        """Return the link that was made with this reference."""
        return self._by_reference.get(reference.lower())

    def latest_of(self, job_id: str) -> AccountEntry | None:
        """Return the last link that was made for a job: after replacements, that with the highest number."""
        if self._latest is None:
            self._latest = {}
            for reference, entry in sorted(
                self._by_reference.items(), key=lambda each: (len(each[0]), each[0])
            ):
                if (owner := job_id_of_reference(reference)) is not None:
                    self._latest[owner] = entry
        return self._latest.get(job_id.lower())

    def of_number(self, number: str) -> AccountEntry | None:
        """Return the link that stands on *number*, whoever made it."""
        return self._by_number.get(number)


def _keep_finished(index: dict[str, AccountEntry], key: str, entry: AccountEntry) -> None:
    """Keep one entry for each key; a finished onboarding outweighs one that waits."""
    if key and (key not in index or entry.is_finished):
        index[key] = entry


def finding_for(
    reference: str,
    number: str | None,
    is_coexistence: bool,  # noqa: FBT001 - a fact about the job, beside its number
    entries: Accounts | Iterable[AccountEntry],
    list_began_ms: int,
    catalogue: Catalogue,
) -> Finding:
    """Return what a complete list, begun at *list_began_ms* (Redis time), says about a job.

    The link is ours where it bears *reference*: that of an earlier link of the same job, which it was to replace, is
    another, unless the customer has finished with it. A coexistence job has no number of its own, so no other link can
    stand in its way. Pass `Accounts` to ask one list about many jobs.
    """
    accounts = entries if isinstance(entries, Accounts) else Accounts(entries)
    if ours := accounts.made_by(reference) or _finished_before(reference, accounts):
        return _ours(ours, catalogue)
    foreign = accounts.of_number(number) if number and not is_coexistence else None
    if foreign is None:
        return Absent(list_began_ms=list_began_ms)
    name = "already_onboarded" if foreign.is_finished else "foreign_link"
    earlier = job_id_of_reference(foreign.reference)
    if not foreign.is_finished and earlier is not None and earlier == job_id_of_reference(reference):
        name = "replaced_link_stands"
    return FoundForeign(fail=_fail(catalogue.named(name), detail="found in the partner's list"))


def _finished_before(reference: str, accounts: Accounts) -> AccountEntry | None:
    """Return the earlier link of the same job that its customer has finished with: one that seemed to be gone."""
    job_id = job_id_of_reference(reference)
    if job_id is None or job_id == reference:
        return None
    earlier = accounts.latest_of(job_id)
    return earlier if earlier is not None and earlier.is_finished else None


def _ours(entry: AccountEntry, catalogue: Catalogue) -> Finding:
    link = usable_link(entry.link)
    if link is None and not entry.is_finished:
        return FoundForeign(fail=_fail(catalogue.named("link_without_address")))
    linked = Linked(
        link=link or "", landing_page=usable_link(entry.landing_page), number=_digits(entry.whatsapp)
    )
    return FoundOurs(linked=linked, is_finished=entry.is_finished)
