"""Keys of the API: who made them, when they were used, and that revoking is immediate."""

from __future__ import annotations

import pytest

from tests.contract.ledger_desk import Desk
from worker.ledger.keys import UNIT_SEPARATOR


@pytest.fixture
async def desk(store) -> Desk:
    return await Desk.open(store)


async def test_a_key_says_who_made_it_and_when_it_was_used(desk: Desk) -> None:
    """Roughly: its use is written down once a minute by each process."""
    secret = await desk.ledger.keys_of_api.add("crm", by="user:adina")
    [fresh] = await desk.ledger.keys_of_api.list()
    assert (fresh.name, fresh.added_by, fresh.added_at_ms, fresh.used_at_ms) == (
        "crm",
        "user:adina",
        desk.now_ms,
        None,
    )

    desk.advance(10)
    first_used_ms = desk.now_ms
    assert await desk.ledger.keys_of_api.check(secret) == "crm"
    desk.advance(1)
    assert await desk.ledger.keys_of_api.check(secret) == "crm"

    [used] = await desk.ledger.keys_of_api.list()
    assert used.used_at_ms == first_used_ms


async def test_making_and_revoking_leave_their_entries(desk: Desk) -> None:
    """The secret is in none of them."""
    secret = await desk.ledger.keys_of_api.add("crm", by="user:adina")
    assert await desk.ledger.keys_of_api.revoke("crm", by="cli:root")

    entries = (await desk.ledger.trail.find()).items

    assert [(entry.act, entry.by, entry.subject) for entry in entries] == [
        ("key_revoke", "cli:root", "crm"),
        ("key_add", "user:adina", "crm"),
    ]
    assert secret not in repr(entries)


async def test_a_revoked_key_is_refused_at_once_by_every_process(desk: Desk) -> None:
    """Also by one that has just seen it used."""
    other = await Desk.open(desk.redis)
    secret = await desk.ledger.keys_of_api.add("crm")
    assert await other.ledger.keys_of_api.check(secret) == "crm"

    await desk.ledger.keys_of_api.revoke("crm")

    assert await other.ledger.keys_of_api.check(secret) is None


async def test_a_key_of_an_older_version_still_works(desk: Desk) -> None:
    """It was kept without its maker."""
    secret = await desk.ledger.keys_of_api.add("crm", by="x")
    [digest] = await desk.redis.hkeys("{test}:keys")
    await desk.redis.hset("{test}:keys", digest, f"crm{UNIT_SEPARATOR}1700000000000")

    assert await desk.ledger.keys_of_api.check(secret) == "crm"
    [key] = await desk.ledger.keys_of_api.list()
    assert (key.added_by, key.added_at_ms) == (None, 1_700_000_000_000)


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "x" * 65])
async def test_a_name_is_one_short_line(desk: Desk, name: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="one short line"):
        await desk.ledger.keys_of_api.add(name)
