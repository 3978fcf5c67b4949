"""Passwords: which are good enough, and how they are hashed (argon2id) and checked without stopping the event loop."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from worker.ops.common_passwords import is_common

LEAST_LETTERS = 12
MOST_LETTERS = 200
_LEAST_DIFFERENT = 5
_LEAST_NAME = 3  #: letters of a name that says too much within a password
_AT_ONCE = 2  #: hashings: each takes 46 MiB, and a core for about 0.1 s
_MOST_WAITING = 16
_MORE_KNOWN = 8  #: places that strangers cannot fill
_GENERATED_BYTES = 15
#: More than OWASP's least for argon2id (46 MiB with one pass, or 19 MiB with two).
HASHER = PasswordHasher(
    time_cost=2, memory_cost=47_104, parallelism=1, hash_len=32, salt_len=16, type=Type.ID
)


Result = TypeVar("Result")


class TooBusyError(Exception):
    """More passwords wait to be checked than this machine should be made to work for."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a password that was tried."""

    is_right: bool
    #: the same password by today's parameters, where the kept hash has older ones
    new_hash: str | None = None


def password_fault(password: str, name: str) -> str | None:
    """Return the code of what is wrong with a new password, None where it will do.

    Codes: `password_short`, `password_long`, `password_has_name`, `password_plain`, `password_common`.
    """
    plain, lowered = normal(password), normal(password).casefold()
    if len(plain) < LEAST_LETTERS:
        return "password_short"
    if len(plain) > MOST_LETTERS:
        return "password_long"
    if len(name) >= _LEAST_NAME and name.casefold() in lowered:
        return "password_has_name"
    if len(set(lowered)) < _LEAST_DIFFERENT:
        return "password_plain"
    if is_common(plain):
        return "password_common"
    return None


def new_password() -> str:
    """Return a password that nobody will guess: 20 letters of 120 random bits."""
    while True:
        password = secrets.token_urlsafe(_GENERATED_BYTES)
        if password[0].isalnum():  # one that begins with a dash is a nuisance on a command line
            return password


def normal(password: str) -> str:
    """Return a password as it is hashed: the same however a keyboard composes its letters."""
    return unicodedata.normalize("NFKC", password)


class Passwords:
    """Hashes and checks passwords in threads, few at a time."""

    def __init__(self, hasher: PasswordHasher = HASHER) -> None:
        """Use *hasher*'s parameters for new hashes."""
        self._hasher = hasher
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """Return the hash to keep; raises TooBusyError."""
        return await self._in_a_thread(lambda: self._hasher.hash(normal(password)))

    async def check(self, password: str, kept_hash: str | None, *, is_known: bool = False) -> Checked:
        """Check a password against a kept hash; with None, do the same work in vain.

        *is_known*: who tries it came in from there before, and has a place also when strangers crowd. Raises
        TooBusyError.
        """
        return await self._in_a_thread(
            lambda: self._check(password, kept_hash), more_places=_MORE_KNOWN if is_known else 0
        )

    def _check(self, password: str, kept_hash: str | None) -> Checked:
        if self._nobodys is None:
            self._nobodys = self._hasher.hash(secrets.token_urlsafe())
        try:
            self._hasher.verify(kept_hash or self._nobodys, normal(password))
        except (VerificationError, InvalidHashError):
            return Checked(is_right=False)
        if kept_hash is None:
            return Checked(is_right=False)
        is_old = self._hasher.check_needs_rehash(kept_hash)
        return Checked(is_right=True, new_hash=self._hasher.hash(normal(password)) if is_old else None)

    async def _in_a_thread(self, work: Callable[[], Result], *, more_places: int = 0) -> Result:
        if self._waiting >= _MOST_WAITING + more_places:
            raise TooBusyError
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1
