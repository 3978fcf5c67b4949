"""The fleet's metrics for Prometheus: every process and machine in one page, since all of it lies in Redis.

States and depths are read from the ledger when asked for; counters are what the workers flushed (`telemetry.Stats`).
Labels hold our own words only: nothing personal, and no value that an outsider can multiply.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.domain.event import EventState
from worker.domain.outgoing import SinkRecord
from worker.domain.states import Lane
from worker.ledger import LaneView, Ledger, WorkerFacts
from worker.limits import BreakerState, Limits, LimitsStatus
from worker.telemetry import parse_stat_key

_HELP = {
    "api_refused": "Requests without an API key that holds, by reason (no_key, wrong_key).",
    "calls": "Partner creates by outcome, reason and product.",
    "call_seconds": "Seconds spent waiting for the partner's answers to creates.",
    "limiter_waits": "Creates that waited for a slot of the rate.",
    "limiter_wait_seconds": "Seconds that creates waited for a slot.",
    "failures": "Jobs that entered the failed queue, by reason and class.",
    "messages": "Messages by channel, outcome and reason.",
    "message_parts": "SMS parts and mails that were sent.",
    "messages_resent": "Messages sent once more after doubt.",
    "brands_missed": "Messages sent in the default's name, because the brand that was asked for is gone.",
    "reminders": "Reminders made.",
    "rescues": "Jobs taken back from a lease that ran out, by the state they went to.",
    "doubts_resolved": "Creates of unknown outcome that a look-up settled, by state.",
    "explained": "Failures of an unknown code that a look-up found the cause of (or did not), by the job's state then.",
    "lookups": "List calls to the partner.",
    "alarms": "Alarms raised.",
    "incidents": "Incidents opened, by kind.",
    "alerts_told": "Tries to tell incidents, by kind, receiver and outcome (told, again, given_up).",
    "events_told": "Tries to tell our own events, by sink, type, outcome and fault.",
    "crm_events": "Events that CRMs told of, by CRM and outcome (recorded, duplicate, altered, skipped, refused) and reason.",
    "provider_reports_in": "Reports of the partner's webhook, by outcome (recorded, duplicate, refused) and reason.",
    "provider_reports": "Reports that were worked on, by outcome (done, skipped, failed, retry) and reason.",
    "provider_forwards": "Tries to pass reports on to FORWARD_URL, by outcome (passed_on, retry, failed).",
    "completions": "Customers who finished, by how that is known (list, webhook).",
    "links_vanished": "Links that were gone at the partner.",
    "crm_worked": "Events that were worked on, by CRM and outcome (done, known, skipped, failed, retry) and reason.",
}


async def metrics_text(ledger: Ledger, limits: Limits) -> str:
    """Return the metrics page in Prometheus's text format.

    Raises:
        LedgerUnavailable, LimitsUnavailable: Redis did not answer.
    """
    families = [
        *_states("linkferry_jobs", "Jobs by state.", await ledger.queries.counts()),
        *_states("linkferry_deliveries", "Messages by state.", await ledger.deliveries.counts()),
        *_events_in(await ledger.intake.counts()),
        *_lanes(await ledger.queries.lanes()),
        *_outbox(await ledger.outbox.sinks(), await ledger.now_ms()),
        *_limits(await limits.status()),
        *_workers(await ledger.fleet.workers()),
        *_counters(await ledger.fleet.stats()),
    ]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Page(families))
    return generate_latest(registry).decode()


class _Page(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _states(name: str, help_text: str, counts: Mapping[Any, int]) -> Iterator[Metric]:
    family = GaugeMetricFamily(name, help_text, labels=["state"])
    for state, count in counts.items():
        family.add_metric([str(state)], count)
    yield family


def _events_in(counts: Mapping[str, Mapping[EventState, int]]) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "linkferry_events_in", "Events that came in, by source and state.", labels=["source", "state"]
    )
    for source, states in counts.items():
        for state, count in states.items():
            family.add_metric([source, state.value], count)
    yield family


def _lanes(lanes: Mapping[Lane, LaneView]) -> Iterator[Metric]:
    depth = GaugeMetricFamily("linkferry_lane_waiting", "Jobs that wait in a lane.", labels=["lane"])
    oldest = GaugeMetricFamily("linkferry_lane_oldest_seconds", "Age of the oldest of them.", labels=["lane"])
    stopped = GaugeMetricFamily("linkferry_lane_stopped", "1: paused or held.", labels=["lane"])
    for lane, view in lanes.items():
        depth.add_metric([str(lane)], view.waiting)
        oldest.add_metric([str(lane)], view.oldest_s or 0.0)
        stopped.add_metric([str(lane)], float(view.paused or view.held is not None))
    yield from (depth, oldest, stopped)


def _outbox(sinks: list[SinkRecord], now_ms: int) -> Iterator[Metric]:
    events = GaugeMetricFamily(
        "linkferry_events", "Our own events that are not told yet.", labels=["sink", "state"]
    )
    overdue = GaugeMetricFamily(
        "linkferry_events_overdue_seconds", "How long ago the oldest was due.", labels=["sink"]
    )
    stopped = GaugeMetricFamily(
        "linkferry_events_stopped", "1: the sink is down, paused or gone.", labels=["sink"]
    )
    dropped = CounterMetricFamily(
        "linkferry_events_dropped", "Events not kept, because too many waited.", labels=["sink"]
    )
    for sink in sinks:
        for state, count in (("waiting", sink.waiting), ("sending", sink.sending), ("failed", sink.failed)):
            events.add_metric([sink.name, state], count)
        overdue.add_metric([sink.name], max(0.0, (now_ms - (sink.oldest_due_ms or now_ms)) / 1000))
        stopped.add_metric([sink.name], float(sink.is_stopped(now_ms)))
        dropped.add_metric([sink.name], sink.dropped)
    if sinks:  # nothing of it shows where events never were on
        yield from (events, overdue, stopped, dropped)


def _limits(status: LimitsStatus) -> Iterator[Metric]:
    for name, help_text, value in (
        ("rate", "Calls a second aimed at now.", status.rate),
        ("ceiling", "Calls a second allowed by the settings.", status.ceiling),
        ("ahead_seconds", "How far ahead the next slot lies.", status.waiting_s),
        ("closed", "1: no call may be made now.", float(status.closed_reason is not None)),
        ("breaker_open", "1: the breaker is open.", float(status.breaker is BreakerState.OPEN)),
    ):
        yield GaugeMetricFamily(f"linkferry_limiter_{name}", help_text, value=value)
    taken = CounterMetricFamily("linkferry_slots_taken", "Slots of the rate taken.", labels=["lane"])
    for lane, count in status.taken.items():
        taken.add_metric([lane.value], count)
    yield taken


def _workers(workers: list[WorkerFacts]) -> Iterator[Metric]:
    yield GaugeMetricFamily("linkferry_workers", "Worker processes alive.", value=len(workers))
    lag = GaugeMetricFamily(
        "linkferry_loop_lag_seconds",
        "Worst lateness of a worker's event loop in its last beat.",
        labels=["worker"],
    )
    running = GaugeMetricFamily("linkferry_leases_held", "Leases that a worker holds.", labels=["worker"])
    for worker in workers:
        lag.add_metric([worker.id], float(worker.facts.get("loop_lag_s", 0.0)))
        running.add_metric([worker.id], float(worker.facts.get("running", 0)))
    yield from (lag, running)


def _counters(stats: Mapping[str, float]) -> Iterator[Metric]:
    rows: dict[str, list[tuple[dict[str, str], float]]] = {}
    for key, value in stats.items():
        name, labels = parse_stat_key(key)
        rows.setdefault(name, []).append((labels, value))
    for name, series in sorted(rows.items()):
        names = sorted({label for labels, _ in series for label in labels})
        family = CounterMetricFamily(f"linkferry_{name}", _HELP.get(name, name), labels=names)
        for labels, value in series:
            family.add_metric([labels.get(label, "") for label in names], value)
        yield family
