"""What keeps jobs from being worked on: since when, for how many customers, and how long it takes to catch up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.domain.reasons import Catalogue
from worker.domain.states import JobState, Lane
from worker.domain.targets import ALL, BATCH, CHANNEL
from worker.ledger import Ahead, Hold, LaneView, Ledger, WorkerFacts
from worker.ledger.survey import Affected, Fullness
from worker.limits import BreakerState, CredentialsState
from worker.limits.values import LimitsStatus
from worker.ops.eta import HEADROOM, eta_s
from worker.ops.holds import outlook_said
from worker.ops.scene import Scene
from worker.ops.views import iso
from worker.ops.words import Said, said

_MOST_OUTLOOKS = 12  #: holds that are looked into; more of them are batches
_SHORT_MS = 1_000  # the partner's shorter pauses are waited out, not told
#: Of these an operator knows: he made them himself.
ON_PURPOSE = frozenset({"lane_paused", "batch_paused", "channel_paused"})
#: These keep messages from going out as well.
_STOPS_ALL = frozenset({"no_worker", "redis_full"})
_REFUSES_NEWCOMERS = frozenset({"queue_full"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """How the whole stands at one moment."""

    now_ms: int
    limit: LimitsStatus
    has_credentials: bool
    workers: list[WorkerFacts]
    lanes: dict[Lane, LaneView]
    pauses: set[str]
    holds: dict[str, Hold]
    fullness: Fullness
    jobs: dict[JobState, int]
    max_waiting: int
    #: of holds, where there is more to say than their reason
    outlooks: dict[str, Said] = field(default_factory=dict)

    @property
    def is_queue_full(self) -> bool:
        """Tell whether newcomers are refused because as many wait as may."""
        return self.jobs[JobState.AVAILABLE] + self.jobs[JobState.SCHEDULED] >= self.max_waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that stops work."""

    kind: str  #: `trouble_<kind>` and `remedy_<kind>` are its sentences
    scope: str = ALL  #: `all`, a lane, or `batch:<id>`
    since_ms: int | None = None
    until_ms: int | None = None  #: when it ends, or is tried again, by itself
    params: dict[str, Any] = field(default_factory=dict)

    def stops(self, lane: Lane, batch: str | None) -> bool:
        """Tell whether a waiting job of that lane and batch waits because of it."""
        own = {ALL, lane.value} | ({f"{BATCH}{batch}"} if batch else set())
        return self.kind not in _REFUSES_NEWCOMERS and self.scope in own

    def stops_messages(self, channels: Iterable[str]) -> bool:
        """Tell whether a message by one of those channels waits because of it."""
        return self.kind in _STOPS_ALL or self.scope in {f"{CHANNEL}{channel}" for channel in channels}

    def what(self) -> Said:
        """Return what is the matter."""
        return said(f"trouble_{self.kind}", **self._params)

    def remedy(self) -> Said:
        """Return what to do about it."""
        suffix = "_outlook" if "outlook" in self.params else ""
        return said(f"remedy_{self.kind}{suffix}", **self._params)

    @property
    def _params(self) -> dict[str, Any]:
        return {**self.params, "until_at": iso(self.until_ms)} if self.until_ms else self.params


async def stand(scene: Scene) -> Stand:
    """Return how the whole stands; raises LedgerUnavailable, LimitsUnavailable."""
    ledger = scene.ledger
    holds = await ledger.batches.holds()
    return Stand(
        now_ms=await ledger.now_ms(),
        limit=await scene.limits.status(),
        has_credentials=scene.has_credentials,
        workers=await ledger.fleet.workers(),
        lanes=await ledger.queries.lanes(),
        pauses=await ledger.batches.pauses(),
        holds=holds,
        fullness=await ledger.survey.fullness(),
        jobs=await ledger.queries.counts(),
        max_waiting=scene.max_waiting,
        outlooks=await _outlooks(scene, _ordered(holds)[:_MOST_OUTLOOKS]),
    )


async def _outlooks(scene: Scene, scopes: Iterable[str]) -> dict[str, Said]:
    found = {scope: outlook_said(await scene.ledger.batches.outlook(scope)) for scope in scopes}
    return {scope: outlook for scope, outlook in found.items() if outlook is not None}


def causes(now: Stand, catalogue: Catalogue, names: dict[str, str]) -> list[Cause]:
    """Return all that stops work, the most general first; *names* are those of batches by their ids."""
    return [*_general(now), *_closed(now), *_scoped(now, catalogue, names)]


def _general(now: Stand) -> Iterator[Cause]:
    if not now.workers:
        yield Cause(kind="no_worker")
    if now.fullness.is_full:
        yield Cause(kind="redis_full")
    if now.is_queue_full:
        yield Cause(kind="queue_full", params={"most": now.max_waiting})


def _closed(now: Stand) -> Iterator[Cause]:
    limit = now.limit
    if not now.has_credentials:
        yield Cause(kind="credentials_missing")
    if limit.is_paused:
        kind = "calls_paused" if limit.paused_until_ms is None else "calls_paused_until"
        yield Cause(kind=kind, since_ms=limit.paused_since_ms, until_ms=limit.paused_until_ms)
    if now.has_credentials and limit.credentials is CredentialsState.HELD:
        yield Cause(kind="credentials_held", since_ms=limit.held_since_ms, until_ms=limit.next_try_ms)
    if limit.breaker is BreakerState.OPEN:
        yield Cause(kind="breaker_open", since_ms=limit.broke_at_ms, until_ms=limit.breaker_until_ms)
    if limit.breaker is BreakerState.HALF_OPEN:
        yield Cause(kind="breaker_half_open", since_ms=limit.broke_at_ms)
    if limit.is_throttled and not limit.is_paused and (limit.paused_until_ms or 0) - now.now_ms > _SHORT_MS:
        yield Cause(
            kind="partner_throttled", since_ms=limit.throttled_since_ms, until_ms=limit.paused_until_ms
        )


def _scoped(now: Stand, catalogue: Catalogue, names: dict[str, str]) -> Iterator[Cause]:
    for scope in _ordered(now.holds):
        yield held(scope, now.holds[scope], catalogue, names, outlook=now.outlooks.get(scope))
    for scope in _ordered(now.pauses):
        yield paused(scope, names)


def held(
    scope: str,
    hold: Hold,
    catalogue: Catalogue,
    names: Mapping[str, str],
    *,
    outlook: Said | None = None,
) -> Cause:
    """Return the hold that stands on *scope*; *names* are those of batches by their ids."""
    reason = catalogue.named(hold.reason)
    params = _naming(scope, names) | {
        "reason": hold.reason,
        "meaning": reason.meaning,
        "remedy": reason.remedy,
    }
    if outlook is not None:
        params["outlook"] = outlook
    return Cause(kind=f"{_kind(scope)}_held", scope=scope, since_ms=hold.since_ms, params=params)


def paused(scope: str, names: Mapping[str, str]) -> Cause:
    """Return an operator's pause of *scope*; *names* are those of batches by their ids."""
    return Cause(kind=f"{_kind(scope)}_paused", scope=scope, params=_naming(scope, names))


def concerns_somebody(cause: Cause, now: Stand) -> bool:
    """Tell whether a cause is a trouble, and not merely a fact: a held batch of which nothing waits any more is none."""
    return cause.kind != "batch_held" or now.holds[cause.scope].count > 0


def _ordered(scopes: Iterable[str]) -> list[str]:
    return sorted(scopes, key=lambda scope: (scope.startswith(BATCH), scope))


def _kind(scope: str) -> str:
    kind, mark, _ = scope.partition(":")
    return kind if mark else "lane"


def _naming(scope: str, names: Mapping[str, str]) -> dict[str, Any]:
    if scope.startswith(CHANNEL):
        channel = scope.removeprefix(CHANNEL)
        return {"channel": channel, "channel_name": channel}
    if not scope.startswith(BATCH):
        return {"lane": scope, "lane_name": scope}  # as a word, and as it is typed
    batch = scope.removeprefix(BATCH)
    return {"batch": batch, "name": names.get(batch, batch)}


async def batch_names(ledger: Ledger, scopes: Iterable[str]) -> dict[str, str]:
    """Return the names of those of the scopes that are batches; raises LedgerUnavailable."""
    batches = [scope.removeprefix(BATCH) for scope in scopes if scope.startswith(BATCH)]
    names = await ledger.survey.batch_names(batches)
    return {batch: names.get(batch) or batch for batch in batches}


def trouble_view(cause: Cause, affected: Affected, now: Stand) -> dict[str, Any]:
    """Return a cause with whom it affects and when the backlog would be worked off once it is over."""
    is_of_messages = cause.scope.startswith(CHANNEL)
    catch_up = None if is_of_messages else catch_up_s(cause.scope, affected.jobs, now)
    what, remedy = cause.what(), cause.remedy()
    expected = _expected_messages(affected) if is_of_messages else _expected(affected, catch_up)
    return {
        "kind": cause.kind,
        "scope": cause.scope,
        "since": iso(cause.since_ms),
        "until": iso(cause.until_ms),
        "what": what,
        "customers": affected.customers,
        "is_customers_exact": affected.is_exact,
        "jobs": affected.jobs,
        "catch_up_s": None if catch_up is None else round(catch_up, 1),
        "expected": expected,
        "remedy": remedy,
        "text": " ".join(each["text"] for each in (what, expected, remedy)),
    }


def catch_up_s(scope: str, jobs: int, now: Stand) -> float | None:
    """Return how many seconds the budget needs for the jobs that wait, once they may go; None: nobody can say."""
    rate = now.limit.ceiling
    if scope in {ALL, Lane.LIVE.value}:
        return jobs / (HEADROOM * rate)
    live = now.lanes[Lane.LIVE].waiting
    return eta_s(jobs, Ahead(live=live, bulk=0, queues=0), rate=rate)


def _expected_messages(affected: Affected) -> Said:
    if not affected.jobs:
        return said("expected_no_messages")
    return said("expected_messages", count=affected.jobs)


def _expected(affected: Affected, catch_up: float | None) -> Said:
    if not affected.customers:
        return said("expected_nobody")
    code = "expected_customers" if affected.is_exact else "expected_customers_about"
    return said(code, count=affected.customers, catch_up_s=round(catch_up or 0.0, 1))
