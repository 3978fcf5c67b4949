"""Hundreds of jobs through a partner that misbehaves, while processes are killed: the promises hold in the end."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.factories import a_request, an_invitation
from tests.stack import Stack
from worker.domain.job import NewInvitation
from worker.domain.request import Contact
from worker.domain.states import DeliveryState, JobState, Lane
from worker.ledger import JobFilter, LedgerUnavailable

pytestmark = [pytest.mark.crash, pytest.mark.timeout(420)]

#: `make crash` runs the whole 500; the ordinary test run a smaller storm of the same kind.
JOBS = int(os.environ.get("LINKFERRY_TEST_CHAOS_JOBS", "120"))
FAULTY_PARTNER: dict[str, Any] = {
    "drop_before": 0.05,
    "drop_after": 0.05,
    "hang": 0.03,
    "garbage": 0.03,
    "empty": 0.01,
    "html": 0.01,
    "error_before": 0.03,
    "error_after": 0.03,
    "lower_case": 0.05,
    "wrong_types": 0.01,
    "latency_s": [0.01, 0.15],
    "mail_drop_after": 0.03,
}


def customers(count: int) -> list[NewInvitation]:
    """Return bulk invitations with a contact each, so that every mail can be told from every other."""
    made = []
    for nth in range(count):
        contact = Contact(name=f"Customer {nth}", email=f"customer{nth}@example.com", locale="en")
        made.append(an_invitation(lane=Lane.BULK, request=a_request(contact=contact)))
    return made


async def accept(stack: Stack, invitations: list[NewInvitation]) -> list[str]:
    """Have all recorded; return the job ids."""
    job_ids: list[str] = []
    for start in range(0, len(invitations), 100):
        receipts = await stack.ledger.accept(invitations[start : start + 100], max_waiting=100_000)
        job_ids += [job_id for receipt in receipts for job_id in receipt.job_ids]
    return job_ids


async def is_at_rest(stack: Stack) -> bool:
    """Tell whether every job and message has come to an end."""
    try:
        jobs = await stack.ledger.queries.counts()
        messages = await stack.ledger.deliveries.counts()
    except LedgerUnavailable:  # the storm strikes who looks on as well
        return False
    restless = (JobState.AVAILABLE, JobState.SCHEDULED, JobState.RUNNING, JobState.IN_DOUBT)
    on_the_way = (DeliveryState.PENDING, DeliveryState.SENDING)
    return not sum(jobs.get(s, 0) for s in restless) and not sum(messages.get(s, 0) for s in on_the_way)


async def check_promises(stack: Stack, invitations: list[NewInvitation], job_ids: list[str]) -> Counter[str]:
    """Assert what must hold after any storm; return counts for the report."""
    partner = await stack.partner()
    outbox = [message for message in await stack.outbox() if message["kind"] == "mail"]
    by_recipient: dict[str, list[dict[str, Any]]] = {}
    for mail in outbox:
        by_recipient.setdefault(mail["to"], []).append(mail)
    told: Counter[str] = Counter()
    for invitation, job_id in zip(invitations, job_ids, strict=True):
        job = await stack.ledger.queries.job(job_id)
        assert job is not None, job_id
        assert job.state in (JobState.LINKED, JobState.FAILED), (job_id, job.state)
        links = partner["numbers"].get(invitation.request.number, {}).get("links", [])
        assert len(links) <= 1, f"{len(links)} links for one number"
        told[job.state.value] += 1
        mails = by_recipient.get(invitation.request.contact.email or "", [])
        if job.state is JobState.FAILED:
            assert job.reason, job_id
            assert job.reason != "crashed_three_times", "an innocent job was quarantined"
            assert not mails
            continue
        assert job.link == links[0]["link"]
        assert mails, f"{job_id} is linked and its customer was not told"
        assert all(job.link in mail["text"] for mail in mails), "a mail carries another's link"
        told["second mails"] += len(mails) - 1
    doubts = 0
    for invitation in invitations:
        for delivery in await stack.ledger.deliveries.of_invitation(invitation.id):
            doubts += delivery.doubts
    assert told["second mails"] <= doubts, "a mail was doubled that was never in doubt"
    audit = await stack.ledger.queries.audit()
    assert audit.difference == 0
    assert audit.accepted == len(job_ids)
    return told


async def storm(stack: Stack, strike: Any, *, every_s: float, within_s: float) -> int:
    """Strike every few seconds until everything is at rest; return how often."""
    strikes = 0
    give_up_at = asyncio.get_running_loop().time() + within_s
    while not await is_at_rest(stack):
        if asyncio.get_running_loop().time() > give_up_at:
            jobs, messages = await stack.ledger.queries.counts(), await stack.ledger.deliveries.counts()
            pytest.fail(f"not at rest: {jobs} {messages}\n{stack.logs()[-6000:]}")
        await asyncio.sleep(every_s)  # the pace of the storm: nothing is waited for
        if asyncio.get_running_loop().time() < give_up_at - within_s / 2:
            await strike()
            strikes += 1
    return strikes


async def test_workers_killed_under_a_misbehaving_partner_lose_and_double_nothing(tmp_path: Path) -> None:
    """SIGKILL every two seconds, every kind of bad answer: each job ends with one link and one mail, or a reason."""
    chance = random.Random(7)
    async with Stack(tmp_path, sandbox=FAULTY_PARTNER, provider_rate=40) as stack:
        invitations = customers(JOBS)
        job_ids = await accept(stack, invitations)
        for _ in range(2):
            stack.start_worker()

        async def strike() -> None:
            stack.kill_worker(chance.choice(stack.workers))
            stack.start_worker()

        strikes = await storm(stack, strike, every_s=2.5, within_s=240)
        told = await check_promises(stack, invitations, job_ids)
        print(f"\n{len(job_ids)} jobs, {strikes} workers killed: {dict(told)}")
        assert strikes >= 1
        assert told["linked"] >= 0.9 * len(job_ids)


async def test_a_ledger_killed_and_restarted_loses_nothing(tmp_path: Path) -> None:
    """Valkey dies and comes back every few seconds (AOF always): as above."""
    async with Stack(tmp_path, sandbox=FAULTY_PARTNER, provider_rate=40) as stack:
        invitations = customers(JOBS)
        job_ids = await accept(stack, invitations)
        for _ in range(2):
            stack.start_worker()

        async def strike() -> None:
            await stack.restart_valkey()

        strikes = await storm(stack, strike, every_s=4, within_s=240)
        told = await check_promises(stack, invitations, job_ids)
        print(f"\n{len(job_ids)} jobs, Valkey killed {strikes} times: {dict(told)}")
        assert strikes >= 1
        assert told["linked"] >= 0.9 * len(job_ids)


async def test_a_wiped_broker_loses_nothing(tmp_path: Path) -> None:
    """All of the broker's keys vanish again and again in full flight: the ledger rings anew."""
    async with Stack(tmp_path, sandbox=FAULTY_PARTNER, provider_rate=40) as stack:
        invitations = customers(JOBS)
        job_ids = await accept(stack, invitations)
        for _ in range(2):
            stack.start_worker()
        strikes = await storm(stack, stack.wipe_broker, every_s=1, within_s=240)
        told = await check_promises(stack, invitations, job_ids)
        print(f"\n{len(job_ids)} jobs, broker wiped {strikes} times: {dict(told)}")
        assert strikes >= 1
        page = await stack.ledger.queries.find(JobFilter(state=JobState.FAILED), limit=500)
        assert told["linked"] >= 0.9 * len(job_ids), [job.reason for job in page.items]
