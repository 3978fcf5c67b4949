"""From a claimed delivery to the message its customer gets: one per invitation and channel, in his language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, select_autoescape

from worker.dispatch.allowlist import RecipientAllowlist
from worker.dispatch.compose_sms import SmsParts, compose_text, shortened
from worker.dispatch.links import check_links, check_mail, check_text
from worker.dispatch.messages import MailMessage, Sender, SmsMessage, plain_text, without_links
from worker.dispatch.segments import measure
from worker.dispatch.wording import LOCALES, SHIPPED_TEMPLATES, Wording, fill_html, fill_text
from worker.domain.job import ClaimedDelivery, LinkToSend
from worker.domain.outcome import Skipped
from worker.domain.states import Channel

NO_CONTACT = "no_contact"
NOT_IN_ALLOWLIST = "not_in_allowlist"
_BUSINESS_LIMIT = 80
_PERSON_LIMIT = 60
_SUBJECT_BUSINESS_LIMIT = 48
_DEFAULT_LOCALE = "he"

_Fill = Callable[[str, Mapping[str, str]], str]


class Composer:
    """Writes the messages. Templates and words are read once, here; an operator's own folder comes first."""

    def __init__(
        self,
        templates_dir: Path | None = None,
        *,
        sender: Sender,
        allowlist: RecipientAllowlist | None = None,
    ) -> None:
        """Raise OSError, KeyError, tomllib.TOMLDecodeError or jinja2.TemplateError for files that can't serve."""
        folders = [folder for folder in (templates_dir, SHIPPED_TEMPLATES) if folder]
        environment = Environment(
            loader=ChoiceLoader([FileSystemLoader(folder) for folder in folders]),
            autoescape=select_autoescape(enabled_extensions=("html", "html.j2"), default=False),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._html = environment.get_template("invitation.html.j2")
        self._text = environment.get_template("invitation.txt.j2")
        self._wordings = {locale: Wording.load(locale, templates_dir) for locale in LOCALES}
        self._sender = sender
        self._allowlist = allowlist or RecipientAllowlist()

    def compose(self, delivery: ClaimedDelivery, *, dated_at: datetime) -> MailMessage | SmsMessage | Skipped:
        """Return the message for *delivery*, checked, or why there is to be none.

        Raises jinja2.UndefinedError or KeyError where an operator's own templates ask for what does not exist.
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
            sms = self.compose_sms(delivery)
            problem = check_text(sms.text, delivery.links)
            return Skipped(reason=problem) if problem else sms
        mail = self.compose_mail(delivery, dated_at=dated_at)
        problem = check_mail(mail.html, mail.text, delivery.links)
        return Skipped(reason=problem) if problem else mail

    def compose_mail(self, delivery: ClaimedDelivery, *, dated_at: datetime) -> MailMessage:
        """Return the e-mail, unchecked; *dated_at* (aware) becomes its Date."""
        wording = self._wording(delivery)
        person = _person(delivery)
        subject = self._subject(delivery, wording)
        return MailMessage(
            delivery_id=_mark(delivery),
            sender=self._sender,
            to=delivery.request.contact.email or "",
            to_name=person or None,
            subject=subject,
            html=self._html.render(self._context(delivery, wording, fill_html) | {"subject": subject}),
            text=self._text.render(self._context(delivery, wording, fill_text)),
            dated_at=dated_at,
            failures=delivery.failures,
        )

    def compose_sms(self, delivery: ClaimedDelivery) -> SmsMessage:
        """Return the SMS, unchecked, within its budget of parts."""
        wording = self._wording(delivery)
        texts = [wording.product(link, delivery.request) for link in delivery.links]
        labelled = (
            wording.sms["line"].format(label=product["sms_label"], link=link.link)
            for product, link in zip(texts, delivery.links, strict=True)
        )
        parts = SmsParts(
            kind=_kind(delivery),
            brand=self._sender.brand_name,
            business=_business(delivery),
            platform=wording.listed(product["platform"] for product in texts),
            lines=list(labelled) if len(delivery.links) > 1 else [link.link for link in delivery.links],
        )
        text = compose_text(parts, wording)
        return SmsMessage(
            delivery_id=_mark(delivery),
            to=delivery.request.contact.phone or "",
            text=text,
            segments=measure(text).segments,
            failures=delivery.failures,
        )

    def _wording(self, delivery: ClaimedDelivery) -> Wording:
        return self._wordings.get(delivery.request.contact.locale, self._wordings[_DEFAULT_LOCALE])

    def _subject(self, delivery: ClaimedDelivery, wording: Wording) -> str:
        business = shortened(_business(delivery), _SUBJECT_BUSINESS_LIMIT, "…")
        key = _kind(delivery) if business else f"{_kind(delivery)}_nameless"
        values = {"business": business, "platforms": _platforms(delivery, wording)}
        return plain_text(wording.subject[key].format_map(values))

    def _context(self, delivery: ClaimedDelivery, wording: Wording, fill: _Fill) -> dict[str, Any]:
        """Return what the templates may name, every text filled in by *fill*."""
        mail, kind, person = wording.mail, _kind(delivery), _person(delivery)
        number = "several" if _is_several(delivery) else "one"
        values = {
            "brand": self._sender.brand_name,
            "business": _business(delivery) or mail["your_business"],
            "platforms": _platforms(delivery, wording),
            "domains": wording.listed(urlsplit(link.link).netloc for link in delivery.links),
            "name": person,
            "email": delivery.request.contact.email or "",
            "help": self._sender.help_contact or "",
        }
        return {
            "locale": wording.locale,
            "direction": wording.direction,
            "brand": self._sender.brand_name,
            "preheader": fill(mail[f"preheader_{number}"], values),
            "heading": mail[f"heading_{kind}"],
            "greeting": fill(mail["greeting" if person else "greeting_nameless"], values),
            "intro": fill(mail[f"intro_{kind}"], values),
            "products": [_product(link, delivery, wording, fill) for link in delivery.links],
            "plain_link": mail["plain_link"],
            "steps_heading": mail[f"steps_heading_{number}"],
            "steps": _filled(mail["steps"], values, fill),
            "safety_heading": mail["safety_heading"],
            "safety": _filled(mail[f"safety_{number}"], values, fill),
            "help": fill(mail["help_contact" if self._sender.help_contact else "help_reply"], values),
            "footer": fill(mail["footer"], values),
        }


def _mark(delivery: ClaimedDelivery) -> str:
    """Return what the message is known by. A mailbox drops a second one of the same mark: right after doubt only."""
    return f"{delivery.id}+{delivery.asked_again}" if delivery.asked_again else delivery.id


def recipient_of(delivery: ClaimedDelivery) -> str | None:
    """Return the address or number that *delivery* goes to, or None where the request has none."""
    contact = delivery.request.contact
    return (contact.phone if delivery.channel is Channel.SMS else contact.email) or None


def _product(link: LinkToSend, delivery: ClaimedDelivery, wording: Wording, fill: _Fill) -> dict[str, str]:
    texts = wording.product(link, delivery.request)
    number = wording.number(link.number) if link.number else ""
    note = texts["note"] if number or "note_nameless" not in texts else texts["note_nameless"]
    return {
        "title": texts["title"],
        "button": texts["button"],
        "note": fill(note, {"number": number}),
        "link": link.link,
    }


def _kind(delivery: ClaimedDelivery) -> str:
    """Return which wording fits: the first message has one link or several; later ones are further links."""
    if delivery.generation > 1:
        return "further"
    return "several" if _is_several(delivery) else "one"


def _is_several(delivery: ClaimedDelivery) -> bool:
    return len(delivery.links) > 1


def _business(delivery: ClaimedDelivery) -> str:
    return shortened(without_links(delivery.request.customer_name or ""), _BUSINESS_LIMIT, "…")


def _person(delivery: ClaimedDelivery) -> str:
    return shortened(without_links(delivery.request.contact.name or ""), _PERSON_LIMIT, "…")


def _platforms(delivery: ClaimedDelivery, wording: Wording) -> str:
    return wording.listed(wording.product(link, delivery.request)["platform"] for link in delivery.links)


def _filled(texts: Sequence[str], values: Mapping[str, str], fill: _Fill) -> list[str]:
    return [fill(text, values) for text in texts]
