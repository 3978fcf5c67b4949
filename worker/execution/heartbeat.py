"""Renews the leases that this process holds, all in one call, until each is let go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from worker.domain.job import Lease
from worker.ledger import Ledger, LedgerFull, LedgerUnavailable
from worker.telemetry import log


class Heartbeat:
    """Keeps leases alive. A lease outlives two missed beats, so that one slow failover hands no job to a second worker."""

    def __init__(self, ledger: Ledger, *, interval_s: float) -> None:
        self._ledger = ledger
        self._interval_s = interval_s
        self._leases: dict[str, Lease] = {}

    @contextmanager
    def keeping(self, lease: Lease) -> Iterator[None]:
        """Renew *lease* for as long as the block runs."""
        self._leases[lease.subject_id] = lease
        try:
            yield
        finally:
            self._leases.pop(lease.subject_id, None)

    @property
    def held(self) -> int:
        """Return how many leases this process holds."""
        return len(self._leases)

    async def run_once(self) -> None:
        """Renew every lease held; those already lost are no longer renewed (settling them will be refused)."""
        leases = list(self._leases.values())
        if not leases:
            return
        for subject_id in await self._ledger.renew(leases):
            if self._leases.pop(subject_id, None):
                log.warning("lease_lost", job_id=subject_id)

    async def run(self) -> None:
        """Beat until cancelled; a ledger that is away or full is waited out."""
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self.run_once()
            except (LedgerUnavailable, LedgerFull) as exc:
                log.warning("heartbeat_missed", error=str(exc), held=len(self._leases))
            except Exception:
                # Whatever it was: a process without a heartbeat would lose every lease from now on.
                log.exception("heartbeat_failed", held=len(self._leases))
