"""What operators ask of incidents, for the CLI and the console alike: plain dictionaries, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from worker.domain.alert_words import alert_words
from worker.domain.alerts import AlertKind, AlertTelling, Incident, mail_sink
from worker.domain.phone import mask_email
from worker.domain.targets import BATCH
from worker.ledger import Ledger
from worker.ops.queries import DEFAULT_LIMIT
from worker.ops.views import iso


class Alerts:
    """Answers about incidents; changes nothing."""

    def __init__(self, ledger: Ledger, *, addresses: Sequence[str] = ()) -> None:
        """Ask *ledger*; *addresses* are those in ALERT_EMAIL, by which it is told who was written to."""
        self._incidents = ledger.incidents
        self._survey = ledger.survey
        self._sinks = {mail_sink(address): f"email {mask_email(address)}" for address in addresses}

    async def page(self, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT) -> dict[str, Any]:
        """Return the incidents, all that are open first, then those that ended: `{"items", "next", "total", "open"}`.

        The open ones are on the first page only. Raises LedgerUnavailable, ValueError (not one of our cursors).
        """
        open_now = await self._incidents.open()
        ended = await self._incidents.ended(cursor=cursor, limit=limit)
        shown = await self._named([*(open_now if cursor is None else ()), *ended.items])
        return {
            "items": [incident_view(each, self._sinks) for each in shown],
            "next": ended.next,
            "total": ended.total + len(open_now),
            "open": len(open_now),
        }

    async def incident(self, incident_id: str) -> dict[str, Any] | None:
        """Return one incident, or None; raises LedgerUnavailable."""
        found = await self._incidents.get(incident_id)
        if found is None:
            return None
        [named] = await self._named([found])
        return incident_view(named, self._sinks)

    async def _named(self, incidents: Sequence[Incident]) -> list[Incident]:
        """Return them with the names of the batches that are held, as people know them."""
        scopes = {each.scope for each in incidents if each.kind is AlertKind.HOLD}
        batches = sorted(each.removeprefix(BATCH) for each in scopes if each.startswith(BATCH))
        names = await self._survey.batch_names(batches)
        return [
            replace(each, params={**each.params, "name": names[each.scope.removeprefix(BATCH)]})
            if each.kind is AlertKind.HOLD and each.scope.removeprefix(BATCH) in names
            else each
            for each in incidents
        ]


def incident_view(incident: Incident, sinks: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return an incident with its words, and how far it has been told."""
    is_ended = incident.ended_at_ms is not None
    words = alert_words(incident, is_ended=is_ended)
    return {
        "incident_id": incident.id,
        "kind": incident.kind.value,
        "scope": incident.scope,
        "state": "ended" if is_ended else "open",
        "title": words.title,
        "means": words.means,
        "what_to_do": words.do,
        "commands": list(words.commands),
        "page": words.page,
        "codes": dict(words.codes),
        "params": dict(words.params),
        "count": incident.count,
        "peak": incident.peak,
        "began_at": iso(incident.began_at_ms),
        "opened_at": iso(incident.opened_at_ms),
        "last_seen_at": iso(incident.last_seen_ms),
        "ended_at": iso(incident.ended_at_ms),
        "tellings": [_telling_view(each, sinks or {}) for each in incident.tellings],
    }


def _telling_view(telling: AlertTelling, sinks: Mapping[str, str]) -> dict[str, Any]:
    return {
        "phase": telling.phase.value,
        "sink": sinks.get(telling.sink, telling.sink),
        "state": telling.state.value,
        "tries": telling.tries,
        "failures": telling.failures,
        "at": iso(telling.at_ms),
        "fault": telling.fault,
        "status": telling.status,
    }
