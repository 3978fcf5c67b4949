"""What renews itself, and what it says when it cannot."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from playwright.async_api import Route, expect

from tests.browser.stage import Stage
from tests.browser.tour import Tour
from tests.browser.visit import WITHIN_MS
from worker.domain.roles import Role


async def test_the_overview_follows_what_happens(stage: Stage) -> None:
    """A job fails, and the number changes on a page that nobody loads anew."""
    async with stage.visit(Role.VIEWER) as visit:
        await visit.go("/")
        await visit.page.evaluate("window.isTheSame = true")
        shown = visit.page.locator("#state-failed .figure-value")
        before = int((await shown.inner_text()).replace(",", ""))
        await stage.failed(code=4)
        await expect(shown).to_have_text(f"{before + 1:,}")
        assert await visit.page.evaluate("window.isTheSame")


async def test_what_is_open_and_focused_stays_so(stage: Stage) -> None:
    """The part that is renewed takes neither the focus nor an open table from under the reader."""
    async with stage.visit(Role.VIEWER) as visit:
        await stage.accept()
        await visit.go("/")
        await visit.page.locator("#rows-day-open").click()
        async with visit.page.expect_response(
            lambda answer: answer.request.headers.get("hx-request") == "true"
        ):
            await visit.catch_up()
        await expect(visit.page.locator("#rows-day-open")).to_be_focused()
        await expect(visit.page.locator("#rows-day")).to_have_attribute("open", "")


@pytest.mark.parametrize(
    ("page", "selector"),
    [
        ("groups", ".group-what h2 a >> nth=-1"),
        ("linked_job", ".story summary >> nth=0"),
        ("linked_job", ".confirm > summary >> nth=0"),
    ],
)
async def test_what_has_no_name_keeps_the_focus_as_well(
    stage: Stage, tour: Tour, page: str, selector: str
) -> None:
    """Who goes by the Tab key through a page that renews itself is not put back to its beginning."""
    async with stage.visit(Role.OPERATOR) as visit:
        await visit.go(tour.path(page))
        await visit.page.locator("#live").locator(selector).focus()
        async with visit.page.expect_response(
            lambda answer: answer.request.headers.get("hx-request") == "true"
        ):
            await visit.catch_up()
        await expect(visit.page.locator("#live.htmx-settling, #live.htmx-request")).to_have_count(0)
        await expect(visit.page.locator("#live").locator(selector)).to_be_focused()


async def test_a_part_that_cannot_be_renewed_says_so(stage: Stage) -> None:
    """While the server does not answer, the page says from when what it shows is; afterwards it goes on."""
    async with stage.visit(Role.VIEWER) as visit:
        await visit.go("/")
        note = visit.page.get_by_text("Cannot be renewed at present")
        await expect(note).to_be_hidden()
        await visit.context.set_offline(True)
        await visit.catch_up()
        await expect(note).to_be_visible()
        for trouble in ("ERR_INTERNET_DISCONNECTED", "htmx:sendError", "htmx:afterRequest"):
            visit.forget(trouble)
        await visit.context.set_offline(False)
        await visit.catch_up()
        await expect(note).to_be_hidden()


async def test_every_part_that_cannot_be_renewed_says_from_when_it_is(stage: Stage, tour: Tour) -> None:
    """Also where the server answers that Redis is away: by the clock, since how long ago it was would stand still."""
    async with stage.visit(Role.VIEWER, timezone_id="Asia/Kolkata") as visit:
        for name in ("overview", "groups", "linked_job", "alerts", "mailbox"):
            await visit.go(tour.path(name))
            note = visit.page.locator(".stale-note")
            made = datetime.fromisoformat(await note.locator("time").get_attribute("datetime") or "")
            await visit.page.route("**/*", lambda route: route.fulfill(status=503, body="away"))
            await visit.catch_up()
            await expect(note, name).to_be_visible()
            local = made + timedelta(hours=5, minutes=30)
            await expect(note, name).to_contain_text(f"What is shown is of {local:%Y-%m-%d %H:%M:%S}.")
            visit.forget("503")
            await visit.page.unroute_all()
            await visit.catch_up()
            await expect(note, name).to_be_hidden()


async def test_the_next_page_is_seen_to_be_on_its_way(stage: Stage) -> None:
    """A bar runs until it is there."""
    async with stage.visit(Role.VIEWER) as visit:
        await visit.go("/")
        bar, is_seen = visit.page.locator("#loading"), asyncio.Event()

        async def hold(route: Route) -> None:
            await asyncio.wait_for(is_seen.wait(), WITHIN_MS / 1000)
            await route.continue_()

        await visit.page.route("**/failed", hold)
        await visit.page.expose_function("seen", is_seen.set)
        await bar.evaluate("node => node.addEventListener('transitionend', () => window.seen())")
        await visit.page.locator(".sidebar a[href='/failed']").click()
        await expect(visit.page.get_by_role("heading", name="Failed", exact=True)).to_be_visible()
        assert is_seen.is_set()
        await expect(bar).to_have_css("opacity", "0")


async def test_who_is_disabled_is_out_at_the_next_look(stage: Stage) -> None:
    """An account that is disabled loses its open windows: they show the sign-in."""
    async with stage.guest("gideon", Role.VIEWER) as visit:
        await visit.go("/")
        await expect(visit.page.get_by_role("heading", name="Overview")).to_be_visible()
        await stage.accounts.disable("gideon", by="test")
        await visit.catch_up()
        await expect(visit.page.get_by_role("heading", name="Sign in")).to_be_visible()
        visit.forget("401")
