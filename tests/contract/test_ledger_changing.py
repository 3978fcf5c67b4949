"""The ledger's part of replacing links: each step, each refusal, new data; on the fake and the real server."""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis.asyncio

from tests.contract.changing_desk import (
    LOST,
    NEW_LINK,
    asked_to_replace,
    edit_of,
    events_of,
    half_way,
    record_of,
)
from tests.contract.ledger_desk import DOUBTFUL, LINKED, Desk, a_fail, own_fail
from tests.factories import a_request
from worker.domain.job import Settled, Verdict
from worker.domain.outcome import (
    Absent,
    Deleted,
    Finished,
    FoundForeign,
    FoundOurs,
    Linked,
    Refused,
    Sent,
)
from worker.domain.request import Product
from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter, Mended


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> Desk:
    return await Desk.open(store)


# --- replace -----------------------------------------------------------------------------------------------


async def test_a_replace_deletes_and_then_creates(desk: Desk) -> None:
    """Each half is a claim of its own, which says what is to be done; the new link has a reference of its own."""
    job = await asked_to_replace(desk)
    first = await desk.claim(job)
    assert (first.op, first.replacements) == ("rd", 0)
    await desk.ledger.begin_call(first.lease)
    settled = await desk.ledger.settle(first.lease, Deleted())
    assert settled == Settled(held=True, state=JobState.AVAILABLE, is_rung=True)

    between = await record_of(desk, job)
    assert (between.op, between.link, between.state) == ("rc", None, JobState.AVAILABLE)
    second = await desk.claim(job)
    assert (second.op, second.replacements) == ("rc", 1)
    await desk.ledger.begin_call(second.lease)
    await desk.ledger.settle(second.lease, NEW_LINK)

    after = await record_of(desk, job)
    assert (after.state, after.op, after.link) == (JobState.LINKED, None, NEW_LINK.link)
    assert await events_of(desk, job) == ["accepted", "linked", "replace_asked", "deleted", "linked"]
    await desk.balance()


async def test_the_same_settle_of_a_delete_twice_changes_nothing(desk: Desk) -> None:
    """The answer to the first was lost: the second says the same."""
    job = await asked_to_replace(desk)
    lease = await desk.call(job)
    first = await desk.ledger.settle(lease, Deleted())
    again = await desk.ledger.settle(lease, Deleted())

    assert (again.held, again.state) == (first.held, first.state)
    assert (await record_of(desk, job)).replacements == 1


async def test_a_delete_settled_after_its_lease_was_taken_over_is_not_heard(desk: Desk) -> None:
    """The rescued delete is made again, by another; the first one's answer moves nothing."""
    job = await asked_to_replace(desk)
    stale = await desk.call(job)
    desk.advance(61)
    assert (await desk.ledger.rescue()).available == (job,)
    assert not (await desk.ledger.settle(stale, Deleted())).held
    assert (await record_of(desk, job)).op == "rd"


async def test_a_rescued_delete_is_never_in_doubt_and_lets_the_new_link_wait(desk: Desk) -> None:
    """What was lost may still be done at the partner: the create begins when it can't hit the new link any more."""
    job = await asked_to_replace(desk)
    await desk.call(job)
    desk.advance(61)
    await desk.ledger.rescue()
    settled = await desk.end(job, Deleted(is_found=False, late_s=60.0))

    assert settled.state is JobState.SCHEDULED
    desk.advance(58)
    assert await desk.ledger.promote() == 0
    desk.advance(3)
    assert await desk.ledger.promote() == 1
    assert (await desk.end(job, NEW_LINK)).state is JobState.LINKED
    await desk.balance()


async def test_a_lost_answer_to_a_delete_lets_the_new_link_wait(desk: Desk) -> None:
    """As where the process died: the lost delete's time is over first."""
    job = await asked_to_replace(desk)
    assert (await desk.end(job, LOST)).state is JobState.SCHEDULED
    desk.advance(31)
    await desk.ledger.promote()
    assert (await desk.end(job, Deleted(late_s=60.0))).state is JobState.SCHEDULED


async def test_a_delete_that_kills_its_process_three_times_is_failed_with_its_link(desk: Desk) -> None:
    """And may be asked for again."""
    job = await asked_to_replace(desk)
    for _ in range(3):
        await desk.call(job)
        desk.advance(61)
        await desk.ledger.rescue()
    failed = await record_of(desk, job)
    assert (failed.state, failed.reason, failed.op) == (JobState.FAILED, "crashed_three_times", "rd")
    assert failed.link is not None
    assert (await desk.requeue(job)).done
    assert (await desk.claim(job)).op == "rd"


async def test_a_refused_delete_fails_with_its_link_and_is_no_unexplained_failure(desk: Desk) -> None:
    """A look-up would find the very link, and take the job for linked."""
    job = await asked_to_replace(desk)
    await desk.end(job, Refused(fail=a_fail("unknown_77"), is_discard=True))

    failed = await record_of(desk, job)
    assert (failed.state, failed.op, failed.link) == (JobState.FAILED, "rd", LINKED.link)
    assert await desk.ledger.queries.unexplained(limit=10, looked_before_s=0) == []


async def test_refused_deletes_hold_no_lane(desk: Desk) -> None:
    """They say nothing about links to be made."""
    for nth in range(6):
        job = await asked_to_replace(desk, request=a_request(whatsapp=f"97250111000{nth}"))
        await desk.end(job, Refused(fail=a_fail("unknown_77")))
    assert (await desk.ledger.queries.lanes())[Lane.LIVE].held is None


async def test_deletes_raise_no_ramp_and_end_no_row(desk: Desk) -> None:
    """Only links that are made show that links can be made."""
    jobs = await desk.accept_batch("b", 5)
    for _ in range(3):
        await desk.drain(Lane.BULK, LINKED)
    before = await desk.redis.hget("{test}:g:batch:b", "ended")
    await desk.ledger.replace(jobs[0], by="x", why="y")
    await desk.end(jobs[0], Deleted())
    assert await desk.redis.hget("{test}:g:batch:b", "ended") == before


async def test_a_finished_customer_is_onboarded_and_nothing_is_replaced(desk: Desk) -> None:
    """The partner says so where the link was to be deleted; the number stays his."""
    job = await asked_to_replace(desk)
    settled = await desk.end(job, Finished())

    after = await record_of(desk, job)
    assert (settled.state, after.state, after.op) == (JobState.ONBOARDED, JobState.ONBOARDED, None)
    assert after.link == LINKED.link
    [known] = await desk.ledger.queries.known([f"n:{after.request.number}"])
    assert known is not None
    await desk.balance()


async def test_a_create_that_fails_after_the_delete_is_visible_and_tried_again(desk: Desk) -> None:
    """`failed`, with what is done and what is not; a requeue tries the create, and nothing is deleted again."""
    job = await half_way(desk)
    await desk.end(job, Refused(fail=own_fail()))
    failed = await record_of(desk, job)
    assert (failed.state, failed.op, failed.link) == (JobState.FAILED, "rc", None)

    assert (await desk.requeue(job)).done
    claimed = await desk.claim(job)
    assert (claimed.op, claimed.replacements) == ("rc", 1)


async def test_a_failed_create_of_a_replace_is_edited_like_any_failed_job(desk: Desk) -> None:
    """Its old link is gone, so nothing is in the way."""
    job = await half_way(desk)
    await desk.end(job, Refused(fail=own_fail()))
    edit = await edit_of(desk, job, display_name="Dana")
    assert (await desk.ledger.edit(job, edit, by="dana", why="name")).done
    claimed = await desk.claim(job)
    assert (claimed.op, claimed.request.display_name) == ("rc", "Dana")


async def test_a_replace_of_a_failed_create_makes_no_delete(desk: Desk) -> None:
    """Asked for once more: only what is left is done."""
    job = await half_way(desk)
    await desk.end(job, Refused(fail=own_fail()))
    assert (await desk.ledger.replace(job, by="x", why="y")).done
    assert (await desk.claim(job)).op == "rc"
    assert (await record_of(desk, job)).replacements == 1


async def test_a_replaced_link_that_still_stands_is_deleted_again(desk: Desk) -> None:
    """The partner said that it was deleted, and still lists it."""
    job = await half_way(desk)
    await desk.end(job, DOUBTFUL)
    found = FoundForeign(fail=own_fail("replaced_link_stands"))
    assert await desk.ledger.resolve(job, found, grace_s=30) is JobState.FAILED
    assert (await desk.ledger.replace(job, by="x", why="y")).done
    assert (await desk.claim(job)).op == "rd"


async def test_a_failed_job_without_a_link_just_tries_again(desk: Desk) -> None:
    """There is nothing to delete; no link is replaced."""
    job = await desk.job_in(JobState.FAILED)
    edit = await edit_of(desk, job, display_name="Dana")
    assert (await desk.ledger.replace(job, edit, by="x", why="y")).done
    claimed = await desk.claim(job)
    assert (claimed.op, claimed.replacements, claimed.request.display_name) == (None, 0, "Dana")


async def test_a_doubtful_create_of_a_replace_is_looked_up_like_any(desk: Desk) -> None:
    """Found: linked. Absent twice: made again, by the same reference."""
    job = await half_way(desk)
    await desk.end(job, DOUBTFUL)
    assert await desk.ledger.resolve(job, FoundOurs(linked=NEW_LINK), grace_s=30) is JobState.LINKED
    other = await half_way(desk, request=a_request(whatsapp="972501110007"))
    await desk.end(other, DOUBTFUL)
    for _ in range(2):
        desk.advance(61)
        await desk.ledger.resolve(other, Absent(list_began_ms=desk.now_ms), grace_s=30)
    claimed = await desk.claim(other)
    assert (claimed.op, claimed.replacements) == ("rc", 1)


@pytest.mark.parametrize(
    "state",
    [
        JobState.AVAILABLE,
        JobState.SCHEDULED,
        JobState.RUNNING,
        JobState.IN_DOUBT,
        JobState.DEAD,
        JobState.CANCELLED,
    ],
)
@pytest.mark.parametrize("verb", ["replace", "revoke"])
async def test_only_a_link_that_stands_is_changed(verb: str, state: JobState, desk: Desk) -> None:
    """The refusal names the state; nothing moves."""
    job = await desk.job_in(state)
    mended = await getattr(desk.ledger, verb)(job, by="x", why="y")
    assert mended == Mended(done=False, state=state, refusal=f"is_{state.value}")
    assert await desk.state(job) is state


@pytest.mark.parametrize("verb", ["replace", "revoke"])
async def test_a_change_under_way_is_not_begun_twice(verb: str, desk: Desk) -> None:
    """Neither while it waits nor while it is worked on, nor for a job that is gone or ended."""
    job = await asked_to_replace(desk)
    for _ in range(2):
        mended = await getattr(desk.ledger, verb)(job, by="x", why="y")
        assert (mended.done, mended.refusal) == (False, "change_pending")
        if await desk.state(job) is JobState.AVAILABLE:
            lease = await desk.call(job)
    await desk.ledger.settle(lease, Finished())
    assert (await getattr(desk.ledger, verb)(job, by="x", why="y")).refusal == "is_onboarded"
    assert (await getattr(desk.ledger, verb)("nobodys", by="x", why="y")).refusal == "gone"


# --- new data ----------------------------------------------------------------------------------------------


async def test_new_data_take_the_old_ones_place_when_the_link_is_deleted(desk: Desk) -> None:
    """Until then the request is that of the link that stands."""
    job = await desk.job_in(JobState.LINKED)
    before = await record_of(desk, job)
    edit = await edit_of(desk, job, display_name="Dana")
    assert (await desk.ledger.replace(job, edit, by="dana", why="y")).done
    waiting = await record_of(desk, job)
    assert waiting.request == before.request
    assert waiting.next_request == edit.request

    await desk.end(job, Deleted())
    assert (await desk.claim(job)).request == edit.request
    after = await record_of(desk, job)
    assert (after.request, after.next_request) == (edit.request, None)


async def test_a_new_number_is_claimed_at_once_and_the_old_one_is_free_when_deleted(desk: Desk) -> None:
    """Nobody takes the new one meanwhile; the old link is deleted by its own number."""
    job = await desk.job_in(JobState.LINKED, request=a_request(whatsapp="972501110001"))
    edit = await edit_of(desk, job, whatsapp="972501110002")
    assert (await desk.ledger.replace(job, edit, by="x", why="y")).done
    other = await desk.accept(request=a_request(whatsapp="972501110002", business_name="Other"))
    assert other.verdict is Verdict.CONFLICT

    claimed = await desk.claim(job)
    assert claimed.request.number == "972501110001"
    await desk.ledger.begin_call(claimed.lease)
    await desk.ledger.settle(claimed.lease, Deleted())
    assert (await desk.claim(job)).request.number == "972501110002"
    again = await desk.accept(request=a_request(whatsapp="972501110001", business_name="Other"))
    assert again.verdict is Verdict.ACCEPTED
    page = await desk.ledger.queries.find(JobFilter(number="972501110002"))
    assert [each.id for each in page.items] == [job]
    await desk.balance()


async def test_a_number_that_another_stands_on_is_refused(desk: Desk) -> None:
    """And nothing is begun."""
    await desk.accept(request=a_request(whatsapp="972501110002", business_name="Other"))
    job = await desk.job_in(JobState.LINKED, request=a_request(whatsapp="972501110001"))
    edit = await edit_of(desk, job, whatsapp="972501110002")
    mended = await desk.ledger.replace(job, edit, by="x", why="y")
    assert (mended.done, mended.refusal, mended.state) == (False, "claimed_by_another", JobState.LINKED)


async def test_data_that_were_edited_meanwhile_are_refused(desk: Desk) -> None:
    """Two operators: the second looks again."""
    job = await desk.job_in(JobState.LINKED)
    edit = await edit_of(desk, job, display_name="Dana")
    [delivery] = await desk.ledger.deliveries.of_invitation(job[:-1])
    await desk.ledger.deliveries.settle(await desk.send(delivery.id), Sent(), can_resend=True)
    assert (await desk.readdress(delivery.id, "other@example.com")).done
    assert (await desk.ledger.replace(job, edit, by="x", why="y")).refusal == "edited_meanwhile"


async def test_nobody_edits_a_request_that_is_about_to_be_replaced(desk: Desk) -> None:
    """A sibling's edit would be lost with the record that it changes."""
    products = (Product.WHATSAPP, Product.FACEBOOK_PAGE)
    request = a_request(products=products)
    receipt = await desk.accept(request=request)
    whatsapp, facebook = receipt.job_ids
    await desk.end(whatsapp, LINKED)
    await desk.end(facebook, Refused(fail=own_fail()))
    edit = await edit_of(desk, whatsapp, display_name="Dana")
    assert (await desk.ledger.replace(whatsapp, edit, by="x", why="y")).done
    assert (await desk.edit(facebook, replace(request, display_name="Noa"))).refusal == "change_pending"


async def test_coexistence_links_are_deleted_by_the_number_that_was_allotted(desk: Desk) -> None:
    """The request names none; by the deleted one the job is not found any more."""
    job = await desk.job_in(JobState.AVAILABLE, request=a_request(whatsapp="1"))
    await desk.end(job, Linked(link="https://partner.example/o/1", number="972570000001"))
    await desk.ledger.replace(job, by="x", why="y")
    claimed = await desk.claim(job)
    assert claimed.linked_number == "972570000001"
    await desk.ledger.begin_call(claimed.lease)
    await desk.ledger.settle(claimed.lease, Deleted(number="972570000001"))
    assert (await record_of(desk, job)).number is None
    page = await desk.ledger.queries.find(JobFilter(number="972570000001"))
    assert page.items == ()
