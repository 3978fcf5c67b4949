"""The worker processes: who lives, who does a duty that only one may do, and what they counted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from worker.ledger.accepting import ms
from worker.ledger.errors import translated
from worker.ledger.keys import Keys
from worker.ledger.records import WorkerFacts
from worker.ledger.scripts import Scripts, fields_of, text


class Fleet:
    """The living workers, their duties and their counters."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def beat(self, worker_id: str, facts: Mapping[str, Any], ttl_s: float) -> None:
        """Say that a worker lives, for the next *ttl_s* seconds; raises LedgerUnavailable."""
        await self._scripts.run("beat", worker_id, json.dumps(dict(facts)), ms(ttl_s))

    async def leave(self, worker_id: str) -> None:
        """Say that a worker has stopped in good order; raises LedgerUnavailable."""
        with translated():
            await self._scripts.redis.zrem(self._keys.workers, worker_id)
            await self._scripts.redis.hdel(self._keys.worker_facts, worker_id)

    async def workers(self) -> list[WorkerFacts]:
        """Return the workers that live; raises LedgerUnavailable."""
        rows = fields_of(await self._scripts.run("workers"))
        return [WorkerFacts(id=name, facts=json.loads(facts)) for name, facts in rows.items()]

    async def hold_duty(self, name: str, worker_id: str, ttl_s: float) -> bool:
        """Take or keep a duty for *ttl_s* seconds; return False while another worker has it. Raises LedgerUnavailable."""
        return int(await self._scripts.run("take_duty", name, worker_id, ms(ttl_s))) == 1

    async def release_duty(self, name: str, worker_id: str) -> None:
        """Let a duty go, if it is this worker's; raises LedgerUnavailable."""
        await self._scripts.run("release_duty", name, worker_id)

    async def add_stats(self, counters: Mapping[str, float]) -> None:
        """Add to named counters of the whole fleet; raises LedgerUnavailable (they may be counted)."""
        if counters:
            await self._scripts.run("add_stats", *(part for pair in counters.items() for part in pair))

    async def stats(self) -> dict[str, float]:
        """Return the fleet's counters; raises LedgerUnavailable."""
        with translated():
            rows = await self._scripts.redis.hgetall(self._keys.stats)
        return {text(name): float(value) for name, value in rows.items()}
