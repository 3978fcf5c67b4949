"""What schemathesis finds when it is let loose on the API, by the API's own description: nothing.

It sends what the description allows and what it forbids, to every operation, with and without a key, and looks whether
each answer is one that was promised. By hand for longer: `SCHEMATHESIS_EXAMPLES=1000 pytest <this file>`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator

import hypothesis
import pytest
import redis.asyncio
import schemathesis
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.schemas import BaseSchema

from producers.openapi import EXAMPLES, openapi_document
from tests.contract.ledger_desk import Desk
from tests.integration.web_thread import RunningWeb, a_web
from worker.clock import SystemClock
from worker.domain.outcome import Fail, Sent, Undelivered
from worker.domain.states import JobState

KEY = "a-key-for-schemathesis"
AUTH = {"Authorization": f"Bearer {KEY}"}
ANSWERS = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "150"))
WALKS = max(10, ANSWERS // 10)
#: Those that a verb of the ledger's leads to by itself; each has its own shape of a job.
STATES = [state for state in JobState if state not in {JobState.ONBOARDED, JobState.REVOKED}]
CONFIG = {
    "seed": 20261122,
    "suppress-health-check": ["all"],
    "generation": {"deterministic": True, "database": "none", "max-examples": ANSWERS},
    "auth": {"openapi": {"apiKey": {"bearer": KEY}}},
    "checks": {
        # JSON Schema does not know which number is a telephone's, nor which name WhatsApp takes: 422 says so.
        "positive_data_acceptance": {"expected-statuses": ["200", "202", "404", "409", "422"]},
    },
}

#: What has to have come of it, or it was no test.
REACHED = {
    "POST /v1/onboardings": {200, 400, 401, 405, 409, 415, 422},
    "GET /v1/onboardings": {200, 401, 422},
    "GET /v1/onboardings/{id}": {401, 404, 405},
}

seen: dict[str, set[int]] = defaultdict(set)  #: the statuses that each operation answered with


def config() -> schemathesis.Config:
    return schemathesis.Config.from_dict(CONFIG)


API = schemathesis.openapi.from_dict(openapi_document("0.1.0"), config=config())


@pytest.fixture(scope="module")
def server(valkey_url: str) -> Iterator[RunningWeb]:
    with a_web(valkey_url, namespace="schemathesis", api_keys=KEY) as running:
        yield running
        audit = running.run(running.session.ledger.queries.audit())
        assert (audit.difference, audit.wrong) == (0, ())
        assert [label for label in seen if not seen[label] >= REACHED.get(label, {200, 405})] == []


@pytest.fixture
def served(server: RunningWeb) -> BaseSchema:
    """Return the description as the server gives it."""
    return schemathesis.openapi.from_url(f"{server.base}/openapi.json", config=config())


@API.parametrize()
def test_every_operation_answers_as_described(case: schemathesis.Case, server: RunningWeb) -> None:
    """Whatever is sent: statuses, types, bodies and headers as described, no 5xx, no way around the key."""
    response = case.call_and_validate(base_url=server.base)

    seen[case.operation.label].add(response.status_code)


def test_what_is_accepted_can_be_asked_for(server: RunningWeb, served: BaseSchema, valkey_url: str) -> None:
    """Along the description's links, for as long as anybody walks."""

    async def empty() -> None:
        async with redis.asyncio.Redis.from_url(valkey_url) as client:
            await client.flushall()
        await server.session.ledger.open()

    class Walk(served.as_state_machine()):
        """Begins with nothing, so that the same walk has the same answers."""

        def setup(self) -> None:
            server.run(empty())

        def after_call(self, response: schemathesis.Response, case: schemathesis.Case) -> None:
            super().after_call(response, case)
            reached.add((case.operation.label, response.status_code))

    reached: set[tuple[str, int]] = set()
    walks = hypothesis.settings(
        max_examples=WALKS,
        stateful_step_count=8,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    run_state_machine_as_test(Walk, settings=walks)

    assert reached >= {("POST /v1/onboardings", 202), ("GET /v1/onboardings/{id}", 200)}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_taken(server: RunningWeb, served: BaseSchema, name: str) -> None:
    """Sent as they stand, and found again where the answer says."""
    operation = served["/v1/onboardings"]["POST"]

    receipt = operation.Case(body=EXAMPLES[name]["value"], media_type="application/json").call_and_validate(
        headers=AUTH
    )

    assert receipt.status_code in {200, 202}
    job = served["/v1/onboardings/{id}"]["GET"].Case(path_parameters={"id": receipt.json()["job_id"]})
    assert job.call_and_validate(headers=AUTH).status_code == 200
    assert receipt.headers["location"] == [f"/v1/onboardings/{receipt.json()['job_id']}"]


def test_jobs_are_described_whatever_became_of_them(server: RunningWeb, served: BaseSchema) -> None:
    """In every state, with messages that were sent and that were not, one by one and in lists."""
    jobs = server.run(jobs_in_every_state(server))
    one, many = served["/v1/onboardings/{id}"]["GET"], served["/v1/onboardings"]["GET"]

    shown = [one.Case(path_parameters={"id": job}).call_and_validate(headers=AUTH).json() for job in jobs]
    lists = [
        many.Case(query={"state": state.value}).call_and_validate(headers=AUTH).json() for state in STATES
    ]

    assert {job["state"] for job in shown} == {state.value for state in STATES}
    assert {each["state"] for job in shown for each in job["deliveries"]} >= {"sent", "failed", "pending"}
    assert all(page["items"] for page in lists)


class WebDesk(Desk):
    """The ledger's desk, on the ledger and by the clock of a running web."""

    def __init__(self, server: RunningWeb) -> None:
        self.ledger, self.now_ms = server.session.ledger, SystemClock().now_ms()


async def jobs_in_every_state(server: RunningWeb) -> list[str]:
    desk = WebDesk(server)
    jobs = [await desk.job_in(state) for state in STATES]
    lost = Undelivered(fail=Fail(reason="mailbox_unknown", reason_class="recipient", code=550))
    for outcome in (Sent(provider_id="m-1"), lost):
        delivery = await desk.a_delivery()
        await desk.ledger.deliveries.settle(await desk.send(delivery), outcome, can_resend=False)
        record = await desk.ledger.deliveries.get(delivery)
        assert record is not None
        jobs.append(record.job_ids[0])
    return jobs
