"""What the server says of itself, as far as it may be asked: hosted ones forbid some, stand-ins know none of it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from redis import exceptions as server_errors

from worker.ledger.errors import translate, translated
from worker.ledger.scripts import Scripts, text

_SIGNS_OF_PATTERNS = "\\*?[]^-"


def beginning_with(prefix: str) -> str:
    """Return the pattern of all keys that begin with *prefix*, whose signs mean nothing but themselves."""
    return "".join(f"\\{sign}" if sign in _SIGNS_OF_PATTERNS else sign for sign in prefix) + "*"


async def info(scripts: Scripts, *sections: str) -> dict[str, str]:
    """Return what those sections of INFO say, nothing of one that is not known; raises LedgerUnavailable."""
    facts: dict[str, str] = {}
    for section in sections:
        facts |= await _told(scripts.redis.info(section))
    return facts


async def setting(scripts: Scripts, name: str) -> str:
    """Return a setting of the server's, or nothing where it may not be asked; raises LedgerUnavailable."""
    return next(iter((await _told(scripts.redis.config_get(name))).values()), "")


async def _told(question: Awaitable[Mapping[Any, Any]]) -> dict[str, str]:
    with translated():
        try:
            reply = await question
        except server_errors.ResponseError as error:
            if translate(error) is not error:
                raise
            return {}
    return {text(name): text(value) for name, value in reply.items()}
