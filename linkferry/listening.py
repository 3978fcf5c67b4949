"""Where `linkferry web` listens, and what it says to bytes that are no HTTP.

Left to itself, aiohttp quotes the line that it could not read: back to whoever sent it and, with a traceback, into the
log. Such a line may be a session's cookie or an API key.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from aiohttp import web

from producers.problems import MACHINE_PATHS, internal, place_of, problem
from worker.ops.console.headers import HEADERS, SERVER
from worker.settings import Settings
from worker.telemetry import log

_BACKLOG = 128
_SAME_DOOR = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
#: For the head of a request, from the connection or its own first byte to its last. Bodies have deadlines of their own.
HEAD_DEADLINE_S = 20.0
#: A connection may rest so long between requests. Proxies give theirs up earlier, and so never send into a closed one.
_IDLE_S = 150.0
#: No line per request; and a body is never unpacked before it is known how large it would become.
_OPTIONS: dict[str, Any] = {"access_log": None, "auto_decompress": False, "keepalive_timeout": _IDLE_S}
#: Of answers to machines: what they hold is for the caller alone, and is what it says it is.
_MACHINES_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def same_door(host: str) -> str:
    """Return where a client on this machine finds what listens at *host*, which may be everywhere."""
    return _SAME_DOOR.get(host, host)


def webhook_address(settings: Settings) -> str | None:
    """Return where the partner is to report completions, or None where PUBLIC_URL or the secret is not set."""
    secret, base = settings.provider_webhook_secret, settings.public_url
    if settings.is_sandbox:  # its partner is on this machine
        base = f"http://{same_door(settings.web_host)}:{settings.web_port}"
    if secret is None or base is None:
        return None
    return f"{base.rstrip('/')}/provider/webhook/{secret.get_secret_value()}"


async def listen(
    runner: web.AppRunner, host: str, port: int, *, head_deadline_s: float = HEAD_DEADLINE_S
) -> asyncio.Server:
    """Let *runner*, which is set up, answer at *host* and *port* (0: any that is free); raises OSError.

    Whoever has not sent the head of his request within *head_deadline_s* seconds is not waited for. The caller closes
    what this returns, before he cleans the runner up.
    """
    loop = asyncio.get_running_loop()
    server = runner.server
    if server is None:
        raise RuntimeError("the runner is not set up")
    protocol = partial(Protocol, server, loop=loop, head_deadline_s=head_deadline_s, **_OPTIONS)
    return await loop.create_server(protocol, host, port, backlog=_BACKLOG)


async def add_machine_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers of answers to machines; the console sees to its own. A header that a handler has set stays."""
    if not request.path.startswith(MACHINE_PATHS):
        return
    for name, value in _MACHINES_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = SERVER


class Protocol(web.RequestHandler):
    """One connection. What cannot be read is neither quoted nor logged, and answered with the headers of all answers.

    aiohttp itself would wait an hour for a head: a few hundred connections that say nothing would keep everybody out.
    """

    __slots__ = ("_head_deadline_s", "_head_timer")

    def __init__(self, *given: Any, head_deadline_s: float, **options: Any) -> None:
        """Wait *head_deadline_s* seconds for a head; the rest is aiohttp's."""
        super().__init__(*given, **options)
        self._head_deadline_s = head_deadline_s
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes in: a head that has begun is waited for, until it is whole."""
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            self._stop_timer()
        elif self._head_timer is None and self._is_idle():
            self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wait no longer."""
        self._stop_timer()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._head_timer = self._loop.call_later(self._head_deadline_s, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        if self._is_idle():
            self.force_close()  # without a line in the log: browsers open connections that they never use

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _is_idle(self) -> bool:
        """Tell whether no request is being answered: aiohttp waits for the next."""
        return self._waiter is not None and not self._waiter.done()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes what was sent
    ) -> web.StreamResponse:
        """Answer a request that could not be read, or that went wrong below every net; the connection ends with it."""
        if status < 500:
            log.info("request_unreadable", error=type(exc).__name__)
        else:
            self.log_exception("request_failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        response = _unreadable(status) if status < 500 else internal()
        response.headers.update(HEADERS)
        response.headers["Server"] = SERVER
        response.force_close()
        return response

    def log_exception(self, *_: Any, **about: Any) -> None:
        """Log what aiohttp says of an exception: its type and place, and not its text."""
        error = about.get("exc_info")
        where = place_of(error) if isinstance(error, BaseException) else "unknown"
        log.error("connection_failed", error=type(error).__name__, at=where)


def _unreadable(status: int) -> web.Response:
    return problem(
        status,
        "not-http",
        "The request cannot be read",
        "It is no HTTP, breaks its rules, or has a line of more than 8 KiB. Nothing was done.",
    )
