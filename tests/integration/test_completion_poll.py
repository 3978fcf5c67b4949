"""Links followed without a webhook: completions by the poll, links that are gone, numbers near their end, passing on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio
from aiohttp.test_utils import TestServer

from tests.factories import a_number, a_request
from tests.integration.completion_desk import Desk, a_desk, a_listener
from worker.domain.alerts import AlertKind, Incident, Thresholds
from worker.domain.event import EventState
from worker.domain.report import FORWARD_SOURCE
from worker.domain.request import Product
from worker.domain.states import JobState
from worker.ledger.completing import ExpiringNumber
from worker.maintenance.alerts import AlertWatch


@pytest.fixture
async def desk(real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with a_desk(valkey_url, tmp_path) as opened:
        yield opened


def remove(desk: Desk, *jobs: str) -> None:
    """Delete the jobs' links at the partner, behind our back."""
    for job in jobs:
        desk.bench.sandbox.state.delete(desk.link_of(job))


async def incidents(desk: Desk) -> list[Incident]:
    """Look as a worker does that sees what is to be told, and return what is open."""
    shop = desk.bench.shop
    watch = AlertWatch(
        ledger=desk.ledger,
        limits=shop.limits,
        stats=shop.stats,
        thresholds=Thresholds(),
        keep_s={},
        has_credentials=True,
    )
    await watch.run_once()
    return list(await desk.ledger.incidents.open())


# --- the poll ----------------------------------------------------------------------------------------------


async def test_without_a_webhook_the_poll_completes_the_job(desk: Desk) -> None:
    """Within POLL_S of the list showing it; who has not finished stays linked."""
    finished, waiting = await desk.linked(), await desk.linked()
    desk.finish(finished)

    await desk.poll()

    assert await desk.state(finished) is JobState.ONBOARDED
    assert await desk.state(waiting) is JobState.LINKED
    assert desk.lists() == 1


async def test_it_polls_once_in_poll_s_whoever_does_it(desk: Desk) -> None:
    """Every turn is a worker that has just started: how long ago the last was stands in the ledger."""
    await desk.linked()
    await desk.poll()
    for _ in range(5):
        desk.advance(59)
        await desk.turn("poll")
    assert desk.lists() == 1

    desk.advance(10)
    await desk.turn("poll")
    assert desk.lists() == 2


async def test_while_no_link_waits_no_list_is_asked_for(desk: Desk) -> None:
    """Nor for Facebook's links, which are in no list."""
    await desk.poll()
    await desk.linked(product=Product.INSTAGRAM_PAGE)
    await desk.poll()

    assert desk.lists() == 0


async def test_an_idle_ledger_makes_no_call_at_all(desk: Desk) -> None:
    """Registered numbers concern nobody who never asked for anything."""
    for _ in range(3):
        await desk.poll()

    assert sum(desk.bench.sandbox.state.calls.values()) == 0


async def test_coexistence_takes_its_final_number_by_the_poll_too(desk: Desk) -> None:
    """And is found by it from then on."""
    job = await desk.linked(number="1")
    desk.finish(job, number="972587654321")

    await desk.poll()

    assert (await desk.job(job)).number == "972587654321"


async def test_foreign_links_are_let_be(desk: Desk) -> None:
    """A finished link on our customer's number that somebody else made says nothing of ours."""
    job = await desk.linked()
    number = desk.link_of(job).number
    assert number is not None
    desk.bench.sandbox.sandbox.api.plant(number, reference="someone-else", is_finished=True)

    await desk.poll()

    assert await desk.state(job) is JobState.LINKED


async def test_a_list_that_cannot_be_had_is_asked_for_again_soon(desk: Desk) -> None:
    """A poll that came to nothing does not cost a whole turn."""
    job = await desk.linked()
    desk.finish(job)
    desk.bench.sandbox.faults.update({"list_error": 1.0})
    await desk.poll()
    desk.bench.sandbox.faults.reset()
    desk.advance(31)
    await desk.turn("poll")

    assert await desk.state(job) is JobState.ONBOARDED


# --- links that are gone -----------------------------------------------------------------------------------


async def test_a_link_that_two_lists_do_not_hold_has_vanished(desk: Desk) -> None:
    """A person hears of it, and its neighbour stays as it is."""
    gone, stays = await desk.linked(), await desk.linked()
    remove(desk, gone)

    await desk.poll()
    assert await desk.state(gone) is JobState.LINKED
    await desk.poll()

    record = await desk.job(gone)
    assert (record.state, record.reason) == (JobState.FAILED, "link_vanished")
    assert await desk.state(stays) is JobState.LINKED
    assert desk.bench.bell.failures == [gone]


async def test_a_link_that_one_list_left_out_stays(desk: Desk) -> None:
    """Missing, there, missing: no two lists in a row."""
    job, _ = await desk.linked(), await desk.linked()
    link = desk.link_of(job)
    for _ in range(3):
        remove(desk, job)
        await desk.poll()
        link.deleted_at = None
        await desk.poll()

    assert await desk.state(job) is JobState.LINKED


async def test_an_empty_list_makes_nothing_vanish(desk: Desk) -> None:
    """A list that holds nothing is more likely wrong than every link gone."""
    jobs = [await desk.linked() for _ in range(3)]
    remove(desk, *jobs)
    for _ in range(3):
        await desk.poll()

    assert {await desk.state(job) for job in jobs} == {JobState.LINKED}
    assert (await desk.ledger.completing.view()).suspicious_since_ms is not None


async def test_most_links_missing_at_once_are_held_and_told_of(desk: Desk) -> None:
    """The wrong account, or a fault of the partner's: nobody is failed, and an alarm is raised until it is over."""
    jobs = [await desk.linked() for _ in range(16)]
    gone = jobs[:11]
    remove(desk, *gone)
    for _ in range(3):
        await desk.poll()
    assert {await desk.state(job) for job in jobs} == {JobState.LINKED}
    view = await desk.ledger.completing.view()
    assert (view.missing, view.suspicious_since_ms is None) == (11, False)
    assert [incident.kind for incident in await incidents(desk)] == [AlertKind.LINKS_MISSING]

    for job in gone[1:]:
        desk.link_of(job).deleted_at = None
    await desk.poll()
    assert await desk.state(gone[0]) is JobState.LINKED
    await desk.poll()

    assert await desk.state(gone[0]) is JobState.FAILED
    assert (await desk.ledger.completing.view()).suspicious_since_ms is None


async def test_a_list_with_a_broken_row_makes_nothing_vanish(desk: Desk) -> None:
    """Half a list is no list."""
    job, _ = await desk.linked(), await desk.linked()
    remove(desk, job)
    desk.bench.sandbox.faults.update({"list_broken": 1.0})
    for _ in range(3):
        await desk.poll()

    assert await desk.state(job) is JobState.LINKED


# --- registered numbers ------------------------------------------------------------------------------------


async def test_registered_numbers_near_their_end_are_kept_with_our_jobs(desk: Desk) -> None:
    """Soonest first; those with time left are left out, and the list is not read at every poll."""
    now_s = await desk.ledger.now_ms() / 1000
    ours, nobodys, later = a_number(), a_number(), a_number()
    state = desk.bench.sandbox.state
    state.register(nobodys, now_s + 86_400 * 9)
    state.register(ours, now_s + 86_400 * 3)
    state.register(later, now_s + 86_400 * 60)
    job = (await desk.bench.accept(request=a_request(whatsapp=ours))).job_ids[0]

    for _ in range(3):
        await desk.poll()

    assert await desk.ledger.completing.expiring() == (
        ExpiringNumber(number=ours, expires_at_ms=int(now_s + 86_400 * 3) * 1000, job_id=job),
        ExpiringNumber(number=nobodys, expires_at_ms=int(now_s + 86_400 * 9) * 1000),
    )
    assert state.calls["get_registered"] == 1


# --- passing on --------------------------------------------------------------------------------------------


async def test_what_arrives_is_passed_on_as_it_came(
    real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path
) -> None:
    """To the byte, with its type, and again where the other system did not take it."""
    seen: list[tuple[bytes, str]] = []
    async with TestServer(a_listener([500], seen)) as server:
        url = str(server.make_url("/hook"))
        async with a_desk(valkey_url, tmp_path, forward_url=url) as desk:
            body = b"reference=x&name=\xd7\x93\xff"
            assert await desk.report(body, Content_Type="application/x-www-form-urlencoded") == 200
            await desk.turn("forward")
            desk.advance(11)
            await desk.turn("forward")

            assert seen == [(body, "application/x-www-form-urlencoded")] * 2
            [event] = await desk.events(FORWARD_SOURCE)
            assert event.state is EventState.DONE
            assert await desk.counted("provider_forwards") == {
                "provider_forwards|outcome=retry": 1,
                "provider_forwards|outcome=passed_on": 1,
            }


async def test_a_report_that_nobody_takes_is_kept_for_a_person(
    real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path
) -> None:
    """After five tries; meanwhile the customer is completed as ever, and the operator may let it go again."""
    seen: list[tuple[bytes, str]] = []
    async with TestServer(a_listener([503, 302, 404, 500, 500], seen)) as server:
        url = str(server.make_url("/hook"))
        async with a_desk(valkey_url, tmp_path, forward_url=url) as desk:
            job = await desk.linked()
            desk.finish(job)
            await desk.report_of(job)
            for _ in range(7):
                await desk.turn("forward")
                desk.advance(1_801)
            await desk.turn("reports")

            [event] = await desk.events(FORWARD_SOURCE)
            assert (event.state, event.reason, len(seen)) == (EventState.FAILED, "forward_failed", 5)
            assert await desk.state(job) is JobState.ONBOARDED

            await desk.ledger.intake.retry(event.id, by="dana", why="it is back")
            await desk.turn("forward")
            assert len(seen) == 6
