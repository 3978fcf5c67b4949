"""Named, revocable keys for the HTTP API. Only their hashes are kept."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from worker.ledger.errors import LedgerError, translated
from worker.ledger.keys import UNIT_SEPARATOR, Keys
from worker.ledger.scripts import Scripts, text

_SECRET_BYTES = 24
_PREFIX = "lf_"
MOST_NAME_LETTERS = 64
#: How rarely a key's use is written down: the trail of a busy key must not cost a write per request.
_NOTE_USE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key, without its secret."""

    name: str
    added_at_ms: int
    added_by: str | None = None  #: None: by a version that did not say
    used_at_ms: int | None = None  #: to the minute or so; None: never, or before this was written down


@dataclass(frozen=True, slots=True)
class _Row:
    hash: str
    name: str
    added_at_ms: int
    added_by: str | None


class ApiKeys:
    """The keys that callers of the HTTP API hold."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys
        self._noted_at_s: dict[str, float] = {}  # by hash: when this process last wrote its use down

    async def add(self, name: str, *, by: str = "") -> str:
        """Make a key and return its secret, which is told only this once.

        Raises ValueError when the name is taken or is not one short line of text, LedgerUnavailable, LedgerFull.
        """
        if not name.strip() or not name.isprintable() or len(name) > MOST_NAME_LETTERS:
            raise ValueError("a key needs a name of one short line")
        secret = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        if int(await self._scripts.run("key_add", _hash(secret), name, by)) == 0:
            raise ValueError(f"there is a key named {name!r} already")
        return secret

    async def list(self) -> Sequence[ApiKey]:
        """Return the keys, oldest first; raises LedgerUnavailable."""
        with translated():
            uses = await self._scripts.redis.hgetall(self._keys.api_key_uses)
        used_at_ms = {text(its_hash): int(text(at_ms)) for its_hash, at_ms in uses.items()}
        keys = [
            ApiKey(
                name=row.name,
                added_at_ms=row.added_at_ms,
                added_by=row.added_by,
                used_at_ms=used_at_ms.get(row.hash),
            )
            for row in await self._rows()
        ]
        return sorted(keys, key=lambda key: (key.added_at_ms, key.name))

    async def revoke(self, name: str, *, by: str = "") -> bool:
        """Make the key of that name useless from now on; return False when there is none. Raises LedgerUnavailable."""
        return int(await self._scripts.run("key_revoke", name, by)) > 0

    async def check(self, secret: str) -> str | None:
        """Return the name of the key with that secret, or None; compares with all in constant time.

        Raises LedgerUnavailable.
        """
        asked, found = _hash(secret), None
        for row in await self._rows():
            if hmac.compare_digest(asked, row.hash):
                found = row
        if found is None:
            return None
        await self._note_use(found.hash)
        return found.name

    async def _note_use(self, its_hash: str) -> None:
        now_s = time.monotonic()
        if now_s - self._noted_at_s.get(its_hash, -_NOTE_USE_EVERY_S) < _NOTE_USE_EVERY_S:
            return
        self._noted_at_s[its_hash] = now_s
        # A request is not refused because its key's use could not be written down.
        with contextlib.suppress(LedgerError), translated():
            await self._scripts.redis.hset(self._keys.api_key_uses, its_hash, str(await self._scripts.now()))

    async def _rows(self) -> Sequence[_Row]:
        with translated():
            rows = await self._scripts.redis.hgetall(self._keys.api_keys)
        return [_row(text(its_hash), text(value)) for its_hash, value in rows.items()]


def _row(its_hash: str, value: str) -> _Row:
    name, added_ms, *more = value.split(UNIT_SEPARATOR)
    return _Row(its_hash, name, int(added_ms), more[0] if more and more[0] else None)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
