"""The console without a mouse."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.stage import NAMES, PASSWORD, Stage, a_mobile, as_written
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


async def test_a_job_is_edited_by_keyboard_alone(stage: Stage) -> None:
    """Enter in a field checks the changes: it reveals nothing and requeues nothing; the focus is where one goes on."""
    job, number = await stage.failed(code=4)
    async with stage.visit() as visit:
        await visit.go(f"/jobs/{job}/edit")
        field = visit.page.get_by_label("WhatsApp number")
        await field.fill("12")
        await field.press("Enter")
        await expect(visit.page.get_by_role("alert")).to_contain_text("Some fields need another look")
        visit.forget("422")
        await expect(field).to_be_focused()
        await expect(visit.page.locator(".field-error")).to_contain_text("WhatsApp number is")
        await field.fill(as_written(a_mobile()))
        await field.press("Enter")
        await expect(visit.page.get_by_label("Why?")).to_be_focused()
        assert number not in await visit.page.content()
        assert await stage.state(job) is JobState.FAILED
        await visit.page.keyboard.type("a digit was missing")
        await tab_to(visit, "button[value=requeue]")
        await visit.page.keyboard.press("Enter")
        await visit.page.wait_for_url(f"**/jobs/{job}?told=edit")
    await stage.reaches(JobState.LINKED, job)
    assert not (await stage.ledger.trail.find(act="reveal", subject=job)).items


async def test_enter_replaces_no_link(stage: Stage, tour: Tour) -> None:
    """In a field of the form that replaces one, it checks what was typed; the link stands."""
    job = tour.known["linked"]
    async with stage.visit() as visit:
        await visit.go(f"/jobs/{job}/replace")
        field = visit.page.get_by_label("Contact's e-mail")
        await field.fill("somebody.else@example.com")
        await field.press("Enter")
        await expect(visit.page.get_by_role("table", name="Before and after")).to_be_visible()
    assert await stage.state(job) is JobState.LINKED
    assert not (await stage.ledger.trail.find(act="replace", subject=job)).items


async def test_many_are_filtered_previewed_and_requeued_by_keyboard_alone(stage: Stage) -> None:
    """From the filter to the running act, without a mouse."""
    numbers = await stage.failed_many(7, code=4, business_name="Heath Row Dairy")
    await stage.forgive(*numbers)
    async with stage.visit() as visit:
        await visit.go("/jobs?state=failed")
        await tab_to(visit, "#filter > summary")
        await visit.page.keyboard.press("Enter")
        await tab_to(visit, "#filter-name")
        await visit.page.keyboard.type("Heath Row")
        await visit.page.keyboard.press("Enter")
        await visit.page.wait_for_url("**name=Heath**")
        await expect(visit.page.locator(".chip")).to_contain_text("Heath Row")
        await tab_to(visit, "button[value=all]")
        await visit.page.keyboard.press("Enter")
        await visit.page.wait_for_url("**/acts/a*")
        await expect(visit.page.locator("#why-start")).to_be_visible()
        await tab_to(visit, "#why-start")
        await visit.page.keyboard.type("registered by now")
        await visit.page.keyboard.press("Enter")
        await expect(visit.page.get_by_text("7 of 7 done")).to_be_visible()


async def test_one_question_is_open_at_a_time(stage: Stage, tour: Tour) -> None:
    """Opening another closes the first, and what opens them stays where it is."""
    async with stage.visit() as visit:
        await visit.go(tour.path("failed_job"))
        requeue = visit.page.locator("summary", has_text="Requeue as it is")
        discard = visit.page.locator("summary", has_text="Discard")
        places = [await each.bounding_box() for each in (requeue, discard)]
        await requeue.click()
        await discard.click()
        await expect(visit.page.locator("#why-discard")).to_be_visible()
        await expect(visit.page.locator("#why-requeue")).to_be_hidden()
        assert [await each.bounding_box() for each in (requeue, discard)] == places


async def test_escape_takes_a_question_back(stage: Stage, tour: Tour) -> None:
    """It is shut, and the focus is where it was asked for; what was typed stays for the next time."""
    async with stage.visit() as visit:
        await visit.go(tour.path("failed_job"))
        asks = visit.page.locator("summary", has_text="Discard")
        await asks.click()
        await visit.page.locator("#why-discard").fill("no")
        await visit.page.keyboard.press("Escape")
        await expect(visit.page.locator("#why-discard")).to_be_hidden()
        await expect(asks).to_be_focused()
        await asks.click()
        await expect(visit.page.locator("#why-discard")).to_have_value("no")


async def test_the_focus_is_seen_wherever_it_is(stage: Stage, tour: Tour) -> None:
    """Whatever can have the focus on the main pages looks different with it."""
    unseen: dict[str, list[str]] = {}
    async with stage.visit(reduced_motion="reduce") as visit:
        for name in ("overview", "filtered", "failed_job", "edit", "preview", "audit"):
            await visit.go(tour.path(name))
            await visit.page.keyboard.press("Tab")  # from here on the browser shows where the focus is
            unseen[name] = await visit.page.evaluate(UNSEEN)
    assert not any(unseen.values()), unseen
