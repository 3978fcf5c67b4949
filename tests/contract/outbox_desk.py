"""What the tests of the outbox share: claiming, telling and failing to tell."""

from __future__ import annotations

from typing import Any

from tests.contract.ledger_desk import Desk
from worker.domain.outgoing import (
    ClaimedOutgoing,
    NotTold,
    SinkPlan,
    SinkRecord,
    TellFault,
    Told,
)

WEBHOOK = SinkPlan(name="webhook", mark="here")
HUBSPOT = SinkPlan(name="hubspot", only_source="crm:hubspot", mark="there")
LEASE_S = 45.0
REFUSED = NotTold(fault=TellFault.REFUSED, status=500)


async def events(desk: Desk, sink: str = "webhook", *, want: int = 100) -> list[ClaimedOutgoing]:
    """Claim what is due."""
    return await desk.ledger.outbox.claim(sink, want=want, worker_id="w1", lease_s=LEASE_S)


async def told(desk: Desk, sink: str = "webhook") -> list[tuple[str, str]]:
    """Claim and tell what is due; return type and job of each."""
    claimed = await events(desk, sink)
    for event in claimed:
        assert await desk.ledger.outbox.settle(event.lease, Told(status=200))
    return [(event.type.value, event.job_id) for event in claimed]


async def sink(desk: Desk, name: str = "webhook") -> SinkRecord:
    """Return how a sink stands."""
    return next(each for each in await desk.ledger.outbox.sinks() if each.name == name)


async def fail_to_tell(desk: Desk, times: int, **how: Any) -> None:
    """Try so often in vain, each time with the next event that is to be had."""
    for _ in range(times):
        [event] = await events(desk, want=1)
        assert await desk.ledger.outbox.settle(event.lease, REFUSED, **({"delay_s": 5.0} | how))
