"""Completions end to end: the partner's webhook over real HTTP, the poll, and who is not believed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from tests.integration.completion_desk import PARTNER, PATH, Desk, a_desk
from worker.domain.event import EventState
from worker.domain.job import ClaimedJob, Lease
from worker.domain.outcome import Linked
from worker.domain.report import WEBHOOK_SOURCE
from worker.domain.request import Product
from worker.domain.states import JobState

BEHIND_PROXY = {"trusted_proxies": "127.0.0.1"}


@pytest.fixture
async def desk(real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with a_desk(valkey_url, tmp_path) as opened:
        yield opened


# --- by webhook --------------------------------------------------------------------------------------------


async def test_a_report_that_the_list_bears_out_completes_the_job(desk: Desk) -> None:
    """Acked first, looked up then: within a turn of the duty the customer is onboarded."""
    job = await desk.linked()
    desk.finish(job)

    assert await desk.report_of(job) == 200
    await desk.turn("reports")

    assert await desk.state(job) is JobState.ONBOARDED
    [event] = await desk.events()
    assert (event.state, event.job_ids, event.is_new) == (EventState.DONE, (job,), True)


async def test_a_report_by_its_number_alone_will_do(desk: Desk) -> None:
    """As a form, and without our reference: the number leads to the customer."""
    job = await desk.linked()
    desk.finish(job)

    body = f"event=whatsapp&data%5Bwhatsapp%5D=%2B{desk.link_of(job).number}".encode()
    assert await desk.report(body, Content_Type="application/x-www-form-urlencoded") == 200
    await desk.turn("reports")

    assert await desk.state(job) is JobState.ONBOARDED


async def test_one_look_up_serves_all_reports(desk: Desk) -> None:
    """A wave of completions costs the partner one call."""
    jobs = [await desk.linked() for _ in range(5)]
    for job in jobs:
        desk.finish(job)
        await desk.report_of(job)

    await desk.turn("reports")

    assert {await desk.state(job) for job in jobs} == {JobState.ONBOARDED}
    assert desk.lists() == 1


async def test_what_a_report_says_is_kept_to_be_looked_at(desk: Desk) -> None:
    """Its fields are documented nowhere, so that somebody may want to see them."""
    job = await desk.linked()
    desk.finish(job)
    await desk.report_of(job, surprising="field")
    await desk.turn("reports")

    [event] = await desk.events()
    record = await desk.ledger.intake.get(event.id)
    assert record is not None
    assert "surprising" in record.body


async def test_a_list_that_lags_is_looked_at_again(desk: Desk) -> None:
    """The webhook is quicker than the list: within a minute the customer is onboarded all the same."""
    job = await desk.linked()
    desk.bench.sandbox.faults.update({"finish_lag_s": 3_600.0})
    desk.finish(job)
    await desk.report_of(job)
    await desk.turn("reports")
    assert await desk.state(job) is JobState.LINKED

    desk.advance(6)
    await desk.turn("reports")
    desk.bench.sandbox.faults.reset()
    desk.advance(16)
    await desk.turn("reports")

    assert await desk.state(job) is JobState.ONBOARDED


async def test_a_partner_that_is_away_costs_a_report_nothing(desk: Desk) -> None:
    """It waits, however long, and is looked up when there is a list again."""
    job = await desk.linked()
    desk.finish(job)
    desk.bench.sandbox.faults.update({"list_error": 1.0})
    await desk.report_of(job)
    for _ in range(6):
        await desk.turn("reports")
        desk.advance(16)
    desk.bench.sandbox.faults.reset()
    await desk.bench.shop.limits.resume()
    await desk.turn("reports")

    assert await desk.state(job) is JobState.ONBOARDED


async def test_coexistence_takes_its_final_number_from_the_list(desk: Desk) -> None:
    """And not from the report."""
    job = await desk.linked(number="1")
    desk.finish(job, number="972587654321")
    await desk.report_of(job, whatsapp="972599999999")

    await desk.turn("reports")

    record = await desk.job(job)
    assert (record.state, record.number) == (JobState.ONBOARDED, "972587654321")


# --- Facebook ----------------------------------------------------------------------------------------------


async def test_facebook_is_completed_by_the_webhook_alone(desk: Desk) -> None:
    """There is no list: our own reference by the unguessable path has to do."""
    job = await desk.linked(product=Product.FACEBOOK_PAGE)
    await desk.report_of(job, onboarding_link=desk.link_of(job).url)

    await desk.turn("reports")

    assert await desk.state(job) is JobState.ONBOARDED
    assert desk.lists() == 0


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({"status": 0}, EventState.SKIPPED, "not_finished"),
        ({"status": "maybe"}, EventState.FAILED, "status_unknown"),
        ({"onboarding_link": "{site}/f/another"}, EventState.FAILED, "link_differs"),
        ({"reference": "0" * 20 + "3"}, EventState.SKIPPED, "not_ours"),
        ({"reference": "", "whatsapp": "972501234567"}, EventState.SKIPPED, "not_ours"),
    ],
)
async def test_a_facebook_report_that_is_not_sure_changes_nothing(
    desk: Desk, changes: dict[str, str], state: EventState, reason: str
) -> None:
    """What nobody can confirm is believed only where nothing in it speaks against it."""
    job = await desk.linked(product=Product.FACEBOOK_MESSENGER)
    site = desk.bench.sandbox.url
    await desk.report_of(
        job,
        **{
            name: value.format(site=site) if isinstance(value, str) else value
            for name, value in changes.items()
        },
    )

    await desk.turn("reports")

    assert await desk.state(job) is JobState.LINKED
    [event] = await desk.events()
    assert (event.state, event.reason) == (state, reason)


async def test_who_finishes_the_facebook_link_that_was_to_be_replaced_needs_no_other(desk: Desk) -> None:
    """The old link stays valid until then: none is made any more."""
    job = await desk.linked(product=Product.FACEBOOK_PAGE)
    old = desk.link_of(job).url
    assert (await desk.ledger.replace(job, by="dana", why="new page")).done
    await desk.report_of(job, onboarding_link=old)
    await desk.turn("reports")

    record = await desk.job(job)
    assert (record.state, record.op, record.link) == (JobState.ONBOARDED, None, old)


async def test_who_finishes_the_whatsapp_link_that_was_to_be_deleted_keeps_it(desk: Desk) -> None:
    """The list says so, however long the delete waits."""
    job = await desk.linked()
    assert (await desk.ledger.replace(job, by="dana", why="name")).done
    desk.finish(job)
    await desk.report_of(job)
    await desk.turn("reports")

    record = await desk.job(job)
    assert (record.state, record.op) == (JobState.ONBOARDED, None)


async def test_a_report_that_comes_while_a_facebook_link_is_made_anew_is_not_lost(desk: Desk) -> None:
    """The old link stays valid and its customer finishes it: he is completed once the job is linked again."""
    job = await desk.linked(product=Product.FACEBOOK_PAGE)
    old = desk.link_of(job).url
    lease = await replacing(desk, job)
    await desk.report_of(job, onboarding_link=old)
    await desk.turn("reports")
    assert await desk.state(job) is JobState.RUNNING

    await desk.ledger.settle(lease, Linked(link=f"{old}2"))
    desk.advance(6)
    await desk.turn("reports")

    assert await desk.state(job) is JobState.ONBOARDED


async def test_a_facebook_report_whose_job_stays_unlinked_waits_for_a_person(desk: Desk) -> None:
    """Nothing else will ever tell of this customer; let go again, it completes him."""
    job = await desk.linked(product=Product.FACEBOOK_PAGE)
    lease = await replacing(desk, job)
    await desk.report_of(job)
    for _ in range(4):
        await desk.turn("reports")
        desk.advance(31)

    [event] = await desk.events()
    assert (event.state, event.reason) == (EventState.FAILED, "not_linked")

    await desk.ledger.settle(lease, Linked(link="https://partner.example/onboarding/2"))
    await desk.ledger.intake.retry(event.id, by="dana", why="it is linked")
    await desk.turn("reports")
    assert await desk.state(job) is JobState.ONBOARDED


async def replacing(desk: Desk, job: str) -> Lease:
    """Ask for another link, and let a worker begin to make it."""
    assert (await desk.ledger.replace(job, by="dana", why="new page")).done
    claimed = await desk.ledger.claim_and_begin(job, worker_id="w1", lease_s=60)
    assert isinstance(claimed, ClaimedJob)
    return claimed.lease


async def test_a_whatsapp_customer_in_the_same_report_keeps_no_facebook_one_waiting(desk: Desk) -> None:
    """One has finished and the other has not: what can be believed is, at once."""
    page, chat = await desk.linked(product=Product.FACEBOOK_PAGE), await desk.linked()
    await desk.report({"accounts": [{"reference": chat}, {"reference": page}], "status": "OK"})

    await desk.turn("reports")

    assert (await desk.state(page), await desk.state(chat)) == (JobState.ONBOARDED, JobState.LINKED)


async def test_a_flood_of_reports_costs_few_look_ups_and_keeps_nobody_waiting(desk: Desk) -> None:
    """Hundreds of hints that bear nothing out stand before a true one: one look-up serves them all."""
    job, other = await desk.linked(), await desk.linked()
    for n in range(0, 300, 50):
        await asyncio.gather(*(desk.report_of(other, n=n + more) for more in range(50)))
    desk.finish(job)
    await desk.report_of(job)

    await desk.turn("reports")

    assert await desk.state(job) is JobState.ONBOARDED
    assert desk.lists() == 1


# --- who is not believed -----------------------------------------------------------------------------------


async def test_a_forged_claim_changes_nothing_and_is_let_go(desk: Desk) -> None:
    """The right path and a wrong claim: the list is asked a few times, and then the poll alone."""
    job = await desk.linked()
    await desk.report_of(job)
    for _ in range(6):
        await desk.turn("reports")
        desk.advance(31)

    assert await desk.state(job) is JobState.LINKED
    assert desk.lists() == 4
    [event] = await desk.events()
    assert (event.state, event.reason) == (EventState.SKIPPED, "not_finished")


async def test_a_replayed_report_has_no_effect_twice(desk: Desk) -> None:
    """At once it is known again; later it meets a customer who is onboarded already, without a call."""
    job = await desk.linked()
    desk.finish(job)
    for _ in range(3):
        assert await desk.report_of(job) == 200
    await desk.turn("reports")
    assert await desk.report_of(job, again="later") == 200
    await desk.turn("reports")

    assert len(await desk.events()) == 2
    assert desk.lists() == 1
    history = [entry.event for entry in await desk.ledger.queries.history(job)]
    assert history.count("completed") == 1


@pytest.mark.parametrize("path", [PATH + "x", PATH[:-1], "/provider/webhook/", "/provider/webhook/sandbox"])
async def test_the_wrong_path_is_nothing(desk: Desk, path: str) -> None:
    """404, and nothing is recorded."""
    assert await desk.report({"reference": "0" * 20 + "w"}, path=path) == 404
    assert await desk.events() == []


async def test_without_a_secret_nothing_is_listened_to(
    real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path
) -> None:
    """An empty last part of the path opens nothing."""
    async with a_desk(valkey_url, tmp_path, provider_webhook_secret=None) as desk:
        assert await desk.report({}) == 404
        assert await desk.report({}, path="/provider/webhook/None") == 404


@pytest.mark.parametrize(
    ("given", "headers", "status"),
    [
        (BEHIND_PROXY, {"X_Forwarded_For": PARTNER}, 200),
        (BEHIND_PROXY, {"X_Forwarded_For": f"198.51.100.1, {PARTNER}"}, 200),
        (BEHIND_PROXY, {"X_Forwarded_For": "8.8.8.8"}, 404),
        (BEHIND_PROXY, {"X_Forwarded_For": f"{PARTNER}, 8.8.8.8"}, 404),
        (BEHIND_PROXY, {}, 404),
        ({"trusted_proxies": "10.0.0.7"}, {"X_Forwarded_For": PARTNER}, 404),
        ({}, {"X_Forwarded_For": "8.8.8.8"}, 200),
        (BEHIND_PROXY | {"provider_webhook_from": "8.8.8.0/24"}, {"X_Forwarded_For": "8.8.8.8"}, 200),
    ],
)
async def test_a_foreign_address_is_turned_away_and_no_header_forges_one(
    real_redis: redis.asyncio.Redis,
    valkey_url: str,
    tmp_path: Path,
    given: dict[str, str],
    headers: dict[str, str],
    status: int,
) -> None:
    """The header counts by what our own proxy added, and where we know of no proxy not at all."""
    async with a_desk(valkey_url, tmp_path, **given) as desk:
        job = await desk.linked()
        desk.finish(job)

        assert await desk.report({"reference": job}, **headers) == status

        await desk.turn("reports")
        expected = JobState.ONBOARDED if status == 200 else JobState.LINKED
        assert await desk.state(job) is expected
        view = await desk.ledger.completing.view()
        assert (view.refused_at_ms is None) == (status == 200)


async def test_a_body_that_is_too_large_is_refused_and_garbage_is_kept(desk: Desk) -> None:
    """Whatever the partner sends is acked, as far as it fits; nothing of it breaks the worker."""
    assert await desk.report(b"x" * 70_000) == 413
    for body in (b"", b"\xff\xfe\x00", b"[" * 50_000, b"null", b"17", b'{"reference": ["\\ud800"]}'):
        assert await desk.report(body) == 200

    await desk.turn("reports")

    events = await desk.events()
    ends = Counter((event.state, event.reason) for event in events)
    assert ends == {
        (EventState.SKIPPED, "unreadable"): 1,  # the empty one
        (EventState.FAILED, "unreadable"): 3,  # a person looks: it may tell of a Facebook customer
        (EventState.SKIPPED, "not_ours"): 2,
    }
    assert desk.lists() == 0


async def test_a_full_ledger_asks_the_partner_to_come_again(
    real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path
) -> None:
    """503, and not an ack of what is nowhere."""
    async with a_desk(valkey_url, tmp_path, max_waiting=1) as desk:
        assert await desk.report({"n": 1}) == 200
        assert await desk.report({"n": 2}) == 503
        counts = await desk.ledger.intake.counts()
        assert counts[WEBHOOK_SOURCE][EventState.WAITING] == 1
