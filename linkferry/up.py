"""`linkferry up`: the whole of Linkferry on one machine, under a small supervisor.

Dramatiq's own command and honcho both stop the whole fleet when one process dies; here a dead process is replaced
within two seconds and its jobs are let go at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from linkferry import embedded, up_lock
from linkferry.embedded import EmbeddedError, FolderError
from linkferry.frame import complain, hint
from linkferry.listening import same_door
from linkferry.session import open_session, quiet_logs
from linkferry.supervisor import Plan, Supervisor, watch_supervisor
from linkferry.web import FIRST_USER, WEB_STARTED
from worker.ledger import Ledger, LedgerUnavailable, open_redis
from worker.settings import SandboxAddress, Settings

WORKER_ID = "LINKFERRY_WORKER_ID"
_LOOK_AFTER_KEEPER_S = 1.0
_READY_WITHIN_S = 30.0
_SANDBOX_WITHIN_S = 15.0
_DRAIN_MARGIN_S = 20.0  # beyond the longest call: settle, mail, and the process's own end


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What one `up` runs with."""

    settings: Settings  #: with a server named
    is_embedded: bool
    descriptor: int | None = None  #: keeps the embedded Valkey for as long as a child lives


def run(settings: Settings, *, is_quiet: bool = False) -> int:
    """Run everything until SIGINT or SIGTERM; return the exit code.

    Raises:
        AlreadyUpError: another one runs on the same data folder.
        FolderError: the data folder cannot be used.
        EmbeddedError: no server is named and the embedded one would not start.
        LedgerUnavailable: the server named does not answer.
    """
    quiet_logs()
    with _alone(settings):
        return _run_alone(settings, is_quiet=is_quiet)


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Be the only `up` of this data folder for the block; raises AlreadyUpError, FolderError."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(up_lock.held(settings.data_dir))
        except OSError as exc:
            # With a server of its own, nothing else is kept in the folder: a read-only one does no harm.
            if settings.redis_url is None or settings.is_sandbox:
                message = f"Cannot use LINKFERRY_DATA_DIR {settings.data_dir}: {exc.strerror}."
                raise FolderError(message) from exc
        yield


def _run_alone(settings: Settings, *, is_quiet: bool) -> int:
    if settings.redis_url is not None:
        return asyncio.run(_up(Stack(settings=settings, is_embedded=False), is_quiet=is_quiet))
    use = embedded.enter(settings.data_dir)
    try:
        stack = Stack(settings=settings.with_redis(use.url), is_embedded=True, descriptor=use.lock_descriptor)
        return asyncio.run(_up(stack, is_quiet=is_quiet))
    finally:
        use.close()


async def _up(stack: Stack, *, is_quiet: bool) -> int:
    settings = stack.settings
    async with open_session(settings) as session:
        first_key = await _first_key(settings, session.ledger)
        has_users = await session.ledger.users.has_any()
    is_web_there = asyncio.Event()
    supervisor = Supervisor(
        environment=_environment(settings),
        keep_descriptors=() if stack.descriptor is None else (stack.descriptor,),
        drain_s=settings.provider_timeout + _DRAIN_MARGIN_S,
        say=_noting_web(is_web_there, _silent if is_quiet else _printer(settings)),
    )
    supervisor.listen_for_signals()
    watch_supervisor()  # who started us may ask us to end with him
    if settings.is_sandbox:
        await _start_sandbox(supervisor, settings)
    supervisor.start(Plan(name="web", words=["web"]))
    for number in range(1, settings.processes + 1):
        supervisor.start(
            Plan(
                name=f"worker.{number}",
                words=["worker"],
                id_variable=WORKER_ID,
                on_reaped=lambda worker_id: _abandon(settings, worker_id),
            )
        )
    minding = asyncio.create_task(_mind_embedded(stack))
    print_banner(stack, first_key, has_users=has_users)
    if await supervisor.wait_for_stop_or(_until_ready(settings, is_web_there), within_s=_READY_WITHIN_S):
        print("Ready. Stop with Ctrl-C.", flush=True)
    code = await supervisor.run_until_stopped()
    minding.cancel()
    await asyncio.gather(minding, return_exceptions=True)
    print("Stopped.", flush=True)
    return code


async def _mind_embedded(stack: Stack) -> None:
    """See that the embedded Valkey is kept: its keeper restarts it, and this replaces a keeper that was killed."""
    while stack.is_embedded:
        await asyncio.sleep(_LOOK_AFTER_KEEPER_S)
        try:
            if not embedded.is_kept(stack.settings.data_dir):
                await asyncio.to_thread(embedded.revive, stack.settings.data_dir)
        except EmbeddedError as exc:
            complain(str(exc))


def _environment(settings: Settings) -> dict[str, str]:
    """Return the children's environment: ours, on the server and in the mode that we decided on."""
    environment = dict(os.environ)
    environment["LINKFERRY_REDIS_URL"] = settings.redis_url_required
    if settings.is_sandbox:
        environment["LINKFERRY_SANDBOX"] = "1"
    return environment


async def _start_sandbox(supervisor: Supervisor, settings: Settings) -> None:
    """Start the sandbox and wait for its address; without it nothing else could work."""
    settings.sandbox_address_file.unlink(missing_ok=True)
    # It stops last: workers that finish their calls still need it.
    supervisor.start(Plan(name="sandbox", words=["sandbox"], stop_order=1))

    async def until_written() -> None:
        while SandboxAddress.read(settings.sandbox_address_file) is None:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.02)

    if not await supervisor.wait_for_stop_or(until_written(), within_s=_SANDBOX_WITHIN_S):
        complain("The sandbox did not start; its lines above say why.")
        supervisor.exit_code = supervisor.exit_code or 1
        supervisor.ask_to_stop()


async def _abandon(settings: Settings, worker_id: str) -> None:
    """Let go at once of what a dead worker held; where Redis is away, its leases run out by themselves."""
    redis = open_redis(settings.redis_url_required)
    try:
        ledger = Ledger(redis, namespace=settings.namespace)
        await ledger.open()
        await ledger.abandon(worker_id)
    except LedgerUnavailable:
        complain(
            "Redis does not answer: the dead worker's jobs are taken up again when their leases run out."
        )
    finally:
        await redis.aclose()


async def _first_key(settings: Settings, ledger: Ledger) -> str | None:
    """Make the first key of the HTTP API where there is none at all."""
    if settings.api_keys or await ledger.keys_of_api.list():
        return None
    return await ledger.keys_of_api.add("first", by="up")


async def _until_ready(settings: Settings, is_web_there: asyncio.Event) -> None:
    """Return when our own `web` listens and every worker has shown a sign of life."""
    await is_web_there.wait()
    redis = open_redis(settings.redis_url_required)
    try:
        ledger = Ledger(redis, namespace=settings.namespace)
        await ledger.open()
        while len(await ledger.fleet.workers()) < settings.processes:  # noqa: ASYNC110 - others make it true
            await asyncio.sleep(0.1)
    finally:
        await redis.aclose()


def print_banner(stack: Stack, first_key: str | None, *, has_users: bool) -> None:
    """Say what runs, where, and what is still to be set."""
    settings = stack.settings
    web = f"http://{same_door(settings.web_host)}:{settings.web_port}"
    lines = [
        *_console_lines(settings, web, has_users=has_users),
        ("HTTP API", f"{web}/v1/onboardings   (described at {web}/openapi.json)"),
        ("Ledger", _ledger_line(stack)),
    ]
    lines += _sandbox_lines(settings) if settings.is_sandbox else _outside_lines(settings)
    if first_key is not None:
        lines.append(("API key", f"{first_key}   (made now, shown this once; more: linkferry key add NAME)"))
    title = (
        "Linkferry is up, in the sandbox: nothing reaches a customer."
        if settings.is_sandbox
        else "Linkferry is up."
    )
    print(title)
    for name, text in lines:
        print(f"  {name:<12}{hint(text)}")
    print(flush=True)


def _console_lines(settings: Settings, web: str, *, has_users: bool) -> list[tuple[str, str]]:
    lines = [("Console", f"{settings.public_url or web}/")]
    if not has_users:
        lines.append(("", f"No account yet. Make yours, in another terminal: {FIRST_USER}"))
    return lines


def _ledger_line(stack: Stack) -> str:
    if stack.is_embedded:
        return f"embedded Valkey under {_short(stack.settings.data_dir)} (set LINKFERRY_REDIS_URL for a server of your own)"
    return "LINKFERRY_REDIS_URL"


def _sandbox_lines(settings: Settings) -> list[tuple[str, str]]:
    address = SandboxAddress.read(settings.sandbox_address_file)
    if address is None:
        return [("Sandbox", "not running")]
    root = address.url
    return [
        ("Sandbox", f"{root}/sandbox/   (the stand-in partner: play the customer, set faults)"),
        ("Outbox", f"{root}/sandbox/   (every mail and text, captured; as JSON: {root}/sandbox/outbox)"),
        (
            "Try",
            "linkferry --sandbox enqueue whatsapp 0501234567 --business-name Dana --display-name Dana --email dana@example.com --wait",
        ),
    ]


def _outside_lines(settings: Settings) -> list[tuple[str, str]]:
    lines = [("Partner", f"{settings.provider_url} at {settings.provider_rate:g} calls/s")]
    if not settings.has_credentials:
        lines += [
            (
                "",
                "Credentials are missing, so calls are held and jobs wait. Set LINKFERRY_PROVIDER_CLIENT_ID and",
            ),
            (
                "",
                "LINKFERRY_PROVIDER_CLIENT_SECRET (in .env), or try everything with: linkferry up --sandbox",
            ),
        ]
    mail = (
        f"from {settings.email_from}"
        if settings.has_smtp
        else "off: set LINKFERRY_SMTP_URL and LINKFERRY_EMAIL_FROM"
    )
    text = (
        f"by {settings.sms_provider}"
        if settings.has_sms
        else "off: set LINKFERRY_SMS_PROVIDER, _SMS_API_KEY and _SMS_FROM"
    )
    return [*lines, ("E-mail", mail), ("SMS", text)]


def _short(path: Path) -> str:
    try:
        return f"./{path.resolve().relative_to(Path.cwd())}"
    except ValueError:
        return str(path)


def _noting_web(is_there: asyncio.Event, say: Callable[[str, str], None]) -> Callable[[str, str], None]:
    """Return *say*, which also notes when our own `web` says that it listens: another's may hold the port."""

    def note(name: str, line: str) -> None:
        if name == "web" and WEB_STARTED in line:
            is_there.set()
        say(name, line)

    return note


def _printer(settings: Settings) -> Callable[[str, str], None]:
    """Return what prints a child's line: behind its name, or as it is where a program reads JSON lines."""

    def with_name(name: str, line: str) -> None:
        _print_line(f"{name:<9}| {line}")

    def as_it_is(name: str, line: str) -> None:
        _print_line(line if line.startswith("{") else json.dumps({"process": name, "event": line}))

    return as_it_is if settings.log_format == "json" else with_name


def _print_line(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError:
        # Nobody reads us any more; the children must go on all the same.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - stays open for the rest of our life


def _silent(_name: str, _line: str) -> None:
    pass
