"""Which jobs are the same customer's: one invitation, one number, one id of his source, or one address and name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from worker.domain.job import JobRecord
from worker.domain.request import Product
from worker.domain.search import Guess, SearchGuess
from worker.ledger import JobFilter
from worker.ops.scene import Scene
from worker.ops.views import job_view

#: Jobs read per thing they are looked for by.
MOST = 50
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
    groups: list[tuple[set[_Key], list[JobRecord]]] = []
    for job in jobs:
        keys, members = keys_of(job), [job]
        apart = []
        for its_keys, its_members in groups:
            if its_keys & keys:
                keys |= its_keys
                members = [*its_members, *members]
            else:
                apart.append((its_keys, its_members))
        groups = [*apart, (keys, members)]
    sorted_groups = [sorted(members, key=_newest_first) for _, members in groups]
    return sorted(sorted_groups, key=lambda members: _newest_first(members[0]))


def _newest_first(job: JobRecord) -> tuple[int, str]:
    return -job.changed_at_ms, job.id


async def look_for(scene: Scene, wanted: SearchGuess) -> tuple[list[JobRecord], bool]:
    """Return the jobs that a text typed may mean, and whether these are all; raises LedgerUnavailable."""
    value = wanted.value
    match wanted.kind:
        case Guess.JOB_ID:
            return await _of_id(scene, value), True
        case Guess.NUMBER:
            filters = [JobFilter(number=value)]
        case Guess.EMAIL:
            filters = [JobFilter(email=value)]
        case _:
            filters = [JobFilter(external_id=value), JobFilter(reference=value), JobFilter(name=value)]
    return await _found(scene, filters)


async def all_of(scene: Scene, jobs: Sequence[JobRecord]) -> tuple[list[JobRecord], bool]:
    """Return the jobs of the customer whose jobs these are, and whether these are all; raises LedgerUnavailable."""
    numbers = dict.fromkeys(job.number for job in jobs if job.number)
    ids = dict.fromkeys(job.request.external_id for job in jobs if job.request.external_id)
    addresses = dict.fromkeys(address for job in jobs for address in sorted(addresses_of(job)))
    filters = [
        *(JobFilter(number=each) for each in list(numbers)[:_VALUES_FOLLOWED]),
        *(JobFilter(external_id=each) for each in list(ids)[:_VALUES_FOLLOWED]),
        *(JobFilter(email=each) for each in list(addresses)[:_VALUES_FOLLOWED]),
    ]
    found, is_whole = await _found(scene, filters)
    siblings = [each for job in jobs for each in await _of_id(scene, job.invitation_id)]
    every = {job.id: job for job in (*jobs, *siblings, *found)}
    own = {job.id for job in jobs}
    customers = customers_of(every.values())
    return next(members for members in customers if own & {job.id for job in members}), is_whole


async def others_of(scene: Scene, job: JobRecord, *, is_revealed: bool) -> dict[str, Any]:
    """Return the other jobs of a job's customer, newest first; raises LedgerUnavailable."""
    members, is_whole = await all_of(scene, [job])
    others = [each for each in members if each.id != job.id]
    items = [job_view(each, scene.catalogue, is_revealed=is_revealed) for each in others[:_OTHERS_SHOWN]]
    return {"items": items, "total": len(others), "is_total_exact": is_whole}


async def _of_id(scene: Scene, value: str) -> list[JobRecord]:
    """Return the jobs of an invitation, or of the invitation of a job."""
    invitation = value[:-1] if len(value) % 2 else value
    return await scene.ledger.queries.jobs([invitation + product.code for product in Product])


async def _found(scene: Scene, filters: Iterable[JobFilter]) -> tuple[list[JobRecord], bool]:
    jobs: dict[str, JobRecord] = {}
    is_whole = True
    for wanted in filters:
        page = await scene.ledger.queries.find(wanted, limit=MOST)
        jobs |= {job.id: job for job in page.items}
        is_whole = is_whole and page.next is None
    return list(jobs.values()), is_whole
