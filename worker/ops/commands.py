"""What operators do to one job, lane or batch, for the CLI and the console alike. Bulk acts: `worker.ops.acts`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from worker.domain.act import Act
from worker.domain.ids import invitation_of, is_job_id
from worker.domain.job import DeliveryRecord
from worker.domain.reasons import Catalogue
from worker.domain.states import ENDED_STATES, Channel
from worker.domain.stop_list import SUPPRESSED, contacts_of
from worker.domain.targets import ALL, BATCH, CALLS
from worker.ledger import Ledger, Mended, Readdress
from worker.ledger.reminding import REMINDER
from worker.limits import Limits

__all__ = ["Act", "Commands", "Resent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resent:
    """One message that was asked for again."""

    delivery_id: str
    channel: Channel
    done: bool
    refusal: str | None

    def document(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "delivery_id": self.delivery_id,
            "channel": self.channel.value,
            "done": self.done,
            "refusal": self.refusal,
        }


class Commands:
    """Acts on the ledger and the limits, each with who did it and why."""

    def __init__(self, ledger: Ledger, limits: Limits, catalogue: Catalogue) -> None:
        """Act on *ledger* and *limits*; *catalogue* explains reasons."""
        self._ledger = ledger
        self._limits = limits
        self._catalogue = catalogue

    # --- one job ---------------------------------------------------------------------------------------------

    async def requeue(self, subject_id: str, *, by: str, why: str) -> dict[str, Any]:
        """Let one failed or dead job try again, or send one message again: `{"act", "job_id", "done", "state", "refusal"}`.

        Raises LedgerUnavailable, LedgerFull.
        """
        if is_job_id(subject_id):
            return await _one(Act.REQUEUE, subject_id, self._ledger.requeue, by=by, why=why)
        return await _one(Act.REQUEUE, subject_id, self._ledger.deliveries.resend, by=by, why=why)

    async def discard(self, job_id: str, *, by: str, why: str) -> dict[str, Any]:
        """Give one failed job up: a dead letter; answers as `requeue`. Raises LedgerUnavailable."""
        return await _one(Act.DISCARD, job_id, self._ledger.discard, by=by, why=why)

    async def restore(self, job_id: str, *, by: str, why: str) -> dict[str, Any]:
        """Put one dead letter back into the failed queue; answers as `requeue`. Raises LedgerUnavailable."""
        return await _one(Act.RESTORE, job_id, self._ledger.restore, by=by, why=why)

    async def cancel(self, job_id: str, *, by: str, why: str) -> dict[str, Any]:
        """Cancel one waiting job, or mark a running one; answers as `requeue`. Raises LedgerUnavailable."""
        return await _one(Act.CANCEL, job_id, self._ledger.cancel, by=by, why=why)

    async def replace(self, job_id: str, *, by: str, why: str) -> dict[str, Any]:
        """Have one job's link deleted at the partner and made anew; answers as `requeue`.

        With other data: `worker.ops.change`. Raises LedgerUnavailable, LedgerFull.
        """
        return await _one(Act.REPLACE, job_id, self._ledger.replace, by=by, why=why)

    async def revoke(self, job_id: str, *, by: str, why: str) -> dict[str, Any]:
        """Have one job's link deleted at the partner for good; answers as `requeue`. Raises LedgerUnavailable."""
        return await _one(Act.REVOKE, job_id, self._ledger.revoke, by=by, why=why)

    async def resend(
        self, job_id: str, *, channel: Channel | None, to: Readdress | None, by: str, why: str
    ) -> list[Resent]:
        """Send the messages that carry a job's link again, without another partner call.

        Of each channel (or only *channel*) the newest message, no reminder; *to* another contact if given. Whoever is on
        the stop list is refused. Raises LedgerUnavailable, LedgerFull.
        """
        newest: dict[Channel, DeliveryRecord] = {}
        for delivery in await self._ledger.deliveries.of_invitation(invitation_of(job_id)):
            is_fit = job_id in delivery.job_ids and delivery.template != REMINDER
            if is_fit and channel in (None, delivery.channel):
                newest[delivery.channel] = delivery
        if newest and await self._is_suppressed(job_id, to):
            return [_refused(each, SUPPRESSED) for each in newest.values()]
        resent = []
        for delivery in newest.values():
            mended = await self._ledger.deliveries.resend(delivery.id, by=by, why=why, to=to)
            resent.append(
                Resent(
                    delivery_id=delivery.id,
                    channel=delivery.channel,
                    done=mended.done,
                    refusal=mended.refusal,
                )
            )
        return resent

    async def _is_suppressed(self, job_id: str, to: Readdress | None) -> bool:
        job = await self._ledger.queries.job(job_id)
        if job is None:
            return False
        request = job.request if to is None else replace(job.request, contact=to.contact)
        return bool(await self._ledger.suppressing.holds(contacts_of(request)))

    # --- lanes and batches -----------------------------------------------------------------------------------

    async def pause(self, target: str, *, by: str, why: str = "") -> None:
        """Stop *target* (`all`, `live`, `bulk`, `batch:<id>`) from taking new jobs; raises LedgerUnavailable."""
        await self._ledger.batches.pause(target, by=by, why=why)

    async def resume(self, target: str, *, by: str, why: str = "") -> list[str]:
        """Let *target* go on; holds on it are cleared too, and `all` lifts a pause of the calls and lets refused credentials be tried at once.

        Returns the holds that were cleared. Raises LedgerUnavailable.
        """
        cleared = await self._ledger.batches.resume(target, with_holds=True, by=by, why=why)
        if target == ALL:
            await self._limits.resume()
        return cleared

    async def clear_hold(
        self, target: str, *, by: str, why: str = "", since_ms: int | None = None
    ) -> str | None:
        """Clear the hold on one lane or `batch:<id>`; what was held begins anew with a canary.

        *since_ms*: of the hold that was seen; one that began later, perhaps for another reason, stays.
        `calls` lifts a pause of the calls and lets refused credentials be tried at once. Return the reason it was held
        for, or None when it was not held; `worker.ops.holds` tells why it stands. Raises LedgerUnavailable,
        LimitsUnavailable, ValueError.
        """
        if target != CALLS:
            return await self._ledger.batches.clear_hold(target, by=by, why=why, since_ms=since_ms)
        closed = (await self._limits.status()).closed_reason
        if closed is None:
            return None
        # Said first: what was done is in the trail, whatever happens in between.
        await self._ledger.trail.record(
            "clear_hold", by=by, why=why, subject=target, detail={"reason": closed.value}
        )
        await self._limits.resume()
        return closed.value

    async def cancel_batch(self, batch_id: str, *, by: str, why: str) -> dict[str, Any] | None:
        """Cancel what of the batch has not ended; None when there is no such batch. Raises LedgerUnavailable."""
        batch = await self._ledger.batches.get(batch_id)
        if batch is None:
            return None
        # Said first, with what stands before it: a cancelling that breaks off is in the trail as well.
        unended = {state.value: n for state, n in batch.jobs.items() if n and state not in ENDED_STATES}
        await self._ledger.trail.record(
            "batch_cancel", by=by, why=why, subject=BATCH + batch_id, detail=unended
        )
        ending = await self._ledger.batches.cancel(batch_id, by=by, why=why)
        counts = {"cancelled": ending.cancelled, "running": ending.running, "in_doubt": ending.in_doubt}
        return {"batch": batch_id, **counts}


def _refused(delivery: DeliveryRecord, refusal: str) -> Resent:
    return Resent(delivery_id=delivery.id, channel=delivery.channel, done=False, refusal=refusal)


async def _one(
    act: Act, subject_id: str, verb: Callable[..., Awaitable[Mended]], *, by: str, why: str
) -> dict[str, Any]:
    mended = await verb(subject_id, by=by, why=why)
    return {
        "act": act.value,
        "job_id": subject_id,
        "done": mended.done,
        "state": None if mended.state is None else mended.state.value,
        "refusal": mended.refusal,
    }
