"""Salesforce's outbound messages: whole records by SOAP, proven by the path and by whose organization they name.

Salesforce signs nothing. What there is: a path that cannot be guessed, and the id of the organization, which is in
the body. So `verify` can do little on raw bytes, and `read` refuses what names no organization of ours; neither
says more to a stranger than that he is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from producers.crm.config import CrmValues
from producers.crm.fieldmap import FieldMap, FieldMapError, Lookup
from producers.crm.model import (
    Answer,
    CrmEvent,
    NotAuthenticError,
    RawRequest,
    Reading,
    UnreadableError,
    Unwanted,
    Wanted,
)
from producers.crm.signing import digest_of, is_same
from producers.crm.soap import (
    ACK,
    ACK_TYPE,
    MAX_BYTES,
    Notification,
    OutboundMessage,
    SoapError,
    looks_like_xml,
    read_message,
)

KEYS: Mapping[str, str] = {
    "ORG_IDS": "Ids of your Salesforce organizations (Setup, Company Information), 15 or 18 characters, "
    "comma-separated. Messages of others are refused.",
}

MAX_NOTIFICATIONS = 100  #: of one message; Salesforce sends no more
OBJECTS = "objects"  #: the map's member that holds a map for each type of record
DELETED = "deleted"
UNKNOWN_TYPE = "unknown_type"

_DEFAULTS_OF_ANY: Mapping[str, Any] = {"external_id": "Id"}
#: A contact's company is a field of his account, and a message holds one object: `Company__c` is a formula field.
DEFAULT_MAPS: Mapping[str, Mapping[str, Any]] = {
    "Lead": {
        "business_name": "Company",
        "business_email": "Email",
        "whatsapp": ["MobilePhone", "Phone"],
        "name": "Name",
        "email": "Email",
        "phone": ["MobilePhone", "Phone"],
        **_DEFAULTS_OF_ANY,
    },
    "Account": {
        "business_name": "Name",
        "whatsapp": "Phone",
        "phone": "Phone",
        **_DEFAULTS_OF_ANY,
    },
    "Contact": {
        "business_name": "Company__c",
        "business_email": "Email",
        "whatsapp": ["MobilePhone", "Phone"],
        "name": "Name",
        "email": "Email",
        "phone": ["MobilePhone", "Phone"],
        **_DEFAULTS_OF_ANY,
    },
}

_ANSWER = Answer(status=200, body=ACK, content_type=ACK_TYPE)
_FULL_NAME, _NAME_PARTS = "name", ("firstname", "lastname")
_SHORT_ID = 15  # the three characters after it only repeat which of the others are capitals
_ID_LENGTHS = frozenset({_SHORT_ID, 18})


def configure(values: CrmValues) -> Salesforce:
    """Build it from its settings; raises SettingsError."""
    org_ids = values.items("ORG_IDS")
    if not org_ids and not values.is_trial:
        raise values.wrong("ORG_IDS", f"is missing, and salesforce needs it. It is: {KEYS['ORG_IDS']}")
    if not all(map(_is_id, org_ids)):
        raise values.wrong(
            "ORG_IDS", "must be ids of 15 or 18 letters and digits, such as 00D09000007abcd, comma-separated."
        )
    try:
        maps = RecordMaps(values.map_document())
    except FieldMapError as error:
        raise values.wrong("MAP", f"is no field map: {error}") from None
    return Salesforce(org_ids=None if values.is_trial else org_ids, maps=maps)


class RecordMaps:
    """The field map of each type of record."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Read the MAP setting: one map for whatever comes, or `{"objects": {"Lead": {…}}}`; raises FieldMapError."""
        self._of_others: FieldMap | None = None
        if OBJECTS in document:
            self._of_type = _read_by_type(document)
            return
        self._of_type = {name: FieldMap.of(document, defaults=each) for name, each in DEFAULT_MAPS.items()}
        if document:
            self._of_others = FieldMap.of(document, defaults=_DEFAULTS_OF_ANY)

    def map_for(self, record_type: str) -> FieldMap | None:
        """Return the map for a type such as `Lead`, or None where it is not to be followed."""
        return self._of_type.get(record_type, self._of_others)


class Salesforce:
    """Salesforce, configured: a `Crm`."""

    name = "salesforce"

    def __init__(self, *, org_ids: Iterable[str] | None, maps: RecordMaps) -> None:
        """Take the ids of the organizations that are heard, of 15 or 18 characters; None: any, for a trial only."""
        self._org_ids = None if org_ids is None else tuple(each[:_SHORT_ID] for each in org_ids)
        self._maps = maps

    def verify(self, request: RawRequest) -> None:
        """Refuse what is too large or no XML; whose organization it is, only `read` can tell.

        Raises:
            NotAuthenticError: it is not surely Salesforce's.
        """
        if len(request.body) > MAX_BYTES:
            raise NotAuthenticError("too_large")
        if not looks_like_xml(request.body):
            raise NotAuthenticError("xml_broken")

    def read(self, request: RawRequest) -> Reading:
        """Return an event for each record of the message.

        Raises:
            NotAuthenticError: it can't be read, so that it names nobody, or it names an organization not ours.
            UnreadableError: it is ours, and not what Salesforce sends.
        """
        try:
            message = read_message(request.body)
        except SoapError as error:
            if self._org_ids is None:
                raise UnreadableError(f"the body is no outbound message: {error}") from None
            raise NotAuthenticError(error.code) from None
        if not self._is_ours(message.organization_id):
            raise NotAuthenticError("unknown_organization")
        _refuse_odd(message)
        found = [self._event(each, message.organization_id) for each in message.notifications]
        return Reading(
            events=[each for each in found if isinstance(each, CrmEvent)],
            skipped=[each for each in found if isinstance(each, str)],
            answer=_ANSWER,
        )

    async def fetch(self, bodies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        """Return the records as they are: they came whole."""
        return list(bodies)

    def wanted(self, whole: Mapping[str, Any]) -> Wanted | Unwanted:
        """Return what a record asks for, by the map of its type."""
        field_map = self._maps.map_for(whole["type"])
        if field_map is None:
            return Unwanted(UNKNOWN_TYPE, f"no field map for {whole['type']}")
        return field_map.fields(_lookup_in(whole["fields"]))

    async def aclose(self) -> None:
        """Do nothing: nothing is open."""

    def _is_ours(self, organization_id: str) -> bool:
        if not _is_id(organization_id):
            return False
        if self._org_ids is None:
            return True
        short = organization_id[:_SHORT_ID]
        # All of them every time, so that the answer's delay says nothing.
        return sum(is_same(short, each) for each in self._org_ids) > 0

    def _event(self, notification: Notification, organization_id: str) -> CrmEvent | str:
        """Return what is to be recorded, or why nothing is."""
        if not notification.fields:
            return DELETED
        field_map = self._maps.map_for(notification.type)
        if field_map is None:
            return UNKNOWN_TYPE
        return CrmEvent(
            key=f"{organization_id[:_SHORT_ID]}:{notification.id}",
            digest=_digest(notification, field_map),
            body={"type": notification.type, "fields": notification.fields},
        )


def _is_id(text: str) -> bool:
    return len(text) in _ID_LENGTHS and text.isascii() and text.isalnum()


def _read_by_type(document: Mapping[str, Any]) -> dict[str, FieldMap]:
    by_type = document[OBJECTS]
    if len(document) > 1 or not isinstance(by_type, dict) or not by_type:
        raise FieldMapError(
            f'{OBJECTS}: write {{"{OBJECTS}": {{"Lead": {{…}}, "Account": {{…}}}}}}, and nothing beside it.'
        )
    return {name: _map_of_type(name, each) for name, each in by_type.items()}


def _map_of_type(name: str, document: Any) -> FieldMap:
    if not isinstance(document, dict):
        raise FieldMapError(f"{OBJECTS}: {name}: write a map, {{}} for the defaults alone.")
    try:
        return FieldMap.of(document, defaults=DEFAULT_MAPS.get(name, _DEFAULTS_OF_ANY))
    except FieldMapError as error:
        raise FieldMapError(f"{OBJECTS}: {name}: {error}") from None


def _refuse_odd(message: OutboundMessage) -> None:
    if not message.notifications:
        raise UnreadableError("the message holds no Notification")
    if len(message.notifications) > MAX_NOTIFICATIONS:
        raise UnreadableError(f"the message holds more than {MAX_NOTIFICATIONS} notifications")
    if not all(each.id for each in message.notifications):
        raise UnreadableError("a Notification has no Id")


def _lookup_in(fields: Mapping[str, str]) -> Lookup:
    """Return a lookup of fields by their API names, in any letter case as at Salesforce; `sf:` may stand before."""
    by_name = {name.casefold(): text for name, text in fields.items()}

    def lookup(source: str) -> str | None:
        name = source.removeprefix("sf:").casefold()
        if name == _FULL_NAME and name not in by_name:
            # A person's Name can't be chosen for a message, its two parts can.
            return " ".join(by_name[part] for part in _NAME_PARTS if part in by_name)
        return by_name.get(name)

    return lookup


def _digest(notification: Notification, field_map: FieldMap) -> str:
    # A redelivery carries the record as it is by then. Only what the map looks at tells whether a person must
    # decide between the two: LastModifiedDate and the like always differ.
    lookup = _lookup_in(notification.fields)
    seen = {source: lookup(source) for source in (*field_map.sources(), "Id")}
    return digest_of([notification.type, seen])
