"""How fast jobs are found: counts, groups, filtered lists, searches and single jobs, with a fifth of the jobs failed.

    .venv/bin/python -m bench.find [--jobs 100000] [--messages 2000]      # --jobs 1000000: some minutes, about 2 GB

The ledger is filled through its own verbs with customers of few trades, towns and reasons, as they are; then each question
is asked some dozens of times, in turns, by the process that holds the console's queries. The slowest twentieth counts. The
command line is asked as people do, each time with a start of its own.
Goals: a page's data within 100 ms (p95) and a CLI answer within 0.5 s, at a million; no script above 5 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from redis.asyncio import Redis

from bench.stack import ROOT, a_server, invitation, machine, run
from worker.domain.job import ClaimedJob, NewInvitation
from worker.domain.outcome import Fail, Linked, Refused, Undelivered
from worker.domain.reasons import Catalogue
from worker.domain.request import Contact
from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter, Ledger, open_redis
from worker.limits import Limits
from worker.ops.queries import Queries

GOAL_PAGE_MS = 100.0
GOAL_CLI_MS = 500.0
GOAL_SCRIPT_MS = 5.0
_CHUNK, _AT_ONCE, _ROUNDS, _CLI_ROUNDS = 100, 50, 25, 5
_FAILED, _LINKED = 5, 10  #: one job in so many
_AGAIN = 0.01  #: of the failed ones failed again
_TRADES = ("פרחי", "מאפיית", "מוסך", "מספרת", "קליניקת", "מכון", "סטודיו", "חנות", "Studio", "Café")
_PEOPLE = ("דנה", "יוסי", "נועה", "אורית", "אבי", "שירה", "Dana", "Avi", "Noa", "Levi")
_REASONS = ("number_has_link", "name_refused", "number_not_registered", "partner_timeout", "unknown_17")
Question = Callable[[], Awaitable[object]]


def customer(nth: int, chance: random.Random) -> NewInvitation:
    """Return one customer's invitation: a trade of few, a family's name of thousands, a number of its own."""
    name = (
        f"{chance.choice(_TRADES)} {chance.choice(_PEOPLE)} {family(int(chance.paretovariate(0.5)) % 50_000)}"
    )
    made = invitation(nth, lane=Lane.BULK, email=f"c{nth}@example.com", batch_id=f"b{nth % 3}")
    contact = Contact(name="Dana", email=f"c{nth}@example.com", phone=f"97252{nth:07d}")
    request = replace(
        made.request,
        business_name=name,
        display_name=name,
        external_id=f"crm-{nth}",
        reference=f"campaign-{nth % 20}",
        contact=contact,
    )
    return replace(made, request=request, source=f"crm:{nth % 4}")


def family(nth: int) -> str:
    """Return the nth family's name, letters only."""
    letters = "אבגדהוזחטיכלמנסעפצקרשת"
    name = ""
    while nth or not name:
        nth, at = divmod(nth, len(letters))
        name += letters[at]
    return name + "מן"


async def fill(ledger: Ledger, jobs: int, messages: int) -> None:
    """Accept the jobs, let a fifth of them fail and as many messages as asked for."""
    chance = random.Random(7)
    for start in range(0, jobs, _CHUNK):
        rows = [customer(nth, chance) for nth in range(start, min(start + _CHUNK, jobs))]
        receipts = await ledger.accept(rows, max_waiting=10**8, durable=False)
        ids = [receipt.job_ids[0] for receipt in receipts]
        failing = ids[::_FAILED]
        linking = ids[1::_LINKED] if start < messages * _LINKED else []
        await asyncio.gather(*(end(ledger, job, chance) for job in failing))
        await asyncio.gather(*(fail_message(ledger, job) for job in linking))


async def end(ledger: Ledger, job_id: str, chance: random.Random) -> None:
    job = await ledger.claim(job_id, worker_id="bench", lease_s=600)
    assert isinstance(job, ClaimedJob), job
    reason = chance.choice(_REASONS)
    fail = Fail(reason=reason, reason_class="bad_data", is_own_data=True, raw='{"status":"FAIL"}')
    await ledger.settle(job.lease, Refused(fail=fail))
    if job.attempt == 1 and chance.random() < _AGAIN:
        await ledger.requeue(job_id, by="bench", why="once more")
        await end(ledger, job_id, chance)


async def fail_message(ledger: Ledger, job_id: str) -> None:
    job = await ledger.claim(job_id, worker_id="bench", lease_s=600)
    assert isinstance(job, ClaimedJob), job
    settled = await ledger.settle(job.lease, Linked(link="https://onboarding.example/abcdefgh"))
    for delivery_id in settled.deliveries:
        delivery = await ledger.deliveries.claim(delivery_id, worker_id="bench", lease_s=600)
        assert delivery is not None
        await ledger.deliveries.begin_send(delivery.lease)
        fail = Fail(reason="mailbox_unknown", reason_class="bad_data")
        await ledger.deliveries.settle(delivery.lease, Undelivered(fail=fail), can_resend=True)


def questions_of(ledger: Ledger, queries: Queries, jobs: int) -> dict[str, Question]:
    """Return what is asked, by what it is called."""
    failed, chance = JobState.FAILED, random.Random(3)

    def some() -> int:
        return chance.randrange(jobs)

    def listing(**wanted: object) -> Question:
        return lambda: queries.jobs(JobFilter(**wanted))  # type: ignore[arg-type]

    return {
        "counts": ledger.queries.counts,
        "status": queries.status,
        "groups": queries.failure_groups,
        "the newest 50": listing(),
        "failed queue": lambda: queries.failed(JobFilter(state=failed)),
        "failed queue, its second half": lambda: queries.failed(JobFilter(state=failed, stage="delivery")),
        "a reason": listing(reason="name_refused"),
        "a reason, a lane, a source": listing(reason="name_refused", lane=Lane.BULK, source="crm:1"),
        "a batch, failed": listing(batch="b1", state=failed),
        "failed, older than an hour": listing(state=failed, older_than_s=3600),
        "failed, newer than an hour": listing(state=failed, newer_than_s=3600),
        "failed again after a requeue": listing(state=failed, min_requeues=1),
        "attempted twice": listing(state=failed, min_attempts=2),
        "a class and a trade's name": listing(reason_class="bad_data", name="מאפיית"),
        "messages of a batch": lambda: queries.failed(JobFilter(batch="b1", stage="delivery")),
        "by number": lambda: queries.jobs(JobFilter(number=f"97250{some():07d}")),
        "by e-mail": lambda: queries.jobs(JobFilter(email=f"c{some()}@example.com")),
        "by external id": lambda: queries.jobs(JobFilter(external_id=f"crm-{some()}")),
        "by reference (a twentieth has it)": lambda: queries.jobs(
            JobFilter(reference=f"campaign-{some() % 20}")
        ),
        "by a rare name": lambda: queries.jobs(JobFilter(name=family(some() % 50_000))),
        "by a common name": lambda: queries.jobs(JobFilter(name="דנה")),
        "by trade, first name and family": lambda: queries.jobs(
            JobFilter(name=f"פרחי דנה {family(some() % 5_000)}")
        ),
        "search: a number": lambda: queries.search(f"050{some():07d}"),
        "search: a beginning": lambda: queries.search("מאפי"),
        "search: nothing there": lambda: queries.search("nobody at all"),
        "one job": lambda: one_job(ledger, queries, f"97250{some():07d}"),
    }


async def one_job(ledger: Ledger, queries: Queries, number: str) -> None:
    page = await ledger.queries.find(JobFilter(number=number), limit=1)
    for job in page.items:
        assert await queries.job(job.id)


async def ask(questions: dict[str, Question]) -> dict[str, list[float]]:
    """Ask all of them in turns; return how long each took, in ms."""
    asked_ms: dict[str, list[float]] = {name: [] for name in questions}
    for _ in range(_ROUNDS):
        for name, question in questions.items():
            began = time.perf_counter()
            await question()
            asked_ms[name].append((time.perf_counter() - began) * 1e3)
    return asked_ms


def cli_ms(url: str, *words: str) -> float:
    """Return the slowest of some starts of a command; its bytecode is there, as an installed package's is."""
    clean = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("LINKFERRY_") and name != "PYTHONDONTWRITEBYTECODE"
    }
    own = {"LINKFERRY_REDIS_URL": url, "LINKFERRY_NAMESPACE": "linkferry", "PYTHONPATH": str(ROOT)}
    took = []
    for _ in range(1 + _CLI_ROUNDS):
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "linkferry", *words, "--json"],
            env=clean | own,
            capture_output=True,
            check=False,
        )
        took.append((time.perf_counter() - began) * 1e3)
    return max(took[1:])


def p95(took_ms: Sequence[float]) -> float:
    return sorted(took_ms)[int(len(took_ms) * 0.95) - (len(took_ms) * 95 % 100 == 0)]


async def scripts_ms(redis: Redis) -> tuple[float, float]:
    """Return the longest script's time, and within how long all but one in a hundred are done."""
    told = (await redis.info("latencystats"))["latency_percentiles_usec_evalsha"]
    return float(told["p100"]) / 1000, float(told["p99"]) / 1000


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--jobs", type=int, default=100_000)
    options.add_argument("--messages", type=int, default=2_000)
    asked = options.parse_args()
    print(machine())
    with a_server() as url:
        redis = open_redis(url)
        await redis.config_set("latency-tracking-info-percentiles", "50 99 100")
        ledger = Ledger(redis, namespace="linkferry")
        await ledger.open()
        began, empty = time.perf_counter(), (await redis.info("memory"))["used_memory"]
        await fill(ledger, asked.jobs, asked.messages)
        size = ((await redis.info("memory"))["used_memory"] - empty) / asked.jobs
        took_s = time.perf_counter() - began
        print(
            f"{asked.jobs:,} jobs in {took_s:,.0f} s, {size:,.0f} bytes of Redis each, one in {_FAILED} failed"
        )
        while (await redis.info("persistence"))["aof_rewrite_in_progress"]:
            await asyncio.sleep(0.1)
        await redis.config_resetstat()
        limits = Limits(redis, namespace="linkferry", name="partner", ceiling=10)
        queries = Queries(ledger, limits, Catalogue.shipped())
        show(await ask(questions_of(ledger, queries, asked.jobs)), *await scripts_ms(redis))
        for words in (
            ("status",),
            ("failed", "list"),
            ("failed", "groups"),
            ("job", "find", "0500000005"),
            ("job", "list", "--name", "דנה", "--state", "failed"),
        ):
            ms = cli_ms(url, *words)
            verdict = "" if ms <= GOAL_CLI_MS else "   missed"
            print(f"linkferry {' '.join(words):<44}{ms:>8.0f} ms   (goal ≤ {GOAL_CLI_MS:g}){verdict}")
        await ledger.aclose()


def show(asked_ms: dict[str, list[float]], longest_ms: float, most_ms: float) -> None:
    """Print the median and the slowest twentieth of each question."""
    print(f"{'ms at the caller':<40}{'median':>10}{'p95':>10}   (goal ≤ {GOAL_PAGE_MS:g})")
    for name, took in asked_ms.items():
        slow = p95(took)
        print(
            f"{name:<40}{statistics.median(took):>10.2f}{slow:>10.2f}{'' if slow <= GOAL_PAGE_MS else '   missed'}"
        )
    print(f"the longest script: {longest_ms:.2f} ms (goal ≤ {GOAL_SCRIPT_MS:g}); 99 in 100: {most_ms:.2f} ms")


if __name__ == "__main__":
    run(main())
