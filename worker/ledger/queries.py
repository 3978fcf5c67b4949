"""Reading the ledger: counts, single jobs, groups of failures, the audit, the server."""

from __future__ import annotations

from collections.abc import Sequence

from worker.domain.job import HistoryEntry, JobRecord
from worker.domain.states import ENDED_STATES, WAITING_STATES, JobState, Lane
from worker.ledger.auditing import wrong_terms
from worker.ledger.codec import head_of, history_entry, job_record, known_of
from worker.ledger.errors import translated
from worker.ledger.finding import Finder
from worker.ledger.grouping import grouped
from worker.ledger.keys import UNIT_SEPARATOR, Keys
from worker.ledger.records import Audit, FailureGroup, JobFilter, Known, LaneView, Page, ServerFacts
from worker.ledger.scripts import Scripts, fields_of, text
from worker.ledger.server import info, setting

_JOBS_PER_SCRIPT = 100
_AUDIT_SAMPLE = 20
#: Some 80 kB a request: a millisecond of the server's time, so that claims and settles get their turn.
_CLAIMS_AT_ONCE = 1_000
#: A record begins with fingerprint, contact mark, product codes; of the claim that follows a few letters come along.
_HEADER_BYTES = 320


class Queries:
    """What can be asked of the ledger; nothing here changes a job."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys
        self._finder = Finder(scripts, keys)

    async def counts(self) -> dict[JobState, int]:
        """Return how many jobs stand in each state, all at one instant; raises LedgerUnavailable."""
        books = await self._books()
        return {state: books[state] for state in JobState}

    async def lanes(self) -> dict[Lane, LaneView]:
        """Return how the lanes stand; `waiting` counts available jobs. Raises LedgerUnavailable."""
        reply = [text(value) for value in await self._scripts.run("lanes")]
        views = {}
        for at in range(0, len(reply), 5):
            lane, waiting, oldest_ms, paused, held = reply[at : at + 5]
            views[Lane(lane)] = LaneView(
                waiting=int(waiting),
                oldest_s=int(oldest_ms) / 1000 if oldest_ms else None,
                paused=paused == "1",
                held=held or None,
            )
        return views

    async def job(self, job_id: str) -> JobRecord | None:
        """Return one job, or None; raises LedgerUnavailable."""
        records = await self.jobs([job_id])
        return records[0] if records else None

    async def jobs(self, job_ids: Sequence[str]) -> list[JobRecord]:
        """Return those of the jobs that exist, in the order asked for; raises LedgerUnavailable."""
        records = []
        for start in range(0, len(job_ids), _JOBS_PER_SCRIPT):
            chunk = job_ids[start : start + _JOBS_PER_SCRIPT]
            rows = await self._scripts.run("read_jobs", *chunk)
            records += [job_record(job_id, row) for job_id, row in zip(chunk, rows, strict=True)]
        return [record for record in records if record is not None]

    async def schema(self) -> int | None:
        """Return the schema that the ledger was written by, or None where it is new; raises LedgerUnavailable."""
        with translated():
            found = await self._scripts.redis.hget(self._keys.meta, "schema")
        return None if found is None else int(text(found))

    async def known(self, claim_keys: Sequence[str]) -> list[Known | None]:
        """Return who stands on each of the claims, in the order asked for; raises LedgerUnavailable.

        One round trip per thousand claims, two more where some are taken. Plain reads: nothing is written.
        """
        found: list[Known | None] = []
        for start in range(0, len(claim_keys), _CLAIMS_AT_ONCE):
            found += await self._known(claim_keys[start : start + _CLAIMS_AT_ONCE])
        return found

    async def _known(self, claim_keys: Sequence[str]) -> list[Known | None]:
        redis, keys = self._scripts.redis, self._keys
        with translated():
            replies = await redis.mget([keys.claim + claim for claim in claim_keys])
            owners = [None if reply is None else text(reply) for reply in replies]
            taken = list(dict.fromkeys(owner for owner in owners if owner is not None))
            async with redis.pipeline(transaction=False) as pipe:
                for owner in taken:
                    pipe.getrange(keys.invitation + owner, 0, _HEADER_BYTES - 1)
                heads = [head_of(reply) for reply in (await pipe.execute() if taken else [])]
            async with redis.pipeline(transaction=False) as pipe:
                for owner, head in zip(taken, heads, strict=True):
                    pipe.hget(keys.job + owner + head.products[:1], "s")
                states = await pipe.execute() if taken else []
        standing = {
            owner: known_of(owner, head, state)
            for owner, head, state in zip(taken, heads, states, strict=True)
            if head.products
        }
        return [None if owner is None else standing.get(owner) for owner in owners]

    async def history(self, job_id: str) -> list[HistoryEntry]:
        """Return what happened to a job, oldest first: its acceptance and the last 50 entries.

        Raises LedgerUnavailable.
        """
        job = await self.job(job_id)
        if job is None:
            return []
        detail: dict[str, str | int | float | None] = {"source": job.source}
        if job.batch_id:
            detail |= {"batch": job.batch_id, "line": job.line}
        with translated():
            entries = await self._scripts.redis.lrange(self._keys.history + job_id, 0, -1)
        accepted = HistoryEntry(at_ms=job.accepted_at_ms, event="accepted", detail=detail)
        return [accepted, *(history_entry(entry) for entry in entries)]

    async def find(
        self, job_filter: JobFilter, *, cursor: str | None = None, limit: int = 50
    ) -> Page[JobRecord]:
        """Return the jobs that match, newest first; see `finding`. Raises LedgerUnavailable, ValueError (cursor)."""
        ids, following, (total, is_exact) = await self._finder.find(job_filter, cursor, limit)
        return Page(items=tuple(await self.jobs(ids)), next=following, total=total, is_total_exact=is_exact)

    async def groups(self) -> list[FailureGroup]:
        """Return the failed jobs by reason, largest group first; raises LedgerUnavailable."""
        with translated():
            known = await self._scripts.redis.hgetall(self._keys.reasons)
        reasons = {}
        for reason, value in known.items():
            reason_class, code = text(value).split(UNIT_SEPARATOR)
            reasons[text(reason)] = (reason_class, int(code) if code else None)
        return await grouped(self._scripts, self._keys.failed, reasons)

    async def doubts(self, limit: int) -> list[JobRecord]:
        """Return up to *limit* jobs in doubt, oldest first; raises LedgerUnavailable."""
        return await self._first_of(self._keys.state + JobState.IN_DOUBT, limit)

    async def unexplained(self, limit: int, *, looked_before_s: float = 0.0) -> list[JobRecord]:
        """Return up to *limit* failed WhatsApp jobs of class `unknown`, longest not looked at first.

        Those looked at within the last *looked_before_s* seconds are left out. Raises LedgerUnavailable.
        """
        latest = await self._scripts.now() - int(looked_before_s * 1000)
        with translated():
            ids = await self._scripts.redis.zrangebyscore(
                self._keys.unexplained, "-inf", latest, start=0, num=limit
            )
        return await self.jobs([text(item) for item in ids])

    async def audit(self) -> Audit:
        """Check that every accepted job stands somewhere, and a sample of every index; raises LedgerUnavailable."""
        books = await self._books()
        wrong = [text(line) for line in await self._scripts.run("audit", _AUDIT_SAMPLE)]
        wrong += await wrong_terms(self._scripts, self._keys, await self._sample(), sample=_AUDIT_SAMPLE)
        ended = sum(books[state] for state in ENDED_STATES)
        waiting = sum(books[state] for state in WAITING_STATES)
        running, in_doubt = books[JobState.RUNNING], books[JobState.IN_DOUBT]
        standing = ended + waiting + running + in_doubt + books["pruned"]
        return Audit(
            accepted=books["accepted"],
            ended=ended,
            waiting=waiting,
            running=running,
            in_doubt=in_doubt,
            pruned=books["pruned"],
            difference=books["accepted"] - standing,
            wrong=tuple(wrong),
        )

    async def _sample(self) -> list[JobRecord]:
        """Return some jobs of each state."""
        found = [await self._finder.find(JobFilter(state=each), None, _AUDIT_SAMPLE) for each in JobState]
        return await self.jobs(list(dict.fromkeys(job_id for ids, _, _ in found for job_id in ids)))

    async def server(self) -> ServerFacts:
        """Return what the server says of its persistence and memory; raises LedgerUnavailable."""
        facts = await info(self._scripts, "server", "memory", "persistence")
        is_aof = facts.get("aof_enabled") == "1"
        fsync = await setting(self._scripts, "appendfsync") if is_aof else "no"
        has_snapshots = bool(await setting(self._scripts, "save"))
        return ServerFacts(
            version=facts.get("valkey_version") or facts.get("redis_version", "unknown"),
            is_aof=is_aof,
            fsync=fsync or "unknown",
            maxmemory_policy=facts.get("maxmemory_policy", "unknown"),
            loss_window=self._loss_window(fsync if is_aof else None, has_snapshots=has_snapshots),
            # Measured: an idle server answers WAITAOF at its next timer tick, not when the disk has answered it.
            ack_delay_ms=0 if fsync in {"always", "no"} else 1000 // int(facts.get("configured_hz") or 10),
        )

    def _loss_window(self, fsync: str | None, *, has_snapshots: bool) -> str:
        if fsync is None:
            since = "since the last snapshot" if has_snapshots else "since the server started"
            return f"everything {since}: switch the append-only file on"
        if fsync == "always":
            return "nothing"
        window = "up to 2 s" if fsync == "everysec" else "up to the system's own flush, about 30 s"
        if self._scripts.has_wait_for_disk:
            return f"nothing that was accepted; {window} of progress, which is made up for by look-ups"
        return f"{window} of what was accepted"

    async def _first_of(self, index: str, limit: int) -> list[JobRecord]:
        with translated():
            ids = await self._scripts.redis.zrange(index, 0, limit - 1)
        return await self.jobs([text(item) for item in ids])

    async def _books(self) -> dict[str, int]:
        return {name: int(value) for name, value in fields_of(await self._scripts.run("counts")).items()}
