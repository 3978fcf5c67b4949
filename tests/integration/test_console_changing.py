"""A link replaced and deleted in the console: what the page offers, asks and says."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.changing_desk import NEW_LINK
from tests.integration.console_looker import words_of
from tests.integration.console_mending import MendingDesk, a_mending_desk, post, preview_all, typed
from worker.domain.outcome import Deleted, Sent
from worker.domain.roles import Role
from worker.domain.states import JobState


@pytest.fixture
async def desk(real_redis: redis.asyncio.Redis) -> AsyncIterator[MendingDesk]:
    async with a_mending_desk(real_redis) as desk:
        yield desk
        await desk.balance()


async def test_a_link_is_deleted_from_its_jobs_page(desk: MendingDesk) -> None:
    """Offered with a word of warning, asked for once, said, and called off again."""
    job = await desk.linked()
    browser = await desk.console.signed_in(Role.OPERATOR)
    page = await browser.get(f"/jobs/{job}")
    assert f'action="/jobs/{job}/revoke"' in page.text
    answer = await post(browser, f"/jobs/{job}/revoke", why="left us")
    assert "The link is being deleted at the partner" in (await browser.get(answer.place)).text
    record = await desk.ledger.queries.job(job)
    assert record is not None
    assert record.op == "v"
    [entry] = await desk.console.trail("revoke")
    assert (entry.by, entry.subject, entry.why) == ("user:oren", job, "left us")

    off = await post(browser, f"/jobs/{job}/cancel", why="no")
    assert "the link stands as it did" in (await browser.get(off.place)).text
    assert await desk.state(job) is JobState.LINKED


async def test_a_link_is_replaced_with_changed_data(desk: MendingDesk) -> None:
    """Checked first, shown before and after with what will happen, then asked for."""
    job = await desk.linked()
    browser = await desk.console.signed_in(Role.OPERATOR)
    form = await browser.get(f"/jobs/{job}/replace")
    assert "The link is deleted at the partner" in form.text
    checked = await post(browser, f"/jobs/{job}/replace", do="check", display_name="Dana")
    assert checked.status == 200
    assert "Replace the link with these changes" in checked.text
    assert await desk.state(job) is JobState.LINKED

    answer = await post(browser, f"/jobs/{job}/replace", do="replace", display_name="Dana", why="brand")
    assert answer.status == 303
    assert "The link is being replaced" in (await browser.get(answer.place)).text
    await desk.end(job, Deleted())
    record = await desk.ledger.queries.job(job)
    assert record is not None
    assert (record.op, record.request.display_name) == ("rc", "Dana")
    page = await browser.get(f"/jobs/{job}")
    assert "the old one is deleted, and the new one is being made" in page.text


async def test_a_reveal_keeps_what_was_typed_for_the_new_link(desk: MendingDesk) -> None:
    """As on the page that edits; and what was typed is shown whole beside what it replaces."""
    job = await desk.linked()
    browser = await desk.console.signed_in(Role.OPERATOR)
    form = await browser.get(f"/jobs/{job}/replace")
    shown = await post(browser, f"/jobs/{job}/replace/reveal", **typed(form, business_name="Dana Gardens"))
    checked = await post(
        browser, f"/jobs/{job}/replace", **typed(form, business_name="Dana Gardens"), do="check"
    )

    assert 'value="Dana Gardens"' in shown.text
    assert 'formaction="' not in shown.text  # there is nothing left to reveal
    assert '<bdi class="outside">Dana Gardens</bdi>' in checked.text
    [entry] = await desk.console.trail("reveal")
    assert (entry.by, entry.subject) == ("user:oren", job)


async def test_a_fresh_link_takes_no_data(desk: MendingDesk) -> None:
    """What stands in the form's fields is let be."""
    job = await desk.linked()
    browser = await desk.console.signed_in(Role.OPERATOR)
    answer = await post(browser, f"/jobs/{job}/replace", do="fresh", display_name="Other")
    assert answer.status == 303
    record = await desk.ledger.queries.job(job)
    assert record is not None
    assert (record.op, record.next_request) == ("rd", None)


async def test_data_that_are_wrong_are_said_and_nothing_is_begun(desk: MendingDesk) -> None:
    """By the rules of a new request."""
    job = await desk.linked()
    browser = await desk.console.signed_in(Role.OPERATOR)
    answer = await post(browser, f"/jobs/{job}/replace", do="replace", whatsapp="12")
    assert answer.status == 422
    assert await desk.state(job) is JobState.LINKED


async def test_a_job_whose_link_cannot_be_replaced_says_so(desk: MendingDesk) -> None:
    """Its page does not offer it, and the form that somebody had open refuses."""
    job = await desk.job_in(JobState.AVAILABLE)
    browser = await desk.console.signed_in(Role.OPERATOR)
    assert f"/jobs/{job}/replace" not in (await browser.get(f"/jobs/{job}")).text
    assert "This link cannot be replaced" in (await browser.get(f"/jobs/{job}/replace")).text
    refused = await post(browser, f"/jobs/{job}/replace", do="fresh")
    assert refused.status == 422
    assert "Nothing was done." in refused.text


async def test_a_viewer_changes_no_link(desk: MendingDesk) -> None:
    """He sees neither button nor form."""
    job = await desk.linked()
    browser = await desk.console.signed_in(Role.VIEWER)
    assert "/replace" not in (await browser.get(f"/jobs/{job}")).text
    assert (await browser.get(f"/jobs/{job}/replace")).status == 403
    assert (await post(browser, f"/jobs/{job}/revoke")).status == 403


async def test_links_are_replaced_in_bulk_from_a_list(desk: MendingDesk) -> None:
    """All that match are previewed, with the calls that it takes; then started."""
    jobs = [await desk.job_in(JobState.LINKED) for _ in range(2)]
    await desk.failed()
    browser = await desk.console.signed_in(Role.OPERATOR)
    answer = await post(browser, "/acts/preview", act="replace", scope="all", filter="{}")
    await desk.console.deps.freezing.aclose()
    document = await desk.console.deps.acts.get(answer.place.rpartition("/")[2])
    assert document is not None
    assert (document["total"], document["calls_needed"]) == (2, 4)
    page = await browser.get(answer.place)
    assert "Replace 2 links" in page.text
    assert [await desk.state(job) for job in jobs] == [JobState.LINKED] * 2


@pytest.mark.parametrize(
    ("act", "warning"),
    [("replace", "its customer gets a message with the new one"), ("revoke", "no message says so")],
)
async def test_a_preview_of_many_says_what_becomes_of_the_links(
    desk: MendingDesk, act: str, warning: str
) -> None:
    """And calls a job that did not fail by its state, not by a reason that nobody knows."""
    await desk.linked()
    browser = await desk.console.signed_in(Role.OPERATOR)
    path = await preview_all(browser, act, state="linked")
    text = words_of(await browser.get(path))
    assert "No description of" not in text
    assert "It did not fail: this is how it stands." in text
    assert warning in text
    assert "cannot be taken back" in text


async def test_only_what_was_sent_again_bears_the_mark_of_that(desk: MendingDesk) -> None:
    """Not the message with a new link, which is another; and a message that was sent was tried once."""
    job = await desk.linked()
    first = f"{job[:-1]}.email.invitation.1"
    await desk.ledger.deliveries.settle(await desk.send(first), Sent(provider_id="1"), can_resend=False)
    await desk.ledger.replace(job, by="cli:noa", why="")
    await desk.end(job, Deleted())
    [second] = (await desk.end(job, NEW_LINK)).deliveries
    await desk.ledger.deliveries.settle(await desk.send(second), Sent(provider_id="2"), can_resend=False)
    browser = await desk.console.signed_in(Role.OPERATOR)

    page = (await browser.get(f"/jobs/{job}")).text
    assert "again ×" not in page
    assert page.count('<td data-label="Tries" class="num">1</td>') == 2
    await desk.ledger.deliveries.resend(second, by="cli:noa", why="")
    assert (await browser.get(f"/customers?q={job}")).text.count("again ×1") == 1
