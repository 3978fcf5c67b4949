"""One customer on one screen: found by whatever he names, told apart from others, with what to say and do."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis.asyncio

from tests.contract.ledger_desk import DOUBTFUL, LINKED, own_fail
from tests.contract.looking_desk import LookingDesk
from tests.factories import a_request
from worker.domain.outcome import Fail, Refused, Sent, Skipped, Undelivered
from worker.domain.request import Contact, Product
from worker.domain.states import Channel, JobState

pytestmark = pytest.mark.redis

NUMBER = "972501234567"
DANA = Contact(name="Dana Levi", email="dana@flowers.example", phone="972502222222", locale="he")


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> LookingDesk:
    return await LookingDesk.open(store)


async def dana(desk: LookingDesk, **changes: Any) -> str:
    """Return the job of one customer."""
    fields = {"whatsapp": NUMBER, "business_name": "Dana Flowers", "external_id": "crm-7", "contact": DANA}
    request = a_request(**(fields | changes))
    return (await desk.accept(request=request)).job_ids[0]


async def tell(desk: LookingDesk, job: str, outcome: Any = None) -> None:
    """Link a job and send its message, or let that end otherwise."""
    await desk.end(job, LINKED)
    for delivery in await desk.ledger.deliveries.of_invitation(job[:-1]):
        lease = await desk.send(delivery.id)
        await desk.ledger.deliveries.settle(lease, outcome or Sent(provider_id="1"), can_resend=False)


async def test_a_mail_that_bounced_is_told_before_an_sms_that_nobody_could_get(desk: LookingDesk) -> None:
    """Whoever has no telephone is not told to mend that, but his address."""
    channels = (Channel.EMAIL, Channel.SMS)
    contact = Contact(name="Gil", email="gil@nowhere.example")
    [job] = (await desk.accept(request=a_request(contact=contact), channels=channels)).job_ids
    await desk.end(job, LINKED)
    bounced = Undelivered(fail=Fail(reason="mailbox_unknown", reason_class="recipient"))
    for delivery in await desk.ledger.deliveries.of_invitation(job[:-1]):
        desk.advance(1)
        outcome = bounced if delivery.channel is Channel.EMAIL else Skipped(reason="no_contact")
        await desk.ledger.deliveries.settle(await desk.send(delivery.id), outcome, can_resend=False)

    page, found = await desk.page(job), await desk.customer(job)

    assert page["why_here_said"]["params"]["reason"] == "mailbox_unknown"
    assert page["next"]["params"]["reason"] == "mailbox_unknown"
    assert found["advice"][0]["params"]["reason"] == "mailbox_unknown"


async def test_a_hebrew_name_is_found_with_another_letter_before_a_word(desk: LookingDesk) -> None:
    """As the search finds it."""
    job = await dana(desk, business_name="הפרחים של רינה")

    assert [link["job_id"] for link in (await desk.customer("פרחים של רינה"))["links"]] == [job]


async def test_a_story_that_is_not_whole_says_so(desk: LookingDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The customer's, of which the newest is shown, and a job's, of which the last events are kept."""
    job = await dana(desk)
    for _ in range(26):
        await desk.end(job, Refused(fail=own_fail()))
        await desk.requeue(job)

    page, found = await desk.page(job), await desk.customer(job)
    monkeypatch.setattr("worker.ops.customer._TIMELINE", 10)
    short = (await desk.customer(job))["timeline"]

    assert [each["code"] for each in page["timeline"][:2]] == ["accepted_source", "story_trimmed"]
    assert "story_cut" not in {each["code"] for each in found["timeline"]}
    assert (short[0]["code"], short[0]["job_id"], len(short)) == ("story_cut", job, 11)
    other = await dana(desk, whatsapp="972509999999", external_id="crm-8", business_name="Gil")
    assert not {each["code"] for each in (await desk.page(other))["timeline"]} & {"story_trimmed"}


async def test_a_row_of_a_file_says_which_on_the_customers_page(desk: LookingDesk) -> None:
    """As on its job's."""
    await desk.ledger.batches.open(
        "b", name="november.csv", source="csv", by="dana", path="/tmp/november.csv"
    )
    [job] = await desk.accept_batch("b", 1, source="csv")

    found = await desk.customer(job)

    assert found["timeline"][0]["text"] == "Accepted from november.csv, line 2."


@pytest.mark.parametrize("name", ["31234567", "12345678901", "item@board-7"])
@pytest.mark.parametrize("field", ["external_id", "reference"])
async def test_a_crms_id_may_look_like_a_number_or_an_address(
    desk: LookingDesk, field: str, name: str
) -> None:
    """It is his id all the same; whose number it is may be meant as well."""
    job = await dana(desk, **({"external_id": None} | {field: name}))

    found = await desk.customer(name)

    assert [link["job_id"] for link in found["links"]] == [job]
    if name == "31234567":
        gil = Contact(name="Gil")
        await dana(desk, whatsapp="97231234567", business_name="Gil Cars", external_id=None, contact=gil)
        assert len((await desk.customer(name))["candidates"]) == 2


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("050-123-4567", "number"),
        ("dana@flowers.example", "email"),
        ("Dana Flowers", "other"),
        ("crm-7", "other"),
    ],
)
async def test_a_customer_is_found_by_what_he_names(desk: LookingDesk, query: str, kind: str) -> None:
    """However it is written."""
    job = await dana(desk)
    other = a_request(
        business_name="Somebody Else", display_name="Else", contact=Contact(email="x@else.example")
    )
    await desk.accept(request=other)

    found = await desk.customer(query)

    assert (found["found"], found["kind"]) == (True, kind)
    assert [link["job_id"] for link in found["links"]] == [job]
    assert found["customer"]["query"] == job


async def test_a_jobs_id_finds_its_customer(desk: LookingDesk) -> None:
    """So do an invitation's and a message's: what stands in a log or a link."""
    job = await dana(desk)

    for query in (job, job[:-1], f"{job[:-1]}.email.invitation.1"):
        assert [link["job_id"] for link in (await desk.customer(query))["links"]] == [job]


async def test_all_of_a_customer_is_on_one_screen(desk: LookingDesk) -> None:
    """His other requests, by number, by id and by address with the same name; not his neighbour's."""
    first = await dana(desk)
    second = await dana(
        desk, whatsapp=None, products=(Product.FACEBOOK_PAGE,), business_name="Flowers of Dana"
    )
    third = await dana(desk, whatsapp="972509999999", external_id=None)
    await dana(
        desk, whatsapp="972508888888", external_id="crm-8", business_name="The agency's other customer"
    )

    found = await desk.customer(first)

    assert {link["job_id"] for link in found["links"]} == {first, second, third}
    assert found["total"] == 3


async def test_several_customers_are_candidates(desk: LookingDesk) -> None:
    """An agency's address stands for many: who calls is picked, by a query that means him alone."""
    jobs = [
        await dana(desk, whatsapp=f"97250888888{n}", external_id=f"crm-{n}", business_name=f"Shop number {n}")
        for n in range(3)
    ]

    found = await desk.customer("dana@flowers.example")

    assert found["customer"] is None
    assert found["links"] == []
    assert {each["query"] for each in found["candidates"]} == set(jobs)
    assert {each["name"] for each in found["candidates"]} == {
        "Shop number 0",
        "Shop number 1",
        "Shop number 2",
    }
    assert found["candidates"][0]["states"] == {"available": 1}
    assert NUMBER not in json.dumps(found)


async def test_nobody_is_found_by_what_nobody_has(desk: LookingDesk) -> None:
    """An answer, not an error."""
    await dana(desk)

    found = await desk.customer("050-999-0000")

    assert (found["found"], found["customer"], found["candidates"], found["links"]) == (False, None, [], [])


async def test_details_are_masked_unless_revealed(desk: LookingDesk) -> None:
    """Number, address, contact's name, link."""
    job = await dana(desk)
    await tell(desk, job)

    masked, shown = (
        json.dumps(await desk.customer(job)),
        json.dumps(await desk.customer(job, is_revealed=True)),
    )

    for secret in (NUMBER, "dana@flowers.example", "Dana Levi", "partner.example/onboarding/1"):
        assert secret not in masked
        assert secret in shown


async def test_messages_say_where_they_went(desk: LookingDesk) -> None:
    """Channel, state and a masked address."""
    job = (await desk.accept(request=a_request(contact=DANA), channels=(Channel.EMAIL, Channel.SMS))).job_ids[
        0
    ]
    await tell(desk, job)

    messages = {each["channel"]: each for each in (await desk.customer(job))["messages"]}

    assert (messages["email"]["state"], messages["email"]["to"]) == ("sent", "d***@flowers.example")
    assert messages["sms"]["to"] == "9725******22"


async def test_a_message_with_two_links_is_told_once(desk: LookingDesk) -> None:
    """The customer got one mail."""
    products = (Product.WHATSAPP, Product.FACEBOOK_PAGE)
    jobs = (await desk.accept(request=a_request(products=products, contact=DANA))).job_ids
    await desk.end(jobs[0], LINKED)
    await tell(desk, jobs[1])

    found = await desk.customer(jobs[0])

    assert [entry["code"] for entry in found["timeline"]].count("message_sent") == 1
    assert {entry["job_id"] for entry in found["timeline"]} == set(jobs)
    assert len(found["messages"]) == 1


# --- what to say and do ------------------------------------------------------------------------------------------


async def said_of(desk: LookingDesk, job: str) -> tuple[str, str, str | None]:
    """Return headline, advice and command for the customer of one job."""
    found = await desk.customer(job)
    [advice] = found["advice"]
    return found["headline"]["code"], advice["code"], advice["command"]


async def test_who_was_sent_his_link_looks_for_it(desk: LookingDesk) -> None:
    """Or is sent it again."""
    job = await dana(desk)
    await tell(desk, job)

    assert await said_of(desk, job) == ("customer_sent", "advice_sent_email", f"linkferry resend {job}")


async def test_whose_address_is_wrong_is_asked_for_another(desk: LookingDesk) -> None:
    """Refused for good, or never there."""
    job = await dana(desk)
    await tell(desk, job, Undelivered(fail=Fail(reason="address_refused", reason_class="recipient")))
    nobody = (await desk.accept(channels=(), skips=((Channel.EMAIL, "no_contact"),))).job_ids[0]
    await desk.end(nobody, LINKED)

    assert await said_of(desk, job) == (
        "customer_bounced",
        "advice_not_sent",
        f"linkferry resend {job} --to ADDRESS",
    )
    assert await said_of(desk, nobody) == (
        "customer_linked",
        "advice_no_contact",
        f"linkferry resend {nobody} --to ADDRESS",
    )


async def test_whose_link_is_being_made_is_told_so(desk: LookingDesk) -> None:
    """And that it takes longer, where something stops it."""
    job = await dana(desk)
    assert await said_of(desk, job) == ("customer_waiting", "advice_in_line", None)
    await desk.limits.pause()

    found = await desk.customer(job)

    assert found["advice"][0]["code"] == "advice_stopped"
    assert "An operator has paused all calls" in found["advice"][0]["text"]


async def test_whose_request_is_wrong_is_corrected(desk: LookingDesk) -> None:
    """His own data is edited; anything else is requeued when it is mended."""
    job = await dana(desk)
    await desk.end(job, Refused(fail=own_fail("number_invalid")))
    other = await desk.job_in(JobState.AVAILABLE)
    await desk.end(
        other, Refused(fail=Fail(reason="link_exists", reason_class="link_exists", is_own_data=True))
    )

    assert await said_of(desk, job) == ("customer_failed", "advice_failed", f"linkferry failed edit {job}")
    assert (await said_of(desk, other))[2] == f"linkferry failed requeue {other}"


@pytest.mark.parametrize(
    ("reason", "its_class", "command"),
    [
        ("already_onboarded", "already_onboarded", "linkferry failed discard {}"),
        ("number_not_registered", "not_registered", None),
        ("replaced_link_stands", "link_exists", "linkferry job replace {}"),
        ("reference_invalid", "bad_data", "linkferry failed requeue {}"),
        ("partner_unreachable", "transient", "linkferry failed requeue {}"),
    ],
)
async def test_the_command_does_what_the_advice_says(
    desk: LookingDesk, reason: str, its_class: str, command: str | None
) -> None:
    """Discard where nothing is left to do, nothing where it goes on by itself; never what would only fail again."""
    job = await dana(desk)
    await desk.end(job, Refused(fail=Fail(reason=reason, reason_class=its_class, is_own_data=True)))

    [advice] = (await desk.customer(job))["advice"]

    assert advice["command"] == (command.format(job) if command else None)
    assert reason != "partner_unreachable" or "by itself" not in advice["text"]


async def test_a_doubt_and_an_end_need_little(desk: LookingDesk) -> None:
    """In doubt: nothing has to be done. Dead: requeue. Cancelled: enter anew."""
    doubt = await dana(desk)
    await desk.end(doubt, DOUBTFUL)
    cancelled = await desk.job_in(
        JobState.CANCELLED, request=a_request(business_name="Gone", contact=Contact())
    )

    assert await said_of(desk, doubt) == ("customer_doubt", "advice_in_doubt", None)
    assert await said_of(desk, cancelled) == ("customer_ended", "advice_cancelled", None)


async def test_a_mixed_customer_is_summed_up(desk: LookingDesk) -> None:
    """How many of each; advice for each that is not over."""
    products = (Product.WHATSAPP, Product.FACEBOOK_PAGE)
    jobs = (await desk.accept(request=a_request(products=products, contact=DANA))).job_ids
    await desk.end(jobs[0], Refused(fail=own_fail("number_invalid")))

    found = await desk.customer(jobs[0])

    assert found["headline"]["text"] == "2 links: 0 finished, 0 made, 1 being made, 1 failed."
    assert {each["code"] for each in found["advice"]} == {"advice_failed", "advice_in_line"}
