"""What operators ask of our own events, for the CLI and the console alike: plain dictionaries, ready for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from worker.domain.outgoing import OutgoingRecord, OutgoingState, SinkRecord
from worker.ledger import Ledger
from worker.ops.views import iso


class EventsOut:
    """Answers from the ledger's outbox, and tells events again."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def sinks(self) -> list[dict[str, Any]]:
        """Return how every sink stands that ever was switched on; raises LedgerUnavailable."""
        now_ms = await self._ledger.now_ms()
        return [sink_view(each, now_ms) for each in await self._ledger.outbox.sinks()]

    async def page(
        self, sink: str, state: OutgoingState, *, cursor: str | None, limit: int
    ) -> dict[str, Any]:
        """Return a sink's events in a state: `{"items", "next", "total"}`.

        Raises LedgerUnavailable, and ValueError for a cursor that is none of ours.
        """
        found = await self._ledger.outbox.find(sink=sink, state=state, cursor=cursor, limit=limit)
        return {"items": [event_view(each) for each in found.items], "next": found.next, "total": found.total}

    async def event(self, event_id: str) -> dict[str, Any] | None:
        """Return one event, or None; those told are known for a while only. Raises LedgerUnavailable."""
        record = await self._ledger.outbox.get(event_id)
        return None if record is None else event_view(record)

    async def retry(self, event_ids: Sequence[str], *, by: str, why: str = "") -> dict[str, Any]:
        """Tell these events again, now; return how many, and why not the others. Raises LedgerUnavailable."""
        refused: Counter[str] = Counter()
        for event_id in event_ids:
            mended = await self._ledger.outbox.retry(event_id, by=by, why=why)
            if not mended.done:
                refused[mended.refusal or "gone"] += 1
        return {"done": len(event_ids) - refused.total(), "refused": dict(refused)}

    async def retry_all(self, sinks: Sequence[str], *, by: str, why: str = "") -> dict[str, Any]:
        """Tell again, now, all events of *sinks* that failed or were put off, and turn the sinks on again.

        Counted are those too that waited only because their sink stood still. Raises LedgerUnavailable.
        """
        done = sum([await self._ledger.outbox.retry_all(sink, by=by, why=why) for sink in sinks])
        return {"done": done, "refused": {}}


def sink_view(sink: SinkRecord, now_ms: int) -> dict[str, Any]:
    """Return a sink as a row of a list."""
    return {
        "sink": sink.name,
        "standing": standing_of(sink, now_ms),
        "fault": sink.fault,
        "status": sink.status,
        "waiting": sink.waiting,
        "sending": sink.sending,
        "failed": sink.failed,
        "told": sink.told,
        "dropped": sink.dropped,
        "down_since": iso(sink.down_since_ms),
        "paused_until": iso(sink.paused_until_ms),
        "gone_since": iso(sink.gone_since_ms),
    }


def standing_of(sink: SinkRecord, now_ms: int) -> str:
    """Return `on`, `off`, `down`, `paused` or `gone`."""
    if not sink.is_enabled:
        return "off"
    if sink.gone_since_ms is not None:
        return "gone"
    if sink.down_since_ms is not None:
        return "down"
    return "paused" if sink.is_stopped(now_ms) else "on"


def event_view(event: OutgoingRecord) -> dict[str, Any]:
    """Return an event as a row of a list."""
    return {
        "event_id": event.id,
        "type": event.type.value,
        "sink": event.sink,
        "state": event.state.value,
        "job_id": event.job_id,
        "occurred_at": iso(event.occurred_at_ms),
        "due_at": iso(event.due_at_ms),
        "changed_at": iso(event.changed_at_ms),
        "attempt": event.attempt,
        "failures": event.failures,
        "fault": event.fault,
        "status": event.status,
    }
