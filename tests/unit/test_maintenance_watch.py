"""Dead letters are never dropped silently: an alarm comes a day ahead."""

from __future__ import annotations

import fakeredis
from structlog.testing import capture_logs

from tests.factories import an_invitation
from worker.domain.job import ClaimedJob
from worker.domain.outcome import Fail, Refused
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
