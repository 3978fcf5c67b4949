"""Brand profiles are kept beside the jobs, taken up by every process, and accounted for."""

from __future__ import annotations

import json

import pytest
import redis.asyncio

from tests.contract.ledger_desk import Desk
from worker.domain.brand import Brand, LiveBrands
from worker.ledger.brands import MOST_BRANDS, Kept

ACME = Brand(name="acme", name_he="אקמי", name_en="Acme", phone="97236201234")


@pytest.fixture
async def desk(store: redis.asyncio.Redis) -> Desk:
    return await Desk.open(store)


async def test_a_brand_is_kept_with_who_changed_it_and_when(desk: Desk) -> None:
    """And read back whole, the others beside it by name."""
    assert await desk.ledger.brands.keep(ACME, seen=None, by="cli:dana") is Kept.DONE
    desk.advance(5)
    await desk.ledger.brands.keep(Brand(name="aaa", name_en="First"), seen=None, by="user:noa")

    first, second = await desk.ledger.brands.all()

    assert (first.brand.name, first.by, first.at_ms) == ("aaa", "user:noa", desk.now_ms)
    assert (second.brand, second.by, second.is_default) == (ACME, "cli:dana", False)
    assert await desk.ledger.brands.get("acme") == second
    assert await desk.ledger.brands.get("gone") is None


async def test_a_name_is_added_once(desk: Desk) -> None:
    """The first stands."""
    await desk.ledger.brands.keep(ACME, seen=None, by="cli:dana")

    again = await desk.ledger.brands.keep(Brand(name="acme", name_en="Other"), seen=None, by="cli:noa")

    assert again is Kept.OTHERWISE
    [record] = await desk.ledger.brands.all()
    assert record.brand == ACME


async def test_a_change_is_made_to_what_was_seen_only(desk: Desk) -> None:
    """Of two who look at one brand and change it, the second looks again."""
    await desk.ledger.brands.keep(ACME, seen=None, by="cli:dana")
    [seen] = await desk.ledger.brands.all()
    mine, theirs = Brand(name="acme", name_en="Mine"), Brand(name="acme", name_en="Theirs")

    assert await desk.ledger.brands.keep(theirs, seen=seen.version, by="cli:noa") is Kept.DONE
    assert await desk.ledger.brands.keep(mine, seen=seen.version, by="cli:dana") is Kept.OTHERWISE

    [record] = await desk.ledger.brands.all()
    assert record.brand == theirs
    gone = Brand(name="gone", name_en="Gone")
    assert await desk.ledger.brands.keep(gone, seen=seen.version, by="cli:dana") is Kept.OTHERWISE


async def test_another_process_takes_a_change_up_with_its_next_look(desk: Desk) -> None:
    """One small read tells that nothing is new; a change of the default is a change."""
    live = LiveBrands()
    assert await desk.ledger.brands.refresh(live)
    assert not await desk.ledger.brands.refresh(live)

    await desk.ledger.brands.keep(ACME, seen=None, by="cli:dana")
    assert await desk.ledger.brands.refresh(live)
    assert live.names == ("acme",)
    assert live.default is None

    assert await desk.ledger.brands.make_default("acme", by="cli:dana")
    assert await desk.ledger.brands.refresh(live)
    assert live.chosen(None) == ACME

    assert await desk.ledger.brands.make_default(None, by="cli:dana")
    assert await desk.ledger.brands.remove("acme", by="cli:dana") is Kept.DONE
    assert await desk.ledger.brands.refresh(live)
    assert (live.names, live.default) == ((), None)


async def test_the_default_has_to_be_there_and_is_not_removed(desk: Desk) -> None:
    """Else requests without a brand would change theirs behind everybody's back."""
    assert not await desk.ledger.brands.make_default("acme", by="cli:dana")
    await desk.ledger.brands.keep(ACME, seen=None, by="cli:dana")
    await desk.ledger.brands.make_default("acme", by="cli:dana")

    assert await desk.ledger.brands.remove("acme", by="cli:dana") is Kept.REFUSED
    assert await desk.ledger.brands.remove("gone", by="cli:dana") is Kept.OTHERWISE

    [record] = await desk.ledger.brands.all()
    assert record.is_default


async def test_each_change_leaves_its_entry(desk: Desk) -> None:
    """With before and after; a default that is chosen twice is one change."""
    brands = desk.ledger.brands
    await brands.keep(ACME, seen=None, by="cli:dana", why="new agency")
    [record] = await brands.all()
    await brands.keep(Brand(name="acme", name_en="Acme 2"), seen=record.version, by="user:noa")
    for _ in range(2):
        await brands.make_default("acme", by="cli:dana")
    await brands.make_default(None, by="cli:dana", why="back")
    await brands.remove("acme", by="cli:dana")

    entries = [*reversed((await desk.ledger.trail.find(subject="acme")).items)]
    (back,) = [each for each in (await desk.ledger.trail.find()).items if each.why == "back"]

    assert [each.act for each in entries] == ["brand_add", "brand_edit", "brand_default", "brand_remove"]
    added, edited, chosen, removed = entries
    assert (added.by, added.why, json.loads(added.detail["after"])) == (
        "cli:dana",
        "new agency",
        ACME.document(),
    )
    assert json.loads(edited.detail["before"]) == ACME.document()
    assert (chosen.detail["before"], chosen.detail["after"]) == ("", "acme")
    assert json.loads(removed.detail["before"])["name_en"] == "Acme 2"
    assert (back.act, back.detail["before"], back.detail["after"]) == ("brand_default", "acme", "")


async def test_there_is_a_most(desk: Desk) -> None:
    """Every process reads all of them at each change."""
    for nth in range(MOST_BRANDS):
        await desk.ledger.brands.keep(Brand(name=f"b{nth}", name_en="B"), seen=None, by="test")

    assert await desk.ledger.brands.keep(ACME, seen=None, by="test") is Kept.REFUSED
    b0 = await desk.ledger.brands.get("b0")
    assert b0 is not None
    changed = Brand(name="b0", name_en="Other")
    assert await desk.ledger.brands.keep(changed, seen=b0.version, by="test") is Kept.DONE
