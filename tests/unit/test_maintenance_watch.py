"""What an operator must hear of: dead letters that end, receivers of our events that do not listen."""

from __future__ import annotations

import fakeredis
from structlog.testing import capture_logs

from tests.factories import an_invitation
from worker.domain.job import ClaimedJob
from worker.domain.outcome import Fail, Linked, Refused
from worker.domain.outgoing import NotTold, SinkGone, SinkPlan, TellFault, Telling
from worker.ledger import Ledger
from worker.limits import Limits
from worker.maintenance.watch import Watch
from worker.telemetry import Stats

DAY_MS = 86_400_000


async def test_dead_letters_are_warned_of_a_day_before_they_are_deleted(
    fake_redis: fakeredis.FakeAsyncRedis,
) -> None:
    """Kept for 90 days: silence on day 88, one alarm on day 89."""
    now_ms = 1_790_000_000_000
    ledger = Ledger(fake_redis, namespace="t", now_ms=lambda: now_ms)
    await ledger.open()
    (receipt,) = await ledger.accept([an_invitation()], max_waiting=10)
    job = await ledger.claim(receipt.job_ids[0], worker_id="w", lease_s=60)
    assert isinstance(job, ClaimedJob)
    await ledger.settle(job.lease, Refused(fail=Fail(reason="x", reason_class="bad_data", is_own_data=True)))
    await ledger.discard(job.id, by="test", why="hopeless")
    limits = Limits(fake_redis, namespace="t", ceiling=10)
    watch = Watch(ledger=ledger, limits=limits, stats=Stats(), dead_keep_s=90 * 86_400.0)

    async def alarms() -> list[str]:
        with capture_logs() as logs:
            await watch.run_once()
        return [line["reason"] for line in logs if line["event"] == "alarm_raised"]

    now_ms += 88 * DAY_MS
    assert await alarms() == []
    now_ms += DAY_MS + 1000
    assert await alarms() == ["deleted_within_a_day"]
    assert await alarms() == []


async def test_a_sink_in_trouble_raises_an_alarm_until_it_is_well_again(
    fake_redis: fakeredis.FakeAsyncRedis,
) -> None:
    """Down, gone and failed each have their word; a sink that is off has none."""
    ledger = Ledger(fake_redis, namespace="t")
    await ledger.open()
    await ledger.outbox.enable([SinkPlan(name="webhook")])
    jobs = await ledger.accept([an_invitation() for _ in range(7)], max_waiting=10)
    for receipt in jobs:
        job = await ledger.claim(receipt.job_ids[0], worker_id="w", lease_s=60)
        assert isinstance(job, ClaimedJob)
        await ledger.settle(job.lease, Linked(link="https://partner.example/1"))
    limits = Limits(fake_redis, namespace="t", ceiling=10)
    watch = Watch(ledger=ledger, limits=limits, stats=Stats())

    async def alarms() -> set[tuple[str, str]]:
        with capture_logs() as logs:
            await watch.run_once()
        assert {line["target"] for line in logs} <= {"events:webhook"}
        return {(line["event"], line["reason"]) for line in logs}

    async def try_to_tell(telling: Telling, want: int) -> None:
        for event in await ledger.outbox.claim("webhook", want=want, worker_id="w", lease_s=45):
            await ledger.outbox.settle(event.lease, telling)

    assert await alarms() == set()
    await try_to_tell(NotTold(fault=TellFault.REFUSED, status=500), 5)
    assert await alarms() == {("alarm_raised", "endpoint_down"), ("alarm_raised", "events_failed")}
    await ledger.outbox.retry_all("webhook")
    assert await alarms() == {("alarm_ended", "endpoint_down"), ("alarm_ended", "events_failed")}
    await try_to_tell(SinkGone(status=410), 1)
    assert await alarms() == {("alarm_raised", "endpoint_gone")}
    await ledger.outbox.enable([])
    assert await alarms() == {("alarm_ended", "endpoint_gone")}
