"""What schemathesis finds when it is let loose on the API, by its own description: nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from schemathesis.schemas import BaseSchema

from producers.openapi import EXAMPLES
from tests.contract.ledger_desk import Desk
from tests.integration.web_thread import RunningWeb, a_web
from worker.domain.states import JobState

KEY = "a-key-for-schemathesis"
#: `SCHEMATHESIS_EXAMPLES=1000` by hand, for an hour's walk instead of a round of the house.
EXAMPLES_EACH = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "40"))
WALKS = max(5, EXAMPLES_EACH // 10)
#: All states that verbs lead to; each has its own shape of a job.
STATES = [state for state in JobState if state not in {JobState.ONBOARDED, JobState.REVOKED}]
CONFIG = {
    "seed": 20261122,
    "generation": {"deterministic": True, "database": "none", "max-examples": EXAMPLES_EACH},
    "headers": {"Authorization": f"Bearer {KEY}"},
    "phases": {"stateful": {"enabled": True}},
    "checks": {
        # JSON Schema does not know which number is a telephone's, nor which name WhatsApp takes: 422 says so.
        "positive_data_acceptance": {"expected-statuses": ["200", "202", "401", "404", "409", "422"]},
    },
}


@pytest.fixture(scope="module")
def server(valkey_url: str) -> Iterator[RunningWeb]:
    with a_web(valkey_url, namespace="schemathesis", api_keys=KEY) as running:
        yield running


@pytest.fixture(scope="module")
def api(server: RunningWeb) -> BaseSchema:
    config = schemathesis.Config.from_dict(CONFIG)
    return schemathesis.openapi.from_url(f"{server.base}/openapi.json", config=config)


every_operation = schemathesis.pytest.from_fixture("api")


@every_operation.parametrize()
@settings(max_examples=EXAMPLES_EACH, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_every_operation_answers_as_described(case: schemathesis.Case) -> None:
    """Whatever is sent: statuses, types, bodies and headers as described, no 5xx, no way around the key."""
    case.call_and_validate()
