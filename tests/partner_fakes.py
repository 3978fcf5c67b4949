"""Stand-ins for what the partner client needs of others, and servers that misbehave on purpose."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from worker.domain.token import StoredToken
from worker.partner import PartnerClient, TokenKeeper

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class MemoryTokens:
    """A token store in memory, shared by as many keepers as a test likes."""

    def __init__(self) -> None:
        self.token: StoredToken | None = None
        self.holder: str | None = None
        self.saves = 0

    async def load(self) -> StoredToken | None:
        return self.token

    async def save(self, token: StoredToken) -> None:
        self.token = token
        self.saves += 1

    async def drop(self, value: str) -> None:
        if self.token is not None and self.token.value == value:
            self.token = None

    async def try_lock(self, holder: str, ttl_s: float) -> bool:
        if self.holder not in {None, holder}:
            return False
        self.holder = holder
        return True

    async def unlock(self, holder: str) -> None:
        if self.holder == holder:
            self.holder = None


class MemoryGuard:
    """Holds refused credentials; `probes` more tries are allowed."""

    def __init__(self) -> None:
        self.held: tuple[str, int] | None = None
        self.holds = 0
        self.probes = 0
        self.clears = 0

    async def hold_credentials(self, fingerprint: str, code: int) -> None:
        self.held = (fingerprint, code)
        self.holds += 1

    async def may_probe(self, fingerprint: str) -> bool:
        if self.held is None or self.held[0] != fingerprint:
            return True
        self.probes -= 1
        return self.probes >= 0

    async def clear_credentials(self) -> None:
        self.held = None
        self.clears += 1


class RecordingGate:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, dict[str, str]]] = []

    async def obey(self, headers: Mapping[str, str], status: int) -> None:
        self.told.append((status, dict(headers)))


class FixedToken:
    """Gives the same token for ever and remembers what was dropped."""

    def __init__(self) -> None:
        self.dropped: list[str] = []

    def attach(self, fetch: object, *, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    async def token(self) -> str:
        return "fixed"

    async def drop(self, value: str) -> None:
        self.dropped.append(value)

    async def aclose(self) -> None:
        return


def a_client(url: str, **changes: object) -> PartnerClient:
    """Return a client of *url*; name only what matters."""
    parts = {
        "base_url": url,
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        "tokens": changes.pop("tokens", None) or TokenKeeper(MemoryTokens(), guard=MemoryGuard()),
        "gate": RecordingGate(),
        "timeout_s": 5.0,
    }
    return PartnerClient(**(parts | changes))  # type: ignore[arg-type]  # plain settings


def leap(seconds: float) -> None:
    """Set the running loop's clock ahead: deadlines pass when a test says so, however slow the machine is."""
    loop = asyncio.get_running_loop()
    before = loop.time
    loop.time = lambda: before() + seconds  # type: ignore[method-assign]


@contextlib.asynccontextmanager
async def raw_server(script: Script) -> AsyncIterator[str]:
    """Serve every connection by *script*; yield the base URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read one whole HTTP request."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)


def an_answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Return a whole HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def always(answer: bytes) -> Script:
    """Return the script that answers every request of a connection with the same bytes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            writer.write(answer)
            await writer.drain()

    return script
