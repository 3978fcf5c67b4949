"""Moves what time has made due: leases that ran out, jobs whose time has come, invitations that waited too long."""

from __future__ import annotations

from dataclasses import dataclass

from worker.broker import BrokerBell
from worker.ledger import Ledger
from worker.telemetry import Stats, log

_BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescuer:
    """Takes jobs and messages back from leases that ran out, and puts due ones where the feeder finds them."""

    ledger: Ledger
    bell: BrokerBell
    stats: Stats
    resend_after_s: float  #: a mail in doubt is sent once more after this long
    invitation_wait_s: float  #: an invitation goes out with the links it has after this long

    async def promote(self) -> int:
        """Make scheduled jobs available whose time has come; return how many."""
        return await self.ledger.promote()

    async def rescue(self) -> int:
        """Take back what ran out of its lease; return how many."""
        rescued = await self.ledger.rescue(limit=_BATCH)
        for state, job_ids in (
            ("available", rescued.available),
            ("in_doubt", rescued.in_doubt),
            ("failed", rescued.failed),
            ("retried", rescued.retried),
            ("cancelled", rescued.cancelled),
        ):
            for job_id in job_ids:
                self.stats.count("rescues", state=state)
                log.warning("job_rescued", job_id=job_id, state=state)
        for job_id in rescued.failed:
            self.bell.ring_failure(job_id)
        messages = await self.ledger.deliveries.rescue(limit=_BATCH, resend_after_s=self.resend_after_s)
        if messages:
            log.warning("deliveries_rescued", count=messages)
        return messages + rescued.total

    async def send_late_invitations(self) -> int:
        """Send invitations whose last links keep them waiting, with the links they have; return how many."""
        late = await self.ledger.deliveries.late_invitations(
            older_than_s=self.invitation_wait_s, limit=_BATCH
        )
        sent = 0
        for invitation_id in late:
            if await self.ledger.deliveries.fan_out(invitation_id):
                sent += 1
                log.info("invitation_sent_in_part", invitation_id=invitation_id)
        return sent
