"""One job mended in the console: requeued, discarded, taken back, cancelled, its message sent again; a code taught."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio

from tests.integration.console_looker import words_of
from tests.integration.console_mending import UNKNOWN, XSS, MendingDesk, a_mending_desk, post
from worker.domain.outcome import Sent
from worker.domain.request import OnboardingRequest
from worker.domain.roles import Role
from worker.domain.states import JobState
from worker.ledger import JobFilter
from worker.ops.readdress import readdressed


@pytest.fixture
async def desk(real_redis: redis.asyncio.Redis) -> AsyncIterator[MendingDesk]:
    async with a_mending_desk(real_redis) as desk:
        yield desk
        await desk.balance()


# --- one act on one job ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "before", "after", "says"),
    [
        ("requeue", JobState.FAILED, JobState.AVAILABLE, "Requeued"),
        ("requeue", JobState.DEAD, JobState.AVAILABLE, "Requeued"),
        ("discard", JobState.FAILED, JobState.DEAD, "it is a dead letter now"),
        ("restore", JobState.DEAD, JobState.FAILED, "Taken back"),
        ("cancel", JobState.AVAILABLE, JobState.CANCELLED, "Cancelled."),
        ("cancel", JobState.RUNNING, JobState.RUNNING, "after that the job is cancelled"),
    ],
)
async def test_a_job_is_acted_on_from_its_page(
    desk: MendingDesk, verb: str, before: JobState, after: JobState, says: str
) -> None:
    """The page offers it, it is done once, said, and kept in the trail with who and why."""
    job = await desk.job_in(before)
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await browser.get(f"/jobs/{job}")
    assert f'action="/jobs/{job}/{verb}"' in page.text

    answer = await post(browser, f"/jobs/{job}/{verb}", why=f"asked for {XSS}")
    told = await browser.get(answer.place)

    assert answer.status == 303
    assert says in told.text
    assert await desk.state(job) is after
    [entry] = await desk.console.trail(verb)
    assert (entry.by, entry.subject) == ("user:oren", job)
    assert entry.why.startswith("asked for <script>")
    assert "<script>alert" not in told.text
    assert "asked for &lt;script&gt;" in told.text  # in its story


@pytest.mark.parametrize(
    ("verb", "state", "says"),
    [
        ("requeue", JobState.LINKED, "it has not failed"),
        ("discard", JobState.DEAD, "it is a dead letter already"),
        ("restore", JobState.FAILED, "it stands in the failed queue already"),
        ("cancel", JobState.LINKED, "it is past cancelling"),
    ],
)
async def test_what_cannot_be_done_is_said(desk: MendingDesk, verb: str, state: JobState, says: str) -> None:
    """Somebody was faster, or the page is old: nothing is done, and the page says why."""
    job = await desk.job_in(state)
    browser = await desk.console.signed_in(Role.OPERATOR)
    answer = await post(browser, f"/jobs/{job}/{verb}", why="")
    told = await browser.get(answer.place)

    assert "Nothing was done." in told.text
    assert says in told.text
    assert await desk.state(job) is state


async def test_a_made_up_notice_is_not_shown(desk: MendingDesk) -> None:
    """A link from elsewhere can put no sentence of its own on our page."""
    browser = await desk.console.signed_in(Role.VIEWER)
    page = await browser.get("/acts?told=your+account+is+closed&not=call+0800")

    assert "your account" not in page.text
    assert "0800" not in page.text
    assert 'class="notice' not in page.text


async def test_a_job_that_is_not_there_is_not_found(desk: MendingDesk) -> None:
    """An id of somebody's making leads nowhere."""
    browser = await desk.console.signed_in(Role.OPERATOR)
    for path in ("requeue", "discard", "restore", "cancel", "resend", "edit", "edit/reveal"):
        assert (await post(browser, f"/jobs/01k8nope/{path}", why="x")).status == 404


async def test_a_viewer_mends_nothing(desk: MendingDesk) -> None:
    """Every act is refused and recorded, the edit form as well; the job's page shows no such button."""
    [job] = await desk.failed()
    vera = await desk.console.signed_in(Role.VIEWER)
    page = await vera.get(f"/jobs/{job}")
    assert page.status == 200
    assert "/requeue" not in page.text
    verbs = ("requeue", "discard", "restore", "cancel", "resend", "edit", "edit/reveal")
    for verb in verbs:
        assert (await post(vera, f"/jobs/{job}/{verb}", why="x")).status == 403, verb
    assert (await vera.get(f"/jobs/{job}/edit")).status == 403

    assert await desk.state(job) is JobState.FAILED
    assert len(await desk.console.trail("role_refused")) == len(verbs) + 1


# --- its message -------------------------------------------------------------------------------------------


async def test_a_message_is_sent_again_to_another_address(desk: MendingDesk) -> None:
    """No partner call: the same link goes out by mail once more, to the address that was typed."""
    delivery = await desk.a_delivery()
    lease = await desk.send(delivery)
    await desk.ledger.deliveries.settle(lease, Sent(provider_id="1"), can_resend=True)
    record = await desk.ledger.deliveries.get(delivery)
    assert record is not None
    [job] = record.job_ids
    browser = await desk.console.signed_in(Role.OPERATOR)
    answer = await post(
        browser, f"/jobs/{job}/resend", channel="email", to="new@flowers.example", why="moved"
    )

    assert answer.place == f"/jobs/{job}?told=resend"
    claimed = await desk.claim_delivery(delivery)
    assert claimed.request.contact.email == "new@flowers.example"
    assert await desk.state(job) is JobState.LINKED


async def test_an_edit_that_came_between_is_said_on_the_jobs_page(
    desk: MendingDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another address for a request that is another by now: nothing is sent, and the page says what to do."""
    delivery = await desk.a_delivery()
    await desk.ledger.deliveries.settle(await desk.send(delivery), Sent(provider_id="1"), can_resend=True)
    job = f"{delivery.partition('.')[0]}w"
    browser = await desk.console.signed_in(Role.OPERATOR)

    def as_seen_before(request: OnboardingRequest, to: str, **how: Any) -> Any:
        return readdressed(replace(request, business_name="As it was before"), to, **how)

    monkeypatch.setattr("worker.ops.console.pages_job_acts.readdressed", as_seen_before)
    answer = await post(browser, f"/jobs/{job}/resend", channel="email", to="new@flowers.example", why="x")

    assert answer.place == f"/jobs/{job}?not=edited_meanwhile"
    assert "its request was edited meanwhile" in (await browser.get(answer.place)).text.lower()


async def test_an_address_that_is_none_is_said_beside_its_field(desk: MendingDesk) -> None:
    """What was typed stays, escaped; nothing is sent."""
    delivery = await desk.a_delivery()
    record = await desk.ledger.deliveries.get(delivery)
    assert record is not None
    [job] = record.job_ids
    browser = await desk.console.signed_in(Role.OPERATOR)
    answer = await post(browser, f"/jobs/{job}/resend", channel="email", to=f"dana {XSS}")

    assert answer.status == 422
    assert 'aria-invalid="true"' in answer.text
    assert "dana &lt;script&gt;" in answer.text
    other = await post(browser, f"/jobs/{job}/resend", channel="sms", to="dana@flowers.example")
    assert other.status == 422
    assert "is for email" in other.text
    forged = await post(browser, f"/jobs/{job}/resend", channel="pigeon")
    assert forged.status == 400


async def test_a_job_without_a_message_says_so(desk: MendingDesk) -> None:
    """A failed job has none yet."""
    [job] = await desk.failed()
    browser = await desk.console.signed_in(Role.OPERATOR)
    answer = await post(browser, f"/jobs/{job}/resend", channel="")

    assert answer.place == f"/jobs/{job}?told=no_message"


# --- what a code means -------------------------------------------------------------------------------------


async def test_an_unknown_code_is_taught_and_its_jobs_offered(desk: MendingDesk) -> None:
    """Named, classed and explained; the group's page says so at once, and its jobs lead to a preview."""
    await desk.failed(2, fail=UNKNOWN)
    browser = await desk.console.signed_in(Role.OPERATOR)
    group = await browser.get("/failed/unknown_77")
    assert 'href="/failed/unknown_77/teach"' in group.text
    words = {
        "name": "number_frozen",
        "class": "bad_data",
        "policy": "fail",
        "meaning": f"The number is frozen {XSS}",
        "remedy": "Ask the customer to call Meta.",
        "why": "the partner said so",
    }
    answer = await post(browser, "/failed/unknown_77/teach", **words)
    assert answer.place == "/failed/unknown_77/teach?told=teach"
    taught = await browser.get(answer.place)

    assert "2 jobs stand failed under it" in taught.text
    assert 'action="/acts/preview"' in taught.text
    after = await browser.get("/failed/unknown_77")
    assert "The number is frozen &lt;script&gt;" in after.text
    assert "<script>alert" not in after.text
    for page in (after, await browser.get("/failed")):
        assert "taught as number_frozen" in words_of(page)
        assert "not explained yet" not in page.text
    listed = await browser.get("/jobs?state=failed&class=bad_data&lane=live")
    found = await desk.ledger.queries.find(JobFilter(reason_class="bad_data"))
    assert len(found.items) == 2
    assert all(job.id in listed.text for job in found.items)
    [entry] = await desk.console.trail("teach")
    assert (entry.by, entry.why) == ("user:oren", "the partner said so")


async def test_a_lesson_that_cannot_be_kept_says_why(desk: MendingDesk) -> None:
    """The message stands beside the field, and what was typed stays."""
    await desk.failed(1, fail=UNKNOWN)
    browser = await desk.console.signed_in(Role.OPERATOR)
    words = {"class": "no_such_class", "policy": "fail", "meaning": "m", "remedy": "r", "name": "x_y"}
    answer = await post(browser, "/failed/unknown_77/teach", **words)

    assert answer.status == 422
    assert "no_such_class" in answer.text
    assert 'value="x_y"' in answer.text
    assert await desk.console.trail("teach") == []


@pytest.mark.parametrize(
    ("wrong", "hebrew"),
    [
        ({"class": "no_such_class"}, "הערך אינו מוכר"),
        ({"name": "Frozen!"}, "מאותיות לטיניות קטנות"),
        ({"meaning": " "}, "יש לכתוב כאן משפט"),
    ],
)
async def test_a_lesson_is_refused_in_the_readers_language(
    desk: MendingDesk, wrong: dict[str, str], hebrew: str
) -> None:
    """In Hebrew no English sentence stands beside the field."""
    await desk.failed(1, fail=UNKNOWN)
    browser = await desk.console.signed_in(Role.OPERATOR)
    browser.headers["Accept-Language"] = "he"
    words = {"class": "bad_data", "policy": "fail", "meaning": "m", "remedy": "r", "name": "x_y"} | wrong
    answer = await post(browser, "/failed/unknown_77/teach", **words)

    assert answer.status == 422
    [error] = re.findall(r'class="field-error".*?<span>(.*?)</span>', answer.text, re.DOTALL)
    assert hebrew in error
    assert not re.search(r"[A-Za-z]{3,} [a-z]{2,}", error)


async def test_a_lesson_is_taken_back(desk: MendingDesk) -> None:
    """What is shipped holds again."""
    await desk.failed(1)
    browser = await desk.console.signed_in(Role.OPERATOR)
    words = {"class": "bad_data", "policy": "fail", "meaning": "Mine.", "remedy": "Mend it."}
    await post(browser, "/failed/number_invalid/teach", **words)
    assert "Mine." in (await browser.get("/failed/number_invalid")).text
    assert "unteach" in (await browser.get("/failed/number_invalid/teach")).text
    answer = await post(browser, "/failed/number_invalid/unteach", why="")

    assert answer.status == 303
    assert "Mine." not in (await browser.get("/failed/number_invalid")).text


async def test_a_viewer_teaches_nothing(desk: MendingDesk) -> None:
    """Neither sees the form nor sends it."""
    vera = await desk.console.signed_in(Role.VIEWER)
    assert (await vera.get("/failed/unknown_77/teach")).status == 403
    assert (await post(vera, "/failed/unknown_77/teach", name="x")).status == 403
    assert (await post(vera, "/failed/unknown_77/unteach")).status == 403
