"""`/jobs/{id}/replace`: another link for a customer, with the data as they are or changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from worker.domain.canonical import EDITABLE_FIELDS
from worker.domain.parse import ParseRules
from worker.domain.roles import Role
from worker.ops.change import Changing, Replaced
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.pages_acts import why_of
from worker.ops.console.pages_edit import LABELS, shown_groups
from worker.ops.console.pages_job_acts import job_path
from worker.ops.console.told import see
from worker.ops.console.view import render
from worker.ops.edit import problem_view
from worker.ops.trail import AuditTrail
from worker.ops.words import said


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
        rules = ParseRules(
            region=deps.settings.default_region, locale=deps.settings.default_locale, brands=deps.brands
        )
        self._changing = Changing(deps.ledger, rules)
        self._trail = AuditTrail(deps.ledger)

    @requires(Role.OPERATOR)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer with the form, what is personal masked: what comes back masked stays as it is."""
        return await self._page(request, await self._form(request))

    @requires(Role.OPERATOR)
    async def reveal(self, request: web.Request) -> web.StreamResponse:
        """Answer with the form, everything in it whole; that is recorded before it is shown."""
        form = await self._form(request)
        await self._trail.reveal(by=operator_of(request).by, subject=form["job_id"], what="replace")
        return await self._page(request, await self._form(request, is_revealed=True))

    @requires(Role.OPERATOR)
    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Check what was typed and show before and after; on `replace` or `fresh`, ask for the new link."""
        form, sent = await self._form(request), await read_form(request)
        wish = sent.word("do")
        fields = {name: sent.text(name) for name in EDITABLE_FIELDS if sent.has(name) and wish != "fresh"}
        seen, why = sent.word("seen") or None, why_of(sent)
        typed = {**form, "fields": {**form["fields"], **fields}, "seen": seen or form["seen"]}
        if wish not in {"replace", "fresh"}:
            check = await self._changing.check(form["job_id"], fields, seen=seen)
            checked = Replaced(job_id=form["job_id"], plan=(), check=check)
            return await self._page(request, typed, checked, why=why)
        replaced = await self._changing.replace(
            form["job_id"], fields, by=operator_of(request).by, why=why, seen=seen
        )
        if replaced.done:
            return see(job_path(form["job_id"]), told="replace")
        return await self._page(request, typed, replaced, why=why)

    async def _form(self, request: web.Request, *, is_revealed: bool = False) -> dict[str, Any]:
        form = await self._changing.form(request.match_info["job_id"], is_revealed=is_revealed)
        if form is None:
            raise web.HTTPNotFound
        return form

    async def _page(
        self, request: web.Request, form: dict[str, Any], replaced: Replaced | None = None, *, why: str = ""
    ) -> web.Response:
        check = replaced.check if replaced else None
        problems = check.problems if check else ()
        errors = {each.field: problem_view(each) for each in reversed(problems)}
        refusal = replaced.mended.refusal if replaced and replaced.mended else None
        context = {
            "form": form,
            "groups": shown_groups(form),
            "labels": LABELS,
            "errors": {name: each for name, each in errors.items() if name in form["fields"]},
            "others": [problem_view(each) for each in problems if each.field not in form["fields"]],
            "check": check.document() if check else None,
            "is_fit": check is not None and check.request is not None,
            "refusal": said(f"why_not.{refusal}") if refusal else None,
            "why": why,
        }
        return await render(request, "replace.html", status=422 if problems or refusal else 200, **context)
