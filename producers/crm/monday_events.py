"""monday.com's webhook bodies: the handshake, which events are followed, and what a column says. Pure.

Of an event only what the board's field map reads is kept: a board may hold anything. What a column says comes in
three spellings (the webhook's, the one that is written, and GraphQL's `text` beside `value`); all end as `kept_value`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from producers.crm.fieldmap import FieldMap, FieldMapError, Lookup, as_text
from producers.crm.model import CrmEvent, UnreadableError
from producers.crm.signing import digest_of
from worker.domain.phone import PhoneNumber, normalise_number

MOST_CHALLENGE = 256  #: characters
BOARDS = "boards"  #: the map's member that holds a map for each board
#: Sources that are no columns.
SPECIAL_SOURCES = ("pulseName", "pulseId", "boardId", "groupName")
DEFAULT_MAP: Mapping[str, Any] = {"business_name": "pulseName", "external_id": "pulseId"}

#: A subscription to `create_item` is answered by `create_pulse`, one to `change_column_value` by the other.
_CREATED = frozenset({"create_pulse", "create_item"})
_CHANGED = frozenset({"update_column_value", "change_column_value"})
_ID = re.compile(r"[0-9]{1,20}")
_UUID = re.compile(r"[0-9A-Za-z-]{8,64}")
#: Members of a column's value that say it better than its text does.
_PLAIN_MEMBERS = ("email", "url", "checked")
_COUNTRY = re.compile(r"[A-Za-z]{2}")


class BoardMaps:
    """The field map of each board."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Read the MAP setting: one map for all boards, or `{"boards": {"1234567890": {…}}}`; raises FieldMapError."""
        self._of_board: dict[str, FieldMap] | None = None
        self._of_any: FieldMap | None = None
        if BOARDS in document:
            self._of_board = _read_by_board(document)
        else:
            self._of_any = FieldMap.of(document, defaults=DEFAULT_MAP)

    def refuse_blank(self) -> None:
        """Raise FieldMapError for a map by which nothing can ever come of an event: columns have no usual ids."""
        for board_id, each in ({"": self._of_any} if self._of_board is None else self._of_board).items():
            if each is not None and not {"whatsapp", "product"} & each.targets.keys():
                where = f"{BOARDS}: {board_id}: " if board_id else ""
                raise FieldMapError(
                    f'{where}it says nothing of whatsapp. Name the column that holds the number: {{"whatsapp": "phone"}}.'
                )

    def map_for(self, board_id: str) -> FieldMap | None:
        """Return a board's map, or None where there is none."""
        return self._of_any if self._of_board is None else self._of_board.get(board_id)


def _read_by_board(document: Mapping[str, Any]) -> dict[str, FieldMap]:
    boards = document[BOARDS]
    if len(document) > 1 or not isinstance(boards, dict) or not boards:
        raise FieldMapError(
            f'{BOARDS}: write {{"{BOARDS}": {{"1234567890": {{…}}}}}} with a map for each board, and nothing beside it.'
        )
    return {board_id.strip(): _map_of_board(board_id, each) for board_id, each in boards.items()}


def _map_of_board(board_id: str, document: Any) -> FieldMap:
    if not _ID.fullmatch(board_id.strip()):
        raise FieldMapError(
            f"{BOARDS}: {board_id} is no board's id: take the number from the board's address."
        )
    if not isinstance(document, dict):
        raise FieldMapError(f"{BOARDS}: {board_id}: write a map.")
    try:
        return FieldMap.of(document, defaults=DEFAULT_MAP)
    except FieldMapError as error:
        raise FieldMapError(f"{BOARDS}: {board_id}: {error}") from None


# --- bodies ------------------------------------------------------------------------------------------------


def challenge_of(document: Any) -> str | None:
    """Return the text of a handshake, or None for any other body."""
    if not isinstance(document, dict) or set(document) != {"challenge"}:
        return None
    challenge = document["challenge"]
    return challenge if isinstance(challenge, str) and len(challenge) <= MOST_CHALLENGE else None


def read_event(document: Any, maps: BoardMaps, boards: frozenset[str] | None) -> CrmEvent | str:
    """Return what a body's event leaves to be recorded, or why it is skipped. *boards* None: all are heard.

    Raises:
        UnreadableError: it is no event of monday.com.
    """
    event = document.get("event") if isinstance(document, dict) else None
    if not isinstance(event, dict):
        raise UnreadableError("the body has no event, and is no handshake either")
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in _CREATED | _CHANGED:
        return "unknown_type"
    board_id = _id(event, "boardId")
    field_map = maps.map_for(board_id) if boards is None or board_id in boards else None
    if field_map is None:
        return "unknown_board"
    column = event.get("columnId") if kind in _CHANGED else None
    if kind in _CHANGED and column not in field_map.sources():
        return "irrelevant_column"
    return _kept(event, field_map, column)


def _kept(event: Mapping[str, Any], field_map: FieldMap, column: str | None) -> CrmEvent:
    """Return the event less `isRetry`, the user, and all columns that are not asked for."""
    values = event.get("columnValues") if column is None else {column: event.get("value")}
    told = values if isinstance(values, dict) else {}
    body = {
        "type": event["type"],
        "boardId": _id(event, "boardId"),
        "pulseId": _id(event, "pulseId", "itemId"),
        "pulseName": as_text(event.get("pulseName")),
        "groupName": as_text(event.get("groupName")),
        "column": column,
        "values": {name: kept_value(told[name]) for name in columns_of(field_map) if name in told},
    }
    uuid = event.get("triggerUuid")
    if not (isinstance(uuid, str) and _UUID.fullmatch(uuid)):
        raise UnreadableError("the event has no triggerUuid")
    return CrmEvent(key=f"{_id(event, 'subscriptionId')}:{uuid}", digest=digest_of(body), body=body)


def _id(event: Mapping[str, Any], *names: str) -> str:
    for name in names:
        value = event.get(name)
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if isinstance(text, str) and _ID.fullmatch(text):
            return text
    raise UnreadableError(f"the event has no {names[0]}")


# --- columns -----------------------------------------------------------------------------------------------


def columns_of(field_map: FieldMap) -> tuple[str, ...]:
    """Return the columns that a map reads."""
    return tuple(each for each in field_map.sources() if each not in SPECIAL_SOURCES)


def kept_value(value: Any) -> Any:
    """Return what a column says: a text, None for nothing, a telephone number still with its country."""
    if not isinstance(value, dict):
        return as_text(value)
    if phone := as_text(value.get("phone")):
        country = value.get("countryShortName")
        return {"phone": phone, "country": country if isinstance(country, str) else ""}
    for name in _PLAIN_MEMBERS:
        if text := as_text(value.get(name)):
            return text
    label, chosen = value.get("label"), value.get("chosenValues")
    if label is not None:
        return as_text(label.get("text") if isinstance(label, dict) else label)
    if isinstance(chosen, list):
        return as_text([each.get("name") for each in chosen if isinstance(each, dict)])
    return as_text(value.get("text")) or as_text(value.get("value"))


def fetched_value(column: Mapping[str, Any]) -> Any:
    """Return the same of a column as GraphQL tells it: `text` for people, `value` as JSON text for programs."""
    try:
        value = json.loads(column.get("value") or "null")
    except (TypeError, ValueError, RecursionError):
        value = None
    if isinstance(value, dict) and ("phone" in value or any(name in value for name in _PLAIN_MEMBERS)):
        # The text of an e-mail or link column is its caption, and that of a number has lost its country.
        return kept_value(value)
    return as_text(column.get("text"))


def lookup_in(body: Mapping[str, Any]) -> Lookup:
    """Return a lookup of columns and special sources in what was kept or fetched of an item."""

    def lookup(source: str) -> str | None:
        found = body[source] if source in SPECIAL_SOURCES else body["values"].get(source)
        return _international(found) if isinstance(found, Mapping) else found

    return lookup


def _international(number: Mapping[str, str]) -> str:
    """Return a number as written, or with its country code where its column names the country."""
    phone, country = number["phone"], number["country"].upper()
    if not _COUNTRY.fullmatch(country):
        return phone
    found = normalise_number(phone, region=country)
    # What can't be read is let be: `parse_request` says what is wrong with it.
    return f"+{found.digits}" if isinstance(found, PhoneNumber) else phone
