"""A running fleet goes by what an operator teaches: real worker processes, a real partner that answers an unknown code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.factories import an_invitation
from tests.stack import Stack
from worker.domain.job import JobRecord
from worker.domain.lessons import LiveCatalogue
from worker.domain.reasons import Catalogue
from worker.domain.states import ENDED_STATES, JobState
from worker.ops.teach import Teaching

CODE = 77
WORDS = {"class": "bad_data", "policy": "discard", "meaning": "It is frozen.", "remedy": "Ask for another."}


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(tmp_path / "stack", sandbox={"fail_code": CODE}) as running:
        yield running


async def ended(stack: Stack) -> JobRecord:
    """Accept one more customer and return his job once it has ended."""
    (receipt,) = await stack.ledger.accept([an_invitation()], max_waiting=100)
    [job_id] = receipt.job_ids

    async def look() -> JobRecord | None:
        job = await stack.ledger.queries.job(job_id)
        return job if job is not None and job.state in ENDED_STATES else None

    found: JobRecord = await stack.until(look, f"{job_id} has ended")
    return found


async def test_a_taught_policy_holds_in_a_worker_that_runs_already(stack: Stack) -> None:
    """The first job fails as `unknown_77`; taught as a discard, the next goes straight to the dead letters."""
    stack.start_worker()
    before = await ended(stack)
    assert (before.state, before.reason, before.code) == (JobState.FAILED, "unknown_77", CODE)

    catalogue = LiveCatalogue(Catalogue.shipped())
    lesson = await Teaching(stack.ledger, catalogue).teach(
        "unknown_77", name="number_frozen", words=WORDS, by="test:dana", why="the partner said so"
    )
    assert (lesson["call"], lesson["standing"]) == ("create_whatsapp", 1)

    async def goes_by_it() -> JobRecord | None:
        job = await ended(stack)
        return job if job.reason == "number_frozen" else None

    after: JobRecord = await stack.until(goes_by_it, "the worker goes by the lesson")
    assert (after.state, after.reason_class, after.code) == (JobState.DEAD, "bad_data", CODE)

    # What failed before is described by it, and a requeue goes by it too.
    assert catalogue.named("unknown_77").meaning == "It is frozen."
    await stack.ledger.requeue(before.id, by="test:dana", why="taught")

    async def is_dead() -> bool:
        job = await stack.ledger.queries.job(before.id)
        return job is not None and job.state is JobState.DEAD

    await stack.until(is_dead, "the requeued job is a dead letter")


async def test_a_worker_that_starts_later_goes_by_it_from_its_first_job(stack: Stack) -> None:
    """What was taught is kept beside the jobs, not in a process."""
    teaching = Teaching(stack.ledger, LiveCatalogue(Catalogue.shipped()))
    await teaching.teach(str(CODE), name="number_frozen", words=WORDS, by="test:dana")
    stack.start_worker()

    job = await ended(stack)

    assert (job.state, job.reason) == (JobState.DEAD, "number_frozen")
