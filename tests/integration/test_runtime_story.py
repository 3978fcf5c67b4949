"""What real attempts leave behind is told: with the real sandbox, its faults, its mail, and the real look-up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from tests.factories import a_request
from tests.integration.runtime_shop import Bench, a_bench
from worker.domain.request import Contact
from worker.domain.states import Channel, Lane
from worker.execution import handlers
from worker.execution.attempt import attempt, follow_up
from worker.ops.customer import customer
from worker.ops.job_page import job_page
from worker.ops.overview import overview
from worker.ops.queries import Queries
from worker.ops.scene import Scene

pytestmark = pytest.mark.redis

NUMBER = "972501234567"
EMAIL = "noa@flowers.example"


@pytest.fixture
async def bench(real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_bench(valkey_url, tmp_path) as opened:
        await opened.shop.ledger.fleet.beat("bench", {"running": 1}, 60.0)
        yield opened


def scene_of(bench: Bench) -> Scene:
    shop = bench.shop
    queries = Queries(shop.ledger, shop.limits, shop.catalogue)
    return Scene.from_settings(
        bench.settings, ledger=shop.ledger, limits=shop.limits, catalogue=shop.catalogue, queries=queries
    )


async def accept(bench: Bench, **changes: Any) -> str:
    request = a_request(whatsapp=NUMBER, contact=Contact(name="Noa", email=EMAIL))
    return (await bench.accept(request=request, **changes)).job_ids[0]


async def work(bench: Bench, job_id: str, **faults: Any) -> None:
    """Make one attempt while *faults* stand, and send what comes due by it."""
    bench.sandbox.faults.update({"calls": ["create_whatsapp"], **faults})
    follow_up(job_id, await attempt(job_id, Lane.LIVE, bench.shop), bench.shop)
    await send(bench)
    bench.sandbox.faults.reset()


async def send(bench: Bench) -> None:
    """Send what was rung."""
    while bench.bell.fan_outs:
        await handlers.fan_out(bench.bell.fan_outs.pop(), bench.shop)
    while bench.bell.deliveries:
        await handlers.deliver(bench.bell.deliveries.pop(), Channel.EMAIL, bench.shop)


async def page_of(bench: Bench, job_id: str) -> dict[str, Any]:
    page = await job_page(scene_of(bench), job_id)
    assert page is not None
    return page


async def test_a_refusal_an_edit_and_a_link_are_one_story(bench: Bench) -> None:
    """Asked, refused with the partner's masked answer, requeued, linked after a call of its length, sent."""
    job = await accept(bench)
    await work(bench, job, fail_code=19)
    failed = await page_of(bench, job)
    await bench.shop.ledger.requeue(job, by="cli:dana", why="asked the partner")
    await work(bench, job, latency_s=[0.2, 0.2])

    page = await page_of(bench, job)

    refusal = failed["timeline"][-1]
    assert (refusal["code"], refusal["detail"]["code"]) == ("attempt_failed", 19)
    assert '"reason"' in refusal["detail"]["answered"]
    assert refusal["detail"]["asked"]["whatsapp"] == "9725******67"
    assert [entry["code"] for entry in page["timeline"]] == [
        "accepted_source", "attempt_failed", "act_requeued_why", "attempt_linked", "message_sent",
    ]  # fmt: skip
    linked = page["timeline"][3]["detail"]
    assert 0.2 <= linked["call_s"] <= linked["duration_s"]
    assert linked["attempt"] == 2
    assert page["why_here_said"]["params"] == {"channels": ["email"]}


async def test_a_lost_answer_is_told_until_the_look_up_finds_the_link(bench: Bench) -> None:
    """In doubt with its reason; then found, and sent."""
    job = await accept(bench)
    await work(bench, job, drop_after=1.0)
    doubtful = await page_of(bench, job)
    await bench.lookup().run_once()
    await send(bench)

    page = await page_of(bench, job)

    assert (doubtful["state"], doubtful["why_here_said"]["code"]) == ("in_doubt", "here_doubt")
    assert doubtful["next"]["code"] == "next_lookup"
    assert [entry["code"] for entry in page["timeline"]][1:] == [
        "attempt_in_doubt", "resolved_linked", "message_sent",
    ]  # fmt: skip


async def test_a_throttled_try_says_until_when_it_is_put_off(bench: Bench) -> None:
    """It uses up no try; the outage names the partner's pause."""
    await bench.shop.partner.token()
    job = await accept(bench)
    await work(bench, job, throttle=1, retry_after="30")

    page, seen = await page_of(bench, job), await overview(scene_of(bench))

    assert page["timeline"][-1]["code"] in {"attempt_snoozed", "attempt_snoozed_now"}
    assert page["timeline"][-1]["detail"]["reason"] == "partner_throttled"
    assert seen["outage"]["kind"] == "partner_throttled"
    assert (seen["outage"]["customers"], seen["outage"]["since"] is None) == (1, False)
    assert page["failures"] == 0


async def test_a_mail_that_bounced_is_advised_about(bench: Bench) -> None:
    """The call takes a minute: the address is refused, another one is asked for."""
    job = await accept(bench)
    await work(bench, job, mail_refuse=550)

    found = await customer(scene_of(bench), "050-123-4567")

    assert found["headline"]["code"] == "customer_bounced"
    assert found["advice"][0]["code"] == "advice_not_sent"
    assert found["advice"][0]["command"] == f"linkferry resend {job} --to ADDRESS"
    assert found["timeline"][-1]["code"] == "message_failed"
    assert EMAIL not in str(found)


async def test_the_charts_count_what_was_done(bench: Bench) -> None:
    """One request, one call, one link, one mail."""
    await work(bench, await accept(bench))

    totals = (await overview(scene_of(bench)))["hour"]["totals"]

    assert {name: count for name, count in totals.items() if count} == {
        "accepted": 1,
        "calls": 1,
        "linked": 1,
        "sent": 1,
    }
