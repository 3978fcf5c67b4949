"""What operators did, for the CLI and the console alike: plain dictionaries, contacts masked unless asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from worker.domain.canonical import mask_field
from worker.domain.ids import is_job_id
from worker.domain.phone import mask_text
from worker.domain.states import JobState
from worker.ledger import JobFilter, Ledger
from worker.ledger.trail import TrailEntry
from worker.ops.views import iso

DEFAULT_LIMIT = 50
ACT_START = "act_start"  #: what the trail keeps of a bulk act, once for all its jobs
#: The acts that are accounted for, in words. One that is not here is shown by its own name.
ACTS: Mapping[str, str] = {
    "requeue": "requeued",
    "edit": "edited and requeued",
    "discard": "discarded",
    "restore": "took back a discard",
    "cancel": "cancelled",
    "replace": "had a link replaced",
    "revoke": "had a link deleted",
    "batch_cancel": "cancelled a batch",
    "resend": "sent a message again",
    ACT_START: "began a bulk act",
    "act_stop": "stopped a bulk act",
    "act_continue": "went on with a bulk act",
    "act_end": "ended a bulk act",
    "event_retry": "retried events that came in",
    "event_discard": "gave events up that came in",
    "event_resend": "told our events again",
    "pause": "paused",
    "resume": "resumed",
    "clear_hold": "cleared a hold",
    "suppress": "put somebody on the stop list",
    "unsuppress": "took somebody off the stop list",
    "teach": "described a reason",
    "unteach": "took back a description",
    "brand_add": "added a brand",
    "brand_edit": "changed a brand",
    "brand_default": "chose the default brand",
    "brand_remove": "removed a brand",
    "webhook_set": "set the partner's webhook",
    "forget": "erased a customer",
    "reveal": "saw numbers whole",
    "export": "exported",
    "export_cut_off": "lost the right to an export, which broke off",
    "key_add": "made an API key",
    "key_revoke": "revoked an API key",
    "user_add": "added a user",
    "user_disable": "disabled a user",
    "user_enable": "enabled a user",
    "user_role": "changed a user's role",
    "user_password": "changed a password",
    "sign_in": "signed in",
    "sign_in_refused": "was refused a sign-in",
    "sign_out": "signed out",
    "sign_out_everywhere": "ended sessions",
    "role_refused": "was refused for his role",
    "request_refused": "was refused a request that was not his own",
}
#: What of an entry may name a customer: the filter of a bulk act, before and after of an edit, who gets no message.
_PERSONAL = frozenset({"filter", "changes", "contact"})
#: Names in the filters of bulk acts → the canonical field whose mask is theirs.
_LIKE = {"number": "whatsapp"}
_MS = "_ms"  #: what the names of instants end in, where a script wrote them


class AuditTrail:
    """Reads the trail, and records the acts of looking that leave no other mark."""

    def __init__(self, ledger: Ledger) -> None:
        """Read and write the trail of *ledger*."""
        self._ledger = ledger

    async def find(
        self,
        *,
        by: str | None = None,
        act: str | None = None,
        subject: str | None = None,
        since_s: float | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        is_revealed: bool = False,
    ) -> dict[str, Any]:
        """Return a page of acts, newest first: `{"items", "next", "total", "is_total_exact"}`.

        *by* takes `cli:dana` or only `dana`; *since_s* is how many seconds ago the oldest may be. Of a job, the bulk
        acts that its history tells of are among them. Raises LedgerUnavailable, ValueError (not one of our cursors).
        """
        since_ms = None if since_s is None else await self._ledger.now_ms() - round(since_s * 1000)
        page = await self._ledger.trail.find(
            by=by, act=act, subject=subject, since_ms=since_ms, cursor=cursor, limit=limit
        )
        begun: list[TrailEntry] = []
        if subject is not None and is_job_id(subject) and act in {None, ACT_START}:
            begun = await self._bulk_acts(subject, by=by, since_ms=since_ms)
        items = sorted(
            [*page.items, *_on_page(begun, cursor, page.next)],
            key=lambda entry: (entry.at_ms, entry.id),
            reverse=True,
        )
        return {
            "items": [entry_view(entry, is_revealed=is_revealed) for entry in items],
            "next": page.next,
            "total": page.total + len(begun),
            "is_total_exact": page.is_total_exact,
        }

    async def _bulk_acts(self, job_id: str, *, by: str | None, since_ms: int | None) -> list[TrailEntry]:
        """Return the beginnings of the bulk acts that touched a job, as far back as its history goes."""
        history = await self._ledger.queries.history(job_id)
        ids = dict.fromkeys(str(act) for entry in history if (act := entry.detail.get("act")))
        pages = [
            await self._ledger.trail.find(by=by, act=ACT_START, subject=act_id, since_ms=since_ms, limit=1)
            for act_id in ids
        ]
        return [entry for page in pages for entry in page.items]

    async def entry(self, entry_id: str, *, is_revealed: bool = False) -> dict[str, Any] | None:
        """Return one act, its number with or without the zeros before it, or None; raises LedgerUnavailable."""
        found = await self._ledger.trail.get(entry_id)
        return None if found is None else entry_view(found, is_revealed=is_revealed)

    async def reveal(
        self, *, by: str, subject: str = "", shown: int = 1, why: str = "", what: str = ""
    ) -> None:
        """Record that somebody saw *shown* customers' numbers and contacts whole; raises LedgerUnavailable.

        Nothing is recorded where nothing was shown. *what* names the list or page, *subject* a single job.
        """
        if shown:
            await self._ledger.trail.record(
                "reveal", by=by, why=why, subject=subject, detail={"shown": shown, "what": what or None}
            )

    async def exported(
        self,
        wanted: JobFilter,
        states: Sequence[JobState],
        *,
        by: str,
        count: int,
        to: str,
        why: str = "",
    ) -> None:
        """Record that *count* customers' requests leave for a file (*to* is its name); raises LedgerUnavailable.

        Said before the first of them leaves: an export that breaks off is one.
        """
        detail = {
            "filter": wanted.document() | {"states": [state.value for state in states]},
            "count": count,
            "to": to,
        }
        await self._ledger.trail.record("export", by=by, why=why, detail=detail)

    async def exported_batch(self, batch_id: str, *, by: str, count: int, to: str, why: str = "") -> None:
        """Record that the *count* rows of a batch's report leave, as `exported` does; raises LedgerUnavailable."""
        await self._ledger.trail.record(
            "export", by=by, why=why, subject=f"batch:{batch_id}", detail={"count": count, "to": to}
        )

    async def cut_off(self, *, by: str, count: int, to: str) -> None:
        """Record that the file *to* broke off after *count* rows: who fetched it may not any more; raises LedgerUnavailable."""
        await self._ledger.trail.record("export_cut_off", by=by, detail={"count": count, "to": to})

    async def erased(self, job_id: str) -> dict[str, Any] | None:
        """Return the act that erased the job, or None: nobody did, or it is no job's id. Raises LedgerUnavailable."""
        if not is_job_id(job_id):
            return None
        found = await self._ledger.trail.find(act="forget", subject=job_id, limit=1)
        return entry_view(found.items[0]) if found.items else None


def _on_page(entries: list[TrailEntry], cursor: str | None, following: str | None) -> list[TrailEntry]:
    """Return those that belong on the page that begins behind one cursor and ends at another."""
    before = (math.inf, "") if cursor is None else _place(cursor)
    end = (-math.inf, "") if following is None else _place(following)
    return [entry for entry in entries if end < (entry.at_ms, entry.id) < before]


def _place(cursor: str) -> tuple[float, str]:
    at_ms, _, entry_id = cursor.partition("-")
    return int(at_ms), entry_id


def entry_view(entry: TrailEntry, *, is_revealed: bool = False) -> dict[str, Any]:
    """Return one act ready for JSON."""
    return {
        "id": entry.id,
        "at": iso(entry.at_ms),
        "act": entry.act,
        "text": ACTS.get(entry.act, entry.act),
        "by": entry.by,
        "why": entry.why,
        "subject": entry.subject,
        "detail": {
            _told_as(name): _shown(_told(name, value), is_revealed=is_revealed or name not in _PERSONAL)
            for name, value in entry.detail.items()
        },
    }


def _told_as(name: str) -> str:
    return f"{name.removesuffix(_MS)}_at" if name.endswith(_MS) else name


def _told(name: str, value: str) -> Any:
    return iso(int(value)) if name.endswith(_MS) and value.isdecimal() else _decoded(value)


def _decoded(value: str) -> Any:
    if value[:1] not in {"{", "["}:
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value  # a text of somebody's own


def _shown(value: Any, *, is_revealed: bool) -> Any:
    if is_revealed:
        return value
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, dict) and "field" in value:
        masked = {
            name: mask_field(str(value["field"]), str(value.get(name, ""))) for name in ("before", "after")
        }
        return {**value, **masked}
    if isinstance(value, dict):
        return {
            name: mask_field(_LIKE.get(str(name), str(name)), each)
            if isinstance(each, str)
            else _shown(each, is_revealed=False)
            for name, each in value.items()
        }
    return [_shown(each, is_revealed=False) for each in value] if isinstance(value, list) else value
