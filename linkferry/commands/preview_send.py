"""Sending one message to oneself by the real channel: `linkferry test-send`, and `doctor --send-test`."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime

from linkferry.doctor import Finding, bad, ok
from worker.dispatch import Composer, MailMessage, RecipientAllowlist, SmsMessage
from worker.domain.brand import Brand
from worker.domain.fields import Notes, read_email
from worker.domain.job import ClaimedDelivery
from worker.domain.outcome import DeliveryOutcome, Sent, Skipped
from worker.domain.phone import PhoneNumber, normalise_number
from worker.domain.states import Channel
from worker.execution.shop import Dispatcher
from worker.main import build_composer, build_dispatchers, build_sender
from worker.settings import Settings

_MARKS = {"he": "[ניסיון]", "en": "[Test]"}
_WHAT_IT_MEANS = "linkferry reasons list says what it means."


async def send_to(settings: Settings, address: str, delivery: ClaimedDelivery, brand: Brand) -> Finding:
    """Send *delivery*'s message to *address*, an e-mail address or a number, and to nobody else.

    Its subject says that it is a test; the customer's own contact is not looked at. Raises SettingsError.
    """
    channel = Channel.EMAIL if "@" in address else Channel.SMS
    addressed = _addressed(delivery, address, channel, settings)
    if isinstance(addressed, Finding):
        return addressed
    if not RecipientAllowlist(settings.recipient_allowlist).allows(address):
        return bad(
            "test", "RECIPIENT_ALLOWLIST does not allow this recipient.", "Add it there, or use another."
        )
    sender = build_sender(settings)
    message = _written(build_composer(settings, sender), addressed, brand)
    if isinstance(message, Skipped):
        return bad("test", f"The {channel.value} was not sent: {message.reason}.", _WHAT_IT_MEANS)
    dispatchers = build_dispatchers(settings, sender, settings.load_catalogue())
    try:
        if channel not in dispatchers:
            return bad("test", f"No {channel.value} is set up.", "See `linkferry doctor` for what to set.")
        return _finding(channel, await _dispatch(dispatchers[channel], message))
    finally:
        for each in dispatchers.values():
            await each.aclose()


def _written(
    composer: Composer, delivery: ClaimedDelivery, brand: Brand
) -> MailMessage | SmsMessage | Skipped:
    message = composer.compose(delivery, brand=brand, dated_at=datetime.now(UTC))
    # A mark of its own: mailboxes drop a second mail with the same Message-ID.
    mark = f"test-{secrets.token_hex(6)}"
    match message:
        case MailMessage():
            label = _MARKS.get(delivery.request.contact.locale, _MARKS["en"])
            return replace(message, delivery_id=mark, subject=f"{label} {message.subject}")
        case SmsMessage():
            return replace(message, delivery_id=mark)
        case Skipped():
            return message


async def _dispatch(dispatcher: Dispatcher, message: MailMessage | SmsMessage) -> DeliveryOutcome:
    async def go_on() -> bool:
        return True

    return await dispatcher.dispatch(message, before_data=go_on)


def _finding(channel: Channel, outcome: DeliveryOutcome) -> Finding:
    if isinstance(outcome, Sent):
        return ok("test", f"One {channel.value} was taken by the provider.")
    fail = None if isinstance(outcome, Skipped) else outcome.fail
    why = fail.reason if fail else getattr(outcome, "reason", "")
    if fail and fail.detail:
        why = f"{why} ({fail.detail.rstrip('.')})"
    return bad("test", f"The {channel.value} was not sent: {why}.", _WHAT_IT_MEANS)


def _addressed(
    delivery: ClaimedDelivery, address: str, channel: Channel, settings: Settings
) -> ClaimedDelivery | Finding:
    """Return *delivery* to *address* by *channel*, and to no other contact; or what is wrong with the address."""
    contact = replace(delivery.request.contact, email=None, phone=None)
    if channel is Channel.EMAIL:
        notes = Notes()
        email = read_email("the address", address.strip(), notes)
        # A slip such as gmial.com stops it, too: a job's real links would go to a stranger.
        wrong = next(iter((*notes.errors, *notes.warnings)), None)
        if wrong is not None:
            return bad("test", f"{wrong.message[:1].upper()}{wrong.message[1:]}.", wrong.remedy)
        contact = replace(contact, email=email)
    else:
        found = normalise_number(address, region=settings.default_region)
        if not isinstance(found, PhoneNumber):
            return bad("test", "That is no address and no number.", "Write dana@example.com or 0501234567.")
        contact = replace(contact, phone=found.digits)
    return replace(delivery, channel=channel, request=replace(delivery.request, contact=contact))
