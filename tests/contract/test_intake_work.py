"""Work on events: leased many at once, settled once, taken back from the dead."""

from __future__ import annotations

from dataclasses import replace

import pytest
import redis.asyncio

from tests.contract.intake_desk import (
    DONE,
    FAILED,
    PROBLEM,
    RETRY,
    SKIPPED,
    SOURCE,
    WAIT,
    IntakeDesk,
    an_event,
)
from tests.contract.ledger_desk import EPOCH_MS, LEASE_S
from tests.factories import an_invitation
from worker.domain.event import EventDone, EventOutcome, EventRetry, EventState


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> IntakeDesk:
    return await IntakeDesk.open(store)


# --- claimed -----------------------------------------------------------------------------------------------


async def test_due_events_are_claimed_once(desk: IntakeDesk) -> None:
    """Many at once, each under a lease that names its worker; nobody else gets them."""
    events = [an_event() for _ in range(5)]
    await desk.record(*events)
    claimed = await desk.claim(want=3)

    assert [event.id for event in claimed] == [event.id for event in events[:3]]
    assert claimed[0].body == events[0].body
    assert claimed[0].key == events[0].key
    assert (claimed[0].attempt, claimed[0].failures, claimed[0].received_at_ms) == (1, 0, EPOCH_MS)
    assert claimed[0].lease.expires_at_ms == EPOCH_MS + LEASE_S * 1000
    assert all(event.lease.token.startswith("w1.") for event in claimed)
    assert [event.id for event in await desk.claim()] == [event.id for event in events[3:]]
    assert await desk.claim() == []
    assert await desk.intake.sources_due() == []


async def test_a_claim_takes_one_source_s_events(desk: IntakeDesk) -> None:
    """A CRM that is slow to answer holds nobody else up."""
    await desk.record(an_event(), an_event(source="crm:monday"))

    assert [event.source for event in await desk.claim(source="crm:monday")] == ["crm:monday"]
    assert await desk.claim(source="crm:nobody") == []
    assert await desk.intake.sources_due() == [SOURCE]


async def test_a_claim_ends_at_a_megabyte(desk: IntakeDesk) -> None:
    """A hundred large objects in one answer would hold the server up; none is left behind."""
    large = "x" * 600_000
    events = [an_event(body=large) for _ in range(3)]
    await desk.record(*events)

    assert [len(await desk.claim()) for _ in range(4)] == [1, 1, 1, 0]


async def test_an_event_larger_than_the_answer_is_claimed(desk: IntakeDesk) -> None:
    """Alone."""
    await desk.record(an_event(body="x" * 1_200_000), an_event())

    assert [len(await desk.claim()) for _ in range(3)] == [1, 1, 0]


async def test_a_row_without_an_event_hides_no_other(desk: IntakeDesk) -> None:
    """Whatever became of it, the rows behind are claimed."""
    events = [an_event() for _ in range(4)]
    await desk.record(*events)
    await desk.redis.delete("{test}:v:" + events[0].id)
    await desk.redis.set("{test}:v:" + events[1].id, "scrambled")
    await desk.redis.delete("{test}:vb:" + events[2].id)

    assert [event.id for event in await desk.claim()] == [events[3].id]
    assert (await desk.get(events[2].id)).reason == "body_missing"
    assert await desk.count(EventState.WAITING) == 0


# --- settled -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (DONE, EventState.DONE),
        (SKIPPED, EventState.SKIPPED),
        (FAILED, EventState.FAILED),
        (RETRY, EventState.WAITING),
        (WAIT, EventState.WAITING),
    ],
)
async def test_each_outcome_leads_to_its_state(
    desk: IntakeDesk, outcome: EventOutcome, state: EventState
) -> None:
    """And the same settle again, its answer lost, is held and changes nothing."""
    await desk.record()
    claimed = await desk.claim_one()

    assert await desk.settle(claimed, outcome)
    before = await desk.get(claimed.id)
    desk.advance(1)
    assert await desk.settle(claimed, outcome)
    assert await desk.get(claimed.id) == before
    assert before.state is state
    assert await desk.count(state) == 1
    assert await desk.count(EventState.WORKING) == 0


@pytest.mark.parametrize("outcome", [DONE, SKIPPED])
async def test_what_has_ended_keeps_nothing_personal(desk: IntakeDesk, outcome: EventOutcome) -> None:
    """The body goes; what became of it stays."""
    await desk.record()
    claimed = await desk.claim_one()
    await desk.settle(claimed, outcome)
    record = await desk.get(claimed.id)

    assert (record.body, record.due_at_ms) == ("", None)
    assert await desk.redis.exists("{test}:vb:" + claimed.id) == 0
    assert record.key == claimed.key
    assert record.reason == (None if outcome is DONE else "filtered")


@pytest.mark.parametrize(
    "job_ids",
    [
        (),
        ("01k8v5w0qr7c3h2m9n4pw",),
        ("01k8v5w0qr7c3h2m9n4pw", "01k8v5w0qr7c3h2m9n4p2", "01k8v5w0qr7c3h2m9n4p3"),
        ("01k8v5w0qr7c3h2m9n4pw", "01k8v5w0qr7c3h2m9n4q2"),
        ("short", "j-2"),
    ],
)
@pytest.mark.parametrize("is_new", [True, False])
async def test_the_jobs_of_an_event_are_kept(
    desk: IntakeDesk, job_ids: tuple[str, ...], is_new: bool
) -> None:
    """Several of one invitation, too, and whether they stood already."""
    await desk.record()
    claimed = await desk.claim_one()
    await desk.settle(claimed, EventDone(job_ids=job_ids, is_new=is_new))
    record = await desk.get(claimed.id)

    assert (record.job_ids, record.is_new) == (job_ids, is_new)


async def test_what_failed_keeps_its_body_and_its_problems(desk: IntakeDesk) -> None:
    """A person needs both to mend it."""
    await desk.record()
    claimed = await desk.claim_one()
    await desk.settle(claimed, FAILED)
    record = await desk.get(claimed.id)

    assert (record.reason, record.problems, record.body) == ("invalid_request", (PROBLEM,), claimed.body)


async def test_a_retry_waits_its_time(desk: IntakeDesk) -> None:
    """It counts a failure; the event is due again when its delay is over."""
    await desk.record()
    await desk.settle(await desk.claim_one(), RETRY)
    record = await desk.get((await desk.intake.find()).items[0].id)

    assert (record.state, record.failures, record.reason) == (EventState.WAITING, 1, "crm_unreachable")
    assert record.due_at_ms == desk.now_ms + 30_000
    assert await desk.claim() == []
    desk.advance(30)
    assert await desk.intake.sources_due() == [SOURCE]
    claimed = await desk.claim_one()
    assert (claimed.attempt, claimed.failures) == (2, 1)


async def test_tries_are_used_up(desk: IntakeDesk) -> None:
    """The last one fails under its own reason."""
    await desk.record()
    for _ in range(3):
        claimed = await desk.claim_one()
        await desk.settle(claimed, RETRY)
        desk.advance(30)
    record = await desk.get(claimed.id)

    assert (record.state, record.failures, record.reason) == (EventState.FAILED, 3, "crm_unreachable")
    assert record.body == claimed.body
    assert record.due_at_ms is None


async def test_a_wait_uses_up_no_try(desk: IntakeDesk) -> None:
    """A CRM that asks us to come later may do so a hundred times."""
    await desk.record()
    for nth in range(20):
        claimed = await desk.claim_one()
        assert (claimed.attempt, claimed.failures) == (nth + 1, 0)
        await desk.settle(claimed, WAIT)
        desk.advance(10)

    assert (await desk.get(claimed.id)).state is EventState.WAITING


async def test_a_stranger_settles_nothing(desk: IntakeDesk) -> None:
    """The token is compared, of ended events too."""
    await desk.record()
    claimed = await desk.claim_one()
    stranger = replace(claimed.lease, token="w9.0123456789abcdef")

    assert await desk.intake.settle([(stranger, DONE)]) == 0
    assert (await desk.get(claimed.id)).state is EventState.WORKING
    await desk.settle(claimed, DONE)
    assert await desk.intake.settle([(stranger, DONE)]) == 0
    assert await desk.intake.settle([(replace(claimed.lease, subject_id="nobody"), DONE)]) == 0


async def test_many_are_settled_in_one_call(desk: IntakeDesk) -> None:
    """Each by its own lease and outcome; what is lost is not counted."""
    await desk.record(*(an_event() for _ in range(150)))
    claimed = [*await desk.claim(), *await desk.claim()]
    outcomes: list[EventOutcome] = [DONE, SKIPPED, FAILED, RETRY, WAIT]
    results = [(event.lease, outcomes[nth % 5]) for nth, event in enumerate(claimed)]
    results[0] = (replace(claimed[0].lease, token="w9.x"), DONE)

    assert await desk.intake.settle(results) == 149
    assert (await desk.intake.counts())[SOURCE] == {
        EventState.WAITING: 60,
        EventState.WORKING: 1,
        EventState.DONE: 29,
        EventState.SKIPPED: 30,
        EventState.FAILED: 30,
    }
    assert await desk.intake.settle([]) == 0


# --- kept, rescued and abandoned ---------------------------------------------------------------------------


async def test_the_heartbeat_keeps_events_beside_jobs(desk: IntakeDesk) -> None:
    """One call renews jobs and events; it tells which leases are lost."""
    await desk.record(an_event(), an_event())
    kept, lost = await desk.claim()
    await desk.settle(lost, RETRY)
    [receipt] = await desk.ledger.accept([an_invitation()], max_waiting=10)
    job = await desk.ledger.claim(receipt.job_ids[0], worker_id="w1", lease_s=LEASE_S)
    desk.advance(LEASE_S - 1)

    leases = [kept.lease, lost.lease, job.lease, replace(kept.lease, subject_id="nobody")]
    assert await desk.ledger.renew(leases) == {lost.id, "nobody"}
    desk.advance(LEASE_S - 1)
    assert await desk.intake.rescue() == 0
    assert (await desk.ledger.rescue()).total == 0
    assert await desk.intake.renew([kept.lease]) == set()
    assert await desk.intake.renew([]) == set()
    desk.advance(LEASE_S + 1)
    assert await desk.intake.rescue() == 1


async def test_events_of_a_lost_lease_wait_again(desk: IntakeDesk) -> None:
    """In their old place; their former holder can settle them no more."""
    first, second = an_event(), an_event()
    await desk.record(first)
    former = await desk.claim_one()
    desk.advance(1)
    await desk.record(second)
    desk.advance(LEASE_S)

    assert await desk.intake.rescue() == 1
    assert not await desk.settle(former, DONE)
    [claimed, _] = await desk.claim(worker="w2")
    assert (claimed.id, claimed.attempt, claimed.failures) == (first.id, 2, 0)
    assert not await desk.settle(former, DONE)
    assert await desk.settle(claimed, SKIPPED)
    assert not await desk.settle(former, DONE)


async def test_a_lease_that_ran_out_holds_until_it_is_rescued(desk: IntakeDesk) -> None:
    """Work that took too long is not thrown away while nobody else has begun it."""
    await desk.record()
    claimed = await desk.claim_one()
    desk.advance(2 * LEASE_S)

    assert await desk.settle(claimed, DONE)
    assert await desk.intake.rescue() == 0


async def test_a_rescue_keeps_to_its_limit(desk: IntakeDesk) -> None:
    """The rest is taken at the next turn, of whichever source."""
    await desk.record(*(an_event(source=f"crm:{nth % 3}") for nth in range(9)))
    for nth in range(3):
        assert len(await desk.claim(source=f"crm:{nth}")) == 3
    desk.advance(LEASE_S)

    assert [await desk.intake.rescue(limit=4) for _ in range(4)] == [4, 4, 1, 0]


async def test_an_event_that_kills_its_process_five_times_is_set_aside(desk: IntakeDesk) -> None:
    """After two times it comes alone, so that those that were claimed beside it are not counted with it."""
    bad, *others = [an_event() for _ in range(4)]
    await desk.record(bad, *others)
    done = []
    for _ in range(20):
        claimed = await desk.claim()
        if bad.id in {event.id for event in claimed}:
            desk.advance(LEASE_S)
            assert await desk.intake.rescue() == len(claimed)
        else:
            assert all([await desk.settle(event, DONE) for event in claimed])
            done += [event.id for event in claimed]
    record = await desk.get(bad.id)

    assert (record.state, record.reason, record.attempt) == (EventState.FAILED, "crashed_five_times", 5)
    assert record.body == bad.body
    assert sorted(done) == [event.id for event in others]


async def test_an_ending_forgets_the_starts_without_one(desk: IntakeDesk) -> None:
    """Five crashes in a row are counted, not five in a life."""
    await desk.record()
    for _ in range(3):
        for _ in range(4):
            await desk.claim_one()
            desk.advance(LEASE_S)
            assert await desk.intake.rescue() == 1
        claimed = await desk.claim_one()
        await desk.settle(claimed, WAIT)
        desk.advance(10)

    assert (await desk.get(claimed.id)).state is EventState.WAITING


async def test_a_row_that_cannot_be_rescued_hides_no_other(desk: IntakeDesk) -> None:
    """Whatever became of the first ones, those behind are taken back."""
    events = [an_event() for _ in range(4)]
    await desk.record(*events)
    await desk.claim()
    await desk.redis.delete("{test}:v:" + events[0].id)
    await desk.redis.set("{test}:v:" + events[1].id, "scrambled")
    await desk.redis.hset("{test}:v:" + events[2].id, mapping={"n": "many", "t": "once"})
    desk.advance(LEASE_S)

    assert sum([await desk.intake.rescue(limit=1) for _ in range(4)]) == 2
    assert await desk.count(EventState.WORKING) == 0
    assert await desk.count(EventState.WAITING) == 2


async def test_a_dead_worker_s_events_are_to_be_had_at_once(desk: IntakeDesk) -> None:
    """Its own, of every source, and no more; the whole ledger's verb sees to events, too."""
    await desk.record(*(an_event() for _ in range(3)), an_event(source="crm:monday"))
    mine = await desk.claim(want=2, worker="w1")
    other = await desk.claim(want=1, worker="w11")
    await desk.claim(worker="w1", source="crm:monday")

    assert await desk.intake.abandon("w1") == 3
    assert await desk.intake.rescue() == 3
    assert [event.id for event in await desk.claim()] == [event.id for event in mine]
    assert await desk.settle(other[0], DONE)
    assert await desk.ledger.abandon("w1") == 2
    assert await desk.intake.abandon("nobody") == 0


async def test_an_abandoned_worker_that_lives_still_settles(desk: IntakeDesk) -> None:
    """Until somebody else has its event."""
    await desk.record()
    claimed = await desk.claim_one()
    await desk.intake.abandon("w1")

    assert await desk.settle(claimed, EventRetry(reason="ledger_full", delay_s=0, max_failures=None))
    assert await desk.intake.rescue() == 0
    assert (await desk.claim_one(worker="w2")).attempt == 2


@pytest.mark.parametrize("differs", [True, False])
async def test_an_event_keeps_that_only_the_contact_differs(desk: IntakeDesk, differs: bool) -> None:
    """Or nobody would hear of the corrected address."""
    await desk.record()
    claimed = await desk.claim_one()
    await desk.settle(claimed, EventDone(job_ids=DONE.job_ids, is_new=False, contact_differs=differs))

    assert (await desk.get(claimed.id)).contact_differs is differs
