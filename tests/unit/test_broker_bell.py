"""The bell: rung from a thread of its own, lost without harm, never piled up."""

from __future__ import annotations

import threading

from dramatiq.brokers.stub import StubBroker
from structlog.testing import capture_logs

from worker.broker import BrokerBell
from worker.domain.states import Lane


class FailingBroker(StubBroker):
    def enqueue(self, message, *, delay=None):
        raise ConnectionError("gone")


class HangingBroker(StubBroker):
    """Holds the bell's thread until it is let go; counts what it was asked to enqueue."""

    def __init__(self):
        super().__init__()
        self.let_go = threading.Event()
        self.count = 0

    def enqueue(self, message, *, delay=None):
        self.let_go.wait(30)
        self.count += 1
        return message


def test_a_bell_carries_the_job_id_and_nothing_else():
    """The message names queue, actor and id: nothing that the ledger holds leaves it."""
    broker = StubBroker()
    broker.declare_queue("bulk")
    bell = BrokerBell(broker)

    bell.ring(["job1"], Lane.BULK)
    bell.close()

    (encoded,) = list(broker.queues["bulk"].queue)
    assert b"job1" in encoded
    assert b"create_link_bulk" in encoded
    assert b'"kwargs":{},"options":{}' in encoded


def test_a_broker_that_fails_fails_nobody():
    """What is recorded is recorded: the feeder rings it again."""
    bell = BrokerBell(FailingBroker())

    with capture_logs() as logs:
        bell.ring(["job1"], Lane.LIVE)
        bell.close()

    assert [(line["event"], line["count"]) for line in logs] == [("bell_not_rung", 1)]


def test_a_broker_that_hangs_collects_no_pile_of_bells():
    """At most 64 batches of bells wait; the callers go on at once."""
    broker = HangingBroker()
    bell = BrokerBell(broker)
    for nth in range(500):
        bell.ring([f"job{nth}"], Lane.LIVE)

    broker.let_go.set()
    bell.close()

    assert broker.count <= 64
