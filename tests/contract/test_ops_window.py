"""What operators and callers see of a message that waits for the send window: until when, everywhere."""

from __future__ import annotations

import pytest
import redis.asyncio

from producers.api_views import full_job_view
from tests.contract.ledger_desk import LINKED, a_fail
from tests.contract.looking_desk import LookingDesk
from tests.contract.test_ledger_window import OPENS_MS, closed
from worker.domain.outcome import DeliveryRetry
from worker.domain.states import Channel, DeliveryState, JobState, Lane
from worker.ops.views import iso

pytestmark = pytest.mark.redis
UNTIL = iso(OPENS_MS)


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> LookingDesk:
    return await LookingDesk.open(store)


async def a_waiting_job(desk: LookingDesk, **changes: object) -> str:
    """Return a linked job whose message waits for the window."""
    job = await desk.job_in(JobState.LINKED, **changes)
    await desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=closed())
    return job


async def test_a_job_s_page_says_until_when_its_message_waits(desk: LookingDesk) -> None:
    """Why it is there, what comes next and when, in the story, and beside the message."""
    page = await desk.page(await a_waiting_job(desk))

    assert page["why_here_said"]["code"] == "here_window"
    assert page["next"]["code"] == "next_message_window"
    assert page["next"]["at"] == UNTIL
    last = page["timeline"][-1]
    assert (last["code"], last["detail"]["next_at"]) == ("message_window", UNTIL)
    [message] = page["deliveries"]
    assert (message["waits_for"], message["waits_until"]) == ("window", UNTIL)


async def test_a_pause_of_its_channel_is_told_before_the_window(desk: LookingDesk) -> None:
    """What a person did is what a person can undo."""
    job = await a_waiting_job(desk)
    await desk.ledger.batches.pause("channel:email", by="dana", why="")

    page = await desk.page(job)

    assert page["why_here_said"]["code"] == "trouble_channel_paused"


async def test_a_message_that_need_not_wait_says_nothing_of_it(desk: LookingDesk) -> None:
    """Due now, with no window or an open one."""
    page = await desk.page(await desk.job_in(JobState.LINKED))

    assert page["why_here_said"]["code"] == "here_telling"
    [message] = page["deliveries"]
    assert (message["waits_for"], message["waits_until"]) == (None, None)


async def test_a_customer_s_messages_say_until_when_they_wait(desk: LookingDesk) -> None:
    """For a support call: the link is made, and the message comes when the window opens."""
    job = await a_waiting_job(desk)

    found = await desk.customer(job)

    assert [each["waits_until"] for each in found["messages"]] == [UNTIL]
    assert UNTIL in found["headline"]["params"].values()


async def test_the_overview_says_how_many_wait_and_until_when(desk: LookingDesk) -> None:
    """All channels together; nothing is said where nothing waits."""
    assert (await desk.overview())["window"] == {"waiting": 0, "until": None, "by_channel": {}, "said": None}
    await a_waiting_job(desk)
    await a_waiting_job(desk, lane=Lane.BULK)

    window = (await desk.overview())["window"]

    assert (window["waiting"], window["until"]) == (2, UNTIL)
    assert window["by_channel"] == {"email": {"waiting": 2, "until": UNTIL}}
    assert (
        window["said"]["text"] == "2 messages wait until 2026-09-21 22:13:20 UTC: the send window is closed."
    )


async def test_a_batch_says_that_messages_wait(desk: LookingDesk) -> None:
    """Its links are made while its messages wait."""
    await desk.ledger.batches.open("b1", name="october.csv", source="csv", by="cli:dana", total=1)
    [job] = await desk.accept_batch("b1", 1)
    await desk.end(job, LINKED)
    await desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=closed())

    document = await desk.scene.queries.batch_progress("b1")

    assert document is not None
    assert document["progress"]["window"]["until"] == UNTIL


async def test_the_api_s_job_says_until_when_its_message_waits(desk: LookingDesk) -> None:
    """The caller may tell the customer."""
    job = await desk.ledger.queries.job(await a_waiting_job(desk))
    assert job is not None
    deliveries = await desk.ledger.deliveries.of_invitation(job.invitation_id)

    [message] = full_job_view(job, deliveries, desk.catalogue)["deliveries"]

    assert (message["state"], message["waits_for"], message["waits_until"]) == ("pending", "window", UNTIL)


async def test_waiting_for_the_window_is_no_fault_of_the_channel(desk: LookingDesk) -> None:
    """A message that failed once and then waits through the night raises no alarm about its provider."""
    delivery = await desk.a_delivery()
    fail = a_fail("smtp_unreachable", reason_class="transient")
    await desk.ledger.deliveries.settle(
        await desk.send(delivery), DeliveryRetry(fail=fail, delay_s=30, max_failures=5), can_resend=True
    )
    desk.advance(31)
    await desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=closed())
    record = await desk.ledger.deliveries.get(delivery)
    assert record is not None
    assert (record.state, record.reason) == (DeliveryState.PENDING, "smtp_unreachable")

    facts = await desk.ledger.incidents.facts()

    email = facts.channels[Channel.EMAIL]
    assert (email.waiting, email.fault) == (0, None)
