"""HubSpot's webhook bodies: which events are followed, and what of one is kept. Pure.

An event is thin: it names a contact and says nothing of it but, at times, one changed value, which is not kept. The
shapes are those of the Webhooks API v3: `contact.creation`, … and the generic `object.creation`, … with `objectTypeId`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from producers.crm.model import CrmEvent, Reading, UnreadableError

#: HubSpot sends up to 100; a body that holds many more is not HubSpot's.
MOST_EVENTS = 1_000
CONTACT_TYPE_ID = "0-1"
COMPANY_TYPE_ID = "0-2"
#: Changes when a contact's main company does.
COMPANY_LINK_PROPERTY = "associatedcompanyid"

_FOLLOWED = frozenset({"creation", "restore", "propertyChange", "merge", "associationChange"})
_DELETIONS = frozenset({"deletion", "privacyDeletion"})
_ID = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """What decides whether an event is followed."""

    properties: frozenset[str]  #: contact properties whose change may change a request
    has_company: bool  #: the contact's company is read too
    written: frozenset[str] = frozenset()  #: properties that our own write-back sets
    app_id: str = ""  #: empty: any app's events
    portal_ids: frozenset[str] = frozenset()  #: empty: any account's events


def read_events(body: bytes, following: Following) -> Reading:
    """Return what the body of a verified request holds.

    Raises:
        UnreadableError: it is no JSON array of a size that HubSpot sends.
    """
    found = _array(body)
    events: list[CrmEvent] = []
    skipped: list[str] = []
    for each in found:
        event = each if isinstance(each, dict) else {}
        reason = _why_skipped(event, following)
        if reason is None:
            events.append(_kept(event))
        else:
            skipped.append(reason)
    return Reading(events=events, skipped=skipped)


def read_sample(body: bytes) -> Reading | None:
    """Return a contact as HubSpot's API shows it as if it had been fetched; None for anything else.

    For trying a field map without asking HubSpot: no webhook of HubSpot's looks like this.

    Raises:
        UnreadableError: it is not JSON.
    """
    found = _json(body)
    if not isinstance(found, dict) or not isinstance(found.get("properties"), dict):
        return None
    return Reading(events=[CrmEvent(key="sample", digest="", body=found)])


def _json(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise UnreadableError("the body is not JSON in UTF-8") from None


def _array(body: bytes) -> list[Any]:
    found = _json(body)
    if not isinstance(found, list):
        raise UnreadableError("the body is not a JSON array of events")
    if len(found) > MOST_EVENTS:
        raise UnreadableError(f"the body holds {len(found)} events, HubSpot sends at most 100")
    return found


def _why_skipped(event: Mapping[str, Any], following: Following) -> str | None:
    """Return why *event* is not followed, or None."""
    if following.app_id and _number(event.get("appId")) != following.app_id:
        return "unknown_app"
    if following.portal_ids and _number(event.get("portalId")) not in following.portal_ids:
        return "unknown_portal"
    kind, _, verb = _text(event.get("subscriptionType")).partition(".")
    if verb and not _is_about_a_contact(event, kind):
        return "not_a_contact"
    if verb in _DELETIONS:
        return "deleted"
    is_known = verb in _FOLLOWED and _contact_id(event, verb) != ""
    return _why_irrelevant(event, verb, following) if is_known else "unknown_type"


def _why_irrelevant(event: Mapping[str, Any], verb: str, following: Following) -> str | None:
    if verb == "associationChange":
        is_followed = following.has_company and _is_new_company(event)
        return None if is_followed else "irrelevant_association"
    if verb != "propertyChange":
        return None
    name = _text(event.get("propertyName"))
    if name in following.properties:
        # Even where our own token made the change: the write-back sets none of these, so a script did.
        return None
    return (
        "own_write_back" if name in following.written or _is_ours(event, following) else "irrelevant_property"
    )


def _is_about_a_contact(event: Mapping[str, Any], kind: str) -> bool:
    type_id = _text(event.get("objectTypeId") or event.get("fromObjectTypeId"))
    if kind == "contact":
        return type_id in {"", CONTACT_TYPE_ID}
    return kind == "object" and type_id == CONTACT_TYPE_ID


def _is_new_company(event: Mapping[str, Any]) -> bool:
    """Tell whether *event* ties a contact to a company: often some seconds after the contact was created."""
    to_company = (
        event.get("associationType") == "CONTACT_TO_COMPANY" or event.get("toObjectTypeId") == COMPANY_TYPE_ID
    )
    return to_company and event.get("associationRemoved") is not True


def _is_ours(event: Mapping[str, Any], following: Following) -> bool:
    """Tell whether the change was made with our app's own token, which sets nothing but the write-back."""
    if not (following.written and following.app_id):
        return False
    return event.get("changeSource") == "INTEGRATION" and _number(event.get("sourceId")) == following.app_id


def _contact_id(event: Mapping[str, Any], verb: str) -> str:
    """Return the id of the contact to be fetched, or an empty text."""
    names: tuple[str, ...] = ("objectId",)
    if verb == "merge":
        # The merged contacts live on in a new one, or, in older accounts, in the primary one.
        names = ("newObjectId", "primaryObjectId", "objectId")
    elif verb == "associationChange":
        names = ("fromObjectId",)
    return next((found for name in names if (found := _number(event.get(name)))), "")


def _kept(event: Mapping[str, Any]) -> CrmEvent:
    """Return what is recorded of a followed event; the changed value, which may be personal, is not."""
    type_ = event["subscriptionType"]
    verb = type_.partition(".")[2]
    name = event["propertyName"] if verb == "propertyChange" else ""
    numbers = {each: _number(event.get(each)) for each in ("portalId", "eventId", "occurredAt")}
    contact_id = _contact_id(event, verb)
    type_id = CONTACT_TYPE_ID if event.get("objectTypeId") else ""
    # `eventId` is not unique by HubSpot's own word, and two properties of one save share all the rest.
    what = name or (_number(event.get("toObjectId")) if verb == "associationChange" else "")
    parts = [numbers["portalId"], type_, type_id, contact_id, numbers["eventId"], numbers["occurredAt"], what]
    body = {"subscriptionType": type_, "objectId": contact_id, **numbers, "propertyName": name}
    return CrmEvent(
        key=":".join(parts).rstrip(":"),
        digest=_digest(event),
        body={each: value for each, value in body.items() if value},
    )


def _digest(event: Mapping[str, Any]) -> str:
    """Return a hash of all that may not differ between the deliveries of one event: all but `attemptNumber`."""
    # Escaped to ASCII: half of an emoji in a value that nobody keeps is no reason to refuse a hundred events.
    lasting = {name: value for name, value in event.items() if name != "attemptNumber"}
    text = json.dumps(lasting, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode("ascii"), digest_size=16).hexdigest()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> str:
    """Return an id or instant as digits, or an empty text for what is none."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)
    return text if _ID.fullmatch(text) else ""
