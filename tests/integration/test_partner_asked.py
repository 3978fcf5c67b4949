"""The partner is asked about one customer within seconds, under the fleet's rate, and its silence is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from linkferry.partner_lists import ask_briefly
from tests.factories import a_request
from tests.integration.runtime_shop import Bench, a_bench
from worker.domain.job import JobRecord
from worker.domain.states import Lane
from worker.execution.attempt import attempt
from worker.limits import TokenStore
from worker.ops.partner_view import PartnerLists, PartnerView

NUMBER = "972501234567"


@pytest.fixture
async def bench(real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_bench(valkey_url, tmp_path) as opened:
        yield opened


@pytest.fixture
async def asked(bench: Bench, real_redis: redis.asyncio.Redis) -> TokenStore:
    """Return what holds the fleet's token."""
    return TokenStore(real_redis, namespace=bench.settings.namespace)


async def ask(bench: Bench, tokens: TokenStore) -> PartnerLists:
    return await ask_briefly(bench.settings, bench.shop.limits, tokens)


async def test_a_link_that_waits_is_found_and_one_that_is_gone_is_not(
    bench: Bench, asked: TokenStore
) -> None:
    """By its reference; then its number is registered, and no more."""
    receipt = await bench.accept(request=a_request(whatsapp=NUMBER))
    await attempt(receipt.job_ids[0], Lane.LIVE, bench.shop)
    [job] = await bench.shop.ledger.queries.jobs(receipt.job_ids)

    view = PartnerView(await ask(bench, asked), bench.shop.catalogue)
    assert (view.says(job) or {})["code"] == "partner_waiting"

    await bench.shop.partner.delete_account(NUMBER)
    view = PartnerView(await ask(bench, asked), bench.shop.catalogue)
    assert (view.says(job) or {})["code"] == "partner_registered"


async def test_calls_that_are_paused_are_not_made(bench: Bench, asked: TokenStore) -> None:
    """The answer says why, and nobody waits for the pause to end."""
    await bench.shop.limits.pause()

    assert (await ask(bench, asked)).reason == "calls_paused"


async def test_a_partner_that_is_not_there_is_told(bench: Bench, asked: TokenStore) -> None:
    """And not raised: the customer's page is shown all the same."""
    await bench.sandbox.stop()

    lists = await ask(bench, asked)

    assert lists.accounts is None
    assert lists.reason == "token_unavailable"
    assert (
        "could not be asked"
        in (PartnerView(lists, bench.shop.catalogue).says(await a_job(bench)) or {})["text"]
    )


async def a_job(bench: Bench) -> JobRecord:
    receipt = await bench.accept(request=a_request(whatsapp=NUMBER))
    [job] = await bench.shop.ledger.queries.jobs(receipt.job_ids)
    return job
