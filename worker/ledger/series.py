"""What happened over time: throughput and failures by the minute and the hour, for charts and trends.

Counted by the very scripts that make the moves (`tick` in lua/prelude.lua), read with zeros where nothing happened.
It expires by itself, holds names of ours only, and nothing is ever decided by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from worker.ledger.errors import translated
from worker.ledger.keys import Keys
from worker.ledger.scripts import Scripts, text

#: What is counted: jobs that came in, that entered a state, creates begun, messages.
NAMES = ("accepted", "linked", "failed", "dead", "sent", "delivery_failed", "calls")
MINUTES_KEPT = 25 * 60  #: whole minutes that can be read back
HOURS_KEPT = 8 * 24  #: whole hours that can be read back
_MINUTE_MS, _HOUR_MS, _DAY_MS = 60_000, 3_600_000, 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """How often each thing happened in steps of equal length; the last step is still filling."""

    start_ms: int  #: when the first step began
    step_ms: int
    #: name → a number per step; `sent` and `delivery_failed` also per channel: `sent.sms`
    lines: dict[str, list[int]]

    def total(self, name: str) -> int:
        """Return how often it happened in all."""
        return sum(self.lines.get(name, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonHours:
    """How many failed by each reason, hour by hour; the last hour is still running."""

    start_ms: int
    hours: dict[tuple[str, str], list[int]]  #: (stage, reason) → a number per hour


class SeriesReader:
    """Reads what was counted; changes nothing."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    async def read(self, *, minutes: int, step_min: int) -> Series:
        """Return the last *minutes* in steps of *step_min* minutes, zeros included, by the server's time.

        Steps begin at whole multiples of their length, so that the same step shows the same number a moment later.

        Raises:
            LedgerUnavailable: see `errors`.
            ValueError: the steps do not divide the time, or it goes further back than is kept.
        """
        is_hourly = step_min % 60 == 0
        if step_min < 1 or minutes < step_min or minutes % step_min or (is_hourly and 1440 % step_min):
            raise ValueError(f"steps of {step_min} minutes do not fit into {minutes}")
        if minutes > (HOURS_KEPT * 60 if is_hourly else MINUTES_KEPT):
            raise ValueError(f"{minutes} minutes in steps of {step_min} go further back than is kept")
        step_ms, count = step_min * _MINUTE_MS, minutes // step_min
        last_ms = await self._scripts.now() // step_ms * step_ms
        start_ms = last_ms - (count - 1) * step_ms
        lines = {name: [0] * count for name in NAMES}
        for at_ms, name, number in await self._counted(start_ms, last_ms + step_ms, is_hourly=is_hourly):
            line = lines.setdefault(name, [0] * count)
            line[(at_ms - start_ms) // step_ms] += number
        for name in list(lines):
            whole, _, channel = name.partition(".")
            if channel:
                lines[whole] = [a + b for a, b in zip(lines[whole], lines[name], strict=True)]
        return Series(start_ms=start_ms, step_ms=step_ms, lines=lines)

    async def reasons(self, *, hours: int = 24) -> ReasonHours:
        """Return how many failed by reason in each of the last *hours*, the running one included.

        Raises LedgerUnavailable, ValueError.
        """
        if not 1 <= hours <= HOURS_KEPT:
            raise ValueError(f"{hours} hours are not kept")
        last = await self._scripts.now() // _HOUR_MS
        first = last - hours + 1
        rows = await self._hashes(self._keys.reason_hours, first // 24, last // 24)
        found: dict[tuple[str, str], list[int]] = {}
        for day, fields in rows.items():
            for field, number in fields.items():
                hour, stage, reason = field.split(":", 2)
                place = day * 24 + int(hour) - first
                if 0 <= place < hours:
                    found.setdefault((stage, reason), [0] * hours)[place] += number
        return ReasonHours(start_ms=first * _HOUR_MS, hours=found)

    async def _counted(
        self, start_ms: int, end_ms: int, *, is_hourly: bool
    ) -> Iterator[tuple[int, str, int]]:
        """Return when, what and how often, of all that was counted in that time."""
        base, whole_ms, part_ms = (self._keys.minutes, _HOUR_MS, _MINUTE_MS)
        if is_hourly:
            base, whole_ms, part_ms = (self._keys.hours, _DAY_MS, _HOUR_MS)
        rows = await self._hashes(base, start_ms // whole_ms, (end_ms - 1) // whole_ms)
        found = (
            (whole * whole_ms + int(part) * part_ms, name, number)
            for whole, fields in rows.items()
            for field, number in fields.items()
            for part, _, name in [field.partition(":")]
        )
        return (each for each in found if start_ms <= each[0] < end_ms)

    async def _hashes(self, base: str, first: int, last: int) -> Mapping[int, dict[str, int]]:
        numbers = range(first, last + 1)
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for number in numbers:
                    pipe.hgetall(f"{base}{number}")
                rows = await pipe.execute()
        return {
            number: {text(name): int(value) for name, value in row.items()}
            for number, row in zip(numbers, rows, strict=True)
        }
