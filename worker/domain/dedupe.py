"""What makes two requests the same: the partner's fields, the customer they stand for, the event they came by."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import blake2b

from worker.domain.request import OnboardingRequest, Product

_BETWEEN = "\x1f"  # no field can hold it: control characters were stripped at the door


def partner_fields(request: OnboardingRequest, product: Product) -> dict[str, str | int]:
    """Return what the partner is sent for *product*, less the reference; what is unset is left out."""
    if product is Product.WHATSAPP:
        fields: dict[str, str | int | None] = {
            "whatsapp": request.whatsapp,
            "business_name": request.business_name,
            "display_name": request.display_name,
            "business_email": request.business_email,
            "business_id": request.business_id,
            "business_address": request.business_address,
            "onboarding_logo": request.onboarding_logo,
            "onboarding_message": request.onboarding_message,
            "basic_templates": 1 if request.basic_templates else None,
        }
    else:
        fields = {
            "type": product.facebook_type,
            "server": request.server,
            "account_id": request.account_id,
            "inbox_id": request.inbox_id,
        }
    return {name: value for name, value in fields.items() if value is not None}


def fingerprint(request: OnboardingRequest) -> str:
    """Return 16 characters that are the same for requests that ask the partner for the same links."""
    # Written out, not built from `partner_fields`: every backfilled row pays for it. A test keeps the two in step.
    parts = [
        *sorted(request.products),
        request.business_name if Product.WHATSAPP in request.products else None,
        request.whatsapp,
        request.display_name,
        request.business_email,
        request.business_id,
        request.business_address,
        request.onboarding_logo,
        request.onboarding_message,
        "1" if request.basic_templates else None,
        request.server,
        str(request.account_id or ""),
        str(request.inbox_id or ""),
    ]
    return _hash(_BETWEEN.join([part or "" for part in parts]))


def contact_mark(request: OnboardingRequest) -> str:
    """Return 8 characters that change with where, to whom or how the invitation is sent."""
    contact = request.contact
    parts = (contact.name, (contact.email or "").casefold(), contact.phone, contact.locale)
    return _hash(_BETWEEN.join([part or "" for part in parts]))[:8]


def claim_key(request: OnboardingRequest, idempotency_key: str | None, row_text: str | None) -> str:
    """Return what no two invitations may stand on at once.

    A WhatsApp number is `n:<digits>`. Coexistence and Facebook have none: their key is a hash of the
    idempotency key, else of the external id and the products, else of the row, else of the request itself.

    An external id is not told apart by its source, so that a backfill of a CRM's export meets what the CRM told of.
    Whether two sources mean the same customer by one id is then a question for `is_anothers_id`.
    """
    if request.number:
        return "n:" + request.number
    if idempotency_key:
        parts: tuple[str, ...] = ("key", idempotency_key)
    elif request.external_id:
        # With the products: the same customer may ask for Facebook today and for coexistence tomorrow.
        parts = ("id", request.external_id, *sorted(request.products))
    elif row_text:
        parts = ("row", row_text)
    else:
        parts = ("request", fingerprint(request), contact_mark(request))
    return "b:" + _hash(_BETWEEN.join(parts))


def is_anothers_id(claim: str, *, is_same_source: bool, is_same_contact: bool) -> bool:
    """Tell whether who stands on *claim* with the same fingerprint is another customer, as far as anybody can see.

    Contact 501 of one CRM and record 501 of another share a claim without a number, and Facebook requests of two
    customers look alike to the partner. So another source's must have the same contact to be a duplicate; else it is a
    conflict, for a person. A number needs no such witness. The ledger's `accept.lua` decides the same.
    """
    return claim.startswith("b:") and not is_same_source and not is_same_contact


def event_key(source: str, key: str) -> str:
    """Return a short hash of a producer's own *key* (idempotency key, CRM event id), apart for each source."""
    return _hash(source + _BETWEEN + key)


def _hash(text: str) -> str:
    # 96 bits: at a hundred million requests the odds of two alike are one in ten trillion.
    return urlsafe_b64encode(blake2b(text.encode(errors="surrogatepass"), digest_size=12).digest()).decode()
