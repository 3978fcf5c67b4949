"""What needs a person is deleted only where that could be foreseen a day ahead, whatever the settings or the fleet did."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.ledger_desk import Desk
from worker.domain.alerts import AlertKind, Thresholds, expiry_windows
from worker.domain.states import JobState
from worker.limits import Limits
from worker.maintenance.alerts import AlertWatch
from worker.maintenance.prune import Pruner
from worker.telemetry import Stats

DAY_S = 86_400
LONG_S, SHORT_S = 90.0 * DAY_S, 7.0 * DAY_S


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> AsyncIterator[Desk]:
    desk = await Desk.open(store)
    yield desk
    await desk.balance()


async def pruned(desk: Desk, keep_s: float, *, for_s: float = 0.0, every_s: float = DAY_S / 4) -> int:
    """Prune as the fleet does while *for_s* seconds pass, and once more then; return how many went."""
    gone = 0
    while True:
        gone += await desk.ledger.prune(
            older_than_s={JobState.DEAD: keep_s}, limit=100, warned={JobState.DEAD}
        )
        if for_s <= 0:
            return gone
        desk.advance(min(every_s, for_s))
        for_s -= every_s


async def told(desk: Desk, keep_s: float) -> dict[str, int]:
    """Return how many dead letters each day's alert speaks of."""
    later_ms = await desk.ledger.due_later(JobState.DEAD, keep_s)
    windows = expiry_windows("dead", keep_s, desk.now_ms, later_ms=later_ms)
    return dict((await desk.ledger.incidents.facts(windows)).expiring)


async def test_while_the_fleet_watches_a_dead_letter_goes_on_its_day(desk: Desk) -> None:
    """As long as it was kept, and not a day longer."""
    await desk.job_in(JobState.DEAD)

    assert await pruned(desk, SHORT_S, for_s=SHORT_S) == 0
    assert await desk.ledger.due_later(JobState.DEAD, SHORT_S) is None
    assert await pruned(desk, SHORT_S, for_s=60) == 1


async def test_a_shorter_time_to_keep_deletes_nothing_before_it_was_told_for_a_day(desk: Desk) -> None:
    """Dead letters of a month are due at once: the alert counts all of them under the day on which they go."""
    for _ in range(3):
        await desk.job_in(JobState.DEAD)
    await pruned(desk, LONG_S, for_s=30 * DAY_S)

    assert await pruned(desk, SHORT_S, for_s=DAY_S - 60) == 0
    assert sum((await told(desk, SHORT_S)).values()) == 3
    assert await pruned(desk, SHORT_S, for_s=120) == 3


async def test_the_day_that_the_alert_names_is_the_day_on_which_they_go(desk: Desk) -> None:
    """None goes earlier, so no earlier day is named."""
    await desk.job_in(JobState.DEAD)
    await pruned(desk, LONG_S, for_s=30 * DAY_S)
    await pruned(desk, SHORT_S)
    [(day, count)] = (await told(desk, SHORT_S)).items()
    before = expiry_windows("dead", SHORT_S, desk.now_ms)
    await pruned(desk, SHORT_S, for_s=DAY_S)
    today = expiry_windows("dead", SHORT_S, desk.now_ms)[0]

    assert (day, count) == (before[1].scope, 1)
    assert today.scope == day


async def test_what_became_due_while_no_worker_lived_stays_a_day_longer(desk: Desk) -> None:
    """A fleet that was away for weeks deletes nothing in its first minute: nobody had been told."""
    await desk.job_in(JobState.DEAD)
    await pruned(desk, SHORT_S)
    desk.advance(20 * DAY_S)

    assert await pruned(desk, SHORT_S, for_s=DAY_S - 60) == 0
    assert await pruned(desk, SHORT_S, for_s=120) == 1


async def test_a_fleet_that_restarts_within_the_day_loses_no_time(desk: Desk) -> None:
    """What it deletes then was told of the day before."""
    await desk.job_in(JobState.DEAD)
    await pruned(desk, SHORT_S, for_s=SHORT_S - DAY_S / 2)
    desk.advance(DAY_S / 2 + 60)

    assert await pruned(desk, SHORT_S) == 1


async def test_a_look_begins_nothing(desk: Desk) -> None:
    """The watch asks what will go, as often as it likes; the day runs from when it is pruned by the shorter time."""
    await desk.job_in(JobState.DEAD)
    await pruned(desk, LONG_S, for_s=30 * DAY_S)
    await desk.ledger.due_later(JobState.DEAD, SHORT_S)
    desk.advance(DAY_S - 60)

    assert await pruned(desk, SHORT_S, for_s=120) == 0


async def test_a_worker_with_a_shorter_time_tells_before_it_deletes(
    desk: Desk, store: redis.asyncio.Redis
) -> None:
    """Its two duties go by the same day: the alert opens, and the letters stand until it is over."""
    job = await desk.job_in(JobState.DEAD)
    await Pruner(ledger=desk.ledger, keep_s={JobState.DEAD: LONG_S}).run_once()
    desk.advance(30 * DAY_S)
    await Pruner(ledger=desk.ledger, keep_s={JobState.DEAD: LONG_S}).run_once()
    keep_s = {JobState.DEAD: SHORT_S}
    watch = AlertWatch(
        ledger=desk.ledger,
        limits=Limits(store, namespace="test", name="partner", ceiling=5),
        stats=Stats(),
        thresholds=Thresholds(),
        keep_s=keep_s,
        has_credentials=True,
    )

    assert await Pruner(ledger=desk.ledger, keep_s=keep_s).run_once() == 0
    await watch.run_once()
    [incident] = await desk.ledger.incidents.open()

    assert (incident.kind, incident.count) == (AlertKind.EXPIRING, 1)
    assert await desk.state(job) is JobState.DEAD
