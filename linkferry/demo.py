"""`linkferry demo`: everything once, in the sandbox, from a spreadsheet to the mails in the outbox.

The same processes as `linkferry up --sandbox`, on free ports and a folder of their own: what is seen here is what runs
in earnest. The partner is made to misbehave a little, as partners do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from linkferry import embedded
from linkferry.session import Session, open_session, quiet_logs
from producers.backfill.importer import run_backfill
from producers.backfill.intake import BackfillOptions
from producers.backfill.results import BackfillResult
from worker.domain.states import DeliveryState, JobState
from worker.ledger import JobFilter
from worker.settings import SandboxAddress, Settings, load_settings

RATE = 12.0
GIVE_UP_AFTER_S = 80.0
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
_WAITING = (JobState.AVAILABLE, JobState.SCHEDULED, JobState.RUNNING, JobState.IN_DOUBT)
_RESTLESS = (DeliveryState.PENDING, DeliveryState.SENDING)


@dataclass
class _Story:
    """What the demo learns on its way and tells at its end."""

    backfill: BackfillResult | None = None
    live: list[tuple[str, float]] = field(default_factory=list)  #: job id, seconds from the POST to its link
    jobs: dict[JobState, int] = field(default_factory=dict)
    messages: dict[DeliveryState, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.began

    @property
    def is_over(self) -> bool:
        is_fed = self.backfill is not None and len(self.live) == len(LIVE_CUSTOMERS)
        at_work = sum(self.jobs.get(state, 0) for state in _WAITING)
        on_the_way = sum(self.messages.get(state, 0) for state in _RESTLESS)
        return is_fed and bool(self.jobs) and not at_work and not on_the_way


def run(*, keep: bool = False, console: Console | None = None) -> int:
    """Run the demo; return the exit code. With *keep*, leave its folder and say where it is."""
    quiet_logs()
    console = console or Console()
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
                await _account(story, session, http, root, console)
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
    log_path = folder / "up.log"
    with (
        log_path.open("wb") as log,
        console.status("starting Valkey, the sandbox partner, web and two workers"),
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "linkferry", "up",
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
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
                raise SystemExit(f"The stack did not start:\n{log_path.read_text(errors='replace')[-3000:]}")
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
) -> _Story:
    """Backfill the spreadsheet, post the live customers meanwhile, and wait until all of it is at rest."""
    story = _Story()
    with resources.as_file(resources.files("linkferry") / "data" / "customers.csv") as shipped:
        customers = folder / "customers.csv"
        shutil.copy(shipped, customers)
    story.backfill = await run_backfill(
        customers, door=session.door(), ledger=session.ledger, options=BackfillOptions(by="demo")
    )
    live = asyncio.create_task(_post_live(session, http, settings, story))
    with _progress(console) as show:
        while not story.is_over and story.elapsed_s < GIVE_UP_AFTER_S:
            story.jobs = await session.ledger.queries.counts()
            story.messages = await session.ledger.deliveries.counts()
            show(story)
            await asyncio.sleep(0.2)
    live.cancel()
    await asyncio.gather(live, return_exceptions=True)
    return story


async def _post_live(
    session: Session, http: aiohttp.ClientSession, settings: Settings, story: _Story
) -> None:
    key = await session.ledger.keys_of_api.add("demo")
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
        while (job := await session.ledger.queries.job(job_id)) and job.state in _WAITING:
            await asyncio.sleep(0.02)
        story.live.append((job_id, time.monotonic() - began))


# --- what is shown -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _progress(console: Console) -> Any:
    """Yield a function that shows the story so far: a live board on a terminal, a line each few seconds elsewhere."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            yield lambda story: live.update(_board(story))
        return
    told_at = 0.0

    def tell(story: _Story) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= 3:
            told_at = time.monotonic()
            console.print(f"  {story.elapsed_s:4.0f} s  {_in_words(story)}")

    yield tell


def _in_words(story: _Story) -> str:
    waiting = sum(story.jobs.get(state, 0) for state in (JobState.AVAILABLE, JobState.SCHEDULED))
    return (
        f"{story.jobs.get(JobState.LINKED, 0)} linked · {waiting} waiting · "
        f"{story.jobs.get(JobState.IN_DOUBT, 0)} in doubt · {story.jobs.get(JobState.FAILED, 0)} failed · "
        f"{story.messages.get(DeliveryState.SENT, 0)} messages sent"
    )


def _board(story: _Story) -> Group:
    total = sum(story.jobs.values()) or 1
    ended = total - sum(story.jobs.get(state, 0) for state in _WAITING)
    bar = ProgressBar(total=total, completed=ended, width=48)
    return Group(
        Text(f"{ended} of {total} jobs ended · {story.elapsed_s:.0f} s"), bar, Text(_in_words(story))
    )


async def _account(
    story: _Story, session: Session, http: aiohttp.ClientSession, root: str, console: Console
) -> None:
    outbox = await _json(http, f"{root}/sandbox/outbox?limit=2000")
    partner = await _json(http, f"{root}/sandbox/state")
    messages = outbox["items"] if isinstance(outbox, dict) else outbox
    _tell_rows(story, console)
    await _tell_jobs(story, session, console)
    _tell_messages(messages, console)
    await _tell_budget(partner, session, console, story)
    _tell_next(console)


def _tell_rows(story: _Story, console: Console) -> None:
    if story.backfill is None:
        return
    tally = story.backfill.tally
    console.rule("[bold]1. The spreadsheet", align="left")
    console.print(
        f"{tally.rows} rows: [green]{tally.accepted} accepted[/] ({tally.jobs} links asked for), "
        f"{tally.duplicates} duplicates, [red]{tally.rejected} rejected[/], {tally.warnings} with a warning"
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("line", "field", "why, and what to do"):
        table.add_column(heading)
    for noted in tally.errors:
        problem = noted.problem
        table.add_row(str(noted.line), problem.field, Text(f"{problem.message} {problem.remedy}"))
    console.print(table)


async def _tell_jobs(story: _Story, session: Session, console: Console) -> None:
    console.rule("[bold]2. The links", align="left")
    states = " · ".join(f"{count} {state.value}" for state, count in story.jobs.items() if count)
    console.print(f"{sum(story.jobs.values())} jobs: {states}")
    failed = await session.ledger.queries.find(JobFilter(state=JobState.FAILED), limit=500)
    by_reason = Counter(job.reason or "unknown" for job in failed.items)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("failed", "reason", "what to do"):
        table.add_column(heading)
    for name, count in by_reason.most_common():
        table.add_row(str(count), name, Text(session.catalogue.named(name).remedy))
    console.print(table)
    stats = await session.ledger.fleet.stats()
    doubts = sum(count for key, count in stats.items() if key.startswith("doubts_resolved"))
    retried = sum(count for key, count in stats.items() if "outcome=retry" in key)
    console.print(
        f"[dim]Lost answers settled by look-up: {doubts:.0f}, none by a blind second call. Retries: {retried:.0f}. "
        f"Live customers had their link after "
        f"{', '.join(f'{seconds:.1f} s' for _, seconds in story.live)}, in the midst of the backfill.[/]"
    )


def _tell_messages(messages: list[dict[str, Any]], console: Console) -> None:
    console.rule("[bold]3. The outbox", align="left")
    kinds = Counter(message["kind"] for message in messages)
    console.print(f"{kinds['mail']} mails and {kinds['sms']} texts. Two, as a customer sees them:")
    mail = next((each for each in messages if each["kind"] == "mail" and "Harbor" in each["text"]), None)
    mail = mail or next((each for each in messages if each["kind"] == "mail"), None)
    text = next((each for each in messages if each["kind"] == "sms"), None)
    if mail:
        console.print(
            Panel(Text(mail["text"].strip()), title=f"mail · {mail['subject']}", title_align="left", width=88)
        )
    if text:
        console.print(Panel(Text(text["text"].strip()), title="text", title_align="left", width=88))


async def _tell_budget(partner: dict[str, Any], session: Session, console: Console, story: _Story) -> None:
    console.rule("[bold]4. The partner's budget", align="left")
    taken = sum((await session.limits.status()).taken.values())
    budget = RATE * story.elapsed_s
    console.print(
        f"{taken} calls in {story.elapsed_s:.0f} s, of {budget:.0f} allowed at {RATE:g}/s; "
        f"refused for being too fast: {partner.get('refused', 0)}"
    )
    audit = await session.ledger.queries.audit()
    console.print(
        f"Ledger: {audit.accepted} accepted = {audit.ended} ended + {audit.waiting} waiting + "
        f"{audit.running} running + {audit.in_doubt} in doubt; unaccounted for: {audit.difference}"
    )


def _tell_next(console: Console) -> None:
    console.rule("[bold]Next", align="left")
    for command, meaning in (
        ("linkferry up --sandbox", "keep such a stack running, and play with it"),
        ("linkferry --sandbox backfill customers.csv --dry-run", "see what a file of yours would come to"),
        ("linkferry --sandbox failed groups", "what failed, why, and what to do"),
        ("linkferry config", "every setting; then `linkferry up` with your own credentials"),
    ):
        console.print(f"  [bold]{command}[/]  [dim]{meaning}[/]", highlight=False)


async def _json(http: aiohttp.ClientSession, url: str) -> Any:
    async with http.get(url) as answer:
        return json.loads(await answer.text())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
