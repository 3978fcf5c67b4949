"""Our own events, posted to the address in EVENTS_URL and signed by Standard Webhooks.

At least once: an answer that was lost means that the event is posted again, with the same `webhook-id`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any, Protocol

import aiohttp

from worker.clock import Clock
from worker.domain.outgoing import NotTold, OutgoingEvent, SinkBusy, SinkGone, TellFault, Telling, Told
from worker.domain.standard_webhooks import ID_HEADER, TIMESTAMP_HEADER, SigningSecret, signed_headers

#: One post, from the name look-up to the answer's end. Standard Webhooks asks for 15 to 30 seconds.
TOTAL_TIMEOUT_S = 15.0
#: A receiver that throttles without saying for how long.
BUSY_PAUSE_S = 60.0
_LONGEST_PAUSE_S = 3_600.0
#: What is read of an answer; nothing in it is needed, but a connection whose answer was read can be used again.
_ANSWER_LIMIT = 16 * 1024
_MAX_CONNECTIONS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What came of one post, and what a person may want to see of it."""

    telling: Telling
    answer: str = ""  #: the beginning of the answer's text
    error: str = ""  #: the error's kind where there was no answer


class Posting(Protocol):
    """What can be posted: an event, an alert."""

    @property
    def id(self) -> str:
        """Return its `webhook-id`: the same however often it is posted."""
        ...

    def document(self) -> dict[str, Any]:
        """Return what is said, ready for JSON."""
        ...


class WebhookSink:
    """Posts events to one address, signed where there are *secrets*. Use within one event loop, and `aclose` it."""

    def __init__(
        self,
        url: str,
        secrets: Sequence[SigningSecret],
        *,
        clock: Clock,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:
        self._url = url
        self._secrets = tuple(secrets)
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=total_timeout_s)
        self._session: aiohttp.ClientSession | None = None

    @property
    def mark(self) -> str:
        """Return what tells this address from another one, and nothing else of it."""
        return hashlib.sha256(self._url.encode()).hexdigest()[:16]

    async def aclose(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, event: OutgoingEvent) -> Telling:
        """Post *event* and return what came of it; raises nothing."""
        return (await self.post(event)).telling

    async def post(self, event: Posting) -> Posted:
        """Post *event* and return what came of it with the beginning of the answer; raises nothing."""
        body = json.dumps(event.document(), ensure_ascii=False, separators=(",", ":")).encode()
        headers = self._headers(event.id, body) | {"Content-Type": "application/json"}
        try:
            # A redirect is an answer like any other that is no 2xx: signed events go where the setting says.
            async with self._opened().post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                seen = await _read(answer)
                telling = outcome_of(answer.status, answer.headers.get("Retry-After"), now=self._clock.now())
                return Posted(telling=telling, answer=seen)
        except TimeoutError:
            return Posted(telling=NotTold(fault=TellFault.TIMED_OUT), error="Timeout")
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            return Posted(telling=NotTold(fault=TellFault.UNREACHABLE), error=type(exc).__name__)

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        now_s = self._clock.now_ms() // 1000
        if not self._secrets:
            return {ID_HEADER: message_id, TIMESTAMP_HEADER: str(now_s)}
        return signed_headers(self._secrets, message_id, now_s, body)

    def _opened(self) -> aiohttp.ClientSession:
        # Made on first use: a session belongs to the loop that runs then.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS),
                timeout=self._timeout,
                # An answer is looked at as it comes: what a packed one would unfold to is nobody's business here.
                auto_decompress=False,
                headers={"User-Agent": f"Linkferry/{version('linkferry')}", "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def outcome_of(status: int, retry_after: str | None, *, now: datetime) -> Telling:
    """Return what an HTTP answer means for the event, by Standard Webhooks' rules.

    2xx: taken. 410: no more events. 429, and 503 with `Retry-After`: come back later, no try used up. Else: try again.
    """
    if 200 <= status < 300:
        return Told(status=status)
    if status == 410:
        return SinkGone(status=status)
    pause_s = _pause_s(retry_after, now)
    if status == 429:
        return SinkBusy(fault=TellFault.THROTTLED, delay_s=pause_s or BUSY_PAUSE_S, status=status)
    if status == 503 and pause_s is not None:
        return SinkBusy(fault=TellFault.UNAVAILABLE, delay_s=pause_s, status=status)
    return NotTold(fault=TellFault.REDIRECTED if 300 <= status < 400 else TellFault.REFUSED, status=status)


def _pause_s(header: str | None, now: datetime) -> float | None:
    """Return `Retry-After` in seconds, between one and an hour; None where it says nothing that can be understood."""
    text = (header or "").strip()
    seconds: float | None = None
    if text.isascii() and text.isdigit():
        seconds = float(text[:9])
    elif text:
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            at = parsedate_to_datetime(text)
            seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    return None if seconds is None else min(max(seconds, 1.0), _LONGEST_PAUSE_S)


async def _read(answer: aiohttp.ClientResponse) -> str:
    """Return the beginning of the answer; an endless one is cut off with its connection."""
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > _ANSWER_LIMIT:
            answer.close()
            break
    return bytes(body[:_ANSWER_LIMIT]).decode("utf-8", errors="replace")
