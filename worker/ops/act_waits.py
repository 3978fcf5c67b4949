"""What an act waits for, or would wait for: why nothing of what it let go moves, so that nobody is left to wonder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from worker.domain.act import CALLING_ACTS, ActState
from worker.domain.ids import is_job_id
from worker.domain.job import DeliveryRecord, JobRecord
from worker.domain.reasons import Catalogue
from worker.domain.states import DeliveryState, JobState, Lane
from worker.domain.targets import BATCH, CHANNEL
from worker.ledger import Hold, Ledger
from worker.ledger.act_records import ActRecord
from worker.ledger.acts import FEW
from worker.limits import ClosedReason
from worker.ops.troubles import batch_names, held, paused
from worker.ops.views import iso
from worker.ops.words import Said, said

#: Of what is under way so many are looked at: a canary whole, of many a sample.
_LOOKED_AT = 20
ITS_TIME = ""  #: no scope keeps it: it is tried again by itself


async def act_wait(
    ledger: Ledger, catalogue: Catalogue, record: ActRecord, closed: ClosedReason | None
) -> Said | None:
    """Return what keeps a running act from going on, in a sentence; None: it moves, or nothing keeps it.

    Of one that is previewed: what its calls would wait for, so that nobody takes its time for a promise. *closed*: why no
    calls are made, if so. Raises LedgerUnavailable.
    """
    is_previewed = record.state is ActState.PREVIEWED
    if not (
        record.state is ActState.RUNNING or (is_previewed and record.act in CALLING_ACTS and record.total)
    ):
        return None
    if not await ledger.fleet.workers():
        return said("act_waits_no_worker")
    if record.act not in CALLING_ACTS:
        return None
    has_jobs = record.total > record.messages  # a message needs no call
    if has_jobs and closed is not None:
        return said(f"act_waits_{closed.value}")
    if has_jobs and record.total > FEW:
        lane = (await ledger.queries.lanes())[Lane.BULK]
        if lane.paused or lane.held:
            return said("act_waits_lane_paused" if lane.paused else "act_waits_lane_held")
    return await _kept(ledger, catalogue, await ledger.acts.under_way(record, most=_LOOKED_AT))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """What is paused, and what is held."""

    pauses: AbstractSet[str]
    holds: Mapping[str, Hold]

    def stopped(self, scopes: Iterable[str]) -> str | None:
        """Return the first of the scopes that takes no work, or None."""
        return next((each for each in scopes if each in self.pauses or each in self.holds), None)


async def _kept(ledger: Ledger, catalogue: Catalogue, ids: Sequence[str]) -> Said | None:
    """Return what keeps all of *ids* where they are, what a person can end first; None where any of them moves."""
    jobs = await ledger.queries.jobs([each for each in ids if is_job_id(each)])
    found = [await ledger.deliveries.get(each) for each in ids if not is_job_id(each)]
    messages = [each for each in found if each is not None]
    standing = _Standing(pauses=await ledger.batches.pauses(), holds=await ledger.batches.holds())
    kept = [_keeps_job(each, standing) for each in jobs]
    kept += [_keeps_message(each, standing) for each in messages]
    if not kept or None in kept:
        return None
    scopes = sorted(scope for scope in kept if scope)
    return await _stop(ledger, catalogue, scopes[0], standing) if scopes else _in_time(jobs, messages)


def _keeps_job(job: JobRecord, standing: _Standing) -> str | None:
    """Return the scope that is stopped, or nothing where the job waits for its time; None: it moves."""
    if job.state in {JobState.SCHEDULED, JobState.IN_DOUBT}:
        return ITS_TIME
    own = [job.lane.value, *([BATCH + job.batch_id] if job.batch_id else [])]
    return standing.stopped(own) if job.state is JobState.AVAILABLE else None


def _keeps_message(message: DeliveryRecord, standing: _Standing) -> str | None:
    if message.state is not DeliveryState.PENDING:
        return None
    is_put_off = message.waits_for is not None or message.failures > 0
    return standing.stopped([CHANNEL + message.channel.value]) or (ITS_TIME if is_put_off else None)


async def _stop(ledger: Ledger, catalogue: Catalogue, scope: str, standing: _Standing) -> Said:
    """Return what is stopped and how it goes on, in the words in which it is said of any job behind it."""
    names = await batch_names(ledger, [scope])
    if scope in standing.pauses:
        cause = paused(scope, names)
    else:
        cause = held(scope, standing.holds[scope], catalogue, names)
    return said("act_waits_stop", what=cause.what(), remedy=cause.remedy())


def _in_time(jobs: Sequence[JobRecord], messages: Sequence[DeliveryRecord]) -> Said:
    """Return when the first of what waits for its time is tried again; a doubt is settled by a look-up."""
    waiting: list[JobRecord | DeliveryRecord] = [*jobs, *messages]
    due = [each.due_at_ms for each in waiting if each.due_at_ms is not None]
    if not due:
        return said("act_waits_doubt")
    if not jobs and all(each.waits_for is not None for each in messages):
        return said("act_waits_window", until_at=iso(min(due)))
    return said("act_waits_retry", due_at=iso(min(due)))
