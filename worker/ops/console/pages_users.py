"""The console's users, for admins: add one, change a role, give a new password, let nobody in any more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from worker.ops.accounts import Refusal, read_name, user_view
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import Form, read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.i18n import N_
from worker.ops.console.roles import Role, SignedIn
from worker.ops.console.view import render
from worker.ops.passwords import new_password

_DONE = {
    "add": N_("The account is made."),
    "role": N_("The role is changed; the sessions have ended."),
    "role_same": N_("The account has that role already: nothing was changed."),
    "disable": N_("The account is disabled, and its sessions have ended."),
    "enable": N_("The account is enabled again."),
}


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of the users."""
    pages = _Users(deps)
    return [
        web.get("/users", pages.show),
        web.post("/users", pages.add),
        web.post("/users/role", pages.change_role),
        web.post("/users/password", pages.give_password),
        web.post("/users/disable", pages.disable),
        web.post("/users/enable", pages.enable),
    ]


class _Users:
    def __init__(self, deps: ConsoleDeps) -> None:
        self._deps = deps
        self._accounts = deps.accounts

    @requires(Role.ADMIN)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """List the users."""
        return await self._page(request)

    @requires(Role.ADMIN)
    async def add(self, request: web.Request) -> web.StreamResponse:
        """Make an account; without a password given, one is made and shown this once."""
        form = await read_form(request)
        name, password, role = form.word("name"), form.text("password"), _role_of(form)
        if role is None:
            return await self._page(request, refusal=Refusal("role_unknown"), typed=name)
        made = None if password else new_password()
        refusal = await self._accounts.add(name, role, made or password, by=operator_of(request).by)
        if refusal:
            return await self._page(request, refusal=refusal, typed=name)
        return await self._page(request, made=(read_name(name), made)) if made else _done("add")

    @requires(Role.ADMIN)
    async def change_role(self, request: web.Request) -> web.StreamResponse:
        """Give a role, which ends the sessions."""
        user, form = operator_of(request), await read_form(request)
        name, role = form.text("name"), _role_of(form)
        if role is None:
            return await self._page(request, refusal=Refusal("role_unknown"))
        if any(each.name == name and each.role == role for each in await self._deps.ledger.users.list()):
            return _done("role_same")
        refusal = _own(user, name) or await self._accounts.set_role(name, role, by=user.by)
        return await self._page(request, refusal=refusal) if refusal else _done("role")

    @requires(Role.ADMIN)
    async def give_password(self, request: web.Request) -> web.StreamResponse:
        """Make a new password, shown this once; the sessions end."""
        user, form = operator_of(request), await read_form(request)
        name, made = form.text("name"), new_password()
        refusal = _own(user, name) or await self._accounts.set_password(name, made, by=user.by)
        if refusal:
            return await self._page(request, refusal=refusal)
        return await self._page(request, made=(name, made))

    @requires(Role.ADMIN)
    async def disable(self, request: web.Request) -> web.StreamResponse:
        """Let nobody in by this account any more."""
        user, name = operator_of(request), (await read_form(request)).text("name")
        refusal = _own(user, name) or await self._accounts.disable(name, by=user.by)
        return await self._page(request, refusal=refusal) if refusal else _done("disable")

    @requires(Role.ADMIN)
    async def enable(self, request: web.Request) -> web.StreamResponse:
        """Let him in again."""
        user, name = operator_of(request), (await read_form(request)).text("name")
        refusal = await self._accounts.enable(name, by=user.by)
        return await self._page(request, refusal=refusal) if refusal else _done("enable")

    async def _page(
        self,
        request: web.Request,
        *,
        refusal: Refusal | None = None,
        made: tuple[str | None, str] | None = None,
        typed: str = "",
    ) -> web.StreamResponse:
        found = await self._deps.ledger.users.list(idle_s=self._deps.settings.console_idle_s)
        users: list[dict[str, Any]] = [user_view(each) for each in found]
        return await render(
            request,
            "users.html",
            status=422 if refusal else 200,
            users=users,
            roles=[role.value for role in Role],
            refusal=refusal.said if refusal else None,
            made=made,
            typed=typed,
            done=_DONE.get(request.query.get("done", "")) if request.method == "GET" else None,
        )


def _role_of(form: Form) -> Role | None:
    try:
        return Role(form.word("role"))
    except ValueError:
        return None


def _own(user: SignedIn, name: str) -> Refusal | None:
    """Refuse what would lock an admin out by his own hand: so one who can come in is always left."""
    return Refusal("own") if name == user.name else None


def _done(code: str) -> web.Response:
    return web.Response(status=303, headers={"Location": f"/users?done={code}"})
