"""`/batches`: backfills as wholes: how far each is, what stops it, and its report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from aiohttp import web
from markupsafe import Markup

from worker.domain.roles import Role
from worker.domain.states import JobState
from worker.domain.targets import BATCH
from worker.ops.batch_report import csv_head, csv_line, row_document
from worker.ops.batch_rows import rows_of
from worker.ops.console.charts import Share, share_bar
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.downloads import send_file
from worker.ops.console.forms import read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.i18n import Translator
from worker.ops.console.pages_acts import why_of
from worker.ops.console.told import see
from worker.ops.console.tones import TONES
from worker.ops.console.view import render, translator_of, wants_fragment
from worker.ops.trail import AuditTrail

_SHOWN = 100
_IN_ORDER = (
    JobState.ONBOARDED,
    JobState.LINKED,
    JobState.RUNNING,
    JobState.IN_DOUBT,
    JobState.SCHEDULED,
    JobState.AVAILABLE,
    JobState.FAILED,
    JobState.DEAD,
    JobState.CANCELLED,
    JobState.REVOKED,
)


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of batches."""
    pages = BatchPages(deps)
    return [
        web.get("/batches", pages.list),
        web.get("/batches/{batch_id}", pages.show),
        web.post("/batches/{batch_id}/pause", pages.pause),
        web.post("/batches/{batch_id}/resume", pages.resume),
        web.post("/batches/{batch_id}/cancel", pages.cancel),
        web.post("/batches/{batch_id}/report", pages.report),
    ]


class BatchPages:
    """Batches: looked at, paused, resumed, cancelled, reported."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._deps, self._ledger, self._catalogue = deps, deps.ledger, deps.catalogue
        self._queries, self._commands = deps.queries, deps.commands
        self._trail = AuditTrail(deps.ledger)
        self._as_typed = deps.as_typed

    @requires(Role.VIEWER)
    async def list(self, request: web.Request) -> web.StreamResponse:
        """Answer with the latest batches, newest first."""
        texts = translator_of(request)
        found = await self._queries.batches(limit=_SHOWN)
        items = [{**each, "bar": bar_of(each["jobs"], texts)} for each in found["items"]]
        return await render(request, "batches.html", batches=items, most=_SHOWN)

    @requires(Role.VIEWER)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer with one batch, or with its living part where htmx asks for it again."""
        batch = await self._queries.batch_progress(request.match_info["batch_id"])
        if batch is None:
            raise web.HTTPNotFound
        context: dict[str, Any] = {
            "batch": batch,
            "bar": bar_of(batch["jobs"], translator_of(request)),
            "order": [state.value for state in _IN_ORDER],
            "as_typed": self._as_typed,
        }
        return await render(
            request, "batch_live.html" if wants_fragment(request) else "batch.html", **context
        )

    @requires(Role.OPERATOR)
    async def pause(self, request: web.Request) -> web.StreamResponse:
        """Start no more of the batch's jobs."""
        return await self._steer(request, "pause")

    @requires(Role.OPERATOR)
    async def resume(self, request: web.Request) -> web.StreamResponse:
        """Go on with the batch; a hold on it is cleared as well."""
        return await self._steer(request, "resume")

    async def _steer(self, request: web.Request, what: str) -> web.StreamResponse:
        batch_id, form = await self._known(request), await read_form(request)
        verb = self._commands.pause if what == "pause" else self._commands.resume
        await verb(f"{BATCH}{batch_id}", by=operator_of(request).by, why=why_of(form))
        return see(_path(batch_id), told=what)

    @requires(Role.OPERATOR)
    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """Cancel what of the batch has not ended; links already made stay."""
        batch_id, form = await self._known(request), await read_form(request)
        await self._commands.cancel_batch(batch_id, by=operator_of(request).by, why=why_of(form))
        return see(_path(batch_id), told="batch_cancel")

    @requires(Role.OPERATOR)
    async def report(self, request: web.Request) -> web.StreamResponse:
        """Answer with each row of the batch joined to its end, as a file; that is recorded before it leaves."""
        batch_id = request.match_info["batch_id"]
        record = await self._ledger.batches.get(batch_id)
        if record is None:
            raise web.HTTPNotFound
        name = f"batch-{batch_id}.report.csv"
        count = sum(record.jobs.values()) + record.pruned
        await self._trail.exported_batch(batch_id, by=operator_of(request).by, count=count, to=name)
        found = rows_of(self._ledger, batch_id)
        lines = (csv_line(row_document(row, self._catalogue)) async for row in found)
        return await send_file(request, self._deps, name, csv_head(), lines)

    async def _known(self, request: web.Request) -> str:
        batch_id = request.match_info["batch_id"]
        if await self._ledger.batches.get(batch_id) is None:
            raise web.HTTPNotFound
        return batch_id


def bar_of(jobs: dict[str, Any], texts: Translator) -> Markup | None:
    """Return a batch's jobs by state as one bar; None where it has none."""
    shares = [
        Share(
            f"{texts.term('state', state.value)}: {jobs[state.value]:,}",
            TONES[state.value],
            jobs[state.value],
        )
        for state in _IN_ORDER
        if jobs[state.value]
    ]
    return share_bar(shares, label=", ".join(each.label for each in shares)) if shares else None


def _path(batch_id: str) -> str:
    return f"/batches/{quote(batch_id, safe='')}"
