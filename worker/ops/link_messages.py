"""Which messages tell of a job's present link, and which of one that it had before. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from worker.domain.change import Op
from worker.domain.job import DeliveryRecord, JobRecord

_REMINDER = "reminder"


def tells(job: JobRecord, message: DeliveryRecord) -> bool:
    """Tell whether *message*, which carries the job's link, is about the present one, and not about one before it."""
    if job.op == Op.REPLACE_CREATE:
        return False  # the present one is not made yet
    if message.template == _REMINDER:
        # One that is still to go out brings the links as they stand by then.
        is_open = message.due_at_ms is not None
        return is_open or job.made_at_ms is None or message.changed_at_ms >= job.made_at_ms
    if job.told_generation is None:
        return not job.replacements
    return message.generation == job.told_generation


def of_present_link(job: JobRecord, messages: Iterable[DeliveryRecord]) -> list[DeliveryRecord]:
    """Return those of the *messages* that tell of the job's present link."""
    return [each for each in messages if tells(job, each)]


def tries(message: DeliveryRecord) -> int:
    """Return how often the message was tried since it was last asked for, as far as that is counted."""
    match message.state.value:
        case "sent" | "sending" | "in_doubt":
            return message.failures + 1
        case "failed":
            return max(message.failures, 1)
        case _:
            return message.failures
