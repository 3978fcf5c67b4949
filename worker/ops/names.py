"""Whose a job or a message is, by name: what people look for in a list."""

from __future__ import annotations

from collections.abc import Sequence

from worker.domain.ids import invitation_of, is_job_id
from worker.domain.request import Product
from worker.ledger import Ledger
from worker.ops.views import shown_name


async def names_of(ledger: Ledger, ids: Sequence[str], *, is_revealed: bool = False) -> dict[str, str | None]:
    """Return the business that each of these jobs and messages is for; None: it has no name, or is gone.

    Raises LedgerUnavailable.
    """
    jobs = [each for each in ids if is_job_id(each)]
    of_messages = {_invitation(each) for each in ids if not is_job_id(each)}
    siblings = [invitation + product.code for invitation in of_messages for product in Product]
    found = await ledger.queries.jobs([*jobs, *siblings])
    names = {job.invitation_id: shown_name(job, is_revealed=is_revealed) for job in found}
    return {each: names.get(_invitation(each)) for each in ids}


def _invitation(subject_id: str) -> str:
    """Return the invitation of a job, or of a message (`INVITATION.channel.template.generation`)."""
    return invitation_of(subject_id) if is_job_id(subject_id) else subject_id.partition(".")[0]
