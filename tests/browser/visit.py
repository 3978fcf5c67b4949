"""One browser window in a test: what goes wrong in it is remembered, and fails the test."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Playwright,
    Request,
    Response,
    ViewportSize,
    expect,
)

WITHIN_MS = 60_000
DESK: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
#: It must never speak to anybody but our own server.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--disable-lcd-text",
)
_GAVE_UP = "net::ERR_ABORTED"  # a page that is left drops what it still asks for

expect.set_options(timeout=WITHIN_MS)


def chromium_path() -> str | None:
    """Return the system's Chromium, or the one that $CHROMIUM names; None where there is none."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium")


async def launch(playwright: Playwright) -> Browser:
    """Start Chromium with a fresh profile folder, which ends with it."""
    return await playwright.chromium.launch(executable_path=chromium_path(), headless=True, args=list(_FLAGS))


class Visit:
    """A page of one browser context, and everything that went wrong in it."""

    def __init__(self, context: BrowserContext, page: Page, base: str) -> None:
        self.context = context
        self.page = page
        self.base = base
        self.troubles: list[str] = []
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.troubles.append(f"error in a script: {error}"))
        page.on("dialog", self._note_dialog)
        page.on("requestfailed", self._note_failure)
        page.on("response", self._note_response)

    async def go(self, path: str) -> Response:
        """Load a page of the console by its path."""
        response = await self.page.goto(self.base + path)
        assert response is not None, path
        return response

    async def press(self, name: str, *, role: Any = "button") -> None:
        """Click the one button (or another role) that is called *name*."""
        await self.page.get_by_role(role, name=name, exact=True).click()

    async def catch_up(self) -> None:
        """Let the page ask now for what it would ask for in a few seconds."""
        await self.page.evaluate("document.body.dispatchEvent(new Event('seen-again'))")

    def forget(self, text: str) -> None:
        """Take the troubles that contain *text* off the list: the test has meant them. There has to be one."""
        kept = [each for each in self.troubles if text not in each]
        assert len(kept) < len(self.troubles), f"nothing with {text!r} among {self.troubles}"
        self.troubles = kept

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.troubles.append(f"console {message.type}: {message.text}")

    async def _note_dialog(self, dialog: Dialog) -> None:
        self.troubles.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _note_failure(self, request: Request) -> None:
        if request.failure != _GAVE_UP:
            self.troubles.append(f"request failed: {request.url} {request.failure}")

    def _note_response(self, response: Response) -> None:
        if response.status >= 400:
            self.troubles.append(f"HTTP {response.status}: {response.url}")


@asynccontextmanager
async def a_visit(browser: Browser, base: str, **options: Any) -> AsyncIterator[Visit]:
    """Open a window in a context of its own; at the end nothing may have gone wrong in it."""
    wanted = {
        "viewport": DESK,
        "locale": "en-GB",
        "timezone_id": "Asia/Jerusalem",
        "base_url": base,
    } | options
    context = await browser.new_context(**wanted)
    context.set_default_timeout(WITHIN_MS)
    try:
        visit = Visit(context, await context.new_page(), base)
        yield visit
        assert not visit.troubles, visit.troubles
    finally:
        await context.close()
