"""How events that came in are written into the ledger, and read back."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from worker.domain.event import (
    ClaimedEvent,
    EventDone,
    EventFailed,
    EventOutcome,
    EventReceipt,
    EventRecord,
    EventRetry,
    EventSkipped,
    EventState,
    EventVerdict,
    NewEvent,
)
from worker.domain.ids import INVITATION_ID_LENGTH, invitation_of, is_job_id
from worker.domain.job import HistoryEntry, Lease
from worker.domain.parse import Problem
from worker.ledger.accepting import ms
from worker.ledger.codec import flag, history_entry
from worker.ledger.keys import UNIT_SEPARATOR as US
from worker.ledger.scripts import text

#: Bytes of SHA-256 kept: two keys of ten million met in one week would share a mark once in 10¹⁵ weeks.
_MARK_BYTES, _DIGEST_BYTES = 12, 9
_VERDICTS = {
    "R": EventVerdict.RECORDED,
    "D": EventVerdict.DUPLICATE,
    "A": EventVerdict.ALTERED,
    "F": EventVerdict.FULL,
}
#: Values per event in the answer of `intake_claim.lua`.
_CLAIM_WIDTH = 6


def event_args(event: NewEvent) -> tuple[str, ...]:
    """Return what `intake_record.lua` takes for one event; raises ValueError for one that cannot be kept."""
    if not event.id or US in event.id or not event.source or not event.key:
        raise ValueError("an event needs an id, a source and a key")
    mark = _short(f"{event.source}{US}{event.key}", _MARK_BYTES)
    return event.id, event.source, event.key, mark, _short(event.digest, _DIGEST_BYTES), event.body


def event_receipt(reply: Any) -> EventReceipt:
    """Return what `intake_record.lua` answered for one event."""
    answer = text(reply)
    return EventReceipt(id=answer[1:], verdict=_VERDICTS[answer[0]])


def claimed_events(reply: Sequence[Any], source: str, token: str, lease_s: float) -> list[ClaimedEvent]:
    """Return what `intake_claim.lua` answered."""
    lease_end_ms, rows = int(reply[0]), reply[1:]
    events = []
    for at in range(0, len(rows), _CLAIM_WIDTH):
        subject, key, body, attempt, failures, received_at = [
            text(value) for value in rows[at : at + _CLAIM_WIDTH]
        ]
        lease = Lease(subject_id=subject, token=token, expires_at_ms=lease_end_ms, ttl_s=lease_s)
        events.append(
            ClaimedEvent(
                id=subject,
                source=source,
                key=key,
                body=body,
                attempt=int(attempt),
                failures=int(failures),
                received_at_ms=int(float(received_at)),
                lease=lease,
            )
        )
    return events


def outcome_args(outcome: EventOutcome) -> tuple[str | int, ...]:
    """Return what `intake_settle.lua` takes for one outcome after the event and the token."""
    match outcome:
        case EventDone():
            return "done", _packed(outcome.job_ids), flag(not outcome.is_new), flag(outcome.contact_differs)
        case EventSkipped():
            return "skipped", outcome.reason, "", ""
        case EventFailed():
            return "failed", outcome.reason, _written(outcome.problems), ""
        case EventRetry():
            most = "" if outcome.max_failures is None else outcome.max_failures
            return "retry", outcome.reason, ms(outcome.delay_s), most


def event_record(
    event_id: str, row: Mapping[Any, Any], body: Any = None, history: Sequence[Any] = ()
) -> EventRecord | None:
    """Return the record for one event's hash, or None when there is no such event."""
    fields = {text(name): text(value) for name, value in row.items()}
    if "s" not in fields:
        return None
    state, received_at_ms = EventState(fields["s"]), _ms_of(fields["t"])
    return EventRecord(
        id=event_id,
        source=fields["o"],
        key=fields["k"],
        state=state,
        received_at_ms=received_at_ms,
        changed_at_ms=_ms_of(fields.get("c", fields["t"])),
        attempt=int(fields.get("a", 0)),
        failures=int(fields.get("f", 0)),
        reason=fields.get("r"),
        problems=_read(fields.get("v", "")),
        job_ids=_unpacked(fields.get("j", "")),
        is_new="w" not in fields,
        contact_differs="x" in fields,
        due_at_ms=_ms_of(fields.get("d", fields["t"])) if state is EventState.WAITING else None,
        body="" if body is None else text(body),
        history=tuple(_entries(history)),
    )


def _entries(history: Sequence[Any]) -> list[HistoryEntry]:
    return [history_entry(value) for value in history]


def _short(whole: str, size: int) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(whole.encode()).digest()[:size]).decode()


def _packed(job_ids: Sequence[str]) -> str:
    """Return job ids as one word per invitation, its jobs' characters behind it: short enough for a listpack."""
    words: list[str] = []
    for job in job_ids:
        if words and is_job_id(job) and words[-1].startswith(invitation_of(job)):
            words[-1] += job[-1]
        else:
            words.append(job)
    return ",".join(words)


def _unpacked(words: str) -> tuple[str, ...]:
    jobs: list[str] = []
    for word in words.split(",") if words else ():
        invitation, codes = word[:INVITATION_ID_LENGTH], word[INVITATION_ID_LENGTH:]
        jobs += [invitation + code for code in codes] or [word]
    return tuple(jobs)


def _written(problems: Sequence[Problem]) -> str:
    if not problems:
        return ""
    rows = [(each.field, each.code, each.message, each.remedy) for each in problems]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def _read(problems: str) -> tuple[Problem, ...]:
    return tuple(Problem(*row) for row in json.loads(problems)) if problems else ()


def _ms_of(word: str) -> int:
    return int(float(word))
