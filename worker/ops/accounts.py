"""The console's accounts, for the CLI and the console alike: what a name and a password must be, and each change."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from worker.domain.roles import Role
from worker.ledger import Ledger
from worker.ledger.users import User
from worker.ops.passwords import LEAST_LETTERS, MOST_LETTERS, Passwords, password_fault
from worker.ops.views import iso
from worker.ops.words import Said, said

MOST_NAME_LETTERS = 64
#: Letters and digits of any script; inside also . _ - @ + (an address makes a good name).
_NAME = re.compile(r"[^\W_](?:[\w.@+-]*[^\W_])?")

_PARAMS = {"password_short": {"least": LEAST_LETTERS}, "password_long": {"most": MOST_LETTERS}}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a change was not made."""

    code: str

    @property
    def said(self) -> Said:
        """Return it as a sentence with what to do, for any language."""
        return said(f"account_{self.code}", **_PARAMS.get(self.code, {}))

    @property
    def text(self) -> str:
        """Return it in English."""
        return str(self.said["text"])


def read_name(text: str) -> str | None:
    """Return a name as it is kept: composed, in small letters; None where it cannot be one."""
    name = unicodedata.normalize("NFKC", text).strip().casefold()
    return name if len(name) <= MOST_NAME_LETTERS and _NAME.fullmatch(name) else None


def user_view(user: User) -> dict[str, Any]:
    """Return a user ready for JSON and for pages."""
    return {
        "name": user.name,
        "role": user.role.value,
        "disabled": user.is_disabled,
        "sessions": user.sessions,
        "added_at": iso(user.added_at_ms),
        "added_by": user.added_by,
        "signed_in_at": iso(user.signed_in_at_ms),
    }


class Accounts:
    """Makes users and changes them. A refusal is returned; None means that it is done, and in the trail."""

    def __init__(self, ledger: Ledger, passwords: Passwords | None = None) -> None:
        """Work on *ledger*."""
        self._users = ledger.users
        self.passwords = passwords or Passwords()

    async def add(self, name: str, role: Role, password: str, *, by: str) -> Refusal | None:
        """Make an account.

        Raises:
            LedgerUnavailable, LedgerFull: it may have been made.
            TooBusyError: it was not made.
        """
        known = read_name(name)
        if known is None:
            return Refusal("name_bad")
        if fault := password_fault(password, known):
            return Refusal(fault)
        password_hash = await self.passwords.hash(password)
        is_new = await self._users.add(known, role=role, password_hash=password_hash, by=by)
        return None if is_new else Refusal("name_taken")

    async def set_password(
        self, name: str, password: str, *, by: str, keep_session: str | None = None
    ) -> Refusal | None:
        """Change a password, which ends the account's sessions but that of the digest *keep_session*.

        Raises LedgerUnavailable, LedgerFull, TooBusyError.
        """
        if fault := password_fault(password, name):
            return Refusal(fault)
        password_hash = await self.passwords.hash(password)
        ended = await self._users.set_password(name, password_hash, by=by, keep_session=keep_session)
        return Refusal("user_unknown") if ended is None else None

    async def change_own_password(
        self, name: str, present: str, password: str, *, keep_session: str
    ) -> Refusal | None:
        """Change one's own password, knowing the present one; the other sessions end.

        Raises LedgerUnavailable, LedgerFull, TooBusyError.
        """
        credential = await self._users.credential(name)
        kept = None if credential is None else credential.password_hash
        if not (await self.passwords.check(present, kept, is_known=True)).is_right:
            return Refusal("password_wrong")
        return await self.set_password(name, password, by=f"user:{name}", keep_session=keep_session)

    async def set_role(self, name: str, role: Role, *, by: str) -> Refusal | None:
        """Change a role, which ends the account's sessions; raises LedgerUnavailable, LedgerFull."""
        return _refusal_of(await self._users.set_role(name, role, by=by))

    async def disable(self, name: str, *, by: str) -> Refusal | None:
        """Keep a user out, at once; raises LedgerUnavailable, LedgerFull."""
        return _refusal_of(await self._users.disable(name, by=by))

    async def enable(self, name: str, *, by: str) -> Refusal | None:
        """Let a user in again; raises LedgerUnavailable, LedgerFull."""
        return _refusal_of(await self._users.enable(name, by=by))


def _refusal_of(change: bool | None) -> Refusal | None:  # noqa: FBT001 - what the ledger answers
    return Refusal("user_unknown") if change is None else None
