"""Deliveries: when they are made, and how each comes to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis.asyncio

from tests.contract.ledger_desk import BOTH_CHANNELS, LINK, LINKED, Desk, a_fail, own_fail
from tests.factories import a_request
from worker.domain.outcome import (
    ChannelDown,
    DeliveryDoubt,
    DeliveryOutcome,
    DeliveryRetry,
    Refused,
    Sent,
    Skipped,
    Undelivered,
)
from worker.domain.request import Product
from worker.domain.states import Channel, ChannelPolicy, DeliveryState, JobState

TWO_PRODUCTS = (Product.WHATSAPP, Product.FACEBOOK_PAGE)
BOUNCED = a_fail("mailbox_unknown", reason_class="bad_data")
RETRY = DeliveryRetry(fail=a_fail("greylisted"), delay_s=60, max_failures=2)
DOUBT = DeliveryDoubt(fail=a_fail("reply_lost"))
DOWN = ChannelDown(fail=a_fail("smtp_auth_refused"), pause_s=300)


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


async def state_of(desk: Desk, delivery: str) -> DeliveryState:
    """Return where a delivery stands, which its index must say as well."""
    record = await desk.ledger.deliveries.get(delivery)
    assert record is not None
    page = await desk.ledger.deliveries.find(record.state)
    assert delivery in {item.id for item in page.items}
    return record.state


async def settle(desk: Desk, delivery: str, outcome: DeliveryOutcome, *, can_resend: bool = True) -> bool:
    """Send once, with that ending."""
    lease = await desk.send(delivery)
    return await desk.ledger.deliveries.settle(lease, outcome, can_resend=can_resend)


# --- made --------------------------------------------------------------------------------------------------


async def test_the_last_link_makes_the_message(desk: Desk) -> None:
    """One message for all products of a request, when the last of them has ended."""
    receipt = await desk.accept(request=a_request(products=TWO_PRODUCTS))
    first = await desk.end(receipt.job_ids[0], LINKED)
    second = await desk.end(receipt.job_ids[1], LINKED)
    claimed = await desk.claim_delivery(second.deliveries[0])

    assert first.deliveries == ()
    assert second.deliveries == (f"{receipt.invitation_id}.email.invitation.1",)
    assert [link.job_id for link in claimed.links] == list(receipt.job_ids)
    assert {link.link for link in claimed.links} == {LINK}


@pytest.mark.parametrize("how", ["failed", "cancelled"])
async def test_a_sibling_that_ends_without_link_lets_the_message_go(desk: Desk, how: str) -> None:
    """The customer gets the links there are."""
    receipt = await desk.accept(request=a_request(products=TWO_PRODUCTS))
    await desk.end(receipt.job_ids[0], LINKED)
    if how == "failed":
        await desk.end(receipt.job_ids[1], Refused(fail=own_fail()))
    else:
        await desk.ledger.cancel(receipt.job_ids[1], by="dana", why="mistake")

    [delivery] = await desk.ledger.deliveries.due(Channel.EMAIL, want=10)
    record = await desk.ledger.deliveries.get(delivery)
    assert record is not None
    assert record.job_ids == receipt.job_ids[:1]


async def test_no_link_makes_no_message(desk: Desk) -> None:
    """A FAIL alone is nothing to write to a customer about."""
    job = await desk.job_in(JobState.FAILED)

    assert await desk.ledger.deliveries.of_invitation(job[:-1]) == []


async def test_a_link_that_came_later_goes_in_a_message_of_its_own(desk: Desk) -> None:
    """A second generation tells only what the first did not."""
    receipt = await desk.accept(request=a_request(products=TWO_PRODUCTS))
    await desk.end(receipt.job_ids[0], LINKED)
    await desk.end(receipt.job_ids[1], Refused(fail=own_fail()))
    await desk.requeue(receipt.job_ids[1])
    settled = await desk.end(receipt.job_ids[1], LINKED)
    claimed = await desk.claim_delivery(settled.deliveries[0])

    assert claimed.generation == 2
    assert [link.job_id for link in claimed.links] == [receipt.job_ids[1]]


async def test_an_invitation_that_waits_too_long_goes_with_what_it_has(desk: Desk) -> None:
    """The late ones are found, oldest first, and fanned out once."""
    receipt = await desk.accept(request=a_request(products=TWO_PRODUCTS))
    await desk.end(receipt.job_ids[0], LINKED)
    assert await desk.ledger.deliveries.late_invitations(600, 10) == []
    desk.advance(600)

    assert await desk.ledger.deliveries.late_invitations(600, 10) == [receipt.invitation_id]
    assert len(await desk.ledger.deliveries.fan_out(receipt.invitation_id)) == 1
    assert await desk.ledger.deliveries.fan_out(receipt.invitation_id) == ()
    assert await desk.ledger.deliveries.late_invitations(600, 10) == []
    settled = await desk.end(receipt.job_ids[1], LINKED)
    assert settled.deliveries == (f"{receipt.invitation_id}.email.invitation.2",)


async def test_every_channel_of_the_plan_gets_a_message(desk: Desk) -> None:
    """Policy `all`; a channel without a contact is recorded with its reason."""
    job = await desk.job_in(
        JobState.AVAILABLE, channels=(Channel.SMS,), skips=((Channel.EMAIL, "no_contact"),)
    )
    settled = await desk.end(job, LINKED)
    records = await desk.ledger.deliveries.of_invitation(job[:-1])

    assert [item.split(".")[1] for item in settled.deliveries] == ["sms"]
    assert [(record.channel, record.state, record.reason) for record in records] == [
        (Channel.SMS, DeliveryState.PENDING, None),
        (Channel.EMAIL, DeliveryState.SKIPPED, "no_contact"),
    ]


async def test_no_channels_make_no_message(desk: Desk) -> None:
    """`channels none`: the link is asked for by the API, and nothing keeps waiting."""
    job = await desk.job_in(JobState.AVAILABLE, channels=())

    assert (await desk.end(job, LINKED)).deliveries == ()
    assert await desk.ledger.deliveries.late_invitations(0, 10) == []


@pytest.mark.parametrize("end", [Undelivered(fail=BOUNCED), Skipped(reason="not_allowed")])
async def test_the_first_channel_that_works_is_enough(desk: Desk, end: DeliveryOutcome) -> None:
    """Policy `first`: the next channel gets its message when one fails for good."""
    job = await desk.job_in(JobState.AVAILABLE, channels=BOTH_CHANNELS, channel_policy=ChannelPolicy.FIRST)
    settled = await desk.end(job, LINKED)
    assert [item.split(".")[1] for item in settled.deliveries] == ["email"]
    await settle(desk, settled.deliveries[0], end)

    assert await desk.ledger.deliveries.due(Channel.SMS, want=10) == [f"{job[:-1]}.sms.invitation.1"]


# --- rung and claimed --------------------------------------------------------------------------------------


async def test_a_lost_bell_of_a_delivery_is_rung_again(desk: Desk) -> None:
    """As with jobs: no more than wanted are outstanding, and the unclaimed come again."""
    first = await desk.a_delivery()
    desk.advance(1)
    second = await desk.a_delivery()

    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=1) == [first]
    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=1) == []
    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=2) == [second]
    desk.advance(10)
    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=2) == [first, second]
    assert (await desk.ledger.deliveries.counts())[DeliveryState.PENDING] == 2


async def test_a_delivery_is_claimed_once(desk: Desk) -> None:
    """A bell rung twice sends nothing twice."""
    delivery = await desk.a_delivery()
    await desk.claim_delivery(delivery)

    assert await desk.ledger.deliveries.claim(delivery, worker_id="w2", lease_s=60) is None


@pytest.mark.parametrize("nobody", ["", "no-delivery", "01m3250v020000000002.email.invitation.1"])
async def test_a_delivery_nobody_made_is_not_to_be_had(desk: Desk, nobody: str) -> None:
    """A bell may carry anything."""
    assert await desk.ledger.deliveries.claim(nobody, worker_id="w1", lease_s=60) is None


async def test_a_link_that_is_gone_is_not_sent(desk: Desk) -> None:
    """The job left `linked` between its message's making and its sending."""
    delivery = await desk.a_delivery()
    await desk.redis.hset("{test}:j:" + delivery.split(".", maxsplit=1)[0] + "w", "s", "revoked")

    assert await desk.ledger.deliveries.claim(delivery, worker_id="w1", lease_s=60) is None
    record = await desk.ledger.deliveries.get(delivery)
    assert record is not None
    assert (record.state, record.reason) == (DeliveryState.SKIPPED, "link_gone")
    await desk.redis.hset("{test}:j:" + delivery.split(".", maxsplit=1)[0] + "w", "s", "linked")


async def test_no_send_begins_without_the_lease(desk: Desk) -> None:
    """Neither with another token nor after the lease is over."""
    claimed = await desk.claim_delivery(await desk.a_delivery())

    assert not await desk.ledger.deliveries.begin_send(replace(claimed.lease, token="w1.x"))
    desk.advance(60)
    assert not await desk.ledger.deliveries.begin_send(claimed.lease)


# --- settled -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Sent(provider_id="p-1", segments=2), DeliveryState.SENT),
        (Undelivered(fail=BOUNCED), DeliveryState.FAILED),
        (Skipped(reason="not_allowed"), DeliveryState.SKIPPED),
        (RETRY, DeliveryState.PENDING),
        (DOWN, DeliveryState.PENDING),
        (DOUBT, DeliveryState.PENDING),
    ],
)
async def test_each_ending_of_a_send_leads_to_its_state(
    desk: Desk, outcome: DeliveryOutcome, state: DeliveryState
) -> None:
    """And the same settle again, its answer lost, changes nothing."""
    delivery = await desk.a_delivery()
    lease = await desk.send(delivery)

    assert await desk.ledger.deliveries.settle(lease, outcome, can_resend=True)
    before = await desk.ledger.deliveries.get(delivery)
    assert await desk.ledger.deliveries.settle(lease, outcome, can_resend=True)
    assert await desk.ledger.deliveries.get(delivery) == before
    assert await state_of(desk, delivery) is state


@pytest.mark.parametrize("outcome", [Sent(), Undelivered(fail=BOUNCED), RETRY, DOUBT])
async def test_a_stranger_settles_no_delivery(desk: Desk, outcome: DeliveryOutcome) -> None:
    """The token is compared."""
    claimed = await desk.claim_delivery(await desk.a_delivery())
    stranger = replace(claimed.lease, token="w9.x")

    assert not await desk.ledger.deliveries.settle(stranger, outcome, can_resend=True)
    assert await state_of(desk, claimed.id) is DeliveryState.SENDING


async def test_the_provider_s_id_is_kept(desk: Desk) -> None:
    """It is what an operator asks the provider about."""
    delivery = await desk.a_delivery()
    await settle(desk, delivery, Sent(provider_id="queued as 4F2"))
    record = await desk.ledger.deliveries.get(delivery)

    assert record is not None
    assert record.provider_id == "queued as 4F2"


async def test_tries_of_a_delivery_are_used_up(desk: Desk) -> None:
    """The last retry fails, under the provider's own reason."""
    delivery = await desk.a_delivery()
    await settle(desk, delivery, RETRY)
    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=1) == []
    desk.advance(60)
    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=1) == [delivery]
    await settle(desk, delivery, RETRY)
    record = await desk.ledger.deliveries.get(delivery)

    assert record is not None
    assert (record.state, record.failures, record.reason) == (DeliveryState.FAILED, 2, "greylisted")


async def test_our_own_fault_uses_up_no_try(desk: Desk) -> None:
    """A refused password is nobody's bounce: the delivery waits."""
    delivery = await desk.a_delivery()
    await settle(desk, delivery, DOWN)
    record = await desk.ledger.deliveries.get(delivery)

    assert record is not None
    assert (record.failures, record.due_at_ms) == (0, desk.now_ms + 300_000)


async def test_a_mail_in_doubt_is_sent_once_more(desk: Desk) -> None:
    """The second doubt waits for an operator; the resends are counted."""
    delivery = await desk.a_delivery()
    await settle(desk, delivery, DOUBT)
    desk.advance(60)
    claimed = await desk.claim_delivery(delivery)
    await desk.ledger.deliveries.begin_send(claimed.lease)
    await desk.ledger.deliveries.settle(claimed.lease, DOUBT, can_resend=True)
    record = await desk.ledger.deliveries.get(delivery)

    assert claimed.is_resend
    assert record is not None
    assert (record.state, record.doubts) == (DeliveryState.IN_DOUBT, 1)


async def test_an_sms_in_doubt_waits_for_an_operator(desk: Desk) -> None:
    """There is no idempotency at the provider: never twice by itself."""
    delivery = await desk.a_delivery(channels=(Channel.SMS,))
    await settle(desk, delivery, DOUBT, can_resend=False)

    assert await state_of(desk, delivery) is DeliveryState.IN_DOUBT


@pytest.mark.parametrize("can_resend", [True, False])
async def test_a_late_answer_settles_a_delivery_in_doubt(desk: Desk, can_resend: bool) -> None:
    """Sent after all: it is not sent again."""
    delivery = await desk.a_delivery()
    lease = await desk.send(delivery)
    await desk.ledger.deliveries.settle(lease, DOUBT, can_resend=can_resend)

    assert await desk.ledger.deliveries.settle(lease, Sent(), can_resend=True)
    assert await state_of(desk, delivery) is DeliveryState.SENT


# --- rescued and sent again --------------------------------------------------------------------------------


async def test_a_crash_before_the_send_costs_nothing(desk: Desk) -> None:
    """The delivery is pending again."""
    delivery = await desk.a_delivery()
    claimed = await desk.claim_delivery(delivery)
    desk.advance(60)

    assert await desk.ledger.deliveries.rescue() == 1
    assert await state_of(desk, delivery) is DeliveryState.PENDING
    assert not await desk.ledger.deliveries.settle(claimed.lease, Sent(), can_resend=True)


@pytest.mark.parametrize(
    ("channel", "state"),
    [(Channel.EMAIL, DeliveryState.PENDING), (Channel.SMS, DeliveryState.IN_DOUBT)],
)
async def test_a_crash_in_the_send_is_a_doubt(desk: Desk, channel: Channel, state: DeliveryState) -> None:
    """A mail goes once more, counted; a text waits."""
    delivery = await desk.a_delivery(channels=(channel,))
    await desk.send(delivery)
    desk.advance(60)
    await desk.ledger.deliveries.rescue()

    assert await state_of(desk, delivery) is state


async def test_a_delivery_that_kills_its_process_three_times_is_set_aside(desk: Desk) -> None:
    """A message that cannot be composed must not take the fleet down."""
    delivery = await desk.a_delivery()
    for _ in range(3):
        await desk.claim_delivery(delivery)
        desk.advance(60)
        await desk.ledger.deliveries.rescue()
    record = await desk.ledger.deliveries.get(delivery)

    assert record is not None
    assert (record.state, record.reason) == (DeliveryState.FAILED, "crashed_three_times")


@pytest.mark.parametrize("outcome", [Sent(), Undelivered(fail=BOUNCED), Skipped(reason="not_allowed")])
async def test_an_operator_sends_again(desk: Desk, outcome: DeliveryOutcome) -> None:
    """Whatever its end was; and it says who and why in the job's history."""
    delivery = await desk.a_delivery()
    await settle(desk, delivery, outcome)
    first = await desk.ledger.deliveries.resend(delivery, by="dana", why="asked by phone")
    second = await desk.ledger.deliveries.resend(delivery, by="dana", why="asked by phone")
    claimed = await desk.claim_delivery(delivery)
    history = await desk.ledger.queries.history(claimed.links[0].job_id)

    assert (first.done, second.done, second.refusal) == (True, False, "waits_already")
    assert claimed.asked_again == 1
    assert history[-1].event == "resend"


async def test_sending_again_what_is_not_there_is_refused(desk: Desk) -> None:
    """An operator's typing mistake changes nothing."""
    result = await desk.ledger.deliveries.resend("nobody.email.invitation.1", by="dana", why="typo")

    assert (result.done, result.state, result.refusal) == (False, None, "gone")
    assert await desk.ledger.deliveries.get("nobody.email.invitation.1") is None


async def test_deliveries_are_listed_by_state(desk: Desk) -> None:
    """Newest first, a page at a time."""
    made = []
    for _ in range(5):
        made.append(await desk.a_delivery())
        await settle(desk, made[-1], Undelivered(fail=BOUNCED))
        desk.advance(1)
    first = await desk.ledger.deliveries.find(DeliveryState.FAILED, limit=3)
    second = await desk.ledger.deliveries.find(DeliveryState.FAILED, limit=3, cursor=first.next)

    assert [item.id for item in (*first.items, *second.items)] == made[::-1]
    assert (first.total, second.next) == (5, None)


async def test_a_delivery_nobody_has_room_for_is_rung_again_at_the_next_turn(desk: Desk) -> None:
    """Handed back, it does not wait ten seconds for its next bell; a claimed one is left alone."""
    delivery = await desk.a_delivery()
    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=10) == [delivery]
    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=10) == []

    await desk.ledger.deliveries.hand_back(delivery)

    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=10) == [delivery]
    await desk.ledger.deliveries.claim(delivery, worker_id="w", lease_s=60)
    await desk.ledger.deliveries.hand_back(delivery)
    assert await desk.ledger.deliveries.due(Channel.EMAIL, want=10) == []
