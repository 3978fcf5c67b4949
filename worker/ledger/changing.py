"""Links that operators change: replaced by another, or deleted for good. The partner's part of it is an attempt's."""

from __future__ import annotations

from worker.ledger.codec import base_of, edited_terms, mended_job
from worker.ledger.errors import translated
from worker.ledger.keys import Keys
from worker.ledger.mending import rewritten
from worker.ledger.records import Mended, RequestEdit
from worker.ledger.scripts import Scripts


class Changing:
    """The verbs of operators about links that were made. What they begin, workers do, as any job's work."""

    _scripts: Scripts
    _keys: Keys

    async def replace(self, job_id: str, edit: RequestEdit | None = None, *, by: str, why: str) -> Mended:
        """Let a linked or failed job's link be deleted at the partner, and made anew; with *edit* from another request.

        The edited request takes the place of the other when the old link is deleted, its number's claim is taken at
        once: `claimed_by_another`, `edited_meanwhile`, `number_of_another_job` as in `edit`, `change_pending` where
        one is under way, `is_<state>` for a job in another state. A failed job that has no link just tries again.
        Raises LedgerUnavailable, LedgerFull (say the same again: twice has the effect of once), ValueError (products).
        """
        changes: tuple[str, ...] = ()
        if edit is not None:
            with translated():
                old = await self._scripts.redis.get(self._keys.invitation + job_id[:-1])
            if old is None:
                return Mended(done=False, state=None, refusal="gone")
            record, claim = rewritten(old, job_id, edit)
            terms = edited_terms(old, edit.request, job_id[:-1])
            changes = (base_of(old, edit.base), record, claim, *terms, edit.changes, edit.told)
        return mended_job(await self._scripts.run("replace", job_id, by, why, *changes))

    async def revoke(self, job_id: str, *, by: str, why: str) -> Mended:
        """Let a linked or failed job's link be deleted at the partner for good: the number is free then.

        `facebook_stays`: such a link can't be deleted; `no_link`: there is none; else as `replace`.
        Raises LedgerUnavailable.
        """
        return mended_job(await self._scripts.run("revoke", job_id, by, why))
