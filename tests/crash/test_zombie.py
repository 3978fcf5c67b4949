"""A worker that is stopped for longer than its leases and then continued: it must send nothing late."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.factories import a_request, an_invitation
from tests.stack import Stack
from worker.domain.request import Contact
from worker.domain.states import Channel, DeliveryState, JobState, Lane

pytestmark = pytest.mark.crash
HELD_WORKER = Path(__file__).with_name("held_worker.py")
NUMBERS = [f"97250900000{digit}" for digit in range(4)]


async def accept(stack: Stack, digit: int, *channels: Channel) -> str:
    """Accept a customer whose number ends in *digit*; return the job's id."""
    contact = Contact(name="Dana", email=f"customer{digit}@example.com", phone="972501111111", locale="en")
    request = a_request(whatsapp=NUMBERS[digit], contact=contact)
    invitation = an_invitation(request=request, lane=Lane.BULK, channels=channels)
    (receipt,) = await stack.ledger.accept([invitation], max_waiting=100)
    return receipt.job_ids[0]


async def deliveries(stack: Stack, job_id: str) -> dict[Channel, DeliveryState]:
    found = await stack.ledger.deliveries.of_invitation(job_id[:-1])
    return {delivery.channel: delivery.state for delivery in found}


async def test_a_stopped_and_continued_worker_sends_nothing_late(tmp_path: Path) -> None:
    """Stopped with a job at its slot, one begun, one whose answer is on its way, a mail and a text before their last byte:
    another worker brings all home, and the first, continued, makes no second create, mail, text or settle."""  # fmt: skip
    async with Stack(tmp_path) as stack:
        zombie = stack.start_worker(str(HELD_WORKER), str(tmp_path))
        job_ids = [await accept(stack, 0, Channel.EMAIL, Channel.SMS)]
        for point in ("email", "sms"):
            await stack.until((tmp_path / f"held-{point}").exists, f"the {point} waits before its last byte")
        await stack.faults(latency_s=[1.2, 1.2])
        job_ids += [await accept(stack, digit, Channel.EMAIL) for digit in (1, 2, 3)]
        for point in ("slot", "begun"):
            await stack.until((tmp_path / f"held-{point}").exists, f"a job waits {point}")

        async def is_asked() -> bool:
            return bool((await stack.partner())["calls"]["create_whatsapp"] == 2)

        await stack.until(is_asked, "the partner works on the third job's create")
        zombie.send_signal(signal.SIGSTOP)
        await stack.faults(latency_s=[0, 0])
        stack.start_worker()

        async def is_home() -> bool:
            jobs = await stack.ledger.queries.jobs(job_ids)
            mails = [(await deliveries(stack, job_id))[Channel.EMAIL] for job_id in job_ids if jobs]
            return {job.state for job in jobs} == {JobState.LINKED} and set(mails) == {DeliveryState.SENT}

        async def are_linked() -> bool:
            counts = await stack.ledger.queries.counts()
            return counts[JobState.LINKED] == 4

        await stack.until(are_linked, "another worker has all links")
        await stack.until(is_home, "another worker has sent all mails")
        (tmp_path / "gate").touch()
        zombie.send_signal(signal.SIGCONT)
        zombie.terminate()
        await stack.until(lambda: zombie.poll() is not None, "the continued worker ends what it held")

        partner, outbox = await stack.partner(), await stack.outbox()
        assert zombie.returncode == 0
        assert [partner["numbers"][number]["creates"] for number in NUMBERS] == [1, 1, 1, 1]
        assert sorted(message["to"] for message in outbox) == [f"customer{n}@example.com" for n in range(4)]
        assert await deliveries(stack, job_ids[0]) == {
            Channel.EMAIL: DeliveryState.SENT,
            Channel.SMS: DeliveryState.IN_DOUBT,
        }
        for job_id in job_ids:
            job = await stack.ledger.queries.job(job_id)
            assert job is not None
            assert job.state is JobState.LINKED
            assert job.link == partner["numbers"][job.number]["links"][0]["link"]
        assert (await stack.ledger.queries.audit()).difference == 0
