"""How operators see records: JSON-ready, numbers and contacts masked unless a person asks to see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from worker.domain.change import under_way
from worker.domain.job import DeliveryRecord, HistoryEntry, JobRecord
from worker.domain.phone import mask_email, mask_number, mask_text
from worker.domain.reasons import Catalogue, Reason, ReasonClass
from worker.domain.states import DeliveryState, JobState
from worker.ops.link_messages import tells, tries
from worker.ops.remedies import FOR_GOOD, failed_with, with_job
from worker.ops.words import Said, said


def iso(at_ms: int | None) -> str | None:
    """Return an instant in milliseconds since 1970 as ISO 8601 in UTC."""
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def reason_view(name: str | None, catalogue: Catalogue) -> dict[str, Any]:
    """Return a reason with what it means and what to do about it."""
    return _reason_view(name, catalogue.named(name) if name else None)


def failed_view(name: str | None, catalogue: Catalogue, *, is_message: bool = False) -> dict[str, Any]:
    """Return the reason of a job, or a message, that is not tried again by itself any more."""
    return _reason_view(name, failed_with(name, catalogue, is_message=is_message) if name else None)


def _reason_view(name: str | None, reason: Reason | None) -> dict[str, Any]:
    if reason is None:
        return {"reason": None, "reason_class": None, "meaning": None, "remedy": None}
    return {
        "reason": name,
        "reason_class": str(reason.reason_class),
        "meaning": reason.meaning,
        "remedy": reason.remedy,
    }


def class_now(failed_with: str, known: str | None) -> str:
    """Return the class of a failure: that which it failed with, unless nobody knew its code then, and it is *known* now."""
    return known if failed_with == ReasonClass.UNKNOWN and known is not None else failed_with


def job_view(job: JobRecord, catalogue: Catalogue, *, is_revealed: bool = False) -> dict[str, Any]:
    """Return a job as a row of a list."""
    reason = (failed_view if job.state in FOR_GOOD else reason_view)(job.reason, catalogue)
    if job.reason_class is not None:
        reason["reason_class"] = class_now(job.reason_class, reason["reason_class"])
    return {
        "job_id": job.id,
        "invitation_id": job.invitation_id,
        "stage": "link",
        "product": job.product.value,
        "state": job.state.value,
        "name": shown_name(job, is_revealed=is_revealed),
        "number": shown_number(job.number, is_revealed=is_revealed),
        "lane": job.lane.value,
        "source": job.source,
        "batch": job.batch_id,
        "line": job.line,
        "reference": job.request.reference,
        "external_id": job.request.external_id,
        "accepted_at": iso(job.accepted_at_ms),
        "changed_at": iso(job.changed_at_ms),
        "kept_since": iso(job.kept_since_ms),
        "due_at": iso(job.due_at_ms),
        "attempt": job.attempt,
        "failures": job.failures,
        "requeues": job.requeues,
        "orphans": job.orphans,
        "code": job.code,
        "change": change_view(job),
        **reason,
        **_death(job),
    }


def change_view(job: JobRecord) -> Said | None:
    """Return in words what is being done to the job's link, or None."""
    change = under_way(job.op, job.state, job.product)
    return None if change is None else said(f"changing_{change}")


def _death(job: JobRecord) -> dict[str, Any]:
    """Return who made a job a dead letter: a person, his bulk act, or `policy` (its reason's own)."""
    if job.state is not JobState.DEAD:
        return {"dead_by": None, "dead_why": None, "dead_act": None}
    return {"dead_by": job.dead_by, "dead_why": job.dead_why, "dead_act": job.dead_act}


def full_job_view(
    job: JobRecord,
    history: list[HistoryEntry],
    deliveries: list[DeliveryRecord],
    catalogue: Catalogue,
    *,
    is_revealed: bool = False,
) -> dict[str, Any]:
    """Return a job with its link, the partner's answer, its history and its messages."""
    return {
        **job_view(job, catalogue, is_revealed=is_revealed),
        "link": job.link,
        "landing_page": job.landing_page,
        "is_cancel_asked": job.is_cancel_asked,
        "brand": job.request.brand,
        "is_agreed": job.request.is_agreed,
        "raw": job.raw if is_revealed else answered(job.raw),
        "contact": contact_view(job, is_revealed=is_revealed),
        "history": [
            {"at": iso(entry.at_ms), "event": entry.event, **_plain(entry.detail)} for entry in history
        ],
        "deliveries": [
            {**delivery_view(each, catalogue), "tells_link": tells(job, each)} for each in deliveries
        ],
    }


def contact_view(job: JobRecord, *, is_revealed: bool) -> dict[str, Any]:
    """Return where the job's invitation goes."""
    contact = job.request.contact
    return {
        "name": contact.name if is_revealed else None,
        "email": contact.email if is_revealed or not contact.email else mask_email(contact.email),
        "phone": shown_number(contact.phone, is_revealed=is_revealed),
        "locale": contact.locale,
    }


def delivery_view(delivery: DeliveryRecord, catalogue: Catalogue) -> dict[str, Any]:
    """Return one message to the customer."""
    if delivery.state is DeliveryState.FAILED:
        reason = failed_view(delivery.reason, catalogue, is_message=True)
    else:
        reason = reason_view(delivery.reason, catalogue)
    return {
        "delivery_id": delivery.id,
        "invitation_id": delivery.invitation_id,
        "stage": "delivery",
        "channel": delivery.channel.value,
        "template": delivery.template,
        "generation": delivery.generation,
        "state": delivery.state.value,
        "failures": delivery.failures,
        "tries": tries(delivery),
        "asked_again": delivery.asked_again,
        "doubts": delivery.doubts,
        "detail": answered(delivery.detail),
        "changed_at": iso(delivery.changed_at_ms),
        "due_at": iso(delivery.due_at_ms),
        "waits_for": delivery.waits_for,
        "waits_until": iso(delivery.due_at_ms) if delivery.waits_for else None,
        "job_ids": list(delivery.job_ids),
        **_with_job(reason, delivery.job_ids),
    }


def _with_job(reason: dict[str, Any], job_ids: Sequence[str]) -> dict[str, Any]:
    """Return a message's reason with one of its jobs in the commands of the remedy: to be typed as they stand."""
    if reason["remedy"] is None or not job_ids:
        return reason
    return reason | {"remedy": with_job(reason["remedy"], job_ids[0])}


def answered(raw: object) -> str | None:
    """Return what the partner or a provider answered, masked once more: an older version may have kept it less so."""
    return mask_text(str(raw)) if raw else None


def shown_name(job: JobRecord, *, is_revealed: bool) -> str | None:
    """Return the business that a job is for, as an operator may see it: never the name of a person unless revealed.

    A number or an address within a business's name is masked like every other.
    """
    name = job.request.business_name or job.request.display_name
    if is_revealed:
        return name or job.request.contact.name
    return mask_text(name) if name else None


def shown_number(digits: str | None, *, is_revealed: bool) -> str | None:
    """Return a number as an operator may see it."""
    if digits is None or is_revealed:
        return digits
    return mask_number(digits)


def _plain(detail: Mapping[str, object]) -> dict[str, object]:
    return {
        name: value for name, value in detail.items() if value is not None and name not in {"at", "event"}
    }
