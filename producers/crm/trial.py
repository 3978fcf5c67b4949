"""What a body would become: the way of an event from the receiver to the door, without recording anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from producers.crm.config import Fetching
from producers.crm.model import (
    Answer,
    Crm,
    CrmEvent,
    FetchLaterError,
    FetchRefusedError,
    NotAuthenticError,
    RawRequest,
    UnreadableError,
    Unwanted,
    Wanted,
)
from worker.domain.dedupe import partner_fields
from worker.domain.parse import InvalidRequest, ParseRules, Problem, parse_request
from worker.domain.request import OnboardingRequest

REQUEST = "request"  #: it would become one
INVALID = "invalid_request"
TO_FETCH = "to_fetch"
SKIPPED = "skipped"
NOT_FETCHED = "not_fetched"


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedEvent:
    """One event of a body, and what would become of it."""

    key: str
    outcome: str  #: `request`, `invalid_request`, `skipped`, `to_fetch`, `not_fetched`
    reason: str | None = None  #: why it would be skipped, or could not be fetched
    detail: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    request: OnboardingRequest | None = None
    problems: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()

    def document(self) -> dict[str, Any]:
        """Return it ready for JSON: each field with its source, each product with what the partner would get."""
        return {
            "key": self.key,
            "outcome": self.outcome,
            "reason": self.reason,
            "detail": self.detail,
            "fields": [
                {"field": name, "value": value, "from": self.origins.get(name)}
                for name, value in self.fields.items()
            ],
            "products": [] if self.request is None else _products(self.request),
            "contact": None if self.request is None else _contact(self.request),
            "problems": [self._problem(each) for each in self.problems],
            "warnings": [self._problem(each) for each in self.warnings],
        }

    def _problem(self, found: Problem) -> dict[str, Any]:
        return {
            "field": found.field,
            "code": found.code,
            "detail": found.message,
            "remedy": found.remedy,
            "from": self.origins.get(found.field),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A whole body, tried."""

    events: Sequence[TriedEvent]
    skipped: Mapping[str, int]  #: why an event would be acked and not recorded → how many
    answer: Answer  #: what the CRM would be told

    def document(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "events": [each.document() for each in self.events],
            "skipped": dict(self.skipped),
            "answer": {
                "status": self.answer.status,
                "content_type": self.answer.content_type,
                "body": self.answer.body.decode("utf-8", "replace"),
            },
        }


_Found = Mapping[str, Any] | TriedEvent


async def try_body(
    crm: Crm, body: bytes, *, rules: ParseRules, now: datetime, is_fetched: bool = False
) -> Tried:
    """Return what *body* would become; what would have to be fetched is fetched only with *is_fetched*.

    Raises:
        UnreadableError: it makes no sense.
    """
    raw = RawRequest(method="POST", headers={}, body=body, received_at=now)
    try:
        reading = crm.read(raw)
    except NotAuthenticError as error:
        # Some can only be told from strangers once they are read: there it means "not what this CRM sends".
        raise UnreadableError(f"it is not what {crm.name} sends ({error.code})") from None
    thin = [event for event in reading.events if _asks_for(crm, event) is not None]
    fetched: dict[str, _Found] = (
        await _fetch(crm, thin) if is_fetched else {each.key: _to_fetch(crm, each) for each in thin}
    )
    found = {event.key: fetched.get(event.key, event.body) for event in reading.events}
    events = [
        each if isinstance(each, TriedEvent) else _mapped(crm, key, each, rules)
        for key, each in found.items()
    ]
    return Tried(events=events, skipped=Counter(reading.skipped), answer=reading.answer)


def _asks_for(crm: Crm, event: CrmEvent) -> str | None:
    return crm.would_fetch(event.body) if isinstance(crm, Fetching) else None


def _to_fetch(crm: Crm, event: CrmEvent) -> TriedEvent:
    return TriedEvent(key=event.key, outcome=TO_FETCH, detail=_asks_for(crm, event) or "")


async def _fetch(crm: Crm, events: Sequence[CrmEvent]) -> dict[str, _Found]:
    """Return the whole object of each event by its key, or what would become of it without one."""
    if not events:
        return {}
    try:
        wholes = await crm.fetch([event.body for event in events])
    except FetchLaterError as error:
        reason, detail = error.reason, "It does not answer now, or asks for patience."
    except FetchRefusedError as error:
        reason, detail = error.reason, error.remedy
    else:
        return {
            event.key: _gone(event.key) if whole is None else whole
            for event, whole in zip(events, wholes, strict=True)
        }
    return {
        event.key: TriedEvent(key=event.key, outcome=NOT_FETCHED, reason=reason, detail=detail)
        for event in events
    }


def _gone(key: str) -> TriedEvent:
    return TriedEvent(key=key, outcome=SKIPPED, reason="gone", detail="The CRM has no such record.")


def _mapped(crm: Crm, key: str, whole: Mapping[str, Any], rules: ParseRules) -> TriedEvent:
    wanted = crm.wanted(whole)
    if isinstance(wanted, Unwanted):
        return TriedEvent(key=key, outcome=SKIPPED, reason=wanted.reason, detail=wanted.detail)
    return _parsed(key, wanted, rules)


def _parsed(key: str, wanted: Wanted, rules: ParseRules) -> TriedEvent:
    parsed = parse_request(wanted.fields, rules)
    found: dict[str, Any] = {"key": key, "fields": wanted.fields, "origins": wanted.origins}
    if isinstance(parsed, InvalidRequest):
        return TriedEvent(outcome=INVALID, problems=parsed.problems, **found)
    return TriedEvent(outcome=REQUEST, request=parsed.request, warnings=parsed.warnings, **found)


def _products(request: OnboardingRequest) -> list[dict[str, Any]]:
    return [{"product": each.value, "partner": partner_fields(request, each)} for each in request.products]


def _contact(request: OnboardingRequest) -> dict[str, Any]:
    contact = request.contact
    return {
        "name": contact.name,
        "email": contact.email,
        "phone": contact.phone,
        "locale": contact.locale,
        "external_id": request.external_id,
        "reference": request.reference,
    }
