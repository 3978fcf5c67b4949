"""The console in Hebrew and in the dark, and the switches that lead there."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from playwright.async_api import expect

from tests.browser.stage import Stage
from tests.browser.tour import PAGES, Tour
from tests.browser.visit import PHONE
from worker.domain.act import Act
from worker.domain.ramp import CANARY
from worker.domain.roles import Role

#: Tables that are wider than their place.
CUT = "boxes => boxes.filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.ariaLabel)"
#: Short words of a table that take several lines by themselves.
BROKEN_WORDS = r"""() => Array.from(document.querySelectorAll("td .faint, td .badge, td a, td strong"))
  .filter(each => /^[^\s.:_-]{2,15}$/.test(each.textContent.trim()))
  .filter(each => {
    const range = document.createRange();
    range.selectNodeContents(each);
    const tops = Array.from(range.getClientRects(), rect => rect.top);
    return tops.length && Math.max(...tops) - Math.min(...tops) > 12;
  })
  .map(each => each.textContent)"""


async def test_the_switch_to_hebrew_keeps_the_page_and_mirrors_it(stage: Stage, tour: Tour) -> None:
    """The navigation stands at the right, numbers still run from the left."""
    async with stage.visit(Role.VIEWER) as visit:
        await visit.go(tour.path("failed_job"))
        await visit.press("עברית", role="link")
        await expect(visit.page).to_have_url(visit.base + tour.path("failed_job"))
        await expect(visit.page.get_by_role("heading", name="מה קרה")).to_be_visible()
        sidebar, main = visit.page.locator(".sidebar"), visit.page.locator("main")
        assert (await sidebar.bounding_box() or {})["x"] > (await main.bounding_box() or {})["x"]
        number = visit.page.locator(".facts .number bdi").first
        assert await number.evaluate("node => getComputedStyle(node).direction") == "ltr"
        await visit.press("English", role="link")
        await expect(visit.page.locator("html[lang=en][dir=ltr]")).to_be_attached()


async def test_an_empty_search_runs_from_the_right_in_hebrew(stage: Stage) -> None:
    """What it asks for stands where Hebrew begins; what is typed then runs its own way."""
    direction = "node => getComputedStyle(node).direction"
    async with stage.visit(Role.VIEWER, locale="he-IL") as visit:
        await visit.go("/")
        search = visit.page.locator("#search")
        assert await search.evaluate(direction) == "rtl"
        await search.fill("dana@example.com")
        assert await search.evaluate(direction) == "ltr"


async def test_paper_is_light_and_has_no_buttons(stage: Stage, tour: Tour) -> None:
    """Whatever colours the screen has: dark ink, and nothing that can only be pressed."""
    ink = "getComputedStyle(document.documentElement).color"
    async with stage.visit(Role.OPERATOR) as visit:
        await visit.go(f"{tour.path('failed_job')}?theme=dark")
        assert brightness(await visit.page.evaluate(ink)) > 0.8
        await visit.page.emulate_media(media="print")
        assert brightness(await visit.page.evaluate(ink)) < 0.2
        await expect(visit.page.locator("button:visible, .button:visible, .sidebar:visible")).to_have_count(0)
        await expect(visit.page.get_by_role("heading", name="What happened")).to_be_visible()


async def test_fingers_meet_what_is_large_enough(stage: Stage, tour: Tour) -> None:
    """Boxes, chips and what opens have at least 24 pixels each way on a screen that is touched."""
    small = """nodes => nodes.filter(node => {
      const box = node.getBoundingClientRect();
      return box.width && (box.width < 24 || box.height < 24);
    }).map(node => node.outerHTML.slice(0, 90))"""
    many = [(await stage.failed(code=4))[0] for _ in range(CANARY + 1)]
    with_canary = await stage.session.acts.preview_ids(Act.REQUEUE, many, by="user:oren")
    paths = [tour.path(name) for name in ("overview", "filtered", "failed_job", "dead", "alerts", "users")]
    async with stage.visit(Role.ADMIN, viewport=PHONE, has_touch=True, is_mobile=True) as visit:
        for path in (*paths, f"/acts/{with_canary['act_id']}"):
            await visit.go(path)
            found = visit.page.locator(
                "button, .button, summary, select, input, .chip, .who, .crumbs a, .tabs a, .sidebar a"
            )
            assert await found.evaluate_all(small) == [], path


async def test_the_browsers_own_language_is_taken(stage: Stage) -> None:
    """Who comes with a Hebrew browser finds a Hebrew sign-in."""
    async with stage.stranger(locale="he-IL") as visit:
        await visit.go("/login")
        await expect(visit.page.locator("html[lang=he][dir=rtl]")).to_be_attached()


async def test_dark_is_the_systems_or_the_readers_choice(stage: Stage) -> None:
    """The system's colours hold until one chooses, and the choice outlives the page."""
    background = "getComputedStyle(document.documentElement).backgroundColor"
    async with stage.visit(Role.VIEWER, color_scheme="dark") as visit:
        await visit.go("/")
        dark = await visit.page.evaluate(background)
        await visit.press("Light", role="link")
        await expect(visit.page.locator("html[data-theme=light]")).to_be_attached()
        light = await visit.page.evaluate(background)
        await visit.go("/jobs")
        assert await visit.page.evaluate(background) == light != dark
        assert brightness(dark) < 0.2
        assert brightness(light) > 0.8


@pytest.mark.parametrize("locale", ["en-US", "he-IL"])
@pytest.mark.parametrize("width", [1280, 1024, 390])
async def test_no_table_is_cut(stage: Stage, tour: Tour, width: int, locale: str) -> None:
    """Every page has all its columns within a usual window, however long an id is, and breaks no word on a phone."""
    trail = stage.ledger.trail
    await stage.accept(business_name="W" * 90, display_name="x", reference="R" * 60)
    message = f"{tour.path('failed_job').rpartition('/')[2]}.email.invitation.1"
    detail = {
        "was": "sent",
        "channel": "email",
        "readdressed": "1",
        "contact": "somebody.or.other@example.com",
    }
    await trail.record("resend", by="user:somebody-with-a-name", subject=message, why="asked", detail=detail)
    size = {"width": width, "height": 900}
    async with stage.visit(Role.ADMIN, locale=locale, viewport=size) as visit:
        seen = 0
        for name in PAGES:
            await visit.go(tour.path(name))
            boxes = visit.page.locator(".table-box")
            seen += await boxes.count()
            assert await boxes.evaluate_all(CUT) == [], name
            assert await visit.page.evaluate(BROKEN_WORDS) == [], name
        assert seen > len(PAGES) / 3


@pytest.mark.parametrize("has_script", [True, False])
async def test_a_phone_has_five_pages_at_hand_and_the_rest_behind_more(
    stage: Stage, tour: Tour, *, has_script: bool
) -> None:
    """Nothing has to be pushed sideways; what is behind it opens below, without a script as well."""
    async with stage.visit(Role.ADMIN, viewport=PHONE, java_script_enabled=has_script) as visit:
        await visit.go(tour.path("overview"))
        links, more = visit.page.locator(".sidebar a:visible"), visit.page.locator(".nav-more > summary")
        assert await links.count() == 5
        await more.click()
        await expect(links).to_have_count(5 + 11 + 5)  # the languages and colours among them
        await visit.press("Audit", role="link")
        await expect(visit.page).to_have_url(f"{visit.base}/audit")
        await expect(more).to_have_attribute("aria-current", "true")
        await expect(links).to_have_count(5)
        if has_script:
            await more.click()
            await visit.page.keyboard.press("Escape")
            await expect(links).to_have_count(5)
            await expect(more).to_be_focused()
            await more.click()
            await visit.page.mouse.click(3, 820)  # beside it
            await expect(links).to_have_count(5)


async def test_a_desk_has_every_page_in_sight(stage: Stage) -> None:
    """However low the window is: what does not fit is scrolled to, and reached by the Tab key."""
    async with stage.visit(Role.ADMIN, viewport={"width": 1100, "height": 500}) as visit:
        await visit.go("/")
        await expect(visit.page.locator(".nav-more > summary")).to_be_hidden()
        keys = visit.page.locator(".sidebar a[href='/keys']")
        await expect(keys).to_be_visible()
        await visit.page.locator(".sidebar a[href='/users']").focus()
        await visit.page.keyboard.press("Tab")
        await expect(keys).to_be_focused()
        await expect(keys).to_be_in_viewport()


async def test_a_million_fits_its_tile(stage: Stage) -> None:
    """The figures of the overview stay on one line, however many jobs there are and however small the window."""
    async with stage.visit(Role.VIEWER) as visit:
        await visit.go("/")
        lines = """nodes => nodes.map(node => {
          node.textContent = "1,000,000";
          const range = document.createRange();
          range.selectNodeContents(node);
          return range.getClientRects().length;
        })"""
        for width in (1440, 1024, 390):
            await visit.page.set_viewport_size({"width": width, "height": 900})
            assert set(await visit.page.locator(".states .figure-value").evaluate_all(lines)) == {1}, width


async def test_charts_are_by_the_readers_clock(stage: Stage) -> None:
    """As all other instants are; without a script it is UTC, and says so."""
    minute = "document.querySelector('.chart .slot:last-of-type title').dataset.clock"
    async with stage.visit(Role.VIEWER, timezone_id="Asia/Kolkata") as visit:
        await visit.go("/")
        begins = datetime.fromisoformat(await visit.page.evaluate(minute))
        told = await visit.page.locator(".chart .slot:last-of-type title").first.text_content() or ""
        assert told.startswith(f"{begins + timedelta(hours=5, minutes=30):%H:%M}: ")
        assert await visit.page.locator(".utc:visible").count() == 0
    async with stage.visit(Role.VIEWER, timezone_id="Asia/Kolkata", java_script_enabled=False) as visit:
        await visit.go("/")
        assert "UTC" in await visit.page.locator(".chart-card").first.inner_text()


async def test_sentences_are_by_the_readers_clock(stage: Stage) -> None:
    """A time within one reads as the times beside it; without a script it is UTC, and says so."""
    job, _ = await stage.failed(code=4)
    await stage.ledger.discard(job, by="cli:test", why="closed their shop")
    async with stage.visit(Role.VIEWER, timezone_id="Asia/Kolkata") as visit:
        await visit.go(f"/jobs/{job}")
        time = visit.page.locator(".why p time")
        end = datetime.fromisoformat(await time.get_attribute("datetime") or "")
        assert await time.inner_text() == f"{end + timedelta(hours=5, minutes=30):%Y-%m-%d %H:%M:%S}"
        assert "UTC" not in await visit.page.locator("main").inner_text()
    async with stage.visit(Role.VIEWER, timezone_id="Asia/Kolkata", java_script_enabled=False) as visit:
        await visit.go(f"/jobs/{job}")
        sentence = visit.page.locator(".why p", has=visit.page.locator("time"))
        await expect(sentence).to_contain_text(f"It is deleted at {end:%Y-%m-%d %H:%M:%S} UTC")


def brightness(colour: str) -> float:
    """Return how bright `rgb(…)` is, between 0 and 1."""
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / (3 * 255)
