"""The partner's access token, shared by the fleet, and the lock under which one process fetches a new one."""

from __future__ import annotations

from redis.asyncio import Redis

from worker.domain.token import StoredToken
from worker.limits.scripts import NowUs, load, text, translated

#: A token lives an hour; Redis forgets it a day later. Tidiness only: who uses it looks at `expires_ms`.
_FORGET_AFTER_S = 86_400


class TokenStore:
    """The fleet's shared token."""

    def __init__(self, redis: Redis, *, namespace: str, name: str = "partner", now_us: NowUs = None) -> None:
        self._redis = redis
        self._now_us = now_us
        self._token_key = f"{{{namespace}}}:limit:{name}:token"
        self._lock_key = f"{{{namespace}}}:limit:{name}:token_lock"
        self._drop = load(redis, "tokens/drop")
        self._lock = load(redis, "tokens/lock")
        self._unlock = load(redis, "tokens/unlock")

    async def load(self) -> StoredToken | None:
        """Return the token that somebody fetched last, perhaps run out, or None.

        Raises:
            LimitsUnavailable: Redis did not answer.
        """
        with translated():
            kept = await self._redis.get(self._token_key)
        expires, _, value = text(kept or "").partition(" ")
        return StoredToken(value=value, expires_ms=int(expires)) if value and expires.isdigit() else None

    async def save(self, token: StoredToken) -> None:
        """Share a token that was just fetched.

        Raises:
            LimitsUnavailable: Redis did not answer; the token may be shared or not.
        """
        entry = f"{max(0, token.expires_ms)} {token.value}"
        with translated():
            await self._redis.set(self._token_key, entry, ex=_FORGET_AFTER_S)

    async def drop(self, value: str) -> None:
        """Forget the token *value*, which the partner refused; another one, fetched since, stays.

        Raises:
            LimitsUnavailable: Redis did not answer.
        """
        with translated():
            await self._drop(keys=[self._token_key], args=[value])

    async def try_lock(self, holder: str, ttl_s: float) -> bool:
        """Take (or prolong) the right to fetch a token, for *ttl_s*. False: another holds it.

        Raises:
            LimitsUnavailable: Redis did not answer; the lock may be taken.
        """
        now = "" if self._now_us is None else str(self._now_us())
        with translated():
            args = [holder, int(ttl_s * 1e6), now]
            return bool(await self._lock(keys=[self._lock_key], args=args))

    async def unlock(self, holder: str) -> None:
        """Give that right back, if it is still this holder's.

        Raises:
            LimitsUnavailable: Redis did not answer; the lock ends by itself.
        """
        with translated():
            await self._unlock(keys=[self._lock_key], args=[holder])
