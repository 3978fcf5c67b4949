"""What happened to a job and its messages, in sentences, oldest first. Pure.

Each entry: `{"at", "kind", "code", "params", "text", "tone", "detail"}`; `kind` is accepted, attempt, wait, message,
act, partner or other, `tone` is good, bad, warn or plain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from worker.domain.canonical import PERSONAL_FIELDS, mask_field
from worker.domain.change import reference_of
from worker.domain.dedupe import partner_fields
from worker.domain.job import DeliveryRecord, HistoryEntry, JobRecord
from worker.domain.phone import mask_text
from worker.domain.reasons import Catalogue
from worker.domain.states import DeliveryState
from worker.ledger.reminding import REMINDER
from worker.ledger.trail import TrailEntry
from worker.ops.link_messages import tells
from worker.ops.views import answered, iso
from worker.ops.words import WORDS, Said, said

Entry = dict[str, Any]
_Detail = Mapping[str, Any]
_SHOWN_OF_TRAIL = {"reveal": "act_revealed"}
_EVENTS_KEPT = 50  #: of one job; see `note` in lua/prelude.lua
_NEW_REFERENCE = frozenset({"replace_asked", "deleted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a job came from, as people know it."""

    file: str | None = None
    batch_name: str | None = None


@dataclass(frozen=True, slots=True)
class _Story:
    """One job's history, being told."""

    job: JobRecord
    catalogue: Catalogue
    is_revealed: bool
    last_edit_ms: int  #: attempts before it asked for something else
    last_link_ms: int  #: attempts before it asked by another reference: for a link that was replaced since

    def meaning(self, reason: Any) -> dict[str, Any]:
        name = str(reason or "unknown_none")
        return {"reason": name, "meaning": self.catalogue.named(name).meaning}


def timeline(
    job: JobRecord,
    history: list[HistoryEntry],
    deliveries: list[DeliveryRecord],
    acts: list[TrailEntry],
    catalogue: Catalogue,
    *,
    origin: Origin,
    is_revealed: bool = False,
) -> list[Entry]:
    """Return what happened to a job, its messages and what operators did, oldest first."""
    edits = [entry.at_ms for entry in history if entry.detail.get("edited") == "1"]
    replaced = [entry.at_ms for entry in history if job.replacements and entry.event in _NEW_REFERENCE]
    story = _Story(job, catalogue, is_revealed, max(edits, default=0), max(replaced, default=0))
    entries = [_accepted(job, origin)]
    if len(history) > _EVENTS_KEPT:
        entries.append(remark(iso(history[1].at_ms), "story_trimmed"))
    for each in history[1:]:
        tell = _TELLERS.get(each.event, _other)
        entries += tell(each, story)
    entries += [_message(each, job, catalogue) for each in deliveries]
    entries += [
        _entry(each.at_ms, "act", said(_SHOWN_OF_TRAIL[each.act], by=each.by), detail={"by": each.by})
        for each in acts
        if each.act in _SHOWN_OF_TRAIL
    ]
    # Equal instants stay in the order of the history, which is the order of events.
    return sorted(entries, key=lambda entry: str(entry["at"]))


def asked(job: JobRecord, *, is_revealed: bool = False) -> dict[str, str | int]:
    """Return what the partner is asked for, as an operator may see it."""
    fields: dict[str, str | int] = {
        **partner_fields(job.request, job.product),
        "reference": reference_of(job.id, job.replacements),
    }
    if is_revealed:
        return fields
    return {name: _masked(name, value) for name, value in fields.items()}


def _masked(name: str, value: str | int) -> str | int:
    if name == "reference" or isinstance(value, int):
        return value
    return mask_field(name, value) if name in PERSONAL_FIELDS else mask_text(value)


def remark(at: str | None, code: str) -> Entry:
    """Return a remark on the story itself, to stand at that instant."""
    return {"at": at, "kind": "other", **said(code), "tone": "plain", "detail": {}}


# --- one entry ---------------------------------------------------------------------------------------------


def _entry(at_ms: int, kind: str, what: Said, *, tone: str = "plain", detail: _Detail | None = None) -> Entry:
    kept = {name: value for name, value in (detail or {}).items() if value not in (None, "")}
    return {"at": iso(at_ms), "kind": kind, **what, "tone": tone, "detail": kept}


def _accepted(job: JobRecord, origin: Origin) -> Entry:
    params: dict[str, Any] = {"source": job.source}
    if origin.file and job.line is not None:
        what = said("accepted_file", file=origin.file, line=job.line)
    elif job.batch_id and job.line is not None:
        what = said("accepted_line", **params, line=job.line, batch=origin.batch_name or job.batch_id)
    elif job.batch_id:
        what = said("accepted_batch", **params, batch=origin.batch_name or job.batch_id)
    else:
        what = said("accepted_source", **params)
    detail = {"source": job.source, "batch": job.batch_id, "file": origin.file, "line": job.line}
    return _entry(job.accepted_at_ms, "accepted", what, detail=detail)


def _timed(code: str, detail: _Detail, **params: Any) -> Said:
    """Return a sentence with the length of the call, or its twin for what was recorded without one."""
    call_ms = detail.get("call_ms")
    if call_ms is None:
        return said(f"{code}_untimed", **params)
    return said(code, call_s=int(call_ms) / 1000, **params)


def _attempt_detail(each: HistoryEntry, story: _Story, **more: Any) -> dict[str, Any]:
    detail = each.detail
    began, call_ms = detail.get("began_ms"), detail.get("call_ms")
    found: dict[str, Any] = {
        "attempt": detail.get("attempt"),
        "began_at": None if began is None else iso(int(began)),
        "duration_s": None if began is None else round((each.at_ms - int(began)) / 1000, 3),
        "call_s": None if call_ms is None else int(call_ms) / 1000,
        "reason": detail.get("reason"),
        "code": detail.get("code"),
        "answered": answered(detail.get("raw")),
        **more,
    }
    if call_ms is not None and each.at_ms >= story.last_edit_ms:
        found["asked"] = asked(story.job, is_revealed=story.is_revealed)
        if each.at_ms < story.last_link_ms:
            del found["asked"]["reference"]
    return found


def _attempt(code: str, tone: str) -> Callable[[HistoryEntry, _Story], list[Entry]]:
    def tell(each: HistoryEntry, story: _Story) -> list[Entry]:
        params: dict[str, Any] = {"attempt": each.detail.get("attempt")}
        its_code = code
        if code != "attempt_linked":
            params |= story.meaning(each.detail.get("reason"))
        if code == "attempt_failed" and "failures" in each.detail:
            its_code = "attempt_gave_up"
        what = _timed(its_code, each.detail, **params)
        more = {"meaning": params.get("meaning")}
        return [_entry(each.at_ms, "attempt", what, tone=tone, detail=_attempt_detail(each, story, **more))]

    return tell


def _retry(each: HistoryEntry, story: _Story) -> list[Entry]:
    params = {"attempt": each.detail.get("attempt"), **story.meaning(each.detail.get("reason"))}
    next_at = _due(each)
    if next_at is None:
        what = said("attempt_retry_untimed", **params)
    else:
        what = _timed("attempt_retry", each.detail, **params, next_at=next_at)
    detail = _attempt_detail(each, story, meaning=params["meaning"], next_at=next_at)
    return [_entry(each.at_ms, "attempt", what, tone="warn", detail=detail)]


def _snoozed(each: HistoryEntry, story: _Story) -> list[Entry]:
    params = {"attempt": each.detail.get("attempt"), **story.meaning(each.detail.get("reason"))}
    next_at = _due(each)
    code = "attempt_snoozed_now" if next_at is None else "attempt_snoozed"
    what = said(code, **params, **({} if next_at is None else {"next_at": next_at}))
    detail = _attempt_detail(each, story, meaning=params["meaning"], next_at=next_at)
    return [_entry(each.at_ms, "wait", what, tone="warn", detail=detail)]


def _due(each: HistoryEntry) -> str | None:
    due_ms = each.detail.get("due_ms")
    return None if due_ms is None else iso(int(due_ms))


def _rescued(each: HistoryEntry, story: _Story) -> list[Entry]:
    state = str(each.detail.get("state"))
    what = said(f"rescued_{state}", attempt=each.detail.get("attempt"))
    detail = _attempt_detail(each, story, next_at=_due(each), reason=None)
    return [_entry(each.at_ms, "attempt", what, tone="bad" if state == "failed" else "warn", detail=detail)]


def _absent(each: HistoryEntry, _story: _Story) -> list[Entry]:
    return [_entry(each.at_ms, "partner", said("lookup_absent"))]


def _resolved(each: HistoryEntry, story: _Story) -> list[Entry]:
    state, reason = str(each.detail.get("state")), each.detail.get("reason")
    if state == "failed" and reason:
        what = said("resolved_failed", **story.meaning(reason))
    else:
        what = said("resolved_gave_up" if state == "failed" else f"resolved_{state}")
    return [_entry(each.at_ms, "partner", what, tone=_TONES.get(state, "plain"), detail={"reason": reason})]


def _explained(each: HistoryEntry, story: _Story) -> list[Entry]:
    state, reason = str(each.detail.get("state")), each.detail.get("reason")
    params = story.meaning(reason) if state == "failed" else {}
    what = said(f"explained_{state}", **params)
    detail = {"reason": reason, "was": each.detail.get("was")}
    return [_entry(each.at_ms, "partner", what, tone=_TONES.get(state, "plain"), detail=detail)]


def _completed(each: HistoryEntry, _story: _Story) -> list[Entry]:
    return [_entry(each.at_ms, "partner", said(f"completed_{each.detail.get('how')}"), tone="good")]


def _vanished(each: HistoryEntry, _story: _Story) -> list[Entry]:
    return [_entry(each.at_ms, "partner", said("vanished"), tone="bad")]


def _released(each: HistoryEntry, _story: _Story) -> list[Entry]:
    return [_entry(each.at_ms, "partner", said("released", was=str(each.detail.get("was", ""))), tone="good")]


_TONES = {"linked": "good", "onboarded": "good", "failed": "bad"}


# --- what operators did ------------------------------------------------------------------------------------


def acted(code: str, by: object, why: object, **params: Any) -> Said:
    """Return a sentence about an operator's act, with his words where he gave some."""
    if why:
        return said(f"{code}_why", by=str(by or "?"), why=str(why), **params)
    return said(code, by=str(by or "?"), **params)


def _act(code: str) -> Callable[[HistoryEntry, _Story], list[Entry]]:
    def tell(each: HistoryEntry, _story: _Story) -> list[Entry]:
        detail = each.detail
        is_edited = code == "act_requeued" and detail.get("edited") == "1"
        what = acted("act_requeued_edited" if is_edited else code, detail.get("by"), detail.get("why"))
        return [_entry(each.at_ms, "act", what, detail=_who(detail))]

    return tell


def _who(detail: _Detail) -> dict[str, Any]:
    """Return who did it and why, and by which bulk act."""
    return {name: detail.get(name) for name in ("by", "why", "act")}


def _edited(each: HistoryEntry, _story: _Story) -> list[Entry]:
    by, changes = str(each.detail.get("by") or "?"), mask_text(str(each.detail.get("changes", "")))
    return [_entry(each.at_ms, "act", said("act_edited", by=by, changes=changes), detail={"by": by})]


def _called_off(each: HistoryEntry, story: _Story) -> list[Entry]:
    """Tell of an end that somebody asked for: cancelled, called_off, revoked."""
    if "by" in each.detail:
        return _act(f"act_{each.event}")(each, story)
    what = said(f"attempt_{each.event}", attempt=each.detail.get("attempt"))
    return [_entry(each.at_ms, "attempt", what, detail=_attempt_detail(each, story))]


def _deleted(each: HistoryEntry, story: _Story) -> list[Entry]:
    code = "attempt_deleted" if each.detail.get("found") == "1" else "attempt_deleted_gone"
    return _delete(code, each, story, "plain")


def _finished(each: HistoryEntry, story: _Story) -> list[Entry]:
    return _delete("attempt_finished", each, story, "good")


def _delete(code: str, each: HistoryEntry, story: _Story, tone: str) -> list[Entry]:
    detail = _attempt_detail(each, story)
    detail.pop("asked", None)  # a create's
    what = _timed(code, each.detail, attempt=each.detail.get("attempt"))
    return [_entry(each.at_ms, "attempt", what, tone=tone, detail=detail)]


def _dead(each: HistoryEntry, story: _Story) -> list[Entry]:
    return _attempt("attempt_dead", "bad")(each, story)


def _resend(each: HistoryEntry, _story: _Story) -> list[Entry]:
    detail = each.detail
    channel, was, was_ms = str(detail.get("channel")), str(detail.get("was", "")), detail.get("was_ms")
    entries = []
    if was_ms is not None and was in _MESSAGE_BEFORE:
        before = said(_MESSAGE_BEFORE[was], channel=channel)
        entries.append(_entry(int(was_ms), "message", before, detail={"channel": channel, "state": was}))
    code = "act_readdressed" if detail.get("readdressed") == "1" else "act_resend"
    what = acted(code, detail.get("by"), detail.get("why"), channel=channel)
    return [*entries, _entry(each.at_ms, "act", what, detail={**_who(detail), "channel": channel})]


def _other(each: HistoryEntry, _story: _Story) -> list[Entry]:
    """Tell of an event that another version of Linkferry wrote."""
    return [_entry(each.at_ms, "other", said("other_event", event=each.event), detail=each.detail)]


_TELLERS: Mapping[str, Callable[[HistoryEntry, _Story], list[Entry]]] = {
    "linked": _attempt("attempt_linked", "good"),
    "failed": _attempt("attempt_failed", "bad"),
    "dead": _dead,
    "held": _attempt("attempt_held", "warn"),
    "in_doubt": _attempt("attempt_in_doubt", "warn"),
    "retry": _retry,
    "snoozed": _snoozed,
    "rescued": _rescued,
    "absent": _absent,
    "resolved": _resolved,
    "explained": _explained,
    "released": _released,
    "completed": _completed,
    "vanished": _vanished,
    "edited": _edited,
    "requeued": _act("act_requeued"),
    "discarded": _act("act_discarded"),
    "restored": _act("act_restored"),
    "cancel_asked": _act("act_cancel_asked"),
    "cancelled": _called_off,
    "called_off": _called_off,
    "revoked": _called_off,
    "deleted": _deleted,
    "finished": _finished,
    "replace_asked": _act("act_replace_asked"),
    "revoke_asked": _act("act_revoke_asked"),
    "resend": _resend,
}


# --- messages ----------------------------------------------------------------------------------------------


def _message(delivery: DeliveryRecord, job: JobRecord, catalogue: Catalogue) -> Entry:
    state = delivery.state
    params: dict[str, Any] = {"channel": delivery.channel.value}
    what = "reminder" if delivery.template == REMINDER else "message"
    code = f"{what}_{_MESSAGE_CODES.get(state, 'waits')}"
    if state is DeliveryState.SENT and not (what == "reminder" or tells(job, delivery)):
        code = "message_sent_earlier"
    elif delivery.waits_for is not None:
        code, params["until_at"] = f"{what}_window", iso(delivery.due_at_ms)
    elif state is DeliveryState.PENDING and delivery.reason:
        code, params["next_at"] = f"{what}_retry", iso(delivery.due_at_ms)
    if "{meaning}" in WORDS[code]:
        reason = delivery.reason or "unknown_none"
        params |= {"reason": reason, "meaning": catalogue.named(reason).meaning}
    detail = {
        "channel": delivery.channel.value,
        "state": state.value,
        "delivery_id": delivery.id,
        "reason": delivery.reason,
        "meaning": params.get("meaning"),
        "next_at": params.get("next_at") or params.get("until_at"),
        "answered": answered(delivery.detail),
    }
    tone = _MESSAGE_TONES.get(state, "plain")
    return _entry(delivery.changed_at_ms, "message", said(code, **params), tone=tone, detail=detail)


_MESSAGE_CODES = {
    DeliveryState.SENDING: "sending",
    DeliveryState.SENT: "sent",
    DeliveryState.IN_DOUBT: "in_doubt",
    DeliveryState.FAILED: "failed",
    DeliveryState.SKIPPED: "skipped",
}
_MESSAGE_BEFORE = {"sent": "message_sent_before", "failed": "message_failed_before"}
_MESSAGE_TONES = {
    DeliveryState.SENT: "good",
    DeliveryState.IN_DOUBT: "warn",
    DeliveryState.FAILED: "bad",
    DeliveryState.SKIPPED: "warn",
}
