"""When what stands in the failed queue, or among the dead letters, will be deleted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from worker.domain.states import JobState
from worker.ledger import Ledger
from worker.ops.views import iso
from worker.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long jobs are kept that need a person, and until when all of a state are that are due already."""

    keep_s: Mapping[JobState, float]  #: infinite: for ever
    later_ms: Mapping[JobState, int] = field(default_factory=dict)  #: see `Mending.due_later`

    @classmethod
    async def read(cls, ledger: Ledger, keep_s: Mapping[JobState, float]) -> Self:
        """Return what holds at present, of the states that are named; raises LedgerUnavailable."""
        later = {
            state: await ledger.due_later(state, kept)
            for state, kept in keep_s.items()
            if not math.isinf(kept)
        }
        return cls(
            keep_s=keep_s, later_ms={state: at_ms for state, at_ms in later.items() if at_ms is not None}
        )

    def end_ms(self, state: JobState, changed_at_ms: int) -> int | None:
        """Return when a job is deleted that has stood in *state* since then unless somebody sees to it, or None: never.

        One whose time is over may stay for a day more, so that its end can be warned of.
        """
        kept_s = self.keep_s.get(state, math.inf)
        if math.isinf(kept_s):
            return None
        return max(changed_at_ms + round(kept_s * 1000), self.later_ms.get(state, 0))

    def with_end(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return a job or message of a list with `expires_at`: when it is deleted, None for never or nobody knows."""
        if item["stage"] != "link":
            return {**item, "expires_at": None}
        since = datetime.fromisoformat(item["kept_since"] or item["changed_at"])
        since_ms = round(since.timestamp() * 1000)
        return {**item, "expires_at": iso(self.end_ms(JobState(item["state"]), since_ms))}


def kept_s(settings: Settings) -> dict[JobState, float]:
    """Return how many seconds a job is kept in each state that needs a person."""
    return {JobState.FAILED: settings.failed_keep, JobState.DEAD: settings.dead_keep}
