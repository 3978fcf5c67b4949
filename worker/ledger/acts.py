"""Bulk acts: a frozen set of jobs and messages, worked off from the front by one script at a time.

What an act does to one id it does within the script that takes that id from the set. So it is each one's turn once,
however many processes drive the act and whichever of them dies.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worker.domain.act import OUTCOME_OF, REFUSALS, Act, ActOutcome, ActState
from worker.domain.ramp import Failing, Ramp, failing, room
from worker.domain.states import JobState, Lane
from worker.ledger.accepting import ms
from worker.ledger.errors import translated
from worker.ledger.finding import Finder
from worker.ledger.keys import Keys
from worker.ledger.records import JobFilter, Page
from worker.ledger.scripts import Scripts, text

#: Requeueing a job takes the server some 60 µs, twice that in a large ledger: a script stays well below 5 ms.
IDS_PER_STEP = 25
_WEIGHED_PER_SCRIPT = 50
#: Ids of a filter's matches asked for at a time.
_FOUND_AT_ONCE = 1_000
#: A set of so many takes some 12 MB of the ledger.
MOST_IDS = 500_000
#: So few wait in their own lanes, and need no canary; more wait in the bulk lane.
FEW = 5
PREVIEW_KEEP_S = 3600.0
_EXPIRED_KEEP_MS = 86_400_000
_PRUNED_AT_ONCE = 20
#: Ids looked at for one page of those with a certain outcome.
_MOST_SEEN = 20_000
_SEEN_AT_ONCE = 1_000
#: Who stops an act that stops by itself.
ITSELF = "linkferry"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActRecord:
    """All that the ledger holds of one bulk act, but its set."""

    id: str
    act: Act
    state: ActState
    by: str
    why: str
    filter: Mapping[str, Any] | None  #: None: ids were given
    created_at_ms: int
    started_at_ms: int | None
    ended_at_ms: int | None  #: when it was done, or stopped
    seen: int  #: ids looked at for the preview
    total: int  #: ids that were fit
    messages: int  #: of those
    at: int  #: ids taken so far
    done: int
    is_canary: bool
    by_reason: Mapping[str, int]
    not_eligible: Mapping[str, int]
    refused: Mapping[str, int]
    linked: int
    sent: int
    failed_again: int
    ended_otherwise: int
    failed_by_reason: Mapping[str, int]
    stopped_because: Mapping[str, Any] | None
    undo_of: str | None
    undone_by: str | None
    latest: str = ""  #: letters of the latest ends, see `OUTCOME_OF`
    base_done: int = 0  #: done when its canary began
    base_ended: int = 0
    released_at_ms: int | None = None  #: when ids were last taken

    @property
    def ended(self) -> int:
        """Return how many of what it requeued came to an end."""
        return self.linked + self.sent + self.failed_again + self.ended_otherwise

    @property
    def in_flight(self) -> int:
        """Return how many of what it requeued are still on their way."""
        return self.done - self.ended if self.act is Act.REQUEUE else 0

    @property
    def waiting(self) -> int:
        """Return how many have not been taken."""
        return self.total - self.at

    def ramp(self, *, now_ms: int) -> Ramp:
        """Return how far it has come, for the rules of `worker.domain.ramp`."""
        since_ms = now_ms - (self.released_at_ms or now_ms)
        return Ramp(
            released=self.done - self.base_done,
            ended=self.ended - self.base_ended,
            in_flight=self.in_flight,
            latest=tuple(letter == "a" for letter in self.latest),
            waited_s=max(0, since_ms) / 1000,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ActChange:
    """What came of starting, stopping or continuing an act."""

    done: bool
    state: ActState | None  #: where it stands; None: there is no such act
    refusal: str | None = (
        None  #: gone, expired, already_started, nothing_eligible, not_running, not_stopped, …
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ActItem:
    """One id of an act's set, with what became of it."""

    id: str
    outcome: ActOutcome
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step of an act came to."""

    record: ActRecord | None  #: as it stands after it; None: there is no such act
    taken: int = 0  #: ids; 0: it waits for ends, or is not running
    is_at_rest: bool = False  #: it ran before this step, and runs no more


class Acts:
    """The bulk acts of one ledger."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys
        self._finder = Finder(scripts, keys)

    # --- the set ---------------------------------------------------------------------------------------------

    async def open(
        self,
        act_id: str,
        act: Act,
        *,
        by: str,
        filter_document: Mapping[str, Any] | None = None,
        undo_of: str | None = None,
    ) -> None:
        """Begin to freeze the set of an act; raises LedgerUnavailable, LedgerFull."""
        words = "" if filter_document is None else json.dumps(dict(filter_document), ensure_ascii=False)
        await self._scripts.run("act_open", act_id, act, by, words, undo_of or "")

    async def add(self, act_id: str, ids: Sequence[str], *, seen: int) -> int | None:
        """Weigh *ids* and keep those that are fit; return how many were looked at by now.

        *seen*: how many were before. None: it is not being previewed, or by somebody else.
        Raises LedgerUnavailable, LedgerFull.
        """
        for start in range(0, len(ids), _WEIGHED_PER_SCRIPT):
            chunk = ids[start : start + _WEIGHED_PER_SCRIPT]
            reply = await self._scripts.run("act_add", act_id, seen, *chunk)
            if not reply:
                return None
            seen = int(reply[0])
        return seen

    async def freeze(self, act_id: str, *, seen: int) -> bool:
        """Say that the set is whole; return False when it was not to be frozen. Raises LedgerUnavailable."""
        return int(await self._scripts.run("act_freeze", act_id, seen)) == 1

    async def matches(self, wanted: JobFilter, states: Sequence[JobState]) -> AsyncIterator[list[str]]:
        """Yield the ids of all jobs that match in any of *states*, in bounded pieces; raises LedgerUnavailable."""
        for state in states:
            cursor: str | None = None
            while True:
                ids, cursor, _ = await self._finder.find(replace(wanted, state=state), cursor, _FOUND_AT_ONCE)
                yield ids
                if cursor is None:
                    break

    async def done_ids(self, act_id: str) -> AsyncIterator[list[str]]:
        """Yield the ids to which an act did what it does, in bounded pieces; raises LedgerUnavailable."""
        start = 0
        while items := await self._slice(act_id, start, _FOUND_AT_ONCE):
            yield [each.id for each in items if each.outcome not in {ActOutcome.WAITING, ActOutcome.REFUSED}]
            start += len(items)

    # --- its course ------------------------------------------------------------------------------------------

    async def start(self, act_id: str, *, by: str, why: str, is_canary: bool) -> ActChange:
        """Let a previewed act run, once; raises LedgerUnavailable, LedgerFull."""
        record = await self.get(act_id)
        is_bulk = record is not None and record.total > FEW
        lane = Lane.BULK if is_bulk else ""
        canary = "1" if is_canary and is_bulk and record is not None and record.act is Act.REQUEUE else "0"
        return _change(
            await self._scripts.run("act_start", act_id, by, why, canary, lane, ms(PREVIEW_KEEP_S))
        )

    async def step(self, act_id: str, *, rate: float) -> Step:
        """Do what an act does to its next ids, at most some dozens; the partner allows *rate* calls/s.

        An act with a canary takes no more than its ramp allows, and stops where too many failed again. Several may
        drive one act. Raises LedgerUnavailable, LedgerFull.
        """
        record = await self.get(act_id)
        if record is None or record.state is not ActState.RUNNING:
            return Step(record=record)
        most = IDS_PER_STEP
        if record.is_canary and record.waiting:
            ramp = record.ramp(now_ms=await self._scripts.now())
            if (why := failing(ramp)) is not None:
                await self._stop_itself(record, why)
                return _step(await self.get(act_id), 0)
            most = min(most, room(ramp, rate=rate))
        taken = 0
        if most or not record.waiting:
            taken = int(await self._scripts.run("act_step", act_id, record.at, most))
        return _step(await self.get(act_id), taken)

    async def stop(self, act_id: str, *, by: str, why: str) -> ActChange:
        """Take no more of a running act's set; what it requeued goes on. Raises LedgerUnavailable."""
        because = json.dumps({"reason": "by_a_person", "by": by, "why": why}, ensure_ascii=False)
        return _change(await self._scripts.run("act_stop", act_id, by, why, because, ""))

    async def go_on(self, act_id: str, *, by: str, why: str) -> ActChange:
        """Let a stopped act go on; its canary begins anew. Raises LedgerUnavailable, LedgerFull."""
        return _change(await self._scripts.run("act_go_on", act_id, by, why))

    async def prune(self, *, older_than_s: float) -> int:
        """Forget acts started longer ago than that, and sets that nobody started within an hour.

        Return how many. Raises LedgerUnavailable.
        """
        now = await self._scripts.now()
        before, previews_before = now - ms(older_than_s), now - ms(PREVIEW_KEEP_S)
        reply = await self._scripts.run(
            "act_prune", before, previews_before, _EXPIRED_KEEP_MS, _PRUNED_AT_ONCE
        )
        return int(reply[0]) + int(reply[1])

    # --- reading ---------------------------------------------------------------------------------------------

    async def get(self, act_id: str) -> ActRecord | None:
        """Return one act, or None; raises LedgerUnavailable."""
        records = await self._records([act_id])
        return records[0] if records else None

    async def running(self) -> list[str]:
        """Return the ids of the acts that run, the first started first; raises LedgerUnavailable."""
        with translated():
            return [text(each) for each in await self._scripts.redis.zrange(self._keys.acts_running, 0, -1)]

    async def find(self, *, cursor: str | None = None, limit: int = 50) -> Page[ActRecord]:
        """Return the acts that were started, latest first; raises LedgerUnavailable, ValueError (cursor)."""
        start = _rank(cursor)
        with translated():
            ids = await self._scripts.redis.zrevrange(self._keys.acts, start, start + limit - 1)
            total = int(await self._scripts.redis.zcard(self._keys.acts))
        records = await self._records([text(each) for each in ids])
        end = start + limit
        return Page(items=tuple(records), next=str(end) if total > end else None, total=total)

    async def items(
        self, act_id: str, *, outcome: ActOutcome | None = None, cursor: str | None = None, limit: int = 50
    ) -> tuple[list[ActItem], str | None]:
        """Return a page of an act's set in the order it is worked off, and the next cursor.

        A call looks at a bounded number of ids: a page of those with one *outcome* may be short.
        Raises LedgerUnavailable, ValueError (cursor).
        """
        start, found = _rank(cursor), list[ActItem]()
        until = start + _MOST_SEEN
        size = limit if outcome is None else _SEEN_AT_ONCE
        while start < until and (chunk := await self._slice(act_id, start, size)):
            for item in chunk:
                start += 1
                if outcome in {None, item.outcome}:
                    found.append(item)
                if len(found) == limit:
                    return found, str(start) if await self._has(act_id, start) else None
        return found, str(start) if await self._has(act_id, start) else None

    async def _slice(self, act_id: str, start: int, count: int) -> list[ActItem]:
        end = start + count - 1
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                pipe.lrange(self._keys.act_ids + act_id, start, end)
                pipe.getrange(self._keys.act_marks + act_id, start, end)
                ids, marks = await pipe.execute()
        letters = text(marks).ljust(len(ids), "\0")
        return [_item(text(each), letter) for each, letter in zip(ids, letters, strict=False)]

    async def _has(self, act_id: str, place: int) -> bool:
        with translated():
            return int(await self._scripts.redis.llen(self._keys.act_ids + act_id)) > place

    async def _stop_itself(self, record: ActRecord, why: Failing) -> None:
        because = {"reason": "failed_again", "failed": why.failed, "ended": why.ended}
        # Not where ends came in, or a person let it go on, since that was decided.
        await self._scripts.run(
            "act_stop", record.id, ITSELF, "failed again", json.dumps(because), record.latest
        )

    async def _records(self, ids: Sequence[str]) -> list[ActRecord]:
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for each in ids:
                    pipe.hgetall(self._keys.act + each)
                rows = await pipe.execute() if ids else []
        return [
            _record(each, {text(name): text(value) for name, value in row.items()})
            for each, row in zip(ids, rows, strict=True)
            if row
        ]


def _record(act_id: str, row: Mapping[str, str]) -> ActRecord:
    def number(name: str) -> int:
        return int(float(row.get(name) or 0))

    def instant(name: str) -> int | None:
        return number(name) or None

    return ActRecord(
        id=act_id,
        act=Act(row["act"]),
        state=ActState(row["state"]),
        by=row["by"],
        why=row["why"],
        filter=json.loads(row["filter"]) if row["filter"] else None,
        created_at_ms=number("created"),
        started_at_ms=instant("started"),
        ended_at_ms=instant("ended"),
        seen=number("seen"),
        total=number("total"),
        messages=number("messages"),
        at=number("at"),
        done=number("done"),
        is_canary=row.get("canary") == "1",
        by_reason=_counts(row, "why:"),
        not_eligible=_counts(row, "not:"),
        refused=_counts(row, "refused:"),
        linked=number("linked"),
        sent=number("sent"),
        failed_again=number("again"),
        ended_otherwise=number("other"),
        failed_by_reason=_counts(row, "again:"),
        stopped_because=json.loads(row["stop"]) if row.get("stop") else None,
        undo_of=row.get("undo_of"),
        undone_by=row.get("undone_by"),
        latest=row.get("latest", ""),
        base_done=number("base_done"),
        base_ended=number("base_ended"),
        released_at_ms=instant("released"),
    )


def _counts(row: Mapping[str, str], prefix: str) -> dict[str, int]:
    found = {name.removeprefix(prefix): int(value) for name, value in row.items() if name.startswith(prefix)}
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))


def _item(subject_id: str, letter: str) -> ActItem:
    if letter in REFUSALS:
        return ActItem(id=subject_id, outcome=ActOutcome.REFUSED, refusal=REFUSALS[letter])
    return ActItem(id=subject_id, outcome=OUTCOME_OF[letter])


def _step(record: ActRecord | None, taken: int) -> Step:
    is_at_rest = record is not None and record.state is not ActState.RUNNING
    return Step(record=record, taken=taken, is_at_rest=is_at_rest)


def _change(reply: Any) -> ActChange:
    state, done = text(reply[1]), int(reply[0]) == 1
    return ActChange(
        done=done, state=ActState(state) if state else None, refusal=None if done else text(reply[2])
    )


def _rank(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 15:
        raise ValueError("not one of our cursors")
    return int(cursor)
