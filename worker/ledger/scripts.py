"""The ledger's verbs as Lua scripts: put together, given to the server with their first call, called by their hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from itertools import compress, count
from typing import Any

import redis.asyncio
from redis import exceptions as server_errors

from worker.ledger.errors import LedgerUnavailable, translate, translated
from worker.ledger.linking import Declaration, declarations_of, linked
from worker.redis_client import pipelined

_FOLDER = resources.files("worker.ledger") / "lua"
#: Parts that verbs name in a `-- uses:` line; the prelude comes before all of them.
PARTS = (
    "classes",
    "guards",
    "endings",
    "changing",
    "settling",
    "sending",
    "window",
    "reminding",
    "search",
    "rewriting",
    "cancelling",
    "intake",
    "outbox",
    "incidents",
    "trail",
    "users",
    "mending",
    "replacing",
    "acting",
)
#: How long an accept waits for the disk; below the socket's timeout.
WAIT_FOR_DISK_MS = 5_000


@cache
def verbs() -> tuple[str, ...]:
    """Return the names of all scripts."""
    names = (entry.name.removesuffix(".lua") for entry in _FOLDER.iterdir() if entry.name.endswith(".lua"))
    return tuple(sorted(name for name in names if name != "prelude" and name not in PARTS))


@cache
def source_of(verb: str, *, has_shebang: bool) -> str:
    """Return the whole text of *verb*: its own file after what it needs of the prelude and of the parts it names.

    *has_shebang*: the server reads script flags (Redis and Valkey from 7 on; fakeredis does not). With
    `allow-oom` a script may record what has happened although the memory is used up.
    """
    own = _read(verb)
    uses = re.search(r"^-- uses: (.+)$", own, re.MULTILINE)
    parts = uses.group(1).split() if uses else []
    text = linked(own, [each for part in ("prelude", *parts) for each in _declared(part)])
    if not has_shebang:
        return text
    flags = re.search(r"^-- flags: (.+)$", own, re.MULTILINE)
    return f"#!lua flags={flags.group(1)}\n{text}" if flags else f"#!lua\n{text}"


@cache
def hash_of(verb: str, *, has_shebang: bool) -> str:
    """Return the name under which the server knows a verb's text (its SHA-1)."""
    source = source_of(verb, has_shebang=has_shebang)
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


@cache
def _declared(part: str) -> list[Declaration]:
    return declarations_of(_read(part))


@cache
def _read(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")


class Scripts:
    """Calls the verbs on one server, for one namespace."""

    def __init__(
        self, client: redis.asyncio.Redis, prefix: str, now_ms: Callable[[], int] | None = None
    ) -> None:
        self.redis = client
        self._prefix = prefix
        self._now_ms = now_ms
        self._given: set[str] = set()
        self._is_known = False
        self._has_shebang = False
        self._has_wait_for_disk = False

    async def know_server(self) -> None:
        """Find out what the server can do; raises LedgerUnavailable, LedgerFull."""
        # Of the kind that runs although memory or disk is used up: what is asked is answered then, and settled.
        self._has_shebang = await self._can("EVAL", "#!lua flags=no-writes\nreturn 1", 0)
        self._has_wait_for_disk = await self._can("WAITAOF", 0, 0, 1)
        self._is_known = True

    async def give(self, *verbs: str) -> None:
        """Give the server these scripts, once: for those that `command` is to call. Raises LedgerUnavailable."""
        if not self._given.issuperset(verbs):
            with translated():
                await self._send([], also=verbs)

    async def run(self, verb: str, *args: str | float) -> Any:
        """Call *verb*; raises LedgerUnavailable or LedgerFull."""
        (reply,) = await self.run_all([(verb, *args)])
        return reply

    async def run_all(self, calls: Sequence[Sequence[str | float]], *, durable: bool = False) -> list[Any]:
        """Make *calls*, each a verb and its arguments, in order, on one connection and in one round trip.

        *durable* returns only when the server's disk holds what was written, where the server can tell.

        Raises:
            LedgerUnavailable: also when the disk did not follow in time; it may all have been written.
            LedgerFull: some may have been written.
        """
        with translated():
            replies = await self._send(calls, durable=durable)
            missing = (isinstance(reply, server_errors.NoScriptError) for reply in replies)
            if (first := next(compress(count(), missing), None)) is not None:
                # The server was restarted, or its scripts were flushed; it may be another one, of another version.
                self._given.clear()
                self._is_known = False
                # Those before it have run: another process had given what they need.
                replies[first:] = await self._send(calls[first:], durable=durable)
        disk = replies.pop() if durable and self._has_wait_for_disk else None
        for reply in replies:
            if isinstance(reply, server_errors.ResponseError):
                raise translate(reply) from reply
        if disk is not None:
            _check_disk(disk)
        return replies

    async def now(self) -> int:
        """Return the server's time in ms, which is the time of all instants in the ledger."""
        if self._now_ms is not None:
            return self._now_ms()
        with translated():
            seconds, micros = await self.redis.time()
        return int(seconds) * 1000 + int(micros) // 1000

    @property
    def has_wait_for_disk(self) -> bool:
        """Tell whether the server can say when its append-only file is on disk (`WAITAOF`)."""
        return self._has_wait_for_disk

    def command(self, verb: str | float, *args: str | float) -> tuple[str | float, ...]:
        """Return the server's command that runs a verb, which has to have been given it (`give`)."""
        now = "" if self._now_ms is None else self._now_ms()
        return ("EVALSHA", hash_of(str(verb), has_shebang=self._has_shebang), 1, self._prefix, now, *args)

    async def _send(
        self, calls: Sequence[Sequence[str | float]], *, durable: bool = False, also: Sequence[str] = ()
    ) -> list[Any]:
        if not self._is_known:  # the ledger was not there when it was to be opened
            await self.know_server()
        new = {*also, *(str(verb) for verb, *_ in calls)} - self._given
        texts = [source_of(verb, has_shebang=self._has_shebang) for verb in new]
        commands = [("SCRIPT", "LOAD", each) for each in texts] + [self.command(*call) for call in calls]
        if durable and self._has_wait_for_disk:
            commands.append(("WAITAOF", 1, 0, WAIT_FOR_DISK_MS))
        replies = await pipelined(self.redis, commands)
        for reply in replies:
            if isinstance(reply, server_errors.RedisError) and not isinstance(
                reply, server_errors.ResponseError
            ):
                raise reply
        given, replies = replies[: len(texts)], replies[len(texts) :]
        refused = next((each for each in given if isinstance(each, server_errors.ResponseError)), None)
        if refused is None:
            self._given |= new
            return replies
        # Why it did not take a script says more than that it has none.
        return [refused if isinstance(each, server_errors.NoScriptError) else each for each in replies]

    async def _can(self, *command: str | int) -> bool:
        with translated():
            (reply,) = await pipelined(self.redis, [command])
            if isinstance(reply, server_errors.ResponseError) and translate(reply) is not reply:
                raise reply
        return not isinstance(reply, server_errors.ResponseError)


def _check_disk(reply: Any) -> None:
    if isinstance(reply, server_errors.ResponseError):
        # The append-only file is switched off: `doctor` states what that may lose.
        if "appendonly" in str(reply):
            return
        raise LedgerUnavailable("durability is not known") from reply
    if int(reply[0]) < 1:
        raise LedgerUnavailable("not durable in time")


def text(value: Any) -> str:
    """Return an answer of the server as text, whether or not the client decodes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def fields_of(flat: Sequence[Any]) -> dict[str, str]:
    """Return a flat list of names and values as a dict."""
    return {text(flat[i]): text(flat[i + 1]) for i in range(0, len(flat), 2)}
