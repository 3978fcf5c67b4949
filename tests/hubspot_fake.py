"""A stand-in for HubSpot over real HTTP: its API as far as it is used, and webhooks signed and retried as HubSpot does.

Shapes are those of the Webhooks API v3, the CRM API v3 and the associations API v4. What HubSpot is strict about, this
is strict about: named properties, a hundred inputs, scopes, numeric ids, 207 for what does not exist.
"""

from __future__ import annotations

import hmac
import json
from base64 import b64encode
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import aiohttp
from aiohttp import web

SECRET = "6f1c9ad2-53a1-4bb5-9b27-1f0e8a4ad001"
TOKEN = "pat-eu1-0b5c"
APP_ID = 50780459
PORTAL_ID = 62515
SIGNED_URL = "https://links.acme.example/crm/hubspot/dK3v9sQpXw71LmZt0aYc"
ALL_SCOPES = frozenset(
    {"crm.objects.contacts.read", "crm.objects.contacts.write", "crm.objects.companies.read"}
)
MOST_INPUTS = 100
MOST_TRIES = 11  #: the first and ten more

_DEFAULT_PROPERTIES = ("createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname")
_SINGULAR = {"contacts": "CONTACT", "companies": "COMPANY"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Call:
    """One call of the API."""

    method: str
    path: str
    body: Mapping[str, Any]

    @property
    def ids(self) -> list[str]:
        """Return what a batch read asked for."""
        return [each["id"] for each in self.body["inputs"]]


@dataclass
class FakeHubSpot:
    """One account: its records, what the token may do, and what was asked."""

    url: str = ""
    token: str = TOKEN
    scopes: frozenset[str] = ALL_SCOPES
    records: dict[str, dict[str, dict[str, str]]] = field(
        default_factory=lambda: {"contacts": {}, "companies": {}}
    )
    links: dict[str, list[tuple[str, bool]]] = field(default_factory=dict)  #: contact → companies, is primary
    merged: dict[str, str] = field(default_factory=dict)  #: contact that was merged away → the living one
    properties: set[str] = field(default_factory=set)  #: the account's own, besides HubSpot's
    calls: list[Call] = field(default_factory=list)
    misbehave: deque[Handler] = field(default_factory=deque)  #: answer the next calls instead

    def add_contact(self, contact_id: int | str, **properties: str) -> str:
        """Create a contact."""
        self.records["contacts"][str(contact_id)] = properties
        return str(contact_id)

    def add_company(
        self, company_id: int | str, *contact_ids: str, primary: bool = True, **properties: str
    ) -> str:
        """Create a company and tie contacts to it."""
        self.records["companies"][str(company_id)] = properties
        for each in contact_ids:
            self.links.setdefault(each, []).append((str(company_id), primary))
        return str(company_id)

    def merge(self, gone_id: str, living_id: str) -> None:
        """Merge one contact into another, as HubSpot does: the old id still finds the living one."""
        del self.records["contacts"][gone_id]
        self.merged[gone_id] = living_id

    def app(self) -> web.Application:
        """Return the API."""
        app = web.Application(middlewares=[self._guarded])
        app.router.add_post("/crm/v3/objects/{kind}/batch/read", self._read)
        app.router.add_post("/crm/v4/associations/contacts/companies/batch/read", self._associations)
        app.router.add_patch("/crm/v3/objects/contacts/{id}", self._update)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = json.loads(await request.read() or b"{}")
        self.calls.append(Call(request.method, request.path, body))
        if self.misbehave:
            return await self.misbehave.popleft()(request)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return problem(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
        return await handler(request)

    async def _read(self, request: web.Request) -> web.StreamResponse:
        kind = request.match_info["kind"]
        if refusal := self._lacks(f"crm.objects.{kind}.read"):
            return refusal
        body = json.loads(await request.read())
        ids = [each["id"] for each in body["inputs"]]
        if len(ids) > MOST_INPUTS:
            return problem(400, "VALIDATION_ERROR", "The maximum number of inputs is 100")
        if not all(each.isdigit() for each in ids):
            return problem(400, "VALIDATION_ERROR", "Invalid input JSON: ids must be numbers")
        names = body.get("properties") or _DEFAULT_PROPERTIES
        results, missing = [], []
        for asked in dict.fromkeys(ids):
            living = self.merged.get(asked, asked) if kind == "contacts" else asked
            if living in self.records[kind]:
                results.append(self._record(kind, living, names))
            else:
                missing.append(asked)
        return _multi(results, [_not_found(kind, missing)] if missing else [])

    def _record(self, kind: str, record_id: str, names: Sequence[str]) -> dict[str, Any]:
        told: dict[str, str | None] = {name: self.records[kind][record_id].get(name) for name in names}
        told["hs_object_id"] = record_id
        if "hs_merged_object_ids" in names:
            told["hs_merged_object_ids"] = ";".join(
                old for old, new in self.merged.items() if new == record_id
            )
        return {"id": record_id, "properties": told, "archived": False}

    async def _associations(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._lacks("crm.objects.companies.read"):
            return refusal
        results, errors = [], []
        for asked in (each["id"] for each in json.loads(await request.read())["inputs"]):
            tied = self.links.get(asked, [])
            if tied:
                results.append({"from": {"id": asked}, "to": [_association(*each) for each in tied]})
            else:
                errors.append(_no_association(asked))
        return _multi(results, errors)

    async def _update(self, request: web.Request) -> web.StreamResponse:
        if refusal := self._lacks("crm.objects.contacts.write"):
            return refusal
        contact = self.records["contacts"].get(request.match_info["id"])
        if contact is None:
            return problem(404, "OBJECT_NOT_FOUND", "resource not found")
        properties = json.loads(await request.read())["properties"]
        if unknown := set(properties) - self.properties:
            return problem(400, "VALIDATION_ERROR", f'Property "{min(unknown)}" does not exist')
        contact.update(properties)
        return answer(200, {"id": request.match_info["id"], "properties": properties})

    def _lacks(self, scope: str) -> web.Response | None:
        if scope in self.scopes:
            return None
        return problem(
            403,
            "MISSING_SCOPES",
            "This app hasn't been granted all required scopes to make this call.",
            errors=[
                {
                    "message": "One or more of the following scopes are required.",
                    "context": {"requiredGranularScopes": [scope]},
                }
            ],
        )


def answer(status: int, body: Any, **headers: str) -> web.Response:
    """Return an answer with the rate headers that HubSpot sends."""
    rates = {
        "X-HubSpot-RateLimit-Max": "100",
        "X-HubSpot-RateLimit-Remaining": "99",
        "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
    }
    return web.json_response(body, status=status, headers={**rates, **headers})


def problem(status: int, category: str, message: str, **more: Any) -> web.Response:
    """Return an error in HubSpot's form."""
    return answer(
        status, {"status": "error", "message": message, "correlationId": "c-1", "category": category, **more}
    )


def throttled(policy: str = "TEN_SECONDLY_ROLLING", **headers: str) -> Handler:
    """Return a handler that refuses a call for its rate."""

    async def handle(_: web.Request) -> web.Response:
        body = {
            "status": "error",
            "message": f"You have reached your {policy.lower()} limit.",
            "errorType": "RATE_LIMIT",
            "policyName": policy,
        }
        return answer(429, body, **{"X-HubSpot-RateLimit-Remaining": "0", **headers})

    return handle


def replying(status: int, body: bytes = b"", **headers: str) -> Handler:
    """Return a handler that answers with exactly this."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers=headers)

    return handle


@asynccontextmanager
async def a_hubspot() -> AsyncIterator[FakeHubSpot]:
    """Run an account's API on a free port."""
    hubspot = FakeHubSpot()
    runner = web.AppRunner(hubspot.app(), shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hubspot.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield hubspot
    finally:
        await runner.cleanup()


def an_event(contact_id: int | str = 123, type_: str = "contact.creation", **changes: Any) -> dict[str, Any]:
    """Return an event as HubSpot sends it."""
    fields = {
        "eventId": 4101286121,
        "subscriptionId": 7562680,
        "portalId": PORTAL_ID,
        "appId": APP_ID,
        "occurredAt": 1787843156000,
        "subscriptionType": type_,
        "attemptNumber": 0,
        "objectId": int(contact_id),
        "changeSource": "CRM_UI",
        "sourceId": "userId:12345",
    }
    return {**fields, **changes}


def signature(
    body: bytes, timestamp: str, *, secret: str = SECRET, url: str = SIGNED_URL, method: str = "POST"
) -> str:
    """Return signature v3 of a request."""
    signed = method.encode() + url.encode() + body + timestamp.encode()
    return b64encode(hmac.new(secret.encode(), signed, sha256).digest()).decode()


def signed_headers(body: bytes, now_ms: int, **options: str) -> dict[str, str]:
    """Return the headers of a webhook, the older signature among them."""
    secret = options.get("secret", SECRET)
    return {
        "Content-Type": "application/json",
        "X-HubSpot-Signature": sha256(secret.encode() + body).hexdigest(),
        "X-HubSpot-Signature-Version": "v1",
        "X-HubSpot-Signature-v3": signature(body, str(now_ms), **options),
        "X-HubSpot-Request-Timestamp": str(now_ms),
    }


async def deliver(
    session: aiohttp.ClientSession,
    to_url: str,
    events: Sequence[Mapping[str, Any]],
    *,
    now_ms: Callable[[], int],
    **options: str,
) -> list[int]:
    """Post *events* to *to_url*, again after every answer but 2xx, ten times more at most; return the statuses.

    HubSpot waits in between, five minutes and more; the timestamp, the signature and `attemptNumber` are new each time.
    """
    statuses: list[int] = []
    for attempt in range(MOST_TRIES):
        body = json.dumps([{**event, "attemptNumber": attempt} for event in events]).encode()
        headers = signed_headers(body, now_ms(), **options)
        async with session.post(to_url, data=body, headers=headers, allow_redirects=False) as response:
            statuses.append(response.status)
        if 200 <= statuses[-1] < 300:
            break
    return statuses


def _multi(results: list[dict[str, Any]], errors: list[dict[str, Any]]) -> web.Response:
    body: dict[str, Any] = {"status": "COMPLETE", "results": results}
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
    return answer(207 if errors else 200, body)


def _not_found(kind: str, ids: Sequence[str]) -> dict[str, Any]:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": f"Could not get some {_SINGULAR[kind]} objects, they may be deleted or not exist.",
        "context": {"ids": list(ids)},
    }


def _no_association(contact_id: str) -> dict[str, Any]:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": f"No company is associated with contact {contact_id}.",
        "context": {"fromObjectId": [contact_id], "fromObjectType": ["contact"], "toObjectType": ["company"]},
    }


def _association(company_id: str, is_primary: bool) -> dict[str, Any]:
    types = [{"category": "HUBSPOT_DEFINED", "typeId": 279, "label": None}]
    if is_primary:
        types.insert(0, {"category": "HUBSPOT_DEFINED", "typeId": 1, "label": "Primary"})
    return {"toObjectId": int(company_id), "associationTypes": types}
