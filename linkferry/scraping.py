"""`/metrics`, and who may read it: what is near, and from anywhere else whoever shows an API key.

The figures name no customer, but tell how a business goes: how many wait, fail and finish. A proxy that passes the
whole host on, as it has to for the console, would tell everybody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from linkferry.session import Session
from producers.callers import Callers, unauthorized
from worker.ops.console.whence import Whence, whence
from worker.ops.metrics import metrics_text
from worker.settings import Settings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via")
_HOW = (
    "Through a proxy, or from another network, /metrics is for who sends `Authorization: Bearer <api key>`."
)


def metrics_of(session: Session, callers: Callers) -> Handler:
    """Return the handler of `/metrics`."""

    async def metrics(request: web.Request) -> web.Response:
        if not is_near(request, session.settings) and await callers.name_of(request) is None:
            return unauthorized(_HOW)
        text = await metrics_text(session.ledger, session.limits)
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    return metrics


def is_near(request: web.Request, settings: Settings) -> bool:
    """Tell whether *request* came straight from this machine or a private network, with no proxy in between."""
    came_by = whence(request, settings)
    is_forwarded = any(name in request.headers for name in _FORWARDED)
    return not is_forwarded and not _is_public_name(came_by, settings) and _is_private(came_by.address)


def _is_public_name(came_by: Whence, settings: Settings) -> bool:
    """Tell whether the request names the host of an https PUBLIC_URL, whose TLS ends in a proxy."""
    public = urlsplit(settings.public_url or "")
    return public.scheme == "https" and came_by.host.removesuffix(
        ":443"
    ) == public.netloc.lower().removesuffix(":443")


def _is_private(address: str) -> bool:
    try:
        return not ip_address(address).is_global
    except ValueError:  # a unix socket has no address
        return True
