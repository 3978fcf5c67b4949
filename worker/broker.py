"""The broker and its bell. Dramatiq carries ids to whoever has a hand free; nothing here is the truth.

On Redis the stock consumer polls and backs off, so an idle worker hears a message up to a second late. Ours waits at
the door instead: `BLMOVE q q RIGHT RIGHT` blocks until the queue holds something and changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol
from uuid import uuid4

import dramatiq
import redis
from dramatiq.asyncio import EventLoopThread, set_event_loop_thread
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer
from dramatiq.common import current_millis
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import AsyncIO, CurrentMessage, Middleware
from redis.backoff import NoBackoff
from redis.retry import Retry

from worker.domain.states import Channel, Lane
from worker.redis_client import open_redis, pipelined
from worker.telemetry import log

QUEUES = ("live", "bulk", "fan_out", "failures", "email", "sms", "intake", "events")
#: How long one wait at the door lasts: a stopping worker hears of it within this time.
_DOORBELL_WAIT_S = 1.0
_ANSWER_TIMEOUT_S = 10  #: well above the wait at the door
_CONNECT_TIMEOUT_S = 3
#: A consumer that holds all it may looks again this often.
_FULL_WAIT_S = 0.005
#: A broker that hangs must not pile up bells here; what is dropped, the feeder rings.
_MOST_WAITING = 64
#: Far above any clock skew between hosts: a host that is ahead must not take others' bells for orphans.
_HEARTBEAT_TIMEOUT_MS = 600_000


class Bell(Protocol):
    """Wakes an actor for something that the ledger holds. Never fails: what is not heard is rung again."""

    def ring(self, job_ids: Sequence[str], lane: Lane) -> None:
        """Ring for jobs that may be claimed."""
        ...


class BrokerClient(redis.Redis):
    """A client whose every fault is a `ConnectionError`, the only one that Dramatiq recovers from."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run one command; a timeout, a read-only replica or a loading server is a lost connection here."""
        try:
            return super().execute_command(*args, **options)
        except (redis.TimeoutError, redis.ReadOnlyError, redis.BusyLoadingError) as exc:
            raise redis.ConnectionError(type(exc).__name__) from exc


class DoorbellConsumer(_RedisConsumer):
    """A Redis consumer that sleeps on the queue itself, not on a timer."""

    def __next__(self) -> Any:
        """Return the next message, or None about once a second so that the worker can look around."""
        if self.message_cache:
            return super().__next__()
        if self.outstanding_message_count >= self.prefetch:
            time.sleep(_FULL_WAIT_S)
            return None
        try:
            self.message_cache = self.broker.fetch_at_the_door(
                self.queue_name, self.prefetch - self.outstanding_message_count
            )
        except redis.ConnectionError as exc:
            raise ConnectionClosed(exc) from None
        return super().__next__() if self.message_cache else None


class DoorbellBroker(RedisBroker):
    """Dramatiq's Redis broker, with doorbell consumers and no delay queues: due times live in the ledger."""

    def __init__(self, url: str, *, client: BrokerClient, **options: Any) -> None:
        super().__init__(client=client, **options)
        self.url = url

    @property
    def consumer_class(self) -> type[DoorbellConsumer]:
        """Return the consumer that waits at the door."""
        return DoorbellConsumer

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue without its delay twin, which nothing here would ever fill."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def fetch_at_the_door(self, queue_name: str, count: int) -> list[bytes]:
        """Wait until the queue holds something, or a second; return up to *count* of its messages.

        Both in one round trip: the server runs the script for the client that it has just let in.
        """
        return list(self._pipelined(*self.calls_at_the_door(queue_name, count))[-1])

    def calls_at_the_door(self, queue_name: str, count: int) -> tuple[tuple[Any, ...], ...]:
        """Return the two commands that wait and then fetch."""
        queue = f"{self.namespace}:{queue_name}"
        wait = ("BLMOVE", queue, queue, "RIGHT", "RIGHT", _DOORBELL_WAIT_S)
        return wait, self.call("fetch", queue_name, count)

    def enqueue_many(self, messages: Sequence[dramatiq.Message[Any]]) -> None:
        """Enqueue messages in one round trip, by the broker's own script."""
        self._pipelined(*(self.enqueue_call(message) for message in messages))

    def enqueue_call(self, message: dramatiq.Message[Any]) -> tuple[Any, ...]:
        """Return the command that enqueues a message."""
        redis_id = str(uuid4())
        copy = message.copy(options={"redis_message_id": redis_id})
        return self.call("enqueue", message.queue_name, redis_id, copy.encode())

    def call(self, command: str, queue_name: str, *args: Any) -> tuple[Any, ...]:
        """Return what runs *command* of Dramatiq's dispatch script on a queue."""
        # By its hash: a script given to a pipeline as such costs another round trip, to ask whether it is loaded.
        script = self.scripts["dispatch"]
        maintains = command == "fetch" and self._should_do_maintenance(command)
        return (
            "EVALSHA", script.sha, 1, self.namespace, command, current_millis(), queue_name, self.broker_id,
            self.heartbeat_timeout, self.dead_message_ttl, int(maintains), self._max_unpack_size(), *args,
        )  # fmt: skip

    def _pipelined(self, *commands: Sequence[Any]) -> list[Any]:
        try:
            return self._send_all(commands)
        except redis.exceptions.NoScriptError:  # the server was restarted: none of them was done
            self.client.script_load(self.scripts["dispatch"].script)
            return self._send_all(commands)

    def _send_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return pipeline.execute()


class BrokerUnavailable(Exception):  # noqa: N818 - reads as what happened, as the ledger's errors do
    """The broker's server did not answer; what was asked may have been done."""


class AsyncDoor:
    """The same door for an event loop, with connections of its own."""

    def __init__(self, broker: DoorbellBroker) -> None:
        self._broker = broker
        self._client = open_redis(broker.url)

    async def fetch(self, queue_name: str, count: int) -> list[bytes | None]:
        """Wait until the queue holds something, or a second; return up to *count* of its messages.

        Raises BrokerUnavailable.
        """
        replies = await self._pipelined(self._broker.calls_at_the_door(queue_name, count))
        return list(replies[-1])

    async def acknowledge(self, answered: Sequence[tuple[Any, ...]]) -> None:
        """Take messages off the broker for good: each a verb (`ack`, or `nack` to its dead letters), queue and id.

        Raises BrokerUnavailable: saying it again is harmless.
        """
        await self._pipelined([self._broker.call(*each) for each in answered])

    async def enqueue(self, messages: Sequence[dramatiq.Message[Any]]) -> None:
        """Enqueue messages. Raises BrokerUnavailable: some may be there."""
        await self._pipelined([self._broker.enqueue_call(message) for message in messages])

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _pipelined(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        try:
            replies = await pipelined(self._client, commands)
            if any(isinstance(reply, redis.exceptions.NoScriptError) for reply in replies):
                await self._client.script_load(self._broker.scripts["dispatch"].script)
                replies = await pipelined(self._client, commands)
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        except (redis.RedisError, OSError, TimeoutError) as exc:
            raise BrokerUnavailable(type(exc).__name__) from exc
        return replies


class FastLoop(AsyncIO):
    """Dramatiq's event loop thread, on uvloop where there is one."""

    def before_worker_boot(self, _broker: Any, _worker: Any) -> None:
        """Start the loop that every async actor of this process runs on."""
        thread = EventLoopThread(self.logger)
        # Stopped in order by `after_worker_shutdown`; a boot that fails must be able to end the process without it.
        thread.daemon = True
        with contextlib.suppress(ImportError):
            import uvloop

            thread.loop.close()
            thread.loop = uvloop.new_event_loop()
        thread.start(timeout=5.0)
        set_event_loop_thread(thread)


class LostBells(Middleware):
    """Send a message whose actor failed to the dead letters instead of acknowledging it as done.

    The ledger rings again for whatever it was, so there is nothing to retry: a lost bell is kept for diagnosis only.
    """

    def after_process_message(
        self, _broker: Any, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        """Mark the message as failed where its actor raised."""
        del result
        if exception is not None:
            message.fail()


def make_broker(url: str, *, namespace: str, middleware: Sequence[Middleware] = ()) -> dramatiq.Broker:
    """Return the broker at *url* (`redis://`, `rediss://`, `unix://`, or `amqp://` for RabbitMQ); nothing connects yet.

    Raises ValueError for another scheme.
    """
    layers = [CurrentMessage(), FastLoop(), LostBells(), *middleware]
    if url.startswith(("amqp://", "amqps://")):
        return _rabbitmq(url, layers)
    client = BrokerClient(connection_pool=_pool(url))
    return DoorbellBroker(
        url,
        client=client,
        middleware=layers,
        namespace=f"{namespace}-bells",
        heartbeat_timeout=_HEARTBEAT_TIMEOUT_MS,
    )


def _pool(url: str) -> redis.ConnectionPool:
    # Dramatiq's own url= form means no timeouts at all, its host= form ten silent retries that double messages.
    return redis.ConnectionPool.from_url(
        url,
        socket_timeout=_ANSWER_TIMEOUT_S,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        health_check_interval=15,
        retry=Retry(NoBackoff(), 0),
        **_keepalive(url),
    )


def _keepalive(url: str) -> dict[str, bool]:
    return {} if url.startswith("unix:") else {"socket_keepalive": True}


def _rabbitmq(url: str, layers: list[Middleware]) -> dramatiq.Broker:
    try:
        from dramatiq.brokers.rabbitmq import RabbitmqBroker
    except ImportError as exc:
        raise ValueError(
            "BROKER_URL is amqp://, which needs the extra: pip install 'linkferry[rabbitmq]'"
        ) from exc
    return RabbitmqBroker(url=url, middleware=layers, confirm_delivery=True)


class _LoopRinger:
    """Rings on the running event loop: what is rung while one batch is on its way makes the next."""

    def __init__(self, broker: DoorbellBroker) -> None:
        self.loop = asyncio.get_running_loop()
        self._door = AsyncDoor(broker)
        self._waiting: list[list[dramatiq.Message[Any]]] = []
        self._ringing: asyncio.Task[None] | None = None

    def ring(self, messages: list[dramatiq.Message[Any]]) -> None:
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append(messages)
        if self._ringing is None or self._ringing.done():
            self._ringing = self.loop.create_task(self._ring())

    async def _ring(self) -> None:
        while batch := [message for messages in self._waiting for message in messages]:
            self._waiting.clear()
            try:
                await self._door.enqueue(batch)
            except Exception as exc:  # noqa: BLE001 - as below
                _log_lost(batch, exc)

    async def aclose(self) -> None:
        if self._ringing is not None:
            await asyncio.wait([self._ringing])
        await self._door.aclose()


class BrokerBell:
    """Rings through a broker; neither the loop nor an accepted request waits for it.

    On Redis it rings on the event loop that first used it; from elsewhere, and on RabbitMQ, from a thread of its own,
    which is a fifth of a millisecond slower.
    """

    def __init__(self, broker: dramatiq.Broker) -> None:
        self._broker = broker
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bell")
        self._room = threading.Semaphore(_MOST_WAITING)
        self._on_loop: _LoopRinger | None = None
        self._is_closed = False

    def ring(self, job_ids: Sequence[str], lane: Lane) -> None:
        """Ring for jobs that may be claimed."""
        actor = "create_link" if lane is Lane.LIVE else "create_link_bulk"
        self._send([_message(lane.value, actor, job_id) for job_id in job_ids])

    def ring_fan_out(self, job_id: str) -> None:
        """Ring for the deliveries of the job's invitation."""
        self._send([_message("fan_out", "fan_out", job_id)])

    def ring_failure(self, job_id: str) -> None:
        """Ring for a job that has failed."""
        self._send([_message("failures", "record_failure", job_id)])

    def ring_deliveries(self, delivery_ids: Sequence[str], channel: Channel) -> None:
        """Ring for messages that may be sent."""
        self._send([_message(channel.value, f"deliver_{channel.value}", each) for each in delivery_ids])

    def ring_intake(self, source: str) -> None:
        """Ring for the incoming events of a source that wait to be worked on."""
        self._send([_message("intake", "take_events", source)])

    def ring_events(self, sink: str) -> None:
        """Ring for our own events that wait to be told to *sink*."""
        self._send([_message("events", "tell_events", sink)])

    def close(self) -> None:
        """Ring what was asked for, then stop. Where it may have rung on an event loop: `aclose`, on that loop."""
        self._is_closed = True
        self._thread.shutdown(wait=True)

    async def aclose(self) -> None:
        """Ring what was asked for, then stop."""
        self._is_closed = True
        if self._on_loop is not None:
            await self._on_loop.aclose()
        await asyncio.to_thread(self.close)

    def _send(self, messages: list[dramatiq.Message[Any]]) -> None:
        if not messages or self._is_closed:  # closed: another process rings
            return
        if (on_loop := self._ringer()) is not None:
            on_loop.ring(messages)
        elif self._room.acquire(blocking=False):
            try:
                self._thread.submit(self._send_now, messages)
            except RuntimeError:  # closed in this moment
                self._room.release()

    def _ringer(self) -> _LoopRinger | None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return None
        if self._on_loop is None and isinstance(self._broker, DoorbellBroker):
            self._on_loop = _LoopRinger(self._broker)
        return self._on_loop if self._on_loop is not None and self._on_loop.loop is loop else None

    def _send_now(self, messages: list[dramatiq.Message[Any]]) -> None:
        try:
            if isinstance(self._broker, DoorbellBroker):
                self._broker.enqueue_many(messages)
            else:
                for message in messages:
                    self._broker.enqueue(message)
        except Exception as exc:  # noqa: BLE001 - a bell may be lost: the ledger rings again within ten seconds
            _log_lost(messages, exc)
        finally:
            self._room.release()


def _log_lost(messages: Sequence[dramatiq.Message[Any]], exc: Exception) -> None:
    log.warning("bell_not_rung", count=len(messages), error=type(exc).__name__)


def _message(queue: str, actor: str, subject_id: str) -> dramatiq.Message[Any]:
    return dramatiq.Message(queue_name=queue, actor_name=actor, args=(subject_id,), kwargs={}, options={})
