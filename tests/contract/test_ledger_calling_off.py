"""The ledger's part of changing links: calling it off, revoking, messages, bulk; on the fake and the real server."""

from __future__ import annotations

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
from tests.contract.ledger_desk import LINKED, SNOOZED, Desk, own_fail
from tests.factories import a_request
from worker.domain.act import Act, ActOutcome, ActState
from worker.domain.job import Verdict
from worker.domain.outcome import (
    Deleted,
    Finished,
    Refused,
    Sent,
)
from worker.domain.request import Product
from worker.domain.states import DeliveryState, JobState, Lane
from worker.ledger import Mended


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> Desk:
    return await Desk.open(store)


# --- calling it off ----------------------------------------------------------------------------------------


async def test_a_replace_that_has_not_begun_is_called_off(desk: Desk) -> None:
    """The link stands as it did, the data too, the new number is free again; no link is told of as new."""
    job = await desk.job_in(JobState.LINKED, request=a_request(whatsapp="972501110001"))
    edit = await edit_of(desk, job, whatsapp="972501110002")
    await desk.ledger.replace(job, edit, by="x", why="y")
    assert await desk.ledger.cancel(job, by="dana", why="no") == Mended(done=True, state=JobState.LINKED)

    after = await record_of(desk, job)
    assert (after.op, after.link, after.request.number) == (None, LINKED.link, "972501110001")
    assert (await events_of(desk, job))[-1] == "called_off"
    free = await desk.accept(request=a_request(whatsapp="972501110002", business_name="Other"))
    assert free.verdict is Verdict.ACCEPTED
    await desk.balance()


async def test_a_message_left_out_because_of_a_change_goes_out_when_that_is_called_off(desk: Desk) -> None:
    """Nothing goes out while the link may be deleted; nothing is lost if it is not."""
    delivery = await desk.a_delivery()
    job = delivery.partition(".")[0] + "w"
    await desk.ledger.replace(job, by="x", why="y")
    assert await desk.ledger.deliveries.claim(delivery, worker_id="w1", lease_s=60) is None
    await desk.ledger.cancel(job, by="x", why="y")

    [old, new] = await desk.ledger.deliveries.of_invitation(job[:-1])
    assert (old.state, new.state) == (DeliveryState.SKIPPED, DeliveryState.PENDING)
    claimed = await desk.claim_delivery(new.id)
    assert [link.link for link in claimed.links] == [LINKED.link]


async def test_cancelling_after_the_delete_leaves_the_number_free(desk: Desk) -> None:
    """The old link is gone and no new one is made: revoked, not cancelled."""
    job = await half_way(desk)
    assert await desk.ledger.cancel(job, by="x", why="y") == Mended(done=True, state=JobState.REVOKED)
    again = await desk.accept(request=a_request(business_name="Other"))
    assert again.verdict is Verdict.ACCEPTED
    await desk.balance()


async def test_cancelling_a_running_delete_takes_effect_where_it_was_not_done(desk: Desk) -> None:
    """Surely not done: the link stands."""
    job = await asked_to_replace(desk)
    lease = await desk.call(job)
    assert (await desk.ledger.cancel(job, by="x", why="y")).state is JobState.RUNNING
    assert (await desk.ledger.settle(lease, SNOOZED)).state is JobState.LINKED
    assert (await record_of(desk, job)).op is None


async def test_cancelling_a_running_delete_that_is_done_revokes(desk: Desk) -> None:
    """Done: no new link is made."""
    job = await asked_to_replace(desk)
    lease = await desk.call(job)
    await desk.ledger.cancel(job, by="x", why="y")
    assert (await desk.ledger.settle(lease, Deleted())).state is JobState.REVOKED


async def test_a_delete_that_may_be_done_is_brought_to_its_end_when_called_off(desk: Desk) -> None:
    """Nobody knows whether the link stands: it is deleted for good, and then nobody is told that it does."""
    job = await asked_to_replace(desk)
    await desk.end(job, LOST)
    mended = await desk.ledger.cancel(job, by="x", why="y")
    assert (mended.done, mended.state) == (True, JobState.SCHEDULED)
    assert (await record_of(desk, job)).op == "v"
    assert (await desk.ledger.cancel(job, by="x", why="y")).refusal == "past_cancelling"
    desk.advance(31)
    await desk.ledger.promote()
    assert (await desk.end(job, Deleted(is_found=False))).state is JobState.REVOKED


async def test_cancelling_a_batch_calls_its_changes_off(desk: Desk) -> None:
    """Links that stand stay; where the old one is gone the job is revoked."""
    first, second, third = await desk.accept_batch("b", 3)
    await desk.drain(Lane.BULK, LINKED)
    for job in (first, second):
        assert (await desk.ledger.replace(job, by="x", why="y")).done
    await desk.end(second, Deleted())
    await desk.ledger.batches.cancel("b", by="x", why="y")
    states = [await desk.state(job) for job in (first, second, third)]
    assert states == [JobState.LINKED, JobState.REVOKED, JobState.LINKED]
    await desk.balance()


async def test_a_failed_delete_is_called_off_or_asked_for_again_but_not_discarded(desk: Desk) -> None:
    """A dead letter whose link stands would let the number go."""
    job = await asked_to_replace(desk)
    await desk.end(job, Refused(fail=own_fail("number_invalid")))
    assert (await desk.ledger.discard(job, by="x", why="y")).refusal == "link_stands"
    assert (await desk.edit(job, a_request(display_name="Noa"))).refusal == "link_stands"
    assert (await desk.ledger.cancel(job, by="x", why="y")).state is JobState.LINKED
    assert (await record_of(desk, job)).reason is None
    await desk.balance()


async def test_a_failed_create_is_discarded_restored_and_tried_again(desk: Desk) -> None:
    """It stays the second half of a replace all the way."""
    job = await half_way(desk)
    await desk.end(job, Refused(fail=own_fail()))
    assert (await desk.ledger.discard(job, by="x", why="y")).done
    assert (await desk.ledger.restore(job, by="x", why="y")).done
    assert (await desk.requeue(job)).done
    assert (await desk.claim(job)).op == "rc"


# --- revoke ------------------------------------------------------------------------------------------------


async def test_a_revoke_deletes_the_link_and_frees_the_number(desk: Desk) -> None:
    """Final; nothing of the link is left to be sent."""
    job = await desk.job_in(JobState.LINKED)
    assert (await desk.ledger.revoke(job, by="x", why="y")).done
    assert (await desk.claim(job)).op == "v"
    await desk.ledger.abandon("w1")
    await desk.ledger.rescue()
    assert (await desk.end(job, Deleted())).state is JobState.REVOKED
    after = await record_of(desk, job)
    assert (after.link, after.op) == (None, None)
    again = await desk.accept(request=a_request(business_name="Other"))
    assert again.verdict is Verdict.ACCEPTED
    await desk.balance()


async def test_what_has_no_link_is_not_revoked(desk: Desk) -> None:
    """And a Facebook link can't be deleted at the partner."""
    failed = await desk.job_in(JobState.FAILED)
    assert (await desk.ledger.revoke(failed, by="x", why="y")).refusal == "no_link"
    facebook = (
        await desk.accept(request=a_request(products=(Product.FACEBOOK_PAGE,), whatsapp=None))
    ).job_ids[0]
    await desk.end(facebook, LINKED)
    assert (await desk.ledger.revoke(facebook, by="x", why="y")).refusal == "facebook_stays"


@pytest.mark.parametrize("path", ["vanished", "half_way"])
async def test_a_link_that_is_gone_is_revoked_at_once(path: str, desk: Desk) -> None:
    """No call is needed for it."""
    if path == "vanished":
        job = await desk.job_in(JobState.LINKED)
        for _ in range(2):
            desk.advance(10_000)
            now = desk.now_ms
            await desk.ledger.completing.vanish(job, now)
    else:
        job = await half_way(desk)
        await desk.end(job, Refused(fail=own_fail()))
    assert await desk.state(job) is JobState.FAILED
    assert await desk.ledger.revoke(job, by="x", why="y") == Mended(done=True, state=JobState.REVOKED)
    await desk.balance()


async def test_a_vanished_link_is_made_anew_by_a_reference_of_its_own(desk: Desk) -> None:
    """By a requeue as by a replace."""
    for verb in ("requeue", "replace"):
        number = "972501110001" if verb == "requeue" else "972501110002"
        job = await desk.job_in(JobState.LINKED, request=a_request(whatsapp=number))
        for _ in range(2):
            desk.advance(10_000)
            await desk.ledger.completing.vanish(job, desk.now_ms)
        assert (await getattr(desk.ledger, verb)(job, by="x", why="y")).done
        claimed = await desk.claim(job)
        assert (claimed.op, claimed.replacements) == ("rc", 1)


# --- Facebook ----------------------------------------------------------------------------------------------


async def test_a_facebook_link_is_replaced_without_a_delete_and_stays_until_then(desk: Desk) -> None:
    """It can't be deleted: called off, the old one is the job's own as before."""
    job = (await desk.accept(request=a_request(products=(Product.FACEBOOK_PAGE,), whatsapp=None))).job_ids[0]
    await desk.end(job, LINKED)
    await desk.ledger.replace(job, by="x", why="y")
    assert (await record_of(desk, job)).link == LINKED.link
    assert (await desk.ledger.cancel(job, by="x", why="y")).state is JobState.LINKED
    assert (await record_of(desk, job)).replacements == 0
    await desk.ledger.replace(job, by="x", why="y")
    claimed = await desk.claim(job)
    assert (claimed.op, claimed.replacements) == ("rc", 1)


# --- messages ----------------------------------------------------------------------------------------------


async def test_the_new_link_is_told_as_a_replacement_of_one_that_the_customer_had(desk: Desk) -> None:
    """With when the earlier one was made."""
    delivery = await desk.a_delivery()
    job, made_ms = delivery.partition(".")[0] + "w", desk.now_ms
    await desk.ledger.deliveries.settle(await desk.send(delivery), Sent(), can_resend=True)
    desk.advance(3600)
    await desk.ledger.replace(job, by="x", why="y")
    await desk.end(job, Deleted())
    [second] = (await desk.end(job, NEW_LINK)).deliveries
    [link] = (await desk.claim_delivery(second)).links
    assert (link.link, link.replaces_at_ms) == (NEW_LINK.link, made_ms)
    assert (await record_of(desk, job)).replaced_at_ms == made_ms


async def test_a_link_that_nobody_was_sent_is_replaced_in_silence(desk: Desk) -> None:
    """The pending message of the old one does not go out with the new one; that has its own, which replaces nothing."""
    delivery = await desk.a_delivery()
    job = delivery.partition(".")[0] + "w"
    await desk.ledger.replace(job, by="x", why="y")
    await desk.end(job, Deleted())
    [second] = (await desk.end(job, NEW_LINK)).deliveries
    assert await desk.ledger.deliveries.claim(delivery, worker_id="w1", lease_s=60) is None
    [link] = (await desk.claim_delivery(second)).links
    assert (link.link, link.replaces_at_ms) == (NEW_LINK.link, None)


async def test_a_message_on_its_way_does_not_leave_once_its_link_is_being_changed(desk: Desk) -> None:
    """The last word before the data is the ledger's."""
    delivery = await desk.a_delivery()
    claimed = await desk.claim_delivery(delivery)
    await desk.ledger.replace(delivery.partition(".")[0] + "w", by="x", why="y")
    assert not await desk.ledger.deliveries.begin_send(claimed.lease)


async def test_nothing_is_sent_again_whose_link_is_changed_or_gone(desk: Desk) -> None:
    """The refusal says why."""
    delivery = await desk.a_delivery()
    job = delivery.partition(".")[0] + "w"
    await desk.ledger.deliveries.settle(await desk.send(delivery), Sent(), can_resend=True)
    await desk.ledger.revoke(job, by="x", why="y")
    assert (await desk.ledger.deliveries.resend(delivery, by="x", why="y")).refusal == "change_pending"
    await desk.end(job, Deleted())
    assert (await desk.ledger.deliveries.resend(delivery, by="x", why="y")).refusal == "is_revoked"


# --- in bulk -----------------------------------------------------------------------------------------------


async def run_act(desk: Desk, act: Act, ids: list[str]) -> str:
    acts = desk.ledger.acts
    act_id = f"a1-{act.value}"
    await acts.open(act_id, act, by="dana")
    weighed = await acts.add(act_id, ids, seen=0)
    assert weighed is not None
    await acts.freeze(act_id, seen=weighed.seen)
    await acts.start(act_id, by="dana", why="new brand", is_canary=True)
    await acts.step(act_id, rate=5)
    return act_id


async def test_a_bulk_replace_goes_with_five_first_and_knows_what_came_of_each(desk: Desk) -> None:
    """Deletes are no ends; links, failures and finished customers are."""
    jobs = await desk.accept_batch("b", 8)
    while any([await desk.state(job) is JobState.AVAILABLE for job in jobs]):
        await desk.drain(Lane.BULK, LINKED)
    act_id = await run_act(desk, Act.REPLACE, jobs)
    record = await desk.ledger.acts.get(act_id)
    assert record is not None
    assert (record.done, record.deletes, record.in_flight) == (5, 8, 5)

    under_way = [job for job in jobs if (await record_of(desk, job)).op]
    for job in under_way[:4]:
        await desk.end(job, Deleted())
        await desk.end(job, NEW_LINK)
    await desk.end(under_way[4], Finished())
    record = await desk.ledger.acts.get(act_id)
    assert record is not None
    assert (record.linked, record.ended_otherwise, record.in_flight) == (4, 1, 0)
    await desk.balance()


async def test_a_bulk_revoke_counts_links_that_are_deleted(desk: Desk) -> None:
    """What is not fit is left alone, and said why."""
    job = await desk.job_in(JobState.LINKED)
    failed = await desk.job_in(JobState.FAILED, request=a_request(whatsapp="972501110002"))
    act_id = await run_act(desk, Act.REVOKE, [job, failed])
    await desk.end(job, Deleted())
    await desk.ledger.acts.step(act_id, rate=5)
    record = await desk.ledger.acts.get(act_id)
    assert record is not None
    assert (record.revoked, record.not_eligible, record.state) == (1, {"no_link": 1}, ActState.DONE)
    items, _ = await desk.ledger.acts.items(act_id)
    assert [each.outcome for each in items] == [ActOutcome.REVOKED]


async def test_what_an_operator_asked_for_is_in_the_trail(desk: Desk) -> None:
    """Who, what and why."""
    job = await asked_to_replace(desk)
    page = await desk.ledger.trail.find(subject=job)
    assert [(each.act, each.by, each.why) for each in page.items] == [("replace", "dana", "new brand")]
