"""What becomes of a link: finished, gone at the partner, its number near its end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.changing_desk import LOST, edit_of, half_way, record_of
from tests.contract.ledger_desk import LINK, Desk, own_fail
from tests.factories import a_request
from worker.domain.outcome import Linked, Refused
from worker.domain.outgoing import SinkPlan
from worker.domain.request import Product
from worker.domain.states import DeliveryState, JobState, Lane
from worker.ledger import JobFilter
from worker.ledger.completing import ExpiringNumber

GRACE_S = 60.0
FINAL = "972587654321"


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


async def vanish(desk: Desk, job: str) -> JobState | None:
    """Tell of a complete list, begun now, without the job's link."""
    return await desk.ledger.completing.vanish(job, desk.now_ms, grace_s=GRACE_S, apart_s=30.0)


async def vanished(desk: Desk) -> str:
    """Return a job whose link was missing from two lists."""
    job = await desk.job_in(JobState.LINKED)
    for _ in range(2):
        desk.advance(61)
        await vanish(desk, job)
    assert await desk.state(job) is JobState.FAILED
    return job


# --- finished ----------------------------------------------------------------------------------------------


async def test_a_linked_job_is_completed_once(desk: Desk) -> None:
    """A second telling finds nothing to complete, and the history has it once."""
    job = await desk.job_in(JobState.LINKED)

    assert await desk.ledger.completing.complete(job, how="list") is JobState.ONBOARDED
    assert await desk.ledger.completing.complete(job, how="webhook") is None

    history = [(entry.event, entry.detail) for entry in await desk.ledger.queries.history(job)]
    assert [entry for entry in history if entry[0] == "completed"] == [("completed", {"how": "list"})]


@pytest.mark.parametrize(
    "state",
    [
        JobState.AVAILABLE, JobState.SCHEDULED, JobState.RUNNING, JobState.IN_DOUBT, JobState.FAILED, JobState.DEAD,
        JobState.CANCELLED,
    ],
)  # fmt: skip
async def test_nothing_else_is_completed(desk: Desk, state: JobState) -> None:
    """Of a doubt and of a failure the look-up speaks; what was given up stays so."""
    job = await desk.job_in(state)

    assert await desk.ledger.completing.complete(job, how="list") is None
    assert await desk.state(job) is state


@pytest.mark.parametrize("op", ["replace", "revoke"])
@pytest.mark.parametrize("state", [JobState.AVAILABLE, JobState.SCHEDULED, JobState.FAILED])
async def test_who_finishes_before_his_link_is_deleted_is_onboarded(
    desk: Desk, op: str, state: JobState
) -> None:
    """However long the delete waits: nothing is deleted or made any more, and what was asked for is forgotten."""
    job = await desk.job_in(JobState.LINKED, request=a_request(whatsapp="1"))
    edit = () if op == "revoke" else (await edit_of(desk, job, display_name="Dana"),)
    assert (await getattr(desk.ledger, op)(job, *edit, by="dana", why="name")).done
    if state is JobState.SCHEDULED:
        await desk.end(job, LOST)
    elif state is JobState.FAILED:
        await desk.end(job, Refused(fail=own_fail()))
    assert await desk.state(job) is state

    assert await desk.ledger.completing.complete(job, how="list", number=FINAL) is JobState.ONBOARDED

    record = await record_of(desk, job)
    assert (record.op, record.reason, record.next_request, record.number) == (None, None, None, FINAL)
    assert await desk.ledger.feed(Lane.LIVE, want=5) == []


async def test_a_number_that_was_to_be_taken_is_free_when_the_old_one_is_finished(desk: Desk) -> None:
    """The customer stays on the number that he finished."""
    job = await desk.job_in(JobState.LINKED)
    edit = await edit_of(desk, job, whatsapp="972501119999")
    assert (await desk.ledger.replace(job, edit, by="dana", why="name")).done
    await desk.ledger.completing.complete(job, how="list")

    [free] = await desk.ledger.queries.known(["n:972501119999"])
    assert free is None


async def test_a_facebook_customer_may_finish_by_the_link_that_is_being_replaced(desk: Desk) -> None:
    """It stays valid until then, and after it."""
    facebook = (Product.FACEBOOK_PAGE,)
    job = await desk.job_in(JobState.LINKED, request=a_request(products=facebook), claim_key="f:1")
    await desk.ledger.replace(job, by="dana", why="name")
    await desk.end(job, Refused(fail=own_fail()))

    assert await desk.ledger.completing.complete(job, how="webhook") is JobState.ONBOARDED
    assert (await record_of(desk, job)).op is None


async def test_nobody_finishes_by_a_link_that_is_deleted(desk: Desk) -> None:
    """The new one is not made yet."""
    job = await half_way(desk)
    await desk.end(job, Refused(fail=own_fail()))

    assert await desk.ledger.completing.complete(job, how="list") is None


async def test_a_job_that_is_not_there_is_not_completed(desk: Desk) -> None:
    """A forged reference has the shape of one of ours, and is nobody's."""
    assert await desk.ledger.completing.complete("0" * 20 + "w", how="webhook") is None


async def test_coexistence_takes_its_final_number_and_is_found_by_it(desk: Desk) -> None:
    """The temporary number is nothing that a caller at the phone knows."""
    job = await desk.job_in(JobState.LINKED, request=a_request(whatsapp="1"))

    await desk.ledger.completing.complete(job, number=FINAL, how="list", link=LINK)

    record = await desk.ledger.queries.job(job)
    assert record is not None
    assert (record.number, record.link) == (FINAL, LINK)


async def test_the_number_stays_claimed(desk: Desk) -> None:
    """A connected number can have no second link."""
    request = a_request()
    job = await desk.job_in(JobState.LINKED, request=request)
    await desk.ledger.completing.complete(job, how="list")

    [known] = await desk.ledger.queries.known([f"n:{request.number}"])
    assert known is not None
    assert (known.job_ids, known.state) == ((job,), JobState.ONBOARDED)


async def test_a_message_that_waits_is_not_sent_any_more(desk: Desk) -> None:
    """And says why: its customer has finished."""
    delivery = await desk.a_delivery()
    await desk.ledger.completing.complete(delivery[:20] + "w", how="list")

    assert await desk.ledger.deliveries.claim(delivery, worker_id="w1", lease_s=60) is None
    record = await desk.ledger.deliveries.get(delivery)
    assert record is not None
    assert (record.state, record.reason) == (DeliveryState.SKIPPED, "customer_finished")


async def test_a_completion_is_told_to_our_own_system(desk: Desk) -> None:
    """`link.onboarded` is left by the very script."""
    await desk.ledger.outbox.enable([SinkPlan(name="webhook")])
    job = await desk.job_in(JobState.LINKED)
    await desk.ledger.completing.complete(job, how="list")

    claimed = await desk.ledger.outbox.claim("webhook", want=9, worker_id="w1", lease_s=60)
    assert [(event.type.value, event.job_id) for event in claimed][-1] == ("link.onboarded", job)


# --- gone --------------------------------------------------------------------------------------------------


async def test_two_complete_lists_without_it_make_a_link_vanished(desk: Desk) -> None:
    """One list may be wrong; after the second a person has to look."""
    job = await desk.job_in(JobState.LINKED)
    desk.advance(61)
    assert await vanish(desk, job) is JobState.LINKED
    desk.advance(61)

    assert await vanish(desk, job) is JobState.FAILED
    record = await desk.ledger.queries.job(job)
    assert record is not None
    assert (record.reason, record.reason_class, record.link) == ("link_vanished", "link_gone", LINK)
    assert await vanish(desk, job) is None


async def test_a_list_begun_too_soon_says_nothing(desk: Desk) -> None:
    """The partner's list may lag behind what it has just made."""
    job = await desk.job_in(JobState.LINKED)
    for _ in range(3):
        desk.advance(19)
        assert await vanish(desk, job) is JobState.LINKED

    assert await desk.ledger.completing.absent(9) == []


async def test_two_lists_at_nearly_the_same_time_count_as_one(desk: Desk) -> None:
    """Two workers may look at once."""
    job = await desk.job_in(JobState.LINKED)
    desk.advance(61)
    await vanish(desk, job)
    desk.advance(29)

    assert await vanish(desk, job) is JobState.LINKED


async def test_a_link_that_is_there_again_begins_anew(desk: Desk) -> None:
    """Only lists that follow each other count."""
    job = await desk.job_in(JobState.LINKED)
    desk.advance(61)
    await vanish(desk, job)
    await desk.ledger.completing.reappear([job])
    desk.advance(61)

    assert await vanish(desk, job) is JobState.LINKED
    assert await desk.ledger.completing.absent(9) == [job]


async def test_a_mark_from_before_a_new_link_says_nothing_of_it(desk: Desk) -> None:
    """The job was let try again, and its new link is as young as any."""
    job = await desk.job_in(JobState.LINKED)
    desk.advance(61)
    await vanish(desk, job)
    desk.advance(61)
    await vanish(desk, job)
    await desk.requeue(job)
    await desk.call(job)
    desk.advance(1)

    assert await vanish(desk, job) is None
    assert await desk.ledger.completing.absent(9) == []


async def test_the_temporary_number_leaves_nothing_behind(desk: Desk) -> None:
    """Once it is over nobody is found by it, and the pruned job is found by nothing."""
    request = a_request(whatsapp="1", external_id="x")
    [job] = (await desk.accept(request=request, channels=(), claim_key="b:1")).job_ids
    await desk.end(job, Linked(link=LINK, number="972571234567"))
    await desk.ledger.completing.complete(job, number=FINAL, how="list")
    for number, found in (("972571234567", []), (FINAL, [job])):
        page = await desk.ledger.queries.find(JobFilter(number=number))
        assert [each.id for each in page.items] == found
    desk.advance(61)
    await desk.ledger.prune({JobState.ONBOARDED: 60}, limit=5)

    assert await desk.redis.keys("{test}:se:*") == []


async def test_a_link_that_is_pruned_leaves_no_mark(desk: Desk) -> None:
    """Nobody looks for it any more."""
    job = await desk.job_in(JobState.LINKED, channels=())
    desk.advance(61)
    await vanish(desk, job)
    assert await desk.ledger.completing.absent(5) == [job]
    desk.advance(61)
    await desk.ledger.prune({JobState.LINKED: 60}, limit=5)

    assert await desk.state(job) is None
    assert await desk.ledger.completing.absent(5) == []


async def test_who_finished_by_a_link_that_seemed_gone_is_onboarded(desk: Desk) -> None:
    """The failure was the list's, and leaves the failed queue with its reason."""
    job = await vanished(desk)

    assert await desk.ledger.completing.complete(job, how="list") is JobState.ONBOARDED
    record = await desk.ledger.queries.job(job)
    assert record is not None
    assert record.reason is None
    assert await desk.ledger.queries.groups() == []


# --- reading -----------------------------------------------------------------------------------------------


async def test_linked_jobs_come_a_page_at_a_time(desk: Desk) -> None:
    """Each once, with since when; those that vanished apart from them."""
    gone = await vanished(desk)
    since = desk.now_ms
    jobs = [await desk.job_in(JobState.LINKED) for _ in range(3)]

    pages = [page async for page in desk.ledger.completing.linked()]
    assert sorted(row for page in pages for row in page) == sorted((job, since) for job in jobs)
    assert [[job for job, _ in page] async for page in desk.ledger.completing.linked(has_vanished=True)] == [
        [gone]
    ]


async def test_what_was_seen_of_the_partner_is_kept_for_people(desk: Desk) -> None:
    """A fact that is taken back is unknown again; the others stay."""
    numbers = (ExpiringNumber(number="972501234567", expires_at_ms=5, job_id="j", is_linked=True),)
    await desk.ledger.completing.note(listed=3, suspicious_since_ms=7, numbers=numbers)
    await desk.ledger.completing.note(suspicious_since_ms=None, refused_from="203.0.113.9")

    view = await desk.ledger.completing.view()
    assert (view.listed, view.suspicious_since_ms, view.refused_from) == (3, None, "203.0.113.9")
    assert await desk.ledger.completing.expiring() == numbers


async def test_of_the_numbers_near_their_end_so_many_are_kept_as_can_wait(desk: Desk) -> None:
    """The partner lets 500 wait; a list that says more must not fill the memory."""
    many = [ExpiringNumber(number=f"97250{n:07d}", expires_at_ms=n) for n in range(501)]
    await desk.ledger.completing.note(numbers=many)

    assert await desk.ledger.completing.expiring() == tuple(many[:500])
