"""A worker that is killed while it tells an alert: the receiver gets it once more, by the same id, from another."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.test_events_killed import real_env
from tests.integration.events_receiver import SECRET, Receiver, a_receiver
from tests.stack import Stack
from worker.domain.alerts import TellingState

pytestmark = pytest.mark.crash


def alert_env(stack: Stack, receiver: Receiver, **more: str) -> dict[str, str]:
    """Return what makes a worker of the stack tell alerts to *receiver*."""
    told = {"LINKFERRY_ALERT_URL": receiver.url, "LINKFERRY_ALERT_SECRET": SECRET}
    return real_env(stack, receiver, **told, **more)


async def test_a_worker_killed_while_it_tells_is_followed_by_another(tmp_path: Path) -> None:
    """One hold, one incident, two workers one after the other: one alert, which came twice by one id."""
    async with a_receiver() as receiver, Stack(tmp_path) as stack:
        receiver.gate.clear()
        await stack.ledger.batches.hold("live", "unknown_17")
        doomed = stack.start_worker(**alert_env(stack, receiver, LINKFERRY_WORKER_ID="doomed"))
        await stack.until(lambda: receiver.ids, "the alert is on its way")
        stack.kill_worker(doomed)
        receiver.gate.set()
        # What the supervisor does when it sees a process die.
        await stack.ledger.abandon("doomed")

        for _ in range(2):
            stack.start_worker(**alert_env(stack, receiver))

        async def is_told() -> bool:
            [incident] = await stack.ledger.incidents.open()
            return [each.state for each in incident.tellings] == [TellingState.TOLD]

        await stack.until(is_told, "the alert is told")
        [incident] = await stack.ledger.incidents.open()
        assert receiver.counts() == {f"{incident.id}_opened": 2}
        assert [telling.tries for telling in incident.tellings] == [2]
        assert {each["data"]["kind"] for each in receiver.got} == {"hold"}
