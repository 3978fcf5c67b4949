"""How operators see records: JSON-ready, numbers and contacts masked unless a person asks to see them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from worker.domain.job import DeliveryRecord, HistoryEntry, JobRecord
from worker.domain.phone import mask_email, mask_number
from worker.domain.reasons import Catalogue
from worker.domain.states import JobState


def iso(at_ms: int | None) -> str | None:
    """Return an instant in milliseconds since 1970 as ISO 8601 in UTC."""
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def reason_view(name: str | None, catalogue: Catalogue) -> dict[str, Any]:
    """Return a reason with what it means and what to do about it."""
    if name is None:
        return {"reason": None, "reason_class": None, "meaning": None, "remedy": None}
    reason = catalogue.named(name)
    return {
        "reason": name,
        "reason_class": str(reason.reason_class),
        "meaning": reason.meaning,
        "remedy": reason.remedy,
    }


def job_view(job: JobRecord, catalogue: Catalogue, *, is_revealed: bool = False) -> dict[str, Any]:
    """Return a job as a row of a list."""
    reason = reason_view(job.reason, catalogue)
    if job.reason_class is not None:
        reason["reason_class"] = job.reason_class
    return {
        "job_id": job.id,
        "invitation_id": job.invitation_id,
        "stage": "link",
        "product": job.product.value,
        "state": job.state.value,
        "number": shown_number(job.number, is_revealed=is_revealed),
        "lane": job.lane.value,
        "source": job.source,
        "batch": job.batch_id,
        "line": job.line,
        "reference": job.request.reference,
        "external_id": job.request.external_id,
        "accepted_at": iso(job.accepted_at_ms),
        "changed_at": iso(job.changed_at_ms),
        "due_at": iso(job.due_at_ms),
        "attempt": job.attempt,
        "failures": job.failures,
        "requeues": job.requeues,
        "orphans": job.orphans,
        "code": job.code,
        **reason,
        **_death(job),
    }


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
        "raw": job.raw,
        "contact": contact_view(job, is_revealed=is_revealed),
        "history": [
            {"at": iso(entry.at_ms), "event": entry.event, **_plain(entry.detail)} for entry in history
        ],
        "deliveries": [delivery_view(each, catalogue) for each in deliveries],
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
    return {
        "delivery_id": delivery.id,
        "invitation_id": delivery.invitation_id,
        "stage": "delivery",
        "channel": delivery.channel.value,
        "template": delivery.template,
        "generation": delivery.generation,
        "state": delivery.state.value,
        "failures": delivery.failures,
        "doubts": delivery.doubts,
        "detail": delivery.detail,
        "changed_at": iso(delivery.changed_at_ms),
        "due_at": iso(delivery.due_at_ms),
        "job_ids": list(delivery.job_ids),
        **reason_view(delivery.reason, catalogue),
    }


def shown_number(digits: str | None, *, is_revealed: bool) -> str | None:
    """Return a number as an operator may see it."""
    if digits is None or is_revealed:
        return digits
    return mask_number(digits)


def _plain(detail: Mapping[str, object]) -> dict[str, object]:
    return {
        name: value for name, value in detail.items() if value is not None and name not in {"at", "event"}
    }
