"""The console's own files: a style sheet, htmx and a small script of ours. Served to everybody: the sign-in page needs them."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.gate import public
from worker.ops.console.view import STATIC_PATH, read_statics

_FOREVER = "public, max-age=31536000, immutable"


def routes(_deps: ConsoleDeps) -> Iterable[web.RouteDef]:
    """Return the route of the static files."""
    return [web.get(f"{STATIC_PATH}/{{name}}", serve_static)]


@public
async def serve_static(request: web.Request) -> web.Response:
    """Answer with a shipped file, to be kept for ever where its address carries its version."""
    static = read_statics().get(request.match_info["name"])
    if static is None:
        raise web.HTTPNotFound
    etag = f'"{static.version}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if request.query.get("v") == static.version:
        headers["Cache-Control"] = _FOREVER
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=static.body, headers={**headers, "Content-Type": static.content_type})
