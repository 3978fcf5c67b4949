"""Which variant of the message a delivery is: its first, further links, a replacement, or a reminder. Pure."""

from __future__ import annotations

from enum import StrEnum

from worker.domain.job import ClaimedDelivery, LinkToSend
from worker.domain.request import Product

REMINDER = "reminder"


class Kind(StrEnum):
    """Why a message is written. The value begins the names of its texts."""

    FIRST = "first"
    FURTHER = "further"
    REPLACED = "replaced"
    REMINDER = "reminder"
    LAST = "last"  #: the second reminder, after which there is none


def kind_of(delivery: ClaimedDelivery) -> Kind:
    """Return why *delivery*'s message is written."""
    if delivery.template == REMINDER:
        return Kind.REMINDER if delivery.generation == 1 else Kind.LAST
    if any(link.replaces_at_ms is not None for link in delivery.links):
        return Kind.REPLACED
    return Kind.FURTHER if delivery.generation > 1 else Kind.FIRST


def is_several(delivery: ClaimedDelivery) -> bool:
    """Tell whether the message speaks of links, not of one."""
    return len(delivery.links) > 1


def variant(delivery: ClaimedDelivery) -> str:
    """Return what its texts are named by: `one`, `several`, `further_one`, `replaced_several`, …."""
    number = "several" if is_several(delivery) else "one"
    kind = kind_of(delivery)
    return number if kind is Kind.FIRST else f"{kind}_{number}"


def agreed_variant(delivery: ClaimedDelivery) -> str:
    """Return the same, or its form for what was agreed: first messages alone have one."""
    is_said = delivery.request.is_agreed and kind_of(delivery) is Kind.FIRST
    return f"{variant(delivery)}_agreed" if is_said else variant(delivery)


def is_earlier_gone(link: LinkToSend) -> bool:
    """Tell whether the link that *link* replaces no longer works: the partner deletes those of WhatsApp alone."""
    return link.product is Product.WHATSAPP
