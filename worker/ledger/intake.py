"""Events that came in: recorded as they came before the sender is told so, and worked on after that."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence

from worker.domain.event import (
    ClaimedEvent,
    EventOutcome,
    EventReceipt,
    EventRecord,
    EventState,
    NewEvent,
)
from worker.domain.job import Lease
from worker.ledger.accepting import ms
from worker.ledger.codec import mended
from worker.ledger.errors import translated
from worker.ledger.intake_codec import claimed_events, event_args, event_receipt, event_record, outcome_args
from worker.ledger.keys import Keys
from worker.ledger.paging import MergedStream
from worker.ledger.records import Mended, Page
from worker.ledger.scripts import Scripts, text
from worker.ledger.working import new_token, renewed

#: Events per script: one stays below 5 ms of the server's time.
CHUNK = 100
#: How long the key of an event is known, from its receipt. Of the senders that say so none comes again after three days.
KEY_MEMORY_S = 8 * 86_400.0
#: How long what needs nobody any more is kept, unless told otherwise; long enough to be asked about after a weekend.
DONE_KEEP_S = 4 * 86_400.0
_LEASES_PER_SCRIPT = 200
_SCANNED_AT_ONCE = 500
_MOST_SCANNED = 20_000  #: rows looked at for one page of events that share a reason
_is_cursor = re.compile(r"\d{1,15}(\.\d{1,20})?:[0-9A-Za-z_-]{1,64}", re.ASCII).fullmatch


class Intake:
    """The verbs and queries of events; those that hold a lease compare its token."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def record(
        self, events: Sequence[NewEvent], *, max_waiting: int, durable: bool = True
    ) -> list[EventReceipt]:
        """Record new events in one round trip, and return what came of each, in order; repeating a call is harmless.

        *max_waiting* is the most events that may wait, of all sources; one beyond it gets the verdict FULL. *durable*
        returns only when the server's disk holds them, where the server can tell. The same key again is DUPLICATE of
        the first record; with another digest it is ALTERED, a failed record of its own, and redelivered DUPLICATE of that.

        Raises:
            LedgerUnavailable: they may or may not have been recorded; say the same again.
            LedgerFull: the server is out of memory or disk; some may have been recorded.
            ValueError: an event without id, source or key.
        """
        calls: list[list[str | float]] = []
        for start in range(0, len(events), CHUNK):
            args: list[str | float] = ["intake_record", max_waiting, ms(KEY_MEMORY_S)]
            for event in events[start : start + CHUNK]:
                args += event_args(event)
            calls.append(args)
        if not calls:
            return []
        replies = await self._scripts.run_all(calls, durable=durable)
        return [event_receipt(row) for chunk in replies for row in chunk]

    async def claim_due(
        self, source: str, *, want: int, worker_id: str, lease_s: float
    ) -> list[ClaimedEvent]:
        """Take up to *want* (≤ 100) due events of *source*, the oldest first, under leases of *lease_s* seconds.

        Fewer than wanted does not mean that no more are due: a megabyte of bodies is enough, and an event that was
        started twice without an end comes alone. None at all means so.
        Raises LedgerUnavailable (the claims may stand, until their leases run out), LedgerFull.
        """
        token = new_token(worker_id)
        reply = await self._scripts.run("intake_claim", source, token, ms(lease_s), min(want, CHUNK))
        return claimed_events(reply, source, token, lease_s)

    async def renew(self, leases: Sequence[Lease]) -> set[str]:
        """Let leases run anew from now; return the ids of those that are lost. `Ledger.renew` does the same.

        Raises LedgerUnavailable: any of them may be renewed.
        """
        return await renewed(self._scripts, leases)

    async def settle(self, results: Sequence[tuple[Lease, EventOutcome]]) -> int:
        """Write what the work on events came to, each once, as the lease holder; return how many leases held.

        The same settle again counts and changes nothing; a lease that ran out but was not rescued yet still holds.
        What is done or skipped loses its body. Raises LedgerUnavailable: say the same again.
        """
        calls: list[list[str | float]] = []
        for start in range(0, len(results), CHUNK):
            args: list[str | float] = ["intake_settle"]
            for lease, outcome in results[start : start + CHUNK]:
                args += (lease.subject_id, lease.token, *outcome_args(outcome))
            calls.append(args)
        return sum(map(int, await self._scripts.run_all(calls))) if calls else 0

    async def rescue(self, limit: int = 100) -> int:
        """Take back up to *limit* (≤ 100) events whose leases ran out; return how many.

        They wait again; after five starts without an end they have failed. Raises LedgerUnavailable.
        """
        return int(await self._scripts.run("intake_rescue", min(limit, CHUNK)))

    async def abandon(self, worker_id: str) -> int:
        """End the leases of a worker process that is known to be gone; return how many. Raises LedgerUnavailable."""
        ended = 0
        for source in await self._sources():
            start, seen = 0, _LEASES_PER_SCRIPT
            while seen == _LEASES_PER_SCRIPT:
                reply = await self._scripts.run(
                    "intake_abandon", worker_id, source, start, _LEASES_PER_SCRIPT
                )
                seen = int(reply[0])
                start, ended = start + seen, ended + int(reply[1])
        return ended

    async def sources_due(self) -> list[str]:
        """Return the sources of which an event waits and is due; raises LedgerUnavailable."""
        return sorted(text(source) for source in await self._scripts.run("intake_due"))

    async def retry(self, event_id: str, *, by: str, why: str, is_accounted: bool = False) -> Mended:
        """Let a failed event be worked on again, or one that waits for its time be so now, with all its tries.

        *is_accounted*: with an entry of its own in the trail; a bulk act leaves one for all of its events. Raises LedgerUnavailable (say the same again: twice has the effect of once), LedgerFull.
        """
        reply = await self._scripts.run("intake_retry", event_id, by, why, int(is_accounted))
        return mended(reply, EventState)

    async def discard(self, event_id: str, *, by: str, why: str, is_accounted: bool = False) -> Mended:
        """Skip a failed or waiting event for good (reason `discarded`); its body goes.

        *is_accounted* as in `retry`. Raises LedgerUnavailable.
        """
        reply = await self._scripts.run("intake_discard", event_id, by, why, int(is_accounted))
        return mended(reply, EventState)

    async def prune(
        self, *, done_older_than_s: float = DONE_KEEP_S, failed_older_than_s: float, limit: int
    ) -> int:
        """Delete up to *limit* events that have been done, skipped or failed for longer; return how many.

        Raises LedgerUnavailable.
        """
        now_ms, pruned = await self._scripts.now(), 0
        for state, age_s in (
            (EventState.DONE, done_older_than_s),
            (EventState.SKIPPED, done_older_than_s),
            (EventState.FAILED, failed_older_than_s),
        ):
            gone = rows = min(CHUNK, limit - pruned)
            while rows > 0 and gone == rows:
                gone = int(await self._scripts.run("intake_prune", state, now_ms - ms(age_s), rows))
                pruned += gone
                rows = min(CHUNK, limit - pruned)
        return pruned

    async def get(self, event_id: str) -> EventRecord | None:
        """Return one event with its body and what operators did to it, or None; raises LedgerUnavailable."""
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                pipe.hgetall(self._keys.intake + event_id)
                pipe.get(self._keys.intake_body + event_id)
                pipe.lrange(self._keys.intake_history + event_id, 0, -1)
                row, body, history = await pipe.execute()
        return event_record(event_id, row, body, history)

    async def find(
        self,
        *,
        source: str | None = None,
        state: EventState | None = None,
        reason: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[EventRecord]:
        """Return events without their bodies, the latest change first (waiting: due last; working: lease ending last).

        What changes between two pages may show twice or be passed over. With *reason* the total is counted by looking,
        as far as some thousands of events.

        Raises:
            LedgerUnavailable: see `errors`.
            ValueError: not one of our cursors.
        """
        if cursor is not None and not _is_cursor(cursor):
            raise ValueError("not one of our cursors")
        indexes = await self._indexes(source, state)
        if reason is not None:
            return await self._find_reason(indexes, reason, limit, cursor)
        rows = await MergedStream(self._scripts, indexes, (), cursor).take(limit + 1)
        total = await self._sizes(list(indexes))
        records = await self._records([event for _, event in rows[:limit]])
        following = rows[limit - 1][0] if len(rows) > limit else None
        return Page(items=tuple(records), next=following, total=total)

    async def counts(self) -> dict[str, dict[EventState, int]]:
        """Return for each source how many of its events stand in each state; raises LedgerUnavailable."""
        states = tuple(EventState)
        reply = await self._scripts.run("intake_counts", *states)
        counted = {}
        for at in range(0, len(reply), len(states) + 1):
            numbers = reply[at + 1 : at + 1 + len(states)]
            counted[text(reply[at])] = {state: int(n) for state, n in zip(states, numbers, strict=True)}
        return dict(sorted(counted.items()))

    async def _find_reason(
        self, indexes: dict[str, int | None], reason: str, limit: int, cursor: str | None
    ) -> Page[EventRecord]:
        """Look through all rows for the total; list those behind *cursor*."""
        after = None if cursor is None else _place(cursor)
        found: list[tuple[str, EventRecord]] = []
        total = scanned = 0
        async for mark, record in self._scan(indexes):
            scanned += 1
            if record.reason == reason:
                total += 1
                if len(found) <= limit and (after is None or _place(mark) < after):
                    found.append((mark, record))
        return Page(
            items=tuple(record for _, record in found[:limit]),
            next=found[limit - 1][0] if len(found) > limit else None,
            total=total,
            is_total_exact=scanned < _MOST_SCANNED,
        )

    async def _scan(self, indexes: dict[str, int | None]) -> AsyncIterator[tuple[str, EventRecord]]:
        stream = MergedStream(self._scripts, indexes, (), None)
        for _ in range(0, _MOST_SCANNED, _SCANNED_AT_ONCE):
            rows = await stream.take(_SCANNED_AT_ONCE)
            marks = {event: mark for mark, event in rows}
            for record in await self._records(list(marks)):
                yield marks[record.id], record
            if len(rows) < _SCANNED_AT_ONCE:
                return

    async def _indexes(self, source: str | None, state: EventState | None) -> dict[str, int | None]:
        sources = await self._sources() if source is None else [source]
        states = list(EventState) if state is None else [state]
        return {f"{self._keys.intake_state}{word}:{each}": None for each in sources for word in states}

    async def _sources(self) -> list[str]:
        with translated():
            members = await self._scripts.redis.smembers(self._keys.intake_sources)
        return sorted(text(member) for member in members)

    async def _sizes(self, indexes: Sequence[str]) -> int:
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for index in indexes:
                    pipe.zcard(index)
                return sum(await pipe.execute())

    async def _records(self, ids: Sequence[str]) -> list[EventRecord]:
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for event_id in ids:
                    pipe.hgetall(self._keys.intake + event_id)
                rows = await pipe.execute()
        records = [event_record(event_id, row) for event_id, row in zip(ids, rows, strict=True)]
        return [record for record in records if record is not None]


def _place(mark: str) -> tuple[float, str]:
    score, _, event_id = mark.partition(":")
    return float(score), event_id
