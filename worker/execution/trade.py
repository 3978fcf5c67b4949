"""A trade: a further kind of work that the front door brings to a worker, such as fetching what a CRM told of.

The worker never imports producers; what is registered here it runs like its own actors and duties.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.domain.outgoing import OutgoingEvent, SinkPlan, Telling
from worker.execution.shop import Shop
from worker.maintenance.minder import Duty


class Sink(Protocol):
    """Takes our own events to somebody outside."""

    async def send(self, event: OutgoingEvent) -> Telling:
        """Tell *event* and return what came of it; the same event may come twice. Raises nothing it expects."""
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlet:
    """A sink, and what the ledger has to know of it."""

    plan: SinkPlan
    sink: Sink


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One queue of bells, who answers them, and what is minded beside."""

    queue: str  #: one of `worker.broker.QUEUES`
    actor: str
    priority: int
    work: Callable[[str], Awaitable[None]]  #: takes the id that a bell names
    duties: Sequence[Duty] = ()
    outlets: Sequence[Outlet] = ()  #: where our own events are to be told as well
    aclose: Callable[[], Awaitable[None]]


#: Builds the trades on an open shop's parts; nothing connects yet.
Trades = Callable[[Shop], Sequence[Trade]]


def no_trades(_shop: Shop) -> Sequence[Trade]:
    """Bring nothing."""
    return ()
