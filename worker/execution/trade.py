"""A trade: a further kind of work that the front door brings to a worker, such as fetching what a CRM told of.

The worker never imports producers; what is registered here it runs like its own actors and duties.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from worker.execution.shop import Shop
from worker.maintenance.minder import Duty


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One queue of bells, who answers them, and what is minded beside."""

    queue: str  #: one of `worker.broker.QUEUES`
    actor: str
    priority: int
    work: Callable[[str], Awaitable[None]]  #: takes the id that a bell names
    duties: Sequence[Duty] = ()
    aclose: Callable[[], Awaitable[None]]


#: Builds the trades on an open shop's parts; nothing connects yet.
Trades = Callable[[Shop], Sequence[Trade]]


def no_trades(_shop: Shop) -> Sequence[Trade]:
    """Bring nothing."""
    return ()
