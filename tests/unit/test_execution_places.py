"""How many a process works on at once, and what ends when a place does not come free."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from worker.domain.outcome import Answered, NotDone, Unanswered
from worker.domain.states import Channel, Lane
from worker.execution.attempt import shows_health
from worker.execution.shop import Places


async def fill(stack: AsyncExitStack, places: Places, kind: Lane | Channel, count: int) -> int:
    """Ask for *count* places; return how many were had."""
    had = 0
    for _ in range(count):
        had += await stack.enter_async_context(places.one(kind, patience_s=0.005))
    return had


async def test_both_lanes_together_never_exceed_the_process_limit() -> None:
    """PROVIDER_CONCURRENCY is calls at once per process, whatever lane they are of."""
    places = Places(creates=8, live_only=2, mails=1, texts=1)
    async with AsyncExitStack() as stack:
        assert await fill(stack, places, Lane.BULK, 10) == 6
        assert await fill(stack, places, Lane.LIVE, 10) == 2


async def test_live_may_use_every_place_and_bulk_leaves_it_some() -> None:
    """Without bulk at work live has all; a backfill that fills its share never makes a single customer wait."""
    places = Places(creates=8, live_only=2, mails=1, texts=1)
    async with AsyncExitStack() as stack:
        assert await fill(stack, places, Lane.LIVE, 10) == 8
        assert await fill(stack, places, Lane.BULK, 1) == 0
    async with AsyncExitStack() as stack:
        assert await fill(stack, places, Lane.BULK, 10) == 6


async def test_mails_and_texts_have_places_of_their_own() -> None:
    """A slow mail server takes no create's place, nor a text's."""
    places = Places(creates=1, live_only=1, mails=1, texts=1)
    async with AsyncExitStack() as stack:
        for kind in (Channel.EMAIL, Channel.SMS, Lane.LIVE):
            assert await fill(stack, places, kind, 2) == 1


async def test_a_place_comes_free_whatever_ends_its_work() -> None:
    """An error, a cancelled task, a place that was waited for in vain: none of them costs a place for good."""
    places = Places(creates=2, live_only=1, mails=1, texts=1)
    for _ in range(3):
        with pytest.raises(ValueError, match="ends badly"):
            async with places.one(Lane.BULK):
                raise ValueError("ends badly")
        async with AsyncExitStack() as stack:
            await fill(stack, places, Lane.LIVE, 2)
            assert await fill(stack, places, Lane.BULK, 2) == 0
            waiting = asyncio.create_task(fill(stack, places, Lane.BULK, 1))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
    async with AsyncExitStack() as stack:
        assert await fill(stack, places, Lane.BULK, 1) == 1


@pytest.mark.parametrize(
    ("ending", "is_healthy"),
    [
        (Answered(is_ok=False, code=19, body={}, http_status=200), True),
        ([], True),
        (NotDone(reason="partner_throttled"), True),
        (NotDone(reason="token_expired"), True),
        (NotDone(reason="partner_unreachable"), False),
        (Unanswered(reason="partner_timeout"), False),
    ],
)
def test_what_counts_against_the_partners_health(ending: object, *, is_healthy: bool) -> None:
    """A FAIL of business, a 429 and a worn-out token show that it works; silence and lost connections do not."""
    assert shows_health(ending) is is_healthy  # type: ignore[arg-type]
