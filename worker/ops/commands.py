"""What operators do, for the CLI and the console alike. Bulk acts work on a set that was frozen when it was shown."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from worker.domain.ids import invitation_of, is_job_id
from worker.domain.job import DeliveryRecord, JobRecord
from worker.domain.reasons import Catalogue
from worker.domain.request import Contact
from worker.domain.states import Channel, DeliveryState, JobState
from worker.ledger import JobFilter, Ledger, Mended
from worker.limits import Limits
from worker.ops.queries import concerns_messages, failed_messages

PAGE = 500
AT_ONCE = 20  #: acts in flight: bulk acts must not crowd out the workers' own scripts


class Act(StrEnum):
    """What may be done to a job that stands."""

    REQUEUE = "requeue"
    DISCARD = "discard"
    CANCEL = "cancel"


ELIGIBLE = {
    Act.REQUEUE: frozenset({JobState.FAILED, JobState.DEAD}),
    Act.DISCARD: frozenset({JobState.FAILED}),
    Act.CANCEL: frozenset({JobState.AVAILABLE, JobState.SCHEDULED, JobState.RUNNING}),
}
#: What a person may send again. In doubt means that the customer may have it: only by its id.
RESENDABLE = frozenset({DeliveryState.FAILED, DeliveryState.IN_DOUBT, DeliveryState.SKIPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a bulk act would touch: exactly these ids, whatever arrives meanwhile."""

    act: Act
    ids: tuple[str, ...]
    by_reason: dict[str, int]
    not_eligible: dict[str, int]  #: why not → how many

    def document(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "act": self.act.value,
            "count": len(self.ids),
            "by_reason": self.by_reason,
            "not_eligible": self.not_eligible,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a bulk act came to."""

    act: Act
    done: int = 0
    refused: dict[str, int] = field(
        default_factory=dict
    )  #: why → how many: they had changed since the preview
    job_ids: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {"act": self.act.value, "done": self.done, "refused": self.refused}


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

    async def preview(self, act: Act, wanted: JobFilter, states: Sequence[JobState]) -> Preview:
        """Return what *act* on all of *wanted* in any of *states* would touch, messages included.

        Raises LedgerUnavailable.
        """
        records: list[JobRecord] = []
        if wanted.stage != "delivery":
            records = [record async for record in self._all(wanted, states)]
        messages: list[DeliveryRecord] = []
        if JobState.FAILED in states and concerns_messages(wanted):
            messages = await failed_messages(self._ledger, self._catalogue, wanted)
        return _weigh(act, records, messages)

    async def preview_ids(self, act: Act, ids: Sequence[str]) -> Preview:
        """Return what *act* on these jobs and messages would touch; raises LedgerUnavailable."""
        wanted = list(dict.fromkeys(ids))
        records = await self._ledger.queries.jobs([each for each in wanted if is_job_id(each)])
        messages = [await self._ledger.deliveries.get(each) for each in wanted if not is_job_id(each)]
        known = [each for each in messages if each is not None]
        preview = _weigh(act, records, known)
        missing = len(wanted) - len(records) - len(known)
        if not missing:
            return preview
        return replace(preview, not_eligible=preview.not_eligible | {"there is no such job": missing})

    async def carry_out(
        self, preview: Preview, *, by: str, why: str, on_progress: Callable[[int], None] | None = None
    ) -> Report:
        """Do what was previewed, to exactly those jobs; what has changed since is refused and counted.

        Raises:
            LedgerUnavailable: some may have been done; asking again is harmless.
        """
        act = self._act(preview.act)
        refused: Counter[str] = Counter()
        done = 0
        for start in range(0, len(preview.ids), AT_ONCE):
            chunk = preview.ids[start : start + AT_ONCE]
            for mended in await asyncio.gather(*(act(each, by=by, why=why) for each in chunk)):
                done += mended.done
                if not mended.done:
                    refused[mended.refusal or "refused"] += 1
            if on_progress is not None:
                on_progress(start + len(chunk))
        return Report(act=preview.act, done=done, refused=dict(refused), job_ids=preview.ids)

    def _act(self, act: Act) -> Callable[..., Awaitable[Mended]]:
        on_job = {
            Act.REQUEUE: self._ledger.requeue,
            Act.DISCARD: self._ledger.discard,
            Act.CANCEL: self._ledger.cancel,
        }[act]

        async def on_either(subject_id: str, *, by: str, why: str) -> Mended:
            if is_job_id(subject_id):
                return await on_job(subject_id, by=by, why=why)
            return await self._ledger.deliveries.resend(subject_id, by=by, why=why)

        return on_either

    async def _all(self, wanted: JobFilter, states: Sequence[JobState]) -> AsyncIterator[JobRecord]:
        for state in states:
            cursor: str | None = None
            while True:
                page = await self._ledger.queries.find(
                    replace(wanted, state=state), cursor=cursor, limit=PAGE
                )
                for record in page.items:
                    yield record
                cursor = page.next
                if cursor is None:
                    break

    async def resend(
        self, job_id: str, *, channel: Channel | None, contact: Contact | None, by: str, why: str
    ) -> list[Resent]:
        """Send the messages that carry a job's link again, without another partner call.

        Of each channel (or only *channel*) the newest message; to *contact* if given. Raises LedgerUnavailable,
        LedgerFull.
        """
        newest: dict[Channel, DeliveryRecord] = {}
        for delivery in await self._ledger.deliveries.of_invitation(invitation_of(job_id)):
            if job_id in delivery.job_ids and channel in (None, delivery.channel):
                newest[delivery.channel] = delivery
        resent = []
        for delivery in newest.values():
            mended = await self._ledger.deliveries.resend(delivery.id, by=by, why=why, contact=contact)
            resent.append(
                Resent(
                    delivery_id=delivery.id,
                    channel=delivery.channel,
                    done=mended.done,
                    refusal=mended.refusal,
                )
            )
        return resent

    async def pause(self, target: str) -> None:
        """Stop *target* (`all`, `live`, `bulk`, `batch:<id>`) from taking new jobs; raises LedgerUnavailable."""
        await self._ledger.batches.pause(target)

    async def resume(self, target: str) -> list[str]:
        """Let *target* go on; holds on it are cleared too, and `all` lifts a pause of the calls and lets refused credentials be tried at once.

        Returns the holds that were cleared. Raises LedgerUnavailable.
        """
        await self._ledger.batches.resume(target)
        cleared = [name for name in await self._ledger.batches.holds() if target in {"all", name}]
        for name in cleared:
            await self._ledger.batches.clear_hold(name)
        if target == "all":
            await self._limits.resume()
        return cleared

    async def cancel_batch(self, batch_id: str, *, by: str, why: str) -> dict[str, Any] | None:
        """Cancel what of the batch has not ended; None when there is no such batch. Raises LedgerUnavailable."""
        if await self._ledger.batches.get(batch_id) is None:
            return None
        ending = await self._ledger.batches.cancel(batch_id, by=by, why=why)
        return {
            "batch": batch_id,
            "cancelled": ending.cancelled,
            "running": ending.running,
            "in_doubt": ending.in_doubt,
        }


def _weigh(act: Act, records: Sequence[JobRecord], messages: Sequence[DeliveryRecord]) -> Preview:
    fitting = [record for record in records if record.state in ELIGIBLE[act]]
    fit_messages = [each for each in messages if act is Act.REQUEUE and each.state in RESENDABLE]
    reasons = Counter(record.reason or record.state.value for record in fitting)
    reasons.update(each.reason or each.state.value for each in fit_messages)
    others = Counter(f"it is {record.state.value}" for record in records if record.state not in ELIGIBLE[act])
    if unfit := len(messages) - len(fit_messages):
        others["a message, which can only be sent again where it failed"] = unfit
    return Preview(
        act=act,
        ids=(*(record.id for record in fitting), *(each.id for each in fit_messages)),
        by_reason=dict(reasons.most_common()),
        not_eligible=dict(others),
    )
