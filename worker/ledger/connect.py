"""The connection to the ledger's server, with every default that matters set on purpose."""

from __future__ import annotations

from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

CONNECT_TIMEOUT_S = 3.0
#: Longer than any script or `WAITAOF` of ours may take, short enough to notice a half-open link.
SOCKET_TIMEOUT_S = 10.0
HEALTH_CHECK_S = 15


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
    return redis.asyncio.Redis.from_url(url, **options)
