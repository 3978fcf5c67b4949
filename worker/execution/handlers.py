"""What the result actors do: hand an invitation's messages out, send one message, record one failure."""

from __future__ import annotations

import structlog

from worker.domain import ids
from worker.domain.job import ClaimedDelivery
from worker.domain.outcome import ChannelDown, DeliveryDoubt, DeliveryOutcome, Sent, Skipped
from worker.domain.states import Channel, DeliveryState, Lane
from worker.execution.shop import Shop
from worker.limits import Closed

log = structlog.get_logger()

async def fan_out(job_id: str, shop: Shop) -> None:
    """Ring for each message of the job's invitation that waits to be sent."""
    for delivery in await shop.ledger.deliveries.of_invitation(ids.invitation_of(job_id)):
        if delivery.state is DeliveryState.PENDING and delivery.channel in shop.dispatchers:
            shop.bell.ring_deliveries([delivery.id], delivery.channel)


async def record_failure(job_id: str, shop: Shop) -> None:
    """Count and tell a failure. The record itself was written when it was settled; this makes it heard."""
    job = await shop.ledger.queries.job(job_id)
    if job is None or job.reason is None:
        return
    shop.stats.count("failures", reason=job.reason, reason_class=job.reason_class)
    log.warning(
        "job_failed",
        job_id=job_id,
        reason=job.reason,
        reason_class=job.reason_class,
        code=job.code,
        attempt=job.attempt,
        remedy=shop.catalogue.named(job.reason).remedy,
    )


async def deliver(delivery_id: str, channel: Channel, shop: Shop) -> DeliveryOutcome | None:
    """Send one message. Return what came of it, or None where this bell led to nothing."""
    async with shop.places.one(channel) as has_place:
        dispatcher = shop.dispatchers.get(channel)
        if not has_place or dispatcher is None or shop.draining.is_set():
            return None
        granted = await shop.channel_limits[channel].acquire(Lane.LIVE, stop=shop.draining)
        if isinstance(granted, Closed):
            return None
        delivery = await shop.ledger.deliveries.claim(
            delivery_id, worker_id=shop.worker_id, lease_s=shop.lease_s
        )
        if delivery is None:
            await shop.channel_limits[channel].give_back(granted)
            return None
        with shop.heartbeat.keeping(delivery.lease):
            outcome = await _dispatch(delivery, shop)
            held = await _settle(delivery, outcome, shop)
    _report(delivery, outcome, shop, is_held=held)
    return outcome


async def _dispatch(delivery: ClaimedDelivery, shop: Shop) -> DeliveryOutcome:
    if not shop.allowlist.allows(delivery.channel, delivery.request.contact):
        return Skipped(reason="not_in_allowlist")
    wrong = check_links(delivery)
    if wrong is not None:
        log.error("foreign_link_stopped", delivery_id=delivery.id, reason=wrong)
        return Skipped(reason=wrong)
    send_by = shop.clock.monotonic() + shop.lease_s / 2

    async def may_send() -> bool:
        # A process that was stopped and continued must not send what another may have sent meanwhile: its own clock
        # tells first, then the ledger, which from here on knows that the message may be out.
        if shop.clock.monotonic() > send_by:
            return False
        return await shop.ledger.deliveries.begin_send(delivery.lease)

    return await shop.dispatchers[delivery.channel].dispatch(delivery, may_send=may_send)


async def _settle(delivery: ClaimedDelivery, outcome: DeliveryOutcome, shop: Shop) -> bool:
    # Mail in doubt is sent once more, with the same Message-ID and the same link; an SMS never is by itself.
    return await shop.ledger.deliveries.settle(
        delivery.lease, outcome, can_resend=delivery.channel is Channel.EMAIL
    )
