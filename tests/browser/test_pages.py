"""What holds for every page: nothing breaks, it fits a phone, is read without a script and by those who see little."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import expect

from tests.browser.stage import Stage
from tests.browser.tour import PAGES, Tour
from tests.browser.visit import DESK, PHONE
from worker.domain.roles import Role

HERE = Path(__file__).parent
CHECKS = (HERE / "checks.js").read_text(encoding="utf-8")
ENGLISH = (HERE / "english.js").read_text(encoding="utf-8")
CONTRAST = (HERE / "contrast.js").read_text(encoding="utf-8")
#: How many pixels stand out at the side, and what sticks out farthest.
STANDS_OUT = """() => {
  const page = document.documentElement;
  if (page.scrollWidth <= page.clientWidth) return [];
  const wide = Array.from(document.querySelectorAll("body *"))
    .filter((each) => each.getBoundingClientRect().right > page.clientWidth + 1 || each.getBoundingClientRect().left < -1);
  return [page.scrollWidth + " px", ...wide.slice(0, 4).map((each) => each.outerHTML.slice(0, 90))];
}"""
SMALLEST = 320  #: WCAG 2.2, 1.4.10: as wide as 1280 at 400 %
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
ON_A_PHONE: Mapping[str, Any] = {"viewport": PHONE, "has_touch": True, "is_mobile": True}
#: What is called so in Hebrew as well.
NAMES = [
    *("Linkferry", "WhatsApp", "Facebook", "Instagram", "Messenger", "English"),
    *("SMS", "API", "CRM", "HTTP", "UTC", "https", "crm", "website"),
    *("png", "jpg", "coexistence"),
]
NOT_FOR_VIEWERS = {"users", "keys", "edit", "teach"}


def told(wrong: dict[str, list[str]]) -> str:
    """Return what is wrong, a line each, by its page."""
    return "\n".join(f"{name}: {each}" for name, found in wrong.items() for each in found)


async def test_pages_load_whole_and_name_their_parts(stage: Stage, tour: Tour) -> None:
    """No error, no failed request, nothing inline or foreign; one h1, every field labelled, every picture in words."""
    wrong: dict[str, list[str]] = {}
    async with stage.visit(Role.ADMIN) as visit:
        for name in PAGES:
            response = await visit.go(tour.path(name))
            await expect(visit.page.locator("html.has-script")).to_be_attached()
            wrong[name] = [*await visit.page.evaluate(CHECKS), *lax(response.headers), *visit.troubles]
            visit.troubles.clear()
            assert response.status == 200
    assert not any(wrong.values()), told(wrong)


async def test_pages_are_legible_on_light_and_on_dark_and_fit_a_phone(stage: Stage, tour: Tour) -> None:
    """Every text has the contrast that WCAG AA asks for; on the smallest phone nothing has to be pushed sideways."""
    wrong: dict[str, list[str]] = {}
    async with stage.visit(Role.ADMIN, reduced_motion="reduce") as visit:
        for name in PAGES:
            await visit.page.set_viewport_size(DESK)
            await visit.go(tour.path(name))
            for scheme in SCHEMES:
                await visit.page.emulate_media(color_scheme=scheme)
                wrong[f"{name}, {scheme}"] = await visit.page.evaluate(CONTRAST)
            for width in (PHONE["width"], SMALLEST):
                await visit.page.set_viewport_size({"width": width, "height": PHONE["height"]})
                wrong[f"{name}, {width} px"] = await visit.page.evaluate(STANDS_OUT)
    assert not any(wrong.values()), told(wrong)


async def test_hebrew_pages_run_from_the_right_and_every_word_is_hebrew(stage: Stage, tour: Tour) -> None:
    """No English word is left but names, and what came from outside; on a phone they fit as well."""
    wrong: dict[str, list[str]] = {}
    async with stage.visit(Role.ADMIN, **ON_A_PHONE) as visit:
        await visit.go("/?lang=he")
        for name in PAGES:
            await visit.go(tour.path(name))
            await expect(visit.page.locator("html[lang=he][dir=rtl]")).to_be_attached()
            wrong[name] = await visit.page.evaluate(ENGLISH, NAMES)
            for width in (SMALLEST, PHONE["width"]):
                await visit.page.set_viewport_size({"width": width, "height": PHONE["height"]})
                wrong[name] += await visit.page.evaluate(STANDS_OUT)
    assert not any(wrong.values()), told(wrong)


async def test_pages_are_read_without_a_script(stage: Stage, tour: Tour) -> None:
    """What there is to read stands in the page as the server sent it."""
    async with stage.visit(Role.VIEWER, java_script_enabled=False) as visit:
        for name in PAGES.keys() - NOT_FOR_VIEWERS:
            response = await visit.go(tour.path(name))
            assert (name, response.status) == (name, 200)
            await expect(visit.page.locator("main h1")).to_be_visible()
            for text in tour.says(name):
                await expect(visit.page.locator("main"), name).to_contain_text(text)


def lax(headers: Mapping[str, str]) -> list[str]:
    """Return what the headers of a page leave open."""
    policy = headers["content-security-policy"]
    wanted = ("default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'")
    return [
        *(f"the policy lacks {each}" for each in wanted if each not in policy),
        *(["the policy has unsafe parts"] if "unsafe" in policy else []),
        *(["the page may be kept"] if headers["cache-control"] != "no-store" else []),
    ]
