"""How long the partner takes for a file's links, at the rate of the moment and behind what waits already. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.domain.states import JobState, Lane
from worker.limits import LimitsStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When the last link of a file is made, should nothing else come and the rate stay as it is."""

    calls: int  #: creates that the file asks for: one a link
    rate: float  #: calls/s now: less than the ceiling after the partner has asked for less
    ceiling: float  #: calls/s as configured
    waiting_ahead: int | None  #: jobs that may go first; None: not known
    pause_s: float = 0.0  #: until calls go on, as far as anybody knows
    stopped: str | None = None  #: why no bulk call may be made now

    @property
    def eta_s(self) -> float:
        """Return seconds until the last call is made."""
        return self.pause_s + ((self.waiting_ahead or 0) + self.calls) / self.rate

    @property
    def is_slowed(self) -> bool:
        """Tell whether the rate is below the configured one."""
        return self.rate < 0.999 * self.ceiling


def forecast(
    calls: int, status: LimitsStatus, *, waiting_ahead: int | None, now_ms: int, stopped: str | None = None
) -> Forecast:
    """Return the forecast for *calls* under the limit that *status* tells of.

    *now_ms* is Redis time; *stopped* says why the lane stands still though the limit does not.
    """
    ends_ms = [end for end in (status.paused_until_ms, status.breaker_until_ms) if end is not None]
    reason = status.closed_reason
    return Forecast(
        calls=calls,
        rate=status.rate,
        ceiling=status.ceiling,
        waiting_ahead=waiting_ahead,
        pause_s=max([0.0, *((end - now_ms) / 1000 for end in ends_ms)]),
        stopped=stopped if reason is None else reason.value,
    )


def waiting_ahead(status: Mapping[str, Any]) -> int:
    """Return how many jobs may go before a new batch's last, by the document of `linkferry status --json`.

    What a pause or a hold keeps back is left out: it would wait for a person.
    """
    jobs, lanes = status["jobs"], status["lanes"]
    kept_back = {each["batch"]: each["waiting"] for kind in status["batches"].values() for each in kind}
    bulk = 0 if _stop_of(lanes, Lane.BULK) else lanes[Lane.BULK]["waiting"]
    waiting = max(0, bulk + jobs[JobState.SCHEDULED] - sum(kept_back.values()))
    live = 0 if _stop_of(lanes, Lane.LIVE) else lanes[Lane.LIVE]["waiting"]
    return int(waiting + live + jobs[JobState.RUNNING])


def lane_stop(status: Mapping[str, Any]) -> str | None:
    """Return why no bulk job is begun, by the same document, or None where some are."""
    return _stop_of(status["lanes"], Lane.BULK)


def _stop_of(lanes: Mapping[str, Any], lane: Lane) -> str | None:
    if lanes[lane]["paused"]:
        return f"{lane}_paused"
    return f"{lane}_held" if lanes[lane]["held"] else None
