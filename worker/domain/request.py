"""What a producer asks for one customer, once it has been understood. How it is understood: `parse.py`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from worker.domain.states import Channel, ChannelPolicy

COEXISTENCE = "1"  #: what the partner takes in place of a number for a coexistence link


class Product(StrEnum):
    """One kind of link. The value is how a CSV or an API call names it."""

    WHATSAPP = "whatsapp"
    FACEBOOK_MESSENGER = "facebook:1"
    INSTAGRAM_MESSENGER = "facebook:2"
    FACEBOOK_PAGE = "facebook:3"
    INSTAGRAM_PAGE = "facebook:4"

    @property
    def code(self) -> str:
        """Return the one character that ends the job's id: `w`, or the partner's type 1 to 4."""
        return "w" if self is Product.WHATSAPP else self.value[-1]

    @property
    def facebook_type(self) -> int | None:
        """Return the partner's `type`, or None for WhatsApp."""
        return None if self is Product.WHATSAPP else int(self.value[-1])

    @classmethod
    def of_code(cls, code: str) -> Product:
        """Return the product whose job ids end in *code*; raises ValueError for another character."""
        return cls.WHATSAPP if code == "w" else cls(f"facebook:{code}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Where the invitation is sent: not the number to be onboarded."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None  #: digits with country code, no plus: 972501234567
    locale: str = "he"  #: `he` or `en`


@dataclass(frozen=True, slots=True, kw_only=True)
class OnboardingRequest:
    """One customer's request, valid by every rule of the partner's that is known."""

    products: tuple[Product, ...]  #: in the order asked for, none twice
    contact: Contact
    #: digits with country code; `1` for coexistence; None without a WhatsApp product
    whatsapp: str | None = None
    business_name: str | None = None  #: as the partner takes it
    business_name_written: str | None = None  #: as the customer writes it (messages), where that differs
    display_name: str | None = None
    business_email: str | None = None
    business_id: str | None = None
    business_address: str | None = None
    onboarding_logo: str | None = None
    onboarding_message: str | None = None
    basic_templates: bool = False
    server: str | None = None
    account_id: int | None = None
    inbox_id: int | None = None
    reference: str | None = None  #: the caller's own; the partner gets the job's id instead
    external_id: str | None = None  #: the customer's id in the caller's CRM
    channels: tuple[Channel, ...] | None = None  #: None: the configured default
    channel_policy: ChannelPolicy | None = None
    brand: str | None = None  #: the profile that the messages come from; None: the default
    is_agreed: bool = False  #: messages may say "as agreed"

    @property
    def is_coexistence(self) -> bool:
        """Tell whether the customer keeps his WhatsApp Business app (the partner allots a number)."""
        return self.whatsapp == COEXISTENCE

    @property
    def number(self) -> str | None:
        """Return the number that the WhatsApp link is for, or None where there is none yet."""
        return None if self.is_coexistence else self.whatsapp

    @property
    def customer_name(self) -> str | None:
        """Return the business's name as messages write it."""
        return self.business_name_written or self.business_name or self.contact.name

    def encode(self) -> str:
        """Return the compact JSON kept in the ledger; what is unset is left out."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN_FIELDS if getattr(self, name)}
        fields["products"] = list(self.products)
        fields["contact"] = {
            name: value for name in _CONTACT_FIELDS if (value := getattr(self.contact, name))
        }
        if self.channels is not None:
            fields["channels"] = list(self.channels)
        if self.channel_policy is not None:
            fields["channel_policy"] = self.channel_policy.value
        return _dump(fields)

    @classmethod
    def decode(cls, text: str | bytes) -> OnboardingRequest:
        """Return the request that `encode` wrote."""
        fields = json.loads(text)
        fields["products"] = tuple(Product(word) for word in fields["products"])
        fields["contact"] = Contact(**fields["contact"])
        if "channels" in fields:
            fields["channels"] = tuple(Channel(word) for word in fields["channels"])
        if "channel_policy" in fields:
            fields["channel_policy"] = ChannelPolicy(fields["channel_policy"])
        return cls(**fields)


_CONTACT_FIELDS = ("name", "email", "phone", "locale")
_PLAIN_FIELDS = (
    "whatsapp",
    "business_name",
    "business_name_written",
    "display_name",
    "business_email",
    "business_id",
    "business_address",
    "onboarding_logo",
    "onboarding_message",
    "basic_templates",
    "server",
    "account_id",
    "inbox_id",
    "reference",
    "external_id",
    "brand",
    "is_agreed",
)
_dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
