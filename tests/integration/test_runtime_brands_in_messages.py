"""The brand that a request names is who its messages are from, from the ledger's claim to the mailbox."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from tests.factories import a_request
from tests.integration.runtime_shop import Bench, a_bench
from worker.dispatch.preview import SAMPLE_BRAND
from worker.domain.brand import Brand
from worker.domain.states import Channel, Lane
from worker.execution import handlers
from worker.execution.attempt import attempt, follow_up
from worker.partner.sandbox.outbox import Captured

pytestmark = pytest.mark.redis


@pytest.fixture
async def bench(real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_bench(valkey_url, tmp_path) as opened:
        opened.shop.brands.take(
            [SAMPLE_BRAND, Brand(name="north", name_he="סוכנות הצפון")], default="north", version=1
        )
        yield opened


async def _sent(bench: Bench, brand: str | None) -> tuple[Captured, Captured]:
    receipt = await bench.accept(
        request=a_request(brand=brand, is_agreed=True), channels=(Channel.EMAIL, Channel.SMS)
    )
    (job,) = receipt.job_ids
    follow_up(job, await attempt(job, Lane.LIVE, bench.shop), bench.shop)
    await handlers.fan_out(job, bench.shop)
    for channel in (Channel.EMAIL, Channel.SMS):
        await handlers.deliver(f"{receipt.invitation_id}.{channel}.invitation.1", channel, bench.shop)
    by_kind = {each.kind: each for each in bench.sandbox.outbox.newest()}
    return by_kind["mail"], by_kind["sms"]


async def test_a_request_gets_the_brand_that_it_names(bench: Bench) -> None:
    """Its name and reply-to on the mail, its sender on the text, its pages within."""
    mail, sms = await _sent(bench, "acme")

    assert mail.headers["Reply-To"] == "help@acme.example"
    assert "אקמי דיגיטל" in mail.text
    assert "https://acme.example/is-it-us" in mail.text
    assert "כפי שסיכמנו" in mail.text
    assert sms.sender == "ACME"


@pytest.mark.parametrize("name", [None, "removed"])
async def test_a_request_without_one_or_with_one_that_is_gone_gets_the_default(
    bench: Bench, name: str | None
) -> None:
    """A brand that was removed meanwhile costs nobody his message."""
    mail, _ = await _sent(bench, name)

    assert "סוכנות הצפון" in mail.text
    assert "acme.example" not in mail.text
