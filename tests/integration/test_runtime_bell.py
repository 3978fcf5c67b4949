"""The doorbell between a real broker and both engines: quick, thin, and silent about what failed twice."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator

import dramatiq
import pytest
import redis

from worker.broker import BrokerBell, DoorbellBroker, make_broker
from worker.domain.states import Lane
from worker.engine import LoopWorker

NAMESPACE = "bells-test"


class Ear:
    """An idle worker whose actor remembers what it heard, and when."""

    def __init__(self, url: str, engine: str) -> None:
        self.client = redis.Redis.from_url(url)
        self.client.flushall()
        self.broker = make_broker(url, namespace=NAMESPACE)
        assert isinstance(self.broker, DoorbellBroker)
        self.heard: list[tuple[str, float]] = []
        self.failed: list[str] = []
        self._news = threading.Condition()

        @dramatiq.actor(broker=self.broker, queue_name="live", actor_name="create_link")
        async def create_link(job_id: str) -> None:
            with self._news:
                self.heard.append((job_id, time.monotonic()))
                self._news.notify_all()
            if job_id.startswith("bad"):
                raise ValueError("no good")

        self.bell = BrokerBell(self.broker)
        self.worker: LoopWorker | dramatiq.Worker = (
            LoopWorker(self.broker, at_once=4)
            if engine == "loop"
            else dramatiq.Worker(self.broker, worker_threads=4)
        )

    def wait_for(self, count: int, *, within_s: float = 10.0) -> None:
        with self._news:
            assert self._news.wait_for(lambda: len(self.heard) >= count, within_s), f"heard {self.heard}"

    def dead(self) -> int:
        return int(self.client.zcard(f"{NAMESPACE}-bells:live.XQ"))

    def close(self) -> None:
        self.bell.close()
        self.worker.stop(timeout=10_000)
        self.broker.close()
        self.broker.client.close()
        self.client.close()


@pytest.fixture(params=["loop", "threads"])
def ear(valkey_url: str, request: pytest.FixtureRequest) -> Iterator[Ear]:
    ear = Ear(f"{valkey_url}?db=1", request.param)
    yield ear
    ear.close()


def test_an_idle_worker_hears_a_bell_at_once_and_each_once(ear: Ear) -> None:
    """Twenty bells, each rung after the worker has come to rest: half of them are heard within 50 ms, none twice.

    Flushed scripts and a wiped database in between go unnoticed by the next bell.
    """
    ear.worker.start()
    waits = []
    for nth in range(20):
        rung = time.monotonic()
        ear.bell.ring([f"job{nth}"], Lane.LIVE)
        ear.wait_for(nth + 1)
        waits.append(ear.heard[nth][1] - rung)
    print(f"\nan idle worker hears a bell after {statistics.median(waits) * 1e3:.1f} ms (median)")
    assert statistics.median(waits) < 0.05

    ear.client.script_flush()
    ear.bell.ring(["after-flush"], Lane.LIVE)
    ear.wait_for(21)
    ear.client.flushdb()
    ear.bell.ring(["after-wipe"], Lane.LIVE)
    ear.wait_for(22)
    assert [name for name, _ in ear.heard] == [*(f"job{n}" for n in range(20)), "after-flush", "after-wipe"]


def test_a_bell_whose_actor_fails_lies_with_the_dead_and_is_not_tried_again(ear: Ear) -> None:
    """The ledger rings again for what it was; Dramatiq's dead queue holds the lost bell for diagnosis."""
    ear.worker.start()
    ear.bell.ring(["bad1"], Lane.LIVE)
    ear.bell.ring(["good1"], Lane.LIVE)
    ear.wait_for(2)
    give_up_at = time.monotonic() + 5
    while not ear.dead() and time.monotonic() < give_up_at:
        ear.bell.ring(["good2"], Lane.LIVE)
        ear.wait_for(len(ear.heard) + 1)

    assert ear.dead() == 1
    assert [name for name, _ in ear.heard].count("bad1") == 1


def test_a_message_carries_an_id_and_nothing_else(ear: Ear) -> None:
    """What lies in the broker's database while nobody listens: actor, queue, the id; no other argument."""
    ear.bell.ring(["01m3250v020000000002w"], Lane.LIVE)
    ear.bell.close()
    (stored,) = ear.client.hgetall(f"{NAMESPACE}-bells:live.msgs").values()
    message = dramatiq.Message.decode(stored)

    assert (message.actor_name, message.args, message.kwargs) == (
        "create_link",
        ("01m3250v020000000002w",),
        {},
    )
    assert set(message.options) == {"redis_message_id"}
    ear.worker.start()
    ear.wait_for(1)
    ear.bell.ring(["too-late"], Lane.LIVE)  # a bell that is closed already is lost without a word
