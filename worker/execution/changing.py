"""An attempt whose call deletes a link: the first half of a replace, or all of a revoke.

The same steps as any attempt: slot, claim and begin, call, classify, settle. A delete may be said twice, so a crash
between begin and settle leaves nothing in doubt: the job waits again, and the delete is made once more. What must not
happen is a delete that is done late, when the new link stands already: so none is sent after its deadline, and where an
answer was lost the new link waits for as long as a look-up would (`DOUBT_GRACE_S`).
"""

from __future__ import annotations

import random
from dataclasses import replace

from worker.domain.change import DELETING
from worker.domain.classify import classify_delete
from worker.domain.job import ClaimedJob
from worker.domain.outcome import Deleted, Ending, NotDone, Outcome
from worker.execution.shop import Shop


def is_delete(job: ClaimedJob) -> bool:
    """Tell whether the attempt is to delete the job's link."""
    return job.op in DELETING


def number_to_delete(job: ClaimedJob) -> str | None:
    """Return the number of the link that is to be deleted: with coexistence the one that the partner allotted."""
    return job.linked_number or job.request.number


async def delete(job: ClaimedJob, shop: Shop) -> Ending:
    """Delete the job's link at the partner; never raises for what the partner does."""
    number = number_to_delete(job)
    if number is None:
        # A coexistence link whose number the partner did not tell.
        return NotDone(reason="link_without_number")
    return await shop.partner.delete_account(number)


def outcome_of(job: ClaimedJob, ending: Ending, shop: Shop) -> Outcome:
    """Return what the ledger is to be told of the delete."""
    outcome = classify_delete(
        ending,
        failures=job.failures,
        catalogue=shop.catalogue,
        chance=random.random(),  # noqa: S311 - jitter, not a secret
    )
    if not isinstance(outcome, Deleted):
        return outcome
    allotted = job.linked_number if job.request.is_coexistence else None
    return replace(outcome, number=allotted, late_s=shop.doubt_grace_s)
