"""What an operator needs stands where he needs it: the reason beside the form, the way on beside the trouble."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import redis.asyncio

from tests.contract.ledger_desk import own_fail
from tests.integration.console_desk import Browser
from tests.integration.console_looker import plain, words_of
from tests.integration.console_mending import UNKNOWN, MendingDesk, a_mending_desk, preview_all, preview_ids
from worker.domain.alerts import AlertKind, Trouble
from worker.domain.outcome import Undelivered
from worker.domain.roles import Role
from worker.domain.states import Channel, JobState


@pytest.fixture
async def desk(real_redis: redis.asyncio.Redis) -> AsyncIterator[MendingDesk]:
    async with a_mending_desk(real_redis) as desk:
        yield desk
        await desk.balance()


@pytest.fixture
async def operator(desk: MendingDesk) -> Browser:
    """Somebody who may act."""
    return await desk.console.signed_in(Role.OPERATOR)


async def test_the_edit_form_says_why_the_job_failed(desk: MendingDesk, operator: Browser) -> None:
    """With what to do about it: nobody has to keep the job's page in mind."""
    [job] = await desk.failed(fail=own_fail("number_invalid"))

    page = words_of(await operator.get(f"/jobs/{job}/edit"))

    assert "The partner says that the number is empty or wrong." in page
    assert "What to do: Correct the number" in page


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (JobState.LINKED, "The link. Only what it refuses is kept word for word."),
        (JobState.AVAILABLE, "Nothing yet."),
    ],
)
async def test_what_the_partner_answered_is_told_truly(
    desk: MendingDesk, operator: Browser, state: JobState, told: str
) -> None:
    """A link was an answer; only who was not asked has none yet."""
    job = await desk.job_in(state)

    page = words_of(await operator.get(f"/jobs/{job}"))

    assert page.partition("What it answered last")[2].strip().startswith(told)


async def test_a_trouble_leads_to_where_it_is_ended(desk: MendingDesk, operator: Browser) -> None:
    """To the hold, to the batch and to what failed: not by a command alone."""
    await desk.held()
    [notice] = [each for each in _notices((await operator.get("/")).text) if "is held" in plain(each)]

    assert 'href="/holds"' in notice
    assert 'href="/batches/b"' in notice
    assert 'href="/failed/unknown_77"' in notice


async def test_nothing_is_called_in_order_while_an_alert_is_open(real_redis: redis.asyncio.Redis) -> None:
    """What no hold or pause tells of, messages that fail alike say, leads to the alerts, and is counted beside them."""
    credentials = {"provider_client_id": "client", "provider_client_secret": "secret"}
    async with a_mending_desk(real_redis, **credentials) as desk:
        operator = await desk.console.signed_in(Role.OPERATOR)
        await desk.ledger.fleet.beat("w1", {"running": 0}, 60.0)
        calm = await operator.get("/")
        await desk.ledger.incidents.stands(Trouble(kind=AlertKind.MESSAGES_FAIL, scope="email", count=99))
        page = await operator.get("/")

    assert ("Everything runs" in calm.text, "Everything runs" in page.text) == (True, False)
    assert '<a id="to-alerts" href="/alerts">' in page.text
    assert "1 alert is open" in page.text
    assert re.search(r'href="/alerts".*?class="nav-count tone-bad".*?>1</span>', page.text)


async def test_a_list_says_what_it_is_filtered_by(desk: MendingDesk, operator: Browser) -> None:
    """Each part as a word that takes it out again, the rest of the filter as it is; the form is out of the way."""
    await desk.failed(business_name="Levi Gardens", fail=own_fail("number_invalid"))

    page = await operator.get("/jobs?state=failed&reason=number_invalid&name=levi")

    assert re.findall(r'<a class="chip" href="([^"]+)"', page.text) == [
        "/jobs?state=failed&amp;name=levi",
        "/jobs?state=failed&amp;reason=number_invalid",
    ]
    assert '<details class="card disclosure" id="filter">' in page.text
    assert "chip" not in (await operator.get("/jobs?state=failed")).text
    assert 'id="filter" open' in (await operator.get("/jobs?state=failed&name=nobody")).text


async def test_an_act_shows_whose_and_why_each_of_its_jobs_failed(
    desk: MendingDesk, operator: Browser
) -> None:
    """The frozen set can be judged before it is started: masked number, reason and all."""
    [job] = await desk.failed(whatsapp="972521234567", fail=own_fail("number_invalid"))
    page = await preview_all(operator, "requeue", state="failed")

    row = words_of(await operator.get(page)).partition("Its jobs")[2]

    assert job in row
    assert "9725******67" in row
    assert "The partner says that the number is empty or wrong." in row


async def test_an_answer_that_came_back_for_several_is_shown_once(
    desk: MendingDesk, operator: Browser
) -> None:
    """With all that it came back for: another answer among them is seen."""
    jobs = await desk.failed(3, fail=replace(UNKNOWN, is_own_data=True))
    odd = await desk.failed(fail=replace(UNKNOWN, is_own_data=True, raw='{"hint": "busy"}'))

    page = await operator.get("/failed/unknown_77")

    answers = re.findall(r"<pre>(.*?)</pre>", page.text)
    assert len(answers) == 2
    assert ["busy" in each for each in answers] == [True, False]
    assert all(each in page.text for each in [*jobs, *odd])


async def test_all_failed_messages_of_a_reason_can_be_looked_through(
    desk: MendingDesk, operator: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page; each once, and a cursor that is none begins anew."""
    monkeypatch.setattr("worker.ops.console.pages_groups._MESSAGES_SHOWN", 2)
    for _ in range(3):
        job = await desk.job_in(JobState.LINKED, channels=(Channel.EMAIL,))
        [delivery] = await desk.ledger.deliveries.of_invitation(job[:-1])
        lease = await desk.send(delivery.id)
        gone = Undelivered(fail=own_fail("mailbox_unknown"))
        await desk.ledger.deliveries.settle(lease, gone, can_resend=True)

    first = await operator.get("/failed/mailbox_unknown?stage=delivery")
    further = re.search(r'rel="next" href="([^"]+)"', first.text)
    assert further
    second = await operator.get(further[1].replace("&amp;", "&"))

    found = [re.findall(r"\b\w+\.email\.invitation\.1\b", words_of(page)) for page in (first, second)]
    assert [len(each) for each in found] == [2, 1]
    assert len(set(found[0] + found[1])) == 3
    stale = await operator.get("/failed/mailbox_unknown?stage=delivery&cursor=zzz")
    assert words_of(stale).count(".email.invitation.1") == 2


async def test_failed_messages_are_ticked_one_by_one(desk: MendingDesk, operator: Browser) -> None:
    """Those that were ticked are sent again, and no others; who only looks has no boxes."""
    messages = []
    for _ in range(3):
        job = await desk.job_in(JobState.LINKED, channels=(Channel.EMAIL,))
        [delivery] = await desk.ledger.deliveries.of_invitation(job[:-1])
        gone = Undelivered(fail=own_fail("mailbox_unknown"))
        await desk.ledger.deliveries.settle(await desk.send(delivery.id), gone, can_resend=True)
        messages.append(delivery.id)
    page = await operator.get("/failed/mailbox_unknown?stage=delivery")
    form = page.text.partition('action="/acts/preview" data-select')[2].partition("</form>")[0]

    assert sorted(re.findall(r'name="job_id" value="([^"]+)"', form)) == sorted(messages)
    assert re.findall(r'<input type="hidden" name="(act)" value="(\w+)"', form) == [("act", "requeue")]
    preview = await preview_ids(operator, "requeue", messages[:2])
    act = await desk.console.deps.acts.get(preview.place.removeprefix("/acts/"))
    assert act is not None
    assert (act["total"], act["messages"], act["calls_needed"]) == (2, 2, 0)
    viewer = await desk.console.signed_in(Role.VIEWER)
    assert "checkbox" not in (await viewer.get("/failed/mailbox_unknown?stage=delivery")).text


async def test_five_pages_are_at_hand_and_the_rest_behind_one_entry(operator: Browser) -> None:
    """Which says that one is on a page of it."""
    page = (
        (await operator.get("/failed"))
        .text.partition('<nav class="sidebar"')[2]
        .partition("</nav>\n<main")[0]
    )
    daily, _, more = page.partition("<details")
    link = re.compile(r'<a href="([^"]+)"( aria-current="page")?>')

    assert link.findall(daily) == [
        ("/", ""), ("/failed", ' aria-current="page"'), ("/jobs", ""), ("/customers", ""), ("/batches", ""),
    ]  # fmt: skip
    assert {"/acts", "/dead", "/holds", "/audit"} < {path for path, _ in link.findall(more)}
    assert "<summary>" in more
    assert '<summary aria-current="true">' in (await operator.get("/dead")).text


def _notices(page: str) -> list[str]:
    return re.findall(r'<div class="notice .*?</div>\s*</div>', page, re.DOTALL)
