"""`/jobs`, `/jobs/{id}` and `/search`: jobs by filter, one job's story, and what a text typed may mean."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from aiohttp import web

from worker.domain.phone import mask_text
from worker.domain.reasons import ReasonClass
from worker.domain.roles import Role
from worker.domain.search import Guess
from worker.domain.states import JobState, Lane
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.filters import FilterForm, read_filter
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.view import render, translator_of, wants_fragment
from worker.ops.job_page import job_page
from worker.ops.known import not_known
from worker.ops.trail import AuditTrail

_PER_PAGE = 50
_LONGEST_TEXT = 320  # as long as an e-mail address may be
_EMPTY: dict[str, Any] = {"items": [], "next": None, "total": 0, "is_total_exact": True}


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of jobs."""
    pages = JobPages(deps)
    return [
        web.get("/jobs", pages.list),
        web.get("/jobs/{job_id}", pages.show),
        web.post("/jobs/{job_id}/reveal", pages.reveal),
        web.get("/search", pages.search),
    ]


class JobPages:
    """Jobs in lists, and one by one."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._queries, self._ledger = deps.queries, deps.ledger
        self._trail = AuditTrail(deps.ledger)
        self._scene = deps.scene

    @requires(Role.VIEWER)
    async def list(self, request: web.Request) -> web.Response:
        """Answer with the jobs, or the failed messages, that match the filter in the address, newest first."""
        form = read_filter(request.query, translator_of(request), region=self._scene.region)
        page = _EMPTY if form.errors else await self._page(form, request.query.get("cursor"))
        is_vain = not (form.errors or page["items"])
        context = {
            "form": form,
            "page": page,
            "not_known": await not_known(self._scene, form.wanted) if is_vain else [],
            "frozen": json.dumps(form.wanted.document(), ensure_ascii=False),
            "choices": choices(),
            "reasons": [reason.name for reason in self._scene.catalogue.all()],
        }
        return await render(request, "jobs.html", status=400 if form.errors else 200, **context)

    async def _page(self, form: FilterForm, cursor: str | None) -> dict[str, Any]:
        look = self._queries.failed if form.wanted.stage == "delivery" else self._queries.jobs
        try:
            return await look(form.wanted, cursor=cursor or None, limit=_PER_PAGE)
        except ValueError:  # not one of our cursors, or one of another filter: begin anew
            return await look(form.wanted, limit=_PER_PAGE)

    @requires(Role.VIEWER)
    async def show(self, request: web.Request) -> web.Response:
        """Answer with one job's page, or with the part of it that changes where htmx asks for it again."""
        return await self._answer(request, is_revealed=False)

    @requires(Role.OPERATOR)
    async def reveal(self, request: web.Request) -> web.Response:
        """Answer with the page once more, numbers and contacts whole; that is recorded before it is shown."""
        job_id = request.match_info["job_id"]
        if await self._queries.job(job_id) is None:
            raise web.HTTPNotFound
        await self._trail.reveal(by=operator_of(request).by, subject=job_id, what="job")
        return await self._answer(request, is_revealed=True)

    async def _answer(self, request: web.Request, *, is_revealed: bool) -> web.Response:
        job = await job_page(self._scene, request.match_info["job_id"], is_revealed=is_revealed)
        if job is None:
            raise web.HTTPNotFound
        if not is_revealed:  # who has a link may finish the onboarding in its customer's place
            job |= {name: mask_text(job[name]) for name in ("link", "landing_page") if job[name]}
        if wants_fragment(request):
            return await render(request, "job_live.html", job=job, is_revealed=False)
        return await render(request, "job.html", job=job, is_revealed=is_revealed)

    @requires(Role.VIEWER)
    async def search(self, request: web.Request) -> web.Response:
        """Answer with whatever a text may mean; an id leads to its job at once."""
        text = request.query.get("q", "").strip()[:_LONGEST_TEXT]
        found = (
            await self._found(text, request.query.get("cursor")) if text else {**_EMPTY, "kind": Guess.OTHER}
        )
        if found["kind"] == Guess.JOB_ID and len(found["items"]) == 1:
            raise web.HTTPSeeOther(f"/jobs/{found['items'][0]['job_id']}")
        places = await self._places(text) if text else []
        if len(places) == 1 and not found["items"]:
            raise web.HTTPSeeOther(places[0]["path"])
        if not found["items"] and await self._trail.erased(text) is not None:
            raise web.HTTPSeeOther(f"/jobs/{text}")
        return await render(request, "search.html", text=text, page=found, places=places)

    async def _places(self, text: str) -> Sequence[dict[str, str]]:
        """Return the bulk act and the batch whose very id the text is."""
        act, batch = await self._ledger.acts.get(text), await self._ledger.batches.get(text)
        places = []
        if act is not None:
            places.append({"kind": "act", "path": f"/acts/{quote(text, safe='')}", "name": text})
        if batch is not None:
            path = f"/batches/{quote(text, safe='')}"
            places.append({"kind": "batch", "path": path, "name": batch.name or text})
        return places

    async def _found(self, text: str, cursor: str | None) -> dict[str, Any]:
        try:
            return await self._queries.search(text, cursor=cursor or None, limit=_PER_PAGE)
        except ValueError:  # not one of our cursors, or one of another search: begin anew
            return await self._queries.search(text, limit=_PER_PAGE)


def choices() -> dict[str, list[str]]:
    """Return what the filter's lists offer."""
    return {
        "state": [state.value for state in JobState],
        "class": [each.value for each in ReasonClass],
        "lane": [lane.value for lane in Lane],
    }
