"""Batches, and what stops work: pauses (an operator's) and holds (a guard's)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.domain.states import Channel, JobState, Lane
from worker.domain.targets import ALL, BATCH, CHANNEL
from worker.ledger.codec import delivery_record, job_record
from worker.ledger.errors import translated
from worker.ledger.keys import UNIT_SEPARATOR, Keys
from worker.ledger.records import Ahead, BatchRecord, BatchRow, CancelResult, Hold, HoldOutlook, Page
from worker.ledger.scripts import Scripts, fields_of, text

_JOBS_PER_SCRIPT = 100
_AS = "as:"  #: begins what a hold's FAILs were explained as
_BY_REASON = "r:"  #: begins a tally of failed jobs by their reason
_CHANNELS = frozenset(CHANNEL + channel for channel in Channel)


class Batches:
    """Batches, pauses and holds. A *target* is `live`, `bulk`, `all` (both lanes), `batch:<id>` or `channel:<name>`.

    A channel can be paused, never held: none of its messages is begun then, and the jobs go on.
    """

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def open(
        self,
        batch_id: str,
        *,
        name: str,
        source: str,
        by: str,
        total: int | None = None,
        path: str = "",
        options: str | None = None,
    ) -> None:
        """Record a batch of *total* rows, where known; opening it again changes nothing.

        *path* and *options* are those of the command that brings it, for whoever is to go on with it.
        Raises LedgerUnavailable.
        """
        fields = {
            "name": name,
            "source": source,
            "by": by,
            "total": "" if total is None else str(total),
            "path": path,
            # With a mark in front, since a run without any options is not one whose options are unknown.
            "options": "" if options is None else f" {options}",
        }
        await self._scripts.run("batch_open", batch_id, *(part for pair in fields.items() for part in pair))

    async def get(self, batch_id: str) -> BatchRecord | None:
        """Return one batch, or None; raises LedgerUnavailable."""
        records = await self.those([batch_id])
        return records[0] if records else None

    async def those(self, batch_ids: Sequence[str]) -> list[BatchRecord]:
        """Return those of the batches that exist, in the order asked for; raises LedgerUnavailable."""
        if not batch_ids:
            return []
        holds, pauses = await self.holds(), await self.pauses()
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for item in batch_ids:
                    pipe.hgetall(self._keys.batch + item)
                    pipe.hgetall(self._keys.tally + BATCH + item)
                replies = [_texts(row) for row in await pipe.execute()]
        return [
            _record(item, fields, tally, holds.get(BATCH + item), is_paused=BATCH + item in pauses)
            for item, fields, tally in zip(batch_ids, replies[::2], replies[1::2], strict=True)
            if fields
        ]

    async def all(self, limit: int = 50) -> list[BatchRecord]:
        """Return the latest *limit* batches, newest first; raises LedgerUnavailable."""
        with translated():
            ids = await self._scripts.redis.zrevrange(self._keys.batches, 0, limit - 1)
        return await self.those([text(item) for item in ids])

    async def page(self, *, cursor: str | None = None, limit: int = 50) -> Page[BatchRecord]:
        """Return a page of batches, newest first; its cursor is the id of its last one.

        Raises LedgerUnavailable, ValueError (no batch of ours).
        """
        redis, key = self._scripts.redis, self._keys.batches
        with translated():
            rank = -1 if cursor is None else await redis.zrevrank(key, cursor)
            if rank is None:
                message = "not one of our cursors"
                raise ValueError(message)
            start, total = int(str(rank)) + 1, int(await redis.zcard(key))
            ids = [text(item) for item in await redis.zrevrange(key, start, start + limit - 1)]
        following = ids[-1] if ids and start + len(ids) < total else None
        return Page(items=tuple(await self.those(ids)), next=following, total=total)

    async def add_counts(
        self, batch_id: str, *, rejected: int = 0, duplicates: int = 0, conflicts: int = 0
    ) -> None:
        """Add to what became of a batch's rows; `accepted` is counted by accept itself. Raises LedgerUnavailable."""
        counts = {"rejected": rejected, "duplicates": duplicates, "conflicts": conflicts}
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for name, number in counts.items():
                    if number:
                        pipe.hincrby(self._keys.batch + batch_id, name, number)
                await pipe.execute()

    async def tell(self, batch_id: str, *, read: int, is_leaving: bool = False) -> None:
        """Say how many rows of its file the importer has come to, and that it lives; raises LedgerUnavailable.

        *is_leaving*: that it stops before the end, instead, so that nobody waits for a sign of life.
        """
        now = 0 if is_leaving else await self._scripts.now()
        with translated():
            await self._scripts.redis.hset(
                self._keys.batch + batch_id, mapping={"read": str(read), "told": str(now)}
            )

    async def close(self, batch_id: str) -> None:
        """Say that no more rows will come; raises LedgerUnavailable."""
        now = await self._scripts.now()
        with translated():
            await self._scripts.redis.hset(self._keys.batch + batch_id, "closed", str(now))

    async def job_ids(self, batch_id: str, start: int, count: int) -> list[str]:
        """Return *count* job ids from *start* on, in the order of the file; raises LedgerUnavailable."""
        key = self._keys.batch_jobs + batch_id
        with translated():
            ids = await self._scripts.redis.lrange(key, start, start + count - 1)
        return [text(item) for item in ids]

    async def rows(self, batch_id: str, start: int, count: int) -> list[BatchRow]:
        """Return *count* (≤ 100) jobs from *start* on with their messages, as `job_ids`; raises LedgerUnavailable."""
        reply = await self._scripts.run("batch_rows", batch_id, start, min(count, _JOBS_PER_SCRIPT))
        return [_row(row) for row in reply]

    async def ahead(self, batch_id: str, *, waiting: int) -> Ahead:
        """Return what is worked on before *waiting* jobs of the batch are done; raises LedgerUnavailable."""
        live, bulk, queues = await self._scripts.run("batch_ahead", batch_id, waiting)
        return Ahead(live=int(live), bulk=int(bulk), queues=int(queues))

    async def cancel(self, batch_id: str, *, by: str, why: str) -> CancelResult:
        """Cancel a batch's waiting jobs and mark those whose calls are made; it takes no more rows from then on.

        Raises LedgerUnavailable (say it again).
        """
        start = cancelled = running = in_doubt = 0
        while True:
            reply = await self._scripts.run("batch_cancel", batch_id, by, why, start, _JOBS_PER_SCRIPT)
            seen = int(reply[0])
            start, cancelled = start + seen, cancelled + int(reply[1])
            running, in_doubt = running + int(reply[2]), in_doubt + int(reply[3])
            if seen < _JOBS_PER_SCRIPT:
                return CancelResult(cancelled=cancelled, running=running, in_doubt=in_doubt)

    async def spared(self, batch_id: str) -> dict[JobState, int]:
        """Return where the jobs stand now whose calls were made, or under way, when the batch was cancelled.

        Raises LedgerUnavailable.
        """
        states = fields_of(await self._scripts.run("batch_spared", batch_id))
        return {JobState(state): int(count) for state, count in states.items()}

    async def pause(self, target: str, *, by: str = "", why: str = "") -> None:
        """Let *target* take no new jobs (a channel: no messages); running ones end. Accounted for, where somebody (*by*) did it.

        Raises LedgerUnavailable, ValueError.
        """
        await self._scripts.run("pause", by, why, target, *_scopes(target))

    async def resume(
        self, target: str, *, with_holds: bool = False, by: str = "", why: str = ""
    ) -> list[str]:
        """End a pause, *with_holds* also the holds on *target* (`all`: on batches, too); return the holds cleared.

        Raises LedgerUnavailable, ValueError.
        """
        scopes = _scopes(target)
        held: tuple[str, ...] = ()
        if with_holds:
            held = tuple(await self.holds()) if target == ALL else scopes
        reply = await self._scripts.run("resume", by, why, target, len(scopes), *scopes, *held)
        return [text(scope) for scope in reply]

    async def pauses(self) -> set[str]:
        """Return what is paused: lanes, `batch:<id>` and `channel:<name>`; raises LedgerUnavailable."""
        with translated():
            return {text(item) for item in await self._scripts.redis.smembers(self._keys.pauses)}

    async def hold(self, target: str, reason: str) -> None:
        """Hold *target* for a reason; a hold that stands keeps its own. Raises LedgerUnavailable, ValueError."""
        for scope in _scopes(target):
            await self._scripts.run("hold", scope, reason)

    async def clear_hold(
        self, target: str, *, by: str = "", why: str = "", since_ms: int | None = None
    ) -> str | None:
        """Clear a hold (only the one that stands *since_ms*, if given); what was held begins anew with a canary.

        Return its reason, or None when there was none. Raises LedgerUnavailable, ValueError.
        """
        seen = "" if since_ms is None else since_ms
        reasons = [
            text(await self._scripts.run("clear_hold", scope, by, why, seen)) for scope in _scopes(target)
        ]
        return next(filter(None, reasons), None)

    async def suspects(self, target: str) -> list[str]:
        """Return the jobs whose equal FAILs in a row made (or begin to make) a hold; raises LedgerUnavailable."""
        with translated():
            ids = await self._scripts.redis.smembers(self._keys.suspects + target)
        return sorted(text(item) for item in ids)

    async def holds(self) -> dict[str, Hold]:
        """Return what is held, and why; raises LedgerUnavailable."""
        with translated():
            rows = await self._scripts.redis.hgetall(self._keys.holds)
            holds = {text(target): text(value).split(UNIT_SEPARATOR) for target, value in rows.items()}
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for target in holds:
                    pipe.hmget(self._keys.tally + target, "available", "scheduled")
                waiting = await pipe.execute() if holds else []
        return {
            target: Hold(reason=reason, since_ms=int(since), count=sum(int(count or 0) for count in counts))
            for (target, (reason, since)), counts in zip(holds.items(), waiting, strict=True)
        }

    async def outlook(self, target: str) -> HoldOutlook:
        """Return what has become of the FAILs that hold *target*; raises LedgerUnavailable."""
        ids = await self.suspects(target)
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                pipe.hgetall(self._keys.guard + target)
                for job in ids:
                    pipe.hget(self._keys.job + job, "s")
                    pipe.zscore(self._keys.unexplained, job)
                guard, *rows = await pipe.execute()
        looked_at = [
            score
            for state, score in zip(rows[::2], rows[1::2], strict=True)
            if state is not None and text(state) == JobState.FAILED
        ]
        facts = {text(name): int(count) for name, count in guard.items() if text(name).startswith(_AS)}
        return HoldOutlook(
            standing=len(looked_at),
            looked_up=sum(score == 0 for score in looked_at),
            explained={name.removeprefix(_AS): count for name, count in facts.items()},
        )


def _record(
    batch_id: str, fields: dict[str, str], tally: dict[str, str], hold: Hold | None, *, is_paused: bool
) -> BatchRecord:
    def number(name: str) -> int | None:
        return int(float(fields[name])) if name in fields else None

    return BatchRecord(
        id=batch_id,
        name=fields.get("name", ""),
        source=fields.get("source", ""),
        by=fields.get("by", ""),
        total=number("total"),
        opened_at_ms=number("opened") or 0,
        closed_at_ms=number("closed"),
        cancelled_at_ms=number("cancelled"),
        accepted=number("accepted") or 0,
        duplicates=number("duplicates") or 0,
        conflicts=number("conflicts") or 0,
        rejected=number("rejected") or 0,
        pruned=number("pruned") or 0,
        is_paused=is_paused,
        hold=hold,
        jobs={state: int(tally.get(state, 0)) for state in JobState},
        failures=_failures(tally),
        read=number("read"),
        told_at_ms=number("told"),
        path=fields.get("path"),
        options=fields["options"].removeprefix(" ") if "options" in fields else None,
    )


def _failures(tally: dict[str, str]) -> dict[str, int]:
    by_reason = {
        name.removeprefix(_BY_REASON): int(count)
        for name, count in tally.items()
        if name.startswith(_BY_REASON)
    }
    return dict(sorted(by_reason.items(), key=lambda each: (-each[1], each[0])))


def _row(reply: Sequence[Any]) -> BatchRow:
    """Return one row of `batch_rows.lua`."""
    job_id = text(reply[0])
    if len(reply) == 1:
        return BatchRow(job_id=job_id, job=None)
    *job, flat = reply[1:]
    messages = (
        delivery_record(text(each), fields_of(fields))
        for each, fields in zip(flat[::2], flat[1::2], strict=True)
    )
    return BatchRow(
        job_id=job_id,
        job=job_record(job_id, job),
        messages=tuple(each for each in messages if each is not None and job_id in each.job_ids),
    )


def _texts(row: dict[bytes | str, bytes | str]) -> dict[str, str]:
    return {text(name): text(value) for name, value in row.items()}


def _scopes(target: str) -> tuple[str, ...]:
    if target == ALL:
        return tuple(Lane)
    if target in set(Lane) or target.startswith(BATCH) or target in _CHANNELS:
        return (target,)
    message = f"neither a lane nor `all` nor `batch:<id>` nor `channel:<name>`: {target!r}"
    raise ValueError(message)
