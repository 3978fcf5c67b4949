"""`/jobs/{id}/replace`: another link for a customer, with the data as they are or changed."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from worker.domain.roles import Role
from worker.ops.change import Changing
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.pages_acts import why_of
from worker.ops.console.pages_job_acts import job_path
from worker.ops.console.request_form import RequestForm, as_sent, fields_of, rules_of
from worker.ops.console.told import see


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of replacing."""
    pages = ReplacePages(deps)
    return [
        web.get("/jobs/{job_id}/replace", pages.show),
        web.post("/jobs/{job_id}/replace", pages.submit),
        web.post("/jobs/{job_id}/replace/reveal", pages.reveal),
    ]


class ReplacePages:
    """The form with what will happen, what its changes come to, and the asking for another link."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._changing = Changing(deps.ledger, rules_of(deps))
        self._form = RequestForm(deps, self._changing, kind="replace")

    @requires(Role.OPERATOR)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer with the form."""
        return await self._form.show(request)

    @requires(Role.OPERATOR)
    async def reveal(self, request: web.Request) -> web.StreamResponse:
        """Answer with the form, everything in it whole."""
        return await self._form.reveal(request)

    @requires(Role.OPERATOR)
    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Check what was typed and show before and after; on `replace` or `fresh`, ask for the new link."""
        form, sent = await self._form.read(request), await read_form(request)
        wish = sent.word("do")
        fields = {} if wish == "fresh" else fields_of(sent)
        seen, why = sent.word("seen") or None, why_of(sent)
        typed = as_sent(form, sent, fields)
        if wish not in {"replace", "fresh"}:
            check = await self._changing.check(form["job_id"], fields, seen=seen)
            return await self._form.page(request, typed, check, why=why)
        replaced = await self._changing.replace(
            form["job_id"], fields, by=operator_of(request).by, why=why, seen=seen
        )
        if replaced.done:
            return see(job_path(form["job_id"]), told="replace")
        return await self._form.page(request, typed, replaced.check, replaced.mended, why=why)
