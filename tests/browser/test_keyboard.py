"""The console without a mouse."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.stage import NAMES, PASSWORD, Stage
from tests.browser.tour import Tour
from tests.browser.visit import Visit
from worker.domain.roles import Role
from worker.domain.states import JobState

#: What can have the focus and looks no different with it: no outline, shadow, border or ground of its own.
UNSEEN = """() => {
  const look = (node) => {
    const style = getComputedStyle(node);
    const hasOutline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    return [hasOutline ? style.outline : "", style.boxShadow, style.borderColor, style.backgroundColor].join();
  };
  const unseen = [];
  document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']").forEach((node) => {
    if (!node.checkVisibility() || node.type === "hidden") return;
    node.blur();
    const plain = look(node);
    node.focus({ preventScroll: true });
    if (document.activeElement === node && look(node) === plain) unseen.push(node.outerHTML.slice(0, 120));
  });
  return unseen;
}"""
MOST_STOPS = 120


async def tab_to(visit: Visit, selector: str) -> None:
    """Press Tab until the focus is on *selector*; fail where it never comes there."""
    for _ in range(MOST_STOPS):
        await visit.page.keyboard.press("Tab")
        if await visit.page.evaluate("wanted => document.activeElement.matches(wanted)", selector):
            return
    raise AssertionError(f"Tab does not lead to {selector}")


async def test_one_signs_in_by_keyboard_alone(stage: Stage) -> None:
    """The name has the focus; Tab leads to the password, Enter signs in."""
    async with stage.stranger() as visit:
        await visit.go("/login")
        await expect(visit.page.get_by_label("Name")).to_be_focused()
        await visit.page.keyboard.type(NAMES[Role.VIEWER])
        await visit.page.keyboard.press("Tab")
        await expect(visit.page.get_by_label("Password")).to_be_focused()
        await visit.page.keyboard.type(PASSWORD)
        await visit.page.keyboard.press("Enter")
        await expect(visit.page.get_by_role("heading", name="Overview")).to_be_visible()


async def test_the_first_tab_skips_to_the_content(stage: Stage) -> None:
    """The skip link is seen when it has the focus, and leads past the navigation."""
    async with stage.visit(Role.VIEWER) as visit:
        await visit.go("/failed")
        await visit.page.keyboard.press("Tab")
        skip = visit.page.get_by_role("link", name="Skip to the content")
        await expect(skip).to_be_focused()
        await expect(skip).to_be_in_viewport()
        await visit.page.keyboard.press("Enter")
        await expect(visit.page.locator("main")).to_be_focused()
        await visit.page.keyboard.press("Tab")
        assert await visit.page.evaluate("Boolean(document.activeElement.closest('main'))")


async def test_slash_leads_to_the_search_and_escape_out_of_it(stage: Stage) -> None:
    """In a field, a slash is a slash."""
    async with stage.visit(Role.VIEWER) as visit:
        await visit.go("/jobs")
        search = visit.page.get_by_role("searchbox", name="Search by number")
        await visit.page.keyboard.press("/")
        await expect(search).to_be_focused()
        await visit.page.keyboard.type("a/b")
        await expect(search).to_have_value("a/b")
        await visit.page.keyboard.press("Escape")
        await expect(search).not_to_be_focused()


async def test_a_job_is_requeued_by_keyboard_alone(stage: Stage) -> None:
    """Search, open, ask for the requeue, say why, do it: without a mouse."""
    job, number = await stage.failed(code=4)
    await stage.forgive(number)
    async with stage.visit() as visit:
        await visit.go("/")
        await visit.page.keyboard.press("/")
        await visit.page.keyboard.type(number)
        await visit.page.keyboard.press("Enter")
        await visit.page.wait_for_url("**/search?**")
        await tab_to(visit, f"a[href='/jobs/{job}']")
        await visit.page.keyboard.press("Enter")
        await visit.page.wait_for_url(f"**/jobs/{job}")
        await tab_to(visit, "details.confirm > summary")
        await visit.page.keyboard.press("Enter")
        await tab_to(visit, "#why-requeue")
        await visit.page.keyboard.type("by hand")
        await visit.page.keyboard.press("Enter")
        await expect(visit.page.get_by_text("Requeued:")).to_be_visible()
    await stage.reaches(JobState.LINKED, job)


async def test_the_focus_is_seen_wherever_it_is(stage: Stage, tour: Tour) -> None:
    """Whatever can have the focus on the main pages looks different with it."""
    unseen: dict[str, list[str]] = {}
    async with stage.visit(reduced_motion="reduce") as visit:
        for name in ("overview", "filtered", "failed_job", "edit", "preview", "audit"):
            await visit.go(tour.path(name))
            await visit.page.keyboard.press("Tab")  # from here on the browser shows where the focus is
            unseen[name] = await visit.page.evaluate(UNSEEN)
    assert not any(unseen.values()), unseen
