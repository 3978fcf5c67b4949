"""Our own events: left by whatever makes the change they tell of, told at least once, and never in the way."""

from __future__ import annotations

from typing import Any

import pytest
import redis.asyncio

from tests.contract.ledger_desk import DOUBTFUL, LINK, LINKED, Desk, a_fail, own_fail, retry
from tests.factories import a_request
from worker.domain.job import Lease
from worker.domain.outcome import FoundForeign, FoundOurs, Linked, Refused, Sent, Undelivered
from worker.domain.outgoing import (
    MOST_UNTOLD,
    ClaimedOutgoing,
    NeverTold,
    NotTold,
    OutgoingState,
    SinkBusy,
    SinkGone,
    SinkPlan,
    SinkRecord,
    TellFault,
    Told,
)
from worker.domain.request import Product
from worker.domain.states import JobState

WEBHOOK = SinkPlan(name="webhook", mark="here")
HUBSPOT = SinkPlan(name="hubspot", only_source="crm:hubspot", mark="there")
LEASE_S = 45.0
REFUSED = NotTold(fault=TellFault.REFUSED, status=500)


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> Desk:
    desk = await Desk.open(store)
    await desk.ledger.outbox.enable([WEBHOOK])
    return desk


async def events(desk: Desk, sink: str = "webhook", *, want: int = 100) -> list[ClaimedOutgoing]:
    """Claim what is due."""
    return await desk.ledger.outbox.claim(sink, want=want, worker_id="w1", lease_s=LEASE_S)


async def told(desk: Desk, sink: str = "webhook") -> list[tuple[str, str]]:
    """Claim and tell what is due; return type and job of each."""
    claimed = await events(desk, sink)
    for event in claimed:
        assert await desk.ledger.outbox.settle(event.lease, Told(status=200))
    return [(event.type.value, event.job_id) for event in claimed]


async def sink(desk: Desk, name: str = "webhook") -> SinkRecord:
    """Return how a sink stands."""
    return next(each for each in await desk.ledger.outbox.sinks() if each.name == name)


async def fail_to_tell(desk: Desk, times: int, **how: Any) -> None:
    """Try so often in vain, each time with the next event that is to be had."""
    for _ in range(times):
        [event] = await events(desk, want=1)
        assert await desk.ledger.outbox.settle(event.lease, REFUSED, **({"delay_s": 5.0} | how))


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


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a,b"])
async def test_a_name_that_the_scripts_could_not_read_is_refused(desk: Desk, name: str) -> None:
    """Sinks are told apart by their names."""
    with pytest.raises(ValueError, match="no name"):
        await desk.ledger.outbox.enable([SinkPlan(name=name)])


# --- telling -----------------------------------------------------------------------------------------------


async def test_an_event_is_had_by_one_process_at_a_time(desk: Desk) -> None:
    """Claimed, it is not due; told, it is gone, and stays among the last that were told."""
    await desk.job_in(JobState.LINKED)
    [event] = await events(desk)
    assert await events(desk) == []

    assert await desk.ledger.outbox.settle(event.lease, Told(status=204))
    assert not await desk.ledger.outbox.settle(event.lease, Told(status=204))

    record = await desk.ledger.outbox.get(event.id)
    assert record is not None
    assert (record.state, record.status, record.attempt, record.type) == ("told", 204, 1, "link.created")
    assert (await sink(desk)).told == 1


async def test_a_lease_that_ran_out_lets_it_be_told_again_by_the_same_id(desk: Desk) -> None:
    """Whoever had it settles in vain."""
    await desk.job_in(JobState.LINKED)
    [event] = await events(desk)
    desk.advance(LEASE_S + 1)

    assert await desk.ledger.outbox.rescue() == 1
    [again] = await events(desk)

    assert (again.id, again.attempt, again.failures) == (event.id, 2, 0)
    assert not await desk.ledger.outbox.settle(event.lease, Told())
    assert await desk.ledger.outbox.settle(again.lease, Told())


async def test_a_dead_process_lets_its_events_go_at_once(desk: Desk) -> None:
    """The supervisor saw it die; another one's leases stand."""
    for _ in range(2):
        await desk.job_in(JobState.LINKED)
    [_] = await events(desk, want=1)
    await desk.ledger.outbox.claim("webhook", want=1, worker_id="w2", lease_s=LEASE_S)

    assert await desk.ledger.outbox.abandon("w1") == 1
    assert await desk.ledger.outbox.rescue() == 1
    assert len(await events(desk)) == 1


async def test_a_failed_try_waits_for_its_time(desk: Desk) -> None:
    """And keeps why."""
    await desk.job_in(JobState.LINKED)
    [event] = await events(desk)
    await desk.ledger.outbox.settle(event.lease, REFUSED, delay_s=300.0)

    record = await desk.ledger.outbox.get(event.id)
    assert record is not None
    assert (record.state, record.fault, record.status, record.failures) == ("waiting", "refused", 500, 1)
    assert record.due_at_ms == desk.now_ms + 300_000
    assert await events(desk) == []
    desk.advance(300)
    [again] = await events(desk)
    assert again.failures == 1


async def test_the_last_try_fails_it_and_an_operator_tells_it_again(desk: Desk) -> None:
    """With the whole schedule before it; twice has the effect of once."""
    await desk.job_in(JobState.LINKED)
    [event] = await events(desk)
    await desk.ledger.outbox.settle(event.lease, REFUSED, delay_s=None)
    page = await desk.ledger.outbox.find(sink="webhook", state=OutgoingState.FAILED)
    assert [record.id for record in page.items] == [event.id]
    assert await events(desk) == []

    for _ in range(2):
        mended = await desk.ledger.outbox.retry(event.id)
        assert (mended.done, mended.state) == (True, OutgoingState.WAITING)

    [again] = await events(desk)
    assert (again.id, again.failures, again.attempt) == (event.id, 0, 2)
    assert (await desk.ledger.outbox.retry(event.id)).refusal == "waits_already"
    assert (await desk.ledger.outbox.retry("evt_nobody_1")).refusal == "gone"


async def test_all_that_failed_is_told_again(desk: Desk) -> None:
    """In one go, however much it is."""
    for _ in range(3):
        await desk.job_in(JobState.LINKED)
    for event in await events(desk):
        await desk.ledger.outbox.settle(event.lease, REFUSED, delay_s=None)

    assert await desk.ledger.outbox.retry_all("webhook") == 3
    assert len(await events(desk)) == 3


async def test_what_cannot_be_told_there_is_dropped(desk: Desk) -> None:
    """There is nothing to update; the next event goes on."""
    await desk.job_in(JobState.LINKED)
    [event] = await events(desk)

    assert await desk.ledger.outbox.settle(event.lease, NeverTold(fault=TellFault.NOT_CONCERNED))

    assert await desk.ledger.outbox.get(event.id) is None
    assert (await sink(desk)).waiting == 0


# --- a sink in trouble -------------------------------------------------------------------------------------


async def test_a_sink_that_is_down_is_asked_with_one_event_at_a_time(desk: Desk) -> None:
    """Five failures in a row are the sink's, not the events'; all others keep their tries and wait."""
    for _ in range(8):
        await desk.job_in(JobState.LINKED)
    await fail_to_tell(desk, 5)
    assert (await sink(desk)).down_since_ms == desk.now_ms
    assert await events(desk) == []
    assert await desk.ledger.outbox.due(rering_after_s=0) == []

    desk.advance(5)
    assert await desk.ledger.outbox.due(rering_after_s=0) == ["webhook"]
    [probe] = await events(desk)
    assert await events(desk) == [], "one probe at a time"
    await desk.ledger.outbox.settle(probe.lease, REFUSED, delay_s=300.0)
    desk.advance(5)
    assert await events(desk) == [], "the next one comes later"
    desk.advance(5)
    [second] = await events(desk)
    assert second.id != probe.id, "an event at fault does not keep the others waiting"
    await desk.ledger.outbox.settle(second.lease, Told(status=200))

    assert (await sink(desk)).down_since_ms is None
    assert len(await events(desk)) == 6


async def test_stragglers_do_not_put_the_probe_off(desk: Desk) -> None:
    """What was on its way when the sink went down says nothing new."""
    for _ in range(9):
        await desk.job_in(JobState.LINKED)
    for event in await events(desk):
        await desk.ledger.outbox.settle(event.lease, REFUSED, delay_s=5.0)

    desk.advance(5)

    assert len(await events(desk)) == 1


async def test_probes_never_lie_further_apart_than_five_minutes(desk: Desk) -> None:
    """A receiver that comes back after a day hears of it soon."""
    for _ in range(40):
        await desk.job_in(JobState.LINKED)
    await fail_to_tell(desk, 5)
    for _ in range(30):
        desk.advance(300)
        await fail_to_tell(desk, 1, delay_s=86_400.0)


async def test_one_success_ends_the_row(desk: Desk) -> None:
    """A receiver that fails now and then is not down."""
    for _ in range(9):
        await desk.job_in(JobState.LINKED)
    await fail_to_tell(desk, 4)
    [event] = await events(desk, want=1)
    await desk.ledger.outbox.settle(event.lease, Told())
    await fail_to_tell(desk, 4)

    assert (await sink(desk)).down_since_ms is None


async def test_a_sink_that_asks_for_time_gets_it(desk: Desk) -> None:
    """No event is told meanwhile and none loses a try."""
    for _ in range(2):
        await desk.job_in(JobState.LINKED)
    [event] = await events(desk, want=1)
    await desk.ledger.outbox.settle(event.lease, SinkBusy(fault=TellFault.THROTTLED, delay_s=120, status=429))

    assert await events(desk) == []
    assert (await sink(desk)).paused_until_ms == desk.now_ms + 120_000
    desk.advance(120)
    assert [each.failures for each in await events(desk)] == [0, 0]


async def test_a_sink_that_is_gone_gets_nothing_until_a_person_says_so(desk: Desk) -> None:
    """Its events wait; another address, or a retry, turns it on again."""
    await desk.job_in(JobState.LINKED)
    [event] = await events(desk)
    await desk.ledger.outbox.settle(event.lease, SinkGone(status=410))
    await desk.job_in(JobState.LINKED)
    desk.advance(7 * 86_400)
    assert await events(desk) == []
    standing = await sink(desk)
    assert (standing.fault, standing.status, standing.waiting) == ("endpoint_gone", 410, 2)

    await desk.ledger.outbox.enable([WEBHOOK])
    assert await events(desk) == [], "a restart changes nothing"
    await desk.ledger.outbox.enable([SinkPlan(name="webhook", mark="elsewhere")])

    assert len(await events(desk)) == 2


async def test_a_retry_turns_a_gone_sink_on(desk: Desk) -> None:
    """The receiver was mended where it stands."""
    await desk.job_in(JobState.LINKED)
    [event] = await events(desk)
    await desk.ledger.outbox.settle(event.lease, SinkGone(status=410))

    await desk.ledger.outbox.retry_all("webhook")

    assert len(await events(desk)) == 1


async def test_a_sink_is_rung_for_once_in_a_while(desk: Desk) -> None:
    """However many workers ask."""
    await desk.job_in(JobState.LINKED)

    assert await desk.ledger.outbox.due(rering_after_s=1) == ["webhook"]
    assert await desk.ledger.outbox.due(rering_after_s=1) == []
    desk.advance(1)
    assert await desk.ledger.outbox.due(rering_after_s=1) == ["webhook"]


# --- looking and keeping -----------------------------------------------------------------------------------


async def test_pages_show_every_event_once(desk: Desk) -> None:
    """In each state."""
    jobs = [await desk.job_in(JobState.LINKED) for _ in range(5)]
    found, cursor = [], None
    while True:
        page = await desk.ledger.outbox.find(
            sink="webhook", state=OutgoingState.WAITING, cursor=cursor, limit=2
        )
        found += [record.job_id for record in page.items]
        assert page.total == 5
        cursor = page.next
        if cursor is None:
            break
    assert sorted(found) == sorted(jobs)
    await told(desk)

    page = await desk.ledger.outbox.find(sink="webhook", state=OutgoingState.TOLD, limit=2)

    assert (len(page.items), page.next, page.total) == (2, "2", 5)


async def test_an_event_under_a_lease_shows_as_sending(desk: Desk) -> None:
    """By its id and in the list."""
    await desk.job_in(JobState.LINKED)
    [event] = await events(desk)

    record = await desk.ledger.outbox.get(event.id)
    page = await desk.ledger.outbox.find(sink="webhook", state=OutgoingState.SENDING)

    assert record is not None
    assert record.state is OutgoingState.SENDING
    assert [each.id for each in page.items] == [event.id]
    assert await desk.ledger.outbox.get("evt_nobody_1") is None


async def test_what_could_not_be_told_for_long_is_deleted(desk: Desk) -> None:
    """Failed or waiting; the young stays."""
    for _ in range(2):
        await desk.job_in(JobState.LINKED)
    [event] = await events(desk, want=1)
    await desk.ledger.outbox.settle(event.lease, REFUSED, delay_s=None)
    desk.advance(100)
    young = await desk.job_in(JobState.LINKED)

    assert await desk.ledger.outbox.prune(older_than_s=50) == 2
    assert await desk.ledger.outbox.prune(older_than_s=50) == 0

    assert [each.job_id for each in await events(desk)] == [young]
    assert await desk.ledger.outbox.get(event.id) is None


async def test_an_event_outlives_its_job(desk: Desk) -> None:
    """A record that was pruned meanwhile stops nobody from telling."""
    job = await desk.job_in(JobState.FAILED)
    desk.advance(100)
    assert await desk.ledger.prune({JobState.FAILED: 50.0}, limit=10) == 1

    assert await told(desk) == [("job.failed", job)]
    await desk.balance()


async def test_a_dead_receiver_does_not_fill_the_memory(desk: Desk, store: redis.asyncio.Redis) -> None:
    """Beyond the bound events are counted, not kept."""
    await store.zadd("{test}:tf:webhook", {f"evt_{n}": n for n in range(MOST_UNTOLD)})

    await desk.job_in(JobState.LINKED)

    standing = await sink(desk)
    assert (standing.waiting, standing.dropped, standing.is_full) == (0, 1, True)


async def test_the_lease_is_a_lease_like_any_other(desk: Desk) -> None:
    """It names its worker and ends by the ledger's clock."""
    await desk.job_in(JobState.LINKED)
    [event] = await events(desk)

    assert isinstance(event.lease, Lease)
    assert event.lease.token.startswith("w1.")
    assert event.lease.expires_at_ms == desk.now_ms + 45_000


async def test_the_books_stay_right_with_events_on(desk: Desk) -> None:
    """Events are no jobs."""
    for state in (JobState.LINKED, JobState.FAILED, JobState.DEAD, JobState.IN_DOUBT, JobState.CANCELLED):
        await desk.job_in(state)

    await desk.balance()
