"""What is known of a customer's links in a call: messages sent and sent again, reminders, and what the partner says."""

from __future__ import annotations

from typing import Any

import pytest
import redis.asyncio

from tests.contract.ledger_desk import LINKED
from tests.contract.looking_desk import DAY_S, LookingDesk
from tests.contract.test_ops_customer import DANA, NUMBER, dana, said_of, tell
from tests.factories import a_request
from worker.domain.outcome import AccountEntry, Fail, RegisteredNumber, Sent, Skipped, Undelivered
from worker.domain.states import Channel, JobState
from worker.ops.partner_view import PartnerLists
from worker.ops.views import iso

pytestmark = pytest.mark.redis


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> LookingDesk:
    return await LookingDesk.open(store)


# --- what is known of each link ----------------------------------------------------------------------------------


async def facts_of(desk: LookingDesk, job: str, **options: Any) -> list[str]:
    """Return the codes of what is known of a customer's one link."""
    [link] = (await desk.customer(job, **options))["links"]
    return [each["code"] for each in link["facts"]]


async def test_a_text_is_not_looked_for_in_a_spam_folder(desk: LookingDesk) -> None:
    """Telephones have none."""
    job = (await desk.accept(request=a_request(contact=DANA), channels=(Channel.SMS,))).job_ids[0]
    await tell(desk, job)

    [advice] = (await desk.customer(job))["advice"]

    assert advice["code"] == "advice_sent_sms"
    assert "spam" not in advice["text"]


async def test_a_later_resend_counts(desk: LookingDesk) -> None:
    """While it waits it is on its way; when it is out, that one is looked for; when it bounces, so be it said."""
    job = (await desk.accept(request=a_request(contact=DANA), channels=(Channel.EMAIL, Channel.SMS))).job_ids[
        0
    ]
    await tell(desk, job)
    mail = f"{job[:-1]}.email.invitation.1"
    desk.advance(60)
    await desk.ledger.deliveries.resend(mail, by="cli:noa", why="lost")
    assert (await said_of(desk, job))[:2] == ("customer_sent", "advice_telling")

    await desk.ledger.deliveries.settle(await desk.send(mail), Sent(provider_id="2"), can_resend=False)
    [advice] = (await desk.customer(job))["advice"]
    assert (advice["code"], advice["params"]["by"]) == ("advice_sent_again", "cli:noa")
    assert await facts_of(desk, job) == ["fact_sent", "fact_sent_by_request"]

    desk.advance(60)
    await desk.ledger.deliveries.resend(mail, by="cli:noa", why="lost")
    bounced = Undelivered(fail=Fail(reason="mailbox_unknown", reason_class="recipient"))
    await desk.ledger.deliveries.settle(await desk.send(mail), bounced, can_resend=False)
    assert await said_of(desk, job) == (
        "customer_sent",
        "advice_sent_not_again",
        f"linkferry resend {job} --to ADDRESS",
    )
    assert await facts_of(desk, job) == ["fact_sent", "fact_bounced"]


async def test_who_is_on_the_stop_list_is_said_so(desk: LookingDesk) -> None:
    """Before anything else that could be advised."""
    job = await dana(desk)
    await desk.end(job, LINKED)
    await desk.ledger.suppressing.add(NUMBER, by="cli:noa", why="asked by telephone")
    lease = await desk.send(f"{job[:-1]}.email.invitation.1")
    await desk.ledger.deliveries.settle(lease, Skipped(reason="suppressed"), can_resend=False)

    found = await desk.customer(job)

    assert (found["headline"]["code"], found["advice"][0]["code"]) == (
        "customer_suppressed",
        "advice_suppressed",
    )
    assert found["advice"][0]["command"] == "linkferry suppress remove ADDRESS"
    assert [(each["contact"], each["why"]) for each in found["suppressed"]] == [
        ("9725******67", "asked by telephone")
    ]
    assert "fact_skipped" in await facts_of(desk, job)


async def test_who_was_sent_his_link_before_is_not_sent_it_again(desk: LookingDesk) -> None:
    """What is advised can be done: first off the list."""
    job = await dana(desk)
    await tell(desk, job)
    await desk.ledger.suppressing.add("dana@flowers.example", by="cli:noa")

    assert await said_of(desk, job) == (
        "customer_sent",
        "advice_suppressed_since",
        "linkferry suppress remove ADDRESS",
    )


async def test_reminders_sent_and_to_come_are_shown(desk: LookingDesk) -> None:
    """When the next one is made, and when there is none left."""
    desk.reminders_s = (2 * DAY_S, 5 * DAY_S)
    await remind(desk)
    job = await dana(desk)
    await tell(desk, job)
    sent_ms = desk.now_ms
    assert await facts_of(desk, job) == ["fact_sent", "fact_reminder_next"]
    [link] = (await desk.customer(job))["links"]
    assert link["facts"][-1]["params"] == {"next_at": iso(sent_ms + round(2 * DAY_S * 1000))}

    desk.advance(2 * DAY_S)
    await remind(desk)
    assert await facts_of(desk, job) == ["fact_sent", "fact_reminder_waits"]
    lease = await desk.send(f"{job[:-1]}.email.reminder.1")
    await desk.ledger.deliveries.settle(lease, Sent(provider_id="2"), can_resend=False)
    assert await facts_of(desk, job) == ["fact_sent", "fact_reminded", "fact_reminder_next"]

    desk.advance(9 * DAY_S)
    found = await desk.customer(job)
    assert [each["code"] for each in found["links"][0]["facts"]][-1] == "fact_reminder_none"
    assert "reminder_sent" in [each["code"] for each in found["timeline"]]


async def remind(desk: LookingDesk) -> None:
    for number, after_s in enumerate(desk.reminders_s, start=1):
        await desk.ledger.reminding.remind(number, after_s=after_s)


# --- what the partner says right now -----------------------------------------------------------------------------


def entry(job: str, *, number: str = NUMBER, is_finished: bool = False) -> AccountEntry:
    """Return a row of the partner's list."""
    return AccountEntry(whatsapp=number, reference=job, link="https://p.example/1", is_finished=is_finished)


async def partner_says(desk: LookingDesk, job: str, lists: PartnerLists) -> str:
    """Return the code of what the partner says of a customer's one link."""

    async def ask() -> PartnerLists:
        return lists

    found = await desk.customer(job, ask=ask)
    assert found["is_partner_asked"]
    return str(found["links"][0]["facts"][-1]["code"])


async def test_the_partners_view_is_told_in_words(desk: LookingDesk) -> None:
    """Waiting, finished, no such link, another's link, only registered, or that it could not be asked."""
    job = await dana(desk)
    await tell(desk, job)
    registered = RegisteredNumber(whatsapp=NUMBER, expires_s=1_800_000_000)

    for lists, code in (
        (PartnerLists(accounts=[entry(job)]), "partner_waiting"),
        (PartnerLists(accounts=[entry(job, is_finished=True)]), "partner_finished"),
        (PartnerLists(accounts=[]), "partner_absent"),
        (PartnerLists(accounts=[entry("somebody-else")]), "partner_foreign"),
        (PartnerLists(accounts=[entry("somebody-else", is_finished=True)]), "partner_foreign_finished"),
        (PartnerLists(accounts=[], registered=[registered]), "partner_registered"),
        (PartnerLists(reason="partner_timeout"), "partner_no_answer"),
        (PartnerLists(reason="calls_paused"), "partner_silent"),
    ):
        assert await partner_says(desk, job, lists) == code


async def test_what_is_finished_at_the_partner_is_no_longer_waited_for(desk: LookingDesk) -> None:
    """The headline and the advice know it before the poll does."""
    job = await dana(desk)
    await tell(desk, job)

    async def ask() -> PartnerLists:
        return PartnerLists(accounts=[entry(job, is_finished=True)])

    found = await desk.customer(job, ask=ask)

    assert found["headline"]["code"] == "customer_finished_there"
    assert [each["code"] for each in found["advice"]] == ["advice_finished_there"]


@pytest.mark.parametrize("others", [[], ["somebody-else"]])
async def test_nobody_is_sent_to_a_link_that_the_partner_does_not_list(
    desk: LookingDesk, others: list[str]
) -> None:
    """Neither where it lists none for the number, nor where another's stands there: a new one can be made."""
    job = await dana(desk)
    await tell(desk, job)

    async def ask() -> PartnerLists:
        return PartnerLists(accounts=[entry(each) for each in others])

    [advice] = (await desk.customer(job, ask=ask))["advice"]

    assert (advice["code"], advice["command"]) == ("advice_missing_there", f"linkferry job replace {job}")


async def test_nobody_is_asked_about_several_customers_or_about_what_was_cancelled(desk: LookingDesk) -> None:
    """A call of the partner's rate is worth something."""
    asked = []

    async def ask() -> PartnerLists:
        asked.append(1)
        return PartnerLists()

    job = await desk.job_in(JobState.CANCELLED, request=a_request(contact=DANA))
    await desk.customer(job, ask=ask)
    for n in range(2):
        await dana(desk, whatsapp=f"97250888888{n}", external_id=f"crm-{n}", business_name=f"Shop {n}")
    await desk.customer("dana@flowers.example", ask=ask)

    assert asked == []
