"""`/alerts`: what is wrong, and what was, one incident each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from worker.domain.roles import Role
from worker.ops.alerts import Alerts
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.gate import requires
from worker.ops.console.i18n import Translator
from worker.ops.console.told import see
from worker.ops.console.view import render, translator_of, wants_fragment

_PER_PAGE = 50


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the route of the incidents."""
    return [web.get("/alerts", AlertPages(deps).list)]


class AlertPages:
    """The incidents, the open ones first."""

    def __init__(self, deps: ConsoleDeps) -> None:
        settings = deps.settings
        self._alerts = Alerts(deps.ledger, addresses=settings.alert_email)
        self._ledger = deps.ledger
        self._is_told = bool(settings.alert_email or settings.alert_url)
        self._as_typed = deps.as_typed

    @requires(Role.VIEWER)
    async def list(self, request: web.Request) -> web.StreamResponse:
        """Answer with the incidents, or with their living part where htmx asks for it again."""
        try:
            page = await self._alerts.page(cursor=request.query.get("cursor") or None, limit=_PER_PAGE)
        except ValueError:
            return see("/alerts", told="bad_cursor")
        texts = translator_of(request)
        items = [
            {**incident_in(each, texts), "commands": [self._as_typed(line) for line in each["commands"]]}
            for each in page["items"]
        ]
        context: dict[str, Any] = {
            "page": page,
            "open": [each for each in items if each["state"] == "open"],
            "ended": [each for each in items if each["state"] != "open"],
            "is_told": self._is_told,
        }
        name = "alerts_live.html" if wants_fragment(request) else "alerts.html"
        return await render(request, name, **context)


def incident_in(item: Mapping[str, Any], texts: Translator) -> dict[str, Any]:
    """Return an incident in the words of *texts*; a sentence that they lack stays in English."""
    parts = {"title": "title", "means": "means", "do": "what_to_do"}
    found = {}
    for part, name in parts.items():
        template = texts.words.get(item["codes"][part])
        try:
            found[name] = template.format_map(_worded(item["params"], texts)) if template else item[name]
        except (KeyError, IndexError, ValueError):
            found[name] = item[name]
    return {**item, **found}


def _worded(params: Mapping[str, Any], texts: Translator) -> dict[str, Any]:
    """Return the params with our own words in the language."""
    kinds = {"lane": "lane", "channel": "channel", "state": "state"}
    return {
        name: texts.term(kinds[name], str(value)) if name in kinds else value
        for name, value in params.items()
    }
