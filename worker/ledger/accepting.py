"""The way in: new invitations are recorded, and bells chosen to be rung."""

from __future__ import annotations

from collections.abc import Sequence

from worker.domain.job import NewInvitation, Receipt
from worker.domain.search import SearchEntries
from worker.domain.states import Lane
from worker.ledger.codec import invitation_args, receipt_of
from worker.ledger.scripts import Scripts, text

#: Invitations per script: a chunk of five products each stays below 5 ms of the server's time.
CHUNK = 100


class Accepting:
    """The verbs that bring jobs in and choose whose bell is rung."""

    _scripts: Scripts

    async def accept(
        self, invitations: Sequence[NewInvitation], *, max_waiting: int, durable: bool = True
    ) -> list[Receipt]:
        """Record new invitations with their jobs, in one round trip; repeating a call is harmless.

        *max_waiting* is the most jobs that may wait; an invitation beyond it gets the verdict FULL. *durable*
        returns only when the server's disk holds them, where the server can tell. Two calls may be in flight at
        once: each has a connection of its own.

        Raises:
            LedgerUnavailable: they may or may not have been recorded; say the same again.
            LedgerFull: the server is out of memory or disk.
            ValueError: an invitation without products, or with a line break in a key.
        """
        calls: list[list[str | float]] = []
        for start in range(0, len(invitations), CHUNK):
            chunk = invitations[start : start + CHUNK]
            args: list[str | float] = ["accept", max_waiting, len(chunk)]
            entries = SearchEntries()
            for invitation in chunk:
                args += invitation_args(invitation)
                entries.add(invitation.request, invitation.id)
            args += entries.args()
            calls.append(args)
        if not calls:
            return []
        replies = await self._scripts.run_all(calls, durable=durable)
        rows = (row for chunk in replies for row in chunk)
        return [receipt_of(invitation, row) for invitation, row in zip(invitations, rows, strict=True)]

    async def feed(self, lane: Lane, *, want: int, rering_after_s: float = 10.0) -> list[str]:
        """Choose the jobs of *lane* whose bells are to be rung now, so that *want* bells (≤ 500) are outstanding.

        Bells unclaimed for *rering_after_s* seconds are among them again. Paused and held batches are passed over,
        every batch keeps to its canary and ramp, and several batches are served in turn.
        Raises LedgerUnavailable, LedgerFull.
        """
        return [text(job) for job in await self._scripts.run("feed", lane, want, ms(rering_after_s))]

    async def hand_back(self, job_id: str) -> None:
        """Put a rung job that nobody has room for back to the front of its queue; raises LedgerUnavailable."""
        await self._scripts.run("hand_back", job_id)


def ms(seconds: float) -> int:
    """Return seconds as whole milliseconds."""
    return round(seconds * 1000)
