"""Whose name a message goes out in: real mails into the sandbox's outbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis.asyncio
import structlog

from tests.factories import a_number, a_request
from tests.integration.runtime_shop import Bench, a_bench
from worker.domain.brand import Brand
from worker.domain.states import Channel, Lane
from worker.execution import handlers
from worker.execution.attempt import attempt, follow_up
from worker.workshop import duties_of

ACME = Brand(name="acme", name_en="Acme", name_he="אקמי", reply_to="hello@acme.example")
NORTH = Brand(name="north", name_en="North")


@pytest.fixture
async def bench(real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_bench(valkey_url, tmp_path) as opened:
        for brand in (ACME, NORTH):
            await opened.shop.ledger.brands.keep(brand, seen=None, by="test")
        await opened.shop.ledger.brands.make_default("north", by="test")
        yield opened


async def learn(bench: Bench) -> None:
    """Do what every worker does every two seconds."""
    [duty] = [each for each in duties_of(bench.shop, bench.settings) if each.name == "brands"]
    await duty.run_once()


async def sender_of_a_message(bench: Bench, brand: str | None = None) -> tuple[str, str | None]:
    """Send one more customer his mail; return its From and its Reply-To."""
    request = a_request()
    contact = replace(request.contact, locale="en", phone=None)
    request = replace(request, contact=contact, brand=brand, whatsapp=a_number())
    receipt = await bench.accept(request=request)
    [job_id] = receipt.job_ids
    follow_up(job_id, await attempt(job_id, Lane.LIVE, bench.shop), bench.shop)
    await handlers.fan_out(bench.bell.fan_outs.pop(), bench.shop)
    while bench.bell.deliveries:
        delivery_id = bench.bell.deliveries.pop()
        await handlers.deliver(delivery_id, Channel(delivery_id.split(".")[1]), bench.shop)
    headers = next(iter(bench.sandbox.outbox.newest(kind="mail"))).headers
    return headers["From"].partition(" <")[0], headers.get("Reply-To")


async def test_a_message_is_in_the_name_of_its_requests_brand(bench: Bench) -> None:
    """Without one, of the default; a change holds from the next message on."""
    await learn(bench)
    assert await sender_of_a_message(bench, "acme") == ("Acme", "hello@acme.example")
    assert (await sender_of_a_message(bench))[0] == "North"

    record = await bench.shop.ledger.brands.get("acme")
    assert record is not None
    await bench.shop.ledger.brands.keep(replace(ACME, name_en="Acme 2"), seen=record.version, by="test")
    await learn(bench)

    assert (await sender_of_a_message(bench, "acme"))[0] == "Acme 2"


async def test_a_brand_removed_meanwhile_costs_no_message(bench: Bench) -> None:
    """It goes out in the default's name, is told of in the log and counted."""
    await bench.shop.ledger.brands.remove("acme", by="test")
    await learn(bench)

    with structlog.testing.capture_logs() as logs:
        sender, _ = await sender_of_a_message(bench, "acme")

    assert sender == "North"
    [entry] = [each for each in logs if each["event"] == "brand_missed"]
    assert (entry["brand"], entry["log_level"]) == ("acme", "warning")
    await bench.shop.stats.flush(bench.shop.ledger.fleet)
    assert (await bench.shop.ledger.fleet.stats())["brands_missed"] == 1


async def test_without_any_brand_messages_are_as_the_settings_say(bench: Bench) -> None:
    """No default is a choice, too."""
    await bench.shop.ledger.brands.make_default(None, by="test")
    await learn(bench)

    assert (await sender_of_a_message(bench))[0] == "Linkferry sandbox"
