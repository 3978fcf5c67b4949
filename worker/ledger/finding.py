"""Listing jobs by a filter, newest first, at a cost that does not grow with the ledger.

A filter is answered from the smallest index that holds all its jobs; the rest of it is matched by a script on
the jobs' short fields, and what their customers asked for is compared with their requests. A call looks at a bounded
number of jobs and goes on from its cursor: a page may be short or even empty, but only a page without a cursor is the
last.

Newest first means by the time that `changed_at` shows, with four exceptions, where no index knows that time:
a waiting job stands where it stands in its queue (since when it is due: the same time, unless it came back to
the queue without waiting anew; what came back is found at its front by its age); scheduled jobs stand by their due time
when they are more than `SORTED_LIMIT`; a list taken from a batch runs from its last row to its first; one taken from the
search index (by number, e-mail, name, external id or reference) by when they were accepted.

A reason or its class is asked of failed jobs, unless another state is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

from worker.domain.search import SearchKeys
from worker.domain.states import JobState, Lane
from worker.ledger.accepting import ms
from worker.ledger.errors import translated
from worker.ledger.keys import UNIT_SEPARATOR, Keys
from worker.ledger.paging import (
    CHUNK,
    Behind,
    ListStream,
    MergedStream,
    Place,
    Row,
    Stream,
    classes_now,
    matched,
    scan,
)
from worker.ledger.records import JobFilter
from worker.ledger.scripts import Scripts, text
from worker.ledger.search import HitsStream, SearchIndex, keys_of

SCAN_LIMIT = 50_000  #: jobs looked at per call
COUNT_LIMIT = 2_000  #: jobs looked at to count what no index counts
COMPARED_LIMIT = 800  #: the same where each is compared with its request
RETURNED_LIMIT = 200  #: of a queue's front that are looked at for what came back to it
SORTED_LIMIT = 5_000  #: scheduled jobs that are read whole, to sort them by their change
#: Their index's score is no time of change, and they are few: they are read whole and sorted.
_FEW = frozenset({JobState.RUNNING})
#: Entered with the time of the change as score. (A failed job's is that of its reason's index.)
_TIMED = frozenset(JobState) - _FEW - {JobState.AVAILABLE, JobState.SCHEDULED}
_FIELDS = (
    "state",
    "reason",
    "reason_class",
    "lane",
    "batch",
    "source",
    "older_than_s",
    "newer_than_s",
    "min_attempts",
    "min_requeues",
)
_Total = tuple[int, bool]


@dataclass(frozen=True, slots=True)
class Span:
    """From when until before when something changed, in ms; None: no matter."""

    from_ms: int | None
    before_ms: int | None

    @property
    def is_given(self) -> bool:
        """Tell whether it matters at all."""
        return self.from_ms is not None or self.before_ms is not None

    @property
    def scores(self) -> tuple[str, str]:
        """Return it as the bounds of scores."""
        low = "-inf" if self.from_ms is None else str(self.from_ms)
        return low, "+inf" if self.before_ms is None else f"({self.before_ms}"


async def span_of(scripts: Scripts, wanted: JobFilter) -> Span:
    """Return what a filter's ages mean now; raises LedgerUnavailable."""
    older, newer = wanted.older_than_s, wanted.newer_than_s
    if older is None and newer is None:
        return Span(None, None)
    now = await scripts.now()
    return Span(None if newer is None else now - ms(newer), None if older is None else now - ms(older))


@dataclass(frozen=True, slots=True)
class _Question:
    """A filter, with what follows from it once."""

    wanted: JobFilter
    span: Span
    states: tuple[JobState, ...]  #: in which its jobs may stand
    searched: SearchKeys
    hits: list[str] | None  #: invitations that the search index names; None: not looked up, or too many
    basis: str  #: see `Place`

    @property
    def asked(self) -> set[str]:
        """Return the names of the filter's fields that matter, less those of the search index."""
        return {name for name in _FIELDS if getattr(self.wanted, name) is not None}

    @property
    def is_whole(self) -> bool:
        """Tell whether the indexes alone answer it, so that nothing is left to match.

        Never a batch's list: jobs pruned since are still on it; nor what was searched for.
        """
        if self.basis == "batch" or self.searched:
            return False
        left = self.asked - {"state"}
        if _TIMED.issuperset(self.states):
            left -= {"older_than_s", "newer_than_s"}
        if _is_by_reason(self.wanted):
            return left in ({"reason"}, {"reason_class"})
        return not left or (left == {"lane"} and self.wanted.state is JobState.AVAILABLE)

    @property
    def is_counted(self) -> bool:
        """Tell whether an index or a tally knows how many there are."""
        is_tallied = self.asked <= {"state", "batch"} or self.asked <= {"state", "lane"}
        return not self.searched and (self.is_whole or is_tallied)


class Finder:
    """Finds job ids by a filter."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys
        self._index = SearchIndex(scripts, keys)

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
        if _is_by_reason(wanted):
            wanted = replace(wanted, state=JobState.FAILED)
        place = None if cursor is None else Place.read(cursor)
        question = await self._question(wanted, place)
        stream = await self._stream(question, None if place is None else place.mark)
        if question.is_whole:
            rows = await stream.take(limit + 1)
            found = [job for _, job in rows[:limit]]
            mark = rows[limit - 1][0] if limit and len(rows) > limit else None
            counted: _Total = len(found), mark is None
        else:
            found, mark, counted = await self._scan(question, stream, limit, is_first=place is None)
        exact = await self._size(wanted, question.span) if question.is_counted else None
        return found, *followed(question.basis, place, len(found), mark, counted=counted, exact=exact)

    async def _scan(
        self, question: _Question, stream: Stream, limit: int, *, is_first: bool
    ) -> tuple[list[str], str | None, _Total]:
        """Look for matches: ids, where to go on (None at the end), and the matches counted."""
        behind = Behind(
            COMPARED_LIMIT if question.searched else COUNT_LIMIT,
            is_one_enough=not is_first or question.is_counted,
        )
        return await scan(stream, partial(self._keep, question), limit, most=SCAN_LIMIT, behind=behind)

    async def _keep(self, question: _Question, ids: list[str]) -> Collection[str]:
        kept = [job for _, job in await self._match(question, ids)] if question.asked else ids
        if not question.searched or question.basis == "search":
            return set(kept)
        fit = await self._index.fitting(list(dict.fromkeys(job[:-1] for job in kept)), question.searched)
        return {job for job in kept if job[:-1] in fit}

    async def _match(self, question: _Question, ids: Sequence[str]) -> list[Row]:
        wanted, span = question.wanted, question.span
        asked = (
            wanted.state,
            wanted.reason,
            wanted.reason_class,
            wanted.lane,
            wanted.batch,
            wanted.source,
            span.before_ms,
            span.from_ms,
            wanted.min_attempts,
            wanted.min_requeues,
        )
        return await matched(self._scripts, "match", asked, ids)

    async def _question(self, wanted: JobFilter, place: Place | None) -> _Question:
        states = (wanted.state,) if wanted.state else tuple(JobState)
        searched, hits = keys_of(wanted), None
        if place is None:
            hits = await self._index.hits(searched) if searched else None
            basis = await self._basis(wanted, states, hits)
        else:
            basis = place.basis
            if (basis == "search" and not searched) or (basis == "batch" and not wanted.batch):
                raise ValueError("not one of our cursors: it is another list's")
            if basis == "search":
                hits = await self._index.hits(searched, most=None)
        return _Question(wanted, await span_of(self._scripts, wanted), states, searched, hits, basis)

    async def _basis(self, wanted: JobFilter, states: Sequence[JobState], hits: Sequence[str] | None) -> str:
        if hits is not None and await self._is_search_smaller(wanted, len(hits)):
            return "search"
        if wanted.batch and await self._is_batch_smaller(wanted):
            return "batch"
        if JobState.SCHEDULED in states:
            with translated():
                size = int(await self._scripts.redis.zcard(self._keys.state + JobState.SCHEDULED))
            return "due" if size > SORTED_LIMIT else "change"
        return "change"

    async def _is_search_smaller(self, wanted: JobFilter, hits: int) -> bool:
        if hits <= CHUNK:
            return True
        if wanted.batch:
            with translated():
                if int(await self._scripts.redis.llen(self._keys.batch_jobs + wanted.batch)) < hits:
                    return False
        # Of the jobs in a state only as many are looked at as a page takes: comparing costs more than matching.
        return hits <= await self._size(_indexed(wanted), Span(None, None))

    async def _is_batch_smaller(self, wanted: JobFilter) -> bool:
        if wanted.state is JobState.AVAILABLE:
            return False  # they have a queue of their own
        if wanted.state is None and not _is_by_reason(wanted):
            return True
        with translated():
            rows = int(await self._scripts.redis.llen(self._keys.batch_jobs + str(wanted.batch)))
        return rows <= await self._size(_indexed(wanted), Span(None, None))

    async def _size(self, wanted: JobFilter, span: Span) -> int:
        """Count what one index or tally covers."""
        is_again = wanted.min_requeues and wanted.state is JobState.FAILED
        if not (span.is_given or _is_by_reason(wanted) or is_again):
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
                    pipe.zcount(key, *span.scores)
                return sum(await pipe.execute()) if keys else 0

    async def _stream(self, question: _Question, mark: str | None) -> Stream:
        wanted, span = question.wanted, question.span
        if question.basis == "search":
            return HitsStream(self._index, question.searched, question.hits or [], mark)
        if question.basis == "batch":
            return ListStream(self._scripts, self._keys.batch_jobs + str(wanted.batch), mark)
        keys: dict[str, int | None] = {}
        floors: dict[str, int] = {}
        to_sort: list[str] = []
        queues: list[str] = []
        for state in question.states:
            if state is JobState.AVAILABLE:
                lanes = [wanted.lane] if wanted.lane else list(Lane)
                to_sort += [self._keys.rung + lane for lane in lanes]
                # No job waits in its queue by a later time than that of its change.
                timed = queues = await self._queues(lanes, wanted.batch)
            elif state in _TIMED:
                timed = await self._timed(wanted, state)
            else:
                timed = []
                if state in _FEW or question.basis == "change":
                    to_sort.append(self._keys.state + state)
                else:
                    keys[self._keys.state + state] = None
            keys |= dict.fromkeys(timed, span.before_ms)
            floors |= {} if span.from_ms is None else dict.fromkeys(timed, span.from_ms)
        back = queues if span.from_ms is not None else ()
        ready = await self._sorted(question, to_sort, back)
        return MergedStream(self._scripts, keys, ready, mark, floors)

    async def _sorted(self, question: _Question, keys: Sequence[str], queues: Sequence[str]) -> list[Row]:
        """Read small indexes whole, and the front of queues; return what matches by when it changed, newest first.

        Of a queue only those that are due for longer than the filter's newest: they may have come back since.
        """
        if not (keys or queues):
            return []
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.zrange(key, 0, -1)
                for key in queues:
                    due = f"({question.span.from_ms}"
                    pipe.zrangebyscore(key, "-inf", due, start=0, num=RETURNED_LIMIT)
                replies = await pipe.execute()
        ids = dict.fromkeys(text(job) for reply in replies for job in reply)
        return sorted(await self._match(question, list(ids)), reverse=True)

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
        if wanted.min_requeues:
            return [self._keys.requeued_failed]
        if wanted.reason:
            return [self._keys.failed + wanted.reason]
        with translated():
            rows = await self._scripts.redis.hgetall(self._keys.reasons)
        failed_with = {text(name): text(value).split(UNIT_SEPARATOR)[0] for name, value in rows.items()}
        classes = await classes_now(
            self._scripts,
            self._keys.taught_classes,
            failed_with,
            is_asked=wanted.reason_class is not None,
        )
        return [
            self._keys.failed + name
            for name, its_class in classes.items()
            if wanted.reason_class in {None, its_class}
        ]


def _is_by_reason(wanted: JobFilter) -> bool:
    return bool(wanted.reason or wanted.reason_class) and wanted.state in {None, JobState.FAILED}


def _indexed(wanted: JobFilter) -> JobFilter:
    """Return what of a filter the indexes of states and failures know."""
    return JobFilter(
        state=wanted.state,
        reason=wanted.reason,
        reason_class=wanted.reason_class,
        min_requeues=wanted.min_requeues,
    )


def followed(
    basis: str, place: Place | None, found: int, mark: str | None, *, counted: _Total, exact: int | None
) -> tuple[str | None, _Total]:
    """Return the next page's cursor, and how many there are with whether that is exact.

    Of a page that begins at *place* and ends at *mark*; *counted* on it, and *exact* by an index that knows.
    """
    listed = found + (0 if place is None else place.listed)
    if exact is not None:
        total: _Total = exact, True
    elif place is None:
        total = counted
    elif mark is None:
        total = listed, True
    else:
        total = max(place.total, listed), place.is_exact
    return None if mark is None else Place(basis, listed, *total, mark).write(), total
