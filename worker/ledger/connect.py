"""The connection to the ledger's server, with every default that matters set on purpose."""

from __future__ import annotations

from typing import Any

import redis.asyncio
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer

CONNECT_TIMEOUT_S = 3.0
#: Longer than any script or `WAITAOF` of ours may take, short enough to notice a half-open link.
SOCKET_TIMEOUT_S = 10.0
HEALTH_CHECK_S = 15

_packer = HiredisRespSerializer()


class _Packed:
    """Packs commands in C. The asyncio client does it in Python, which costs a backfill 3 µs a row."""

    def pack_command(self, *args: Any) -> list[bytes]:
        return list(_packer.pack(*args))


class PackedConnection(_Packed, Connection):
    """A connection by TCP."""


class PackedSSLConnection(_Packed, SSLConnection):
    """A connection by TLS."""


class PackedUnixConnection(_Packed, UnixDomainSocketConnection):
    """A connection by a unix socket."""


_CLASSES: dict[str, type[Connection | UnixDomainSocketConnection]] = {
    "redis": PackedConnection,
    "rediss": PackedSSLConnection,
    "unix": PackedUnixConnection,
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
