"""Drives the bulk acts that operators started, a bounded step at a time and all of them in turn."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from worker.ledger import Ledger, LedgerFull, LedgerUnavailable
from worker.limits import Limits
from worker.telemetry import log

#: Between two steps the ledger is everybody else's, for this many times as long as the step took: some 2 ms on a
#: server at rest, longer on a busy one.
_PAUSES = 2.0
_LEAST_PAUSE_S = 0.005
#: How long one turn may last; well below the lease of the duty.
_TURN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ActDriver:
    """Takes what may be taken of every running act's set. Whoever else drives one at the same time does no harm."""

    ledger: Ledger
    limits: Limits

    async def run_once(self) -> int:
        """Step every running act until none may go on for now, or a turn's time is up; return how many ids were taken.

        One whose step fails is passed over for this turn, and holds up no other. Raises LedgerUnavailable, LedgerFull:
        the next turn goes on.
        """
        acts = await self.ledger.acts.running()
        if not acts:
            return 0
        rate = (await self.limits.status()).rate
        until, total = time.monotonic() + _TURN_S, 0
        while acts and time.monotonic() < until:
            for act_id in list(acts):
                began = time.monotonic()
                taken = await self._try_step(act_id, rate)
                total += taken
                if not taken:
                    acts.remove(act_id)
                await asyncio.sleep(max(_LEAST_PAUSE_S, _PAUSES * (time.monotonic() - began)))
        return total

    async def _try_step(self, act_id: str, rate: float) -> int:
        try:
            return await self._step(act_id, rate)
        except (LedgerUnavailable, LedgerFull):
            raise  # it would be the same for all of them
        except Exception as error:  # noqa: BLE001 - one act's fault must not starve the others
            log.error("act_step_failed", act_id=act_id, error=type(error).__name__)  # noqa: TRY400 - its text may be private
            return 0

    async def _step(self, act_id: str, rate: float) -> int:
        step = await self.ledger.acts.step(act_id, rate=rate)
        if step.is_at_rest and step.record is not None:
            because = step.record.stopped_because or {}
            log.info(
                "act_ended",
                act_id=act_id,
                act=step.record.act.value,
                state=step.record.state.value,
                done=step.record.done,
                refused=sum(step.record.refused.values()),
                failed_again=step.record.failed_again,
                stopped_because=because.get("reason"),
            )
        return step.taken


@dataclass(frozen=True, slots=True, kw_only=True)
class ActPruner:
    """Forgets acts when the jobs they touched are forgotten, and sets that nobody started."""

    ledger: Ledger
    keep_s: float

    async def run_once(self) -> int:
        """Forget what is old enough, a bounded piece of it; return how many acts went."""
        return await self.ledger.acts.prune(older_than_s=self.keep_s)
