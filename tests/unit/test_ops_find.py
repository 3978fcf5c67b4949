"""Searching by whatever one has, and the failed queue with its jobs and messages on one list."""

from __future__ import annotations

from typing import Any

import fakeredis
import pytest

from tests.contract.ledger_desk import Desk, own_fail
from tests.factories import a_request
from worker.domain.outcome import Refused, Undelivered
from worker.domain.reasons import Catalogue
from worker.domain.request import Contact
from worker.domain.states import JobState
from worker.ledger import JobFilter
from worker.limits import Limits
from worker.ops.queries import Queries


@pytest.fixture
async def desk(fake_redis: fakeredis.FakeAsyncRedis) -> Desk:
    return await Desk.open(fake_redis)


@pytest.fixture
def queries(desk: Desk, fake_redis: fakeredis.FakeAsyncRedis) -> Queries:
    limits = Limits(fake_redis, namespace="test", name="partner", ceiling=10)
    return Queries(desk.ledger, limits, Catalogue.shipped())


async def a_job(desk: Desk, **request: Any) -> str:
    """Return a new job."""
    return (await desk.accept(request=a_request(**request))).job_ids[0]


async def pages(queries: Queries, text: str, *, limit: int) -> list[dict[str, Any]]:
    """Return all pages of a search."""
    found = [await queries.search(text, limit=limit)]
    while found[-1]["next"]:
        found.append(await queries.search(text, limit=limit, cursor=found[-1]["next"]))
    return found


def ids_of(page: dict[str, Any]) -> list[str]:
    """Return the jobs on a page."""
    return [item["job_id"] for item in page["items"]]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("050-123-4567", "number"),
        ("DANA@shop.example", "email"),
        ("crm-501", "other"),
        ("spring", "other"),
        ("rosenthal bak", "other"),
    ],
)
async def test_whatever_one_has_finds_the_job(desk: Desk, queries: Queries, text: str, kind: str) -> None:
    """A number, an address, an id of the CRM, a reference, a name."""
    job = await a_job(
        desk,
        whatsapp="972501234567",
        business_name="Rosenthal Bakery",
        external_id="crm-501",
        reference="spring",
        contact=Contact(email="dana@shop.example"),
    )
    await a_job(desk)

    page = await queries.search(text)

    assert (ids_of(page), page["kind"]) == ([job], kind)
    assert (page["total"], page["is_total_exact"], page["next"]) == (1, True, None)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("פרחים של רינה", "הפרחים של רינה"),
        ("הפרחים", "פרחים של רינה"),
        ("מסעדת גן", "מִסְעֶדֶת הַגַּן"),
        ("שוקולד", "לחם ושוקולד"),
    ],
)
async def test_a_hebrew_name_is_found_with_another_letter_before_a_word(
    desk: Desk, queries: Queries, typed: str, name: str
) -> None:
    """Where nobody is called just so; who is comes alone."""
    jobs = [await a_job(desk, business_name=name, display_name=name) for _ in range(3)]
    await a_job(desk, business_name="גן אחר", display_name="גן אחר")

    found = await pages(queries, typed, limit=2)
    assert sorted(job for page in found for job in ids_of(page)) == sorted(jobs)
    exact = await a_job(desk, business_name=typed, display_name=typed)
    assert ids_of(await queries.search(typed)) == [exact]


async def test_ids_find_one_job_or_all_of_an_invitation(desk: Desk, queries: Queries) -> None:
    """Also a message's id."""
    job = await a_job(desk)

    for text in (job, job[:-1], f"{job[:-1]}.email.invitation.1", f" {job.upper()} "):
        page = await queries.search(text)
        assert (ids_of(page), page["kind"]) == ([job], "job_id")
    assert ids_of(await queries.search("0" * 20 + "w")) == []


async def test_nothing_is_found_by_nothing(desk: Desk, queries: Queries) -> None:
    """An empty field is no wish for everything."""
    await a_job(desk)

    for text in ("", "  ", "!!", "no such shop"):
        page = await queries.search(text)
        assert (page["items"], page["total"], page["next"]) == ([], 0, None)


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
async def test_all_meanings_are_listed_the_certain_ones_first(
    desk: Desk, queries: Queries, limit: int
) -> None:
    """An external id, a reference, a name: each job once, on pages of any size."""
    named = [await a_job(desk, business_name=f"Orchid {nth}") for nth in range(3)]
    by_reference = await a_job(desk, reference="orchid")
    by_id = await a_job(desk, external_id="orchid")
    both = await a_job(desk, external_id="orchid", business_name="Orchid")

    found = await pages(queries, "orchid", limit=limit)

    assert [job for page in found for job in ids_of(page)] == [both, by_id, by_reference, *named[::-1]]
    assert all(page["total"] <= 6 for page in found)
    assert found[0]["is_total_exact"] is (limit == 10)


async def test_a_number_may_be_an_id(desk: Desk, queries: Queries) -> None:
    """What looks like a number is looked for as an external id, too."""
    by_number = await a_job(desk, whatsapp="972501234567")
    by_id = await a_job(desk, external_id="0501234567")

    assert ids_of(await queries.search("0501234567")) == [by_number, by_id]


@pytest.mark.parametrize("cursor", ["x", "9:1:", "0:1:rank-1-1-1-1", ""])
async def test_a_foreign_cursor_is_refused(desk: Desk, queries: Queries, cursor: str) -> None:
    """Rather than answered with something else."""
    await a_job(desk, business_name="Orchid")
    with pytest.raises(ValueError, match="cursor"):
        await queries.search("orchid", cursor=cursor)
    with pytest.raises(ValueError, match="cursor"):
        await queries.failed(JobFilter(), cursor=cursor or "link")


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 10])
async def test_the_failed_queue_is_one_list(desk: Desk, queries: Queries, limit: int) -> None:
    """Jobs, then messages; every page tells the same total of both."""
    jobs, messages = [], []
    for _ in range(3):
        desk.advance(1)
        job = (await desk.accept(source="csv")).job_ids[0]
        await desk.end(job, Refused(fail=own_fail()))
        delivery = await desk.a_delivery(source="csv")
        outcome = Undelivered(fail=own_fail("mailbox_unknown"))
        await desk.ledger.deliveries.settle(await desk.send(delivery), outcome, can_resend=True)
        jobs.insert(0, job)
        messages.insert(0, delivery)
    failed = JobState.FAILED
    for wanted in (
        JobFilter(state=failed),
        JobFilter(source="csv", state=failed),
        JobFilter(name="dana", state=failed),
    ):
        found, cursor = [], None
        while True:
            page = await queries.failed(wanted, cursor=cursor, limit=limit)
            found += [item.get("delivery_id") or item["job_id"] for item in page["items"]]
            assert (page["total"], page["is_total_exact"]) == (6, True)
            cursor = page["next"]
            if cursor is None:
                break
        assert found == [*jobs, *messages], wanted
