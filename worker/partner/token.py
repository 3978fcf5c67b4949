"""The access token: one for the fleet, renewed a little early, asked for by one caller at a time.

The partner blocks an address after too many wrong tries, so refused credentials are never tried again on our
own account: the refusal is handed to a guard that holds all calls, and the guard alone allows a probe.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from worker.clock import Clock, SystemClock
from worker.domain.outcome import Answered, Ending, NotDone
from worker.domain.token import StoredToken
from worker.telemetry import log

DEFAULT_LIFE_S = 3_600.0  #: documented: a token lives an hour
RENEW_EARLY_S = 300.0
RENEW_EARLY_SHARE = 0.2  #: of a life too short for the above
LOCK_TTL_S = 60.0  #: outlives one token call and its wait for a slot, so that only a dead holder loses it
POLL_S = 0.05
# After a failed try callers get its answer again for a while, so that a thousand jobs make one token call.
COOL_DOWN_FIRST_S = 1.0
COOL_DOWN_MOST_S = 5.0

CODE_REFUSED = 2
CODE_BLOCKED = 3
# What these say holds for every call, not for the token's alone.
_SAME_FOR_EVERY_CALL = frozenset({"partner_throttled", "partner_not_found_path"})
# A token goes into a header: printable ASCII and nothing that could end the line.
_TOKEN = re.compile(r"[!-~]{1,8192}")


class TokenStore(Protocol):
    """Where the fleet keeps its token."""

    async def load(self) -> StoredToken | None:
        """Return the token kept, dead or alive, or None."""
        ...

    async def save(self, token: StoredToken) -> None:
        """Keep *token* in place of any other."""
        ...

    async def drop(self, value: str) -> None:
        """Forget the token if it is still *value*: a newer one stays."""
        ...

    async def try_lock(self, holder: str, ttl_s: float) -> bool:
        """Take the right to ask for a token, for at most *ttl_s*; False when another has it."""
        ...

    async def unlock(self, holder: str) -> None:
        """Give the right back if it is still *holder*'s."""
        ...


class CredentialsGuard(Protocol):
    """Who holds the fleet's calls after the partner refused our credentials."""

    async def hold_credentials(self, fingerprint: str, code: int) -> None:
        """Hold all calls: the credentials of this *fingerprint* were refused with *code* (2 wrong, 3 blocked)."""
        ...

    async def may_probe(self, fingerprint: str) -> bool:
        """Tell whether these credentials may be tried now; True when nothing is held. A probe is granted once."""
        ...

    async def clear_credentials(self) -> None:
        """Let calls go on: the credentials were accepted."""
        ...


@dataclass(frozen=True, slots=True)
class TokenReply:
    """What the call for a token came to, with the partner's own time of answering, where it said it."""

    ending: Ending
    date: str = ""  #: the HTTP `Date` header


Fetch = Callable[[], Awaitable[TokenReply]]


def fingerprint_of(client_id: str, client_secret: str) -> str:
    """Return 16 characters that change with the credentials and do not give them away."""
    return hashlib.sha256(f"{client_id}\0{client_secret}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class _Held:
    value: str
    expires_ms: int
    renew_ms: int

    @classmethod
    def of(cls, token: StoredToken, now_ms: int) -> _Held:
        left_ms = token.expires_ms - now_ms
        early_ms = min(RENEW_EARLY_S * 1000, RENEW_EARLY_SHARE * left_ms)
        return cls(token.value, token.expires_ms, int(token.expires_ms - early_ms))


async def _always() -> bool:
    return True


class TokenKeeper:
    """Hands out the fleet's access token.

    In one process a single flight serves all callers; among processes the store's lock does. A token that is
    about to run out is renewed in the background while it still serves.

    *slot* is awaited before each token call and takes it a place in the partner's rate; False means that calls
    are stopped just now. It must not be stopped by a credentials hold, which *guard* has weighed by then.
    """

    def __init__(
        self,
        tokens: TokenStore,
        *,
        guard: CredentialsGuard,
        slot: Callable[[], Awaitable[bool]] = _always,
        clock: Clock | None = None,
        patience_s: float = 45.0,
    ) -> None:
        self._tokens = tokens
        self._guard = guard
        self._slot = slot
        self._clock: Clock = clock or SystemClock()
        self._patience_s = patience_s
        self._holder = secrets.token_hex(8)
        self._fetch: Fetch | None = None
        self._fingerprint = ""
        self._held: _Held | None = None
        self._dropped = ""
        self._flight: asyncio.Task[str | NotDone] | None = None
        self._failure: NotDone | None = None
        self._refused_with: int | None = None  # a refusal that the guard has not been told of yet
        self._cool_until = 0.0
        self._cool_down_s = COOL_DOWN_FIRST_S

    def attach(self, fetch: Fetch, *, fingerprint: str) -> None:
        """Say how a token is asked for, and for which credentials; until then there are none."""
        self._fetch = fetch
        self._fingerprint = fingerprint

    async def token(self) -> str | NotDone:
        """Return a living token, or why there is none: nothing has been sent with a token then."""
        if self._fetch is None:
            return NotDone(reason="credentials_missing")
        now_ms, held = self._clock.now_ms(), self._held
        if held is not None and now_ms < held.renew_ms:
            return held.value
        serves_still = held is not None and now_ms < held.expires_ms
        if self._failure is not None and self._clock.monotonic() < self._cool_until:
            return held.value if held is not None and serves_still else self._failure
        if self._flight is None:
            self._flight = asyncio.create_task(self._fly(), name="access-token")
        if held is not None and serves_still:
            return held.value
        # Shielded: one impatient caller must not end the flight that others wait for.
        return await asyncio.shield(self._flight)

    async def drop(self, value: str) -> None:
        """Forget *value*, which the partner no longer takes; a newer token stays."""
        self._dropped = value
        if self._held is not None and self._held.value == value:
            self._held = None
        try:
            await self._tokens.drop(value)
        except Exception as exc:  # noqa: BLE001 - the caller holds the partner's answer and must not lose it
            log.warning("token_store_failed", error=type(exc).__name__)

    async def aclose(self) -> None:
        """End a renewal that is under way."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    async def _fly(self) -> str | NotDone:
        try:
            async with asyncio.timeout(self._patience_s):
                found = await self._obtain()
        except TimeoutError:
            found = NotDone(reason="token_unavailable", detail="waited in vain for the token")
        except Exception as exc:  # noqa: BLE001 - whatever a store raises, no call was sent: that is the answer
            log.warning("token_store_failed", error=type(exc).__name__)
            found = NotDone(reason="token_unavailable", detail=type(exc).__name__)
        finally:
            self._flight = None
        self._remember(found)
        return found

    def _remember(self, found: str | NotDone) -> None:
        if isinstance(found, str):
            self._failure, self._cool_down_s = None, COOL_DOWN_FIRST_S
            return
        self._failure = found
        self._cool_until = self._clock.monotonic() + self._cool_down_s
        self._cool_down_s = min(self._cool_down_s * 2, COOL_DOWN_MOST_S)

    async def _obtain(self) -> str | NotDone:
        while not await self._tokens.try_lock(self._holder, LOCK_TTL_S):
            if (value := await self._shared()) is not None:
                return value
            await asyncio.sleep(POLL_S)
        try:
            return await self._shared() or await self._ask()
        finally:
            await self._tokens.unlock(self._holder)

    async def _shared(self) -> str | None:
        """Return the store's token if it is good for a while yet."""
        stored, now_ms = await self._tokens.load(), self._clock.now_ms()
        if stored is None or stored.value == self._dropped or stored.expires_ms <= now_ms:
            return None
        if self._held is None or self._held.value != stored.value:
            self._held = _Held.of(stored, now_ms)
        return self._held.value if now_ms < self._held.renew_ms else None

    async def _ask(self) -> str | NotDone:
        if self._fetch is None:
            return NotDone(reason="credentials_missing")
        if self._refused_with is not None:
            return await self._hold(self._refused_with)
        if not await self._guard.may_probe(self._fingerprint):
            return NotDone(reason="token_refused", detail="credentials are held")
        if not await self._slot():
            return NotDone(reason="calls_paused", detail="no token call just now")
        reply = await self._fetch()
        if isinstance(reply.ending, Answered) and reply.ending.is_ok:
            return await self._take(reply.ending.body, reply.date)
        return await self._refused(reply.ending)

    async def _take(self, body: Mapping[str, Any], date: str) -> str | NotDone:
        value = body.get("access_token")
        if not isinstance(value, str) or not _TOKEN.fullmatch(value):
            return NotDone(reason="token_unavailable", detail="the token's answer holds no token")
        now_ms = self._clock.now_ms()
        life_s = life_of(body.get("expiration_time"), date, now_s=now_ms / 1000)
        token = StoredToken(value=value, expires_ms=now_ms + int(life_s * 1000))
        self._held = _Held.of(token, now_ms)
        await self._tokens.save(token)
        await self._guard.clear_credentials()
        return value

    async def _refused(self, ending: Ending) -> NotDone:
        code = refusal_code(ending)
        if code is None:
            return _out_of_reach(ending)
        log.warning("credentials_refused", code=code)
        return await self._hold(code)

    async def _hold(self, code: int) -> NotDone:
        # Remembered until the guard has it: were it lost, refused credentials would be tried a second time.
        self._refused_with = code
        await self._guard.hold_credentials(self._fingerprint, code)
        self._refused_with = None
        reason = "token_blocked" if code == CODE_BLOCKED else "token_refused"
        return NotDone(reason=reason, detail=f"code {code}")


def _out_of_reach(ending: Ending) -> NotDone:
    """Return the ending of a call that got no token, though nobody refused one: no token was used anywhere."""
    detail = "" if isinstance(ending, Answered) else f"{ending.reason}: {ending.detail}"
    if isinstance(ending, NotDone) and ending.reason in _SAME_FOR_EVERY_CALL:
        return replace(ending, detail=detail)
    return NotDone(reason="token_unavailable", detail=detail, http_status=ending.http_status)


def refusal_code(ending: Ending) -> int | None:
    """Return the code with which credentials were refused, None where the answer was no refusal.

    A 401 without a readable body counts as 2 (wrong), a 403 as 3 (blocked), and any other FAIL as itself: what
    is not understood must not be tried again on our own account either.
    """
    if isinstance(ending, Answered):
        return CODE_REFUSED if ending.code is None else ending.code
    if isinstance(ending, NotDone):
        return {401: CODE_REFUSED, 403: CODE_BLOCKED}.get(ending.http_status or 0)
    return None


def life_of(expiration: object, date: str, *, now_s: float) -> float:
    """Return how many seconds a token lives from now.

    *expiration* is documented as unix seconds in a string. It is read by the partner's own clock (*date*, its
    `Date` header) where that is given, so that neither clock has to be right. What cannot be, counts as an hour.
    """
    try:
        end_s = float(str(expiration)) if not isinstance(expiration, bool) else 0.0
    except ValueError:
        return DEFAULT_LIFE_S
    if not 0 < end_s < 1e15:
        return DEFAULT_LIFE_S
    if end_s > 1e11:  # milliseconds
        end_s /= 1000
    life_s = end_s if end_s < 1e8 else end_s - _server_s(date, now_s)
    return life_s if 0 < life_s <= 400 * 86_400 else DEFAULT_LIFE_S


def _server_s(date: str, now_s: float) -> float:
    try:
        at: datetime = parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError):
        return now_s
    # The header has whole seconds: it is trusted only where it tells a clock that is really off.
    return at.timestamp() if at.tzinfo is not None and abs(at.timestamp() - now_s) > 5 else now_s
