"""Incidents in the ledger: opened once, ended once, told to each sink until that has it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio

from tests.contract.ledger_desk import Desk, own_fail
from worker.domain.alert_rules import Memory
from worker.domain.alerts import (
    AlertKind,
    AlertPhase,
    ExpiryWindow,
    Incident,
    TellingState,
    Trouble,
    expiry_windows,
)
from worker.domain.outcome import ChannelDown, Refused, Sent, Undelivered
from worker.domain.outgoing import NeverTold, NotTold, TellFault, Told
from worker.domain.states import Channel, JobState, Lane
from worker.ledger.incidents import ClaimedAlert

HOLD = Trouble(
    kind=AlertKind.HOLD, scope="batch:b1", count=3, params={"target": "batch:b1", "reason": "unknown_17"}
)
SINKS = ("webhook", "email:0a1b2c3d")
REFUSED = NotTold(fault=TellFault.REFUSED, status=500)


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> Desk:
    return await Desk.open(store)


async def opened(desk: Desk, trouble: Trouble = HOLD, sinks: tuple[str, ...] = SINKS) -> Incident:
    """Open an incident, which must not be open."""
    incident_id, is_new = await desk.ledger.incidents.stands(trouble, sinks=sinks)
    assert is_new
    return await kept(desk, incident_id)


async def kept(desk: Desk, incident_id: str) -> Incident:
    incident = await desk.ledger.incidents.get(incident_id)
    assert incident is not None
    return incident


async def claim(desk: Desk, sink: str = "webhook", *, worker: str = "w1") -> list[ClaimedAlert]:
    return await desk.ledger.incidents.claim(sink, worker_id=worker, lease_s=60)


async def tell(desk: Desk, sink: str = "webhook") -> list[AlertPhase]:
    """Tell a sink what is due; return the phases."""
    claimed = await claim(desk, sink)
    for each in claimed:
        assert await desk.ledger.incidents.settle(each, Told(status=200))
    return [each.phase for each in claimed]


async def test_a_trouble_is_opened_once_and_seen_again(desk: Desk) -> None:
    """However many workers see it, one incident; it knows the latest count and the greatest."""
    trouble = replace(HOLD, since_ms=desk.now_ms - 5_000)
    replies = await asyncio.gather(*(desk.ledger.incidents.stands(trouble, sinks=SINKS) for _ in range(5)))
    assert len({incident_id for incident_id, _ in replies}) == 1
    assert [is_new for _, is_new in replies].count(True) == 1

    first = await kept(desk, replies[0][0])
    for count in (9, 4):
        desk.advance(15)
        await desk.ledger.incidents.stands(replace(HOLD, count=count), sinks=SINKS)

    incident = await kept(desk, first.id)
    assert (incident.kind, incident.scope, incident.params["reason"]) == (
        AlertKind.HOLD,
        "batch:b1",
        "unknown_17",
    )
    assert (incident.began_at_ms, incident.opened_at_ms) == (first.opened_at_ms - 5_000, first.opened_at_ms)
    assert (incident.count, incident.peak, incident.last_seen_ms) == (4, 9, desk.now_ms)
    assert [each.state for each in incident.tellings] == [TellingState.WAITING] * 2
    assert await desk.ledger.incidents.open() == [incident]


async def test_it_ends_once_and_not_while_it_is_seen(desk: Desk) -> None:
    """Who saw it last decides; when it comes again after its end it is another incident."""
    incident = await opened(desk)
    desk.advance(15)
    await desk.ledger.incidents.stands(HOLD)
    assert not await desk.ledger.incidents.end(incident), "seen since"

    incident = await kept(desk, incident.id)
    desk.advance(300)
    ends = await asyncio.gather(*(desk.ledger.incidents.end(incident) for _ in range(3)))
    assert sorted(ends) == [False, False, True]
    assert (await kept(desk, incident.id)).ended_at_ms == desk.now_ms
    assert await desk.ledger.incidents.open() == []

    again = await opened(desk)
    assert again.id != incident.id


async def test_each_sink_is_told_the_beginning_and_then_the_end(desk: Desk) -> None:
    """Once each, by leases; one sink's trouble is not another's."""
    incident = await opened(desk)
    assert await tell(desk) == [AlertPhase.OPENED]
    assert await tell(desk) == []
    await desk.ledger.incidents.end(await kept(desk, incident.id))

    assert await tell(desk) == [AlertPhase.ENDED]
    assert await tell(desk) == []
    mail = SINKS[1]
    assert await tell(desk, mail) == [AlertPhase.OPENED], "the end waits for it"
    assert await tell(desk, mail) == [AlertPhase.ENDED]
    states = {(each.phase, each.sink): each.state for each in (await kept(desk, incident.id)).tellings}
    assert set(states.values()) == {TellingState.TOLD}
    assert len(states) == 4


async def test_two_workers_never_tell_at_the_same_time(desk: Desk) -> None:
    """What one has claimed the other does not get."""
    await opened(desk)

    rounds = await asyncio.gather(*(claim(desk, worker=f"w{n}") for n in range(4)))

    assert sorted(len(each) for each in rounds) == [0, 0, 0, 1]


async def test_a_telling_that_failed_is_due_again_when_it_was_said(desk: Desk) -> None:
    """Neither earlier nor lost; tries and failures are counted, and the last answer is known."""
    incident = await opened(desk)
    [first] = await claim(desk)
    assert await desk.ledger.incidents.settle(first, REFUSED, delay_s=5.0)
    desk.advance(4)
    assert await claim(desk) == []
    desk.advance(1)
    [second] = await claim(desk)

    assert (first.attempt, second.attempt, second.failures, second.is_repeat) == (1, 2, 1, False)
    [webhook] = [each for each in (await kept(desk, incident.id)).tellings if each.sink == "webhook"]
    assert (webhook.state, webhook.fault, webhook.status) == (TellingState.WAITING, "refused", 500)


async def test_a_worker_that_died_between_is_followed_by_another_and_counted(desk: Desk) -> None:
    """Its lease runs out; the sink may have it already, and the next try says so. Its own late word is not taken."""
    await opened(desk)
    [dead] = await claim(desk)
    desk.advance(59)
    assert await claim(desk, worker="w2") == []
    desk.advance(1)
    [successor] = await claim(desk, worker="w2")

    assert (successor.attempt, successor.failures, successor.is_repeat) == (2, 0, True)
    assert not await desk.ledger.incidents.settle(dead, Told())
    assert await desk.ledger.incidents.settle(successor, Told())
    assert await claim(desk, worker="w2") == []


async def test_what_a_dead_worker_told_is_due_at_once(desk: Desk) -> None:
    """Whoever reaps the process says so; others keep their leases."""
    await opened(desk)
    await claim(desk, worker="w1")
    await claim(desk, SINKS[1], worker="w2")

    assert await desk.ledger.abandon("w1") == 1
    assert await desk.ledger.abandon("w1") == 1, "again, for it still is as it was"
    assert len(await claim(desk, worker="w3")) == 1
    assert await claim(desk, SINKS[1], worker="w3") == []


@pytest.mark.parametrize("telling", [REFUSED, NeverTold(fault=TellFault.REFUSED)])
async def test_what_is_given_up_is_not_tried_again_nor_its_end(desk: Desk, telling: Any) -> None:
    """Who never heard of the beginning has no use for the end."""
    incident = await opened(desk)
    [claimed] = await claim(desk)
    assert await desk.ledger.incidents.settle(claimed, telling)
    await desk.ledger.incidents.end(await kept(desk, incident.id))
    desk.advance(90_000)

    assert await claim(desk) == []
    [webhook] = [each for each in (await kept(desk, incident.id)).tellings if each.sink == "webhook"]
    assert webhook.state is TellingState.FAILED


async def test_a_sink_that_is_set_up_later_hears_of_what_is_open(desk: Desk) -> None:
    """At the next look; of what is over it does not."""
    over = await opened(desk, replace(HOLD, scope="live"), ())
    await desk.ledger.incidents.end(over)
    await opened(desk, HOLD, ())
    assert await claim(desk) == []

    await desk.ledger.incidents.stands(HOLD, sinks=["webhook"])

    assert [each.incident.scope for each in await claim(desk)] == ["batch:b1"]


async def test_the_list_shows_open_ones_apart_and_pages_the_ended(desk: Desk) -> None:
    """Each ended one shows once, the latest opened first, whatever is open in between."""
    for n in range(9):
        incident = await opened(desk, replace(HOLD, scope=f"batch:b{n}"), ())
        desk.advance(1)
        if n % 3:
            await desk.ledger.incidents.end(incident)

    seen, cursor = [], None
    while True:
        page = await desk.ledger.incidents.ended(cursor=cursor, limit=2)
        assert page.total == 6
        seen += [each.scope for each in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert seen == [f"batch:b{n}" for n in (8, 7, 5, 4, 2, 1)]
    assert [each.scope for each in await desk.ledger.incidents.open()] == ["batch:b6", "batch:b3", "batch:b0"]
    with pytest.raises(ValueError, match="not one of our cursors"):
        await desk.ledger.incidents.ended(cursor="x")


async def test_old_incidents_are_pruned_and_open_ones_kept(desk: Desk) -> None:
    """With all that hangs on them."""
    over = await opened(desk)
    await desk.ledger.incidents.end(over)
    standing = await opened(desk, replace(HOLD, scope="live"))
    desk.advance(91 * 86_400)
    await opened(desk, replace(HOLD, scope="bulk"), ())

    assert await desk.ledger.incidents.prune(older_than_s=90 * 86_400.0) == 1
    assert await desk.ledger.incidents.get(over.id) is None
    assert {each.incident.id for each in await claim(desk)} == {standing.id}
    assert await desk.ledger.incidents.prune(older_than_s=90 * 86_400.0) == 0


async def test_a_memory_is_kept_by_whoever_looked_last_from_it(desk: Desk) -> None:
    """Of two that began with the same one, the first."""
    number, memory = await desk.ledger.incidents.memory()
    assert (number, memory) == (0, Memory())
    kept_one = Memory(looked_at_ms=7, pending={"hold bulk": (1, 2)}, surged={"unknown_17": 3})

    assert await desk.ledger.incidents.remember(0, kept_one)
    assert not await desk.ledger.incidents.remember(0, Memory(looked_at_ms=8))
    assert await desk.ledger.incidents.memory() == (1, kept_one)


# --- the facts ---------------------------------------------------------------------------------------------


async def test_the_facts_know_how_long_what_nothing_keeps_has_waited(desk: Desk) -> None:
    """Jobs behind a pause or a hold of their lane or batch are counted as waiting, not as free."""
    await desk.accept()
    desk.advance(30)
    await desk.accept_batch("b1", 3)
    await desk.accept_batch("b2", 2)
    await desk.ledger.feed(Lane.LIVE, want=5)
    desk.advance(30)
    facts = await desk.ledger.incidents.facts()
    live, bulk = facts.lane(Lane.LIVE), facts.lane(Lane.BULK)
    assert facts.now_ms == desk.now_ms
    assert (live.free, live.waiting, live.oldest_s, live.is_paused) == (1, 1, 60.0, False)
    assert (bulk.free, bulk.waiting, bulk.oldest_s) == (5, 5, 30.0)

    await desk.ledger.batches.pause("batch:b1")
    await desk.ledger.batches.hold("live", "unknown_17")
    facts = await desk.ledger.incidents.facts()
    assert (facts.lane(Lane.LIVE).free, facts.lane(Lane.LIVE).waiting) == (0, 1)
    assert (facts.lane(Lane.BULK).free, facts.lane(Lane.BULK).waiting) == (2, 5)
    await desk.ledger.batches.pause("bulk")
    bulk = (await desk.ledger.incidents.facts()).lane(Lane.BULK)
    assert (bulk.free, bulk.oldest_s, bulk.is_paused) == (0, None, True)


async def test_the_facts_count_failures_by_reason_and_age(desk: Desk) -> None:
    """In the last ten minutes, in the hour, in the day before; what was requeued no longer counts."""
    for _ in range(2):
        await desk.job_in(JobState.FAILED)
    desk.advance(1_800)
    requeued = await desk.job_in(JobState.FAILED)
    await desk.job_in(JobState.FAILED)
    await desk.requeue(requeued)

    counts = (await desk.ledger.incidents.facts()).reasons["name_refused"]
    assert (counts.recent, counts.hour, counts.before, counts.total) == (1, 3, 2, 3)
    desk.advance(3_601)
    counts = (await desk.ledger.incidents.facts()).reasons["name_refused"]
    assert (counts.recent, counts.hour, counts.before, counts.total) == (0, 0, 3, 3)


async def test_the_facts_count_dead_letters_by_the_day_of_their_end(desk: Desk) -> None:
    """Exactly those that are deleted on that day."""
    keep_s = 90 * 86_400.0
    for _ in range(2):
        await desk.job_in(JobState.DEAD)
    desk.advance(86_400)
    await desk.job_in(JobState.DEAD)

    async def counts() -> list[int]:
        windows: list[ExpiryWindow] = expiry_windows("dead", keep_s, desk.now_ms)
        return list((await desk.ledger.incidents.facts(windows)).expiring.values())

    assert await counts() == [0, 0]
    desk.advance(87 * 86_400)
    assert await counts() == [0, 0]
    desk.advance(86_400)
    assert await counts() == [0, 2]
    desk.advance(86_400 - 60)
    assert await counts() == [2, 1]
    desk.advance(120)
    assert await counts() == [0, 1]


async def test_the_facts_know_how_messages_fare(desk: Desk) -> None:
    """Sent and failed lately, by channel; those that wait for their turn, or were put off by the provider's refusal."""
    deliveries = [await desk.a_delivery() for _ in range(4)]
    facts = (await desk.ledger.incidents.facts()).channels
    assert (facts[Channel.EMAIL].waiting, facts[Channel.EMAIL].last_sent_ms) == (4, None)
    assert facts[Channel.SMS].waiting == 0

    down = ChannelDown(fail=own_fail("mail_auth_refused"))
    for delivery, outcome in zip(
        deliveries, [Sent(provider_id="1"), Undelivered(fail=own_fail("mailbox_unknown")), down], strict=False
    ):
        lease = await desk.send(delivery)
        assert await desk.ledger.deliveries.settle(lease, outcome, can_resend=True)
    mail = (await desk.ledger.incidents.facts()).channels[Channel.EMAIL]
    assert (mail.sent, mail.failed, mail.last_sent_ms) == (1, 1, desk.now_ms)
    assert (mail.waiting, mail.fault) == (2, "mail_auth_refused")

    desk.advance(901)
    mail = (await desk.ledger.incidents.facts()).channels[Channel.EMAIL]
    assert (mail.sent, mail.failed, mail.last_sent_ms) == (0, 0, None)


async def test_a_look_at_many_queues_and_reasons_stays_short(desk: Desk) -> None:
    """Two hundred batches and as many reasons: the script is bounded and answers for all of them."""
    for n in range(200):
        await desk.accept_batch(f"b{n}", 1)
    for n in range(60):
        job = (await desk.accept()).job_ids[0]
        await desk.end(job, Refused(fail=own_fail(f"unknown_{n}")))

    facts = await desk.ledger.incidents.facts()

    assert facts.lane(Lane.BULK).free == 200
    assert len(facts.reasons) == 60
