"""HubSpot: signed webhooks of thin events in, contacts and their companies out of its API.

A request is HubSpot's by its signature v3 only; v1 and v2 carry no time and are not looked at. The signature covers
the URL that is registered at HubSpot, so that URL is a setting and is never rebuilt from what a request says.
"""

from __future__ import annotations

import hmac
import math
import re
from base64 import b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import urlsplit

from producers.crm.config import CrmValues
from producers.crm.fieldmap import INCOMPLETE, FieldMap
from producers.crm.hubspot_api import API_URL, HubSpotApi
from producers.crm.hubspot_events import COMPANY_LINK_PROPERTY, Following, read_events, read_sample
from producers.crm.hubspot_write_back import EXAMPLE, WriteBack, WriteBackError
from producers.crm.model import NotAuthenticError, RawRequest, Reading, Unwanted, Wanted
from worker.settings import SettingsError

NAME = "hubspot"
SIGNATURE_HEADER = "x-hubspot-signature-v3"
TIMESTAMP_HEADER = "x-hubspot-request-timestamp"
#: HubSpot's rule for old requests. It has none for the future, but a clock may be wrong both ways.
MOST_AGE_MS = 300_000
#: Calls a second; an account with the lowest limit (100 in ten seconds) serves other apps beside us.
DEFAULT_RATE = 8.0

#: A source of our own: the first and the last name as one.
FULL_NAME = "full_name"
_NAME_PARTS = ("firstname", "lastname")
_CONTACT_ID = "hs_object_id"
_COMPANY = "company."
_SOURCE = re.compile(r"(?:company\.)?[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")
_TIMESTAMP = re.compile(r"[0-9]{1,15}")
_DIGITS = re.compile(r"[0-9]{1,20}")
_TIED = "linkferry_tied"  #: of a fetched contact: a company was tied to it, and that is the whole event
_TRIAL_URL = "https://trial.invalid/"

KEYS: Mapping[str, str] = {
    "CLIENT_SECRET": "The app's client secret, which HubSpot signs its requests with.",
    "URL": "The webhook address as registered at HubSpot, letter by letter. Unset: PUBLIC_URL/crm/hubspot/PATH.",
    "TOKEN": "The app's access token, which contacts and companies are read with.",
    "API_URL": f"HubSpot's API. Default {API_URL}.",
    "APP_ID": "The app's id; events of other apps are skipped. Unset: any app's are followed.",
    "PORTAL_IDS": "Ids of the HubSpot accounts, comma-separated; others' events are skipped. Unset: any account's.",
    "RATE": f"Calls to HubSpot's API a second, for the whole fleet. Default {DEFAULT_RATE:g}.",
    "WRITE_BACK": f"Contact properties that hear of a link, as JSON: {EXAMPLE}. Unset: none.",
}

#: What a contact becomes, unless CRM_HUBSPOT_MAP says otherwise.
DEFAULT_MAP: Mapping[str, Any] = {
    "whatsapp": ["mobilephone", "phone"],
    "business_name": ["company.name", "company"],
    "display_name": ["company.name", "company"],
    "email": "email",
    "phone": ["mobilephone", "phone"],
    "name": FULL_NAME,
    "locale": "hs_language",
    "external_id": _CONTACT_ID,
}


class Contacts(Protocol):
    """What is asked of HubSpot's API; `hubspot_api.HubSpotApi` is the real one."""

    async def contacts(
        self, ids: Sequence[str], properties: Collection[str]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return the contacts that exist, by the id that was asked for."""
        ...

    async def companies_of(
        self, contact_ids: Sequence[str], properties: Collection[str]
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return each contact's main company, by the contact's id; a contact may have none."""
        ...

    async def aclose(self) -> None:
        """Close what is open."""
        ...


@dataclass(frozen=True, slots=True)
class Reads:
    """The properties that a field map reads."""

    contact: frozenset[str]
    company: frozenset[str]

    @classmethod
    def of(cls, sources: Collection[str]) -> Reads:
        """Return what *sources* need: `email`, `company.name` or `full_name`, which is three properties in one."""
        own = {source for source in sources if not source.startswith(_COMPANY)}
        own |= set(_NAME_PARTS) if FULL_NAME in own else set()
        company = {source.removeprefix(_COMPANY) for source in sources if source.startswith(_COMPANY)}
        return cls(frozenset(own), frozenset(company))


class HubSpot:
    """One HubSpot app. *signed_url* is the address registered there, as `checked_url` accepts it."""

    name = NAME

    def __init__(
        self,
        *,
        client_secret: str,
        signed_url: str,
        field_map: FieldMap,
        api: Contacts,
        following: Following,
        is_trial: bool = False,
    ) -> None:
        self._secret = client_secret.encode()
        self._signed_url = signed_url.encode("ascii")
        self._field_map = field_map
        self._reads = Reads.of(field_map.sources())
        self._api = api
        self._following = following
        self._is_trial = is_trial

    def verify(self, request: RawRequest) -> None:
        """Check signature v3 over the raw bytes and the time, five minutes both ways; raises NotAuthenticError."""
        signature, timestamp = request.headers.get(SIGNATURE_HEADER), request.headers.get(TIMESTAMP_HEADER)
        if not signature or not timestamp:
            raise NotAuthenticError("signature_missing")
        if not _TIMESTAMP.fullmatch(timestamp):
            raise NotAuthenticError("timestamp_malformed")
        signed = (
            request.method.encode("ascii", "replace") + self._signed_url + request.body + timestamp.encode()
        )
        expected = b64encode(hmac.new(self._secret, signed, sha256).digest())
        # A header may hold any bytes. What can't be written in UTF-8 is replaced, and so is no signature either.
        if not hmac.compare_digest(expected, signature.encode("utf-8", "replace")):
            raise NotAuthenticError("signature_wrong")
        age_ms = request.received_at.timestamp() * 1000 - int(timestamp)
        if abs(age_ms) > MOST_AGE_MS:
            raise NotAuthenticError("timestamp_stale" if age_ms > 0 else "timestamp_future")

    def read(self, request: RawRequest) -> Reading:
        """Return the events of a verified request; raises UnreadableError for what is no JSON array.

        A trial takes a whole contact, too.
        """
        sample = read_sample(request.body) if self._is_trial else None
        return sample or read_events(request.body, self._following)

    def would_fetch(self, body: Mapping[str, Any]) -> str | None:
        """Say what a worker would ask HubSpot for; None for the whole contact of a trial."""
        if "properties" in body:
            return None
        text = f"contact {body.get('objectId', '')}: {', '.join(sorted(self._reads.contact))}"
        if self._reads.company:
            text += f"; and of its company: {', '.join(sorted(self._reads.company))}"
        return text

    async def fetch(self, bodies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        """Return each body's contact as HubSpot shows it now, with its `company` where the map reads one.

        Raises:
            FetchLaterError: HubSpot can't be asked now.
            FetchRefusedError: it refuses the token.
            QuestionRefusedError: it refuses the question, for one of the bodies perhaps.
        """
        ids = [str(body.get("objectId", "")) for body in bodies]
        contacts = await self._api.contacts([each for each in ids if each], self._reads.contact)
        companies: Mapping[str, Mapping[str, Any]] = {}
        if self._reads.company:
            living = list(dict.fromkeys(str(contact["id"]) for contact in contacts.values()))
            companies = await self._api.companies_of(living, self._reads.company)
        wholes: list[Mapping[str, Any] | None] = []
        for contact_id, body in zip(ids, bodies, strict=True):
            contact = contacts.get(contact_id)
            # An event may name a contact that was merged away: its company is the living one's.
            company = None if contact is None else companies.get(str(contact["id"]))
            whole = None if contact is None else {**contact, "company": company, _TIED: _is_of_company(body)}
            wholes.append(whole)
        return wholes

    def wanted(self, whole: Mapping[str, Any]) -> Wanted | Unwanted:
        """Return what a contact asks for, by the field map.

        A contact without a business name is `incomplete` like one without a number: both often come a little later,
        with an event of their own. That a company was tied to a contact matters to one that was incomplete before;
        another has its link under the name it had, and a second name would only be a conflict.
        """
        if whole.get(_TIED) and isinstance(self._asked({**whole, "company": None}), Wanted):
            return Unwanted("irrelevant_association")
        return self._asked(whole)

    def _asked(self, whole: Mapping[str, Any]) -> Wanted | Unwanted:
        asked = self._field_map.fields(lookup_in(whole))
        targets = self._field_map.targets
        if isinstance(asked, Unwanted) or "business_name" in asked.fields or "business_name" not in targets:
            return asked
        if "whatsapp" not in asked.fields.get("product", "whatsapp").casefold():
            return asked
        sources = [each for each in targets["business_name"] if isinstance(each, str)]
        return Unwanted(INCOMPLETE, f"business_name: nothing at {', '.join(sources)}")

    async def aclose(self) -> None:
        """Close the connections to HubSpot."""
        await self._api.aclose()


def lookup_in(whole: Mapping[str, Any]) -> Callable[[str], str | None]:
    """Return a lookup in a contact as `fetch` returns it: a property, `company.<property>` or `full_name`."""

    def at(holder: object, name: str) -> str:
        properties = holder.get("properties") if isinstance(holder, Mapping) else None
        value = properties.get(name) if isinstance(properties, Mapping) else None
        return "" if value is None else str(value).strip()

    def lookup(source: str) -> str | None:
        if source.startswith(_COMPANY):
            return at(whole.get("company"), source.removeprefix(_COMPANY)) or None
        # An account may have a property of that name: it goes first.
        found = at(whole, source)
        if not found and source == FULL_NAME:
            found = " ".join(part for name in _NAME_PARTS if (part := at(whole, name)))
        return found or None

    return lookup


def _is_of_company(body: Mapping[str, Any]) -> bool:
    is_tied = str(body.get("subscriptionType", "")).endswith(".associationChange")
    return is_tied or body.get("propertyName") == COMPANY_LINK_PROPERTY


def configure(values: CrmValues) -> HubSpot:
    """Build the module from its settings; raises SettingsError."""
    field_map = values.field_map(DEFAULT_MAP)
    for source in field_map.sources():
        if not _SOURCE.fullmatch(source):
            raise values.wrong(
                "MAP",
                f"reads {source}, which is no source. Write a property's internal name, such as mobilephone, "
                "company.<property> or full_name.",
            )
    reads = Reads.of(field_map.sources())
    return HubSpot(
        client_secret=values.secret("CLIENT_SECRET", needed=True),
        signed_url=_url(values),
        field_map=field_map,
        api=api_of(values),
        following=Following(
            properties=reads.contact | ({COMPANY_LINK_PROPERTY} if reads.company else frozenset()),
            has_company=bool(reads.company),
            written=_written(values, field_map, reads),
            app_id="" if values.is_trial else "".join(_ids(values, "APP_ID", at_most=1)),
            portal_ids=frozenset() if values.is_trial else frozenset(_ids(values, "PORTAL_IDS")),
        ),
        is_trial=values.is_trial,
    )


def api_of(values: CrmValues) -> HubSpotApi:
    """Return the client that the settings describe; raises SettingsError."""
    rate = _rate(values)
    return HubSpotApi(
        token=values.secret("TOKEN", needed=True),
        slots=None if values.limits_for is None else values.limits_for(NAME, rate),
        base_url=values.url("API_URL", API_URL),
    )


def write_back_of(values: CrmValues) -> WriteBack | None:
    """Return which properties hear of a link, or None where none does; raises SettingsError."""
    text = values.text("WRITE_BACK")
    try:
        return None if text is None else WriteBack.parse(text)
    except WriteBackError as error:
        raise values.wrong("WRITE_BACK", str(error)) from None


def checked_url(url: str) -> str:
    """Return *url* if it can be the address that HubSpot signs.

    HubSpot decodes some percent escapes before it signs and its own libraries decode none, so that a URL with
    escapes, or with a query, is signed in one way or the other.

    Raises:
        ValueError: with what is wrong, to be read after the setting's name.
    """
    if "?" in url or "#" in url:
        raise ValueError("must have no ? and no #: register the address at HubSpot without them.")
    if "%" in url:
        raise ValueError("must have no percent escapes: register an address of plain letters at HubSpot.")
    if not url.isascii() or any(char.isspace() or not char.isprintable() for char in url):
        raise ValueError("must be ASCII without blanks, exactly as it is registered at HubSpot.")
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        raise ValueError("must be the https:// address that is registered at HubSpot.")
    return url


def _url(values: CrmValues) -> str:
    registered = values.text("URL")
    path = values.secret("PATH")
    if registered is None and values.public_url and path:
        registered = f"{values.public_url}/crm/{NAME}/{path}"
    if registered is None and values.is_trial:
        registered = _TRIAL_URL
    if registered is None:
        raise values.wrong(
            "URL",
            "is missing, and HubSpot signs it. Write the address that is registered at HubSpot: "
            "https://…/crm/hubspot/ and the PATH.",
        )
    try:
        return checked_url(registered)
    except ValueError as error:
        if values.text("URL") is None:
            raise SettingsError(f"LINKFERRY_PUBLIC_URL, under which HubSpot calls, {error}") from None
        raise values.wrong("URL", str(error)) from None


def _written(values: CrmValues, field_map: FieldMap, reads: Reads) -> frozenset[str]:
    """Return the properties that the write-back sets; raises SettingsError where the field map forbids it."""
    write_back = write_back_of(values)
    if write_back is None:
        return frozenset()
    if tuple(field_map.targets.get("external_id", ())) != (_CONTACT_ID,):
        raise values.wrong(
            "WRITE_BACK",
            f"needs the contact's id: let external_id be {_CONTACT_ID} in the field map, as it is by default.",
        )
    written = frozenset(write_back.properties.values())
    if both := sorted(written & reads.contact):
        raise values.wrong(
            "WRITE_BACK",
            f"sets {', '.join(both)}, which the field map reads: Linkferry would answer itself. "
            "Give the write-back properties of its own.",
        )
    return written


def _ids(values: CrmValues, key: str, *, at_most: int = 1_000) -> tuple[str, ...]:
    ids = values.items(key)
    if len(ids) > at_most or not all(_DIGITS.fullmatch(each) for each in ids):
        wanted = "one id in digits" if at_most == 1 else "ids in digits, with commas between them"
        raise values.wrong(key, f"must be {wanted}, as HubSpot shows them.")
    return ids


def _rate(values: CrmValues) -> float:
    try:
        rate = float(values.text("RATE") or DEFAULT_RATE)
    except ValueError:
        rate = 0.0
    if not (math.isfinite(rate) and rate > 0):
        raise values.wrong("RATE", f"must be calls a second, more than 0, such as {DEFAULT_RATE:g}.")
    return rate
