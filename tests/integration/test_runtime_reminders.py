"""Reminders and the stop list in a real shop: real mails into the sandbox's outbox, made by the worker's own duty."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from tests.factories import a_request
from tests.integration.runtime_shop import Bench, a_bench
from worker.domain.job import Receipt
from worker.domain.request import Contact
from worker.domain.states import Channel, DeliveryState, Lane
from worker.domain.stop_list import contacts_of
from worker.execution import handlers
from worker.execution.attempt import attempt, follow_up
from worker.maintenance.remind import Reminder
from worker.partner.sandbox.outbox import Captured

BOTH = (Channel.EMAIL, Channel.SMS)
DANA = Contact(name="Dana", email="dana@flowers.example", phone="972502222222", locale="en")


@pytest.fixture
async def bench(real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_bench(valkey_url, tmp_path) as opened:
        # Switched on before anything is sent; each reminder is due at once.
        await remind(opened, 1)
        await remind(opened, 2)
        yield opened


async def remind(bench: Bench, number: int) -> int:
    """Make the reminders of one number, as the duty does."""
    made, _ = await bench.shop.ledger.reminding.remind(number, after_s=0.0)
    await send(bench)
    return made


async def send(bench: Bench) -> None:
    """Send what is due."""
    await handlers.ring_messages(bench.shop)
    while bench.bell.deliveries:
        delivery_id = bench.bell.deliveries.pop()
        await handlers.deliver(delivery_id, Channel(delivery_id.split(".")[1]), bench.shop)


async def invited(bench: Bench) -> Receipt:
    """Return an invitation whose customer has been sent his link by both channels."""
    receipt = await bench.accept(request=a_request(contact=DANA), channels=BOTH)
    await work(bench, receipt.job_ids[0])
    return receipt


async def work(bench: Bench, job_id: str) -> None:
    follow_up(job_id, await attempt(job_id, Lane.LIVE, bench.shop), bench.shop)
    await send(bench)


def captured(bench: Bench) -> list[Captured]:
    """Return what came into the outbox."""
    return list(bench.sandbox.outbox.newest())


async def ends(bench: Bench, receipt: Receipt) -> dict[str, tuple[DeliveryState, str | None]]:
    found = await bench.shop.ledger.deliveries.of_invitation(receipt.invitation_id)
    return {each.id.partition(".")[2]: (each.state, each.reason) for each in found}


async def test_a_customer_is_reminded_by_the_channels_that_reached_him_and_twice_at_most(
    bench: Bench,
) -> None:
    """With the same link; then never again."""
    receipt = await invited(bench)
    job = await bench.shop.ledger.queries.job(receipt.job_ids[0])
    assert job is not None
    assert job.link is not None

    assert [await remind(bench, number) for number in (1, 2, 1, 2)] == [2, 2, 0, 0]

    mails = captured(bench)
    assert len(mails) == 6
    assert all(job.link in each.text for each in mails)
    assert len({each.subject for each in mails if each.subject}) > 1
    assert {state for state, _ in (await ends(bench, receipt)).values()} == {DeliveryState.SENT}


async def test_who_finished_is_not_reminded(bench: Bench) -> None:
    """Not even by a message that waited already."""
    receipt = await invited(bench)
    ledger = bench.shop.ledger
    assert await ledger.reminding.remind(1, after_s=0.0) == (2, False)
    await ledger.completing.complete(receipt.job_ids[0], how="list")
    before = len(captured(bench))

    await send(bench)

    assert await remind(bench, 2) == 0
    assert len(captured(bench)) == before
    found = await ends(bench, receipt)
    assert found["email.reminder.1"] == (DeliveryState.SKIPPED, "customer_finished")


async def test_who_is_on_the_stop_list_gets_no_message_at_all(bench: Bench) -> None:
    """No invitation by any channel, though only his number stands there; taken off, he is sent it again."""
    ledger = bench.shop.ledger
    await ledger.suppressing.add("972502222222", by="cli:noa")
    receipt = await invited(bench)

    assert captured(bench) == []
    assert set((await ends(bench, receipt)).values()) == {(DeliveryState.SKIPPED, "suppressed")}

    await ledger.suppressing.remove(*contacts_of(a_request(contact=DANA)), by="cli:noa")
    await ledger.deliveries.resend(f"{receipt.invitation_id}.email.invitation.1", by="cli:noa", why="")
    await send(bench)
    assert len(captured(bench)) == 1


async def test_who_is_put_on_the_stop_list_is_not_reminded(bench: Bench) -> None:
    """Though he was sent his link before."""
    receipt = await invited(bench)
    await bench.shop.ledger.suppressing.add("dana@flowers.example", by="cli:noa")

    await remind(bench, 1)

    assert len(captured(bench)) == 2
    found = await ends(bench, receipt)
    assert found["sms.reminder.1"] == (DeliveryState.SKIPPED, "suppressed")


async def test_the_duty_makes_nothing_where_reminders_are_off(bench: Bench) -> None:
    """As they are unless somebody switches them on."""
    assert bench.settings.reminders == ()
    receipt = await invited(bench)
    duty = Reminder(ledger=bench.shop.ledger, stats=bench.shop.stats, after_s=bench.settings.reminders)

    assert await duty.run_once() == 0
    assert set(await ends(bench, receipt)) == {"email.invitation.1", "sms.invitation.1"}


async def test_the_duty_makes_what_is_due(bench: Bench) -> None:
    """And counts it."""
    await invited(bench)
    duty = Reminder(ledger=bench.shop.ledger, stats=bench.shop.stats, after_s=(0.0,))

    assert await duty.run_once() == 2
    assert await duty.run_once() == 0
