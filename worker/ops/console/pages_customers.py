"""`/customers`: one customer for a support call, all on one screen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from worker.domain.roles import Role
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.view import render
from worker.ops.customer import customer
from worker.ops.trail import AuditTrail

_LONGEST_TEXT = 320  # as long as an e-mail address may be


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of customers."""
    pages = CustomerPages(deps)
    return [
        web.get("/customers", pages.show),
        web.post("/customers/reveal", pages.reveal),
        web.post("/customers/ask", pages.ask),
    ]


class CustomerPages:
    """One customer, found by whatever the caller can say."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._trail = AuditTrail(deps.ledger)
        self._scene = deps.scene
        self._deps = deps

    @requires(Role.VIEWER)
    async def show(self, request: web.Request) -> web.Response:
        """Answer with the customer, with those who may be meant, or with how to look for one."""
        text = request.query.get("q", "").strip()[:_LONGEST_TEXT]
        found = await customer(self._scene, text) if text else None
        if found and not (found["customer"] or found["candidates"]) and await self._trail.erased(text):
            raise web.HTTPSeeOther(f"/jobs/{text}")
        return await self._answer(request, text, found)

    @requires(Role.OPERATOR)
    async def reveal(self, request: web.Request) -> web.Response:
        """Answer with the customer once more, numbers and contacts whole; that is recorded before it is shown."""
        text = (await read_form(request)).word("q")
        found = await customer(self._scene, text, is_revealed=True)
        if found["customer"] is None:
            raise web.HTTPNotFound
        await self._trail.reveal(
            by=operator_of(request).by, subject=str(found["customer"]["query"]), what="customer"
        )
        return await self._answer(request, text, found)

    @requires(Role.OPERATOR)
    async def ask(self, request: web.Request) -> web.Response:
        """Answer with the customer and what the partner says of his links right now: a call of its rate, or two."""
        text = (await read_form(request)).word("q")
        found = await customer(self._scene, text, ask=self._deps.ask_partner)
        if found["customer"] is None:
            raise web.HTTPNotFound
        return await self._answer(request, text, found)

    async def _answer(self, request: web.Request, text: str, found: dict[str, Any] | None) -> web.Response:
        may_ask = self._deps.ask_partner is not None
        return await render(request, "customers.html", text=text, found=found, may_ask=may_ask)
