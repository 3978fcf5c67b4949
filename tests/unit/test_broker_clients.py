"""How the broker is made, and how its client's faults look to Dramatiq."""

from __future__ import annotations

import pytest
import redis
from structlog.testing import capture_logs

from worker.broker import QUEUES, BrokerBell, BrokerClient, DoorbellBroker, make_broker
from worker.domain.states import Lane


@pytest.mark.parametrize(
    "fault", [redis.TimeoutError("slow"), redis.ReadOnlyError("replica"), redis.BusyLoadingError("loading")]
)
def test_every_fault_of_the_server_is_a_lost_connection_to_dramatiq(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dramatiq recovers from a ConnectionError only: whatever else would end its consumer becomes one."""

    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(redis.Redis, "execute_command", fail)
    with pytest.raises(redis.ConnectionError):
        BrokerClient().execute_command("PING")


def test_the_client_waits_for_ever_for_nothing_and_repeats_nothing() -> None:
    """A command sent twice would ring twice; one without a timeout would hang a consumer on a dead link."""
    broker = make_broker("redis://localhost:1/3", namespace="lf")

    assert isinstance(broker, DoorbellBroker)
    options = broker.client.connection_pool.connection_kwargs
    assert (options["socket_timeout"], options["socket_connect_timeout"], options["db"]) == (10, 3, 3)
    assert options["retry"].get_retries() == 0
    assert options["socket_keepalive"] is True
    assert broker.namespace == "lf-bells"


def test_no_delay_queue_is_declared() -> None:
    """Due times live in the ledger: a delay queue would cost a connection each and never hold anything."""
    broker = make_broker("unix:///nowhere", namespace="lf")
    for queue in QUEUES:
        broker.declare_queue(queue)

    assert broker.get_declared_queues() == set(QUEUES)
    assert broker.get_declared_delay_queues() == set()


def test_an_address_of_another_kind_is_refused() -> None:
    """Only Redis, Valkey and RabbitMQ carry bells."""
    with pytest.raises((ValueError, redis.RedisError)):
        make_broker("http://localhost", namespace="lf")


def test_ringing_a_broker_that_is_away_or_a_closed_bell_never_fails() -> None:
    """A bell may be lost: the caller has recorded the job, and the ledger rings again."""
    bell = BrokerBell(make_broker("unix:///nowhere/at/all.sock", namespace="lf"))

    with capture_logs() as logs:
        bell.ring(["job"], Lane.LIVE)
        bell.close()
        bell.ring(["job"], Lane.BULK)
        bell.ring_fan_out("job")

    assert [(line["event"], line["count"]) for line in logs] == [("bell_not_rung", 1)]
