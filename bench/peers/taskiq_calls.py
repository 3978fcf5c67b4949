"""The peer of bench/jobs.py: a taskiq worker whose task makes one bare call to the partner and does nothing else.

Run by bench/jobs.py with the Python of bench/.venv:
    taskiq worker bench.peers.taskiq_calls:broker …      two worker processes; REDIS_URL, PARTNER_URL in the environment
    python -m bench.peers.taskiq_calls COUNT             enqueue so many
"""

from __future__ import annotations

import asyncio
import os
import sys

import aiohttp
from taskiq import TaskiqEvents, TaskiqState
from taskiq_redis import ListQueueBroker, RedisStreamBroker

KINDS = {"list": ListQueueBroker, "stream": RedisStreamBroker}
#: Redis's own client times a blocking read out after 5 s by default; the peer's broker does not expect that.
broker = KINDS[os.environ.get("PEER_BROKER", "list")](os.environ["REDIS_URL"], socket_timeout=None)
_CREATE = f"{os.environ.get('PARTNER_URL', '')}/whatsapp/createAccount"


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_session(state: TaskiqState) -> None:
    state.http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_session(state: TaskiqState) -> None:
    await state.http.close()


@broker.task(task_name="create_link")
async def create_link(reference: str, whatsapp: str) -> None:
    async with broker.state.http.post(_CREATE, json={"reference": reference, "whatsapp": whatsapp}) as answer:
        await answer.read()


async def enqueue(count: int) -> None:
    await broker.startup()
    for nth in range(count):
        await create_link.kiq(f"peer{nth}", f"97250{nth:07d}")
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(enqueue(int(sys.argv[1])))
