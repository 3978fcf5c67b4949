"""Our events in a fleet: workers that bring different things, versions that know different types, events told late."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from linkferry.trades import crm_trade
from producers.crm.config import CrmValues
from producers.crm.hubspot_sink import HubSpotSink, sink_of
from producers.crm.hubspot_write_back import EXAMPLE, WriteBack
from producers.crm.model import FetchLaterError
from tests.factories import a_request
from tests.integration.events_receiver import SECRET
from tests.integration.runtime_shop import Bench, a_bench
from worker.domain.outgoing import OutgoingEvent, OutgoingState, SinkPlan, Telling, Told
from worker.domain.states import JobState, Lane
from worker.engine import LoopWorker
from worker.execution.attempt import attempt
from worker.execution.tell import Teller
from worker.execution.trade import Outlet, Trades, no_trades
from worker.ledger import Ledger, open_redis
from worker.main import build_broker
from worker.settings import Settings, load_settings

HOOK = "E2eNC54oYE1zwq-KoUWRhG9A_osxddvA"
HUBSPOT = {
    "LINKFERRY_CRM_HUBSPOT_PATH": HOOK,
    "LINKFERRY_CRM_HUBSPOT_CLIENT_SECRET": "c" * 36,
    "LINKFERRY_CRM_HUBSPOT_URL": f"https://ferry.example.com/crm/hubspot/{HOOK}",
    "LINKFERRY_CRM_HUBSPOT_TOKEN": "pat-1",
    "LINKFERRY_CRM_HUBSPOT_WRITE_BACK": EXAMPLE,
}
WEBHOOK = {"LINKFERRY_EVENTS_URL": "https://events.example.com/", "LINKFERRY_EVENTS_SECRET": SECRET}


@pytest.fixture
async def bench(real_redis: Any, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    """Open a worker's shop."""
    async with a_bench(valkey_url, tmp_path) as bench:
        yield bench


# --- workers that bring different things --------------------------------------------------------------------


def _settings(valkey_url: str, **environ: str) -> Settings:
    places = {"LINKFERRY_REDIS_URL": valkey_url, "LINKFERRY_PROVIDER_URL": "http://127.0.0.1:9"}
    return load_settings(environ=places | environ, env_file=None)


def _run_once(settings: Settings, trades: Trades) -> None:
    """Start a worker and stop it."""
    broker = build_broker(settings, trades=trades)
    worker = LoopWorker(broker, at_once=1)  # type: ignore[arg-type] - on Redis it is a DoorbellBroker
    worker.start()
    worker.stop(timeout=5_000)
    broker.close()


async def _switched_on(settings: Settings) -> set[str]:
    ledger = Ledger(open_redis(settings.redis_url_required), namespace=settings.namespace)
    await ledger.open()
    names = {sink.name for sink in await ledger.outbox.sinks() if sink.is_enabled}
    await ledger.aclose()
    return names


async def test_a_worker_without_trades_leaves_the_others_sinks_on(real_redis: Any, valkey_url: str) -> None:
    """`dramatiq worker.main` decides about EVENTS_URL; what CRMs are told is for `linkferry worker` to say."""
    with_all, with_none = _settings(valkey_url, **HUBSPOT, **WEBHOOK), _settings(valkey_url)

    _run_once(with_all, crm_trade(with_all))
    assert await _switched_on(with_all) == {"hubspot", "webhook"}
    _run_once(with_all, no_trades)
    assert await _switched_on(with_all) == {"hubspot", "webhook"}
    _run_once(with_none, no_trades)
    assert await _switched_on(with_all) == {"hubspot"}
    _run_once(with_none, crm_trade(with_none))
    assert await _switched_on(with_all) == set()


# --- versions that know different types ---------------------------------------------------------------------


class Listener:
    """Takes everything."""

    def __init__(self) -> None:
        self.told: list[OutgoingEvent] = []

    async def send(self, event: OutgoingEvent) -> Telling:
        self.told.append(event)
        return Told()

    async def aclose(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    "left",
    [{"y": "link.melted"}, {"v": ""}, {"v": "state\x1flinked\x1fattempt"}],
    ids=["type", "none", "cut"],
)
async def test_an_event_that_we_cannot_say_keeps_nobody_waiting(bench: Bench, left: dict[str, str]) -> None:
    """Another version left it: it is settled as our fault and told of in the log, and the others go out."""
    listener = Listener()
    teller = Teller(bench.shop, [Outlet(plan=SinkPlan(name="odd"), sink=listener)])
    ledger = bench.shop.ledger
    await ledger.outbox.enable([SinkPlan(name="odd")])
    for _ in range(3):
        (job_id,) = (await bench.accept()).job_ids
        await attempt(job_id, Lane.LIVE, bench.shop)
    page = await ledger.outbox.find(sink="odd", state=OutgoingState.WAITING)
    redis: Any = ledger._scripts.redis
    await redis.hset(ledger._keys.outbox + page.items[0].id, mapping=left)

    with capture_logs() as logs:
        await teller.tell("odd")

    assert {event.id for event in listener.told} == {each.id for each in page.items[1:]}
    record = await ledger.outbox.get(page.items[0].id)
    assert record is not None
    assert (record.state, record.fault, record.failures) == ("waiting", "our_fault", 1)
    assert "sink_failed" in [line["event"] for line in logs]


async def test_one_task_that_breaks_off_lets_the_others_come_to_their_end(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bell is over only then, and the log says what broke off."""
    listener = Listener()
    teller = Teller(bench.shop, [Outlet(plan=SinkPlan(name="odd"), sink=listener)])
    ledger = bench.shop.ledger
    await ledger.outbox.enable([SinkPlan(name="odd")])
    for _ in range(3):
        (job_id,) = (await bench.accept()).job_ids
        await attempt(job_id, Lane.LIVE, bench.shop)
    claim, calls = ledger.outbox.claim, iter(range(100))

    async def first_breaks(*args: Any, **how: Any) -> Any:
        if next(calls) == 0:
            raise ValueError("a fault")
        return await claim(*args, **how)

    monkeypatch.setattr(ledger.outbox, "claim", first_breaks)
    with capture_logs() as logs:
        await teller.tell("odd")

    assert len(listener.told) == 3
    assert [line["event"] for line in logs].count("telling_broken_off") == 1


# --- events told late ---------------------------------------------------------------------------------------


class Account:
    """A contact, and an account that is away for the first call."""

    def __init__(self) -> None:
        self.contact: dict[str, str] = {}
        self.is_away = True

    async def update_contact(self, _contact_id: str, properties: Mapping[str, str]) -> bool:
        if self.is_away:
            self.is_away = False
            raise FetchLaterError("crm_unreachable")
        self.contact.update(properties)
        return True

    async def aclose(self) -> None:
        """Nothing is open."""


async def test_an_old_failure_that_hubspot_hears_late_does_not_stay(bench: Bench) -> None:
    """It failed, HubSpot was away, an operator requeued it, its link was told: only then the failure's next try came."""
    keys = {"TOKEN": SecretStr("pat-1"), "WRITE_BACK": SecretStr(EXAMPLE)}
    found = sink_of(CrmValues(name="hubspot", values=keys))
    assert found is not None
    account, ledger = Account(), bench.shop.ledger
    teller = Teller(bench.shop, [Outlet(plan=found[0], sink=HubSpotSink(account, WriteBack.parse(EXAMPLE)))])
    await ledger.outbox.enable([found[0]])
    bench.sandbox.sandbox.faults.update({"fail_code": 9})
    (job_id,) = (await bench.accept(source="crm:hubspot", request=a_request(external_id="11"))).job_ids
    await attempt(job_id, Lane.LIVE, bench.shop)
    await teller.tell("hubspot")
    bench.sandbox.sandbox.faults.update({"fail_code": None})
    await ledger.requeue(job_id, by="test", why="mended")
    await attempt(job_id, Lane.LIVE, bench.shop)
    await teller.tell("hubspot")
    assert account.contact["linkferry_state"] == "link_created"

    redis: Any = ledger._scripts.redis
    [late] = (await ledger.outbox.find(sink="hubspot", state=OutgoingState.WAITING)).items
    assert late.type == "job.failed"
    await redis.zadd(ledger._keys.outbox_due + "hubspot", {late.id: 1})
    await teller.tell("hubspot")

    job = await ledger.queries.job(job_id)
    assert job is not None
    assert job.state is JobState.LINKED
    assert account.contact == {
        "linkferry_link": job.link,
        "linkferry_state": "link_created",
        "linkferry_reason": "",
    }
    await found[1].aclose()
