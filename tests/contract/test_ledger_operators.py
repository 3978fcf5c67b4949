"""Operators' verbs and pruning: what a person may do to a job, and what is deleted in the end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.ledger_desk import LINKED, Desk, own_fail
from tests.factories import a_request
from worker.domain.dedupe import fingerprint
from worker.domain.job import Verdict
from worker.domain.outcome import Refused, Sent
from worker.domain.outgoing import SinkPlan
from worker.domain.request import Contact, Product
from worker.domain.states import Channel, JobState


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


# --- operators ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.DEAD])
async def test_requeueing_twice_has_the_effect_of_once(desk: Desk, state: JobState) -> None:
    """A failed job or a dead letter gets all its tries again; history and ids stay."""
    job = await desk.job_in(state)
    first, second = await desk.requeue(job), await desk.requeue(job)
    record = await desk.ledger.queries.job(job)

    assert (first.done, first.state) == (True, JobState.AVAILABLE)
    assert (second.done, second.refusal) == (False, "waits_already")
    assert record is not None
    assert (record.requeues, record.failures, record.reason) == (1, 0, None)
    last = (await desk.ledger.queries.history(job))[-1]
    assert (last.event, last.detail["by"], last.detail["why"]) == ("requeued", "dana", "mended")


@pytest.mark.parametrize("state", [JobState.LINKED, JobState.CANCELLED])
async def test_only_what_failed_is_requeued(desk: Desk, state: JobState) -> None:
    """A link that exists is not made again."""
    result = await desk.requeue(await desk.job_in(state))

    assert (result.done, result.state, result.refusal) == (False, state, "not_failed")


async def test_a_dead_job_cannot_come_back_over_its_successor(desk: Desk) -> None:
    """The number was given to another invitation meanwhile."""
    job = await desk.job_in(JobState.DEAD, claim_key="n:972501")
    await desk.accept(claim_key="n:972501")

    assert (await desk.requeue(job)).refusal == "claimed_by_another"


async def test_a_requeued_dead_job_holds_its_number_again(desk: Desk) -> None:
    """The claim is taken again with the requeue."""
    job = await desk.job_in(JobState.DEAD, claim_key="n:972501")
    await desk.requeue(job)

    assert (await desk.accept(claim_key="n:972501")).verdict is Verdict.CONFLICT


async def test_an_edited_request_is_what_is_tried(desk: Desk) -> None:
    """A mended number moves the claim: the old one is free, the new one held."""
    old = a_request()
    job = await desk.job_in(JobState.FAILED, request=old)
    new = a_request()
    result = await desk.edit(job, new)
    claimed = await desk.claim(job)

    assert result.done
    assert claimed.request == new
    assert (await desk.accept(claim_key=f"n:{old.number}")).verdict is Verdict.ACCEPTED
    twin = await desk.accept(claim_key=f"n:{new.number}", fingerprint=fingerprint(new))
    assert twin.verdict is Verdict.DUPLICATE


async def test_an_edit_cannot_take_another_s_number(desk: Desk) -> None:
    """The number it was mended to is somebody else's."""
    taken = a_request()
    await desk.accept(request=taken)
    job = await desk.job_in(JobState.FAILED)

    assert (await desk.edit(job, taken)).refusal == "claimed_by_another"


async def test_an_edited_contact_gets_its_message(desk: Desk) -> None:
    """A channel that was skipped for want of a contact is planned once the contact is there."""
    job = await desk.job_in(
        JobState.FAILED,
        request=a_request(contact=Contact(phone="972501111111")),
        channels=(Channel.SMS,),
        skips=((Channel.EMAIL, "no_contact"),),
    )
    await desk.edit(job, a_request(contact=Contact(phone="972501111111", email="a@b.co")))
    settled = await desk.end(job, LINKED)

    assert sorted(item.split(".")[1] for item in settled.deliveries) == ["email", "sms"]


async def test_an_edit_is_for_the_same_products(desk: Desk) -> None:
    """Other products are another request."""
    job = await desk.job_in(JobState.FAILED)
    other = a_request(products=(Product.FACEBOOK_PAGE,), whatsapp=None)

    with pytest.raises(ValueError, match="products"):
        await desk.edit(job, other)


async def test_the_number_of_a_sibling_job_is_not_edited(desk: Desk) -> None:
    """A Facebook job's edit must not change whose WhatsApp number stands recorded."""
    products = (Product.WHATSAPP, Product.FACEBOOK_PAGE)
    request = a_request(products=products)
    receipt = await desk.accept(request=request)
    await desk.end(receipt.job_ids[1], Refused(fail=own_fail()))
    same_number = a_request(products=products, whatsapp=request.whatsapp, business_name="Other")
    refused = await desk.edit(receipt.job_ids[1], a_request(products=products))

    assert refused.refusal == "number_of_another_job"
    assert (await desk.edit(receipt.job_ids[1], same_number)).done


async def test_a_discarded_job_is_a_dead_letter(desk: Desk) -> None:
    """Discarding twice has the effect of once."""
    job = await desk.job_in(JobState.FAILED)
    first = await desk.ledger.discard(job, by="dana", why="gave up")
    second = await desk.ledger.discard(job, by="dana", why="gave up")

    assert (first.done, first.state) == (True, JobState.DEAD)
    assert (second.done, second.refusal) == (False, "dead_already")


async def test_a_restored_job_stands_where_it_stood_with_the_reason_it_had(desk: Desk) -> None:
    """Reason, class and code come back, its group too; restoring twice has the effect of once."""
    job = await desk.job_in(JobState.FAILED)
    before = await desk.ledger.queries.job(job)
    await desk.ledger.discard(job, by="dana", why="gave up")
    first = await desk.ledger.restore(job, by="dana", why="mistaken")
    second = await desk.ledger.restore(job, by="dana", why="mistaken")
    after = await desk.ledger.queries.job(job)

    assert (first.done, first.state) == (True, JobState.FAILED)
    assert (second.done, second.refusal) == (False, "failed_already")
    assert before is not None
    assert after is not None
    assert (after.reason, after.reason_class, after.code) == (before.reason, before.reason_class, before.code)
    assert [(group.reason, group.count) for group in await desk.ledger.queries.groups()] == [
        ("name_refused", 1)
    ]
    last = (await desk.ledger.queries.history(job))[-1]
    assert (last.event, last.detail["by"], last.detail["why"]) == ("restored", "dana", "mistaken")


async def test_a_dead_letter_by_policy_is_restored_too(desk: Desk) -> None:
    """Whoever made it one."""
    job = await desk.job_in(JobState.DEAD)

    assert (await desk.ledger.restore(job, by="dana", why="look")).done
    assert await desk.state(job) is JobState.FAILED


async def test_restoring_takes_the_number_again_or_is_refused(desk: Desk) -> None:
    """One whose number went to another invitation stays a dead letter."""
    kept = await desk.job_in(JobState.FAILED, claim_key="n:972501")
    lost = await desk.job_in(JobState.FAILED, claim_key="n:972502")
    for job in (kept, lost):
        await desk.ledger.discard(job, by="dana", why="gave up")
    await desk.accept(claim_key="n:972502")

    assert (await desk.ledger.restore(lost, by="dana", why="x")).refusal == "claimed_by_another"
    assert (await desk.ledger.restore(kept, by="dana", why="x")).done
    assert (await desk.accept(claim_key="n:972501")).verdict is Verdict.CONFLICT


@pytest.mark.parametrize("state", [JobState.LINKED, JobState.AVAILABLE, JobState.CANCELLED])
async def test_only_dead_letters_are_restored(desk: Desk, state: JobState) -> None:
    """Whatever else it is stays so."""
    result = await desk.ledger.restore(await desk.job_in(state), by="dana", why="x")

    assert (result.done, result.state, result.refusal) == (False, state, "not_dead")


async def test_a_restored_job_is_no_new_failure(desk: Desk) -> None:
    """Sinks were told when it failed, and the charts counted it then."""
    await desk.ledger.outbox.enable([SinkPlan(name="webhook")])
    job = await desk.job_in(JobState.FAILED)
    await desk.ledger.discard(job, by="dana", why="x")
    before = await desk.ledger.series.read(minutes=10, step_min=10)
    await desk.ledger.restore(job, by="dana", why="x")
    after = await desk.ledger.series.read(minutes=10, step_min=10)
    told = await desk.ledger.outbox.claim("webhook", want=9, worker_id="w", lease_s=60)

    assert [each.type.value for each in told] == ["job.failed"]
    assert sum(after.lines["failed"]) == sum(before.lines["failed"]) == 1


async def test_each_verb_leaves_its_entry_in_the_trail_where_it_did_something(desk: Desk) -> None:
    """Who, why and which; what was refused changed nothing and is not in it."""
    job = await desk.job_in(JobState.FAILED)
    for _ in range(2):
        await desk.ledger.discard(job, by="cli:dana", why="gave up")
    await desk.ledger.restore(job, by="cli:dana", why="mistaken")
    for _ in range(2):
        await desk.requeue(job)
    await desk.ledger.cancel(job, by="cli:dana", why="enough")
    trail = (await desk.ledger.trail.find(subject=job)).items

    assert [entry.act for entry in trail[::-1]] == ["discard", "restore", "requeue", "cancel"]
    assert {(entry.act, entry.why) for entry in trail} == {
        ("discard", "gave up"),
        ("restore", "mistaken"),
        ("requeue", "mended"),
        ("cancel", "enough"),
    }


@pytest.mark.parametrize("state", [JobState.AVAILABLE, JobState.SCHEDULED])
async def test_a_waiting_job_is_cancelled(desk: Desk, state: JobState) -> None:
    """Nothing was begun: it ends at once."""
    result = await desk.ledger.cancel(await desk.job_in(state), by="dana", why="mistake")

    assert (result.done, result.state) == (True, JobState.CANCELLED)


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        (JobState.LINKED, "past_cancelling"),
        (JobState.FAILED, "past_cancelling"),
        (JobState.IN_DOUBT, "past_cancelling"),
        (JobState.CANCELLED, "cancelled_already"),
    ],
)
async def test_what_is_past_cancelling_stays(desk: Desk, state: JobState, refusal: str) -> None:
    """Discard and revoke are other verbs."""
    result = await desk.ledger.cancel(await desk.job_in(state), by="dana", why="mistake")

    assert (result.done, result.state, result.refusal) == (False, state, refusal)


@pytest.mark.parametrize("verb", ["requeue", "discard", "restore", "cancel"])
async def test_a_job_that_is_not_there_is_said_to_be_gone(desk: Desk, verb: str) -> None:
    """An operator's typing mistake changes nothing."""
    result = await getattr(desk.ledger, verb)("01m3250v020000000002w", by="dana", why="typo")

    assert (result.done, result.state, result.refusal) == (False, None, "gone")


# --- pruned ------------------------------------------------------------------------------------------------


async def test_pruning_leaves_nothing_behind(desk: Desk) -> None:
    """Of a job pruned with its invitation no key is left but the counters."""
    before = set(await desk.redis.keys("*"))
    job = await desk.job_in(JobState.DEAD, event_key="e1")
    desk.advance(100)

    assert await desk.ledger.prune({JobState.DEAD: 99}, limit=10) == 1
    left = {key.decode() for key in set(await desk.redis.keys("*")) - before}
    assert {key for key in left if job[:-1] in key or "e1" in key} == set()
    assert (await desk.ledger.queries.audit()).pruned == 1


async def test_young_jobs_are_not_pruned(desk: Desk) -> None:
    """Age counts from the day they entered their state."""
    await desk.job_in(JobState.DEAD)
    desk.advance(50)

    assert await desk.ledger.prune({JobState.DEAD: 99}, limit=10) == 0


async def test_a_job_whose_message_waits_is_not_pruned(desk: Desk) -> None:
    """And does not hide those behind it."""
    await desk.a_delivery()
    desk.advance(1)
    delivery = await desk.a_delivery()
    lease = await desk.send(delivery)
    await desk.ledger.deliveries.settle(lease, Sent(), can_resend=True)
    desk.advance(100)

    assert await desk.ledger.prune({JobState.LINKED: 50}, limit=1) == 1
    assert await desk.ledger.deliveries.get(delivery) is None
    assert (await desk.ledger.queries.counts())[JobState.LINKED] == 1


async def test_what_has_not_ended_cannot_be_pruned(desk: Desk) -> None:
    """A mistake in a setting must not lose a waiting job."""
    with pytest.raises(ValueError, match="not ended"):
        await desk.ledger.prune({JobState.AVAILABLE: 1}, limit=10)
