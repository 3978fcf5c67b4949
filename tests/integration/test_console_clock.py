"""One clock on a page: what a sentence says of a time is written anew by the reader's own, as all other times are."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.ledger_desk import own_fail, retry
from tests.integration.console_desk import Answer, Browser
from tests.integration.console_mending import MendingDesk, a_mending_desk
from worker.domain.outcome import Refused
from worker.domain.roles import Role
from worker.domain.states import JobState
from worker.ops.views import iso

LATER = retry(600.0)
_LOCALISED = re.compile(r'<time datetime="([^"]+)">\s*<bdi dir="ltr" data-local>[^<]+</bdi>.*?</time>')
_WRITTEN = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d")


@pytest.fixture
async def desk(real_redis: redis.asyncio.Redis) -> AsyncIterator[MendingDesk]:
    async with a_mending_desk(real_redis) as desk:
        yield desk
        await desk.balance()


@pytest.fixture
async def viewer(desk: MendingDesk) -> Browser:
    return await desk.console.signed_in(Role.VIEWER)


def left(page: Answer) -> list[str]:
    """Return the instants that a page writes out where no script will find them."""
    text = re.sub(r"<[^>]+>", " ", _LOCALISED.sub(" ", page.text))
    return _WRITTEN.findall(text)


@pytest.mark.parametrize("language", ["en", "he"])
async def test_a_sentence_goes_by_the_readers_clock(
    desk: MendingDesk, viewer: Browser, language: str
) -> None:
    """What comes next and what happened name instants that the script localises; without it they are UTC and say so."""
    job = (await desk.accept()).job_ids[0]
    await desk.end(job, LATER)
    page = await viewer.get(f"/jobs/{job}", **{"Accept-Language": language})
    due = (iso(desk.now_ms + 600_000) or "")[:19]
    shown = due.replace("T", " ") + " UTC"
    marked = f'<time datetime="{due}Z"><bdi dir="ltr" data-local>{shown}</bdi></time>'

    assert page.text.count(marked) >= 2  # "Next", and in the story
    assert left(page) == []


async def test_no_page_has_a_second_clock(desk: MendingDesk, viewer: Browser) -> None:
    """Whatever a page tells of: waiting, dead, linked and told, erased, paused, and who did what."""
    waiting = (await desk.accept()).job_ids[0]
    await desk.end(waiting, LATER)
    dead, linked = await desk.job_in(JobState.DEAD), await desk.linked()
    erased = (await desk.accept()).job_ids[0]
    await desk.end(erased, Refused(fail=own_fail()))
    await desk.ledger.forgetting.invitation(erased[:-1], by="cli:dana", why="asked")
    await desk.console.deps.commands.pause("all", by="user:oren", why="a pause")
    [entry] = await desk.console.trail("forget")
    jobs = [f"/jobs/{each}" for each in (waiting, dead, linked, erased)]
    people = [f"/customers?q={each}" for each in (waiting, dead, linked)]

    pages = {
        path: await viewer.get(path)
        for path in (*jobs, *people, "/", "/holds", "/dead", "/audit", f"/audit/{entry.id}")
    }

    assert {path: left(page) for path, page in pages.items() if left(page)} == {}
    assert all(_LOCALISED.search(pages[path].text) for path in (*jobs, "/", f"/audit/{entry.id}"))


async def test_a_time_in_a_name_stays_a_text(desk: MendingDesk, viewer: Browser) -> None:
    """What somebody writes into a sentence is escaped before its times are marked."""
    [job] = await desk.failed()
    await desk.ledger.discard(job, by="user:oren", why='<b title="2026-01-02 03:04:05 UTC">x</b>')

    page = await viewer.get(f"/jobs/{job}")

    assert "<b title" not in page.text
    assert "&lt;b title=&#34;<time datetime=" in page.text
