"""The trail: what operators did, who and why; what they did to a job is kept as long as the job."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.ledger.accepting import ms
from worker.ledger.errors import translated
from worker.ledger.keys import UNIT_SEPARATOR, Keys
from worker.ledger.records import Page
from worker.ledger.scripts import Scripts, text

MOST_AT_ONCE = 200
#: Entries looked at per script: a millisecond or two of the server's time.
_SEEN_PER_SCRIPT = 500
#: Scripts per call of `find`: a page may be short, and its cursor goes on.
_SCRIPTS_PER_CALL = 20
_PRUNED_PER_SCRIPT = 100
_HASH = ("t", "a", "b", "w", "s", "d")  #: an entry's fields in the order `trail_find` gives them
_ID_DIGITS = 12
_CURSOR = re.compile(r"(\d{1,15})-(\d{1,20})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailEntry:
    """One act of an operator."""

    id: str
    at_ms: int
    act: str  #: requeue, discard, pause, reveal, edit, … ; see `worker.ops.trail`
    by: str  #: `cli:<user>`, `user:<name>`, `key:<name>`
    why: str
    subject: str  #: what it was done to, where that is one thing: a job, a lane, `batch:<id>`, a key's name
    detail: dict[str, str] = field(default_factory=dict)


class Trail:
    """Leaves entries and finds them, newest first. The verbs of single acts leave theirs by themselves."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def record(
        self,
        act: str,
        *,
        by: str,
        why: str = "",
        subject: str = "",
        detail: Mapping[str, object] | None = None,
    ) -> str:
        """Leave an entry and return its id; of *detail*, what is None is left out and tables become JSON.

        Raises LedgerUnavailable.
        """
        return text(await self._scripts.run("trail_record", act, by, why, subject, *flat(detail or {})))

    async def find(
        self,
        *,
        by: str | None = None,
        act: str | None = None,
        subject: str | None = None,
        since_ms: int | None = None,
        before_ms: int | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[TrailEntry]:
        """Return the entries that match, newest first; *by* takes `cli:dana` or only `dana`.

        A call looks at a bounded number of entries: a page may be short, and only one without a cursor is the last.
        Raises LedgerUnavailable, ValueError (not one of our cursors).
        """
        after = _read_cursor(cursor)
        asked = (by or "", act or "", subject or "", _word(since_ms), _word(before_ms))
        found: list[TrailEntry] = []
        limit = min(limit, MOST_AT_ONCE)
        for _ in range(_SCRIPTS_PER_CALL):
            room = limit - len(found)
            total, is_whole, time, last, *rest = await self._scripts.run(
                "trail_find", *asked, *after, room, _SEEN_PER_SCRIPT
            )
            after = (text(time), text(last))
            found += _entries(rest)
            if not after[1] or len(found) >= limit:
                break
        is_exact = text(is_whole) == "1"
        following = f"{after[0]}-{after[1]}" if after[1] else None
        if not is_exact and following is None and cursor is None:
            total, is_exact = len(found), True
        return Page(
            items=tuple(found),
            next=following,
            total=int(total) if is_exact else len(found),
            is_total_exact=is_exact,
        )

    async def get(self, entry_id: str) -> TrailEntry | None:
        """Return one entry, its number with or without the zeros before it, or None; raises LedgerUnavailable."""
        if not (entry_id.isascii() and entry_id.isdecimal()):
            return None
        whole = entry_id.zfill(_ID_DIGITS)
        with translated():
            row = await self._scripts.redis.hgetall(self._keys.trail_entry + whole)
        fields = {text(name): text(value) for name, value in row.items()}
        return _entry(whole, *(fields[name] for name in _HASH)) if fields else None

    async def prune(self, *, older_than_s: float, limit: int = _PRUNED_PER_SCRIPT) -> int:
        """Look at up to *limit* entries older than that, from the oldest on, and delete them; return how many.

        One about a job stays while the job's invitation does; the next call goes on behind it. Raises
        LedgerUnavailable.
        """
        before_ms = await self._scripts.now() - ms(older_than_s)
        looked = pruned = 0
        while looked < limit:
            rows = min(limit - looked, _PRUNED_PER_SCRIPT)
            seen, gone = map(int, await self._scripts.run("trail_prune", before_ms, rows))
            looked, pruned = looked + seen, pruned + gone
            if seen < rows:
                break
        return pruned


def flat(detail: Mapping[str, object]) -> list[str]:
    """Return names and values as the scripts take them: what is None is left out, tables become JSON."""
    return [part for name, value in detail.items() if value is not None for part in (name, _as_word(value))]


def _as_word(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, (Mapping, list, tuple)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return str(value)


def _word(number: int | None) -> str:
    return "" if number is None else str(number)


def _read_cursor(cursor: str | None) -> tuple[str, str]:
    if cursor is None:
        return "", ""
    parts = _CURSOR.fullmatch(cursor)
    if parts is None:
        raise ValueError("not one of our cursors")
    return parts[1], parts[2]


def _entries(reply: list[Any]) -> Iterator[TrailEntry]:
    words = [text(part) for part in reply]
    width = 1 + len(_HASH)
    for start in range(0, len(words), width):
        yield _entry(*words[start : start + width])


def _entry(entry_id: str, *fields: str) -> TrailEntry:
    at_ms, act, by, why, subject, joined = fields
    parts = joined.split(UNIT_SEPARATOR) if joined else []
    return TrailEntry(
        id=entry_id,
        at_ms=int(at_ms),
        act=act,
        by=by,
        why=why,
        subject=subject,
        detail=dict(zip(parts[::2], parts[1::2], strict=False)),
    )
