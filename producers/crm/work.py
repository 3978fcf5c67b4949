"""What a worker does with recorded events: claims, fetches, maps, parses, enqueues, and settles each by itself.

A crash between the enqueue and the settle is harmless: the same request again meets its own invitation. So every step
may be repeated, and none may be skipped.
"""

from __future__ import annotations

import asyncio
import json
import random
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

from producers.crm.model import (
    Crm,
    FetchLaterError,
    FetchRefusedError,
    QuestionRefusedError,
    Unwanted,
    Wanted,
)
from producers.crm.receiver import crm_of, source_of
from producers.enqueue import Origin, Parcel, row_text
from worker.clock import Clock
from worker.domain.event import (
    ClaimedEvent,
    EventDone,
    EventFailed,
    EventOutcome,
    EventRetry,
    EventSkipped,
)
from worker.domain.job import Lease, Receipt, Verdict
from worker.domain.parse import InvalidRequest, ParseRules, Problem, parse_request
from worker.domain.reasons import ReasonClass
from worker.domain.retry import policy_for, retry_delay_s
from worker.domain.states import Lane
from worker.ledger import LedgerFull, LedgerUnavailable
from worker.telemetry import Stats, log

WORKED = "crm_worked"  #: the counter, by crm, outcome and reason
#: hundreds of events of one CRM that one process works on at a time: a slow one holds up no other
AT_ONCE = 4
_HUNDRED = 100
_SETTLE_TRIES = 5
_SETTLE_WAIT_S = 0.2
#: A CRM that refuses our token is asked again this often: a person mends it, nothing is lost meanwhile.
_REFUSED_S = 300.0
#: A full ledger empties at the partner's rate.
_FULL_S = 60.0
#: While a CRM is away, its further events are left where they are, for this long at the most.
_LONGEST_HOLD_S = 60.0

#: An outage of most of a day leaves events waiting, not failed.
_PATIENCE = policy_for(ReasonClass.TRANSIENT)
CONTACT_DIFFERS = "contact_differs"  #: in the metrics: the request stands, with another contact
FAULT = "fault"  #: the reason where something of our own went wrong
_FAULT = Problem(
    "event",
    FAULT,
    "a fault of Linkferry's own",
    "See crm_event_upset in the worker's log and report it; after the upgrade: linkferry crm retry.",
)

Keeping = Callable[[Lease], AbstractContextManager[None]]
_Whole = Mapping[str, Any]
_Readable = tuple[ClaimedEvent, _Whole]


class Intake(Protocol):
    """What is needed of the ledger's incoming events."""

    async def claim_due(
        self, source: str, *, want: int, worker_id: str, lease_s: float
    ) -> list[ClaimedEvent]:
        """Take due events under a lease."""
        ...

    async def settle(self, results: Sequence[tuple[Lease, EventOutcome]]) -> int:
        """Write what became of them; return how many leases held."""
        ...


class Door(Protocol):
    """What is needed of the one door."""

    rules: ParseRules

    async def enqueue_many(self, parcels: Sequence[Parcel], *, durable: bool = True) -> list[Receipt]:
        """Record requests and return their receipts in the same order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkDeps:
    """What the events are worked on with."""

    crms: Mapping[str, Crm]
    intake: Intake
    door: Door
    stats: Stats
    clock: Clock
    worker_id: str
    lease_s: float
    keeping: Keeping  #: renews a lease for as long as a block runs
    is_draining: Callable[[], bool] = lambda: False
    #: by CRM; the door's own where none is named
    rules: Mapping[str, ParseRules] = field(default_factory=dict)


class EventWorker:
    """Works on the events of the CRMs that are on. Those of others stay where they are."""

    def __init__(self, deps: WorkDeps) -> None:
        self._deps = deps
        self._chance = random.SystemRandom().random
        self._places = {name: asyncio.Semaphore(AT_ONCE) for name in deps.crms}
        self._held_until_s: dict[str, float] = {}  #: source → the clock's monotonic seconds

    async def take(self, source: str) -> int:
        """Work on the due events of *source* until there are none; return how many were claimed.

        Where all places are taken or the CRM is away it does nothing: the duty rings again.
        """
        crm = self._deps.crms.get(crm_of(source))
        if crm is None or self._places[crm.name].locked():
            return 0
        total = 0
        async with self._places[crm.name]:
            while not self._deps.is_draining() and not self._is_held(source):
                try:
                    claimed = await self._deps.intake.claim_due(
                        source, want=_HUNDRED, worker_id=self._deps.worker_id, lease_s=self._deps.lease_s
                    )
                    await self._work(crm, claimed)
                except (LedgerUnavailable, LedgerFull) as error:
                    # Their leases run out, and what was enqueued meets itself.
                    log.warning("crm_events_left", crm=crm.name, error=type(error).__name__)
                    break
                total += len(claimed)
                if not claimed:
                    break
        return total

    def is_on(self, source: str) -> bool:
        """Tell whether events of *source* can be worked on now."""
        return crm_of(source) in self._deps.crms and not self._is_held(source)

    def _is_held(self, source: str) -> bool:
        return self._deps.clock.monotonic() < self._held_until_s.get(source, 0.0)

    async def _work(self, crm: Crm, events: Sequence[ClaimedEvent]) -> None:
        with ExitStack() as leases:
            for event in events:
                leases.enter_context(self._deps.keeping(event.lease))
            outcomes = await self._outcomes(crm, events)
            await self._settle(crm, list(zip(events, outcomes, strict=True)))

    async def _settle(self, crm: Crm, results: Sequence[tuple[ClaimedEvent, EventOutcome]]) -> None:
        if not results:
            return
        written = [(event.lease, outcome) for event, outcome in results]
        for tries_left in reversed(range(_SETTLE_TRIES)):
            try:
                held = await self._deps.intake.settle(written)
                break
            except LedgerUnavailable:
                if not tries_left:
                    raise
                await asyncio.sleep(_SETTLE_WAIT_S)
        if held < len(results):
            log.warning("crm_leases_lost", crm=crm.name, count=len(results) - held)
        for event, outcome in results:
            self._tell(crm, event, outcome)

    # --- from a recorded body to an outcome ----------------------------------------------------------------

    async def _outcomes(self, crm: Crm, events: Sequence[ClaimedEvent]) -> list[EventOutcome]:
        bodies = [_decoded(event.body) for event in events]
        readable = [
            (event, body) for event, body in zip(events, bodies, strict=True) if isinstance(body, dict)
        ]
        wholes = iter(await self._fetch(crm, readable) if readable else ())
        requests = [
            self._request(crm, next(wholes)) if isinstance(body, dict) else _unreadable() for body in bodies
        ]
        endings = iter(await self._enqueue([each for each in requests if isinstance(each, tuple)]))
        return [next(endings) if isinstance(each, tuple) else each for each in requests]

    async def _fetch(self, crm: Crm, wanted: Sequence[_Readable]) -> list[_Whole | EventOutcome]:
        """Return the whole object of each event, or what stands in its way."""
        try:
            wholes = await crm.fetch([body for _, body in wanted])
            return [
                EventSkipped(reason="gone") if whole is None else whole
                for _, whole in zip(wanted, wholes, strict=True)
            ]
        except FetchLaterError as error:
            return [self._later(crm, event, error) for event, _ in wanted]
        except QuestionRefusedError as error:
            refused = EventFailed(reason=error.reason, problems=(_refused(error),))
            return await self._halved(crm, wanted, lambda _: refused)
        except FetchRefusedError as error:
            self._deps.stats.count("alarms", target=crm.name, reason=error.reason)
            log.error("crm_refused_us", crm=crm.name, reason=error.reason, remedy=error.remedy)  # noqa: TRY400 - its remedy says all
            self._hold(crm, _REFUSED_S)
            return [EventRetry(reason=error.reason, delay_s=_REFUSED_S, max_failures=None) for _ in wanted]
        except Exception as error:  # noqa: BLE001 - a fault of ours over one event must not stop the others
            place = _place(error)
            return await self._halved(crm, wanted, lambda event: self._upset(crm, event, place))

    async def _halved(
        self, crm: Crm, wanted: Sequence[_Readable], alone: Callable[[ClaimedEvent], EventOutcome]
    ) -> list[_Whole | EventOutcome]:
        """Ask for the halves by themselves: what spoils the whole is found, ends as *alone* says, and spoils no other."""
        if len(wanted) == 1:
            return [alone(wanted[0][0])]
        half = len(wanted) // 2
        return await self._fetch(crm, wanted[:half]) + await self._fetch(crm, wanted[half:])

    def _upset(self, crm: Crm, event: ClaimedEvent, place: Mapping[str, str]) -> EventRetry:
        log.error("crm_event_upset", crm=crm.name, event_id=event.id, **place)
        return EventRetry(reason=FAULT, delay_s=self._backoff_s(event))

    def _later(self, crm: Crm, event: ClaimedEvent, error: FetchLaterError) -> EventRetry:
        delay_s = self._backoff_s(event) if error.delay_s is None else error.delay_s
        self._hold(crm, delay_s)
        most = _PATIENCE.max_failures if error.is_failure else None
        return EventRetry(reason=error.reason, delay_s=delay_s, max_failures=most)

    def _backoff_s(self, event: ClaimedEvent) -> float:
        return retry_delay_s(_PATIENCE, event.failures, chance=self._chance())

    def _hold(self, crm: Crm, delay_s: float) -> None:
        # The next hundred would only hear the same; at the end of the hold somebody asks again.
        until_s = self._deps.clock.monotonic() + min(delay_s, _LONGEST_HOLD_S)
        self._held_until_s[source_of(crm.name)] = until_s

    def _request(self, crm: Crm, whole: _Whole | EventOutcome) -> Parcel | EventOutcome:
        """Return what a whole object asks for, or why nothing comes of it."""
        if not isinstance(whole, Mapping):
            return whole
        try:
            wanted = crm.wanted(whole)
            if isinstance(wanted, Unwanted):
                return EventSkipped(reason=wanted.reason)
            parsed = parse_request(wanted.fields, self._deps.rules.get(crm.name, self._deps.door.rules))
        except Exception as error:  # noqa: BLE001 - one strange object must not spoil its hundred
            log.error("crm_event_upset", crm=crm.name, **_place(error))  # noqa: TRY400 - its text may be private
            return EventFailed(reason=FAULT, problems=(_FAULT,))
        if isinstance(parsed, InvalidRequest):
            return EventFailed(reason="invalid_request", problems=parsed.problems)
        return parsed, origin_of(crm.name, wanted)

    async def _enqueue(self, parcels: Sequence[Parcel]) -> list[EventOutcome]:
        if not parcels:
            return []
        receipts = await self._deps.door.enqueue_many(parcels)
        return [_ending(receipt) for receipt in receipts]

    # --- telling -------------------------------------------------------------------------------------------

    def _tell(self, crm: Crm, event: ClaimedEvent, outcome: EventOutcome) -> None:
        """Count what became of an event, and say it."""
        facts = {"crm": crm.name, "event_id": event.id}
        match outcome:
            case EventDone(job_ids=job_ids, is_new=is_new, contact_differs=contact_differs):
                word, reason = ("done" if is_new else "known"), (CONTACT_DIFFERS if contact_differs else None)
                log.info("crm_event_followed", **facts, job_ids=job_ids, is_new=is_new)
                if contact_differs:
                    log.warning("crm_contact_left_as_it_was", **facts, job_ids=job_ids)
            case EventSkipped(reason=reason):
                word = "skipped"
                log.info("crm_event_skipped", **facts, reason=reason)
            case EventFailed(reason=reason, problems=problems):
                word = "failed"
                fields = [f"{each.field}: {each.code}" for each in problems]
                log.error("crm_event_failed", **facts, reason=reason, problems=fields)
                self._deps.stats.count("alarms", target=crm.name, reason=reason)
            case EventRetry(reason=reason, delay_s=delay_s):
                word = "retry"
                log.warning("crm_event_postponed", **facts, reason=reason, delay_s=round(delay_s, 1))
        self._deps.stats.count(WORKED, crm=crm.name, outcome=word, reason=reason)


def origin_of(name: str, wanted: Wanted) -> Origin:
    """Return where a CRM's request comes from: live, and told apart by its fields where it has no number or id."""
    return Origin(source=source_of(name), lane=Lane.LIVE, row_text=row_text(wanted.fields))


def _ending(receipt: Receipt) -> EventOutcome:
    if receipt.verdict is Verdict.CONFLICT:
        return EventFailed(reason="conflict", problems=(_conflict(receipt),))
    if receipt.verdict is Verdict.FULL:
        return EventRetry(reason="ledger_full", delay_s=_FULL_S, max_failures=None)
    return EventDone(
        job_ids=receipt.job_ids,
        is_new=receipt.verdict is Verdict.ACCEPTED,
        contact_differs=receipt.contact_differs,
    )


def _conflict(receipt: Receipt) -> Problem:
    job = receipt.job_ids[0] if receipt.job_ids else ""
    if receipt.is_anothers_id:
        return Problem(
            "external_id",
            "conflict",
            f"another source gave this external_id to another contact: job {job}",
            "Two customers: give them different external ids (map external_id to another field). One customer: mend "
            f"the contact, see linkferry job show {job}. Then: linkferry crm retry.",
        )
    return Problem(
        "whatsapp",
        "conflict",
        f"a request with other data stands for this customer: job {job}",
        f"Look: linkferry job show {job}. Mend the record at the CRM, or replace or cancel that job; then retry.",
    )


def _refused(error: FetchRefusedError) -> Problem:
    return Problem("event", error.reason, "the CRM does not take the question for this record", error.remedy)


def _decoded(body: str) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _unreadable() -> EventFailed:
    return EventFailed(reason=FAULT, problems=(_FAULT,))


def _place(error: BaseException) -> dict[str, str]:
    frames = traceback.extract_tb(error.__traceback__)
    return {"error": type(error).__name__, "at": f"{frames[-1].name}:{frames[-1].lineno}" if frames else ""}
