"""What a customer would see, without sending anything: for `linkferry preview` and the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from worker.dispatch.compose import Composer
from worker.dispatch.messages import MailMessage, Sender, SmsMessage
from worker.domain.ids import job_id, new_invitation_id
from worker.domain.job import ClaimedDelivery, Lease, LinkToSend
from worker.domain.request import Contact, OnboardingRequest, Product
from worker.domain.states import Channel

SAMPLE_SENDER = Sender(address="links@acme.example", brand_name="Acme")
SAMPLE_DATE = datetime(2026, 1, 4, 9, 0, tzinfo=UTC)
SAMPLE_INVITATION = new_invitation_id(now_ms=0, chance=0)


@dataclass(frozen=True, slots=True)
class Preview:
    """Both messages of one invitation."""

    mail: MailMessage
    sms: SmsMessage


def preview_invitation(
    request: OnboardingRequest,
    links: Sequence[LinkToSend] | None = None,
    locale: str | None = None,
    *,
    sender: Sender = SAMPLE_SENDER,
    templates_dir: Path | None = None,
    generation: int = 1,
) -> Preview:
    """Return the mail and the SMS for *request*, in *locale* (None: the contact's own), with *links* or samples."""
    composer = Composer(templates_dir, sender=sender)
    delivery = sample_delivery(request, links, locale, generation=generation)
    return Preview(composer.compose_mail(delivery, dated_at=SAMPLE_DATE), composer.compose_sms(delivery))


def sample_delivery(
    request: OnboardingRequest,
    links: Sequence[LinkToSend] | None = None,
    locale: str | None = None,
    *,
    channel: Channel = Channel.EMAIL,
    generation: int = 1,
) -> ClaimedDelivery:
    """Return the delivery of a made-up invitation for *request*, with *links* or samples."""
    contact = replace(request.contact, locale=locale or request.contact.locale)
    return ClaimedDelivery(
        id=f"{SAMPLE_INVITATION}.{channel.value}.invitation.{generation}",
        invitation_id=SAMPLE_INVITATION,
        channel=channel,
        template="invitation",
        generation=generation,
        failures=0,
        is_resend=False,
        request=replace(request, contact=contact),
        links=tuple(sample_links(request) if links is None else links),
        lease=Lease(subject_id=SAMPLE_INVITATION, token="preview", expires_at_ms=0, ttl_s=0),  # noqa: S106 - no secret
    )


def sample_links(request: OnboardingRequest, *, base: str = "https://onboarding.example") -> list[LinkToSend]:
    """Return a made-up link for each product of *request*."""
    return [
        LinkToSend(
            job_id=job_id(SAMPLE_INVITATION, product),
            product=product,
            link=f"{base}/{'' if product is Product.WHATSAPP else 'f/'}{123456 + nth}",
            number=request.number if product is Product.WHATSAPP else None,
        )
        for nth, product in enumerate(request.products)
    ]


def sample_request(locale: str = "he") -> OnboardingRequest:
    """Return a made-up customer who wants WhatsApp, Messenger and Instagram."""
    is_hebrew = locale == "he"
    return OnboardingRequest(
        products=(Product.WHATSAPP, Product.FACEBOOK_MESSENGER, Product.INSTAGRAM_MESSENGER),
        contact=Contact(
            name="דנה לוי" if is_hebrew else "Dana Levi",
            email="dana@example.com",
            phone="972501234567",
            locale=locale,
        ),
        whatsapp="972501234567",
        business_name="פרחי דנה" if is_hebrew else "Dana Flowers",
        business_name_written='פרחי דנה בע"מ' if is_hebrew else "Dana's Flowers Ltd.",
        display_name="פרחי דנה" if is_hebrew else "Dana Flowers",
    )
