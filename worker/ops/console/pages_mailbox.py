"""`/mailbox`, in the sandbox only: what customers would have got, as they would have seen it.

A mail's HTML is shown in a frame that its own headers lock up: no script, no form, nothing fetched, an origin of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from worker.domain.roles import Role
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.gate import requires
from worker.ops.console.headers import CONTENT_SECURITY_POLICY
from worker.ops.console.view import render, wants_fragment
from worker.partner.sandbox.outbox import Captured
from worker.partner.sandbox.reader import (
    CapturedPage,
    OutboxUnavailableError,
    read_message,
    read_outbox,
)
from worker.settings import SettingsError

_SHOWN = 100
_KINDS = frozenset({"mail", "sms"})
_LONGEST = 320
_FRAMING = f"{CONTENT_SECURITY_POLICY}; frame-src 'self'"
#: Of the mail in its frame: `sandbox` without a word takes scripts, forms and its origin away.
_FRAMED = "sandbox allow-popups; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"
_EMPTY = CapturedPage(items=(), total=0)


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of the mailbox; none outside the sandbox."""
    if not deps.settings.is_sandbox:
        return []
    pages = MailboxPages(deps)
    return [
        web.get("/mailbox", pages.list),
        web.get(r"/mailbox/{message_id:\d{1,12}}", pages.show),
        web.get(r"/mailbox/{message_id:\d{1,12}}/html", pages.html),
    ]


class MailboxPages:
    """The captured outbox."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._settings = deps.settings

    @requires(Role.VIEWER)
    async def list(self, request: web.Request) -> web.StreamResponse:
        """Answer with the newest messages, or with their living part where htmx asks for it again."""
        kind = request.query.get("kind")
        to = request.query.get("to", "").strip()[:_LONGEST]
        found, is_there = _EMPTY, True
        try:
            found = await read_outbox(
                self._url(), kind=kind if kind in _KINDS else None, to=to or None, limit=_SHOWN
            )
        except (OutboxUnavailableError, SettingsError):
            is_there = False
        context: dict[str, Any] = {
            "messages": [_view(each) for each in found.items],
            "total": found.total,
            "kind": kind if kind in _KINDS else None,
            "to": to,
            "is_there": is_there,
        }
        return await render(
            request, "mailbox_live.html" if wants_fragment(request) else "mailbox.html", **context
        )

    @requires(Role.VIEWER)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer with one message."""
        message = await self._message(request)
        answer = await render(request, "mail.html", message={**_view(message), "headers": message.headers})
        answer.headers["Content-Security-Policy"] = _FRAMING
        return answer

    @requires(Role.VIEWER)
    async def html(self, request: web.Request) -> web.StreamResponse:
        """Answer with a mail's HTML, for the frame on its page."""
        message = await self._message(request)
        headers = {"Content-Security-Policy": _FRAMED, "X-Frame-Options": "SAMEORIGIN"}
        return web.Response(text=_framed(message.html), content_type="text/html", headers=headers)

    async def _message(self, request: web.Request) -> Captured:
        try:
            message = await read_message(self._url(), request.match_info["message_id"])
        except (OutboxUnavailableError, SettingsError):
            raise web.HTTPNotFound from None
        if message is None:
            raise web.HTTPNotFound
        return message

    def _url(self) -> str:
        return self._settings.sandbox_address.url


def _view(message: Captured) -> dict[str, Any]:
    at = datetime.fromtimestamp(message.at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "id": message.id,
        "kind": message.kind,
        "at": at,
        "sender": message.sender,
        "to": message.to,
        "subject": message.subject,
        "text": message.text,
        "has_html": bool(message.html),
        "note": message.note,
    }


def _framed(html: str) -> str:
    """Return a mail's HTML whose links open in a window of their own: the frame takes nobody anywhere."""
    return f'<!doctype html><base target="_blank">{html.removeprefix("<!doctype html>")}'
