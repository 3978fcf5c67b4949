"""What operators ask of and do to the events that came in from a CRM, for the CLI and the console alike."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from worker.domain.event import EventRecord, EventState
from worker.domain.phone import mask_text
from worker.ledger import Ledger, Mended
from worker.ops.queries import DEFAULT_LIMIT
from worker.ops.views import iso

PAGE = 500
AT_ONCE = 20  #: acts in flight: bulk acts must not crowd out the workers' own scripts
_MASK = "***"
_ELIGIBLE = frozenset({EventState.FAILED, EventState.WAITING})


class EventAct(StrEnum):
    """What may be done to an event."""

    RETRY = "retry"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPreview:
    """What a bulk act would touch: exactly these events, whatever arrives meanwhile."""

    act: EventAct
    ids: tuple[str, ...]
    by_reason: dict[str, int]
    not_eligible: dict[str, int]  #: why not → how many

    def document(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "act": self.act.value,
            "count": len(self.ids),
            "by_reason": self.by_reason,
            "not_eligible": self.not_eligible,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EventReport:
    """What a bulk act came to."""

    act: EventAct
    done: int = 0
    refused: dict[str, int] = field(default_factory=dict)  #: why → how many

    def document(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {"act": self.act.value, "done": self.done, "refused": self.refused}


class EventQueries:
    """Answers about events; changes nothing."""

    def __init__(self, ledger: Ledger) -> None:
        """Ask *ledger*."""
        self._ledger = ledger

    async def events(
        self,
        *,
        source: str | None = None,
        state: EventState | None = None,
        reason: str | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> dict[str, Any]:
        """Return a page of events, latest change first, without what they said: `{"items", "next", "total"}`.

        Raises LedgerUnavailable, ValueError (not one of our cursors).
        """
        page = await self._ledger.intake.find(
            source=source, state=state, reason=reason, cursor=cursor, limit=limit
        )
        return {
            "items": [event_view(record) for record in page.items],
            "next": page.next,
            "total": page.total,
            "is_total_exact": page.is_total_exact,
        }

    async def event(self, event_id: str, *, is_revealed: bool = False) -> dict[str, Any] | None:
        """Return one event with what it said, or None; texts are masked unless *is_revealed*. Raises LedgerUnavailable."""
        record = await self._ledger.intake.get(event_id)
        return None if record is None else full_event_view(record, is_revealed=is_revealed)

    async def counts(self) -> dict[str, dict[str, int]]:
        """Return how many events of each source stand in each state; raises LedgerUnavailable."""
        counts = await self._ledger.intake.counts()
        return {
            source: {state.value: states.get(state, 0) for state in EventState}
            for source, states in counts.items()
        }


class EventCommands:
    """Acts on events, each with who did it and why. Bulk acts work on a set that was frozen when it was shown."""

    def __init__(self, ledger: Ledger) -> None:
        """Act on *ledger*."""
        self._intake = ledger.intake
        self._trail = ledger.trail

    async def retry(self, event_id: str, *, by: str, why: str) -> dict[str, Any]:
        """Let one event be worked on again, now; raises LedgerUnavailable, LedgerFull."""
        return mended_view(event_id, await self._intake.retry(event_id, by=by, why=why, is_accounted=True))

    async def discard(self, event_id: str, *, by: str, why: str) -> dict[str, Any]:
        """Skip one event for good; what it said is deleted. Raises LedgerUnavailable."""
        return mended_view(event_id, await self._intake.discard(event_id, by=by, why=why, is_accounted=True))

    async def preview(
        self, act: EventAct, *, source: str | None = None, reason: str | None = None
    ) -> EventPreview:
        """Return what *act* on all failed events (of *source*, for *reason*) would touch; raises LedgerUnavailable."""
        records: dict[str, EventRecord] = {}
        cursor: str | None = None
        while True:
            page = await self._intake.find(source=source, state=EventState.FAILED, cursor=cursor, limit=PAGE)
            records |= {each.id: each for each in page.items if reason in (None, each.reason)}
            cursor = page.next
            if cursor is None:
                return _weigh(act, list(records.values()), missing=0)

    async def preview_ids(self, act: EventAct, ids: Sequence[str]) -> EventPreview:
        """Return what *act* on these events, failed or waiting, would touch; raises LedgerUnavailable."""
        wanted = list(dict.fromkeys(ids))
        records = [await self._intake.get(event_id) for event_id in wanted]
        known = [record for record in records if record is not None]
        return _weigh(act, known, missing=len(wanted) - len(known))

    async def carry_out(
        self,
        preview: EventPreview,
        *,
        by: str,
        why: str,
        on_progress: Callable[[int], None] | None = None,
    ) -> EventReport:
        """Do what was previewed, to exactly those events; what has changed since is refused and counted.

        Raises:
            LedgerUnavailable: some may have been done; asking again is harmless.
            LedgerFull: on a retry.
        """
        act = self._act(preview.act)
        # Said first; how each of them ended stands in its own history.
        await self._trail.record(
            f"event_{preview.act.value}",
            by=by,
            why=why,
            subject=preview.ids[0] if len(preview.ids) == 1 else "",
            detail={"events": len(preview.ids)},
        )
        refused: Counter[str] = Counter()
        done = 0
        for start in range(0, len(preview.ids), AT_ONCE):
            chunk = preview.ids[start : start + AT_ONCE]
            for mended in await asyncio.gather(*(act(each, by=by, why=why) for each in chunk)):
                done += mended.done
                if not mended.done:
                    refused[mended.refusal or "refused"] += 1
            if on_progress is not None:
                on_progress(start + len(chunk))
        return EventReport(act=preview.act, done=done, refused=dict(refused))

    def _act(self, act: EventAct) -> Callable[..., Awaitable[Mended]]:
        return self._intake.retry if act is EventAct.RETRY else self._intake.discard


def event_view(event: EventRecord) -> dict[str, Any]:
    """Return an event as a row of a list: nothing of what it said."""
    return {
        "event_id": event.id,
        "source": event.source,
        "key": event.key,
        "state": event.state.value,
        "received_at": iso(event.received_at_ms),
        "changed_at": iso(event.changed_at_ms),
        "due_at": iso(event.due_at_ms),
        "attempt": event.attempt,
        "failures": event.failures,
        "reason": event.reason,
        "problems": [{"field": each.field, "code": each.code} for each in event.problems],
        "job_ids": list(event.job_ids),
        "is_new": event.is_new if event.state is EventState.DONE else None,  # else nobody knows yet
        "contact_differs": event.contact_differs,
    }


def full_event_view(event: EventRecord, *, is_revealed: bool = False) -> dict[str, Any]:
    """Return an event with what it said, what is wrong with it, and what operators did to it.

    Not *is_revealed*, every text in its body is masked, and every number long enough to be a telephone's.
    """
    shown = _as_it_is if is_revealed else mask_text
    return {
        **event_view(event),
        "problems": [
            {"field": each.field, "code": each.code, "message": shown(each.message), "remedy": each.remedy}
            for each in event.problems
        ],
        "body": _body(event.body, is_revealed=is_revealed),
        "history": [
            {"at": iso(entry.at_ms), "event": entry.event, **entry.detail} for entry in event.history
        ],
    }


def mended_view(event_id: str, mended: Mended) -> dict[str, Any]:
    """Return what an operator's act on one event came to."""
    return {
        "event_id": event_id,
        "done": mended.done,
        "state": None if mended.state is None else mended.state.value,
        "refusal": mended.refusal,
    }


def _weigh(act: EventAct, records: Sequence[EventRecord], *, missing: int) -> EventPreview:
    fitting = [each for each in records if each.state in _ELIGIBLE]
    others = Counter(f"it is {each.state.value}" for each in records if each.state not in _ELIGIBLE)
    if missing:
        others["there is no such event"] = missing
    reasons = Counter(each.reason or each.state.value for each in fitting)
    return EventPreview(
        act=act,
        ids=tuple(each.id for each in fitting),
        by_reason=dict(reasons.most_common()),
        not_eligible=dict(others),
    )


def _body(body: str, *, is_revealed: bool) -> Any:
    """Return a recorded body as JSON, masked or not; None when it is gone."""
    if not body:
        return None
    try:
        document = json.loads(body)
    except ValueError:
        return body if is_revealed else _MASK
    if is_revealed:
        return document
    try:
        return _masked(_opened(document))
    except (ValueError, RecursionError):
        return _masked(document)


def _opened(document: Any) -> Any:
    """Return a report of the partner with its JSON in place of the text, so that its names are seen though it is masked.

    Raises ValueError, RecursionError where the text is no such JSON.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("body"), str):
        return document
    return {**document, "body": json.loads(document["body"])}


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {mask_text(name): _masked(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_masked(each) for each in value]
    if isinstance(value, str):
        # A name looks like any other word: only a number or an address by itself is shown in part.
        masked = mask_text(value)
        return masked if not value or (masked != value and len(value.split()) == 1) else _MASK
    if isinstance(value, bool | None):
        return value
    return value if mask_text(str(value)) == str(value) else mask_text(str(value))


def _as_it_is(text: str) -> str:
    return text
