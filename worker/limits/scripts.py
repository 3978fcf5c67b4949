"""The Lua scripts of the limits, loaded with their prelude, and the one place where Redis errors are translated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from worker.redis_client import pipelined

_FOLDER = Path(__file__).parent / "lua"

#: Microseconds since 1970, for tests; None leaves the time to Redis, as it must be in earnest.
NowUs = Callable[[], int] | None


class LimitsUnavailable(Exception):  # noqa: N818 -- reads as what happened, as the ledger's errors do
    """Redis did not answer. What was asked may have been done: a slot may be lost, a pause may stand."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn whatever the Redis client raises into `LimitsUnavailable`.

    Raises:
        LimitsUnavailable: Redis is gone, slow, loading, read-only or full.
    """
    try:
        yield
    except (RedisError, OSError, TimeoutError) as exc:
        # The type alone: a client's message may hold an address with a password.
        raise LimitsUnavailable(type(exc).__name__) from exc


def text(value: Any) -> str:
    """Return a Redis reply as text, whichever way the client decodes."""
    return value.decode() if isinstance(value, bytes) else str(value)


class Scripts:
    """The verbs of one limit."""

    def __init__(self, redis: Redis, key: str, *, now_us: NowUs = None) -> None:
        prelude = (_FOLDER / "prelude.lua").read_text(encoding="utf-8")
        self._redis = redis
        self._key = key
        self._now_us = now_us
        self._loaded = {
            path.stem: redis.register_script(f"{prelude}\n{path.read_text(encoding='utf-8')}")
            for path in _FOLDER.glob("*.lua")
            if path.stem != "prelude"
        }

    async def run(self, verb: str, *args: str | float) -> int:
        """Run a script that answers with a number.

        Raises:
            LimitsUnavailable: Redis did not answer.
        """
        (answer,) = await self._call(verb, args)
        return int(answer)

    async def read(self, verb: str, *args: str | float) -> list[str]:
        """Run a script that answers with a list, as text.

        Raises:
            LimitsUnavailable: Redis did not answer.
        """
        (answer,) = await self._call(verb, args)
        return [text(part) for part in answer]

    async def read_along(
        self, verb: str, *args: str | float, along: Sequence[Sequence[str | float]]
    ) -> tuple[list[str], list[Any]]:
        """Run a script, and the commands *along* after it in the same round trip; return its answer and their replies.

        An error that one of those comes to is among the replies.

        Raises:
            LimitsUnavailable: Redis did not answer.
        """
        answer, *replies = await self._call(verb, args, along)
        return [text(part) for part in answer], replies

    async def _call(
        self, verb: str, args: Sequence[str | float], along: Sequence[Sequence[str | float]] = ()
    ) -> list[Any]:
        script, now = self._loaded[verb], "" if self._now_us is None else str(self._now_us())
        commands = [("EVALSHA", script.sha, 1, self._key, *args, now), *along]
        with translated():
            replies = await pipelined(self._redis, commands)
            if isinstance(replies[0], NoScriptError):  # a new server, or a restarted one: nothing was done
                await self._redis.script_load(script.script)
                replies = await pipelined(self._redis, commands)
            if isinstance(replies[0], Exception):
                raise replies[0]
        return replies


def load(redis: Redis, verb: str) -> Callable[..., Any]:
    """Return a script of `lua/<verb>.lua` that needs no prelude."""
    return redis.register_script((_FOLDER / f"{verb}.lua").read_text(encoding="utf-8"))
