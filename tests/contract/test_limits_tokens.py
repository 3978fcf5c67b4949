"""The fleet's shared token, on fakeredis and on a real Valkey."""

from __future__ import annotations

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.contract.limits_time import SimulatedTime
from worker.limits import LimitsUnavailable, StoredToken, TokenStore


@pytest.fixture
def time():
    return SimulatedTime()


@pytest.fixture
def tokens(store, time):
    return TokenStore(store, namespace="t", now_us=lambda: time.us)


async def test_a_saved_token_is_everybodys(store, tokens):
    """One token call serves the fleet; a value may hold anything but a line's end."""
    token = StoredToken(value="a b.c=/+ $1", expires_ms=1_900_000_000_000)

    await tokens.save(token)

    assert await TokenStore(store, namespace="t").load() == token
    assert await TokenStore(store, namespace="u").load() is None


async def test_no_token_is_none(tokens):
    """A fresh fleet has none."""
    assert await tokens.load() is None


async def test_what_is_no_token_is_none(store, tokens):
    """A key somebody else wrote must not stop the fleet."""
    await store.set("{t}:limit:partner:token", "garbage")

    assert await tokens.load() is None


async def test_a_token_that_ran_out_is_still_told(tokens):
    """Whether it ran out is judged by who uses it, by one clock."""
    await tokens.save(StoredToken(value="old", expires_ms=1))

    assert await tokens.load() == StoredToken(value="old", expires_ms=1)


async def test_dropping_spares_a_newer_token(tokens):
    """A late 401 for the old token must not throw away the new one."""
    await tokens.save(StoredToken(value="new", expires_ms=5))
    await tokens.drop("old")
    assert await tokens.load() is not None

    await tokens.drop("new")

    assert await tokens.load() is None


async def test_one_holder_fetches_at_a_time(tokens):
    """Single flight over the fleet; asking again prolongs one's own."""
    assert await tokens.try_lock("a", 30)
    assert not await tokens.try_lock("b", 30)
    assert await tokens.try_lock("a", 30)

    await tokens.unlock("b")
    assert not await tokens.try_lock("b", 30)

    await tokens.unlock("a")
    assert await tokens.try_lock("b", 30)


async def test_a_dead_holders_lock_ends(tokens, time):
    """By Redis's clock, not by a key's expiry."""
    await tokens.try_lock("a", 30)
    time.pass_by(29)
    assert not await tokens.try_lock("b", 30)

    time.pass_by(1)

    assert await tokens.try_lock("b", 30)


async def test_a_clock_stepping_back_does_not_keep_a_lock(tokens, time):
    """A failover to a server an hour behind must not stop token calls for an hour."""
    await tokens.try_lock("a", 30)

    time.pass_by(-3600)

    assert await tokens.try_lock("b", 30)


async def test_the_lock_works_by_redis_time(store):
    """Without a test's clock, too."""
    tokens = TokenStore(store, namespace="t")

    assert await tokens.try_lock("a", 30)
    assert not await tokens.try_lock("b", 30)


def test_a_token_stays_out_of_every_text():
    """It is a secret."""
    assert "secret" not in repr(StoredToken(value="secret", expires_ms=1))


async def test_redis_gone_is_one_error():
    """Callers know one error."""

    class Broken:
        def register_script(self, _text):
            async def call(**_):
                raise RedisTimeoutError

            return call

        async def get(self, *_):
            raise RedisTimeoutError

        async def set(self, *_, **__):
            raise RedisTimeoutError

    tokens = TokenStore(Broken(), namespace="t")

    for verb in [
        tokens.load(),
        tokens.save(StoredToken(value="v", expires_ms=1)),
        tokens.drop("v"),
        tokens.try_lock("a", 1),
        tokens.unlock("a"),
    ]:
        with pytest.raises(LimitsUnavailable):
            await verb
