"""Reading a request's body under limits of size and time, so that no client can cost more than he should."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from producers.problems import problem

MAX_BODY_BYTES = 1024 * 1024
BODY_DEADLINE_S = 10.0  #: for the whole body, from the first byte to the last: a trickle does not extend it


class BadBodyError(Exception):
    """The body was turned away; `response` says why."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


async def read_body(
    request: web.Request, *, max_bytes: int = MAX_BODY_BYTES, deadline_s: float = BODY_DEADLINE_S
) -> bytes:
    """Return the whole body.

    Raises:
        BadBodyError: too large (413, by its header or by count), too slow (408), compressed (415), cut off (400).
    """
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
        # A small compressed body may be a large one inside.
        raise BadBodyError(_refusal(415, "compressed", "Send the body without Content-Encoding."))
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    chunks, size = [], 0
    try:
        async with asyncio.timeout(deadline_s):
            while chunk := await request.content.readany():
                size += len(chunk)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                chunks.append(chunk)
    except TimeoutError:
        late = f"The body did not arrive within {deadline_s:g} s."
        raise BadBodyError(_refusal(408, "too-slow", late)) from None
    except (ConnectionError, web.RequestPayloadError):
        raise BadBodyError(_refusal(400, "cut-off", "The body ended before its end.")) from None
    return b"".join(chunks)


async def read_json_object(request: web.Request, *, deadline_s: float = BODY_DEADLINE_S) -> dict[str, Any]:
    """Return the body as a JSON object.

    Raises:
        BadBodyError: as `read_body`; or not declared as JSON (415), not JSON (400), not an object (400).
    """
    if request.content_type != "application/json" and not request.content_type.endswith("+json"):
        raise BadBodyError(
            _refusal(415, "not-json", "Send JSON, with Content-Type: application/json.", "Accept")
        )
    return parse_json_object(await read_body(request, deadline_s=deadline_s))


def parse_json_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object that *raw* holds.

    Raises:
        BadBodyError: 400, with the place of the mistake.
    """
    try:
        document = json.loads(
            raw.decode(), parse_constant=_refuse_constant, object_pairs_hook=_refuse_twice_named
        )
    except UnicodeDecodeError as error:
        raise BadBodyError(_broken(f"The body is not UTF-8: byte {error.start + 1}.")) from None
    except json.JSONDecodeError as error:
        raise BadBodyError(_broken(f"Line {error.lineno}, column {error.colno}: {error.msg}.")) from None
    except RecursionError:
        raise BadBodyError(_broken("It is nested too deeply.")) from None
    except ValueError as error:
        raise BadBodyError(_broken(str(error))) from None
    if not isinstance(document, dict):
        raise BadBodyError(_broken("The body must be one JSON object."))
    return document


def _refuse_constant(word: str) -> None:
    raise _NotJsonError(f"{word} is not JSON.")


def _refuse_twice_named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Readers disagree on which of two values counts, so neither does.
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _NotJsonError("A name occurs twice in one object.")
    return members


class _NotJsonError(ValueError):
    """Text that `json` would let pass."""


def _too_large(max_bytes: int) -> BadBodyError:
    return BadBodyError(_refusal(413, "too-large", f"The body is larger than {max_bytes:,} bytes."))


def _broken(detail: str) -> web.Response:
    return problem(400, "broken-json", "The body is not a JSON object", detail)


_TITLES = {400: "Bad request", 408: "Too slow", 413: "Too large", 415: "Unsupported media type"}


def _refusal(status: int, kind: str, detail: str, accept_header: str | None = None) -> web.Response:
    headers = {accept_header: "application/json"} if accept_header else {}
    response = problem(status, kind, _TITLES[status], detail, headers=headers)
    response.force_close()  # the rest of the body is not wanted
    return response
