"""When what stands in the failed queue, or among the dead letters, will be deleted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from worker.domain.states import JobState
from worker.settings import Settings


def kept_s(settings: Settings) -> dict[str, float]:
    """Return how many seconds a job is kept in each state that needs a person."""
    return {JobState.FAILED.value: settings.failed_keep, JobState.DEAD.value: settings.dead_keep}


def with_expiry(page: Mapping[str, Any], keep_s: Mapping[str, float]) -> dict[str, Any]:
    """Return a page of jobs with `expires_at` on each: when it is deleted unless somebody sees to it."""
    return {**page, "items": [_expiring(item, keep_s) for item in page["items"]]}


def _expiring(item: Mapping[str, Any], keep_s: Mapping[str, float]) -> dict[str, Any]:
    kept = keep_s.get(str(item["state"])) if item["stage"] == "link" else None
    if kept is None:
        return {**item, "expires_at": None}
    at = datetime.fromisoformat(item["changed_at"]) + timedelta(seconds=kept)
    return {**item, "expires_at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
