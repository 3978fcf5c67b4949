"""Every verb of an operator leaves its entry in the trail by the script that does it; what is refused leaves none."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio

from tests.contract.ledger_desk import LINKED, Desk, a_fail
from tests.factories import a_number, a_request
from worker.domain.dedupe import contact_mark, fingerprint
from worker.domain.job import Verdict
from worker.domain.outcome import Refused, Sent
from worker.domain.request import Contact, OnboardingRequest, Product
from worker.domain.states import Channel, DeliveryState, JobState, Lane
from worker.ledger import RequestEdit
from worker.ledger.trail import TrailEntry
from worker.ops.readdress import readdressed
from worker.ops.trail import entry_view

BY: dict[str, Any] = {"by": "user:dana", "why": "a reason"}


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> Desk:
    return await Desk.open(store)


async def entries(desk: Desk) -> list[TrailEntry]:
    return list((await desk.ledger.trail.find()).items)


async def the_entry(desk: Desk, act: str, subject: str) -> TrailEntry:
    [entry] = await entries(desk)
    assert (entry.act, entry.subject, entry.by, entry.why) == (act, subject, "user:dana", "a reason")
    return entry


def an_edit(base: OnboardingRequest, **changes: Any) -> RequestEdit:
    request = replace(base, **changes)
    return RequestEdit(
        base=base,
        request=request,
        fingerprint=fingerprint(request),
        changes=json.dumps([{"field": "whatsapp", "before": base.whatsapp, "after": request.whatsapp}]),
        told="whatsapp: 9725******67 → 9725******68",
    )


async def test_a_requeue_a_discard_and_a_restore_are_accounted_for(desk: Desk) -> None:
    """Each once, with the reason the job had; a second time, refused, leaves nothing."""
    job = await desk.job_in(JobState.FAILED)
    await desk.ledger.discard(job, **BY)
    await desk.ledger.discard(job, **BY)
    await desk.ledger.restore(job, **BY)
    await desk.ledger.requeue(job, **BY)
    await desk.ledger.requeue(job, **BY)

    assert [each.act for each in await entries(desk)] == ["requeue", "restore", "discard"]
    assert {each.subject for each in await entries(desk)} == {job}


async def test_a_cancel_is_accounted_for_once(desk: Desk) -> None:
    """A running job that is asked to be cancelled twice was asked once."""
    job = await desk.job_in(JobState.RUNNING)
    await desk.ledger.cancel(job, **BY)
    await desk.ledger.cancel(job, **BY)

    await the_entry(desk, "cancel", job)


async def test_a_resend_is_accounted_for(desk: Desk) -> None:
    """Under the message's id."""
    delivery = await desk.a_delivery()
    await desk.ledger.deliveries.resend(delivery, **BY)  # it waits still
    assert await entries(desk) == []

    lease = await desk.send(delivery)
    await desk.ledger.deliveries.settle(lease, Sent(provider_id="1"), can_resend=True)
    await desk.ledger.deliveries.resend(delivery, **BY)
    await the_entry(desk, "resend", delivery)


async def test_another_address_is_accounted_for_and_is_the_invitations(desk: Desk) -> None:
    """Before and after, masked unless asked for; whoever asks again with the old contact is told that it differs."""
    delivery = await desk.a_delivery(request=a_request(contact=Contact(email="rina@levi.example")))
    await desk.ledger.deliveries.settle(await desk.send(delivery), Sent(provider_id="1"), can_resend=True)
    await desk.readdress(delivery, "gil@levi.example", **BY)

    entry = await the_entry(desk, "resend", delivery)
    changes = [{"field": "email", "before": "rina@levi.example", "after": "gil@levi.example"}]
    assert json.loads(entry.detail["changes"]) == changes
    assert entry_view(entry, is_revealed=True)["detail"]["changes"] == changes
    assert "@levi.example" not in json.dumps(entry_view(entry)).replace("***@levi", "")
    assert "gil" not in json.dumps(entry_view(entry))
    record = await desk.ledger.queries.job(f"{delivery.partition('.')[0]}w")
    assert record is not None
    [known] = await desk.ledger.queries.known([f"n:{record.request.number}"])
    assert known is not None
    assert known.contact_mark == contact_mark(record.request)
    await desk.balance()


async def test_another_address_for_what_somebody_else_has_edited_is_refused(desk: Desk) -> None:
    """The edit stands, with the number that it took; nothing is sent and nothing accounted for."""
    products = (Product.WHATSAPP, Product.FACEBOOK_PAGE)
    whatsapp, facebook = (await desk.accept(request=a_request(products=products))).job_ids
    await desk.end(whatsapp, Refused(fail=a_fail()))
    await desk.end(facebook, LINKED)
    [delivery] = await desk.ledger.deliveries.of_invitation(whatsapp[:-1])
    lease = await desk.send(delivery.id)
    await desk.ledger.deliveries.settle(lease, Sent(provider_id="1"), can_resend=True)
    seen = await desk.ledger.queries.job(facebook)
    assert seen is not None
    _, readdress = readdressed(seen.request, "gil@levi.example", region="IL", wanted=None)
    number = a_number()
    assert (await desk.edit(whatsapp, replace(seen.request, whatsapp=number))).done
    edited = await desk.ledger.queries.job(whatsapp)

    mended = await desk.ledger.deliveries.resend(delivery.id, to=readdress, **BY)

    assert (mended.done, mended.refusal, mended.state) == (False, "edited_meanwhile", DeliveryState.SENT)
    assert await desk.ledger.queries.job(whatsapp) == edited
    assert (await desk.accept(claim_key=f"n:{number}")).verdict is Verdict.CONFLICT
    assert (await desk.accept(claim_key=f"n:{seen.request.number}")).verdict is Verdict.ACCEPTED
    assert [each.act for each in await entries(desk)] == ["edit"]
    assert (await desk.readdress(delivery.id, "gil@levi.example")).done
    await desk.balance()


async def test_pausing_and_resuming_are_accounted_for_where_somebody_did_it(desk: Desk) -> None:
    """What a test or we ourselves do has no doer, and no entry."""
    await desk.ledger.batches.pause("all")
    await desk.ledger.batches.resume("all")
    assert await entries(desk) == []

    await desk.ledger.batches.pause("all", **BY)
    await the_entry(desk, "pause", "all")
    assert await desk.ledger.batches.pauses() == {"live", "bulk"}


async def test_resuming_tells_which_holds_it_cleared(desk: Desk) -> None:
    """All of them with `all`; a batch's pause stays, as it was somebody's own."""
    await desk.ledger.batches.hold("batch:b", "unknown_17")
    await desk.ledger.batches.hold("live", "unknown_17")
    await desk.ledger.batches.pause("batch:b")

    cleared = await desk.ledger.batches.resume("all", with_holds=True, **BY)

    assert sorted(cleared) == ["batch:b", "live"]
    assert await desk.ledger.batches.holds() == {}
    assert await desk.ledger.batches.pauses() == {"batch:b"}
    assert set((await the_entry(desk, "resume", "all")).detail["holds_cleared"].split(", ")) == {
        "batch:b (unknown_17)",
        "live (unknown_17)",
    }


async def test_resuming_one_lane_leaves_other_holds(desk: Desk) -> None:
    """Only what was named."""
    for target in ("live", "bulk"):
        await desk.ledger.batches.hold(target, "unknown_17")

    assert await desk.ledger.batches.resume("bulk", with_holds=True) == ["bulk"]
    assert set(await desk.ledger.batches.holds()) == {"live"}


async def test_a_cleared_hold_is_accounted_for_with_why_it_stood(desk: Desk) -> None:
    """And with how many waited; where there was none, nothing is."""
    await desk.accept(lane=Lane.BULK)
    await desk.ledger.batches.hold("bulk", "unknown_17")

    assert await desk.ledger.batches.clear_hold("live", **BY) is None
    assert await desk.ledger.batches.clear_hold("bulk", **BY) == "unknown_17"
    assert (await the_entry(desk, "clear_hold", "bulk")).detail == {"reason": "unknown_17", "waiting": "1"}


async def test_what_made_a_hold_can_be_seen_until_it_is_cleared(desk: Desk) -> None:
    """The five jobs whose equal FAILs in a row stopped the lane."""
    jobs = [(await desk.accept()).job_ids[0] for _ in range(5)]
    for job in jobs:
        await desk.end(job, Refused(fail=a_fail()))

    assert await desk.ledger.batches.suspects("live") == sorted(jobs)
    await desk.ledger.batches.clear_hold("live")
    assert await desk.ledger.batches.suspects("live") == []


# --- edits ---------------------------------------------------------------------------------------------------


async def test_an_edit_keeps_before_and_after(desk: Desk) -> None:
    """Whole in the trail, masked in the job's history; the job waits with the new request and stands on its number."""
    job = await desk.job_in(JobState.FAILED, request=a_request(whatsapp="972501234567"))
    record = await desk.ledger.queries.job(job)
    assert record is not None
    edit = an_edit(record.request, whatsapp="972501234568")

    mended = await desk.ledger.edit(job, edit, **BY)

    assert mended.done
    after = await desk.ledger.queries.job(job)
    assert after is not None
    assert (after.state, after.number, after.requeues) == (JobState.AVAILABLE, "972501234568", 1)
    entry = await the_entry(desk, "edit", job)
    assert json.loads(entry.detail["changes"]) == [
        {"field": "whatsapp", "before": "972501234567", "after": "972501234568"}
    ]
    [edited] = [each for each in await desk.ledger.queries.history(job) if each.event == "edited"]
    assert edited.detail == {"by": "user:dana", "changes": "whatsapp: 9725******67 → 9725******68"}
    assert "972501234568" not in str(await desk.ledger.queries.history(job))
    [old, new] = await desk.ledger.queries.known(["n:972501234567", "n:972501234568"])
    assert old is None
    assert new is not None
    await desk.balance()


async def test_an_edit_of_what_somebody_else_has_edited_is_refused(desk: Desk) -> None:
    """The later one would undo what it never saw; nothing changes and nothing is accounted for."""
    job = await desk.job_in(JobState.FAILED)
    record = await desk.ledger.queries.job(job)
    assert record is not None
    stale = an_edit(replace(record.request, business_name="As it was before"), display_name="Mine")

    mended = await desk.ledger.edit(job, stale, **BY)

    assert (mended.done, mended.refusal, mended.state) == (False, "edited_meanwhile", JobState.FAILED)
    assert await desk.ledger.queries.job(job) == record
    assert await entries(desk) == []


async def test_an_edit_of_a_job_that_waits_or_is_gone_is_refused(desk: Desk) -> None:
    """As any requeue is."""
    job = await desk.job_in(JobState.AVAILABLE)
    record = await desk.ledger.queries.job(job)
    assert record is not None
    edit = an_edit(record.request, display_name="Mine")

    assert (await desk.ledger.edit(job, edit, **BY)).refusal == "waits_already"
    assert (await desk.ledger.edit("0" * 20 + "w", edit, **BY)).refusal == "gone"


async def test_an_edit_to_anothers_number_is_refused(desk: Desk) -> None:
    """At most one live link per number, whoever edits."""
    number = a_number()
    await desk.accept(request=a_request(whatsapp=number))
    job = await desk.job_in(JobState.FAILED)
    record = await desk.ledger.queries.job(job)
    assert record is not None

    mended = await desk.ledger.edit(job, an_edit(record.request, whatsapp=number), **BY)

    assert (mended.done, mended.refusal) == (False, "claimed_by_another")


async def test_what_was_edited_is_a_duplicate_when_it_comes_again(desk: Desk) -> None:
    """Fingerprint and contact are those of the edited request."""
    job = await desk.job_in(JobState.FAILED)
    record = await desk.ledger.queries.job(job)
    assert record is not None
    contact = Contact(name="Dana", email="new@example.com", locale="en")
    edit = an_edit(record.request, display_name="Dana and Sons", contact=contact)
    await desk.ledger.edit(job, edit, **BY)

    again = await desk.accept(
        request=edit.request, fingerprint=edit.fingerprint, contact_mark=contact_mark(edit.request)
    )

    assert (again.verdict, again.contact_differs) == (Verdict.DUPLICATE, False)


async def test_an_edit_that_brings_a_contact_plans_its_channel(desk: Desk) -> None:
    """A customer without an address gets his mail once he has one."""
    request = a_request(contact=Contact(name="Dana", phone="972501111111", locale="he"))
    job = await desk.job_in(
        JobState.FAILED, request=request, channels=(Channel.SMS,), skips=((Channel.EMAIL, "no_contact"),)
    )
    contact = replace(request.contact, email="dana@example.com")
    await desk.ledger.edit(job, an_edit(request, contact=contact), **BY)
    await desk.end(job, LINKED)

    made = await desk.ledger.deliveries.of_invitation(job[:-1])
    assert {each.channel for each in made} == {Channel.SMS, Channel.EMAIL}


async def test_an_edit_never_changes_which_links_are_asked_for(desk: Desk) -> None:
    """The caller's mistake, told by a ValueError before anything is written."""
    job = await desk.job_in(JobState.FAILED)
    record = await desk.ledger.queries.job(job)
    assert record is not None

    with pytest.raises(ValueError, match="same products"):
        await desk.ledger.edit(job, an_edit(record.request, products=(Product.FACEBOOK_PAGE,)), **BY)
