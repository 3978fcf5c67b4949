"""One's own account: password, other sessions, language and colours."""

from __future__ import annotations

import math
from collections.abc import Iterable

from aiohttp import web

from worker.ops.accounts import Refusal
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.i18n import LANGUAGES, N_
from worker.ops.console.roles import Role, SignedIn
from worker.ops.console.sessions import device_of, give_session, new_session_id, session_id_of
from worker.ops.console.throttle import Throttle, Try
from worker.ops.console.view import LANGUAGE_COOKIE, THEME_COOKIE, THEMES, render
from worker.ops.console.whence import whence
from worker.ops.passwords import TooBusyError

_DONE = {
    "password": N_("The password is changed; your other sessions have ended."),
    "sessions": N_("Your other sessions have ended."),
    "preferences": N_("Kept with your account."),
}


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of one's own account."""
    pages = _Account(deps)
    return [
        web.get("/account", pages.show),
        web.post("/account/password", pages.change_password),
        web.post("/account/sessions", pages.end_others),
        web.post("/account/preferences", pages.prefer),
    ]


class _Account:
    def __init__(self, deps: ConsoleDeps) -> None:
        self._deps = deps
        self._users = deps.ledger.users
        self._throttle = Throttle(deps.ledger)

    @requires(Role.VIEWER)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show the account."""
        return await self._page(request)

    @requires(Role.VIEWER)
    async def change_password(self, request: web.Request) -> web.StreamResponse:
        """Change the password, for who knows the present one; the other sessions end."""
        user, form = operator_of(request), await read_form(request)
        password = form.text("password")
        if password != form.text("again"):
            return await self._page(request, Refusal("passwords_differ"))
        # A session left open must not become a way to guess the password.
        came_by = whence(request, self._deps.settings)
        attempt = await self._throttle.attempt(user.name, came_by.subscriber, device_of(request))
        wait_s = await self._throttle.begin(attempt)
        if wait_s:
            page = await self._page(request, Refusal("too_many_tries"), status=429)
            page.headers["Retry-After"] = str(math.ceil(wait_s))
            return page
        refusal = await self._changed(user, form.text("present"), password, attempt)
        if refusal:
            return await self._page(request, refusal)
        response = _done("password")
        await self._renew(request, response, user.name, came_by.address)
        return response

    async def _changed(self, user: SignedIn, present: str, password: str, attempt: Try) -> Refusal | None:
        """Change the password; only a wrong present one has used a try up."""
        try:
            refusal = await self._deps.accounts.change_own_password(
                user.name, present, password, keep_session=user.session
            )
        except TooBusyError:
            await self._throttle.take_back(attempt)
            raise
        if refusal is None or refusal.code != "password_wrong":
            await self._throttle.take_back(attempt)
        return refusal

    async def _renew(
        self, request: web.Request, response: web.StreamResponse, name: str, address: str
    ) -> None:
        """Put a new session in the place of this one, of whose cookie somebody may have a copy."""
        credential = await self._users.credential(name)
        session_id = new_session_id()
        if credential and await self._deps.ledger.sessions.open(
            session_id,
            name=name,
            checked_hash=credential.password_hash,
            length_s=self._deps.settings.console_session_s,
            former_id=session_id_of(request),
            address=address,
        ):
            give_session(response, session_id)

    @requires(Role.VIEWER)
    async def end_others(self, request: web.Request) -> web.StreamResponse:
        """Sign out everywhere else."""
        user = operator_of(request)
        await self._deps.ledger.sessions.end_all(user.name, by=user.by, keep=user.session)
        return _done("sessions")

    @requires(Role.VIEWER)
    async def prefer(self, request: web.Request) -> web.StreamResponse:
        """Keep a language and colours with the account, in place of what this browser was told."""
        user, form = operator_of(request), await read_form(request)
        language, theme = form.word("language"), form.word("theme")
        await self._users.prefer(
            user.name,
            language=language if language in LANGUAGES else None,
            theme=theme if theme in THEMES else None,
        )
        response = _done("preferences")
        for cookie in (LANGUAGE_COOKIE, THEME_COOKIE):
            response.del_cookie(cookie, path="/")
        return response

    async def _page(
        self, request: web.Request, refusal: Refusal | None = None, *, status: int = 422
    ) -> web.StreamResponse:
        user = operator_of(request)
        record = await self._users.get(user.name, idle_s=self._deps.settings.console_idle_s)
        return await render(
            request,
            "account.html",
            status=status if refusal else 200,
            refusal=refusal.said if refusal else None,
            others=max(0, record.sessions - 1) if record else 0,
            themes=THEMES,
            done=_DONE.get(request.query.get("done", "")),
        )


def _done(code: str) -> web.Response:
    return web.Response(status=303, headers={"Location": f"/account?done={code}"})
