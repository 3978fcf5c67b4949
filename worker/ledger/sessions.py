"""Sessions of the console and the throttle of its sign-in. A session's id is kept as its digest only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from worker.domain.roles import Role
from worker.ledger.accepting import ms
from worker.ledger.errors import translated
from worker.ledger.keys import Keys
from worker.ledger.scripts import Scripts, text


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionUser:
    """Whose a living session is."""

    name: str
    role: Role
    language: str | None
    theme: str | None
    began_at_ms: int


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a scope is allowed: *most* tries at once, of which one comes back every *back_s* seconds."""

    scope: str
    most: int
    back_s: float


class Sessions:
    """Opens, reads and ends sessions. All limits count by the server's clock."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def open(
        self,
        session_id: str,
        *,
        name: str,
        checked_hash: str,
        length_s: float,
        new_hash: str | None = None,
        former_id: str | None = None,
        address: str = "",
    ) -> bool:
        """Open a session for the user whose password was found to fit *checked_hash*; the browser's former one ends.

        Return False where he was disabled, or got another password, since. Raises LedgerUnavailable, LedgerFull.
        """
        former = digest_of(former_id) if former_id else ""
        reply = await self._scripts.run(
            "session_open",
            *(digest_of(session_id), name, checked_hash, new_hash or "", ms(length_s), former, address),
        )
        return int(reply) == 1

    async def read(
        self, session_id: str, *, idle_s: float, length_s: float, is_active: bool = True
    ) -> SessionUser | None:
        """Return whose session it is, None where it has ended; *is_active* keeps it from being idle.

        Raises LedgerUnavailable, LedgerFull.
        """
        reply = await self._scripts.run(
            "session_read", digest_of(session_id), ms(idle_s), ms(length_s), "1" if is_active else "0"
        )
        if not reply:
            return None
        name, role, language, theme, began_ms = map(text, reply)
        return SessionUser(
            name=name,
            role=Role(role),
            language=language or None,
            theme=theme or None,
            began_at_ms=int(began_ms),
        )

    async def end(self, session_id: str) -> bool:
        """Sign out; return False where there was no such session. Raises LedgerUnavailable."""
        return int(await self._scripts.run("session_end", digest_of(session_id))) == 1

    async def end_all(self, name: str, *, by: str, keep: str | None = None) -> int:
        """Sign a user out everywhere, but for the session of the digest *keep*; return how many ended.

        Raises LedgerUnavailable.
        """
        return int(await self._scripts.run("sessions_end", name, by, keep or ""))

    async def take(self, allowances: Sequence[Allowance]) -> float:
        """Take a try from every scope, or from none; return 0, or the seconds until there is one.

        Raises LedgerUnavailable, LedgerFull.
        """
        words = [part for each in allowances for part in (_scope(each), each.most, ms(each.back_s))]
        return int(await self._scripts.run("throttle_take", *words)) / 1000

    async def give(self, allowances: Sequence[Allowance]) -> None:
        """Give a try back to every scope; raises LedgerUnavailable."""
        words = [part for each in allowances for part in (_scope(each), ms(each.back_s))]
        await self._scripts.run("throttle_give", *words)

    async def know(self, scope: str, *, for_s: float) -> None:
        """Remember a scope that somebody came in by, for so long from now on; raises LedgerUnavailable."""
        await self._scripts.run("throttle_know", _digest_of_scope(scope), ms(for_s))

    async def is_known(self, scope: str) -> bool:
        """Tell whether somebody came in by a scope lately; raises LedgerUnavailable."""
        with translated():
            found = await self._scripts.redis.exists(self._keys.known + _digest_of_scope(scope))
        return bool(found)


def digest_of(session_id: str) -> str:
    """Return what stands for a session's id in the ledger: who reads the ledger cannot use it."""
    return hashlib.sha256(session_id.encode("utf-8", "surrogateescape")).hexdigest()


def _scope(allowance: Allowance) -> str:
    return _digest_of_scope(allowance.scope)


def _digest_of_scope(scope: str) -> str:
    # Names are what strangers type, passwords by mistake among it, and of any length.
    return hashlib.sha256(scope.encode("utf-8", "surrogateescape")).hexdigest()[:32]
