"""What a mail's two templates may name: every text of the message, filled in, and how its brand looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlsplit

from worker.dispatch.compose_colours import dark_button, light_button
from worker.dispatch.compose_sms import shortened
from worker.dispatch.compose_variant import (
    Kind,
    agreed_variant,
    is_earlier_gone,
    is_several,
    kind_of,
    variant,
)
from worker.dispatch.links import OwnAddresses
from worker.dispatch.messages import without_links
from worker.dispatch.wording import Wording
from worker.domain.brand import Brand
from worker.domain.job import ClaimedDelivery, LinkToSend

_BUSINESS_LIMIT = 80
_PERSON_LIMIT = 60

Fill = Callable[[str, Mapping[str, str]], str]


@dataclass(frozen=True, slots=True)
class Names:
    """Who and what a message speaks of, fit to be read."""

    wording: Wording
    brand: str
    business: str  #: empty where nobody said
    person: str  #: empty likewise
    told_at: datetime
    values: Mapping[str, str]  #: what stands in the texts' braces

    @classmethod
    def of(
        cls, delivery: ClaimedDelivery, wording: Wording, *, brand: Brand, brand_name: str, told_at: datetime
    ) -> Self:
        """Return those of *delivery*, in *wording*'s language; dates are told as at *told_at* (aware)."""
        request = delivery.request
        business = shortened(without_links(request.customer_name or ""), _BUSINESS_LIMIT, "…")
        person = shortened(without_links(request.contact.name or ""), _PERSON_LIMIT, "…")
        products = [wording.product(link, request) for link in delivery.links]
        replaced = [link.replaces_at_ms for link in delivery.links if link.replaces_at_ms is not None]
        values = {
            "brand": brand_name,
            "business": business or wording.mail["your_business"],
            "platforms": wording.listed(product["platform"] for product in products),
            "domains": wording.listed(urlsplit(link.link).netloc for link in delivery.links),
            "name": person,
            "email": request.contact.email or "",
            "person": without_links(brand.contact_person or ""),
            "minutes": str(sum(product["minutes"] for product in products)),
            "date": wording.date(min(replaced), told_at=told_at) if replaced else "",
            "when": wording.when(delivery.first_sent_at_ms, told_at=told_at),
        }
        return cls(wording, brand_name, business, person, told_at, values)


class MailContext:
    """One message on its way to its templates."""

    def __init__(self, delivery: ClaimedDelivery, brand: Brand, names: Names) -> None:
        self.delivery = delivery
        self.names = names
        self._brand = brand
        self._own = OwnAddresses.of(brand)

    def values(self, fill: Fill) -> dict[str, Any]:
        """Return all that the templates may name, every text filled in by *fill*."""
        wording = self.names.wording
        return {
            "locale": wording.locale,
            "direction": wording.direction,
            "brand": self.names.brand,
            "logo": self._own.logo,
            "button": light_button(self._brand.colour),
            "button_dark": dark_button(self._brand.colour),
            **self._telling(fill),
            **self._linking(fill),
            **self._assuring(fill),
        }

    def _telling(self, fill: Fill) -> dict[str, str | None]:
        mail, number = self.names.wording.mail, self._number
        kind = variant(self.delivery)
        return {
            "preheader": self._filled(f"preheader_{number}", fill),
            "heading": mail[f"heading_{kind}"],
            "greeting": self._filled("greeting" if self.names.person else "greeting_nameless", fill),
            "intro": self._filled(f"intro_{agreed_variant(self.delivery)}", fill),
            "duration": self._filled(f"duration_{number}", fill),
            "done": mail["done"] if self._is_reminder else None,
        }

    def _linking(self, fill: Fill) -> dict[str, Any]:
        mail = self.names.wording.mail
        return {
            "products": [self._product(link, fill) for link in self.delivery.links],
            "need_label": mail["need_label"],
            "plain_link": mail["plain_link"],
            "steps_heading": mail[f"steps_heading_{self._number}"],
            "steps": self._all_filled(mail["steps"], fill),
        }

    def _assuring(self, fill: Fill) -> dict[str, Any]:
        mail, wording, own = self.names.wording.mail, self.names.wording, self._own
        texts = [self._texts(link) for link in self.delivery.links]
        values = self._product_values(None)
        return {
            "access_heading": mail["access_heading"],
            "access": [
                {"title": each["title"], "text": fill(each["access"], values)}
                for each in {each["access"]: each for each in texts}.values()
            ],
            "revoke_label": mail["revoke_label"],
            "revoke": [fill(each, values) for each in dict.fromkeys(each["revoke"] for each in texts)],
            "safety_heading": mail["safety_heading"],
            "safety": self._all_filled(mail[f"safety_{self._number}"], fill),
            "help": self._filled(self._help_key, fill),
            "phone": wording.number(self._brand.phone) if own.phone and self._brand.phone else None,
            "phone_link": own.phone,
            "verify": mail["verify"],
            "verify_link": own.verify,
            "stop": self._filled("stop", fill) if self._is_reminder else None,
            "footer": self._filled("footer", fill),
            "privacy": mail["privacy"],
            "privacy_link": own.privacy,
        }

    @property
    def _number(self) -> str:
        return "several" if is_several(self.delivery) else "one"

    @property
    def _is_reminder(self) -> bool:
        return kind_of(self.delivery) in {Kind.REMINDER, Kind.LAST}

    @property
    def _help_key(self) -> str:
        has_person = bool(self.names.values["person"])
        if self._own.phone:
            return "help_person_phone" if has_person else "help_phone"
        return "help_person" if has_person else "help_reply"

    def _product(self, link: LinkToSend, fill: Fill) -> dict[str, Any]:
        texts, values = self._texts(link), self._product_values(link)
        note = texts["note"] if values["number"] or "note_nameless" not in texts else texts["note_nameless"]
        return {
            "title": texts["title"],
            "button": texts["button"],
            "note": fill(note, values),
            "need": fill(texts["need"], values),
            "replaces": self._replaces(link, fill),
            "link": link.link,
        }

    def _replaces(self, link: LinkToSend, fill: Fill) -> str | None:
        """Return which link this one stands in for, and whether that one still works: only what is sure."""
        if link.replaces_at_ms is None:
            return None
        date = self.names.wording.date(link.replaces_at_ms, told_at=self.names.told_at)
        key = "replaces_gone" if is_earlier_gone(link) else "replaces_open"
        return fill(self.names.wording.mail[key], {"date": date})

    def _texts(self, link: LinkToSend) -> Mapping[str, Any]:
        return self.names.wording.product(link, self.delivery.request)

    def _product_values(self, link: LinkToSend | None) -> dict[str, str]:
        digits = link.number if link else self.delivery.request.number
        return {
            "number": self.names.wording.number(digits) if digits else "",
            "brand": self.names.brand,
        }

    def _filled(self, key: str, fill: Fill) -> str:
        return fill(self.names.wording.mail[key], self.names.values)

    def _all_filled(self, texts: Sequence[str], fill: Fill) -> list[str]:
        return [fill(text, self.names.values) for text in texts]
