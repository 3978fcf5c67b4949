"""SMS over HTTP, at most once: what may have been sent is a doubt for an operator, never sent again by itself.

No provider we know takes an idempotency key here, so a lost answer leaves the send in doubt (fact F5). Every text
has a connection of its own: on a reused one a server's silent goodbye would look like a lost answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Self

import aiohttp

from worker.dispatch.fails import fail
from worker.dispatch.messages import SmsMessage
from worker.dispatch.sms_answers import SmsAnswer, SmsProvider, SmsRequest
from worker.domain.outcome import ChannelDown, DeliveryDoubt, DeliveryOutcome, DeliveryRetry, Undelivered

UNREACHABLE_PAUSE_S = 30.0
LEASE_LOST_DELAY_S = 1.0
#: Our own slowness says nothing about the recipient: it must not use his tries up.
LEASE_LOST_MAX_FAILURES = 100
_ANSWER_LIMIT = 64 * 1024
_MAX_CONNECTIONS = 16


class SmsDispatcher:
    """Sends texts by one provider. Use within one event loop, and `aclose` it (or `async with`)."""

    def __init__(
        self, provider: SmsProvider, *, connect_timeout_s: float = 10.0, total_timeout_s: float = 30.0
    ) -> None:
        self._provider = provider
        self._timeout = aiohttp.ClientTimeout(total=total_timeout_s, connect=connect_timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def dispatch(
        self,
        message: SmsMessage,
        *,
        before_data: Callable[[], Awaitable[bool]],
        deadline_s: float | None = None,
    ) -> DeliveryOutcome:
        """Send *message* and return what came of it; raises only what *before_data* raises.

        Args:
            message: what to send.
            before_data: awaited once, on the open connection, before the request's first byte: records that the
                send begins. False (the lease is lost): nothing is sent.
            deadline_s: seconds the lease has left, looked at again right before the first byte.
        """
        request = self._provider.request(message)
        if isinstance(request, Undelivered):
            return request
        ends_in_s = float("inf") if deadline_s is None else deadline_s
        send = _Send(before_data, asyncio.get_running_loop().time() + ends_in_s)
        try:
            answer = await self._post(request, send)
        except _LeaseLostError:
            return DeliveryRetry(
                fail=fail("lease_lost"), delay_s=LEASE_LOST_DELAY_S, max_failures=LEASE_LOST_MAX_FAILURES
            )
        except (aiohttp.ClientError, OSError, UnicodeError) as exc:
            return _broken(exc, send)
        return self._provider.outcome(answer, message)

    async def _post(self, request: SmsRequest, send: _Send) -> SmsAnswer:
        guard = _current_send.set(send)
        try:
            async with self._opened().post(
                request.url, data=dict(request.form), headers=request.headers, allow_redirects=False
            ) as response:
                body = await _read(response)
                return SmsAnswer(
                    http_status=response.status,
                    text=body.decode("utf-8", errors="replace"),
                    retry_after_s=_seconds(response.headers.get("Retry-After")),
                )
        finally:
            _current_send.reset(guard)

    def _opened(self) -> aiohttp.ClientSession:
        # Made on first use: a session belongs to the loop that runs then.
        if self._session is None:
            connector = _GuardedConnector(force_close=True, limit=_MAX_CONNECTIONS)
            self._session = aiohttp.ClientSession(connector=connector, timeout=self._timeout)
        return self._session


class _LeaseLostError(Exception):
    """The lease was lost before the request began."""


@dataclass(slots=True)
class _Send:
    """One text on its way."""

    before_data: Callable[[], Awaitable[bool]]
    must_begin_by_s: float  #: on the event loop's clock, which goes on while a process is stopped
    is_begun: bool = False

    async def begin(self) -> None:
        """Have the ledger told; raises _LeaseLostError where the text must not leave."""
        if not await self.before_data() or asyncio.get_running_loop().time() >= self.must_begin_by_s:
            raise _LeaseLostError
        self.is_begun = True


_current_send: ContextVar[_Send] = ContextVar("_current_send")


class _GuardedConnector(aiohttp.TCPConnector):
    """A connector that asks the lease between the open connection and the request's first byte."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[aiohttp.tracing.Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the overridden method's own signature
    ) -> aiohttp.connector.Connection:
        """Return a connection on which the send may begin; raises _LeaseLostError where it may not."""
        connection = await super().connect(req, traces, timeout)
        try:
            await _current_send.get().begin()
        except BaseException:
            connection.close()
            raise
        return connection


def _broken(exc: Exception, send: _Send) -> DeliveryOutcome:
    """Return what a call without a whole answer means: once it had begun, nobody knows."""
    detail = type(exc).__name__
    if send.is_begun:
        return DeliveryDoubt(fail=fail("sms_in_doubt", detail=detail))
    return ChannelDown(fail=fail("sms_unreachable", detail=detail), pause_s=UNREACHABLE_PAUSE_S)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Return the body, up to a cap: whatever is longer is no answer of an SMS provider."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _ANSWER_LIMIT:
            break
    return bytes(body[:_ANSWER_LIMIT])


def _seconds(header: str | None) -> float | None:
    with contextlib.suppress(ValueError, TypeError):
        return float(int(header or ""))
    return None
