"""What brings jobs on when no attempt does: look-ups, rescues, due times, operators, pruning."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from worker.domain.dedupe import contact_mark
from worker.domain.outcome import Absent, Fail, Finding, FoundOurs
from worker.domain.request import OnboardingRequest
from worker.domain.states import ENDED_STATES, JobState
from worker.ledger.accepting import ms
from worker.ledger.codec import (
    base_of,
    edited_terms,
    fail_args,
    finding_args,
    flag,
    join_record,
    mended_job,
    split_record,
)
from worker.ledger.errors import LedgerFull, translated
from worker.ledger.keys import Keys
from worker.ledger.pruning import prune_state
from worker.ledger.records import Mended, RequestEdit, Rescued
from worker.ledger.scripts import Scripts, fields_of, text

#: A Facebook create of unknown outcome is tried once more, after the partner has had time to recover.
FACEBOOK_RETRY_MS = 30_000
#: Moving a job takes the server some 30 µs: a script stays well below 5 ms.
_ROWS_PER_SCRIPT = 100
_LEASES_PER_SCRIPT = 500
#: So long before, at least, everybody can know that a dead letter or failed job will be deleted.
WARNED_S = 86_400.0
#: A skip for this reason is dropped when an edited request brings the contact.
NO_CONTACT = "no_contact"


class Mending:
    """The verbs of maintenance and of operators."""

    _scripts: Scripts
    _keys: Keys

    async def resolve(
        self, job_id: str, finding: Finding, *, grace_s: float, max_failures: int = 8
    ) -> JobState | None:
        """Settle a doubt by what a look-up found; return the job's state then, or None when it was not in doubt.

        Absence counts only in lists begun at least *grace_s* seconds after the call ended or its lease ran out; the
        second such list lets the job try again, or fails it when *max_failures* tries are used up. Raises LedgerUnavailable: say the same again.
        """
        args: tuple[Any, ...]
        if isinstance(finding, Absent):
            args = ("absent", finding.list_began_ms, ms(grace_s), max_failures)
        else:
            args = finding_args(finding, job_id)
        return _state(await self._scripts.run("resolve", job_id, *args))

    async def explain(self, job_id: str, found: FoundOurs | Fail) -> JobState | None:
        """Give a failed job a better reason, or its link where that is ours; return its state, or None if not failed.

        Explaining it by the reason it has moves it to the back of `queries.unexplained`. A hold all of whose evidence
        is explained as the rows' own data is cleared. Raises LedgerUnavailable.
        """
        args: tuple[Any, ...]
        if isinstance(found, Fail):
            args = ("fail", *fail_args(found), flag(found.is_own_data))
        else:
            args = finding_args(found, job_id)
        return _state(await self._scripts.run("explain", job_id, *args))

    async def release(self, job_id: str) -> bool:
        """Let a failed job try again because its cause went away by itself; return False when it is not failed.

        Raises LedgerUnavailable, LedgerFull.
        """
        return int(await self._scripts.run("release", job_id)) == 1

    async def rescue(self, *, limit: int = 100) -> Rescued:
        """Take back up to *limit* jobs whose leases ran out, oldest first; raises LedgerUnavailable."""
        reply = await self._scripts.run("rescue", min(limit, _ROWS_PER_SCRIPT), FACEBOOK_RETRY_MS)
        groups: dict[str, list[str]] = {}
        for at in range(0, len(reply), 2):
            groups.setdefault(text(reply[at + 1]), []).append(text(reply[at]))
        names = {state: "retried" if state == "scheduled" else state for state in groups}
        return Rescued(**{names[state]: tuple(jobs) for state, jobs in groups.items()})

    async def abandon(self, worker_id: str) -> int:
        """End the leases of a worker process that is known to be gone; return how many. Raises LedgerUnavailable."""
        return sum([await self._abandon(worker_id, kind) for kind in ("job", "delivery")])

    async def _abandon(self, worker_id: str, kind: str) -> int:
        ended = start = 0
        while True:
            seen, found = await self._scripts.run("abandon", worker_id, kind, start, _LEASES_PER_SCRIPT)
            ended, start = ended + int(found), start + int(seen)
            if int(seen) < _LEASES_PER_SCRIPT:
                return ended

    async def promote(self, *, limit: int = 500) -> int:
        """Make up to *limit* scheduled jobs available whose time has come; return how many. Raises LedgerUnavailable."""
        promoted = 0
        while promoted < limit:
            rows = min(limit - promoted, _ROWS_PER_SCRIPT)
            moved = int(await self._scripts.run("promote", rows))
            promoted += moved
            if moved < rows:
                break
        return promoted

    async def requeue(self, job_id: str, *, by: str, why: str) -> Mended:
        """Let a failed or dead job try again.

        The number's claim is taken again: `claimed_by_another` where somebody else stands on it by now.
        Raises LedgerUnavailable (say the same again: twice has the effect of once), LedgerFull.
        """
        return mended_job(await self._scripts.run("requeue", job_id, by, why))

    async def edit(self, job_id: str, edit: RequestEdit, *, by: str, why: str) -> Mended:
        """Let a failed or dead job try again with an edited request, as `requeue` does; what changed is accounted for.

        `edited_meanwhile` where the request is no longer the one that was edited. Only the WhatsApp job's edit may
        change the number (`number_of_another_job`). Raises as `requeue`, and ValueError for other products.
        """
        old = await self._record(job_id)
        if old is None:
            return Mended(done=False, state=None, refusal="gone")
        record, claim = rewritten(old, job_id, edit)
        terms = edited_terms(old, edit.request, job_id[:-1])
        changes = (base_of(old, edit.base), record, claim, *terms, edit.changes, edit.told)
        return mended_job(await self._scripts.run("edit", job_id, by, why, *changes))

    async def discard(self, job_id: str, *, by: str, why: str) -> Mended:
        """Give a failed job up for good: a dead letter. Raises LedgerUnavailable."""
        return mended_job(await self._scripts.run("discard", job_id, by, why))

    async def restore(self, job_id: str, *, by: str, why: str) -> Mended:
        """Put a dead letter back into the failed queue, with the reason it had; raises LedgerUnavailable.

        The number's claim is taken again: `claimed_by_another` where somebody else stands on it by now.
        """
        return mended_job(await self._scripts.run("restore", job_id, by, why))

    async def cancel(self, job_id: str, *, by: str, why: str) -> Mended:
        """Cancel a waiting job; a running one is marked and cancelled where it would be rescheduled.

        Raises LedgerUnavailable.
        """
        return mended_job(await self._scripts.run("cancel", job_id, by, why))

    async def prune(
        self, older_than_s: Mapping[JobState, float], *, limit: int, warned: Collection[JobState] = ()
    ) -> int:
        """Delete up to *limit* jobs that have stood in an ended state for longer than that state's seconds.

        Return how many. Jobs of an invitation whose message is still to be sent are kept; of a *warned* state those that
        nobody could foresee a day ahead, see `due_later`. Raises ValueError for a state that is no end, LedgerUnavailable.
        """
        if unfit := set(older_than_s) - ENDED_STATES:
            raise ValueError(f"jobs that are {', '.join(sorted(unfit))} have not ended")
        now_ms, pruned = await self._scripts.now(), 0
        for state, age_s in older_than_s.items():
            before_ms = now_ms - ms(age_s)
            if state in warned:
                before_ms, _ = await self._prunable(state, age_s)
            pruned += await prune_state(
                self._scripts, self._keys, state, before_ms=before_ms, limit=limit - pruned
            )
        return pruned

    async def due_later(self, state: JobState, keep_s: float) -> int | None:
        """Return when jobs go that `prune` spares though *keep_s* are over, in ms; None: it spares none.

        Those that became due at once, because they are kept for less than before or nobody was there to warn of it,
        stay a day longer. Raises LedgerUnavailable.
        """
        try:
            _, later_ms = await self._prunable(state, keep_s, is_look=True)
        except (
            LedgerFull
        ):  # with its disk full the server runs only what never writes; nothing is deleted then
            return None
        return later_ms

    async def _prunable(
        self, state: JobState, keep_s: float, *, is_look: bool = False
    ) -> tuple[int, int | None]:
        before, later = await self._scripts.run("prune_due", state, ms(keep_s), ms(WARNED_S), flag(is_look))
        return int(before), int(later) if later else None

    async def _record(self, job_id: str) -> Any:
        """Return the record of a job's invitation, or None when it is gone."""
        with translated():
            return await self._scripts.redis.get(self._keys.invitation + job_id[:-1])


def rewritten(old: Any, job_id: str, edit: RequestEdit) -> tuple[str, str]:
    """Return an invitation's *old* record with the edited request in it, and its claim key; raises ValueError (products)."""
    request, (header, _) = edit.request, split_record(old)
    if "".join(product.code for product in request.products) != header["products"]:
        raise ValueError("an edited request is for the same products")
    header["claim"] = _claim_for(request, header["claim"], job_id)
    header["contact_mark"] = contact_mark(request)
    header["fingerprint"] = edit.fingerprint
    _plan_new_contacts(header, request)
    return join_record(header, request), header["claim"]


def _claim_for(request: OnboardingRequest, before: str, job_id: str) -> str:
    if request.number:
        return f"n:{request.number}"
    return f"b:{job_id[:-1]}" if before.startswith("n:") else before


def _plan_new_contacts(header: dict[str, str], request: OnboardingRequest) -> None:
    """Plan a channel that was skipped for want of a contact which the edited request brings."""
    contacts = {"email": request.contact.email, "sms": request.contact.phone}
    skips = fields_of([part for skip in header["skips"].split(",") if skip for part in skip.split("=", 1)])
    for channel, reason in list(skips.items()):
        if reason == NO_CONTACT and contacts.get(channel):
            del skips[channel]
            header["channels"] = ",".join(filter(None, [header["channels"], channel]))
    header["skips"] = ",".join(f"{channel}={reason}" for channel, reason in skips.items())


def _state(reply: Any) -> JobState | None:
    return JobState(text(reply[0])) if reply else None
