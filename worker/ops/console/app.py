"""The console, assembled: every page module's routes behind one gate, one set of headers and one kind of error page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

from aiohttp import web

from worker.ops.console import (
    pages_account,
    pages_acts,
    pages_alerts,
    pages_audit,
    pages_batches,
    pages_brands,
    pages_customers,
    pages_dead,
    pages_edit,
    pages_export,
    pages_forget,
    pages_groups,
    pages_holds,
    pages_job_acts,
    pages_jobs,
    pages_keys,
    pages_login,
    pages_mailbox,
    pages_overview,
    pages_replace,
    pages_static,
    pages_suppressed,
    pages_teach,
    pages_users,
    pages_watch,
)
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.gate import access_of, gate_middleware
from worker.ops.console.headers import header_signal
from worker.ops.console.nav import nav_counts
from worker.ops.console.pages_errors import error_middleware
from worker.ops.console.view import VIEW, View, preferences_middleware

#: Every module of pages: its `routes(deps)` are the console's. A new one is added here, a line each.
PAGES: tuple[Callable[[ConsoleDeps], Iterable[web.RouteDef]], ...] = (
    pages_static.routes,
    pages_overview.routes,
    pages_groups.routes,
    pages_jobs.routes,
    pages_customers.routes,
    pages_watch.routes,
    pages_suppressed.routes,
    pages_forget.routes,
    pages_acts.routes,
    pages_job_acts.routes,
    pages_edit.routes,
    pages_replace.routes,
    pages_teach.routes,
    pages_dead.routes,
    pages_export.routes,
    pages_batches.routes,
    pages_holds.routes,
    pages_alerts.routes,
    pages_audit.routes,
    pages_mailbox.routes,
    pages_brands.routes,
    pages_login.routes,
    pages_account.routes,
    pages_users.routes,
    pages_keys.routes,
)


class UngatedRouteError(Exception):
    """A route does not say who may use it: the console does not start."""


def console_routes(deps: ConsoleDeps) -> list[web.RouteDef]:
    """Return every route of the console.

    Raises:
        UngatedRouteError: a handler is declared neither by `requires` nor by `public`.
    """
    routes = [route for pages in PAGES for route in pages(deps)]
    for route in routes:
        if access_of(route.handler) is None:
            message = (
                f"{route.method} {route.path}: decorate its handler with requires(Role…) of console.gate"
            )
            raise UngatedRouteError(message)
    return routes


def console_middlewares(deps: ConsoleDeps, before_gate: Sequence[Any] = ()) -> list[Any]:
    """Return the console's middlewares, the outermost first; they let machines' paths pass untouched."""
    return [error_middleware(deps), preferences_middleware, *before_gate, gate_middleware(deps)]


def add_console(app: web.Application, deps: ConsoleDeps, *, before_gate: Sequence[Any] = ()) -> None:
    """Add the console to *app*, whose own routes have to be under `deps.machine_paths`; raises UngatedRouteError.

    *before_gate*: middlewares of the app whose errors become pages, and that run before the ledger is asked who it is.
    """
    app[VIEW] = View(
        is_sandbox=deps.settings.is_sandbox,
        clock=deps.clock,
        counts=partial(nav_counts, deps.ledger),
        as_typed=deps.as_typed,
    )
    app.on_response_prepare.append(header_signal(deps))
    app.middlewares.extend(console_middlewares(deps, before_gate))
    app.add_routes(console_routes(deps))
    app.on_cleanup.append(_closing(deps))


def _closing(deps: ConsoleDeps) -> Callable[[web.Application], Awaitable[None]]:
    async def close(_app: web.Application) -> None:
        await deps.freezing.aclose()

    return close
