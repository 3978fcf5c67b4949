"""Finding customers by what was asked for them: whatever became of their jobs, however many share it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis.asyncio

from tests.contract.ledger_desk import LINK, Desk, own_fail
from tests.factories import a_request, an_invitation
from worker.domain.ids import new_invitation_id
from worker.domain.job import Verdict
from worker.domain.outcome import Linked, Refused, Undelivered
from worker.domain.request import Contact, OnboardingRequest, Product
from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter, finding, search
from worker.ledger.scripts import Scripts

LEVI = a_request(
    whatsapp="972501234567",
    business_name="Levi Gardens",
    display_name="Levi Gardens",
    external_id="501",
    reference="spring-24",
    contact=Contact(name="Rina", email="rina@levi.example", phone="972521111111"),
)
FAILED_SEND = Undelivered(fail=own_fail("mailbox_unknown"))
BY_EACH = [
    JobFilter(number="972501234567"),
    JobFilter(number="972521111111"),
    JobFilter(email="Rina@Levi.example"),
    JobFilter(name="gardens"),
    JobFilter(name="levi gar"),
    JobFilter(external_id="501"),
    JobFilter(reference="spring-24"),
]


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


async def found(desk: Desk, wanted: JobFilter, *, limit: int = 50) -> list[str]:
    """Return the ids on all pages, in order."""
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page = await desk.ledger.queries.find(wanted, cursor=cursor, limit=limit)
        ids += [job.id for job in page.items]
        cursor = page.next
        if cursor is None:
            return ids


@pytest.mark.parametrize("wanted", BY_EACH)
async def test_a_customer_is_found_by_each(desk: Desk, wanted: JobFilter) -> None:
    """Among others, and only he; counted exactly."""
    await desk.accept_batch("b", 30)
    [job] = (await desk.accept(request=LEVI)).job_ids

    page = await desk.ledger.queries.find(wanted)

    assert [record.id for record in page.items] == [job]
    assert (page.total, page.is_total_exact, page.next) == (1, True, None)


@pytest.mark.parametrize(
    "state", [JobState.CANCELLED, JobState.DEAD, JobState.FAILED, JobState.LINKED, JobState.SCHEDULED]
)
async def test_a_number_is_found_whatever_became_of_its_job(desk: Desk, state: JobState) -> None:
    """Also when the number has been let go, and taken by another since."""
    job = await desk.job_in(state, request=LEVI)
    later = [] if state in {JobState.FAILED, JobState.LINKED, JobState.SCHEDULED} else [LEVI]
    newer = [(await desk.accept(request=request)).job_ids[0] for request in later]

    assert await found(desk, JobFilter(number="972501234567")) == [*newer, job]
    assert await found(desk, JobFilter(number="972501234567", state=state)) == [job]


async def test_all_jobs_of_an_invitation_are_found(desk: Desk) -> None:
    """Its Facebook links beside its WhatsApp link; a page may end between them."""
    products = (Product.WHATSAPP, Product.FACEBOOK_PAGE, Product.INSTAGRAM_PAGE)
    receipt = await desk.accept(request=replace(LEVI, products=products))

    assert await found(desk, JobFilter(name="levi")) == sorted(receipt.job_ids, reverse=True)
    assert await found(desk, JobFilter(name="levi"), limit=1) == sorted(receipt.job_ids, reverse=True)


async def test_what_is_found_runs_from_the_newest(desk: Desk) -> None:
    """By acceptance, on pages of any size."""
    jobs = await desk.accept_batch("b", 9, source="csv")

    assert await found(desk, JobFilter(name="dana flo"), limit=4) == jobs[::-1]


async def test_searches_and_filters_are_combined(desk: Desk) -> None:
    """All that is given must fit."""
    jobs = await desk.accept_batch("b", 6)
    for job in jobs[:3]:
        await desk.end(job, Refused(fail=own_fail()))
    [levi] = (await desk.accept(request=LEVI)).job_ids
    await desk.end(levi, Refused(fail=own_fail("name_taken")))

    assert await found(desk, JobFilter(name="flowers", state=JobState.FAILED)) == jobs[2::-1]
    assert await found(desk, JobFilter(email="dana@example.com", lane=Lane.LIVE)) == []
    assert await found(desk, JobFilter(reason="name_taken", email="rina@levi.example", name="levi")) == [levi]
    assert await found(desk, JobFilter(number="972501234567", external_id="502")) == []
    assert await found(desk, JobFilter(name="flowers", batch="b", min_attempts=1)) == jobs[2::-1]


async def test_a_word_that_all_share_is_found_on_the_way(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too common for its hits to be read: the jobs are looked through instead, and say the same."""
    monkeypatch.setattr(search, "MOST_HITS", 5)
    jobs = await desk.accept_batch("b", 12)
    [levi] = (await desk.accept(request=replace(LEVI, business_name="Levi Flowers"))).job_ids

    assert sorted(await found(desk, JobFilter(name="flowers"), limit=5)) == sorted([*jobs, levi])
    assert await found(desk, JobFilter(name="levi flow")) == [levi]
    assert await found(desk, JobFilter(name="flowers", lane=Lane.LIVE)) == [levi]


async def test_more_than_can_be_compared_is_told_as_at_least(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A total that is not exact says so; all are found all the same."""
    monkeypatch.setattr(finding, "COMPARED_LIMIT", 200)
    jobs = await desk.accept_batch("b", 450)

    page = await desk.ledger.queries.find(JobFilter(name="flowers"), limit=10)

    assert (page.total, page.is_total_exact) == (200, False)
    assert len(await found(desk, JobFilter(name="flowers"), limit=200)) == len(jobs)


async def test_what_costs_a_script_too_much_is_looked_up_by_several(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word that many share: each script stops when it has done enough, and nobody is lost between two of them."""
    requests = [replace(LEVI, whatsapp=f"9725012345{nth}") for nth in range(10, 40)]
    jobs = [(await desk.accept(request=request)).job_ids[0] for request in requests]
    calls: Counter[str] = Counter()
    run = Scripts.run

    async def counted(self: Scripts, verb: str, *args: str | float) -> object:
        calls[verb] += 1
        return await run(self, verb, *args)

    monkeypatch.setattr(Scripts, "run", counted)
    whole = await found(desk, JobFilter(name="gardens"))
    at_once = dict(calls)
    monkeypatch.setattr(search, "_COST_PER_SCRIPT", 50_000)
    calls.clear()
    in_pieces = await found(desk, JobFilter(name="gardens"))

    assert in_pieces == whole
    assert sorted(whole) == sorted(jobs)
    assert calls["search_count"] > 10 * at_once["search_count"]


async def test_values_that_share_a_checksum_are_told_apart(
    store: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index may say too much, never the answer."""
    monkeypatch.setattr("worker.domain.search.crc32", lambda *_: 7)
    desk = await Desk.open(store)
    [levi] = (await desk.accept(request=LEVI)).job_ids
    await desk.accept(request=a_request(external_id="777"))

    assert await found(desk, JobFilter(external_id="501")) == [levi]
    assert await found(desk, JobFilter(reference="501")) == []
    page = await desk.ledger.queries.find(JobFilter(number="972501234567"))
    assert (page.total, page.is_total_exact) == (1, True)


async def failed_levi(desk: Desk) -> str:
    """Return Levi's job, failed."""
    [job] = (await desk.accept(request=LEVI)).job_ids
    await desk.end(job, Refused(fail=own_fail()))
    return job


async def test_an_edited_request_is_found_by_what_it_says_now(desk: Desk) -> None:
    """And no more by what it said."""
    job = await failed_levi(desk)
    edited = replace(LEVI, whatsapp="972507654321", business_name="Cohen Gardens", display_name="Cohen")
    await desk.edit(job, edited)

    assert await found(desk, JobFilter(number="972507654321")) == [job]
    assert await found(desk, JobFilter(name="cohen gardens")) == [job]
    assert await found(desk, JobFilter(email="rina@levi.example")) == [job]
    assert await found(desk, JobFilter(number="972501234567")) == []
    assert await found(desk, JobFilter(name="levi")) == []


async def test_another_contact_is_found(desk: Desk) -> None:
    """A message that is sent to another address makes the invitation's contact that one."""
    delivery = await desk.a_delivery(request=LEVI)
    lease = await desk.send(delivery)
    await desk.ledger.deliveries.settle(lease, FAILED_SEND, can_resend=True)
    await desk.readdress(delivery, "gil@levi.example")

    assert len(await found(desk, JobFilter(email="gil@levi.example"))) == 1
    assert await found(desk, JobFilter(email="rina@levi.example")) == []


async def test_a_number_that_the_partner_chose_is_found(desk: Desk) -> None:
    """Coexistence: it is known with the link."""
    [job] = (await desk.accept(request=replace(LEVI, whatsapp="1"), claim_key="b:1")).job_ids
    await desk.end(job, Linked(link=LINK, number="972559876543"))

    assert await found(desk, JobFilter(number="972559876543")) == [job]
    assert await found(desk, JobFilter(number="972559876543", state=JobState.LINKED)) == [job]


async def test_pruning_leaves_nothing_to_be_found(desk: Desk) -> None:
    """Neither jobs nor their terms: an index must not grow for ever."""
    request: OnboardingRequest = replace(
        LEVI, whatsapp="1", products=(Product.WHATSAPP, Product.FACEBOOK_PAGE)
    )
    receipt = await desk.accept(request=request, claim_key="b:1")
    for job in receipt.job_ids:
        number = "972559876543" if job.endswith("w") else None
        await desk.end(job, Linked(link=LINK, number=number))
    delivery = (await desk.ledger.deliveries.of_invitation(receipt.invitation_id))[0].id
    await desk.ledger.deliveries.settle(await desk.send(delivery), FAILED_SEND, can_resend=True)
    desk.advance(100)
    assert await desk.ledger.prune({JobState.LINKED: 10}, limit=1) == 1
    assert len(await found(desk, JobFilter(name="levi"))) == 1
    assert await desk.ledger.prune({JobState.LINKED: 10}, limit=10) == 1

    assert await found(desk, JobFilter(name="levi")) == []
    left = [key async for key in desk.redis.scan_iter("{test}:se:*")]
    left += [key async for key in desk.redis.scan_iter("{test}:df:*")]
    assert left == []


async def test_what_was_not_taken_is_not_found(desk: Desk) -> None:
    """Of rows that come together only those that were recorded stand in the index."""
    await desk.accept(request=LEVI)
    again = replace(LEVI, business_name="Levi Orchards", display_name="Levi Orchards")
    rows = [an_invitation(), an_invitation(request=again), an_invitation(request=a_request(reference="late"))]
    first, twice, last = await desk.ledger.accept(rows, max_waiting=100)

    assert twice.verdict is Verdict.CONFLICT
    assert await found(desk, JobFilter(name="orchards")) == []
    assert await found(desk, JobFilter(reference="late")) == list(last.job_ids)
    assert await found(desk, JobFilter(name="flowers")) == [*last.job_ids, *first.job_ids]


async def test_what_is_pruned_takes_no_room(desk: Desk) -> None:
    """A bucket that many share is struck out entry by entry, written anew at half, and gone with its last."""
    rows = [an_invitation(id=new_invitation_id(now_ms=desk.now_ms, chance=nth)) for nth in range(40)]
    jobs = [receipt.job_ids[0] for receipt in await desk.ledger.accept(rows, max_waiting=100)]
    keys = [key async for key in desk.redis.scan_iter("{test}:se:*")]
    shared = max([(await desk.redis.strlen(key), key) for key in keys])[1]
    sizes = [await desk.redis.strlen(shared)]
    for nth, job in enumerate(jobs):
        await desk.ledger.cancel(job, by="dana", why="test")
        desk.advance(1)
        assert await desk.ledger.prune({JobState.CANCELLED: 0.5}, limit=10) == 1
        sizes.append(await desk.redis.strlen(shared))
        assert nth % 8 or await found(desk, JobFilter(name="flowers")) == jobs[:nth:-1]

    assert sizes[0] == sizes[10]
    assert sizes[24] < sizes[0] * 0.6
    assert sizes[-1] == 0


async def test_the_audit_looks_into_the_index(store: redis.asyncio.Redis) -> None:
    """A term that is missing, and one that leads nowhere, are told."""
    desk = await Desk.open(store)
    [job] = (await desk.accept(request=LEVI)).job_ids
    assert (await desk.ledger.queries.audit()).wrong == ()
    keys = [key async for key in store.scan_iter("{test}:se:*")]
    for key in keys:
        await store.append(key, "\n=000000" + "0" * 20)
    await store.delete(keys[0])

    wrong = (await desk.ledger.queries.audit()).wrong

    assert f"search: {job} is not found by all it should be" in wrong
    assert f"search: {'0' * 20} is found, and is gone" in wrong


def test_a_filter_survives_json() -> None:
    """It is kept with a bulk act, and read again as it was."""
    wanted = JobFilter(state=JobState.FAILED, lane=Lane.BULK, name="levi", older_than_s=3.5, min_requeues=1)

    assert JobFilter.from_document(json.loads(json.dumps(wanted.document()))) == wanted
    assert JobFilter().document() == {}
    with pytest.raises(ValueError, match="not of a filter: colour"):
        JobFilter.from_document({"colour": "red"})
