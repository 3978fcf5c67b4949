"""Jobs whose links are being changed, for the contract tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.contract.ledger_desk import Desk, own_fail, retry
from worker.domain.dedupe import fingerprint
from worker.domain.outcome import (
    Deleted,
    Linked,
    Refused,
)
from worker.domain.states import JobState
from worker.ledger import RequestEdit

NEW_LINK = Linked(link="https://partner.example/onboarding/2", number="972501110009")
LOST = replace(retry(), is_maybe_done=True)
VANISHED = Refused(fail=own_fail("link_vanished"))


async def asked_to_replace(desk: Desk, **changes: Any) -> str:
    """Return a job whose link is to be replaced; the delete has not begun."""
    job = await desk.job_in(JobState.LINKED, **changes)
    assert (await desk.ledger.replace(job, by="dana", why="new brand")).done
    return job


async def half_way(desk: Desk, **changes: Any) -> str:
    """Return a job whose old link is deleted, and whose new one is not made."""
    job = await asked_to_replace(desk, **changes)
    await desk.end(job, Deleted())
    return job


async def edit_of(desk: Desk, job_id: str, **fields: Any) -> RequestEdit:
    """Return an edit of the job's request as it stands."""
    record = await desk.ledger.queries.job(job_id)
    assert record is not None
    request = replace(record.request, **fields)
    return RequestEdit(
        base=record.request, request=request, fingerprint=fingerprint(request), changes="[]", told="name"
    )


async def record_of(desk: Desk, job_id: str) -> Any:
    record = await desk.ledger.queries.job(job_id)
    assert record is not None
    return record


async def events_of(desk: Desk, job_id: str) -> list[str]:
    return [entry.event for entry in await desk.ledger.queries.history(job_id)]
