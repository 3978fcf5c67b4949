"""`linkferry demo`: everything once, in the sandbox, from a spreadsheet to the mails in the outbox.

The same processes as `linkferry up --sandbox`, on free ports and a folder of their own: what is seen here is what runs
in earnest. The partner is made to misbehave a little, as partners do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from linkferry import embedded
from linkferry.demo_account import WAITING, Story, account, progress
from linkferry.session import Session, open_session, quiet_logs
from linkferry.supervisor import SUPERVISED
from producers.backfill.importer import run_backfill
from producers.backfill.intake import BackfillOptions
from worker.domain.states import JobState
from worker.settings import SandboxAddress, Settings, load_settings

RATE = 12.0
GIVE_UP_AFTER_S = 80.0
FINISHED_WITHIN_S = 20.0
#: What goes wrong at the sandbox during the demo: about one call in twelve.
FAULTS: dict[str, Any] = {
    "drop_before": 0.015,
    "drop_after": 0.02,
    "hang": 0.01,
    "garbage": 0.01,
    "error_before": 0.015,
    "error_after": 0.01,
    "lower_case": 0.05,
    "latency_s": [0.02, 0.12],
    "mail_drop_after": 0.005,
}
LIVE_CUSTOMERS: tuple[dict[str, Any], ...] = (
    {
        "whatsapp": "0526667788",
        "business_name": 'קפה הטיילת בע"מ',
        "display_name": "קפה הטיילת",
        "contact": {"name": "רוני", "email": "roni@example.com", "phone": "0526667788", "locale": "he"},
    },
    {
        "products": ["whatsapp", "facebook:1", "facebook:3"],
        "whatsapp": "+972 54 777 1234",
        "business_name": "Harbor Bikes",
        "display_name": "Harbor Bikes",
        "contact": {"name": "Sam", "email": "sam@example.com", "locale": "en"},
    },
    {
        "products": ["facebook:2"],
        "business_name": "Lilac Studio",
        "contact": {"name": "Lily", "email": "lily@example.com", "phone": "0541112233", "locale": "en"},
    },
)


def run(*, keep: bool = False, console: Console | None = None) -> int:
    """Run the demo; return the exit code. With *keep*, leave its folder and say where it is."""
    quiet_logs()
    console = console or Console()
    if not console.is_terminal:
        console = Console(width=100)
    folder = Path(tempfile.mkdtemp(prefix="linkferry-demo-"))
    settings = load_settings(
        environ={},
        env_file=None,
        sandbox=True,
        data_dir=folder,
        web_port=_free_port(),
        sandbox_port=_free_port(),
        provider_rate=RATE,
        provider_timeout=2,
        lease_s=8,
        doubt_grace_s=3,
        invitation_wait=20,
        email_rate=50,
        sms_rate=50,
        log_format="json",
    )
    try:
        return asyncio.run(_demo(settings, folder, console))
    finally:
        if keep:
            console.print(f"Kept: {folder} (logs in up.log, the outbox in sandbox/outbox)")
        else:
            shutil.rmtree(folder, ignore_errors=True)


async def _demo(settings: Settings, folder: Path, console: Console) -> int:
    console.print("[bold]Linkferry demo[/] · everything stays on this machine, nobody is written to\n")
    with embedded.entered(settings.data_dir) as url:
        settings = settings.with_redis(url)
        async with _stack_up(settings, folder, console), open_session(settings) as session:
            address = settings.sandbox_address
            async with aiohttp.ClientSession() as http:
                root = address.url.split("/api")[0]
                await _set_faults(http, root)
                story = await _play(session, http, settings, console, folder)
                await _let_finish(session, http, root, story)
                outbox = await _json(http, f"{root}/sandbox/outbox?limit=2000")
                await account(
                    story, session, outbox["items"], await _json(http, f"{root}/sandbox/state"), console
                )
            return 0 if story.is_over else 1


@contextlib.asynccontextmanager
async def _stack_up(settings: Settings, folder: Path, console: Console) -> AsyncIterator[None]:
    """Run `linkferry up` beside us for the block, as a user would."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LINKFERRY_")}
    own = {
        "SANDBOX": 1, "DATA_DIR": folder, "REDIS_URL": settings.redis_url, "WEB_PORT": settings.web_port,
        "SANDBOX_PORT": settings.sandbox_port, "PROVIDER_RATE": RATE, "PROVIDER_TIMEOUT": 2, "LEASE_S": 8,
        "DOUBT_GRACE_S": 3, "INVITATION_WAIT": 20, "EMAIL_RATE": 50, "SMS_RATE": 50, "LOG_FORMAT": "json",
    }  # fmt: skip
    environment |= {f"LINKFERRY_{name}": str(value) for name, value in own.items()}
    environment[SUPERVISED] = "1"  # it ends with us, however we end
    log_path = folder / "up.log"
    with (
        log_path.open("wb") as log,
        console.status("starting Valkey, the sandbox partner, web and two workers"),
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "linkferry", "up",
            stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log, env=environment,
        )  # fmt: skip
        await _until_ready(process, settings, log_path)
    try:
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()


async def _until_ready(process: asyncio.subprocess.Process, settings: Settings, log_path: Path) -> None:
    give_up_at = time.monotonic() + 40
    async with aiohttp.ClientSession() as http:
        while True:
            if process.returncode is not None or time.monotonic() > give_up_at:
                log = await asyncio.to_thread(log_path.read_text, errors="replace")
                raise SystemExit(f"The stack did not start:\n{log[-3000:]}")
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"http://127.0.0.1:{settings.web_port}/readyz") as answer:
                    if answer.status == 200 and SandboxAddress.read(settings.sandbox_address_file):
                        return
            await asyncio.sleep(0.1)


async def _set_faults(http: aiohttp.ClientSession, root: str) -> None:
    async with http.post(f"{root}/sandbox/faults", json=FAULTS) as answer:
        answer.raise_for_status()


async def _play(
    session: Session, http: aiohttp.ClientSession, settings: Settings, console: Console, folder: Path
) -> Story:
    """Backfill the spreadsheet, post the live customers meanwhile, and wait until all of it is at rest."""
    story = Story(rate=RATE, live_expected=len(LIVE_CUSTOMERS))
    with resources.as_file(resources.files("linkferry") / "data" / "customers.csv") as shipped:
        customers = folder / "customers.csv"
        shutil.copy(shipped, customers)
    story.backfill = await run_backfill(
        customers, door=session.door(), ledger=session.ledger, options=BackfillOptions(by="demo")
    )
    live = asyncio.create_task(_post_live(session, http, settings, story))
    with progress(console) as show:
        while not story.is_over and story.elapsed_s < GIVE_UP_AFTER_S:
            story.jobs = await session.ledger.queries.counts()
            story.messages = await session.ledger.deliveries.counts()
            story.unexplained = len(await session.ledger.queries.unexplained(100, looked_before_s=3600))
            show(story)
            await asyncio.sleep(0.2)
    live.cancel()
    await asyncio.gather(live, return_exceptions=True)
    return story


async def _let_finish(session: Session, http: aiohttp.ClientSession, root: str, story: Story) -> None:
    """Let the live customers who have their link finish at the sandbox; its webhook tells of them."""
    jobs = await session.ledger.queries.jobs([job_id for job_id, _ in story.live])
    linked = [job.id for job in jobs if job.state is JobState.LINKED]
    began = time.monotonic()
    async with http.post(f"{root}/sandbox/finish", json={"references": linked}) as answer:
        answer.raise_for_status()
    while time.monotonic() - began < FINISHED_WITHIN_S and len(story.finished) < len(linked):
        for job in await session.ledger.queries.jobs(linked):
            if job.state is JobState.ONBOARDED and job.id not in story.finished:
                story.finished[job.id] = time.monotonic() - began
        await asyncio.sleep(0.05)
    story.jobs = await session.ledger.queries.counts()


async def _post_live(session: Session, http: aiohttp.ClientSession, settings: Settings, story: Story) -> None:
    key = await session.ledger.keys_of_api.add("demo", by="demo")
    for customer in LIVE_CUSTOMERS:
        await asyncio.sleep(2.0)
        began = time.monotonic()
        async with http.post(
            f"http://127.0.0.1:{settings.web_port}/v1/onboardings",
            json=customer,
            headers={"Authorization": f"Bearer {key}"},
        ) as answer:
            receipt = await answer.json()
            answer.raise_for_status()
        job_id = receipt["job_id"]
        while await _is_waiting(session, job_id):  # noqa: ASYNC110 - a worker process makes it false
            await asyncio.sleep(0.02)
        story.live.append((job_id, time.monotonic() - began))


async def _is_waiting(session: Session, job_id: str) -> bool:
    job = await session.ledger.queries.job(job_id)
    return job is not None and job.state in WAITING


async def _json(http: aiohttp.ClientSession, url: str) -> Any:
    async with http.get(url) as answer:
        return await answer.json()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
