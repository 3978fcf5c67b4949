"""A worker that ends itself by SIGKILL at one named point of its first attempt: `python dying_worker.py POINT`.

The points are reached by wrapping the very functions that the worker runs; the code under test knows nothing of it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from worker.dispatch import MailDispatcher
from worker.execution import attempt as attempts
from worker.ledger import Ledger
from worker.ledger.deliveries import Deliveries
from worker.limits import Limits
from worker.main import main
from worker.partner import PartnerClient


def die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def die_before(owner: Any, name: str) -> None:
    """Die in place of the call."""

    async def dead(*_: Any, **__: Any) -> None:
        die()

    setattr(owner, name, dead)


def die_after(owner: Any, name: str) -> None:
    """Let the call do its work, then die before anybody hears of it."""
    original: Callable[..., Awaitable[Any]] = getattr(owner, name)

    async def dying(*args: Any, **kwargs: Any) -> None:
        await original(*args, **kwargs)
        die()

    setattr(owner, name, dying)


def die_on_acquire(owner: Any, name: str) -> None:
    """Die when a create asks for its slot (look-ups and token calls pass)."""
    original = getattr(owner, name)

    async def dying(self: Limits, lane: Any, **kwargs: Any) -> Any:
        if "stop" in kwargs and self._name == "partner":
            die()
        return await original(self, lane, **kwargs)

    setattr(owner, name, dying)


def die_once_claimed() -> None:
    """Die with the job claimed and no call begun, as where the connection breaks between the two verbs."""

    async def dying(self: Ledger, job_id: str, **kwargs: Any) -> None:
        await self.claim(job_id, **kwargs)
        die()

    Ledger.claim_and_begin = dying  # type: ignore[method-assign,assignment]


POINTS: dict[str, Callable[[], None]] = {
    "before_the_slot": lambda: die_on_acquire(Limits, "acquire"),
    "claimed": die_once_claimed,
    "call_begun": lambda: die_before(PartnerClient, "create_whatsapp"),
    "request_sent": lambda: die_after(
        PartnerClient, "create_whatsapp"
    ),  # the partner's answer is slow or lost
    "answer_read": lambda: setattr(attempts, "classify_create", die),
    "settled": lambda: setattr(attempts, "_report", die),
    "before_the_end_of_a_mail": lambda: die_after(Deliveries, "begin_send"),
    "after_the_end_of_a_mail": lambda: die_after(MailDispatcher, "dispatch"),
}

if __name__ == "__main__":
    POINTS[sys.argv[1]]()
    main()
