"""What operators ask of events and do to them; and what is deleted in the end."""

from __future__ import annotations

import pytest
import redis.asyncio

from tests.contract.intake_desk import DONE, FAILED, RETRY, SOURCE, IntakeDesk, an_event
from worker.domain.event import EventState
from worker.domain.report import WEBHOOK_SOURCE
from worker.ledger import Ledger, LedgerUnavailable, intake
from worker.ledger.intake import DONE_KEEP_S
from worker.limits import Limits
from worker.ops.events_in import EventAct, EventCommands, EventQueries
from worker.ops.metrics import metrics_text

WHY = {"by": "dana", "why": "the map is mended"}


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> IntakeDesk:
    return await IntakeDesk.open(store)


# --- retried and discarded ---------------------------------------------------------------------------------


async def test_a_failed_event_is_retried(desk: IntakeDesk) -> None:
    """With all its tries, and who asked for it and why."""
    event = await desk.event_in(EventState.FAILED)
    mended = await desk.intake.retry(event, **WHY)
    record = await desk.get(event)
    claimed = await desk.claim_one()

    assert (mended.done, mended.state, mended.refusal) == (True, EventState.WAITING, None)
    assert (record.reason, record.problems, record.failures) == (None, (), 0)
    assert (claimed.id, claimed.attempt, claimed.body) == (event, 2, record.body)
    [entry] = record.history
    assert (entry.event, entry.at_ms) == ("retried", desk.now_ms)
    assert entry.detail == {**WHY, "was": "invalid_request"}


async def test_an_altered_event_can_be_followed(desk: IntakeDesk) -> None:
    """A person looked at it and found it right."""
    first = an_event()
    altered = an_event(key=first.key)
    await desk.record(first, altered)
    await desk.claim()
    await desk.intake.retry(altered.id, **WHY)

    assert [(event.id, event.body) for event in await desk.claim()] == [(altered.id, altered.body)]


async def test_an_event_that_waits_for_its_time_is_brought_forward(desk: IntakeDesk) -> None:
    """The CRM is back: nobody needs to wait for the backoff's end."""
    await desk.record()
    claimed = await desk.claim_one()
    await desk.settle(claimed, RETRY)

    assert (await desk.intake.retry(claimed.id, **WHY)).done
    assert (await desk.intake.retry(claimed.id, **WHY)).refusal == "waits_already"
    assert (await desk.claim_one()).failures == 0


@pytest.mark.parametrize("state", [EventState.WORKING, EventState.DONE, EventState.SKIPPED])
async def test_only_what_needs_it_is_retried(desk: IntakeDesk, state: EventState) -> None:
    """Anything else is refused and left as it is."""
    event = await desk.event_in(state)
    mended = await desk.intake.retry(event, **WHY)

    assert (mended.done, mended.state, mended.refusal) == (False, state, "not_failed")
    assert (await desk.get(event)).history == ()


@pytest.mark.parametrize("state", [EventState.FAILED, EventState.WAITING])
async def test_an_event_is_discarded(desk: IntakeDesk, state: EventState) -> None:
    """It is skipped for good, and what it said is gone; whoever still held it settles nothing."""
    event = await desk.event_in(state)
    mended = await desk.intake.discard(event, **WHY)
    again = await desk.intake.discard(event, **WHY)
    record = await desk.get(event)

    assert (mended.done, mended.state) == (True, EventState.SKIPPED)
    assert (again.done, again.refusal) == (False, "skipped_already")
    assert (record.state, record.reason, record.body, record.problems) == (
        EventState.SKIPPED,
        "discarded",
        "",
        (),
    )
    assert [entry.event for entry in record.history] == ["discarded"]
    assert await desk.claim() == []


async def test_what_a_discarded_report_of_the_partner_said_is_gone(desk: IntakeDesk) -> None:
    """Other reports are kept to be looked at; one that an operator gave up is not."""
    event = await desk.event_in(EventState.FAILED, source=WEBHOOK_SOURCE)
    await desk.intake.discard(event, **WHY)

    assert (await desk.get(event)).body == ""


@pytest.mark.parametrize(
    ("state", "refusal"),
    [(EventState.WORKING, "being_worked_on"), (EventState.DONE, "not_failed")],
)
async def test_what_is_worked_on_or_done_is_not_discarded(
    desk: IntakeDesk, state: EventState, refusal: str
) -> None:
    """Its jobs may stand already."""
    event = await desk.event_in(state)
    mended = await desk.intake.discard(event, **WHY)

    assert (mended.done, mended.state, mended.refusal) == (False, state, refusal)


async def test_nobody_s_event_is_gone(desk: IntakeDesk) -> None:
    """An operator's typing mistake changes nothing."""
    for act in (desk.intake.retry, desk.intake.discard):
        mended = await act("nobody", **WHY)
        assert (mended.done, mended.state, mended.refusal) == (False, None, "gone")
    assert await desk.intake.get("nobody") is None


async def test_the_history_is_short(desk: IntakeDesk) -> None:
    """An event retried every day for a year does not grow."""
    event = await desk.event_in(EventState.FAILED)
    for _ in range(60):
        await desk.intake.retry(event, **WHY)
        await desk.settle(await desk.claim_one(), FAILED)

    assert len((await desk.get(event)).history) == 50


# --- listed ------------------------------------------------------------------------------------------------


async def test_events_are_listed_page_by_page(desk: IntakeDesk) -> None:
    """The latest change first, each once, with an honest total; without what they said."""
    made = []
    for nth in range(7):
        made.append(await desk.event_in(EventState.FAILED if nth % 2 else EventState.DONE))
        desk.advance(1)
    found, cursor = [], None
    for _ in range(3):
        page = await desk.intake.find(limit=3, cursor=cursor)
        found += page.items
        cursor = page.next
        assert (page.total, page.is_total_exact) == (7, True)

    assert [record.id for record in found] == made[::-1]
    assert cursor is None
    assert {record.body for record in found} == {""}


async def test_pages_of_events_of_one_instant_lose_none(desk: IntakeDesk) -> None:
    """A request brings a hundred at once."""
    events = [an_event() for _ in range(120)]
    await desk.record(*events)
    first = await desk.intake.find(limit=70)
    second = await desk.intake.find(limit=70, cursor=first.next)

    assert {record.id for record in (*first.items, *second.items)} == {event.id for event in events}
    assert (len(first.items), len(second.items), second.next) == (70, 50, None)


async def test_lists_are_filtered(desk: IntakeDesk) -> None:
    """By source, state and reason; totals are those of the filter."""
    failed = [await desk.event_in(EventState.FAILED) for _ in range(3)]
    await desk.event_in(EventState.FAILED, source="crm:monday")
    await desk.event_in(EventState.SKIPPED)
    altered = an_event(key="k")
    await desk.record(an_event(key="k"), altered)

    by_source = await desk.intake.find(source="crm:monday")
    by_state = await desk.intake.find(state=EventState.FAILED)
    by_reason = await desk.intake.find(
        source=SOURCE, state=EventState.FAILED, reason="invalid_request", limit=2
    )
    rest = await desk.intake.find(
        source=SOURCE, state=EventState.FAILED, reason="invalid_request", cursor=by_reason.next
    )

    assert (by_source.total, by_state.total, by_reason.total, rest.total) == (1, 5, 3, 3)
    assert {record.id for record in (*by_reason.items, *rest.items)} == set(failed)
    assert (len(by_reason.items), len(rest.items), rest.next) == (2, 1, None)
    assert [record.id for record in (await desk.intake.find(reason="altered")).items] == [altered.id]
    assert (await desk.intake.find(source="crm:nobody")).total == 0


async def test_a_total_that_was_not_counted_to_its_end_says_so(
    desk: IntakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a reason among very many events there are at least so many."""
    monkeypatch.setattr(intake, "_MOST_SCANNED", 1_000)
    await desk.record(*(an_event() for _ in range(1_100)))
    for _ in range(11):
        await desk.intake.settle([(event.lease, FAILED) for event in await desk.claim()])
    page = await desk.intake.find(reason="invalid_request")

    assert (page.total, page.is_total_exact, len(page.items)) == (1_000, False, 50)
    assert (await desk.intake.find(state=EventState.FAILED)).is_total_exact


@pytest.mark.parametrize("cursor", ["", "x", "1:{a}", "1;2", "1" * 99, "1:" + "a" * 99])
async def test_a_foreign_cursor_is_refused(desk: IntakeDesk, cursor: str) -> None:
    """It came in by a URL or a command line."""
    with pytest.raises(ValueError, match="cursor"):
        await desk.intake.find(cursor=cursor)


# --- pruned ------------------------------------------------------------------------------------------------


async def test_old_events_are_deleted_by_their_state(desk: IntakeDesk) -> None:
    """Done and skipped soon, failed late, waiting and working never; nothing of them is left."""
    ids = {state: await desk.event_in(state, source=f"crm:{state}") for state in EventState}
    retried = await desk.event_in(EventState.FAILED)
    await desk.intake.discard(retried, **WHY)
    desk.advance(DONE_KEEP_S + 1)
    soon = await desk.intake.prune(failed_older_than_s=10 * DONE_KEEP_S, limit=100)
    left = {state for state, event in ids.items() if await desk.intake.get(event)}
    late = await desk.intake.prune(failed_older_than_s=DONE_KEEP_S, limit=100)
    keys = [key.decode() for key in await desk.redis.keys("*") if b":vk:" not in key]

    assert (soon, late) == (3, 1)
    assert left == {EventState.WAITING, EventState.WORKING, EventState.FAILED}
    assert not any(ids[EventState.FAILED] in key or retried in key for key in keys)
    assert await desk.intake.prune(failed_older_than_s=0, limit=100) == 0


async def test_what_is_not_old_enough_stays(desk: IntakeDesk) -> None:
    """Its age is that of its last change."""
    event = await desk.event_in(EventState.FAILED)
    desk.advance(DONE_KEEP_S)
    await desk.intake.retry(event, **WHY)
    await desk.settle(await desk.claim_one(), DONE)
    desk.advance(DONE_KEEP_S)

    assert await desk.intake.prune(failed_older_than_s=1, limit=100) == 0
    desk.advance(0.001)
    assert await desk.intake.prune(failed_older_than_s=1, limit=100) == 1


async def test_a_prune_keeps_to_its_limit(desk: IntakeDesk) -> None:
    """A bounded piece at a time, over all sources and states."""
    await desk.record(*(an_event(source=f"crm:{nth % 2}") for nth in range(250)))
    for source in ("crm:0", "crm:1"):
        while claimed := await desk.claim(source=source):
            outcomes = [DONE if nth % 2 else FAILED for nth in range(len(claimed))]
            await desk.intake.settle([(e.lease, out) for e, out in zip(claimed, outcomes, strict=True)])
    desk.advance(DONE_KEEP_S + 1)

    pruned = [await desk.intake.prune(failed_older_than_s=1, limit=120) for _ in range(4)]
    assert pruned == [120, 120, 10, 0]
    assert (await desk.intake.find()).total == 0


# --- the documents -----------------------------------------------------------------------------------------


async def test_a_list_tells_nothing_personal(desk: IntakeDesk) -> None:
    """Not what was said, nor what of it was wrong."""
    event = await desk.event_in(EventState.FAILED)
    document = await EventQueries(desk.ledger).events(state=EventState.FAILED)

    [row] = document["items"]
    assert (row["event_id"], row["reason"]) == (event, "invalid_request")
    assert row["problems"] == [{"field": "whatsapp", "code": "not_digits"}]
    assert row["received_at"] == "2026-09-21T14:13:20.000Z"
    assert "0501234567" not in str(document)
    assert (document["total"], document["next"], document["is_total_exact"]) == (1, None, True)


async def test_one_event_is_shown_masked_unless_revealed(desk: IntakeDesk) -> None:
    """Its shape can be read at once; what it says only by one who asks for it."""
    body = (
        '{"id":123,"name":"Dana Levi","phone":"0501234567","n":972501234567,'
        '"mail":"dana@example.com","note":"call 0501234567","list":["x",true,null,1.5],"empty":""}'
    )
    event = await desk.event_in(EventState.FAILED, body=body)
    queries = EventQueries(desk.ledger)
    masked, whole = await queries.event(event), await queries.event(event, is_revealed=True)

    assert masked is not None
    assert whole is not None
    assert masked["body"] | {"phone": 0, "n": 0, "mail": 0} == {
        "id": 123, "name": "***", "phone": 0, "n": 0, "mail": 0, "note": "***", "list": ["***", True, None, 1.5], "empty": "",
    }  # fmt: skip
    assert not any(word in str(masked) for word in ("Dana", "0501234567", "972501234567", "dana@"))
    assert whole["body"]["name"] == "Dana Levi"
    assert whole["problems"][0]["remedy"] == "Write the number with its country code."
    assert await queries.event("nobody") is None


async def test_a_body_that_is_no_json_is_shown_whole_or_not_at_all(desk: IntakeDesk) -> None:
    """It is a mistake of ours, and to be seen."""
    event = await desk.event_in(EventState.FAILED, body="Dana 0501234567")
    queries = EventQueries(desk.ledger)

    assert (await queries.event(event) or {})["body"] == "***"
    assert (await queries.event(event, is_revealed=True) or {})["body"] == "Dana 0501234567"
    done = await desk.event_in(EventState.DONE)
    assert (await queries.event(done) or {"body": 1})["body"] is None


async def test_one_event_is_mended_by_its_id(desk: IntakeDesk) -> None:
    """The document says what came of it; who did it shows in the event."""
    event = await desk.event_in(EventState.FAILED)
    commands = EventCommands(desk.ledger)

    assert await commands.retry(event, **WHY) == {
        "event_id": event,
        "done": True,
        "state": "waiting",
        "refusal": None,
    }
    assert (await commands.discard(event, **WHY))["state"] == "skipped"
    assert await commands.discard("nobody", **WHY) == {
        "event_id": "nobody",
        "done": False,
        "state": None,
        "refusal": "gone",
    }
    shown = await EventQueries(desk.ledger).event(event)
    assert shown is not None
    assert [entry["event"] for entry in shown["history"]] == ["retried", "discarded"]
    assert shown["history"][0]["by"] == "dana"
    entries = (await desk.ledger.trail.find(subject=event)).items
    assert [(each.act, each.by, each.detail["source"]) for each in entries] == [
        ("event_discard", "dana", SOURCE),
        ("event_retry", "dana", SOURCE),
    ]
    assert (await desk.ledger.trail.find(subject="nobody")).items == ()


async def test_a_bulk_act_touches_what_was_shown(desk: IntakeDesk) -> None:
    """The failed ones of a source and reason; what changed since is refused and counted."""
    failed = [await desk.event_in(EventState.FAILED) for _ in range(30)]
    await desk.event_in(EventState.FAILED, source="crm:monday")
    altered = an_event(key="k")
    await desk.record(an_event(key="k"), altered)
    commands = EventCommands(desk.ledger)
    preview = await commands.preview(EventAct.RETRY, source=SOURCE, reason="invalid_request")
    everything = await commands.preview(EventAct.RETRY)
    await desk.intake.discard(failed[0], **WHY)
    seen: list[int] = []
    report = await commands.carry_out(preview, **WHY, on_progress=seen.append)

    assert preview.document()["count"] == 30
    assert set(preview.ids) == set(failed)
    assert everything.by_reason == {"invalid_request": 31, "altered": 1}
    assert report.document() == {"act": "retry", "done": 29, "refused": {"not_failed": 1}}
    assert seen == [20, 30]
    [entry] = (await desk.ledger.trail.find(act="event_retry")).items
    assert entry.detail == {"events": "30"}


async def test_a_bulk_act_that_breaks_off_is_in_the_trail(
    desk: IntakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who began it is recorded before the first event is touched."""
    commands = EventCommands(desk.ledger)
    preview = await commands.preview_ids(EventAct.RETRY, [await desk.event_in(EventState.FAILED)])

    async def break_off(*_: object, **__: object) -> None:
        raise LedgerUnavailable("gone")

    monkeypatch.setattr(desk.ledger.intake, "retry", break_off)
    with pytest.raises(LedgerUnavailable):
        await commands.carry_out(preview, **WHY)

    assert len((await desk.ledger.trail.find(act="event_retry")).items) == 1


async def test_a_bulk_act_on_ids_says_what_cannot_be(desk: IntakeDesk) -> None:
    """Each id once; what is done or unknown is told by why not."""
    failed, done = await desk.event_in(EventState.FAILED), await desk.event_in(EventState.DONE)
    commands = EventCommands(desk.ledger)
    preview = await commands.preview_ids(EventAct.DISCARD, [failed, done, failed, "nobody"])
    report = await commands.carry_out(preview, **WHY)

    assert preview.ids == (failed,)
    assert preview.not_eligible == {"it is done": 1, "there is no such event": 1}
    assert report.done == 1
    assert (await desk.get(failed)).reason == "discarded"


async def test_metrics_count_events_by_source_and_state(desk: IntakeDesk) -> None:
    """A gauge for the alert on what has failed."""
    await desk.event_in(EventState.FAILED)
    await desk.record()
    limits = Limits(desk.redis, namespace="test", name="partner", ceiling=5)
    page = await metrics_text(Ledger(desk.redis, namespace="test"), limits)

    assert 'linkferry_events_in{source="crm:hubspot",state="failed"} 1.0' in page
    assert 'linkferry_events_in{source="crm:hubspot",state="waiting"} 1.0' in page
    assert 'linkferry_events_in{source="crm:hubspot",state="done"} 0.0' in page
    assert (await EventQueries(desk.ledger).counts())[SOURCE]["failed"] == 1
