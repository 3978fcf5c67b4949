"""Where a message went: the address that it was last sent to, and those that it went to before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from worker.domain.job import DeliveryRecord
from worker.domain.phone import mask_email
from worker.domain.states import Channel
from worker.ledger import Ledger
from worker.ops.here import Case
from worker.ops.views import shown_number

_ACTS_READ = 20
#: Acts of a job that change its contact; one that sends its messages elsewhere is the message's own.
_EDITING = frozenset({"edit", "replace"})
_SENT_BEFORE = frozenset({"sent", "failed", "in_doubt"})


@dataclass(frozen=True, slots=True)
class _Moved:
    """One change of an address."""

    at_ms: int
    before: str


async def sent_to(
    ledger: Ledger, message: DeliveryRecord, case: Case, *, is_revealed: bool
) -> dict[str, Any]:
    """Return `{"to", "to_before"}`: where *message* went last or is to go, and where it went before, masked unless *is_revealed*.

    What the audit trail has forgotten is taken for the present address. Raises LedgerUnavailable.
    """
    contact = case.job.request.contact
    now = contact.email if message.channel is Channel.EMAIL else contact.phone
    moves = await _moves(ledger, message, case)
    # One that is still to go out goes to the present address.
    last = now if message.due_at_ms is not None else _address_at(message.changed_at_ms, moves, now)
    before = [_address_at(at_ms, moves, now) for at_ms in _sent_before(message, case)]
    shown = [_shown(each, message.channel, is_revealed=is_revealed) for each in dict.fromkeys(before)]
    to = _shown(last, message.channel, is_revealed=is_revealed)
    return {"to": to, "to_before": [each for each in shown if each and each != to]}


async def _moves(ledger: Ledger, message: DeliveryRecord, case: Case) -> list[_Moved]:
    """Return when the channel's address was changed, oldest first."""
    name = "email" if message.channel is Channel.EMAIL else "phone"
    events = {each.event for each in case.history}
    is_moved = any(each.detail.get("readdressed") == "1" for each in case.history)
    subjects = [each.id for each in case.deliveries if each.channel is message.channel] if is_moved else []
    if "edited" in events:
        subjects.append(case.job.id)
    found: list[_Moved] = []
    for subject in subjects:
        acts = await ledger.trail.find(subject=subject, limit=_ACTS_READ)
        for each in acts.items:
            if each.act == "resend" or each.act in _EDITING:
                found += [_Moved(each.at_ms, was) for was in _was(each.detail.get("changes"), name)]
    return sorted(found, key=lambda each: each.at_ms)


def _was(changes: str | None, name: str) -> Iterator[str]:
    for each in json.loads(changes) if changes else ():
        if each.get("field") == name:
            yield str(each.get("before", ""))


def _sent_before(message: DeliveryRecord, case: Case) -> Iterator[int]:
    """Yield when the message had come to an end before it was asked for again."""
    for each in case.history if message.asked_again else ():
        was_ms = each.detail.get("was_ms")
        is_its = each.event == "resend" and each.detail.get("channel") == message.channel.value
        is_in_its_time = message.made_at_ms <= int(was_ms or 0) <= message.changed_at_ms
        if is_its and each.detail.get("was") in _SENT_BEFORE and is_in_its_time:
            yield int(was_ms or 0)


def _address_at(at_ms: int, moves: list[_Moved], now: str | None) -> str | None:
    """Return the address as it was then: the one before the first change after it."""
    return next((each.before for each in moves if each.at_ms > at_ms), now)


def _shown(address: str | None, channel: Channel, *, is_revealed: bool) -> str | None:
    if channel is Channel.EMAIL:
        return shown_email(address, is_revealed=is_revealed)
    digits = address.removeprefix("+") if address else None
    return shown_number(digits, is_revealed=is_revealed)


def shown_email(address: str | None, *, is_revealed: bool) -> str | None:
    """Return an e-mail address as an operator may see it."""
    return address if is_revealed or not address else mask_email(address)
