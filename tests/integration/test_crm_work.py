"""What becomes of recorded events: one invitation per customer, whatever comes twice, late, broken or at a bad moment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import aiohttp
import pytest
import redis.asyncio
import structlog

from producers.crm.fieldmap import FieldMap, pointer_lookup
from producers.crm.model import FetchLaterError, FetchRefusedError, QuestionRefusedError, Unwanted, Wanted
from producers.enqueue import Door, Origin
from tests.factories import a_number
from tests.integration.crm_web import (
    AUTH,
    GENERIC,
    SOURCE,
    URL,
    CountingBell,
    Desk,
    a_desk,
    customer,
    sandbox_free,
)
from tests.stack import Stack, free_port
from worker.domain.event import EventState, NewEvent
from worker.domain.ids import new_event_id
from worker.domain.parse import ParsedRequest, ParseRules, parse_request
from worker.domain.states import Lane
from worker.execution.heartbeat import Heartbeat
from worker.ledger import Ledger, LedgerUnavailable

FLAT = FieldMap.of({"whatsapp": "whatsapp", "business_name": "business_name", "email": "email"})


@pytest.fixture
async def desk(real_redis, valkey_url) -> AsyncIterator[Desk]:
    async with a_desk(valkey_url) as desk:
        yield desk


class Scripted:
    """A CRM under the name of the generic one, whose objects and failures the test chooses."""

    name = "generic"

    def __init__(
        self, *, raises: Exception | None = None, upset_by: str = "", gone: str = "", refused: str = ""
    ) -> None:
        self.refused = refused
        self.raises = raises
        self.upset_by = upset_by
        self.gone = gone
        self.fetches: list[int] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked = asyncio.Event()

    async def fetch(self, bodies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any] | None]:
        self.fetches.append(len(bodies))
        self.asked.set()
        await self.may_answer.wait()
        if self.raises is not None:
            raise self.raises
        if any(self.upset_by and body.get("id") == self.upset_by for body in bodies):
            raise RuntimeError("private text")
        if any(self.refused and body.get("id") == self.refused for body in bodies):
            raise QuestionRefusedError("crm_refused", "Mend the record.")
        return [None if self.gone and body.get("id") == self.gone else body for body in bodies]

    def wanted(self, whole: Mapping[str, Any]) -> Wanted | Unwanted:
        if whole.get("business_name") == "odd":
            raise KeyError("private text")
        return FLAT.fields(pointer_lookup(whole))

    async def aclose(self) -> None:
        """Nothing is open."""


async def record(desk: Desk, *bodies: dict[str, Any] | str) -> list[str]:
    events = [
        NewEvent(
            id=new_event_id(now_ms=1_790_000_000_000, chance=random.getrandbits(50)),
            source=SOURCE,
            key=f"k{random.getrandbits(60)}",
            digest="d",
            body=body if isinstance(body, str) else json.dumps(body),
        )
        for body in bodies
    ]
    receipts = await desk.ledger.intake.record(events, max_waiting=10_000)
    return [receipt.id for receipt in receipts]


async def the_event(desk: Desk, event_id: str) -> Any:
    event = await desk.ledger.intake.get(event_id)
    assert event is not None
    return event


def a_hundred() -> list[dict[str, Any]]:
    return [customer(a_number(), id=f"r{each}") for each in range(100)]


# --- one invitation per customer ---------------------------------------------------------------------------


async def test_an_event_becomes_a_live_invitation(desk: Desk):
    """From the CRM, live, with its number; the event remembers its job and forgets what it said."""
    number = a_number()
    await desk.post(customer(number, event_id="e1", external_id="crm-7"))
    assert await desk.worker().take(SOURCE) == 1

    [event] = await desk.events(EventState.DONE)
    assert (event.is_new, event.body) == (True, "")
    [job_id] = event.job_ids
    job = await desk.ledger.queries.job(job_id)
    assert job is not None
    assert (job.source, job.lane, job.number) == (SOURCE, Lane.LIVE, number)
    assert job.request.external_id == "crm-7"


async def test_a_hundred_copies_at_once_are_one_invitation(desk: Desk):
    """Copies of an event are known by its id, and several workers take each once."""
    body = customer(a_number(), event_id="e1")
    await asyncio.gather(*(desk.post(body) for _ in range(100)))
    await asyncio.gather(*(desk.worker(worker_id=f"w{each}").take(SOURCE) for each in range(4)))

    assert await desk.invitations() == 1


async def test_other_events_of_a_customer_are_one_invitation(desk: Desk):
    """Events with ids of their own for one customer meet at his number, also within one hundred."""
    number = a_number()
    for each in range(30):
        await desk.post(customer(number, event_id=f"e{each}"))
    await desk.worker().take(SOURCE)

    done = await desk.events(EventState.DONE)
    assert len(done) == 30
    assert len({event.job_ids for event in done}) == 1
    assert sum(event.is_new for event in done) == 1
    assert await desk.invitations() == 1


async def test_replays_and_disorder_change_nothing(desk: Desk):
    """The same events again, shuffled, before and after the work: one invitation for each customer."""
    bodies = [customer(a_number(), event_id=f"e{each}") for each in range(40)]
    for _ in range(3):
        shuffled = random.sample(bodies, k=len(bodies))
        assert {status for status, _ in await asyncio.gather(*map(desk.post, shuffled))} == {200}
        await desk.worker().take(SOURCE)

    assert await desk.invitations() == 40


@pytest.mark.parametrize("is_backfill_first", [True, False])
async def test_a_backfill_of_the_same_customer_is_the_same_invitation(desk: Desk, is_backfill_first: bool):
    """Whichever comes first: the business key is the same at every door."""
    number = a_number()
    row = customer(number, display_name="Dana Flowers")
    parsed = parse_request(row)
    assert isinstance(parsed, ParsedRequest)
    backfill = Door(desk.ledger, desk.bell).enqueue(parsed, Origin(source="csv", lane=Lane.BULK))
    if is_backfill_first:
        await backfill
    await desk.post(customer(number, event_id="e1"))
    await desk.worker().take(SOURCE)
    if not is_backfill_first:
        await backfill

    [event] = await desk.events(EventState.DONE)
    assert event.is_new is not is_backfill_first
    assert await desk.invitations() == 1


async def test_other_data_for_a_number_is_a_conflict_for_a_person(desk: Desk):
    """Recorded as failed with the job that stands, told in the log and counted as an alarm; a retry later may pass."""
    number = a_number()
    await desk.post([customer(number, event_id="e1"), customer(number, event_id="e2", business_name="Other")])
    with structlog.testing.capture_logs() as logs:
        await desk.worker().take(SOURCE)

    [failed] = await desk.events(EventState.FAILED)
    [done] = await desk.events(EventState.DONE)
    assert failed.reason == "conflict"
    assert done.job_ids[0] in failed.problems[0].message
    assert [line["reason"] for line in logs if line["log_level"] == "error"] == ["conflict"]
    assert desk.stats._counts["alarms|reason=conflict|target=generic"] == 1
    assert await desk.invitations() == 1

    await desk.ledger.cancel(done.job_ids[0], by="test", why="test")
    await desk.ledger.intake.retry(failed.id, by="test", why="mended")
    await desk.worker().take(SOURCE)
    assert (await the_event(desk, failed.id)).state is EventState.DONE


# --- what does not become one ------------------------------------------------------------------------------


async def test_a_broken_request_waits_for_a_person_with_all_that_is_wrong(desk: Desk):
    """Every problem is kept with the event; the log has the fields' names only."""
    await desk.post({"event_id": "e1", "whatsapp": "12", "business_name": "Dana", "email": "not-an-address"})
    with structlog.testing.capture_logs() as logs:
        await desk.worker().take(SOURCE)

    [failed] = await desk.events(EventState.FAILED)
    assert failed.reason == "invalid_request"
    assert {each.field for each in failed.problems} >= {"whatsapp", "email"}
    assert "not-an-address" not in repr(logs)


async def test_names_are_altered_only_where_that_is_allowed(desk: Desk):
    """A business name with quotation marks: by default it waits for a person."""
    for each, rules in (("e1", {}), ("e2", {"generic": ParseRules(accept_names=True)})):
        await desk.post(customer(a_number(), event_id=each, business_name='Dana "Flowers" Ltd'))
        await desk.worker(rules=rules).take(SOURCE)

    [failed] = await desk.events(EventState.FAILED)
    assert {each.field for each in failed.problems} == {"display_name"}
    [done] = await desk.events(EventState.DONE)
    job = await desk.ledger.queries.job(done.job_ids[0])
    assert job is not None
    assert job.request.display_name == "Dana Flowers Ltd"


async def test_what_asks_for_nothing_is_skipped_with_its_reason(desk: Desk):
    """A record without a number yet is no failure."""
    await desk.post({"event_id": "e1", "business_name": "Dana"})
    await desk.worker().take(SOURCE)

    [skipped] = await desk.events(EventState.SKIPPED)
    assert skipped.reason == "incomplete"
    assert desk.stats._counts["crm_worked|crm=generic|outcome=skipped|reason=incomplete"] == 1


async def test_a_record_that_is_gone_at_the_crm_is_skipped(desk: Desk):
    """Deleted before it could be fetched."""
    [gone, there] = await record(desk, customer(a_number(), id="r1"), customer(a_number(), id="r2"))
    await desk.worker(crms={"generic": Scripted(gone="r1")}).take(SOURCE)  # type: ignore[dict-item]

    assert (await the_event(desk, gone)).reason == "gone"
    assert (await the_event(desk, there)).state is EventState.DONE


# --- bad moments -------------------------------------------------------------------------------------------


async def test_one_strange_object_does_not_spoil_its_hundred(desk: Desk):
    """A fault of ours over one object fails that one; its text, which may be private, is not logged."""
    bodies = a_hundred()
    bodies[42]["business_name"] = "odd"
    ids = await record(desk, *bodies[:60], "no json", "[]", *bodies[60:])
    with structlog.testing.capture_logs() as logs:
        await desk.worker(crms={"generic": Scripted()}).take(SOURCE)  # type: ignore[dict-item]

    failed = {event.id: event.reason for event in await desk.events(EventState.FAILED)}
    assert failed == {ids[42]: "fault", ids[60]: "fault", ids[61]: "fault"}
    assert await desk.invitations() == 99
    assert "private text" not in repr(logs)


async def test_one_event_that_upsets_the_fetch_does_not_spoil_its_hundred(desk: Desk):
    """It is found by halves and tried again later by itself, a bounded number of times."""
    ids = await record(desk, *a_hundred())
    crm = Scripted(upset_by="r42")
    await desk.worker(crms={"generic": crm}).take(SOURCE)  # type: ignore[dict-item]

    assert await desk.invitations() == 99
    assert len(crm.fetches) < 20
    upset = await the_event(desk, ids[42])
    assert (upset.state, upset.reason, upset.failures) == (EventState.WAITING, "fault", 1)


async def test_a_crm_that_is_away_is_asked_again_later(desk: Desk):
    """Its events wait, each with its failure; those that come meanwhile are left alone until somebody asks again."""
    [first] = await record(desk, customer(a_number()))
    crm = Scripted(raises=FetchLaterError("crm_unreachable", delay_s=30))
    worker = desk.worker(crms={"generic": crm})  # type: ignore[dict-item]
    await worker.take(SOURCE)
    [second] = await record(desk, customer(a_number()))

    assert await worker.take(SOURCE) == 0
    assert not worker.is_on(SOURCE)
    assert len(crm.fetches) == 1
    waiting = await the_event(desk, first)
    assert (waiting.state, waiting.reason, waiting.failures) == (EventState.WAITING, "crm_unreachable", 1)
    assert (await the_event(desk, second)).attempt == 0


async def test_a_crms_own_rate_limit_uses_up_no_try(desk: Desk):
    """A wait that it asked for is no failure."""
    [event] = await record(desk, customer(a_number()))
    crm = Scripted(raises=FetchLaterError("crm_throttled", delay_s=0.01, is_failure=False))
    await desk.worker(crms={"generic": crm}).take(SOURCE)  # type: ignore[dict-item]

    assert (await the_event(desk, event)).failures == 0


async def test_a_refused_token_waits_for_a_person_and_loses_nothing(desk: Desk):
    """An alarm with the remedy; the events wait with all their tries."""
    ids = await record(desk, *a_hundred())
    crm = Scripted(raises=FetchRefusedError("crm_refused", "Set LINKFERRY_CRM_HUBSPOT_TOKEN anew."))
    with structlog.testing.capture_logs() as logs:
        await desk.worker(crms={"generic": crm}).take(SOURCE)  # type: ignore[dict-item]

    events = [await the_event(desk, each) for each in ids]
    assert {(event.state, event.failures) for event in events} == {(EventState.WAITING, 0)}
    [alarm] = [line for line in logs if line["event"] == "crm_refused_us"]
    assert alarm["remedy"] == "Set LINKFERRY_CRM_HUBSPOT_TOKEN anew."
    assert desk.stats._counts["alarms|reason=crm_refused|target=generic"] == 1


async def test_a_full_ledger_of_jobs_keeps_events_waiting(desk: Desk):
    """What was acked is not lost for want of room."""
    await record(desk, customer(a_number()), customer(a_number()))
    await desk.worker(door=Door(desk.ledger, desk.bell, max_waiting=1)).take(SOURCE)

    [waiting] = await desk.events(EventState.WAITING)
    assert (waiting.reason, waiting.failures) == ("ledger_full", 0)
    assert await desk.invitations() == 1


class DiesBeforeSettling:
    """The ledger's events as a worker sees them that dies after it has enqueued."""

    def __init__(self, intake: Any) -> None:
        self.claim_due = intake.claim_due

    async def settle(self, _results: Any) -> int:
        raise LedgerUnavailable("gone")


async def test_a_crash_between_enqueue_and_settle_is_harmless(desk: Desk):
    """The next worker meets the invitation that stands; the event is done, once."""
    ids = await record(desk, *a_hundred())
    await desk.worker(intake=DiesBeforeSettling(desk.ledger.intake), worker_id="dead").take(SOURCE)
    assert await desk.invitations() == 100
    assert await desk.worker().take(SOURCE) == 0
    assert await desk.ledger.abandon("dead") == 100
    assert await desk.ledger.intake.rescue() == 100
    await desk.worker().take(SOURCE)

    assert await desk.invitations() == 100
    assert {(await the_event(desk, each)).state for each in ids} == {EventState.DONE}


async def test_leases_are_renewed_while_a_slow_fetch_runs(desk: Desk, real_redis: redis.asyncio.Redis):
    """A CRM that takes longer than a lease to answer costs no second fetch by another worker."""
    await record(desk, customer(a_number()))
    now_ms = [await desk.ledger.now_ms()]
    ledger = Ledger(real_redis, namespace="crm-test", now_ms=lambda: now_ms[0])
    await ledger.open()
    heartbeat = Heartbeat(ledger, interval_s=20)
    crm = Scripted()
    crm.may_answer.clear()
    worker = desk.worker(
        crms={"generic": crm},  # type: ignore[dict-item]
        intake=ledger.intake,
        lease_s=60.0,
        keeping=heartbeat.keeping,
    )
    taking = asyncio.create_task(worker.take(SOURCE))
    await crm.asked.wait()
    for _ in range(9):
        now_ms[0] += 20_000
        await heartbeat.run_once()
        assert await ledger.intake.rescue() == 0
    crm.may_answer.set()
    await taking

    assert crm.fetches == [1]
    assert len(await desk.events(EventState.DONE)) == 1
    assert heartbeat.held == 0


async def test_events_of_a_crm_that_was_switched_off_wait(desk: Desk):
    """Nothing is claimed that nobody here can read, and nothing is rung for."""
    await record(desk, customer(a_number()))
    worker = desk.worker(crms={})

    assert await worker.take(SOURCE) == 0
    assert not worker.is_on(SOURCE)
    assert len(await desk.events(EventState.WAITING)) == 1


async def test_a_worker_that_stops_claims_no_more(desk: Desk):
    """What it has not begun is another's."""
    await record(desk, *a_hundred())

    assert await desk.worker(is_draining=lambda: True).take(SOURCE) == 0


async def test_one_process_works_on_a_few_hundreds_at_once(desk: Desk):
    """Further bells find all places taken and leave: the events wait where another process finds them."""
    bell, crm = CountingBell(), Scripted()
    crm.may_answer.clear()
    worker = desk.worker(crms={"generic": crm}, door=Door(desk.ledger, bell))  # type: ignore[dict-item]
    for _ in range(6):
        await record(desk, *a_hundred())
    takes = [asyncio.create_task(worker.take(SOURCE)) for _ in range(5)]
    done, _ = await asyncio.wait(takes, return_when=asyncio.FIRST_COMPLETED)
    assert [each.result() for each in done] == [0]
    crm.may_answer.set()

    assert sum(await asyncio.gather(*takes)) == 600
    assert await desk.invitations() == 600


async def test_no_event_is_lost_when_workers_are_killed(tmp_path):
    """Real processes: events posted to `web` become one invitation each though worker after worker dies by SIGKILL."""
    async with Stack(tmp_path) as stack:
        outside = sandbox_free(tmp_path) | {f"LINKFERRY_{name}": value for name, value in GENERIC.items()}
        port = free_port()
        stack.spawn("-m", "linkferry", "web", **outside, LINKFERRY_WEB_PORT=str(port))
        url = f"http://127.0.0.1:{port}{URL}"

        async def is_up() -> bool:
            with contextlib.suppress(aiohttp.ClientError):
                async with stack.http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    return answer.status == 200
            return False

        await stack.until(is_up, "web answers")
        worker = stack.start_worker("-m", "linkferry", "worker", **outside)
        events = [customer(a_number(), event_id=f"e{each}") for each in range(1000)]

        async def post_all(bodies: list[dict[str, Any]]) -> None:
            for start in range(0, len(bodies), 25):
                async with stack.http.post(url, json=bodies[start : start + 25], headers=AUTH) as answer:
                    assert answer.status == 200

        async def done() -> int:
            counts = (await stack.ledger.intake.counts()).get(SOURCE, {})
            return counts.get(EventState.DONE, 0)

        for share in range(4):
            await post_all(events[share * 250 : (share + 1) * 250])
            await stack.until(lambda least=share * 250: _more_than(done, least), "some are worked on")
            stack.kill_worker(worker)
            worker = stack.start_worker("-m", "linkferry", "worker", **outside)
        await post_all(events)
        await stack.until(lambda: _more_than(done, len(events) - 1), "all are done")

        audit = await stack.ledger.queries.audit()
        assert (audit.accepted, audit.difference, audit.wrong) == (1000, 0, ())
        assert await done() == 1000


async def _more_than(count: Callable[[], Awaitable[int]], least: int) -> bool:
    return await count() > least


# --- the same again, with something else --------------------------------------------------------------------


def a_page_for(mail: str, **more: Any) -> dict[str, Any]:
    """Return a Facebook customer's record: it has no number, only its id at the CRM."""
    return {
        "product": "facebook:1",
        "business_name": "Dana Flowers",
        "external_id": "501",
        "email": mail,
    } | more


async def test_two_customers_with_one_id_are_a_conflict_and_no_duplicate(desk: Desk):
    """A record 501 of another CRM has its own link: the second event says what to do, and is followed once that is done."""
    parsed = parse_request(a_page_for("noa@example.com"))
    assert isinstance(parsed, ParsedRequest)
    first = await Door(desk.ledger, desk.bell).enqueue(parsed, Origin(source="crm:hubspot", lane=Lane.LIVE))
    await desk.post(a_page_for("dana@example.com", event_id="e1"))
    await desk.post(a_page_for("noa@example.com", event_id="e2"))
    await desk.worker().take(SOURCE)

    [failed] = await desk.events(EventState.FAILED)
    [known] = await desk.events(EventState.DONE)
    [problem] = failed.problems
    assert (failed.reason, problem.field, known.job_ids) == ("conflict", "external_id", first.job_ids)
    assert first.job_ids[0] in problem.message
    assert "different external ids" in problem.remedy

    await desk.ledger.cancel(first.job_ids[0], by="test", why="test")
    await desk.ledger.intake.retry(failed.id, by="test", why="mended")
    await desk.worker().take(SOURCE)
    assert (await the_event(desk, failed.id)).is_new


async def test_a_corrected_address_is_told_and_not_swallowed(desk: Desk):
    """The first contact stands; the event keeps that they differ, the log warns, the metrics count it."""
    number = a_number()
    await desk.post(customer(number, event_id="e1", email="old@example.com"))
    await desk.worker().take(SOURCE)
    await desk.post(customer(number, event_id="e2", email="new@example.com"))
    with structlog.testing.capture_logs() as logs:
        await desk.worker().take(SOURCE)

    told, first = await desk.events(EventState.DONE)
    assert (first.contact_differs, told.contact_differs, told.is_new) == (False, True, False)
    [warning] = [line for line in logs if line["log_level"] == "warning"]
    assert (warning["event"], warning["event_id"]) == ("crm_contact_left_as_it_was", told.id)
    assert "example.com" not in repr(logs)
    assert desk.stats._counts["crm_worked|crm=generic|outcome=known|reason=contact_differs"] == 1


async def test_one_question_that_is_refused_does_not_hold_up_its_hundred(desk: Desk):
    """It is found by halves, waits for a person as an event of its own, and the CRM is not held."""
    ids = await record(desk, *a_hundred())
    crm = Scripted(refused="r42")
    worker = desk.worker(crms={"generic": crm})  # type: ignore[dict-item]
    await worker.take(SOURCE)

    assert await desk.invitations() == 99
    assert len(crm.fetches) < 20
    [failed] = await desk.events(EventState.FAILED)
    assert (failed.id, failed.reason) == (ids[42], "crm_refused")
    assert [each.remedy for each in failed.problems] == ["Mend the record."]
    assert worker.is_on(SOURCE)


async def test_a_record_that_is_completed_later_is_followed(desk: Desk):
    """Its event was skipped: the same id with the number is no alarm, and copies of both bodies change nothing."""
    early = {"id": "501", "business_name": "Dana Flowers", "email": "dana@example.com"}
    for body in (early, early | {"whatsapp": a_number()}):
        await asyncio.gather(*(desk.post(body) for _ in range(20)))
        await asyncio.gather(*(desk.worker(worker_id=f"w{each}").take(SOURCE) for each in range(3)))
    await desk.post(early)

    assert {event.state: event.reason for event in await desk.events()} == {
        EventState.SKIPPED: "incomplete",
        EventState.DONE: None,
    }
    assert await desk.invitations() == 1
