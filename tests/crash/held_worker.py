"""A worker whose attempts wait at named points until a file appears: `python held_worker.py FOLDER`.

A test stops the process (SIGSTOP) while they wait there, has the world move on, lets it continue, and looks at what it
still sends. The points are reached by wrapping the very functions that the worker runs; the code under test knows
nothing of it. A number's last digit says where its job waits: 1 claimed, 2 call begun; all messages wait once begun.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from worker.domain.job import ClaimedJob, Lease
from worker.ledger import Ledger
from worker.ledger.deliveries import Deliveries
from worker.main import main

FOLDER = Path(sys.argv[1])
_begun_waits: set[str] = set()


async def hold(point: str) -> None:
    """Say that *point* is reached and wait for the gate to open."""
    (FOLDER / f"held-{point}").touch()
    while not (FOLDER / "gate").exists():
        await asyncio.sleep(0.01)


def wrap() -> None:
    """Make the points wait."""
    claim, begin_call, begin_send = Ledger.claim, Ledger.begin_call, Deliveries.begin_send

    async def held_claim(self: Ledger, job_id: str, **kwargs: Any) -> Any:
        claimed = await claim(self, job_id, **kwargs)
        number = claimed.request.number if isinstance(claimed, ClaimedJob) else None
        if number and number.endswith("1"):
            await hold("claimed")
        elif number and number.endswith("2"):
            _begun_waits.add(job_id)
        return claimed

    async def held_begin_call(self: Ledger, lease: Lease) -> bool:
        is_begun = await begin_call(self, lease)
        if lease.subject_id in _begun_waits:
            await hold("begun")
        return is_begun

    async def held_begin_send(self: Deliveries, lease: Lease) -> bool:
        is_begun = await begin_send(self, lease)
        await hold(lease.subject_id.split(".")[1])
        return is_begun

    Ledger.claim = held_claim  # type: ignore[method-assign]
    Ledger.begin_call = held_begin_call  # type: ignore[method-assign]
    Deliveries.begin_send = held_begin_send  # type: ignore[method-assign]


if __name__ == "__main__":
    wrap()
    main()
