"""The heartbeat renews what is held, and nothing ends it but its process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from worker.domain.job import Lease
from worker.execution.heartbeat import Heartbeat
from worker.ledger import LedgerFull, LedgerUnavailable


def a_lease(subject_id: str) -> Lease:
    return Lease(subject_id=subject_id, token=f"w.{subject_id}", expires_at_ms=0, ttl_s=1.0)


class FakeLedger:
    """Renews, loses or fails as it is told."""

    def __init__(self, *faults: Exception, lost: frozenset[str] = frozenset()) -> None:
        self.faults = list(faults)
        self.lost = lost
        self.renewed: list[list[str]] = []
        self.beats = asyncio.Event()

    async def renew(self, leases: Sequence[Lease]) -> set[str]:
        self.renewed.append(sorted(lease.subject_id for lease in leases))
        if self.faults:
            raise self.faults.pop()
        self.beats.set()
        return set(self.lost)


async def test_all_leases_are_renewed_in_one_call_until_each_is_let_go() -> None:
    """A block that ends, however, lets its lease go."""
    ledger = FakeLedger()
    heartbeat = Heartbeat(ledger, interval_s=1)  # type: ignore[arg-type]
    await heartbeat.run_once()

    async def end_badly() -> None:
        with heartbeat.keeping(a_lease("b")):
            await heartbeat.run_once()
            raise ValueError("x")

    with heartbeat.keeping(a_lease("a")):
        with pytest.raises(ValueError, match="x"):
            await end_badly()
        await heartbeat.run_once()

    assert ledger.renewed == [["a", "b"], ["a"]]
    assert heartbeat.held == 0


async def test_a_lost_lease_is_renewed_no_more() -> None:
    """Somebody else has the job by then: renewing it again could only do harm."""
    ledger = FakeLedger(lost=frozenset({"a"}))
    heartbeat = Heartbeat(ledger, interval_s=1)  # type: ignore[arg-type]
    with heartbeat.keeping(a_lease("a")), heartbeat.keeping(a_lease("b")):
        await heartbeat.run_once()
        await heartbeat.run_once()
        assert ledger.renewed == [["a", "b"], ["b"]]


@pytest.mark.parametrize(
    "fault", [LedgerUnavailable("x"), LedgerFull("OOM"), RuntimeError("a fault of our own")]
)
async def test_no_fault_ends_the_heartbeat(fault: Exception) -> None:
    """A ledger that is away or full, or whatever else: the next beat comes, or every lease would be lost from then on."""
    ledger = FakeLedger(fault, fault)
    heartbeat = Heartbeat(ledger, interval_s=0.001)  # type: ignore[arg-type]
    beating = asyncio.create_task(heartbeat.run())
    with heartbeat.keeping(a_lease("a")):
        await asyncio.wait_for(ledger.beats.wait(), timeout=5)
    beating.cancel()
    assert len(ledger.renewed) >= 3
