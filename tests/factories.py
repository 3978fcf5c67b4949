"""Requests and invitations as tests need them: name what matters, the rest is ordinary."""

from __future__ import annotations

import itertools
from typing import Any

from worker.domain.ids import new_invitation_id
from worker.domain.job import NewInvitation
from worker.domain.request import Contact, OnboardingRequest, Product
from worker.domain.states import Channel, ChannelPolicy, Lane

_count = itertools.count(1)


def a_number() -> str:
    """Return an Israeli mobile number that no other call returned."""
    return f"97250{next(_count):07d}"


def a_request(**changes: Any) -> OnboardingRequest:
    """Return a plain WhatsApp request with an e-mail contact."""
    fields: dict[str, Any] = {
        "products": (Product.WHATSAPP,),
        "whatsapp": a_number(),
        "business_name": "Dana Flowers",
        "display_name": "Dana Flowers",
        "contact": Contact(name="Dana", email="dana@example.com", phone="972501111111", locale="he"),
    }
    return OnboardingRequest(**(fields | changes))


def an_invitation(**changes: Any) -> NewInvitation:
    """Return a live invitation for a plain request; pass `request=` for another."""
    request = changes.pop("request", None) or a_request()
    nth = next(_count)
    fields: dict[str, Any] = {
        "id": new_invitation_id(now_ms=1_790_000_000_000 + nth, chance=nth),
        "lane": Lane.LIVE,
        "source": "test",
        "request": request,
        "fingerprint": f"fp{nth:014d}",
        "claim_key": f"n:{request.number}" if request.number else f"b:{nth}",
        "contact_mark": "c0ffee00",
        "channels": (Channel.EMAIL,),
        "channel_policy": ChannelPolicy.ALL,
    }
    return NewInvitation(**(fields | changes))
