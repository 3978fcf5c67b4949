"""The client of our Redis servers: leaner than the library's, with every default that matters set on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import redis.asyncio
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer

CONNECT_TIMEOUT_S = 3.0
#: Longer than any script or `WAITAOF` of ours may take, short enough to notice a half-open link.
SOCKET_TIMEOUT_S = 10.0
HEALTH_CHECK_S = 15
_WRITE_AHEAD_BYTES = 64 * 1024

_packer = HiredisRespSerializer()


class _Lean(AbstractConnection):
    """Packs commands in C and writes them without a task each.

    The asyncio client packs in Python, which costs a backfill 3 µs a row, and wraps each write in `wait_for`, which on
    Python 3.11 makes a task per command and may lose a cancellation that comes as the write ends.
    """

    async def connect(self) -> None:
        if self._writer is not None and self._writer.is_closing():
            # Reset by the server while idle: uvloop's transport would refuse the write with a bare RuntimeError.
            await self.disconnect(nowait=True)
        if not self.is_connected:
            await super().connect()  # type: ignore[no-untyped-call]

    async def _send_ping(self) -> None:
        # Any answer is a sign of life: with its disk full the server refuses even this, and answers what only reads.
        await self.send_command("PING", check_health=False)
        with suppress(redis.exceptions.ResponseError):
            await self.read_response()

    def pack_command(self, *args: Any) -> list[bytes]:
        return list(_packer.pack(*args))

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        if check_health:
            await self.check_health()  # type: ignore[no-untyped-call]
        writer = self._writer
        if writer is None:
            raise redis.exceptions.ConnectionError("the connection was lost")
        writer.writelines(command)
        if writer.transport.get_write_buffer_size() > _WRITE_AHEAD_BYTES:
            # The server does not keep up: wait for it, no longer than the client would.
            await super().send_packed_command([], check_health=False)


class LeanConnection(_Lean, Connection):
    """A connection by TCP."""


class LeanSSLConnection(_Lean, SSLConnection):
    """A connection by TLS."""


class LeanUnixConnection(_Lean, UnixDomainSocketConnection):
    """A connection by a unix socket."""


_CLASSES: dict[str, type[Connection | UnixDomainSocketConnection]] = {
    "redis": LeanConnection,
    "rediss": LeanSSLConnection,
    "unix": LeanUnixConnection,
}


class LeanPool(redis.asyncio.ConnectionPool):
    """Lends connections without the library's bookkeeping, which costs more than a round trip on a local socket."""

    async def get_connection(self, command_name: str | None = None, *keys: Any, **options: Any) -> Any:
        """Lend a connection that is ready for a command."""
        del command_name, keys, options  # the library's, and of no use any more
        connection = self.get_available_connection()  # type: ignore[no-untyped-call]
        try:
            await self.ensure_connection(connection)
        except BaseException:
            connection.mark_for_reconnect()
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        """Take a connection back; one that is marked for it is disconnected first."""
        self._in_use_connections.remove(connection)
        if connection.should_reconnect():  # type: ignore[no-untyped-call]
            await connection.disconnect(nowait=True)
        self._available_connections.append(connection)

    async def ask(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send *commands* at once and return their replies; see `pipelined`."""
        connection = await self.get_connection()
        try:
            await connection.send_packed_command(connection.pack_commands(commands))
            return [await _reply(connection) for _ in commands]
        except BaseException:
            # Cancelled, or broken in the middle: a reply still to come would be read by whoever asks next.
            connection.mark_for_reconnect()
            raise
        finally:
            await self.release(connection)


async def _reply(connection: Any) -> Any:
    try:
        return await connection.read_response()
    except redis.exceptions.ResponseError as error:
        return error


async def pipelined(client: redis.asyncio.Redis, commands: Sequence[Sequence[Any]]) -> list[Any]:
    """Send *commands* in one round trip; return the server's bare replies, errors among them. Nothing is repeated.

    A client that is not from `open_redis` does it in its own way.

    Raises:
        RedisError, OSError: the connection was lost or too slow; any of them may have been done.
    """
    pool = client.connection_pool
    if isinstance(pool, LeanPool):
        return await pool.ask(commands)
    async with client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)
        replies: list[Any] = await pipe.execute(raise_on_error=False)
    return replies


def open_redis(url: str, *, decode: bool = False, max_connections: int = 256) -> redis.asyncio.Redis:
    """Return a client for *url* (`redis://`, `rediss://` or `unix://`); nothing is connected yet.

    No command is retried by the client: a script whose reply was lost may have been done, and only its caller
    knows whether doing it again is harmless. *decode* makes text answers of bytes (the ledger takes both).
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": SOCKET_TIMEOUT_S,
        "health_check_interval": HEALTH_CHECK_S,
        "retry": Retry(NoBackoff(), 0),
        "decode_responses": decode,
        "max_connections": max_connections,
    }
    if not url.startswith("unix:"):
        options["socket_keepalive"] = True
    pool = LeanPool.from_url(url, **options)
    # Set afterwards: from_url itself decides for rediss:// and unix://.
    pool.connection_class = _CLASSES[url.partition("://")[0]]
    return redis.asyncio.Redis.from_pool(pool)
