"""Replacing and deleting links against the real sandbox and a real Valkey, with all that can come between."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from tests.factories import a_number, a_request
from tests.integration.runtime_shop import Bench, a_bench
from worker.domain.change import job_id_of_reference, reference_of
from worker.domain.job import JobRecord
from worker.domain.request import Product
from worker.domain.states import JobState, Lane
from worker.execution import changing
from worker.execution.attempt import attempt
from worker.ops.change import Changing

GARBLED = ("hang", "drop_after", "garbage", "empty", "html", "huge", "error_after", "wrong_types")


@pytest.fixture
async def bench(real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_bench(valkey_url, tmp_path, provider_timeout=1) as opened:
        yield opened


async def job_of(bench: Bench, job_id: str) -> JobRecord:
    job = await bench.shop.ledger.queries.job(job_id)
    assert job is not None
    return job


async def linked(bench: Bench, **request: Any) -> str:
    """Return a new job with a link at the partner."""
    job_id = (await bench.accept(request=a_request(**({"whatsapp": a_number()} | request)))).job_ids[0]
    await work(bench, job_id)
    assert (await job_of(bench, job_id)).state is JobState.LINKED
    return job_id


async def work(bench: Bench, job_id: str, **faults: Any) -> None:
    """Make one attempt while *faults* stand; a job that waits for its time has it come."""
    if (await job_of(bench, job_id)).state is JobState.SCHEDULED:
        await due_now(bench, job_id)
    bench.sandbox.faults.update(faults)
    await attempt(job_id, Lane.LIVE, bench.shop)
    bench.sandbox.faults.reset()


async def due_now(bench: Bench, job_id: str) -> None:
    """Let a scheduled job's time come."""
    redis_ = bench.shop.ledger._scripts.redis
    await redis_.zadd(f"{{{bench.settings.namespace}}}:z:scheduled", {job_id: 1})
    await bench.shop.ledger.promote()


def links(bench: Bench, number: str | None) -> list[Any]:
    """Return all links that the partner ever made for a number, the first first."""
    return bench.sandbox.state.by_number.get(number or "", [])


def standing(bench: Bench, number: str | None) -> list[Any]:
    return [link for link in links(bench, number) if link.is_live]


async def test_a_replace_leaves_one_link_which_is_another(bench: Bench) -> None:
    """With a reference of its own, that names the same job; its bell is rung between the two calls."""
    job_id = await linked(bench)
    number = (await job_of(bench, job_id)).number
    await bench.shop.ledger.replace(job_id, by="x", why="y")
    await work(bench, job_id)
    assert standing(bench, number) == []
    assert bench.bell.jobs == [job_id]
    await work(bench, job_id)

    [old, new] = links(bench, number)
    assert (old.reference, new.reference) == (job_id, reference_of(job_id, 1))
    assert job_id_of_reference(new.reference) == job_id
    assert standing(bench, number) == [new]
    after = await job_of(bench, job_id)
    assert (after.state, after.link) == (JobState.LINKED, new.url)


async def test_new_data_and_another_number_in_one_command(bench: Bench) -> None:
    """The old number's link is deleted, the new one's is made with what was changed; both by one job."""
    job_id = await linked(bench)
    old, new = (await job_of(bench, job_id)).number, a_number()
    fields = {"whatsapp": new, "display_name": "Dana"}
    assert (await Changing(bench.shop.ledger).replace(job_id, fields, by="x", why="moved")).done
    await work(bench, job_id)
    await work(bench, job_id)

    assert standing(bench, old) == []
    [link] = standing(bench, new)
    assert link.sent["display_name"] == "Dana"
    assert (await job_of(bench, job_id)).number == new


async def test_a_coexistence_link_is_replaced_by_its_allotted_number(bench: Bench) -> None:
    """The request says `1`; what is deleted is the number that the partner gave."""
    job_id = await linked(bench, whatsapp="1")
    first = (await job_of(bench, job_id)).number
    await bench.shop.ledger.replace(job_id, by="x", why="y")
    await work(bench, job_id)
    await work(bench, job_id)
    second = (await job_of(bench, job_id)).number
    assert second != first
    assert (standing(bench, first), len(standing(bench, second))) == ([], 1)


@pytest.mark.parametrize("fault", [*GARBLED, "drop_before", "error_before"])
async def test_a_delete_whose_answer_is_lost_is_made_again(bench: Bench, fault: str) -> None:
    """Whether it was done or not: never in doubt, and in the end one link."""
    job_id = await linked(bench)
    number = (await job_of(bench, job_id)).number
    await bench.shop.ledger.replace(job_id, by="x", why="y")
    await work(bench, job_id, calls=["delete_account"], hang_s=2.0, **{fault: 1.0})
    waiting = await job_of(bench, job_id)
    assert (waiting.state, waiting.op) == (JobState.SCHEDULED, "rd")
    await work(bench, job_id)
    await work(bench, job_id)
    assert (await job_of(bench, job_id)).state is JobState.LINKED
    assert [link.reference for link in standing(bench, number)] == [reference_of(job_id, 1)]


async def test_after_a_lost_delete_the_new_link_waits_until_that_can_do_no_harm(bench: Bench) -> None:
    """The lost one might be done late, and would hit the new link."""
    shop = dataclasses.replace(bench.shop, doubt_grace_s=60.0)
    patient = dataclasses.replace(bench, shop=shop)
    job_id = await linked(bench)
    await bench.shop.ledger.replace(job_id, by="x", why="y")
    await work(patient, job_id, calls=["delete_account"], drop_after=1.0)
    await work(patient, job_id)
    waiting = await job_of(bench, job_id)
    assert (waiting.state, waiting.op) == (JobState.SCHEDULED, "rc")
    now_ms = await bench.shop.ledger.now_ms()
    assert waiting.due_at_ms is not None
    assert 30_000 < waiting.due_at_ms - now_ms <= 60_000


async def test_a_finished_customer_is_onboarded_where_his_link_was_to_be_deleted(bench: Bench) -> None:
    """The partner answers 25: nothing is replaced."""
    job_id = await linked(bench)
    number = (await job_of(bench, job_id)).number
    [link] = links(bench, number)
    await bench.shop.ledger.replace(job_id, by="x", why="y")
    bench.sandbox.state.finish(link)
    await work(bench, job_id)
    assert (await job_of(bench, job_id)).state is JobState.ONBOARDED
    assert links(bench, number) == [link]


async def test_a_link_that_somebody_deleted_before_is_replaced_all_the_same(bench: Bench) -> None:
    """The partner answers 26: it is gone, which is what was wanted."""
    job_id = await linked(bench)
    number = (await job_of(bench, job_id)).number
    bench.sandbox.state.delete(links(bench, number)[0])
    await bench.shop.ledger.replace(job_id, by="x", why="y")
    await work(bench, job_id)
    await work(bench, job_id)
    assert len(standing(bench, number)) == 1


async def test_a_create_that_is_refused_after_the_delete_is_failed_and_says_so(bench: Bench) -> None:
    """The old link is gone, the new one is not made: visible, and a requeue makes it."""
    job_id = await linked(bench)
    number = (await job_of(bench, job_id)).number
    await bench.shop.ledger.replace(job_id, by="x", why="y")
    await work(bench, job_id)
    await work(bench, job_id, fail_code=19)
    failed = await job_of(bench, job_id)
    assert (failed.state, failed.op, failed.link) == (JobState.FAILED, "rc", None)
    assert standing(bench, number) == []

    await bench.shop.ledger.requeue(job_id, by="x", why="y")
    await work(bench, job_id)
    assert len(standing(bench, number)) == 1


@pytest.mark.parametrize("is_made", [True, False])
async def test_a_doubtful_create_after_the_delete_is_looked_up_by_its_own_reference(
    bench: Bench, is_made: bool
) -> None:
    """The old link is never taken for the new one; in the end there is one."""
    job_id = await linked(bench)
    number = (await job_of(bench, job_id)).number
    await bench.shop.ledger.replace(job_id, by="x", why="y")
    await work(bench, job_id)
    await work(bench, job_id, calls=["create_whatsapp"], **{"drop_after" if is_made else "drop_before": 1.0})
    assert (await job_of(bench, job_id)).state is JobState.IN_DOUBT
    for _ in range(2):
        await bench.lookup().run_once()
    if not is_made:
        await work(bench, job_id)
    after = await job_of(bench, job_id)
    assert (after.state, after.op) == (JobState.LINKED, None)
    assert [link.reference for link in standing(bench, number)] == [reference_of(job_id, 1)]


async def test_an_old_link_that_the_partner_still_lists_is_not_taken_for_the_new_one(bench: Bench) -> None:
    """It said that it was deleted: the job fails by a name of its own, and is deleted again."""
    job_id = await linked(bench)
    number = (await job_of(bench, job_id)).number
    await bench.shop.ledger.replace(job_id, by="x", why="y")
    await work(bench, job_id)
    links(bench, number)[0].deleted_at = None
    await work(bench, job_id, calls=["create_whatsapp"], drop_before=1.0)
    await bench.lookup().run_once()
    failed = await job_of(bench, job_id)
    assert (failed.state, failed.reason) == (JobState.FAILED, "replaced_link_stands")
    await bench.shop.ledger.replace(job_id, by="x", why="y")
    await work(bench, job_id)
    await work(bench, job_id)
    assert len(standing(bench, number)) == 1


async def test_a_partner_that_is_away_costs_nothing_but_time(bench: Bench) -> None:
    """Both halves wait and are tried again."""
    job_id = await linked(bench)
    number = (await job_of(bench, job_id)).number
    await bench.shop.ledger.replace(job_id, by="x", why="y")
    for op in ("rd", "rc"):
        await work(bench, job_id, throttle=1)
        waiting = await job_of(bench, job_id)
        assert waiting.op == op
        assert waiting.state in {JobState.SCHEDULED, JobState.AVAILABLE}
        await bench.shop.limits.resume()
        await work(bench, job_id)
    assert len(standing(bench, number)) == 1


async def test_a_revoke_leaves_no_link_and_no_claim(bench: Bench) -> None:
    """The number may be asked for anew."""
    job_id = await linked(bench)
    number = (await job_of(bench, job_id)).number
    await bench.shop.ledger.revoke(job_id, by="x", why="y")
    await work(bench, job_id)
    assert (await job_of(bench, job_id)).state is JobState.REVOKED
    assert standing(bench, number) == []
    again = await linked(bench, whatsapp=number)
    assert (await job_of(bench, again)).state is JobState.LINKED


async def test_a_process_that_stood_still_sends_no_delete(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A late delete would hit the new link: past its time none is sent."""
    job_id = await linked(bench)
    number = (await job_of(bench, job_id)).number
    await bench.shop.ledger.replace(job_id, by="x", why="y")
    stood_still = dataclasses.replace(bench.shop, lease_s=1.0, call_timeout_s=60.0)
    await attempt(job_id, Lane.LIVE, dataclasses.replace(stood_still, clock=_Leaping()))
    assert bench.sandbox.state.calls["delete_account"] == 0
    assert len(standing(bench, number)) == 1


class _Leaping:
    """A clock that leaps a minute at every look."""

    def __init__(self) -> None:
        self._s = 0.0

    def monotonic(self) -> float:
        self._s += 60.0
        return self._s

    def now(self) -> Any:
        raise AssertionError("nobody asks")


async def test_a_facebook_link_gets_a_second_one_beside_it(bench: Bench) -> None:
    """The partner can't delete it: no delete is tried."""
    job_id = await linked(bench, products=(Product.FACEBOOK_PAGE,), whatsapp=None)
    first = (await job_of(bench, job_id)).link
    await bench.shop.ledger.replace(job_id, by="x", why="y")
    await work(bench, job_id)
    after = await job_of(bench, job_id)
    assert after.state is JobState.LINKED
    assert after.link != first
    assert bench.sandbox.state.calls["delete_account"] == 0


async def test_a_link_without_a_number_is_not_deleted_by_guess() -> None:
    """Nothing is sent; the reason says what to do."""
    from worker.domain.job import ClaimedJob, Lease

    job = ClaimedJob(
        id="01k8xq4cs0vk2n8m4ee1w", product=Product.WHATSAPP, lane=Lane.LIVE, batch_id=None, attempt=2, failures=0,
        orphans=0, request=a_request(whatsapp="1"), op="rd",
        lease=Lease(subject_id="x", token="t", expires_at_ms=0, ttl_s=1.0),
    )  # fmt: skip
    assert changing.number_to_delete(job) is None
