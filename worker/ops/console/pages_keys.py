"""Keys of the HTTP API, for admins: make one, see when each was used, revoke."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from worker.ledger.api_keys import MOST_NAME_LETTERS
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.i18n import N_
from worker.ops.console.roles import Role
from worker.ops.console.view import render
from worker.ops.views import iso
from worker.ops.words import Said, said

_DONE = {"revoke": N_("The key is revoked: requests with it are refused from now on.")}


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of the keys."""
    pages = _Keys(deps)
    return [
        web.get("/keys", pages.show),
        web.post("/keys", pages.add),
        web.post("/keys/revoke", pages.revoke),
    ]


class _Keys:
    def __init__(self, deps: ConsoleDeps) -> None:
        self._deps = deps
        self._keys = deps.ledger.keys_of_api

    @requires(Role.ADMIN)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """List the keys."""
        return await self._page(request)

    @requires(Role.ADMIN)
    async def add(self, request: web.Request) -> web.StreamResponse:
        """Make a key and show it this once: only its hash is kept."""
        name = (await read_form(request)).word("name")
        if not name or not name.isprintable() or len(name) > MOST_NAME_LETTERS:
            return await self._page(request, refusal=said("key_name_bad", most=MOST_NAME_LETTERS), typed=name)
        try:
            secret = await self._keys.add(name, by=operator_of(request).by)
        except ValueError:
            return await self._page(request, refusal=said("key_name_taken"), typed=name)
        return await self._page(request, made=(name, secret))

    @requires(Role.ADMIN)
    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """Make a key useless, at once."""
        name = (await read_form(request)).text("name")
        if not await self._keys.revoke(name, by=operator_of(request).by):
            return await self._page(request, refusal=said("key_unknown"))
        return web.Response(status=303, headers={"Location": "/keys?done=revoke"})

    async def _page(
        self,
        request: web.Request,
        *,
        refusal: Said | None = None,
        made: tuple[str, str] | None = None,
        typed: str = "",
    ) -> web.StreamResponse:
        keys = [
            {
                "name": key.name,
                "added_at": iso(key.added_at_ms),
                "added_by": key.added_by,
                "used_at": iso(key.used_at_ms),
            }
            for key in await self._keys.list()
        ]
        return await render(
            request,
            "keys.html",
            status=422 if refusal else 200,
            keys=keys,
            settings_keys=len(self._deps.settings.api_keys),
            refusal=refusal,
            made=made,
            typed=typed,
            most=MOST_NAME_LETTERS,
            done=_DONE.get(request.query.get("done", "")) if request.method == "GET" else None,
        )
