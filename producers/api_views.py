"""How the API shows jobs: the ledger's records as JSON documents, and one table that describes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from worker.domain.job import DeliveryRecord, JobRecord
from worker.domain.reasons import Catalogue


def iso_of_ms(at_ms: int | None) -> str | None:
    """Return an instant as ISO 8601 in UTC, to the millisecond."""
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def job_view(job: JobRecord, catalogue: Catalogue) -> dict[str, Any]:
    """Return a job as lists show it."""
    return {
        "job_id": job.id,
        "invitation_id": job.invitation_id,
        "product": job.product.value,
        "state": job.state.value,
        "lane": job.lane.value,
        "source": job.source,
        "batch": job.batch_id,
        "line": job.line,
        "number": job.number,
        "reference": job.request.reference,
        "external_id": job.request.external_id,
        "accepted_at": iso_of_ms(job.accepted_at_ms),
        "changed_at": iso_of_ms(job.changed_at_ms),
        "due_at": iso_of_ms(job.due_at_ms),
        "attempt": job.attempt,
        "failures": job.failures,
        "link": job.link,
        "landing_page": job.landing_page,
        "code": job.code,
        **_reason_view(job, catalogue),
    }


def _reason_view(job: JobRecord, catalogue: Catalogue) -> dict[str, Any]:
    if job.reason is None:
        return {"reason": None, "reason_class": None, "meaning": None, "remedy": None}
    reason = catalogue.named(job.reason)
    return {
        "reason": job.reason,
        "reason_class": job.reason_class,
        "meaning": reason.meaning,
        "remedy": reason.remedy,
    }


def full_job_view(
    job: JobRecord, deliveries: Sequence[DeliveryRecord], catalogue: Catalogue
) -> dict[str, Any]:
    """Return a job as its own page shows it: with the messages that carry its link."""
    mine = [delivery_view(delivery) for delivery in deliveries if job.id in delivery.job_ids]
    return {**job_view(job, catalogue), "deliveries": mine}


def delivery_view(delivery: DeliveryRecord) -> dict[str, Any]:
    """Return one message to the customer."""
    return {
        "delivery_id": delivery.id,
        "channel": delivery.channel.value,
        "state": delivery.state.value,
        "reason": delivery.reason,
        "changed_at": iso_of_ms(delivery.changed_at_ms),
        "due_at": iso_of_ms(delivery.due_at_ms),
        "waits_for": delivery.waits_for,
        "waits_until": iso_of_ms(delivery.due_at_ms) if delivery.waits_for else None,
    }
