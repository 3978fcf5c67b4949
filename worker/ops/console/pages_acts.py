"""`/acts`: bulk acts, from the preview of a frozen set to its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web
from markupsafe import Markup

from worker.domain.act import CALLING_ACTS, ActOutcome, ActState
from worker.domain.roles import Role
from worker.domain.states import JobState
from worker.ledger import JobFilter
from worker.ops.acts import ActRefused, Acts
from worker.ops.console.charts import Share, share_bar
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import Form, read_form
from worker.ops.console.freezing import Freezing
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.i18n import Translator
from worker.ops.console.told import DONE, see
from worker.ops.console.view import render, translator_of, wants_fragment
from worker.ops.console.whence import sent_from
from worker.ops.console.wishes import Wish, WishError, read_wish
from worker.ops.views import job_view

_PER_PAGE = 50
_LONGEST_WHY = 500
#: Notices that are true of a running act only.
_OF_RUNNING = frozenset({"start", "continue"})
_MOVING = frozenset({ActState.PREVIEWING.value, ActState.RUNNING.value})
#: Tone and name of each part of a requeue's bar, in the order of its course.
_PARTS = (
    ("linked", "good"),
    ("sent", "good"),
    ("revoked", "good"),
    ("failed_again", "bad"),
    ("ended_otherwise", "mute"),
    ("in_flight", "run"),
)


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of bulk acts."""
    pages = ActPages(deps)
    return [
        web.get("/acts", pages.index),
        web.post("/acts/preview", pages.preview),
        web.get("/acts/{act_id}", pages.show),
        web.post("/acts/{act_id}/start", pages.start),
        web.post("/acts/{act_id}/stop", pages.stop),
        web.post("/acts/{act_id}/continue", pages.go_on),
        web.post("/acts/{act_id}/undo", pages.undo),
        web.post("/acts/{act_id}/again", pages.again),
    ]


class ActPages:
    """Bulk acts: previewed, started, watched, stopped, undone."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._ledger, self._catalogue = deps.ledger, deps.catalogue
        self._acts: Acts = deps.acts
        self._freezing: Freezing = deps.freezing

    @requires(Role.VIEWER)
    async def index(self, request: web.Request) -> web.StreamResponse:
        """Answer with the acts that were started, latest first."""
        try:
            page = await self._acts.list(cursor=request.query.get("cursor") or None, limit=_PER_PAGE)
        except ValueError:
            return see("/acts", told="bad_cursor")
        return await render(request, "acts.html", page=page)

    @requires(Role.OPERATOR)
    async def preview(self, request: web.Request) -> web.StreamResponse:
        """Freeze what the form is about, and lead to what that is."""
        try:
            wish = read_wish(await read_form(request))
        except WishError as error:
            return see(list_of(request), told=error.code)
        return await self._frozen(wish, request)

    async def _frozen(self, wish: Wish, request: web.Request) -> web.StreamResponse:
        try:
            act_id = await self._freezing.begin(wish, by=operator_of(request).by)
        except ActRefused as error:
            return see(list_of(request), refused=error.code)
        return see(path_of(act_id))

    @requires(Role.VIEWER)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer with one act; with its moving part where htmx asks for it again."""
        act_id = request.match_info["act_id"]
        act = await self._acts.get(act_id)
        if act is None:
            raise web.HTTPNotFound
        texts = translator_of(request)
        context: dict[str, Any] = {
            "act": act,
            "reasons": self._reasons(act["by_reason"]),
            "failures": self._reasons(act["failed_by_reason"]),
            "bar": bar_of(act, texts),
            "has_failed": self._freezing.has_failed(act_id),
            "trouble": self._freezing.trouble_of(act_id),
        }
        if wants_fragment(request) and request.headers.get("X-Part") == "items":
            return await render(request, "act_items.html", act=act, **await self._list(request, act))
        if wants_fragment(request):
            answer = await render(request, "act_live.html", **context)
            if act["state"] != request.query.get("was"):
                answer.headers["HX-Refresh"] = "true"  # what stands around this part is another now
            return answer
        return await self._page(request, act, context)

    async def _page(
        self, request: web.Request, act: dict[str, Any], context: dict[str, Any], *, error: str | None = None
    ) -> web.Response:
        if act["state"] != ActState.RUNNING and request.query.get(DONE) in _OF_RUNNING:
            context["told"] = None  # the page was loaded again by itself when it came to its end
        return await render(
            request,
            "act.html",
            status=422 if error else 200,
            **context,
            **await self._list(request, act),
            is_moving=act["state"] in _MOVING and not context["has_failed"],
            why_error=error,
        )

    async def _list(self, request: web.Request, act: Mapping[str, Any]) -> dict[str, Any]:
        """Return the page of the act's jobs that the address asks for, with what else its template needs."""
        outcome = request.query.get("outcome")
        if outcome not in set(ActOutcome):
            outcome = None
        items = None
        if act["state"] not in {ActState.PREVIEWING, ActState.EXPIRED}:
            items = await self._items(act["act_id"], outcome, request.query.get("cursor") or None)
        return {"items": items, "outcome": outcome, "outcomes": outcomes_of(act)}

    async def _items(self, act_id: str, outcome: str | None, cursor: str | None) -> dict[str, Any]:
        try:
            page = await self._acts.items(act_id, outcome=outcome, cursor=cursor, limit=_PER_PAGE)
        except ValueError:  # a cursor that is none of ours: begin anew
            page = await self._acts.items(act_id, outcome=outcome, limit=_PER_PAGE)
        jobs = await self._ledger.queries.jobs([each["job_id"] for each in page["items"]])
        views = {job.id: job_view(job, self._catalogue) for job in jobs}
        return page | {"items": [{**each, "job": views.get(each["job_id"])} for each in page["items"]]}

    @requires(Role.OPERATOR)
    async def start(self, request: web.Request) -> web.StreamResponse:
        """Let a previewed act run. However often it is asked for, it runs once."""
        act_id, form = request.match_info["act_id"], await read_form(request)
        try:
            await self._acts.start(
                act_id, by=operator_of(request).by, why=why_of(form), is_canary=form.has("canary")
            )
        except ActRefused as error:
            return await self._refused(request, act_id, error)
        return see(path_of(act_id), told="start")

    async def _refused(self, request: web.Request, act_id: str, error: ActRefused) -> web.StreamResponse:
        if error.code == "already_started":
            return see(path_of(act_id), told="started_before")
        act = await self._acts.get(act_id)
        if act is None:
            raise web.HTTPNotFound
        if error.code != "why_missing":
            return see(path_of(act_id), refused=error.code)
        context: dict[str, Any] = {
            "act": act,
            "reasons": self._reasons(act["by_reason"]),
            "failures": [],
            "bar": None,
            "has_failed": False,
            "trouble": None,
        }
        said_so = translator_of(request).gettext("Say why: it is kept with the act and with every job.")
        return await self._page(request, act, context, error=said_so)

    @requires(Role.OPERATOR)
    async def stop(self, request: web.Request) -> web.StreamResponse:
        """Take no more of a running act's set."""
        return await self._steer(request, "stop")

    @requires(Role.OPERATOR)
    async def go_on(self, request: web.Request) -> web.StreamResponse:
        """Let a stopped act go on."""
        return await self._steer(request, "continue")

    async def _steer(self, request: web.Request, what: str) -> web.StreamResponse:
        act_id, form = request.match_info["act_id"], await read_form(request)
        verb = self._acts.stop if what == "stop" else self._acts.go_on
        try:
            await verb(act_id, by=operator_of(request).by, why=why_of(form))
        except ActRefused as error:
            if error.code == "gone":
                raise web.HTTPNotFound from None
            return see(path_of(act_id), refused=error.code)
        return see(path_of(act_id), told=what)

    @requires(Role.OPERATOR)
    async def undo(self, request: web.Request) -> web.StreamResponse:
        """Preview the taking back of a discard."""
        act_id = request.match_info["act_id"]
        try:
            undo = await self._acts.undo(act_id, by=operator_of(request).by)
        except ActRefused as error:
            if error.code == "gone":
                raise web.HTTPNotFound from None
            return see(path_of(act_id), refused=error.code)
        return see(path_of(undo["act_id"]))

    @requires(Role.OPERATOR)
    async def again(self, request: web.Request) -> web.StreamResponse:
        """Freeze the same filter's set anew: the first was not started in time, or not frozen to its end."""
        record = await self._ledger.acts.get(request.match_info["act_id"])
        if record is None or record.filter is None:
            raise web.HTTPNotFound
        words = dict(record.filter)
        states = tuple(JobState(word) for word in words.pop("states", ()))
        wanted = JobFilter.from_document(words)
        return await self._frozen(Wish(act=record.act, wanted=wanted, states=states), request)

    def _reasons(self, counts: Mapping[str, int]) -> list[dict[str, Any]]:
        """Return each reason with what it means, the most frequent first; what did not fail has its state instead."""
        rows = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
        return [
            {
                "reason": name,
                "meaning": None if name in set(JobState) else self._catalogue.named(name).meaning,
                "count": count,
            }
            for name, count in rows
        ]


def path_of(act_id: str) -> str:
    """Return an act's page."""
    return f"/acts/{quote(act_id, safe='')}"


def why_of(form: Form) -> str:
    """Return the reason that a form gives, as far as it is kept."""
    return " ".join(form.word("why").split())[:_LONGEST_WHY]


def list_of(request: web.Request) -> str:
    """Return the list that a form was sent from, by its Referer where that is one of ours; else that of all jobs."""
    return sent_from(request) or "/jobs"


def bar_of(act: Mapping[str, Any], texts: Translator) -> Markup | None:
    """Return how far an act is, as one bar; None before it runs."""
    if act["state"] in {ActState.PREVIEWING, ActState.PREVIEWED, ActState.EXPIRED} or not act["total"]:
        return None
    parts = [(name, tone, act[name]) for name, tone in _PARTS] if act["act"] in CALLING_ACTS else []
    if not parts:
        parts = [("done", "good", act["done"])]
    parts += [("refused", "warn", sum(act["refused"].values())), ("waiting", "wait", act["waiting"])]
    shares = [
        Share(f"{texts.term('outcome', name)}: {count:,}", tone, count)
        for name, tone, count in parts
        if count
    ]
    return share_bar(shares, label=", ".join(each.label for each in shares)) if shares else None


def outcomes_of(act: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return what can have become of the act's jobs, with how many."""
    counts = {
        "waiting": act["waiting"],
        "done": act["in_flight"] if act["act"] in CALLING_ACTS else act["done"],
        "linked": act["linked"],
        "sent": act["sent"],
        "revoked": act["revoked"],
        "failed_again": act["failed_again"],
        "ended_otherwise": act["ended_otherwise"],
        "refused": sum(act["refused"].values()),
    }
    return [(name, count) for name, count in counts.items() if count]
