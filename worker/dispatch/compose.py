"""From a claimed delivery to the message its customer gets: one per invitation and channel, in his language."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from worker.dispatch.allowlist import RecipientAllowlist
from worker.dispatch.compose_mail import MailContext, Names
from worker.dispatch.compose_sms import SmsParts, compose_text, shortened
from worker.dispatch.compose_templates import HTML_TEMPLATE, TEXT_TEMPLATE, MailTemplate
from worker.dispatch.compose_variant import agreed_variant, is_several, variant
from worker.dispatch.links import OwnAddresses, check_links, check_mail, check_text
from worker.dispatch.messages import MailMessage, Sender, SmsMessage, plain_text
from worker.dispatch.segments import measure
from worker.dispatch.wording import LOCALES, Wording, fill_html, fill_text
from worker.domain.brand import Brand
from worker.domain.job import ClaimedDelivery
from worker.domain.outcome import Skipped
from worker.domain.states import Channel

NO_CONTACT = "no_contact"
NOT_IN_ALLOWLIST = "not_in_allowlist"
_SUBJECT_BUSINESS_LIMIT = 48
_DEFAULT_LOCALE = "he"
_RIGHT_TO_LEFT = "\u200f"


class Composer:
    """Writes the messages. Templates and words are read once, here; an operator's own folder comes first."""

    def __init__(
        self,
        templates_dir: Path | None = None,
        *,
        sender: Sender,
        allowlist: RecipientAllowlist | None = None,
    ) -> None:
        """Raise OSError or BadTemplateError for files that can't serve, NotADirectoryError for a folder that is none."""
        if templates_dir is not None and not templates_dir.is_dir():
            message = f"{templates_dir} is no folder"
            raise NotADirectoryError(message)
        self.html = MailTemplate(HTML_TEMPLATE, templates_dir)
        self.text = MailTemplate(TEXT_TEMPLATE, templates_dir)
        self._wordings: Mapping[str, Wording] = {
            locale: Wording.load(locale, templates_dir) for locale in LOCALES
        }
        self._sender = sender
        self._allowlist = allowlist or RecipientAllowlist()

    def compose(
        self, delivery: ClaimedDelivery, *, brand: Brand, dated_at: datetime
    ) -> MailMessage | SmsMessage | Skipped:
        """Return the message for *delivery* in the name of *brand*, checked, or why there is to be none.

        *dated_at* (aware) becomes its Date. Raises BadTemplateError where an operator's own template asks for what does not
        exist.
        """
        recipient = recipient_of(delivery)
        if recipient is None:
            return Skipped(reason=NO_CONTACT)
        if not self._allowlist.allows(recipient):
            return Skipped(reason=NOT_IN_ALLOWLIST)
        problem = check_links(delivery)
        if problem is not None:
            return Skipped(reason=problem)
        if delivery.channel is Channel.SMS:
            sms = self.compose_sms(delivery, brand=brand, dated_at=dated_at)
            problem = check_text(sms.text, delivery.links)
            return Skipped(reason=problem) if problem else sms
        mail = self.compose_mail(delivery, brand=brand, dated_at=dated_at)
        problem = check_mail(mail.html, mail.text, delivery.links, OwnAddresses.of(brand))
        return Skipped(reason=problem) if problem else mail

    def compose_mail(self, delivery: ClaimedDelivery, *, brand: Brand, dated_at: datetime) -> MailMessage:
        """Return the e-mail, unchecked."""
        context = self._context(delivery, brand, dated_at)
        names = context.names
        subject = self._subject(context)
        texts = self.text.render(context.values(fill_text) | {"subject": subject})
        return MailMessage(
            delivery_id=_mark(delivery),
            sender=self._sender.for_brand(brand, names.wording.locale),
            to=delivery.request.contact.email or "",
            to_name=names.person or None,
            subject=subject,
            html=self.html.render(context.values(fill_html) | {"subject": subject}),
            text=_led(texts) if names.wording.direction == "rtl" else texts,
            dated_at=dated_at,
            failures=delivery.failures,
        )

    def compose_sms(self, delivery: ClaimedDelivery, *, brand: Brand, dated_at: datetime) -> SmsMessage:
        """Return the SMS, unchecked, within its budget of parts; dates in it are told as at *dated_at* (aware)."""
        context = self._context(delivery, brand, dated_at)
        text = compose_text(_sms_parts(context, brand), context.names.wording)
        return SmsMessage(
            delivery_id=_mark(delivery),
            to=delivery.request.contact.phone or "",
            text=text,
            segments=measure(text).segments,
            sender=brand.sms_sender,
            failures=delivery.failures,
        )

    def _context(self, delivery: ClaimedDelivery, brand: Brand, dated_at: datetime) -> MailContext:
        wording = self._wordings.get(delivery.request.contact.locale, self._wordings[_DEFAULT_LOCALE])
        sender = self._sender.for_brand(brand, wording.locale)
        names = Names.of(delivery, wording, brand=brand, brand_name=sender.brand_name, told_at=dated_at)
        return MailContext(delivery, brand, names)

    def _subject(self, context: MailContext) -> str:
        names, key = context.names, variant(context.delivery)
        business = shortened(names.business, _SUBJECT_BUSINESS_LIMIT, "…")
        text = names.wording.subject[key if business else f"{key}_nameless"]
        return plain_text(text.format_map({**names.values, "business": business}))


def recipient_of(delivery: ClaimedDelivery) -> str | None:
    """Return the address or number that *delivery* goes to, or None where the request has none."""
    contact = delivery.request.contact
    return (contact.phone if delivery.channel is Channel.SMS else contact.email) or None


def _sms_parts(context: MailContext, brand: Brand) -> SmsParts:
    delivery, names, sms = context.delivery, context.names, context.names.wording.sms
    texts = [names.wording.product(link, delivery.request) for link in delivery.links]
    labelled = [
        sms["line"].format(label=product["sms_label"], link=link.link)
        for product, link in zip(texts, delivery.links, strict=True)
    ]
    values = {
        "platform": names.values["platforms"],
        "date": names.values["date"],
        "when": names.values["when"],
    }
    whats = dict.fromkeys((agreed_variant(delivery), variant(delivery)))
    return SmsParts(
        whats=[sms[f"what_{each}"].format_map(values) for each in whats],
        brand=names.brand,
        business=names.business,
        lines=labelled if is_several(delivery) else [link.link for link in delivery.links],
        tail=sms["doubt"].format(phone=names.wording.number(brand.phone)) if brand.phone else "",
    )


def _mark(delivery: ClaimedDelivery) -> str:
    """Return what the message is known by. A mailbox drops a second one of the same mark: right after doubt only."""
    return f"{delivery.id}+{delivery.asked_again}" if delivery.asked_again else delivery.id


def _led(text: str) -> str:
    """Return a plain text whose lines all run from right to left, those too that begin with a Latin name.

    A line's first letter decides where it begins. Addresses stay alone on theirs.
    """
    return "\n".join(_RIGHT_TO_LEFT + line if _begins_latin(line) else line for line in text.split("\n"))


def _begins_latin(line: str) -> bool:
    first = next((letter for letter in line if letter.isalpha()), "")
    return first.isascii() and first != "" and "://" not in line
