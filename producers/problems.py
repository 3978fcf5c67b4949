"""Errors over HTTP as `application/problem+json` (RFC 9457): what is wrong, where, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

from worker.domain.parse import Problem
from worker.ledger import LedgerFull, LedgerUnavailable
from worker.telemetry import log

PROBLEM_TYPE = "application/problem+json"
#: Paths whose errors machines read. All others belong to the console, which shows pages.
MACHINE_PATHS = ("/v1/", "/crm/", "/provider/", "/healthz", "/readyz", "/metrics", "/openapi.json")
FULL_RETRY_S = 60  #: a full ledger empties at the partner's rate: asking sooner is no use
UNAVAILABLE_RETRY_S = 5  #: about what a failover takes

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def as_json(document: Any) -> str:
    """Return the document as compact JSON text, letters of every script as themselves."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def problem(
    status: int,
    kind: str,
    title: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> web.Response:
    """Return a problem response; *kind* is its stable name, *more* are further members."""
    document = {
        "type": f"urn:linkferry:problem:{kind}",
        "title": title,
        "status": status,
        "detail": detail,
        **more,
    }
    return web.Response(
        status=status, text=as_json(document), content_type=PROBLEM_TYPE, headers=dict(headers or {})
    )


def invalid(problems: Iterable[Problem]) -> web.Response:
    """Return 422 with every problem of the request: field, code, detail and remedy."""
    errors = [as_error(found) for found in problems]
    count = "One field needs" if len(errors) == 1 else f"{len(errors)} fields need"
    return problem(
        422,
        "invalid-request",
        "The request is not valid",
        f"{count} mending; nothing was recorded.",
        errors=errors,
    )


def as_error(found: Problem) -> dict[str, str]:
    """Return a problem as a member of `errors` or `warnings`."""
    return {"field": found.field, "code": found.code, "detail": found.message, "remedy": found.remedy}


def not_found(detail: str) -> web.Response:
    """Return 404."""
    return problem(404, "not-found", "Not found", detail)


def unavailable() -> web.Response:
    """Return 503 for a Redis that does not answer."""
    return problem(
        503,
        "unavailable",
        "The ledger does not answer",
        "Nothing is promised about this request. Send it again with the same data: it is never done twice.",
        headers={"Retry-After": str(UNAVAILABLE_RETRY_S)},
    )


def full() -> web.Response:
    """Return 503 for a ledger that takes no more."""
    return problem(
        503,
        "full",
        "No room for more",
        "As many jobs wait as this installation may hold. Nothing was recorded; send it again later.",
        headers={"Retry-After": str(FULL_RETRY_S)},
    )


def internal() -> web.Response:
    """Return 500 for a fault of our own."""
    return problem(
        500, "internal", "Something went wrong here", "It was logged. Sending the request again is safe."
    )


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever goes wrong on a machine's path into a problem document without private details."""
    if not request.path.startswith(MACHINE_PATHS):
        return await handler(request)
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _of_http_error(error)
    except LedgerUnavailable:
        return unavailable()
    except LedgerFull:
        return full()
    except Exception as error:  # noqa: BLE001 - the last net: a caller gets an answer whatever happens
        # The text of an exception may hold the very data that upset it: only its type and place are told.
        where = place_of(error)
        log.error("request_failed", route=_route_of(request), error=type(error).__name__, at=where)  # noqa: TRY400 - its text is private
        return internal()


def _of_http_error(error: web.HTTPException) -> web.StreamResponse:
    if error.status < 400 or error.content_type == PROBLEM_TYPE:
        raise error
    headers = {name: error.headers[name] for name in ("Allow", "Retry-After") if name in error.headers}
    kind = error.reason.lower().replace(" ", "-")
    return problem(
        error.status, kind, error.reason, _DETAILS.get(error.status, error.reason), headers=headers
    )


_DETAILS = {
    404: "There is nothing at this path. /openapi.json lists what there is.",
    405: "This path does not take this method. /openapi.json lists what there is.",
    413: "The body is larger than 1 MiB.",
}


def _route_of(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unknown"


def place_of(error: BaseException) -> str:
    """Return the function and line where *error* was raised, which is all that may be told of where it comes from."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
