"""`/jobs/{id}/edit`: a failed job's request, corrected, checked by the door's own rules and requeued."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from worker.domain.roles import Role
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.pages_acts import why_of
from worker.ops.console.pages_job_acts import job_path
from worker.ops.console.request_form import RequestForm, as_sent, fields_of, rules_of
from worker.ops.console.told import see
from worker.ops.edit import Editing


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of editing."""
    pages = EditPages(deps)
    return [
        web.get("/jobs/{job_id}/edit", pages.show),
        web.post("/jobs/{job_id}/edit", pages.submit),
        web.post("/jobs/{job_id}/edit/reveal", pages.reveal),
    ]


class EditPages:
    """The form, what its changes come to, and the requeue with them."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._editing = Editing(deps.ledger, rules_of(deps))
        self._form = RequestForm(deps, self._editing, kind="edit")

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
        """Check what was typed and show before and after; on `requeue`, let the job try again with it."""
        form, sent = await self._form.read(request), await read_form(request)
        fields, seen, why = fields_of(sent), sent.word("seen") or None, why_of(sent)
        typed = as_sent(form, sent, fields)
        if sent.word("do") != "requeue":
            check = await self._editing.check(form["job_id"], fields, seen=seen)
            return await self._form.page(request, typed, check, why=why)
        edited = await self._editing.requeue_edited(
            form["job_id"], fields, by=operator_of(request).by, why=why, seen=seen
        )
        if edited.done:
            return see(job_path(form["job_id"]), told="edit")
        return await self._form.page(request, typed, edited.check, edited.mended, why=why)
