"""What a form sent, read once: within bounds, in time, as text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import parse_qsl

from aiohttp import web

from worker.ops.console.errors import BadFormError

MOST_BYTES = 256 * 1024  #: a selection of a few thousand ids fits
_MOST_FIELDS = 10_000
_DEADLINE_S = 15.0
_TYPE = "application/x-www-form-urlencoded"


class Form:
    """The fields of a form, in the order they came."""

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        """Hold names and values."""
        self._pairs = tuple(pairs)

    def text(self, name: str, *, default: str = "") -> str:
        """Return the field's first value as it was typed; *default* where it was not sent."""
        return next((value for key, value in self._pairs if key == name), default)

    def word(self, name: str) -> str:
        """Return the field's first value without the blanks around it."""
        return self.text(name).strip()

    def has(self, name: str) -> bool:
        """Tell whether the field was sent, as a ticked box is."""
        return any(key == name for key, _ in self._pairs)

    def all(self, name: str) -> list[str]:
        """Return every value of a field, as of ticked rows."""
        return [value for key, value in self._pairs if key == name]

    def fields(self) -> dict[str, str]:
        """Return each field's first value, without those that begin with an underscore: they are the gate's."""
        found: dict[str, str] = {}
        for key, value in self._pairs:
            if not key.startswith("_"):
                found.setdefault(key, value)
        return found


_FORM: web.RequestKey[Form] = web.RequestKey("form", Form)


async def read_form(request: web.Request) -> Form:
    """Return what the request's form says, an empty one where it has no body; handlers after the gate get it at once.

    Raises:
        BadFormError: not a form, too large, not UTF-8, cut off, or it does not come to an end.
    """
    if _FORM not in request:
        request[_FORM] = _parsed(await _body(request), request.content_type)
    return request[_FORM]


async def _body(request: web.Request) -> bytes:
    if not request.body_exists:
        return b""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise BadFormError(415)
    if (request.content_length or 0) > MOST_BYTES:
        raise BadFormError(413)
    body = bytearray()
    try:
        async with asyncio.timeout(_DEADLINE_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise BadFormError(413)
    except TimeoutError as error:
        raise BadFormError(408) from error
    except (ConnectionError, web.RequestPayloadError) as error:  # who sent it has gone
        raise BadFormError(400) from error
    return bytes(body)


def _parsed(body: bytes, content_type: str) -> Form:
    if not body:
        return Form()
    if content_type != _TYPE:
        raise BadFormError(415)
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError as error:
        raise BadFormError(400) from error
    return Form(pairs)
