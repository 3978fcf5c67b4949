"""Batches, and what stops work: pauses (an operator's) and holds (a guard's)."""

from __future__ import annotations

from worker.domain.states import JobState, Lane
from worker.ledger.errors import translated
from worker.ledger.keys import UNIT_SEPARATOR, Keys
from worker.ledger.records import BatchRecord, CancelResult, Hold
from worker.ledger.scripts import Scripts, text

_JOBS_PER_SCRIPT = 100
ALL = "all"


class Batches:
    """Batches, pauses and holds. A *target* is `live`, `bulk`, `all` (both lanes) or `batch:<id>`."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def open(self, batch_id: str, *, name: str, source: str, by: str, total: int | None = None) -> None:
        """Record a batch of *total* rows, where known; opening it again changes nothing. Raises LedgerUnavailable."""
        fields = {"name": name, "source": source, "by": by, "total": "" if total is None else str(total)}
        await self._scripts.run("batch_open", batch_id, *(part for pair in fields.items() for part in pair))

    async def get(self, batch_id: str) -> BatchRecord | None:
        """Return one batch, or None; raises LedgerUnavailable."""
        records = await self._records([batch_id])
        return records[0] if records else None

    async def all(self, limit: int = 50) -> list[BatchRecord]:
        """Return the latest *limit* batches, newest first; raises LedgerUnavailable."""
        with translated():
            ids = await self._scripts.redis.zrevrange(self._keys.batches, 0, limit - 1)
        return await self._records([text(item) for item in ids])

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

    async def cancel(self, batch_id: str, *, by: str, why: str) -> CancelResult:
        """Cancel a batch's waiting jobs and mark its running ones; raises LedgerUnavailable (say it again)."""
        start = cancelled = running = 0
        while True:
            reply = await self._scripts.run("batch_cancel", batch_id, by, why, start, _JOBS_PER_SCRIPT)
            seen = int(reply[0])
            start, cancelled, running = start + seen, cancelled + int(reply[1]), running + int(reply[2])
            if seen < _JOBS_PER_SCRIPT:
                return CancelResult(cancelled=cancelled, running=running)

    async def pause(self, target: str) -> None:
        """Let *target* take no new jobs; running ones end. Raises LedgerUnavailable, ValueError."""
        scopes = _scopes(target)
        with translated():
            await self._scripts.redis.sadd(self._keys.pauses, *scopes)

    async def resume(self, target: str) -> None:
        """End a pause; raises LedgerUnavailable, ValueError."""
        scopes = _scopes(target)
        with translated():
            await self._scripts.redis.srem(self._keys.pauses, *scopes)

    async def pauses(self) -> set[str]:
        """Return what is paused: lanes and `batch:<id>`; raises LedgerUnavailable."""
        with translated():
            return {text(item) for item in await self._scripts.redis.smembers(self._keys.pauses)}

    async def hold(self, target: str, reason: str) -> None:
        """Hold *target* for a reason; a hold that stands keeps its own. Raises LedgerUnavailable, ValueError."""
        for scope in _scopes(target):
            await self._scripts.run("hold", scope, reason)

    async def clear_hold(self, target: str) -> bool:
        """Clear a hold; what was held begins anew with a canary. Return False when there was none.

        Raises LedgerUnavailable, ValueError.
        """
        return any([int(await self._scripts.run("clear_hold", scope)) for scope in _scopes(target)])

    async def holds(self) -> dict[str, Hold]:
        """Return what is held, and why; raises LedgerUnavailable."""
        with translated():
            rows = await self._scripts.redis.hgetall(self._keys.holds)
            holds = {text(target): text(value).split(UNIT_SEPARATOR) for target, value in rows.items()}
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for target in holds:
                    pipe.hget(self._keys.tally + target, "available")
                waiting = await pipe.execute() if holds else []
        return {
            target: Hold(reason=reason, since_ms=int(since), count=int(count or 0))
            for (target, (reason, since)), count in zip(holds.items(), waiting, strict=True)
        }

    async def _records(self, ids: list[str]) -> list[BatchRecord]:
        if not ids:
            return []
        holds, pauses = await self.holds(), await self.pauses()
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for item in ids:
                    pipe.hgetall(self._keys.batch + item)
                    pipe.hgetall(f"{self._keys.tally}batch:{item}")
                replies = [_texts(row) for row in await pipe.execute()]
        return [
            _record(item, fields, tally, holds.get(f"batch:{item}"), is_paused=f"batch:{item}" in pauses)
            for item, fields, tally in zip(ids, replies[::2], replies[1::2], strict=True)
            if fields
        ]


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
    )


def _texts(row: dict[bytes | str, bytes | str]) -> dict[str, str]:
    return {text(name): text(value) for name, value in row.items()}


def _scopes(target: str) -> tuple[str, ...]:
    if target == ALL:
        return tuple(Lane)
    if target in set(Lane) or target.startswith("batch:"):
        return (target,)
    raise ValueError(f"neither a lane nor `all` nor `batch:<id>`: {target!r}")
