"""The browser's side of a session: its cookie, and who stands behind it."""

from __future__ import annotations

import secrets

from aiohttp import web

from worker.ledger.sessions import digest_of
from worker.ops.console.csrf import LOGIN_COOKIE, token_of
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.roles import SignedIn

#: `__Host-`: browsers take it only with Secure, for this very host and for all of its paths. Lax and not Strict, so
#: that a link in an alert leads to its page and not to the sign-in.
SESSION_COOKIE = "__Host-linkferry"
#: Tells a browser in which somebody signed in before; it opens nothing, see `throttle`. Only our own forms send it.
DEVICE_COOKIE = "__Host-linkferry-device"
#: What htmx asks for by itself (`hx-headers='{"X-Poll": "1"}'`) is no sign that somebody sits there.
POLL_HEADER = "X-Poll"
_ID_BYTES = 32
_ID_LETTERS = 43  # of 32 bytes in base 64


def new_session_id() -> str:
    """Return an id that nobody will guess: 256 random bits."""
    return secrets.token_urlsafe(_ID_BYTES)


def session_id_of(request: web.Request) -> str | None:
    """Return the id in the request's cookie, None where there is none that could be ours."""
    found = request.cookies.get(SESSION_COOKIE, "")
    return found if len(found) == _ID_LETTERS else None


def device_of(request: web.Request) -> str | None:
    """Return what tells the browser from others, None where it was never told."""
    found = request.cookies.get(DEVICE_COOKIE, "")
    return found if len(found) == _ID_LETTERS else None


async def who_is_it(request: web.Request, deps: ConsoleDeps, *, is_active: bool = True) -> SignedIn | None:
    """Return who sent the request, None without a living session; raises LedgerUnavailable, LedgerFull.

    Where it *is_active*, that somebody sits there keeps the session alive; what a page asks for by itself never does.
    """
    session_id = session_id_of(request)
    if session_id is None:
        return None
    settings = deps.settings
    found = await deps.ledger.sessions.read(
        session_id,
        idle_s=settings.console_idle_s,
        length_s=settings.console_session_s,
        is_active=is_active and POLL_HEADER not in request.headers,
    )
    if found is None:
        return None
    return SignedIn(
        name=found.name,
        role=found.role,
        csrf=token_of(session_id),
        session=digest_of(session_id),
        language=found.language,
        theme=found.theme,
    )


def give_session(response: web.StreamResponse, session_id: str) -> None:
    """Let the browser keep a session's id until it is closed; the sign-in form's own secret has served."""
    _set(response, SESSION_COOKIE, session_id)
    _drop(response, LOGIN_COOKIE)


def give_device(response: web.StreamResponse, device: str, *, for_s: float) -> None:
    """Let the browser keep what tells it from others, for so long from now on."""
    response.set_cookie(
        DEVICE_COOKIE, device, max_age=round(for_s), path="/", secure=True, httponly=True, samesite="Strict"
    )


def take_session(response: web.StreamResponse) -> None:
    """Let the browser forget its session's id."""
    _drop(response, SESSION_COOKIE)


def give_login_secret(response: web.StreamResponse, secret: str) -> None:
    """Let the browser keep what guards the sign-in form."""
    _set(response, LOGIN_COOKIE, secret)


def _set(response: web.StreamResponse, name: str, value: str) -> None:
    response.set_cookie(name, value, path="/", secure=True, httponly=True, samesite="Lax")


def _drop(response: web.StreamResponse, name: str) -> None:
    response.del_cookie(name, path="/", secure=True, httponly=True, samesite="Lax")
