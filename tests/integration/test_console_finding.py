"""Finding one's way in the console's lists: by the business's name, by a word mistyped, by the id of whatever it is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio

from tests.contract.ledger_desk import own_fail
from tests.factories import a_request
from tests.integration.console_desk import Answer, Browser
from tests.integration.console_looker import words_of
from tests.integration.console_mending import UNKNOWN, MendingDesk, a_mending_desk, post, preview_all
from worker.domain.alerts import AlertKind, Trouble
from worker.domain.outcome import Fail, Undelivered
from worker.domain.request import Contact
from worker.domain.roles import Role
from worker.domain.states import Channel, JobState

OWNER = Contact(name="Rina Levi", email="rina@levi.example")


@pytest.fixture
async def desk(real_redis: redis.asyncio.Redis) -> AsyncIterator[MendingDesk]:
    async with a_mending_desk(real_redis) as desk:
        yield desk
        await desk.balance()


@pytest.fixture
async def operator(desk: MendingDesk) -> Browser:
    """Somebody who may act."""
    return await desk.console.signed_in(Role.OPERATOR)


# --- names -------------------------------------------------------------------------------------------------


async def test_lists_say_whose_a_job_is(desk: MendingDesk, operator: Browser) -> None:
    """The business; a number within its name is masked, and whom it is sent to stays away."""
    [job] = await desk.failed(business_name="Levi Gardens 052-123-4567", contact=OWNER)
    page = await preview_all(operator, "discard", state="failed")
    lists = [await operator.get(path) for path in ("/jobs", "/failed/name_refused", page)]
    await desk.ledger.discard(job, by="cli:dana", why="x")
    lists.append(await operator.get("/dead"))

    for answer in lists:
        assert "Levi Gardens" in words_of(answer)
        assert "123-4567" not in answer.text
        assert "Rina" not in answer.text


async def test_a_failed_message_says_for_whom_it_was(desk: MendingDesk, operator: Browser) -> None:
    """On the page of its reason, among the others of it."""
    job = await desk.job_in(
        JobState.LINKED, request=a_request(business_name="Levi Gardens"), channels=(Channel.EMAIL,)
    )
    [delivery] = await desk.ledger.deliveries.of_invitation(job[:-1])
    lease = await desk.send(delivery.id)
    await desk.ledger.deliveries.settle(lease, Undelivered(fail=own_fail("mailbox_unknown")), can_resend=True)

    page = await operator.get("/failed/mailbox_unknown?stage=delivery")

    assert words_of(page).count("Levi Gardens") == 1


async def test_an_alert_names_the_batch_as_people_know_it(desk: MendingDesk, operator: Browser) -> None:
    """By its file; the command has its id."""
    await desk.ledger.batches.open("b7", name="november.csv", source="csv", by="dana", total=3)
    params = {"target": "batch:b7", "reason": "unknown_77"}
    trouble = Trouble(kind=AlertKind.HOLD, scope="batch:b7", count=3, params=params)
    await desk.ledger.incidents.stands(trouble, sinks=[])

    page = await operator.get("/alerts")

    assert "Batch november.csv is held: unknown_77. 3 jobs wait" in words_of(page)
    assert "linkferry batch resume b7" in words_of(page)


async def test_an_alert_leads_to_its_page_before_it_names_commands(
    desk: MendingDesk, operator: Browser
) -> None:
    """They are folded where a page does the same, and stand open where none does."""
    failing: dict[str, str | int] = {"channel": "email", "sent": 0}
    await desk.ledger.incidents.stands(
        Trouble(kind=AlertKind.MESSAGES_FAIL, scope="email", count=9, params=failing), sinks=[]
    )
    missing = Trouble(kind=AlertKind.LINKS_MISSING, scope="list", count=9, params={})
    await desk.ledger.incidents.stands(missing, sinks=[])

    page = (await operator.get("/alerts")).text

    articles = {"messages by" in each: each for each in page.split("<article")[1:]}
    assert 'href="/failed?stage=delivery"' in articles[True]
    assert re.search(r'<details [^>]*id="typed-[^"]+">', articles[True])
    assert "Look at it" not in articles[False]
    assert re.search(r'<details [^>]*id="typed-[^"]+" open>', articles[False])


# --- words that match nothing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("reason=number_invald", "There is no reason “number_invald”. Perhaps number_invalid is meant."),
        ("reason=zzzz", "There is no reason “zzzz”."),
        ("source=crm:hubspt", "Nothing comes from “crm:hubspt”. Perhaps crm:hubspot is meant."),
        ("source=fax", "Nothing comes from “fax”: sources are api, cli, csv and crm:<name>."),
        ("batch=november.csv", "There is no batch “november.csv”. Perhaps b7 is meant."),
    ],
)
async def test_a_word_that_nothing_can_match_is_told(
    desk: MendingDesk, operator: Browser, asked: str, told: str
) -> None:
    """With the nearest there is, and the way to it; a word that only happens to match nothing is not."""
    await desk.ledger.batches.open("b7", name="november.csv", source="csv", by="dana", total=3)
    page = await operator.get(f"/jobs?{asked}")

    assert page.status == 200
    assert told in words_of(page).replace("&lt;", "<").replace("&gt;", ">")
    assert ("Look for that" in page.text) == ("is meant" in told)
    for known in ("reason=number_invalid", "reason=unknown_99", "source=csv", "batch=b7"):
        assert "There is no" not in words_of(await operator.get(f"/jobs?{known}"))


async def test_the_nearest_word_is_one_click_away(operator: Browser) -> None:
    """With the rest of the filter as it was."""
    page = await operator.get("/jobs?state=failed&reason=number_invald")

    assert 'href="/jobs?state=failed&amp;reason=number_invalid"' in page.text


# --- what a list is of -------------------------------------------------------------------------------------


async def a_failed_message(desk: MendingDesk, name: str, **changes: Any) -> str:
    """Return the job of a message that failed."""
    request = a_request(business_name=name, display_name=name)
    job = await desk.job_in(JobState.LINKED, request=request, channels=(Channel.EMAIL,), **changes)
    [delivery] = await desk.ledger.deliveries.of_invitation(job[:-1])
    fail = own_fail("mailbox_unknown")
    await desk.ledger.deliveries.settle(await desk.send(delivery.id), Undelivered(fail=fail), can_resend=True)
    return job


async def test_failed_messages_are_filtered_as_jobs_are(desk: MendingDesk, operator: Browser) -> None:
    """By the words of their jobs, together; and all that match are previewed."""
    for name in ("Levi Gardens", "Levi Orchards"):
        await a_failed_message(desk, name, source="csv")
    await a_failed_message(desk, "Levi Fields", source="api")
    await desk.failed(2)

    page = await operator.get("/jobs?stage=delivery&source=csv&name=levi")
    said = words_of(page)

    assert ("Levi Gardens" in said, "Levi Orchards" in said, "Levi Fields" in said) == (True, True, False)
    assert "2 of 2 shown" in said
    assert "Preview: all 2 that match" in said
    preview = await preview_all(operator, "requeue", stage="delivery", source="csv")
    frozen = await desk.console.deps.acts.get(preview.removeprefix("/acts/"))
    assert frozen is not None
    assert frozen["total"] == 2
    assert "No message matches" in words_of(await operator.get("/jobs?stage=delivery&batch=b"))
    assert (await operator.get("/jobs?stage=sideways")).status == 400


async def test_a_link_that_nobody_was_sent_says_what_to_do(desk: MendingDesk, operator: Browser) -> None:
    """On its job's page, by the reason of the message."""
    job = await a_failed_message(desk, "Levi Gardens")

    card = words_of(await operator.get(f"/jobs/{job}")).split("What you can do")[0]

    assert "the message did not reach the customer" in card
    assert "What to do: " in card
    assert "Next:" not in card


async def test_a_messages_reason_leads_to_the_messages(desk: MendingDesk, operator: Browser) -> None:
    """Not to the links that failed so, of which there is none."""
    job = await a_failed_message(desk, "Levi Gardens")

    page = await operator.get(f"/jobs/{job}")

    assert 'href="/failed/mailbox_unknown?stage=delivery"' in page.text
    assert 'href="/failed/mailbox_unknown"' not in page.text
    assert "Levi Gardens" in words_of(await operator.get("/failed/mailbox_unknown"))


async def test_a_page_without_rows_is_not_the_whole_answer(
    desk: MendingDesk, operator: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where many jobs were looked through and the list goes on, that is said, with the way on."""
    for source in ("fax", "api", "api", "api"):
        await desk.job_in(JobState.FAILED, source=source)
    monkeypatch.setattr("worker.ledger.finding.SCAN_LIMIT", 1)
    monkeypatch.setattr("worker.ledger.paging.CHUNK", 1)

    page = await operator.get("/jobs?source=fax")

    assert "None so far" in words_of(page)
    assert "No job matches" not in words_of(page)
    assert 'rel="next"' in page.text


async def test_a_reason_alone_is_asked_of_what_failed(desk: MendingDesk, operator: Browser) -> None:
    """And the list says so: it is of the failed ones."""
    await desk.failed(1)

    page = (await operator.get("/jobs?reason=name_refused")).text

    current = re.findall(r'<a href="([^"]+)" aria-current="true">', page)
    assert any("state=failed" in each for each in current)


# --- ids ---------------------------------------------------------------------------------------------------


async def test_a_search_for_an_acts_or_batchs_id_leads_there(desk: MendingDesk, operator: Browser) -> None:
    """As that for a job's id does."""
    await desk.failed(2)
    page = await preview_all(operator, "requeue", state="failed")
    await desk.ledger.batches.open("run-7", name="november.csv", source="csv", by="dana", total=3)

    assert (await operator.get(f"/search?q={page.removeprefix('/acts/')}")).place == page
    assert (await operator.get("/search?q=run-7")).place == "/batches/run-7"
    assert "Nothing found" in words_of(await operator.get("/search?q=run-8"))


async def test_a_reference_that_reads_like_a_batch_is_found_beside_it(
    desk: MendingDesk, operator: Browser
) -> None:
    """Nothing is hidden by leading elsewhere."""
    [job] = await desk.failed(reference="run-7")
    await desk.ledger.batches.open("run-7", name="november.csv", source="csv", by="dana", total=3)

    page = await operator.get("/search?q=run-7")

    assert 'href="/batches/run-7"' in page.text
    assert f"/jobs/{job}" in page.text


# --- what stands still -------------------------------------------------------------------------------------


async def test_a_hold_says_that_it_is_being_looked_up(desk: MendingDesk, operator: Browser) -> None:
    """On its own page and the batch's; and afterwards as what its failures were explained."""
    await desk.held()
    pages = [await operator.get(path) for path in ("/holds", "/batches/b")]
    suspects = await desk.ledger.batches.suspects("batch:b")
    own = Fail(reason="number_not_registered", reason_class="not_registered", is_own_data=True)
    await desk.ledger.explain(suspects[0], own)
    await desk.ledger.explain(suspects[1], UNKNOWN)
    later = await operator.get("/holds")

    for page in pages:
        assert "the partner's lists are being looked at" in plain_quotes(page)
        assert "15 jobs wait behind it." in words_of(page)
    assert "teach" not in words_of(pages[0])
    assert "Explained by now: number_not_registered (1). 4 failures are left" in plain_quotes(later)


async def test_a_hold_with_nothing_behind_it_says_so_everywhere(desk: MendingDesk, operator: Browser) -> None:
    """It is no trouble, and no alert; and the lists that have it show nothing waiting."""
    for job in await desk.accept_batch("b", 5):
        await desk.ledger.claim(job, worker_id="w", lease_s=600)
    await desk.ledger.batches.hold("batch:b", "unknown_77")
    overview = await operator.get("/")

    assert "Batch b is held, because its calls fail alike" not in words_of(overview).split("Jobs by state")[0]
    for path in ("/holds", "/batches/b"):
        assert "Nothing waits behind it." in words_of(await operator.get(path))


async def test_the_overviews_bar_says_what_it_is(desk: MendingDesk, operator: Browser) -> None:
    """In words beside it, for whoever cannot tell its colours."""
    await desk.failed(2)

    said = words_of(await operator.get("/"))

    assert "On the way, or waiting for a person: failed: 2" in said


# --- bulk acts ---------------------------------------------------------------------------------------------


async def test_an_acts_jobs_are_renewed_while_it_runs(desk: MendingDesk, operator: Browser) -> None:
    """Its list as well as its head; with the part of it that was chosen, and no longer at its end."""
    await desk.failed(8)
    page = await preview_all(operator, "requeue", state="failed")
    act_id = page.removeprefix("/acts/")
    await post(operator, f"{page}/start", why="names are mended", canary="1")
    running = await operator.get(f"{page}?outcome=waiting")
    await desk.console.deps.acts.step(act_id)
    part = await operator.get(f"{page}?outcome=waiting", HX_Request="true", X_Poll="1", X_Part="items")
    await desk.driven(act_id)
    ended = await operator.get(page)

    assert f'hx-get="{page}?outcome=waiting"' in running.text
    assert "<html" not in part.text
    assert (rows_of(running), rows_of(part)) == (8, 3)
    assert f'id="outcome-waiting" href="{page}?outcome=waiting#items" aria-current="true"' in part.text
    assert "X-Part" not in ended.text


def rows_of(answer: Answer) -> int:
    """Return how many jobs a list shows."""
    return answer.text.count('data-label="Job"')


def plain_quotes(answer: Answer) -> str:
    """Return what a page says, with its apostrophes."""
    return words_of(answer).replace("&#39;", "'")
