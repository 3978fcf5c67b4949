"""The console's users: who may sign in, and as what. Of a password only its hash is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.domain.roles import Role
from worker.ledger.errors import translated
from worker.ledger.keys import Keys
from worker.ledger.scripts import Scripts, text
from worker.redis_client import pipelined

_MOST_LISTED = 1000
_UNKNOWN, _NO_CHANGE = -1, -2


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user, without his password's hash."""

    name: str
    role: Role
    is_disabled: bool
    added_at_ms: int
    added_by: str
    signed_in_at_ms: int | None  #: the last time
    sessions: int  #: that have not ended; those that rest for too long have, where it was asked with *idle_s*
    language: str | None
    theme: str | None


@dataclass(frozen=True, slots=True)
class Credential:
    """What a password is checked against."""

    password_hash: str
    is_disabled: bool


class Users:
    """Adds, changes and lists users. Each change ends what it has to, and leaves its entry in the trail."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def add(self, name: str, *, role: Role, password_hash: str, by: str) -> bool:
        """Add a user; return False where the name is taken. Raises LedgerUnavailable, LedgerFull."""
        return int(await self._scripts.run("user_add", name, role.value, password_hash, by)) == 1

    async def set_password(
        self, name: str, password_hash: str, *, by: str, keep_session: str | None = None
    ) -> int | None:
        """Change a password and end the sessions, but that of the digest *keep_session*.

        Returns how many sessions ended, None where there is no such user. Raises LedgerUnavailable, LedgerFull.
        """
        ended = int(await self._scripts.run("user_password", name, password_hash, by, keep_session or ""))
        return None if ended == _UNKNOWN else ended

    async def set_role(self, name: str, role: Role, *, by: str) -> bool | None:
        """Change a role, which ends the user's sessions; return False where he has it, None where there is no such user.

        Raises LedgerUnavailable, LedgerFull.
        """
        return _changed(await self._scripts.run("user_role", name, role.value, by))

    async def disable(self, name: str, *, by: str) -> bool | None:
        """Keep a user out and end his sessions; return False where he is out, None where there is no such user.

        Raises LedgerUnavailable, LedgerFull.
        """
        return _changed(await self._scripts.run("user_switch", name, "0", by))

    async def enable(self, name: str, *, by: str) -> bool | None:
        """Let a user in again; return False where he may come in already, None where there is no such user.

        Raises LedgerUnavailable, LedgerFull.
        """
        return _changed(await self._scripts.run("user_switch", name, "1", by))

    async def prefer(self, name: str, *, language: str | None, theme: str | None) -> bool:
        """Keep what he wants to see; None is the browser's own. Return False where there is no such user.

        Raises LedgerUnavailable, LedgerFull.
        """
        return int(await self._scripts.run("user_prefer", name, language or "", theme or "")) == 1

    async def has_any(self) -> bool:
        """Tell whether there is a user at all; raises LedgerUnavailable."""
        with translated():
            return int(await self._scripts.redis.zcard(self._keys.users)) > 0

    async def get(self, name: str, *, idle_s: float = math.inf) -> User | None:
        """Return one user, or None; a session that rests for *idle_s* has ended. Raises LedgerUnavailable."""
        found = await self._read([name], idle_s)
        return found[0] if found else None

    async def list(self, *, idle_s: float = math.inf) -> Sequence[User]:
        """Return the users, in the order they were added; a session that rests for *idle_s* has ended.

        Raises LedgerUnavailable.
        """
        with translated():
            names = await self._scripts.redis.zrange(self._keys.users, 0, _MOST_LISTED - 1)
        return await self._read([text(name) for name in names], idle_s)

    async def credential(self, name: str) -> Credential | None:
        """Return what the user's password is checked against, or None; raises LedgerUnavailable."""
        with translated():
            found = await self._scripts.redis.hmget(self._keys.user + name, "p", "d")
        return None if found[0] is None else Credential(text(found[0]), is_disabled=found[1] is not None)

    async def _read(self, names: Sequence[str], idle_s: float) -> Sequence[User]:
        now_ms = await self._scripts.now()
        commands: list[tuple[str | int, ...]] = []
        for name in names:
            commands.append(("HMGET", self._keys.user + name, "r", "d", "t", "b", "i", "l", "h"))
            commands.append(("ZRANGEBYSCORE", self._keys.user_sessions + name, f"({now_ms}", "+inf"))
        replies = await self._pipelined(commands)
        digests = [text(digest) for of_user in replies[1::2] for digest in of_user]
        seen = await self._pipelined([("HGET", self._keys.session + digest, "s") for digest in digests])
        living = {
            digest
            for digest, at_ms in zip(digests, seen, strict=True)
            if at_ms is not None and now_ms - int(text(at_ms)) < idle_s * 1000
        }
        rows = zip(names, replies[::2], replies[1::2], strict=True)
        return [
            _user(name, fields, sum(text(digest) in living for digest in of_user))
            for name, fields, of_user in rows
            if fields[0] is not None
        ]

    async def _pipelined(self, commands: Sequence[tuple[str | int, ...]]) -> Sequence[Any]:
        with translated():
            replies = await pipelined(self._scripts.redis, commands) if commands else []
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return replies


def _changed(reply: object) -> bool | None:
    number = int(text(reply))
    return None if number == _UNKNOWN else number != _NO_CHANGE


def _user(name: str, values: Sequence[bytes | str | None], sessions: int) -> User:
    row: Mapping[str, str] = {
        field: text(value) for field, value in zip("rdtbilh", values, strict=True) if value is not None
    }
    return User(
        name=name,
        role=Role(row["r"]),
        is_disabled="d" in row,
        added_at_ms=int(row["t"]),
        added_by=row["b"],
        signed_in_at_ms=int(row["i"]) if "i" in row else None,
        sessions=sessions,
        language=row.get("l"),
        theme=row.get("h"),
    )
