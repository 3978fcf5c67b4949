"""What is watched after links were made: gone at the partner, numbers that run out, open for long. In groups to act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.domain.states import JobState
from worker.ledger import JobFilter
from worker.ledger.completing import VANISHED, ExpiringNumber, PartnerView
from worker.ops.scene import Scene
from worker.ops.views import iso, job_view, shown_name, shown_number
from worker.ops.words import Said, said

_SAMPLES = 10
_DAY_S = 86_400.0
Group = dict[str, Any]


async def watch(scene: Scene, *, is_revealed: bool = False) -> dict[str, Any]:
    """Return the groups that somebody may want to act on, those that lose customers first; empty ones are left out.

    Each: how many, what it means, what to do, the commands that do it, and some of its jobs or numbers. Raises
    LedgerUnavailable.
    """
    view = await scene.ledger.completing.view()
    now_ms = await scene.ledger.now_ms()
    groups = [
        await _vanished(scene, is_revealed=is_revealed),
        _missing(view),
        await _expiring(scene, view, now_ms, is_revealed=is_revealed),
        await _open_long(scene, is_revealed=is_revealed),
    ]
    return {
        "items": [group for group in groups if group is not None],
        "listed_at": iso(view.listed_at_ms),
        "registered_at": iso(view.registered_at_ms),
        "is_revealed": is_revealed,
    }


async def _vanished(scene: Scene, *, is_revealed: bool) -> Group | None:
    wanted = JobFilter(state=JobState.FAILED, reason=VANISHED)
    commands = [
        f"linkferry failed requeue --reason {VANISHED}",
        f"linkferry failed discard --reason {VANISHED}",
    ]
    return await _of_jobs(scene, "vanished", wanted, commands, is_revealed=is_revealed)


async def _open_long(scene: Scene, *, is_revealed: bool) -> Group | None:
    wanted = JobFilter(state=JobState.LINKED, older_than_s=scene.link_open_s)
    span = span_word(scene.link_open_s)
    chosen = f"--state linked --older-than {span}"
    commands = [f"linkferry job list {chosen}", f"linkferry job revoke {chosen}"]
    return await _of_jobs(
        scene, "open_long", wanted, commands, is_revealed=is_revealed, params={"open_s": scene.link_open_s}
    )


async def _of_jobs(
    scene: Scene,
    kind: str,
    wanted: JobFilter,
    commands: Sequence[str],
    *,
    is_revealed: bool,
    params: dict[str, Any] | None = None,
) -> Group | None:
    page = await scene.ledger.queries.find(wanted, limit=_SAMPLES)
    if not page.items:
        return None
    samples = [job_view(job, scene.catalogue, is_revealed=is_revealed) for job in page.items]
    what = said(f"watch_{kind}", count=page.total, **(params or {}))
    return _group(kind, page.total, what, commands) | {
        "is_count_exact": page.is_total_exact,
        "filter": wanted.document(),
        "jobs": samples,
    }


async def _expiring(scene: Scene, view: PartnerView, now_ms: int, *, is_revealed: bool) -> Group | None:
    """Return the numbers whose 90 days end soon, the first to end first; those with a link are being finished."""
    numbers = sorted(
        (each for each in view.numbers if each.expires_at_ms > now_ms), key=lambda each: each.expires_at_ms
    )
    if not numbers:
        return None
    last_ms = max(each.expires_at_ms for each in numbers)
    what = said("watch_expiring", count=len(numbers), before_at=iso(last_ms + 1000))
    shown = numbers[:_SAMPLES]
    jobs = await scene.ledger.queries.jobs([each.job_id for each in shown if each.job_id])
    names = {job.id: shown_name(job, is_revealed=is_revealed) for job in jobs}
    rows = [_number(each, names, now_ms, is_revealed=is_revealed) for each in shown]
    first = shown[0].job_id or "NUMBER"
    return _group("expiring", len(numbers), what, [f"linkferry customer show {first}"]) | {"numbers": rows}


def _number(
    each: ExpiringNumber, names: dict[str, str | None], now_ms: int, *, is_revealed: bool
) -> dict[str, Any]:
    return {
        "number": shown_number(each.number, is_revealed=is_revealed),
        "expires_at": iso(each.expires_at_ms),
        "days_left": int((each.expires_at_ms - now_ms) / 1000 // _DAY_S),
        "job_id": each.job_id,
        "name": names.get(each.job_id or ""),
        "is_linked": each.is_linked,
    }


def _missing(view: PartnerView) -> Group | None:
    """Return the links that the last list did not hold where they are too many to be believed."""
    if not view.missing or view.suspicious_since_ms is None:
        return None
    what = said("watch_missing", count=view.missing)
    group = _group("missing", view.missing, what, ["linkferry doctor --live"])
    return group | {"since": iso(view.suspicious_since_ms)}


def _group(kind: str, count: int, what: Said, commands: Sequence[str]) -> Group:
    return {
        "kind": kind,
        "count": count,
        "is_count_exact": True,
        "what": what,
        "do": said(f"watch_{kind}_do"),
        "commands": list(commands),
        "filter": None,
        "since": None,
        "jobs": [],
        "numbers": [],
    }


def span_word(seconds: float) -> str:
    """Return a length of time as the filters take it: `14d`, `36h`."""
    for sign, size in (("d", _DAY_S), ("h", 3600.0), ("m", 60.0)):
        if seconds % size == 0:
            return f"{seconds / size:g}{sign}"
    return f"{seconds:g}s"
