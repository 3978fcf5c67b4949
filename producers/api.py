"""The HTTP API: `POST /v1/onboardings` brings a customer in, the `GET` routes tell what became of him."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from aiohttp import web

from producers.api_body import placed, read_members
from producers.api_query import ListQuery, read_query
from producers.api_views import full_job_view, job_view
from producers.bodies import BODY_DEADLINE_S, BadBodyError, read_json_object
from producers.callers import Callers, unauthorized
from producers.enqueue import Door, Origin, row_text
from producers.openapi import openapi_document
from producers.problems import as_error, as_json, full, invalid, not_found, problem
from worker.clock import Clock, SystemClock
from worker.domain.ids import is_job_id
from worker.domain.job import Receipt, Verdict
from worker.domain.parse import InvalidRequest, ParsedRequest, Problem, parse_request
from worker.domain.reasons import Catalogue
from worker.domain.states import Lane
from worker.ledger import Ledger, SchemaMismatch

MAX_KEY_LENGTH = 255  #: of an Idempotency-Key


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiDeps:
    """What the API works with."""

    door: Door
    ledger: Ledger
    catalogue: Catalogue
    callers: Callers
    clock: Clock = field(default_factory=SystemClock)
    body_deadline_s: float = BODY_DEADLINE_S


def build_api(deps: ApiDeps) -> list[web.RouteDef]:
    """Return the API's routes. Errors become documents in `producers.problems.problem_middleware`."""
    api = _Api(deps)
    return [
        web.post("/v1/onboardings", api.post_onboarding),
        web.get("/v1/onboardings", api.list_onboardings),
        web.get("/v1/onboardings/{id}", api.get_onboarding),
        web.get("/openapi.json", api.get_openapi),
        web.get("/healthz", api.get_health),
        web.get("/readyz", api.get_readiness),
    ]


class _Api:
    """The handlers, one per route."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps
        self._callers = deps.callers
        self._openapi = as_json(openapi_document(version("linkferry")))

    async def post_onboarding(self, request: web.Request) -> web.StreamResponse:
        """Bring one customer in."""
        caller = await self._callers.name_of(request)
        if caller is None:
            return unauthorized()
        key = request.headers.get("Idempotency-Key", "").strip()
        if len(key) > MAX_KEY_LENGTH:
            return invalid([_long_key()])
        try:
            document = await read_json_object(request, deadline_s=self._deps.body_deadline_s)
        except BadBodyError as error:
            return error.response
        parsed, origin = self._read(document, f"{caller}:{key}" if key else None)
        if isinstance(parsed, InvalidRequest):
            return invalid(parsed.problems)
        receipt = await self._deps.door.enqueue(parsed, origin)
        return _answer(receipt, parsed)

    def _read(
        self, document: dict[str, Any], idempotency_key: str | None
    ) -> tuple[ParsedRequest | InvalidRequest, Origin]:
        body = read_members(document, now=self._deps.clock.now())
        origin = Origin(
            source="api",
            lane=Lane.LIVE,
            idempotency_key=idempotency_key,
            row_text=row_text(body.fields),
            not_before_ms=body.not_before_ms,
        )
        parsed = parse_request(body.fields, self._deps.door.rules)
        if not body.problems:
            if isinstance(parsed, InvalidRequest):
                parsed = InvalidRequest(tuple(placed(found) for found in parsed.problems))
            return parsed, origin
        # A field of the wrong type is missing below: its own problem tells enough.
        told = {found.field for found in body.problems}
        further = parsed.problems if isinstance(parsed, InvalidRequest) else ()
        others = [found for each in further if (found := placed(each)).field not in told]
        return InvalidRequest((*body.problems, *others)), origin

    async def get_onboarding(self, request: web.Request) -> web.StreamResponse:
        """Show one job."""
        if await self._callers.name_of(request) is None:
            return unauthorized()
        wanted = request.match_info["id"]
        job = await self._deps.ledger.queries.job(wanted) if is_job_id(wanted) else None
        if job is None:
            return not_found("There is no onboarding with this id.")
        deliveries = await self._deps.ledger.deliveries.of_invitation(job.invitation_id)
        return _json(full_job_view(job, deliveries, self._deps.catalogue))

    async def list_onboardings(self, request: web.Request) -> web.StreamResponse:
        """List jobs, newest first."""
        if await self._callers.name_of(request) is None:
            return unauthorized()
        asked = read_query(request.query, region=self._deps.door.rules.region)
        if not isinstance(asked, ListQuery):
            return invalid(asked)
        try:
            page = await self._deps.ledger.queries.find(asked.filter, cursor=asked.cursor, limit=asked.limit)
        except ValueError:
            return invalid([_BAD_CURSOR])
        items = [job_view(job, self._deps.catalogue) for job in page.items]
        return _json(
            {
                "items": items,
                "next": page.next,
                "total": page.total,
                "is_total_exact": page.is_total_exact,
            }
        )

    async def get_openapi(self, _request: web.Request) -> web.StreamResponse:
        """Describe the API."""
        return web.Response(text=self._openapi, content_type="application/json")

    async def get_health(self, _request: web.Request) -> web.StreamResponse:
        """Tell that the process is alive."""
        return _json({"status": "ok"})

    async def get_readiness(self, _request: web.Request) -> web.StreamResponse:
        """Tell whether requests can be taken: Redis answers, and its schema is ours."""
        try:
            await self._deps.ledger.open()
        except SchemaMismatch:
            return problem(503, "wrong-schema", "Not ready", "The ledger was written by another version.")
        return _json({"status": "ready"})


def _answer(receipt: Receipt, parsed: ParsedRequest) -> web.Response:
    """Return what the receipt comes to over HTTP."""
    if receipt.verdict is Verdict.FULL:
        return full()
    if receipt.verdict is Verdict.CONFLICT:
        return _conflict(receipt)
    warnings = [as_error(placed(found)) for found in parsed.warnings]
    if receipt.contact_differs:
        warnings.append(as_error(_FIRST_CONTACT_STANDS))
    is_duplicate = receipt.verdict is Verdict.DUPLICATE
    document: dict[str, Any] = {"job_id": receipt.job_ids[0], "state": receipt.state.value}
    if len(receipt.job_ids) > 1:
        document["job_ids"] = list(receipt.job_ids)
    document |= {"duplicate": is_duplicate, "warnings": warnings}
    place = {"Location": f"/v1/onboardings/{receipt.job_ids[0]}"}
    return _json(document, status=200 if is_duplicate else 202, headers=place)


def _conflict(receipt: Receipt) -> web.Response:
    title, detail = _why_conflict(receipt)
    return problem(
        409,
        "conflict",
        title,
        detail,
        job_id=receipt.job_ids[0] if receipt.job_ids else None,
        replaceable=receipt.is_replaceable,
    )


def _why_conflict(receipt: Receipt) -> tuple[str, str]:
    if receipt.is_key_reused:
        return "The Idempotency-Key stands for other data", "Send other data under a key of its own."
    if receipt.is_anothers_id:
        return "The external_id has another customer", _ANOTHERS_ID
    return (
        "The customer has another request",
        "A request with other data stands for this number. `linkferry job show` tells an operator how far it is.",
    )


def _json(document: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, text=as_json(document), content_type="application/json", headers=dict(headers or {})
    )


def _long_key() -> Problem:
    return Problem(
        field="Idempotency-Key",
        code="too_long",
        message=f"the key is longer than {MAX_KEY_LENGTH} characters",
        remedy="Send a UUID, or your own id of the event.",
    )


_BAD_CURSOR = Problem(
    field="cursor",
    code="bad_cursor",
    message="this is no cursor of this list",
    remedy="Send `next` of the page before, with the same filters.",
)
_ANOTHERS_ID = (
    "Another source gave this external_id (or Idempotency-Key) to another contact. Two customers: send an external_id "
    "of its own. One customer: send the contact that stands; `linkferry job show` tells an operator."
)
_FIRST_CONTACT_STANDS = Problem(
    field="contact",
    code="contact_differs",
    message="the same request stands already, with another contact; the first contact stands",
    remedy="To send it elsewhere: `linkferry resend JOB --to ADDRESS`.",
)
