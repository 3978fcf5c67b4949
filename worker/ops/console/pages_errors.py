"""What went wrong, as a page: what it means and what to do, and nothing private about the fault."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aiohttp import web

from worker.ledger import LedgerFull, LedgerUnavailable
from worker.limits import LimitsUnavailable
from worker.ops.console.deps import ConsoleDeps
from worker.ops.console.errors import (
    BadFormError,
    ForeignOriginError,
    NotSignedInError,
    RoleMissingError,
    StaleTokenError,
)
from worker.ops.console.headers import IS_BEGUN
from worker.ops.console.i18n import N_
from worker.ops.console.roles import USER, user_of
from worker.ops.console.throttle import Throttle
from worker.ops.console.view import render
from worker.ops.console.whence import sent_from
from worker.ops.passwords import TooBusyError
from worker.ops.trail import AuditTrail
from worker.telemetry import log

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_RETRY_S = "5"
_LONGEST_TARGET = 128
#: In one piece and with a letter: neither a telephone number nor an address.
_is_id = re.compile(r"(?=[^a-z]*[a-z])[a-z0-9_.-]+", re.ASCII).fullmatch
_BARE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Linkferry</title>'
    "<h1>Something went wrong here</h1><p>It was logged. Go back and try again.</p></html>"
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """One kind of page of errors."""

    status: int
    title: str  #: English; the template translates both
    text: str
    retry_s: str | None = None


_INTERNAL = Trouble(
    500, N_("Something went wrong here"), N_("It was logged. Go back and try again; nothing is done twice.")
)
_GONE_REDIS = Trouble(
    503,
    N_("The ledger does not answer"),
    N_("Redis is away or starting. No job is lost: the page can be loaded again as soon as it answers."),
    _RETRY_S,
)
_FULL = Trouble(
    503,
    N_("Redis takes no more writes"),
    N_("Its memory or disk is used up. Nothing was changed. Give it room; `linkferry doctor` says more."),
    _RETRY_S,
)
_BUSY = Trouble(503, N_("Too many sign-ins at once"), N_("Wait a few seconds, then try again."), _RETRY_S)
_STALE = Trouble(
    403,
    N_("This page is out of date"),
    N_("It was made for another session, and nothing was done. Reload it, then do it again."),
)
_FOREIGN = Trouble(
    403,
    N_("The request came from another site"),
    N_(
        "Nothing was done. If it was you: open the console by its own address, and see that PUBLIC_URL names it."
    ),
)
_BY_STATUS = {
    400: Trouble(400, N_("The form cannot be read"), N_("Nothing was done. Go back and send it again.")),
    404: Trouble(
        404, N_("There is no such page"), N_("The address is wrong, or what it showed has been pruned.")
    ),
    405: Trouble(405, N_("That cannot be done to this page"), N_("Follow the links of the console.")),
    408: Trouble(408, N_("The form did not arrive in time"), N_("Nothing was done. Send it again.")),
    413: Trouble(413, N_("The form is too large"), N_("Nothing was done. Choose less at a time.")),
    415: Trouble(415, N_("That is no form of the console"), N_("Nothing was done.")),
}


#: What is known, its page, and for a request that somebody was perhaps made to send, its cause as recorded.
_KNOWN: tuple[tuple[type[Exception], Trouble, str | None], ...] = (
    (StaleTokenError, _STALE, "stale_token"),
    (ForeignOriginError, _FOREIGN, "foreign_origin"),
    (LedgerUnavailable, _GONE_REDIS, None),
    (LimitsUnavailable, _GONE_REDIS, None),
    (LedgerFull, _FULL, None),
    (TooBusyError, _BUSY, None),
)


def error_middleware(deps: ConsoleDeps) -> Any:
    """Return the middleware that turns whatever goes wrong on the console's paths into a page."""

    @web.middleware
    async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        if deps.is_machine(request.path):
            return await handler(request)
        try:
            return await handler(request)
        except NotSignedInError:
            return await _to_sign_in(request)
        except RoleMissingError as error:
            await _record(deps, request, "role_refused", needed=error.role.value)
            return await _role_page(request, error)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return await _refused(error, deps, request)
        except Exception as error:  # noqa: BLE001 - the last net: a person gets a page whatever happens
            return await _answer_of(error, deps, request)

    return errors


async def _refused(error: web.HTTPException, deps: ConsoleDeps, request: web.Request) -> web.StreamResponse:
    erased = await _erased_of(request, deps) if error.status == 404 else None
    if erased is not None:
        return await _rendered(request, 410, {}, template="erased.html", erased=erased)
    return await _page(request, _of_status(error.status), headers=_kept(error))


async def _erased_of(request: web.Request, deps: ConsoleDeps) -> dict[str, Any] | None:
    """Return who erased the job that *request* asks for, when and why; None where nobody did, or the ledger is away."""
    with contextlib.suppress(LedgerUnavailable):
        return await AuditTrail(deps.ledger).erased(request.match_info.get("job_id", ""))
    return None


async def _answer_of(error: Exception, deps: ConsoleDeps, request: web.Request) -> web.StreamResponse:
    if request.get(IS_BEGUN):
        return _cut_off(request, error)
    return await _page(request, await _trouble_of(error, deps, request))


async def _trouble_of(error: Exception, deps: ConsoleDeps, request: web.Request) -> Trouble:
    if isinstance(error, BadFormError):
        return _of_status(error.status)
    for kind, trouble, cause in _KNOWN:
        if isinstance(error, kind):
            if cause is not None:
                await _record(deps, request, "request_refused", cause=cause)
            return trouble
    # The text of an exception may hold the very data that upset it: only its type and place are told.
    log.error("page_failed", route=_route_of(request), error=type(error).__name__, at=_place_of(error))
    return _INTERNAL


def _cut_off(request: web.Request, error: Exception) -> web.StreamResponse:
    """End the connection in the middle of an answer: a file that is not whole must not look as if it were."""
    if not isinstance(error, ConnectionError):  # else the reader has gone
        log.error("answer_cut_off", route=_route_of(request), error=type(error).__name__, at=_place_of(error))
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # goes nowhere


async def _to_sign_in(request: web.Request) -> web.StreamResponse:
    """Lead to the sign-in page and from there back; a part of a page cannot, so its script loads the page again."""
    if request.headers.get("HX-Request") == "true":
        return web.Response(status=401)
    is_form = request.method not in {"GET", "HEAD"}
    wanted = await _page_of(request)
    said = {"next": wanted if wanted != "/" else None, "ended": "1" if is_form else None}
    words = "&".join(f"{name}={quote(value, safe='')}" for name, value in said.items() if value)
    return web.Response(status=303, headers={"Location": f"/login?{words}" if words else "/login"})


async def _page_of(request: web.Request) -> str:
    """Return what can be loaded in a request's place: the page itself, with all of its address.

    What a form would have done is not done by loading: of one it is the page that it was sent from; where none can be
    loaded, as of a reveal, the overview.
    """
    if request.method in {"GET", "HEAD"}:
        return "/" + request.raw_path.lstrip("/\\")  # two slashes would lead to another host
    page = sent_from(request) or "/"
    found = await request.app.router.resolve(request.clone(method="GET", rel_url=page))
    return page if found.http_exception is None else "/"


async def _role_page(request: web.Request, error: RoleMissingError) -> web.StreamResponse:
    return await _rendered(request, 403, {}, template="error_role.html", needed=error.role.value)


async def _page(
    request: web.Request, trouble: Trouble, *, headers: dict[str, str] | None = None
) -> web.StreamResponse:
    more = dict(headers or {})
    if trouble.retry_s is not None:
        more["Retry-After"] = trouble.retry_s
    again = await _page_of(request)
    return await _rendered(request, trouble.status, more, template="error.html", trouble=trouble, again=again)


async def _rendered(
    request: web.Request, status: int, headers: dict[str, str], *, template: str, **context: Any
) -> web.StreamResponse:
    response = None
    for _ in range(2):
        try:
            response = await render(request, template, status=status, **context)
            break
        except Exception as error:  # noqa: BLE001 - its navigation may need the very thing that is gone
            log.warning("error_page_failed", error=type(error).__name__)
            request.pop(USER, None)
    if response is None:
        response = web.Response(text=_BARE, status=status, content_type="text/html")
    response.headers.update(headers)
    return response


async def _record(deps: ConsoleDeps, request: web.Request, act: str, **detail: str) -> None:
    """Leave a refusal in the trail, where it is known whose it was."""
    user = user_of(request)
    log.warning("console_request_refused", act=act, route=_route_of(request), **detail)
    target = _target_of(request)
    if target:
        detail["target"] = target
    if user is not None:
        with contextlib.suppress(LedgerUnavailable, LedgerFull):  # the answer is the same
            if await Throttle(deps.ledger).may_record_of(user.name):
                await deps.ledger.trail.record(
                    act, by=user.by, subject=_route_of(request), detail={"method": request.method, **detail}
                )


def _of_status(status: int) -> Trouble:
    return _BY_STATUS.get(status) or Trouble(status, _BY_STATUS[400].title, _BY_STATUS[400].text)


def _kept(error: web.HTTPException) -> dict[str, str]:
    return {name: error.headers[name] for name in ("Allow", "Retry-After") if name in error.headers}


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


def _target_of(request: web.Request) -> str | None:
    """Return the id of what the address is about: a job, an act, a batch. What cannot be one of ours is left out."""
    named = next(iter(request.match_info.values()), "")
    return named if len(named) <= _LONGEST_TARGET and _is_id(named) else None


def _place_of(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "unknown" if trace is None else f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
