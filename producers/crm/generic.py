"""The generic door, for every CRM that can post JSON: signed by Standard Webhooks, or with a static token.

A token is taken where CRMs can put one: `Authorization: Bearer …`, the password of HTTP Basic, or `X-Api-Key`.

A body is one event or an array of up to a hundred. Events are whole: nothing is fetched.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from producers.crm.config import CrmValues
from producers.crm.fieldmap import FieldMap, as_text, at_pointer, pointer_lookup
from producers.crm.model import (
    CrmEvent,
    NotAuthenticError,
    RawRequest,
    Reading,
    UnreadableError,
    Unwanted,
    Wanted,
)
from producers.crm.signing import digest_of, is_same, read_json
from worker.domain.parse import CANONICAL_FIELDS
from worker.domain.standard_webhooks import (
    ID_HEADER,
    SIGNATURE_HEADER,
    InvalidSecret,
    SignatureRefused,
    SigningSecret,
    parse_secret,
    verify,
)

KEYS: Mapping[str, str] = {
    "SECRET": "Signing secrets by Standard Webhooks: one or more `whsec_…`, comma-separated while you change them.",
    "BEARER": "A static token, sent as `Authorization: Bearer …`, as the password of HTTP Basic or as `X-Api-Key`; one or "
    "more, comma-separated (20 characters or more).",
    "EVENT_ID": "Where an event's own id is: JSON pointers, comma-separated and taken together, or `body` for a hash "
    "of the event. Unset: the header webhook-id, else /event_id, else /id, else the hash.",
}
MOST_EVENTS = 100  #: of one body: they are recorded in one script, and no CRM sends more
_LEAST_TOKEN = 20
_LONGEST_ID = 200
_BY_BODY = "body"


def _everywhere(*names: str) -> list[str]:
    """Return the pointers at which a field of these names is looked for, the likeliest first."""
    return [f"{start}/{name}" for name in names for start in ("/data", "")]


#: The flat names of the CSV, at the top or under `data`, and what CRMs mostly call them.
DEFAULT_MAP: Mapping[str, Any] = {
    **{name: _everywhere(name) for name in CANONICAL_FIELDS},
    "whatsapp": _everywhere("whatsapp", "mobile", "phone"),
    "business_name": _everywhere("business_name", "company/name", "company", "organization/name"),
    "email": _everywhere("email"),
    "phone": _everywhere("phone", "mobile", "whatsapp"),
    "name": _everywhere("name", "contact/name"),
    "product": _everywhere("product", "products"),
    "type": "/data/type",  # at the top it is the event's own type, by Standard Webhooks
    "external_id": ["/data/external_id", "/external_id", "/data/id", "/record_id"],
}


def configure(values: CrmValues) -> Generic:
    """Build it from its settings; raises SettingsError."""
    try:
        secrets = [parse_secret(text) for text in values.items("SECRET")]
    except InvalidSecret as error:
        raise values.wrong(
            "SECRET", f"{error}. Copy it from the sender, or make one: whsec_ and base64 of 32 random bytes."
        ) from None
    bearers = values.items("BEARER")
    if any(len(token) < _LEAST_TOKEN for token in bearers):
        raise values.wrong("BEARER", f"must have {_LEAST_TOKEN} characters or more, that nobody can guess.")
    if not secrets and not bearers and not values.is_trial:
        raise values.wrong(
            "PATH",
            f"is set, but neither {values.setting('SECRET')} (a signing secret, whsec_…) nor "
            f"{values.setting('BEARER')} (a static token): set one of them, or nobody could be let in.",
        )
    return Generic(
        secrets=secrets,
        bearers=bearers,
        field_map=values.field_map(DEFAULT_MAP),
        event_id=_event_id(values),
    )


def _event_id(values: CrmValues) -> tuple[str, ...]:
    pointers = values.items("EVENT_ID")
    if any(not each.startswith("/") and each != _BY_BODY for each in pointers):
        raise values.wrong("EVENT_ID", "must be JSON pointers such as /data/id,/data/modified_at, or body.")
    if _BY_BODY in pointers and len(pointers) > 1:
        raise values.wrong("EVENT_ID", "is `body` and pointers at once: write one or the other.")
    return pointers


class Generic:
    """Anything that posts JSON and can prove who it is."""

    name = "generic"

    def __init__(
        self,
        *,
        secrets: Sequence[SigningSecret] = (),
        bearers: Iterable[str] = (),
        field_map: FieldMap | None = None,
        event_id: Sequence[str] = (),
    ) -> None:
        self._secrets = tuple(secrets)
        self._bearers = tuple(bearers)
        self._map = field_map or FieldMap.of({}, defaults=DEFAULT_MAP)
        self._event_id = tuple(event_id)

    def verify(self, request: RawRequest) -> None:
        """Raise NotAuthenticError unless it is signed or shows a token. A signature that is there must be right."""
        is_signed = SIGNATURE_HEADER in request.headers
        if self._secrets and (is_signed or not self._bearers):
            try:
                verify(self._secrets, request.headers, request.body, now_s=request.received_at.timestamp())
            except SignatureRefused as refused:
                raise NotAuthenticError(str(refused.code)) from None
            return
        token = _shown_token(request)
        if not token:
            raise NotAuthenticError("token_missing")
        # Every one is compared, so that the time taken does not tell which came near.
        matches = [is_same(token, known) for known in self._bearers]
        if not any(matches):
            raise NotAuthenticError("token_wrong")

    def read(self, request: RawRequest) -> Reading:
        """Return the body's events; raises UnreadableError."""
        document = read_json(request.body)
        items = document if isinstance(document, list) else [document]
        if len(items) > MOST_EVENTS:
            raise UnreadableError(f"the array holds more than {MOST_EVENTS} events: send them in several")
        if not all(isinstance(item, dict) for item in items):
            raise UnreadableError("the body must be a JSON object, or an array of objects")
        return Reading(events=list(self._events(items, _message_id(request))))

    async def fetch(self, bodies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        """Return the bodies as they are: they are whole."""
        return list(bodies)

    def wanted(self, whole: Mapping[str, Any]) -> Wanted | Unwanted:
        """Return what an event asks for, by the field map."""
        return self._map.fields(pointer_lookup(whole))

    async def aclose(self) -> None:
        """Nothing is open."""

    def _events(self, items: Sequence[Mapping[str, Any]], message_id: str | None) -> Iterator[CrmEvent]:
        for number, item in enumerate(items):
            # One id stands for the whole message: its events are told apart by their place.
            place = f"#{number}" if len(items) > 1 else ""
            key = self._key(item, None if message_id is None else message_id + place)
            yield CrmEvent(key=key or f"body:{digest_of(item)}", digest=self._digest(item), body=item)

    def _key(self, item: Mapping[str, Any], message_id: str | None) -> str | None:
        if self._event_id:
            return None if _BY_BODY in self._event_id else _at_all(item, self._event_id)
        if message_id is not None:
            return f"msg:{message_id}"
        return _at_all(item, ["/event_id"]) or _at_all(item, ["/id"])

    def _digest(self, item: Mapping[str, Any]) -> str:
        # Some senders count their attempts in the body (Pipedrive). Only what the map looks at tells whether a
        # person must decide between two bodies of one id.
        lookup = pointer_lookup(item)
        return digest_of([lookup(source) for source in self._map.sources()])


def _shown_token(request: RawRequest) -> str:
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return b64decode(rest.strip(), validate=True).decode().partition(":")[2].strip()
        except ValueError:  # no base64, or no UTF-8 in it
            return ""
    return request.headers.get("x-api-key", "").strip()


def _message_id(request: RawRequest) -> str | None:
    sent = request.headers.get(ID_HEADER, "").strip()
    return sent if 0 < len(sent) <= _LONGEST_ID and sent.isascii() and sent.isprintable() else None


def _at_all(item: Mapping[str, Any], pointers: Sequence[str]) -> str | None:
    """Return the key that the values at *pointers* make together; None where one is missing."""
    values = [as_text(at_pointer(item, each)) for each in pointers]
    if None in values:
        return None
    key = "id:" + "|".join(value or "" for value in values)
    return key if len(key) <= _LONGEST_ID and key.isprintable() else f"id:{digest_of(values)}"
