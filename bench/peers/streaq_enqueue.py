"""The peer of bench/accept.py: streaq's bare `enqueue_many`, nothing parsed, nothing deduplicated.

Run by bench/accept.py with the Python of bench/.venv: streaq_enqueue.py REDIS_URL ROWS CHUNK; prints seconds.
"""

from __future__ import annotations

import asyncio
import sys
import time

from streaq import Worker


async def main(url: str, rows: int, chunk: int) -> None:
    worker: Worker = Worker(redis_url=url, handle_signals=False)

    @worker.task
    async def create_link(
        number: str, name: str, display_name: str, email: str, phone: str, locale: str
    ) -> None:
        """Do nothing: it is never run."""

    async with worker:
        began = time.perf_counter()
        for start in range(0, rows, chunk):
            tasks = [
                create_link.enqueue(
                    f"97250{nth:07d}",
                    f"Flowers {nth}",
                    f"Shop {nth}",
                    f"customer{nth}@example.com",
                    f"97252{nth:07d}",
                    "he",
                )
                for nth in range(start, min(start + chunk, rows))
            ]
            await worker.enqueue_many(tasks)
        print(time.perf_counter() - began)


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
