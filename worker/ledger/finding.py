"""Listing jobs by a filter, newest first, at a cost that does not grow with the ledger.

A filter is answered from the smallest index that holds all its jobs; the rest of it is matched by a script on
the jobs' short fields. A call looks at a bounded number of jobs and goes on from its cursor: a page may be short
or even empty, but only a page without a cursor is the last.

Newest first means by the time that `changed_at` shows, with three exceptions, where no index knows that time:
a waiting job stands where it stands in its queue (since when it is due: the same time, unless it came back to
the queue without waiting anew), scheduled jobs stand by their due time when they are more than `SORTED_LIMIT`,
and a list taken from a batch runs from its last row to its first.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from worker.domain.states import JobState, Lane
from worker.ledger.accepting import ms
from worker.ledger.errors import translated
from worker.ledger.keys import UNIT_SEPARATOR, Keys
from worker.ledger.paging import ListStream, MergedStream, Place, Row, Stream
from worker.ledger.records import JobFilter
from worker.ledger.scripts import Scripts, text

_CHUNK = 200  #: jobs matched per script: about 2 ms of the server's time
SCAN_LIMIT = 50_000  #: jobs looked at per call
_SCAN_S = 1.0  #: how long a call goes on looking
COUNT_LIMIT = 5_000  #: jobs looked at to count what no index counts
SORTED_LIMIT = 5_000  #: scheduled jobs that are read whole, to sort them by their change
#: Their index's score is no time of change, and they are few: they are read whole and sorted.
_FEW = frozenset({JobState.RUNNING})
#: Entered with the time of the change as score. (A failed job's is that of its reason's index.)
_TIMED = frozenset(JobState) - _FEW - {JobState.AVAILABLE, JobState.SCHEDULED}
_Total = tuple[int, bool]


@dataclass(frozen=True, slots=True)
class _Question:
    """A filter, with what follows from it once."""

    wanted: JobFilter
    before_ms: int | None
    states: tuple[JobState, ...]  #: in which its jobs may stand
    basis: str  #: see `Place`

    @property
    def asked(self) -> set[str]:
        """Return the names of the filter's fields that matter, less the number."""
        names = ("state", "reason", "reason_class", "lane", "batch", "source", "older_than_s")
        return {name for name in names if getattr(self.wanted, name) is not None}

    @property
    def is_whole(self) -> bool:
        """Tell whether the indexes alone answer it, so that nothing is left to match.

        Never a batch's list: jobs pruned since are still on it; nor a number: its job may be gone.
        """
        if self.basis in {"number", "batch"}:
            return False
        left = self.asked - {"state"}
        if _TIMED.issuperset(self.states):
            left -= {"older_than_s"}
        if _is_by_reason(self.wanted):
            return left in ({"reason"}, {"reason_class"})
        return not left or (left == {"lane"} and self.wanted.state is JobState.AVAILABLE)

    @property
    def is_counted(self) -> bool:
        """Tell whether an index or a tally knows how many there are."""
        is_tallied = self.asked <= {"state", "batch"} or self.asked <= {"state", "lane"}
        return self.wanted.number is None and (self.is_whole or is_tallied)


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
        place = None if cursor is None else Place.read(cursor)
        question = await self._question(wanted, place)
        stream = await self._stream(question, None if place is None else place.mark)
        if question.is_whole:
            rows = await stream.take(limit + 1)
            found = [job for _, job in rows[:limit]]
            mark = rows[limit - 1][0] if len(rows) > limit else None
            counted: _Total = len(found), mark is None
        else:
            found, mark, counted = await self._scan(question, stream, limit, is_first=place is None)
        listed = len(found) + (0 if place is None else place.listed)
        if question.is_counted:
            total, is_exact = await self._size(wanted, question.before_ms), True
        elif place is None:
            total, is_exact = counted
        elif mark is None:
            total, is_exact = listed, True
        else:
            total, is_exact = max(place.total, listed), place.is_exact
        following = None if mark is None else Place(question.basis, listed, total, is_exact, mark).write()
        return found, following, (total, is_exact)

    async def _scan(
        self, question: _Question, stream: Stream, limit: int, *, is_first: bool
    ) -> tuple[list[str], str | None, _Total]:
        """Look for matches: ids, where to go on (None at the end), and the matches counted."""
        to_count = COUNT_LIMIT if is_first and not question.is_counted else 0
        until = time.monotonic() + _SCAN_S
        found: dict[str, None] = {}
        seen = beyond = 0
        mark: str | None = None
        while seen < (SCAN_LIMIT if len(found) < limit else to_count):
            if seen and time.monotonic() >= until:
                break
            chunk = await stream.take(_CHUNK)
            if not chunk:
                return list(found), mark if beyond else None, (len(found) + beyond, True)
            seen += len(chunk)
            kept = {job for _, job in await self._match(question, [job for _, job in chunk])}
            for its_mark, job in chunk:
                if len(found) < limit:
                    mark = its_mark
                    if job in kept:
                        found[job] = None
                else:
                    beyond += job in kept
        return list(found), mark, (len(found) + beyond, False)

    async def _match(self, question: _Question, ids: Sequence[str]) -> list[Row]:
        wanted = question.wanted
        words = (
            wanted.state,
            wanted.reason,
            wanted.reason_class,
            wanted.lane,
            wanted.batch,
            wanted.source,
        )
        before = "" if question.before_ms is None else question.before_ms
        rows: list[Row] = []
        for start in range(0, len(ids), _CHUNK):
            chunk = ids[start : start + _CHUNK]
            reply = await self._scripts.run("match", *(word or "" for word in words), before, *chunk)
            rows += [(float(when), text(job)) for job, when in zip(reply[::2], reply[1::2], strict=True)]
        return rows

    async def _question(self, wanted: JobFilter, place: Place | None) -> _Question:
        before = None
        if wanted.older_than_s is not None:
            before = await self._scripts.now() - ms(wanted.older_than_s)
        states = (wanted.state,) if wanted.state else tuple(JobState)
        if _is_by_reason(wanted):
            states = (JobState.FAILED,)
        basis = await self._basis(wanted, states) if place is None else place.basis
        if (basis == "number") != (wanted.number is not None) or (basis == "batch" and not wanted.batch):
            raise ValueError("not one of our cursors: it is another list's")
        return _Question(wanted, before, states, basis)

    async def _basis(self, wanted: JobFilter, states: Sequence[JobState]) -> str:
        if wanted.number is not None:
            return "number"
        if wanted.batch and await self._is_batch_smaller(wanted):
            return "batch"
        if JobState.SCHEDULED in states:
            with translated():
                size = int(await self._scripts.redis.zcard(self._keys.state + JobState.SCHEDULED))
            return "due" if size > SORTED_LIMIT else "change"
        return "change"

    async def _is_batch_smaller(self, wanted: JobFilter) -> bool:
        if wanted.state is JobState.AVAILABLE:
            return False  # they have a queue of their own
        if wanted.state is None and not _is_by_reason(wanted):
            return True
        with translated():
            rows = int(await self._scripts.redis.llen(self._keys.batch_jobs + str(wanted.batch)))
        return rows <= await self._size(replace(wanted, batch=None, lane=None), None)

    async def _size(self, wanted: JobFilter, before_ms: int | None) -> int:
        """Count what one index or tally covers."""
        if before_ms is None and not _is_by_reason(wanted):
            scopes = (
                [f"batch:{wanted.batch}"] if wanted.batch else [wanted.lane] if wanted.lane else list(Lane)
            )
            states = [wanted.state] if wanted.state else list(JobState)
            with translated():
                rows = [await self._scripts.redis.hmget(self._keys.tally + scope, states) for scope in scopes]
            return sum(int(number or 0) for row in rows for number in row)
        keys = await self._timed(wanted, wanted.state or JobState.FAILED)
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.zcount(key, "-inf", "+inf" if before_ms is None else f"({before_ms}")
                return sum(await pipe.execute()) if keys else 0

    async def _stream(self, question: _Question, mark: str | None) -> Stream:
        wanted = question.wanted
        if question.basis == "number":
            return ListStream(self._scripts, None, await self._of_number(str(wanted.number)), mark)
        if question.basis == "batch":
            return ListStream(self._scripts, self._keys.batch_jobs + str(wanted.batch), [], mark)
        keys: dict[str, int | None] = {}
        to_sort: list[str] = []
        for state in question.states:
            if state is JobState.AVAILABLE:
                lanes = [wanted.lane] if wanted.lane else list(Lane)
                to_sort += [self._keys.rung + lane for lane in lanes]
                # No job waits in its queue by a later time than that of its change.
                keys |= dict.fromkeys(await self._queues(lanes, wanted.batch), question.before_ms)
            elif state in _TIMED:
                keys |= dict.fromkeys(await self._timed(wanted, state), question.before_ms)
            elif state in _FEW or question.basis == "change":
                to_sort.append(self._keys.state + state)
            else:
                keys[self._keys.state + state] = None
        return MergedStream(self._scripts, keys, await self._sorted(question, to_sort), mark)

    async def _sorted(self, question: _Question, keys: Sequence[str]) -> list[Row]:
        """Read small indexes whole; return what matches by when it changed, newest first."""
        if not keys:
            return []
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.zrange(key, 0, -1)
                replies = await pipe.execute()
        ids = dict.fromkeys(text(job) for reply in replies for job in reply)
        return sorted(await self._match(question, list(ids)), reverse=True)

    async def _of_number(self, number: str) -> list[str]:
        with translated():
            owner = await self._scripts.redis.get(f"{self._keys.claim}n:{number}")
        return [] if owner is None else [f"{text(owner)}w"]

    async def _queues(self, lanes: Sequence[Lane], batch: str | None) -> list[str]:
        keys = []
        for lane in lanes:
            names: list[str] = [batch] if batch else []
            if not batch:
                with translated():
                    rows = await self._scripts.redis.zrange(self._keys.queues + lane, 0, -1)
                names = [text(name) for name in rows]
            keys += [f"{self._keys.queue}{lane}:{name}" for name in names]
        return keys

    async def _timed(self, wanted: JobFilter, state: JobState) -> list[str]:
        """Return the indexes of *state* whose scores are times of change.

        Failed jobs stand in those of their reasons: a better reason found later changes the job, but not since
        when it stands in `failed`.
        """
        if state is not JobState.FAILED:
            return [self._keys.state + state]
        if wanted.reason:
            return [self._keys.failed + wanted.reason]
        with translated():
            rows = await self._scripts.redis.hgetall(self._keys.reasons)
        pairs = ((text(name), text(value).split(UNIT_SEPARATOR)[0]) for name, value in rows.items())
        return [
            self._keys.failed + name for name, its_class in pairs if wanted.reason_class in {None, its_class}
        ]


def _is_by_reason(wanted: JobFilter) -> bool:
    return bool(wanted.reason or wanted.reason_class) and wanted.state in {None, JobState.FAILED}
