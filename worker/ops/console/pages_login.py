"""The way in and out: the sign-in page, signing in, signing out."""

from __future__ import annotations

import math
from collections.abc import Iterable

from aiohttp import web

from worker.ops.accounts import read_name
from worker.ops.console.csrf import check_token, login_token
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.errors import StaleTokenError
from worker.ops.console.forms import read_form
from worker.ops.console.gate import operator_of, public, requires, unguarded
from worker.ops.console.i18n import N_
from worker.ops.console.roles import Role
from worker.ops.console.sessions import (
    device_of,
    give_device,
    give_login_secret,
    give_session,
    new_session_id,
    session_id_of,
    take_session,
    who_is_it,
)
from worker.ops.console.throttle import KNOWN_FOR_S, Throttle, Try
from worker.ops.console.view import render
from worker.ops.console.whence import Whence, parts_of, whence
from worker.ops.passwords import TooBusyError
from worker.telemetry import log

_NO_NAME = "(no name)"
_WRONG = N_("That name and password do not go together.")
_THROTTLED = N_("Too many tries. Wait a little, then try again.")
_STALE = N_("The page was open for too long, or the browser keeps no cookies here. Try once more.")


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of signing in and out."""
    pages = _Login(deps)
    return [
        web.get("/login", pages.show),
        web.post("/login", pages.sign_in),
        web.post("/logout", pages.sign_out),
        web.get("/robots.txt", tell_robots),
    ]


@public
async def tell_robots(_request: web.Request) -> web.Response:
    """Tell search engines that nothing here is for them."""
    return web.Response(text="User-agent: *\nDisallow: /\n")


def safe_next(wanted: str) -> str:
    """Return where to go after the sign-in: a path of ours, else the overview. Other sites are nobody's next page."""
    parts = parts_of(wanted.replace("\\", "/") if wanted.isprintable() else "")
    is_ours = parts.path.startswith("/") and not wanted.startswith(("//", "/\\")) and not parts.netloc
    is_way_in = parts.path in {"/login", "/logout"}
    return wanted if is_ours and not parts.scheme and not is_way_in else "/"


class _Login:
    def __init__(self, deps: ConsoleDeps) -> None:
        self._deps = deps
        self._throttle = Throttle(deps.ledger)

    @public
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show the sign-in page, or lead on who is signed in already."""
        if await who_is_it(request, self._deps) is not None:
            return _go(safe_next(request.query.get("next", "/")))
        return await self._page(request, status=200)

    @public
    @unguarded
    async def sign_in(self, request: web.Request) -> web.StreamResponse:
        """Check a name and a password and open a session, which takes the place of the browser's former one."""
        came_by = whence(request, self._deps.settings)
        if not came_by.is_private:
            return await self._page(request, status=403)
        form = await read_form(request)
        typed, password = form.text("name"), form.text("password")
        try:
            check_token(request, form)
        except StaleTokenError:
            return await self._page(request, status=403, error=_STALE, typed=typed)
        name, device = read_name(typed) or _NO_NAME, device_of(request)
        attempt = await self._throttle.attempt(name, came_by.subscriber, device)
        wait_s = await self._throttle.begin(attempt)
        if wait_s:
            if await self._throttle.may_record_throttled():
                await self._record_refusal(typed, came_by, cause="too_many_tries")
            page = await self._page(request, status=429, error=_THROTTLED, typed=typed)
            page.headers["Retry-After"] = str(math.ceil(wait_s))
            return page
        session_id = await self._opened(request, typed, password, came_by, attempt)
        if session_id is None:
            await self._record_refusal(typed, came_by, is_kept=await self._throttle.may_record())
            return await self._page(request, status=403, error=_WRONG, typed=typed)
        await self._throttle.take_back(attempt)
        device = device or new_session_id()
        await self._throttle.remember(attempt, name, device)
        response = _go(safe_next(form.text("next", default="/")))
        give_session(response, session_id)
        give_device(response, device, for_s=KNOWN_FOR_S)
        return response

    async def _opened(
        self, request: web.Request, typed: str, password: str, came_by: Whence, attempt: Try
    ) -> str | None:
        """Return the id of a new session, None where the password is wrong, or the account disabled or unknown."""
        name, users = read_name(typed), self._deps.ledger.users
        credential = await users.credential(name) if name else None
        kept = None if credential is None or credential.is_disabled else credential.password_hash
        # An unknown name costs the same work as a known one.
        try:
            checked = await self._deps.accounts.passwords.check(password, kept, is_known=attempt.is_known)
        except TooBusyError:
            await self._throttle.take_back(attempt)
            raise
        if name is None or kept is None or not checked.is_right:
            return None
        session_id = new_session_id()
        is_open = await self._deps.ledger.sessions.open(
            session_id,
            name=name,
            checked_hash=kept,
            new_hash=checked.new_hash,
            length_s=self._deps.settings.console_session_s,
            former_id=session_id_of(request),
            address=came_by.address,
        )
        return session_id if is_open else None

    @requires(Role.VIEWER)
    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """End this session."""
        operator_of(request)
        session_id = session_id_of(request)
        if session_id is not None:
            await self._deps.ledger.sessions.end(session_id)
        response = _go("/login")
        take_session(response)
        return response

    async def _record_refusal(
        self, typed: str, came_by: Whence, *, cause: str | None = None, is_kept: bool = True
    ) -> None:
        """Log a refused try, and record it where *is_kept*.

        A name that is nobody's is left out: it may be a password in the wrong field.
        """
        name = read_name(typed)
        # Not the whole user: what is read of a known name takes no longer than of an unknown one.
        user = await self._deps.ledger.users.credential(name) if name else None
        if cause is None:
            cause = "unknown_name" if user is None else "disabled" if user.is_disabled else "wrong_password"
        log.warning("sign_in_refused", is_known=user is not None, cause=cause)
        if is_kept:
            await self._deps.ledger.trail.record(
                "sign_in_refused",
                by="nobody",
                subject="" if user is None or name is None else name,
                detail={"address": came_by.address, "cause": cause},
            )

    async def _page(
        self, request: web.Request, *, status: int, error: str | None = None, typed: str = ""
    ) -> web.Response:
        came_by = whence(request, self._deps.settings)
        secret, token = login_token(request)
        page = await render(
            request,
            "login.html",
            status=status if came_by.is_private else 403,
            csrf=token,
            error=error,
            typed=typed,
            next=safe_next(request.query.get("next", "/")),
            has_ended="ended" in request.query and request.method == "GET",
            is_private=came_by.is_private,
            has_users=await self._deps.ledger.users.has_any(),
            first_user=self._deps.first_user,
            host=came_by.host,
            port=self._deps.settings.web_port,
        )
        if came_by.is_private:
            give_login_secret(page, secret)
        return page


def _go(place: str) -> web.Response:
    return web.Response(status=303, headers={"Location": place})
