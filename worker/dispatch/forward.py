"""Passes what the partner's webhook told on to a system that listened before, as it came."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version

import aiohttp

_TOTAL_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """What came of passing one report on."""

    is_taken: bool
    status: int | None = None  #: None: no answer
    error: str = ""  #: the error's kind where there was no answer


async def pass_on(url: str, body: bytes, *, content_type: str) -> Passed:
    """Post *body* to *url* and return what came of it; a redirect is no taking. Raises nothing that it expects."""
    headers = {"Content-Type": content_type or "application/json", "User-Agent": _user_agent()}
    try:
        # A session for each: the partner tells of something now and then, and nothing is left open.
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TOTAL_TIMEOUT_S)) as http,
            http.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            return Passed(is_taken=200 <= answer.status < 300, status=answer.status)
    except TimeoutError:
        return Passed(is_taken=False, error="Timeout")
    except (aiohttp.ClientError, OSError, ValueError) as exc:
        return Passed(is_taken=False, error=type(exc).__name__)


def _user_agent() -> str:
    return f"Linkferry/{version('linkferry')}"
