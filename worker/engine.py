"""The engine on Redis: actors run straight on the event loop, not in a thread each.

It reads and acknowledges Dramatiq's messages as Dramatiq's own `Worker` does, so both may serve the same queues side
by side; `dramatiq worker.main` and RabbitMQ have the threads. What it saves is two hops between threads for each bell,
and their memory.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any

import dramatiq
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.errors import DecodeError

from worker.broker import AsyncDoor, BrokerUnavailable, DoorbellBroker
from worker.telemetry import log

#: After an error of the broker's server the next try comes this much later.
_TRY_AGAIN_S = 1.0
#: What is cut off has so long to come to its end.
_CUT_OFF_S = 2.0
#: What was fetched has the loop for itself for so long before more is asked for: a lone customer's call begins that much
#: sooner, and of a crowd more come at once.
_HEAD_START_S = 0.003


def on_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run *work* on the event loop that Dramatiq's middleware has started, and wait for its end.

    Raises whatever *work* raises; RuntimeError when the loop does not run.
    """
    thread = get_event_loop_thread()
    if thread is None:
        work.close()
        raise RuntimeError("the event loop thread is not running")
    thread.run_coroutine(work)


class LoopWorker:
    """Answers the bells of every declared queue, up to *at_once* of each queue at a time."""

    def __init__(self, broker: DoorbellBroker, *, at_once: int) -> None:
        self._broker = broker
        self._door = AsyncDoor(broker)
        self._at_once = at_once
        self.is_stopping = False  #: it takes no more
        self._has_answered_all = False
        self._consumers: list[asyncio.Task[None]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._acks: list[tuple[Any, ...]] = []

    def start(self) -> None:
        """Boot the middleware, then answer; raises MiddlewareError where that can't boot."""
        self._broker.emit_before("worker_boot", self)
        on_loop(self._start())
        self._broker.emit_after("worker_boot", self)

    def stop(self, timeout: int) -> None:
        """Take no more, let what runs end for *timeout* milliseconds, acknowledge it, shut the middleware down."""
        self.is_stopping = True
        self._broker.emit_before("worker_shutdown", self)
        on_loop(self._stop(timeout / 1000))
        self._broker.emit_after("worker_shutdown", self)

    async def _start(self) -> None:
        self._answered = asyncio.Event()
        self._consumers = [asyncio.create_task(self._consume(queue)) for queue in self._broker.queues]
        self._acknowledger = asyncio.create_task(self._acknowledge())

    async def _stop(self, timeout_s: float) -> None:
        ends_at = asyncio.get_running_loop().time() + timeout_s
        await _wait(self._consumers, until=ends_at)
        await _wait(self._running, until=ends_at)  # asked for now: a consumer may have started a last one
        if unfinished := [task for task in (*self._consumers, *self._running) if not task.done()]:
            # Their leases run out, or are let go by the supervisor.
            log.warning("bells_cut_off", count=len(unfinished))
            for task in unfinished:
                task.cancel()
            await _wait(unfinished, until=asyncio.get_running_loop().time() + _CUT_OFF_S)
        # Not cancelled: the client may turn a cancellation into a lost connection, and the task would go on.
        self._has_answered_all = True
        self._answered.set()
        await _wait([self._acknowledger])
        await self._acknowledge_all()
        await self._door.aclose()

    async def _consume(self, queue: str) -> None:
        running: set[asyncio.Task[None]] = set()
        while not self.is_stopping:
            if len(running) >= self._at_once:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                continue
            try:
                found = await self._door.fetch(queue, self._at_once - len(running))
            except BrokerUnavailable as exc:
                log.warning("broker_unreachable", queue=queue, error=str(exc))
                await asyncio.sleep(_TRY_AGAIN_S)
                continue
            for message in _decoded(found):
                task = asyncio.create_task(self._answer(queue, message))
                for tasks in (running, self._running):
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
            if found:
                await asyncio.sleep(_HEAD_START_S)

    async def _answer(self, queue: str, message: dramatiq.Message[Any]) -> None:
        try:
            # Dramatiq wraps it for its threads.
            answer = inspect.unwrap(self._broker.get_actor(message.actor_name).fn)
            await answer(*message.args, **message.kwargs)
            verb = "ack"
        except Exception:
            # The ledger rings again for whatever it was; the dead letters keep the bell for diagnosis.
            log.exception("actor_failed", actor=message.actor_name)
            verb = "nack"
        self._acks.append((verb, queue, message.options["redis_message_id"]))
        self._answered.set()

    async def _acknowledge(self) -> None:
        """Acknowledge in batches: what is answered while one is on its way makes the next."""
        while not self._has_answered_all:
            await self._answered.wait()
            self._answered.clear()
            if not await self._acknowledge_all():
                await asyncio.sleep(_TRY_AGAIN_S)
                self._answered.set()

    async def _acknowledge_all(self) -> bool:
        """Acknowledge what is answered; False where that could not be: then it is kept for the next time."""
        batch = [*self._acks]
        if not batch:
            return True
        try:
            await self._door.acknowledge(batch)
        except BrokerUnavailable as exc:
            # Not acknowledged at all, they are rung once more and claim nothing.
            log.warning("bells_not_acknowledged", count=len(batch), error=str(exc))
            return False
        del self._acks[: len(batch)]
        return True


async def _wait(tasks: Iterable[asyncio.Task[None]], *, until: float = math.inf) -> None:
    """Wait until all *tasks* have ended, or an instant of the loop's clock."""
    if pending := [*tasks]:
        left_s = until - asyncio.get_running_loop().time()
        await asyncio.wait(pending, timeout=None if math.isinf(left_s) else max(0.0, left_s))


def _decoded(found: Iterable[bytes | None]) -> Iterator[dramatiq.Message[Any]]:
    for data in found:
        if data is None:  # its text was wiped from the broker, its id not
            continue
        try:
            yield dramatiq.Message.decode(data)
        except DecodeError:
            # Nothing of ours: it names no id by which it could be put away.
            log.warning("bell_unreadable", size=len(data))
