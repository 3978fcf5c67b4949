"""The workshop: what a worker process opens, minds and closes around its actors."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import threading
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any

from dramatiq.middleware import Middleware, MiddlewareError

from worker.domain.alert_words import Environment
from worker.domain.alerts import Thresholds
from worker.domain.outgoing import SinkPlan
from worker.domain.states import JobState
from worker.engine import on_loop
from worker.execution import handlers
from worker.execution.shop import Shop
from worker.execution.trade import Trade
from worker.ledger import Ledger, LedgerFull, LedgerUnavailable
from worker.maintenance.acts import ActDriver, ActPruner
from worker.maintenance.alerts import AlertTeller, AlertWatch
from worker.maintenance.beat import Beat
from worker.maintenance.completing import duties_of_completion
from worker.maintenance.feed import Feeder
from worker.maintenance.lookup import LookUp
from worker.maintenance.minder import Duty, Minder, end_tasks
from worker.maintenance.prune import Pruner
from worker.maintenance.remind import Reminder
from worker.maintenance.rescue import Rescuer
from worker.maintenance.watch import Watch
from worker.maintenance.window import WindowMinder
from worker.settings import Settings
from worker.telemetry import LoopLag, log

#: A worker whose ledger is away at start asks again this often.
_OPEN_WAIT_S = 1.0
#: Even with no grace at all, the partner's lists are not asked for more often.
_LEAST_LOOK_UP_S = 0.25
#: What happened to a customer is kept as long as the dead letters; these ends need nobody any more.
_KEEP_CANCELLED_S = 30 * 86_400.0
#: An event of ours that could not be told for so long interests nobody any more.
_KEEP_UNTOLD_S = 30 * 86_400.0
#: What was wrong and is over is known for a season.
_KEEP_INCIDENTS_S = 90 * 86_400.0
_LOOK_EVERY_S = 15.0
#: How late a worker goes by what an operator has taught or said of a brand, at most, with a second or so for its turn.
_LEARN_EVERY_S = 2.0
_REMIND_EVERY_S = 15.0
#: Events, or entries of the trail, at one turn.
_PRUNED_AT_ONCE = 2_000


def new_worker_id() -> str:
    """Return this process's id in the ledger: given by the supervisor that reaps it, else made here."""
    given = os.environ.get("LINKFERRY_WORKER_ID")
    return given or f"{platform.node().split('.')[0]}-{os.getpid()}-{secrets.token_hex(3)}"


def duties_of(shop: Shop, settings: Settings) -> list[Duty]:
    """Return what a worker minds besides its attempts. The single ones call the partner or raise alarms."""
    watch = Watch(ledger=shop.ledger, limits=shop.limits, stats=shop.stats, dead_keep_s=settings.dead_keep)
    reminder = Reminder(ledger=shop.ledger, stats=shop.stats, after_s=settings.reminders)
    return [
        _feeding(shop),
        Duty(name="ring_messages", run_once=partial(handlers.ring_messages, shop), every_s=0.5),
        _judging_what_waits(shop),
        *_duties_of_rescue(shop, settings),
        Duty(name="token", run_once=shop.partner.token, every_s=5.0, is_single=True),
        *_duties_of_doubts(shop, settings),
        _pruning(shop, settings),
        Duty(name="watch", run_once=watch.run_once, every_s=2.0, is_single=True),
        Duty(name="remind", run_once=reminder.run_once, every_s=_REMIND_EVERY_S, is_single=True),
        *duties_of_completion(shop, settings),
        *_duties_of_events(shop.ledger, settings),
        *_duties_of_alerts(shop, settings),
        *_duties_of_acts(shop, settings),
        *_duties_of_operators(shop, settings),
    ]


def _feeding(shop: Shop) -> Duty:
    feeder = Feeder(
        ledger=shop.ledger,
        limits=shop.limits,
        bell=shop.bell,
        bulk_places=shop.places.bulk_creates,
        token=shop.partner.token,
    )
    return Duty(name="feed", run_once=feeder.run_once, every_s=0.1)


def _judging_what_waits(shop: Shop) -> Duty:
    minder = WindowMinder(ledger=shop.ledger, closed_times=shop.closed_times)
    return Duty(name="send_window", run_once=minder.run_once, every_s=_LEARN_EVERY_S, is_single=True)


def _duties_of_rescue(shop: Shop, settings: Settings) -> list[Duty]:
    rescuer = Rescuer(
        ledger=shop.ledger,
        bell=shop.bell,
        stats=shop.stats,
        resend_after_s=settings.doubt_grace_s,
        invitation_wait_s=settings.invitation_wait,
    )
    return [
        Duty(name="promote", run_once=rescuer.promote, every_s=0.25),
        Duty(name="rescue", run_once=rescuer.rescue, every_s=min(2.0, settings.lease_s / 4)),
        Duty(name="late_invitations", run_once=rescuer.send_late_invitations, every_s=2.0),
    ]


def _duties_of_doubts(shop: Shop, settings: Settings) -> list[Duty]:
    lookup = LookUp(
        ledger=shop.ledger,
        limits=shop.limits,
        partner=shop.partner,
        bell=shop.bell,
        catalogue=shop.catalogue,
        stats=shop.stats,
        grace_s=settings.doubt_grace_s,
    )
    doubts_every_s = min(10.0, max(_LEAST_LOOK_UP_S, settings.doubt_grace_s / 3))
    return [
        Duty(name="look_up", run_once=lookup.run_once, every_s=doubts_every_s, is_single=True),
        Duty(name="release", run_once=lookup.release_registered, every_s=60.0, is_single=True),
    ]


def _pruning(shop: Shop, settings: Settings) -> Duty:
    pruner = Pruner(
        ledger=shop.ledger,
        keep_s={
            JobState.FAILED: settings.failed_keep,
            JobState.DEAD: settings.dead_keep,
            JobState.CANCELLED: _KEEP_CANCELLED_S,
        },
    )
    return Duty(name="prune", run_once=pruner.run_once, every_s=60.0, is_single=True)


def _duties_of_events(ledger: Ledger, settings: Settings) -> list[Duty]:
    # Every worker's, whatever it brings: with no CRM and no sink on any more, what they left still has its end.
    rescue_every_s = min(2.0, settings.lease_s / 4)
    prune_intake = partial(
        ledger.intake.prune, failed_older_than_s=settings.failed_keep, limit=_PRUNED_AT_ONCE
    )
    prune_outbox = partial(ledger.outbox.prune, older_than_s=_KEEP_UNTOLD_S, limit=_PRUNED_AT_ONCE)
    return [
        Duty(name="rescue_intake", run_once=ledger.intake.rescue, every_s=rescue_every_s),
        Duty(name="prune_intake", run_once=prune_intake, every_s=60.0, is_single=True),
        Duty(name="rescue_events", run_once=ledger.outbox.rescue, every_s=rescue_every_s),
        Duty(name="prune_events", run_once=prune_outbox, every_s=60.0, is_single=True),
    ]


def _duties_of_acts(shop: Shop, settings: Settings) -> list[Duty]:
    driver = ActDriver(ledger=shop.ledger, limits=shop.limits)
    pruner = ActPruner(ledger=shop.ledger, keep_s=max(settings.failed_keep, settings.dead_keep))
    return [
        Duty(name="acts", run_once=driver.run_once, every_s=0.25, is_single=True),
        Duty(name="prune_acts", run_once=pruner.run_once, every_s=60.0, is_single=True),
    ]


def _duties_of_operators(shop: Shop, settings: Settings) -> list[Duty]:
    # What operators teach, each worker takes up by itself; what they did is kept as long as the jobs, and no less.
    refresh = partial(shop.ledger.taught.refresh, shop.catalogue)
    prune = partial(
        shop.ledger.trail.prune,
        older_than_s=max(settings.failed_keep, settings.dead_keep),
        limit=_PRUNED_AT_ONCE,
    )
    return [
        Duty(name="taught", run_once=refresh, every_s=_LEARN_EVERY_S),
        Duty(
            name="brands", run_once=partial(shop.ledger.brands.refresh, shop.brands), every_s=_LEARN_EVERY_S
        ),
        Duty(name="prune_trail", run_once=prune, every_s=60.0, is_single=True),
    ]


def _duties_of_alerts(shop: Shop, settings: Settings) -> list[Duty]:
    # With nobody to be told, incidents are kept all the same: the console and `linkferry alerts list` show them.
    watch = AlertWatch(
        ledger=shop.ledger,
        limits=shop.limits,
        stats=shop.stats,
        thresholds=Thresholds(
            late_s=settings.alert_late_s,
            stopped_s=settings.alert_stopped_s,
            failed=settings.alert_failed,
            surge=settings.alert_surge,
        ),
        keep_s={JobState.DEAD: settings.dead_keep, JobState.FAILED: settings.failed_keep},
        has_credentials=settings.has_credentials,
        sinks=[sink.name for sink in shop.alert_sinks],
    )
    prune = partial(shop.ledger.incidents.prune, older_than_s=_KEEP_INCIDENTS_S)
    return [
        Duty(name="alerts", run_once=watch.run_once, every_s=_LOOK_EVERY_S, is_single=True),
        Duty(name="prune_alerts", run_once=prune, every_s=3_600.0, is_single=True),
    ]


def _teller_of(shop: Shop, settings: Settings) -> AlertTeller:
    return AlertTeller(
        ledger=shop.ledger,
        sinks=shop.alert_sinks,
        stats=shop.stats,
        environment=Environment(
            is_sandbox=settings.is_sandbox, namespace=settings.namespace, public_url=settings.public_url
        ),
        worker_id=shop.worker_id,
    )


class BootFailedError(MiddlewareError):
    """The shop could not be opened; `__cause__` says why. Dramatiq lets no other kind of error end a boot."""


class StoppedError(Exception):
    """The worker was told to stop while it still waited for its ledger."""


class Workshop(Middleware):
    """Ties the shop's life to the Dramatiq worker's: opened before its threads, drained at shutdown, then closed."""

    def __init__(self, settings: Settings, *, stopped: threading.Event | None = None) -> None:
        self.settings = settings
        self._trades: Sequence[Trade] = ()
        self._sinks: Sequence[SinkPlan] = ()
        self._decides: Collection[str] | None = None
        self._stopped = stopped or threading.Event()
        self.worker_id = new_worker_id()
        self._shop: Shop | None = None
        self._minder: Minder | None = None
        self._teller: AlertTeller | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def furnish(
        self,
        shop: Shop,
        trades: Sequence[Trade] = (),
        *,
        sinks: Sequence[SinkPlan] = (),
        decides: Collection[str] | None = None,
    ) -> None:
        """Take the shop that the actors work with, the trades worked beside, and the sinks that events are left for.

        *decides*: the names of the sinks that this process may switch off; None: all (see `Outbox.enable`).
        """
        self._shop = shop
        self._trades = trades
        self._sinks = sinks
        self._decides = decides

    def before_worker_boot(self, _broker: Any, _worker: Any) -> None:
        """Open the shop on the event loop: an actor that ran before that would find no scripts and no session.

        Raises:
            BootFailedError: it can't be opened (SchemaMismatch), or StoppedError.
        """
        try:
            on_loop(self._open())
        except Exception as exc:
            raise BootFailedError(str(exc)) from exc

    def after_worker_boot(self, _broker: Any, _worker: Any) -> None:
        """Say that work begins."""
        log.info("worker_started", worker_id=self.worker_id, pid=os.getpid())

    def before_worker_shutdown(self, _broker: Any, _worker: Any) -> None:
        """Claim no more; what runs is finished."""
        log.info("worker_draining", worker_id=self.worker_id)
        on_loop(self._drain())

    def after_worker_shutdown(self, _broker: Any, _worker: Any) -> None:
        """Close what was opened."""
        on_loop(self._close())
        log.info("worker_stopped", worker_id=self.worker_id)

    @property
    def shop(self) -> Shop:
        """Return the shop."""
        if self._shop is None:
            raise RuntimeError("the workshop was not furnished")
        return self._shop

    async def _open(self) -> None:
        shop = self.shop
        await _open_ledger(shop.ledger, self._prepare, self._stopped)
        await shop.partner.__aenter__()
        lag = LoopLag()
        beat = Beat(
            ledger=shop.ledger,
            stats=shop.stats,
            lag=lag,
            heartbeat=shop.heartbeat,
            worker_id=self.worker_id,
            facts={"host": platform.node(), "pid": os.getpid()},
        )
        duties = [*duties_of(shop, self.settings), Duty(name="beat", run_once=beat.run_once, every_s=1.0)]
        self._teller = _teller_of(shop, self.settings)
        duties += self._teller.duties()
        duties += [duty for trade in self._trades for duty in trade.duties]
        self._minder = Minder(duties, ledger=shop.ledger, worker_id=self.worker_id)
        self._minder.start()
        self._tasks = [asyncio.create_task(shop.heartbeat.run()), asyncio.create_task(lag.watch())]

    async def _prepare(self) -> None:
        await self.shop.ledger.outbox.enable(self._sinks, decides=self._decides)
        # Before the first attempt: what was taught holds from the start.
        await self.shop.ledger.taught.refresh(self.shop.catalogue)
        await self.shop.ledger.brands.refresh(self.shop.brands)

    async def _drain(self) -> None:
        self.shop.draining.set()
        if self._minder is not None:
            await self._minder.stop()

    async def _close(self) -> None:
        shop = self.shop
        await end_tasks(self._tasks)
        if self._teller is not None:
            await self._teller.aclose()
        try:
            await shop.stats.flush(shop.ledger.fleet)
            await shop.ledger.fleet.leave(self.worker_id)
        except LedgerUnavailable as exc:
            log.warning("last_beat_lost", error=str(exc))
        await shop.partner.__aexit__(None, None, None)
        for trade in self._trades:
            await trade.aclose()
        for dispatcher in shop.dispatchers.values():
            await dispatcher.aclose()
        await shop.bell.aclose()
        await shop.ledger.aclose()


async def _open_ledger(
    ledger: Ledger, prepare: Callable[[], Awaitable[None]], stopped: threading.Event
) -> None:
    # A worker that starts before its Redis waits for it; a ledger of a newer schema it must not touch.
    while not stopped.is_set():
        try:
            await ledger.open()
            await prepare()
        except (LedgerUnavailable, LedgerFull) as exc:
            log.warning("ledger_awaited", error=str(exc))
            await asyncio.sleep(_OPEN_WAIT_S)
        else:
            return
    raise StoppedError("stopped before the ledger answered")
