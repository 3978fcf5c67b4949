"""Incidents: what an operator is told of, each opened once, ended once, and told to each sink until that has it.

Several workers may look and tell at the same time: what is open is decided by one script, what is told by leases. A
crash between a telling and its record tells it once more, by the same id, and the try is counted.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.domain.alert_rules import BEFORE_MS, HOUR_MS, MESSAGES_MS, RECENT_MS, Memory
from worker.domain.alerts import (
    AlertKind,
    AlertPhase,
    AlertTelling,
    ChannelFacts,
    ExpiryWindow,
    Facts,
    Incident,
    LaneFacts,
    ReasonFacts,
    TellingState,
    Trouble,
)
from worker.domain.ids import new_event_id
from worker.domain.outgoing import Telling, Told
from worker.domain.states import Channel, Lane
from worker.ledger.accepting import ms
from worker.ledger.errors import translated
from worker.ledger.keys import UNIT_SEPARATOR as US
from worker.ledger.keys import Keys
from worker.ledger.paging import rank_of
from worker.ledger.records import Page
from worker.ledger.scripts import Scripts, fields_of, text
from worker.ledger.working import new_token

_CHANCE_BITS = 50
_ROWS_PER_SCRIPT = 100
_TELLING = "t:"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedAlert:
    """One phase of an incident that this process may tell one sink, until its lease runs out."""

    incident: Incident
    phase: AlertPhase
    sink: str
    attempt: int  #: 1 on the first try
    failures: int
    token: str

    @property
    def is_repeat(self) -> bool:
        """Tell whether an earlier try was never settled: the sink may have it already."""
        return self.attempt > self.failures + 1


class Incidents:
    """The verbs and queries of incidents."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys

    # --- looking at the ledger -----------------------------------------------------------------------------

    async def facts(self, windows: Sequence[ExpiryWindow] = ()) -> Facts:
        """Return what the jobs and messages tell, at one instant; raises LedgerUnavailable.

        What stops calls, holds and receivers of our events, and how many slots were taken, others know.
        """
        args = [arg for each in windows for arg in (each.state, each.from_ms, each.before_ms)]
        now_ms, lanes, reasons, channels, counts = await self._scripts.run(
            "incident_facts", RECENT_MS, HOUR_MS, BEFORE_MS, MESSAGES_MS, ",".join(Channel), *args
        )
        return Facts(
            now_ms=int(now_ms),
            lanes=dict(_lane(row) for row in lanes),
            reasons=dict(_reason(row) for row in reasons),
            channels=dict(_channel(row) for row in channels),
            expiring={each.scope: int(count) for each, count in zip(windows, counts, strict=True)},
        )

    async def memory(self) -> tuple[int, Memory]:
        """Return what the last look left, and its number; raises LedgerUnavailable."""
        with translated():
            row = await self._scripts.redis.hgetall(self._keys.incident_memory)
        fields = {text(name): text(value) for name, value in row.items()}
        try:
            document = json.loads(fields.get("doc", "{}"))
        except ValueError:
            document = {}
        return int(fields.get("n", 0)), Memory.from_document(document)

    async def remember(self, number: int, memory: Memory) -> bool:
        """Keep what this look leaves in place of the memory of *number*; False: another process was quicker.

        Raises LedgerUnavailable.
        """
        return int(await self._scripts.run("incident_remember", number, json.dumps(memory.document()))) == 1

    # --- opening and ending --------------------------------------------------------------------------------

    async def stands(self, trouble: Trouble, *, sinks: Sequence[str] = ()) -> tuple[str, bool]:
        """Open *trouble*'s incident, or see it once more; return its id and whether it was opened now.

        Those of *sinks* that were not told of it yet will be. Raises LedgerUnavailable.
        """
        now_ms = await self._scripts.now()
        began_ms = now_ms if trouble.since_ms is None else trouble.since_ms
        fresh = f"alr_{new_event_id(now_ms=now_ms, chance=secrets.randbits(_CHANCE_BITS))}"
        params = json.dumps(dict(trouble.params), ensure_ascii=False)
        incident_id, is_new = await self._scripts.run(
            "incident_stands", trouble.kind, trouble.scope, fresh, began_ms, trouble.count, params, *sinks
        )
        return text(incident_id), int(is_new) == 1

    async def end(self, incident: Incident) -> bool:
        """End *incident*, unless it was seen again since it was read, or has ended; raises LedgerUnavailable."""
        return int(await self._scripts.run("incident_end", incident.id, incident.last_seen_ms)) == 1

    async def prune(self, *, older_than_s: float, limit: int = 1_000) -> int:
        """Delete incidents that were opened longer ago and have ended; return how many. Raises LedgerUnavailable."""
        before_ms, pruned, skip = await self._scripts.now() - ms(older_than_s), 0, 0
        while pruned < limit:
            gone, kept = await self._scripts.run("incident_prune", before_ms, _ROWS_PER_SCRIPT, skip)
            pruned, skip = pruned + int(gone), skip + int(kept)
            if int(gone) + int(kept) < _ROWS_PER_SCRIPT:
                break
        return pruned

    # --- telling -------------------------------------------------------------------------------------------

    async def claim(self, sink: str, *, worker_id: str, lease_s: float, want: int = 10) -> list[ClaimedAlert]:
        """Take up to *want* tellings that are due to *sink*, under leases of *lease_s*; raises LedgerUnavailable."""
        token = new_token(worker_id)
        rows = await self._scripts.run("incident_claim", sink, token, ms(lease_s), want)
        return [
            ClaimedAlert(
                incident=_incident(text(incident_id), fields_of(fields)),
                phase=AlertPhase(text(phase)),
                sink=sink,
                attempt=int(tries),
                failures=int(failures),
                token=token,
            )
            for incident_id, phase, tries, failures, fields in rows
        ]

    async def settle(self, claimed: ClaimedAlert, telling: Telling, *, delay_s: float | None = None) -> bool:
        """Write what a try came to; return False when the lease was lost. Raises LedgerUnavailable: say it again.

        *delay_s*, where it was not told: seconds until the next try; None: it is given up.
        """
        fault = "" if isinstance(telling, Told) else telling.fault.value
        status = "" if telling.status is None else telling.status
        delay = "" if delay_s is None else ms(delay_s)
        reply = await self._scripts.run(
            "incident_settle",
            claimed.incident.id,
            claimed.phase,
            claimed.sink,
            claimed.token,
            fault,
            status,
            delay,
        )
        return int(reply) == 1

    async def abandon(self, worker_id: str) -> int:
        """Let be told again at once what a worker was telling that is known to be gone; raises LedgerUnavailable."""
        return int(await self._scripts.run("incident_abandon", worker_id))

    # --- looking at incidents ------------------------------------------------------------------------------

    async def open(self) -> list[Incident]:
        """Return the incidents that are open, newest first; raises LedgerUnavailable."""
        with translated():
            ids = await self._scripts.redis.hvals(self._keys.incidents_open)
        found = await self._read([text(item) for item in ids])
        return sorted(found, key=lambda each: (-each.opened_at_ms, each.id))

    async def open_count(self) -> int:
        """Return how many incidents are open; raises LedgerUnavailable."""
        with translated():
            return int(await self._scripts.redis.hlen(self._keys.incidents_open))

    async def get(self, incident_id: str) -> Incident | None:
        """Return one incident, or None; raises LedgerUnavailable."""
        found = await self._read([incident_id])
        return found[0] if found else None

    async def ended(self, *, cursor: str | None = None, limit: int = 50) -> Page[Incident]:
        """Return the incidents that have ended, the latest opened first.

        A cursor is a rank: what begins or ends between two pages may show twice or be passed over. Raises
        LedgerUnavailable, and ValueError for a cursor that is none of ours.
        """
        start = rank_of(cursor)
        with translated():
            open_now = await self._scripts.redis.hlen(self._keys.incidents_open)
            total = int(await self._scripts.redis.zcard(self._keys.incidents))
            # Open ones lie in between: so many more are read that a page is whole with all of them in it.
            ids = await self._scripts.redis.zrevrange(
                self._keys.incidents, start, start + limit + int(open_now) - 1
            )
        found = await self._read([text(item) for item in ids])
        items = [each for each in found if each.ended_at_ms is not None][:limit]
        read = next((at for at, each in enumerate(found) if items and each.id == items[-1].id), -1) + 1
        following = start + read if start + read < total and len(items) == limit else None
        return Page(
            items=tuple(items),
            next=None if following is None else str(following),
            total=max(0, total - int(open_now)),
        )

    async def _read(self, ids: Sequence[str]) -> list[Incident]:
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for item in ids:
                    pipe.hgetall(self._keys.incident + item)
                rows = await pipe.execute() if ids else []
        return [
            _incident(item, {text(name): text(value) for name, value in row.items()})
            for item, row in zip(ids, rows, strict=True)
            if row
        ]


def _incident(incident_id: str, fields: Mapping[str, str]) -> Incident:
    return Incident(
        id=incident_id,
        kind=AlertKind(fields["k"]),
        scope=fields["sc"],
        began_at_ms=_ms(fields["b"]),
        opened_at_ms=_ms(fields["o"]),
        last_seen_ms=_ms(fields["ls"]),
        ended_at_ms=_ms(fields["e"]) if "e" in fields else None,
        count=int(fields["n"]),
        peak=int(fields["p"]),
        params=json.loads(fields["ph"]),
        tellings=tuple(
            _telling(name.removeprefix(_TELLING), value)
            for name, value in sorted(fields.items(), reverse=True)
            if name.startswith(_TELLING)
        ),
    )


def _telling(name: str, value: str) -> AlertTelling:
    phase, _, sink = name.partition(":")
    state, tries, failures, at, fault, status, _token = value.split(US)
    return AlertTelling(
        phase=AlertPhase(phase),
        sink=sink,
        state=TellingState(state),
        tries=int(tries),
        failures=int(failures),
        at_ms=_ms(at) if at else None,
        fault=fault or None,
        status=int(status) if status else None,
    )


def _lane(row: Sequence[Any]) -> tuple[Lane, LaneFacts]:
    lane, free, oldest, waiting, is_paused = (text(value) for value in row)
    return Lane(lane), LaneFacts(
        free=int(free),
        oldest_s=int(oldest) / 1000 if oldest else None,
        waiting=int(waiting),
        is_paused=is_paused == "1",
    )


def _reason(row: Sequence[Any]) -> tuple[str, ReasonFacts]:
    reason, *counts = row
    recent, hour, before, total = (int(count) for count in counts)
    return text(reason), ReasonFacts(recent=recent, hour=hour, before=before, total=total)


def _channel(row: Sequence[Any]) -> tuple[Channel, ChannelFacts]:
    channel, waiting, fault, sent, failed, last = (text(value) for value in row)
    return Channel(channel), ChannelFacts(
        waiting=int(waiting),
        fault=fault or None,
        sent=int(sent),
        failed=int(failed),
        last_sent_ms=_ms(last) if last else None,
    )


def _ms(word: str) -> int:
    return int(float(word))
