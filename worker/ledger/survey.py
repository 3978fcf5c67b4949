"""What the overview and a job's page ask beyond the records: places, samples, ages. Bounded reads; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.domain.states import Channel, DeliveryState, JobState
from worker.domain.targets import CHANNEL
from worker.ledger.errors import translated
from worker.ledger.keys import Keys
from worker.ledger.records import Ahead
from worker.ledger.scripts import Scripts, fields_of, text
from worker.ledger.server import info, setting

#: Looked at of what no index counts: below a millisecond of the server's time.
_SAMPLE = 300
_NOBODY = Ahead(live=0, bulk=0, queues=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where one job stands beyond its record; what does not apply is None."""

    before: int | None = None  #: jobs of its own queue, and rung ones, that go before an available one
    is_rung: bool = False  #: its bell is rung: a worker is about to take it
    ahead: Ahead = _NOBODY
    lease_end_ms: int | None = None
    call_began_ms: int | None = None  #: of the attempt under way, or of the call in doubt
    call_ended_ms: int | None = None  #: of the call in doubt; its lease's end where nobody knows
    lists_without: int | None = None  #: complete lists of the partner's that did not hold the link in doubt
    worker: str | None = None
    kept_since_ms: int | None = None  #: from when on it counts how long one that has ended is kept
    late_since_ms: int | None = None  #: since when its invitation waits with a link nobody was told of


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """How much waits in a scope."""

    jobs: int
    customers: int  #: invitations
    is_exact: bool  #: False: estimated from a sample


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelCounts:
    """Messages by channel and state."""

    by_channel: dict[Channel, dict[DeliveryState, int]]
    is_exact: bool  #: False: some are estimated from the newest messages of their state


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """How many of a reason's failures had been tried again before, by an operator."""

    count: int
    is_at_least: bool  #: only the newest were looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Fullness:
    """What keeps the server from taking writes, as far as it says."""

    used_bytes: int = 0
    most_bytes: int = 0  #: 0: no limit of its own
    can_evict: bool = False
    is_write_refused: bool = False  #: its file or snapshot could not be written

    @property
    def is_full(self) -> bool:
        """Tell whether new requests are refused for want of memory or disk."""
        return self.is_used_up or self.is_write_refused

    @property
    def is_used_up(self) -> bool:
        """Tell whether the memory that it may have is used up, with nothing to be thrown away."""
        return self.most_bytes > 0 and self.used_bytes >= self.most_bytes and not self.can_evict


class Survey:
    """Looks at the whole, and at one job's place in it."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def whereabouts(self, job_id: str) -> Whereabouts:
        """Return where a job stands; nothing of one that does not exist. Raises LedgerUnavailable."""
        found = fields_of(await self._scripts.run("whereabouts", job_id))

        def number(name: str) -> int | None:
            return int(float(found[name])) if name in found else None

        place = number("place")
        return Whereabouts(
            before=None if place is None else place + (number("rung") or 0),
            is_rung="is_rung" in found,
            ahead=Ahead(
                live=number("live") or 0, bulk=number("meanwhile") or 0, queues=number("queues") or 0
            ),
            lease_end_ms=number("lease_end_ms"),
            call_began_ms=number("call_ms"),
            call_ended_ms=number("call_ended_ms"),
            lists_without=number("lists"),
            worker=found.get("worker"),
            kept_since_ms=number("kept_since_ms"),
            late_since_ms=number("late_ms"),
        )

    async def affected(self, scope: str) -> Affected:
        """Return how much waits in `all`, a lane or `batch:<id>`, tries to come included; raises LedgerUnavailable.

        In `all` those in doubt count as well: what stops all calls stops the look-up that they wait for. In `channel:<name>` messages wait, one to a customer.
        """
        if scope.startswith(CHANNEL):
            count = await self._messages_waiting(Channel(scope.removeprefix(CHANNEL)))
            return Affected(jobs=count, customers=count, is_exact=True)
        reply = [int(number) for number in await self._scripts.run("affected", scope, _SAMPLE)]
        available, looked, invitations, scheduled, looked_later, tried, tried_invitations, *in_doubt = reply
        doubts, looked_doubts, doubt_invitations = in_doubt
        later = _scaled(tried, scheduled, looked_later)
        customers = (
            _scaled(invitations, available, looked)
            + _scaled(tried_invitations, scheduled, looked_later)
            + _scaled(doubt_invitations, doubts, looked_doubts)
        )
        return Affected(
            jobs=available + later + doubts,
            customers=customers,
            is_exact=(looked, looked_later, looked_doubts) == (available, scheduled, doubts),
        )

    async def _messages_waiting(self, channel: Channel) -> int:
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                pipe.zcard(self._keys.outgoing + channel)
                pipe.zcard(self._keys.rung + channel)
                return sum(int(size) for size in await pipe.execute())

    async def channels(self) -> ChannelCounts:
        """Return the messages by channel and state; raises LedgerUnavailable."""
        counts = {channel: dict.fromkeys(DeliveryState, 0) for channel in Channel}
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for channel in Channel:
                    pipe.zcard(self._keys.outgoing + channel)
                    pipe.zcard(self._keys.rung + channel)
                sizes = [int(size) for size in await pipe.execute()]
        for channel, waiting, rung in zip(Channel, sizes[::2], sizes[1::2], strict=True):
            counts[channel][DeliveryState.PENDING] = waiting + rung
        words = iter([text(word) for word in await self._scripts.run("channels", _SAMPLE)])
        is_exact = True
        for state in words:
            total, looked, channels = int(next(words)), int(next(words)), int(next(words))
            is_exact = is_exact and looked == total
            for _ in range(channels):
                name, count = next(words), int(next(words))
                counts[Channel(name)][DeliveryState(state)] = _scaled(count, total, looked)
        return ChannelCounts(by_channel=counts, is_exact=is_exact)

    async def failed_again(self, groups: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Again]:
        """Return, of the failures of each (stage, reason), how many an operator had let try again.

        Raises LedgerUnavailable.
        """
        if not groups:
            return {}
        replies = await self._scripts.run_all([("failed_again", *each, _SAMPLE) for each in groups])
        return {
            each: Again(count=int(again), is_at_least=int(total) > int(looked))
            for each, (total, looked, again) in zip(groups, replies, strict=True)
        }

    async def newest_failed(self, reason: str, limit: int) -> list[str]:
        """Return the ids of the newest failed jobs of a reason; raises LedgerUnavailable."""
        with translated():
            ids = await self._scripts.redis.zrevrange(self._keys.failed + reason, 0, limit - 1)
        return [text(each) for each in ids]

    async def batch_names(self, batches: Sequence[str]) -> dict[str, str]:
        """Return the names of those of the batches that have one; raises LedgerUnavailable."""
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for batch in batches:
                    pipe.hget(self._keys.batch + batch, "name")
                names = await pipe.execute() if batches else []
        return {batch: text(name) for batch, name in zip(batches, names, strict=True) if name}

    async def dead_until(self, before_ms: int) -> int:
        """Return how many dead letters were discarded before that; raises LedgerUnavailable."""
        with translated():
            return int(
                await self._scripts.redis.zcount(self._keys.state + JobState.DEAD, "-inf", f"({before_ms}")
            )

    async def worker_ends(self) -> dict[str, int]:
        """Return until when each worker counts as alive without a further beat, in ms; raises LedgerUnavailable."""
        with translated():
            rows: Any = await self._scripts.redis.zrange(self._keys.workers, 0, -1, withscores=True)
        return {text(worker): int(until) for worker, until in rows}

    async def fullness(self) -> Fullness:
        """Return whether the server takes writes, as far as it says; raises LedgerUnavailable."""
        facts = await info(self._scripts, "memory", "persistence")
        return Fullness(
            used_bytes=int(facts.get("used_memory", 0)),
            most_bytes=int(facts.get("maxmemory", 0)),
            can_evict=facts.get("maxmemory_policy", "noeviction") != "noeviction",
            is_write_refused=await self._is_write_refused(facts),
        )

    async def _is_write_refused(self, facts: Mapping[str, str]) -> bool:
        if facts.get("aof_last_write_status", "ok") != "ok":
            return True
        if facts.get("rdb_last_bgsave_status", "ok") == "ok":
            return False
        # A snapshot that failed stops writes only where the server is to make some, and to mind that they fail.
        is_snapshot_due = bool(await setting(self._scripts, "save"))
        return is_snapshot_due and await setting(self._scripts, "stop-writes-on-bgsave-error") == "yes"


def _scaled(part: int, whole: int, looked: int) -> int:
    """Return how many of *whole* there are, where *part* of those *looked* at were."""
    return round(part * whole / looked) if looked else 0
