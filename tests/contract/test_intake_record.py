"""Recording events: each once, however often and at once it is told of; full and altered ones told apart."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio

from tests.contract.intake_desk import DONE, SKIPPED, SOURCE, IntakeDesk, an_event
from worker.domain.event import EventReceipt, EventState, EventVerdict, NewEvent
from worker.ledger import Ledger, open_redis
from worker.ledger.intake import KEY_MEMORY_S

WEEK_MS = 7 * 86_400_000


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> IntakeDesk:
    return await IntakeDesk.open(store)


def verdicts(receipts: list[EventReceipt]) -> list[EventVerdict]:
    return [receipt.verdict for receipt in receipts]


async def test_an_event_is_recorded_as_it_came(desk: IntakeDesk) -> None:
    """And waits, due at once."""
    event = an_event(body='{"name":"דנה","mail":"dana@example.com"}')
    [receipt] = await desk.record(event)
    record = await desk.get(event.id)

    assert receipt == EventReceipt(id=event.id, verdict=EventVerdict.RECORDED)
    assert (record.source, record.key, record.body) == (SOURCE, event.key, event.body)
    assert (record.state, record.attempt, record.failures) == (EventState.WAITING, 0, 0)
    assert record.received_at_ms == record.changed_at_ms == record.due_at_ms == desk.now_ms
    assert await desk.intake.sources_due() == [SOURCE]


async def test_the_same_call_again_is_harmless(desk: IntakeDesk) -> None:
    """Its answer was lost: the second one says the same, and there is still one record of each."""
    events = [an_event() for _ in range(3)]
    first = await desk.record(*events)

    assert await desk.record(*events) == first
    assert verdicts(first) == [EventVerdict.RECORDED] * 3
    assert await desk.count(EventState.WAITING) == 3


async def test_the_same_call_after_the_work_changes_nothing(desk: IntakeDesk) -> None:
    """A very late repetition does not bring back what is done."""
    event = an_event()
    await desk.record(event)
    await desk.settle(await desk.claim_one(), DONE)
    [receipt] = await desk.record(event)

    assert receipt.verdict is EventVerdict.RECORDED
    assert (await desk.get(event.id)).state is EventState.DONE
    assert await desk.count(EventState.WAITING) == 0


async def test_a_redelivery_is_a_duplicate_of_the_first_record(desk: IntakeDesk) -> None:
    """Whether the first one still waits or is done, or came in the same request."""
    first = an_event()
    again = [an_event(key=first.key, digest=first.digest) for _ in range(3)]
    receipts = await desk.record(first, again[0])
    await desk.settle(await desk.claim_one(), DONE)
    receipts += await desk.record(again[1])
    desk.advance(5 * 86_400)
    await desk.intake.prune(failed_older_than_s=1e9, limit=10)
    receipts += await desk.record(again[2])

    assert verdicts(receipts) == [EventVerdict.RECORDED, *[EventVerdict.DUPLICATE] * 3]
    assert {receipt.id for receipt in receipts} == {first.id}
    assert await desk.intake.get(again[2].id) is None


async def test_two_sources_may_use_the_same_key(desk: IntakeDesk) -> None:
    """Each CRM counts for itself."""
    receipts = await desk.record(an_event(key="1"), an_event(key="1", source="crm:generic"))

    assert verdicts(receipts) == [EventVerdict.RECORDED] * 2
    assert await desk.intake.sources_due() == ["crm:generic", SOURCE]


async def test_a_key_with_another_body_is_altered(desk: IntakeDesk) -> None:
    """It is kept as a failed record of its own, for a person to look at; the first one goes its way."""
    first = an_event()
    other = an_event(key=first.key, body='{"objectId":2}')
    receipts = await desk.record(first, other)
    record = await desk.get(other.id)

    assert receipts[1] == EventReceipt(id=other.id, verdict=EventVerdict.ALTERED)
    assert (record.state, record.reason, record.body) == (EventState.FAILED, "altered", other.body)
    assert [event.id for event in await desk.claim()] == [first.id]


async def test_a_redelivered_altered_event_makes_no_further_record(desk: IntakeDesk) -> None:
    """It is a duplicate of the altered one; the very same call says altered once more."""
    first = an_event()
    other = an_event(key=first.key)
    await desk.record(first, other)
    repeated = await desk.record(first, other)
    redelivered = [(await desk.record(an_event(key=first.key, digest=other.digest)))[0] for _ in range(3)]

    assert verdicts(repeated) == [EventVerdict.RECORDED, EventVerdict.ALTERED]
    assert redelivered == [EventReceipt(id=other.id, verdict=EventVerdict.DUPLICATE)] * 3
    assert await desk.count(EventState.FAILED) == 1


async def test_each_altered_body_is_a_record_of_its_own(desk: IntakeDesk) -> None:
    """Two other bodies under one key are two things to look at."""
    first = an_event()
    receipts = await desk.record(first, an_event(key=first.key), an_event(key=first.key))

    assert verdicts(receipts[1:]) == [EventVerdict.ALTERED] * 2
    assert await desk.count(EventState.FAILED) == 2


async def test_no_more_wait_than_may(desk: IntakeDesk) -> None:
    """What is over is not recorded; what stands recorded is no newcomer, however full it is."""
    events = [an_event() for _ in range(3)]
    altered = an_event(key=events[0].key)
    receipts = await desk.record(*events, max_waiting=2)
    again = await desk.record(*events, altered, max_waiting=2)

    assert verdicts(receipts) == [EventVerdict.RECORDED, EventVerdict.RECORDED, EventVerdict.FULL]
    assert receipts[2].id == events[2].id
    assert verdicts(again) == [*verdicts(receipts), EventVerdict.ALTERED]
    assert await desk.intake.get(events[2].id) is None
    await desk.claim(want=1)
    assert verdicts(await desk.record(events[2], max_waiting=2)) == [EventVerdict.RECORDED]


async def test_all_sources_share_the_room(desk: IntakeDesk) -> None:
    """It is the server's memory that is bounded."""
    await desk.record(an_event(source="crm:monday"))

    assert verdicts(await desk.record(an_event(), max_waiting=1)) == [EventVerdict.FULL]


async def test_a_request_s_events_are_claimed_in_its_order(desk: IntakeDesk) -> None:
    """And those of an earlier request before them, whatever their ids say."""
    events = [an_event() for _ in range(100)][::-1]
    await desk.record(*events[:50])
    desk.advance(0.001)
    await desk.record(*events[50:])

    assert [event.id for event in await desk.claim()] == [event.id for event in events]


async def test_more_events_than_a_script_takes_are_one_call(desk: IntakeDesk) -> None:
    """Each has its receipt, in order, and nothing is recorded beyond what may wait."""
    events = [an_event() for _ in range(250)]
    receipts = await desk.record(*events, max_waiting=240)
    claimed = {event.id for _ in range(3) for event in await desk.claim()}

    assert [receipt.id for receipt in receipts] == [event.id for event in events]
    assert verdicts(receipts) == [EventVerdict.RECORDED] * 240 + [EventVerdict.FULL] * 10
    assert claimed == {event.id for event in events[:240]}


async def test_nothing_to_record_is_no_call(desk: IntakeDesk) -> None:
    """A request without events is acked all the same."""
    assert await desk.intake.record([], max_waiting=1) == []


@pytest.mark.parametrize("changes", [{"id": ""}, {"id": "a\x1fb"}, {"source": ""}, {"key": ""}])
async def test_an_event_that_cannot_be_kept_is_refused(desk: IntakeDesk, changes: dict[str, str]) -> None:
    """A module's mistake must not share a record with another event."""
    with pytest.raises(ValueError, match="an id, a source and a key"):
        await desk.record(an_event(**changes))


async def test_keys_of_any_length_and_letters_are_kept(desk: IntakeDesk) -> None:
    """They are the sender's; ours only holds their marks."""
    keys = ["a" * 5_000, "שלום\n\x1f{x}:*", " ", "0"]
    receipts = await desk.record(*(an_event(key=key) for key in keys))
    claimed = await desk.claim()

    assert verdicts(receipts) == [EventVerdict.RECORDED] * 4
    assert [event.key for event in claimed] == keys
    assert all(len(key) < 80 for key in await desk.redis.keys("*"))


async def test_keys_are_forgotten_after_a_week(desk: IntakeDesk) -> None:
    """Not before; a redelivery comes within three days, and memory is not for ever."""
    first = an_event()
    await desk.record(first, an_event(key=first.key))
    marks = await desk.redis.keys("{test}:vk:*")

    assert len(marks) == 2
    assert KEY_MEMORY_S * 1000 >= WEEK_MS
    for mark in marks:
        assert WEEK_MS < await desk.redis.pttl(mark) <= KEY_MEMORY_S * 1000


@pytest.mark.parametrize("is_fake", [True, False])
async def test_a_hundred_copies_at_once_are_one_event(
    is_fake: bool, fake_redis: redis.asyncio.Redis, valkey_url: str, real_redis: redis.asyncio.Redis
) -> None:
    """However many processes receive them: one record, one recorded verdict, the rest duplicates of it."""
    client = fake_redis if is_fake else open_redis(valkey_url)
    ledger = Ledger(client, namespace="test")
    await ledger.open()
    first = an_event()

    async def receive(event: NewEvent) -> EventReceipt:
        [receipt] = await ledger.intake.record([event], max_waiting=1000)
        return receipt

    copies = [an_event(key=first.key, digest=first.digest) for _ in range(100)]
    receipts = await asyncio.gather(*(receive(event) for event in copies))

    assert len({receipt.id for receipt in receipts}) == 1
    assert sorted(verdicts(receipts)).count(EventVerdict.RECORDED) == 1
    assert verdicts(receipts).count(EventVerdict.DUPLICATE) == 99
    assert (await ledger.intake.counts())[SOURCE][EventState.WAITING] == 1
    if not is_fake:
        await ledger.aclose()


async def test_the_books_of_jobs_are_untouched(desk: IntakeDesk) -> None:
    """Events are no jobs: the audit counts what was accepted."""
    await desk.record(an_event(), an_event())
    audit = await desk.ledger.queries.audit()

    assert (audit.accepted, audit.difference, audit.wrong) == (0, 0, ())


async def test_a_later_body_takes_the_key_of_what_was_skipped(desk: IntakeDesk) -> None:
    """A record that was filled in meanwhile is no alarm: it is recorded anew, and both bodies stay known."""
    first = an_event()
    await desk.record(first)
    await desk.settle(await desk.claim_one(), SKIPPED)
    later = an_event(key=first.key)
    again = [an_event(key=first.key, digest=each.digest) for each in (later, first)]
    receipts = await desk.record(later, *again, later, first)
    third = an_event(key=first.key)
    receipts += await desk.record(third)

    assert receipts == [
        EventReceipt(id=later.id, verdict=EventVerdict.RECORDED),
        EventReceipt(id=later.id, verdict=EventVerdict.DUPLICATE),
        EventReceipt(id=first.id, verdict=EventVerdict.DUPLICATE),
        EventReceipt(id=later.id, verdict=EventVerdict.RECORDED),
        EventReceipt(id=first.id, verdict=EventVerdict.RECORDED),
        EventReceipt(id=third.id, verdict=EventVerdict.ALTERED),
    ]
    assert (await desk.get(first.id)).state is EventState.SKIPPED
    assert [(event.id, event.body) for event in await desk.claim()] == [(later.id, later.body)]


async def test_a_body_that_was_skipped_before_is_not_followed_again(desk: IntakeDesk) -> None:
    """Late redeliveries of earlier bodies, when the later one was skipped as well."""
    events = [an_event(key="1") for _ in range(3)]
    for event in events:
        assert verdicts(await desk.record(event)) == [EventVerdict.RECORDED]
        await desk.settle(await desk.claim_one(), SKIPPED)
    again = await desk.record(*(an_event(key="1", digest=event.digest) for event in events))

    assert [(each.verdict, each.id) for each in again] == [
        (EventVerdict.DUPLICATE, event.id) for event in events
    ]
    assert await desk.count(EventState.WAITING) == 0


async def test_a_later_body_needs_room(desk: IntakeDesk) -> None:
    """It waits like any other: where there is no room the sender comes again, and is then followed."""
    first = an_event()
    await desk.record(first)
    await desk.settle(await desk.claim_one(), SKIPPED)
    later = an_event(key=first.key)

    assert verdicts(await desk.record(an_event(), later, max_waiting=1)) == [
        EventVerdict.RECORDED,
        EventVerdict.FULL,
    ]
    assert await desk.intake.get(later.id) is None
    assert verdicts(await desk.record(later)) == [EventVerdict.RECORDED]


async def test_a_later_body_is_followed_once_however_many_bring_it(desk: IntakeDesk) -> None:
    """A hundred deliveries at once: one record, the others duplicates of it."""
    first = an_event()
    await desk.record(first)
    await desk.settle(await desk.claim_one(), SKIPPED)
    copies = [an_event(key=first.key, digest="later") for _ in range(100)]
    receipts = [each for [each] in await asyncio.gather(*(desk.record(event) for event in copies))]

    assert verdicts(receipts).count(EventVerdict.RECORDED) == 1
    assert verdicts(receipts).count(EventVerdict.DUPLICATE) == 99
    assert len({receipt.id for receipt in receipts}) == 1
    assert await desk.count(EventState.WAITING) == 1
