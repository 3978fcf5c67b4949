"""One job's page: its story in sentences, why it is where it is, what happens next and when, and whose it is."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from worker.domain.job import DeliveryRecord, JobRecord
from worker.domain.states import DeliveryState, JobState, Lane
from worker.domain.stop_list import contacts_of
from worker.ledger import BatchRecord
from worker.ledger.survey import Whereabouts
from worker.ops.customer_said import Call, reminders_to_come
from worker.ops.eta import HEADROOM, eta_s
from worker.ops.here import Case, what_next, why_here
from worker.ops.kin import others_of
from worker.ops.link_messages import of_present_link
from worker.ops.retention import Retention
from worker.ops.scene import Scene
from worker.ops.suppressing import StopList
from worker.ops.timeline import Origin, asked, timeline
from worker.ops.troubles import Cause, Stand, batch_names, causes, stand
from worker.ops.views import full_job_view, iso, shown_number

_TRAIL_SHOWN = 50
_WAITING = frozenset({JobState.AVAILABLE, JobState.SCHEDULED, JobState.IN_DOUBT})
_UNDER_WAY = frozenset({DeliveryState.PENDING, DeliveryState.SENDING})


async def job_page(scene: Scene, job_id: str, *, is_revealed: bool = False) -> dict[str, Any] | None:
    """Return one job with its story and prospects, or None; numbers and contacts masked unless *is_revealed*.

    Raises LedgerUnavailable, LimitsUnavailable.
    """
    job = await scene.ledger.queries.job(job_id)
    if job is None:
        return None
    case = await case_of(scene, job, await stand(scene))
    outlooks = await scene.ledger.reminding.outlook([job.invitation_id]) if scene.reminders_s else {}
    call = Call(case=case, outlook=outlooks.get(job.invitation_id), reminders_s=scene.reminders_s)
    batch = await scene.ledger.batches.get(job.batch_id) if job.batch_id else None
    acts = await scene.ledger.trail.find(subject=job.id, limit=_TRAIL_SHOWN)
    origin = origin_of(batch)
    why, coming = why_here(case), what_next(case)
    return {
        **full_job_view(job, case.history, case.deliveries, scene.catalogue, is_revealed=is_revealed),
        "timeline": timeline(
            job,
            case.history,
            case.deliveries,
            list(acts.items),
            scene.catalogue,
            origin=origin,
            is_revealed=is_revealed,
        ),
        "why_here": why["text"],
        "why_here_said": why,
        "next": coming,
        "reminders": reminders_to_come(call),
        "suppressed": await StopList(scene.ledger).of([job.request], is_revealed=is_revealed),
        "expires_at": iso(case.expires_ms),
        "asked": asked(job, is_revealed=is_revealed),
        "place": _place(case),
        "stops": [cause.what() for cause in case.stops],
        "customer": _customer(job, is_revealed=is_revealed),
        "batch_name": origin.batch_name,
        "file": origin.file,
        "others": await others_of(scene, job, is_revealed=is_revealed),
    }


async def case_of(scene: Scene, job: JobRecord, now: Stand) -> Case:
    """Return what decides what is said of a job; raises LedgerUnavailable."""
    where = await scene.ledger.survey.whereabouts(job.id)
    deliveries = await scene.ledger.deliveries.of_invitation(job.invitation_id)
    carrying = _carrying(job, deliveries)
    stops = await _stops(scene, job, of_present_link(job, carrying), now)
    return Case(
        job=job,
        history=list(await scene.ledger.queries.history(job.id)),
        deliveries=carrying,
        where=where,
        stops=stops,
        catalogue=scene.catalogue,
        now_ms=now.now_ms,
        expected_s=None if stops else expected_s(job, where, now),
        expires_ms=await _expires_ms(scene, job, where),
        doubt_grace_s=scene.doubt_grace_s,
        invitation_wait_s=scene.invitation_wait_s,
        is_suppressed=bool(await scene.ledger.suppressing.holds(contacts_of(job.request))),
    )


def _carrying(job: JobRecord, deliveries: list[DeliveryRecord]) -> list[DeliveryRecord]:
    return [each for each in deliveries if job.id in each.job_ids or not each.job_ids]


async def _stops(scene: Scene, job: JobRecord, deliveries: list[DeliveryRecord], now: Stand) -> list[Cause]:
    """Return what keeps the job waiting, or, where it is linked, its messages."""
    channels = {each.channel.value for each in deliveries if each.state in _UNDER_WAY}
    if job.state not in _WAITING and not channels:
        return []
    own = [f"batch:{job.batch_id}"] if job.batch_id else []
    found = causes(now, scene.catalogue, await batch_names(scene.ledger, own))
    if job.state in _WAITING:
        return [each for each in found if each.stops(job.lane, job.batch_id)]
    return [each for each in found if each.stops_messages(channels)]


def expected_s(job: JobRecord, where: Whereabouts, now: Stand) -> float | None:
    """Return seconds until an available job's call, at the present rate; None: it does not wait, or nobody knows."""
    if job.state is not JobState.AVAILABLE or where.before is None or now.limit.rate <= 0:
        return None
    if job.lane is Lane.LIVE:
        return (where.before + where.ahead.bulk + 1) / (HEADROOM * now.limit.rate)
    return eta_s(where.before + 1, where.ahead, rate=now.limit.rate)


async def _expires_ms(scene: Scene, job: JobRecord, where: Whereabouts) -> int | None:
    kept = {JobState.FAILED: scene.failed_keep_s, JobState.DEAD: scene.dead_keep_s}
    if job.state not in kept or where.kept_since_ms is None:
        return None
    retention = await Retention.read(scene.ledger, {job.state: kept[job.state]})
    return retention.end_ms(job.state, where.kept_since_ms)


def origin_of(batch: BatchRecord | None) -> Origin:
    """Return where the jobs of a batch came from, as people know it; of none, nothing."""
    if batch is None:
        return Origin()
    file = PurePath(batch.path).name if batch.path else None
    if file is None and batch.source == "csv":
        file = batch.name or None
    return Origin(file=file, batch_name=batch.name or None)


def _place(case: Case) -> dict[str, Any] | None:
    if case.where.before is None:
        return None
    ahead = case.where.before + case.where.ahead.live + case.where.ahead.bulk
    expected = None if case.expected_s is None else round(case.expected_s, 1)
    return {"ahead": ahead, "expected_s": expected}


def _customer(job: JobRecord, *, is_revealed: bool) -> dict[str, Any]:
    return {
        "query": job.id,  # never his number: it would stand in addresses and their logs
        "name": job.request.customer_name if is_revealed else job.request.business_name,
        "number": shown_number(job.number, is_revealed=is_revealed),
    }
