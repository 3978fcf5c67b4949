"""`/suppressed`: the stop list, customers who get no message; and the forms for it on a customer's page."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from aiohttp import web

from worker.domain.roles import Role
from worker.domain.stop_list import contacts_of, read_contact
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import Form, read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.pages_acts import why_of
from worker.ops.console.told import see
from worker.ops.console.view import render
from worker.ops.kin import all_of
from worker.ops.suppressing import StopList


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of the stop list."""
    pages = StopPages(deps)
    return [
        web.get("/suppressed", pages.show),
        web.post("/suppressed/add", pages.add),
        web.post("/suppressed/remove", pages.remove),
        web.post("/customers/suppress", pages.add_customer),
        web.post("/customers/unsuppress", pages.remove_customer),
    ]


class StopPages:
    """The stop list. Who stands there is shown masked: to take somebody off, his address or number is typed."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._list, self._scene = StopList(deps.ledger), deps.scene

    @requires(Role.VIEWER)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer with the list, the latest first."""
        return await render(request, "suppressed.html", found=await self._list.all())

    @requires(Role.OPERATOR)
    async def add(self, request: web.Request) -> web.StreamResponse:
        """Put what was typed on the list."""
        form = await read_form(request)
        contact = self._typed(form)
        if contact is None:
            return see("/suppressed", told="no_contact_typed")
        await self._list.add([contact], by=operator_of(request).by, why=why_of(form))
        return see("/suppressed", told="suppress")

    @requires(Role.OPERATOR)
    async def remove(self, request: web.Request) -> web.StreamResponse:
        """Take what was typed off the list."""
        form = await read_form(request)
        contact = self._typed(form)
        if contact is None:
            return see("/suppressed", told="no_contact_typed")
        done = await self._list.remove([contact], by=operator_of(request).by, why=why_of(form))
        return see("/suppressed", told="unsuppress" if done["removed"] else "not_suppressed")

    @requires(Role.OPERATOR)
    async def add_customer(self, request: web.Request) -> web.StreamResponse:
        """Put all that a customer is known by on the list."""
        form = await read_form(request)
        job_id, contacts = await self._of_customer(form)
        await self._list.add(contacts, by=operator_of(request).by, why=why_of(form))
        return see(f"/customers?q={quote(job_id)}", told="suppress")

    @requires(Role.OPERATOR)
    async def remove_customer(self, request: web.Request) -> web.StreamResponse:
        """Take all that a customer is known by off the list."""
        form = await read_form(request)
        job_id, contacts = await self._of_customer(form)
        await self._list.remove(contacts, by=operator_of(request).by, why=why_of(form))
        return see(f"/customers?q={quote(job_id)}", told="unsuppress")

    def _typed(self, form: Form) -> str | None:
        try:
            return read_contact(form.word("contact"), region=self._scene.region)
        except ValueError:
            return None

    async def _of_customer(self, form: Form) -> tuple[str, list[str]]:
        """Return the job that the form names, and what its customer is known by, in all of his requests."""
        job = await self._scene.ledger.queries.job(form.word("q"))
        if job is None:
            raise web.HTTPNotFound
        jobs, _ = await all_of(self._scene, [job])
        return job.id, list(dict.fromkeys(each for one in jobs for each in contacts_of(one.request)))
