"""The part of `make shots` that photographs the messages: each variant, in both languages, by day and in dark mode.

python -m tests.browser.shots_messages [FOLDER] [NAME…]
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from playwright.async_api import Browser, Route, async_playwright

from tests.browser.pictures import shrunk
from tests.browser.visit import launch
from worker.dispatch import Composer
from worker.dispatch.preview import FIXTURES, SAMPLE_BRAND, SAMPLE_SENDER, previewed
from worker.dispatch.wording_file import LOCALES

FOLDER = Path(__file__).parents[2] / "docs" / "images" / "messages"
MOST_BYTES = 70_000
_MODES = ("light", "dark")
#: As wide as the mail and a little of what lies around it.
_WINDOW = {"width": 640, "height": 800}
_SCALE = 0.65  #: eighty pictures are not to outweigh all else in the repository
#: The made-up brand's site is nowhere: its logo is this.
_LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="4 4 136 52"><rect x="4" y="10" width="40" height="40" rx="9" '
    'fill="#3b3a98"/><path d="M14 40 24 20l10 20" fill="none" stroke="#fff" stroke-width="5" stroke-linecap="round"/>'
    '<text x="56" y="40" font-family="DejaVu Sans, sans-serif" font-size="28" font-weight="700" fill="#23225e">Acme'
    "</text></svg>"
)


async def photograph_messages(folder: Path, names: Sequence[str] = ()) -> None:
    """Make the pictures of the variants *names*, or of all, in *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    composer = Composer(sender=SAMPLE_SENDER)
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        for name, locale, mode in product(names or FIXTURES, LOCALES, _MODES):
            mail = previewed(composer, FIXTURES[name].delivery(locale), brand=SAMPLE_BRAND).mail
            await _shoot(browser, mail.html, mode, folder / f"{name}-{locale}-{mode}.png")
        await browser.close()


async def _shoot(browser: Browser, html: str, mode: str, picture: Path) -> None:
    context = await browser.new_context(
        viewport=_WINDOW, color_scheme="dark" if mode == "dark" else "light", device_scale_factor=_SCALE
    )
    page = await context.new_page()
    await page.route("**/*", _answer)
    await page.set_content(html, wait_until="load")
    picture.write_bytes(await shrunk(page, await page.screenshot(full_page=True, animations="disabled")))
    await context.close()
    assert picture.stat().st_size <= MOST_BYTES, f"{picture.name}: {picture.stat().st_size} bytes"


async def _answer(route: Route) -> None:
    if route.request.url == SAMPLE_BRAND.logo:
        await route.fulfill(body=_LOGO, content_type="image/svg+xml")
    else:
        await route.abort()


if __name__ == "__main__":
    asyncio.run(photograph_messages(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER, sys.argv[2:]))
