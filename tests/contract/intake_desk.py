"""A ledger with a clock to turn by hand, and events in the state a test needs."""

from __future__ import annotations

import itertools
from typing import Any

import redis.asyncio

from tests.contract.ledger_desk import EPOCH_MS, LEASE_S
from worker.domain.event import (
    ClaimedEvent,
    EventDone,
    EventFailed,
    EventOutcome,
    EventReceipt,
    EventRecord,
    EventRetry,
    EventSkipped,
    EventState,
    NewEvent,
)
from worker.domain.ids import new_event_id
from worker.domain.parse import Problem
from worker.ledger import Ledger
from worker.ledger.intake import Intake

SOURCE = "crm:hubspot"
PROBLEM = Problem(
    "whatsapp", "not_digits", "whatsapp: 'abc' is no number", "Write the number with its country code."
)
DONE = EventDone(job_ids=("01k8v5w0qr7c3h2m9n4pw",))
SKIPPED = EventSkipped(reason="filtered")
FAILED = EventFailed(reason="invalid_request", problems=(PROBLEM,))
RETRY = EventRetry(reason="crm_unreachable", delay_s=30, max_failures=3)
WAIT = EventRetry(reason="crm_throttled", delay_s=10, max_failures=None)

_count = itertools.count(1)


def an_event(**changes: Any) -> NewEvent:
    """Return a new event of its own key."""
    nth = next(_count)
    fields: dict[str, Any] = {
        "id": new_event_id(now_ms=EPOCH_MS + nth, chance=nth),
        "source": SOURCE,
        "key": f"4242:{nth}",
        "digest": f"d{nth}",
        "body": f'{{"objectId":{nth},"phone":"0501234567"}}',
    }
    return NewEvent(**(fields | changes))


class IntakeDesk:
    """What the tests of the intake work with."""

    def __init__(self, client: redis.asyncio.Redis, *, namespace: str = "test") -> None:
        self.redis = client
        self.now_ms = EPOCH_MS
        self.ledger = Ledger(client, namespace=namespace, now_ms=lambda: self.now_ms)

    @classmethod
    async def open(cls, client: redis.asyncio.Redis) -> IntakeDesk:
        """Return a desk whose ledger is open."""
        desk = cls(client)
        await desk.ledger.open()
        return desk

    @property
    def intake(self) -> Intake:
        """Return what is tested."""
        return self.ledger.intake

    def advance(self, seconds: float) -> None:
        """Turn the clock."""
        self.now_ms += round(seconds * 1000)

    async def record(self, *events: NewEvent, max_waiting: int = 100_000) -> list[EventReceipt]:
        """Record events (one plain one, if none is given)."""
        return await self.intake.record(events or (an_event(),), max_waiting=max_waiting)

    async def claim(self, *, want: int = 100, worker: str = "w1", source: str = SOURCE) -> list[ClaimedEvent]:
        """Claim what is due."""
        return await self.intake.claim_due(source, want=want, worker_id=worker, lease_s=LEASE_S)

    async def claim_one(self, *, worker: str = "w1") -> ClaimedEvent:
        """Claim the one event that must be to be had."""
        [event] = await self.claim(want=1, worker=worker)
        return event

    async def settle(self, event: ClaimedEvent, outcome: EventOutcome) -> bool:
        """Settle one event; return whether the lease held."""
        return await self.intake.settle([(event.lease, outcome)]) == 1

    async def event_in(self, state: EventState, **changes: Any) -> str:
        """Return a new event that stands in *state*, the only one that waits."""
        [receipt] = await self.record(an_event(**changes))
        endings = {EventState.DONE: DONE, EventState.SKIPPED: SKIPPED, EventState.FAILED: FAILED}
        if state is not EventState.WAITING:
            [claimed] = await self.claim(want=1, source=changes.get("source", SOURCE))
            if state in endings:
                assert await self.settle(claimed, endings[state])
        assert (await self.get(receipt.id)).state is state
        return receipt.id

    async def get(self, event_id: str) -> EventRecord:
        """Return an event that must be there."""
        record = await self.intake.get(event_id)
        assert record is not None
        return record

    async def count(self, state: EventState, *, source: str = SOURCE) -> int:
        """Return how many events of a source stand in a state."""
        return (await self.intake.counts()).get(source, {}).get(state, 0)
