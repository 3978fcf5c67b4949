"""`/failed/{reason}/teach`: a code of the partner's that nobody knew gets its name, class, policy, meaning and remedy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from aiohttp import web

from worker.domain.roles import Role
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import Form, read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.i18n import DEFAULT_LANGUAGE, Translator
from worker.ops.console.pages_acts import why_of
from worker.ops.console.told import see
from worker.ops.console.view import render, translator_of
from worker.ops.teach import Teaching, TeachRefused

_TEXTS = ("class", "policy", "meaning", "remedy")
_LONGEST = 1_000


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of teaching."""
    pages = TeachPages(deps)
    return [
        web.get("/failed/{reason}/teach", pages.show),
        web.post("/failed/{reason}/teach", pages.teach),
        web.post("/failed/{reason}/unteach", pages.unteach),
    ]


class TeachPages:
    """What a reason means, said by those who know."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._teaching = Teaching(deps.ledger, deps.catalogue)

    @requires(Role.OPERATOR)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer with what is known of the reason, to be said better; nothing said of an unknown code is kept."""
        form = await self._teaching.form(request.match_info["reason"])
        if not form["is_known"]:
            form |= {"meaning": "", "remedy": ""}
        return await self._page(request, form)

    @requires(Role.OPERATOR)
    async def teach(self, request: web.Request) -> web.StreamResponse:
        """Keep what the form says, and lead to the jobs that stand under it."""
        reason, form = request.match_info["reason"], await read_form(request)
        known = await self._teaching.form(reason)
        typed = {**known, **{name: form.word(name)[:_LONGEST] for name in ("name", "call", *_TEXTS)}}
        typed["own_data"] = form.has("own_data")
        try:
            await self._teaching.teach(
                reason,
                by=operator_of(request).by,
                why=why_of(form),
                call=form.word("call") or None,
                name=_name_of(form, known),
                words={name: typed[name] for name in _TEXTS} | {"own_data": typed["own_data"]},
            )
        except TeachRefused as error:
            return await self._page(request, typed, error=error)
        return see(f"{_path(reason)}/teach", told="teach")

    @requires(Role.OPERATOR)
    async def unteach(self, request: web.Request) -> web.StreamResponse:
        """Take back what was taught of it."""
        reason, form = request.match_info["reason"], await read_form(request)
        try:
            await self._teaching.unteach(reason, by=operator_of(request).by, why=why_of(form))
        except TeachRefused as error:
            return await self._page(request, await self._teaching.form(reason), error=error)
        return see(_path(reason), told="teach")

    async def _page(
        self, request: web.Request, form: dict[str, Any], *, error: TeachRefused | None = None
    ) -> web.Response:
        texts = translator_of(request)
        text = _in_words(error, texts) if error else None
        return await render(
            request,
            "teach.html",
            status=422 if error else 200,
            form={
                **form,
                "call_options": [(each, each) for each in form["calls"] or form["all_calls"]],
                "class_options": [(each, texts.term("reason_class", each)) for each in form["classes"]],
                "policy_options": [(each, texts.term("policy", each)) for each in form["policies"]],
            },
            errors={error.field: text} if error and error.field else {},
            error=text if error and not error.field else None,
        )


def _in_words(error: TeachRefused, texts: Translator) -> str:
    """Return what is wrong: in English with the values, by the rule itself; else by its code."""
    return str(error) if texts.language == DEFAULT_LANGUAGE else texts.term("problem", error.code)


def _name_of(form: Form, known: dict[str, Any]) -> str | None:
    """Return the name that a code is given; a reason that has one keeps it."""
    return form.word("name") or None if known["code"] is not None else None


def _path(reason: str) -> str:
    return f"/failed/{quote(reason, safe='')}"
