"""One call of a CRM's JSON API: one deadline, a capped body, no redirects, no retries, no cookies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from producers.crm.model import FetchLaterError
from worker.partner.wire import inflate
from worker.telemetry import log

BODY_CAP = 8 * 1024 * 1024
# Parsing a long answer on the loop would delay every heartbeat of the process.
_PARSED_ASIDE = 256 * 1024
#: Idle connections go before a server closes them: a call into a closing one is lost.
_KEEPALIVE_S = 4.0


@dataclass(frozen=True, slots=True)
class JsonReply:
    """An answer read to its end; `body` is None where it was no JSON object, or larger than the cap."""

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, Any] | None


class JsonCaller:
    """Calls one CRM, which *name* names in logs. Use within one event loop, and `aclose` it.

    *timeout_s* is a call's total deadline.
    """

    def __init__(self, name: str, *, authorization: str, timeout_s: float) -> None:
        self._name = name
        self._authorization = authorization
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, method: str, url: str, body: Mapping[str, Any]) -> JsonReply:
        """Send *body* as JSON and return the answer, whatever its status.

        Raises:
            FetchLaterError: no answer came.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                request = self._opened().request(
                    method, url, data=json.dumps(body).encode(), allow_redirects=False
                )
                async with request as response:
                    return JsonReply(response.status, dict(response.headers), await _object_of(response))
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            log.warning("crm_unreachable", crm=self._name, error=type(exc).__name__)
            raise FetchLaterError("crm_unreachable") from exc

    def _opened(self) -> aiohttp.ClientSession:
        # Made on first use: a session belongs to the loop that runs then.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=8, keepalive_timeout=_KEEPALIVE_S, ttl_dns_cache=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                # The one deadline is `asyncio.timeout` around the whole call.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
                headers={
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    "Authorization": self._authorization,
                    "Content-Type": "application/json",
                    "User-Agent": "linkferry",
                },
                auto_decompress=False,
            )
        return self._session


async def _object_of(response: aiohttp.ClientResponse) -> Mapping[str, Any] | None:
    pieces: list[bytes] = []
    left = BODY_CAP
    async for piece in response.content.iter_any():
        left -= len(piece)
        if left < 0:
            response.close()
            return None
        pieces.append(piece)
    body = inflate(b"".join(pieces), response.headers.get("Content-Encoding", ""), cap=BODY_CAP) or b""
    return await asyncio.to_thread(_parsed, body) if len(body) > _PARSED_ASIDE else _parsed(body)


def _parsed(body: bytes) -> Mapping[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
