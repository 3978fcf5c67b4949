"""Many at once: filter, preview, a canary first, the result; and back again."""

from __future__ import annotations

import re

from playwright.async_api import expect

from tests.browser.stage import Stage
from tests.browser.visit import Visit
from worker.domain.states import JobState
from worker.ledger import JobFilter


async def preview(visit: Visit, name: str, act: str, count: int) -> None:
    """Filter the failed jobs of a business, and preview an act on all that match."""
    await visit.go("/jobs?state=failed")
    await visit.page.locator("#filter summary").click()
    await visit.page.locator("#filter").get_by_label("Business name").fill(name)
    await visit.press("Filter")
    await visit.page.get_by_label("Do with them:").select_option(act)
    await visit.press(f"Preview: all {count} that match")
    await expect(visit.page).to_have_url(re.compile("/acts/a"))
    await visit.catch_up()


def figure(visit: Visit, label: str) -> str:
    """Return the selector of a figure's value."""
    return f".figure:has(.figure-label:text-is('{label}')) .figure-value"


async def test_two_hundred_are_previewed_requeued_with_a_canary_and_linked(stage: Stage) -> None:
    """The preview freezes the set and says what it costs; the run tells how far it is and ends with the result."""
    numbers = await stage.failed_many(200, code=4, business_name="Blue Harbour Bikes")
    await stage.forgive(*numbers[3:])  # the newest come first, so these three come last
    async with stage.visit() as visit:
        await preview(visit, "Blue Harbour", "requeue", 200)
        await expect(visit.page.locator(figure(visit, "Fit"))).to_have_text("200")
        await expect(visit.page.locator(figure(visit, "Calls to the partner"))).to_have_text("200")
        await expect(visit.page.get_by_label("Try 5 first")).to_be_checked()
        await visit.press("Requeue 200")
        await expect(visit.page.get_by_text("Started.")).to_be_hidden()  # a why has to be given
        await visit.page.get_by_label("Why?").fill("the numbers were registered meanwhile")
        await visit.press("Requeue 200")
        await expect(visit.page.locator(figure(visit, "Linked"))).to_have_text("197")
        await expect(visit.page.get_by_text("200 of 200 done")).to_be_visible()
        await expect(visit.page.locator(figure(visit, "Failed again"))).to_have_text("3")
        await visit.press(re.compile("^failed again 3"), role="link")
        await expect(visit.page.locator("#items tbody tr")).to_have_count(3)
        await visit.go("/acts")
        await expect(visit.page.get_by_role("row").nth(1)).to_contain_text("200 of 200")


async def test_a_requeue_that_mends_nothing_stops_after_five(stage: Stage) -> None:
    """The canary: five fail again, the rest is not touched, and the page says which and why."""
    await stage.failed_many(30, code=4, business_name="Grey Heron Tours")
    async with stage.visit() as visit:
        await preview(visit, "Grey Heron", "requeue", 30)
        await visit.page.get_by_label("Why?").fill("perhaps it works now")
        await visit.press("Requeue 30")
        await expect(visit.page.get_by_text("It stopped by itself")).to_be_visible()
        await expect(visit.page.get_by_text("25 were not touched.")).to_be_visible()
        await expect(visit.page.get_by_role("table", name="Failed again, by reason")).to_contain_text(
            "number_invalid"
        )


async def test_a_bulk_discard_is_undone(stage: Stage) -> None:
    """What an act discarded, its undo takes back: exactly that."""
    await stage.failed_many(12, code=4, business_name="Red Kite Bakery")
    async with stage.visit() as visit:
        await preview(visit, "Red Kite", "discard", 12)
        await visit.page.get_by_label("Why?").fill("asked us to stop")
        await visit.press("Discard 12")
        await expect(visit.page.get_by_text("12 of 12 done")).to_be_visible()
        await visit.press("Undo: preview taking back 12")
        await visit.page.get_by_label("Why?").fill("it was the wrong list")
        await visit.press("Take 12 back")
        await expect(visit.page.get_by_text("12 of 12 done")).to_be_visible()
        await visit.go("/jobs?state=failed&name=Red+Kite")
        await expect(visit.page.get_by_text("12 of 12 shown")).to_be_visible()


async def test_ticked_jobs_alone_are_acted_on(stage: Stage) -> None:
    """Two ticked of three: the preview is of these two."""
    await stage.failed_many(3, code=4, business_name="White Stork Books")
    async with stage.visit() as visit:
        await visit.go("/jobs?state=failed&name=White+Stork")
        boxes = visit.page.locator("input[name=job_id]")
        await boxes.nth(0).check()
        await boxes.nth(2).check()
        await visit.press("Preview: the ticked (2)")
        await expect(visit.page.locator(figure(visit, "Fit"))).to_have_text("2")


async def test_two_clicks_on_start_start_it_once(stage: Stage) -> None:
    """A second start from another window finds it started, and does nothing twice."""
    await stage.failed_many(6, code=4, business_name="Green Finch Cafe")
    async with stage.visit() as visit:
        await preview(visit, "Green Finch", "discard", 6)
        other = await visit.context.new_page()
        await other.goto(visit.page.url)
        for page in (visit.page, other):
            await page.get_by_label("Why?").fill("closed")
            await page.get_by_role("button", name="Discard 6").click()
        await expect(other.get_by_text("It had been started already")).to_be_visible()
        await other.close()
    page = await stage.session.queries.jobs(JobFilter(state=JobState.DEAD, name="Green Finch"), limit=50)
    assert page["total"] == 6
