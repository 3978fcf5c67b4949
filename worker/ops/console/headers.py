"""The headers of every page: nothing foreign runs in it, frames it, keeps it or learns of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.whence import whence

#: No inline code and no inline style: what a customer's name or a partner's answer smuggles into a page stays text.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # `no-referrer` would make our own forms send `Origin: null`.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Robots-Tag": "noindex, nofollow",
    # Numbers were perhaps revealed: the back button asks again.
    "Cache-Control": "no-store",
}
SERVER = "linkferry"  #: aiohttp would name itself and Python, with both versions
#: Set on a request whose answer has begun: it can only be ended now, not be replaced by another.
IS_BEGUN: web.RequestKey[bool] = web.RequestKey("console_answer_begun", bool)
_HSTS = "max-age=31536000"


def header_signal(deps: ConsoleDeps) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return what adds the headers to every response of the console, pages of errors and redirects too.

    A header that a handler has set itself stays.
    """

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        if deps.is_machine(request.path):
            return
        request[IS_BEGUN] = True
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["Server"] = SERVER
        if whence(request, deps.settings).is_https:
            response.headers.setdefault("Strict-Transport-Security", _HSTS)

    return add
