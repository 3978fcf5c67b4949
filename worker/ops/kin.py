"""Which jobs are the same customer's: one invitation, one number, one id of his source, or one address and name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from worker.domain.job import JobRecord
from worker.domain.request import Product
from worker.domain.search import Guess, SearchGuess, prefixed_otherwise
from worker.ledger import JobFilter
from worker.ops.scene import Scene
from worker.ops.views import job_view

#: Jobs read per thing they are looked for by; and where every one is wanted.
MOST = 50
EVERY = 20_000
_READ_AT_ONCE = 500
_LOOKED_FOR_AT_ONCE = 5
_OTHERS_SHOWN = 20
_VALUES_FOLLOWED = 5  #: numbers, addresses and ids that further jobs of a customer are looked for by
_Key = tuple[str, ...]


def keys_of(job: JobRecord) -> set[_Key]:
    """Return what tells whose job it is: two jobs that share one of these are the same customer's."""
    request = job.request
    keys: set[_Key] = {("invitation", job.invitation_id)}
    if job.number:
        keys.add(("number", job.number))
    if request.external_id:
        keys.add(("id", job.source, request.external_id))
    name = (request.business_name or request.contact.name or "").casefold()
    # An agency's address stands for all its customers: it takes the name as well.
    if name:
        keys |= {("address", address, name) for address in addresses_of(job)}
    return keys


def addresses_of(job: JobRecord) -> set[str]:
    """Return the e-mail addresses of a job's request, as they are compared."""
    found = (job.request.contact.email, job.request.business_email)
    return {address.casefold() for address in found if address}


def customers_of(jobs: Iterable[JobRecord]) -> list[list[JobRecord]]:
    """Return the jobs by customer, each customer's newest first, the customer with the newest job first."""
    leads: dict[_Key, _Key] = {}

    def lead_of(key: _Key) -> _Key:
        while (lead := leads.setdefault(key, key)) != key:
            leads[key] = leads[lead]  # the way is halved, so that it never gets long
            key = lead
        return key

    every = list(jobs)
    for job in every:
        own = ("invitation", job.invitation_id)
        for key in keys_of(job):
            leads[lead_of(key)] = lead_of(own)
    groups: dict[_Key, list[JobRecord]] = {}
    for job in sorted(every, key=_newest_first):
        groups.setdefault(lead_of(("invitation", job.invitation_id)), []).append(job)
    return list(groups.values())


def _newest_first(job: JobRecord) -> tuple[int, str]:
    return -job.changed_at_ms, job.id


async def look_for(
    scene: Scene, wanted: SearchGuess, *, typed: str | None = None, most: int = MOST
) -> tuple[list[JobRecord], bool]:
    """Return the jobs that a text may mean, and whether these are all; raises LedgerUnavailable.

    *typed*: as it was typed, where ids that look like a number or an address count as well: those of CRMs often do.
    """
    value = wanted.value
    by_id = [] if typed is None else [JobFilter(external_id=typed), JobFilter(reference=typed)]
    match wanted.kind:
        case Guess.JOB_ID:
            return await _of_id(scene, value), True
        case Guess.NUMBER:
            filters = [JobFilter(number=value), *by_id]
        case Guess.EMAIL:
            filters = [JobFilter(email=value), *by_id]
        case _:
            filters = [JobFilter(external_id=value), JobFilter(reference=value), JobFilter(name=value)]
    jobs, is_whole = await _found(scene, filters, most)
    if jobs or not is_whole or wanted.kind is not Guess.OTHER:
        return jobs, is_whole
    return await _found(scene, [JobFilter(name=each) for each in prefixed_otherwise(value)], most)


async def all_of(
    scene: Scene, jobs: Sequence[JobRecord], *, most: int = MOST
) -> tuple[list[JobRecord], bool]:
    """Return the jobs of the customers whose jobs these are, and whether these are all; raises LedgerUnavailable.

    What several share is read once. With `EVERY` as *most*, all that these jobs' numbers, ids and addresses lead to are
    followed.
    """
    followed = _VALUES_FOLLOWED if most == MOST else None
    numbers = dict.fromkeys(job.number for job in jobs if job.number)
    ids = dict.fromkeys(job.request.external_id for job in jobs if job.request.external_id)
    addresses = dict.fromkeys(address for job in jobs for address in sorted(addresses_of(job)))
    filters = [
        *(JobFilter(number=each) for each in list(numbers)[:followed]),
        *(JobFilter(external_id=each) for each in list(ids)[:followed]),
        *(JobFilter(email=each) for each in list(addresses)[:followed]),
    ]
    found, is_whole = await _found(scene, filters, most)
    siblings = await of_invitations(scene, (job.invitation_id for job in jobs))
    every = {job.id: job for job in (*jobs, *siblings, *found)}
    own = {job.id for job in jobs}
    customers = customers_of(every.values())
    theirs = (members for members in customers if not own.isdisjoint(job.id for job in members))
    return [job for members in theirs for job in members], is_whole


async def others_of(scene: Scene, job: JobRecord, *, is_revealed: bool) -> dict[str, Any]:
    """Return the other jobs of a job's customer, newest first; raises LedgerUnavailable."""
    members, is_whole = await all_of(scene, [job])
    others = [each for each in members if each.id != job.id]
    items = [job_view(each, scene.catalogue, is_revealed=is_revealed) for each in others[:_OTHERS_SHOWN]]
    return {"items": items, "total": len(others), "is_total_exact": is_whole}


async def _of_id(scene: Scene, value: str) -> list[JobRecord]:
    """Return the jobs of an invitation, or of the invitation of a job."""
    return await of_invitations(scene, [value[:-1] if len(value) % 2 else value])


async def of_invitations(scene: Scene, invitations: Iterable[str]) -> list[JobRecord]:
    """Return all jobs of each of the invitations; raises LedgerUnavailable."""
    ids = [each + product.code for each in dict.fromkeys(invitations) for product in Product]
    return await scene.ledger.queries.jobs(ids)


async def _found(
    scene: Scene, filters: Sequence[JobFilter], most: int = MOST
) -> tuple[list[JobRecord], bool]:
    jobs: dict[str, JobRecord] = {}
    is_whole = True
    for start in range(0, len(filters), _LOOKED_FOR_AT_ONCE):
        some = filters[start : start + _LOOKED_FOR_AT_ONCE]
        for found, has_all in await asyncio.gather(*(_read(scene, wanted, most) for wanted in some)):
            jobs |= {job.id: job for job in found}
            is_whole = is_whole and has_all
    return list(jobs.values()), is_whole


async def _read(scene: Scene, wanted: JobFilter, most: int) -> tuple[list[JobRecord], bool]:
    """Return the newest jobs that match, *most* of them at most, and whether these are all."""
    jobs: list[JobRecord] = []
    cursor: str | None = None
    while True:
        limit = min(_READ_AT_ONCE, most - len(jobs))
        page = await scene.ledger.queries.find(wanted, limit=limit, cursor=cursor)
        jobs += page.items
        cursor = page.next
        # A page may be short, and a screen does not wait for many of these.
        if cursor is None or len(jobs) >= most or most <= MOST:
            return jobs, cursor is None
