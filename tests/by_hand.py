"""What a worker does to a job and to a message, done by hand on any ledger."""

from __future__ import annotations

from typing import Any

from tests.factories import an_invitation
from worker.domain.job import ClaimedJob, Lease, NewInvitation
from worker.domain.outcome import Linked, Outcome, Sent
from worker.ledger import Ledger

LINKED = Linked(link="https://onboarding.example/1")


async def accepted(ledger: Ledger, invitation: NewInvitation | None = None, **changes: Any) -> str:
    """Record this invitation, or a plain one with *changes*; return its first job's id."""
    invitation = invitation or an_invitation(**changes)
    [receipt] = await ledger.accept([invitation], max_waiting=1_000, durable=False)
    return receipt.job_ids[0]


async def claimed(ledger: Ledger, job_id: str) -> ClaimedJob:
    """Claim a job that must be to be had."""
    job = await ledger.claim(job_id, worker_id="w", lease_s=60)
    assert isinstance(job, ClaimedJob), job
    return job


async def called(ledger: Ledger, job_id: str) -> Lease:
    """Claim a job and begin its call."""
    job = await claimed(ledger, job_id)
    assert await ledger.begin_call(job.lease)
    return job.lease


async def ended(ledger: Ledger, job_id: str, outcome: Outcome) -> str:
    """Make one attempt that ends so; return the job's id."""
    await ledger.settle(await called(ledger, job_id), outcome)
    return job_id


async def sent(ledger: Ledger, delivery_id: str, *, can_resend: bool = False) -> None:
    """Send a message that is due."""
    delivery = await ledger.deliveries.claim(delivery_id, worker_id="w", lease_s=60)
    assert delivery is not None
    assert await ledger.deliveries.begin_send(delivery.lease)
    await ledger.deliveries.settle(delivery.lease, Sent(provider_id="1"), can_resend=can_resend)
