"""Changing a link that was made, for the CLI and the console alike: what it would come to, and the asking for it.

What is asked for, workers do: the delete at the partner, then the new link. Bulk acts: `worker.ops.acts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.domain.change import REPLACEABLE_STATES, Op
from worker.domain.job import JobRecord
from worker.domain.parse import ParseRules
from worker.domain.phone import mask_email, mask_number
from worker.domain.request import OnboardingRequest, Product
from worker.domain.states import Channel, JobState
from worker.domain.stop_list import contacts_of
from worker.ledger import Ledger, Mended
from worker.ops.edit import EditCheck, Editing, edit_of
from worker.ops.views import change_view
from worker.ops.words import Said, said

_VANISHED = "link_vanished"
_STILL_THERE = "replaced_link_stands"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """What the asking for a replacement came to."""

    job_id: str
    plan: tuple[Said, ...]
    check: EditCheck | None = None  #: None: with the data as they are
    mended: Mended | None = None  #: None: the new data had problems, and nothing was tried

    @property
    def done(self) -> bool:
        """Tell whether the link is going to be replaced."""
        return self.mended is not None and self.mended.done

    def document(self, *, is_revealed: bool = False) -> dict[str, Any]:
        """Return it ready for JSON."""
        check = self.check.document(is_revealed=is_revealed) if self.check else {}
        mended = self.mended
        return {
            "job_id": self.job_id,
            "problems": check.get("problems", []),
            "warnings": check.get("warnings", []),
            "changes": check.get("changes", []),
            "also_applies_to": check.get("also_applies_to", []),
            "plan": list(self.plan),
            "done": self.done,
            "state": mended.state.value if mended and mended.state else None,
            "refusal": mended.refusal if mended else None,
        }


class Changing:
    """Has links replaced and deleted."""

    def __init__(self, ledger: Ledger, rules: ParseRules | None = None) -> None:
        """Change links of *ledger*; *rules* are those by which requests come in."""
        self._ledger = ledger
        self._editing = Editing(ledger, rules or ParseRules(), states=REPLACEABLE_STATES)

    async def form(self, job_id: str, *, is_revealed: bool = False) -> dict[str, Any] | None:
        """Return a job's request to be changed, as `Editing.form`, with its `plan`; None: there is no such job.

        Raises LedgerUnavailable.
        """
        job = await self._ledger.queries.job(job_id)
        form = await self._editing.form(job_id, is_revealed=is_revealed)
        if job is None or form is None:
            return None
        return {
            **form,
            "plan": await self._plan(job),
            "revoke_plan": revoke_plan(job),
            "change": change_view(job),
        }

    async def check(self, job_id: str, fields: Mapping[str, str], *, seen: str | None = None) -> EditCheck:
        """Return what the new link's request would be, as `Editing.check`; raises LedgerUnavailable."""
        return await self._editing.check(job_id, fields, seen=seen)

    async def plan(
        self, job_id: str, fields: Mapping[str, str] | None = None, check: EditCheck | None = None
    ) -> list[Said]:
        """Return what replacing a job's link would do, and who is told; *check* is that of *fields*.

        Nothing: there is no such job. Raises LedgerUnavailable.
        """
        job = await self._ledger.queries.job(job_id)
        return await self._plan(job, fields, check.request if check else None) if job else []

    async def replace(
        self, job_id: str, fields: Mapping[str, str], *, by: str, why: str, seen: str | None = None
    ) -> Replaced:
        """Ask for another link in place of a job's own, with *fields* laid over its request; none: a fresh link.

        Raises LedgerUnavailable, LedgerFull (say the same again: twice has the effect of once).
        """
        if not fields:
            plan = tuple(await self.plan(job_id))
            return Replaced(
                job_id=job_id, plan=plan, mended=await self._ledger.replace(job_id, by=by, why=why)
            )
        check = await self.check(job_id, fields, seen=seen)
        plan = tuple(await self.plan(job_id, fields, check))
        if check.request is None:
            return Replaced(job_id=job_id, plan=plan, check=check)
        mended = await self._ledger.replace(job_id, edit_of(check), by=by, why=why)
        return Replaced(job_id=job_id, plan=plan, check=check, mended=mended)

    async def _plan(
        self,
        job: JobRecord,
        fields: Mapping[str, str] | None = None,
        edited: OnboardingRequest | None = None,
    ) -> list[Said]:
        request, steps = edited or job.request, replace_plan(job, fields)
        if await self._ledger.suppressing.holds(contacts_of(request)):
            return [*steps, said("plan_told_nobody")]
        # What was made for the first link carries the next one as well.
        messages = await self._ledger.deliveries.of_invitation(job.invitation_id)
        channels = {each.channel for each in messages}
        contact = request.contact
        contacts = [
            *([mask_email(contact.email)] if contact.email and Channel.EMAIL in channels else []),
            *([mask_number(contact.phone)] if contact.phone and Channel.SMS in channels else []),
        ]
        return [*steps, said("plan_told", contacts=", ".join(contacts))] if contacts else steps


def replace_plan(job: JobRecord, fields: Mapping[str, str] | None = None) -> list[Said]:
    """Return what replacing the job's link would do, step by step. `first_step` in replacing.lua says the same."""
    if job.product is not Product.WHATSAPP and (job.state is JobState.LINKED or job.op):
        return [said("plan_make_beside")]
    make = said("plan_make_elsewhere" if fields and "whatsapp" in fields else "plan_make")
    if job.state is JobState.LINKED or job.op in {Op.REPLACE_DELETE, Op.REVOKE} or job.reason == _STILL_THERE:
        return [said("plan_delete"), make]
    if job.op == Op.REPLACE_CREATE or job.reason == _VANISHED:
        return [said("plan_make_again")]
    return [said("plan_retry")]


def revoke_plan(job: JobRecord) -> list[Said]:
    """Return what revoking the job's link would do. `revoke_job` in replacing.lua says the same."""
    is_gone = (job.op == Op.REPLACE_CREATE and job.reason != _STILL_THERE) or (
        job.op is None and job.reason == _VANISHED
    )
    return [said("plan_revoke_gone" if is_gone else "plan_revoke")]
