"""`/holds`: what is held, with what was seen before it was; and what is paused. Cleared, paused and resumed here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from aiohttp import web

from worker.domain.roles import Role
from worker.domain.states import Channel, Lane
from worker.domain.targets import ALL, BATCH, CALLS, CHANNEL
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.forms import Form, read_form
from worker.ops.console.gate import operator_of, requires
from worker.ops.console.pages_acts import why_of
from worker.ops.console.told import see
from worker.ops.console.view import render
from worker.ops.holds import Holds
from worker.ops.views import iso

PAUSED = "paused"  #: reason of a pause of all calls, which is no hold
#: What is switched on this page, in its order.
SWITCHES = (*Lane, *(CHANNEL + channel for channel in Channel))


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the routes of holds and pauses."""
    pages = HoldPages(deps)
    return [
        web.get("/holds", pages.show),
        web.post("/holds/clear", pages.clear),
        web.post("/holds/pause", pages.pause),
        web.post("/holds/resume", pages.resume),
    ]


class HoldPages:
    """Holds and pauses."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._ledger, self._commands = deps.ledger, deps.commands
        self._holds = Holds(deps.ledger, deps.limits, deps.catalogue)

    @requires(Role.VIEWER)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer with what is held, why, and what is paused."""
        pauses = await self._ledger.batches.pauses()
        holds = await self._holds.all()
        held = {each["target"] for each in holds}
        context: dict[str, Any] = {
            "holds": holds,
            "switches": [
                {**await self._switch(target, is_paused=target in pauses), "is_held": target in held}
                for target in SWITCHES
            ],
            "batches": [
                await self._switch(target, is_paused=True)
                for target in sorted(pauses)
                if target.startswith(BATCH)
            ],
        }
        return await render(request, "holds.html", **context)

    async def _switch(self, target: str, *, is_paused: bool) -> dict[str, Any]:
        """Return one thing that can be paused, with who did it last where it is."""
        kind, _, name = target.partition(":")
        affected = await self._ledger.survey.affected(target)
        record = await self._ledger.batches.get(name) if kind == "batch" else None
        last = None
        if is_paused:
            found = await self._ledger.trail.find(act="pause", subject=target, limit=1)
            last = found.items[0] if found.items else None
        return {
            "target": target,
            "kind": kind if name else "lane",
            "name": name or target,
            "batch_name": record.name if record else None,
            "is_paused": is_paused,
            "waiting": affected.jobs,
            "since": iso(last.at_ms) if last else None,
            "by": last.by if last else None,
            "why": last.why if last else None,
        }

    @requires(Role.OPERATOR)
    async def clear(self, request: web.Request) -> web.StreamResponse:
        """Clear one hold, having seen why it stands."""
        form = await read_form(request)
        target = _target(form, {*Lane, CALLS})
        reason = await self._commands.clear_hold(
            target, by=operator_of(request).by, why=why_of(form), since_ms=_since_ms(form)
        )
        if reason is not None:
            return see("/holds", told="clear")
        is_held = target != CALLS and await self._holds.hold(target) is not None
        return see("/holds", told="held_anew" if is_held else "not_held")

    @requires(Role.OPERATOR)
    async def pause(self, request: web.Request) -> web.StreamResponse:
        """Let a lane take no new jobs, or a channel no new messages."""
        form = await read_form(request)
        await self._commands.pause(_target(form, set(SWITCHES)), by=operator_of(request).by, why=why_of(form))
        return see("/holds", told="pause")

    @requires(Role.OPERATOR)
    async def resume(self, request: web.Request) -> web.StreamResponse:
        """End a pause."""
        form = await read_form(request)
        target = _target(form, {*SWITCHES, ALL})
        await self._commands.resume(target, by=operator_of(request).by, why=why_of(form))
        return see("/holds", told="resume")


def _since_ms(form: Form) -> int | None:
    """Return since when the hold stands that was seen; None where the form does not say."""
    since = form.word("since")
    try:
        return round(datetime.fromisoformat(since).timestamp() * 1000) if since else None
    except ValueError:
        raise web.HTTPBadRequest from None


def _target(form: Form, known: set[str]) -> str:
    """Return what the form is about; batches are known by their ids."""
    target = form.word("target")
    if target in known or (target.startswith(BATCH) and len(target) > len(BATCH)):
        return target
    raise web.HTTPBadRequest
