"""What operators ask and do: the failed queue understood by reason and mended in bulk."""

from __future__ import annotations

import json

import pytest
import redis.asyncio

from tests.by_hand import accepted, claimed, ended
from tests.factories import a_number, a_request
from worker.domain.outcome import Fail, Linked, Refused, Undelivered
from worker.domain.reasons import Catalogue
from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter, Ledger, LedgerUnavailable
from worker.limits import Limits
from worker.ops.commands import Commands
from worker.ops.queries import Queries

WHY = {"by": "cli:test", "why": "because"}


@pytest.fixture
async def ledger(fake_redis: redis.asyncio.Redis) -> Ledger:
    ledger = Ledger(fake_redis, namespace="test")
    await ledger.open()
    return ledger


@pytest.fixture
def limits(fake_redis: redis.asyncio.Redis) -> Limits:
    return Limits(fake_redis, namespace="test", name="partner", ceiling=5)


@pytest.fixture
def queries(ledger: Ledger, limits: Limits) -> Queries:
    return Queries(ledger, limits, Catalogue.shipped())


@pytest.fixture
def commands(ledger: Ledger, limits: Limits) -> Commands:
    return Commands(ledger, limits, Catalogue.shipped())


async def failed(
    ledger: Ledger, reason: str = "link_exists", reason_class: str = "link_exists", **changes: object
) -> str:
    fail = Fail(reason=reason, reason_class=reason_class, is_own_data=True)
    return await ended(ledger, await accepted(ledger, **changes), Refused(fail=fail))


async def failed_message(ledger: Ledger) -> str:
    """Return the id of a message that the provider refused for good."""
    job = await claimed(ledger, await accepted(ledger))
    settled = await ledger.settle(job.lease, Linked(link="https://onboarding.example/1"))
    (delivery_id,) = settled.deliveries
    delivery = await ledger.deliveries.claim(delivery_id, worker_id="w", lease_s=60)
    assert delivery is not None
    await ledger.deliveries.begin_send(delivery.lease)
    fail = Fail(reason="mailbox_unknown", reason_class="recipient")
    await ledger.deliveries.settle(delivery.lease, Undelivered(fail=fail), can_resend=True)
    return delivery_id


async def state_of(ledger: Ledger, job_id: str) -> JobState:
    record = await ledger.queries.job(job_id)
    assert record is not None
    return record.state


async def test_the_status_has_the_fixed_shape(queries: Queries, ledger: Ledger) -> None:
    """Scripts and dashboards rely on it: every state is there, empty ones too."""
    await accepted(ledger)

    status = await queries.status()

    assert set(status) == {"jobs", "deliveries", "lanes", "provider", "workers", "batches"}
    assert status["jobs"] == {state.value: int(state is JobState.AVAILABLE) for state in JobState}
    assert set(status["lanes"]) == {"live", "bulk"}
    assert set(status["lanes"]["live"]) == {"waiting", "oldest_s", "paused", "held"}
    assert status["provider"] == {"rate": 5.0, "breaker": "closed", "paused_until": None, "credentials": "ok"}
    assert json.loads(json.dumps(status)) == status


async def test_missing_credentials_show_in_the_status(ledger: Ledger, limits: Limits) -> None:
    """An operator sees why nothing moves."""
    queries = Queries(ledger, limits, Catalogue.shipped(), has_credentials=False)

    assert (await queries.status())["provider"]["credentials"] == "missing"


async def test_a_pause_without_an_end_shows(queries: Queries, limits: Limits) -> None:
    """Paused by an operator until he says otherwise."""
    await limits.pause(None)

    assert (await queries.status())["provider"]["paused_until"] == "resumed"


async def test_numbers_and_contacts_are_masked_unless_asked_for(queries: Queries, ledger: Ledger) -> None:
    """A screen shared in a meeting gives nothing away."""
    number = a_number()
    job_id = await accepted(ledger, request=a_request(whatsapp=number))

    masked = json.dumps(await queries.job(job_id))
    shown = json.dumps(await queries.job(job_id, is_revealed=True))

    assert number not in masked
    assert "dana@example.com" not in masked
    assert number in shown
    assert "dana@example.com" in shown


async def test_an_answer_that_was_kept_unmasked_is_masked_when_it_is_shown(
    queries: Queries, ledger: Ledger
) -> None:
    """An older version may have kept a number in it; asked for, it shows as it was kept."""
    fail = Fail(reason="unknown_17", reason_class="unknown", code=17, raw='{"number": "972501234567"}')
    job_id = await ended(ledger, await accepted(ledger), Refused(fail=fail))

    masked = await queries.job(job_id)
    shown = await queries.job(job_id, is_revealed=True)

    assert masked is not None
    assert shown is not None
    assert "972501234567" not in masked["raw"]
    assert shown["raw"] == fail.raw


async def test_an_unknown_job_is_nothing(queries: Queries) -> None:
    """No error: the caller says so in his own words."""
    assert await queries.job("0" * 21) is None
    assert await queries.delivery("0" * 20 + ".email.invitation.1") is None


async def test_groups_tell_what_a_reason_means_and_what_to_do(queries: Queries, ledger: Ledger) -> None:
    """The first question is not which jobs failed but why."""
    for _ in range(2):
        await failed(ledger)
    await failed_message(ledger)

    groups = (await queries.failure_groups())["items"]

    assert [(group["stage"], group["reason"], group["count"]) for group in groups] == [
        ("link", "link_exists", 2),
        ("delivery", "mailbox_unknown", 1),
    ]
    assert all(group["meaning"] and group["remedy"] for group in groups)


async def test_the_failed_queue_shows_jobs_then_messages(queries: Queries, ledger: Ledger) -> None:
    """Pages go on from one kind to the other, and nothing shows twice."""
    jobs = {await failed(ledger) for _ in range(3)}
    messages = {await failed_message(ledger) for _ in range(2)}
    seen: list[str] = []
    cursor = None
    while True:
        page = await queries.failed(JobFilter(state=JobState.FAILED), cursor=cursor, limit=2)
        assert page["total"] == 5
        seen += [item["job_id"] if item["stage"] == "link" else item["delivery_id"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break

    assert len(seen) == 5
    assert set(seen[:3]) == jobs
    assert set(seen[3:]) == messages


@pytest.mark.parametrize(
    ("wanted", "jobs", "messages"),
    [
        (JobFilter(state=JobState.FAILED), 1, 1),
        (JobFilter(state=JobState.FAILED, stage="link"), 1, 0),
        (JobFilter(state=JobState.FAILED, stage="delivery"), 0, 1),
        (JobFilter(state=JobState.FAILED, reason="mailbox_unknown"), 0, 1),
        (JobFilter(state=JobState.FAILED, reason_class="link_exists"), 1, 0),
        (JobFilter(state=JobState.FAILED, lane=Lane.LIVE), 1, 1),
        (JobFilter(state=JobState.FAILED, lane=Lane.BULK), 0, 0),
        (JobFilter(state=JobState.FAILED, min_attempts=1), 1, 0),
        (JobFilter(state=JobState.FAILED, older_than_s=3600), 0, 0),
        (JobFilter(state=JobState.DEAD), 0, 0),
    ],
)
async def test_filters_choose_among_jobs_and_messages(
    queries: Queries, ledger: Ledger, wanted: JobFilter, jobs: int, messages: int
) -> None:
    """A filter that is about jobs alone leaves messages out."""
    await failed(ledger)
    await failed_message(ledger)

    page = await queries.failed(wanted)

    stages = [item["stage"] for item in page["items"]]
    assert (stages.count("link"), stages.count("delivery")) == (jobs, messages)
    assert page["total"] == jobs + messages


@pytest.mark.parametrize(
    ("verb", "from_state", "state", "again"),
    [
        ("requeue", JobState.FAILED, "available", "waits_already"),
        ("discard", JobState.FAILED, "dead", "dead_already"),
        ("restore", JobState.DEAD, "failed", "failed_already"),
        ("cancel", JobState.AVAILABLE, "cancelled", "cancelled_already"),
    ],
)
async def test_a_verb_on_one_job_says_what_it_came_to(
    commands: Commands, ledger: Ledger, verb: str, from_state: JobState, state: str, again: str
) -> None:
    """Done and where it stands now; said twice it has the effect of once."""
    job = await accepted(ledger) if from_state is JobState.AVAILABLE else await failed(ledger)
    if from_state is JobState.DEAD:
        await ledger.discard(job, **WHY)

    first = await getattr(commands, verb)(job, **WHY)
    second = await getattr(commands, verb)(job, **WHY)

    assert first == {"act": verb, "job_id": job, "done": True, "state": state, "refusal": None}
    assert (second["done"], second["refusal"]) == (False, again)


async def test_a_message_is_sent_again_by_its_id(
    commands: Commands, queries: Queries, ledger: Ledger
) -> None:
    """Without another call to the partner: the link is there already."""
    message = await failed_message(ledger)

    assert (await commands.requeue(message, **WHY))["state"] == "pending"


async def test_stopping_and_going_on_is_accounted_for(commands: Commands, ledger: Ledger) -> None:
    """Who did it, to what, and which holds went with it."""
    await ledger.batches.hold("live", "unknown_77")
    await commands.pause("bulk", **WHY)
    assert await commands.clear_hold("live", **WHY) == "unknown_77"
    assert await commands.clear_hold("live", **WHY) is None
    await ledger.batches.hold("bulk", "unknown_78")
    await commands.resume("bulk", **WHY)
    trail = (await ledger.trail.find(by="cli:test")).items

    assert [(entry.act, entry.subject) for entry in trail[::-1]] == [
        ("pause", "bulk"),
        ("clear_hold", "live"),
        ("resume", "bulk"),
    ]
    assert trail[0].detail["holds_cleared"] == "bulk (unknown_78)"
    assert trail[1].detail["reason"] == "unknown_77"


async def test_resuming_all_clears_every_hold(commands: Commands, ledger: Ledger) -> None:
    """One word after the cause is mended."""
    await ledger.batches.open("run-1", name="a.csv", source="csv", by="test")
    await ledger.batches.hold("batch:run-1", "unknown_77")
    await ledger.batches.hold("live", "unknown_77")
    await commands.pause("all", by="cli:test")

    cleared = await commands.resume("all", by="cli:test")

    assert sorted(cleared) == ["batch:run-1", "live"]
    assert await ledger.batches.holds() == {}
    assert await ledger.batches.pauses() == set()


async def test_resuming_one_batch_leaves_other_holds(commands: Commands, ledger: Ledger) -> None:
    """Each hold has its own cause."""
    for run in ("run-1", "run-2"):
        await ledger.batches.open(run, name="a.csv", source="csv", by="test")
        await ledger.batches.hold(f"batch:{run}", "unknown_77")

    assert await commands.resume("batch:run-1", by="cli:test") == ["batch:run-1"]

    assert list(await ledger.batches.holds()) == ["batch:run-2"]


async def test_a_cancelled_batch_says_how_many(commands: Commands, queries: Queries, ledger: Ledger) -> None:
    """Waiting jobs end at once, a running one as it may."""
    await ledger.batches.open("run-1", name="a.csv", source="csv", by="test", total=3)
    jobs = [await accepted(ledger, lane=Lane.BULK, batch_id="run-1", line=line) for line in (2, 3, 4)]
    await claimed(ledger, jobs[0])

    document = await commands.cancel_batch("run-1", **WHY)

    assert document == {"batch": "run-1", "cancelled": 2, "running": 1, "in_doubt": 0}
    batch = await queries.batch("run-1")
    assert batch is not None
    assert batch["jobs"]["cancelled"] == 2
    assert await commands.cancel_batch("run-2", **WHY) is None
    [entry] = (await ledger.trail.find(act="batch_cancel")).items
    assert entry.detail == {"available": "2", "running": "1"}


async def test_what_breaks_off_is_in_the_trail(
    ledger: Ledger, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch half cancelled has a name to it."""

    async def break_off(*_: object, **__: object) -> None:
        raise LedgerUnavailable("gone")

    await ledger.batches.open("run-1", name="a.csv", source="csv", by="cli:dana")
    monkeypatch.setattr(ledger.batches, "cancel", break_off)

    with pytest.raises(LedgerUnavailable):
        await commands.cancel_batch("run-1", **WHY)

    assert len((await ledger.trail.find(act="batch_cancel", subject="batch:run-1")).items) == 1
