"""`/`: how everything stands, renewed by itself every few seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from markupsafe import Markup

from worker.domain.roles import Role
from worker.domain.states import JobState
from worker.ops.console.charts import Line, Share, Step, flow_chart, gauge, share_bar
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.gate import requires
from worker.ops.console.i18n import Translator
from worker.ops.console.tones import TONES
from worker.ops.console.view import render, translator_of, wants_fragment
from worker.ops.overview import overview

#: Jobs that are somewhere on their way or need a person; what is over is told apart from them.
_ON_THE_WAY = (
    JobState.AVAILABLE,
    JobState.SCHEDULED,
    JobState.RUNNING,
    JobState.IN_DOUBT,
    JobState.FAILED,
)


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the overview's route."""
    return [web.get("/", OverviewPage(deps).show)]


class OverviewPage:
    """The overview."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._scene = deps.scene
        self._ledger = deps.ledger

    @requires(Role.VIEWER)
    async def show(self, request: web.Request) -> web.Response:
        """Answer with the page, or with its living part where htmx asks for it again."""
        seen = await overview(self._scene)
        texts = translator_of(request)
        context: dict[str, Any] = {
            "seen": seen,
            "open_alerts": await self._ledger.incidents.open_count(),
            "charts": {span: chart_of(seen[span], span, texts) for span in ("hour", "day")},
            "rate_bar": rate_bar(seen["rate"], texts),
            "shares": shares(seen["status"]["jobs"], texts),
        }
        if wants_fragment(request):
            return await render(request, "overview_live.html", **context)
        return await render(request, "overview.html", **context)


def chart_of(series: Mapping[str, Any], span: str, texts: Translator) -> dict[str, Any]:
    """Return one series as a drawing and, for those who cannot see it, as rows."""
    _ = texts.gettext
    steps = _steps(series)
    lines = {name: series["lines"][name] for name in ("accepted", "linked", "failed")}
    title = _("Accepted, linked and failed jobs of the last hour, by the minute")
    if span == "day":
        title = _("Accepted, linked and failed jobs of the last day, by the quarter of an hour")
    drawing = flow_chart(
        steps,
        over=Line(_("accepted"), "run", lines["accepted"]),
        up=Line(_("linked"), "good", lines["linked"]),
        down=Line(_("failed"), "bad", lines["failed"]),
        title=title,
    )
    rows = [row for row in zip(steps, *lines.values(), strict=True) if any(row[1:])]
    return {
        "title": title,
        "drawing": drawing,
        "rows": list(reversed(rows)),
        "totals": series["totals"],
        "is_empty": not rows,
    }


def _steps(series: Mapping[str, Any]) -> list[Step]:
    start, count = datetime.fromisoformat(series["start_at"]), len(series["lines"]["accepted"])
    begins = [start + timedelta(seconds=index * series["step_s"]) for index in range(count)]
    return [Step(f"{each:%H:%M}", each.isoformat()) for each in begins]


def rate_bar(rate: Mapping[str, Any], texts: Translator) -> Markup:
    """Return how much of the partner's budget the last minute used."""
    label = texts.gettext("%(made)s of %(allowed)s calls in the last minute") % {
        "made": rate["calls_last_minute"],
        "allowed": round(rate["allowed_per_minute"]),
    }
    tone = "warn" if rate["used"] > 0.9 else "run"
    return gauge(rate["calls_last_minute"], rate["allowed_per_minute"], label=label, tone=tone)


def shares(jobs: Mapping[str, int], texts: Translator) -> dict[str, Any] | None:
    """Return the jobs that are on their way as one bar by state, and in words; None where there are none."""
    parts = [
        Share(
            f"{texts.term('state', state.value)}: {jobs[state.value]:,}",
            TONES[state.value],
            jobs[state.value],
        )
        for state in _ON_THE_WAY
        if jobs[state.value]
    ]
    text = ", ".join(part.label for part in parts)
    return {"bar": share_bar(parts, label=text), "text": text} if parts else None
