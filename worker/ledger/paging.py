"""Indexes read from their newest end, in pieces, and the cursors that go on where a page ended."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.ledger.errors import translated
from worker.ledger.scripts import Scripts, text

_MOST_ROWS = 500  #: read from one index at a time
_LEAST_ROWS = 32
_RANK, _ROW = r"\d{1,15}", r"\d{1,15}(\.\d{1,20})?:[0-9a-z]{1,40}"
#: The marks of each basis; see `Place`.
_MARKS = {"number": _RANK, "batch": _RANK, "change": _ROW, "due": _ROW}
Row = tuple[float, str]  #: a time in ms and a job id


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended, with what the next one has to know; written as its cursor."""

    basis: str  #: the indexes read: `number`, `batch`, or those of states, scheduled by `change` or `due`
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


class Stream(Protocol):
    """Job ids of one or several indexes, newest first, each with the mark that goes on behind it."""

    async def take(self, count: int) -> list[tuple[str, str]]:
        """Return the next *count* (mark, job id) pairs, fewer only at the end; raises LedgerUnavailable."""


class ListStream:
    """A list read from its end: the jobs of a batch, or the few ids given."""

    def __init__(self, scripts: Scripts, key: str | None, ids: Sequence[str], mark: str | None) -> None:
        """Read the list at *key*, or else *ids*."""
        self._scripts = scripts
        self._key = key
        self._ids = ids
        self._at = None if mark is None else int(mark)
        self._is_begun = False

    async def take(self, count: int) -> list[tuple[str, str]]:
        """See `Stream`."""
        if not self._is_begun:
            size = await self._size()
            self._at = size if self._at is None else min(self._at, size)
            self._is_begun = True
        end = self._at or 0
        start = max(0, end - count)
        if end <= 0:
            return []
        self._at = start
        rows = list(self._ids[start:end])
        if self._key is not None:
            with translated():
                read = await self._scripts.redis.lrange(self._key, start, end - 1)
            rows = [text(job) for job in read]
        return [(str(start + nth), rows[nth]) for nth in range(len(rows) - 1, -1, -1)]

    async def _size(self) -> int:
        if self._key is None:
            return len(self._ids)
        with translated():
            return int(await self._scripts.redis.llen(self._key))


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
        self, scripts: Scripts, keys: Mapping[str, int | None], ready: Sequence[Row], mark: str | None
    ) -> None:
        """Merge the sets at *keys*, each below its bound if it has one, with the rows that are *ready*."""
        self._scripts = scripts
        self._after = None if mark is None else _row_of(mark)
        self._bounds = keys
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
                            key, reader.highest, "-inf", start=reader.skip, num=reader.rows, withscores=True
                        )
                    replies = await pipe.execute()
            for key, reply in zip(dry, replies, strict=True):
                self._readers[key].feed([(float(score), text(job)) for job, score in reply], self._after)


def _row_of(mark: str) -> Row:
    score, job = mark.split(":", 1)
    return float(score), job
