"""A desk with all that looking needs: the scene over a ledger with a clock to turn by hand."""

from __future__ import annotations

from typing import Any, Self

import redis.asyncio

from tests.contract.ledger_desk import Desk
from worker.domain.reasons import Catalogue
from worker.limits import Limits
from worker.limits.timing import Timing
from worker.ops.customer import customer
from worker.ops.groups import groups
from worker.ops.job_page import job_page
from worker.ops.overview import overview
from worker.ops.queries import Queries
from worker.ops.scene import Scene

DAY_S = 86_400.0


class LookingDesk(Desk):
    """What the tests of overview, groups, job page and customer page work with."""

    def __init__(self, client: redis.asyncio.Redis, *, namespace: str = "test") -> None:
        super().__init__(client, namespace=namespace)
        timing = Timing(now_us=lambda: self.now_ms * 1000, chance=lambda: 0.0)
        self.limits = Limits(client, namespace=namespace, ceiling=10.0, timing=timing)
        self.catalogue = Catalogue.shipped()
        self.has_credentials = True
        self.reminders_s: tuple[float, ...] = ()

    @classmethod
    async def open(cls, client: redis.asyncio.Redis) -> Self:
        """Return a desk whose ledger is open, and one worker alive."""
        desk = cls(client)
        await desk.ledger.open()
        await desk.beat()
        return desk

    async def beat(self) -> None:
        """Let a worker say that it lives, for a day."""
        facts = {"host": "ferry", "pid": 7, "running": 2, "loop_lag_s": 0.001, "ttl_s": DAY_S}
        await self.ledger.fleet.beat("w1", facts, DAY_S)

    @property
    def scene(self) -> Scene:
        """Return the scene."""
        queries = Queries(self.ledger, self.limits, self.catalogue, has_credentials=self.has_credentials)
        return Scene(
            ledger=self.ledger,
            limits=self.limits,
            catalogue=self.catalogue,
            queries=queries,
            has_credentials=self.has_credentials,
            is_sandbox=True,
            max_waiting=1_000,
            failed_keep_s=180 * DAY_S,
            dead_keep_s=90 * DAY_S,
            reminders_s=self.reminders_s,
        )

    async def overview(self) -> dict[str, Any]:
        """Return the overview."""
        return await overview(self.scene)

    async def page(self, job_id: str, **options: Any) -> dict[str, Any]:
        """Return the page of a job that exists."""
        document = await job_page(self.scene, job_id, **options)
        assert document is not None
        return document

    async def groups(self) -> dict[str, Any]:
        """Return the failed queue by reason, by that."""
        items = (await groups(self.scene))["items"]
        return {item["reason"]: item for item in items}

    async def customer(self, query: str, **options: Any) -> dict[str, Any]:
        """Return what is found for a query."""
        return await customer(self.scene, query, **options)
