"""A file leaves the console only for as long as who asked for it may have it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import redis.asyncio

from tests.integration.console_mending import MendingDesk, a_mending_desk, post
from worker.domain.roles import Role
from worker.ops import export
from worker.ops.console import downloads

JOBS = 24
_PAGES = 2  #: that have left when his right ends


@pytest.fixture
async def desk(real_redis: redis.asyncio.Redis) -> AsyncIterator[MendingDesk]:
    async with a_mending_desk(real_redis) as desk:
        yield desk
        await desk.balance()


async def disabled(desk: MendingDesk) -> None:
    await desk.console.accounts.disable("oren", by="cli:root")


async def demoted(desk: MendingDesk) -> None:
    await desk.console.accounts.set_role("oren", Role.VIEWER, by="cli:root")


async def idle(desk: MendingDesk) -> None:
    desk.advance(desk.console.deps.settings.console_idle_s + 1)


@pytest.mark.parametrize("loses", [disabled, demoted, idle])
async def test_a_download_breaks_off_with_the_right_to_it(
    desk: MendingDesk, monkeypatch: pytest.MonkeyPatch, loses: Callable[[MendingDesk], Awaitable[None]]
) -> None:
    """No more rows leave, the browser sees that the file is not whole, and the trail says how many had left."""
    await desk.failed(JOBS)
    operator = await desk.console.signed_in(Role.OPERATOR)
    monkeypatch.setattr(export, "_PAGE", 4)
    monkeypatch.setattr(downloads, "_LETTERS_AT_ONCE", 1)
    find, pages = desk.ledger.queries.find, 0

    async def looked_for(*args: Any, **options: Any) -> Any:
        nonlocal pages
        pages += options["limit"] == 4
        if pages == _PAGES + 1:
            await loses(desk)
        return await find(*args, **options)

    monkeypatch.setattr(desk.ledger.queries, "find", looked_for)
    with pytest.raises(aiohttp.ClientPayloadError):
        await post(operator, "/export", filter=json.dumps({"state": "failed"}))

    [entry] = await desk.console.trail("export_cut_off")
    [begun] = await desk.console.trail("export")
    assert (entry.by, entry.detail) == ("user:oren", {"count": str(4 * _PAGES), "to": begun.detail["to"]})


async def test_a_download_is_no_sign_of_life(desk: MendingDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long one does not keep the session alive: it ends when it would have ended."""
    await desk.failed(JOBS)
    operator = await desk.console.signed_in(Role.OPERATOR)
    monkeypatch.setattr(downloads, "_LETTERS_AT_ONCE", 1)
    csrf = await operator.csrf()
    idle_s = desk.console.deps.settings.console_idle_s
    find = desk.ledger.queries.find

    async def slowly(*args: Any, **options: Any) -> Any:
        if options["limit"] == 200:
            desk.advance(idle_s / 2)
        return await find(*args, **options)

    monkeypatch.setattr(desk.ledger.queries, "find", slowly)
    answer = await operator.post("/export", {"filter": json.dumps({"state": "failed"})}, csrf=csrf)
    desk.advance(idle_s / 2 + 1)

    assert answer.text.count("\n") == JOBS + 1
    assert (await operator.get("/")).place.startswith("/login")
