"""A worker that ends itself by SIGKILL at one named point of a replace: `python dying_changer.py POINT`.

It is reached by wrapping the very functions that the worker runs. Points of the second half are those of a create whose
job had its old link deleted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tests.crash.dying_worker import die, die_after, die_before
from worker.execution import attempt as attempts
from worker.execution import changing
from worker.ledger import Ledger
from worker.ledger.working import Claiming
from worker.limits import Limits
from worker.main import main
from worker.partner import PartnerClient


def die_on_claim(op: str) -> Callable[[], None]:
    """Die with a job claimed that is about *op*, its call counted as begun."""

    def arm() -> None:
        read = Claiming.read

        def dying(self: Claiming, replies: Any) -> None:
            read(self, replies)
            if getattr(self.result, "op", None) == op:
                die()

        Claiming.read = dying  # type: ignore[method-assign]

    return arm


def die_around_settle(op: str, *, is_done: bool) -> Callable[[], None]:
    """Die before or behind the settle of a job that is about *op*."""

    def arm() -> None:
        work, settle = attempts._work, Ledger.settle
        under_way: dict[str, str | None] = {}

        async def working(job: Any, shop: Any, **more: Any) -> Any:
            under_way[job.id] = job.op
            return await work(job, shop, **more)

        async def dying(self: Ledger, lease: Any, outcome: Any) -> Any:
            is_it = under_way.get(lease.subject_id) == op
            if is_it and not is_done:
                die()
            settled = await settle(self, lease, outcome)
            if is_it:
                die()
            return settled

        attempts._work, Ledger.settle = working, dying  # type: ignore[method-assign]

    return arm


def die_at_second_slot() -> None:
    """Die when the create that follows a delete asks for its slot."""
    acquire, deleted = Limits.acquire, [False]
    outcome_of = changing.outcome_of

    def noting(*args: Any) -> Any:
        deleted[0] = True
        return outcome_of(*args)

    async def dying(self: Limits, lane: Any, **kwargs: Any) -> Any:
        if "stop" in kwargs and self._name == "partner" and deleted[0]:
            die()
        return await acquire(self, lane, **kwargs)

    changing.outcome_of = noting
    Limits.acquire = dying  # type: ignore[method-assign]


POINTS: dict[str, Callable[[], None]] = {
    "delete_claimed": die_on_claim("rd"),
    "delete_begun": lambda: die_before(PartnerClient, "delete_account"),
    "delete_done": lambda: die_after(PartnerClient, "delete_account"),
    "delete_unsettled": die_around_settle("rd", is_done=False),
    "delete_settled": die_around_settle("rd", is_done=True),
    "before_the_slot": die_at_second_slot,
    "create_claimed": die_on_claim("rc"),
    "create_begun": lambda: die_before(PartnerClient, "create_whatsapp"),
    "create_done": lambda: die_after(PartnerClient, "create_whatsapp"),
    "create_unsettled": die_around_settle("rc", is_done=False),
    "create_settled": die_around_settle("rc", is_done=True),
}

if __name__ == "__main__":
    POINTS[sys.argv[1]]()
    main()
