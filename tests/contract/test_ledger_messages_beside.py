"""Messages beside changes of their links: one that is being changed holds no other back, and none is told of twice."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.changing_desk import LOST, NEW_LINK, record_of
from tests.contract.ledger_desk import BOTH_CHANNELS, LINKED, Desk, a_fail
from tests.factories import a_request
from worker.domain.job import DeliveryRecord
from worker.domain.outcome import Deleted, Refused, Sent
from worker.domain.request import Product
from worker.domain.states import Channel, DeliveryState, JobState, Lane

TWO_PRODUCTS = (Product.WHATSAPP, Product.FACEBOOK_PAGE)


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


async def two_links(desk: Desk) -> tuple[str, str]:
    """Return two linked jobs of one customer; their message waits."""
    receipt = await desk.accept(request=a_request(products=TWO_PRODUCTS))
    for job in receipt.job_ids:
        await desk.end(job, LINKED)
    whatsapp, facebook = receipt.job_ids
    return whatsapp, facebook


async def messages_of(desk: Desk, job: str) -> list[DeliveryRecord]:
    """Return the messages of a job's invitation."""
    return await desk.ledger.deliveries.of_invitation(job[:-1])


async def sent(desk: Desk, delivery_id: str) -> None:
    """Send a message."""
    lease = await desk.send(delivery_id)
    assert await desk.ledger.deliveries.settle(lease, Sent(), can_resend=True)


async def test_a_link_that_is_being_changed_holds_no_other_back(desk: Desk) -> None:
    """The message leaves with the links that stand, however long the change of the other one takes."""
    whatsapp, facebook = await two_links(desk)
    await desk.ledger.replace(whatsapp, by="dana", why="name")
    await desk.end(whatsapp, Refused(fail=a_fail()))
    [message] = await messages_of(desk, whatsapp)

    claimed = await desk.claim_delivery(message.id)
    assert [link.job_id for link in claimed.links] == [facebook]
    assert await desk.ledger.deliveries.begin_send(claimed.lease)


@pytest.mark.parametrize("change", ["replace", "complete", "revoke"])
async def test_a_message_whose_link_changes_before_it_leaves_is_made_anew_at_once(
    desk: Desk, change: str
) -> None:
    """Not after its lease: it is to be had again, with what stands by then."""
    whatsapp, facebook = await two_links(desk)
    [message] = await messages_of(desk, whatsapp)
    claimed = await desk.claim_delivery(message.id)
    if change == "complete":
        await desk.ledger.completing.complete(whatsapp, how="list")
    else:
        await getattr(desk.ledger, change)(whatsapp, by="dana", why="name")

    assert not await desk.ledger.deliveries.begin_send(claimed.lease)
    assert not await desk.ledger.deliveries.settle(claimed.lease, Sent(), can_resend=True)
    again = await desk.claim_delivery(message.id)
    assert [link.job_id for link in again.links] == [facebook]
    assert await desk.ledger.deliveries.begin_send(again.lease)


async def test_no_reminder_leaves_once_its_customer_has_finished(desk: Desk) -> None:
    """Not even one that was claimed when he did."""
    job = await desk.job_in(JobState.LINKED)
    await sent(desk, (await messages_of(desk, job))[0].id)
    await desk.ledger.reminding.remind(1, after_s=3600)
    desk.advance(3600)
    await desk.ledger.reminding.remind(1, after_s=3600)
    reminder = (await messages_of(desk, job))[-1].id
    claimed = await desk.claim_delivery(reminder)
    await desk.ledger.completing.complete(job, how="list")

    assert not await desk.ledger.deliveries.begin_send(claimed.lease)
    assert await desk.ledger.deliveries.claim(reminder, worker_id="w1", lease_s=60) is None
    record = await desk.ledger.deliveries.get(reminder)
    assert record is not None
    assert (record.state, record.reason) == (DeliveryState.SKIPPED, "customer_finished")


async def test_a_link_that_came_by_one_channel_is_replaced_as_one_that_the_customer_has(desk: Desk) -> None:
    """Though the other channel's message was still to go out, and went without it."""
    receipt = await desk.accept(request=a_request(products=TWO_PRODUCTS), channels=BOTH_CHANNELS)
    for each in receipt.job_ids:
        await desk.end(each, LINKED)
    job, _ = receipt.job_ids
    made_at_ms = desk.now_ms
    mail, text = await messages_of(desk, job)
    await sent(desk, mail.id)
    desk.advance(60)
    await desk.ledger.replace(job, by="dana", why="name")
    await sent(desk, text.id)
    await desk.end(job, Deleted())
    await desk.end(job, NEW_LINK)

    assert (await record_of(desk, job)).replaced_at_ms == made_at_ms


async def test_a_link_that_was_replaced_before_it_was_sent_is_not_said_to_be_replaced(desk: Desk) -> None:
    """What the customer has is the one before it: the message names that one's day."""
    job = await desk.job_in(JobState.LINKED)
    first_made_at_ms = desk.now_ms
    await sent(desk, (await messages_of(desk, job))[0].id)
    for _ in range(2):
        desk.advance(3600)
        await desk.ledger.replace(job, by="dana", why="name")
        await desk.end(job, Deleted())
        await desk.end(job, NEW_LINK)

    assert (await record_of(desk, job)).replaced_at_ms == first_made_at_ms


async def test_an_earlier_message_takes_no_later_one_s_link_for_untold(desk: Desk) -> None:
    """The link was sent by a later message: calling its change off sends it to nobody twice."""
    whatsapp, _ = await two_links(desk)
    [first] = await messages_of(desk, whatsapp)
    await desk.ledger.replace(whatsapp, by="dana", why="name")
    await desk.end(whatsapp, Deleted())
    await desk.end(whatsapp, NEW_LINK)
    await sent(desk, (await messages_of(desk, whatsapp))[-1].id)
    await desk.ledger.replace(whatsapp, by="dana", why="name")
    await sent(desk, first.id)
    await desk.ledger.cancel(whatsapp, by="dana", why="mistake")

    assert [each.state for each in await messages_of(desk, whatsapp)] == [DeliveryState.SENT] * 2


async def test_a_link_that_is_being_sent_again_is_replaced_as_one_that_the_customer_has(desk: Desk) -> None:
    """He got it the first time; the second message did not leave."""
    job = await desk.job_in(JobState.LINKED)
    made_at_ms = desk.now_ms
    [message] = await messages_of(desk, job)
    await sent(desk, message.id)
    assert (await desk.ledger.deliveries.resend(message.id, by="dana", why="again")).done
    await desk.ledger.replace(job, by="dana", why="name")
    assert await desk.ledger.deliveries.claim(message.id, worker_id="w1", lease_s=60) is None
    await desk.end(job, Deleted())
    await desk.end(job, NEW_LINK)

    assert (await record_of(desk, job)).replaced_at_ms == made_at_ms


async def test_a_message_whose_link_was_replaced_is_not_sent_again(desk: Desk) -> None:
    """Nothing of it stands: the later message does, and it can be sent again."""
    job = await desk.job_in(JobState.LINKED)
    await sent(desk, (await messages_of(desk, job))[0].id)
    await desk.ledger.replace(job, by="dana", why="name")
    await desk.end(job, Deleted())
    await desk.end(job, NEW_LINK)
    first, later = await messages_of(desk, job)
    await sent(desk, later.id)

    refused = await desk.ledger.deliveries.resend(first.id, by="dana", why="again")
    assert (refused.done, refused.refusal) == (False, "link_replaced")
    assert (await desk.ledger.deliveries.resend(later.id, by="dana", why="again")).done


async def test_a_batch_is_cancelled_though_a_delete_of_its_has_failed(desk: Desk) -> None:
    """A delete of which nobody knows whether it was done stays in the failed queue, where it is visible."""
    [job, other] = await desk.accept_batch("b", 2)
    await desk.end(job, LINKED)
    await desk.ledger.replace(job, by="dana", why="name")
    await desk.end(job, LOST)
    desk.advance(31)
    await desk.ledger.promote()
    await desk.end(job, Refused(fail=a_fail()))

    await desk.ledger.batches.cancel("b", by="dana", why="mistake")

    assert await desk.state(job) is JobState.FAILED
    assert (await record_of(desk, job)).op == "rd"
    assert await desk.state(other) is JobState.CANCELLED


async def test_an_invitation_whose_only_link_is_being_changed_waits_for_nothing(desk: Desk) -> None:
    """It is not looked at again and again as one that could go out in part: its new link brings it up anew."""
    receipt = await desk.accept(request=a_request(products=TWO_PRODUCTS))
    whatsapp, facebook = receipt.job_ids
    await desk.end(whatsapp, LINKED)
    await desk.ledger.replace(whatsapp, by="dana", why="name")
    desk.advance(601)
    assert await desk.ledger.deliveries.late_invitations(600, 10) == [whatsapp[:-1]]
    assert await desk.ledger.deliveries.fan_out(whatsapp[:-1]) == ()
    assert await desk.ledger.deliveries.late_invitations(600, 10) == []

    await desk.end(whatsapp, Deleted())
    await desk.end(whatsapp, NEW_LINK)
    desk.advance(601)
    assert await desk.ledger.deliveries.late_invitations(600, 10) == [whatsapp[:-1]]
    await desk.ledger.deliveries.fan_out(whatsapp[:-1])
    [message] = await messages_of(desk, facebook)
    assert message.job_ids == (whatsapp,)
    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=5) == [message.id]
    assert await desk.ledger.feed(Lane.LIVE, want=5) == [facebook]
