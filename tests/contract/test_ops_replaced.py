"""What operators are told once a link was replaced, sent again or waits, or its customer is on the stop list."""

from __future__ import annotations

import json

import pytest
import redis.asyncio

from tests.contract.changing_desk import NEW_LINK
from tests.contract.ledger_desk import LINKED
from tests.contract.looking_desk import DAY_S, LookingDesk
from tests.contract.test_ledger_window import closed
from tests.contract.test_ops_customer import DANA, dana, tell
from tests.factories import a_request
from worker.domain.outcome import Deleted, Sent
from worker.domain.request import Product
from worker.domain.states import Channel
from worker.ops.change import Changing

pytestmark = pytest.mark.redis

BOTH = (Channel.EMAIL, Channel.SMS)


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> LookingDesk:
    return await LookingDesk.open(store)


async def sent_by_both(desk: LookingDesk) -> str:
    """Return the job of a customer who was sent a link by e-mail and SMS."""
    job = (await desk.accept(request=a_request(contact=DANA), channels=BOTH)).job_ids[0]
    await tell(desk, job)
    return job


async def replaced(desk: LookingDesk, job: str, *, is_closed: bool = True) -> list[str]:
    """Replace a job's link; return the messages with the new one, which wait for the window if *is_closed*."""
    desk.advance(60)
    assert (await desk.ledger.replace(job, by="cli:noa", why="")).done
    await desk.end(job, Deleted())
    made = (await desk.end(job, NEW_LINK)).deliveries
    for channel in BOTH if is_closed else ():
        await desk.ledger.deliveries.due(channel, want=10, closed=closed())
    return list(made)


async def send(desk: LookingDesk, message: str) -> None:
    lease = await desk.send(message)
    await desk.ledger.deliveries.settle(lease, Sent(provider_id="2"), can_resend=False)


async def wait_again(desk: LookingDesk, message: str) -> None:
    """Ask for a message once more while the window is closed."""
    desk.advance(60)
    assert (await desk.ledger.deliveries.resend(message, by="cli:noa", why="")).done
    await desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=closed())


async def facts_of(desk: LookingDesk, job: str) -> list[str]:
    links = (await desk.customer(job))["links"]
    return [each["code"] for each in next(one["facts"] for one in links if one["job_id"] == job)]


# --- a link that was replaced ------------------------------------------------------------------------------------


async def test_a_new_link_was_not_sent_with_the_messages_of_the_old_one(desk: LookingDesk) -> None:
    """The page says that it waits, and nobody is sent to look for a mail whose link is deleted."""
    job = await sent_by_both(desk)
    await replaced(desk, job)

    page, found = await desk.page(job), await desk.customer(job)

    assert (page["why_here_said"]["code"], page["next"]["code"]) == ("here_window", "next_message_window")
    assert (found["headline"]["code"], found["advice"][0]["code"]) == (
        "customer_window",
        "advice_window_replaced",
    )
    assert await facts_of(desk, job) == [
        "fact_replaced", "fact_sent_earlier", "fact_sent_earlier", "fact_waits_window", "fact_waits_window",
    ]  # fmt: skip
    stories = page["timeline"], found["timeline"]
    for story in stories:
        codes = [each["code"] for each in story]
        assert codes.count("message_sent_earlier") == 2
        assert "message_sent" not in codes


async def test_an_attempt_is_not_told_with_the_reference_of_a_later_link(desk: LookingDesk) -> None:
    """The partner was asked for the first link by another."""
    job = await sent_by_both(desk)
    [first] = [each["detail"] for each in (await desk.page(job))["timeline"] if each["kind"] == "attempt"]
    await replaced(desk, job)

    asked = [each["detail"].get("asked") for each in (await desk.page(job))["timeline"]]
    before, after = [each for each in asked if each]

    assert first["asked"]["reference"] == job
    assert after["reference"] == f"{job}r1"
    assert "reference" not in before
    assert before["whatsapp"] == after["whatsapp"]


async def test_a_link_whose_replacement_is_only_being_made_was_sent_by_nothing(desk: LookingDesk) -> None:
    """What is known of its messages is of the one that is deleted."""
    job = await sent_by_both(desk)
    await desk.ledger.replace(job, by="cli:noa", why="")
    assert await facts_of(desk, job) == ["changing_deleting", "fact_sent", "fact_sent"]
    await desk.end(job, Deleted())

    assert await facts_of(desk, job) == ["changing_making", "fact_sent_earlier", "fact_sent_earlier"]


async def test_a_replacement_is_no_message_sent_again(desk: LookingDesk) -> None:
    """Though the one before it was; and what was sent again says so."""
    job = await sent_by_both(desk)
    first = f"{job[:-1]}.email.invitation.1"
    desk.advance(60)
    await desk.ledger.deliveries.resend(first, by="cli:noa", why="lost")
    await send(desk, first)
    for message in await replaced(desk, job, is_closed=False):
        await send(desk, message)

    found = await desk.customer(job)

    assert found["advice"][0]["code"] != "advice_sent_again"
    assert await facts_of(desk, job) == [
        "fact_replaced", "fact_sent_earlier", "fact_sent_earlier", "fact_sent", "fact_sent",
    ]  # fmt: skip
    again = {each["delivery_id"]: each["asked_again"] for each in found["messages"]}
    assert {name for name, count in again.items() if count} == {first}
    assert {each["tries"] for each in found["messages"]} == {1}


# --- sent again --------------------------------------------------------------------------------------------------


async def test_a_message_says_where_it_went_before(desk: LookingDesk) -> None:
    """Each its own address, masked: the one before it was sent elsewhere, and the earlier link's."""
    job = await dana(desk)
    await tell(desk, job)
    first = f"{job[:-1]}.email.invitation.1"
    desk.advance(60)
    assert (await desk.readdress(first, "new@else.example", by="cli:noa", why="")).done
    await send(desk, first)
    [second] = await replaced(desk, job, is_closed=False)
    desk.advance(60)
    await send(desk, second)
    desk.advance(60)
    assert (await desk.readdress(second, "third@third.example", by="cli:noa", why="")).done

    found = await desk.customer(job)
    whole = await desk.customer(job, is_revealed=True)

    assert [(each["to"], each["to_before"]) for each in found["messages"]] == [
        ("n***@else.example", ["d***@flowers.example"]),
        ("t***@third.example", ["n***@else.example"]),
    ]
    assert whole["messages"][0]["to_before"] == ["dana@flowers.example"]
    assert "dana@flowers.example" not in json.dumps(found)


async def test_a_message_that_waits_to_be_sent_again_was_sent(desk: LookingDesk) -> None:
    """The page says both; a reminder may still follow."""
    desk.reminders_s = (2 * DAY_S,)
    job = await dana(desk)
    await tell(desk, job)
    await wait_again(desk, f"{job[:-1]}.email.invitation.1")

    page = await desk.page(job)

    assert page["why_here_said"]["code"] == "here_again_window"
    assert await facts_of(desk, job) == ["fact_again_window", "fact_reminder_later"]
    assert [each["code"] for each in page["reminders"]] == ["fact_reminder_later"]
    assert "was sent; later it was asked for again" in json.dumps(page["timeline"])


async def test_a_new_link_that_waits_may_still_be_reminded_of(desk: LookingDesk) -> None:
    """Unless all reminders were made."""
    desk.reminders_s = (2 * DAY_S,)
    job = await sent_by_both(desk)
    await replaced(desk, job)

    assert (await facts_of(desk, job))[-1] == "fact_reminder_later"


async def test_a_jobs_page_says_when_the_next_reminder_is_made(desk: LookingDesk) -> None:
    """As the customer's does."""
    desk.reminders_s = (2 * DAY_S,)
    job = await dana(desk)
    await tell(desk, job)
    assert [each["code"] for each in (await desk.page(job))["reminders"]] == ["fact_reminder_next"]
    desk.reminders_s = ()
    assert (await desk.page(job))["reminders"] == []


async def test_what_one_message_brings_is_advised_once(desk: LookingDesk) -> None:
    """With all of its jobs; its reminder is told once as well."""
    desk.reminders_s = (2 * DAY_S,)
    products = (Product.WHATSAPP, Product.FACEBOOK_PAGE)
    jobs = (await desk.accept(request=a_request(products=products, contact=DANA))).job_ids
    await desk.end(jobs[0], LINKED)
    await tell(desk, jobs[1])

    found = await desk.customer(jobs[0])

    [advice] = found["advice"]
    assert set(advice["job_ids"]) == set(jobs)
    codes = [fact["code"] for link in found["links"] for fact in link["facts"]]
    assert (codes.count("fact_sent"), codes.count("fact_reminder_next")) == (2, 1)


# --- on the stop list --------------------------------------------------------------------------------------------


async def test_who_is_on_the_stop_list_is_not_promised_a_message(desk: LookingDesk) -> None:
    """Neither the job's page nor the customer's says that what waits goes out; both say how to undo it."""
    job = await sent_by_both(desk)
    await replaced(desk, job)
    await desk.ledger.suppressing.add("dana@flowers.example", by="cli:noa", why="asked")

    page, found = await desk.page(job), await desk.customer(job)

    assert (page["why_here_said"]["code"], page["next"]["code"]) == ("here_suppressed", "next_suppressed")
    assert "linkferry suppress remove" in page["next"]["text"]
    assert [each["contact"] for each in page["suppressed"]] == ["d***@flowers.example"]
    assert found["headline"]["code"] == "customer_suppressed"
    assert found["advice"][0]["code"] == "advice_suppressed_waits"
    assert (await facts_of(desk, job))[-1] == "fact_waits_suppressed"


async def test_a_resend_to_who_is_on_the_stop_list_is_not_promised(desk: LookingDesk) -> None:
    """Though the link was sent before."""
    job = await dana(desk)
    await tell(desk, job)
    await wait_again(desk, f"{job[:-1]}.email.invitation.1")
    await desk.ledger.suppressing.add("dana@flowers.example", by="cli:noa", why="asked")

    page = await desk.page(job)

    assert (page["why_here_said"]["code"], page["next"]["code"]) == (
        "here_again_suppressed",
        "next_suppressed",
    )


# --- what was corrected ------------------------------------------------------------------------------------------


async def test_a_correction_names_the_business_as_the_page_does(desk: LookingDesk) -> None:
    """A number within its name is masked in the story, as is a person's name."""
    job = await dana(desk, display_name="Dana Two")
    await desk.end(job, LINKED)
    changing = Changing(desk.ledger)
    fields = {"display_name": "Dana 050-123-4567", "name": "Noa Cohen"}
    assert (await changing.replace(job, fields, by="cli:noa", why="")).done

    page = await desk.page(job)

    [text] = [each["text"] for each in page["timeline"] if each["code"] == "act_edited"]
    assert "display_name: Dana Two → Dana " in text
    assert "name: D*** → N***" in text
    assert "050-123-4567" not in text
