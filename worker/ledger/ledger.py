"""The record of all jobs: the truth that the broker's bells only point to."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import redis.asyncio

from worker.ledger.accepting import Accepting
from worker.ledger.changing import Changing
from worker.ledger.errors import translated
from worker.ledger.keys import SCHEMA_VERSION, Keys
from worker.ledger.mending import Mending
from worker.ledger.migrating import migrate
from worker.ledger.reminding import Reminding
from worker.ledger.scripts import Scripts
from worker.ledger.working import Working

if TYPE_CHECKING:
    from worker.ledger.acts import Acts
    from worker.ledger.api_keys import ApiKeys
    from worker.ledger.batches import Batches
    from worker.ledger.brands import Brands
    from worker.ledger.completing import Completing
    from worker.ledger.deliveries import Deliveries
    from worker.ledger.fleet import Fleet
    from worker.ledger.forgetting import Forgetting
    from worker.ledger.incidents import Incidents
    from worker.ledger.intake import Intake
    from worker.ledger.outbox import Outbox
    from worker.ledger.queries import Queries
    from worker.ledger.series import SeriesReader
    from worker.ledger.sessions import Sessions
    from worker.ledger.suppressing import Suppressing
    from worker.ledger.survey import Survey
    from worker.ledger.taught import Taught
    from worker.ledger.trail import Trail
    from worker.ledger.users import Users
    from worker.ledger.window import Window


def _part(module: str, kind: str) -> Any:
    """Return a part of a ledger, loaded when it is first asked for: a command needs some, and is to start quickly."""

    def made(ledger: Ledger) -> Any:
        its_class = getattr(import_module(f"worker.ledger.{module}"), kind)
        return its_class(ledger._scripts, ledger._keys)  # noqa: SLF001 - the ledger's own

    return cached_property(made)


class Ledger(Accepting, Working, Mending, Changing):
    """The jobs of one namespace, changed only by atomic, guarded verbs.

    Every verb is one script; what it says held, held. All instants are the server's. *now_ms* replaces its clock
    in tests.
    """

    deliveries: Deliveries = _part("deliveries", "Deliveries")
    batches: Batches = _part("batches", "Batches")
    queries: Queries = _part("queries", "Queries")
    fleet: Fleet = _part("fleet", "Fleet")
    keys_of_api: ApiKeys = _part("api_keys", "ApiKeys")
    users: Users = _part("users", "Users")
    sessions: Sessions = _part("sessions", "Sessions")
    intake: Intake = _part("intake", "Intake")
    outbox: Outbox = _part("outbox", "Outbox")
    incidents: Incidents = _part("incidents", "Incidents")
    series: SeriesReader = _part("series", "SeriesReader")
    survey: Survey = _part("survey", "Survey")
    trail: Trail = _part("trail", "Trail")
    acts: Acts = _part("acts", "Acts")
    taught: Taught = _part("taught", "Taught")
    window: Window = _part("window", "Window")
    completing: Completing = _part("completing", "Completing")
    suppressing: Suppressing = _part("suppressing", "Suppressing")
    brands: Brands = _part("brands", "Brands")
    forgetting: Forgetting = _part("forgetting", "Forgetting")

    def __init__(
        self,
        client: redis.asyncio.Redis,
        *,
        namespace: str,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self._keys = Keys(namespace)
        self._scripts = Scripts(client, self._keys.prefix, now_ms)
        self.reminding = Reminding(self._scripts)

    async def open(self) -> None:
        """Find out what the server can do, and check the schema (or write it, in a new ledger; an older one's is brought to this).

        Raises:
            SchemaMismatch: written by a newer version of Linkferry.
            LedgerUnavailable, LedgerFull: see `errors`.
        """
        await self._scripts.know_server()
        with translated():
            found = await self._scripts.redis.hget(self._keys.meta, "schema")
            if found is None:
                await self._scripts.redis.hsetnx(self._keys.meta, "schema", str(SCHEMA_VERSION))
        await migrate(self._scripts, self._keys)

    async def abandon(self, worker_id: str) -> int:
        """End all leases of a worker process that is known to be gone; return how many.

        Of jobs, of messages, of events that came in and of our own. Raises LedgerUnavailable: some may have ended.
        """
        ended = await super().abandon(worker_id)
        ended += await self.intake.abandon(worker_id)
        ended += await self.incidents.abandon(worker_id)
        return ended + await self.outbox.abandon(worker_id)

    async def aclose(self) -> None:
        """Close the connections to the server."""
        await self._scripts.redis.aclose()

    async def now_ms(self) -> int:
        """Return the ledger's time (the server's), in ms since 1970; raises LedgerUnavailable."""
        return await self._scripts.now()
