"""`linkferry web`: the HTTP server, assembled from the producers' routes and the metrics."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from linkferry import doctor_console
from linkferry.frame import USAGE, CommandError
from linkferry.hints import as_typed
from linkferry.listening import add_machine_headers, listen
from linkferry.opening import Opening, opening_middleware
from linkferry.scraping import metrics_of
from linkferry.session import Session
from linkferry.supervisor import watch_supervisor
from producers.api import ApiDeps, build_api
from producers.callers import Callers
from producers.crm.config import crm_path, load_crms
from producers.crm.receiver import CrmDeps, crm_routes
from producers.problems import MACHINE_PATHS, problem_middleware
from producers.provider_webhook import Senders, WebhookDeps, provider_routes
from worker.ledger import Ledger, LedgerFull, LedgerUnavailable, open_redis
from worker.limits import Limits
from worker.ops.console.app import add_console
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.whence import whence
from worker.settings import Settings
from worker.telemetry import Stats, configure_logging, log

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FIRST_USER = "linkferry user add admin --role admin --generate"  #: how the console's first account is made
WEB_STARTED = "web_started"  #: logged when it listens; `up` waits for it
_ABOUT = """\
Linkferry: ferries onboarding links from the partner API to customers.

/openapi.json     the HTTP API, described; requests go to POST /v1/onboardings with a key (linkferry key add NAME)
/healthz          answers while this process lives
/readyz           answers 200 while it can take requests
/metrics          the whole fleet's numbers, for Prometheus (through a proxy: with a key)

People open this address in a browser (accounts: linkferry user add NAME), or use the command line: linkferry status
"""
_SHUTDOWN_S = 10.0  # requests that are being answered may take this long to end
_MOST_BODY_BYTES = 2 << 20  # the routes' own limits are what callers hear of; this one is a backstop
_FLUSH_EVERY_S = 1.0
_LEARN_EVERY_S = 2.0


def build_app(session: Session, opening: Opening | None = None) -> web.Application:
    """Return the application that answers for *session*, whose ledger is open or which *opening* is to open.

    Raises:
        SettingsError: a CRM's settings are wrong.
    """
    settings, opening = session.settings, opening or Opening(session.ledger, is_open=True)
    middlewares = [problem_middleware, _about_of(settings)]
    app = web.Application(middlewares=middlewares, client_max_size=_MOST_BODY_BYTES)
    add_api(app, session, opening)
    add_crms(app, session, opening)
    add_partner_webhook(app, session, opening)
    app.cleanup_ctx.append(_following_lessons(session, opening))
    app.on_response_prepare.append(add_machine_headers)
    add_console(app, console_deps(session), before_gate=[opening_middleware(opening)])
    return app


def console_deps(session: Session) -> ConsoleDeps:
    """Return what the console works with."""
    settings = session.settings
    return ConsoleDeps(
        settings=settings,
        ledger=session.ledger,
        limits=session.limits,
        catalogue=session.catalogue,
        brands=session.brands,
        bell=session.bell,
        ask_partner=session.ask_partner if settings.has_credentials else None,
        machine_paths=MACHINE_PATHS,
        first_user=as_typed(FIRST_USER, is_sandbox=settings.is_sandbox, by="linkferry"),
        as_typed=lambda text: as_typed(text, is_sandbox=settings.is_sandbox, by="linkferry"),
    )


def add_api(app: web.Application, session: Session, opening: Opening) -> None:
    """Add the routes of the API and of the metrics, and what hands their counters to the ledger."""
    stats = Stats()
    keys = [key.get_secret_value() for key in session.settings.api_keys]
    callers = Callers(session.ledger.keys_of_api, keys, stats=stats)
    deps = ApiDeps(door=session.door(), ledger=session.ledger, catalogue=session.catalogue, callers=callers)
    app.add_routes(build_api(deps))
    app.add_routes([web.get("/metrics", metrics_of(session, callers))])
    app.cleanup_ctx.append(_counting(stats, session, opening))


def add_crms(app: web.Application, session: Session, opening: Opening) -> None:
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

    async def closing(_app: web.Application) -> AsyncIterator[None]:
        yield
        for crm in crms.values():
            await crm.aclose()

    app.cleanup_ctx.append(closing)
    app.cleanup_ctx.append(_counting(stats, session, opening))


def add_partner_webhook(app: web.Application, session: Session, opening: Opening) -> None:
    """Add the route that the partner reports completions to; without PROVIDER_WEBHOOK_SECRET nothing is at it."""
    settings, stats = session.settings, Stats()
    secret = settings.provider_webhook_secret
    # In the sandbox the partner is this machine.
    here = ("127.0.0.0/8", "::1") if settings.is_sandbox else ()
    deps = WebhookDeps(
        secret=None if secret is None else secret.get_secret_value(),
        senders=Senders((*settings.provider_webhook_from, *here), has_proxies=bool(settings.trusted_proxies)),
        address_of=lambda request: whence(request, settings).address,
        intake=session.ledger.intake,
        notebook=session.ledger.completing,
        stats=stats,
        max_waiting=settings.max_waiting,
        is_forwarding=settings.forward_url is not None,
    )
    app.add_routes(provider_routes(deps))
    app.cleanup_ctx.append(_counting(stats, session, opening))


def _counting(
    stats: Stats, session: Session, opening: Opening
) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return what hands counters to the ledger while the server runs, and at its end."""

    async def counted(_app: web.Application) -> AsyncIterator[None]:
        flushing = asyncio.create_task(_flush(stats, session.ledger, opening))
        yield
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)
        if opening.is_open:
            await _flush_once(stats, session.ledger)

    return counted


def _following_lessons(
    session: Session, opening: Opening
) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return what takes up the lessons and brands that operators keep, while the server runs."""

    async def follow() -> None:
        await opening.wait()
        while True:
            with contextlib.suppress(LedgerUnavailable, LedgerFull):  # it stays as it is until Redis answers
                await session.ledger.taught.refresh(session.catalogue)
                await session.ledger.brands.refresh(session.brands)
            await asyncio.sleep(_LEARN_EVERY_S)

    async def following(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(follow())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    return following


async def _flush(stats: Stats, ledger: Ledger, opening: Opening) -> None:
    await opening.wait()
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
    opening = Opening(session.ledger)
    runner = web.AppRunner(build_app(session, opening), shutdown_timeout=_SHUTDOWN_S)
    listener: asyncio.Server | None = None
    try:
        # A newer ledger ends us here; where Redis is away, we listen and answer 503 until it is there.
        await opening.attempt()
        await runner.setup()
        listener = await _listen(runner, settings)
        log.info(WEB_STARTED, port=settings.web_port)
        if doctor_console.is_open_without_tls(settings):
            log.warning("console_without_tls", remedy="linkferry doctor")
        await opening.until(stop)
    finally:
        if listener is not None:
            listener.close()
        await runner.cleanup()
        await session.aclose()
        await redis.aclose()
    log.info("web_stopped")
    return 0


async def _listen(runner: web.AppRunner, settings: Settings) -> asyncio.Server:
    try:
        return await listen(runner, settings.web_host, settings.web_port)
    except OSError as exc:
        message = (
            f"Cannot listen on {settings.web_host}:{settings.web_port} ({exc.strerror}). Is it taken? "
            "Set LINKFERRY_WEB_PORT or LINKFERRY_WEB_HOST."
        )
        raise CommandError(message, exit_code=USAGE) from exc


def _about_of(settings: Settings) -> Middleware:
    """Return what tells a program that asks for `/` what there is; a browser gets the console."""
    text = as_typed(_ABOUT, is_sandbox=settings.is_sandbox, by="linkferry")

    @web.middleware
    async def about(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers
        is_program = "text/html" not in headers.get("Accept", "") and "HX-Request" not in headers
        if request.path == "/" and request.method in {"GET", "HEAD"} and is_program:
            return web.Response(text=text)
        return await handler(request)

    return about
