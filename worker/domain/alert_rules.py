"""When something is an incident, and when it is over: rules that see the facts of one look and what was before.

Nothing flaps: what opens at a threshold goes on until it is well below, most troubles have to stand for a while before
anybody is told, and an incident ends when it has not been seen for five minutes. Pure; the time is a fact.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from worker.domain.alerts import AlertKind, ChannelFacts, Facts, HoldFacts, Incident, Thresholds, Trouble
from worker.domain.states import Channel, Lane

#: An incident that is not seen for so long is over.
QUIET_MS = 300_000
#: Longer than this between two looks, nobody watched: what was seen before proves nothing about the time between.
GAP_MS = 90_000
#: A trouble on its way to an incident may be unseen for so long (a breaker that lets a probe through).
_GRACE_MS = 60_000
#: Windows of the facts.
RECENT_MS = 600_000
HOUR_MS = 3_600_000
BEFORE_MS = 86_400_000
MESSAGES_MS = 900_000

_TOLD_FOR_S = 86_400.0  #: a telling is tried for so long
_SEEN_TWICE_S = 30.0
_EXPLAINED_WITHIN_S = 60.0  #: a hold that may clear itself by a look-up
_FORGOTTEN_S = 3_600.0  #: an operator's pause with jobs behind it
_SURGE_FACTOR = 3.0  #: of what is usual
_ON_FACTOR = 1.5  #: an open surge goes on above it
_LEAST_MESSAGES = 10  #: that failed, before a channel as a whole is in question
_AT_ONCE = frozenset({"credentials_held", "credentials_missing"})
_SLOW_SINK_S = 300.0  #: a receiver may be restarted meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What one look leaves to the next, besides the incidents."""

    looked_at_ms: int = 0
    watching_since_ms: int = 0  #: looks have followed each other closely since then
    pending: Mapping[str, tuple[int, int]] = field(default_factory=dict)  #: key → first and last seen, in ms
    bulk_taken: int = 0
    bulk_still_since_ms: int = 0  #: no bulk call since then, though something waited
    surged: Mapping[str, int] = field(default_factory=dict)  #: reason → when it last surged, in ms

    def document(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "looked_at_ms": self.looked_at_ms,
            "watching_since_ms": self.watching_since_ms,
            "pending": {key: list(times) for key, times in self.pending.items()},
            "bulk_taken": self.bulk_taken,
            "bulk_still_since_ms": self.bulk_still_since_ms,
            "surged": dict(self.surged),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Memory:
        """Return what `document` wrote; of anything else, a memory of nothing."""
        try:
            return cls(
                looked_at_ms=int(document["looked_at_ms"]),
                watching_since_ms=int(document["watching_since_ms"]),
                pending={str(key): (int(a), int(b)) for key, (a, b) in document["pending"].items()},
                bulk_taken=int(document["bulk_taken"]),
                bulk_still_since_ms=int(document["bulk_still_since_ms"]),
                surged={str(reason): int(at) for reason, at in document["surged"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one look comes to."""

    standing: tuple[Trouble, ...]  #: to be opened, or seen again
    over: tuple[Incident, ...]  #: to be ended
    memory: Memory


def decide(facts: Facts, limits: Thresholds, open_now: Collection[Incident], before: Memory) -> Decision:
    """Return what *facts* mean for the incidents that are *open_now*, and what to remember."""
    by_key = {each.key: each for each in open_now}
    memory = _looked(before, facts)
    seen = [*_troubles(facts, limits, by_key, memory)]
    standing, pending = [], _still_pending(memory, facts.now_ms)
    for trouble in seen:
        first_ms = pending.get(trouble.key, (facts.now_ms, facts.now_ms))[0]
        if trouble.key in by_key or facts.now_ms - first_ms >= trouble.after_s * 1000:
            began_ms = first_ms if trouble.since_ms is None else min(trouble.since_ms, facts.now_ms)
            standing.append(replace(trouble, since_ms=began_ms))
            pending.pop(trouble.key, None)
        else:
            pending[trouble.key] = (first_ms, facts.now_ms)
    keys = {trouble.key for trouble in seen}
    over = [each for each in open_now if each.key not in keys and _is_quiet(each, memory, facts.now_ms)]
    surged = {each.scope: facts.now_ms for each in standing if each.kind is AlertKind.REASON_SURGES}
    return Decision(
        standing=tuple(standing),
        over=tuple(over),
        memory=replace(memory, pending=pending, surged={**memory.surged, **surged}),
    )


def _looked(before: Memory, facts: Facts) -> Memory:
    """Return the memory at the present look. A long gap, or a clock set back, makes a new beginning."""
    now_ms, bulk = facts.now_ms, facts.lane(Lane.BULK)
    is_close = 0 <= now_ms - before.looked_at_ms <= GAP_MS
    is_still = is_close and bulk.free > 0 and bulk.taken == before.bulk_taken and facts.closed is None
    return Memory(
        looked_at_ms=now_ms,
        watching_since_ms=before.watching_since_ms if is_close else now_ms,
        pending=before.pending if is_close else {},
        bulk_taken=bulk.taken,
        bulk_still_since_ms=before.bulk_still_since_ms if is_still else now_ms,
        surged={reason: at for reason, at in before.surged.items() if 0 <= now_ms - at <= HOUR_MS},
    )


def _still_pending(memory: Memory, now_ms: int) -> dict[str, tuple[int, int]]:
    return {key: times for key, times in memory.pending.items() if now_ms - times[1] <= _GRACE_MS}


def _is_quiet(incident: Incident, memory: Memory, now_ms: int) -> bool:
    # Seen in the future: the clock was set back since, and counts from there.
    seen_ms = incident.last_seen_ms if incident.last_seen_ms <= now_ms else 0
    return now_ms - max(seen_ms, memory.watching_since_ms) >= QUIET_MS


def retry_after(failures: int, *, age_s: float, chance: float) -> float | None:
    """Return the seconds until a telling's next try after *failures* earlier ones and this one; None: give up.

    From 5 s to 10 min, doubling, for a day after it happened. *chance* in [0, 1) stretches the wait by up to a tenth.
    """
    if age_s >= _TOLD_FOR_S:
        return None
    return float(min(5.0 * 2 ** min(failures, 10), 600.0)) * (1 + 0.1 * chance)


# --- the rules ---------------------------------------------------------------------------------------------


def _troubles(
    facts: Facts, limits: Thresholds, by_key: Mapping[str, Incident], memory: Memory
) -> Iterator[Trouble]:
    yield from _stops(facts, limits)
    yield from _late(facts, limits, by_key, memory)
    yield from _failures(facts, limits, by_key, memory)
    yield from _expiring(facts)
    for channel, messages in facts.channels.items():
        yield from _messages(channel, messages, facts.now_ms, limits, by_key)
    yield from _sinks(facts)
    if facts.links_missing_since_ms is not None:
        yield Trouble(
            kind=AlertKind.LINKS_MISSING,
            count=facts.links_missing,
            since_ms=facts.links_missing_since_ms,
        )


def _stops(facts: Facts, limits: Thresholds) -> Iterator[Trouble]:
    waiting = sum(lane.waiting for lane in facts.lanes.values())
    if facts.closed is not None and (facts.closed != "credentials_missing" or waiting):
        after_s = limits.stopped_s
        if facts.closed == "paused":
            after_s = _FORGOTTEN_S
        elif facts.closed in _AT_ONCE:
            after_s = _SEEN_TWICE_S
        yield Trouble(
            kind=AlertKind.CALLS_STOPPED,
            scope=facts.closed,
            count=waiting,
            params={"reason": facts.closed},
            after_s=after_s,
        )
    for lane, view in facts.lanes.items():
        if view.is_paused and view.waiting:
            yield Trouble(
                kind=AlertKind.LANE_PAUSED,
                scope=lane.value,
                count=view.waiting,
                params={"lane": lane.value},
                after_s=_FORGOTTEN_S,
            )
    for hold in facts.holds:
        yield Trouble(
            kind=AlertKind.HOLD,
            scope=hold.target,
            count=hold.waiting,
            params=_of_hold(hold),
            since_ms=hold.since_ms,
            after_s=_EXPLAINED_WITHIN_S if hold.is_explaining else 0.0,
        )


def _of_hold(hold: HoldFacts) -> dict[str, str | int]:
    params: dict[str, str | int] = {"target": hold.target, "reason": hold.reason}
    if hold.is_explaining:
        params["outlook"] = "explaining"
    return params


def _late(
    facts: Facts, limits: Thresholds, by_key: Mapping[str, Incident], memory: Memory
) -> Iterator[Trouble]:
    # Behind a stop of all calls the stop is the news; what was told before that goes on, though.
    live = facts.lane(Lane.LIVE)
    oldest_s = live.oldest_s or 0.0
    late = Trouble(
        kind=AlertKind.LIVE_LATE,
        scope=Lane.LIVE.value,
        count=live.free,
        params={"oldest_s": round(oldest_s), "late_s": round(limits.late_s)},
        since_ms=facts.now_ms - round(oldest_s * 1000),
        after_s=_SEEN_TWICE_S,
    )
    is_open = late.key in by_key
    if oldest_s > (limits.late_s / 2 if is_open else limits.late_s) and (is_open or facts.closed is None):
        yield late
    bulk = facts.lane(Lane.BULK)
    stalled = Trouble(
        kind=AlertKind.BULK_STALLED,
        scope=Lane.BULK.value,
        count=bulk.free,
        params={"still_s": (facts.now_ms - memory.bulk_still_since_ms) // 1000},
        since_ms=memory.bulk_still_since_ms,
    )
    still_ms = facts.now_ms - memory.bulk_still_since_ms
    if stalled.key in by_key:
        is_stalled = facts.closed is not None or still_ms > 0
    else:
        is_stalled = still_ms >= limits.stopped_s * 1000
    if bulk.free and is_stalled:
        yield stalled


def _failures(
    facts: Facts, limits: Thresholds, by_key: Mapping[str, Incident], memory: Memory
) -> Iterator[Trouble]:
    told_apart = set(memory.surged)
    for reason, group in facts.reasons.items():
        usual = group.before * RECENT_MS / BEFORE_MS
        surge = Trouble(
            kind=AlertKind.REASON_SURGES,
            scope=reason,
            count=group.recent,
            params={"reason": reason, "total": group.total, "usual": round(usual)},
        )
        opened = by_key.get(surge.key)
        if opened is not None:
            # Measured by what was usual before it began: a surge that lasts must not become the usual.
            usual = float(opened.params.get("usual", 0))
            surge = replace(surge, params={**surge.params, "usual": round(usual)})
        least = limits.surge / 2 if opened is not None else limits.surge
        factor = _ON_FACTOR if opened is not None else _SURGE_FACTOR
        if limits.surge and group.recent >= max(1.0, least, factor * usual):
            told_apart.add(reason)
            yield surge
    yield from _growth(facts, limits, by_key, told_apart)


def _growth(
    facts: Facts, limits: Thresholds, by_key: Mapping[str, Incident], told_apart: Collection[str]
) -> Iterator[Trouble]:
    # One trouble, one alert: reasons that surge, or did within the hour, are told of by name.
    new = sum(group.hour for reason, group in facts.reasons.items() if reason not in told_apart)
    growth = Trouble(
        kind=AlertKind.FAILED_GROWS,
        count=new,
        params={"total": sum(group.total for group in facts.reasons.values())},
    )
    least = limits.failed / 2 if growth.key in by_key else limits.failed
    if limits.failed and new >= max(1.0, least):
        yield growth


def _expiring(facts: Facts) -> Iterator[Trouble]:
    for scope, count in facts.expiring.items():
        state, _, day = scope.partition(":")
        if count:
            yield Trouble(
                kind=AlertKind.EXPIRING, scope=scope, count=count, params={"state": state, "day": day}
            )


def _messages(
    channel: Channel,
    messages: ChannelFacts,
    now_ms: int,
    limits: Thresholds,
    by_key: Mapping[str, Incident],
) -> Iterator[Trouble]:
    failing = Trouble(
        kind=AlertKind.MESSAGES_FAIL,
        scope=channel.value,
        count=messages.failed,
        params={"channel": channel.value, "sent": messages.sent},
    )
    is_open = failing.key in by_key
    least, share = (_LEAST_MESSAGES / 2, 0.5) if is_open else (_LEAST_MESSAGES, 1.0)
    if messages.failed >= max(least, share * messages.sent):
        yield failing
    is_quiet = messages.last_sent_ms is None or now_ms - messages.last_sent_ms >= limits.stopped_s * 1000
    if messages.waiting and is_quiet:
        yield Trouble(
            kind=AlertKind.CHANNEL_STOPPED,
            scope=channel.value,
            count=messages.waiting,
            params={"channel": channel.value, "fault": messages.fault or ""},
            after_s=limits.stopped_s,
        )


def _sinks(facts: Facts) -> Iterator[Trouble]:
    for sink in facts.sinks:
        yield Trouble(
            kind=AlertKind.EVENTS_STOPPED,
            scope=f"{sink.sink}:{sink.trouble}",
            count=sink.waiting,
            params={"sink": sink.sink, "trouble": sink.trouble},
            since_ms=sink.since_ms,
            after_s=_SLOW_SINK_S if sink.trouble == "endpoint_down" else 0.0,
        )
