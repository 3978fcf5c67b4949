"""Editing a failed job's request: read by the door's own rules, shown before and after, then requeued in one step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from worker.domain.canonical import (
    COEXISTENCE_WORD,
    EDITABLE_FIELDS,
    FIXED_FIELDS,
    canonical_fields,
    mask_field,
)
from worker.domain.dedupe import fingerprint
from worker.domain.fields import nearest
from worker.domain.job import JobRecord
from worker.domain.parse import InvalidRequest, ParseRules, Problem, parse_request
from worker.domain.request import OnboardingRequest, Product
from worker.domain.states import JobState
from worker.ledger import Ledger, Mended, RequestEdit
from worker.ops.acts import WHY_NOT

EDITABLE_STATES = frozenset({JobState.FAILED, JobState.DEAD})
_DEFAULT_RULES = ParseRules()
_STARS = "***"  #: in what is masked


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One field that an edit changes."""

    field: str
    before: str
    after: str

    def document(self, *, is_revealed: bool = False) -> dict[str, str]:
        """Return it ready for JSON, masked unless *is_revealed*."""
        if is_revealed:
            return {"field": self.field, "before": self.before, "after": self.after}
        return {
            "field": self.field,
            "before": mask_field(self.field, self.before),
            "after": mask_field(self.field, self.after),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EditCheck:
    """What an edit would come to: the new request, or everything that is wrong with it."""

    job_id: str
    request: OnboardingRequest | None = None  #: None: it has problems
    base: OnboardingRequest | None = None  #: as it stands now; None: the job is gone
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    changes: tuple[Change, ...] = ()
    also_applies_to: tuple[str, ...] = ()  #: the other jobs of the same invitation

    def document(self, *, is_revealed: bool = False) -> dict[str, Any]:
        """Return it ready for JSON, before and after masked unless *is_revealed*."""
        return {
            "job_id": self.job_id,
            "problems": [problem_view(each) for each in self.problems],
            "warnings": [problem_view(each) for each in self.warnings],
            "changes": [each.document(is_revealed=is_revealed) for each in self.changes],
            "also_applies_to": list(self.also_applies_to),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What editing and requeueing came to."""

    check: EditCheck
    mended: Mended | None = None  #: None: it had problems, and nothing was tried

    @property
    def done(self) -> bool:
        """Tell whether the job waits again, with the edited request."""
        return self.mended is not None and self.mended.done

    def document(self, *, is_revealed: bool = False) -> dict[str, Any]:
        """Return it ready for JSON."""
        mended = self.mended
        return {
            **self.check.document(is_revealed=is_revealed),
            "done": self.done,
            "state": mended.state.value if mended and mended.state else None,
            "refusal": mended.refusal if mended else None,
        }


class Editing:
    """Edits the requests of failed jobs and dead letters."""

    def __init__(
        self,
        ledger: Ledger,
        rules: ParseRules = _DEFAULT_RULES,
        *,
        states: frozenset[JobState] = EDITABLE_STATES,
    ) -> None:
        """Edit in *ledger*, in those *states*; *rules* are those by which requests come in."""
        self._ledger = ledger
        self._rules = rules
        self._states = states

    async def form(self, job_id: str, *, is_revealed: bool = False) -> dict[str, Any] | None:
        """Return a job's request to be edited, or None where there is no such job; raises LedgerUnavailable.

        What is personal is masked unless *is_revealed*. A masked value that comes back as it was is left unchanged.
        """
        job = await self._ledger.queries.job(job_id)
        if job is None:
            return None
        fields = canonical_fields(job.request)
        shown = {name: text if is_revealed else mask_field(name, text) for name, text in fields.items()}
        return {
            "job_id": job.id,
            "state": job.state.value,
            "can_edit": job.state in self._states,
            "fields": {name: shown[name] for name in EDITABLE_FIELDS},
            "products": [product.value for product in job.request.products],
            "locked": sorted(_locked(job)),
            "also_applies_to": [each.id for each in await self._siblings(job)],
            "seen": mark_of(job.request),
            "is_revealed": is_revealed,
        }

    async def check(self, job_id: str, fields: Mapping[str, str], *, seen: str | None = None) -> EditCheck:
        """Return what the request would be with *fields* laid over it; those not named stay, an empty one is cleared.

        *seen* is the form's: where the request was edited since, that is a problem. Raises LedgerUnavailable.
        """
        job = await self._ledger.queries.job(job_id)
        if job is None:
            return EditCheck(job_id=job_id, problems=(_GONE,))
        before = canonical_fields(job.request)
        problems = [*_standing(job, seen, self._states), *_unfit(job, fields, before)]
        fields = _with_phone(fields, before)
        after = before | {name: fields[name] for name in EDITABLE_FIELDS if name in fields}
        for name, text in after.items():
            if text == mask_field(name, before[name]):
                after[name] = before[name]
        parsed = parse_request(after, self._rules)
        if isinstance(parsed, InvalidRequest):
            return EditCheck(
                job_id=job.id,
                base=job.request,
                problems=(*problems, *parsed.problems),
                changes=_changes(before, {name: text.strip() for name, text in after.items()}),
            )
        problems += await self._clash(job, parsed.request)
        changes = _changes(before, canonical_fields(parsed.request))
        if not changes and not problems:
            problems.append(_UNCHANGED)
        siblings = await self._siblings(job) if changes else []
        return EditCheck(
            job_id=job.id,
            request=None if problems else parsed.request,
            base=job.request,
            problems=tuple(problems),
            warnings=(
                *parsed.warnings,
                *_of_phone(before, canonical_fields(parsed.request)),
                *_left_behind(siblings, changes),
            ),
            changes=changes,
            also_applies_to=tuple(each.id for each in siblings),
        )

    async def requeue_edited(
        self, job_id: str, fields: Mapping[str, str], *, by: str, why: str, seen: str | None = None
    ) -> Edited:
        """Let the job try again with *fields* laid over its request, if nothing is wrong with that.

        Before and after are kept in the trail, and masked in the job's history. Raises LedgerUnavailable, LedgerFull
        (say the same again: twice has the effect of once).
        """
        check = await self.check(job_id, fields, seen=seen)
        if check.request is None:
            return Edited(check=check)
        return Edited(check=check, mended=await self._ledger.edit(job_id, edit_of(check), by=by, why=why))

    async def _siblings(self, job: JobRecord) -> list[JobRecord]:
        ids = [job.invitation_id + product.code for product in job.request.products]
        return await self._ledger.queries.jobs([each for each in ids if each != job.id])

    async def _clash(self, job: JobRecord, edited: OnboardingRequest) -> list[Problem]:
        """Find out whether somebody else stands on the new number."""
        if not edited.number or edited.number == job.request.number:
            return []
        [known] = await self._ledger.queries.known([f"n:{edited.number}"])
        if known is None or known.invitation_id == job.invitation_id:
            return []
        owner = known.job_ids[0]
        return [
            Problem(
                "whatsapp",
                "claimed_by_another",
                f"whatsapp is asked for by job {owner} already, which is {known.state.value}",
                f"Look at it: linkferry job show {owner}. Discard the one that is not needed.",
            )
        ]


def edit_of(check: EditCheck) -> RequestEdit:
    """Return what the ledger takes of an edit that nothing is wrong with; raises ValueError for another."""
    if check.request is None:
        raise ValueError("an edit that has problems can't be made")
    whole = [each.document(is_revealed=True) for each in check.changes]
    return RequestEdit(
        base=check.base or check.request,
        request=check.request,
        fingerprint=fingerprint(check.request),
        changes=json.dumps(whole, ensure_ascii=False),
        told="; ".join(_told(each) for each in check.changes),
    )


def mark_of(request: OnboardingRequest) -> str:
    """Return a short mark that changes with anything in *request*."""
    return blake2b(request.encode().encode(errors="surrogatepass"), digest_size=9).hexdigest()


def problem_view(problem: Problem) -> dict[str, str]:
    """Return a problem ready for JSON."""
    return {
        "field": problem.field,
        "code": problem.code,
        "message": problem.message,
        "remedy": problem.remedy,
    }


def refusal_text(mended: Mended) -> str:
    """Return why the ledger left a job as it was, in words."""
    return WHY_NOT.get(mended.refusal or "", mended.refusal or "it was refused")


_GONE = Problem("job", "gone", "there is no such job", "`linkferry failed list` shows what there is.")
_UNCHANGED = Problem("job", "unchanged", "nothing is changed", "Change a field, or requeue the job as it is.")


def _standing(job: JobRecord, seen: str | None, states: frozenset[JobState]) -> list[Problem]:
    """Tell what about the job itself is in the way."""
    if job.state not in states and JobState.LINKED in states:
        message = f"the job is {job.state.value}, and only the link of a linked or failed job can be replaced"
        return [Problem("job", "not_replaceable", message, "Look at the job again: it has changed.")]
    if job.state not in states:
        message = f"the job is {job.state.value}, and only a failed job or a dead letter can be edited"
        return [Problem("job", "not_failed", message, "Look at the job again: it has changed.")]
    if seen is not None and seen != mark_of(job.request):
        message = "somebody else has edited the request since you looked"
        return [Problem("job", "edited_meanwhile", message, "Look at the request again, then edit it.")]
    return []


def _locked(job: JobRecord) -> set[str]:
    """Return the editable fields that only another job of the invitation may change."""
    is_of_another = job.product is not Product.WHATSAPP and Product.WHATSAPP in job.request.products
    return {"whatsapp"} if is_of_another else set()


def _unfit(job: JobRecord, fields: Mapping[str, str], before: Mapping[str, str]) -> list[Problem]:
    """Tell which fields can't be edited here, or at all."""
    problems = []
    for name, text in fields.items():
        if name not in before:
            near = nearest(name, EDITABLE_FIELDS)
            remedy = f"Did you mean {near}?" if near else f"Known: {', '.join(EDITABLE_FIELDS)}."
            problems.append(Problem(name, "unknown_field", f"there is no field {name}", remedy))
        elif text.strip() in {before[name], mask_field(name, before[name])}:
            continue
        elif name in FIXED_FIELDS:
            remedy = "Ask for other links with a request of its own: linkferry enqueue."
            problems.append(Problem(name, "fixed", "an edit can't change which links are asked for", remedy))
        elif name in _locked(job):
            owner = job.invitation_id + Product.WHATSAPP.code
            message = "whatsapp is the number of the invitation's WhatsApp job"
            problems.append(Problem(name, "number_of_another_job", message, f"Edit that one: {owner}."))
        elif _STARS in text and _STARS in mask_field(name, before[name]):
            message = f"{name} still holds stars of what was masked"
            problems.append(Problem(name, "masked", message, "Write it whole, or reveal it first."))
    return problems


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    return tuple(
        Change(field=name, before=before[name], after=after[name])
        for name in EDITABLE_FIELDS
        if before[name] != after[name]
    )


#: Stay with us: the partner is not sent them.
_OURS = frozenset(
    {
        *("reference", "email", "phone", "name", "locale", "external_id", "channels", "channel_policy"),
        *("brand", "agreed"),
    }
)


def _with_phone(fields: Mapping[str, str], before: Mapping[str, str]) -> Mapping[str, str]:
    """Let the customer's phone follow the number where both are one, unless a phone is named.

    Who corrects a wrong number means both: the SMS with the new link would go to the wrong number's owner.
    """
    old, new = before["whatsapp"], fields.get("whatsapp", "").strip()
    is_named = fields.get("phone", "").strip() not in {"", mask_field("phone", before["phone"])}
    is_cleared = "phone" in fields and not fields["phone"].strip()
    is_new = new not in {"", COEXISTENCE_WORD, old, mask_field("whatsapp", old)}
    if not old or before["phone"] != old or is_named or is_cleared or not is_new:
        return fields
    return {**fields, "phone": new}


def _of_phone(before: Mapping[str, str], after: Mapping[str, str]) -> list[Problem]:
    """Say where the SMS of a changed number goes, if the customer's phone was the number itself."""
    old, new = before["whatsapp"], after["whatsapp"]
    if not old or old == new or before["phone"] != old:
        return []
    if after["phone"] == old:
        message = "phone is still the number that whatsapp was, and SMS messages go there"
        return [Problem("phone", "phone_is_old_number", message, "If that was the wrong one, change it too.")]
    if after["phone"] == new:
        message = "phone was the same number as whatsapp, and becomes the new one with it"
        remedy = "Name phone as well where SMS messages are to go elsewhere."
        return [Problem("phone", "phone_follows", message, remedy)]
    return []


def _left_behind(siblings: list[JobRecord], changes: tuple[Change, ...]) -> list[Problem]:
    """Warn of links that were made with the fields as they were."""
    if all(each.field in _OURS for each in changes):
        return []
    return [
        Problem(
            "job",
            "link_stands",
            f"the link of job {each.id} ({each.product.value}) was made with the fields as they were",
            "That link stays as it is.",
        )
        for each in siblings
        if each.state in {JobState.LINKED, JobState.ONBOARDED}
    ]


def _told(change: Change) -> str:
    before, after = (mask_field(change.field, text) or "empty" for text in (change.before, change.after))
    return f"{change.field}: {before} → {after}"
