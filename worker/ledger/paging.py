"""Indexes read from their newest end, in pieces, and the cursors that go on where a page ended."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from worker.domain.reasons import ReasonClass
from worker.ledger.errors import translated
from worker.ledger.scripts import Scripts, text

_MOST_ROWS = 500  #: read from one index at a time
_LEAST_ROWS = 32
CHUNK = 200  #: jobs looked at between two looks at the clock
_MATCHED_PER_SCRIPT = 100  #: about a millisecond of the server's time
_SCAN_S = 1.0  #: how long a call goes on looking
_RANK, _ROW, _HIT = r"\d{1,15}", r"\d{1,15}(\.\d{1,20})?:[0-9a-z]{1,40}", r"[0-9a-z]{1,40}"
_MESSAGE = r"\d{1,15}(\.\d{1,20})?:[0-9a-z_.]{1,80}"
#: The marks of each basis; see `Place`.
_MARKS = {"search": _HIT, "batch": _RANK, "change": _ROW, "due": _ROW, "failed": _MESSAGE, "found": _MESSAGE}
Row = tuple[float, str]  #: a time in ms and a job id


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended, with what the next one has to know; written as its cursor."""

    #: The indexes read. Of jobs: `search`, `batch`, or those of states, scheduled by `change` or `due`; of failed
    #: messages: those of reasons, `failed`, or the few that `search` has `found`.
    basis: str
    listed: int  #: matches on all pages so far
    total: int
    is_exact: bool
    mark: str  #: the stream's own

    def write(self) -> str:
        """Return the cursor: safe in an address, opaque to its reader."""
        return f"{self.basis}-{self.listed}-{self.total}-{int(self.is_exact)}-{self.mark}"

    @classmethod
    def read(cls, cursor: str) -> Place:
        """Return the place that a cursor names; raises ValueError when it is not one of ours."""
        parts = re.fullmatch(r"([a-z]+)-(\d{1,15})-(\d{1,15})-([01])-(.+)", cursor, re.ASCII)
        if parts is None or not re.fullmatch(_MARKS.get(parts[1], "$^"), parts[5], re.ASCII):
            raise ValueError("not one of our cursors")
        return cls(parts[1], int(parts[2]), int(parts[3]), parts[4] == "1", parts[5])


async def classes_now(
    scripts: Scripts, taught_key: str, classes: Mapping[str, str], *, is_asked: bool
) -> dict[str, str]:
    """Return the classes of reasons as they are known now, by reason; *classes* are those that were failed with.

    Unchanged where nobody asked for a class. Raises LedgerUnavailable.
    """
    if not is_asked:
        return dict(classes)
    with translated():
        rows = await scripts.redis.hgetall(taught_key)
    taught = {text(reason): text(its_class) for reason, its_class in rows.items()}
    return {
        reason: taught.get(reason, its_class) if its_class == ReasonClass.UNKNOWN else its_class
        for reason, its_class in classes.items()
    }


@dataclass(frozen=True, slots=True)
class Behind:
    """What is looked at behind a page: to count it, or only to know whether there is a next page at all."""

    most: int  #: looked at in all
    is_one_enough: bool


class Stream(Protocol):
    """Job ids of one or several indexes, newest first, each with the mark that goes on behind it."""

    async def take(self, count: int) -> list[tuple[str, str]]:
        """Return the next *count* (mark, job id) pairs, fewer only at the end; raises LedgerUnavailable."""


class ListStream:
    """A list read from its end: the jobs of a batch."""

    def __init__(self, scripts: Scripts, key: str, mark: str | None) -> None:
        """Read the list at *key*."""
        self._scripts = scripts
        self._key = key
        self._at = None if mark is None else int(mark)
        self._is_begun = False

    async def take(self, count: int) -> list[tuple[str, str]]:
        """See `Stream`."""
        if not self._is_begun:
            with translated():
                size = int(await self._scripts.redis.llen(self._key))
            self._at = size if self._at is None else min(self._at, size)
            self._is_begun = True
        end = self._at or 0
        start = max(0, end - count)
        if end <= 0:
            return []
        self._at = start
        with translated():
            read = await self._scripts.redis.lrange(self._key, start, end - 1)
        rows = [text(job) for job in read]
        return [(str(start + nth), rows[nth]) for nth in range(len(rows) - 1, -1, -1)]


class _Reader:
    """One sorted set, read downwards: by score, and by rank only among equal scores."""

    def __init__(self, highest: str, rows: int) -> None:
        self.highest = highest
        self.skip = 0
        self.rows = rows
        self.is_open = True
        self.held: deque[Row] = deque()

    def feed(self, rows: Sequence[Row], after: Row | None) -> None:
        """Take what was read for it."""
        self.is_open = len(rows) == self.rows
        if rows:
            last = rows[-1][0]
            equal = sum(score == last for score, _ in rows)
            is_same = repr(last) == self.highest and equal == len(rows)
            self.skip = equal + (self.skip if is_same else 0)
            self.highest = repr(last)
        self.rows = min(2 * self.rows, _MOST_ROWS)
        self.held.extend(row for row in rows if after is None or row < after)


class MergedStream:
    """Sorted sets merged by score, highest first; a mark is a score and an id."""

    def __init__(
        self,
        scripts: Scripts,
        keys: Mapping[str, int | None],
        ready: Sequence[Row],
        mark: str | None,
        floors: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Merge the sets at *keys*, each below its bound if it has one and not below its floor, with *ready* rows."""
        self._scripts = scripts
        self._after = None if mark is None else _row_of(mark)
        self._bounds = keys
        self._floors = floors
        self._readers: dict[str, _Reader] = {}
        self._ready = deque(row for row in ready if self._after is None or row < self._after)
        self._merged: deque[Row] = deque()

    async def take(self, count: int) -> list[tuple[str, str]]:
        """See `Stream`."""
        if not self._readers:
            share = max(_LEAST_ROWS, min(count // max(1, len(self._bounds)), _MOST_ROWS))
            self._readers = {key: _Reader(self._highest(bound), share) for key, bound in self._bounds.items()}
        while len(self._merged) < count and await self._merge():
            pass
        size = min(count, len(self._merged))
        taken = (self._merged.popleft() for _ in range(size))
        return [(f"{score!r}:{job}", job) for score, job in taken]

    def _highest(self, bound_ms: int | None) -> str:
        if self._after is not None and (bound_ms is None or self._after[0] < bound_ms):
            return repr(self._after[0])
        return "+inf" if bound_ms is None else f"({bound_ms}"

    async def _merge(self) -> bool:
        """Move on what is certain to come before all that is still to be read; return whether there was any."""
        await self._fill()
        held = [reader.held for reader in self._readers.values()] + [self._ready]
        floor = max((reader.held[-1] for reader in self._readers.values() if reader.is_open), default=None)
        batch: list[Row] = []
        for rows in held:
            while rows and (floor is None or rows[0] >= floor):
                batch.append(rows.popleft())
        self._merged.extend(sorted(batch, reverse=True))
        return bool(batch)

    async def _fill(self) -> None:
        """Read on in every set of which nothing is at hand."""
        while dry := [key for key, reader in self._readers.items() if reader.is_open and not reader.held]:
            with translated():
                async with self._scripts.redis.pipeline(transaction=False) as pipe:
                    for key in dry:
                        reader = self._readers[key]
                        pipe.zrevrangebyscore(
                            key,
                            reader.highest,
                            self._floors.get(key, "-inf"),
                            start=reader.skip,
                            num=reader.rows,
                            withscores=True,
                        )
                    replies = await pipe.execute()
            for key, reply in zip(dry, replies, strict=True):
                self._readers[key].feed([(float(score), text(job)) for job, score in reply], self._after)


async def scan(
    stream: Stream,
    keep: Callable[[list[str]], Awaitable[Collection[str]]],
    limit: int,
    *,
    most: int,
    behind: Behind,
) -> tuple[list[str], str | None, tuple[int, bool]]:
    """Look through a stream for the ids that *keep* leaves: up to *limit*, where to go on, how many were counted.

    At most *most* are looked at for the page; the mark is None at the end, and the count is exact where the end was
    seen. Raises LedgerUnavailable.
    """
    until = time.monotonic() + _SCAN_S
    found: dict[str, None] = {}
    seen = beyond = 0
    mark: str | None = None
    while seen < (most if len(found) < limit else behind.most) and not (beyond and behind.is_one_enough):
        if seen and time.monotonic() >= until:
            break
        chunk = await stream.take(CHUNK)
        if not chunk:
            return list(found), mark if beyond else None, (len(found) + beyond, True)
        seen += len(chunk)
        kept = await keep([each for _, each in chunk])
        for its_mark, each in chunk:
            if len(found) < limit:
                mark = its_mark
                if each in kept:
                    found[each] = None
            else:
                beyond += each in kept
    return list(found), mark, (len(found) + beyond, False)


def rank_of(cursor: str | None) -> int:
    """Return the rank that a cursor of a list read by rank names; None: the first. Raises ValueError (not ours)."""
    if cursor is None:
        return 0
    if not re.fullmatch(_RANK, cursor, re.ASCII):
        raise ValueError("not one of our cursors")
    return int(cursor)


def _row_of(mark: str) -> Row:
    score, job = mark.split(":", 1)
    return float(score), job


async def matched(
    scripts: Scripts, verb: str, asked: Sequence[str | float | None], ids: Sequence[str]
) -> list[Row]:
    """Return those of *ids* that *verb* says match what is *asked*, each with its time; raises LedgerUnavailable."""
    words = ["" if word is None else word for word in asked]
    rows: list[Row] = []
    for start in range(0, len(ids), _MATCHED_PER_SCRIPT):
        reply = await scripts.run(verb, *words, *ids[start : start + _MATCHED_PER_SCRIPT])
        rows += [(float(when), text(each)) for each, when in zip(reply[::2], reply[1::2], strict=True)]
    return rows
