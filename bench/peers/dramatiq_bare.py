"""The peer of bench/memory.py: Dramatiq's own Redis broker with one async actor, nothing of ours imported.

python -m bench.peers.dramatiq_bare REDIS_URL THREADS: works until SIGTERM; prints a line once it does.
"""

from __future__ import annotations

import signal
import sys
import threading

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO


def main(url: str, threads: int) -> None:
    broker = RedisBroker(url=url, middleware=[AsyncIO()])
    dramatiq.set_broker(broker)

    @dramatiq.actor
    async def create_link(job_id: str) -> None:
        """Do nothing."""

    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    worker = dramatiq.Worker(broker, worker_threads=threads)
    worker.start()
    print("ready", flush=True)
    stopped.wait()
    worker.stop()
    broker.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
