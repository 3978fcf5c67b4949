"""Puts the sandbox together: the API, the pages, the SMS ways, and the tester's own controls under `/sandbox/`."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from aiohttp import web

from worker.partner.sandbox.api import PartnerApi
from worker.partner.sandbox.door import Door
from worker.partner.sandbox.outbox import Captured, Outbox
from worker.partner.sandbox.pages import Pages
from worker.partner.sandbox.settings import FaultError, Faults, SandboxSettings
from worker.partner.sandbox.sms import SmsCatcher
from worker.partner.sandbox.state import SandboxState

_DEFAULT_PAGE = 200


class Sandbox:
    """All parts of one sandbox. Tests may reach into `state`, `outbox` and `faults` directly."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        # A copy: a run's faults must not leak into the next sandbox built from the same settings.
        self.faults = Faults()
        self.faults.update(settings.faults.as_dict())
        self.state = SandboxState(settings.state_file)
        self.state.usual_webhook_url = settings.webhook_url
        self.outbox = Outbox(most=settings.outbox_most, folder=settings.outbox_folder)
        self.door = Door(settings, self.state, self.faults)
        self.api = PartnerApi(self.door)
        self.pages = Pages(self.state, self.outbox, settings=settings, faults=self.faults)
        self.sms = SmsCatcher(settings, self.outbox, self.faults)


SANDBOX: web.AppKey[Sandbox] = web.AppKey("sandbox", Sandbox)


def build_sandbox(settings: SandboxSettings | None = None) -> web.Application:
    """Return the sandbox as a web application; its parts are under the key `SANDBOX`.

    Links carry the address that `app[SANDBOX].api.public_url` names: set it once the port is known.
    """
    sandbox = Sandbox(settings or SandboxSettings())
    app = web.Application()
    app[SANDBOX] = sandbox
    controls = _Controls(sandbox)
    app.add_routes(
        [*controls.routes(), *sandbox.pages.routes(), *sandbox.sms.routes(), *sandbox.api.routes()]
    )
    app.cleanup_ctx.append(_closing)
    return app


async def _closing(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[SANDBOX].pages.close()
    app[SANDBOX].state.close()


class _Controls:
    """What a tester may ask and change."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        """Return a route per control."""
        return [
            web.get("/sandbox/state", self._state),
            web.get("/sandbox/calls", self._calls),
            web.get("/sandbox/faults", self._faults),
            web.post("/sandbox/faults", self._set_faults),
            web.delete("/sandbox/faults", self._no_faults),
            web.get("/sandbox/outbox", self._outbox),
            web.get(r"/sandbox/outbox/{id:\d+}.json", self._message),
            web.delete("/sandbox/outbox", self._clear_outbox),
            web.post("/sandbox/numbers", self._numbers),
            web.post("/sandbox/finish", self._finish),
            web.post("/sandbox/reset", self._reset),
        ]

    async def _state(self, _request: web.Request) -> web.Response:
        return web.json_response(self._sandbox.state.as_dict())

    async def _calls(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": list(self._sandbox.state.call_log)})

    async def _faults(self, _request: web.Request) -> web.Response:
        return web.json_response(self._sandbox.faults.as_dict())

    async def _set_faults(self, request: web.Request) -> web.Response:
        """Change some faults: `{"drop_after": 0.1}`; the others stay."""
        try:
            self._sandbox.faults.update(await _object(request))
        except FaultError as exc:
            return web.json_response({"error": str(exc)}, status=422)
        return await self._faults(request)

    async def _no_faults(self, request: web.Request) -> web.Response:
        self._sandbox.faults.reset()
        return await self._faults(request)

    async def _outbox(self, request: web.Request) -> web.Response:
        """Tell the messages, newest first: `?kind=mail&to=dana&limit=50&brief=1`."""
        query = request.query
        limit = int(query["limit"]) if query.get("limit", "").isdecimal() else _DEFAULT_PAGE
        found = list(self._sandbox.outbox.newest(kind=query.get("kind"), to=query.get("to")))
        is_brief = query.get("brief") == "1"
        items = [_told(entry, is_brief=is_brief) for entry in itertools.islice(found, limit)]
        return web.json_response({"items": items, "next": None, "total": len(found)})

    async def _message(self, request: web.Request) -> web.Response:
        entry = self._sandbox.outbox.get(request.match_info["id"])
        if entry is None:
            raise web.HTTPNotFound
        return web.json_response(asdict(entry))

    async def _clear_outbox(self, _request: web.Request) -> web.Response:
        self._sandbox.outbox.clear()
        return web.json_response({"total": 0})

    async def _numbers(self, request: web.Request) -> web.Response:
        """Say of numbers what they are: `{"registered": […], "unregistered": […], "foreign": […], "finished": […]}`."""
        body = await _object(request)
        state, api = self._sandbox.state, self._sandbox.api
        for number in body.get("registered", []):
            state.register(str(number))
        for number in body.get("unregistered", []):
            state.unregister(str(number))
        for name in ("foreign", "finished"):
            for number in body.get(name, []):
                api.plant(
                    str(number),
                    reference=body.get("reference", "someone-else"),
                    is_finished=name == "finished",
                )
        return web.json_response({"status": "OK"})

    async def _finish(self, request: web.Request) -> web.Response:
        """Let customers finish: `{"references": […]}`; answers how many did."""
        body = await _object(request)
        links = [
            link
            for reference in body.get("references", [])
            for link in self._sandbox.state.by_reference.get(str(reference), [])
            if link.is_live and link.finished_at is None
        ]
        for link in links:
            self._sandbox.pages.finish(link)
        return web.json_response({"finished": len(links)})

    async def _reset(self, _request: web.Request) -> web.Response:
        """Forget links, calls, messages and faults; tokens end."""
        self._sandbox.state.reset()
        self._sandbox.outbox.clear()
        self._sandbox.faults.reset()
        self._sandbox.door.tokens.revoke_all()
        return web.json_response({"status": "OK"})


def _told(entry: Captured, *, is_brief: bool) -> dict[str, Any]:
    told = asdict(entry)
    if is_brief:
        for name in ("text", "html", "headers"):
            del told[name]
    return told


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read() or b"{}")
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise web.HTTPUnprocessableEntity(text='{"error": "the body is no JSON object"}')
    return body
