"""What only the partner's lists can tell: every branch of the look-up, against the real sandbox and a real Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from tests.factories import a_number, a_request
from tests.integration.runtime_shop import Bench, a_bench
from worker.domain.job import JobRecord
from worker.domain.lessons import Lesson
from worker.domain.states import JobState, Lane
from worker.execution.attempt import attempt
from worker.ledger import JobFilter, Page
from worker.maintenance import lookup as lookup_duty

UNKNOWN_CODE = 19


@pytest.fixture
async def bench(real_redis: redis.asyncio.Redis, valkey_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with a_bench(valkey_url, tmp_path) as opened:
        yield opened


async def job_of(bench: Bench, job_id: str) -> JobRecord:
    job = await bench.shop.ledger.queries.job(job_id)
    assert job is not None
    return job


async def tried(bench: Bench, number: str | None = None, **faults: object) -> str:
    """Accept a customer and make one attempt while *faults* stand; return the job's id."""
    receipt = await bench.accept(request=a_request(whatsapp=number or a_number()))
    bench.sandbox.faults.update({"calls": ["create_whatsapp"], **faults})
    await attempt(receipt.job_ids[0], Lane.LIVE, bench.shop)
    bench.sandbox.faults.reset()
    return receipt.job_ids[0]


async def in_doubt(bench: Bench, *, is_made: bool) -> str:
    """Return a job whose create was lost, after the partner acted or before."""
    job_id = await tried(bench, **({"drop_after": 1.0} if is_made else {"drop_before": 1.0}))
    assert (await job_of(bench, job_id)).state is JobState.IN_DOUBT
    return job_id


def lists(bench: Bench) -> int:
    return bench.sandbox.state.calls["get_accounts"]


async def test_without_doubts_no_call_is_made(bench: Bench) -> None:
    """An idle fleet asks the partner for nothing."""
    assert await bench.lookup().run_once() == 0
    assert lists(bench) == 0


async def test_our_own_link_is_found_and_goes_out(bench: Bench) -> None:
    """The lost answer's link is in the list: linked, its message is rung for, and nothing is created again."""
    job_id = await in_doubt(bench, is_made=True)

    assert await bench.lookup().run_once() == 1

    job = await job_of(bench, job_id)
    assert job.state is JobState.LINKED
    assert job.link == bench.sandbox.state.by_number[job.number or ""][0].url
    assert bench.bell.fan_outs == [job_id]
    assert bench.sandbox.state.calls["create_whatsapp"] == 1


async def test_a_link_that_the_customer_has_finished_is_onboarded(bench: Bench) -> None:
    """Nobody is told of a link that is used up already."""
    job_id = await in_doubt(bench, is_made=True)
    number = (await job_of(bench, job_id)).number or ""
    bench.sandbox.state.finish(bench.sandbox.state.by_number[number][0])

    await bench.lookup().run_once()

    assert (await job_of(bench, job_id)).state is JobState.ONBOARDED


async def test_a_foreign_link_fails_the_job(bench: Bench) -> None:
    """Somebody else's link stands on the number: failed with its reason, and no message carries that link."""
    job_id = await in_doubt(bench, is_made=False)
    bench.sandbox.sandbox.api.plant((await job_of(bench, job_id)).number or "", reference="someone-else")

    await bench.lookup().run_once()

    job = await job_of(bench, job_id)
    assert (job.state, job.reason, job.link) == (JobState.FAILED, "foreign_link", None)
    assert bench.bell.fan_outs == []


async def test_absent_from_two_lists_is_tried_again_and_made_once(bench: Bench) -> None:
    """One list is not enough; after the second the job may try again, and the second create makes the only link."""
    job_id = await in_doubt(bench, is_made=False)
    lookup = bench.lookup()

    assert await lookup.run_once() == 0
    assert (await job_of(bench, job_id)).state is JobState.IN_DOUBT
    while (await job_of(bench, job_id)).state is JobState.IN_DOUBT and lists(bench) < 5:
        await lookup.run_once()

    job = await job_of(bench, job_id)
    assert job.state is JobState.AVAILABLE
    assert lists(bench) <= 3  # a list begun in the same millisecond as the one before does not count
    await attempt(job_id, Lane.LIVE, bench.shop)
    job = await job_of(bench, job_id)
    assert job.state is JobState.LINKED
    assert [link.url for link in bench.sandbox.state.by_number[job.number or ""]] == [job.link]


async def test_lists_begun_within_the_grace_say_nothing(bench: Bench) -> None:
    """The partner may still be at it: absence counts only long enough after the call."""
    job_id = await in_doubt(bench, is_made=False)
    lookup = bench.lookup(grace_s=60.0)

    for _ in range(3):
        assert await lookup.run_once() == 0

    assert (await job_of(bench, job_id)).state is JobState.IN_DOUBT


@pytest.mark.parametrize("fault", ["list_error", "list_broken"])
async def test_a_list_that_failed_changes_nothing(bench: Bench, fault: str) -> None:
    """No list, or half a list, is no evidence: doubts and unexplained failures stay as they were and are asked again."""
    doubt = await in_doubt(bench, is_made=False)
    failed = await tried(bench, fail_code=UNKNOWN_CODE)
    bench.sandbox.faults.update({fault: 1.0})
    lookup = bench.lookup()

    for _ in range(3):
        assert await lookup.run_once() == 0

    assert (await job_of(bench, doubt)).state is JobState.IN_DOUBT
    job = await job_of(bench, failed)
    assert (job.state, job.reason) == (JobState.FAILED, f"unknown_{UNKNOWN_CODE}")
    assert lists(bench) == 3
    bench.sandbox.faults.reset()
    assert [each.id for each in await bench.shop.ledger.queries.unexplained(10, looked_before_s=900)] == [
        failed
    ]


async def test_an_unexplained_failure_of_an_unregistered_number_is_explained_and_later_released(
    bench: Bench,
) -> None:
    """The register tells why; once the number is in it the job goes back to wait, by itself and once."""
    number = a_number()
    bench.sandbox.state.unregister(number)
    job_id = await tried(bench, number, fail_code=UNKNOWN_CODE)
    lookup = bench.lookup()

    assert await lookup.run_once() == 1

    job = await job_of(bench, job_id)
    assert (job.state, job.reason, job.reason_class, job.code) == (
        JobState.FAILED, "number_not_registered", "not_registered", UNKNOWN_CODE,
    )  # fmt: skip
    assert await lookup.release_registered() == 0
    bench.sandbox.state.register(number)
    assert await lookup.release_registered() == 1
    assert (await job_of(bench, job_id)).state is JobState.AVAILABLE
    assert await lookup.release_registered() == 0
    await attempt(job_id, Lane.LIVE, bench.shop)
    assert (await job_of(bench, job_id)).state is JobState.LINKED


async def test_many_that_wait_for_their_numbers_are_not_held_in_memory(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of them at a time: each is released before the next page is read, and none is passed over."""
    numbers = [a_number() for _ in range(3)]
    for number in numbers:
        bench.sandbox.state.unregister(number)
    jobs = [await tried(bench, number, fail_code=UNKNOWN_CODE) for number in numbers]
    await bench.lookup().run_once()
    for number in numbers:
        bench.sandbox.state.register(number)
    queries, steps = bench.shop.ledger.queries, list[str]()
    find, release = queries.find, bench.shop.ledger.release

    async def finding(wanted: JobFilter, **more: Any) -> Page[JobRecord]:
        steps.append("page")
        return await find(wanted, **more)

    async def releasing(job_id: str) -> bool:
        steps.append("release")
        return await release(job_id)

    monkeypatch.setattr(lookup_duty, "_PAGE", 1)
    monkeypatch.setattr(queries, "find", finding)
    monkeypatch.setattr(bench.shop.ledger, "release", releasing)

    assert await bench.lookup().release_registered() == 3
    assert steps == ["page", *["page", "release"] * 3]
    assert {(await job_of(bench, job)).state for job in jobs} == {JobState.AVAILABLE}


async def test_what_was_only_called_unregistered_by_a_lesson_waits_for_a_person(bench: Bench) -> None:
    """Teaching sets nothing going by itself: the number was registered all along."""
    job_id = await tried(bench, a_number(), fail_code=UNKNOWN_CODE)
    lesson = Lesson(name="number_not_registered", call="create_whatsapp", code=UNKNOWN_CODE)
    old_name = f"unknown_{UNKNOWN_CODE}"
    await bench.shop.ledger.taught.teach(lesson, classes={old_name: "not_registered"})
    wanted = JobFilter(reason_class="not_registered")
    assert [job.id for job in (await bench.shop.ledger.queries.find(wanted)).items] == [job_id]

    assert await bench.lookup().release_registered() == 0
    assert (await job_of(bench, job_id)).state is JobState.FAILED


async def test_what_no_list_explains_stays_and_is_not_asked_about_at_every_turn(bench: Bench) -> None:
    """It keeps its raw code; the next look-up for it comes a quarter of an hour later, not at the next turn."""
    job_id = await tried(bench, fail_code=UNKNOWN_CODE)
    lookup = bench.lookup()

    for _ in range(5):
        await lookup.run_once()

    job = await job_of(bench, job_id)
    assert (job.state, job.reason, job.code) == (JobState.FAILED, f"unknown_{UNKNOWN_CODE}", UNKNOWN_CODE)
    assert lists(bench) == 1
    assert bench.sandbox.state.calls["get_registered"] == 1


@pytest.mark.parametrize("is_ours", [True, False])
async def test_an_unexplained_failure_with_a_link_on_its_number_is_explained_by_it(
    bench: Bench, *, is_ours: bool
) -> None:
    """Ours: linked, and its message is rung for. Another's: failed for that reason, the partner's code kept."""
    job_id = await tried(bench, fail_code=UNKNOWN_CODE)
    number = (await job_of(bench, job_id)).number or ""
    bench.sandbox.sandbox.api.plant(number, reference=job_id if is_ours else "someone-else")

    assert await bench.lookup().run_once() == 1

    job = await job_of(bench, job_id)
    assert (job.state, job.reason) == (
        (JobState.LINKED, None) if is_ours else (JobState.FAILED, "foreign_link")
    )
    assert job.code == (None if is_ours else UNKNOWN_CODE)
    assert bench.bell.fan_outs == ([job_id] if is_ours else [])


async def test_one_list_serves_every_doubt_and_every_unexplained_failure(bench: Bench) -> None:
    """Eight questions, one getAccounts, one getRegisteredNumbers."""
    doubts = [await in_doubt(bench, is_made=True) for _ in range(4)]
    for _ in range(4):
        await tried(bench, fail_code=UNKNOWN_CODE)

    await bench.lookup().run_once()

    assert {(await job_of(bench, job_id)).state for job_id in doubts} == {JobState.LINKED}
    assert (lists(bench), bench.sandbox.state.calls["get_registered"]) == (1, 1)
