"""The outbox: events of our own, left by the very scripts that make the changes they tell of, told to each sink.

At least once, in no promised order. What is told is deleted; the last thousand stay to be looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from worker.domain.job import Lease
from worker.domain.outgoing import (
    ClaimedOutgoing,
    NeverTold,
    NotTold,
    OutgoingRecord,
    OutgoingState,
    OutgoingType,
    SinkBusy,
    SinkGone,
    SinkPlan,
    SinkRecord,
    Telling,
    Told,
)
from worker.ledger.accepting import ms
from worker.ledger.codec import mended
from worker.ledger.errors import translated
from worker.ledger.keys import UNIT_SEPARATOR as US
from worker.ledger.keys import Keys
from worker.ledger.paging import rank_of
from worker.ledger.records import Mended, Page
from worker.ledger.scripts import Scripts, fields_of, text
from worker.ledger.working import new_token

_ROWS_PER_SCRIPT = 200
#: Told events kept for looking at, for each sink; the script that keeps them says the same.
LAST_TOLD = 1_000


class Outbox:
    """The verbs and queries of our own events; those that hold a lease compare its token and say whether it held."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def enable(self, sinks: Sequence[SinkPlan], *, decides: Collection[str] | None = None) -> None:
        """Leave events for these sinks, and no others, from now on; for none, nothing is written any more.

        *decides* are the names of the sinks that the caller knows whether they are to be on, besides *sinks*: those of
        any other name stay as they are; None: it decides about all. A sink whose `mark` is another than before is no
        longer down, paused or gone. Raises LedgerUnavailable, and ValueError for a name or source that the scripts
        can't tell apart.
        """
        args = ["*" if decides is None else ",".join(decides)]
        for plan in sinks:
            if any(letter in f"{plan.name}{plan.only_source or ''}" for letter in "=, ") or not plan.name:
                raise ValueError(f"{plan.name!r} is no name of a sink")
            args += (plan.name, plan.only_source or "", plan.mark)
        await self._scripts.run("outbox_enable", *args)

    async def due(self, *, rering_after_s: float) -> list[str]:
        """Choose the sinks that are to be rung for now, each once in *rering_after_s*; raises LedgerUnavailable."""
        return [text(name) for name in await self._scripts.run("outbox_due", ms(rering_after_s))]

    async def claim(self, sink: str, *, want: int, worker_id: str, lease_s: float) -> list[ClaimedOutgoing]:
        """Take up to *want* due events of a sink, oldest first, under leases of *lease_s* seconds.

        One at a time, now and then, where the sink is down; none while it is paused or gone. Raises LedgerUnavailable.
        """
        token = new_token(worker_id)
        rows = await self._scripts.run("outbox_claim", sink, token, ms(lease_s), want)
        return [_claimed(row, sink, token, lease_s) for row in rows]

    async def settle(self, lease: Lease, telling: Telling, *, delay_s: float | None = None) -> bool:
        """Write what a try came to, as the lease holder; return False when the lease was lost.

        *delay_s* after `NotTold`: seconds until the next try, None when that was the last one. Raises
        LedgerUnavailable: say the same again (False then may mean that it was written before).
        """
        ending, fault, delay = _ending(telling, delay_s)
        status = "" if telling.status is None else telling.status
        reply = await self._scripts.run(
            "outbox_settle", lease.subject_id, lease.token, ending, fault, status, delay
        )
        return int(reply[0]) == 1

    async def rescue(self, *, limit: int = 100) -> int:
        """Let events be told again whose leases ran out, up to *limit* a sink; return how many. Raises LedgerUnavailable."""
        return int(await self._scripts.run("outbox_rescue", limit))

    async def abandon(self, worker_id: str) -> int:
        """End the leases of a worker process that is known to be gone; return how many. Raises LedgerUnavailable."""
        return int(await self._scripts.run("outbox_abandon", worker_id))

    async def retry(self, event_id: str, *, by: str = "", why: str = "") -> Mended:
        """Tell an event again from the beginning of its schedule, now; its sink is turned on again.

        Accounted for, where somebody (*by*) did it.

        Raises LedgerUnavailable.
        """
        reply = await self._scripts.run("outbox_retry", event_id, by, why)
        return mended(reply, OutgoingState)

    async def retry_all(self, sink: str, *, by: str = "", why: str = "") -> int:
        """Tell all events of a sink again, now, that failed, wait for a later try, or wait because the sink stands still.

        The sink is turned on again. Accounted for, where somebody (*by*) did it, before the first is moved. Return how
        many there are. Raises LedgerUnavailable.
        """
        total = 0
        while True:
            moved, freed = await self._scripts.run("outbox_retry_all", sink, _ROWS_PER_SCRIPT, by, why)
            by = ""  # the first of the scripts has accounted for all of them
            total += int(moved) + int(freed)
            if int(moved) < _ROWS_PER_SCRIPT:
                return total

    async def prune(self, *, older_than_s: float, limit: int = 1_000) -> int:
        """Delete events that failed, or could not be told, for that long; return how many. Raises LedgerUnavailable."""
        before_ms, pruned = await self._scripts.now() - ms(older_than_s), 0
        for sink in await self.known():
            while pruned < limit:
                rows = min(limit - pruned, _ROWS_PER_SCRIPT)
                gone = int(await self._scripts.run("outbox_prune", sink, before_ms, rows))
                pruned += gone
                if gone < rows:
                    break
        return pruned

    # --- looking -------------------------------------------------------------------------------------------

    async def known(self) -> list[str]:
        """Return the names of all sinks that ever were switched on; raises LedgerUnavailable."""
        with translated():
            names = await self._scripts.redis.hkeys(self._keys.sinks)
        return sorted(text(name) for name in names)

    async def sinks(self) -> list[SinkRecord]:
        """Return how every sink stands that ever was switched on; raises LedgerUnavailable."""
        rows = await self._scripts.run("outbox_sinks")
        return sorted((_sink_record(row) for row in rows), key=lambda sink: sink.name)

    async def get(self, event_id: str) -> OutgoingRecord | None:
        """Return one event that is not told yet, or one of the last that were, or None; raises LedgerUnavailable."""
        with translated():
            fields = _decoded(await self._scripts.redis.hgetall(self._keys.outbox + event_id))
            if not fields:
                return await self._told_before(event_id)
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for index in self._indexes(fields["k"]).values():
                    pipe.zscore(index, event_id)
                scores = await pipe.execute()
        standing = zip(self._indexes(fields["k"]), scores, strict=True)
        state, score = next(
            ((state, score) for state, score in standing if score is not None), (OutgoingState.WAITING, None)
        )
        return _record(event_id, fields, state, score)

    async def find(
        self, *, sink: str, state: OutgoingState, cursor: str | None = None, limit: int = 50
    ) -> Page[OutgoingRecord]:
        """Return a sink's events in a state, newest first (waiting: those due next first).

        A cursor is a rank: what changes between two pages may show twice or be passed over. Raises LedgerUnavailable,
        and ValueError for a cursor that is none of ours.
        """
        start = rank_of(cursor)
        if state is OutgoingState.TOLD:
            items, total = await self._told(sink, start, limit)
        else:
            items, total = await self._standing(sink, state, start, limit)
        return Page(
            items=tuple(items), next=str(start + limit) if total > start + limit else None, total=total
        )

    async def _standing(
        self, sink: str, state: OutgoingState, start: int, limit: int
    ) -> tuple[list[OutgoingRecord], int]:
        key, redis = self._indexes(sink)[state], self._scripts.redis
        is_newest_first = state is OutgoingState.FAILED
        with translated():
            rows: Any = await redis.zrange(
                key, start, start + limit - 1, desc=is_newest_first, withscores=True
            )
            total = int(await redis.zcard(key))
            async with redis.pipeline(transaction=False) as pipe:
                for event_id, _ in rows:
                    pipe.hgetall(self._keys.outbox + text(event_id))
                found = [_decoded(each) for each in await pipe.execute()] if rows else []
        records = [
            _record(text(event_id), fields, state, float(score))
            for (event_id, score), fields in zip(rows, found, strict=True)
            if fields
        ]
        return records, total

    async def _told(self, sink: str, start: int, limit: int) -> tuple[list[OutgoingRecord], int]:
        key = self._keys.outbox_told + sink
        with translated():
            rows = await self._scripts.redis.lrange(key, start, start + limit - 1)
            total = int(await self._scripts.redis.llen(key))
        return [_told_record(sink, text(row)) for row in rows], total

    async def _told_before(self, event_id: str) -> OutgoingRecord | None:
        for sink in await self.known():
            records, _ = await self._told(sink, 0, LAST_TOLD)
            if found := next((each for each in records if each.id == event_id), None):
                return found
        return None

    def _indexes(self, sink: str) -> dict[OutgoingState, str]:
        return {
            OutgoingState.WAITING: self._keys.outbox_due + sink,
            OutgoingState.SENDING: self._keys.outbox_sending + sink,
            OutgoingState.FAILED: self._keys.outbox_failed + sink,
        }


def _ending(telling: Telling, delay_s: float | None) -> tuple[str, str, str | int]:
    """Return ending, fault and delay in ms as the script takes them."""
    match telling:
        case Told():
            return "told", "", ""
        case NeverTold(fault=fault):
            return "never", fault, ""
        case SinkGone(fault=fault):
            return "gone", fault, ""
        case SinkBusy(fault=fault):
            return "busy", fault, ms(telling.delay_s)
        case NotTold(fault=fault):
            return "again", fault, "" if delay_s is None else ms(delay_s)


def _claimed(row: Sequence[Any], sink: str, token: str, lease_s: float) -> ClaimedOutgoing:
    event_id, lease_end, kind, job_id, occurred, attempt, failures, facts = (text(value) for value in row)
    words = facts.split(US)
    return ClaimedOutgoing(
        id=event_id,
        sink=sink,
        type=OutgoingType(kind),
        job_id=job_id,
        occurred_at_ms=_ms(occurred),
        attempt=int(attempt),
        failures=int(failures),
        # Whoever tells it misses what is not there: a claim must not fail at what another version left.
        facts=dict(zip(words[::2], words[1::2], strict=False)),
        lease=Lease(subject_id=event_id, token=token, expires_at_ms=_ms(lease_end), ttl_s=lease_s),
    )


def _record(
    event_id: str, fields: dict[str, str], state: OutgoingState, score: float | None
) -> OutgoingRecord:
    at_ms = None if score is None else int(score)
    return OutgoingRecord(
        id=event_id,
        sink=fields["k"],
        type=OutgoingType(fields["y"]),
        state=state,
        job_id=fields["j"],
        occurred_at_ms=_ms(fields["t"]),
        attempt=int(fields.get("a", 0)),
        failures=int(fields.get("f", 0)),
        due_at_ms=at_ms if state is OutgoingState.WAITING else None,
        changed_at_ms=at_ms if state is OutgoingState.FAILED else None,
        fault=fields.get("r"),
        status=int(fields["hs"]) if fields.get("hs") else None,
    )


def _told_record(sink: str, row: str) -> OutgoingRecord:
    event_id, kind, job_id, occurred, told_at, attempt, failures, status = row.split(US)
    return OutgoingRecord(
        id=event_id,
        sink=sink,
        type=OutgoingType(kind),
        state=OutgoingState.TOLD,
        job_id=job_id,
        occurred_at_ms=_ms(occurred),
        attempt=int(attempt),
        failures=int(failures),
        changed_at_ms=_ms(told_at),
        status=int(status) if status else None,
    )


def _sink_record(row: Sequence[Any]) -> SinkRecord:
    name, is_enabled, waiting, sending, failed, oldest, flat = row
    fields = fields_of(flat)
    return SinkRecord(
        name=text(name),
        is_enabled=int(is_enabled) == 1,
        waiting=int(waiting),
        sending=int(sending),
        failed=int(failed),
        told=int(fields.get("told", 0)),
        dropped=int(fields.get("dropped", 0)),
        oldest_due_ms=_instant(text(oldest)),
        down_since_ms=_instant(fields.get("ds")),
        paused_until_ms=_instant(fields.get("u")),
        gone_since_ms=_instant(fields.get("g")),
        fault=fields.get("r") or None,
        status=int(fields["hs"]) if fields.get("hs") else None,
    )


def _decoded(row: dict[Any, Any]) -> dict[str, str]:
    return {text(name): text(value) for name, value in row.items()}


def _instant(word: str | None) -> int | None:
    return _ms(word) if word else None


def _ms(word: str) -> int:
    return int(float(word))
