"""What happened over time as charts and sparklines need it."""

from __future__ import annotations

from typing import Any

from worker.ledger.series import NAMES, Series
from worker.ops.scene import Scene
from worker.ops.views import iso

#: What is looked at → (minutes, minutes per step).
SPANS = {"hour": (60, 1), "day": (24 * 60, 15), "week": (7 * 24 * 60, 60)}


async def series(scene: Scene, span: str) -> dict[str, Any]:
    """Return the last `hour` by minutes, `day` by quarters or `week` by hours; the last step is still filling.

    Raises LedgerUnavailable, and KeyError for another span.
    """
    minutes, step_min = SPANS[span]
    return series_document(await scene.ledger.series.read(minutes=minutes, step_min=step_min))


def series_document(read: Series) -> dict[str, Any]:
    """Return a series ready for JSON."""
    return {
        "start_at": iso(read.start_ms),
        "step_s": read.step_ms // 1000,
        "lines": {name: read.lines[name] for name in NAMES},
        "totals": {name: read.total(name) for name in NAMES},
        "sent_by": {
            name.partition(".")[2]: read.total(name) for name in read.lines if name.startswith("sent.")
        },
    }
