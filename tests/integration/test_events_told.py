"""Our events end to end: a shop that makes links and sends messages, a real receiver, a worker that is killed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from linkferry.trades import crm_trade
from tests.factories import a_request
from tests.integration.events_receiver import SECRET, Receiver, a_receiver
from tests.integration.runtime_shop import Bench, a_bench
from worker.broker import make_broker
from worker.domain.outgoing import OutgoingEvent, OutgoingState, SinkPlan, SinkRecord, Telling, Told
from worker.domain.request import Product
from worker.domain.states import Channel, Lane
from worker.execution import handlers
from worker.execution.attempt import attempt
from worker.execution.tell import tell_trade
from worker.execution.trade import Outlet, Trade
from worker.main import build_outlets, build_shop
from worker.ops.metrics import metrics_text
from worker.settings import load_settings

REQUEST = {"reference": "order-7", "external_id": "501"}


@dataclass
class Teller:
    """A bench whose events go to a receiver."""

    bench: Bench
    receiver: Receiver
    trade: Trade

    async def tell(self) -> None:
        """Answer one bell of the webhook's."""
        await self.trade.work("webhook")

    async def link(self, **changes: Any) -> str:
        """Make one link; return the job."""
        request = a_request(**(REQUEST | changes))
        receipt = await self.bench.accept(request=request)
        for job_id in receipt.job_ids:
            await attempt(job_id, Lane.LIVE, self.bench.shop)
        return receipt.job_ids[0]

    async def make_due(self) -> None:
        """Let all that waits be due now, and the sink be asked at once."""
        redis: Any = self.bench.shop.ledger._scripts.redis
        prefix = self.bench.shop.ledger._keys
        for event_id in await redis.zrange(prefix.outbox_due + "webhook", 0, -1):
            await redis.zadd(prefix.outbox_due + "webhook", {event_id: 1})
        await redis.hset(prefix.sink + "webhook", "pa", "1")

    async def sink(self) -> SinkRecord:
        """Return how the webhook stands."""
        [record] = await self.bench.shop.ledger.outbox.sinks()
        return record


@asynccontextmanager
async def a_told_bench(valkey_url: str, tmp_path: Path, **how: Any) -> AsyncIterator[Teller]:
    async with a_receiver(**how) as receiver:
        settings: dict[str, Any] = {"events_url": receiver.url, "events_secret": SECRET}
        async with a_bench(valkey_url, tmp_path, real_channels=True, **settings) as bench:
            outlets = build_outlets(bench.settings, bench.shop)
            await bench.shop.ledger.outbox.enable([outlet.plan for outlet in outlets])
            trade = tell_trade(bench.shop, outlets)
            yield Teller(bench, receiver, trade)
            await trade.aclose()


async def test_a_link_and_its_message_are_told(real_redis: Any, valkey_url: str, tmp_path: Path) -> None:
    """With the caller's own reference and id, the link, and nobody's number, name or address."""
    async with a_told_bench(valkey_url, tmp_path) as told:
        job_id = await told.link(products=(Product.WHATSAPP, Product.FACEBOOK_PAGE))
        [delivery] = await told.bench.shop.ledger.deliveries.of_invitation(job_id[:-1])
        await handlers.deliver(delivery.id, Channel.EMAIL, told.bench.shop)
        await told.tell()

        got = {(each["type"], each["data"]["product"]): each["data"] for each in told.receiver.got}
        job = await told.bench.shop.ledger.queries.job(job_id)

    link = got["link.created", "whatsapp"]
    assert job is not None
    assert link == {
        "job_id": job_id,
        "invitation_id": job_id[:-1],
        "product": "whatsapp",
        "state": "linked",
        "reference": "order-7",
        "external_id": "501",
        "source": "test",
        "batch": None,
        "link": job.link,
        "landing_page": job.landing_page,
    }
    sent = got["invitation.sent", "whatsapp"]
    assert (sent["channel"], sent["delivery_id"], len(sent["job_ids"])) == ("email", delivery.id, 2)
    assert len(got) == 3
    everything = json.dumps(told.receiver.got)
    for personal in (job.request.contact.email, job.request.contact.phone, job.request.whatsapp, "Dana"):
        assert personal
        assert personal not in everything.replace(str(job.link), "")


async def test_a_failure_is_told_with_its_remedy(real_redis: Any, valkey_url: str, tmp_path: Path) -> None:
    """So that whoever reads it there knows what to do."""
    async with a_told_bench(valkey_url, tmp_path) as told:
        told.bench.sandbox.sandbox.faults.update({"fail_code": 9})
        await told.link()
        await told.tell()

        [event] = told.receiver.got

    assert event["type"] == "job.failed"
    assert (event["data"]["state"], event["data"]["code"]) == ("failed", 9)
    assert event["data"]["reason"]
    assert event["data"]["remedy"].endswith(".")
    assert event["data"]["is_explained"] is False


async def test_after_a_500_it_is_told_again_by_the_same_id(
    real_redis: Any, valkey_url: str, tmp_path: Path
) -> None:
    """Five seconds later, with one try used up."""
    async with a_told_bench(valkey_url, tmp_path, answers=[500]) as told:
        await told.link()
        before_ms = await told.bench.shop.ledger.now_ms()
        await told.tell()
        [first] = told.receiver.ids
        record = await told.bench.shop.ledger.outbox.get(first)
        assert record is not None
        assert (record.state, record.failures, record.fault, record.status) == ("waiting", 1, "refused", 500)
        assert record.due_at_ms is not None
        assert before_ms + 4_000 < record.due_at_ms < await told.bench.shop.ledger.now_ms() + 5_600
        await told.make_due()

        await told.tell()

        assert told.receiver.ids == [first, first]
        record = await told.bench.shop.ledger.outbox.get(first)
        assert record is not None
        assert (record.state, record.attempt) == (OutgoingState.TOLD, 2)


async def test_ten_tries_and_then_it_waits_for_a_person(
    real_redis: Any, valkey_url: str, tmp_path: Path
) -> None:
    """Kept, counted, and told again when he says so."""
    async with a_told_bench(valkey_url, tmp_path, then=500) as told:
        await told.link()
        for _ in range(12):
            await told.make_due()
            await told.tell()
        assert (len(told.receiver.ids), len(told.receiver.counts())) == (10, 1)
        assert ((await told.sink()).failed, (await told.sink()).waiting) == (1, 0)

        told.receiver.then = 200
        assert await told.bench.shop.ledger.outbox.retry_all("webhook") == 1
        await told.tell()

        assert len(told.receiver.ids) == 11
        assert ((await told.sink()).failed, (await told.sink()).told) == (0, 1)


async def test_a_receiver_that_is_gone_gets_nothing_more(
    real_redis: Any, valkey_url: str, tmp_path: Path
) -> None:
    """One 410, one alarm; its events wait."""
    async with a_told_bench(valkey_url, tmp_path, then=410) as told:
        for _ in range(3):
            await told.link()
        with capture_logs():
            await told.tell()
        asked = len(told.receiver.ids)
        await told.make_due()
        await told.tell()

        assert 1 <= asked <= 3, "those on their way at once"
        assert len(told.receiver.ids) == asked
        assert (await told.sink()).gone_since_ms is not None
        assert (await told.sink()).waiting == 3


async def test_a_receiver_that_is_down_is_not_stormed(
    real_redis: Any, valkey_url: str, tmp_path: Path
) -> None:
    """Never more than eight at once; once it is known to be down, one; when it is back, all."""
    async with a_told_bench(valkey_url, tmp_path, then=503) as told:
        for _ in range(30):
            await told.link()
        await told.tell()
        assert 5 <= len(told.receiver.ids) <= 12
        assert told.receiver.most_at_once <= 8

        before = len(told.receiver.ids)
        for _ in range(3):
            await told.make_due()
            await told.tell()
        assert len(told.receiver.ids) == before + 3, "one probe each time"

        told.receiver.then = 200
        await told.make_due()
        await told.tell()
        await told.tell()
        assert (await told.sink()).told == 30


async def test_a_receiver_that_asks_for_time_gets_it(
    real_redis: Any, valkey_url: str, tmp_path: Path
) -> None:
    """`Retry-After` is kept to the second, for all events."""
    async with a_told_bench(valkey_url, tmp_path, then=429, headers={"Retry-After": "90"}) as told:
        await told.link()
        await told.tell()
        await told.link()
        await told.tell()

        assert len(told.receiver.ids) == 1
        paused_until_ms = (await told.sink()).paused_until_ms
        assert paused_until_ms is not None
        assert 85_000 < paused_until_ms - await told.bench.shop.ledger.now_ms() <= 90_000


class OddSink:
    """Raises for one event; takes the others."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def send(self, event: OutgoingEvent) -> Telling:
        if not self.told:
            self.told.append("raised")
            raise KeyError("a fault")
        self.told.append(event.id)
        return Told()

    async def aclose(self) -> None:
        """Nothing is open."""


async def test_a_sink_that_raises_keeps_nobody_waiting(
    real_redis: Any, valkey_url: str, tmp_path: Path
) -> None:
    """The one event waits for its next try; no personal detail of the error is kept."""
    async with a_bench(valkey_url, tmp_path) as bench:
        sink = OddSink()
        outlets = [Outlet(plan=SinkPlan(name="odd"), sink=sink)]
        await bench.shop.ledger.outbox.enable([outlets[0].plan])
        for _ in range(3):
            (job_id,) = (await bench.accept()).job_ids
            await attempt(job_id, Lane.LIVE, bench.shop)

        with capture_logs() as logs:
            await tell_trade(bench.shop, outlets).work("odd")

        [record] = await bench.shop.ledger.outbox.sinks()
    assert (record.told, record.waiting) == (2, 1)
    assert [line["event"] for line in logs].count("sink_failed") == 1


async def test_what_is_told_shows_in_the_metrics(real_redis: Any, valkey_url: str, tmp_path: Path) -> None:
    """By sink and state, and each try by its outcome; nothing of it while events are off."""
    async with a_told_bench(valkey_url, tmp_path, answers=[500]) as told:
        await told.link()
        await told.tell()
        await told.link()
        await told.tell()
        shop = told.bench.shop
        await shop.stats.flush(shop.ledger.fleet)

        page = await metrics_text(shop.ledger, shop.limits)

    assert 'linkferry_events{sink="webhook",state="waiting"} 1.0' in page
    assert 'linkferry_events_stopped{sink="webhook"} 0.0' in page
    assert (
        'linkferry_events_told_total{kind="link.created",outcome="nottold",reason="refused",target="webhook"} 1.0'
        in page
    )
    assert (
        'linkferry_events_told_total{kind="link.created",outcome="told",reason="",target="webhook"} 1.0'
        in page
    )


async def test_the_log_holds_no_link(real_redis: Any, valkey_url: str, tmp_path: Path) -> None:
    """Nor the receiver's address, which may hold a secret."""
    async with a_told_bench(valkey_url, tmp_path, answers=[500]) as told:
        with capture_logs() as logs:
            await told.link()
            await told.tell()
        job = await told.bench.shop.ledger.queries.job(await told.link())

    assert job is not None
    text = json.dumps(logs, default=str)
    assert "event_not_told" in text
    assert "127.0.0.1" not in text
    assert "onboarding/" not in text


async def test_in_the_sandbox_nobody_is_told(real_redis: Any, valkey_url: str, tmp_path: Path) -> None:
    """Whatever the settings say and whatever the front door brings."""
    sink = OddSink()
    brought = Trade(
        queue="intake",
        actor="take_events",
        priority=0,
        work=_nothing,
        aclose=sink.aclose,
        outlets=[Outlet(plan=SinkPlan(name="odd"), sink=sink)],
    )
    async with a_bench(valkey_url, tmp_path) as bench:
        assert build_outlets(bench.settings, bench.shop, [brought]) == []
    async with a_bench(valkey_url, tmp_path, real_channels=True) as bench:
        assert [outlet.plan.name for outlet in build_outlets(bench.settings, bench.shop, [brought])] == [
            "odd"
        ]


async def test_a_worker_whose_hubspot_writes_back_tells_both(valkey_url: str) -> None:
    """HubSpot hears of its own requests only, EVENTS_URL of all."""
    hook = "E2eNC54oYE1zwq-KoUWRhG9A_osxddvA"
    environ = {
        "LINKFERRY_REDIS_URL": valkey_url,
        "LINKFERRY_EVENTS_URL": "https://events.example.com/",
        "LINKFERRY_EVENTS_SECRET": SECRET,
        "LINKFERRY_CRM_HUBSPOT_PATH": hook,
        "LINKFERRY_CRM_HUBSPOT_CLIENT_SECRET": "c" * 36,
        "LINKFERRY_CRM_HUBSPOT_URL": f"https://ferry.example.com/crm/hubspot/{hook}",
        "LINKFERRY_CRM_HUBSPOT_TOKEN": "pat-1",
        "LINKFERRY_CRM_HUBSPOT_WRITE_BACK": '{"link": "linkferry_link"}',
    }
    settings = load_settings(environ=environ, env_file=None)
    broker = make_broker(settings.broker_url_effective, namespace=settings.namespace)
    shop = build_shop(settings, broker, worker_id="w")
    brought = crm_trade(settings)(shop)

    outlets = build_outlets(settings, shop, brought)

    plans = [(outlet.plan.name, outlet.plan.only_source) for outlet in outlets]
    assert plans == [("webhook", None), ("hubspot", "crm:hubspot")]
    for trade in (*brought, tell_trade(shop, outlets)):
        await trade.aclose()
    shop.bell.close()
    await shop.ledger.aclose()


async def _nothing(_subject_id: str) -> None:
    """Do nothing."""
