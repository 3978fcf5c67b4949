"""The Dramatiq actors: each hands its id to the function that does the work, and nothing else.

An actor's argument is an id and not to be trusted further: the ledger says what, if anything, is to be done.
"""

from __future__ import annotations

from collections.abc import Sequence

import dramatiq

from worker.domain.states import Channel, Lane
from worker.execution import handlers
from worker.execution.attempt import attempt, follow_up
from worker.execution.shop import Shop
from worker.execution.trade import Trade

#: Order within one process: a live customer first, a backfill last.
_FIRST, _SECOND, _THIRD, _LAST = 0, 10, 20, 30


def register(broker: dramatiq.Broker, shop: Shop, trades: Sequence[Trade] = ()) -> None:
    """Register the actors on *broker*, each working with *shop*, and those of *trades*. Nothing is built at import."""

    @dramatiq.actor(broker=broker, queue_name="live", priority=_FIRST)
    async def create_link(job_id: str) -> None:
        follow_up(job_id, await attempt(job_id, Lane.LIVE, shop), shop)

    @dramatiq.actor(broker=broker, queue_name="bulk", priority=_LAST)
    async def create_link_bulk(job_id: str) -> None:
        follow_up(job_id, await attempt(job_id, Lane.BULK, shop), shop)

    @dramatiq.actor(broker=broker, queue_name="fan_out", priority=_SECOND)
    async def fan_out(job_id: str) -> None:
        await handlers.fan_out(job_id, shop)

    @dramatiq.actor(broker=broker, queue_name="failures", priority=_THIRD)
    async def record_failure(job_id: str) -> None:
        await handlers.record_failure(job_id, shop)

    @dramatiq.actor(broker=broker, queue_name="email", priority=_SECOND)
    async def deliver_email(delivery_id: str) -> None:
        await handlers.deliver(delivery_id, Channel.EMAIL, shop)

    @dramatiq.actor(broker=broker, queue_name="sms", priority=_SECOND)
    async def deliver_sms(delivery_id: str) -> None:
        await handlers.deliver(delivery_id, Channel.SMS, shop)

    for trade in trades:
        as_actor = dramatiq.actor(
            broker=broker, queue_name=trade.queue, actor_name=trade.actor, priority=trade.priority
        )
        as_actor(trade.work)
