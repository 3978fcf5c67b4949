"""What waits for the send window, in numbers and in a sentence."""

from __future__ import annotations

from typing import Any

from worker.ledger import Ledger
from worker.ops.views import iso
from worker.ops.words import said


async def window_view(ledger: Ledger) -> dict[str, Any]:
    """Return how many messages wait for the send window and until when, ready for JSON; raises LedgerUnavailable."""
    waiting = await ledger.window.waiting()
    if not waiting:
        return {"waiting": 0, "until": None, "by_channel": {}, "said": None}
    count, until = sum(each.count for each in waiting), iso(min(each.until_ms for each in waiting))
    return {
        "waiting": count,
        "until": until,
        "by_channel": {
            each.channel.value: {"waiting": each.count, "until": iso(each.until_ms)} for each in waiting
        },
        "said": said("window_waits", count=count, until_at=until),
    }
