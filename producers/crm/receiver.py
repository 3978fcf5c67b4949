"""Where CRMs call: `POST /crm/{name}/{path}`. Verified raw, read, recorded in one durable step, then acked.

Nothing is fetched or mapped before the ack: a worker does that. What the CRM is told of a refusal says nothing that a
stranger could use.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from producers.bodies import BODY_DEADLINE_S, MAX_BODY_BYTES, BadBodyError, read_body
from producers.crm.model import Crm, NotAuthenticError, RawRequest, Reading, UnreadableError
from producers.crm.signing import is_same
from producers.problems import as_json, full, not_found, problem
from worker.clock import Clock, SystemClock
from worker.domain.event import EventReceipt, EventVerdict, NewEvent
from worker.domain.ids import new_event_id
from worker.ledger import LedgerFull, LedgerUnavailable
from worker.telemetry import Stats, log

#: Bytes of a body; whoever is not named may send as much as any producer.
MAX_BYTES: Mapping[str, int] = {"salesforce": 2 * MAX_BODY_BYTES}  #: a hundred records as XML
EVENTS = "crm_events"  #: the counter, by crm, outcome and reason
RING_EVERY_S = 0.02  #: one bell wakes a worker for a hundred events; a burst needs no more than that
_CHANCE_BITS = 50
_REFUSED_BODIES = {400: "cut_off", 408: "too_slow", 413: "too_large", 415: "compressed"}


class Recorder(Protocol):
    """What the receiver needs of the ledger."""

    async def record(
        self, events: Sequence[NewEvent], *, max_waiting: int, durable: bool = True
    ) -> list[EventReceipt]:
        """Record events durably; raises LedgerUnavailable or LedgerFull."""
        ...


class Bell(Protocol):
    """Wakes a worker for events of a source. Neither waits nor fails."""

    def ring_intake(self, source: str) -> None:
        """Ring for the events of *source* that wait."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmDeps:
    """What the receiver works with."""

    crms: Mapping[str, Crm]  #: those that are on
    paths: Mapping[str, str]  #: the unguessable last part of each one's URL
    intake: Recorder
    bell: Bell
    stats: Stats
    max_waiting: int  #: events of all CRMs that may wait; beyond it requests get 503
    clock: Clock = field(default_factory=SystemClock)
    body_deadline_s: float = BODY_DEADLINE_S  #: for a whole body, however it trickles


def crm_routes(deps: CrmDeps) -> list[web.RouteDef]:
    """Return the CRMs' routes. Errors become documents in `producers.problems.problem_middleware`."""
    return [web.post("/crm/{name}/{path}", Receiver(deps).receive)]


def source_of(name: str) -> str:
    """Return the source that a CRM's events and requests are recorded under."""
    return f"crm:{name}"


def crm_of(source: str) -> str:
    """Return the CRM's name in a source."""
    return source.removeprefix("crm:")


class Receiver:
    """Takes the CRMs' requests in."""

    def __init__(self, deps: CrmDeps) -> None:
        self._deps = deps
        self._ring = Ringer(deps.bell)
        self._draw = random.SystemRandom().getrandbits  # two processes must never draw the same ids

    async def receive(self, request: web.Request) -> web.StreamResponse:
        """Take one request of a CRM in."""
        crm = self._crm_at(request.match_info["name"], request.match_info["path"])
        if crm is None:
            response = not_found("There is nothing at this path.")
            response.force_close()  # whatever else a stranger sends is not read
            return response
        try:
            body = await read_body(
                request,
                max_bytes=MAX_BYTES.get(crm.name, MAX_BODY_BYTES),
                deadline_s=self._deps.body_deadline_s,
            )
        except BadBodyError as error:
            self._note_refusal(crm, _REFUSED_BODIES[error.response.status])
            return error.response
        raw = RawRequest(
            method=request.method,
            headers=_headers(request),
            body=body,
            received_at=self._deps.clock.now(),
        )
        try:
            crm.verify(raw)
            reading = crm.read(raw)
            events = self._new_events(crm, reading)
        except NotAuthenticError as error:
            self._note_refusal(crm, error.code)
            return _not_authentic()
        except UnreadableError as error:
            self._note_refusal(crm, "unreadable")
            return _unreadable(str(error))
        return await self._record(crm, reading, events)

    def _crm_at(self, name: str, path: str) -> Crm | None:
        # Compared even where there is no such CRM: the time taken does not tell which ones are on.
        matches = is_same(path, self._deps.paths.get(name, ""))
        return self._deps.crms.get(name) if matches and path else None

    def _new_events(self, crm: Crm, reading: Reading) -> list[NewEvent]:
        now_ms = self._deps.clock.now_ms()
        return [
            NewEvent(
                id=new_event_id(now_ms=now_ms, chance=self._draw(_CHANCE_BITS)),
                source=source_of(crm.name),
                key=_encodable(event.key),
                digest=event.digest,
                body=_encodable(as_json(event.body)),
            )
            for event in reading.events
        ]

    async def _record(self, crm: Crm, reading: Reading, events: list[NewEvent]) -> web.StreamResponse:
        receipts: list[EventReceipt] = []
        try:
            if events:
                receipts = await self._deps.intake.record(events, max_waiting=self._deps.max_waiting)
        except (LedgerUnavailable, LedgerFull) as error:
            self._note_refusal(crm, "ledger_full" if isinstance(error, LedgerFull) else "ledger_away")
            raise
        verdicts = Counter(each.verdict for each in receipts)
        self._count(crm, reading, receipts)
        if verdicts[EventVerdict.RECORDED]:
            self._ring(source_of(crm.name))
        if verdicts[EventVerdict.FULL]:
            # Of a body some may have been recorded: when it is sent again, those are duplicates.
            self._note_refusal(crm, "ledger_full")
            return full()
        answer = reading.answer
        return web.Response(
            status=answer.status, body=answer.body, headers={"Content-Type": answer.content_type}
        )

    def _count(self, crm: Crm, reading: Reading, receipts: Sequence[EventReceipt]) -> None:
        stats = self._deps.stats
        acked = [each.verdict for each in receipts if each.verdict is not EventVerdict.FULL]
        for verdict, count in Counter(acked).items():
            stats.count(EVENTS, count, crm=crm.name, outcome=verdict.value)
        for reason, count in Counter(reading.skipped).items():
            stats.count(EVENTS, count, crm=crm.name, outcome="skipped", reason=reason)
        for each in receipts:
            if each.verdict is EventVerdict.ALTERED:
                # Acked all the same: the CRM would only send it again. The record waits for a person.
                stats.count("alarms", target=crm.name, reason="altered")
                log.error("crm_event_altered", crm=crm.name, event_id=each.id)

    def _note_refusal(self, crm: Crm, reason: str) -> None:
        self._deps.stats.count(EVENTS, crm=crm.name, outcome="refused", reason=reason)
        log.warning("crm_request_refused", crm=crm.name, reason=reason)


class Ringer:
    """Rings for a source at once, and then for a while not more often than every RING_EVERY_S."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._quiet: dict[str, bool] = {}  #: sources rung for just now → whether more has come since

    def __call__(self, source: str) -> None:
        """Ring for *source*, now or in a moment."""
        if source in self._quiet:
            self._quiet[source] = True
            return
        self._bell.ring_intake(source)
        self._quiet[source] = False
        asyncio.get_running_loop().call_later(RING_EVERY_S, self._look_again, source)

    def is_quiet(self, source: str) -> bool:
        """Tell whether *source* was rung for just now, so that the next bell waits."""
        return source in self._quiet

    def _look_again(self, source: str) -> None:
        if self._quiet.pop(source):
            self(source)


def _headers(request: web.Request) -> dict[str, str]:
    """Return the headers by their names in lower case; one that is sent twice is joined, as HTTP says."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnreadableError("a text holds half of a surrogate pair") from None
    return text


def _not_authentic() -> web.Response:
    return problem(
        401,
        "not-authentic",
        "The request is not proven to be the CRM's",
        "Its signature or token is missing, wrong or too old. The log of `web` says which.",
    )


def _unreadable(why: str) -> web.Response:
    return problem(400, "unreadable", "The body makes no sense", f"{why[:1].upper()}{why[1:]}.")
