"""Our own events: left by whatever makes the change they tell of, for those who are to hear of it, or not at all."""

from __future__ import annotations

import pytest
import redis.asyncio

from tests.contract.ledger_desk import DOUBTFUL, LINK, LINKED, Desk, a_fail, own_fail, retry
from tests.contract.outbox_desk import HUBSPOT, WEBHOOK, events, sink, told
from tests.factories import a_request
from worker.domain.outcome import FoundForeign, FoundOurs, Linked, Refused, Sent, Undelivered
from worker.domain.outgoing import (
    SinkPlan,
)
from worker.domain.request import Product
from worker.domain.states import JobState


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> Desk:
    desk = await Desk.open(store)
    await desk.ledger.outbox.enable([WEBHOOK])
    return desk


# --- every path that is to be told of ----------------------------------------------------------------------


async def test_a_link_is_told_of_when_it_is_settled(desk: Desk) -> None:
    """With the link as it was made then, and the state that was entered."""
    linked = Linked(link=LINK, landing_page="https://land.example/1")
    [job] = (await desk.accept()).job_ids
    await desk.end(job, linked)

    [event] = await events(desk)

    assert (event.type, event.job_id, event.occurred_at_ms) == ("link.created", job, desk.now_ms)
    assert event.facts == {
        "state": "linked",
        "attempt": "1",
        "link": LINK,
        "landing_page": linked.landing_page,
    }
    assert event.id == f"evt_{job}_1"


async def test_a_late_answer_is_told_of(desk: Desk) -> None:
    """A link that settles a doubt is a link made, too; the doubt itself is nobody's business."""
    [job] = (await desk.accept()).job_ids
    lease = await desk.call(job)
    await desk.ledger.settle(lease, DOUBTFUL)
    assert await told(desk) == []

    await desk.ledger.settle(lease, LINKED)

    assert await told(desk) == [("link.created", job)]


@pytest.mark.parametrize(
    ("is_finished", "kind"), [(False, "link.created"), (True, "link.onboarded")], ids=["linked", "onboarded"]
)
async def test_a_link_found_by_look_up_is_told_of(desk: Desk, is_finished: bool, kind: str) -> None:
    """Where a doubt is resolved."""
    job = await desk.job_in(JobState.IN_DOUBT)
    await desk.ledger.resolve(job, FoundOurs(linked=LINKED, is_finished=is_finished), grace_s=0)

    assert await told(desk) == [(kind, job)]


@pytest.mark.parametrize(
    ("is_finished", "kind"), [(False, "link.created"), (True, "link.onboarded")], ids=["linked", "onboarded"]
)
async def test_a_failure_that_turns_out_a_link_is_told_of(desk: Desk, is_finished: bool, kind: str) -> None:
    """Where a failed job is explained."""
    job = await desk.job_in(JobState.FAILED)
    await desk.ledger.explain(job, FoundOurs(linked=LINKED, is_finished=is_finished))

    assert sorted(await told(desk)) == sorted([("job.failed", job), (kind, job)])


async def test_a_failure_is_told_of_with_its_reason(desk: Desk) -> None:
    """Reason, class and the partner's code."""
    [job] = (await desk.accept()).job_ids
    await desk.end(job, Refused(fail=own_fail()))

    [event] = await events(desk)

    assert event.type == "job.failed"
    assert event.facts["state"] == "failed"
    assert [event.facts[name] for name in ("reason", "reason_class", "code")] == [
        "name_refused",
        "bad_data",
        "9",
    ]


async def test_a_failure_discarded_by_its_policy_is_told_of_once(desk: Desk) -> None:
    """It never stands in the failed queue; one that an operator discards was told of when it failed."""
    dead = await desk.job_in(JobState.DEAD)
    [event] = await events(desk)
    assert (event.type, event.facts["state"], event.job_id) == ("job.failed", "dead", dead)

    failed = await desk.job_in(JobState.FAILED)
    await desk.ledger.discard(failed, by="dana", why="old")

    assert await told(desk) == [("job.failed", failed)]


async def test_tries_used_up_are_told_of(desk: Desk) -> None:
    """The retry that ends in `failed`."""
    [job] = (await desk.accept()).job_ids
    await desk.end(job, retry(max_failures=1))

    assert await told(desk) == [("job.failed", job)]


async def test_a_foreign_link_found_by_look_up_is_told_of(desk: Desk) -> None:
    """A doubt that ends in a failure."""
    job = await desk.job_in(JobState.IN_DOUBT)
    await desk.ledger.resolve(job, FoundForeign(fail=own_fail("number_has_link")), grace_s=0)

    assert await told(desk) == [("job.failed", job)]


async def test_a_job_that_keeps_killing_its_process_is_told_of(desk: Desk) -> None:
    """The rescue that ends in `failed`."""
    [job] = (await desk.accept()).job_ids
    for _ in range(3):
        await desk.claim(job)
        desk.advance(61)
        await desk.ledger.rescue()

    assert await told(desk) == [("job.failed", job)]


async def test_a_failure_explained_anew_is_told_of_anew(desk: Desk) -> None:
    """With the better reason, and a word that it is the same failure; an answer that is no better says nothing."""
    [job] = (await desk.accept()).job_ids
    await desk.end(job, Refused(fail=a_fail()))
    await desk.ledger.explain(job, a_fail())
    await desk.ledger.explain(job, own_fail("number_not_registered"))

    first, second = await events(desk)

    assert (first.facts["reason"], "is_explained" in first.facts) == ("unknown_17", False)
    assert (second.facts["reason"], second.facts["is_explained"]) == ("number_not_registered", "1")
    assert first.id != second.id


async def test_a_message_is_told_of_when_it_was_sent(desk: Desk) -> None:
    """By its channel, with all the jobs whose links it carries; nobody's address is in it."""
    request = a_request(products=(Product.WHATSAPP, Product.FACEBOOK_PAGE))
    jobs = (await desk.accept(request=request)).job_ids
    for job in jobs:
        await desk.end(job, LINKED)
    [delivery] = await desk.ledger.deliveries.of_invitation(jobs[0][:-1])
    await told(desk)
    lease = await desk.send(delivery.id)
    await desk.ledger.deliveries.settle(lease, Sent(provider_id="x"), can_resend=True)

    [event] = await events(desk)

    assert (event.type, event.job_id) == ("invitation.sent", jobs[0])
    assert event.facts == {
        "state": "sent", "channel": "email", "delivery_id": delivery.id, "codes": "".join(job[-1] for job in jobs)
    }  # fmt: skip


async def test_each_message_is_told_of_once_for_each_time_it_was_sent(desk: Desk) -> None:
    """A settle that is said twice is one; a resend by an operator is another."""
    delivery = await desk.a_delivery()
    lease = await desk.send(delivery)
    for _ in range(2):
        await desk.ledger.deliveries.settle(lease, Sent(), can_resend=True)
    await desk.ledger.deliveries.resend(delivery, by="dana", why="lost")
    again = await desk.send(delivery)
    await desk.ledger.deliveries.settle(again, Sent(), can_resend=True)

    kinds = [kind for kind, _ in await told(desk)]

    assert kinds.count("invitation.sent") == 2


async def test_what_is_no_news_is_not_told(desk: Desk) -> None:
    """Waiting, cancelled, in doubt, put off, undelivered."""
    for state in (JobState.SCHEDULED, JobState.RUNNING, JobState.IN_DOUBT, JobState.CANCELLED):
        await desk.job_in(state)
    delivery = await desk.a_delivery()
    await told(desk)
    lease = await desk.send(delivery)
    await desk.ledger.deliveries.settle(lease, Undelivered(fail=own_fail("no_mailbox")), can_resend=True)
    [job] = (await desk.accept()).job_ids
    await desk.end(job, retry())

    assert await told(desk) == []


async def test_a_settle_said_twice_leaves_one_event(desk: Desk) -> None:
    """The answer was lost, the change was not made twice."""
    [job] = (await desk.accept()).job_ids
    lease = await desk.call(job)
    for _ in range(2):
        await desk.ledger.settle(lease, LINKED)

    assert await told(desk) == [("link.created", job)]


async def test_a_job_that_links_again_is_told_of_again(desk: Desk) -> None:
    """By another id: it is another occurrence."""
    job = await desk.job_in(JobState.FAILED)
    await desk.requeue(job)
    await desk.end(job, LINKED)

    ids = [event.id for event in await events(desk)]

    assert ids == [f"evt_{job}_1", f"evt_{job}_2"]


# --- off, and for whom -------------------------------------------------------------------------------------


async def test_nothing_is_written_while_events_are_off(store: redis.asyncio.Redis) -> None:
    """Not a key more than without the feature, on any path."""
    desk = await Desk.open(store)
    for state in (JobState.LINKED, JobState.FAILED, JobState.DEAD, JobState.IN_DOUBT):
        await desk.job_in(state)
    lease = await desk.send(await desk.a_delivery())
    await desk.ledger.deliveries.settle(lease, Sent(), can_resend=True)

    keys = [key.decode() for key in await store.keys("*")]

    assert [key for key in keys if key.split(":")[1] in {"t", "tq", "ts", "tf", "tt", "sinks", "k"}] == []


async def test_events_switched_off_are_left_no_more(desk: Desk) -> None:
    """What waited stays where it is until it is switched on again."""
    await desk.job_in(JobState.LINKED)
    await desk.ledger.outbox.enable([])
    await desk.job_in(JobState.LINKED)

    assert await desk.ledger.outbox.due(rering_after_s=1) == []
    assert (await sink(desk)).waiting == 1
    assert not (await sink(desk)).is_enabled


async def test_a_sink_may_be_told_of_one_source_alone(desk: Desk) -> None:
    """What came from a CRM goes back to that CRM; each sink's event has an id of its own."""
    await desk.ledger.outbox.enable([WEBHOOK, HUBSPOT])
    theirs = await desk.job_in(JobState.LINKED, source="crm:hubspot")
    await desk.job_in(JobState.LINKED, source="crm:hub")
    await desk.job_in(JobState.LINKED, source="api")

    all_ids = {event.id for event in await events(desk)}
    [event] = await events(desk, "hubspot")

    assert (event.job_id, len(all_ids)) == (theirs, 3)
    assert event.id not in all_ids


async def test_whoever_does_not_know_of_a_sink_leaves_it_as_it_is(desk: Desk) -> None:
    """A worker that brings no CRM switches its own sinks on and off, and HubSpot stays on for the whole fleet."""
    await desk.ledger.outbox.enable([WEBHOOK, HUBSPOT])

    await desk.ledger.outbox.enable([], decides=["webhook"])
    theirs = await desk.job_in(JobState.LINKED, source="crm:hubspot")
    assert not (await sink(desk)).is_enabled
    assert [event.job_id for event in await events(desk, "hubspot")] == [theirs]
    await desk.ledger.outbox.enable([WEBHOOK], decides=["webhook"])
    assert [each.is_enabled for each in await desk.ledger.outbox.sinks()] == [True, True]
    await desk.job_in(JobState.LINKED, source="api")
    assert await events(desk, "hubspot") == [], "and it is still told of its own source alone"

    await desk.ledger.outbox.enable([WEBHOOK])
    assert [each.is_enabled for each in await desk.ledger.outbox.sinks()] == [False, True]


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a,b"])
async def test_a_name_that_the_scripts_could_not_read_is_refused(desk: Desk, name: str) -> None:
    """Sinks are told apart by their names."""
    with pytest.raises(ValueError, match="no name"):
        await desk.ledger.outbox.enable([SinkPlan(name=name)])
