"""A request written back as canonical fields: what an operator edits, and what an export holds.

`parse_request` of these fields gives the same request again, whatever the region.
"""

from __future__ import annotations

from worker.domain.fields import Notes, read_name
from worker.domain.parse import CANONICAL_FIELDS
from worker.domain.phone import mask_email, mask_number, mask_text
from worker.domain.request import OnboardingRequest, Product

COEXISTENCE_WORD = "coexistence"
#: Which links are asked for is fixed when a request is accepted; the rest may be edited.
FIXED_FIELDS = ("product", "type")
EDITABLE_FIELDS = tuple(name for name in CANONICAL_FIELDS if name not in FIXED_FIELDS)
#: What a customer could be known by, or what may hold a number, an address or a link: see `mask_field`.
PERSONAL_FIELDS = frozenset(
    {
        "whatsapp",
        "business_name",
        "display_name",
        "business_email",
        "business_id",
        "business_address",
        "onboarding_logo",
        "onboarding_message",
        "email",
        "phone",
        "name",
    }
)
_NUMBERS = frozenset({"whatsapp", "phone"})
_ADDRESSES = frozenset({"email", "business_email"})
_NAME_LIMIT = 100
_PLAIN = (
    "display_name",
    "business_email",
    "business_id",
    "business_address",
    "onboarding_logo",
    "onboarding_message",
    "reference",
    "external_id",
    "server",
    "brand",
)


def canonical_fields(request: OnboardingRequest) -> dict[str, str]:
    """Return all of `CANONICAL_FIELDS` as *request* fills them in; what is unset is empty."""
    contact = request.contact
    fields = {name: getattr(request, name) or "" for name in _PLAIN} | {
        "whatsapp": COEXISTENCE_WORD if request.is_coexistence else _number(request.whatsapp),
        "business_name": _business_name(request),
        "basic_templates": "1" if request.basic_templates else "",
        "product": ";".join(product.value for product in request.products),
        "type": "",
        "email": contact.email or "",
        "phone": _number(contact.phone),
        "name": contact.name or "",
        "locale": contact.locale,
        "channels": "" if request.channels is None else ";".join(request.channels) or "none",
        "channel_policy": request.channel_policy or "",
        "account_id": _digits(request.account_id),
        "inbox_id": _digits(request.inbox_id),
        "agreed": "1" if request.is_agreed else "",
    }
    return {name: str(fields[name]) for name in CANONICAL_FIELDS}


def canonical_fields_of(request: OnboardingRequest, product: Product) -> dict[str, str]:
    """Return the fields that ask for *product* alone of what *request* asks for."""
    return canonical_fields(request) | {"product": product.value}


def _business_name(request: OnboardingRequest) -> str:
    """Return the name as it was written, unless reading that again would give another one or none."""
    written, sent = request.business_name_written, request.business_name or ""
    if written is None:
        return sent
    return (
        written if read_name("business_name", written, _NAME_LIMIT, Notes(), accept=False) == sent else sent
    )


def _number(digits: str | None) -> str:
    # With a plus it is the same number in every region.
    return f"+{digits}" if digits else ""


def _digits(number: int | None) -> str:
    return "" if number is None else str(number)


def mask_field(name: str, text: str) -> str:
    """Return a canonical field's *text* as it may be shown to whoever did not ask to see it whole.

    Numbers, addresses and a person's name are masked, of a business only numbers, addresses and links within its text.
    """
    if not text or name not in PERSONAL_FIELDS or text == COEXISTENCE_WORD:
        return text
    if name in _NUMBERS:
        digits = text.removeprefix("+")
        return text[: len(text) - len(digits)] + mask_number(digits)
    if name in _ADDRESSES:
        return mask_email(text)
    return f"{text[:1]}***" if name == "name" else mask_text(text)
