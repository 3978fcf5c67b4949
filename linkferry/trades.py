"""What a worker works on beside its jobs: the events that CRMs told of. The worker itself knows no producer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from linkferry.session import build_door
from producers.crm.config import LimitsFor, load_crms, parse_rules, values_of
from producers.crm.hubspot import NAME as HUBSPOT
from producers.crm.hubspot_sink import sink_of
from producers.crm.model import Crm
from producers.crm.work import EventWorker, WorkDeps
from worker.broker import BrokerBell
from worker.execution.shop import Shop
from worker.execution.trade import Outlet, Trade, Trades
from worker.ledger import Ledger, open_redis
from worker.limits import Limits
from worker.maintenance.minder import Duty
from worker.settings import Settings

#: Between a live customer's call and a backfill's.
_PRIORITY = 10
_RING_EVERY_S = 0.5


def crm_trade(settings: Settings) -> Trades:
    """Return what builds the trade of the CRMs that are on; none are on in the sandbox, which ignores their settings.

    Building raises SettingsError for a CRM setting that is wrong.
    """

    def build(shop: Shop) -> Sequence[Trade]:
        redis = open_redis(settings.redis_url_required)

        def limits_for(name: str, ceiling: float) -> Limits:
            return Limits(redis, namespace=settings.namespace, name=name, ceiling=ceiling)

        crms = load_crms(settings, clock=shop.clock, limits_for=limits_for)
        if not crms:
            return ()
        worker = _event_worker(settings, shop, crms)

        async def take_events(source: str) -> None:
            await worker.take(source)

        async def aclose() -> None:
            for crm in crms.values():
                await crm.aclose()
            await redis.aclose()

        return [
            Trade(
                queue="intake",
                actor="take_events",
                priority=_PRIORITY,
                work=take_events,
                duties=_duties(worker, shop.ledger, shop.bell),
                outlets=_outlets(settings, shop, limits_for) if HUBSPOT in crms else (),
                aclose=aclose,
            )
        ]

    return build


def _event_worker(settings: Settings, shop: Shop, crms: Mapping[str, Crm]) -> EventWorker:
    return EventWorker(
        WorkDeps(
            crms=crms,
            intake=shop.ledger.intake,
            door=build_door(settings, shop.ledger, shop.bell, brands=shop.brands),
            stats=shop.stats,
            clock=shop.clock,
            worker_id=shop.worker_id,
            lease_s=shop.lease_s,
            keeping=shop.heartbeat.keeping,
            is_draining=shop.draining.is_set,
            rules={name: replace(parse_rules(settings, name), brands=shop.brands) for name in crms},
        )
    )


def _outlets(settings: Settings, shop: Shop, limits_for: LimitsFor) -> Sequence[Outlet]:
    """Return where a CRM hears of what became of its own requests: HubSpot, when its write-back is set."""
    found = sink_of(values_of(settings, HUBSPOT, clock=shop.clock, limits_for=limits_for))
    return () if found is None else (Outlet(plan=found[0], sink=found[1]),)


def _duties(worker: EventWorker, ledger: Ledger, bell: BrokerBell) -> list[Duty]:
    # What needs no CRM, the taking back and the pruning, every worker does by itself.
    async def ring_due() -> None:
        for source in await ledger.intake.sources_due():
            if worker.is_on(source):
                bell.ring_intake(source)

    return [Duty(name="ring_intake", run_once=ring_due, every_s=_RING_EVERY_S)]
