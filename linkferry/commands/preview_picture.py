"""A mail as a page or a picture, for those who want to see it as its customer will."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import webbrowser
from pathlib import Path

from linkferry.frame import CommandError

_WIDTH = 680  #: of the picture: the mail's 600 and its margins
_TALLEST = 16_000
_WITHIN_S = 60.0
_BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
#: It speaks to nobody but where the brand's logo lies.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
_DARK = "@media (prefers-color-scheme: dark)"
_MEASURE = "<script>document.documentElement.dataset.height=document.documentElement.scrollHeight</script>"
_tells_height = re.compile(r'data-height="(\d+)"').search


def in_dark(html: str) -> str:
    """Return the mail as a mail program in dark mode shows it, wherever it is looked at."""
    return html.replace(_DARK, "@media all").replace('content="light dark"', 'content="dark"')


def open_in_browser(html: str) -> tuple[Path, bool]:
    """Show *html* in the reader's browser; return its file, readable by him alone, and whether a browser took it."""
    handle, name = tempfile.mkstemp(prefix="linkferry-preview-", suffix=".html")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(html)
    path = Path(name)
    return path, webbrowser.open(path.as_uri())


def photograph(html: str, picture: Path) -> None:
    """Write *html* as a PNG, as wide as the mail and as high as it takes.

    Raises CommandError where no Chromium is found, or where it fails.
    """
    browser = _browser()
    with tempfile.TemporaryDirectory(prefix="lf-preview-") as folder:
        page = Path(folder) / "mail.html"
        page.write_text(html + _MEASURE, encoding="utf-8")
        measured = _run(browser, folder, f"--window-size={_WIDTH},800", "--dump-dom", page.as_uri())
        told = _tells_height(measured)
        height = min(int(told[1]), _TALLEST) if told else 2_000
        page.write_text(html, encoding="utf-8")
        shot = Path(folder) / "mail.png"
        _run(browser, folder, f"--window-size={_WIDTH},{height}", f"--screenshot={shot}", page.as_uri())
        if not shot.is_file():
            message = "--png: Chromium made no picture. Use --html FILE, and open that file."
            raise CommandError(message)
        shutil.copyfile(shot, picture)


def _browser() -> str:
    for name in (os.environ.get("CHROMIUM"), *_BROWSERS):
        if name and (found := shutil.which(name)):
            return found
    message = (
        "--png needs Chromium or Chrome, and none is found. Install it (apt-get install chromium), name it in CHROMIUM, "
        "or use --html FILE and open that file."
    )
    raise CommandError(message)


def _run(browser: str, folder: str, *words: str) -> str:
    command = [browser, *_FLAGS, f"--user-data-dir={folder}/profile", *words]
    try:
        done = subprocess.run(  # noqa: S603 - a browser of this machine, on a file of our own
            command, capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        message = (
            f"--png: Chromium does not start ({type(exc).__name__}). Use --html FILE, and open that file."
        )
        raise CommandError(message) from exc
    return done.stdout
