"""One limit of the fleet: the slot sequence of its rate, pauses, breaker and credentials hold.

Everything lies in one Redis hash (fields: `lua/prelude.lua`) and every process sees the same. `take` asks once;
`acquire` is what an attempt calls: it asks, sleeps to the slot and makes sure that it still stands.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from worker.domain.states import Lane
from worker.limits.headers import MOST_PAUSE_S, read_advice
from worker.limits.scripts import Scripts, text, translated
from worker.limits.timing import Patience, ServerClock, Timing
from worker.limits.values import (
    BreakerChange,
    BreakerState,
    Closed,
    ClosedReason,
    Granted,
    LimitsStatus,
    Wait,
)
from worker.telemetry import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis


#: A pushback that names no time pauses the fleet for so long.
_PAUSE_UNTOLD_S = 1.0
# A waiting asker looks again this often: pauses and a risen rate are seen within it (promise 8: 1 s).
_LONGEST_NAP_S = 1.0
# The pause is looked at again this long before the slot, so that looking does not make the call late.
_LOOK_AHEAD_S = 0.003
# A slot this near was looked at a moment ago, by the script that granted it.
_FRESH_S = 0.005
# Lateness below this is the timer's own; it decides at rates above 80/s only.
_LEAST_TOLERANCE_S = 0.003
# A process whose loop is always slow would ask anew for ever: then it may be up to one slot late, which is the
# one call of jitter that the partner tolerates.
_STRICT_TRIES = 3


class Along(Protocol):
    """What may be done in the round trip in which a slot is asked for, if the slot turns out to be now."""

    @property
    def result(self) -> object | None:
        """None until it was done, or refused."""
        ...

    def commands(self, limit_key: str, slot_token: str) -> Sequence[Sequence[str | float]]:
        """Return commands that do nothing unless *slot_token* was granted the newest slot of *limit_key*, for now."""
        ...

    def read(self, replies: Sequence[Any]) -> None:
        """Take note of their replies; errors are among them."""
        ...


_DRAINING = Closed(reason=ClosedReason.DRAINING, for_s=0.0)


class Limits:
    """The fleet-wide limit of one outside party."""

    def __init__(
        self,
        redis: Redis,
        *,
        namespace: str,
        ceiling: float,
        name: str = "partner",
        timing: Timing | None = None,
    ) -> None:
        """Name the limit.

        Args:
            redis: the ledger's client.
            namespace: of the ledger.
            ceiling: calls/s that are never exceeded; the fleet's, not this process's.
            name: `partner`, `email`, `sms`, …: each has slots and guards of its own.
            timing: for tests.

        Raises:
            ValueError: *ceiling* is not a positive number.
        """
        if not (math.isfinite(ceiling) and ceiling > 0):
            raise ValueError(f"a rate must be a positive number of calls a second, not {ceiling}")
        self._timing = timing or Timing()
        self._redis = redis
        self._key = f"{{{namespace}}}:limit:{name}"
        self._scripts = Scripts(redis, self._key, now_us=self._timing.now_us)
        self._name = name
        self._ceiling = ceiling
        self._clock = ServerClock()
        # One asker per lane and process: first come, first served, and a crowd of waiting jobs costs Redis
        # no more than one does.
        self._turns = {lane: asyncio.Lock() for lane in Lane}

    # --- slots ---------------------------------------------------------------------------------------------

    async def take(
        self, lane: Lane, *, is_token_call: bool = False, along: Along | None = None
    ) -> Granted | Wait | Closed:
        """Ask once for the next slot; do not wait for it.

        A token call passes the credentials hold, which only it can end. *along* is done in the same round trip where
        the slot is now.

        Raises:
            LimitsUnavailable: Redis did not answer; a slot may be lost.
        """
        token = uuid4().hex
        sent_s = self._timing.monotonic()
        asked = (lane, self._ceiling, token, "1" if is_token_call else "0")
        if along is None:
            answer = await self._scripts.read("take", *asked)
        else:
            commands = along.commands(self._key, token)
            answer, replies = await self._scripts.read_along("take", *asked, along=commands)
            along.read(replies)
        received_s = self._timing.monotonic()
        match answer:
            case ["granted", slot, now, interval, is_probe]:
                self._clock.observe(int(now), sent_s=sent_s, received_s=received_s)
                return Granted(
                    slot_us=int(slot),
                    wait_s=(int(slot) - int(now)) / 1e6,
                    token=token,
                    lane=lane,
                    interval_us=int(interval),
                    late_s=max(0.0, received_s - self._clock.monotonic_of(int(slot))),
                    is_probe=is_probe == "1",
                )
            case ["closed", reason, for_us]:
                return Closed(reason=ClosedReason(reason), for_s=int(for_us) / 1e6)
            case ["wait", for_us]:
                return Wait(for_s=int(for_us) / 1e6)
            case _:
                raise AssertionError(answer[:1])

    async def acquire(
        self,
        lane: Lane,
        *,
        stop: asyncio.Event | None = None,
        give_up_s: float | None = None,
        is_token_call: bool = False,
        along: Along | None = None,
    ) -> Granted | Closed:
        """Wait for a slot and return at its time: the caller makes its call now, or gives the slot back.

        Args:
            lane: whose share of the rate.
            stop: once set, every waiter returns `draining` at once.
            give_up_s: return `no_slot` rather than wait longer.
            is_token_call: passes the credentials hold.
            along: done with the asking where the slot is now; its `result` tells.

        Raises:
            LimitsUnavailable: Redis did not answer; a slot may be lost, and what goes along may be done.
        """
        patience = Patience(self._timing, stop, give_up_s)
        tries = 0
        while True:
            slot = await self._in_turn(lane, patience, is_token_call=is_token_call, along=along)
            if isinstance(slot, Closed) or (along is not None and along.result is not None):
                return slot
            target_s = self._clock.monotonic_of(slot.slot_us)
            is_standing = await self._reach(slot, target_s, patience, is_token_call=is_token_call)
            if patience.is_stopped:
                await self.give_back(slot)
                return _DRAINING
            tries += 1
            late_s = self._timing.monotonic() - target_s
            if is_standing and late_s <= _tolerance_s(slot, tries):
                return slot
            log.debug("slot_missed", limit=self._name, lane=lane, late_s=late_s, is_standing=is_standing)
            await self.give_back(slot)

    async def give_back(self, granted: Granted) -> None:
        """Return a slot that will not be used; it is lost where later slots are taken already.

        Raises:
            LimitsUnavailable: Redis did not answer; the slot may be lost, which costs one call's time.
        """
        is_probe = "1" if granted.is_probe else "0"
        await self._scripts.run("give_back", granted.token, granted.lane, is_probe)

    async def _in_turn(
        self, lane: Lane, patience: Patience, *, is_token_call: bool, along: Along | None
    ) -> Granted | Closed:
        """Ask, as this process's only asker for *lane*, until there is a slot or a reason for none."""
        async with self._turn(lane, patience) as has_turn:
            while has_turn and not patience.is_stopped:
                answer = await self.take(lane, is_token_call=is_token_call, along=along)
                if isinstance(answer, Closed):
                    return answer
                wait_s = answer.wait_s if isinstance(answer, Granted) else answer.for_s
                if wait_s > patience.left_s:
                    if isinstance(answer, Granted):
                        await self.give_back(answer)
                    return Closed(reason=ClosedReason.NO_SLOT, for_s=wait_s)
                if isinstance(answer, Granted):
                    return answer
                # A millisecond more than was said: asking a moment too early would only be told so.
                await self._timing.nap(min(wait_s + 0.001, _LONGEST_NAP_S), patience.stop)
        return _DRAINING if patience.is_stopped else Closed(reason=ClosedReason.NO_SLOT, for_s=0.0)

    @asynccontextmanager
    async def _turn(self, lane: Lane, patience: Patience) -> AsyncIterator[bool]:
        """Hold the lane's turn; yield False when patience ended first.

        A stop needs no watching here: who has the turn sees it and passes the turn on at once.
        """
        lock = self._turns[lane]
        try:
            async with asyncio.timeout(None if math.isinf(patience.left_s) else max(0.0, patience.left_s)):
                await lock.acquire()
        except TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    async def _reach(
        self, slot: Granted, target_s: float, patience: Patience, *, is_token_call: bool
    ) -> bool:
        """Sleep to the slot. Return whether it still stands: no pause or hold came in between."""
        left_s = target_s - self._timing.monotonic()
        is_standing = True
        if left_s > _FRESH_S:
            if await self._timing.nap(left_s - _LOOK_AHEAD_S, patience.stop):
                return False
            is_standing = await self._stands(slot, is_token_call=is_token_call)
        # Timers of some loops fire up to a millisecond early: sleep again, hence the loop.
        while is_standing and (left_s := target_s - self._timing.monotonic()) > 0.001:
            if await self._timing.nap(left_s, patience.stop):
                return False
        return is_standing

    async def _stands(self, slot: Granted, *, is_token_call: bool) -> bool:
        fields = ["paused_until", "throttled_until", "breaker", "open_until", "cred_fingerprint"]
        with translated():
            found = await self._redis.hmget(self._key, fields)
        paused, throttled, breaker, open_until, refused = [text(value or "") for value in found]
        return not (
            paused == "-1"
            or int(paused or 0) > slot.slot_us
            or int(throttled or 0) > slot.slot_us
            or (breaker == BreakerState.OPEN and int(open_until or 0) > slot.slot_us)
            or (refused and not is_token_call)
        )

    # --- what calls teach ----------------------------------------------------------------------------------

    async def note(self, ok: bool, elapsed_s: float) -> BreakerChange | None:  # noqa: FBT001 -- the contract's
        """Tell the breaker how one call ended; return the change that this made, if any.

        *ok* means that the partner answered in its own terms: a FAIL of business and a 429 are ok. More than
        5 s is slow: it counts against a closed breaker, but not against a probe, for a partner that is merely
        slow is to be relieved and not to be left.

        Raises:
            LimitsUnavailable: Redis did not answer.
        """
        elapsed_us = int(max(0.0, elapsed_s) * 1e6)
        answer = await self._scripts.read("note", "1" if ok else "0", elapsed_us, self._timing.chance())
        if not answer:
            return None
        old, new, for_us = answer
        change = BreakerChange(old=BreakerState(old), new=BreakerState(new), for_s=int(for_us) / 1e6)
        log.warning("breaker_changed", limit=self._name, old=old, new=new, for_s=change.for_s)
        return change

    async def pushback(self, retry_after_s: float | None) -> None:
        """Pause the fleet and halve its rate, at most once each 10 s; +5 % of the ceiling each clean 10 s.

        None pauses for one second; no pause is longer than one hour.

        Raises:
            LimitsUnavailable: Redis did not answer.
        """
        await self._throttle(retry_after_s, is_pushback=True)

    async def obey(self, headers: Mapping[str, str], status: int) -> None:
        """Do what the partner's answer asks for (see `worker.limits.headers`).

        Raises:
            LimitsUnavailable: Redis did not answer.
        """
        advice = read_advice(headers, status, now=datetime.now(UTC))
        if advice is not None:
            await self._throttle(advice.pause_s, is_pushback=advice.is_pushback)

    async def _throttle(self, pause_s: float | None, *, is_pushback: bool) -> None:
        if pause_s is None or math.isnan(pause_s):
            pause_s = _PAUSE_UNTOLD_S
        pause_us = int(min(max(pause_s, 0.0), MOST_PAUSE_S) * 1e6)
        _, share_ppm, was_cut = await self._scripts.read("throttle", pause_us, "1" if is_pushback else "0")
        log.warning(
            "partner_asked_for_less",
            limit=self._name,
            pause_s=pause_us / 1e6,
            rate=self._ceiling * int(share_ppm) / 1e6,
            was_cut=was_cut == "1",
        )

    # --- the operator and the credentials ------------------------------------------------------------------

    async def pause(self, for_s: float | None = None) -> None:
        """Stop all calls, for *for_s* seconds or until `resume`.

        Raises:
            LimitsUnavailable: Redis did not answer; the pause may stand.
        """
        await self._scripts.run("pause", -1 if for_s is None else int(max(0.0, for_s) * 1e6))

    async def resume(self, *, against_partner: bool = False) -> None:
        """End the operator's pause, and let refused credentials be tried at once.

        Args:
            against_partner: end a pause that the partner asked for, too (it may have been a mistake).

        Raises:
            LimitsUnavailable: Redis did not answer; the pause may be over.
        """
        await self._scripts.run("resume", "1" if against_partner else "0")

    async def hold_credentials(self, fingerprint: str, code: int) -> None:
        """Hold all calls, because the partner refused these credentials.

        Args:
            fingerprint: a hash of id and secret; never the secret.
            code: the partner's reason.

        Raises:
            LimitsUnavailable: Redis did not answer; the hold may stand.
        """
        is_new = bool(await self._scripts.run("hold_credentials", fingerprint, str(code)))
        log.error("credentials_held", limit=self._name, code=code, is_new=is_new)

    async def clear_credentials(self) -> None:
        """End that hold, if there is one: the partner gave a token.

        Raises:
            LimitsUnavailable: Redis did not answer; the hold may be over.
        """
        if await self._scripts.run("clear_credentials"):
            log.info("credentials_cleared", limit=self._name)

    async def may_probe(self, fingerprint: str) -> bool:
        """Return whether these credentials may be tried now; during a hold, a yes is for one caller.

        That is each 5 minutes (15 after code 3: address blocked), at once for credentials not tried in this
        hold (the settings changed) and after an operator's `resume`.

        Raises:
            LimitsUnavailable: Redis did not answer; the try may be used up.
        """
        return bool(await self._scripts.run("may_probe", fingerprint))

    async def status(self) -> LimitsStatus:
        """Return how the limit stands; changes nothing.

        Raises:
            LimitsUnavailable: Redis did not answer.
        """
        return LimitsStatus.from_reply(
            await self._scripts.read("status", self._ceiling), ceiling=self._ceiling
        )


def _tolerance_s(slot: Granted, tries: int) -> float:
    interval_s = slot.interval_us / 1e6
    return max(_LEAST_TOLERANCE_S, interval_s / 4 if tries <= _STRICT_TRIES else interval_s)
