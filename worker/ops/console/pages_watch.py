"""`/watch`: links and numbers that somebody should look after, in groups to act on."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from worker.domain.roles import Role
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.gate import requires
from worker.ops.console.view import render
from worker.ops.watching import span_word, watch


def routes(deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the route of what is watched."""
    return [web.get("/watch", WatchPages(deps).show)]


class WatchPages:
    """What is watched."""

    def __init__(self, deps: ConsoleDeps) -> None:
        self._scene = deps.scene

    @requires(Role.VIEWER)
    async def show(self, request: web.Request) -> web.StreamResponse:
        """Answer with the groups; each leads to its list, where bulk acts begin."""
        found = await watch(self._scene)
        lists = {
            "vanished": "/jobs?state=failed&reason=link_vanished",
            "open_long": f"/jobs?state=linked&older_than={span_word(self._scene.link_open_s)}",
        }
        return await render(request, "watch.html", found=found, lists=lists)
