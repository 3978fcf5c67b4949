"""`/failed` and `/failed/{reason}`: the failed queue by reason, what each means and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web
from markupsafe import Markup

from worker.domain.roles import Role
from worker.ledger import JobFilter
from worker.ops.console.charts import sparkline
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.filters import STAGES
from worker.ops.console.gate import requires
from worker.ops.console.i18n import Translator
from worker.ops.console.view import render, translator_of, wants_fragment
from worker.ops.groups import group, groups

_MESSAGES_SHOWN = 50


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of the failed queue."""
    pages = GroupPages(deps)
    return [web.get("/failed", pages.list), web.get("/failed/{reason}", pages.show)]


class GroupPages:
    """The failed queue by reason."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._queries = deps.queries
        self._scene = deps.scene

    @requires(Role.VIEWER)
    async def list(self, request: web.Request) -> web.Response:
        """Answer with all groups, the largest first."""
        found = await groups(self._scene)
        stage = request.query.get("stage")
        items = [each for each in found["items"] if stage not in STAGES or each["stage"] == stage]
        texts = translator_of(request)
        context: dict[str, Any] = {
            "groups": [{**each, "spark": spark(each, texts)} for each in items],
            "stage": stage if stage in STAGES else None,
            "total": sum(int(each["count"]) for each in items),
        }
        if wants_fragment(request):
            return await render(request, "failed_live.html", **context)
        return await render(request, "failed.html", **context)

    @requires(Role.VIEWER)
    async def show(self, request: web.Request) -> web.Response:
        """Answer with one group; of a reason that nothing failed for, with what is known of it."""
        reason, texts = request.match_info["reason"], translator_of(request)
        stage = request.query.get("stage", "link")
        if stage not in STAGES:
            raise web.HTTPNotFound
        found = await group(self._scene, reason, stage=stage)
        if found is None and "stage" not in request.query:  # perhaps messages failed so
            found = await group(self._scene, reason, stage="delivery")
            stage = "delivery" if found else stage
        known = self._scene.catalogue.named(reason)
        cursor = request.query.get("cursor") or None
        messages = await self._messages(reason, cursor) if found and stage == "delivery" else None
        context: dict[str, Any] = {
            "reason": reason,
            "stage": stage,
            "group": found,
            "known": known,
            "messages": messages,
            "answers": told_once(found["samples"]) if found else [],
            "spark": spark(found, texts) if found else None,
        }
        return await render(request, "group.html", **context)

    async def _messages(self, reason: str, cursor: str | None) -> dict[str, Any]:
        wanted = JobFilter(reason=reason, stage="delivery")
        try:
            return await self._queries.failed(wanted, cursor=cursor, limit=_MESSAGES_SHOWN)
        except ValueError:  # not one of our cursors: begin anew
            return await self._queries.failed(wanted, limit=_MESSAGES_SHOWN)


def told_once(samples: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the answers among *samples* in their order, each once, with the samples that it came back for."""
    found: dict[tuple[str | None, str | None], list[Mapping[str, Any]]] = {}
    for each in samples:
        found.setdefault((each["answer"], each["detail"]), []).append(each)
    return [{"answer": answer, "detail": detail, "of": of} for (answer, detail), of in found.items()]


def spark(item: Mapping[str, Any], texts: Translator) -> Markup:
    """Return a group's failures of the last day, hour by hour."""
    hours = item["trend"]["hours"]
    label = texts.gettext("%(total)s in the last 24 hours, %(last)s in the last one") % {
        "total": sum(hours),
        "last": item["trend"]["last_hour"],
    }
    return sparkline(hours, label=label)
