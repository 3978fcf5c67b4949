"""Another address for a customer's message, read by the rules by which requests come in."""

from __future__ import annotations

import json
from dataclasses import replace

from worker.domain.fields import Notes, Problem, read_contact_phone, read_email
from worker.domain.request import Contact, OnboardingRequest
from worker.domain.states import Channel
from worker.ledger import Readdress


class ReaddressError(ValueError):
    """The text is no address of that channel; `problem` says what is wrong and what to do."""

    def __init__(self, problem: Problem) -> None:
        """Refuse for *problem*."""
        super().__init__(f"{problem.message}. {problem.remedy}")
        self.problem = problem


def readdressed(
    request: OnboardingRequest, to: str, *, region: str, wanted: Channel | None
) -> tuple[Channel, Readdress]:
    """Return the channel that *to* belongs to and the contact with it; a number without a country code is of *region*.

    *request* is the invitation's as the operator saw it: where it is edited before the message is sent again, nothing
    is done.

    Raises:
        ReaddressError: *to* is no address, or not one of *wanted*.
    """
    notes, contact = Notes(), request.contact
    if "@" in to or wanted is Channel.EMAIL:
        address = read_email("the e-mail address", to.strip(), notes)
        found = Channel.EMAIL, replace(contact, email=address)
    else:
        found = Channel.SMS, replace(contact, phone=read_contact_phone(to.strip(), region, notes))
    if notes.errors:
        raise ReaddressError(notes.errors[0])
    if wanted not in (None, found[0]):
        message = f"is for {found[0].value}, and {wanted} was asked for"
        raise ReaddressError(Problem("to", "other_channel", message, "Choose the channel that it is for."))
    channel, after = found
    return channel, Readdress(base=request, contact=after, changes=_changes(contact, after))


def _changes(before: Contact, after: Contact) -> str:
    values = {"email": (before.email, after.email), "phone": (before.phone, after.phone)}
    changes = [
        {"field": name, "before": old or "", "after": new or ""}
        for name, (old, new) in values.items()
        if old != new
    ]
    return json.dumps(changes, ensure_ascii=False)
