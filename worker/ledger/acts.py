"""Bulk acts: a frozen set of jobs and messages, worked off from the front by one script at a time.

What an act does to one id it does within the script that takes that id from the set. So it is each one's turn once,
however many processes drive the act and whichever of them dies.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from types import MappingProxyType
from typing import Any

from worker.domain.act import OUTCOME_OF, Act, ActOutcome, ActState
from worker.domain.ramp import Failing, failing, room
from worker.domain.states import JobState, Lane
from worker.ledger.accepting import ms
from worker.ledger.act_records import ActChange, ActItem, ActRecord, Step, Weighed, item_of, record_of
from worker.ledger.errors import translated
from worker.ledger.finding import Finder
from worker.ledger.keys import Keys
from worker.ledger.paging import rank_of
from worker.ledger.records import JobFilter, Page
from worker.ledger.scripts import Scripts, text
from worker.ledger.step_size import StepSize

#: Requeueing a job takes the server some 60 µs, twice that in a large ledger, and an act is slowed down by the partner's
#: rate and not by its steps: a script takes about a millisecond. Where steps take longer all the same, they become smaller.
IDS_PER_STEP = 12
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
#: Of the latest that were let go, so many are looked at for those that have not ended.
_LATEST_SEEN = 20_000
#: Who stops an act that stops by itself.
ITSELF = "linkferry"


class Acts:
    """The bulk acts of one ledger."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys
        self._finder = Finder(scripts, keys)
        self._size = StepSize(IDS_PER_STEP)

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

    async def add(self, act_id: str, ids: Sequence[str], *, seen: int) -> Weighed | None:
        """Weigh *ids* and keep those that are fit; *seen* were looked at before.

        None: it is not being previewed, or by somebody else. Raises LedgerUnavailable, LedgerFull.
        """
        fit: list[str] = []
        for start in range(0, len(ids), _WEIGHED_PER_SCRIPT):
            chunk = ids[start : start + _WEIGHED_PER_SCRIPT]
            reply = await self._scripts.run("act_add", act_id, seen, *chunk)
            if not reply:
                return None
            seen = int(reply[0])
            fit += [text(each) for each in reply[1]]
        return Weighed(seen=seen, fit=tuple(fit))

    async def freeze(
        self, act_id: str, *, seen: int, counted: Mapping[str, int] = MappingProxyType({})
    ) -> bool:
        """Say that the set is whole, with what was *counted* without looking, by why it is not fit.

        Return False when it was not to be frozen. Raises LedgerUnavailable, LedgerFull.
        """
        words = [word for why, count in counted.items() for word in (why, count)]
        return int(await self._scripts.run("act_freeze", act_id, seen, *words)) == 1

    async def give_up(self, act_id: str, why: str) -> bool:
        """Let go of a set that will not be whole, for a reason in a word; False: none was being frozen.

        Raises LedgerUnavailable.
        """
        return int(await self._scripts.run("act_give_up", act_id, why, _EXPIRED_KEEP_MS)) == 1

    async def count(self, wanted: JobFilter, state: JobState) -> int:
        """Count what matches in *state*: exactly where an index knows or it is little, else the least there are.

        Raises LedgerUnavailable.
        """
        _, _, (total, _) = await self._finder.find(replace(wanted, state=state), None, 0)
        return total

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
        """Let a previewed act run, once; more than one job needs a *why*. Raises LedgerUnavailable, LedgerFull."""
        canary = "1" if is_canary else "0"
        words = (by, why, canary, Lane.BULK, FEW, ms(PREVIEW_KEEP_S), _by_a_person(by, why))
        return _change(await self._scripts.run("act_start", act_id, *words))

    async def step(self, act_id: str, *, rate: float) -> Step:
        """Do what an act does to its next ids, a dozen at the most; the partner allows *rate* calls/s.

        An act with a canary takes no more than its ramp allows, and stops where too many failed again. Several may
        drive one act. Raises LedgerUnavailable, LedgerFull.
        """
        record = await self.get(act_id)
        if record is None or record.state is not ActState.RUNNING:
            return Step(record=record)
        most = self._size.ids
        if record.is_canary and record.waiting:
            ramp = record.ramp(now_ms=await self._scripts.now())
            if (why := failing(ramp)) is not None:
                await self._stop_itself(record, why)
                return _step(await self.get(act_id), 0)
            most = min(most, room(ramp, rate=rate))
        taken = 0
        if most or not record.waiting:
            taken = await self._take(record, most)
        return _step(await self.get(act_id), taken)

    async def _take(self, record: ActRecord, most: int) -> int:
        began = perf_counter()
        taken = int(await self._scripts.run("act_step", record.id, record.at, most, record.turn))
        self._size.took((perf_counter() - began) * 1000, ids=taken)
        return taken

    async def stop(self, act_id: str, *, by: str, why: str) -> ActChange:
        """Take no more of a running act's set; what it requeued goes on. Raises LedgerUnavailable."""
        return _change(await self._scripts.run("act_stop", act_id, by, why, _by_a_person(by, why), ""))

    async def go_on(self, act_id: str, *, by: str, why: str) -> ActChange:
        """Let a stopped act go on that nobody takes back; its canary begins anew. Raises LedgerUnavailable, LedgerFull."""
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
        start = rank_of(cursor)
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
        start, found = rank_of(cursor), list[ActItem]()
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

    async def under_way(self, record: ActRecord, *, most: int) -> list[str]:
        """Return up to *most* ids that an act whose jobs come to ends of their own let go last, and that have not ended.

        Raises LedgerUnavailable.
        """
        if not record.in_flight:
            return []
        start = max(0, record.at - _LATEST_SEEN)
        with translated():
            marks = text(
                await self._scripts.redis.getrange(self._keys.act_marks + record.id, start, record.at - 1)
            )
            places = [
                start + at for at, letter in enumerate(marks) if OUTCOME_OF.get(letter) is ActOutcome.DONE
            ]
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for place in places[-most:]:
                    pipe.lindex(self._keys.act_ids + record.id, place)
                found = await pipe.execute() if places else []
        return [text(each) for each in found if each is not None]

    async def _slice(self, act_id: str, start: int, count: int) -> list[ActItem]:
        end = start + count - 1
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                pipe.lrange(self._keys.act_ids + act_id, start, end)
                pipe.getrange(self._keys.act_marks + act_id, start, end)
                ids, marks = await pipe.execute()
        letters = text(marks).ljust(len(ids), "\0")
        return [item_of(text(each), letter) for each, letter in zip(ids, letters, strict=False)]

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
            record_of(each, {text(name): text(value) for name, value in row.items()})
            for each, row in zip(ids, rows, strict=True)
            if row
        ]


def _by_a_person(by: str, why: str) -> str:
    return json.dumps({"reason": "by_a_person", "by": by, "why": why}, ensure_ascii=False)


def _step(record: ActRecord | None, taken: int) -> Step:
    is_at_rest = record is not None and record.state is not ActState.RUNNING
    return Step(record=record, taken=taken, is_at_rest=is_at_rest)


def _change(reply: Any) -> ActChange:
    state, done = text(reply[1]), int(reply[0]) == 1
    return ActChange(
        done=done, state=ActState(state) if state else None, refusal=None if done else text(reply[2])
    )
