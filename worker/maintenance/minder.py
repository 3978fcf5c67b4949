"""Runs the duties, each at its own pace; one that fails is told of and runs again at its next turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from worker.ledger import Ledger, LedgerFull, LedgerUnavailable
from worker.limits import LimitsUnavailable
from worker.telemetry import log

_CANCEL_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """One thing to be seen to, again and again."""

    name: str
    run_once: Callable[[], Awaitable[object]]
    every_s: float
    is_single: bool = False  #: in one worker of the fleet at a time, by a lease in the ledger


class Minder:
    """Minds the duties of one worker."""

    def __init__(self, duties: Sequence[Duty], *, ledger: Ledger, worker_id: str) -> None:
        self._duties = duties
        self._ledger = ledger
        self._worker_id = worker_id
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopping = False

    def start(self) -> None:
        """Begin to run every duty."""
        self._tasks = [
            asyncio.create_task(self._mind(duty), name=f"duty-{duty.name}") for duty in self._duties
        ]

    async def stop(self) -> None:
        """Stop all duties and hand the single ones to whoever asks next."""
        self._is_stopping = True
        await end_tasks(self._tasks)
        try:
            for duty in self._duties:
                if duty.is_single:
                    await self._ledger.fleet.release_duty(duty.name, self._worker_id)
        except LedgerUnavailable as exc:
            log.warning("duties_not_released", error=type(exc).__name__)  # they run out by themselves

    async def _mind(self, duty: Duty) -> None:
        while not self._is_stopping:
            try:
                if not duty.is_single or await self._is_ours(duty):
                    await duty.run_once()
            except (LedgerUnavailable, LedgerFull, LimitsUnavailable) as exc:
                log.warning("duty_postponed", duty=duty.name, error=type(exc).__name__)
                await asyncio.sleep(1.0)
            except Exception:
                log.exception("duty_failed", duty=duty.name)
                await asyncio.sleep(1.0)
            await asyncio.sleep(duty.every_s)

    async def _is_ours(self, duty: Duty) -> bool:
        # Longer than a turn and its pause, so that the holder keeps it; short enough that a dead holder is soon replaced.
        ttl_s = max(15.0, 3 * duty.every_s)
        return await self._ledger.fleet.hold_duty(duty.name, self._worker_id, ttl_s)


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel *tasks* until all have ended; what they raise is dropped."""
    pending = set(tasks)
    while pending:
        # Asked again and again: a client that turns a cancellation into a lost connection swallows one.
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_CANCEL_AGAIN_S)
