"""`POST /export`: failed jobs or dead letters as a file that a backfill takes again. Recorded before it leaves."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from aiohttp import web

from worker.domain.roles import Role
from worker.domain.states import JobState
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.downloads import send_file
from worker.ops.console.forms import read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.pages_acts import list_of, why_of
from worker.ops.console.told import see
from worker.ops.console.wishes import WishError, read_filter_document
from worker.ops.export import count, csv_head, csv_line, rows
from worker.ops.trail import AuditTrail

_STATES = frozenset({JobState.FAILED, JobState.DEAD})


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the route of exports."""
    return [web.post("/export", ExportPages(deps).export)]


class ExportPages:
    """Rows for a spreadsheet."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._deps, self._ledger, self._catalogue = deps, deps.ledger, deps.catalogue
        self._trail = AuditTrail(deps.ledger)

    @requires(Role.OPERATOR)
    async def export(self, request: web.Request) -> web.StreamResponse:
        """Answer with the rows of the form's filter, a page of them in memory at a time."""
        form = await read_form(request)
        try:
            wanted = read_filter_document(form.text("filter"))
        except WishError as error:
            return see(list_of(request), told=error.code)
        state = wanted.state or JobState.FAILED
        if state not in _STATES:
            return see(list_of(request), told="bad_filter")
        name = f"{state.value}-{datetime.fromtimestamp(await self._ledger.now_ms() / 1000, UTC):%Y%m%d-%H%M%S}.csv"
        total, _ = await count(self._ledger, wanted, [state])
        await self._trail.exported(
            wanted, [state], by=operator_of(request).by, why=why_of(form), count=total, to=name
        )
        found = rows(self._ledger, wanted, [state], self._catalogue)
        return await send_file(request, self._deps, name, csv_head(), (csv_line(row) async for row in found))
