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
_BUCKETS_AT_ONCE = 200  #: read within a millisecond


async def wrong_terms(scripts: Scripts, keys: Keys, jobs: Sequence[JobRecord], *, sample: int) -> list[str]:
    """Return what is wrong about the terms of *jobs*, and about *sample* entries of each of their buckets.

    Raises LedgerUnavailable.
    """
    terms = {job.id: _terms_of(job) for job in jobs}
    names = list(dict.fromkeys(each[:_BUCKET_SIGNS] for its in terms.values() for each in its))
    buckets = await _read(scripts, keys, names)
    missing = [
        job.id
        for job in jobs
        if any(
            f"{each[_BUCKET_SIGNS:]}{job.invitation_id}" not in buckets[each[:_BUCKET_SIGNS]]
            for each in terms[job.id]
        )
    ]
    found = {
        entry[-INVITATION_ID_LENGTH:] for entries in buckets.values() for entry in list(entries)[:sample]
    }
    gone = await _gone(scripts, keys, sorted(found))
    return [
        *(f"search: {job_id} is not found by all it should be" for job_id in sorted(missing)),
        *(f"search: {each} is found, and is gone" for each in gone),
    ]


async def _read(scripts: Scripts, keys: Keys, names: Sequence[str]) -> dict[str, dict[str, None]]:
    """Return the entries of some buckets, in their order, less those that were struck out."""
    buckets: dict[str, dict[str, None]] = {}
    for start in range(0, len(names), _BUCKETS_AT_ONCE):
        chunk = names[start : start + _BUCKETS_AT_ONCE]
        with translated():
            texts = await scripts.redis.mget([keys.search + name for name in chunk])
        for name, whole in zip(chunk, texts, strict=True):
            entries = text(whole or b"").split("\n")[1:]
            buckets[name] = dict.fromkeys(entry for entry in entries if not entry.startswith("-"))
    return buckets


async def _gone(scripts: Scripts, keys: Keys, found: Sequence[str]) -> list[str]:
    """Return those of the invitations that are no more."""
    gone: list[str] = []
    for start in range(0, len(found), _BUCKETS_AT_ONCE):
        chunk = found[start : start + _BUCKETS_AT_ONCE]
        with translated():
            async with scripts.redis.pipeline(transaction=False) as pipe:
                for each in chunk:
                    pipe.exists(keys.invitation + each)
                there = await pipe.execute()
        gone += [each for each, is_there in zip(chunk, there, strict=True) if not is_there]
    return gone


def _terms_of(job: JobRecord) -> list[str]:
    terms = terms_of(job.request, job.invitation_id)
    if job.number != job.request.number:
        terms.append(number_term(job.number, job.invitation_id))
    return terms
