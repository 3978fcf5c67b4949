"""Erasing a customer: nothing of him is left in any key, nothing of anybody else is touched, and the books are right."""

from __future__ import annotations

import pytest
import redis.asyncio

from tests.contract.forgetting_desk import (
    EMAIL,
    NAME,
    NUMBER,
    PHONE,
    ForgettingDesk,
    broken_off_after,
    her_request,
    tell_of_her_everywhere,
    traces,
)
from tests.contract.intake_desk import an_event
from tests.contract.ledger_desk import DOUBTFUL, LINK, LINKED
from tests.factories import a_request
from worker.domain.act import Act, ActState
from worker.domain.event import EventSkipped
from worker.domain.outcome import Deleted, Sent
from worker.domain.request import Contact, Product
from worker.domain.states import JobState
from worker.ledger import JobFilter
from worker.ops.forgetting import ForgetRefusedError

pytestmark = pytest.mark.redis
OTHER = "972541112222"


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> ForgettingDesk:
    return await ForgettingDesk.open(store)


async def test_nothing_of_her_is_left_in_any_key(desk: ForgettingDesk) -> None:
    """Neither number nor address, name, link or id, in any value or any key's name of the whole server."""
    job = await tell_of_her_everywhere(desk)
    assert len(await traces(desk)) > 15

    found, blocks = await desk.forget()

    assert await traces(desk) == []
    assert blocks == []
    assert found.document()["counts"] == {
        "jobs": 2,
        "messages": 2,
        "events": 3,
        "trail": found.count("trail"),
        "acts": 2,
        "stop_list": 1,
    }
    assert await desk.ledger.queries.job(job) is None
    await desk.balance()
    assert (await desk.ledger.queries.audit()).pruned == 2


@pytest.mark.parametrize("who", ["050-123-4567", EMAIL, EMAIL.upper(), "job"])
async def test_she_is_known_by_number_address_and_job(desk: ForgettingDesk, who: str) -> None:
    """Whichever she names, all of hers goes; the preview itself changes nothing and says nothing personal."""
    job = await desk.hers()
    before = await traces(desk)

    found = await desk.eraser.look(job if who == "job" else who)

    assert await traces(desk) == before
    assert NUMBER not in str(found.document())
    assert [each["job_id"] for each in found.document()["jobs"]] == [job]
    await desk.eraser.erase(found, by="cli:noa", why="asked")
    assert await traces(desk) == []


async def test_an_address_of_the_business_alone_is_found_too(desk: ForgettingDesk) -> None:
    """The search index knows only where invitations go: every request is looked at."""
    contact = Contact(name="Noa", email="noa@agency.example", locale="he")
    await desk.hers(contact=contact)

    found, _ = await desk.forget(EMAIL)

    assert len(found.jobs) == 1
    assert await traces(desk) == []


async def test_others_stay_as_they_are(desk: ForgettingDesk) -> None:
    """A neighbour at the same agency's address, with his own history, message and trail."""
    contact = Contact(name="Noa Agency", email="noa@agency.example", locale="he")
    hers = await desk.hers(contact=contact)
    his = (
        await desk.accept(request=a_request(whatsapp=OTHER, business_name="Avi Bikes", contact=contact))
    ).job_ids[0]
    await desk.tell(his)
    await desk.ledger.suppressing.add("noa@agency.example", by="cli:noa", why="asked")
    await desk.ledger.trail.record("reveal", by="cli:noa", why="call of noa@agency.example", subject=his)

    found, _ = await desk.forget(hers)

    assert found.shared == 1
    assert any(note["code"] == "forget_note_shared" for note in found.document()["notes"])
    stays = await desk.ledger.queries.job(his)
    assert stays is not None
    assert (stays.request.business_name, stays.request.contact) == ("Avi Bikes", contact)
    assert (await desk.ledger.suppressing.list()).items[0].contact == "noa@agency.example"
    assert (await desk.ledger.trail.find(act="reveal")).items[0].why == "call of noa@agency.example"
    await desk.balance()


async def test_several_customers_are_never_erased_for_one(desk: ForgettingDesk) -> None:
    """An address that leads to two is asked about, unless all of them are meant."""
    await desk.hers()
    contact = Contact(name="Avi", email=EMAIL, locale="he")
    await desk.accept(request=a_request(whatsapp=OTHER, business_name="Avi Bikes", contact=contact))

    found = await desk.eraser.look(EMAIL)

    assert len(found.candidates) == 2
    assert not found.is_anything
    _, blocks = await desk.forget(EMAIL, is_all=True)
    assert blocks == []
    assert (await desk.ledger.queries.audit()).pruned == 2


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (JobState.RUNNING, "forget_is_running"),
        (JobState.IN_DOUBT, "forget_is_in_doubt"),
        (JobState.LINKED, "forget_link_stands"),
    ],
)
async def test_what_is_not_settled_is_refused_and_nothing_is_touched(
    desk: ForgettingDesk, state: JobState, code: str
) -> None:
    """A link at the partner whose job is erased could never be deleted again."""
    job = await desk.job_in(state, request=her_request())
    await desk.ledger.suppressing.add(EMAIL, by="cli:noa")
    before = await traces(desk)

    found, blocks = await desk.forget()

    assert [(each.job_id, each.code) for each in blocks] == [(job, code)]
    assert found.document()["blocked"][0]["text"]
    assert await traces(desk) == before


async def test_a_change_between_look_and_erasing_is_refused_by_the_ledger(desk: ForgettingDesk) -> None:
    """It decides itself, in the script that erases: what was claimed meanwhile stays until it has ended."""
    job = await desk.hers()
    found = await desk.eraser.look(NUMBER)
    lease = await desk.call(job)

    _, blocks = await desk.eraser.erase(found, by="cli:noa", why="asked")

    assert [each.code for each in blocks] == ["forget_is_running"]
    assert await desk.state(job) is JobState.RUNNING
    await desk.ledger.settle(lease, DOUBTFUL)
    assert [each.code for each in (await desk.forget())[1]] == ["forget_is_in_doubt"]


async def test_a_message_on_its_way_is_waited_for(desk: ForgettingDesk) -> None:
    """It is out or not a minute later; a late answer of one that was erased finds nothing and does no harm."""
    job = await desk.hers(products=(Product.FACEBOOK_PAGE,), whatsapp=None)
    await desk.end(job, LINKED)
    [delivery] = await desk.ledger.deliveries.of_invitation(job[:-1])
    lease = await desk.send(delivery.id)

    assert [each.code for each in (await desk.forget(EMAIL))[1]] == ["forget_being_sent"]

    desk.advance(120)
    await desk.ledger.deliveries.rescue()
    assert (await desk.forget(EMAIL))[1] == []
    assert await desk.ledger.deliveries.settle(lease, Sent(provider_id="1"), can_resend=False) is False
    assert await traces(desk) == []
    await desk.balance()


async def test_after_a_revoke_she_can_be_erased(desk: ForgettingDesk) -> None:
    """While the link is being deleted she is not; the number is free afterwards."""
    job = await desk.hers()
    await desk.tell(job)
    assert (await desk.ledger.revoke(job, by="cli:noa", why="erasure")).done
    assert [each.code for each in (await desk.forget())[1]] == ["forget_change_pending"]
    await desk.end(job, Deleted())
    assert await desk.state(job) is JobState.REVOKED

    assert (await desk.forget())[1] == []

    assert await traces(desk) == []
    assert await desk.hers()


async def test_whoever_meets_the_erased_job_does_no_harm(desk: ForgettingDesk) -> None:
    """A bell, a bulk act that holds it, a feeder, an operator: it is gone, and that is all."""
    job = await desk.hers()
    failed = await desk.job_in(JobState.FAILED, request=a_request(whatsapp=OTHER))
    await desk.forget()

    assert await desk.ledger.claim(job, worker_id="w1", lease_s=60) is not None
    assert await desk.state(job) is None
    assert (await desk.requeue(job)).refusal == "gone"
    assert await desk.state(failed) is JobState.FAILED
    await desk.balance()


async def test_a_bulk_act_that_waits_for_her_job_comes_to_its_end(desk: ForgettingDesk) -> None:
    """Her end counts as another one."""
    job = await tell_of_her_everywhere(desk)
    await desk.ledger.acts.open("a-3", Act.REQUEUE, by="cli:noa")
    assert await desk.ledger.acts.add("a-3", [job], seen=0)
    await desk.ledger.acts.freeze("a-3", seen=1)
    await desk.ledger.acts.start("a-3", by="cli:noa", why="mended", is_canary=False)
    await desk.ledger.acts.step("a-3", rate=5)
    assert await desk.state(job) is JobState.AVAILABLE

    await desk.forget()
    await desk.ledger.acts.step("a-3", rate=5)

    record = await desk.ledger.acts.get("a-3")
    assert record is not None
    assert (record.state, record.ended_otherwise) == (ActState.DONE, 1)


async def test_the_trail_says_that_and_why_but_not_whom(desk: ForgettingDesk) -> None:
    """Once for the whole, and for each job its id, state, reason and times."""
    job = await tell_of_her_everywhere(desk)

    await desk.forget()

    whole, *jobs = reversed((await desk.ledger.trail.find(act="forget")).items)
    assert (whole.by, whole.why, whole.detail["jobs"]) == ("cli:noa", "asked by letter", "2")
    assert {each.subject for each in jobs} == {job, job[:-1] + "3"}
    [mine] = [each for each in jobs if each.subject == job]
    assert (mine.detail["state"], mine.detail["reason"]) == ("failed", "not_registered")
    assert mine.detail["accepted_ms"] == str(desk.now_ms)
    [edit, *_] = (await desk.ledger.trail.find(act="edit", subject=job)).items
    assert (edit.by, edit.detail["changes"]) == ("cli:noa", "(erased)")


async def test_the_reason_must_not_name_her(desk: ForgettingDesk) -> None:
    """It stays: a name in it would be what is left of her."""
    await desk.hers()
    for why in (f"{NAME} asked", "call from +972 50 123 4567", f"mail of {EMAIL}"):
        with pytest.raises(ForgetRefusedError, match="names the customer"):
            await desk.forget(why=why)
    assert len((await desk.eraser.look(NUMBER)).jobs) == 1


async def test_said_again_it_does_nothing(desk: ForgettingDesk) -> None:
    """Neither to the books nor to the trail."""
    await tell_of_her_everywhere(desk)
    await desk.forget()
    before = await desk.ledger.queries.audit()

    found = await desk.eraser.look(NUMBER)

    assert not found.is_anything
    assert found.document()["found"] is False
    assert await desk.ledger.queries.audit() == before


@pytest.mark.parametrize("writes", range(0, 15, 2))
async def test_broken_off_anywhere_it_finishes_when_said_again(desk: ForgettingDesk, writes: int) -> None:
    """Whatever of her is left leads to the rest."""
    await tell_of_her_everywhere(desk)
    await desk.hers(whatsapp=OTHER, products=(Product.WHATSAPP,), external_id="crm-7")
    with broken_off_after(desk, writes), pytest.raises(ConnectionResetError):
        await desk.forget()

    await desk.forget()

    assert await traces(desk) == []
    assert (await desk.ledger.queries.audit()).pruned == 3
    await desk.balance()


async def test_what_she_named_is_erased_last(desk: ForgettingDesk) -> None:
    """Her other number is known by the id in her CRM alone: the number that she named must still lead there."""
    await desk.hers(whatsapp=OTHER)
    await desk.hers()
    await desk.hers(whatsapp="972543334444")
    for _ in range(2):
        with broken_off_after(desk, 1, of="forget"), pytest.raises(ConnectionResetError):
            await desk.forget()

    await desk.forget()

    assert await traces(desk) == []
    assert (await desk.ledger.queries.audit()).pruned == 3


async def many_of_hers(desk: ForgettingDesk) -> list[str]:
    """Return 120 jobs of hers, each for another number: a chain of shops."""
    return [await desk.hers(whatsapp=f"97250{nth:07d}") for nth in range(120)]


@pytest.mark.parametrize("who", [EMAIL, "job"])
async def test_however_many_are_hers_all_go_at_once(desk: ForgettingDesk, who: str) -> None:
    """Whatever leads to her, and how far it is gets told; nothing is left to be said again."""
    jobs = await many_of_hers(desk)
    await desk.accept()  # another customer
    heard: list[tuple[int, int]] = []

    found, blocks = await desk.forget(
        jobs[60] if who == "job" else who, on_progress=lambda *told: heard.append(told)
    )

    assert {job.id for job in found.jobs} == set(jobs)
    assert "forget_note_more" not in {each["code"] for each in found.document()["notes"]}
    assert blocks == []
    assert heard == [(nth + 1, 120) for nth in range(120)]
    assert await desk.ledger.queries.jobs(jobs) == []
    assert (await desk.ledger.queries.find(JobFilter())).total == 1
    await desk.balance()


async def test_broken_off_in_the_middle_of_many_it_finishes_when_said_again(desk: ForgettingDesk) -> None:
    """By the id of one job, which still leads to those that are left."""
    jobs = await many_of_hers(desk)
    with broken_off_after(desk, 60, of="forget"), pytest.raises(ConnectionResetError):
        await desk.forget(jobs[60])
    assert len(await desk.ledger.queries.jobs(jobs)) == 60

    await desk.forget(jobs[60])

    assert await traces(desk) == []
    assert (await desk.ledger.queries.audit()).pruned == 120


async def test_who_is_on_the_stop_list_stays_there_unread(desk: ForgettingDesk) -> None:
    """As a fingerprint: a later request for her still gets no message, and nobody can read whose it is."""
    await desk.hers()
    await desk.ledger.suppressing.add(EMAIL, by="cli:avi", why=f"{NAME} asked")

    await desk.forget()

    [entry] = (await desk.ledger.suppressing.list()).items
    assert entry.contact.startswith("#")
    assert set(await desk.ledger.suppressing.holds([EMAIL, PHONE])) == {EMAIL}
    assert await desk.ledger.suppressing.remove(EMAIL, "avi@bikes.example", by="cli:noa") == 1
    assert await desk.ledger.suppressing.holds([EMAIL]) == {}


async def test_she_can_be_kept_from_being_written_to_again(desk: ForgettingDesk) -> None:
    """Also one who never stood on the stop list; all that she is known by."""
    await desk.hers()

    await desk.forget(is_stopped=True)

    assert set(await desk.ledger.suppressing.holds([EMAIL, PHONE, NUMBER, OTHER])) == {EMAIL, PHONE, NUMBER}
    assert await traces(desk) == []
    assert not (await desk.eraser.look(NUMBER)).is_anything


async def test_a_finished_customer_is_erased_here_and_the_partner_named(desk: ForgettingDesk) -> None:
    """What it holds only it can erase."""
    job = await desk.hers()
    await desk.tell(job)
    assert await desk.ledger.completing.complete(job, how="list") is JobState.ONBOARDED

    found, blocks = await desk.forget()

    assert blocks == []
    assert "forget_note_partner" in {note["code"] for note in found.document()["notes"]}
    assert LINK not in str(found.document())
    assert await traces(desk) == []


async def test_a_name_is_refused(desk: ForgettingDesk) -> None:
    """Too many share one."""
    with pytest.raises(ForgetRefusedError, match="customer show"):
        await desk.eraser.look(NAME)


async def test_an_event_that_is_worked_on_may_make_a_new_job(desk: ForgettingDesk) -> None:
    """So nothing that leads to it goes before it has ended: neither where that is seen at once, nor where it is not."""
    job = await desk.hers()
    event = an_event(body=f'{{"mail": "{EMAIL}"}}')
    await desk.ledger.intake.record([event], max_waiting=10)
    found = await desk.eraser.look(NUMBER)
    [claimed] = await desk.ledger.intake.claim_due("crm:hubspot", want=1, worker_id="w1", lease_s=60)

    _, late = await desk.eraser.erase(found, by="cli:noa", why="asked")
    _, early = await desk.forget()

    assert [each.code for each in (*late, *early)] == ["forget_event_working"] * 2
    assert await desk.state(job) is JobState.AVAILABLE
    await desk.ledger.intake.settle([(claimed.lease, EventSkipped(reason="filtered"))])
    assert (await desk.forget())[1] == []
    assert await traces(desk) == []
