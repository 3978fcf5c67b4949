"""The whole at a glance, for the overview page and `linkferry status`: how it stands, what is wrong, for whom."""

from __future__ import annotations

import math
from typing import Any

from worker.domain.states import JobState, Lane
from worker.domain.targets import ALL, BATCH, CALLS
from worker.ledger import Hold
from worker.ledger.trail import TrailEntry
from worker.ops.scene import Scene
from worker.ops.series_view import series
from worker.ops.troubles import (
    ON_PURPOSE,
    Cause,
    Stand,
    batch_names,
    causes,
    concerns_somebody,
    stand,
    trouble_view,
)
from worker.ops.views import iso, reason_view
from worker.ops.window import window_view
from worker.ops.words import said

_DAY_S = 86_400.0
_MOST_TROUBLES = 12  #: told with whom they affect; more of them are batches, and are in `holds` and `pauses`
_MOST_SHOWN = 50  #: holds and pauses told one by one


async def overview(scene: Scene) -> dict[str, Any]:
    """Return the whole at a glance, charts of the last hour and day among it.

    Raises LedgerUnavailable, LimitsUnavailable.
    """
    now = await stand(scene)
    names = await batch_names(scene.ledger, sorted({*now.pauses, *now.holds}))
    found = causes(now, scene.catalogue, names)
    troubles = await _troubles(scene, found, now)
    hour, day = await series(scene, "hour"), await series(scene, "day")
    status = await scene.queries.status()
    return {
        "at": iso(now.now_ms),
        "environment": "sandbox" if scene.is_sandbox else "live",
        "status": status,
        "rate": _rate(now, hour["lines"]["calls"]),
        "hour": hour,
        "day": day,
        "outage": next((each for each in troubles if each["kind"] not in ON_PURPOSE), None),
        "troubles": troubles,
        "lanes": [{"lane": lane, **view} for lane, view in status["lanes"].items()],
        "breaker": {
            "state": now.limit.breaker.value,
            "until": iso(now.limit.breaker_until_ms),
            "since": iso(now.limit.broke_at_ms),
        },
        "credentials": status["provider"]["credentials"],
        "holds": [
            _hold(cause, now.holds[cause.scope], scene)
            for cause in found
            if cause.kind.endswith("_held") and cause.scope in now.holds
        ],
        "pauses": await _pauses(scene, found, now),
        "deliveries": await _deliveries(scene, status, hour, day),
        "window": await window_view(scene.ledger),
        "workers": await _workers(scene, now),
        "expiring": await _expiring(scene, now.now_ms),
    }


async def _troubles(scene: Scene, found: list[Cause], now: Stand) -> list[dict[str, Any]]:
    affected = {}
    told = [cause for cause in found if concerns_somebody(cause, now)][:_MOST_TROUBLES]
    for cause in told:
        if cause.scope not in affected:
            affected[cause.scope] = await scene.ledger.survey.affected(cause.scope)
    return [trouble_view(cause, affected[cause.scope], now) for cause in told]


def _rate(now: Stand, calls: list[int]) -> dict[str, Any]:
    """Return the calls of the last minute, about, beside what the budget allows for one."""
    limit = now.limit
    # Counted by whole minutes: of the one before, as much as the running one lacks.
    lacking = 1 - now.now_ms % 60_000 / 60_000
    made, allowed = round(calls[-1] + calls[-2] * lacking), limit.ceiling * 60
    return {
        "calls_last_minute": made,
        "allowed_per_minute": round(allowed, 1),
        "used": round(made / allowed, 4),
        "per_s": limit.rate,
        "ceiling": limit.ceiling,
    }


def _hold(cause: Cause, hold: Hold, scene: Scene) -> dict[str, Any]:
    what = cause.what()
    return {
        **_target(cause),
        **reason_view(hold.reason, scene.catalogue),
        "since": iso(hold.since_ms),
        "until": None,
        "count": hold.count,
        "text": what["text"],
        "said": what,
    }


async def paused(scene: Scene) -> list[dict[str, Any]]:
    """Return what people paused: what, since when, by whom and why, how many wait for it.

    Raises LedgerUnavailable, LimitsUnavailable.
    """
    now = await stand(scene)
    names = await batch_names(scene.ledger, sorted(now.pauses))
    return await _pauses(scene, causes(now, scene.catalogue, names), now)


async def _pauses(scene: Scene, found: list[Cause], now: Stand) -> list[dict[str, Any]]:
    made = ON_PURPOSE | {"calls_paused", "calls_paused_until"}
    return [await _pause(scene, cause, now) for cause in found if cause.kind in made][:_MOST_SHOWN]


async def _pause(scene: Scene, cause: Cause, now: Stand) -> dict[str, Any]:
    target = CALLS if cause.scope == ALL else cause.scope
    last = await _last_pause(scene, target)
    if cause.scope == ALL:
        count = now.jobs[JobState.AVAILABLE]
    else:
        count = (await scene.ledger.survey.affected(cause.scope)).jobs
    what = cause.what()
    since_ms = cause.since_ms or (last.at_ms if last else None)
    return {
        **_target(cause),
        "target": target,
        "since": iso(since_ms),
        "until": iso(cause.until_ms),
        "by": last.by if last else None,
        "why": last.why if last else None,
        "count": count,
        "text": what["text"],
        "said": what,
    }


async def _last_pause(scene: Scene, target: str) -> TrailEntry | None:
    """Return who paused *target* last: by its name, or a lane as one of all."""
    subjects = [target, ALL] if target in set(Lane) else [target]
    pages = [await scene.ledger.trail.find(act="pause", subject=each, limit=1) for each in subjects]
    found = [entry for page in pages for entry in page.items]
    return max(found, key=lambda entry: entry.at_ms, default=None)


def _target(cause: Cause) -> dict[str, Any]:
    return {
        "target": cause.scope,
        "lane": cause.params.get("lane"),
        "channel": cause.params.get("channel"),
        "batch": cause.scope.removeprefix(BATCH) if cause.scope.startswith(BATCH) else None,
        "name": cause.params.get("name"),
    }


async def _deliveries(
    scene: Scene, status: dict[str, Any], hour: dict[str, Any], day: dict[str, Any]
) -> dict[str, Any]:
    counts = await scene.ledger.survey.channels()
    return {
        "by_channel": {
            channel.value: {state.value: count for state, count in states.items()}
            for channel, states in counts.by_channel.items()
        },
        "is_exact": counts.is_exact,
        "total": status["deliveries"],
        "hour": hour["sent_by"],
        "day": day["sent_by"],
    }


async def _workers(scene: Scene, now: Stand) -> list[dict[str, Any]]:
    ends = await scene.ledger.survey.worker_ends()
    rows = []
    for worker in sorted(now.workers, key=lambda each: each.id):
        facts, left_ms = worker.facts, ends.get(worker.id, now.now_ms) - now.now_ms
        ttl_s = facts.get("ttl_s")
        rows.append(
            {
                "id": worker.id,
                "host": facts.get("host"),
                "pid": facts.get("pid"),
                "version": facts.get("version"),
                "beat_age_s": None if ttl_s is None else round(max(0.0, ttl_s - left_ms / 1000), 1),
                "running": int(facts.get("running", 0)),
                "loop_lag_s": facts.get("loop_lag_s"),
            }
        )
    return rows


async def _expiring(scene: Scene, now_ms: int) -> dict[str, Any]:
    """Return how many dead letters are deleted within a day."""
    tomorrow_ms = now_ms + round(_DAY_S * 1000)
    if math.isinf(scene.dead_keep_s):
        return {"dead": 0, "before": iso(tomorrow_ms), "said": None}
    count = await scene.ledger.survey.dead_until(tomorrow_ms - round(scene.dead_keep_s * 1000))
    told = said("dead_expire_soon", count=count) if count else None
    return {"dead": count, "before": iso(tomorrow_ms), "said": told}
