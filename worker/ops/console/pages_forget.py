"""`/customers/forget`: erasing a customer who asks for it, by an admin, after a look at what would go."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from aiohttp import web

from worker.domain.roles import Role
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.pages_acts import why_of
from worker.ops.console.told import see
from worker.ops.console.view import render
from worker.ops.forgetting import ForgetRefusedError, Forgetting, Found
from worker.ops.views import shown_name
from worker.ops.words import Said, said


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of erasing."""
    pages = ForgetPages(deps)
    return [web.get("/customers/forget", pages.show), web.post("/customers/forget", pages.forget)]


class ForgetPages:
    """What is held of the customer of one job, and the form that erases it."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._eraser = Forgetting(deps.scene)
        self._ledger = deps.ledger

    @requires(Role.ADMIN)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer with what would go, what stands in the way and what stays elsewhere."""
        job_id = request.query.get("job", "").strip()
        return await _answer(request, job_id, await self._look(job_id))

    @requires(Role.ADMIN)
    async def forget(self, request: web.Request) -> web.StreamResponse:
        """Erase the customer; the reason is asked for, and must not name him."""
        form = await read_form(request)
        job_id, why = form.word("job"), why_of(form)
        found = await self._look(job_id)
        if not why:
            return await _answer(request, job_id, found, status=422, is_why_missing=True)
        try:
            _, blocks = await self._eraser.erase(
                found, by=operator_of(request).by, why=why, is_stopped=form.has("stop")
            )
        except ForgetRefusedError as refusal:
            return await _answer(request, job_id, found, status=422, refusal=refusal.said)
        if blocks:
            found = await self._look(job_id)
            return await _answer(request, job_id, found, status=409, refusal=said(blocks[0].code))
        return see("/customers", told="forget")

    async def _look(self, job_id: str) -> Found:
        if await self._ledger.queries.job(job_id) is None:
            raise web.HTTPNotFound
        return await self._eraser.look(job_id)


async def _answer(
    request: web.Request,
    job_id: str,
    found: Found,
    *,
    status: int = 200,
    refusal: Said | None = None,
    is_why_missing: bool = False,
) -> web.StreamResponse:
    return await render(
        request,
        "forget.html",
        status=status,
        job_id=job_id,
        back=f"/customers?q={quote(job_id)}",
        found=found.document(),
        names={job.id: shown_name(job, is_revealed=False) for job in found.jobs},
        blocks=[{"job_id": each.job_id, "why": said(each.code)} for each in found.blocks],
        refusal=refusal,
        is_why_missing=is_why_missing,
    )
