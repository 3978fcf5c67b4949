"""The failed queue by reason: how many, since when, whether it grows, what it means and what to do about it."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import datetime
from typing import Any

from worker.domain.reasons import ReasonClass
from worker.ledger import JobFilter
from worker.ops.names import names_of
from worker.ops.scene import Scene
from worker.ops.views import answered, iso
from worker.ops.words import Said, said

_HOURS = 24
_HOUR_MS = 3_600_000
_RECENT = 3  #: hours that are compared with the ones before
_TELLING = 5  #: fewer than so many say nothing about a trend
_RISES, _FALLS = 1.5, 0.5
_SAMPLES = 5


async def groups(scene: Scene) -> dict[str, Any]:
    """Return the failed queue by reason, the largest group first, each with its trend; raises LedgerUnavailable."""
    found = await scene.queries.failure_groups()
    items = await _enriched(scene, found["items"])
    return {**found, "items": items, "count": sum(int(item["count"]) for item in items)}


async def group(scene: Scene, reason: str, *, stage: str = "link") -> dict[str, Any] | None:
    """Return one group with some of its answers, masked, or None where nothing failed so; raises LedgerUnavailable."""
    found = await scene.queries.failure_groups()
    own = [item for item in found["items"] if item["reason"] == reason and item["stage"] == stage]
    if not own:
        return None
    [item] = await _enriched(scene, own)
    return {**item, "samples": await _samples(scene, reason, stage)}


async def _enriched(scene: Scene, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    read = await scene.ledger.series.reasons(hours=_HOURS + 1)
    now_ms = await scene.ledger.now_ms()
    lacking = 1 - now_ms % _HOUR_MS / _HOUR_MS
    keys = [(str(item["stage"]), str(item["reason"])) for item in items]
    again = await scene.ledger.survey.failed_again(keys)
    enriched = []
    for item, key in zip(items, keys, strict=True):
        earlier, *hours = read.hours.get(key, [0] * (_HOURS + 1))
        is_new = _age_h(item["first_at"], now_ms) <= _RECENT
        enriched.append(
            {
                **item,
                "is_unknown": item["reason_class"] == ReasonClass.UNKNOWN,
                "trend": trend(hours, is_new=is_new, earlier=earlier, lacking=lacking),
                "failed_again": asdict(again[key]),
                "samples": [],
            }
        )
    return enriched


def trend(hours: list[int], *, is_new: bool, earlier: int = 0, lacking: float = 0.0) -> dict[str, Any]:
    """Return how a reason's failures go: the last three hours beside what three hours brought before them.

    They are counted by whole hours. Of the one that is running a part is still *lacking*: as much of the hour at the
    other end stands for it, else a minute past the hour the last three would be two. *earlier*: of the hour before all.
    """
    carried = round(hours[-_RECENT - 1] * lacking)
    recent, before = sum(hours[-_RECENT:]) + carried, hours[:-_RECENT]
    usual = (sum(before) - carried + earlier * lacking) * _RECENT / len(before)
    # What stands failed may all be of today, and yet the reason an old acquaintance: the others were mended.
    word = _word(recent, usual, is_new=is_new and not usual)
    last_hour = hours[-1] + round(hours[-2] * lacking)
    return {"hours": hours, "last_hour": last_hour, "word": word, "said": _said(word, recent, usual)}


def _word(recent: int, usual: float, *, is_new: bool) -> str:
    if is_new and recent:
        return "new"
    if recent >= _TELLING and recent > _RISES * usual:
        return "up"
    if usual >= _TELLING and recent < _FALLS * usual:
        return "down"
    return "steady" if recent or usual else "quiet"


def _said(word: str, recent: int, usual: float) -> Said:
    if word in {"up", "down"}:
        return said(f"trend_{word}", recent=recent, usual=round(usual))
    return said(f"trend_{word}", recent=recent) if word == "steady" else said(f"trend_{word}")


def _age_h(first_at: str | None, now_ms: int) -> float:
    if first_at is None:
        return math.inf
    return (now_ms / 1000 - datetime.fromisoformat(first_at).timestamp()) / 3600


async def _samples(scene: Scene, reason: str, stage: str) -> list[dict[str, Any]]:
    """Return what came back for the newest of them, masked."""
    if stage == "link":
        ids = await scene.ledger.survey.newest_failed(reason, _SAMPLES)
        jobs = await scene.ledger.queries.jobs(ids)
        rows = [(job.id, job.changed_at_ms, job.raw, job.detail) for job in jobs]
    else:
        page = await scene.ledger.deliveries.failed(JobFilter(reason=reason, stage=stage), limit=_SAMPLES)
        rows = [(each.id, each.changed_at_ms, None, each.detail) for each in page.items]
    names = await names_of(scene.ledger, [row[0] for row in rows])
    return [
        {
            "id": subject,
            "name": names[subject],
            "at": iso(at_ms),
            "answer": answered(raw),
            "detail": answered(detail),
        }
        for subject, at_ms, raw, detail in rows
    ]
