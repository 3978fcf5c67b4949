"""What the result actors do: hand an invitation's messages out, send one message, record one failure."""

from __future__ import annotations

from worker.dispatch import BadTemplateError
from worker.domain.brand import Brand
from worker.domain.job import ClaimedDelivery
from worker.domain.outcome import ChannelDown, DeliveryOutcome, Fail, Sent, Skipped
from worker.domain.reasons import ReasonClass
from worker.domain.request import Product
from worker.domain.states import Channel, Lane
from worker.domain.stop_list import SUPPRESSED, contacts_of
from worker.execution.attempt import surely
from worker.execution.shop import Shop
from worker.ledger import LedgerFull, LedgerUnavailable
from worker.limits import Closed
from worker.telemetry import log

#: Bells for messages outstanding in the fleet, for each channel; more wait in the ledger.
_MESSAGE_BELLS = 64
#: A bell unheard for this long is rung again.
RERING_AFTER_S = 10.0


async def fan_out(job_id: str, shop: Shop) -> None:
    """Ring for the messages of the job's invitation, and for whatever else is due to be sent."""
    del job_id  # whose bell this was: what is due, the ledger knows
    await ring_messages(shop)


async def ring_messages(shop: Shop) -> int:
    """Ring for the messages that are due, by every channel that can send; return how many.

    Who takes a message out of its queue rings for it, so that none is rung for twice at once.
    """
    count = 0
    for channel in shop.dispatchers:
        due = await shop.ledger.deliveries.due(
            channel, want=_MESSAGE_BELLS, rering_after_s=RERING_AFTER_S, closed=shop.closed_times()
        )
        shop.bell.ring_deliveries(due, channel)
        count += len(due)
    return count


async def record_failure(job_id: str, shop: Shop) -> None:
    """Count and tell a failure. The record itself was written when it was settled; this makes it heard."""
    job = await shop.ledger.queries.job(job_id)
    if job is None or job.reason is None:
        return
    shop.stats.count("failures", reason=job.reason, reason_class=job.reason_class)
    is_looked_up = job.reason_class == ReasonClass.UNKNOWN and job.product is Product.WHATSAPP
    log.warning(
        "job_failed",
        job_id=job_id,
        reason=job.reason,
        reason_class=job.reason_class,
        code=job.code,
        attempt=job.attempt,
        # Advice for a code nobody knows would be wrong in a moment: the partner's lists mostly explain it.
        remedy=None if is_looked_up else shop.catalogue.named(job.reason).remedy,
    )


async def deliver(delivery_id: str, channel: Channel, shop: Shop) -> DeliveryOutcome | None:
    """Send one message. Return what came of it, or None where this bell led to nothing."""
    async with shop.places.one(channel) as has_place:
        dispatcher = shop.dispatchers.get(channel)
        if not has_place or dispatcher is None or shop.draining.is_set():
            await shop.ledger.deliveries.hand_back(delivery_id)
            return None
        granted = await shop.channel_limits[channel].acquire(Lane.LIVE, stop=shop.draining)
        if isinstance(granted, Closed):
            await shop.ledger.deliveries.hand_back(delivery_id)
            return None
        delivery = await shop.ledger.deliveries.claim(
            delivery_id, worker_id=shop.worker_id, lease_s=shop.lease_s, closed=shop.closed_times()
        )
        if delivery is None:
            await shop.channel_limits[channel].give_back(granted)
            return None
        with shop.heartbeat.keeping(delivery.lease):
            outcome = await _dispatch(delivery, shop)
            # Mail in doubt is sent once more, with the same Message-ID and the same link; an SMS never is by itself.
            held = await surely(
                lambda: shop.ledger.deliveries.settle(
                    delivery.lease,
                    outcome,
                    can_resend=channel is Channel.EMAIL,
                    resend_after_s=shop.resend_after_s,
                ),
                delivery.id,
                shop,
            )
    _report(delivery, outcome, shop, held=held)
    return outcome


async def _dispatch(delivery: ClaimedDelivery, shop: Shop) -> DeliveryOutcome:
    # Asked here and not where messages are made: who asks for no more is spared what waits already as well.
    contacts = contacts_of(delivery.request)
    if await surely(lambda: shop.ledger.suppressing.holds(contacts), delivery.id, shop):
        return Skipped(reason=SUPPRESSED)
    try:
        message = shop.composer.compose(delivery, brand=_brand_of(delivery, shop), dated_at=shop.clock.now())
    except BadTemplateError as exc:
        # An operator's own template asks for what does not exist: nobody's message is to be lost for that.
        reason = shop.catalogue.named("template_failed")
        place = f"{exc.path.name}:{exc.line or 1}"
        # Without the traceback: what a template stumbled over may be a name or a link.
        log.error("template_failed", delivery_id=delivery.id, at=place)  # noqa: TRY400
        fail = Fail(reason=reason.name, reason_class=reason.reason_class.value, detail=place)
        return ChannelDown(fail=fail)
    if isinstance(message, Skipped):
        return message

    async def may_send() -> bool:
        # From here on the ledger knows that the message may be out. False: another process has the delivery by now, the
        # send window has closed meanwhile, or nobody knows whether it was written down: then the message stays here, and
        # that is sure.
        try:
            return await shop.ledger.deliveries.begin_send(delivery.lease, closed=shop.closed_times())
        except (LedgerUnavailable, LedgerFull) as exc:
            log.warning("send_not_begun", delivery_id=delivery.id, error=type(exc).__name__)
            return False

    return await shop.dispatchers[delivery.channel].dispatch(
        message, before_data=may_send, deadline_s=shop.send_within_s
    )


def _brand_of(delivery: ClaimedDelivery, shop: Shop) -> Brand:
    if shop.brands.is_removed(delivery.request.brand):
        log.warning("brand_missed", delivery_id=delivery.id, brand=delivery.request.brand)
        shop.stats.count("brands_missed")
    return shop.brands.chosen(delivery.request.brand)


def _report(delivery: ClaimedDelivery, outcome: DeliveryOutcome, shop: Shop, *, held: bool) -> None:
    kind = type(outcome).__name__.lower()
    fail = getattr(outcome, "fail", None)
    reason = fail.reason if fail else getattr(outcome, "reason", None)
    shop.stats.count("messages", channel=delivery.channel.value, outcome=kind, reason=reason)
    if delivery.is_resend:
        shop.stats.count("messages_resent", channel=delivery.channel.value)
    if isinstance(outcome, Sent):
        shop.stats.count("message_parts", max(1, outcome.segments), channel=delivery.channel.value)
    tell = log.info if isinstance(outcome, Sent) else log.warning
    tell(
        "delivery_finished",
        delivery_id=delivery.id,
        channel=delivery.channel.value,
        outcome=kind,
        reason=reason,
        lease_held=held,
    )
