"""Driving and forgetting bulk acts: all of them in turn, no more than their ramps allow."""

from __future__ import annotations

from typing import Any

import fakeredis
import pytest
from structlog.testing import capture_logs

from tests.contract.acts_desk import FAILS, ActsDesk
from tests.contract.ledger_desk import LINKED, Desk
from worker.domain.act import Act, ActState
from worker.ledger import LedgerUnavailable
from worker.limits import Limits
from worker.maintenance.acts import ActDriver, ActPruner


@pytest.fixture
async def acts(fake_redis: fakeredis.FakeAsyncRedis) -> ActsDesk:
    return ActsDesk(await Desk.open(fake_redis))


@pytest.fixture
def driver(acts: ActsDesk, fake_redis: fakeredis.FakeAsyncRedis) -> ActDriver:
    return ActDriver(
        ledger=acts.desk.ledger, limits=Limits(fake_redis, namespace="test", name="partner", ceiling=5)
    )


async def test_every_running_act_has_its_turn(acts: ActsDesk, driver: ActDriver) -> None:
    """A large one does not hold up a small one; one that waits for ends, or was stopped, is passed over."""
    discard = await acts.start(Act.DISCARD, await acts.failed(60))
    requeue = await acts.start(Act.REQUEUE, await acts.failed(8))
    stopped = await acts.start(Act.DISCARD, await acts.failed(2))
    await acts.acts.stop(stopped, by="cli:dana", why="x")
    with capture_logs() as logs:
        taken = await driver.run_once()

    assert taken == 65
    assert (await acts.get(discard)).state is ActState.DONE
    assert (await acts.get(requeue)).in_flight == 5
    assert (await acts.get(stopped)).at == 0
    assert [(line["act_id"], line["state"], line["done"]) for line in logs] == [(discard, "done", 60)]


async def test_an_act_whose_step_fails_holds_up_no_other(
    acts: ActsDesk, driver: ActDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is passed over and told of without the text of its fault; the next turn tries it again."""
    faulty = await acts.start(Act.DISCARD, await acts.failed(2))
    sound = await acts.start(Act.DISCARD, await acts.failed(3))
    step = acts.desk.ledger.acts.step

    async def stumble(act_id: str, *, rate: float) -> Any:
        if act_id == faulty:
            raise RuntimeError("972501234567")
        return await step(act_id, rate=rate)

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(acts.desk.ledger.acts, "step", stumble)
        taken = await driver.run_once()

    assert taken == 3
    assert (await acts.get(sound)).state is ActState.DONE
    assert [line for line in logs if line["event"] == "act_step_failed"] == [
        {"event": "act_step_failed", "log_level": "error", "act_id": faulty, "error": "RuntimeError"}
    ]
    assert await driver.run_once() == 2


async def test_a_ledger_that_is_away_ends_the_turn(
    acts: ActsDesk, driver: ActDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other acts would find the same."""
    for _ in range(2):
        await acts.start(Act.DISCARD, await acts.failed(1))
    asked = []

    async def away(act_id: str, **_: float) -> None:
        asked.append(act_id)
        raise LedgerUnavailable("gone")

    monkeypatch.setattr(acts.desk.ledger.acts, "step", away)
    with pytest.raises(LedgerUnavailable):
        await driver.run_once()

    assert len(asked) == 1


async def test_nothing_to_drive_is_nothing_to_do(driver: ActDriver) -> None:
    """Several times a second, in every fleet."""
    assert await driver.run_once() == 0


async def test_an_act_that_stopped_by_itself_is_told_of_once(acts: ActsDesk, driver: ActDriver) -> None:
    """With why, and how many failed again; the last end of another one makes it done."""
    bad = await acts.start(Act.REQUEUE, await acts.failed(6))
    await driver.run_once()
    await acts.end(FAILS)
    good = await acts.start(Act.REQUEUE, await acts.failed(1))
    await driver.run_once()
    [job] = (await acts.acts.items(good))[0]
    await acts.desk.end(job.id, LINKED)
    with capture_logs() as logs:
        for _ in range(2):
            await driver.run_once()

    assert (await acts.get(bad)).state is ActState.STOPPED
    assert [(line["act_id"], line["state"]) for line in logs] == [(good, "done")]


async def test_old_acts_are_forgotten_with_their_jobs(acts: ActsDesk) -> None:
    """Those kept as long as failed jobs and dead letters are."""
    act_id = await acts.start(Act.DISCARD, await acts.failed(1))
    await acts.drive(act_id)
    pruner = ActPruner(ledger=acts.desk.ledger, keep_s=100)
    young = await pruner.run_once()
    acts.desk.advance(101)

    assert (young, await pruner.run_once()) == (0, 1)
    assert await acts.acts.get(act_id) is None
