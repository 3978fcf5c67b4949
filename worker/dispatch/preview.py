"""What a customer would see, without sending anything: every variant of the message with made-up data, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from worker.dispatch.compose import Composer
from worker.dispatch.compose_variant import REMINDER
from worker.dispatch.messages import MailMessage, Sender, SmsMessage
from worker.domain.brand import Brand
from worker.domain.ids import job_id, new_invitation_id
from worker.domain.job import ClaimedDelivery, Lease, LinkToSend
from worker.domain.request import COEXISTENCE, Contact, OnboardingRequest, Product
from worker.domain.states import Channel

SAMPLE_SENDER = Sender(address="links@acme.example", brand_name="Acme")
SAMPLE_DATE = datetime(2026, 3, 8, 9, 0, tzinfo=UTC)
SAMPLE_INVITATION = new_invitation_id(now_ms=0, chance=0)
#: A brand that names nothing but itself, and one with all that there is.
BARE_BRAND = Brand(name="")
SAMPLE_BRAND = Brand(
    name="acme",
    name_he="אקמי דיגיטל",
    name_en="Acme Digital",
    logo="https://acme.example/logo.png",
    colour="#3b3a98",
    contact_person="Noa",
    phone="97235550100",
    reply_to="help@acme.example",
    sms_sender="ACME",
    privacy_url="https://acme.example/privacy",
    verify_url="https://acme.example/is-it-us",
)
_EARLIER_MS = round(datetime(2026, 3, 3, 9, 0, tzinfo=UTC).timestamp() * 1000)
_LONG_HE = 'האגודה השיתופית הוותיקה לגידול פרחים, שתילים ועצי נוי של הגליל העליון בע"מ'
_LONG_EN = "The Very Old And Very Honourable Company Of Flower Growers Of Upper Galilee Ltd."


@dataclass(frozen=True, slots=True)
class Preview:
    """Both messages of one invitation."""

    mail: MailMessage
    sms: SmsMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """One variant of the message, with made-up data."""

    about: str  #: what it shows, for a list
    products: tuple[Product, ...] = (Product.WHATSAPP,)
    is_coexistence: bool = False
    is_agreed: bool = False
    is_replaced: bool = False
    template: str = "invitation"
    generation: int = 1
    names: str = "usual"  #: or `none`, `long`

    def request(self, locale: str) -> OnboardingRequest:
        """Return the made-up request, in the language *locale*."""
        request = replace(sample_request(locale), products=self.products, is_agreed=self.is_agreed)
        if self.is_coexistence:
            request = replace(request, whatsapp=COEXISTENCE)
        if self.names == "usual":
            return request
        name = {"none": None, "long": _LONG_HE if locale == "he" else _LONG_EN}[self.names]
        contact = replace(request.contact, name=name)
        return replace(request, business_name=name, business_name_written=name, contact=contact)

    def delivery(self, locale: str, channel: Channel = Channel.EMAIL) -> ClaimedDelivery:
        """Return its delivery by *channel*."""
        return self.variant_of(sample_delivery(self.request(locale), channel=channel))

    def variant_of(self, delivery: ClaimedDelivery) -> ClaimedDelivery:
        """Return *delivery* as this variant of the message: the same customer and links, for the same cause."""
        links = delivery.links
        if self.is_replaced:
            links = tuple(replace(link, replaces_at_ms=link.replaces_at_ms or _EARLIER_MS) for link in links)
        return replace(
            delivery,
            id=f"{delivery.invitation_id}.{delivery.channel}.{self.template}.{self.generation}",
            template=self.template,
            generation=self.generation,
            links=links,
            first_sent_at_ms=_EARLIER_MS if self.template == REMINDER else None,
        )


_MESSENGER, _INSTAGRAM = Product.FACEBOOK_MESSENGER, Product.INSTAGRAM_MESSENGER
_SEVERAL = (Product.WHATSAPP, _MESSENGER, _INSTAGRAM)
FIXTURES: Mapping[str, Fixture] = {
    "several": Fixture(about="three products in one message", products=_SEVERAL),
    "whatsapp": Fixture(about="a WhatsApp number"),
    "agreed": Fixture(about="a WhatsApp number, as was agreed", is_agreed=True),
    "coexistence": Fixture(about="WhatsApp beside the customer's own app", is_coexistence=True),
    "messenger": Fixture(about="messages of a Facebook page", products=(_MESSENGER,)),
    "instagram": Fixture(about="messages of an Instagram account", products=(_INSTAGRAM,)),
    "facebook-page": Fixture(about="posts of a Facebook page", products=(Product.FACEBOOK_PAGE,)),
    "instagram-posts": Fixture(about="posts of an Instagram account", products=(Product.INSTAGRAM_PAGE,)),
    "all": Fixture(about="all five products, as was agreed", products=tuple(Product), is_agreed=True),
    "further": Fixture(about="a link that came later", products=(_INSTAGRAM,), generation=2),
    "further-several": Fixture(about="links that came later", products=_SEVERAL[1:], generation=2),
    "replaced": Fixture(about="a link that replaces one", is_replaced=True),
    "replaced-facebook": Fixture(
        about="the same for Facebook: the earlier link may still work",
        products=(_MESSENGER,),
        is_replaced=True,
    ),
    "replaced-several": Fixture(about="links that replace others", products=_SEVERAL, is_replaced=True),
    "reminder": Fixture(about="the first reminder", template=REMINDER),
    "reminder-several": Fixture(about="the first reminder, of three", products=_SEVERAL, template=REMINDER),
    "last-reminder": Fixture(about="the second reminder", template=REMINDER, generation=2),
    "last-several": Fixture(
        about="the second reminder, of three", products=_SEVERAL, template=REMINDER, generation=2
    ),
    "nameless": Fixture(about="a customer without a name", names="none"),
    "long-names": Fixture(about="names that do not fit an SMS", names="long", products=_SEVERAL),
}


def preview_invitation(
    request: OnboardingRequest,
    links: Sequence[LinkToSend] | None = None,
    locale: str | None = None,
    *,
    sender: Sender = SAMPLE_SENDER,
    brand: Brand = BARE_BRAND,
    templates_dir: Path | None = None,
    generation: int = 1,
) -> Preview:
    """Return the mail and the SMS for *request*, in *locale* (None: the contact's own), with *links* or samples."""
    composer = Composer(templates_dir, sender=sender)
    delivery = sample_delivery(request, links, locale, generation=generation)
    return previewed(composer, delivery, brand=brand)


def previewed(
    composer: Composer, delivery: ClaimedDelivery, *, brand: Brand, dated_at: datetime = SAMPLE_DATE
) -> Preview:
    """Return both messages for *delivery*, whatever its channel."""
    return Preview(
        composer.compose_mail(delivery, brand=brand, dated_at=dated_at),
        composer.compose_sms(delivery, brand=brand, dated_at=dated_at),
    )


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
        products=_SEVERAL,
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
