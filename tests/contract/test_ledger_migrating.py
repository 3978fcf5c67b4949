"""A ledger that an older version wrote: its jobs and messages are found, and changed, once a newer process has opened it."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio

from tests.contract.ledger_desk import LINK, Desk, own_fail
from tests.factories import a_request, an_invitation
from worker.domain.outcome import Deleted, Linked, Refused, Sent, Undelivered
from worker.domain.request import Contact
from worker.domain.states import JobState
from worker.ledger import JobFilter, SchemaMismatch, migrating
from worker.ledger.keys import SCHEMA_VERSION

ROWS = 250


async def old_ledger(store: redis.asyncio.Redis) -> Desk:
    """Return a desk with jobs in many states, and the ledger as version 1 had it."""
    desk = await Desk.open(store)
    rows = [
        an_invitation(request=a_request(external_id=f"c{nth}", business_name=f"Shop {nth}"))
        for nth in range(ROWS)
    ]
    await desk.ledger.accept(rows, max_waiting=10_000)
    for state in (JobState.CANCELLED, JobState.FAILED, JobState.DEAD, JobState.SCHEDULED):
        await desk.job_in(state, request=a_request(external_id=state.value))
    [job] = (await desk.accept(request=a_request(whatsapp="1", external_id="x"), claim_key="b:1")).job_ids
    await desk.end(job, Linked(link=LINK, number="972559876543"))
    again = await desk.job_in(JobState.FAILED, request=a_request(external_id="again"))
    await desk.requeue(again)
    await desk.end(again, Refused(fail=own_fail()))
    contact = Contact(email="gone@example.com")
    delivery = await desk.a_delivery(request=a_request(contact=contact))
    outcome = Undelivered(fail=own_fail("mailbox_unknown"))
    await desk.ledger.deliveries.settle(await desk.send(delivery), outcome, can_resend=True)
    desk.advance(5)
    for pattern in ("{test}:se:*", "{test}:df:*", "{test}:dreasons", "{test}:fq"):
        async for key in store.scan_iter(pattern):
            await store.delete(key)
    await store.hset("{test}:m", "schema", "1")
    return desk


async def sent_by_version_2(store: redis.asyncio.Redis) -> tuple[Desk, str]:
    """Return a desk and a job whose customer was sent his link, as version 2 wrote it down."""
    desk = await Desk.open(store)
    job = delivery_job(await desk.a_delivery())
    [message] = await desk.ledger.deliveries.of_invitation(job[:-1])
    await desk.ledger.deliveries.settle(await desk.send(message.id), Sent(), can_resend=True)
    await store.hdel(f"{{test}}:x:{job}", "made")
    await store.hset("{test}:m", "schema", "2")
    return desk, job


def delivery_job(delivery_id: str) -> str:
    """Return the WhatsApp job of a message's invitation."""
    return delivery_id.partition(".")[0] + "w"


async def total(desk: Desk, **wanted: object) -> int:
    """Return how many jobs are found."""
    return (await desk.ledger.queries.find(JobFilter(**wanted))).total


async def require_all_found(desk: Desk) -> None:
    """Check that everything is found, and every index right."""
    assert await desk.ledger.queries.schema() == SCHEMA_VERSION
    assert await total(desk, name="shop") == ROWS
    assert await total(desk, external_id=f"c{ROWS - 1}") == 1
    for state in (JobState.CANCELLED, JobState.FAILED, JobState.DEAD, JobState.SCHEDULED):
        assert await total(desk, external_id=state.value) == 1
    assert await total(desk, number="972559876543") == 1
    assert await total(desk, state=JobState.FAILED, min_requeues=1) == 1
    [message] = (await desk.ledger.deliveries.failed(JobFilter(reason="mailbox_unknown"))).items
    assert message.changed_at_ms == desk.now_ms - 5_000
    assert len((await desk.ledger.deliveries.failed(JobFilter(older_than_s=4))).items) == 1
    assert len((await desk.ledger.deliveries.failed(JobFilter(email="gone@example.com"))).items) == 1
    await desk.balance()


async def test_an_older_ledger_is_brought_to_this_version(store: redis.asyncio.Redis) -> None:
    """By whoever opens it first; what was not to be found before is found."""
    desk = await old_ledger(store)
    assert await total(desk, name="shop") == 0

    await desk.ledger.open()

    await require_all_found(desk)
    assert await store.hget("{test}:m", "migration") is None


async def test_version_2_s_ledger_is_brought_to_this_version_at_once(
    store: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its indexes: nothing is walked through; only processes that know no changes of links are shut out."""
    desk, _ = await sent_by_version_2(store)

    async def unwanted(_self: migrating._Migration) -> bool:
        raise AssertionError("nothing is to be indexed")

    monkeypatch.setattr(migrating._Migration, "_index_invitations", unwanted)
    monkeypatch.setattr(migrating._Migration, "_index_failures", unwanted)
    await desk.ledger.open()

    assert await desk.ledger.queries.schema() == SCHEMA_VERSION == 3
    await desk.balance()


async def test_version_2_s_links_are_reminded_of_and_replaced(store: redis.asyncio.Redis) -> None:
    """What the new verbs look for is there, or found elsewhere: the day of the link that is replaced as well."""
    desk, job = await sent_by_version_2(store)
    await desk.ledger.open()
    linked_at_ms = desk.now_ms
    assert await desk.ledger.reminding.remind(1, after_s=3600) == (0, False)
    desk.advance(3600)
    assert (await desk.ledger.reminding.remind(1, after_s=3600))[0] == 1

    assert (await desk.ledger.replace(job, by="dana", why="name")).done
    await desk.end(job, Deleted())
    await desk.end(job, Linked(link=LINK))
    record = await desk.ledger.queries.job(job)
    assert record is not None
    assert record.replaced_at_ms == linked_at_ms
    await desk.balance()


@pytest.mark.parametrize("steps", [0, 1, 2])
async def test_a_killed_migration_is_gone_on_with(
    store: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Wherever it ended: the next process waits for the dead one's duty to lapse, and finishes."""
    monkeypatch.setattr(migrating, "_KEYS_PER_SCAN", 50)
    desk = await old_ledger(store)
    done = 0
    index = migrating._Migration._index

    async def dying(self: migrating._Migration, ids: list[str]) -> None:
        nonlocal done
        if done == steps:
            raise asyncio.CancelledError
        done += 1
        await index(self, ids)

    monkeypatch.setattr(migrating._Migration, "_index", dying)
    with pytest.raises(asyncio.CancelledError):
        await desk.ledger.open()
    assert await desk.ledger.queries.schema() == 1
    monkeypatch.setattr(migrating._Migration, "_index", index)
    waits = 0

    async def lapse(_delay_s: float) -> None:
        nonlocal waits
        waits += 1
        desk.advance(10)

    monkeypatch.setattr(migrating.asyncio, "sleep", lapse)
    before = desk.now_ms
    await desk.ledger.open()

    assert waits == 3
    desk.now_ms = before
    await require_all_found(desk)


async def test_two_processes_do_not_hurt_each_other(store: redis.asyncio.Redis) -> None:
    """One does it, the other waits until it is done."""
    desk, other = await old_ledger(store), Desk(store)
    other.now_ms = desk.now_ms
    await asyncio.gather(desk.ledger.open(), other.ledger.open())

    await require_all_found(other)


async def test_what_is_gone_on_with_is_not_begun_again(
    real_redis: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the same run of the server the keys that were seen are not seen to again."""
    monkeypatch.setattr(migrating, "_KEYS_PER_SCAN", 50)
    desk = await old_ledger(real_redis)
    seen: list[str] = []
    index = migrating._Migration._index

    async def noting(self: migrating._Migration, ids: list[str]) -> None:
        if len(seen) > ROWS // 2 and not desk_is_restarted:
            raise asyncio.CancelledError
        seen.extend(ids)
        await index(self, ids)

    desk_is_restarted = False
    monkeypatch.setattr(migrating._Migration, "_index", noting)
    with pytest.raises(asyncio.CancelledError):
        await desk.ledger.open()
    before = len(seen)
    desk_is_restarted = True
    desk.advance(31)
    await desk.ledger.open()

    assert len(set(seen)) == ROWS + 7
    assert len(seen) < ROWS + 7 + before
    desk.advance(-31)
    await require_all_found(desk)


@pytest.mark.parametrize("schema", ["0", str(SCHEMA_VERSION + 1), "99"])
async def test_another_version_s_ledger_is_refused(store: redis.asyncio.Redis, schema: str) -> None:
    """Newer, or none that there ever was: nothing is touched."""
    await store.hset("{test}:m", "schema", schema)

    with pytest.raises(SchemaMismatch):
        await Desk.open(store)

    assert await store.hgetall("{test}:m") == {b"schema": schema.encode()}
