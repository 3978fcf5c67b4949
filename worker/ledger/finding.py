"""Listing jobs by a filter, newest first, at a cost that does not grow with the ledger.

A filter is answered from the smallest index that holds all its jobs; the rest of it is matched by a script on
the jobs' short fields. A call looks at a bounded number of jobs and goes on from its cursor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import replace

from worker.domain.states import JobState, Lane
from worker.ledger.accepting import ms
from worker.ledger.errors import translated
from worker.ledger.keys import UNIT_SEPARATOR, Keys
from worker.ledger.records import JobFilter
from worker.ledger.scripts import Scripts, text

_CHUNK = 250  #: jobs matched per script
SCAN_LIMIT = 5_000  #: jobs looked at per call, and while counting
_Total = tuple[int, bool]


class Finder:
    """Finds job ids by a filter."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def find(
        self, wanted: JobFilter, cursor: str | None, limit: int
    ) -> tuple[list[str], str | None, _Total]:
        """Return up to *limit* ids, the next cursor, and how many there are with whether that is exact.

        Raises:
            LedgerUnavailable: see `errors`.
            ValueError: not one of our cursors.
        """
        if wanted.stage == "delivery":
            return [], None, (0, True)
        stream = await self._stream(wanted, cursor)
        is_whole = stream.covers(wanted)
        found: list[str] = []
        seen, following = 0, None
        while len(found) < limit and seen < SCAN_LIMIT:
            chunk = await stream.take(limit - len(found) if is_whole else _CHUNK)
            if not chunk:
                break
            seen += len(chunk)
            ids = [job for _, job in chunk]
            kept = set(ids if is_whole else await self._match(wanted, ids))
            for mark, job in chunk:
                if job in kept:
                    found.append(job)
                following = mark
                if len(found) == limit:
                    break
        is_end = len(found) < limit and seen < SCAN_LIMIT
        return found, None if is_end else following, await self._total(wanted, is_whole=is_whole)

    async def _match(self, wanted: JobFilter, ids: list[str]) -> list[str]:
        before = "" if wanted.older_than_s is None else await self._scripts.now() - ms(wanted.older_than_s)
        words = (
            wanted.state,
            wanted.reason,
            wanted.reason_class,
            wanted.lane,
            wanted.batch,
            wanted.source,
        )
        reply = await self._scripts.run("match", *(word or "" for word in words), before, *ids)
        return [text(job) for job in reply]

    async def _total(self, wanted: JobFilter, *, is_whole: bool) -> _Total:
        left = _asked(wanted)
        if wanted.number is None and (is_whole or left <= {"state", "batch"} or left <= {"state", "lane"}):
            return await self._size(wanted), True
        stream = await self._stream(wanted, None)
        total = seen = 0
        while seen < SCAN_LIMIT:
            chunk = await stream.take(_CHUNK)
            if not chunk:
                return total, True
            seen += len(chunk)
            total += len(await self._match(wanted, [job for _, job in chunk]))
        return total, False

    async def _size(self, wanted: JobFilter) -> int:
        """Count what one index or tally covers."""
        if wanted.reason or wanted.reason_class:
            with translated():
                return sum([int(await self._scripts.redis.zcard(key)) for key in await self._zsets(wanted)])
        scopes = [f"batch:{wanted.batch}"] if wanted.batch else [wanted.lane] if wanted.lane else list(Lane)
        states = [wanted.state] if wanted.state else list(JobState)
        with translated():
            rows = [await self._scripts.redis.hmget(self._keys.tally + scope, states) for scope in scopes]
        return sum(int(number or 0) for row in rows for number in row)

    async def _stream(self, wanted: JobFilter, cursor: str | None) -> _Stream:
        if wanted.number is not None:
            return _ListStream(self._scripts, None, await self._of_number(wanted.number), cursor, "number")
        if wanted.batch and await self._is_batch_smaller(wanted):
            key = self._keys.batch_jobs + wanted.batch
            return _ListStream(self._scripts, key, [], cursor, "batch")
        basis = "reason" if _is_by_reason(wanted) else "state"
        return _ScoreStream(self._scripts, await self._zsets(wanted), cursor, basis)

    async def _of_number(self, number: str) -> list[str]:
        with translated():
            owner = await self._scripts.redis.get(f"{self._keys.claim}n:{number}")
        return [] if owner is None else [f"{text(owner)}w"]

    async def _is_batch_smaller(self, wanted: JobFilter) -> bool:
        if wanted.state is None and not _is_by_reason(wanted):
            return True
        with translated():
            rows = int(await self._scripts.redis.llen(self._keys.batch_jobs + str(wanted.batch)))
        others = await self._size(replace(wanted, batch=None, lane=None))
        return rows <= others

    async def _zsets(self, wanted: JobFilter) -> list[str]:
        if _is_by_reason(wanted):
            if wanted.reason:
                return [self._keys.failed + wanted.reason]
            return [self._keys.failed + reason for reason in await self._reasons(str(wanted.reason_class))]
        states = [wanted.state] if wanted.state else list(JobState)
        keys = [self._keys.state + state for state in states if state is not JobState.AVAILABLE]
        if JobState.AVAILABLE in states:
            keys += await self._queues([wanted.lane] if wanted.lane else list(Lane))
        return keys

    async def _queues(self, lanes: list[Lane]) -> list[str]:
        keys = [self._keys.rung + lane for lane in lanes]
        for lane in lanes:
            with translated():
                names = await self._scripts.redis.zrange(self._keys.queues + lane, 0, -1)
            keys += [f"{self._keys.queue}{lane}:{text(name)}" for name in names]
        return keys

    async def _reasons(self, reason_class: str) -> list[str]:
        with translated():
            rows = await self._scripts.redis.hgetall(self._keys.reasons)
        pairs = ((text(name), text(value).split(UNIT_SEPARATOR)[0]) for name, value in rows.items())
        return [name for name, its_class in pairs if its_class == reason_class]


def _is_by_reason(wanted: JobFilter) -> bool:
    return bool(wanted.reason or wanted.reason_class) and wanted.state in {None, JobState.FAILED}


def _asked(wanted: JobFilter) -> set[str]:
    """Return the names of the filter's fields that matter, less the number."""
    names = ("state", "reason", "reason_class", "lane", "batch", "source", "older_than_s")
    return {name for name in names if getattr(wanted, name) is not None}


class _Stream(ABC):
    """Job ids of one or several indexes, newest first, each with the cursor that goes on behind it."""

    def __init__(self, scripts: Scripts, basis: str) -> None:
        self._scripts = scripts
        self._basis = basis

    @abstractmethod
    async def take(self, count: int) -> list[tuple[str, str]]:
        """Return the next *count* (cursor, job id) pairs, fewer only at the end."""

    def covers(self, wanted: JobFilter) -> bool:
        """Tell whether the index alone answers the filter, so that nothing is left to match."""
        left = _asked(wanted)
        match self._basis:
            case "number":
                return False  # one job: matching it also drops an id that is gone
            case "batch":
                return False  # jobs pruned since are still on the list
            case "reason":
                return left <= {"state", "reason"} or left <= {"state", "reason_class"}
            case _:
                has_lane_index = wanted.state is JobState.AVAILABLE
                return left <= ({"state", "lane"} if has_lane_index else {"state"})


class _ListStream(_Stream):
    """A list read from its end: the jobs of a batch, or the few ids given."""

    def __init__(
        self, scripts: Scripts, key: str | None, ids: list[str], cursor: str | None, basis: str
    ) -> None:
        super().__init__(scripts, basis)
        self._key = key
        self._ids = ids
        self._at = None if cursor is None else int(cursor)

    async def take(self, count: int) -> list[tuple[str, str]]:
        with translated():
            if self._at is None:
                size = await self._scripts.redis.llen(self._key) if self._key else len(self._ids)
                self._at = int(size)
            start = max(0, self._at - count)
            if self._at <= 0:
                return []
            last = self._at - 1
            rows = (
                await self._scripts.redis.lrange(self._key, start, last)
                if self._key
                else self._ids[start : last + 1]
            )
        self._at = start
        return [(str(start + nth), text(rows[nth])) for nth in range(len(rows) - 1, -1, -1)]


class _ScoreStream(_Stream):
    """Sorted sets merged by score, highest first; a cursor is a score and an id."""

    def __init__(self, scripts: Scripts, keys: list[str], cursor: str | None, basis: str) -> None:
        super().__init__(scripts, basis)
        self._after: tuple[float, str] | None = None
        if cursor is not None:
            score, job = cursor.split(":", 1)
            self._after = (float(score), job)
        self._rows: dict[str, deque[tuple[float, str]]] = {key: deque() for key in keys}
        self._offsets = dict.fromkeys(keys, 0)
        self._open = set(keys)

    async def take(self, count: int) -> list[tuple[str, str]]:
        taken: list[tuple[str, str]] = []
        while len(taken) < count:
            await self._fill(min(count, _CHUNK))
            heads = [(rows[0], key) for key, rows in self._rows.items() if rows]
            if not heads:
                break
            (score, job), key = max(heads)
            self._rows[key].popleft()
            taken.append((f"{score!r}:{job}", job))
        return taken

    async def _fill(self, count: int) -> None:
        """Read on in every set of which nothing is at hand."""
        while dry := [key for key in self._open if not self._rows[key]]:
            highest = "+inf" if self._after is None else repr(self._after[0])
            with translated():
                async with self._scripts.redis.pipeline(transaction=False) as pipe:
                    for key in dry:
                        pipe.zrevrangebyscore(
                            key, highest, "-inf", start=self._offsets[key], num=count, withscores=True
                        )
                    replies = await pipe.execute()
            for key, rows in zip(dry, replies, strict=True):
                self._offsets[key] += len(rows)
                if len(rows) < count:
                    self._open.discard(key)
                pairs = ((float(score), text(job)) for job, score in rows)
                self._rows[key].extend(pair for pair in pairs if self._after is None or pair < self._after)
