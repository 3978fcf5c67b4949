"""The connection to the ledger's server, with every default that matters set on purpose."""

from __future__ import annotations

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
    pool = redis.asyncio.ConnectionPool.from_url(url, **options)
    # Set afterwards: from_url itself decides for rediss:// and unix://.
    pool.connection_class = _CLASSES[url.partition("://")[0]]
    return redis.asyncio.Redis.from_pool(pool)
