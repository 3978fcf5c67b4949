"""A row becomes a link in a customer's hands: ledger, broker, actors, partner and mail, all of them real."""

from __future__ import annotations

from pathlib import Path

from tests.factories import a_request, an_invitation
from tests.stack import Stack
from worker.domain.job import Receipt
from worker.domain.request import Contact, Product
from worker.domain.states import Channel, DeliveryState, JobState, Lane


async def accept(stack: Stack, **changes: object) -> Receipt:
    receipts = await stack.ledger.accept([an_invitation(lane=Lane.BULK, **changes)], max_waiting=1000)
    return receipts[0]


async def test_a_request_for_three_products_becomes_one_mail_with_three_links(tmp_path: Path) -> None:
    """One customer, WhatsApp and two Facebook links: one mail carries exactly these three."""
    async with Stack(tmp_path) as stack:
        stack.start_worker()
        products = (Product.WHATSAPP, Product.FACEBOOK_MESSENGER, Product.FACEBOOK_PAGE)
        request = a_request(products=products)
        receipt = await accept(stack, request=request)

        async def is_sent() -> bool:
            deliveries = await stack.ledger.deliveries.of_invitation(receipt.invitation_id)
            return [each.state for each in deliveries] == [DeliveryState.SENT]

        await stack.until(is_sent, "the mail is sent")
        jobs = await stack.ledger.queries.jobs(receipt.job_ids)
        mails = [message for message in await stack.outbox() if message["kind"] == "mail"]
        assert [job.state for job in jobs] == [JobState.LINKED] * 3
        assert len(mails) == 1
        assert all(job.link in mails[0]["text"] and job.link in mails[0]["html"] for job in jobs if job.link)
        assert (await stack.ledger.queries.audit()).difference == 0


async def test_a_customer_without_an_address_gets_a_text(tmp_path: Path) -> None:
    """The SMS goes to the contact's number and carries the link whole."""
    async with Stack(tmp_path) as stack:
        stack.start_worker()
        contact = Contact(name="Dana", phone="972501234567", locale="en")
        receipt = await accept(stack, request=a_request(contact=contact), channels=(Channel.SMS,))

        async def texts() -> list[dict[str, str]]:
            return [message for message in await stack.outbox() if message["kind"] == "sms"]

        (text,) = await stack.until(texts, "the text arrives")
        job = await stack.ledger.queries.job(receipt.job_ids[0])
        assert job is not None
        assert job.link is not None
        assert job.link in text["text"]


async def test_sigterm_finishes_what_runs_and_claims_no_more(tmp_path: Path) -> None:
    """A worker told to stop in the midst of calls ends them, leaves no lease behind and exits 0."""
    async with Stack(tmp_path, sandbox={"latency_s": [0.5, 0.6]}, provider_rate=50) as stack:
        worker = stack.start_worker()
        for _ in range(40):
            await accept(stack)

        async def is_running() -> bool:
            return (await stack.ledger.queries.counts()).get(JobState.RUNNING, 0) >= 3

        await stack.until(is_running, "some jobs run")
        worker.terminate()
        await stack.until(lambda: worker.poll() is not None, "the worker stops")
        counts = await stack.ledger.queries.counts()
        assert worker.returncode == 0, stack.logs()[-3000:]
        assert counts.get(JobState.RUNNING, 0) == 0
        assert counts.get(JobState.IN_DOUBT, 0) == 0
        assert counts[JobState.LINKED] >= 3
        assert counts[JobState.AVAILABLE] + counts.get(JobState.SCHEDULED, 0) + counts[JobState.LINKED] == 40
