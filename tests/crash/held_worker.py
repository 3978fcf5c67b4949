"""A worker whose attempts wait at named points until a file appears: `python held_worker.py FOLDER`.

A test stops the process (SIGSTOP) while they wait there, has the world move on, lets it continue, and looks at what it
still sends. The points are reached by wrapping the very functions that the worker runs; the code under test knows
nothing of it. A number's last digit says where its job waits: 1 at its slot, 2 call begun; all messages wait once begun.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from worker.domain.job import Lease
from worker.ledger import Ledger
from worker.ledger.deliveries import Deliveries
from worker.main import main

FOLDER = Path(sys.argv[1])


async def hold(point: str) -> None:
    """Say that *point* is reached and wait for the gate to open."""
    (FOLDER / f"held-{point}").touch()
    while not (FOLDER / "gate").exists():
        await asyncio.sleep(0.01)


def wrap() -> None:
    """Make the points wait."""
    claim_and_begin, begin_send = Ledger.claim_and_begin, Deliveries.begin_send

    async def held_claim(self: Ledger, job_id: str, **kwargs: Any) -> Any:
        job = await self.queries.job(job_id)
        digit = job.number[-1] if job and job.number else ""
        if digit == "1":
            await hold("slot")
        claimed = await claim_and_begin(self, job_id, **kwargs)
        if digit == "2":
            await hold("begun")
        return claimed

    async def held_begin_send(self: Deliveries, lease: Lease, **kwargs: Any) -> bool:
        is_begun = await begin_send(self, lease, **kwargs)
        await hold(lease.subject_id.split(".")[1])
        return is_begun

    Ledger.claim_and_begin = held_claim  # type: ignore[method-assign]
    Deliveries.begin_send = held_begin_send  # type: ignore[method-assign]


if __name__ == "__main__":
    wrap()
    main()
