"""`/dead`: the dead letters, by whom and why, and when they are deleted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import replace

from aiohttp import web

from worker.domain.roles import Role
from worker.domain.states import JobState
from worker.ledger import JobFilter
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.gate import requires
from worker.ops.console.told import see
from worker.ops.console.view import render
from worker.ops.retention import Retention

_PER_PAGE = 50
_DAY_S = 86_400.0


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the route of the dead letters."""
    return [web.get("/dead", DeadPages(deps).list)]


class DeadPages:
    """The dead letters."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._ledger, self._queries = deps.ledger, deps.queries
        self._keep_s = deps.settings.dead_keep

    @requires(Role.VIEWER)
    async def list(self, request: web.Request) -> web.StreamResponse:
        """Answer with the dead letters, the last one first; on `?expiring=1` those that are deleted within a day."""
        is_expiring = request.query.get("expiring") == "1" and not math.isinf(self._keep_s)
        reason = request.query.get("reason", "").strip() or None
        wanted = JobFilter(state=JobState.DEAD, reason=reason)
        soon = replace(wanted, older_than_s=max(0.0, self._keep_s - _DAY_S))
        if is_expiring:
            wanted = soon
        try:
            page = await self._queries.jobs(
                wanted, cursor=request.query.get("cursor") or None, limit=_PER_PAGE
            )
        except ValueError:
            return see("/dead", told="bad_cursor")
        retention = await Retention.read(self._ledger, {JobState.DEAD: self._keep_s})
        return await render(
            request,
            "dead.html",
            page={**page, "items": [retention.with_end(each) for each in page["items"]]},
            frozen=json.dumps(wanted.document(), ensure_ascii=False),
            is_expiring=is_expiring,
            reason=reason,
            expiring=await self._expiring(),
            keep_s=None if math.isinf(self._keep_s) else self._keep_s,
        )

    async def _expiring(self) -> int:
        """Return how many are deleted within a day."""
        if math.isinf(self._keep_s):
            return 0
        before_ms = await self._ledger.now_ms() + round((_DAY_S - self._keep_s) * 1000)
        return await self._ledger.survey.dead_until(before_ms)
