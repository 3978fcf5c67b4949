"""The console's pages for looking, over HTTP: what they show, and to whom."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.factories import a_request
from tests.integration.console_desk import Browser, a_console
from tests.integration.console_looker import MASKED, NUMBER, Looker, plain, tags_of, words_of
from worker.domain.outcome import Fail, Refused
from worker.domain.request import Contact
from worker.domain.roles import Role
from worker.domain.states import Channel, JobState


@pytest.fixture
async def looker(fake_redis: redis.asyncio.Redis) -> AsyncIterator[Looker]:
    """A console over an empty ledger."""
    async with a_console(fake_redis, sandbox=True) as console:
        yield Looker(console, fake_redis)


@pytest.fixture
async def viewer(looker: Looker) -> Browser:
    """Somebody who may look."""
    return await looker.console.signed_in(Role.VIEWER)


@pytest.fixture
async def operator(looker: Looker) -> Browser:
    """Somebody who may act."""
    return await looker.console.signed_in(Role.OPERATOR)


# --- overview ----------------------------------------------------------------------------------------------


async def test_the_overview_shows_how_everything_stands(looker: Looker, viewer: Browser) -> None:
    """Each state with its number, what is wrong in words, and the last hour as a chart with its figures."""
    await looker.failed()
    await looker.desk.job_in(JobState.LINKED)
    page = await viewer.get("/")
    assert page.status == 200
    assert re.search(r'id="state-failed".*?figure-value">1<', page.text, re.DOTALL)
    assert "No worker runs, so nothing is worked on." in words_of(page)
    assert 'aria-label="Accepted, linked and failed jobs of the last hour, by the minute"' in page.text
    assert "The figures as a table (UTC)" in words_of(page)


async def test_the_badge_of_the_failed_and_their_tile_say_what_they_count(
    looker: Looker, viewer: Browser
) -> None:
    """The badge: jobs and messages, in figures and aloud; the tile: the jobs, and beside them the messages."""
    await looker.failed()
    await looker.desk.a_failed_message()
    page, queue = await viewer.get("/"), await viewer.get("/failed")

    assert re.search(r'id="state-failed".*?figure-value">1<.*?>and 1 message<', page.text, re.DOTALL)
    badge = re.search(r'href="/failed".*?<span class="nav-count.*?</a>', page.text, re.DOTALL)
    assert badge
    assert ">2<" in badge[0]
    assert plain(badge[0].partition("<svg")[2].partition("</svg>")[2]).endswith("2 1 job, 1 message")
    assert "2 failed (1 job, 1 message) · 2 reasons" in words_of(queue)


async def test_the_overviews_states_add_up(looker: Looker, viewer: Browser) -> None:
    """Every state has its figure; the chart says that it counts happenings."""
    for state in (JobState.LINKED, JobState.DEAD, JobState.CANCELLED):
        await looker.desk.job_in(state)
    page = await viewer.get("/")
    found = dict(re.findall(r'id="state-(\w+)".*?figure-value">([\d,]+)<', page.text, re.DOTALL))
    assert set(found) == set(JobState)
    assert sum(map(int, found.values())) == 3
    assert "a link that was replaced counts as linked once more" in words_of(page)


async def test_the_overview_renews_its_living_part_alone(looker: Looker, viewer: Browser) -> None:
    """htmx asks the same address and gets the part, not the frame around it."""
    page = await viewer.get("/")
    assert 'hx-get="/" hx-trigger="every 5s' in page.text
    part = await viewer.get("/", **{"HX-Request": "true", "X-Poll": "1"})
    assert "<html" not in part.text
    assert "state-failed" in part.text
    whole = await viewer.get("/", **{"HX-Request": "true", "HX-History-Restore-Request": "true"})
    assert "<html" in whole.text


async def test_a_hold_is_seen_with_its_reason(looker: Looker, viewer: Browser) -> None:
    """A batch whose calls fail alike is named, with why and how many wait behind it."""
    await looker.console.ledger.batches.open("b1", name="october.csv", source="csv", by="cli:dana", total=9)
    jobs = await looker.desk.accept_batch("b1", 8)
    for job in jobs[:5]:
        fail = Fail(reason="wrong_method", reason_class="configuration", code=1)
        await looker.desk.end(job, Refused(fail=fail))
    said = words_of(await viewer.get("/"))
    assert "october.csv" in said
    assert "Batch october.csv is held, because its calls fail alike" in said


# --- failed ------------------------------------------------------------------------------------------------


async def test_failures_are_told_by_reason_with_what_to_do(looker: Looker, viewer: Browser) -> None:
    """The largest group first, each with its meaning, its remedy and a link to its page."""
    for _ in range(2):
        await looker.failed()
    await looker.failed("unknown_77", reason_class="unknown", code=77)
    page = await viewer.get("/failed")
    said = words_of(page)
    assert said.index("The partner says that the number is empty or wrong.") < said.index("with code 77")
    assert "Correct the number (country code first, digits only) and requeue." in said
    assert 'href="/failed/unknown_77"' in page.text
    assert "not explained yet" in said
    assert (said.count("2 links "), said.count("1 link "), said.count("1 links")) == (1, 1, 0)


async def test_an_empty_failed_queue_says_so(viewer: Browser) -> None:
    """Nothing to do is said, and not shown as an empty table."""
    assert "Nothing has failed" in words_of(await viewer.get("/failed"))
    assert "Nothing stands failed for this reason" in words_of(await viewer.get("/failed/number_invalid"))


async def test_a_groups_page_shows_answers_masked_and_leads_to_its_jobs(
    looker: Looker, viewer: Browser
) -> None:
    """What the partner answered is there to be read, without the customers' numbers."""
    await looker.failed(raw=f'{{"Code": 4, "Message": "{NUMBER} is wrong"}}')
    page = await viewer.get("/failed/number_invalid")
    assert "is wrong" in page.text
    assert NUMBER not in page.text
    assert 'href="/jobs?state=failed&amp;reason=number_invalid"' in page.text


# --- jobs --------------------------------------------------------------------------------------------------


async def test_jobs_are_filtered_by_what_stands_in_the_address(looker: Looker, viewer: Browser) -> None:
    """The same address shows the same list to whoever opens it."""
    wrong = await looker.failed()
    other = await looker.failed("unknown_77", reason_class="unknown", code=77)
    page = await viewer.get("/jobs?state=failed&reason=number_invalid")
    assert f"/jobs/{wrong}" in page.text
    assert f"/jobs/{other}" not in page.text
    assert "1 of 1 shown" in words_of(page)
    assert 'value="number_invalid"' in page.text


async def test_a_long_list_is_turned_page_by_page(looker: Looker, viewer: Browser) -> None:
    """The older ones are one link on, the newest one link back, and the filter stays."""
    for _ in range(51):
        await looker.failed()
    first = await viewer.get("/jobs?state=failed")
    assert "50 of 51 shown" in words_of(first)
    [older] = re.findall(r'rel="next" href="([^"]+)"', first.text)
    second = await viewer.get(older.replace("&amp;", "&"))
    assert second.text.count('<td data-label="Job"') == 1
    assert 'href="/jobs?state=failed"' in second.text
    assert (await viewer.get("/jobs?state=failed&cursor=made-up")).status == 200


async def test_a_filter_that_cannot_be_read_says_where(viewer: Browser) -> None:
    """The field is marked with what to write; nothing is listed as if it had been meant."""
    page = await viewer.get("/jobs?older_than=soon&attempts=-1")
    assert page.status == 400
    assert page.text.count('aria-invalid="true"') == 2
    assert "Write a length of time such as 30m, 2h or 3d." in words_of(page)
    assert "<tbody>" not in page.text


async def test_only_who_may_act_is_offered_to(looker: Looker, viewer: Browser, operator: Browser) -> None:
    """An operator ticks rows or takes all that match, with the filter frozen in the form; a viewer only looks."""
    job = await looker.failed()
    page = await operator.get("/jobs?state=failed")
    assert 'action="/acts/preview"' in page.text
    assert f'name="job_id" value="{job}"' in page.text
    assert "{&#34;state&#34;: &#34;failed&#34;}" in page.text
    plain = await viewer.get("/jobs?state=failed")
    assert "job_id" not in plain.text
    assert "Preview" not in words_of(plain)


async def test_a_list_without_a_match_offers_to_clear_the_filter(looker: Looker, viewer: Browser) -> None:
    """Nothing found is not the same as nothing there."""
    assert "No jobs yet" in words_of(await viewer.get("/jobs"))
    await looker.failed()
    assert "No job matches" in words_of(await viewer.get("/jobs?state=running"))


# --- one job -----------------------------------------------------------------------------------------------


async def test_a_jobs_page_tells_its_story(looker: Looker, viewer: Browser) -> None:
    """Why it is where it is, what to do, each attempt with what was asked and answered, all masked."""
    job = await looker.failed(request=a_request(whatsapp=NUMBER), raw='{"Code": 4, "Message": "bad"}')
    said = words_of(await viewer.get(f"/jobs/{job}"))
    assert "The partner says that the number is empty or wrong." in said
    assert "What to do: Correct the number" in said
    assert "Attempt 1 failed" in said
    assert "{&#34;Code&#34;: 4, &#34;Message&#34;: &#34;bad&#34;}" in said
    assert MASKED in said
    assert NUMBER not in said


async def test_a_job_that_failed_again_says_how_often(looker: Looker, viewer: Browser) -> None:
    """A requeue that did not help is seen in the list and on the page."""
    job = await looker.failed()
    await looker.desk.requeue(job)
    await looker.desk.end(job, Refused(fail=Fail(reason="number_invalid", reason_class="bad_data", code=4)))
    assert "again ×1" in words_of(await viewer.get("/jobs?state=failed"))
    assert "It failed again, after a requeue" in words_of(await viewer.get(f"/jobs/{job}"))


async def test_a_job_under_way_renews_its_page_and_a_failed_one_does_not(
    looker: Looker, viewer: Browser
) -> None:
    """What may still change is asked for again; where a person is at work on a form, nothing moves."""
    running = await looker.desk.job_in(JobState.RUNNING)
    assert f'hx-get="/jobs/{running}"' in (await viewer.get(f"/jobs/{running}")).text
    assert "hx-get" not in (await viewer.get(f"/jobs/{await looker.failed()}")).text
    part = await viewer.get(f"/jobs/{running}", **{"HX-Request": "true"})
    assert "<html" not in part.text


async def test_a_reveal_is_recorded_before_it_is_shown(looker: Looker, operator: Browser) -> None:
    """An operator sees the number whole on his own asking, and the trail says that he did."""
    job = await looker.failed(request=a_request(whatsapp=NUMBER))
    page = await operator.get(f"/jobs/{job}")
    assert f'action="/jobs/{job}/reveal"' in page.text
    shown = await operator.post(f"/jobs/{job}/reveal", csrf=page.csrf)
    assert shown.status == 200
    assert NUMBER in shown.text
    assert "no-store" in shown.headers["Cache-Control"]
    [entry] = await looker.console.trail("reveal")
    assert (entry.by, entry.subject) == ("user:oren", job)
    assert NUMBER not in (await operator.get(f"/jobs/{job}")).text


async def test_a_viewer_cannot_reveal(looker: Looker, viewer: Browser) -> None:
    """He is offered no button, and is refused where he posts without one; nothing is shown or recorded as a reveal."""
    job = await looker.failed(request=a_request(whatsapp=NUMBER))
    assert "reveal" not in (await viewer.get(f"/jobs/{job}")).text
    refused = await viewer.post(f"/jobs/{job}/reveal", csrf=await viewer.csrf())
    assert refused.status == 403
    assert NUMBER not in refused.text
    assert await looker.console.trail("reveal") == []


@pytest.mark.parametrize("path", ["/jobs/01nope", "/jobs/..%2f..%2fetc", "/failed/x?stage=other", "/nowhere"])
async def test_what_is_not_there_has_a_page_of_its_own(viewer: Browser, path: str) -> None:
    """It says so within the console, with a way on."""
    page = await viewer.get(path)
    assert page.status == 404
    assert "There is no such page" in words_of(page)
    assert "sidebar" in page.text


# --- search and customers ----------------------------------------------------------------------------------


async def test_anything_that_a_caller_says_finds_his_jobs(looker: Looker, viewer: Browser) -> None:
    """His number in any form, his address, his business' name, his reference; an id leads to its page at once."""
    contact = Contact(name="Noa", email="noa@example.com", phone=None, locale="he")
    request = a_request(whatsapp=NUMBER, business_name="Sea Bakery", reference="R-77", contact=contact)
    job = await looker.failed(request=request)
    await looker.failed()
    for text in ("052-123-4567", "%2B972521234567", "noa%40example.com", "sea+bak", "R-77"):
        page = await viewer.get(f"/search?q={text}")
        assert f"/jobs/{job}" in page.text, text
        assert page.text.count('<td data-label="Job"') == 1, text
    straight = await viewer.get(f"/search?q={job}")
    assert (straight.status, straight.place) == (303, f"/jobs/{job}")
    nothing = await viewer.get("/search?q=nobody")
    assert "Nothing found" in words_of(nothing)
    assert "Search for anything" in words_of(await viewer.get("/search"))


async def test_a_customer_is_one_screen(looker: Looker, viewer: Browser) -> None:
    """How he stands in a sentence, what to say, all his links and messages, without a number in the address."""
    job = await looker.desk.job_in(
        JobState.LINKED, request=a_request(whatsapp=NUMBER), channels=(Channel.EMAIL,)
    )
    page = await viewer.get(f"/customers?q={job}")
    said = words_of(page)
    assert "The link is made; the message with it is on its way." in said
    assert MASKED in said
    assert "d***@example.com" in said
    assert NUMBER not in page.text
    assert "What happened" in said


async def test_the_sandbox_says_which_alert_setting_counts_there(viewer: Browser) -> None:
    """As the command line does: an address to post to is ignored in it."""
    said = words_of(await viewer.get("/alerts"))
    assert "Set LINKFERRY_ALERT_EMAIL" in said
    assert "LINKFERRY_ALERT_URL is ignored" in said


async def test_several_customers_are_offered_to_choose_from(looker: Looker, viewer: Browser) -> None:
    """A name that two share leads to each by a link of his own."""
    first = await looker.failed(request=a_request(business_name="Sea Bakery"))
    contact = Contact(name="Gil", email="gil@example.com", phone=None, locale="he")
    second = await looker.failed(request=a_request(business_name="Sea Bakery South", contact=contact))
    page = await viewer.get("/customers?q=sea+bakery")
    assert "Several customers may be meant." in words_of(page)
    assert {f"/customers?q={first}", f"/customers?q={second}"} <= set(tags_of(page).links)
    nobody = words_of(await viewer.get("/customers?q=nobody"))
    assert "No such customer" in nobody
    assert "is found whole" in nobody


async def test_a_choice_of_customers_that_is_cut_short_says_of_how_many(
    looker: Looker, viewer: Browser
) -> None:
    """Who does not find his customer among those shown knows to write more of the name."""
    for nth in range(22):
        await looker.failed(
            request=a_request(
                business_name=f"Sea Bakery {nth}",
                contact=Contact(name="Gil", email=f"gil{nth}@example.com", phone=None, locale="he"),
            )
        )
    assert "20 of 22 shown" in words_of(await viewer.get("/customers?q=sea+bakery"))


async def test_a_customer_is_revealed_to_an_operator_and_it_is_recorded(
    looker: Looker, operator: Browser
) -> None:
    """The same as on a job's page."""
    job = await looker.failed(request=a_request(whatsapp=NUMBER))
    page = await operator.get(f"/customers?q={job}")
    shown = await operator.post("/customers/reveal", {"q": job}, csrf=page.csrf)
    assert NUMBER in shown.text
    [entry] = await looker.console.trail("reveal")
    assert entry.subject == job
    unknown = await operator.post("/customers/reveal", {"q": "nobody"}, csrf=page.csrf)
    assert unknown.status == 404


@pytest.mark.parametrize("field", ["state", "class", "lane"])
async def test_a_choice_that_there_is_not_is_marked(viewer: Browser, field: str) -> None:
    """As any other field: the list is not shown as if nothing had been asked for."""
    page = await viewer.get(f"/jobs?{field}=zzz")
    assert page.status == 400
    assert re.search(rf'<select[^>]*id="filter-{field}"[^>]*aria-invalid="true"', page.text)
    assert f'id="filter-{field}-error"' in page.text
    assert "There is no such choice." in words_of(page)


async def test_the_trail_is_told_in_the_readers_language(looker: Looker, viewer: Browser) -> None:
    """Codes among the details too: what it was, by which channel, why a sign-in was refused."""
    trail = looker.console.ledger.trail
    await trail.record("replace", by="cli:dana", detail={"was": "linked"})
    await trail.record("resend", by="cli:dana", detail={"was": "sent", "channel": "sms", "readdressed": "1"})
    await trail.record(
        "sign_in_refused", by="nobody", detail={"cause": "wrong_password", "address": "127.0.0.1"}
    )
    await trail.record("suppress", by="cli:dana", detail={"contact": "dana@example.com"})
    await trail.record("act_stop", by="linkferry", why="failed again")
    viewer.headers = {"Accept-Language": "he"}
    page = await viewer.get("/audit")
    table = page.text.partition("<tbody>")[2].partition("</tbody>")[0]
    for word in ("linked", "sent", "sms", "wrong_password", ">contact<", "failed again"):
        assert word not in table, word
    for word in ("יש קישור", "נשלחה", "מסרון", "סיסמה שגויה", "נמען"):
        assert word in table, word
