"""Salesforce's outbound message, read from SOAP; and the one answer that Salesforce takes for a yes.

Anybody may post XML here, so what XML can do to its reader is switched off: no document types, no entities, no
processing instructions, nothing fetched, and little of everything. Elements are known by their local names and
their place. Expat's own namespaces stay off: it would copy a long address into every name that it belongs to,
and a body of 2 MiB could then ask for a terabyte.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

MAX_BYTES = 2 * 1024 * 1024
MAX_ELEMENTS = 50_000  #: 100 records of 500 fields each
MAX_DEPTH = 16  #: a field lies at the sixth level
MAX_ATTRIBUTES = 32  #: of one element; the envelope has three or four

#: Salesforce compares it: a 200 with anything else in it counts as a failure, and is sent again for 24 h.
ACK = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack>'
    b"</notificationsResponse></soapenv:Body></soapenv:Envelope>"
)
ACK_TYPE = "text/xml"

_MESSAGE = ["Envelope", "Body", "notifications"]
_ORGANIZATION = [*_MESSAGE, "OrganizationId"]
_NOTIFICATION = [*_MESSAGE, "Notification"]
_NOTIFICATION_ID = [*_NOTIFICATION, "Id"]
_RECORD = [*_NOTIFICATION, "sObject"]


_WHY = {
    "too_large": f"it is larger than {MAX_BYTES:,} bytes",
    "xml_broken": "it is no well-formed XML in UTF-8, or was cut off",
    "xml_forbidden": "it has a document type, an entity, a processing instruction or another encoding than UTF-8",
    "xml_excessive": "it has more elements, levels or attributes than an outbound message",
    "xml_ambiguous": "it says one thing twice, and differently",
    "no_outbound_message": "it has no notifications with an OrganizationId",
}


class SoapError(Exception):
    """No outbound message, or not surely one; `code` says why, as does the text, and neither holds anything of it."""

    def __init__(self, code: str) -> None:
        super().__init__(_WHY[code])
        self.code = code


@dataclass(slots=True, kw_only=True)
class Notification:
    """One record of a message. It has a key of its own, whatever became of the record."""

    id: str = ""
    type: str = ""  #: `Lead`, `Account`, `Customer__c`, …; empty: no record came with it
    fields: dict[str, str] = field(default_factory=dict)  #: by API name; empty: the record was deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundMessage:
    """What an outbound message says. The session id in it is a key to Salesforce's API, and is never read."""

    organization_id: str
    notifications: tuple[Notification, ...]


def looks_like_xml(raw: bytes) -> bool:
    """Tell whether *raw* may be XML in UTF-8 at all, at the cost of a glance."""
    return raw.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n").startswith(b"<")


def read_message(raw: bytes) -> OutboundMessage:
    """Return the message that *raw* holds; time and memory are bounded whatever it is.

    Raises:
        SoapError: it is none, or none that can be trusted to be read by everybody alike.
    """
    if len(raw) > MAX_BYTES:
        raise SoapError("too_large")
    reader = _Reader()
    try:
        # Whatever it is told, expat believes the first bytes and would read UTF-16, of which zeros are a sign.
        if "\0" in raw.decode():
            raise SoapError("xml_broken")
        _parser_for(reader).Parse(raw, True)
    except (expat.ExpatError, UnicodeDecodeError):
        # Its text names a place only, but the code says it as well.
        raise SoapError("xml_broken") from None
    return reader.message()


def _parser_for(reader: _Reader) -> expat.XMLParserType:
    # Overrides what the document says of itself, which `declared` looks at. One argument only: no namespaces.
    parser = expat.ParserCreate("UTF-8")
    parser.ordered_attributes = True
    parser.buffer_text = True
    parser.XmlDeclHandler = reader.declared
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = _refuse
    parser.SkippedEntityHandler = _refuse
    parser.ProcessingInstructionHandler = _refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    return parser


def _refuse(*_: object) -> NoReturn:
    raise SoapError("xml_forbidden")


class _Reader:
    """Hears expat's events and keeps what is wanted of them."""

    def __init__(self) -> None:
        self._path: list[str] = []
        self._elements = 0
        self._pieces: list[str] | None = None  # of the innermost element, if its text is wanted
        self._organization_ids: list[str] = []
        self._notifications: list[Notification] = []
        self._messages = 0

    def message(self) -> OutboundMessage:
        """Return what was heard; raises SoapError unless it is exactly one message of one organization."""
        if self._messages > 1 or len(self._organization_ids) > 1:
            raise SoapError("xml_ambiguous")
        if not self._organization_ids:
            raise SoapError("no_outbound_message")
        return OutboundMessage(
            organization_id=self._organization_ids[0], notifications=tuple(self._notifications)
        )

    def declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        """Refuse a document that says it is in another encoding."""
        if encoding is not None and encoding.upper() not in {"UTF-8", "UTF8"}:
            raise SoapError("xml_forbidden")

    def start(self, name: str, attributes: list[str]) -> None:
        """Enter an element; *attributes* are names and values by turns."""
        self._elements += 1
        path = self._path
        path.append(_local(name))
        if self._elements > MAX_ELEMENTS or len(path) > MAX_DEPTH or len(attributes) > 2 * MAX_ATTRIBUTES:
            raise SoapError("xml_excessive")
        if path == _MESSAGE:
            self._messages += 1
        elif path == _NOTIFICATION:
            self._notifications.append(Notification())
        elif path == _RECORD:
            self._enter_record(attributes)
        self._pieces = [] if self._is_wanted() and not _is_nil(attributes) else None

    def text(self, piece: str) -> None:
        """Keep a piece of text, if it is wanted."""
        if self._pieces is not None:
            self._pieces.append(piece)

    def end(self, _name: str) -> None:
        """Leave an element; what holds other elements has no text of its own."""
        if self._pieces is not None:
            self._keep("".join(self._pieces).strip())
            self._pieces = None
        self._path.pop()

    def _enter_record(self, attributes: list[str]) -> None:
        notification = self._notifications[-1]
        if notification.type:
            raise SoapError("xml_ambiguous")
        # Without a type it can't be followed, but it was there: two of them must still be told.
        notification.type = _local(_attribute(attributes, "type")) or "?"

    def _is_wanted(self) -> bool:
        path = self._path
        is_field = len(path) > len(_RECORD) and path[: len(_RECORD)] == _RECORD
        return is_field or path in (_NOTIFICATION_ID, _ORGANIZATION)

    def _keep(self, value: str) -> None:
        path = self._path
        if path == _ORGANIZATION:
            self._organization_ids.append(value)
        elif path == _NOTIFICATION_ID:
            notification = self._notifications[-1]
            notification.id = _same(notification.id, value)
        elif value:
            fields, name = self._notifications[-1].fields, ".".join(path[len(_RECORD) :])
            fields[name] = _same(fields.get(name, ""), value)


def _same(known: str, value: str) -> str:
    """Return *value*, unless something else was said before: readers would disagree on which one counts."""
    if known and known != value:
        raise SoapError("xml_ambiguous")
    return value


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _attribute(attributes: list[str], local_name: str) -> str:
    for place in range(0, len(attributes), 2):
        if _local(attributes[place]) == local_name:
            return attributes[place + 1]
    return ""


def _is_nil(attributes: list[str]) -> bool:
    return bool(attributes) and _attribute(attributes, "nil") in {"true", "1"}
