"""One row, call or event → one request, or everything that is wrong with it.

`parse_request` is on the path of every backfilled row: a plain one takes about ten microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.domain.brand import LiveBrands, read_brand
from worker.domain.fields import (
    Notes,
    Problem,
    choose,
    nearest,
    quote,
    read_contact_phone,
    read_digits,
    read_display_name,
    read_email,
    read_integer,
    read_logo,
    read_name,
    read_server,
    read_switch,
    read_text,
    read_whatsapp,
)
from worker.domain.names import clean_text
from worker.domain.request import Contact, OnboardingRequest, Product
from worker.domain.states import Channel, ChannelPolicy

__all__ = [
    "CANONICAL_FIELDS",
    "InvalidRequest",
    "ParseRules",
    "ParsedRequest",
    "Problem",
    "nearest_field",
    "parse_request",
]

CANONICAL_FIELDS = (
    "whatsapp",
    "business_name",
    "display_name",
    "business_email",
    "business_id",
    "business_address",
    "onboarding_logo",
    "onboarding_message",
    "reference",
    "basic_templates",
    "product",
    "type",
    "email",
    "phone",
    "name",
    "locale",
    "external_id",
    "channels",
    "channel_policy",
    "server",
    "account_id",
    "inbox_id",
    "brand",
    "agreed",
)
LOCALES = ("he", "en")

_FACEBOOK_ONLY = frozenset({"server", "account_id", "inbox_id"})
# business_name is not here: messages greet with it. basic_templates is not: columns are often filled with 0.
_WHATSAPP_ONLY = frozenset(
    {
        "whatsapp",
        "display_name",
        "business_email",
        "business_id",
        "business_address",
        "onboarding_logo",
        "onboarding_message",
    }
)
_NEEDED_FOR_WHATSAPP = {
    "whatsapp": "Write the number, such as 972501234567, or coexistence; "
    "for Facebook or Instagram write facebook:1 to facebook:4 in product.",
    "business_name": "Write the name of the business.",
    "display_name": "Write the name that customers will see in WhatsApp.",
}
_PRODUCTS: Mapping[str, Product] = {product.value: product for product in Product}
_PRODUCT_WORDS = (*_PRODUCTS, "facebook")
_ONLY_WHATSAPP = (Product.WHATSAPP,)
_LOCALE_WORDS = dict.fromkeys(("he", "iw", "hebrew", "עברית"), "he") | dict.fromkeys(
    ("en", "english", "אנגלית"), "en"
)
_CHANNEL_WORDS = {channel.value: channel for channel in Channel} | {
    "mail": Channel.EMAIL,
    "e-mail": Channel.EMAIL,
    "text": Channel.SMS,
}


@dataclass(frozen=True, slots=True)
class ParseRules:
    """What a producer may choose about the reading of its rows."""

    region: str = "IL"  #: where numbers without a country code belong
    locale: str = "he"  #: of customers who have none
    accept_names: bool = False  #: send names in their acceptable form where it differs from what was written
    brand: str | None = None  #: of requests that name none
    brands: LiveBrands | None = None  #: the brands that may be named; None: any, as nobody knows better here


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """A row that was understood."""

    request: OnboardingRequest
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class InvalidRequest:
    """A row that was not, with all that is wrong with it."""

    problems: tuple[Problem, ...]


_DEFAULT_RULES = ParseRules()


def parse_request(
    fields: Mapping[str, str], rules: ParseRules = _DEFAULT_RULES
) -> ParsedRequest | InvalidRequest:
    """Return the request that *fields* (canonical names, see `CANONICAL_FIELDS`) asks for.

    Text in any state may come in: it is brought to NFC, freed of invisible marks and trimmed. Unknown names
    are let be: whoever reads a header or a body says so once.
    """
    values = {name: text for name, raw in fields.items() if raw and (text := clean_text(raw))}
    notes = Notes()
    products = _read_products(values, notes)
    contact = _read_contact(values, rules, notes)
    found: dict[str, Any] = {}
    if Product.WHATSAPP in products:
        _refuse_missing(values, notes)
    if Product.WHATSAPP in products or not products:
        _read_whatsapp_fields(values, rules, notes, found)
    else:
        _read_facebook_names(values, notes, found)
    if not values.keys().isdisjoint(_FACEBOOK_ONLY):
        _read_omnichannel(values, products, notes, found)
    _read_ours(values, contact, notes, found)
    _read_sender(values, rules, notes, found)
    if notes.errors:
        return InvalidRequest(tuple(notes.errors))
    return ParsedRequest(
        OnboardingRequest(products=products, contact=contact, **found), tuple(notes.warnings)
    )


def nearest_field(name: str) -> str | None:
    """Return the canonical field that *name* was probably meant to be, or None."""
    return nearest(name, CANONICAL_FIELDS)


# --- products ----------------------------------------------------------------------------------------------


def _read_products(values: Mapping[str, str], notes: Notes) -> tuple[Product, ...]:
    """Return the products asked for; none at all means that they were refused."""
    text = values.get("product", "whatsapp").casefold()
    kind = values.get("type")
    if text == "whatsapp" and kind is None:
        return _ONLY_WHATSAPP
    products: list[Product] = []
    for word in text.replace(",", ";").split(";"):
        product = _read_product("".join(word.split()), kind, notes) if word.strip() else None
        if product in products:
            notes.refuse("product", "product_twice", f"product {product} is asked for twice", "Name it once.")
        elif product is not None:
            products.append(product)
    if kind is not None and "facebook" not in text:
        notes.warn(
            "type",
            "not_used",
            f"type says which Facebook link is wanted, but product is {quote(text)}",
            "Write facebook in product, or leave type empty.",
        )
    if not products and not notes.errors:
        choose("product", text, _PRODUCT_WORDS, notes)
    return tuple(products)


def _read_product(word: str, kind: str | None, notes: Notes) -> Product | None:
    if word in {"facebook", "facebook:"}:
        if kind is None:
            notes.refuse(
                "type",
                "missing",
                "product facebook needs a type",
                "Write type 1 (Messenger), 2 (Instagram messages), 3 (Facebook page) or 4 (Instagram page), "
                "or facebook:1 to facebook:4 in product.",
            )
            return None
        word = f"facebook:{kind.removesuffix('.0')}"
        if word not in _PRODUCTS:
            choose("type", kind, "1234", notes)
            return None
    product = _PRODUCTS.get(word)
    if product is None:
        choose("product", word, _PRODUCT_WORDS, notes)
    elif kind is not None and product.facebook_type and word != f"facebook:{kind.removesuffix('.0')}":
        notes.refuse(
            "type",
            "contradiction",
            f"product says {word} and type says {quote(kind)}",
            "Leave type empty where product names the types.",
        )
    return product


# --- what the partner gets ---------------------------------------------------------------------------------


def _read_whatsapp_fields(
    values: Mapping[str, str], rules: ParseRules, notes: Notes, found: dict[str, Any]
) -> None:
    if text := values.get("whatsapp"):
        found["whatsapp"] = read_whatsapp(text, rules.region, notes)
    if text := values.get("business_name"):
        name = read_name("business_name", text, 100, notes, accept=rules.accept_names)
        found["business_name"] = name
        if name != text:
            found["business_name_written"] = text
    if text := values.get("display_name"):
        found["display_name"] = read_display_name(text, notes, accept=rules.accept_names)
    _read_optional(values, rules, notes, found)


def _read_optional(values: Mapping[str, str], rules: ParseRules, notes: Notes, found: dict[str, Any]) -> None:
    if text := values.get("business_email"):
        found["business_email"] = read_email("business_email", text, notes, limit=200)
    if text := values.get("business_id"):
        found["business_id"] = read_digits("business_id", text, 20, notes)
    if text := values.get("business_address"):
        found["business_address"] = read_text("business_address", text, 300, notes)
    if text := values.get("onboarding_logo"):
        found["onboarding_logo"] = read_logo(text, notes)
    if text := values.get("onboarding_message"):
        found["onboarding_message"] = read_name(
            "onboarding_message", text, 200, notes, accept=rules.accept_names
        )
    if text := values.get("basic_templates"):
        found["basic_templates"] = read_switch("basic_templates", text, notes)
    if ("business_id" in values) != ("business_address" in values):
        lacking = "business_address" if "business_id" in values else "business_id"
        notes.warn(
            lacking,
            "no_landing_page",
            f"{lacking} is missing, so the partner makes no landing page",
            "A landing page needs business_name, business_address and business_id; fill in all or neither.",
        )


def _refuse_missing(values: Mapping[str, str], notes: Notes) -> None:
    for name, remedy in _NEEDED_FOR_WHATSAPP.items():
        if name not in values:
            notes.refuse(name, "missing", f"{name} is missing, and a WhatsApp link needs it", remedy)


def _read_facebook_names(values: Mapping[str, str], notes: Notes, found: dict[str, Any]) -> None:
    """Keep the name for the messages, as written: the partner does not get it with a Facebook link."""
    if text := values.get("business_name"):
        found["business_name"] = read_text("business_name", text, 200, notes)
    for name in CANONICAL_FIELDS:
        if name in _WHATSAPP_ONLY and name in values:
            notes.warn(
                name,
                "not_used",
                f"{name} is not used, as no WhatsApp link is asked for",
                "Write whatsapp in product too, or leave the field empty.",
            )


def _read_omnichannel(
    values: Mapping[str, str], products: tuple[Product, ...], notes: Notes, found: dict[str, Any]
) -> None:
    if products == _ONLY_WHATSAPP:
        for name in sorted(_FACEBOOK_ONLY & values.keys()):
            notes.warn(
                name,
                "not_used",
                f"{name} is not used, as no Facebook link is asked for",
                "Write facebook:1 to facebook:4 in product too, or leave the field empty.",
            )
        return
    if text := values.get("server"):
        found["server"] = read_server(text, notes)
    for name in ("account_id", "inbox_id"):
        if text := values.get(name):
            found[name] = read_integer(name, text, 50, notes)


# --- what stays with us ------------------------------------------------------------------------------------


def _read_contact(values: Mapping[str, str], rules: ParseRules, notes: Notes) -> Contact:
    get = values.get
    name, email, phone, locale = get("name"), get("email"), get("phone"), get("locale")
    if name is not None:
        name = read_text("name", name, 200, notes)
    if email is not None:
        email = read_email("email", email, notes)
    if phone is not None:
        phone = read_contact_phone(phone, rules.region, notes)
    locale = rules.locale if locale is None else _read_locale(locale, rules, notes)
    return Contact(name=name, email=email, phone=phone, locale=locale)


def _read_locale(text: str, rules: ParseRules, notes: Notes) -> str:
    word = text.casefold()
    language = _LOCALE_WORDS.get(word) or _LOCALE_WORDS.get(word.replace("_", "-").partition("-")[0])
    if language:
        return language
    tag = word.partition("-")[0].partition("_")[0]
    if len(tag) in {2, 3} and tag.isascii() and tag.isalpha():
        # A customer whose language we do not write still gets his link.
        notes.warn(
            "locale",
            "no_such_language",
            f"messages are not written in {quote(text)}, so {rules.locale} is used",
            f"Known: {', '.join(LOCALES)}.",
        )
    else:
        choose("locale", text, LOCALES, notes)
    return rules.locale


def _read_ours(values: Mapping[str, str], contact: Contact, notes: Notes, found: dict[str, Any]) -> None:
    if text := values.get("reference"):
        found["reference"] = read_text("reference", text, 50, notes)
    if text := values.get("external_id"):
        found["external_id"] = read_text("external_id", text, 200, notes)
    channels = None
    if text := values.get("channels"):
        found["channels"] = channels = _read_channels(text, notes)
    if text := values.get("channel_policy"):
        if text.casefold() in ChannelPolicy.__members__.values():
            found["channel_policy"] = ChannelPolicy(text.casefold())
        else:
            choose("channel_policy", text, [policy.value for policy in ChannelPolicy], notes)
    if channels is not None or not (contact.email and contact.phone):
        _warn_of_silence(values, channels, notes)


def _read_sender(values: Mapping[str, str], rules: ParseRules, notes: Notes, found: dict[str, Any]) -> None:
    if text := values.get("brand") or rules.brand:
        found["brand"] = read_brand(text, rules.brands, notes)
    if text := values.get("agreed"):
        found["is_agreed"] = read_switch("agreed", text, notes)


def _read_channels(text: str, notes: Notes) -> tuple[Channel, ...]:
    words = [word.strip() for word in text.casefold().replace(",", ";").split(";") if word.strip()]
    if words == ["none"]:
        return ()
    channels: dict[Channel, None] = {}
    for word in words:
        if channel := _CHANNEL_WORDS.get(word):
            channels[channel] = None
        else:
            choose("channels", word, [*(channel.value for channel in Channel), "none"], notes)
    return tuple(channels)


def _warn_of_silence(values: Mapping[str, str], channels: tuple[Channel, ...] | None, notes: Notes) -> None:
    """Warn where no message can reach the customer, or not by a channel that was asked for."""
    if channels == ():
        return
    if "email" not in values and "phone" not in values:
        notes.warn(
            "email",
            "no_contact",
            "neither email nor phone is filled in, so nobody is sent the link",
            "Fill in email or phone (the customer's, where the invitation goes).",
        )
        return
    for channel, name in ((Channel.EMAIL, "email"), (Channel.SMS, "phone")):
        if channel in (channels or ()) and name not in values:
            notes.warn(
                name, "no_contact", f"channels asks for {channel}, but {name} is empty", f"Fill in {name}."
            )
