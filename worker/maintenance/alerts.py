"""Sees what an operator has to hear of, and tells it: once when it begins, once when it is over.

One worker of the fleet looks, by a lease; every worker tells, each telling under a lease of its own. All that is decided
stands in the ledger, so that whoever comes after a crash goes on from there.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from worker.dispatch.alerts import AlertSink, Tried
from worker.domain.alert_rules import Decision, decide, retry_after
from worker.domain.alert_words import Environment, alert_notice
from worker.domain.alerts import AlertPhase, Facts, HoldFacts, Incident, SinkFacts, Thresholds, expiry_windows
from worker.domain.outgoing import NotTold, SinkBusy, SinkRecord, TellFault, Told
from worker.domain.states import JobState, Lane
from worker.domain.targets import BATCH
from worker.ledger import Hold, Ledger
from worker.ledger.incidents import ClaimedAlert
from worker.limits import BreakerState, Limits, LimitsStatus
from worker.limits.values import ClosedReason
from worker.maintenance.minder import Duty, end_tasks
from worker.maintenance.watch import troubles_of
from worker.telemetry import Stats, log

#: Above the longest that a sink takes, with its answer.
_LEASE_S = 120.0
_AT_ONCE = 4
_TELL_EVERY_S = 2.0
_PATIENCE_S = 20.0  #: a worker that stops has some 45 s


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertWatch:
    """Looks at cheap facts, opens incidents and ends them."""

    ledger: Ledger
    limits: Limits
    stats: Stats
    thresholds: Thresholds
    keep_s: Mapping[
        JobState, float
    ]  #: how long dead letters and failed jobs are kept: their end is warned of
    has_credentials: bool
    sinks: Sequence[str] = ()  #: who is told; without any, incidents are only kept

    async def run_once(self) -> None:
        """Look once. Raises LedgerUnavailable, LimitsUnavailable: what was decided by then stands."""
        facts = await self._facts()
        number, memory = await self.ledger.incidents.memory()
        decision = decide(facts, self.thresholds, await self.ledger.incidents.open(), memory)
        await self._carry_out(decision)
        await self.ledger.incidents.remember(number, decision.memory)

    async def _carry_out(self, decision: Decision) -> None:
        for trouble in decision.standing:
            incident_id, is_new = await self.ledger.incidents.stands(trouble, sinks=self.sinks)
            if is_new:
                self.stats.count("incidents", kind=trouble.kind.value)
                log.error(
                    "incident_opened",
                    event_id=incident_id,
                    kind=trouble.kind.value,
                    target=trouble.scope,
                    count=trouble.count,
                )
        for incident in decision.over:
            if await self.ledger.incidents.end(incident):
                log.info(
                    "incident_ended",
                    event_id=incident.id,
                    kind=incident.kind.value,
                    target=incident.scope,
                    peak=incident.peak,
                )

    async def _facts(self) -> Facts:
        now_ms = await self.ledger.now_ms()
        windows = [
            window
            for state, keep_s in self.keep_s.items()
            for window in expiry_windows(
                state.value, keep_s, now_ms, later_ms=await self._later(state, keep_s)
            )
        ]
        facts = await self.ledger.incidents.facts(windows)
        status = await self.limits.status()
        holds, sinks = await self.ledger.batches.holds(), await self.ledger.outbox.sinks()
        partner = await self.ledger.completing.view()
        return replace(
            facts,
            closed=self._closed(status),
            lanes={
                lane: replace(view, taken=status.taken.get(Lane(lane), 0))
                for lane, view in facts.lanes.items()
            },
            holds=[
                await self._hold(target, hold)
                for target, hold in sorted(holds.items())
                if _matters(target, hold)
            ],
            sinks=[each for sink in sinks for each in _sink_facts(sink)],
            links_missing=partner.missing,
            links_missing_since_ms=partner.suspicious_since_ms,
        )

    async def _later(self, state: JobState, keep_s: float) -> int | None:
        return None if math.isinf(keep_s) else await self.ledger.due_later(state, keep_s)

    async def _hold(self, target: str, hold: Hold) -> HoldFacts:
        outlook = await self.ledger.batches.outlook(target)
        return HoldFacts(
            target=target,
            reason=hold.reason,
            since_ms=hold.since_ms,
            waiting=hold.count,
            is_explaining=outlook.is_explaining,
        )

    def _closed(self, status: LimitsStatus) -> str | None:
        if not self.has_credentials:
            return "credentials_missing"
        if status.closed_reason is None and status.breaker is not BreakerState.CLOSED:
            return ClosedReason.BREAKER_OPEN.value  # half open is not well again
        return None if status.closed_reason is None else status.closed_reason.value


def _matters(target: str, hold: Hold) -> bool:
    # A held batch of which nothing waits any more concerns nobody; of a held lane the next job does.
    return hold.count > 0 or not target.startswith(BATCH)


def _sink_facts(sink: SinkRecord) -> list[SinkFacts]:
    since = {"endpoint_gone": sink.gone_since_ms, "endpoint_down": sink.down_since_ms}
    return [
        SinkFacts(
            sink=sink.name,
            trouble=trouble,
            waiting=sink.failed if trouble == "events_failed" else sink.waiting,
            since_ms=since.get(trouble),
        )
        for trouble in troubles_of(sink)
    ]


@dataclass(kw_only=True)
class AlertTeller:
    """Tells what the ledger says is due, each telling under a lease."""

    ledger: Ledger
    sinks: Sequence[AlertSink]
    stats: Stats
    environment: Environment
    worker_id: str
    lease_s: float = _LEASE_S
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    def duties(self) -> list[Duty]:
        """Return one duty for each sink, so that a slow one keeps no other waiting."""
        return [
            Duty(name=f"tell_alerts_{sink.name}", run_once=partial(self.tell, sink), every_s=_TELL_EVERY_S)
            for sink in self.sinks
        ]

    async def tell(self, sink: AlertSink) -> None:
        """Tell *sink* what is due to it, and return when that has ended. Raises LedgerUnavailable, LedgerFull."""
        # A worker that stops ends its duties at once: what is being told comes to its end all the same, in `aclose`.
        task = asyncio.create_task(self._tell_due(sink))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        await asyncio.shield(task)

    async def aclose(self) -> None:
        """Let what is under way end, for a while; then close the sinks."""
        if self._under_way:
            # What does not end in time is told again by another, when its lease is over.
            _, late = await asyncio.wait(self._under_way, timeout=_PATIENCE_S)
            await end_tasks(late)
        for sink in self.sinks:
            await sink.aclose()

    async def _tell_due(self, sink: AlertSink) -> None:
        claimed = await self.ledger.incidents.claim(
            sink.name, worker_id=self.worker_id, lease_s=self.lease_s, want=_AT_ONCE
        )
        # At once, for their leases run at once. An end is due only when its beginning was told.
        await asyncio.gather(*(self._tell_one(each, sink) for each in claimed))

    async def _tell_one(self, claimed: ClaimedAlert, sink: AlertSink) -> None:
        tried = await self._say(claimed, sink)
        telling, delay_s = tried.telling, None
        if isinstance(telling, SinkBusy):
            delay_s = telling.delay_s
        elif isinstance(telling, NotTold):
            age_s = (await self.ledger.now_ms() - _happened_ms(claimed)) / 1000
            delay_s = retry_after(claimed.failures, age_s=age_s, chance=random.random())  # noqa: S311 - jitter
        held = await self.ledger.incidents.settle(claimed, telling, delay_s=delay_s)
        self._report(claimed, tried, will_try_again=delay_s is not None, held=held)

    async def _say(self, claimed: ClaimedAlert, sink: AlertSink) -> Tried:
        try:
            return await sink.tell(alert_notice(claimed.incident, claimed.phase, self.environment))
        except Exception:
            # A fault of ours with one alert must not keep the others from being told.
            log.exception("alert_failed", event_id=claimed.incident.id, target=claimed.sink)
            return Tried(telling=NotTold(fault=TellFault.OUR_FAULT))

    def _report(self, claimed: ClaimedAlert, tried: Tried, *, will_try_again: bool, held: bool) -> None:
        is_told = isinstance(tried.telling, Told)
        outcome = "told" if is_told else "again" if will_try_again else "given_up"
        channel = claimed.sink.partition(":")[0]
        self.stats.count("alerts_told", kind=claimed.incident.kind.value, target=channel, outcome=outcome)
        tell = log.info if is_told else log.warning
        tell(
            "alert_told" if is_told else "alert_not_told",
            event_id=claimed.incident.id,
            kind=claimed.incident.kind.value,
            state=claimed.phase.value,
            target=claimed.sink,
            outcome=outcome,
            reason=None if isinstance(tried.telling, Told) else tried.telling.fault.value,
            status=tried.telling.status,
            attempt=claimed.attempt,
            is_repeat=claimed.is_repeat,
            lease_held=held,
        )


def _happened_ms(claimed: ClaimedAlert) -> int:
    incident: Incident = claimed.incident
    if claimed.phase is AlertPhase.ENDED and incident.ended_at_ms is not None:
        return incident.ended_at_ms
    return incident.opened_at_ms
