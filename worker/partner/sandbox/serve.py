"""Runs a sandbox: HTTP and SMTP on one loop, in a test or as a process of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

from worker.partner.sandbox.app import SANDBOX, Sandbox, build_sandbox
from worker.partner.sandbox.outbox import Outbox
from worker.partner.sandbox.settings import Faults, SandboxSettings
from worker.partner.sandbox.smtp import MailCatcher
from worker.partner.sandbox.state import SandboxState


@dataclass(frozen=True)
class RunningSandbox:
    """A sandbox that takes calls."""

    url: str  #: of the pages and, at the same time, a base URL for the partner client
    smtp_port: int
    sandbox: Sandbox
    _runner: web.AppRunner
    _smtp: asyncio.Server
    _catcher: MailCatcher

    @property
    def api_url(self) -> str:
        """Return the base URL as the provider forms it."""
        return f"{self.url}/api"

    @property
    def state(self) -> SandboxState:
        """Return the truth."""
        return self.sandbox.state

    @property
    def outbox(self) -> Outbox:
        """Return the captured messages."""
        return self.sandbox.outbox

    @property
    def faults(self) -> Faults:
        """Return the faults, to be changed in place."""
        return self.sandbox.faults

    def address(self) -> dict[str, str | int]:
        """Return what a client needs to know, as the address file tells it."""
        settings = self.sandbox.settings
        host = self.url.removeprefix("http://").rpartition(":")[0]
        return {
            "url": self.url,
            "api_url": self.api_url,
            "smtp_port": self.smtp_port,
            "smtp_url": f"smtp://{host}:{self.smtp_port}",
            "sms_url": f"{self.url}/sms/sendMessage",
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
        }

    async def stop(self) -> None:
        """Close both servers and every connection."""
        self._smtp.close()
        self._catcher.close()
        await self._runner.cleanup()


async def serve_sandbox(
    host: str = "127.0.0.1",
    http_port: int = 0,
    smtp_port: int = 0,
    *,
    settings: SandboxSettings | None = None,
) -> RunningSandbox:
    """Start a sandbox and return it once it takes calls; a port of 0 is a free one.

    Raises:
        OSError: A port is taken.
    """
    app = build_sandbox(settings)
    sandbox = app[SANDBOX]
    # Handlers are cancelled when their caller hangs up: a call that hangs on purpose must not outlive it.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, http_port)
        await site.start()
        catcher = MailCatcher(sandbox.settings, sandbox.outbox, sandbox.faults)
        smtp = await asyncio.get_running_loop().create_server(catcher.protocol, host, smtp_port)
    except OSError:
        await runner.cleanup()
        raise
    url = f"http://{_shown(host)}:{runner.addresses[0][1]}"
    sandbox.api.public_url = url
    return RunningSandbox(url, smtp.sockets[0].getsockname()[1], sandbox, runner, smtp, catcher)


def _shown(host: str) -> str:
    """Return the host by which the sandbox is reached from the same machine."""
    if host in {"", "0.0.0.0", "::"}:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
