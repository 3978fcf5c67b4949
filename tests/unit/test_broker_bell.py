"""The bell: rung from a thread of its own, lost without harm, never piled up."""

from __future__ import annotations

import asyncio
import threading

import dramatiq
import redis
from dramatiq.brokers.stub import StubBroker
from structlog.testing import capture_logs

from worker.broker import BrokerBell, make_broker
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


async def test_on_an_event_loop_no_thread_is_needed_and_a_server_that_is_away_fails_nobody():
    """The bell's thread would cost a live customer a fifth of a millisecond."""
    bell = BrokerBell(make_broker("unix:///nowhere/at/all.sock", namespace="lf"))

    with capture_logs() as logs:
        bell.ring(["job1", "job2"], Lane.LIVE)
        is_threadless = not any(thread.name.startswith("bell") for thread in threading.enumerate())
        await bell.aclose()
        bell.ring(["too-late"], Lane.LIVE)
        await asyncio.sleep(0)

    assert is_threadless
    assert [(line["event"], line["count"]) for line in logs] == [("bell_not_rung", 2)]


async def test_on_an_event_loop_closing_rings_first_and_no_pile_collects(valkey_url):
    """What is rung before the loop has turned makes one batch, of at most 64 rings; a thread may ring beside it."""
    with redis.Redis.from_url(f"{valkey_url}?db=3") as client:
        client.flushdb()
        broker = make_broker(f"{valkey_url}?db=3", namespace="lf")
        bell = BrokerBell(broker)
        for nth in range(500):
            bell.ring([f"job{nth}"], Lane.LIVE)
        await asyncio.to_thread(bell.ring_fan_out, "threaded")
        await bell.aclose()

        texts = client.hvals("lf-bells:live.msgs") + client.hvals("lf-bells:fan_out.msgs")
    rung = [dramatiq.Message.decode(text).args[0] for text in texts]
    assert sorted(rung) == sorted([*(f"job{nth}" for nth in range(64)), "threaded"])
    broker.close()
    broker.client.close()


async def test_bells_that_are_rung_while_others_are_on_their_way_follow(valkey_url):
    """None waits for a later ring to be taken along."""
    with redis.Redis.from_url(f"{valkey_url}?db=3") as client:
        client.flushdb()
        broker = make_broker(f"{valkey_url}?db=3", namespace="lf")
        bell = BrokerBell(broker)
        for nth in range(100):
            bell.ring([f"job{nth}"], Lane.LIVE)
            await asyncio.sleep(0)
            if nth % 10 == 0:
                await asyncio.sleep(0.002)
        await bell.aclose()

        assert client.llen("lf-bells:live") == 100
    broker.close()
    broker.client.close()
