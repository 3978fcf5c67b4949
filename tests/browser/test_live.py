"""What renews itself, and what it says when it cannot."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.stage import Stage
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


async def test_who_is_disabled_is_out_at_the_next_look(stage: Stage) -> None:
    """An account that is disabled loses its open windows: they show the sign-in."""
    async with stage.guest("gideon", Role.VIEWER) as visit:
        await visit.go("/")
        await expect(visit.page.get_by_role("heading", name="Overview")).to_be_visible()
        await stage.accounts.disable("gideon", by="test")
        await visit.catch_up()
        await expect(visit.page.get_by_role("heading", name="Sign in")).to_be_visible()
        visit.forget("401")
