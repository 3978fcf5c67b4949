"""`linkferry sandbox`: the stand-in partner with its outbox, for as long as it is wanted."""

from __future__ import annotations

import asyncio
import signal

from linkferry.frame import CommandError, complain
from linkferry.listening import webhook_address
from linkferry.supervisor import watch_supervisor
from worker.partner.sandbox.serve import RunningSandbox, serve_sandbox
from worker.partner.sandbox.settings import (
    FINISHED_SUFFIX,
    FOREIGN_SUFFIX,
    UNREGISTERED_SUFFIX,
    SandboxSettings,
)
from worker.settings import SandboxAddress, Settings


async def run(settings: Settings) -> int:
    """Run the sandbox until SIGINT or SIGTERM. Its address file tells processes in sandbox mode where it is."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watch_supervisor()
    running = await _serve(settings)
    address_of(running).write(settings.sandbox_address_file)
    _say_hello(running)
    try:
        await stop.wait()
    finally:
        settings.sandbox_address_file.unlink(missing_ok=True)
        await running.stop()
    return 0


def sandbox_settings(settings: Settings) -> SandboxSettings:
    """Return how the sandbox behaves: as strict on the rate as the partner, and its links outlive it."""
    return SandboxSettings(
        rate=settings.provider_rate,
        create_path=settings.provider_whatsapp_create_path,
        unregistered_suffixes=(UNREGISTERED_SUFFIX,),
        foreign_suffixes=(FOREIGN_SUFFIX,),
        finished_suffixes=(FINISHED_SUFFIX,),
        webhook_url=webhook_address(settings),
        state_file=settings.data_dir / "sandbox-links.jsonl",
        outbox_folder=settings.data_dir / "outbox",
    )


def address_of(running: RunningSandbox) -> SandboxAddress:
    """Return what processes in sandbox mode need to know of it."""
    known = running.address()
    return SandboxAddress(
        url=running.url,
        smtp_port=running.smtp_port,
        api_url=running.api_url,
        sms_url=str(known["sms_url"]),
        client_id=str(known["client_id"]),
        client_secret=str(known["client_secret"]),
    )


async def _serve(settings: Settings) -> RunningSandbox:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    wanted = sandbox_settings(settings)
    try:
        return await serve_sandbox(http_port=settings.sandbox_port, settings=wanted)
    except OSError:
        complain(f"Port {settings.sandbox_port} is taken (LINKFERRY_SANDBOX_PORT): a free one is used.")
    try:
        return await serve_sandbox(settings=wanted)
    except OSError as exc:
        message = f"The sandbox cannot listen: {exc.strerror}."
        raise CommandError(message) from exc


def _say_hello(running: RunningSandbox) -> None:
    print(
        f"Sandbox partner: {running.url}/sandbox/   outbox as JSON: {running.url}/sandbox/outbox", flush=True
    )
    print(
        f"Numbers ending in {UNREGISTERED_SUFFIX} are not registered, in {FOREIGN_SUFFIX} have a link already, "
        f"in {FINISHED_SUFFIX} are connected already.",
        flush=True,
    )
