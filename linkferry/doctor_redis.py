"""What `linkferry doctor` says of Redis: whether it has room, what a power cut may lose, what it may throw away."""

from __future__ import annotations

from collections.abc import Iterator

from linkferry.doctor import Finding, bad, ok, warn
from worker.ledger import ServerFacts
from worker.ledger.survey import Fullness

_OLDEST_REDIS = (6, 2)  # BLMOVE, on which idle workers wait
_WAITAOF_SINCE = (7, 2)
_KNOWN_POLICY = "noeviction"
_MEGABYTE = 1 << 20
#: The embedded server and `hz 100` stay below it.
_MOST_ACK_DELAY_MS = 20


def look_at_room(room: Fullness) -> Iterator[Finding]:
    """Yield why the server takes no writes, if it takes none."""
    if room.is_used_up:
        yield bad(
            "memory",
            f"Redis has used up its memory ({room.used_bytes // _MEGABYTE:,} of {room.most_bytes // _MEGABYTE:,} MB): "
            "new requests are refused.",
            "Give it more (`maxmemory`), or make room on its machine for that.",
        )
    if room.is_write_refused:
        yield bad(
            "disk",
            "Redis cannot write its append-only file or its snapshot: new requests are refused.",
            "Make room on its disk, and see why in its log.",
        )


def look_at_server(server: ServerFacts, *, is_embedded: bool) -> Iterator[Finding]:
    """Yield what is known of the server's version, of what it may lose, and of what it may throw away."""
    version = _version(server.version)
    kind = "Embedded Valkey" if is_embedded else "Redis or Valkey"
    if version < _OLDEST_REDIS:
        yield bad("redis", f"{kind} {server.version} is too old.", "Use Redis 7 or Valkey 8, or newer.")
    elif version < _WAITAOF_SINCE:
        yield warn(
            "redis",
            f"{kind} {server.version} lacks WAITAOF: what was accepted in the last second can be lost in a power cut.",
            "Use Redis 7.2 or Valkey, or set `appendfsync always`.",
        )
    else:
        yield ok("redis", f"{kind} {server.version}.")
    if server.is_aof:
        yield ok(
            "persistence", f"Append-only file, appendfsync {server.fsync}. Loss window: {server.loss_window}"
        )
        if server.ack_delay_ms > _MOST_ACK_DELAY_MS:
            yield warn(
                "persistence",
                f"Whoever brings a request waits up to {server.ack_delay_ms} ms until Redis notices that its disk has it.",
                "Set `hz 100` in its configuration (or `appendfsync always`).",
            )
    else:
        yield bad(
            "persistence",
            f"Redis keeps no append-only file. Loss window: {server.loss_window}",
            "Set `appendonly yes`; else a restart of Redis loses customers.",
        )
    if server.maxmemory_policy != _KNOWN_POLICY:
        yield bad(
            "eviction",
            f"Redis may throw jobs away when its memory is full (maxmemory-policy {server.maxmemory_policy}).",
            "Set `maxmemory-policy noeviction`, or give Linkferry a Redis of its own.",
        )


def _version(text: str) -> tuple[int, int]:
    parts = [part for part in text.split(".") if part.isdigit()]
    return (int(parts[0]), int(parts[1])) if len(parts) >= 2 else (0, 0)
