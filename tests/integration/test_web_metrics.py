"""Who may read `/metrics`, and what is said of callers whose keys do not hold."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from tests.integration.raw_http import Reply, send
from tests.integration.web_thread import RunningWeb, a_web

BEARER = {"Authorization": "Bearer a-key"}


@pytest.fixture(scope="module")
def server(valkey_url: str) -> Iterator[RunningWeb]:
    with a_web(
        valkey_url, namespace="metrics", api_keys="a-key", public_url="https://ferry.example.com"
    ) as running:
        yield running


def metrics(server: RunningWeb, **headers: str) -> Reply:
    return send(
        server.port, "GET", "/metrics", {name.replace("_", "-"): value for name, value in headers.items()}
    )


def test_whoever_is_near_reads_them(server: RunningWeb) -> None:
    """Straight from this machine or a private network, as Prometheus does: nothing to set."""
    reply = metrics(server)

    assert reply.status == 200
    assert "linkferry_jobs{" in reply.text


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Forwarded_For": "203.0.113.7"},
        {"X_Forwarded_For": "10.0.0.7"},
        {"Forwarded": "for=203.0.113.7"},
        {"X_Real_IP": "203.0.113.7"},
        {"Via": "1.1 caddy"},
        {"Host": "ferry.example.com"},
        {"Host": "FERRY.example.com:443"},
    ],
)
def test_what_a_proxy_passes_on_needs_a_key(server: RunningWeb, headers: dict[str, str]) -> None:
    """The proxy passes on the whole host, and all the world may ask it."""
    refused = metrics(server, **headers)

    assert refused.status == 401
    assert refused.headers["Content-Type"].startswith("application/problem+json")
    assert "/metrics is for who sends" in refused.text
    assert "linkferry_jobs" not in refused.text
    assert metrics(server, **headers, **BEARER).status == 200
    assert metrics(server, **headers, Authorization="Bearer another").status == 401


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("93.184.216.34", 401),
        ("2606:2800:220::1", 401),
        ("10.1.2.3", 200),
        ("100.64.0.1", 200),
        ("fd00::1", 200),
    ],
)
def test_whoever_is_far_needs_a_key(
    server: RunningWeb, monkeypatch: pytest.MonkeyPatch, address: str, status: int
) -> None:
    """Where the process listens on a public address with no proxy before it."""
    monkeypatch.setattr("worker.ops.console.whence._peer", lambda _request: address)

    assert metrics(server).status == status


def test_refused_callers_are_counted_and_logged_now_and_then(valkey_url: str) -> None:
    """A program that goes on with a revoked key: once a minute in the log, never with the key, each in the metrics."""
    with a_web(valkey_url, namespace="refused", api_keys="a-key") as server:
        secret = server.run(server.session.ledger.keys_of_api.add("crm"))
        server.run(server.session.ledger.keys_of_api.revoke("crm"))
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                bearer = {"Authorization": f"Bearer {secret}"}
                assert send(server.port, "GET", "/v1/onboardings", bearer).status == 401
            assert send(server.port, "GET", "/v1/onboardings").status == 401
        assert logs == [
            {
                "event": "api_request_refused",
                "log_level": "warning",
                "reason": "wrong_key",
                "remedy": "linkferry key list",
            }
        ]
    with a_web(valkey_url, namespace="refused") as again:  # what the first counted is in the ledger
        page = metrics(again).text
    assert 'linkferry_api_refused_total{reason="wrong_key"} 3.0' in page
    assert 'linkferry_api_refused_total{reason="no_key"} 1.0' in page
