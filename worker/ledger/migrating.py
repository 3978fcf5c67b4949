"""Bringing a ledger that an older version wrote to the layout of this one, in steps that a kill may end anywhere.

Schema 2 added the search index, the failed messages by reason and the jobs that failed again. All are filled from what
is there, and every step may be repeated, so that whoever comes next goes on. Schema 3 added links that are replaced or
deleted, reminders and the send window: what they keep begins empty. The older version's processes must have stopped by
then: they would record what no index knows, and make a link where one is to be deleted.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence

from worker.domain.request import OnboardingRequest
from worker.domain.search import number_term, terms_of
from worker.domain.states import DeliveryState, JobState
from worker.ledger.codec import request_of
from worker.ledger.errors import SchemaMismatch, translated
from worker.ledger.keys import OLDEST_KNOWN, SCHEMA_VERSION, Keys
from worker.ledger.scripts import Scripts, text
from worker.ledger.server import beginning_with, info
from worker.telemetry import log

_DUTY = "migrate"
_HELD_MS = 30_000  #: a process that was killed leaves the duty for so long
_LOOK_EVERY_S = 0.5
_TELL_EVERY_S = 5.0
_ROWS_PER_SCRIPT = 100
_KEYS_PER_SCAN = 1_000  #: looked at by the server in about half a millisecond
_INDEXED_SINCE = 2  #: schema from which on a ledger has its indexes
_PROGRESS = "migration"  #: a field of `meta`: how far it is, and on which run of the server


async def migrate(scripts: Scripts, keys: Keys) -> None:
    """Bring the ledger to this version's schema, or wait until another process has; nothing to do where it is.

    Raises:
        SchemaMismatch: it was written by a newer version.
        LedgerUnavailable, LedgerFull: some of it is done.
    """
    me = secrets.token_hex(8)
    is_told = False
    while (found := await _schema(scripts, keys)) != SCHEMA_VERSION:
        if await _hold_duty(scripts, me):
            await _Migration(scripts, keys, me).run(found)
            continue
        if not is_told:
            log.info("ledger_migration_awaited", to_schema=SCHEMA_VERSION)
            is_told = True
        await asyncio.sleep(_LOOK_EVERY_S)


async def _schema(scripts: Scripts, keys: Keys) -> int:
    with translated():
        found = await scripts.redis.hget(keys.meta, "schema")
    if found is None or not OLDEST_KNOWN <= int(text(found)) <= SCHEMA_VERSION:
        raise SchemaMismatch(f"the ledger has schema {found!r}, this version knows {SCHEMA_VERSION}")
    return int(text(found))


async def _hold_duty(scripts: Scripts, me: str) -> bool:
    return int(await scripts.run("take_duty", _DUTY, me, _HELD_MS)) == 1


class _Migration:
    """One process's go at it."""

    def __init__(self, scripts: Scripts, keys: Keys, me: str) -> None:
        self._scripts = scripts
        self._keys = keys
        self._me = me
        self._done = 0
        self._told_at_s = time.monotonic()

    async def run(self, found: int) -> None:
        """Bring schema *found* to this one, from where the last one ended. Returns early when another has taken over."""
        log.info("ledger_migration_started", from_schema=found, to_schema=SCHEMA_VERSION)
        if found < _INDEXED_SINCE and not (await self._index_invitations() and await self._index_failures()):
            return
        with translated():
            await self._scripts.redis.hset(self._keys.meta, "schema", str(SCHEMA_VERSION))
            await self._scripts.redis.hdel(self._keys.meta, _PROGRESS)
        log.info("ledger_migrated", to_schema=SCHEMA_VERSION, invitations=self._done)
        await self._scripts.run("release_duty", _DUTY, self._me)

    async def _index_invitations(self) -> bool:
        run_id = await self._run_id()
        cursor = await self._progress(run_id)
        if cursor is None:
            return True
        pattern = beginning_with(self._keys.invitation)
        while True:
            with translated():
                cursor, found = await self._scripts.redis.scan(cursor, match=pattern, count=_KEYS_PER_SCAN)
            ids = [text(key).removeprefix(self._keys.invitation) for key in found]
            for start in range(0, len(ids), _ROWS_PER_SCRIPT):
                await self._index(ids[start : start + _ROWS_PER_SCRIPT])
            cursor = int(cursor)
            await self._keep_progress(run_id, cursor)
            if not await self._is_ours():
                return False
            if cursor == 0:
                return True

    async def _index(self, ids: Sequence[str]) -> None:
        with translated():
            records = await self._scripts.redis.mget([self._keys.invitation + each for each in ids])
        requests = {
            each: request_of(record) for each, record in zip(ids, records, strict=True) if record is not None
        }
        allotted = await self._allotted(requests)
        args = []
        for each, request in requests.items():
            terms = terms_of(request, each)
            if brought := number_term(allotted.get(each), each):
                terms += [] if brought in terms else [brought]
            args += [each, "\n".join(terms)]
        if args:
            self._done += int(await self._scripts.run("migrate_search", *args))

    async def _allotted(self, requests: dict[str, OnboardingRequest]) -> dict[str, str]:
        """Return the numbers that links brought."""
        asked = [each for each, request in requests.items() if request.is_coexistence]
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for each in asked:
                    pipe.hget(f"{self._keys.extra}{each}w", "number")
                numbers = await pipe.execute() if asked else []
        return {each: text(number) for each, number in zip(asked, numbers, strict=True) if number}

    async def _index_failures(self) -> bool:
        pairs = (
            ("migrate_failed", self._keys.state + JobState.FAILED),
            ("migrate_messages", self._keys.delivery_state + DeliveryState.FAILED),
        )
        for verb, key in pairs:
            async for ids in self._members(key):
                for start in range(0, len(ids), _ROWS_PER_SCRIPT):
                    await self._scripts.run(verb, *ids[start : start + _ROWS_PER_SCRIPT])
                if not await self._is_ours():
                    return False
        return True

    async def _members(self, key: str) -> AsyncIterator[list[str]]:
        cursor = 0
        while True:
            with translated():
                cursor, found = await self._scripts.redis.zscan(key, cursor, count=_ROWS_PER_SCRIPT)
            yield [text(member) for member, _ in found]
            cursor = int(cursor)
            if cursor == 0:
                break

    async def _is_ours(self) -> bool:
        """Tell how far it is, now and then, and whether the duty is still ours."""
        if time.monotonic() - self._told_at_s < _TELL_EVERY_S:
            return True
        self._told_at_s = time.monotonic()
        with translated():
            jobs = await self._scripts.redis.hmget(self._keys.meta, "accepted", "pruned")
        there = int(jobs[0] or 0) - int(jobs[1] or 0)
        log.info("ledger_migrating", to_schema=SCHEMA_VERSION, invitations=self._done, jobs=there)
        return await _hold_duty(self._scripts, self._me)

    async def _progress(self, run_id: str) -> int | None:
        """Return where to go on through the keys; None: they are all seen to.

        A server that was started anew walks through its keys in another order: then from the beginning.
        """
        with translated():
            kept = await self._scripts.redis.hget(self._keys.meta, _PROGRESS)
        if kept is None:
            return 0
        progress = json.loads(kept)
        if progress["is_done"]:
            return None
        return int(progress["cursor"]) if run_id and progress["run_id"] == run_id else 0

    async def _keep_progress(self, run_id: str, cursor: int) -> None:
        progress = json.dumps({"run_id": run_id, "cursor": cursor, "is_done": cursor == 0})
        with translated():
            await self._scripts.redis.hset(self._keys.meta, _PROGRESS, progress)

    async def _run_id(self) -> str:
        """Return what names this run of the server, or nothing where it does not tell."""
        return (await info(self._scripts, "server")).get("run_id", "")
