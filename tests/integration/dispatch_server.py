"""A real SMTP server for the tests, able to refuse, drop and stall; and the messages to send it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from worker.dispatch import MailDispatcher, MailMessage, preview_invitation, sample_request


@dataclass
class Server:
    """A real SMTP server on loopback, and what it is to do next."""

    port: int = 0
    received: list[Envelope] = field(default_factory=list)
    sessions: list[Talk] = field(default_factory=list)
    rcpt_reply: str = "250 2.1.5 Ok"
    end_reply: str = "250 2.0.0 Ok: queued as 4Xy7ZK0abc"
    is_dropped_before_dot: bool = False
    is_dropped_after_dot: bool = False
    is_stalled_after_dot: bool = False
    was_encrypted: bool = False
    open_now: int = 0
    open_most: int = 0

    @property
    def contents(self) -> list[bytes]:
        """Return the messages that were handed over, final dot and all."""
        return [envelope.original_content or b"" for envelope in self.received]

    async def handle_RCPT(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Answer RCPT as told."""
        if self.rcpt_reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return self.rcpt_reply

    async def handle_DATA(  # noqa: N802 - the name that aiosmtpd calls
        self, server: Talk, session: Session, envelope: Envelope
    ) -> str:
        """Take the message: this is called once the final dot has come."""
        self.received.append(envelope)
        self.was_encrypted = session.ssl is not None
        if self.is_dropped_after_dot:
            server.hang_up()
        if self.is_stalled_after_dot:
            await asyncio.Event().wait()
        return self.end_reply

    def make(self, **options: Any) -> Talk:
        """Return the protocol for one more connection."""
        session = Talk(self, **options)
        self.sessions.append(session)
        return session


class Talk(SMTP):
    """One connection, able to break off in the middle of a message."""

    def __init__(self, server: Server, **options: Any) -> None:
        super().__init__(server, hostname="mx.example", **options)
        self.book = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        self.book.open_now += 1
        self.book.open_most = max(self.book.open_most, self.book.open_now)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Count it out."""
        self.book.open_now -= 1
        super().connection_lost(error)

    def hang_up(self) -> None:
        """End the connection without a word."""
        if isinstance(self.transport, asyncio.WriteTransport):
            with suppress(AttributeError):  # 3.11.2's transport over TLS, once its connection is lost
                self.transport.abort()

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802 - the name that aiosmtpd calls
        """Say go ahead, then perhaps drop the line before the final dot."""
        if not self.book.is_dropped_before_dot:
            await super().smtp_DATA(arg)
            return
        await self.push("354 go ahead")
        await self._reader.readline()
        self.hang_up()


@asynccontextmanager
async def a_server(*, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[Server]:
    """Run a server on a free port; *tls* from the first byte."""
    server = Server()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: server.make(loop=loop, **options), "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for session in server.sessions:
            session.hang_up()
        await settle()


async def settle() -> None:
    """Let what is under way come to its end."""
    for _ in range(5):
        await asyncio.sleep(0)


@asynccontextmanager
async def a_dispatcher(server: Server, **options: Any) -> AsyncIterator[MailDispatcher]:
    """Return a dispatcher to *server*, closed afterwards."""
    url = options.pop("url", "smtp://127.0.0.1:{port}").format(port=server.port)
    dispatcher = MailDispatcher(url, "Acme <links@acme.example>", **options)
    try:
        yield dispatcher
    finally:
        await dispatcher.aclose()


def a_message(**changes: Any) -> MailMessage:
    """Return an ordinary invitation."""
    return replace(preview_invitation(sample_request()).mail, **changes)


async def yes() -> bool:
    """Let it go out."""
    return True


async def no() -> bool:
    """Hold it back: the lease is lost."""
    return False


@asynccontextmanager
async def a_silent_server(greeting: bytes = b"") -> AsyncIterator[int]:
    """Run a server that says *greeting* and no more; yield its port."""
    writers: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(greeting)
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1]
    listening.close()
    for writer in writers:
        writer.close()
    await settle()
