"""Who calls: the name behind the API key that a request shows, and the answer to one that shows none which holds."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Protocol

from aiohttp import web

from producers.problems import problem
from worker.clock import Clock, SystemClock
from worker.telemetry import Stats, log

MAX_SECRET_LENGTH = 256
REFUSED = "api_refused"  #: the counter of requests without a key that holds, by reason
_NOTED_EVERY_S = 60.0


class KeyRing(Protocol):
    """What is needed of the ledger's keys."""

    async def check(self, secret: str) -> str | None:
        """Return the name of the key with that secret, or None; raises LedgerUnavailable."""
        ...


class Callers:
    """Tells who calls, by the keys of the settings and those that the ledger keeps."""

    def __init__(
        self,
        keys: KeyRing,
        bootstrap_keys: Sequence[str] = (),
        *,
        stats: Stats | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Look in *keys* and *bootstrap_keys*; count in *stats* who is refused."""
        self._keys = keys
        self._bootstrap = {f"key-{_digest(key)[:8]}": _digest(key) for key in bootstrap_keys if key}
        self._stats = stats or Stats()
        self._clock = clock or SystemClock()
        self._quiet_until_s = 0.0  #: by the clock's monotonic seconds

    async def name_of(self, request: web.Request) -> str | None:
        """Return the name of the key that the caller shows, or None; raises LedgerUnavailable."""
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            self._refuse("no_key")
            return None
        found = await self._holder(secret) if len(secret) <= MAX_SECRET_LENGTH else None
        if found is None:
            self._refuse("wrong_key")
        return found

    async def _holder(self, secret: str) -> str | None:
        shown = _digest(secret)
        # Every key is compared, so that the time taken tells nothing about any of them.
        matches = [name for name, known in self._bootstrap.items() if hmac.compare_digest(shown, known)]
        return matches[0] if matches else await self._keys.check(secret)

    def _refuse(self, reason: str) -> None:
        """Count it; and say so in the log now and then: a program that goes on with a revoked key tells nobody else."""
        self._stats.count(REFUSED, reason=reason)
        now_s = self._clock.monotonic()
        if now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + _NOTED_EVERY_S
            log.warning("api_request_refused", reason=reason, remedy="linkferry key list")


def unauthorized(detail: str = "Send `Authorization: Bearer <api key>`.") -> web.Response:
    """Return 401, and how to get a key."""
    response = problem(
        401,
        "unauthorized",
        "No valid API key",
        f"{detail} `linkferry key add NAME` makes one.",
        headers={"WWW-Authenticate": 'Bearer realm="linkferry"'},
    )
    response.force_close()  # whatever else a stranger sends is not read
    return response


def _digest(secret: str) -> str:
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
