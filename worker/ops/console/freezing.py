"""Previews of many jobs, frozen beside the requests that asked for them."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress

from worker.ledger import JobFilter, LedgerFull, LedgerUnavailable
from worker.ops.acts import ActRefused, Acts
from worker.ops.console.wishes import Wish
from worker.ops.words import Said
from worker.telemetry import log

#: A set that is whole within so long is shown at once; a larger one is followed by its page.
_AT_ONCE_S = 1.0
_AT_A_TIME = 2
#: More than these are nobody's patience: whoever asks for one more is told to wait.
_MOST_AT_ONCE = 24
_TROUBLES_KEPT = 100


class Freezing:
    """Freezes sets as tasks of this process. One that dies with it is forgotten within an hour, and done anew."""

    def __init__(self, acts: Acts, *, at_once_s: float = _AT_ONCE_S) -> None:
        """Freeze with *acts*; `begin` waits *at_once_s* seconds for a set to be whole."""
        self._acts = acts
        self._at_once_s = at_once_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(_AT_A_TIME)
        self._troubles: OrderedDict[str, Said | None] = OrderedDict()

    async def begin(self, wish: Wish, *, by: str) -> str:
        """Begin to freeze what *wish* is about; return the act's id. A small set is whole by then.

        Raises ActRefused, LedgerUnavailable, LedgerFull.
        """
        if wish.wanted is None:
            return str((await self._acts.preview_ids(wish.act, wish.ids, by=by))["act_id"])
        if len(self._tasks) >= _MOST_AT_ONCE:
            raise ActRefused("busy")
        act_id = await self._acts.begin_preview(
            wish.act, wish.wanted or JobFilter(), states=wish.states, by=by
        )
        task = asyncio.create_task(self._carry(act_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait({task}, timeout=self._at_once_s)
        return act_id

    def has_failed(self, act_id: str) -> bool:
        """Tell whether this process gave a set up."""
        return act_id in self._troubles

    def trouble_of(self, act_id: str) -> Said | None:
        """Return why this process gave a set up, where a sentence says it."""
        return self._troubles.get(act_id)

    async def aclose(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, act_id: str) -> None:
        try:
            async with self._places:
                await self._acts.carry_preview(act_id)
        except ActRefused as error:
            self._note(act_id, error.said)
        except (LedgerUnavailable, LedgerFull) as error:
            log.warning("preview_given_up", act=act_id, error=type(error).__name__)
            self._note(act_id, None)
        except Exception as error:  # noqa: BLE001 - nobody awaits it: its page would wait for ever
            log.warning("preview_broken", act=act_id, error=type(error).__name__)
            self._note(act_id, ActRefused("broken", act_id).said)
            with suppress(LedgerUnavailable):
                await self._acts.give_up(act_id)

    def _note(self, act_id: str, trouble: Said | None) -> None:
        self._troubles[act_id] = trouble
        while len(self._troubles) > _TROUBLES_KEPT:
            self._troubles.popitem(last=False)
