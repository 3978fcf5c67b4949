"""HubSpot's API over HTTP: contacts in batches, their companies, and one property update. No retries, no redirects.

A call ends with an answer or with one of two errors: FetchLaterError (nothing is wrong with the question) or
FetchRefusedError (a person is needed). Everything here may be asked again: reads and an update that sets values.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from producers.crm.http import JsonCaller, JsonReply
from producers.crm.hubspot_rates import as_usual_headers, pause_s
from producers.crm.model import FetchLaterError, FetchRefusedError, QuestionRefusedError
from worker.domain.states import Lane
from worker.limits import Closed, Granted, LimitsUnavailable
from worker.telemetry import log

API_URL = "https://api.hubapi.com"
#: Inputs that one batch read takes.
MOST_INPUTS = 100
#: Names the contacts that were merged into this one: whoever asks for one of those is given the living one.
MERGED_IDS_PROPERTY = "hs_merged_object_ids"

_CONTACTS = "/crm/v3/objects/contacts"
_COMPANIES = "/crm/v3/objects/companies"
_ASSOCIATIONS = "/crm/v4/associations/contacts/companies"
#: A gone record, or a contact without a company: no failure of the call.
_NOT_FOUND = re.compile(r"(?:OBJECT_)?NOT_FOUND")
_PRIMARY_COMPANY = ("HUBSPOT_DEFINED", 1)
_SCOPE = re.compile(r"[a-z][a-z0-9_.-]{2,60}")
_MOST_SCOPES = 5
_SAME_AFTER_A_WHILE = frozenset(
    {408, 423, 425, 477}
)  #: 477: HubSpot moves the account to another data centre


class Slots(Protocol):
    """The fleet's share of HubSpot's rate; `worker.limits.Limits` is the real one."""

    async def acquire(self, lane: Lane, *, give_up_s: float | None = None) -> Granted | Closed:
        """Wait for a slot and return at its time."""
        ...

    async def obey(self, headers: Mapping[str, str], status: int) -> None:
        """Take note of an answer's rate headers and HTTP status."""
        ...


class PropertyRefusedError(FetchRefusedError):
    """HubSpot does not take an update's properties: one of them does not exist, or is no text."""


class HubSpotApi:
    """Calls HubSpot with a private app's token. Use within one event loop, and `aclose` it.

    *timeout_s* is a call's total deadline, *patience_s* how long it may wait for its slot before that. Without
    *slots* calls are not limited: for a command that asks once.
    """

    def __init__(
        self,
        *,
        token: str,
        slots: Slots | None = None,
        base_url: str = API_URL,
        timeout_s: float = 15.0,
        patience_s: float = 15.0,
    ) -> None:
        self._caller = JsonCaller("hubspot", authorization=f"Bearer {token}", timeout_s=timeout_s)
        self._slots = slots
        self._base_url = base_url.rstrip("/")
        self._patience_s = patience_s

    async def aclose(self) -> None:
        """Close what is open."""
        await self._caller.aclose()

    async def contacts(self, ids: Sequence[str], properties: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """Return the contacts that exist, by the id that was asked for; a merged one's id gives the living one.

        Raises:
            FetchLaterError: HubSpot can't be asked now.
            FetchRefusedError: it refuses the token.
            QuestionRefusedError: it refuses the question, for one of the ids perhaps.
        """
        found = await self._read(_CONTACTS, ids, {*properties, MERGED_IDS_PROPERTY})
        by_id: dict[str, Mapping[str, Any]] = {}
        for contact in found:
            merged = _texts(contact["properties"].get(MERGED_IDS_PROPERTY))
            by_id.update(dict.fromkeys(merged, contact))
        by_id.update({str(contact["id"]): contact for contact in found})
        return {each: by_id[each] for each in ids if each in by_id}

    async def companies_of(
        self, contact_ids: Sequence[str], properties: Collection[str]
    ) -> dict[str, Mapping[str, Any]]:
        """Return each contact's main company, by the contact's id; a contact without one is left out.

        Raises:
            FetchLaterError: HubSpot can't be asked now.
            FetchRefusedError: it refuses the token.
            QuestionRefusedError: it refuses the question, for one of the ids perhaps.
        """
        company_of: dict[str, str] = {}
        for chunk in _chunks(contact_ids):
            reply = await self._batch_read(_ASSOCIATIONS, {"inputs": [{"id": each} for each in chunk]})
            company_of.update(_main_companies(reply))
        found = await self._read(_COMPANIES, list(company_of.values()), properties)
        companies = {str(company["id"]): company for company in found}
        return {
            contact: companies[company] for contact, company in company_of.items() if company in companies
        }

    async def update_contact(self, contact_id: str, properties: Mapping[str, str]) -> bool:
        """Set *properties* of a contact. Return False when there is no such contact any more.

        Raises:
            FetchLaterError: HubSpot can't be asked now.
            FetchRefusedError: it refuses the token.
            PropertyRefusedError: it refuses a property.
        """
        reply = await self._call("PATCH", f"{_CONTACTS}/{contact_id}", {"properties": dict(properties)})
        if reply.status == 404:
            return False
        if reply.status == 400:
            names = ", ".join(sorted(properties))
            raise PropertyRefusedError(
                "crm_refused",
                f"HubSpot does not take the write-back: create the contact properties {names} as single-line text "
                "(docs/crm/hubspot.md), or change LINKFERRY_CRM_HUBSPOT_WRITE_BACK.",
            )
        _refuse(reply, _scopes_for("PATCH", _CONTACTS))
        return True

    async def _read(
        self, path: str, ids: Iterable[str], properties: Collection[str]
    ) -> list[Mapping[str, Any]]:
        """Return the objects that exist among *ids*, each with exactly *properties*, in as few calls as can be."""
        found: list[Mapping[str, Any]] = []
        for chunk in _chunks(ids):
            # Only the properties that are named come back: without names, a few of HubSpot's own choice.
            body = {"inputs": [{"id": each} for each in chunk], "properties": sorted(properties)}
            reply = await self._batch_read(path, body)
            found += [
                each
                for each in _objects(reply.get("results"))
                if "id" in each and isinstance(each.get("properties"), dict)
            ]
        return found

    async def _batch_read(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        reply = await self._call("POST", f"{path}/batch/read", body)
        _refuse(reply, _scopes_for("POST", path))
        fields = reply.body or {}
        if not isinstance(fields.get("results"), list):
            raise FetchLaterError("crm_unreachable")
        # 207: some are told and some are not. What is merely not told this time must not pass for gone.
        for error in _objects(fields.get("errors")):
            if not _NOT_FOUND.fullmatch(str(error.get("category"))):
                raise FetchLaterError("crm_unreachable")
        return fields

    async def _call(self, method: str, path: str, body: Mapping[str, Any]) -> JsonReply:
        """Make one call and return its answer, whatever its status but one that says: later.

        Raises:
            FetchLaterError: no answer came, or one that asks for patience.
        """
        await self._wait_for_slot()
        reply = await self._caller.call(method, self._base_url + path, body)
        headers = as_usual_headers(reply.headers, reply.status, reply.body or {})
        await self._tell_slots(headers, reply.status)
        if reply.status == 429:
            raise FetchLaterError("crm_throttled", delay_s=pause_s(headers, reply.status), is_failure=False)
        if reply.status >= 500 or reply.status in _SAME_AFTER_A_WHILE:
            raise FetchLaterError("crm_unreachable", delay_s=pause_s(headers, reply.status))
        return reply

    async def _wait_for_slot(self) -> None:
        if self._slots is None:
            return
        try:
            slot = await self._slots.acquire(Lane.LIVE, give_up_s=self._patience_s)
        except LimitsUnavailable as exc:
            raise FetchLaterError("crm_throttled", is_failure=False) from exc
        if isinstance(slot, Closed):
            raise FetchLaterError("crm_throttled", delay_s=max(1.0, slot.for_s), is_failure=False)

    async def _tell_slots(self, headers: Mapping[str, str], status: int) -> None:
        if self._slots is None:
            return
        try:
            await self._slots.obey(headers, status)
        except LimitsUnavailable as exc:
            # The answer is worth more than the note of it.
            log.warning("gate_failed", error=type(exc).__name__)


def _refuse(reply: JsonReply, needed: Sequence[str]) -> None:
    """Raise FetchRefusedError for an answer that asking again would not change, of a 400 QuestionRefusedError."""
    status = reply.status
    if status in {200, 201, 204, 207}:
        return
    if status == 400:
        raise QuestionRefusedError(
            "crm_refused",
            "HubSpot answered HTTP 400. Where this befalls one event, look at its contact in HubSpot. Where it befalls "
            "many, see that the properties in LINKFERRY_CRM_HUBSPOT_MAP exist. Then: linkferry crm retry --reason "
            "crm_refused.",
        )
    if status == 401:
        remedy = (
            "HubSpot does not take the token. Copy the app's present access token into "
            "LINKFERRY_CRM_HUBSPOT_TOKEN and start Linkferry again."
        )
    elif status == 403:
        told = _told_scopes(reply.body or {})
        named = [each for each in needed if each in told] or told or list(needed)
        remedy = (
            f"The HubSpot app may not do this. Give it the scope {' and '.join(named)}, then copy its new access "
            "token into LINKFERRY_CRM_HUBSPOT_TOKEN."
        )
    else:
        remedy = (
            f"HubSpot answered HTTP {status}. See that LINKFERRY_CRM_HUBSPOT_API_URL is {API_URL} and that the "
            "properties in LINKFERRY_CRM_HUBSPOT_MAP exist in HubSpot."
        )
    raise FetchRefusedError("crm_refused", remedy)


def _scopes_for(method: str, path: str) -> tuple[str, ...]:
    if method == "PATCH":
        return ("crm.objects.contacts.write",)
    if path == _ASSOCIATIONS:
        return ("crm.objects.contacts.read", "crm.objects.companies.read")
    return ("crm.objects.companies.read",) if path == _COMPANIES else ("crm.objects.contacts.read",)


def _told_scopes(fields: Mapping[str, Any]) -> list[str]:
    """Return the scopes that an answer says are missing: names of HubSpot's, and nothing else that it may say."""
    contexts = [fields.get("context"), *(each.get("context") for each in _objects(fields.get("errors")))]
    told: list[str] = []
    for context in contexts:
        if isinstance(context, dict):
            for key in ("requiredGranularScopes", "requiredScopes", "missingScopes"):
                names = context.get(key)
                told += names if isinstance(names, list) else []
    names = [each for each in told if isinstance(each, str) and _SCOPE.fullmatch(each)]
    return list(dict.fromkeys(names))[:_MOST_SCOPES]


def _main_companies(reply: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield contact id and company id: the primary company, else the one that was tied to it first."""
    for result in _objects(reply.get("results")):
        source, targets = result.get("from"), _objects(result.get("to"))
        ids = [(not _is_primary(each), int(each["toObjectId"])) for each in targets if _is_id(each)]
        if isinstance(source, dict) and "id" in source and ids:
            yield str(source["id"]), str(min(ids)[1])


def _is_id(target: Mapping[str, Any]) -> bool:
    text = str(target.get("toObjectId"))
    return text.isascii() and text.isdigit()


def _is_primary(target: Mapping[str, Any]) -> bool:
    kinds = _objects(target.get("associationTypes"))
    return any((each.get("category"), each.get("typeId")) == _PRIMARY_COMPANY for each in kinds)


def _objects(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    """Return the parts of a property with several values, as HubSpot writes it."""
    return [part for part in value.split(";") if part] if isinstance(value, str) else []


def _chunks(ids: Iterable[str]) -> Iterator[list[str]]:
    once = list(dict.fromkeys(ids))
    for start in range(0, len(once), MOST_INPUTS):
        yield once[start : start + MOST_INPUTS]
