"""The way in and out."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.stage import NAMES, PASSWORD, Stage, sign_in
from worker.domain.roles import Role


async def test_who_signs_in_comes_to_the_page_he_wanted(stage: Stage) -> None:
    """A link to a page leads through the sign-in to that page."""
    async with stage.stranger() as visit:
        await visit.go("/jobs?state=failed")
        await expect(visit.page.get_by_role("heading", name="Sign in")).to_be_visible()
        await sign_in(visit, NAMES[Role.VIEWER])
        await expect(visit.page).to_have_url(f"{visit.base}/jobs?state=failed")
        await expect(visit.page.locator(".who")).to_contain_text("vera")


async def test_a_wrong_password_is_refused_and_the_name_stays(stage: Stage) -> None:
    """The page says that name and password do not go together, and keeps no session."""
    async with stage.stranger() as visit:
        await visit.go("/login")
        await sign_in(visit, NAMES[Role.VIEWER], "not-the-password")
        await expect(visit.page.get_by_role("alert")).to_contain_text("do not go together")
        await expect(visit.page.get_by_label("Name")).to_have_value("vera")
        visit.forget("403")
        assert "__Host-linkferry" not in {each["name"] for each in await visit.context.cookies()}


async def test_who_signs_out_is_out(stage: Stage) -> None:
    """After signing out, also the back button shows nothing more."""
    async with stage.stranger() as visit:
        await visit.go("/login")
        await sign_in(visit, NAMES[Role.VIEWER], PASSWORD)
        await expect(visit.page.get_by_role("heading", name="Overview")).to_be_visible()
        await visit.press("Sign out")
        await expect(visit.page.get_by_role("heading", name="Sign in")).to_be_visible()
        await visit.page.go_back()
        await expect(visit.page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_the_session_cookie_is_kept_from_scripts_and_other_sites(stage: Stage) -> None:
    """`__Host-`, Secure, HttpOnly, SameSite: no script of the page can read it."""
    async with stage.visit(Role.VIEWER) as visit:
        await visit.go("/")
        [cookie] = [each for each in await visit.context.cookies() if each["name"] == "__Host-linkferry"]
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")
        assert await visit.page.evaluate("document.cookie") == ""
