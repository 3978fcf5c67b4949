"""Reminders: who gets one, when, and that nobody gets a third."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.ledger_desk import BOTH_CHANNELS, LINKED, Desk, a_fail, own_fail
from tests.factories import a_request
from worker.domain.job import DeliveryRecord
from worker.domain.outcome import DeliveryRetry, Refused, Sent, Undelivered
from worker.domain.request import Product
from worker.domain.states import Channel, ChannelPolicy, DeliveryState, JobState
from worker.ledger.reminding import REMINDER

DAY_S = 86_400.0
FIRST, SECOND = 2 * DAY_S, 5 * DAY_S
TWO_PRODUCTS = (Product.WHATSAPP, Product.FACEBOOK_PAGE)


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    await remind(desk)  # switched on before anything was sent
    yield desk
    await desk.balance()


async def remind(desk: Desk) -> int:
    """Take a turn as the duty does; return how many messages were made."""
    total = 0
    for number, after_s in enumerate((FIRST, SECOND), start=1):
        has_more = True
        while has_more:
            made, has_more = await desk.ledger.reminding.remind(number, after_s=after_s)
            total += made
    return total


async def send_all(desk: Desk, invitation: str) -> list[str]:
    """Send what is due of an invitation's; return the ids."""
    every = await desk.ledger.deliveries.of_invitation(invitation)
    waiting = [each.id for each in every if each.state is DeliveryState.PENDING]
    return [each for each in waiting if await is_to_be_had(desk, each)]


async def is_to_be_had(desk: Desk, delivery_id: str) -> bool:
    """Send a message if it can be claimed; return whether it was."""
    claimed = await desk.ledger.deliveries.claim(delivery_id, worker_id="w1", lease_s=60.0)
    if claimed is None:
        return False
    assert await desk.ledger.deliveries.begin_send(claimed.lease)
    return await desk.ledger.deliveries.settle(claimed.lease, Sent(provider_id="1"), can_resend=False)


async def told(desk: Desk, **changes: object) -> str:
    """Return a job whose customer was sent his link."""
    job = await desk.job_in(JobState.LINKED, **changes)
    await send_all(desk, job[:-1])
    return job


async def reminders(desk: Desk, job: str) -> list[DeliveryRecord]:
    """Return the reminders of a job's invitation."""
    every = await desk.ledger.deliveries.of_invitation(job[:-1])
    return [each for each in every if each.template == REMINDER]


async def test_who_has_not_finished_is_reminded_twice_and_never_again(desk: Desk) -> None:
    """After two and after five days, by the channels that brought the link."""
    job = await told(desk, channels=BOTH_CHANNELS)
    made = []
    for _ in range(40):
        desk.advance(DAY_S / 2)
        count = await remind(desk)
        await send_all(desk, job[:-1])
        made.append(count)

    assert [n for n, count in enumerate(made, start=1) if count] == [4, 10]
    assert [
        (each.channel.value, each.generation, each.state.value) for each in await reminders(desk, job)
    ] == [
        ("email", 1, "sent"),
        ("sms", 1, "sent"),
        ("email", 2, "sent"),
        ("sms", 2, "sent"),
    ]


async def test_a_reminder_says_since_when_the_customer_has_the_link(desk: Desk) -> None:
    """And carries the links of that day."""
    job = await told(desk)
    sent_ms = desk.now_ms
    desk.advance(FIRST)
    await remind(desk)

    claimed = await desk.claim_delivery(f"{job[:-1]}.email.reminder.1")

    assert (claimed.template, claimed.generation, claimed.first_sent_at_ms) == (REMINDER, 1, sent_ms)
    assert [link.job_id for link in claimed.links] == [job]


async def test_only_links_that_are_still_open_are_reminded_of(desk: Desk) -> None:
    """A customer who finished one of two products is reminded of the other."""
    request = a_request(products=TWO_PRODUCTS)
    whatsapp, page = (await desk.accept(request=request)).job_ids
    for job in (whatsapp, page):
        await desk.end(job, LINKED)
    await send_all(desk, page[:-1])
    desk.advance(FIRST)
    await desk.ledger.completing.complete(whatsapp, how="list")
    await remind(desk)

    [reminder] = await reminders(desk, page)
    assert reminder.job_ids == (page,)


@pytest.mark.parametrize("state", ["onboarded", "revoked", "failed", "cancelled", "dead"])
async def test_nobody_is_reminded_of_what_has_ended(desk: Desk, state: str) -> None:
    """Neither made, nor sent where it was made before."""
    ended, later = await told(desk), await told(desk, request=a_request(whatsapp="972502223344"))
    desk.advance(FIRST)
    await stand(desk, ended, state)
    await remind(desk)
    await stand(desk, later, state)

    assert await reminders(desk, ended) == []
    [reminder] = await reminders(desk, later)
    assert await desk.ledger.deliveries.claim(reminder.id, worker_id="w1", lease_s=60.0) is None
    [reminder] = await reminders(desk, later)
    why = "customer_finished" if state == "onboarded" else "link_gone"
    assert (reminder.state, reminder.reason) == (DeliveryState.SKIPPED, why)
    for job in (ended, later):
        await stand(desk, job, "linked")


async def stand(desk: Desk, job: str, state: str) -> None:
    """Let a job say that it stands in another state."""
    await desk.redis.hset(f"{{test}}:j:{job}", "s", state)


async def test_a_channel_that_did_not_reach_the_customer_is_left_out(desk: Desk) -> None:
    """A bounced mail is not followed by another; the text is."""
    job = await desk.job_in(JobState.LINKED, channels=BOTH_CHANNELS)
    bounced = Undelivered(fail=a_fail("mailbox_unknown", reason_class="recipient"))
    lease = await desk.send(f"{job[:-1]}.email.invitation.1")
    await desk.ledger.deliveries.settle(lease, bounced, can_resend=True)
    await send_all(desk, job[:-1])
    desk.advance(FIRST)

    await remind(desk)

    assert [each.channel for each in await reminders(desk, job)] == [Channel.SMS]


async def test_who_was_reached_by_none_is_not_reminded(desk: Desk) -> None:
    """There is nothing that he was sent."""
    job = await desk.job_in(JobState.LINKED)
    desk.advance(FIRST)

    assert await remind(desk) == 0
    assert await reminders(desk, job) == []


async def test_with_policy_first_one_channel_reminds(desk: Desk) -> None:
    """The one that brought the link; a failed reminder is not tried by another."""
    job = await told(desk, channels=BOTH_CHANNELS, channel_policy=ChannelPolicy.FIRST)
    desk.advance(FIRST)
    await remind(desk)

    lease = await desk.send(f"{job[:-1]}.email.reminder.1")
    await desk.ledger.deliveries.settle(lease, Undelivered(fail=a_fail("mailbox_unknown")), can_resend=True)

    every = await desk.ledger.deliveries.of_invitation(job[:-1])
    assert [each.id.partition(".")[2] for each in every] == ["email.invitation.1", "email.reminder.1"]


async def test_a_channel_that_takes_over_an_earlier_message_hides_no_later_link(desk: Desk) -> None:
    """Each link is told of in a message of its own generation, whichever was made last."""
    products = (*TWO_PRODUCTS, Product.INSTAGRAM_PAGE)
    jobs = (
        await desk.accept(
            request=a_request(products=products), channels=BOTH_CHANNELS, channel_policy=ChannelPolicy.FIRST
        )
    ).job_ids
    for job in jobs[1:]:
        await desk.end(job, Refused(fail=own_fail()))
    await desk.end(jobs[0], LINKED)
    await desk.requeue(jobs[1])
    await desk.end(jobs[1], LINKED)
    lease = await desk.send(f"{jobs[0][:-1]}.email.invitation.1")
    await desk.ledger.deliveries.settle(lease, Undelivered(fail=a_fail("mailbox_unknown")), can_resend=True)
    await desk.requeue(jobs[2])
    await desk.end(jobs[2], LINKED)

    every = await desk.ledger.deliveries.of_invitation(jobs[0][:-1])

    assert [(each.channel.value, each.generation) for each in every] == [
        ("email", 1),
        ("email", 2),
        ("sms", 1),
        ("email", 3),
    ]
    assert every[-1].job_ids == (jobs[2],)


async def test_switching_on_reminds_of_nothing_that_is_old(store: redis.asyncio.Redis) -> None:
    """What falls due from then on, and not the links of months ago."""
    desk = await Desk.open(store)
    old = await told(desk)
    desk.advance(30 * DAY_S)
    recent = await told(desk, request=a_request(whatsapp="972502223344"))
    desk.advance(DAY_S)

    assert await remind(desk) == 0
    desk.advance(DAY_S)
    assert await remind(desk) == 1

    assert await reminders(desk, old) == []
    assert len(await reminders(desk, recent)) == 1


async def test_workers_that_were_away_remind_of_the_last_day_only(desk: Desk) -> None:
    """A reminder that is more than a day late puzzles more than it helps."""
    late = await told(desk)
    desk.advance(DAY_S * 0.5)
    in_time = await told(desk, request=a_request(whatsapp="972502223344"))
    desk.advance(DAY_S * 2.8)  # the first would be 1.3 days late, the second 0.8

    await remind(desk)

    assert await reminders(desk, late) == []
    assert len(await reminders(desk, in_time)) == 1


async def test_a_reminder_that_a_pause_kept_too_long_is_dropped(desk: Desk) -> None:
    """And so is the next while it waits: the customer is not written to twice at once."""
    job = await told(desk)
    await desk.ledger.batches.pause("channel:email", by="dana", why="")
    for _ in range(7):
        desk.advance(DAY_S)
        await remind(desk)
    await desk.ledger.batches.resume("channel:email", with_holds=True, by="dana", why="")

    assert await send_all(desk, job[:-1]) == []
    [reminder] = await reminders(desk, job)
    assert (reminder.generation, reminder.state, reminder.reason) == (
        1,
        DeliveryState.SKIPPED,
        "reminder_late",
    )


async def test_a_reminder_whose_send_is_put_off_is_not_late(desk: Desk) -> None:
    """It counts from when it may go out: the send window keeps it over a long holiday."""
    job = await told(desk)
    desk.advance(FIRST)
    await remind(desk)
    lease = await desk.send(f"{job[:-1]}.email.reminder.1")
    put_off = DeliveryRetry(fail=a_fail("greylisted"), delay_s=3 * DAY_S, max_failures=9)
    await desk.ledger.deliveries.settle(lease, put_off, can_resend=True)
    desk.advance(3 * DAY_S + 60)

    assert await send_all(desk, job[:-1]) == [f"{job[:-1]}.email.reminder.1"]


async def test_a_later_link_joins_the_reminders_of_the_first(desk: Desk) -> None:
    """The days count from the first message, and each link is named."""
    request = a_request(products=TWO_PRODUCTS)
    whatsapp, page = (await desk.accept(request=request)).job_ids
    await desk.end(page, Refused(fail=own_fail()))
    await desk.end(whatsapp, LINKED)
    await send_all(desk, page[:-1])
    desk.advance(DAY_S)
    await desk.requeue(page)
    await desk.end(page, LINKED)
    await send_all(desk, page[:-1])
    desk.advance(DAY_S)

    assert await remind(desk) == 1
    [reminder] = await reminders(desk, page)
    assert set(reminder.job_ids) == {whatsapp, page}
    every = [each.id.partition(".")[2] for each in await desk.ledger.deliveries.of_invitation(page[:-1])]
    assert every == ["email.invitation.1", "email.invitation.2", "email.reminder.1"]


async def test_a_replaced_link_starts_the_days_anew(desk: Desk) -> None:
    """Nobody is reminded while it is being made or sent; then its own message counts."""
    job = await told(desk)
    desk.advance(1.9 * DAY_S)
    await as_replaced(desk, job)
    desk.advance(0.2 * DAY_S)
    assert await remind(desk) == 0
    await send_all(desk, job[:-1])
    desk.advance(1.9 * DAY_S)
    assert await remind(desk) == 0
    desk.advance(0.2 * DAY_S)

    assert await remind(desk) == 1


async def test_a_reminder_of_a_link_that_is_replaced_meanwhile_is_dropped(desk: Desk) -> None:
    """Whether it is still being made or has been sent."""
    job = await told(desk)
    desk.advance(FIRST)
    await remind(desk)
    desk.advance(60)
    await as_replaced(desk, job)

    await send_all(desk, job[:-1])

    [reminder] = await reminders(desk, job)
    assert (reminder.state, reminder.reason) == (DeliveryState.SKIPPED, "reminder_overtaken")


async def as_replaced(desk: Desk, job: str) -> None:
    """Bring a linked job a link in place of its own, as a replace leaves it: its message still to be sent."""
    await desk.redis.hset(f"{{test}}:x:{job}", "replaced", str(desk.now_ms))
    await desk.redis.hdel(f"{{test}}:j:{job}", "w")
    await desk.ledger.deliveries.fan_out(job[:-1])


async def test_what_is_to_come_is_foretold(desk: Desk) -> None:
    """When the next one is made, until there is none."""
    job = await told(desk)
    sent_ms, days = desk.now_ms, (FIRST, SECOND)

    async def next_at() -> int | None:
        outlook = (await desk.ledger.reminding.outlook([job[:-1]])).get(job[:-1])
        return outlook.next_at_ms(days, now_ms=desk.now_ms) if outlook else None

    assert await next_at() == sent_ms + round(FIRST * 1000)
    desk.advance(FIRST)
    await remind(desk)
    assert await next_at() is None
    await send_all(desk, job[:-1])
    assert await next_at() == sent_ms + round(SECOND * 1000)
    desk.advance(SECOND - FIRST)
    await remind(desk)
    await send_all(desk, job[:-1])
    assert await next_at() is None


@pytest.mark.parametrize("is_replaced", [False, True])
async def test_what_waits_for_the_window_loses_no_reminder(desk: Desk, is_replaced: bool) -> None:
    """While a message is to go out again, or one with a new link, none is made; its own reminder follows it."""
    job = await told(desk)
    invitation = job[:-1]
    desk.advance(DAY_S)
    if is_replaced:
        await as_replaced(desk, job)
    else:
        assert await desk.ledger.deliveries.resend(f"{invitation}.email.invitation.1", by="dana", why="")
    desk.advance(1.5 * DAY_S)  # over the time of the first one's reminder
    assert await remind(desk) == 0

    assert len(await send_all(desk, invitation)) == 1
    sent_ms = desk.now_ms
    outlook = (await desk.ledger.reminding.outlook([invitation]))[invitation]
    assert outlook.next_at_ms((FIRST, SECOND), now_ms=desk.now_ms) == sent_ms + round(FIRST * 1000)
    desk.advance(FIRST)
    assert await remind(desk) == 1
    assert await send_all(desk, invitation) == [f"{invitation}.email.reminder.1"]


async def test_messages_of_one_instant_are_all_looked_at(desk: Desk) -> None:
    """However many fit into one look."""
    jobs = [await told(desk, request=a_request(whatsapp=f"97250{n:07d}")) for n in range(120)]
    desk.advance(FIRST)

    assert await remind(desk) == len(jobs)
    assert await remind(desk) == 0
