"""What the demo shows: a board while it runs, and a readable account at its end."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from linkferry.hints import as_typed, short_path
from linkferry.session import Session
from producers.backfill.results import BackfillResult
from worker.domain.states import DeliveryState, JobState
from worker.ledger import JobFilter

WAITING = (JobState.AVAILABLE, JobState.SCHEDULED, JobState.RUNNING, JobState.IN_DOUBT)
RESTLESS = (DeliveryState.PENDING, DeliveryState.SENDING)


@dataclass
class Story:
    """What the demo learns on its way and tells at its end."""

    rate: float  #: calls a second that the partner allows
    live_expected: int
    backfill: BackfillResult | None = None
    live: list[tuple[str, float]] = field(default_factory=list)  #: job id, seconds from the POST to its link
    #: live jobs whose customer finished → seconds until we knew
    finished: dict[str, float] = field(default_factory=dict)
    jobs: dict[JobState, int] = field(default_factory=dict)
    unexplained: int = 0  #: failed jobs whose cause was not looked up yet
    messages: dict[DeliveryState, int] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since the demo's first row."""
        return time.monotonic() - self.began

    @property
    def is_over(self) -> bool:
        """Tell whether every job and message has come to an end."""
        is_fed = self.backfill is not None and len(self.live) == self.live_expected
        at_work = sum(self.jobs.get(state, 0) for state in WAITING)
        on_the_way = sum(self.messages.get(state, 0) for state in RESTLESS)
        return is_fed and bool(self.jobs) and not at_work and not on_the_way and not self.unexplained


@contextlib.contextmanager
def progress(console: Console) -> Iterator[Callable[[Story], None]]:
    """Yield a function that shows the story so far: a live board on a terminal, a line each few seconds elsewhere."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            yield lambda story: live.update(_board(story))
        return
    told_at = 0.0

    def tell(story: Story) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= 3:
            told_at = time.monotonic()
            console.print(f"  {story.elapsed_s:4.0f} s  {_in_words(story)}")

    yield tell


def _in_words(story: Story) -> str:
    waiting = sum(story.jobs.get(state, 0) for state in (JobState.AVAILABLE, JobState.SCHEDULED))
    return (
        f"{story.jobs.get(JobState.LINKED, 0)} linked · {waiting} waiting · "
        f"{story.jobs.get(JobState.IN_DOUBT, 0)} in doubt · {story.jobs.get(JobState.FAILED, 0)} failed · "
        f"{story.messages.get(DeliveryState.SENT, 0)} messages sent"
    )


def _board(story: Story) -> Group:
    total = sum(story.jobs.values()) or 1
    ended = total - sum(story.jobs.get(state, 0) for state in WAITING)
    bar = ProgressBar(total=total, completed=ended, width=48)
    return Group(
        Text(f"{ended} of {total} jobs ended · {story.elapsed_s:.0f} s"), bar, Text(_in_words(story))
    )


async def account(
    story: Story, session: Session, messages: list[dict[str, Any]], partner: dict[str, Any], console: Console
) -> None:
    """Print what came of everything: rows, links, *messages* of the outbox, and the *partner*'s own count of calls."""
    _tell_rows(story, console)
    await _tell_jobs(story, session, console)
    _tell_finished(story, console)
    await _tell_messages(messages, session, console)
    await _tell_budget(partner, session, console, story)
    _tell_next(console)


def _tell_rows(story: Story, console: Console) -> None:
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
        why = Text(f"{problem.message}.").append(f"\n→ {problem.remedy}", style="dim")
        table.add_row(str(noted.line), problem.field, why)
    console.print(table)


async def _tell_jobs(story: Story, session: Session, console: Console) -> None:
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


def _tell_finished(story: Story, console: Console) -> None:
    if story.finished:
        console.print(
            f"{len(story.finished)} customers then finished at the partner: its webhook told of them, and they were "
            f"[green]onboarded[/] here within {max(story.finished.values()):.1f} s."
        )


async def _tell_messages(messages: list[dict[str, Any]], session: Session, console: Console) -> None:
    console.rule("[bold]3. The outbox", align="left")
    kinds = Counter(message["kind"] for message in messages)
    console.print(f"{kinds['mail']} mails and {kinds['sms']} texts. {await _undelivered(session)}")
    console.print("Two of them, as a customer sees them:")
    mail = next((each for each in messages if each["to"] == "sam@example.com"), None)
    mail = mail or next((each for each in messages if each["kind"] == "mail"), None)
    text = next((each for each in messages if each["kind"] == "sms"), None)
    if mail:
        console.print(
            Panel(Text(mail["text"].strip()), title=f"mail · {mail['subject']}", title_align="left", width=88)
        )
    if text:
        console.print(Panel(Text(text["text"].strip()), title="text", title_align="left", width=88))


async def _undelivered(session: Session) -> str:
    page = await session.ledger.deliveries.find(DeliveryState.FAILED, limit=500)
    reasons = Counter(delivery.reason or "unknown" for delivery in page.items)
    told = ", ".join(f"{count} {name}" for name, count in reasons.most_common())
    return (
        f"Not deliverable: {told} (the same customers have a text, where they left a number)." if told else ""
    )


async def _tell_budget(partner: dict[str, Any], session: Session, console: Console, story: Story) -> None:
    console.rule("[bold]4. The partner's budget", align="left")
    taken = sum((await session.limits.status()).taken.values())
    budget = story.rate * story.elapsed_s
    console.print(
        f"{taken} calls in {story.elapsed_s:.0f} s, of {budget:.0f} allowed at {story.rate:g}/s; "
        f"refused for being too fast: {partner.get('refused', 0)}"
    )
    audit = await session.ledger.queries.audit()
    console.print(
        f"Ledger: {audit.accepted} accepted = {audit.ended} ended + {audit.waiting} waiting + "
        f"{audit.running} running + {audit.in_doubt} in doubt; unaccounted for: {audit.difference}"
    )


def _tell_next(console: Console) -> None:
    console.rule("[bold]Next", align="left")
    template = shlex.quote(short_path(Path(str(resources.files("linkferry"))) / "data" / "template.csv"))
    for command, meaning in (
        ("linkferry up --sandbox", "keep such a stack running, and play with it"),
        (f"linkferry --sandbox backfill {template} --dry-run", "see what a file of yours would come to"),
        ("linkferry --sandbox failed groups", "what failed, why, and what to do"),
        ("linkferry config", "every setting; then `linkferry up` with your own credentials"),
    ):
        line = Text("  ").append(as_typed(command, is_sandbox=False), style="bold")
        console.print(line.append(f"  {as_typed(meaning, is_sandbox=False)}", style="dim"), soft_wrap=True)
