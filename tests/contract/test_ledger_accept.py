"""Accepting: what is new, what is there already, and what does not fit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis.asyncio

from tests.contract.ledger_desk import Desk
from tests.factories import a_request, an_invitation
from worker.domain.job import Verdict
from worker.domain.request import Product
from worker.domain.states import JobState, Lane

EVERYTHING = tuple(Product)


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


async def test_a_new_invitation_makes_a_job_per_product(desk: Desk) -> None:
    """Every product of a request is a job of its own, named after its invitation."""
    receipt = await desk.accept(request=a_request(products=EVERYTHING))

    assert receipt.verdict is Verdict.ACCEPTED
    assert [job[-1] for job in receipt.job_ids] == ["w", "1", "2", "3", "4"]
    assert (await desk.ledger.queries.counts())[JobState.AVAILABLE] == 5


async def test_a_request_is_kept_as_it_was_given(desk: Desk) -> None:
    """Nothing of a request is lost or altered in the ledger, Hebrew and line included."""
    request = a_request(business_name="פרחי דנה", business_name_written='פרחי דנה בע"מ', reference="r,1\n2")
    receipt = await desk.accept(request=request, source="crm:hubspot", line=7, batch_id="b")
    job = await desk.ledger.queries.job(receipt.job_ids[0])

    assert job is not None
    assert job.request == request
    assert (job.source, job.line, job.batch_id, job.number) == ("crm:hubspot", 7, "b", request.whatsapp)


async def test_a_live_job_is_to_be_rung_at_once(desk: Desk) -> None:
    """The producer rings a live job itself; nobody needs to feed it."""
    receipt = await desk.accept()

    assert receipt.ring == receipt.job_ids
    assert await desk.ledger.feed(Lane.LIVE, want=10) == []


async def test_a_bulk_job_waits_for_the_feeder(desk: Desk) -> None:
    """Backfills are rung by the feeder alone."""
    receipt = await desk.accept(lane=Lane.BULK)

    assert receipt.ring == ()
    assert await desk.ledger.feed(Lane.BULK, want=10) == list(receipt.job_ids)


async def test_two_hundred_live_bells_are_enough(desk: Desk) -> None:
    """Beyond 200 outstanding bells live jobs queue for the feeder as well."""
    receipts = await desk.ledger.accept([an_invitation() for _ in range(202)], max_waiting=1000)

    assert sum(bool(receipt.ring) for receipt in receipts) == 200


async def test_a_paused_lane_rings_nothing(desk: Desk) -> None:
    """A live job accepted during a pause waits in its queue."""
    await desk.ledger.batches.pause("live")
    receipt = await desk.accept()

    assert receipt.verdict is Verdict.ACCEPTED
    assert receipt.ring == ()


async def test_a_job_for_later_is_scheduled(desk: Desk) -> None:
    """`not_before` keeps a job from being claimed until its time."""
    receipt = await desk.accept(not_before_ms=desk.now_ms + 60_000)

    assert (receipt.state, receipt.ring) == (JobState.SCHEDULED, ())
    assert await desk.state(receipt.job_ids[0]) is JobState.SCHEDULED


async def test_saying_the_same_again_changes_nothing(desk: Desk) -> None:
    """An accept whose answer was lost is repeated with the same ids and is accepted, once."""
    invitation = an_invitation(event_key="e1")
    first = await desk.ledger.accept([invitation], max_waiting=10)
    again = await desk.ledger.accept([invitation], max_waiting=10)

    assert again == first
    assert (await desk.ledger.queries.counts())[JobState.AVAILABLE] == 1


async def test_saying_it_again_is_accepted_even_after_a_cancel(desk: Desk) -> None:
    """The claim is free again by then, yet the invitation is recorded once and for all."""
    invitation = an_invitation()
    [first] = await desk.ledger.accept([invitation], max_waiting=10)
    await desk.ledger.cancel(first.job_ids[0], by="dana", why="mistake")
    [again] = await desk.ledger.accept([invitation], max_waiting=10)

    assert (again.verdict, again.state) == (Verdict.ACCEPTED, JobState.CANCELLED)
    assert (await desk.accept(claim_key=invitation.claim_key)).verdict is Verdict.ACCEPTED


async def test_the_same_customer_again_is_a_duplicate(desk: Desk) -> None:
    """Same number, same partner fields: the first job's id comes back."""
    invitation = an_invitation()
    await desk.ledger.accept([invitation], max_waiting=10)
    twin = an_invitation(claim_key=invitation.claim_key, fingerprint=invitation.fingerprint)
    [receipt] = await desk.ledger.accept([twin], max_waiting=10)

    assert receipt.verdict is Verdict.DUPLICATE
    assert receipt.invitation_id == invitation.id
    assert receipt.job_ids == (f"{invitation.id}w",)
    assert not receipt.contact_differs


async def test_a_duplicate_says_when_only_the_contact_differs(desk: Desk) -> None:
    """The first contact stands; the producer can warn."""
    invitation = an_invitation()
    await desk.ledger.accept([invitation], max_waiting=10)
    twin = replace(invitation, id=an_invitation().id, contact_mark="other000")
    [receipt] = await desk.ledger.accept([twin], max_waiting=10)

    assert (receipt.verdict, receipt.contact_differs) == (Verdict.DUPLICATE, True)


async def test_the_same_event_again_is_a_duplicate(desk: Desk) -> None:
    """An event that comes twice makes one job, whatever its claim key has become."""
    invitation = an_invitation(event_key="crm-1")
    await desk.ledger.accept([invitation], max_waiting=10)
    twin = an_invitation(event_key="crm-1", fingerprint=invitation.fingerprint)
    [receipt] = await desk.ledger.accept([twin], max_waiting=10)

    assert (receipt.verdict, receipt.invitation_id) == (Verdict.DUPLICATE, invitation.id)


async def test_the_same_event_with_another_body_is_a_conflict(desk: Desk) -> None:
    """An idempotency key stands for one request."""
    await desk.accept(event_key="crm-1")

    assert (await desk.accept(event_key="crm-1")).verdict is Verdict.CONFLICT


async def test_another_request_for_the_number_is_a_conflict(desk: Desk) -> None:
    """One link per number: the second request is told whose job stands there."""
    first = await desk.accept(claim_key="n:972501")
    second = await desk.accept(claim_key="n:972501")

    assert (second.verdict, second.job_ids) == (Verdict.CONFLICT, first.job_ids)
    assert not second.is_replaceable


@pytest.mark.parametrize("state", [JobState.LINKED, JobState.FAILED])
async def test_a_conflict_says_when_an_operator_could_replace_it(desk: Desk, state: JobState) -> None:
    """A link that is made, or failed, can be replaced by an operator."""
    job = await desk.job_in(state, claim_key="n:972501")
    receipt = await desk.accept(claim_key="n:972501")

    assert (receipt.job_ids, receipt.is_replaceable) == ((job,), True)


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.DEAD])
async def test_a_job_that_is_over_lets_its_number_go(desk: Desk, state: JobState) -> None:
    """After a cancel or a discard the number may be asked for again."""
    await desk.job_in(state, claim_key="n:972501")

    assert (await desk.accept(claim_key="n:972501")).verdict is Verdict.ACCEPTED


async def test_a_number_is_held_by_its_whatsapp_job_alone(desk: Desk) -> None:
    """A Facebook job of the same invitation does not keep the number."""
    request = a_request(products=(Product.WHATSAPP, Product.FACEBOOK_PAGE))
    receipt = await desk.accept(request=request, claim_key="n:972501")
    await desk.ledger.cancel(receipt.job_ids[0], by="dana", why="not needed")

    assert (await desk.accept(claim_key="n:972501")).verdict is Verdict.ACCEPTED


async def test_a_claim_without_number_is_held_by_every_job(desk: Desk) -> None:
    """Facebook links have no number: the key is free when the last job is over."""
    request = a_request(products=(Product.FACEBOOK_PAGE, Product.INSTAGRAM_PAGE), whatsapp=None)
    receipt = await desk.accept(request=request, claim_key="b:1")
    await desk.ledger.cancel(receipt.job_ids[0], by="dana", why="not needed")
    between = await desk.accept(claim_key="b:1")
    await desk.ledger.cancel(receipt.job_ids[1], by="dana", why="not needed")

    assert between.verdict is Verdict.CONFLICT
    assert (await desk.accept(claim_key="b:1")).verdict is Verdict.ACCEPTED


async def test_a_full_ledger_records_nothing(desk: Desk) -> None:
    """MAX_WAITING counts jobs; what does not fit is refused whole, and leaves no trace."""
    rows = [an_invitation(), an_invitation(request=a_request(products=EVERYTHING)), an_invitation()]
    receipts = await desk.ledger.accept(rows, max_waiting=2)

    assert [receipt.verdict for receipt in receipts] == [Verdict.ACCEPTED, Verdict.FULL, Verdict.ACCEPTED]
    [again] = await desk.ledger.accept([rows[1]], max_waiting=100)
    assert again.verdict is Verdict.ACCEPTED


async def test_a_full_ledger_still_knows_what_it_holds(desk: Desk) -> None:
    """A repetition or a duplicate needs no room."""
    invitation = an_invitation()
    await desk.ledger.accept([invitation], max_waiting=1)
    [again] = await desk.ledger.accept([invitation], max_waiting=1)

    assert again.verdict is Verdict.ACCEPTED


async def test_scheduled_jobs_wait_as_well(desk: Desk) -> None:
    """MAX_WAITING counts available and scheduled jobs."""
    await desk.accept(not_before_ms=desk.now_ms + 1000)

    assert (await desk.accept(max_waiting=1)).verdict is Verdict.FULL


async def test_a_chunk_keeps_the_order_of_its_file(desk: Desk) -> None:
    """Rows accepted in the same millisecond are rung in the order they came."""
    rows = [an_invitation(lane=Lane.BULK) for _ in range(90)]
    receipts = await desk.ledger.accept(rows, max_waiting=1000)

    assert await desk.ledger.feed(Lane.BULK, want=100) == [receipt.job_ids[0] for receipt in receipts]


async def test_a_call_may_be_longer_than_a_chunk(desk: Desk) -> None:
    """Every row gets its own receipt, also across the scripts' chunks."""
    rows = [an_invitation(lane=Lane.BULK) for _ in range(150)]
    rows.append(replace(rows[3], id=an_invitation().id))
    receipts = await desk.ledger.accept(rows, max_waiting=1000)

    assert [receipt.invitation_id for receipt in receipts[:150]] == [row.id for row in rows[:150]]
    assert (receipts[150].verdict, receipts[150].invitation_id) == (Verdict.DUPLICATE, rows[3].id)


async def test_nothing_to_accept_is_nothing(desk: Desk) -> None:
    """An empty call is answered without the server."""
    assert await desk.ledger.accept([], max_waiting=1) == []


@pytest.mark.parametrize("broken", [{"source": "a\nb"}, {"claim_key": "n:\x1f1"}])
async def test_a_key_that_cannot_be_kept_is_refused(desk: Desk, broken: dict[str, str]) -> None:
    """Keys are made by us; a separator in one is a mistake that must not reach the ledger."""
    with pytest.raises(ValueError, match="line breaks"):
        await desk.accept(**broken)


async def test_a_reused_event_key_is_told_from_a_number_taken(desk: Desk) -> None:
    """The same key for other data is the caller's slip, not a conflict about the customer."""
    first = an_invitation(event_key="e1")
    await desk.ledger.accept([first], max_waiting=10)

    (reused,) = await desk.ledger.accept([an_invitation(event_key="e1")], max_waiting=10)
    (taken,) = await desk.ledger.accept([an_invitation(request=first.request)], max_waiting=10)

    assert (reused.verdict, reused.is_key_reused) == (Verdict.CONFLICT, True)
    assert (taken.verdict, taken.is_key_reused) == (Verdict.CONFLICT, False)
    assert reused.invitation_id == taken.invitation_id == first.id


@pytest.mark.parametrize("max_waiting", [1, 100])
async def test_another_sources_id_is_a_conflict_unless_the_contact_is_the_same(
    desk: Desk, max_waiting: int
) -> None:
    """Contact 501 of one CRM and record 501 of another: two customers until somebody says otherwise, however full."""
    first = an_invitation(claim_key="b:501", source="crm:hubspot", line=7)
    others = {
        "same source": replace(first, contact_mark="other000"),
        "same contact": replace(first, source="crm:generic"),
        "neither": replace(first, source="crm:generic", contact_mark="other000", line=None),
    }
    await desk.ledger.accept([first], max_waiting=100)
    rows = [replace(other, id=an_invitation().id) for other in others.values()]
    by_source, by_contact, neither = await desk.ledger.accept(rows, max_waiting=max_waiting)

    assert (by_source.verdict, by_source.contact_differs) == (Verdict.DUPLICATE, True)
    assert (by_contact.verdict, by_contact.contact_differs) == (Verdict.DUPLICATE, False)
    assert (neither.verdict, neither.is_anothers_id) == (Verdict.CONFLICT, True)
    assert (neither.invitation_id, neither.is_replaceable, neither.is_key_reused) == (first.id, False, False)
    assert not by_source.is_anothers_id
    assert not by_contact.is_anothers_id


async def test_a_number_is_the_same_customer_wherever_it_comes_from(desk: Desk) -> None:
    """It needs no second witness; nor does the same event, or the same call said again."""
    first = an_invitation(source="crm:hubspot")
    keyed = an_invitation(claim_key="b:502", source="api", event_key="e1")
    await desk.ledger.accept([first, keyed], max_waiting=100)
    twin = replace(first, id=an_invitation().id, source="csv", contact_mark="other000")
    again = replace(keyed, id=an_invitation().id, source="cli", contact_mark="other000")
    receipts = await desk.ledger.accept([twin, again, keyed], max_waiting=100)

    assert [each.verdict for each in receipts] == [Verdict.DUPLICATE, Verdict.DUPLICATE, Verdict.ACCEPTED]
