"""`/openapi.json`, built from the same tables that read requests and show jobs."""

from __future__ import annotations

from typing import Any

from producers.api_body import CHANNELS, CONTACT, MEMBERS, NOT_BEFORE, PRODUCTS, Member
from producers.api_query import DEFAULT_LIMIT, LONGEST, MAX_LIMIT, PARAMETERS
from producers.problems import PROBLEM_TYPE
from worker.domain.request import Product
from worker.domain.states import Channel, DeliveryState, JobState, Lane

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_INTEGER_OR_NULL = {"type": ["integer", "null"]}
_TIME = {"type": "string", "format": "date-time"}
_TIME_OR_NULL = {"type": ["string", "null"], "format": "date-time"}


_SHOWN = {member.name: member.example for member in MEMBERS}
_CONTACT_SHOWN = {member.name: member.example for member in CONTACT}
#: Bodies that are taken as they stand.
EXAMPLES = {
    "whatsapp": {
        "summary": "A WhatsApp number; the link is mailed and texted to the contact.",
        "value": {
            **{name: _SHOWN[name] for name in ("whatsapp", "business_name", "display_name", "reference")},
            "contact": _CONTACT_SHOWN,
        },
    },
    "facebook": {
        "summary": "A Messenger link and one for Instagram messages; the link is only mailed.",
        "value": {
            **{name: _SHOWN[name] for name in ("business_name", "external_id")},
            "products": ["facebook:1", "facebook:2"],
            "channels": ["email"],
            "contact": _CONTACT_SHOWN,
        },
    },
}


def openapi_document(version: str) -> dict[str, Any]:
    """Return the description of the API as OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Linkferry",
            "version": version,
            "summary": "Brings customers in and tells what became of their onboarding links.",
        },
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "responses": _problem_responses(),
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths() -> dict[str, Any]:
    return {
        "/v1/onboardings": {"post": _post(), "get": _list()},
        "/v1/onboardings/{id}": {"get": _get()},
        "/openapi.json": {
            "get": _open("describe", "This document.", _answer("This document.", {"type": "object"}))
        },
        "/healthz": {"get": _open("health", "Is the process alive?", _answer("Alive.", _ref("Health")))},
        "/readyz": {
            "get": _open(
                "readiness", "Can requests be taken?", _answer("Ready.", _ref("Health")), _errors(503)
            )
        },
    }


def _post() -> dict[str, Any]:
    receipt = _ref("Receipt")
    return {
        "operationId": "onboard",
        "summary": "Bring one customer in.",
        "description": "Durable once answered. The same request again is answered 200 with the first one's job.",
        "security": [{"apiKey": []}],
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key again never makes a second job.",
                "schema": {"type": "string", "maxLength": 255},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref("Onboarding"), "examples": EXAMPLES}},
        },
        "responses": {
            "202": {**_answer("Accepted.", receipt), **_LEADING_TO_THE_JOB},
            "200": {**_answer("It stood already.", receipt), **_LEADING_TO_THE_JOB},
            "409": _answer("Other data stands for this number.", _ref("Conflict"), PROBLEM_TYPE),
            **_errors(400, 401, 408, 413, 415, 422, 503),
        },
    }


def _list() -> dict[str, Any]:
    schemas: dict[str, Any] = {
        "state": {"enum": [state.value for state in JobState]},
        "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    }
    parameters = [
        {"name": name, "in": "query", "description": meaning, "schema": schemas.get(name) or _filter(name)}
        for name, meaning in PARAMETERS.items()
    ]
    return {
        "operationId": "listOnboardings",
        "summary": "List jobs, newest first.",
        "security": [{"apiKey": []}],
        "parameters": parameters,
        "responses": {"200": _answer("A page.", _ref("Page")), **_errors(401, 422, 503)},
    }


def _filter(name: str) -> dict[str, Any]:
    least = {} if name == "cursor" else {"minLength": 1}
    return {"type": "string", **least, "maxLength": LONGEST[name]}


def _get() -> dict[str, Any]:
    return {
        "operationId": "getOnboarding",
        "summary": "Show one job, with its link and its messages.",
        "security": [{"apiKey": []}],
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": _TEXT}],
        "responses": {"200": _answer("The job.", _ref("JobWithDeliveries")), **_errors(401, 404, 503)},
    }


def _open(operation: str, summary: str, answer: dict[str, Any], errors: Any = None) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "security": [],
        "responses": {"200": answer, **(errors or {})},
    }


def _answer(meaning: str, schema: Any, media_type: str = "application/json") -> dict[str, Any]:
    return {"description": meaning, "content": {media_type: {"schema": schema}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _errors(*statuses: int) -> dict[str, Any]:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


_MEANINGS = {
    400: "The body is not a JSON object, or was cut off.",
    401: "No valid API key.",
    404: "No such onboarding.",
    408: "The body came too slowly.",
    413: "The body is larger than 1 MiB.",
    415: "Not JSON, or compressed.",
    422: "Fields need mending: see `errors`. Nothing was recorded.",
    503: "Full, or Redis does not answer: ask again after `Retry-After`.",
}


def _problem_responses() -> dict[str, Any]:
    responses = {
        str(status): _answer(meaning, _ref("Invalid" if status == 422 else "Problem"), PROBLEM_TYPE)
        for status, meaning in _MEANINGS.items()
    }
    responses["503"]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    responses["401"]["headers"] = {"WWW-Authenticate": {"schema": _TEXT, "description": "How to prove it."}}
    return responses


def _schemas() -> dict[str, Any]:
    found = _object(field=_TEXT, code=_TEXT, detail=_TEXT, remedy=_TEXT)
    problem = _object(type=_TEXT, title=_TEXT, status={"type": "integer"}, detail=_TEXT)
    deliveries = {"type": "array", "items": _ref("Delivery")}
    return {
        "Onboarding": _onboarding(),
        "Receipt": _receipt(),
        "Found": found,
        "Problem": problem,
        "Invalid": _with(problem, errors={"type": "array", "items": _ref("Found")}),
        "Conflict": _with(problem, job_id=_TEXT_OR_NULL, replaceable={"type": "boolean"}),
        "Job": _job(),
        "JobWithDeliveries": _with(_job(), deliveries=deliveries),
        "Delivery": _delivery(),
        "Page": _object(
            items={"type": "array", "items": _ref("Job")},
            next=_TEXT_OR_NULL,
            total=_COUNT | {"description": "How many match; at least so many where is_total_exact is false."},
            is_total_exact={"type": "boolean"},
        ),
        "Health": _object(status=_TEXT),
    }


_LEADING_TO_THE_JOB = {
    "headers": {"Location": {"schema": _TEXT, "description": "Where to ask what became of it."}},
    "links": {"job": {"operationId": "getOnboarding", "parameters": {"id": "$response.body#/job_id"}}},
}


def _object(**members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": list(members)}


def _with(schema: dict[str, Any], **members: Any) -> dict[str, Any]:
    return _object(**schema["properties"], **members)


def _onboarding() -> dict[str, Any]:
    contact = {
        "type": ["object", "null"],
        "description": "Who gets the invitation.",
        "properties": {member.name: _member(member) for member in CONTACT},
        "additionalProperties": False,
    }
    members = {member.name: _member(member) for member in (*MEMBERS, PRODUCTS, CHANNELS, NOT_BEFORE)}
    return {
        "type": "object",
        "properties": {**members, "contact": contact},
        "additionalProperties": False,
    }


def _member(member: Member) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": [*member.types, "null"], "description": member.meaning}
    if member.max_length is not None:
        schema["maxLength"] = member.max_length
    if member.types == ("array",):
        schema["items"] = {"enum": [str(word) for word in member.enum]}
    elif member.enum:
        schema["enum"] = [*(str(word) for word in member.enum), None]
    if member.default is not None:
        schema["default"] = member.default
    if member.example is not None:
        schema["examples"] = [member.example]
    return schema


def _receipt() -> dict[str, Any]:
    schema = _object(
        job_id=_TEXT,
        state={"enum": [state.value for state in JobState]},
        duplicate={"type": "boolean"},
        warnings={"type": "array", "items": _ref("Found")},
    )
    several = {"type": "array", "items": _TEXT, "description": "Where there are several products."}
    schema["properties"]["job_ids"] = several
    return schema


def _job() -> dict[str, Any]:
    return _object(
        job_id=_TEXT,
        invitation_id=_TEXT,
        product={"enum": [product.value for product in Product]},
        state={"enum": [state.value for state in JobState]},
        lane={"enum": [lane.value for lane in Lane]},
        source=_TEXT,
        batch=_TEXT_OR_NULL,
        line=_INTEGER_OR_NULL,
        number=_TEXT_OR_NULL,
        reference=_TEXT_OR_NULL,
        external_id=_TEXT_OR_NULL,
        accepted_at=_TIME,
        changed_at=_TIME,
        due_at=_TIME_OR_NULL,
        attempt=_COUNT,
        failures=_COUNT,
        link=_TEXT_OR_NULL,
        landing_page=_TEXT_OR_NULL,
        code=_INTEGER_OR_NULL,
        reason=_TEXT_OR_NULL,
        reason_class=_TEXT_OR_NULL,
        meaning=_TEXT_OR_NULL,
        remedy=_TEXT_OR_NULL,
    )


def _delivery() -> dict[str, Any]:
    return _object(
        delivery_id=_TEXT,
        channel={"enum": [channel.value for channel in Channel]},
        state={"enum": [state.value for state in DeliveryState]},
        reason=_TEXT_OR_NULL,
        changed_at=_TIME,
        due_at=_TIME_OR_NULL,
        waits_for={"enum": ["window", None]},
        waits_until=_TIME_OR_NULL,
    )
