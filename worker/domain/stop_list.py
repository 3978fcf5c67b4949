"""Who asked not to be written to: what a customer is known by on the stop list. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from worker.domain.fields import Notes, read_contact_phone, read_email
from worker.domain.phone import mask_email, mask_number
from worker.domain.request import OnboardingRequest

SUPPRESSED = "suppressed"  #: reason of a message that was not sent for it
#: What a fingerprint begins with: neither an address nor a number does.
_FINGERPRINT = "#"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """One contact on the stop list."""

    contact: (
        str  #: an e-mail address in small letters, or digits with country code; or the fingerprint of one
    )
    at_ms: int  #: when it was put there
    by: str
    why: str


def contacts_of(request: OnboardingRequest) -> tuple[str, ...]:
    """Return what the customer of *request* is known by: one of them on the stop list, and he gets no message.

    His onboarding number counts as well: whoever calls and asks for no more messages names the one he knows.
    """
    contact = request.contact
    email = contact.email.casefold() if contact.email else None
    return tuple(dict.fromkeys(each for each in (email, contact.phone, request.number) if each))


def read_contact(text: str, *, region: str = "IL") -> str:
    """Return an address or a number as the stop list has it; a number without a country code is one of *region*.

    Raises:
        ValueError: it is neither; the message says what is wrong and what to do.
    """
    typed, notes = text.strip(), Notes()
    if "@" in typed:
        found = (read_email("the address", typed, notes) or "").casefold()
    else:
        found = read_contact_phone(typed, region, notes) or ""
        if notes.errors and not any(each.isdigit() for each in typed):
            raise ValueError("it is no e-mail address and no number. Write dana@example.com or 0501234567.")
    if notes.errors:
        problem = notes.errors[0]
        raise ValueError(f"{problem.message}. {problem.remedy}")
    if not found:
        raise ValueError("it is empty. Give an e-mail address or a number.")
    return found


def fingerprint_of(contact: str) -> str:
    """Return what stays on the list of somebody who was erased: it can be compared with a contact, and not be read."""
    return _FINGERPRINT + blake2b(contact.encode(), digest_size=12, person=b"stop-list").hexdigest()


def is_fingerprint(contact: str) -> bool:
    """Tell whether a contact of the list is a fingerprint."""
    return contact.startswith(_FINGERPRINT)


def shown_contact(contact: str, *, is_revealed: bool) -> str:
    """Return a contact of the stop list as an operator may see it."""
    if is_fingerprint(contact):
        return "(erased)"
    if is_revealed:
        return contact
    return mask_email(contact) if "@" in contact else mask_number(contact)
