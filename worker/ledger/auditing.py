"""Checking a sample of the search index against the requests it was made from, in both directions."""

from __future__ import annotations

from collections.abc import Sequence

from worker.domain.ids import INVITATION_ID_LENGTH
from worker.domain.job import JobRecord
from worker.domain.search import number_term, terms_of
from worker.ledger.errors import translated
from worker.ledger.keys import Keys
from worker.ledger.scripts import Scripts, text

_BUCKET_SIGNS = 4


async def wrong_terms(scripts: Scripts, keys: Keys, jobs: Sequence[JobRecord], *, sample: int) -> list[str]:
    """Return what is wrong about the terms of *jobs*, and about *sample* entries of a bucket of each, a line each.

    Raises LedgerUnavailable.
    """
    terms = {job.id: _terms_of(job) for job in jobs}
    asked = [(job, each) for job in jobs for each in terms[job.id]]
    with translated():
        async with scripts.redis.pipeline(transaction=False) as pipe:
            for job, each in asked:
                pipe.zscore(keys.search + each[:_BUCKET_SIGNS], each[_BUCKET_SIGNS:] + job.invitation_id)
            scores = await pipe.execute() if asked else []
    missing = {job.id for (job, _), score in zip(asked, scores, strict=True) if score is None}
    buckets = list(dict.fromkeys(terms[job.id][0][:_BUCKET_SIGNS] for job in jobs if terms[job.id]))
    return [
        *(f"search: {job_id} is not found by all it should be" for job_id in sorted(missing)),
        *(f"search: {each} is found, and is gone" for each in await _gone(scripts, keys, buckets, sample)),
    ]


async def _gone(scripts: Scripts, keys: Keys, buckets: Sequence[str], sample: int) -> list[str]:
    """Return invitations that stand in the buckets' first entries and are no more."""
    if not buckets:
        return []
    with translated():
        async with scripts.redis.pipeline(transaction=False) as pipe:
            for bucket in buckets:
                pipe.zrange(keys.search + bucket, 0, sample - 1)
            rows = await pipe.execute()
        found = sorted({text(member[-INVITATION_ID_LENGTH:]) for row in rows for member in row})
        async with scripts.redis.pipeline(transaction=False) as pipe:
            for each in found:
                pipe.exists(keys.invitation + each)
            there = await pipe.execute() if found else []
    return [each for each, is_there in zip(found, there, strict=True) if not is_there]


def _terms_of(job: JobRecord) -> list[str]:
    terms = terms_of(job.request, job.invitation_id)
    if job.number != job.request.number:
        terms.append(number_term(job.number, job.invitation_id))
    return terms
