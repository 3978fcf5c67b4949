"""Telling our own events: at least once, by leases, and never in the way of a sink in trouble."""

from __future__ import annotations

import pytest
import redis.asyncio

from tests.contract.ledger_desk import Desk
from tests.contract.outbox_desk import LEASE_S, REFUSED, WEBHOOK, events, fail_to_tell, sink, told
from worker.domain.job import Lease
from worker.domain.outgoing import (
    MOST_UNTOLD,
    NeverTold,
    OutgoingState,
    SinkBusy,
    SinkGone,
    SinkPlan,
    TellFault,
    Told,
)
from worker.domain.states import JobState


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> Desk:
    desk = await Desk.open(store)
    await desk.ledger.outbox.enable([WEBHOOK])
    return desk


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

    assert await desk.ledger.abandon("w1") == 1
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
    assert (await desk.ledger.outbox.retry("evt_nobody_1", by="cli:dana")).refusal == "gone"
    assert (await desk.ledger.trail.find()).items == (), "nobody did anything"


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


async def test_what_was_on_its_way_does_not_cut_a_pause_short(desk: Desk) -> None:
    """A 200 that comes after a 429 was asked for before it; the pause ends by its time."""
    for _ in range(3):
        await desk.job_in(JobState.LINKED)
    [busy, straggler] = await events(desk, want=2)
    await desk.ledger.outbox.settle(busy.lease, SinkBusy(fault=TellFault.THROTTLED, delay_s=120, status=429))
    await desk.ledger.outbox.settle(straggler.lease, Told(status=200))

    standing = await sink(desk)
    assert (standing.paused_until_ms, standing.fault) == (desk.now_ms + 120_000, "throttled")
    assert await events(desk) == []
    desk.advance(120)
    assert len(await told(desk)) == 2
    standing = await sink(desk)
    assert (standing.paused_until_ms, standing.fault, standing.status) == (None, None, None)


async def test_what_was_on_its_way_does_not_turn_a_gone_sink_on(desk: Desk) -> None:
    """A 200 that comes after a 410 was asked for before it."""
    for _ in range(3):
        await desk.job_in(JobState.LINKED)
    [gone, straggler] = await events(desk, want=2)
    await desk.ledger.outbox.settle(gone.lease, SinkGone(status=410))
    await desk.ledger.outbox.settle(straggler.lease, Told(status=200))

    standing = await sink(desk)
    assert (standing.gone_since_ms, standing.fault) == (desk.now_ms, "endpoint_gone")
    assert await events(desk) == []


async def test_a_retry_turns_a_gone_sink_on(desk: Desk) -> None:
    """The receiver was mended where it stands."""
    await desk.job_in(JobState.LINKED)
    [event] = await events(desk)
    await desk.ledger.outbox.settle(event.lease, SinkGone(status=410))

    assert await desk.ledger.outbox.retry_all("webhook") == 1, "it waited for that alone"
    assert await desk.ledger.outbox.retry_all("webhook") == 0, "and waits for nothing now"

    assert len(await events(desk)) == 1


async def test_a_retry_of_all_takes_along_what_was_put_off(desk: Desk) -> None:
    """Failed ones, ones whose next try is hours away, ones that waited behind a receiver gone: each counted once."""
    for _ in range(150):
        await desk.job_in(JobState.LINKED)
    late, failed, gone = await events(desk, want=3)
    await desk.ledger.outbox.settle(late.lease, REFUSED, delay_s=7_200.0)
    await desk.ledger.outbox.settle(failed.lease, REFUSED, delay_s=None)
    await desk.ledger.outbox.settle(gone.lease, SinkGone(status=410))

    assert await desk.ledger.outbox.retry_all("webhook", by="cli:dana", why="mended") == 150
    [entry] = (await desk.ledger.trail.find(act="event_resend")).items
    assert (entry.by, entry.why, entry.subject) == ("cli:dana", "mended", "webhook")

    again = await events(desk, want=200)
    assert len(again) == 150
    assert {event.failures for event in again} == {0}


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
