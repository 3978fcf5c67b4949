"""Failures by reason, how many and since when: of jobs and of messages alike."""

from __future__ import annotations

from collections.abc import Mapping

from worker.ledger.errors import translated
from worker.ledger.records import FailureGroup
from worker.ledger.scripts import Scripts


async def grouped(
    scripts: Scripts, index: str, reasons: Mapping[str, tuple[str, int | None]]
) -> list[FailureGroup]:
    """Return the failures of *reasons*, each with its class and code, largest group first.

    *index* is the key that a reason's name completes. Raises LedgerUnavailable.
    """
    if not reasons:
        return []
    with translated():
        # At one instant: a group's last job may be requeued while it is counted.
        async with scripts.redis.pipeline(transaction=True) as pipe:
            for reason in reasons:
                pipe.zcard(index + reason)
                pipe.zrange(index + reason, 0, 0, withscores=True)
                pipe.zrevrange(index + reason, 0, 0, withscores=True)
            replies = await pipe.execute()
    groups = [
        FailureGroup(
            reason=reason,
            reason_class=reason_class,
            code=code,
            count=count,
            first_ms=int(first[0][1]),
            last_ms=int(last[0][1]),
        )
        for (reason, (reason_class, code)), count, first, last in zip(
            reasons.items(), replies[::3], replies[1::3], replies[2::3], strict=True
        )
        if count
    ]
    return sorted(groups, key=lambda group: -group.count)
