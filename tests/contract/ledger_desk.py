"""A ledger with a clock to turn by hand, and jobs in the state a test needs."""

from __future__ import annotations

from typing import Any, Self

import redis.asyncio

from tests.factories import an_invitation
from worker.domain.dedupe import fingerprint
from worker.domain.job import ClaimedDelivery, ClaimedJob, Lease, Receipt, Settled
from worker.domain.outcome import (
    DeliveryDoubt,
    Doubtful,
    Fail,
    Linked,
    Outcome,
    Refused,
    Retry,
    Snoozed,
    Undelivered,
)
from worker.domain.request import OnboardingRequest
from worker.domain.states import Channel, JobState, Lane
from worker.ledger import Ledger, Mended, RequestEdit
from worker.ops.readdress import readdressed

EPOCH_MS = 1_790_000_000_000
LEASE_S = 60.0
LINK = "https://partner.example/onboarding/1"


def a_fail(reason: str = "unknown_17", **changes: Any) -> Fail:
    """Return a FAIL that is not the row's own data."""
    return Fail(**({"reason": reason, "reason_class": "unknown", "code": 17} | changes))


def own_fail(reason: str = "name_refused") -> Fail:
    """Return a FAIL that is the row's own data."""
    return Fail(reason=reason, reason_class="bad_data", code=9, is_own_data=True)


def retry(delay_s: float = 30.0, *, max_failures: int = 8, reason: str = "partner_unreachable") -> Retry:
    """Return a failure that time may mend."""
    fail = Fail(reason=reason, reason_class="transient")
    return Retry(fail=fail, delay_s=delay_s, max_failures=max_failures)


LINKED = Linked(link=LINK)
DOUBTFUL = Doubtful(fail=Fail(reason="partner_timeout", reason_class="transient"))


class Desk:
    """What the tests of the ledger work with."""

    def __init__(self, client: redis.asyncio.Redis, *, namespace: str = "test") -> None:
        self.redis = client
        self.now_ms = EPOCH_MS
        self.ledger = Ledger(client, namespace=namespace, now_ms=lambda: self.now_ms)

    @classmethod
    async def open(cls, client: redis.asyncio.Redis) -> Self:
        """Return a desk whose ledger is open."""
        desk = cls(client)
        await desk.ledger.open()
        return desk

    def advance(self, seconds: float) -> None:
        """Turn the clock."""
        self.now_ms += round(seconds * 1000)

    async def accept(self, *, max_waiting: int = 1_000_000, **changes: Any) -> Receipt:
        """Record one invitation."""
        [receipt] = await self.ledger.accept([an_invitation(**changes)], max_waiting=max_waiting)
        return receipt

    async def accept_batch(self, batch: str, count: int, **changes: Any) -> list[str]:
        """Record a batch of plain bulk invitations; return the job ids."""
        rows = [an_invitation(lane=Lane.BULK, batch_id=batch, line=n + 2, **changes) for n in range(count)]
        receipts = await self.ledger.accept(rows, max_waiting=1_000_000)
        return [receipt.job_ids[0] for receipt in receipts]

    async def claim(self, job_id: str, *, worker: str = "w1") -> ClaimedJob:
        """Claim a job that must be to be had."""
        claimed = await self.ledger.claim(job_id, worker_id=worker, lease_s=LEASE_S)
        assert isinstance(claimed, ClaimedJob), claimed
        return claimed

    async def call(self, job_id: str, *, worker: str = "w1") -> Lease:
        """Claim a job and begin its call."""
        claimed = await self.claim(job_id, worker=worker)
        assert await self.ledger.begin_call(claimed.lease)
        return claimed.lease

    async def end(self, job_id: str, outcome: Outcome) -> Settled:
        """Make one attempt that ends so."""
        return await self.ledger.settle(await self.call(job_id), outcome)

    async def job_in(self, state: JobState, **changes: Any) -> str:
        """Return a new job that stands in *state*."""
        if state is JobState.SCHEDULED:
            return (await self.accept(not_before_ms=self.now_ms + 60_000, **changes)).job_ids[0]
        [job, *_] = (await self.accept(**changes)).job_ids
        match state:
            case JobState.RUNNING:
                await self.claim(job)
            case JobState.LINKED:
                await self.end(job, LINKED)
            case JobState.FAILED:
                await self.end(job, Refused(fail=own_fail()))
            case JobState.DEAD:
                await self.end(job, Refused(fail=own_fail(), is_discard=True))
            case JobState.IN_DOUBT:
                await self.end(job, DOUBTFUL)
            case JobState.CANCELLED:
                await self.ledger.cancel(job, by="test", why="test")
            case _:
                assert state is JobState.AVAILABLE, "no verb leads there alone"
        assert await self.state(job) is state
        return job

    async def state(self, job_id: str) -> JobState | None:
        """Return where a job stands."""
        job = await self.ledger.queries.job(job_id)
        return job.state if job else None

    async def drain(self, lane: Lane, outcome: Outcome, *, want: int = 50) -> list[str]:
        """Ring, work and settle once around; return the jobs."""
        jobs = await self.ledger.feed(lane, want=want)
        leases = [await self.call(job) for job in jobs]
        for lease in leases:
            await self.ledger.settle(lease, outcome)
        return jobs

    async def a_delivery(self, **changes: Any) -> str:
        """Return a pending delivery of a new linked job."""
        job = await self.job_in(JobState.LINKED, **changes)
        [delivery, *_] = await self.ledger.deliveries.of_invitation(job[:-1])
        return delivery.id

    async def claim_delivery(self, delivery_id: str) -> ClaimedDelivery:
        """Claim a delivery that must be to be had."""
        claimed = await self.ledger.deliveries.claim(delivery_id, worker_id="w1", lease_s=LEASE_S)
        assert claimed is not None
        return claimed

    async def send(self, delivery_id: str) -> Lease:
        """Claim a delivery and begin its send."""
        claimed = await self.claim_delivery(delivery_id)
        assert await self.ledger.deliveries.begin_send(claimed.lease)
        return claimed.lease

    async def a_failed_message(self) -> str:
        """Return a mail that the provider refused for good."""
        delivery = await self.a_delivery(channels=(Channel.EMAIL,))
        outcome = Undelivered(fail=own_fail("mailbox_unknown"))
        assert await self.ledger.deliveries.settle(await self.send(delivery), outcome, can_resend=True)
        return delivery

    async def a_doubtful_message(self) -> str:
        """Return an SMS of which nobody knows whether it went out."""
        delivery = await self.a_delivery(channels=(Channel.SMS,))
        outcome = DeliveryDoubt(fail=own_fail("mailbox_unknown"))
        await self.ledger.deliveries.settle(await self.send(delivery), outcome, can_resend=False)
        return delivery

    async def requeue(self, job_id: str) -> Mended:
        """Requeue as an operator does."""
        return await self.ledger.requeue(job_id, by="dana", why="mended")

    async def edit(self, job_id: str, request: OnboardingRequest) -> Mended:
        """Requeue with *request* in the place of the job's own, as an operator does who has just looked at it."""
        record = await self.ledger.queries.job(job_id)
        assert record is not None
        edit = RequestEdit(
            base=record.request, request=request, fingerprint=fingerprint(request), changes="[]", told="name"
        )
        return await self.ledger.edit(job_id, edit, by="dana", why="mended")

    async def readdress(self, delivery_id: str, to: str, **who: str) -> Mended:
        """Send a message again to another e-mail address, as an operator does who has just looked at its job."""
        delivery = await self.ledger.deliveries.get(delivery_id)
        assert delivery is not None
        record = await self.ledger.queries.job(delivery.job_ids[0])
        assert record is not None
        _, readdress = readdressed(record.request, to, region="IL", wanted=None)
        who = {"by": "dana", "why": "moved"} | who
        return await self.ledger.deliveries.resend(delivery_id, to=readdress, **who)

    async def balance(self) -> None:
        """Check that the books are right: no job lost, no index that disagrees."""
        audit = await self.ledger.queries.audit()
        assert audit.difference == 0
        assert audit.wrong == ()


BOTH_CHANNELS = (Channel.EMAIL, Channel.SMS)
SNOOZED = Snoozed(reason="partner_paused")
