"""Workers, duties, counters, and the keys of the HTTP API."""

from __future__ import annotations

import pytest
import redis.asyncio

from tests.contract.ledger_desk import Desk


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> Desk:
    return await Desk.open(store)


async def test_a_worker_that_stops_beating_is_gone(desk: Desk) -> None:
    """Only those that said so in time live."""
    await desk.ledger.fleet.beat("w1", {"pid": 7}, 10)
    desk.advance(5)
    await desk.ledger.fleet.beat("w2", {}, 10)
    assert {worker.id: worker.facts for worker in await desk.ledger.fleet.workers()} == {
        "w1": {"pid": 7},
        "w2": {},
    }
    desk.advance(5)

    assert [worker.id for worker in await desk.ledger.fleet.workers()] == ["w2"]


async def test_a_duty_is_done_by_one_worker_at_a_time(desk: Desk) -> None:
    """It is kept by renewing, let go by its holder alone, and taken over when it runs out."""
    fleet = desk.ledger.fleet
    assert await fleet.hold_duty("look_up", "w1", 10)
    assert not await fleet.hold_duty("look_up", "w2", 10)
    assert await fleet.hold_duty("prune", "w2", 10)
    desk.advance(9)
    assert await fleet.hold_duty("look_up", "w1", 10)
    await fleet.release_duty("look_up", "w2")
    assert not await fleet.hold_duty("look_up", "w2", 10)
    desk.advance(10)
    assert await fleet.hold_duty("look_up", "w2", 10)
    await fleet.release_duty("look_up", "w2")

    assert await fleet.hold_duty("look_up", "w1", 10)


async def test_counters_of_all_workers_add_up(desk: Desk) -> None:
    """Whole numbers and seconds alike."""
    await desk.ledger.fleet.add_stats({"calls": 2, "call_s": 0.25})
    await desk.ledger.fleet.add_stats({"calls": 1, "call_s": 0.5})
    await desk.ledger.fleet.add_stats({})

    assert await desk.ledger.fleet.stats() == {"calls": 3, "call_s": 0.75}


async def test_an_api_key_is_known_by_its_secret_alone(desk: Desk) -> None:
    """The secret itself is nowhere in the ledger."""
    keys = desk.ledger.keys_of_api
    secret = await keys.add("crm")
    await keys.add("zapier")

    assert await keys.check(secret) == "crm"
    assert await keys.check("lf_wrong") is None
    assert [key.name for key in await keys.list()] == ["crm", "zapier"]
    stored = await desk.redis.hgetall("{test}:keys")
    assert secret.encode() not in b"".join([*stored.keys(), *stored.values()])


async def test_a_revoked_key_opens_nothing(desk: Desk) -> None:
    """At once."""
    secret = await desk.ledger.keys_of_api.add("crm")

    assert await desk.ledger.keys_of_api.revoke("crm")
    assert not await desk.ledger.keys_of_api.revoke("crm")
    assert await desk.ledger.keys_of_api.check(secret) is None


@pytest.mark.parametrize("name", ["crm", "", "two\nlines"])
async def test_a_key_needs_a_name_of_its_own(desk: Desk, name: str) -> None:
    """An operator revokes by name."""
    await desk.ledger.keys_of_api.add("crm")

    with pytest.raises(ValueError, match="key"):
        await desk.ledger.keys_of_api.add(name)
