"""One SIGKILL at each named point of a job's way; another worker then brings it home, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.points import POINTS
from tests.factories import a_request, an_invitation
from tests.stack import Stack
from worker.domain.states import DeliveryState, JobState, Lane

pytestmark = pytest.mark.crash
DYING_WORKER = Path(__file__).with_name("dying_worker.py")


# A live job's claim goes along with its slot, a backfill's follows it; from there on they are the same.
@pytest.mark.parametrize(
    ("point", "lane"), [*((point, Lane.BULK) for point in POINTS), ("call_begun", Lane.LIVE)]
)
async def test_a_worker_killed_at_any_point_leaves_one_link_and_its_message(
    point: str, lane: Lane, tmp_path: Path
) -> None:
    """The job ends linked, the partner made one link for the number, the customer gets it; a second mail only in doubt."""
    async with Stack(tmp_path) as stack:
        doomed = stack.start_worker(str(DYING_WORKER), point)
        request = a_request()
        receipts = await stack.ledger.accept([an_invitation(request=request, lane=lane)], max_waiting=1000)
        stack.bell.ring(receipts[0].ring, lane)
        job_id = receipts[0].job_ids[0]

        await stack.until(lambda: doomed.poll() is not None, f"the worker dies: {point}")
        stack.start_worker()

        async def is_home() -> bool:
            job = await stack.ledger.queries.job(job_id)
            deliveries = await stack.ledger.deliveries.of_invitation(job.invitation_id)
            return job.state is JobState.LINKED and [d.state for d in deliveries] == [DeliveryState.SENT]

        await stack.until(is_home, "the job is linked and its mail sent")
        links = (await stack.partner())["numbers"][request.number]["links"]
        mails = [mail for mail in await stack.outbox() if mail["kind"] == "mail"]
        delivery = (await stack.ledger.deliveries.of_invitation(job_id[:-1]))[0]
        assert len(links) == 1
        assert len(mails) == 1 + (point == "after_the_end_of_a_mail")
        assert delivery.doubts == (1 if "end_of_a_mail" in point else 0)
        assert (await stack.ledger.queries.audit()).difference == 0
