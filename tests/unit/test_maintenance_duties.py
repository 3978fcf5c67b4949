"""The duties of a worker, turn by turn: alarms once, rescues counted, a look-up that never runs hot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakeredis
import pytest
from structlog.testing import capture_logs

from tests.contract.ledger_desk import own_fail
from tests.factories import an_invitation
from worker.broker import make_broker
from worker.domain.event import EventFailed, NewEvent
from worker.domain.outcome import Refused
from worker.domain.outgoing import SinkPlan
from worker.domain.states import JobState, Lane
from worker.ledger import Ledger
from worker.limits import Limits
from worker.main import build_shop
from worker.maintenance.rescue import Rescuer
from worker.maintenance.watch import Watch
from worker.settings import load_settings
from worker.telemetry import Stats
from worker.workshop import duties_of


class Clock:
    """The ledger's time, as a test sets it."""

    def __init__(self) -> None:
        self.ms = 1_790_000_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ledger(fake_redis: fakeredis.FakeAsyncRedis, clock: Clock) -> Ledger:
    opened = Ledger(fake_redis, namespace="t", now_ms=clock)
    await opened.open()
    return opened


class RecordingBell:
    """Remembers the failures that were rung for."""

    def __init__(self) -> None:
        self.failures: list[str] = []

    def ring_failure(self, job_id: str) -> None:
        self.failures.append(job_id)


async def taken(ledger: Ledger, *, begun: bool) -> str:
    """Return a job whose worker has it under a lease of one second and is never heard of again."""
    (receipt,) = await ledger.accept([an_invitation(lane=Lane.BULK)], max_waiting=100)
    claimed: Any = await ledger.claim(receipt.job_ids[0], worker_id="gone", lease_s=1.0)
    if begun:
        await ledger.begin_call(claimed.lease)
    return receipt.job_ids[0]


async def test_every_rescued_job_is_counted_by_where_it_went(ledger: Ledger, clock: Clock) -> None:
    """Available, in doubt, cancelled, failed: told one by one, and a failure rings for its record."""
    stats, bell = Stats(), RecordingBell()
    rescuer = Rescuer(ledger=ledger, bell=bell, stats=stats, resend_after_s=0, invitation_wait_s=0)  # type: ignore[arg-type]
    waiting, doubtful, cancelled = [await taken(ledger, begun=begun) for begun in (False, True, False)]
    await ledger.cancel(cancelled, by="test", why="not wanted")
    clock.ms += 1_001

    assert await rescuer.rescue() == 3

    states = [job.state for job in await ledger.queries.jobs([waiting, doubtful, cancelled])]
    assert states == [JobState.AVAILABLE, JobState.IN_DOUBT, JobState.CANCELLED]
    await stats.flush(ledger.fleet)
    assert await ledger.fleet.stats() == {
        f"rescues|state={state}": 1 for state in ("available", "in_doubt", "cancelled")
    }
    assert bell.failures == []
    for _ in range(2):  # three starts without an end
        await ledger.claim(waiting, worker_id="gone", lease_s=1.0)
        clock.ms += 1_001
        await rescuer.rescue()
    assert bell.failures == [waiting]


async def test_an_alarm_is_raised_when_it_begins_and_told_when_it_ends(
    ledger: Ledger, fake_redis: fakeredis.FakeAsyncRedis
) -> None:
    """A hold and a stop of all calls: one line each however often it is looked at, and one at the end."""
    limits, stats = Limits(fake_redis, namespace="t", ceiling=10), Stats()
    watch = Watch(ledger=ledger, limits=limits, stats=stats)
    await ledger.batches.hold("bulk", "unknown_19")
    await limits.pause()
    with capture_logs() as logs:
        for _ in range(3):
            await watch.run_once()
        await limits.resume()
        await ledger.batches.clear_hold("bulk")
        for _ in range(2):
            await watch.run_once()

    told = sorted((line["event"], line["target"], line["reason"]) for line in logs)
    assert told == [
        ("alarm_ended", "bulk", "unknown_19"),
        ("alarm_ended", "calls", "paused"),
        ("alarm_raised", "bulk", "unknown_19"),
        ("alarm_raised", "calls", "paused"),
    ]


async def test_a_live_job_that_waits_too_long_is_an_alarm_unless_something_holds_it(
    ledger: Ledger, fake_redis: fakeredis.FakeAsyncRedis, clock: Clock
) -> None:
    """A quarter of an hour for a live customer: somebody should hear of it; behind a pause the pause is the news."""
    watch = Watch(ledger=ledger, limits=Limits(fake_redis, namespace="t", ceiling=10), stats=Stats())
    await ledger.accept([an_invitation()], max_waiting=10)

    async def alarms() -> Sequence[str]:
        with capture_logs() as logs:
            await watch.run_once()
        return [line["reason"] for line in logs if line["event"] == "alarm_raised"]

    assert await alarms() == []
    clock.ms += 901_000
    await ledger.batches.pause("live")
    assert await alarms() == []
    await ledger.batches.resume("live")
    assert await alarms() == ["oldest_job_late"]


async def test_every_worker_clears_up_after_crms_and_sinks_that_are_off(
    ledger: Ledger, fake_redis: fakeredis.FakeAsyncRedis, clock: Clock
) -> None:
    """A worker without any: leases of events end, failed ones lose their bodies, untold ones are deleted."""
    await ledger.outbox.enable([SinkPlan(name="webhook")])
    new = [NewEvent(id=f"ev{n}", source="crm:x", key=f"k{n}", digest="d", body="{}") for n in range(2)]
    await ledger.intake.record(new, max_waiting=9)
    for_good = await ledger.intake.claim_due("crm:x", want=1, worker_id="gone", lease_s=1.0)
    await ledger.intake.settle([(for_good[0].lease, EventFailed(reason="invalid_request"))])
    await ledger.intake.claim_due("crm:x", want=1, worker_id="gone", lease_s=1.0)
    for _ in range(2):
        (receipt,) = await ledger.accept([an_invitation()], max_waiting=100)
        claimed: Any = await ledger.claim_and_begin(receipt.job_ids[0], worker_id="w", lease_s=1.0)
        await ledger.settle(claimed.lease, Refused(fail=own_fail()))
    await ledger.outbox.claim("webhook", want=1, worker_id="gone", lease_s=1.0)
    await ledger.outbox.enable([])
    settings = load_settings(
        environ={}, env_file=None, redis_url="unix:///nowhere", provider_url="http://127.0.0.1:9"
    )
    shop = build_shop(settings, make_broker("unix:///nowhere", namespace="t"), worker_id="w")
    duties = {duty.name: duty for duty in duties_of(replace(shop, ledger=ledger), settings)}

    clock.ms += 2_000
    assert await duties["rescue_intake"].run_once() == 1
    assert await duties["rescue_events"].run_once() == 1
    assert await duties["prune_intake"].run_once() == 0
    assert await duties["prune_events"].run_once() == 0
    clock.ms += 1_000 * round(settings.failed_keep + 31 * 86_400)
    assert await duties["prune_intake"].run_once() == 1
    assert await duties["prune_events"].run_once() == 2

    assert await ledger.intake.get(for_good[0].id) is None
    assert all(duties[name].is_single for name in ("prune_intake", "prune_events"))
    shop.bell.close()
    await shop.ledger.aclose()


async def test_no_duty_runs_hot_even_without_any_grace(tmp_path: Path) -> None:
    """DOUBT_GRACE_S=0 is allowed: the partner's lists are asked for every quarter of a second at most, not all the time."""
    settings = load_settings(
        environ={}, env_file=None, redis_url="unix:///nowhere", doubt_grace_s=0, provider_url="http://127.0.0.1:9",
    )  # fmt: skip
    shop = build_shop(settings, make_broker("unix:///nowhere", namespace="t"), worker_id="w")
    duties = {duty.name: duty.every_s for duty in duties_of(shop, settings)}
    shop.bell.close()
    await shop.ledger.aclose()

    assert duties["look_up"] >= 0.25
    assert min(duties.values()) >= 0.1
