"""A hold is cleared in the console by somebody who has seen this very one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.integration.console_mending import MendingDesk, a_mending_desk, post
from worker.domain.roles import Role


@pytest.fixture
async def desk(real_redis: redis.asyncio.Redis) -> AsyncIterator[MendingDesk]:
    async with a_mending_desk(real_redis) as desk:
        yield desk
        await desk.balance()


async def test_a_hold_that_began_after_the_page_was_read_stays(desk: MendingDesk) -> None:
    """Two operators clear one; its canary fails for another reason, and the slower one must see that first."""
    await desk.held()
    browser = await desk.console.signed_in(Role.OPERATOR)
    seen = re.findall(r'name="since" value="([^"]+)"', (await browser.get("/holds")).text)
    await desk.ledger.batches.clear_hold("batch:b")
    desk.advance(1)
    await desk.ledger.batches.hold("batch:b", "unknown_78")

    late = await post(browser, "/holds/clear", target="batch:b", since=seen[0], why="mended")
    page = await browser.get(late.place)
    holds = await desk.ledger.batches.holds()
    [anew] = re.findall(r'name="since" value="([^"]+)"', page.text)
    now = await post(browser, "/holds/clear", target="batch:b", since=anew, why="mended")
    broken = await post(browser, "/holds/clear", target="batch:b", since="yesterday", why="x")

    assert late.place == "/holds?told=held_anew"
    assert "held anew since you saw this page" in page.text
    assert holds["batch:b"].reason == "unknown_78"
    assert now.place == "/holds?told=clear"
    assert broken.status == 400


async def test_a_held_lane_does_not_stand_as_open_among_the_pauses(desk: MendingDesk) -> None:
    """The two halves of the page agree."""
    await desk.ledger.batches.hold("bulk", "unknown_77")
    browser = await desk.console.signed_in(Role.OPERATOR)

    pauses = (await browser.get("/holds")).text.partition('id="pauses-title"')[2]
    rows = {part.partition("</strong>")[0]: part for part in pauses.split("<strong>")[1:]}
    [bulk] = [row for name, row in rows.items() if "bulk" in name]
    [live] = [row for name, row in rows.items() if "live" in name]

    assert ("held" in bulk, "open" in bulk) == (True, False)
    assert ("held" in live, "open" in live) == (False, True)
