"""`linkferry web`: the HTTP server, assembled from the producers' routes and the metrics."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from aiohttp import web

from linkferry.frame import USAGE, CommandError
from linkferry.hints import as_typed
from linkferry.session import Session
from linkferry.supervisor import watch_supervisor
from producers.api import ApiDeps, build_api
from producers.crm.config import crm_path, load_crms
from producers.crm.receiver import CrmDeps, crm_routes
from producers.problems import problem_middleware
from worker.ledger import Ledger, LedgerFull, LedgerUnavailable, open_redis
from worker.limits import Limits
from worker.ops.metrics import metrics_text
from worker.settings import Settings
from worker.telemetry import Stats, configure_logging

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

WEB_STARTED = "web_started"  #: logged when it listens; `up` waits for it
_ABOUT = """\
Linkferry: ferries onboarding links from the partner API to customers.

/openapi.json     the HTTP API, described; requests go to POST /v1/onboardings with a key (linkferry key add NAME)
/healthz          answers while this process lives
/readyz           answers 200 while it can take requests
/metrics          the whole fleet's numbers, for Prometheus

People use the command line: linkferry status, linkferry --help
"""
_SHUTDOWN_S = 10.0  # requests that are being answered may take this long to end
_MOST_BODY_BYTES = 2 << 20  # the routes' own limits are what callers hear of; this one is a backstop
_FLUSH_EVERY_S = 1.0


def build_app(session: Session) -> web.Application:
    """Return the application that answers for *session*; raises SettingsError where a CRM's settings are wrong."""
    settings = session.settings
    app = web.Application(middlewares=[problem_middleware], client_max_size=_MOST_BODY_BYTES)
    deps = ApiDeps(
        door=session.door(),
        ledger=session.ledger,
        catalogue=session.catalogue,
        bootstrap_keys=[key.get_secret_value() for key in settings.api_keys],
    )
    app.add_routes(build_api(deps))
    add_crms(app, session)
    app.add_routes([web.get("/", _about_of(settings)), web.get("/metrics", _metrics_of(session))])
    return app


def add_crms(app: web.Application, session: Session) -> None:
    """Add the routes of the CRMs that are on, and what hands their counters to the ledger; raises SettingsError."""
    settings, stats = session.settings, Stats()
    crms = load_crms(settings)
    deps = CrmDeps(
        crms=crms,
        paths={name: crm_path(settings, name) or "" for name in crms},
        intake=session.ledger.intake,
        bell=session.bell,
        stats=stats,
        max_waiting=settings.max_waiting,
    )
    app.add_routes(crm_routes(deps))

    async def counted(_app: web.Application) -> AsyncIterator[None]:
        flushing = asyncio.create_task(_flush(stats, session.ledger))
        yield
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)
        await _flush_once(stats, session.ledger)
        for crm in crms.values():
            await crm.aclose()

    app.cleanup_ctx.append(counted)


async def _flush(stats: Stats, ledger: Ledger) -> None:
    while True:
        await asyncio.sleep(_FLUSH_EVERY_S)
        await _flush_once(stats, ledger)


async def _flush_once(stats: Stats, ledger: Ledger) -> None:
    with contextlib.suppress(LedgerUnavailable, LedgerFull):  # kept for the next time
        await stats.flush(ledger.fleet)


def run(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM, then answer what is being answered and stop; return the exit code."""
    configure_logging(settings.log_format)
    with contextlib.suppress(ImportError):
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(settings))
    return asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watch_supervisor()
    redis = open_redis(settings.redis_url_required)
    session = Session(
        settings=settings,
        ledger=Ledger(redis, namespace=settings.namespace),
        limits=Limits(redis, namespace=settings.namespace, name="partner", ceiling=settings.provider_rate),
        catalogue=settings.load_catalogue(),
    )
    runner = web.AppRunner(
        build_app(session), access_log=None, shutdown_timeout=_SHUTDOWN_S, auto_decompress=False
    )
    try:
        await _open_when_there(session.ledger)
        await runner.setup()
        await _listen(runner, settings)
        log.info(WEB_STARTED, port=settings.web_port)
        await stop.wait()
    finally:
        await runner.cleanup()
        session.close()
        await redis.aclose()
    log.info("web_stopped")
    return 0


async def _open_when_there(ledger: Ledger) -> None:
    """Load the scripts now where Redis answers; where it does not, requests get 503 until it does."""
    try:
        await ledger.open()
    except LedgerUnavailable as exc:
        log.warning("ledger_unavailable", error=type(exc).__name__)


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    try:
        await web.TCPSite(runner, settings.web_host, settings.web_port).start()
    except OSError as exc:
        message = (
            f"Cannot listen on {settings.web_host}:{settings.web_port} ({exc.strerror}). Is it taken? "
            "Set LINKFERRY_WEB_PORT or LINKFERRY_WEB_HOST."
        )
        raise CommandError(message, exit_code=USAGE) from exc


def _about_of(settings: Settings) -> Handler:
    text = as_typed(_ABOUT, is_sandbox=settings.is_sandbox, by="linkferry")

    async def about(_request: web.Request) -> web.Response:
        return web.Response(text=text)

    return about


def _metrics_of(session: Session) -> Handler:
    async def metrics(_request: web.Request) -> web.Response:
        text = await metrics_text(session.ledger, session.limits)
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    return metrics
