"""The partner API over HTTP. One call is one request: no retries, no redirects, and always an ending.

Every call ends as `NotDone` (surely nothing happened there), `Answered` (in the partner's own terms) or
`Unanswered` (nobody knows). All that may go wrong with a foreign server is told apart here and nowhere else.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace, TracebackType
from typing import Any, Protocol, Self

import aiohttp

from worker.clock import Clock, SystemClock
from worker.domain.outcome import AccountEntry, Answered, Ending, NotDone, RegisteredNumber, Unanswered
from worker.partner import lists
from worker.partner.token import Fetch, TokenReply, fingerprint_of
from worker.partner.wire import CODE_TOKEN_EXPIRED, Reply, inflate, masked, read_ending
from worker.telemetry import log

TOKEN_PATH = "/settings/accessToken"  # noqa: S105 - a path, not a secret
CREATE_FACEBOOK_PATH = "/facebook/createOnboarding"
ACCOUNTS_PATH = "/whatsapp/getAccounts"
REGISTERED_PATH = "/whatsapp/getRegisteredNumbers"
DELETE_PATH = "/whatsapp/deleteAccount"
SET_WEBHOOK_PATH = "/settings/setWebhook"
GET_WEBHOOK_PATH = "/settings/getWebhook"

BODY_CAP = 64 * 1024
LIST_CAP = 64 * 1024 * 1024  #: some 100,000 rows: a list comes in one piece
LIST_TIMEOUT_S = 60.0
# Parsing a long list on the loop would delay every heartbeat and every slot of the rate.
_PARSED_ASIDE = 256 * 1024
_JSON = {"Content-Type": "application/json"}
# Common servers close an idle connection after 5 s. Ours go first: a request written into a connection that is
# just being closed could not be told from one that was taken, and would put a create in doubt.
_IDLE_CONNECTION_S = 4.0


class Gate(Protocol):
    """Who slows the fleet down when the partner asks for it."""

    async def obey(self, headers: Mapping[str, str], status: int) -> None:
        """Take note of an answer's rate headers and HTTP status."""
        ...


class Tokens(Protocol):
    """What the client needs of a `TokenKeeper`."""

    def attach(self, fetch: Fetch, *, fingerprint: str) -> None:
        """Say how a token is asked for."""
        ...

    async def token(self) -> str | NotDone:
        """Return a living token, or why there is none."""
        ...

    async def drop(self, value: str) -> None:
        """Forget a token that the partner no longer takes."""
        ...

    async def aclose(self) -> None:
        """End a token call that is under way."""
        ...


@dataclass(frozen=True, slots=True)
class _Limits:
    """How long one call may last in all, and how much may come back."""

    timeout_s: float
    cap: int


@dataclass(slots=True)
class _Trail:
    """How far a request got."""

    may_be_sent: bool = False


class _DroppedError(Exception):
    """The connection was lost after a request may have been sent.

    Not one of aiohttp's own errors, and that is its point: on those aiohttp sends a GET or DELETE a second time.
    """


class PartnerClient:
    """Calls the partner API. Use as an async context manager; one per process, shared by all its tasks.

    *timeout_s* is the total deadline of a call, from the name look-up to the last byte; the two lists, which
    come in one piece, have *list_timeout_s*. Without both credentials every call is NotDone(credentials_missing), and nothing is sent.
    """

    def __init__(  # noqa: PLR0913 - all keyword-only, and all are settings or parts
        self,
        *,
        base_url: str,
        client_id: str | None,
        client_secret: str | None,
        tokens: Tokens,
        gate: Gate,
        timeout_s: float = 15.0,
        list_timeout_s: float = LIST_TIMEOUT_S,
        create_path: str = "/whatsapp/createAccount",
        clock: Clock | None = None,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ValueError("the partner's base URL must begin with http:// or https://")
        self._base_url = base_url.rstrip("/")
        self._credentials = {"client_id": client_id, "client_secret": client_secret}
        self._tokens = tokens
        self._gate = gate
        self._create_path = "/" + create_path.lstrip("/")
        self._clock: Clock = clock or SystemClock()
        self._call = _Limits(timeout_s, BODY_CAP)
        self._list = _Limits(list_timeout_s, LIST_CAP)
        self._session: aiohttp.ClientSession | None = None
        if client_id and client_secret:
            tokens.attach(self._fetch_token, fingerprint=fingerprint_of(client_id, client_secret))

    async def __aenter__(self) -> Self:
        self._session = _open_session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tokens.aclose()
        await self._entered().close()

    async def token(self) -> str | NotDone:
        """Return a living access token, or why no call can be made now; worth asking before a slot is taken."""
        return await self._tokens.token()

    async def create_whatsapp(self, body: Mapping[str, Any]) -> Ending:
        """Create a WhatsApp onboarding link; *body* as from `wire.create_body`."""
        return await self._authorised("POST", self._create_path, body)

    async def create_facebook(self, body: Mapping[str, Any]) -> Ending:
        """Create a Facebook or Instagram onboarding link; *body* as from `wire.create_body`."""
        return await self._authorised("POST", CREATE_FACEBOOK_PATH, body)

    async def delete_account(self, number: str) -> Ending:
        """Delete the unfinished link of *number*: irreversible, and it frees the number."""
        return await self._authorised("DELETE", DELETE_PATH, {"whatsapp": number})

    async def get_accounts(self) -> list[AccountEntry] | NotDone | Unanswered:
        """Return every WhatsApp link of the account: all of them, or why not; never a part."""
        ending = await self._authorised("GET", ACCOUNTS_PATH, None, self._list)
        return await asyncio.to_thread(lists.read_list, ending, lists.account_entry)

    async def get_registered(self) -> list[RegisteredNumber] | NotDone | Unanswered:
        """Return every registered and not yet connected number: all of them, or why not; never a part."""
        ending = await self._authorised("GET", REGISTERED_PATH, None, self._list)
        return await asyncio.to_thread(lists.read_list, ending, lists.registered_number)

    async def set_webhook(self, url: str) -> Ending:
        """Set the address that completions are announced to; at most 512 characters."""
        return await self._authorised("POST", SET_WEBHOOK_PATH, {"url": url})

    async def get_webhook(self) -> Ending:
        """Ask for the address that completions are announced to."""
        return await self._authorised("GET", GET_WEBHOOK_PATH, None)

    async def _authorised(
        self, method: str, path: str, body: Mapping[str, Any] | None, limits: _Limits | None = None
    ) -> Ending:
        limits = limits or self._call
        ends_at_s = asyncio.get_running_loop().time() + limits.timeout_s
        token = await self._tokens.token()
        if isinstance(token, NotDone):
            return token
        if asyncio.get_running_loop().time() >= ends_at_s:
            # Waiting for a token is part of the call: a process that was stopped meanwhile must send nothing late.
            return NotDone(reason="token_unavailable", detail="the token came after the call's deadline")
        headers = {"Authorization": f"Bearer {token}"}
        ending, _ = await self._once(method, path, body, headers=headers, limits=limits, ends_at_s=ends_at_s)
        if _is_token_refused(ending):
            await self._tokens.drop(token)
            return NotDone(
                reason="token_expired", detail="the token was not taken", http_status=ending.http_status
            )
        return ending

    async def _fetch_token(self) -> TokenReply:
        ending, reply = await self._once("POST", TOKEN_PATH, self._credentials, headers={}, limits=self._call)
        return TokenReply(ending, "" if reply is None else reply.headers.get("Date", ""))

    async def _once(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        *,
        headers: Mapping[str, str],
        limits: _Limits,
        ends_at_s: float | None = None,
    ) -> tuple[Ending, Reply | None]:
        """Make one call: send, read, parse, tell the gate. *ends_at_s*: by the loop's clock; else its whole time."""
        session, trail = self._entered(), _Trail()
        if ends_at_s is None:
            ends_at_s = asyncio.get_running_loop().time() + limits.timeout_s
        try:
            async with asyncio.timeout_at(ends_at_s):
                request = session.request(
                    method,
                    self._base_url + path,
                    data=None if body is None else json.dumps(body).encode(),
                    headers={**headers, **({} if body is None else _JSON)},
                    allow_redirects=False,
                    trace_request_ctx=trail,
                )
                async with request as response:
                    reply = await _read(response, limits.cap)
        except Exception as exc:  # noqa: BLE001 - whatever was raised, the request was sent or it was not
            return _lost(exc, trail), None
        if isinstance(reply, Unanswered):
            return reply, None
        await self._tell_gate(reply)
        if len(reply.body) > _PARSED_ASIDE:
            return await asyncio.to_thread(read_ending, reply, now=self._clock.now()), reply
        return read_ending(reply, now=self._clock.now()), reply

    def _entered(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the partner client has not been entered")
        return self._session

    async def _tell_gate(self, reply: Reply) -> None:
        try:
            await self._gate.obey(reply.headers, reply.http_status)
        except Exception as exc:  # noqa: BLE001 - the answer is worth more than the gate's note of it
            log.warning("gate_failed", error=type(exc).__name__)


async def _read(response: aiohttp.ClientResponse, cap: int) -> Reply | Unanswered:
    """Return the answer read to its end, or Unanswered when it is larger than *cap* bytes."""
    chunks: list[bytes] = []
    left = cap
    async for chunk in response.content.iter_any():
        left -= len(chunk)
        if left < 0:
            response.close()
            break
        chunks.append(chunk)
    encoding = response.headers.get("Content-Encoding", "")
    body = None if left < 0 else inflate(b"".join(chunks), encoding, cap=cap)
    if body is None:
        return Unanswered(
            reason="partner_unreadable",
            detail=f"HTTP {response.status}, unreadable or larger than {cap} bytes",
            http_status=response.status,
        )
    return Reply(http_status=response.status, headers=response.headers, body=body)


def _lost(exc: Exception, trail: _Trail) -> NotDone | Unanswered:
    """Return the ending of a call that brought no whole answer."""
    what = masked(f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__, keep=200)
    if not trail.may_be_sent:
        return NotDone(reason="partner_unreachable", detail=what)
    reason = "partner_timeout" if isinstance(exc, TimeoutError) else "partner_dropped"
    return Unanswered(reason=reason, detail=what)


def _is_token_refused(ending: Ending) -> bool:
    if isinstance(ending, NotDone):
        return ending.http_status == 401
    if not isinstance(ending, Answered) or ending.is_ok:
        return False
    return ending.http_status == 401 or ending.code == CODE_TOKEN_EXPIRED


def _open_session() -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_note_headers_sent)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_CONNECTION_S, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        # The one deadline is `asyncio.timeout` around the whole call: a trickling peer defeats read timeouts.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "linkferry"},
        auto_decompress=False,
        trace_configs=[trace],
        middlewares=(_never_twice,),
    )


async def _note_headers_sent(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _params: aiohttp.TraceRequestHeadersSentParams,
) -> None:
    # Raised just before the first byte is written: all that fails earlier surely did nothing.
    context.trace_request_ctx.may_be_sent = True


async def _never_twice(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a GET or DELETE again over a new connection when the old one is lost."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise _DroppedError(type(exc).__name__) from exc
