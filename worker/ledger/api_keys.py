"""Named, revocable keys for the HTTP API. Only their hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from worker.ledger.errors import translated
from worker.ledger.keys import UNIT_SEPARATOR, Keys
from worker.ledger.scripts import Scripts, text

_SECRET_BYTES = 24
_PREFIX = "lf_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key, without its secret."""

    name: str
    added_at_ms: int


class ApiKeys:
    """The keys that callers of the HTTP API hold."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def add(self, name: str) -> str:
        """Make a key and return its secret, which is told only this once.

        Raises ValueError when the name is taken or is not one line of text, LedgerUnavailable.
        """
        if not name or not name.isprintable():
            raise ValueError("a key needs a name of one line")
        if any(key.name == name for key in await self.list()):
            raise ValueError(f"there is a key named {name!r} already")
        secret = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        value = f"{name}{UNIT_SEPARATOR}{await self._scripts.now()}"
        with translated():
            await self._scripts.redis.hset(self._keys.api_keys, _hash(secret), value)
        return secret

    async def list(self) -> Sequence[ApiKey]:
        """Return the keys, oldest first; raises LedgerUnavailable."""
        keys = [ApiKey(name=name, added_at_ms=int(added_ms)) for _, name, added_ms in await self._rows()]
        return sorted(keys, key=lambda key: (key.added_at_ms, key.name))

    async def revoke(self, name: str) -> bool:
        """Delete the key of that name; return False when there is none. Raises LedgerUnavailable."""
        hashes = [its_hash for its_hash, its_name, _ in await self._rows() if its_name == name]
        if hashes:
            with translated():
                await self._scripts.redis.hdel(self._keys.api_keys, *hashes)
        return bool(hashes)

    async def check(self, secret: str) -> str | None:
        """Return the name of the key with that secret, or None; compares with all in constant time.

        Raises LedgerUnavailable.
        """
        asked, found = _hash(secret), None
        for its_hash, name, _ in await self._rows():
            if hmac.compare_digest(asked, its_hash):
                found = name
        return found

    async def _rows(self) -> Sequence[tuple[str, str, str]]:
        with translated():
            rows = await self._scripts.redis.hgetall(self._keys.api_keys)
        parts = ((text(its_hash), text(value).split(UNIT_SEPARATOR)) for its_hash, value in rows.items())
        return [(its_hash, name, added_ms) for its_hash, (name, added_ms) in parts]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
