"""monday.com: board webhooks in, items out of its GraphQL API where an event does not say enough.

Webhooks of an integration app carry a token (HS256) that proves the caller, though not the body. Those that a person
adds to a board carry none: then the path that cannot be guessed and the list of boards are the proof.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import jwt
from jwt.types import Options

from producers.crm.config import CrmValues
from producers.crm.fieldmap import INCOMPLETE, FieldMap, FieldMapError
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
from producers.crm.monday_api import API_URL, Item, MondayApi
from producers.crm.monday_events import (
    BoardMaps,
    challenge_of,
    columns_of,
    fetched_value,
    lookup_in,
    read_event,
)
from producers.crm.signing import is_same, read_json

NAME = "monday"

KEYS: Mapping[str, str] = {
    "SIGNING_SECRET": "The signing secret of your monday app: every event must then carry its token. "
    "Leave it out for webhooks that were added to a board by hand.",
    "URL": "The URL that is registered at monday.com; a token must be made out to it. "
    "Unset: LINKFERRY_PUBLIC_URL with /crm/monday/ and the PATH.",
    "BOARDS": "Ids of the boards that are heard, comma-separated. Needed without SIGNING_SECRET.",
    "TOKEN": "An API token that may read the boards, for what an event does not say.",
    "API_URL": "The address of monday.com's API.",
}

SKEW_S = 60.0  #: that two clocks may differ by
#: A handshake is at most 256 characters, each written with six at most.
MOST_UNPROVEN_BYTES = 2_048
_LONGEST_TOKEN = 8_192
_BEARER = "bearer "
#: Without these no link is made, or nobody gets it: worth a call to monday when an event lacks them.
_WORTH_A_CALL = ("whatsapp", "business_name", "display_name", "email", "phone")


class Items(Protocol):
    """What is asked of monday's API; `monday_api.MondayApi` is the real one."""

    async def items(self, ids: Sequence[str]) -> Mapping[str, Item]:
        """Return the items that are there, by id."""
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


def configure(values: CrmValues) -> Monday:
    """Build it from its settings; raises SettingsError."""
    secret, boards = values.secret("SIGNING_SECRET"), values.items("BOARDS")
    if not all(each.isascii() and each.isdecimal() for each in boards):
        raise values.wrong("BOARDS", "must be boards' ids, such as 1234567890,2345678901, comma-separated.")
    if not (secret or boards or values.is_trial):
        raise values.wrong(
            "BOARDS",
            "is missing, and without a signing secret monday needs it. Write the ids of the boards that are heard, "
            f"or set {values.setting('SIGNING_SECRET')} if the webhooks are an app's.",
        )
    try:
        maps = BoardMaps(values.map_document())
        if not values.is_trial:
            maps.refuse_blank()
    except FieldMapError as error:
        raise values.wrong("MAP", f"is no field map: {error}") from None
    token = values.secret("TOKEN")
    return Monday(
        maps=maps,
        signing_secret=None if values.is_trial else secret,
        url=_url(values),
        boards=None if values.is_trial or not boards else frozenset(boards),
        api=MondayApi(token=token, url=values.url("API_URL", API_URL)) if token else None,
    )


def _url(values: CrmValues) -> str | None:
    """Return the URL that tokens are made out to; None where nobody told under which the outside reaches us."""
    path = values.secret("PATH")
    usual = f"{values.public_url}/crm/{NAME}/{path}" if values.public_url and path else None
    return values.text("URL", usual)


class Monday:
    """monday.com, configured: a `Crm`. *boards* None: all are heard; *api* None: nothing is fetched."""

    name = NAME

    def __init__(
        self,
        *,
        maps: BoardMaps,
        signing_secret: str | None = None,
        url: str | None = None,
        boards: frozenset[str] | None = None,
        api: Items | None = None,
    ) -> None:
        self._maps = maps
        self._signing_secret = signing_secret
        self._url = url
        self._boards = boards
        self._api = api

    def verify(self, request: RawRequest) -> None:
        """Check the token where tokens are asked for. A body without one may still be a handshake: `read` tells.

        Raises:
            NotAuthenticError: it is not surely monday's.
        """
        if self._signing_secret is None:
            return
        if _shown_token(request):
            _check_token(request, self._signing_secret, self._url)
        elif len(request.body) > MOST_UNPROVEN_BYTES:
            raise NotAuthenticError("token_missing")

    def read(self, request: RawRequest) -> Reading:
        """Return the event of the body, or the handshake's answer.

        Raises:
            NotAuthenticError: no token came with something else than a handshake, or no token is asked for and the
                body can't be read, so that it names no board.
            UnreadableError: it is monday's, and no event.
        """
        try:
            document = read_json(request.body)
        except UnreadableError:
            if self._is_proven(request):
                raise
            raise NotAuthenticError("unreadable") from None
        if (challenge := challenge_of(document)) is not None:
            return Reading(answer=Answer(body=json.dumps({"challenge": challenge}).encode()))
        if self._signing_secret is not None and _shown_token(request) == "":
            raise NotAuthenticError("token_missing")
        found = read_event(document, self._maps, self._boards)
        return Reading(events=[found]) if isinstance(found, CrmEvent) else Reading(skipped=[found])

    def would_fetch(self, body: Mapping[str, Any]) -> str | None:
        """Say what has to be fetched for a recorded body; None: it says enough, or there is no token to ask with."""
        if self._api is None or not self._is_worth_a_call(body):
            return None
        return f"item {body['pulseId']} with its columns"

    async def fetch(self, bodies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        """Return the items, asked for where an event does not say enough; None: deleted or archived since.

        Raises:
            FetchLaterError: monday.com can't be asked now.
            FetchRefusedError: it refuses the token or the question.
        """
        if self._api is None:
            return list(bodies)
        lacking = [self._is_worth_a_call(body) for body in bodies]
        asked = [body["pulseId"] for body, lacks in zip(bodies, lacking, strict=True) if lacks]
        items = await self._api.items(asked) if asked else {}
        return [
            self._whole(body, items.get(body["pulseId"])) if lacks else body
            for body, lacks in zip(bodies, lacking, strict=True)
        ]

    def wanted(self, whole: Mapping[str, Any]) -> Wanted | Unwanted:
        """Return what an item asks for, by its board's map."""
        field_map = self._maps.map_for(whole["boardId"])
        if field_map is None or not self._is_heard(whole["boardId"]):
            return Unwanted("unknown_board", "the item is on a board that is not heard, or has no map")
        lacking = _lacking(whole, field_map)
        if whole["column"] is not None and lacking:
            return Unwanted(
                INCOMPLETE,
                f"an update tells one column only; {', '.join(lacking)} can be asked for with CRM_MONDAY_TOKEN",
            )
        return field_map.fields(lookup_in(whole))

    async def aclose(self) -> None:
        """Close what is open."""
        if self._api is not None:
            await self._api.aclose()

    def _is_proven(self, request: RawRequest) -> bool:
        """Tell whether a verified request needs no further proof: its token is one, and a trial asks for none."""
        return self._boards is None if self._signing_secret is None else bool(_shown_token(request))

    def _is_heard(self, board_id: str) -> bool:
        return self._boards is None or board_id in self._boards

    def _is_worth_a_call(self, body: Mapping[str, Any]) -> bool:
        """Tell whether monday may know what the event does not say, and the map can't do without."""
        field_map = self._maps.map_for(body["boardId"])
        if field_map is None:
            return False
        lacking = _lacking(body, field_map)
        if not lacking:
            return False
        if body["column"] is not None or not field_map.only_if.keys().isdisjoint(lacking):
            return True
        found = field_map.fields(lookup_in(body))
        if isinstance(found, Unwanted):
            return found.reason == INCOMPLETE
        return any(name in field_map.targets and name not in found.fields for name in _WORTH_A_CALL)

    def _whole(self, body: Mapping[str, Any], item: Item | None) -> Mapping[str, Any] | None:
        if item is None:
            return None
        field_map = self._maps.map_for(item.board_id)
        columns = columns_of(field_map) if field_map is not None else ()
        # A column that the board has not counts as empty: asking again would not bring it.
        values = {name: fetched_value(item.columns.get(name, {})) for name in columns}
        return {
            **body,
            "boardId": item.board_id,
            "pulseName": item.name,
            "groupName": item.group_name,
            "values": values,
        }


def _lacking(body: Mapping[str, Any], field_map: FieldMap) -> list[str]:
    """Return the columns that the map reads and the event says nothing of."""
    return [name for name in columns_of(field_map) if name not in body["values"]]


# --- the token ---------------------------------------------------------------------------------------------


def _shown_token(request: RawRequest) -> str:
    shown = request.headers.get("authorization", "").strip()
    return shown[len(_BEARER) :].strip() if shown.lower().startswith(_BEARER) else shown


_LEFT_TO_US: Options = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_sub": False,
    "verify_jti": False,
}


def _check_token(request: RawRequest, secret: str, url: str | None) -> None:
    """Refuse a token that is not monday's, not for us, or not for now; nothing of it is kept.

    Its claims hold a short-lived API token of the user. The times are looked at here and not by the library, which
    reads the clock itself.
    """
    token = _shown_token(request)
    if len(token) > _LONGEST_TOKEN or not token.isascii():
        raise NotAuthenticError("token_malformed")
    try:
        claims = jwt.decode(token, secret, algorithms=["HS256"], options=_LEFT_TO_US)
    except jwt.InvalidSignatureError:
        raise NotAuthenticError("token_wrong") from None
    except (jwt.PyJWTError, RecursionError):
        raise NotAuthenticError("token_malformed") from None
    _check_times(claims, request.received_at.timestamp())
    audience = claims.get("aud")
    if url is not None and not (isinstance(audience, str) and is_same(audience, url)):
        raise NotAuthenticError("token_audience")


def _check_times(claims: Mapping[str, Any], now_s: float) -> None:
    """Refuse a token that has run out or that begins in the future; one that never runs out is refused too."""
    expires_s = _instant(claims.get("exp"))
    if expires_s is None:
        raise NotAuthenticError("token_malformed")
    if expires_s + SKEW_S <= now_s:
        raise NotAuthenticError("token_stale")
    for name in ("iat", "nbf"):
        begins_s = _instant(claims.get(name))
        if begins_s is None and claims.get(name) is not None:
            raise NotAuthenticError("token_malformed")
        if begins_s is not None and begins_s - SKEW_S > now_s:
            raise NotAuthenticError("token_future")


def _instant(value: Any) -> float | None:
    """Return seconds since 1970, or None for what is no instant of this age of the world (infinity, a text, …)."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < 1e12 else None
