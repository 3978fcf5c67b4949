"""The send window at work: links are made at any time, messages wait; real Valkey, mail into the sandbox, a set clock."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import redis.asyncio

from tests.integration.runtime_shop import Bench, a_bench
from worker.clock import SystemClock
from worker.domain.job import Receipt
from worker.domain.states import Channel, DeliveryState, JobState, Lane
from worker.execution import handlers
from worker.execution.attempt import attempt, follow_up
from worker.ledger import Ledger
from worker.maintenance.window import WindowMinder
from worker.partner.sandbox.outbox import Captured
from worker.redis_client import open_redis

RATE = 20
JERUSALEM = ZoneInfo("Asia/Jerusalem")


class SetClock(SystemClock):
    """A clock that shows what the test says, for the process and for the ledger."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 22, 12, tzinfo=UTC)

    def set(self, text: str) -> None:
        """Show a wall-clock time in Israel."""
        self.at = datetime.fromisoformat(text).replace(tzinfo=JERUSALEM).astimezone(UTC)

    def now(self) -> datetime:
        return self.at

    def now_ms(self) -> int:
        return round(self.at.timestamp() * 1000)


@dataclasses.dataclass
class Agency:
    """A worker's shop in an agency in Israel."""

    bench: Bench
    clock: SetClock

    def switch(self, **changes: object) -> None:
        """Start the worker anew with another setting."""
        self.bench = dataclasses.replace(self.bench, shop=dataclasses.replace(self.bench.shop, **changes))  # type: ignore[arg-type]

    async def link(self, *, lane: Lane = Lane.LIVE) -> Receipt:
        """Take a customer in, make his link and do what its bells ask for."""
        receipt = await self.bench.accept(lane=lane)
        job = receipt.job_ids[0]
        follow_up(job, await attempt(job, lane, self.bench.shop), self.bench.shop)
        record = await self.bench.shop.ledger.queries.job(job)
        assert record is not None
        assert record.state is JobState.LINKED
        await self.work()
        return receipt

    async def work(self) -> None:
        """Judge what waits and send what is due, as a worker's duties do."""
        shop, bell = self.bench.shop, self.bench.bell
        await WindowMinder(ledger=shop.ledger, closed_times=shop.closed_times).run_once()
        bell.fan_outs.clear()
        await handlers.ring_messages(shop)
        while bell.deliveries:
            await handlers.deliver(bell.deliveries.pop(), Channel.EMAIL, shop)

    async def stands(self, receipt: Receipt) -> tuple[DeliveryState, str | None]:
        """Return how the customer's message stands, and until when it waits by the clock on the wall."""
        [delivery] = await self.bench.shop.ledger.deliveries.of_invitation(receipt.invitation_id)
        if delivery.waits_for is None or delivery.due_at_ms is None:
            return delivery.state, None
        return (
            delivery.state,
            f"{datetime.fromtimestamp(delivery.due_at_ms / 1000, JERUSALEM):%a %d %b %H:%M}",
        )

    @property
    def mails(self) -> list[Captured]:
        """Return what reached customers."""
        return list(self.bench.sandbox.outbox.newest())


@pytest.fixture
async def agency(real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path) -> AsyncIterator[Agency]:
    """Return an agency that keeps the ready profile."""
    clock = SetClock()
    client = open_redis(valkey_url)
    async with a_bench(valkey_url, tmp_path, send_window="il", email_rate=RATE) as bench:
        ledger = Ledger(client, namespace=bench.settings.namespace, now_ms=clock.now_ms)
        await ledger.open()
        shop = dataclasses.replace(bench.shop, clock=clock, ledger=ledger)
        yield Agency(dataclasses.replace(bench, shop=shop), clock)
    await client.aclose()


async def test_a_week_end_in_the_life_of_an_agency(agency: Agency) -> None:
    """On Friday morning mail goes out; from noon on links are made and messages wait; on Sunday all go out."""
    agency.clock.set("2026-11-27 11:30")
    early = await agency.link()
    agency.clock.set("2026-11-27 12:00")
    late = await agency.link()
    agency.clock.set("2026-11-28 11:00")
    on_shabbat = await agency.link(lane=Lane.BULK)

    assert await agency.stands(early) == (DeliveryState.SENT, None)
    assert await agency.stands(late) == (DeliveryState.PENDING, "Sun 29 Nov 09:00")
    assert await agency.stands(on_shabbat) == (DeliveryState.PENDING, "Sun 29 Nov 09:00")
    assert len(agency.mails) == 1

    agency.clock.set("2026-11-29 08:59")
    await agency.work()
    assert len(agency.mails) == 1
    agency.clock.set("2026-11-29 09:00")
    await agency.work()

    assert len(agency.mails) == 3
    assert await agency.stands(late) == (DeliveryState.SENT, None)
    assert await agency.stands(on_shabbat) == (DeliveryState.SENT, None)


async def test_nothing_begins_to_go_out_as_the_window_closes(agency: Agency) -> None:
    """Half a minute before noon, a send that took its whole time would end after it: it waits."""
    agency.clock.set("2026-11-27 11:59:50")

    receipt = await agency.link()

    assert agency.mails == []
    assert await agency.stands(receipt) == (DeliveryState.PENDING, "Sun 29 Nov 09:00")


async def test_a_message_in_hand_when_the_window_closes_stays_here(agency: Agency) -> None:
    """Claimed in time, but slow to be written: when its last byte is to go, the window has closed. No mail, no failure."""
    agency.clock.set("2026-11-27 11:59")
    real = agency.bench.shop.dispatchers[Channel.EMAIL]

    class Slow:
        async def dispatch(self, message, *, before_data, deadline_s=None):
            agency.clock.set("2026-11-27 11:59:40")
            return await real.dispatch(message, before_data=before_data, deadline_s=deadline_s)

        async def aclose(self):
            """Nothing of its own is open."""

    agency.switch(dispatchers={Channel.EMAIL: Slow()})
    receipt = await agency.link()

    assert agency.mails == []
    assert await agency.stands(receipt) == (DeliveryState.PENDING, "Sun 29 Nov 09:00")
    [delivery] = await agency.bench.shop.ledger.deliveries.of_invitation(receipt.invitation_id)
    assert (delivery.failures, delivery.reason) == (0, None)


async def test_a_live_customer_may_have_his_link_at_once(agency: Agency) -> None:
    """SEND_WINDOW_LIVE: whoever asked in person is not kept waiting; a backfill is."""
    agency.switch(is_live_exempt=True)
    agency.clock.set("2026-11-27 15:00")

    live, bulk = await agency.link(), await agency.link(lane=Lane.BULK)

    assert await agency.stands(live) == (DeliveryState.SENT, None)
    assert await agency.stands(bulk) == (DeliveryState.PENDING, "Sun 29 Nov 09:00")


async def test_a_window_that_is_switched_off_lets_all_go(agency: Agency) -> None:
    """The worker is started anew without one: what waited is sent."""
    agency.clock.set("2026-11-27 15:00")
    receipts = [await agency.link() for _ in range(3)]
    assert agency.mails == []

    agency.switch(window=None)
    await agency.work()

    assert len(agency.mails) == 3
    assert {(await agency.stands(each))[0] for each in receipts} == {DeliveryState.SENT}


async def test_at_the_opening_mails_go_out_no_faster_than_their_rate(agency: Agency) -> None:
    """What waited through the night is a backlog like any other: EMAIL_RATE holds."""
    agency.clock.set("2026-11-27 15:00")
    count = 15
    for _ in range(count):
        await agency.link(lane=Lane.BULK)
    agency.clock.set("2026-11-29 09:00")

    began = time.monotonic()
    await agency.work()
    took_s = time.monotonic() - began

    assert len(agency.mails) == count
    assert took_s >= (count - 2) / RATE
