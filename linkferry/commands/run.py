"""`linkferry demo`, `up`, `web`, `worker`, `sandbox`: what runs."""

from __future__ import annotations

import asyncio
import gc
import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from linkferry import frame
from linkferry.frame import USAGE, CommandError, command, complain

if TYPE_CHECKING:
    from worker.settings import Settings

#: Objects made before garbage is looked for, once a process is up. A command's start looks for none; but what is left of
#: a refused request holds up to 200 KB of its body, and would wait for some thousand others.
_GARBAGE_EVERY = 5_000


def register(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    for run in (demo, up, web, worker, sandbox):
        command(app, run.__name__, has_json=False)(run)


def demo(
    is_kept: Annotated[
        bool, typer.Option("--keep", help="Keep it running afterwards, to look around.")
    ] = False,
) -> int:
    """Show all of it in a minute, on this machine alone: nothing reaches a real customer.

    Brings up everything in the sandbox, backfills a list of some 200 customers, adds live ones, and tells what
    became of each.
    """
    from linkferry.demo import run

    return run(keep=is_kept) or 0


def up() -> int:
    """Run everything on this machine: web, workers, and a Valkey where none is named.

    Example: `linkferry up --sandbox` tries it out; `linkferry up` is for real. Stop with Ctrl-C.
    """
    from linkferry import up
    from producers.crm.config import load_crms
    from worker.main import require_mail_for_alerts

    settings = _known_settings()
    # Refused here and once, not by each of the processes that it would start.
    load_crms(settings)
    require_mail_for_alerts(settings)
    _stay()
    return up.run(settings)


def web() -> int:
    """Run the HTTP server alone: the API, /metrics, /healthz. Needs REDIS_URL."""
    from linkferry import web

    settings = _with_redis(_known_settings())
    _load_ledger()
    _stay()
    return web.run(settings)


def worker() -> int:
    """Run one worker process alone. Needs REDIS_URL; run as many as you like, anywhere."""
    from linkferry.supervisor import watch_supervisor
    from linkferry.trades import crm_trade
    from worker.main import require_mail_for_alerts, run_worker
    from worker.telemetry import configure_logging

    settings = _with_redis(_known_settings())
    require_mail_for_alerts(settings)
    configure_logging(settings.log_format)
    watch_supervisor()
    _load_ledger()
    _stay()
    run_worker(settings, trades=crm_trade(settings))
    return 0


def sandbox() -> int:
    """Run the stand-in partner alone, with its outbox of captured mails and texts."""
    from linkferry.sandbox import run
    from worker.settings import load_settings

    settings = load_settings(sandbox=True)
    _stay()
    return asyncio.run(run(settings))


def _load_ledger() -> None:
    """Load all parts of the ledger: one that is first asked for after an upgrade's files came would be of that version."""
    from worker import ledger

    for part in pkgutil.iter_modules(ledger.__path__, f"{ledger.__name__}."):
        import_module(part.name)


def _stay() -> None:
    """Clear up often from now on, as a process has to that is there for months; what its start made stays anyway."""
    gc.freeze()
    gc.set_threshold(_GARBAGE_EVERY, 10, 10)


def _known_settings() -> Settings:
    """Read the settings, and name in one line those written that mean nothing to us."""
    from linkferry.supervisor import is_supervised
    from worker.settings import unknown_names

    settings = frame.settings()
    if not is_supervised() and (names := unknown_names()):
        complain(f"No setting of Linkferry: {', '.join(names)}. Remove it, or see `linkferry config`.")
    return settings


def _with_redis(settings: Settings) -> Settings:
    if settings.redis_url is None:
        message = (
            "LINKFERRY_REDIS_URL is not set. Name a Redis or Valkey, or use `linkferry up`, which brings one."
        )
        raise CommandError(message, exit_code=USAGE)
    return settings
