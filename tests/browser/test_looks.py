"""The console in Hebrew and in the dark, and the switches that lead there."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.browser.stage import Stage
from tests.browser.tour import Tour
from worker.domain.roles import Role


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
@pytest.mark.parametrize("width", [1280, 390])
async def test_no_table_is_cut(stage: Stage, tour: Tour, width: int, locale: str) -> None:
    """The trail and the overview have all their columns within a usual window, however long an id is."""
    trail = stage.ledger.trail
    message = f"{tour.path('failed_job').rpartition('/')[2]}.email.invitation.1"
    detail = {
        "was": "sent",
        "channel": "email",
        "readdressed": "1",
        "contact": "somebody.or.other@example.com",
    }
    await trail.record("resend", by="user:somebody-with-a-name", subject=message, why="asked", detail=detail)
    size = {"width": width, "height": 900}
    async with stage.visit(Role.VIEWER, locale=locale, viewport=size) as visit:
        for path in ("/audit", "/"):
            await visit.go(path)
            boxes = visit.page.locator(".table-box")
            assert await boxes.count()
            cut = "boxes => boxes.filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.ariaLabel)"
            assert await boxes.evaluate_all(cut) == [], path


def brightness(colour: str) -> float:
    """Return how bright `rgb(…)` is, between 0 and 1."""
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / (3 * 255)
