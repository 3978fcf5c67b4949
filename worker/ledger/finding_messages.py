"""Listing failed messages by a filter, newest first, as `finding` lists jobs: from the index of their reasons."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from worker.domain.states import JobState
from worker.ledger.errors import translated
from worker.ledger.finding import COMPARED_LIMIT, COUNT_LIMIT, SCAN_LIMIT, Span, followed, span_of
from worker.ledger.grouping import grouped
from worker.ledger.keys import Keys
from worker.ledger.paging import CHUNK, Behind, MergedStream, Place, Row, classes_now, matched, scan
from worker.ledger.records import FailureGroup, JobFilter
from worker.ledger.scripts import Scripts, text
from worker.ledger.search import SearchIndex, keys_of


def concerns_messages(wanted: JobFilter) -> bool:
    """Tell whether failed messages may be among what *wanted* asks for.

    Attempts and requeues are counted of jobs; and a message is never a dead letter.
    """
    is_about_jobs = wanted.min_attempts is not None or wanted.min_requeues is not None
    return wanted.stage != "link" and not is_about_jobs and wanted.state in {None, JobState.FAILED}


@dataclass(frozen=True, slots=True)
class _Sought:
    wanted: JobFilter
    span: Span
    hits: list[str] | None  #: invitations among which are all that fit; None: not looked up, or too many

    @property
    def is_whole(self) -> bool:
        """Tell whether the indexes of reasons alone answer it."""
        wanted = self.wanted
        is_both = wanted.reason is not None and wanted.reason_class is not None
        return not (is_both or wanted.lane or wanted.batch or wanted.source or keys_of(wanted))


class MessageFinder:
    """Finds ids of failed messages by a filter, and groups them by reason."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys
        self._index = SearchIndex(scripts, keys)

    async def find(
        self, wanted: JobFilter, cursor: str | None, limit: int
    ) -> tuple[list[str], str | None, tuple[int, bool]]:
        """Return up to *limit* ids, the next cursor, and how many there are with whether that is exact.

        Raises:
            LedgerUnavailable: see `errors`.
            ValueError: not one of our cursors.
        """
        if not concerns_messages(wanted):
            return [], None, (0, True)
        place = None if cursor is None else Place.read(cursor)
        if place is not None and place.basis not in {"failed", "found"}:
            raise ValueError("not one of our cursors: it is another list's")
        sought = await self._sought(wanted, place)
        basis = "failed" if sought.hits is None else "found"
        stream = await self._stream(sought, None if place is None else place.mark)
        exact: int | None = None
        if sought.is_whole:
            rows = await stream.take(limit + 1)
            found = [message for _, message in rows[:limit]]
            mark = rows[limit - 1][0] if limit and len(rows) > limit else None
            counted, exact = (len(found), mark is None), await self._size(sought)
        else:
            most = COMPARED_LIMIT if keys_of(wanted) else COUNT_LIMIT
            found, mark, counted = await scan(
                stream,
                partial(self._keep, sought),
                limit,
                most=SCAN_LIMIT,
                behind=Behind(most, is_one_enough=place is not None),
            )
        return found, *followed(basis, place, len(found), mark, counted=counted, exact=exact)

    async def groups(self) -> list[FailureGroup]:
        """Return the failed messages by reason, largest group first; raises LedgerUnavailable."""
        reasons = {reason: (its_class, None) for reason, its_class in (await self._reasons()).items()}
        return await grouped(self._scripts, self._keys.delivery_failed, reasons)

    async def _sought(self, wanted: JobFilter, place: Place | None) -> _Sought:
        hits = None
        asked = keys_of(wanted)
        if asked and place is None:
            hits = await self._index.hits(asked)
        elif place is not None and place.basis == "found":
            hits = await self._index.hits(asked, most=None)
        return _Sought(wanted, await span_of(self._scripts, wanted), hits)

    async def _stream(self, sought: _Sought, mark: str | None) -> MergedStream:
        if sought.hits is not None:
            return MergedStream(self._scripts, {}, await self._of_invitations(sought), mark)
        keys, span = await self._indexes(sought.wanted), sought.span
        floors = {} if span.from_ms is None else dict.fromkeys(keys, span.from_ms)
        return MergedStream(self._scripts, dict.fromkeys(keys, span.before_ms), (), mark, floors)

    async def _of_invitations(self, sought: _Sought) -> list[Row]:
        """Return the failed messages of the invitations that were found, newest first."""
        hits, rows = sought.hits or [], list[Row]()
        for start in range(0, len(hits), CHUNK):
            with translated():
                async with self._scripts.redis.pipeline(transaction=False) as pipe:
                    for hit in hits[start : start + CHUNK]:
                        pipe.lrange(self._keys.deliveries + hit, 0, -1)
                    replies = await pipe.execute()
            rows += await self._match(sought, [text(message) for reply in replies for message in reply])
        return sorted(rows, reverse=True)

    async def _keep(self, sought: _Sought, ids: list[str]) -> Collection[str]:
        kept = [message for _, message in await self._match(sought, ids)]
        asked = keys_of(sought.wanted)
        if not asked:
            return set(kept)
        owners = {message: message.partition(".")[0] for message in kept}
        fit = await self._index.fitting(list(dict.fromkeys(owners.values())), asked)
        return {message for message in kept if owners[message] in fit}

    async def _match(self, sought: _Sought, ids: Sequence[str]) -> list[Row]:
        wanted, span = sought.wanted, sought.span
        asked = (
            wanted.reason,
            wanted.reason_class,
            span.before_ms,
            span.from_ms,
            wanted.lane,
            wanted.batch,
            wanted.source,
        )
        return await matched(self._scripts, "match_messages", asked, ids)

    async def _size(self, sought: _Sought) -> int:
        keys = await self._indexes(sought.wanted)
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.zcount(key, *sought.span.scores)
                return sum(await pipe.execute()) if keys else 0

    async def _indexes(self, wanted: JobFilter) -> list[str]:
        if wanted.reason:
            return [self._keys.delivery_failed + wanted.reason]
        classes = await classes_now(
            self._scripts,
            self._keys.taught_classes,
            await self._reasons(),
            is_asked=wanted.reason_class is not None,
        )
        return [
            self._keys.delivery_failed + reason
            for reason, its_class in classes.items()
            if wanted.reason_class in {None, its_class}
        ]

    async def _reasons(self) -> dict[str, str]:
        with translated():
            rows = await self._scripts.redis.hgetall(self._keys.delivery_reasons)
        return {text(reason): text(its_class) for reason, its_class in rows.items()}
