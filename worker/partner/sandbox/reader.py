"""Reads the captured outbox of a sandbox that runs somewhere else on this machine."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import aiohttp

from worker.partner.sandbox.outbox import Captured

_TIMEOUT_S = 5.0


class OutboxUnavailableError(Exception):
    """The sandbox does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedPage:
    """Some messages, newest first, without their texts."""

    items: tuple[Captured, ...]
    total: int  #: that match


async def read_outbox(
    url: str, *, kind: str | None = None, to: str | None = None, limit: int
) -> CapturedPage:
    """Return the newest *limit* messages of the sandbox at *url*; *to* is any part of the recipient.

    Raises:
        OutboxUnavailableError: it does not answer, or not as a sandbox does.
    """
    asked = {"brief": "1", "limit": str(limit), "kind": kind, "to": to}
    answer = await _get(url, "/sandbox/outbox", {name: value for name, value in asked.items() if value})
    if answer is None:
        raise OutboxUnavailableError
    return CapturedPage(items=tuple(_captured(each) for each in answer["items"]), total=int(answer["total"]))


async def read_message(url: str, message_id: str) -> Captured | None:
    """Return one message, or None where the sandbox at *url* has no such one; raises OutboxUnavailableError."""
    answer = await _get(url, f"/sandbox/outbox/{message_id}.json", {})
    return None if answer is None else _captured(answer)


async def _get(url: str, path: str, params: dict[str, str]) -> dict[str, Any] | None:
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url.rstrip("/") + path, params=params, allow_redirects=False) as response,
        ):
            if response.status == 404:
                return None
            response.raise_for_status()
            answer = await response.json()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise OutboxUnavailableError from error
    if not isinstance(answer, dict):
        raise OutboxUnavailableError
    return answer


def _captured(told: dict[str, Any]) -> Captured:
    known = {each.name for each in fields(Captured)}
    try:
        return Captured(**{name: value for name, value in told.items() if name in known})
    except TypeError as error:
        raise OutboxUnavailableError from error
