"""Builds the shop once and runs a worker: `linkferry worker`, or `dramatiq worker.main` for those who prefer it.

The latter brings no trades: it does all that the worker itself knows, and leaves CRMs to others.

The shop's life hangs on Dramatiq's own hooks, so both commands go the same way: it opens on the event loop before the
first actor can run, stops claiming when the worker is told to stop, and closes when the last attempt has ended.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial

import dramatiq

from worker import actors
from worker.broker import BrokerBell, DoorbellBroker, make_broker
from worker.clock import Clock, SystemClock
from worker.dispatch import (
    BadTemplateError,
    Composer,
    MailDispatcher,
    RecipientAllowlist,
    Sender,
    SmsDispatcher,
    make_provider,
)
from worker.dispatch.alerts import AlertSink, MailAlerts, WebhookAlerts
from worker.dispatch.compose_trial import prove
from worker.dispatch.webhook import WebhookSink
from worker.domain.brand import Brand, LiveBrands, brand_from_settings
from worker.domain.outgoing import SinkPlan
from worker.domain.reasons import Catalogue
from worker.domain.send_window import SendWindow
from worker.domain.send_window_syntax import is_off
from worker.domain.states import Channel, Lane
from worker.engine import LoopWorker
from worker.execution.heartbeat import Heartbeat
from worker.execution.shop import Dispatcher, Places, Shop
from worker.execution.tell import WEBHOOK, tell_trade
from worker.execution.trade import Outlet, Trade, Trades, no_trades
from worker.ledger import Ledger, open_redis
from worker.limits import Closed, Limits, TokenStore
from worker.partner import PartnerClient, TokenKeeper
from worker.settings import Settings, SettingsError, load_settings
from worker.telemetry import Stats, configure_logging, log
from worker.workshop import BootFailedError, StoppedError, Workshop

#: Stopping waits this long beyond the longest call for attempts to end.
_DRAIN_MARGIN_S = 15.0
#: The main thread looks up this often: a signal that another thread received runs its handler only then.
_SIGNAL_LOOK_S = 0.5
#: Of a worker's create places, these are the live lane's alone: one in four.
_LIVE_SHARE = 4
_MAIL_PLACES = 16
_TEXT_PLACES = 8
ALERTS_NEED_MAIL = (
    "LINKFERRY_ALERT_EMAIL needs LINKFERRY_SMTP_URL and LINKFERRY_EMAIL_FROM, by which the mails are sent: "
    "set both, or unset it."
)


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
    """Return who messages come from. Raises SettingsError for EMAIL_FROM or MAIL_REPLY_TO without a usable address."""
    address = settings.email_from or f"{settings.brand_name or 'Linkferry'} <nobody@linkferry.invalid>"
    try:
        return Sender.parse(address, brand_name=settings.brand_name, reply_to=settings.mail_reply_to)
    except ValueError as exc:
        raise SettingsError(f"LINKFERRY_{exc}") from exc


def own_brand(settings: Settings) -> Brand:
    """Return the brand that the settings make; raises SettingsError for an EMAIL_FROM without a usable address."""
    sender = build_sender(settings)
    return brand_from_settings(
        brand_name=sender.brand_name, reply_to=sender.reply_to, sms_sender=settings.sms_from
    )


def build_composer(settings: Settings, sender: Sender) -> Composer:
    """Return what writes the messages. Raises SettingsError for templates that can't serve."""
    try:
        allowlist = RecipientAllowlist(settings.recipient_allowlist)
        composer = Composer(settings.templates_dir, sender=sender, allowlist=allowlist)
        prove(composer)
    except (OSError, BadTemplateError) as exc:
        raise SettingsError(f"LINKFERRY_TEMPLATES_DIR: {exc}") from exc
    return composer


def build_window(settings: Settings) -> SendWindow | None:
    """Return when messages may go out, or None for always. Raises SettingsError for one that makes no sense."""
    if is_off(settings.send_window):
        return None
    try:
        return SendWindow.parse(settings.send_window)
    except ValueError as exc:  # checked when the settings were read, and changed since
        raise SettingsError(f"LINKFERRY_SEND_WINDOW {exc}") from exc


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


def require_mail_for_alerts(settings: Settings) -> None:
    """Refuse alerts by e-mail that nothing could send; who only looks things up need not ask.

    Raises:
        SettingsError: ALERT_EMAIL is set without SMTP_URL and EMAIL_FROM.
    """
    if settings.alert_email and not settings.has_smtp:
        raise SettingsError(ALERTS_NEED_MAIL)


def build_alert_sinks(settings: Settings, sender: Sender, clock: Clock) -> list[AlertSink]:
    """Return who hears of what is wrong; in the sandbox mails are captured and nothing is posted.

    Raises:
        SettingsError: SMTP_URL makes no sense, or there is nothing to mail alerts by.
    """
    require_mail_for_alerts(settings)
    sinks: list[AlertSink] = []
    if settings.alert_url is not None:
        sinks.append(WebhookAlerts(settings.alert_url, settings.alert_secrets, clock=clock))
    if not settings.alert_email or settings.smtp_url is None:
        return sinks
    smtp_url = settings.smtp_url.get_secret_value()
    try:
        return [*sinks, *(MailAlerts(smtp_url, sender, address) for address in settings.alert_email)]
    except ValueError as exc:
        raise SettingsError(f"LINKFERRY_SMTP_URL: {exc}") from exc


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
    catalogue, clock = settings.load_catalogue(), SystemClock()
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
        brands=LiveBrands(partial(own_brand, settings)),
        dispatchers=build_dispatchers(settings, sender, catalogue),
        bell=BrokerBell(broker),
        stats=Stats(),
        clock=clock,
        alert_sinks=build_alert_sinks(settings, sender, clock),
        places=Places(
            creates=creates, live_only=max(1, creates // _LIVE_SHARE), mails=_MAIL_PLACES, texts=_TEXT_PLACES
        ),
        # Two beats may be missed before a lease runs out.
        heartbeat=Heartbeat(ledger, interval_s=settings.lease_s / 3),
        window=build_window(settings),
        is_live_exempt=settings.send_window_live,
        lease_s=settings.lease_s,
        call_timeout_s=settings.provider_timeout,
        resend_after_s=settings.doubt_grace_s,
        doubt_grace_s=settings.doubt_grace_s,
    )


def build_outlets(settings: Settings, shop: Shop, trades: Sequence[Trade] = ()) -> list[Outlet]:
    """Return where our own events are told: EVENTS_URL, and what *trades* bring. Nowhere in the sandbox."""
    if settings.is_sandbox:
        return []
    outlets = [outlet for trade in trades for outlet in trade.outlets]
    if settings.events_url is not None:
        sink = WebhookSink(settings.events_url, settings.events_secrets, clock=shop.clock)
        outlets.insert(0, Outlet(plan=SinkPlan(name=WEBHOOK, mark=sink.mark), sink=sink))
    return outlets


def build_broker(
    settings: Settings, *, stopped: threading.Event | None = None, trades: Trades = no_trades
) -> dramatiq.Broker:
    """Return the broker with its actors registered and the shop hung on its hooks.

    *stopped*, once set, ends the wait for a ledger that is away; *trades* bring work that is not the worker's own. A
    worker that brings none decides about EVENTS_URL only: the sinks that others have switched on stay on.

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
    brought = [*trades(shop)]
    outlets = build_outlets(settings, shop, brought)
    if outlets:
        brought.append(tell_trade(shop, outlets))
    # Without trades nobody here knows what CRMs are told: of another process's sinks none may be switched off.
    decides = (WEBHOOK,) if trades is no_trades else None
    workshop.furnish(shop, brought, sinks=[outlet.plan for outlet in outlets], decides=decides)
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
    worker = _engine(broker, at_once=settings.worker_concurrency)
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


def _engine(broker: dramatiq.Broker, *, at_once: int) -> LoopWorker | dramatiq.Worker:
    if isinstance(broker, DoorbellBroker):
        return LoopWorker(broker, at_once=at_once)
    return dramatiq.Worker(broker, worker_threads=at_once)


def main() -> None:
    """Run a worker with the environment's settings: `linkferry worker` without the CLI around it and without CRMs.

    What CRMs told of is left alone, and so is what they are told: that is for a `linkferry worker`.
    """
    settings = load_settings()
    configure_logging(settings.log_format)
    run_worker(settings)


if "dramatiq.cli" in sys.modules:
    # `dramatiq worker.main` only imports this module and then asks Dramatiq for the global broker.
    _settings = load_settings()
    configure_logging(_settings.log_format)
    dramatiq.set_broker(build_broker(_settings))
