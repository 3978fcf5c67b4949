"""The stop list: who is on it, since when, who said so, and that each change is accounted for."""

from __future__ import annotations

import pytest
import redis.asyncio

from tests.contract.ledger_desk import Desk
from worker.domain.stop_list import fingerprint_of

DANA = "dana@flowers.example"


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> Desk:
    return await Desk.open(store)


async def test_a_contact_is_kept_with_who_put_it_there(desk: Desk) -> None:
    """When and why, too; a separator in his words does no harm."""
    assert await desk.ledger.suppressing.add(DANA, by="cli:noa", why="asked by\x1ftelephone") == 1

    [entry] = (await desk.ledger.suppressing.list()).items

    assert (entry.contact, entry.at_ms, entry.by, entry.why) == (
        DANA,
        desk.now_ms,
        "cli:noa",
        "asked by telephone",
    )


async def test_what_is_asked_for_is_found_and_nothing_else(desk: Desk) -> None:
    """One look for all that a customer is known by."""
    await desk.ledger.suppressing.add(DANA, "972501234567", by="cli:noa")

    assert set(await desk.ledger.suppressing.holds([DANA, "972509999999"])) == {DANA}
    assert await desk.ledger.suppressing.holds(["noa@flowers.example"]) == {}
    assert await desk.ledger.suppressing.holds([]) == {}


async def test_adding_twice_keeps_the_first_and_removing_twice_does_nothing(desk: Desk) -> None:
    """The trail has an entry for each change, and none for what changed nothing."""
    stop = desk.ledger.suppressing
    assert await stop.add(DANA, by="cli:noa", why="first") == 1
    desk.advance(60)
    assert await stop.add(DANA, by="cli:oren", why="second") == 0
    assert (await stop.holds([DANA]))[DANA].why == "first"
    assert await stop.remove(DANA, by="cli:oren", why="wants it") == 1
    assert await stop.remove(DANA, by="cli:oren") == 0

    entries = (await desk.ledger.trail.find()).items

    assert [(each.act, each.by, each.detail["contact"]) for each in entries] == [
        ("unsuppress", "cli:oren", DANA),
        ("suppress", "cli:noa", DANA),
    ]
    assert await stop.holds([DANA]) == {}


async def test_a_long_list_is_taken_whole_and_shown_latest_first(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of some hundred at once; the list may be cut, its total not. The server is never asked for all at once."""
    contacts = [f"97250{n:07d}" for n in range(230)]
    assert await desk.ledger.suppressing.add(*contacts, *contacts[:5], by="cli:noa") == 230
    desk.advance(1)
    await desk.ledger.suppressing.add(DANA, by="cli:noa")

    async def all_at_once(key: str) -> None:
        raise AssertionError(f"{key} is read as a whole")

    monkeypatch.setattr(desk.redis, "hgetall", all_at_once)
    page = await desk.ledger.suppressing.list(limit=10)

    assert (page.total, len(page.items), page.items[0].contact) == (231, 10, DANA)


async def test_those_that_stand_by_themselves_are_told_from_the_erased(desk: Desk) -> None:
    """Of an erased customer a fingerprint keeps the messages away; nothing more of him is to be erased."""
    erased, standing = "noa@levi.example", DANA
    await desk.ledger.suppressing.add(standing, fingerprint_of(erased), by="cli:noa")

    assert set(await desk.ledger.suppressing.holds([erased, standing])) == {erased, standing}
    assert await desk.ledger.suppressing.named([erased, standing, "972501234567"]) == [standing]
    assert await desk.ledger.suppressing.named([]) == []
