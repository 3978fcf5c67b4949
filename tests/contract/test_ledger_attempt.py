"""One attempt: claim, begin, renew, settle. Whoever does not hold the lease changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis.asyncio

from tests.contract.ledger_desk import DOUBTFUL, LINK, LINKED, SNOOZED, Desk, a_fail, own_fail, retry
from tests.factories import a_request
from worker.domain.job import ClaimRefusal, Lease
from worker.domain.outcome import Linked, Outcome, Refused, Snoozed
from worker.domain.request import Product
from worker.domain.states import JobState

EVERY_OUTCOME = [LINKED, Refused(fail=own_fail()), retry(), SNOOZED, DOUBTFUL]


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


async def test_a_claim_gives_the_request_and_counts_the_attempt(desk: Desk) -> None:
    """The claimed job is all that an attempt needs to know."""
    request = a_request()
    receipt = await desk.accept(request=request)
    claimed = await desk.claim(receipt.job_ids[0])

    assert (claimed.attempt, claimed.failures, claimed.orphans) == (1, 0, 0)
    assert claimed.request == request
    assert claimed.product is Product.WHATSAPP
    assert claimed.lease.expires_at_ms == desk.now_ms + 60_000


async def test_a_job_is_claimed_once(desk: Desk) -> None:
    """A bell rung twice claims nothing the second time."""
    job = await desk.job_in(JobState.RUNNING)

    assert await desk.ledger.claim(job, worker_id="w2", lease_s=60) is ClaimRefusal.NOT_AVAILABLE


async def test_a_job_nobody_recorded_is_gone(desk: Desk) -> None:
    """A bell for a pruned job leads to nothing."""
    refusal = await desk.ledger.claim("01m3250v020000000002w", worker_id="w1", lease_s=60)

    assert refusal is ClaimRefusal.GONE


async def test_attempts_only_rise(desk: Desk) -> None:
    """A snooze uses up no try, yet the next attempt has its own number."""
    job = await desk.job_in(JobState.AVAILABLE)
    await desk.end(job, SNOOZED)
    await desk.end(job, retry(0.001))
    desk.advance(1)
    await desk.ledger.promote()
    claimed = await desk.claim(job)

    assert (claimed.attempt, claimed.failures) == (3, 1)


async def test_a_link_ends_the_job(desk: Desk) -> None:
    """Link, landing page and the allotted number are kept; the earlier reason is forgotten."""
    job = await desk.job_in(JobState.AVAILABLE)
    await desk.end(job, retry(0.001))
    desk.advance(1)
    await desk.ledger.promote()
    settled = await desk.end(job, Linked(link=LINK, landing_page="https://l.example", number="97257000"))
    record = await desk.ledger.queries.job(job)

    assert settled.state is JobState.LINKED
    assert record is not None
    assert (record.link, record.landing_page, record.number) == (LINK, "https://l.example", "97257000")
    assert (record.reason, record.reason_class) == (None, None)


async def test_a_fail_keeps_everything_known(desk: Desk) -> None:
    """Reason, class, code and the masked answer wait for the operator."""
    job = await desk.job_in(JobState.AVAILABLE)
    await desk.end(job, Refused(fail=a_fail(raw='{"status":"FAIL"}', detail="looked odd")))
    record = await desk.ledger.queries.job(job)

    assert record is not None
    assert record.state is JobState.FAILED
    assert (record.reason, record.reason_class, record.code) == ("unknown_17", "unknown", 17)
    assert (record.raw, record.detail) == ('{"status":"FAIL"}', "looked odd")


async def test_a_reason_may_discard_at_once(desk: Desk) -> None:
    """By its policy a FAIL goes straight to the dead letters."""
    job = await desk.job_in(JobState.AVAILABLE)
    settled = await desk.end(job, Refused(fail=own_fail(), is_discard=True))

    assert settled.state is JobState.DEAD


async def test_a_retry_waits_for_its_time(desk: Desk) -> None:
    """It uses up a try and comes back by promotion."""
    job = await desk.job_in(JobState.AVAILABLE)
    settled = await desk.end(job, retry(30))
    record = await desk.ledger.queries.job(job)

    assert settled.state is JobState.SCHEDULED
    assert record is not None
    assert (record.failures, record.due_at_ms, record.reason) == (
        1,
        desk.now_ms + 30_000,
        "partner_unreachable",
    )


async def test_tries_used_up_end_in_the_failed_queue(desk: Desk) -> None:
    """The last retry fails under its own reason, so that groups stay meaningful."""
    job = await desk.job_in(JobState.AVAILABLE)
    settled = await desk.end(job, retry(max_failures=1))
    record = await desk.ledger.queries.job(job)

    assert settled.state is JobState.FAILED
    assert record is not None
    assert (record.reason, record.detail) == ("partner_unreachable", "tries used up")


async def test_a_snooze_for_a_time_is_scheduled(desk: Desk) -> None:
    """A pause of the partner's is waited out without using up a try."""
    job = await desk.job_in(JobState.AVAILABLE)
    settled = await desk.end(job, Snoozed(reason="partner_throttled", delay_s=5))
    record = await desk.ledger.queries.job(job)

    assert settled.state is JobState.SCHEDULED
    assert record is not None
    assert record.failures == 0


async def test_a_snooze_without_time_is_available(desk: Desk) -> None:
    """A drained process gives its job back to the others."""
    job = await desk.job_in(JobState.AVAILABLE)

    assert (await desk.end(job, SNOOZED)).state is JobState.AVAILABLE


async def test_a_lost_answer_is_in_doubt(desk: Desk) -> None:
    """Nobody may create again before a look-up."""
    job = await desk.job_in(JobState.AVAILABLE)

    assert (await desk.end(job, DOUBTFUL)).state is JobState.IN_DOUBT
    assert await desk.ledger.claim(job, worker_id="w1", lease_s=60) is ClaimRefusal.NOT_AVAILABLE


@pytest.mark.parametrize("outcome", EVERY_OUTCOME)
async def test_a_stranger_settles_nothing(desk: Desk, outcome: Outcome) -> None:
    """Without the lease's token nothing is written."""
    job = await desk.job_in(JobState.RUNNING)
    stranger = Lease(subject_id=job, token="w9.00", expires_at_ms=desk.now_ms + 1, ttl_s=60)

    assert not (await desk.ledger.settle(stranger, outcome)).held
    assert await desk.state(job) is JobState.RUNNING


@pytest.mark.parametrize("outcome", EVERY_OUTCOME)
async def test_a_settle_said_twice_has_the_effect_of_once(desk: Desk, outcome: Outcome) -> None:
    """When the answer was lost, the same settle again tells the same and writes nothing."""
    job = await desk.job_in(JobState.AVAILABLE)
    lease = await desk.call(job)
    first = await desk.ledger.settle(lease, outcome)
    history = await desk.ledger.queries.history(job)
    again = await desk.ledger.settle(lease, outcome)

    assert again == first
    if outcome is not DOUBTFUL:
        assert await desk.ledger.queries.history(job) == history


async def test_a_rescued_job_cannot_be_settled_by_its_former_holder(desk: Desk) -> None:
    """A worker that stalls past its lease must not overwrite its successor's work."""
    job = await desk.job_in(JobState.AVAILABLE)
    stalled = await desk.claim(job)
    desk.advance(61)
    await desk.ledger.rescue()
    await desk.claim(job, worker="w2")

    assert not (await desk.ledger.settle(stalled.lease, LINKED)).held
    assert await desk.state(job) is JobState.RUNNING


async def test_a_lease_over_but_not_rescued_still_settles(desk: Desk) -> None:
    """An answer that came late is better than a doubt."""
    job = await desk.job_in(JobState.AVAILABLE)
    lease = await desk.call(job)
    desk.advance(120)

    assert (await desk.ledger.settle(lease, LINKED)).state is JobState.LINKED


@pytest.mark.parametrize("outcome", [LINKED, Refused(fail=own_fail()), retry()])
async def test_a_late_answer_settles_the_doubt(desk: Desk, outcome: Outcome) -> None:
    """The call's own token is good until a look-up has settled the matter."""
    job = await desk.job_in(JobState.AVAILABLE)
    lease = await desk.call(job)
    desk.advance(61)
    await desk.ledger.rescue()
    assert await desk.state(job) is JobState.IN_DOUBT

    assert (await desk.ledger.settle(lease, outcome)).held
    assert await desk.state(job) is not JobState.IN_DOUBT


async def test_a_late_snooze_does_not_settle_a_doubt(desk: Desk) -> None:
    """A snooze says nothing about whether the call was done."""
    job = await desk.job_in(JobState.AVAILABLE)
    lease = await desk.call(job)
    desk.advance(61)
    await desk.ledger.rescue()

    assert not (await desk.ledger.settle(lease, SNOOZED)).held


async def test_no_call_begins_after_the_lease(desk: Desk) -> None:
    """A stopped and continued process must not begin what the rescue no longer expects."""
    job = await desk.job_in(JobState.AVAILABLE)
    claimed = await desk.claim(job)
    desk.advance(60)

    assert not await desk.ledger.begin_call(claimed.lease)


async def test_no_call_begins_without_the_lease(desk: Desk) -> None:
    """The token is compared."""
    job = await desk.job_in(JobState.AVAILABLE)
    claimed = await desk.claim(job)

    assert not await desk.ledger.begin_call(replace(claimed.lease, token="w1.other"))


async def test_a_call_begins_with_a_whole_lease(desk: Desk) -> None:
    """However long the claim waited, the call has the full time."""
    job = await desk.job_in(JobState.AVAILABLE)
    claimed = await desk.claim(job)
    desk.advance(50)
    await desk.ledger.begin_call(claimed.lease)
    desk.advance(50)

    assert (await desk.ledger.rescue()).total == 0


async def test_a_heartbeat_keeps_jobs_and_deliveries(desk: Desk) -> None:
    """One renewal serves both kinds of lease, and names those that are lost."""
    job = await desk.job_in(JobState.AVAILABLE)
    kept = await desk.claim(job)
    lost = await desk.claim(await desk.job_in(JobState.AVAILABLE))
    await desk.ledger.settle(lost.lease, SNOOZED)
    sending = await desk.claim_delivery(await desk.a_delivery())
    desk.advance(50)
    missing = await desk.ledger.renew([kept.lease, lost.lease, sending.lease])
    desk.advance(50)

    assert missing == {lost.id}
    assert (await desk.ledger.rescue()).total == 0
    assert await desk.ledger.deliveries.rescue() == 0
    assert await desk.ledger.renew([]) == set()


@pytest.mark.parametrize("outcome", [retry(), SNOOZED, retry(max_failures=1)])
async def test_a_cancel_asked_for_takes_the_place_of_a_reschedule(desk: Desk, outcome: Outcome) -> None:
    """A running job is not torn from its call, but does not come back either."""
    job = await desk.job_in(JobState.AVAILABLE)
    lease = await desk.call(job)
    asked = await desk.ledger.cancel(job, by="dana", why="mistake")
    settled = await desk.ledger.settle(lease, outcome)

    assert (asked.done, asked.state) == (True, JobState.RUNNING)
    assert settled.state is JobState.CANCELLED


async def test_a_link_made_is_kept_although_a_cancel_was_asked_for(desk: Desk) -> None:
    """What the partner has made is not forgotten."""
    job = await desk.job_in(JobState.AVAILABLE)
    lease = await desk.call(job)
    await desk.ledger.cancel(job, by="dana", why="mistake")

    assert (await desk.ledger.settle(lease, LINKED)).state is JobState.LINKED


async def test_the_history_tells_the_attempts_in_order(desk: Desk) -> None:
    """What happened to a job can be read back, from its acceptance on."""
    job = await desk.job_in(JobState.AVAILABLE, batch_id="b", line=4)
    await desk.end(job, SNOOZED)
    await desk.end(job, retry(0.001))
    desk.advance(1)
    await desk.ledger.promote()
    await desk.end(job, LINKED)
    history = await desk.ledger.queries.history(job)

    assert [entry.event for entry in history] == ["accepted", "snoozed", "retry", "linked"]
    assert history[0].detail == {"source": "test", "batch": "b", "line": 4}
    detail = {"attempt": 2, "failures": 1, "reason": "partner_unreachable"}
    assert history[2].detail.items() >= detail.items()


async def test_a_history_keeps_its_last_fifty_entries(desk: Desk) -> None:
    """A job that goes round and round does not grow for ever."""
    job = await desk.job_in(JobState.AVAILABLE)
    for _ in range(55):
        await desk.end(job, SNOOZED)

    assert len(await desk.ledger.queries.history(job)) == 51


async def test_many_leases_are_renewed_a_few_at_a_time(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One script over four hundred events would keep the server from everybody else; none is passed over."""
    held = [(await desk.claim(await desk.job_in(JobState.AVAILABLE))).lease for _ in range(2)]
    lost = [Lease(subject_id=f"ev{n}", token="w1.x", expires_at_ms=0, ttl_s=60.0) for n in range(449)]
    sizes, command = [], desk.ledger._scripts.command

    def noting(verb: str, *args: str | float) -> tuple[str | float, ...]:
        sizes.append(len(args) // 3)
        return command(verb, *args)

    monkeypatch.setattr(desk.ledger._scripts, "command", noting)
    desk.advance(50)
    assert await desk.ledger.renew([held[0], *lost, held[1]]) == {lease.subject_id for lease in lost}
    monkeypatch.undo()

    assert sizes == [200, 200, 51]
    desk.advance(50)
    assert (await desk.ledger.rescue()).total == 0
