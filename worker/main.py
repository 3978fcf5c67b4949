"""Builds the shop once and runs a worker: `linkferry worker`, or `dramatiq worker.main` for those who prefer it.

The shop's life hangs on Dramatiq's own hooks, so both commands go the same way: it opens on the event loop before the
first actor can run, stops claiming when the worker is told to stop, and closes when the last attempt has ended.
"""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import signal
import sys
import threading
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any

import dramatiq
import structlog
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import Middleware, MiddlewareError
from jinja2 import TemplateError

from worker import actors
from worker.broker import BrokerBell, make_broker
from worker.clock import SystemClock
from worker.dispatch import Composer, MailDispatcher, RecipientAllowlist, Sender, SmsDispatcher, make_provider
from worker.domain.reasons import Catalogue
from worker.domain.states import Channel, JobState, Lane
from worker.execution import handlers
from worker.execution.heartbeat import Heartbeat
from worker.execution.shop import Dispatcher, Places, Shop
from worker.execution.trade import Trade, Trades, no_trades
from worker.ledger import Ledger, LedgerUnavailable, open_redis
from worker.limits import Closed, Limits, TokenStore
from worker.maintenance.beat import Beat
from worker.maintenance.feed import Feeder
from worker.maintenance.lookup import LookUp
from worker.maintenance.minder import Duty, Minder, end_tasks
from worker.maintenance.prune import Pruner
from worker.maintenance.rescue import Rescuer
from worker.maintenance.watch import Watch
from worker.partner import PartnerClient, TokenKeeper
from worker.settings import Settings, SettingsError, load_settings
from worker.telemetry import LoopLag, Stats, configure_logging

log = structlog.get_logger()

#: Stopping waits this long beyond the longest call for attempts to end.
_DRAIN_MARGIN_S = 15.0
#: A worker whose ledger is away at start asks again this often.
_OPEN_WAIT_S = 1.0
#: The main thread looks up this often: a signal that another thread received runs its handler only then.
_SIGNAL_LOOK_S = 0.5
#: Even with no grace at all, the partner's lists are not asked for more often.
_LEAST_LOOK_UP_S = 0.25
#: Of a worker's create places, these are the live lane's alone: one in four.
_LIVE_SHARE = 4
_MAIL_PLACES = 16
_TEXT_PLACES = 8
#: What happened to a customer is kept as long as the dead letters; these ends need nobody any more.
_KEEP_CANCELLED_S = 30 * 86_400.0


def new_worker_id() -> str:
    """Return this process's id in the ledger: given by the supervisor that reaps it, else made here."""
    given = os.environ.get("LINKFERRY_WORKER_ID")
    return given or f"{platform.node().split('.')[0]}-{os.getpid()}-{secrets.token_hex(3)}"


def build_partner(settings: Settings, limits: Limits, tokens: TokenStore) -> PartnerClient:
    """Return the partner's client; without credentials it holds every call."""

    async def slot() -> bool:
        return not isinstance(await limits.acquire(Lane.LIVE, is_token_call=True), Closed)

    secret = settings.provider_client_secret
    return PartnerClient(
        base_url=settings.provider_url,
        client_id=settings.provider_client_id,
        client_secret=secret.get_secret_value() if secret else None,
        tokens=TokenKeeper(tokens, guard=limits, slot=slot),
        gate=limits,
        timeout_s=settings.provider_timeout,
        create_path=settings.provider_whatsapp_create_path,
    )


def build_sender(settings: Settings) -> Sender:
    """Return who messages come from. Raises SettingsError for an EMAIL_FROM without a usable address."""
    address = settings.email_from or f"{settings.brand_name or 'Linkferry'} <nobody@linkferry.invalid>"
    try:
        return Sender.parse(address, brand_name=settings.brand_name, reply_to=settings.mail_reply_to)
    except ValueError as exc:
        raise SettingsError(f"LINKFERRY_EMAIL_FROM: {exc}") from exc


def build_composer(settings: Settings, sender: Sender) -> Composer:
    """Return what writes the messages. Raises SettingsError for templates that can't serve."""
    try:
        allowlist = RecipientAllowlist(settings.recipient_allowlist)
        return Composer(settings.templates_dir, sender=sender, allowlist=allowlist)
    except (OSError, KeyError, ValueError, TemplateError) as exc:
        raise SettingsError(f"LINKFERRY_TEMPLATES_DIR {settings.templates_dir}: {exc}") from exc


def build_dispatchers(settings: Settings, sender: Sender, catalogue: Catalogue) -> dict[Channel, Dispatcher]:
    """Return the channels that can send. Raises SettingsError for an address that makes no sense."""
    dispatchers: dict[Channel, Dispatcher] = {}
    try:
        if settings.has_smtp and settings.smtp_url is not None:
            dispatchers[Channel.EMAIL] = MailDispatcher(
                settings.smtp_url.get_secret_value(), sender, max_connections=_MAIL_PLACES
            )
        if settings.has_sms and settings.sms_api_key is not None:
            provider = make_provider(
                settings.sms_provider,
                url=settings.sms_url,
                api_key=settings.sms_api_key.get_secret_value(),
                sender=settings.sms_from or "",
                account=settings.sms_account,
                catalogue=catalogue,
            )
            dispatchers[Channel.SMS] = SmsDispatcher(provider)
    except ValueError as exc:
        raise SettingsError(f"LINKFERRY_SMTP_URL or LINKFERRY_SMS_…: {exc}") from exc
    return dispatchers


def build_shop(settings: Settings, broker: dramatiq.Broker, *, worker_id: str) -> Shop:
    """Return everything an attempt works with. Nothing connects before `Workshop.open`.

    Raises:
        SettingsError: something that the settings name can't be used: a reasons file, a template, an address.
    """
    redis = open_redis(settings.redis_url_required)
    ledger = Ledger(redis, namespace=settings.namespace)
    limit = partial(Limits, redis, namespace=settings.namespace)
    limits = limit(name="partner", ceiling=settings.provider_rate)
    creates = settings.provider_concurrency
    sender = build_sender(settings)
    catalogue = settings.load_catalogue()
    return Shop(
        worker_id=worker_id,
        ledger=ledger,
        limits=limits,
        channel_limits={
            Channel.EMAIL: limit(name="email", ceiling=settings.email_rate),
            Channel.SMS: limit(name="sms", ceiling=settings.sms_rate),
        },
        partner=build_partner(settings, limits, TokenStore(redis, namespace=settings.namespace)),
        catalogue=catalogue,
        composer=build_composer(settings, sender),
        dispatchers=build_dispatchers(settings, sender, catalogue),
        bell=BrokerBell(broker),
        stats=Stats(),
        clock=SystemClock(),
        places=Places(
            creates=creates, live_only=max(1, creates // _LIVE_SHARE), mails=_MAIL_PLACES, texts=_TEXT_PLACES
        ),
        # Two beats may be missed before a lease runs out.
        heartbeat=Heartbeat(ledger, interval_s=settings.lease_s / 3),
        lease_s=settings.lease_s,
        call_timeout_s=settings.provider_timeout,
        resend_after_s=settings.doubt_grace_s,
    )


def duties_of(shop: Shop, settings: Settings) -> list[Duty]:
    """Return what a worker minds besides its attempts. The single ones call the partner or raise alarms."""
    feeder = Feeder(
        ledger=shop.ledger,
        limits=shop.limits,
        bell=shop.bell,
        bulk_places=shop.places.bulk_creates,
        token=shop.partner.token,
    )
    rescuer = Rescuer(
        ledger=shop.ledger,
        bell=shop.bell,
        stats=shop.stats,
        resend_after_s=settings.doubt_grace_s,
        invitation_wait_s=settings.invitation_wait,
    )
    lookup = LookUp(
        ledger=shop.ledger,
        limits=shop.limits,
        partner=shop.partner,
        bell=shop.bell,
        catalogue=shop.catalogue,
        stats=shop.stats,
        grace_s=settings.doubt_grace_s,
    )
    pruner = Pruner(
        ledger=shop.ledger,
        keep_s={
            JobState.FAILED: settings.failed_keep,
            JobState.DEAD: settings.dead_keep,
            JobState.CANCELLED: _KEEP_CANCELLED_S,
        },
    )
    watch = Watch(ledger=shop.ledger, limits=shop.limits, stats=shop.stats, dead_keep_s=settings.dead_keep)
    doubts_every_s = min(10.0, max(_LEAST_LOOK_UP_S, settings.doubt_grace_s / 3))
    return [
        Duty(name="feed", run_once=feeder.run_once, every_s=0.1),
        Duty(name="ring_messages", run_once=partial(handlers.ring_messages, shop), every_s=0.5),
        Duty(name="promote", run_once=rescuer.promote, every_s=0.25),
        Duty(name="rescue", run_once=rescuer.rescue, every_s=min(2.0, settings.lease_s / 4)),
        Duty(name="late_invitations", run_once=rescuer.send_late_invitations, every_s=2.0),
        Duty(name="token", run_once=shop.partner.token, every_s=5.0, is_single=True),
        Duty(name="look_up", run_once=lookup.run_once, every_s=doubts_every_s, is_single=True),
        Duty(name="release", run_once=lookup.release_registered, every_s=60.0, is_single=True),
        Duty(name="prune", run_once=pruner.run_once, every_s=60.0, is_single=True),
        Duty(name="watch", run_once=watch.run_once, every_s=2.0, is_single=True),
    ]


class BootFailedError(MiddlewareError):
    """The shop could not be opened; `__cause__` says why. Dramatiq lets no other kind of error end a boot."""


class StoppedError(Exception):
    """The worker was told to stop while it still waited for its ledger."""


class Workshop(Middleware):
    """Ties the shop's life to the Dramatiq worker's: opened before its threads, drained at shutdown, then closed."""

    def __init__(self, settings: Settings, *, stopped: threading.Event | None = None) -> None:
        self.settings = settings
        self._trades: Sequence[Trade] = ()
        self._stopped = stopped or threading.Event()
        self.worker_id = new_worker_id()
        self._shop: Shop | None = None
        self._minder: Minder | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def furnish(self, shop: Shop, trades: Sequence[Trade] = ()) -> None:
        """Take the shop that the actors on this broker work with, and the trades that are worked beside."""
        self._shop = shop
        self._trades = trades

    def before_worker_boot(self, _broker: Any, _worker: Any) -> None:
        """Open the shop on the event loop: an actor that ran before that would find no scripts and no session.

        Raises:
            BootFailedError: it can't be opened (SchemaMismatch), or StoppedError.
        """
        try:
            _on_loop(self._open())
        except Exception as exc:
            raise BootFailedError(str(exc)) from exc

    def after_worker_boot(self, _broker: Any, _worker: Any) -> None:
        """Say that work begins."""
        log.info("worker_started", worker_id=self.worker_id, pid=os.getpid())

    def before_worker_shutdown(self, _broker: Any, _worker: Any) -> None:
        """Claim no more; what runs is finished."""
        log.info("worker_draining", worker_id=self.worker_id)
        _on_loop(self._drain())

    def after_worker_shutdown(self, _broker: Any, _worker: Any) -> None:
        """Close what was opened."""
        _on_loop(self._close())
        log.info("worker_stopped", worker_id=self.worker_id)

    @property
    def shop(self) -> Shop:
        """Return the shop."""
        if self._shop is None:
            raise RuntimeError("the workshop was not furnished")
        return self._shop

    async def _open(self) -> None:
        shop = self.shop
        await _open_ledger(shop.ledger, self._stopped)
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
        duties += [duty for trade in self._trades for duty in trade.duties]
        self._minder = Minder(duties, ledger=shop.ledger, worker_id=self.worker_id)
        self._minder.start()
        self._tasks = [asyncio.create_task(shop.heartbeat.run()), asyncio.create_task(lag.watch())]

    async def _drain(self) -> None:
        self.shop.draining.set()
        if self._minder is not None:
            await self._minder.stop()

    async def _close(self) -> None:
        shop = self.shop
        await end_tasks(self._tasks)
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
        shop.bell.close()
        await shop.ledger.aclose()


async def _open_ledger(ledger: Ledger, stopped: threading.Event) -> None:
    # A worker that starts before its Redis waits for it; a ledger of a newer schema it must not touch.
    while not stopped.is_set():
        try:
            await ledger.open()
        except LedgerUnavailable as exc:
            log.warning("ledger_awaited", error=str(exc))
            await asyncio.sleep(_OPEN_WAIT_S)
        else:
            return
    raise StoppedError("stopped before the ledger answered")


def _on_loop(work: Awaitable[None]) -> None:
    thread = get_event_loop_thread()
    if thread is None:
        raise RuntimeError("the event loop thread is not running")
    thread.run_coroutine(work)


def build_broker(
    settings: Settings, *, stopped: threading.Event | None = None, trades: Trades = no_trades
) -> dramatiq.Broker:
    """Return the broker with its actors registered and the shop hung on its hooks.

    *stopped*, once set, ends the wait for a ledger that is away; *trades* bring work that is not the worker's own.

    Raises:
        SettingsError: something that the settings name can't be used.
    """
    workshop = Workshop(settings, stopped=stopped)
    try:
        broker = make_broker(
            settings.broker_url_effective, namespace=settings.namespace, middleware=[workshop]
        )
    except ValueError as exc:
        raise SettingsError(str(exc)) from exc
    shop = build_shop(settings, broker, worker_id=workshop.worker_id)
    brought = trades(shop)
    workshop.furnish(shop, brought)
    actors.register(broker, shop, brought)
    return broker


def run_worker(settings: Settings, *, trades: Trades = no_trades) -> None:
    """Run one worker process until SIGTERM or SIGINT; then finish what runs and return.

    Raises:
        SettingsError: something that the settings name can't be used.
        SchemaMismatch: the ledger was written by another version: nothing was touched.
    """
    stopped = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopped.set())
    broker = build_broker(settings, stopped=stopped, trades=trades)
    worker = dramatiq.Worker(broker, worker_threads=settings.worker_threads)
    try:
        worker.start()
    except BootFailedError as exc:
        if isinstance(exc.__cause__, StoppedError):
            log.info("worker_stopped")
            return
        raise (exc.__cause__ or exc) from None
    while not stopped.wait(_SIGNAL_LOOK_S):
        pass
    worker.stop(timeout=int((settings.provider_timeout + _DRAIN_MARGIN_S) * 1000))
    broker.close()


def main() -> None:
    """Run a worker with the environment's settings: what `linkferry worker` does, without the CLI around it."""
    settings = load_settings()
    configure_logging(settings.log_format)
    run_worker(settings)


if "dramatiq.cli" in sys.modules:
    # `dramatiq worker.main` only imports this module and then asks Dramatiq for the global broker.
    _settings = load_settings()
    configure_logging(_settings.log_format)
    dramatiq.set_broker(build_broker(_settings))
