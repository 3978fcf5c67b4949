"""Deleting jobs that ended long ago, with all that hangs on them and all by which they were found."""

from __future__ import annotations

from worker.domain.job import JobRecord
from worker.domain.search import number_term, terms_of
from worker.domain.states import JobState
from worker.ledger.codec import job_record
from worker.ledger.errors import translated
from worker.ledger.keys import Keys
from worker.ledger.scripts import Scripts, text

#: Dropping a job with its index entries takes the server some 150 µs, twice that in a ledger of a million: a script stays
#: below 5 ms.
_ROWS_PER_SCRIPT = 15


async def prune_state(scripts: Scripts, keys: Keys, state: JobState, *, before_ms: int, limit: int) -> int:
    """Delete up to *limit* jobs that entered *state* before *before_ms*; return how many.

    Jobs of an invitation whose message is still to be sent are kept. Raises LedgerUnavailable.
    """
    pruned = kept = 0
    while pruned < limit:
        rows = min(limit - pruned, _ROWS_PER_SCRIPT)
        with translated():
            found = await scripts.redis.zrangebyscore(
                keys.state + state, "-inf", f"({before_ms}", start=kept, num=rows
            )
        if not found:
            break
        args = await _with_terms(scripts, [text(job_id) for job_id in found])
        gone, left = await scripts.run("prune", state, before_ms, *args)
        pruned, kept = pruned + int(gone), kept + int(left)
        if len(found) < rows:
            break
    return pruned


async def _with_terms(scripts: Scripts, job_ids: list[str]) -> list[str]:
    """Return what `prune.lua` takes for each job; what it is found by is Python's to know."""
    args: list[str] = []
    rows = await scripts.run("read_jobs", *job_ids)
    for job_id, row in zip(job_ids, rows, strict=True):
        job = job_record(job_id, row)
        args += [job_id, *(("", "") if job is None else _terms(job))]
    return args


def _terms(job: JobRecord) -> tuple[str, str]:
    brought = "" if job.number == job.request.number else number_term(job.number, job.invitation_id)
    return brought, "\n".join(terms_of(job.request, job.invitation_id))
