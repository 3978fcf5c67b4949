"""Bulk acts for the tests: frozen over given ids, started, and driven."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from tests.contract.ledger_desk import LINKED, Desk, own_fail
from worker.domain.act import Act
from worker.domain.outcome import Outcome, Refused
from worker.domain.states import JobState, Lane
from worker.ledger.act_records import ActRecord, Step
from worker.ops.acts import Acts

DANA = "cli:dana"
RATE = 5.0
FAILS = Refused(fail=own_fail())


class ActsDesk:
    """What the tests of bulk acts work with."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.acts = desk.ledger.acts
        self._opened = 0

    async def failed(self, count: int, **changes: Any) -> list[str]:
        """Return new jobs that failed."""
        return [await self.desk.job_in(JobState.FAILED, **changes) for _ in range(count)]

    async def preview(self, act: Act, ids: Sequence[str], **more: Any) -> str:
        """Freeze a set and return the act's id."""
        self._opened += 1
        act_id = f"a-{self._opened}"
        await self.acts.open(act_id, act, by=DANA, **more)
        weighed = await self.acts.add(act_id, ids, seen=0)
        assert weighed is not None
        assert weighed.seen == len(ids)
        assert await self.acts.freeze(act_id, seen=weighed.seen)
        return act_id

    async def start(self, act: Act, ids: Sequence[str], *, is_canary: bool = True, **more: Any) -> str:
        """Freeze a set and start the act."""
        act_id = await self.preview(act, ids, **more)
        change = await self.acts.start(act_id, by=DANA, why="mended", is_canary=is_canary)
        assert change.done, change
        return act_id

    async def step(self, act_id: str) -> Step:
        """Drive one step at the tests' rate."""
        return await self.acts.step(act_id, rate=RATE)

    async def drive(self, act_id: str) -> ActRecord:
        """Step until nothing more may be taken for now."""
        while (step := await self.step(act_id)).taken:
            pass
        assert step.record is not None
        return step.record

    async def get(self, act_id: str) -> ActRecord:
        """Return an act that must be there."""
        record = await self.acts.get(act_id)
        assert record is not None
        return record

    async def end(self, outcome: Outcome = LINKED, *, lane: Lane = Lane.BULK, want: int = 50) -> list[str]:
        """Let what waits in the lane make an attempt that ends so."""
        return await self.desk.drain(lane, outcome, want=want)

    async def states(self, ids: Sequence[str]) -> list[JobState | None]:
        """Return where the jobs stand."""
        return [await self.desk.state(each) for each in ids]


async def driven(acts: Acts, act_id: str, why: str = "because") -> dict[str, Any]:
    """Start an act as operators do, and step it until nothing more may be taken; return its document."""
    await acts.start(act_id, by=DANA, why=why)
    while (document := await acts.step(act_id)) is not None and document["taken"]:
        pass
    assert document is not None
    return document


async def collected(pieces: AsyncIterator[list[str]]) -> list[str]:
    """Return all ids of the pieces."""
    return [each async for piece in pieces for each in piece]
