"""Duties go on whatever one turn comes to, and stop when told to, even where a client swallows the cancellation."""

from __future__ import annotations

import asyncio

import fakeredis
import pytest

from worker.ledger import Ledger, LedgerUnavailable
from worker.limits import LimitsUnavailable
from worker.maintenance import minder as minders
from worker.maintenance.minder import Duty, Minder, end_tasks


@pytest.fixture
async def ledger(fake_redis: fakeredis.FakeAsyncRedis) -> Ledger:
    opened = Ledger(fake_redis, namespace="t")
    await opened.open()
    return opened


class Work:
    """A duty's work: counts its turns, and fails at the first one if told to."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.turns = 0
        self.fault = fault
        self.done = asyncio.Event()

    async def run_once(self) -> None:
        self.turns += 1
        fault, self.fault = self.fault, None
        if fault:
            raise fault
        self.done.set()


@pytest.mark.parametrize(
    "fault", [LedgerUnavailable("x"), LimitsUnavailable("x"), RuntimeError("a fault of our own")]
)
async def test_a_duty_that_failed_runs_again_at_its_next_turn(
    ledger: Ledger, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad turn ends nothing, neither this duty nor another."""
    sleep = asyncio.sleep
    monkeypatch.setattr(minders.asyncio, "sleep", lambda _s: sleep(0.001))
    failing, other = Work(fault), Work()
    duties = [
        Duty(name=str(nth), run_once=work.run_once, every_s=1) for nth, work in enumerate((failing, other))
    ]
    minder = Minder(duties, ledger=ledger, worker_id="w1")
    minder.start()
    await asyncio.wait_for(asyncio.gather(failing.done.wait(), other.done.wait()), timeout=5)
    await minder.stop()
    assert failing.turns >= 2


async def test_a_single_duty_is_one_workers_and_goes_to_the_next_when_that_one_stops(ledger: Ledger) -> None:
    """Two workers, one look-up at a time; a worker that stops in order hands it on at once."""
    first, second = Work(), Work()
    minders_ = [
        Minder(
            [Duty(name="look_up", run_once=work.run_once, every_s=0.005, is_single=True)],
            ledger=ledger,
            worker_id=name,
        )
        for name, work in (("w1", first), ("w2", second))
    ]
    minders_[0].start()
    await asyncio.wait_for(first.done.wait(), timeout=5)
    minders_[1].start()
    seen = first.turns
    while first.turns < seen + 3:
        await asyncio.sleep(0.005)
    assert second.turns == 0

    await minders_[0].stop()
    await asyncio.wait_for(second.done.wait(), timeout=5)
    turns = first.turns
    await minders_[1].stop()
    assert first.turns == turns


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client may turn it into a lost connection, which the loop waits out: it is cancelled again until it ends."""
    monkeypatch.setattr(minders, "_CANCEL_AGAIN_S", 0.01)
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if swallowed == 2:
                    raise
                swallowed += 1

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await asyncio.wait_for(end_tasks([task]), timeout=5)
    assert task.cancelled()
    assert swallowed == 2
