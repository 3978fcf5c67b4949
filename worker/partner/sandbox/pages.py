"""The sandbox's pages: where a tester plays the customer, and what the customers were sent."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape

from worker.partner.sandbox.outbox import Outbox
from worker.partner.sandbox.settings import Faults, SandboxSettings
from worker.partner.sandbox.state import Link, SandboxState
from worker.telemetry import log

_SHOWN = 100
_WEBHOOK_TIMEOUT_S = 10.0
_SECURITY = {
    # Captured mail is shown in a sandboxed frame; its own styles and pictures are what these two let through.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; "
    "form-action 'self'; frame-src 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_PRODUCTS = {
    None: "WhatsApp",
    1: "Facebook Messenger",
    2: "Instagram Messenger",
    3: "Facebook page",
    4: "Instagram page",
}
_WORDS = {
    "en": {
        "sandbox": "SANDBOX · this is a rehearsal, no account is connected",
        "your_business": "Your business",
        "play": "Here you play the customer who connects an account.",
        "finish": "Finish onboarding",
        "finished": "Onboarding finished. Thank you!",
        "deleted": "This link has been deleted.",
        "unknown": "There is no such link.",
        "other_lang": "he",
        "other_name": "עברית",
    },
    "he": {
        "sandbox": "SANDBOX · סביבת ניסוי, שום חשבון אינו מחובר",
        "your_business": "העסק שלך",
        "play": "כאן משחקים את הלקוח שמחבר את החשבון.",
        "finish": "סיום החיבור",
        "finished": "החיבור הושלם. תודה!",
        "deleted": "הקישור הזה נמחק.",
        "unknown": "אין קישור כזה.",
        "other_lang": "en",
        "other_name": "English",
    },
}
_find_head = re.compile(r"<head\b[^>]*>", re.IGNORECASE)
_find_url = re.compile(r"https?://[^\s<>\"']+")


class Pages:
    """HTML for people, and the webhook that a finished onboarding sets off."""

    def __init__(
        self, state: SandboxState, outbox: Outbox, *, settings: SandboxSettings, faults: Faults
    ) -> None:
        self._state = state
        self._outbox = outbox
        self._settings = settings
        self._faults = faults
        self._announcing: set[asyncio.Task[None]] = set()
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            enable_async=False,
        )
        self._templates.filters.update(
            clock=_clock, product=_product, path=_path, links=_with_links, framed=_framed
        )

    def routes(self) -> Iterator[web.RouteDef]:
        """Yield a route per page."""
        for path in ("/", "/sandbox", "/sandbox/"):
            yield web.get(path, self._index)
        for folder in ("o", "f"):
            yield web.get(f"/{folder}/{{code}}", self._onboarding)
            yield web.post(f"/{folder}/{{code}}", self._finish)
        yield web.get("/l/{code}", self._landing)
        yield web.get("/sandbox/outbox/{id}", self._message)

    async def close(self) -> None:
        """End the webhooks under way."""
        for task in self._announcing:
            task.cancel()
        await asyncio.gather(*self._announcing, return_exceptions=True)

    async def _index(self, request: web.Request) -> web.Response:
        links = list(self._state.links.values())
        return self._page(
            "index",
            title="Linkferry",
            links=links[: -_SHOWN - 1 : -1],
            links_total=len(links),
            messages=[entry for entry, _ in zip(self._outbox.newest(), range(_SHOWN), strict=False)],
            messages_total=self._outbox.total,
            calls=sum(self._state.calls.values()),
            refused=self._state.refused_429,
            faults=self._faults.switched_on(),
            faults_url=f"{request.url.origin()}/sandbox/faults",
            endings=_endings(self._settings),
        )

    async def _onboarding(self, request: web.Request) -> web.Response:
        link = self._state.links.get(request.match_info["code"])
        lang = _language(request, link)
        return self._page(
            "onboarding",
            lang=lang,
            width="32rem",
            status=200 if link else 404,
            title=_WORDS[lang]["finish"],
            link=link,
            product=_product(link) if link else "",
        )

    async def _finish(self, request: web.Request) -> web.Response:
        link = self._state.links.get(request.match_info["code"])
        if link is not None and link.is_live and link.finished_at is None:
            self.finish(link)
        return await self._onboarding(request)

    def finish(self, link: Link) -> None:
        """Let the customer of *link* finish, and announce it to the webhook."""
        own = f"97258{secrets.randbelow(10**7):07d}" if link.is_coexistence else None
        self._state.finish(link, final_number=own)
        if url := self._state.announced_to:
            task = asyncio.create_task(self._announce(url, link))
            self._announcing.add(task)
            task.add_done_callback(self._announcing.discard)

    async def _announce(self, url: str, link: Link) -> None:
        event = {
            "type": link.kind,
            "whatsapp": link.number or "",
            "reference": link.reference or "",
            "onboarding_link": link.url,
            "status": 1,
        }
        record: dict[str, Any] = {"at": datetime.now(UTC).timestamp(), "event": event, "http": None}
        self._state.webhooks.append(record)
        timeout = aiohttp.ClientTimeout(total=_WEBHOOK_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(url, json=event, allow_redirects=False) as response,
            ):
                record["http"] = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            record["error"] = type(exc).__name__
            log.warning("sandbox_webhook_failed", error=type(exc).__name__)

    async def _landing(self, request: web.Request) -> web.Response:
        link = self._state.links.get(request.match_info["code"])
        if link is None or link.landing_page is None:
            raise web.HTTPNotFound
        return self._page("landing", lang=_language(request, link), title="Landing page", link=link)

    async def _message(self, request: web.Request) -> web.Response:
        entry = self._outbox.get(request.match_info["id"])
        if entry is None:
            raise web.HTTPNotFound
        return self._page("message", title="Message", message=entry)

    def _page(self, name: str, *, lang: str = "en", status: int = 200, **values: Any) -> web.Response:
        template = self._templates.get_template(f"{name}.html.j2")
        text = template.render(lang=lang, words=_WORDS[lang], **values)
        return web.Response(text=text, content_type="text/html", status=status, headers=_SECURITY)


def _language(request: web.Request, link: Link | None) -> str:
    asked = request.query.get("lang")
    if asked in _WORDS:
        return asked
    name = str(link.sent.get("business_name") or "") if link else ""
    accepted = request.headers.get("Accept-Language", "").lower()
    return "he" if re.search("[א-ת]", name) or accepted.startswith("he") else "en"


def _endings(settings: SandboxSettings) -> list[tuple[str, str]]:
    """Return which endings of numbers have a story here, and which."""
    told = (
        (settings.unregistered_suffixes, "are not registered"),
        (settings.foreign_suffixes, "have somebody else's link"),
        (settings.finished_suffixes, "are connected already"),
    )
    return [(" or ".join(suffixes), what) for suffixes, what in told if suffixes]


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")


def _product(link: Link) -> str:
    name = _PRODUCTS.get(link.type, "Facebook")
    return f"{name} (coexistence)" if link.is_coexistence else name


def _path(link: Link) -> str:
    return f"/{'o' if link.kind == 'whatsapp' else 'f'}/{link.code}"


def _framed(html: str) -> str:
    """Return a mail's HTML as its frame shows it: links open in a window of their own."""
    base = '<base target="_blank">'
    framed, count = _find_head.subn(lambda head: head[0] + base, html, count=1)
    return framed if count else f"<!doctype html>{base}{html}"


def _with_links(text: str) -> Markup:
    return Markup("").join(_pieces(text))


def _pieces(text: str) -> Iterator[Markup]:
    place = 0
    for found in _find_url.finditer(text):
        yield escape(text[place : found.start()])
        yield Markup('<a href="{0}" rel="noreferrer">{0}</a>').format(found[0])
        place = found.end()
    yield escape(text[place:])
