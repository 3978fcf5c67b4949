"""Places, samples and ages: what the overview and a job's page ask beyond the records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis.asyncio

from tests.contract.ledger_desk import DOUBTFUL, LEASE_S, LINKED, Desk, a_fail, own_fail, retry
from tests.factories import a_request, an_invitation
from worker.domain.outcome import Absent, Fail, Outcome, Refused, Sent, Undelivered
from worker.domain.request import Product
from worker.domain.states import Channel, DeliveryState, JobState, Lane
from worker.ledger.keys import Keys
from worker.ledger.scripts import text
from worker.ledger.survey import Again, Whereabouts

pytestmark = pytest.mark.redis


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> Desk:
    return await Desk.open(store)


async def where(desk: Desk, job: str) -> Whereabouts:
    """Return where a job stands."""
    return await desk.ledger.survey.whereabouts(job)


async def live_queue(desk: Desk, count: int) -> list[str]:
    """Return live jobs that wait in their queue, not rung."""
    rows = [an_invitation() for _ in range(count)]
    receipts = await desk.ledger.accept(rows, max_waiting=1_000)
    for receipt in receipts:
        await desk.ledger.hand_back(receipt.job_ids[0])
    return [receipt.job_ids[0] for receipt in receipts]


# --- where a job stands --------------------------------------------------------------------------------------


async def test_a_waiting_job_knows_its_place(desk: Desk) -> None:
    """Those before it in its queue, and the bells that are rung."""
    jobs = await live_queue(desk, 4)
    await desk.ledger.feed(Lane.LIVE, want=1)

    assert [(await where(desk, job)).before for job in jobs[1:]] == [1, 2, 3]
    assert (await where(desk, jobs[0])).is_rung
    assert (await where(desk, jobs[3])).ahead.live == 0


async def test_a_bulk_job_waits_for_the_live_lane_and_takes_turns(desk: Desk) -> None:
    """One job of every other batch goes for each of its own; a paused batch is in nobody's way."""
    await live_queue(desk, 5)
    own = await desk.accept_batch("own", 3)
    await desk.accept_batch("other", 10)
    await desk.accept_batch("paused", 10)
    await desk.ledger.batches.pause("batch:paused")

    third = await where(desk, own[2])

    assert (third.before, third.ahead.live, third.ahead.bulk, third.ahead.queues) == (2, 5, 3, 1)


async def test_a_running_job_knows_its_lease_and_worker(desk: Desk) -> None:
    """From its claim on; the call's begin once it has begun."""
    job = (await desk.accept()).job_ids[0]
    lease = (await desk.claim(job, worker="host.7")).lease
    claimed = await where(desk, job)
    desk.advance(2)
    await desk.ledger.begin_call(lease)
    calling = await where(desk, job)

    assert (claimed.worker, claimed.call_began_ms) == ("host.7", None)
    assert claimed.lease_end_ms == desk.now_ms - 2_000 + LEASE_S * 1000
    assert calling.call_began_ms == desk.now_ms
    assert calling.before is None


async def test_a_doubt_knows_when_its_call_ended_and_what_lists_said(desk: Desk) -> None:
    """What decides when it may be looked up, and how far that is."""
    job = await desk.job_in(JobState.IN_DOUBT)
    ended = desk.now_ms
    desk.advance(70)
    await desk.ledger.resolve(job, Absent(list_began_ms=desk.now_ms), grace_s=60)

    found = await where(desk, job)

    assert (found.call_ended_ms, found.lists_without) == (ended, 1)


async def test_a_link_that_waits_for_its_siblings_says_since_when(desk: Desk) -> None:
    """The invitation goes out with all its links, or late."""
    request = a_request(products=(Product.WHATSAPP, Product.FACEBOOK_PAGE))
    first, _second = (await desk.accept(request=request)).job_ids
    await desk.end(first, LINKED)

    assert (await where(desk, first)).late_since_ms == desk.now_ms


async def test_a_job_that_does_not_exist_stands_nowhere(desk: Desk) -> None:
    """No error, and nothing made up."""
    assert await where(desk, "01m3250v020000000002w") == Whereabouts()


async def test_an_attempt_says_when_it_began_and_how_long_its_call_took(desk: Desk) -> None:
    """Whatever it ended with; a retry and a snooze also until when."""
    endings: dict[str, Outcome] = {
        "linked": LINKED,
        "failed": Refused(fail=own_fail()),
        "in_doubt": DOUBTFUL,
        "retry": retry(30.0),
    }
    for event, outcome in endings.items():
        job = (await desk.accept()).job_ids[0]
        claimed = await desk.claim(job)
        began = desk.now_ms
        desk.advance(1)
        await desk.ledger.begin_call(claimed.lease)
        desk.advance(0.25)
        await desk.ledger.settle(claimed.lease, outcome)
        entry = (await desk.ledger.queries.history(job))[-1]

        assert entry.event == event
        assert (entry.detail["began_ms"], entry.detail["call_ms"]) == (began, 250)
        assert entry.detail.get("due_ms") == (desk.now_ms + 30_000 if event == "retry" else None)


async def test_a_late_answer_tells_the_length_of_its_call_only(desk: Desk) -> None:
    """When the attempt began is no longer known by then; the call is."""
    job = (await desk.accept()).job_ids[0]
    lease = await desk.call(job)
    began = desk.now_ms
    desk.advance(LEASE_S + 1)
    await desk.ledger.rescue()
    desk.advance(5)
    await desk.ledger.settle(lease, LINKED)

    rescued, linked = (await desk.ledger.queries.history(job))[-2:]

    assert (rescued.event, rescued.detail["is_called"]) == ("rescued", "1")
    assert (linked.detail["began_ms"], linked.detail["call_ms"]) == (began, (LEASE_S + 6) * 1000)


async def test_a_message_asked_for_again_keeps_what_it_was(desk: Desk) -> None:
    """Its record begins anew; the history knows that it had been sent, and when."""
    delivery = await desk.a_delivery()
    await desk.ledger.deliveries.settle(await desk.send(delivery), Sent(provider_id="1"), can_resend=True)
    sent = desk.now_ms
    desk.advance(60)
    await desk.ledger.deliveries.resend(delivery, by="cli:dana", why="asked")

    entry = (await desk.ledger.queries.history(delivery.partition(".")[0] + "w"))[-1]

    assert (entry.detail["was"], entry.detail["was_ms"]) == ("sent", sent)


# --- how much waits ------------------------------------------------------------------------------------------


async def test_customers_are_invitations_not_jobs(desk: Desk) -> None:
    """Three links of one customer are one customer who waits."""
    products = (Product.WHATSAPP, Product.FACEBOOK_PAGE, Product.INSTAGRAM_PAGE)
    await desk.accept(request=a_request(products=products))
    await desk.accept()

    affected = await desk.ledger.survey.affected("all")

    assert (affected.jobs, affected.customers, affected.is_exact) == (4, 2, True)


async def test_tries_to_come_wait_and_appointments_do_not(desk: Desk) -> None:
    """Who asked for next week is not affected by today."""
    await desk.end((await desk.accept()).job_ids[0], retry())
    await desk.job_in(JobState.SCHEDULED)

    assert (await desk.ledger.survey.affected("all")).customers == 1


@pytest.mark.parametrize(("scope", "expected"), [("all", 6), ("live", 1), ("bulk", 5), ("batch:b", 3)])
async def test_a_scope_counts_its_own(desk: Desk, scope: str, expected: int) -> None:
    """A held batch keeps nobody waiting outside of it."""
    await desk.accept()
    await desk.accept_batch("b", 3)
    await desk.accept_batch("c", 2)

    assert (await desk.ledger.survey.affected(scope)).customers == expected


async def test_many_are_estimated_and_it_says_so(desk: Desk) -> None:
    """A sample of the front tells how many links a customer has."""
    rows = [
        an_invitation(
            lane=Lane.BULK,
            batch_id="big",
            request=a_request(products=(Product.WHATSAPP, Product.FACEBOOK_PAGE)),
        )
        for _ in range(400)
    ]
    await desk.ledger.accept(rows, max_waiting=10_000)

    affected = await desk.ledger.survey.affected("bulk")

    assert (affected.jobs, affected.customers, affected.is_exact) == (800, 400, False)


# --- messages, groups, dead letters, workers -----------------------------------------------------------------


async def test_messages_are_counted_by_channel_and_state(desk: Desk) -> None:
    """Pending ones whether rung or not."""
    await desk.a_delivery(channels=(Channel.EMAIL, Channel.SMS))
    sent = await desk.a_delivery(channels=(Channel.EMAIL,))
    await desk.ledger.deliveries.settle(await desk.send(sent), Sent(provider_id="1"), can_resend=True)
    await desk.ledger.deliveries.due(Channel.SMS, want=5)

    counts = await desk.ledger.survey.channels()

    assert counts.is_exact
    assert counts.by_channel[Channel.EMAIL][DeliveryState.PENDING] == 1
    assert counts.by_channel[Channel.EMAIL][DeliveryState.SENT] == 1
    assert counts.by_channel[Channel.SMS][DeliveryState.PENDING] == 1
    assert counts.by_channel[Channel.SMS][DeliveryState.SENT] == 0


async def test_what_was_just_sent_again_does_not_pass_for_all_that_was_sent(desk: Desk) -> None:
    """Of many the share of each channel is told by a part from end to end, not by the newest."""
    sent = {f"job{nth}.{channel}.invitation.1": nth for nth in range(400) for channel in Channel}
    sent |= {f"job{nth}.email.invitation.1": 1_000 + nth for nth in range(400)}
    await desk.redis.zadd(Keys("test").delivery_state + DeliveryState.SENT, sent)

    counts = await desk.ledger.survey.channels()

    assert not counts.is_exact
    told = {channel: counts.by_channel[channel][DeliveryState.SENT] for channel in Channel}
    assert sum(told.values()) == 800
    assert all(360 <= count <= 440 for count in told.values()), told


async def test_those_that_failed_again_are_counted(desk: Desk) -> None:
    """A requeue that helped nobody shows; the others of the group do not."""
    again, once = (await desk.accept()).job_ids[0], (await desk.accept()).job_ids[0]
    for job in (again, once):
        await desk.end(job, Refused(fail=own_fail()))
    await desk.requeue(again)
    desk.advance(1)
    await desk.end(again, Refused(fail=own_fail()))

    found = await desk.ledger.survey.failed_again([("link", "name_refused"), ("link", "nobody")])

    assert found["link", "name_refused"] == Again(count=1, is_at_least=False)
    assert found["link", "nobody"].count == 0
    assert await desk.ledger.survey.newest_failed("name_refused", 1) == [again]
    assert await desk.ledger.survey.failed_again([]) == {}


async def test_messages_that_failed_again_are_counted_too(desk: Desk) -> None:
    """Sent again by an operator, and refused again."""
    fail = Undelivered(fail=Fail(reason="address_refused", reason_class="recipient"))
    delivery = await desk.a_delivery()
    await desk.ledger.deliveries.settle(await desk.send(delivery), fail, can_resend=False)
    before = await desk.ledger.survey.failed_again([("delivery", "address_refused")])
    await desk.ledger.deliveries.resend(delivery, by="cli:dana", why="asked")
    await desk.ledger.deliveries.settle(await desk.send(delivery), fail, can_resend=False)

    after = await desk.ledger.survey.failed_again([("delivery", "address_refused")])

    assert [found["delivery", "address_refused"].count for found in (before, after)] == [0, 1]


async def test_dead_letters_are_counted_by_when_they_died(desk: Desk) -> None:
    """Those before an instant, and no others."""
    await desk.job_in(JobState.DEAD)
    desk.advance(100)
    await desk.job_in(JobState.DEAD)

    assert await desk.ledger.survey.dead_until(desk.now_ms) == 1
    assert await desk.ledger.survey.dead_until(desk.now_ms + 1) == 2


async def test_a_worker_says_until_when_it_counts_as_alive(desk: Desk) -> None:
    """From it and the beat's length its age follows."""
    await desk.ledger.fleet.beat("w1", {"pid": 7}, 15.0)

    assert await desk.ledger.survey.worker_ends() == {"w1": desk.now_ms + 15_000}


async def test_batches_are_named(desk: Desk) -> None:
    """Those that have a name."""
    await desk.ledger.batches.open("b", name="november.csv", source="csv", by="dana", total=1)
    await desk.accept_batch("nameless", 1)

    assert await desk.ledger.survey.batch_names(["b", "nameless", "gone"]) == {"b": "november.csv"}


async def test_asking_changes_nothing(desk: Desk) -> None:
    """Not one key, nor its type, nor how long it is, after every question."""
    job = (await desk.accept()).job_ids[0]
    await desk.end(job, Refused(fail=a_fail()))
    before = await everything(desk.redis)
    survey = desk.ledger.survey
    await survey.whereabouts(job)
    await survey.affected("all")
    await survey.channels()
    await survey.fullness()
    await survey.failed_again([("link", "unknown_17")])
    await survey.newest_failed("unknown_17", 5)

    assert len(before) > 5
    assert await everything(desk.redis) == before
    await desk.balance()


async def everything(client: redis.asyncio.Redis) -> dict[str, object]:
    """Return what every key holds."""
    read: dict[str, Callable[[str], Any]] = {
        "string": client.get,
        "hash": client.hgetall,
        "set": client.smembers,
        "list": lambda key: client.lrange(key, 0, -1),
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
    }
    keys = [text(key) for key in await client.keys("*")]
    return {key: await read[text(await client.type(key))](key) for key in keys}


async def test_a_server_at_its_limit_is_full(real_redis: redis.asyncio.Redis) -> None:
    """With a limit that is reached and nothing that may be evicted; else it is not."""
    desk = await Desk.open(real_redis)
    assert not (await desk.ledger.survey.fullness()).is_full
    await real_redis.config_set("maxmemory", "1mb")
    try:
        assert (await desk.ledger.survey.fullness()).is_full
        await real_redis.config_set("maxmemory-policy", "allkeys-lru")
        assert not (await desk.ledger.survey.fullness()).is_full
    finally:
        await real_redis.config_set("maxmemory-policy", "noeviction")
        await real_redis.config_set("maxmemory", "0")


@pytest.mark.parametrize(
    ("said", "settings", "is_full"),
    [
        ({"aof_last_write_status": "err"}, {}, True),
        ({"rdb_last_bgsave_status": "err"}, {"save": "3600 1", "stop-writes-on-bgsave-error": "yes"}, True),
        ({"rdb_last_bgsave_status": "err"}, {"save": "3600 1", "stop-writes-on-bgsave-error": "no"}, False),
        ({"rdb_last_bgsave_status": "err"}, {"save": "", "stop-writes-on-bgsave-error": "yes"}, False),
        ({"rdb_last_bgsave_status": "ok"}, {"save": "3600 1", "stop-writes-on-bgsave-error": "yes"}, False),
    ],
)
async def test_a_server_that_cannot_write_its_file_is_full(
    fake_redis: redis.asyncio.Redis,
    monkeypatch: pytest.MonkeyPatch,
    said: dict[str, str],
    settings: dict[str, str],
    is_full: bool,
) -> None:
    """As far as it refuses writes for it: a snapshot counts where the server is to make some and to mind."""
    desk = await Desk.open(fake_redis)

    async def info(section: str) -> dict[str, str]:
        return said if section == "persistence" else {}

    async def config_get(name: str) -> dict[str, str]:
        return {name: settings[name]} if name in settings else {}

    monkeypatch.setattr(fake_redis, "info", info)
    monkeypatch.setattr(fake_redis, "config_get", config_get)

    assert (await desk.ledger.survey.fullness()).is_full is is_full
