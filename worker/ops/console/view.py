"""How a page is made: Jinja templates in the reader's language and theme, escaped throughout.

A handler ends with `return await render(request, "failed.html", groups=groups)`, and so it does for the part of a page
that htmx asks for again. Every template has the same names (`_context`); what one asks for beyond them and what its
handler passed is an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from worker.clock import Clock, SystemClock
from worker.domain.roles import Role
from worker.ops.console.i18n import DEFAULT_LANGUAGE, LANGUAGES, Translator, accepted_language, translator
from worker.ops.console.nav import nav_items
from worker.ops.console.roles import user_of
from worker.ops.console.shown import (
    Shown,
    absolute,
    clock_time,
    count,
    decimal,
    job_ids,
    web_link,
    with_times,
)
from worker.ops.console.told import DONE, REFUSED, told_of
from worker.ops.console.tones import TONES
from worker.ops.views import iso

THEMES = ("light", "dark")
LANGUAGE_COOKIE = "linkferry_lang"
THEME_COOKIE = "linkferry_theme"
STATIC_PATH = "/static"
_COOKIE_AGE_S = 365 * 24 * 3600
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}

Counts = Callable[[], Awaitable[Mapping[str, Mapping[str, int]]]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class View:
    """What all pages of one console share."""

    is_sandbox: bool
    clock: Clock = field(default_factory=SystemClock)
    counts: Counts | None = None  #: how many of what stand behind an entry of the navigation, by its path
    #: Makes the commands in a text ones that can be typed here.
    as_typed: Callable[[str], str] = str

    @cached_property
    def statics(self) -> Mapping[str, Static]:
        """Return the files under /static, by name."""
        return read_statics()


@dataclass(frozen=True, slots=True)
class Static:
    """One file that the browser may keep for ever: its address changes with its content."""

    body: bytes
    content_type: str
    version: str


VIEW: web.AppKey[View] = web.AppKey("console_view", View)


# --- pages -------------------------------------------------------------------------------------------------


async def render(request: web.Request, name: str, *, status: int = 200, **context: Any) -> web.Response:
    """Return the page that the template *name* makes of *context*; raises jinja2.TemplateError for a faulty template."""
    shared = await _context(request)
    text = environment(shared["lang"]).get_template(name).render({**shared, **context})
    response = web.Response(text=text, status=status, content_type="text/html", charset="utf-8")
    response.headers["Vary"] = "Cookie, Accept-Language, HX-Request"
    return response


def wants_fragment(request: web.Request) -> bool:
    """Tell whether htmx asks for a part of a page, and not for the page when going back in history."""
    headers = request.headers
    return headers.get("HX-Request") == "true" and headers.get("HX-History-Restore-Request") != "true"


def translator_of(request: web.Request) -> Translator:
    """Return the texts in the language that *request* is to be answered in."""
    return translator(language_of(request))


def language_of(request: web.Request) -> str:
    """Return the language: the browser's switch, else the account's, else what the browser asks for."""
    user = user_of(request)
    for choice in (request.cookies.get(LANGUAGE_COOKIE), user.language if user else None):
        if choice in LANGUAGES:
            return str(choice)
    return accepted_language(request.headers.get("Accept-Language", ""))


def theme_of(request: web.Request) -> str | None:
    """Return `light` or `dark`; None where the system's own choice holds."""
    user = user_of(request)
    chosen = request.cookies.get(THEME_COOKIE)
    if chosen == "auto":
        return None
    for choice in (chosen, user.theme if user else None):
        if choice in THEMES:
            return choice
    return None


async def _context(request: web.Request) -> dict[str, Any]:
    view, user, language = request.app[VIEW], user_of(request), language_of(request)
    texts, now_ms = translator(language), view.clock.now_ms()
    counts = await view.counts() if view.counts and user and not wants_fragment(request) else {}
    return {
        "user": user,
        "csrf": user.csrf if user else "",
        "lang": language,
        "direction": texts.direction,
        "languages": LANGUAGES,
        "theme": theme_of(request),
        "is_sandbox": view.is_sandbox,
        "nav": nav_items(request.path, user, is_sandbox=view.is_sandbox, counts=counts),
        "path": request.path,
        "query": request.query,
        "here": same_page(request),
        "told": told_of(request.query),
        "said": lambda sentence: with_times(view.as_typed(texts.said(sentence))),
        "reason_text": lambda *of_reason: view.as_typed(texts.reason_text(*of_reason)),
        "now_ms": now_ms,
        "now": iso(now_ms),
        "static": lambda name: f"{STATIC_PATH}/{name}?v={view.statics[name].version}",
        "Role": Role,
    }


def same_page(request: web.Request) -> Callable[..., str]:
    """Return a function that makes this page's address with some of its parameters changed; None takes one out."""

    def here(**changes: Any) -> str:
        kept = [
            (name, value) for name, value in request.query.items() if name not in {*changes, DONE, REFUSED}
        ]
        added = [(name, str(value)) for name, value in changes.items() if value is not None]
        return f"{request.path}?{urlencode(kept + added)}" if kept or added else request.path

    return here


@cache
def environment(language: str) -> Environment:
    """Return the templates in *language*: escaped everywhere, strict about names."""
    texts = translator(language)
    made = Environment(
        loader=PackageLoader("worker.ops.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_callables(texts.gettext, texts.ngettext, newstyle=True)  # type: ignore[attr-defined]
    words = Shown(texts)
    made.globals |= {"term": texts.term, "TONES": TONES}
    made.filters |= {"ago": words.ago, "duration": words.duration, "absolute": absolute}
    made.filters |= {"clock_time": clock_time, "count": count, "decimal": decimal, "web_link": web_link}
    made.filters["job_ids"] = job_ids
    # Jinja's own leaves slashes be, and a name with one in it would lead to another page.
    made.filters["urlencode"] = lambda text: quote(str(text), safe="")
    return made


# --- what the reader chose ---------------------------------------------------------------------------------


@web.middleware
async def preferences_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Take `?lang=` and `?theme=` off any page's address and remember them in a cookie: a switch without a script."""
    lang, theme = request.query.get("lang"), request.query.get("theme")
    is_page = request.method == "GET" and "text/html" in request.headers.get("Accept", "")
    if not is_page or (lang is None and theme is None):
        return await handler(request)
    # One leading slash exactly: `//elsewhere` would lead away from here.
    path = "/" + request.raw_path.partition("?")[0].lstrip("/\\")
    kept = [(name, value) for name, value in request.query.items() if name not in {"lang", "theme"}]
    response = web.Response(status=303, headers={"Location": f"{path}?{urlencode(kept)}" if kept else path})
    is_secure = request.secure
    if lang in LANGUAGES:
        _remember(response, LANGUAGE_COOKIE, str(lang), is_secure=is_secure)
    if theme in {*THEMES, "auto"}:
        _remember(response, THEME_COOKIE, str(theme), is_secure=is_secure)
    return response


def _remember(response: web.Response, name: str, value: str, *, is_secure: bool) -> None:
    response.set_cookie(
        name, value, max_age=_COOKIE_AGE_S, path="/", samesite="Lax", httponly=True, secure=is_secure
    )


# --- static files ------------------------------------------------------------------------------------------


@cache
def read_statics() -> Mapping[str, Static]:
    """Return the shipped static files by name: read once, so that no request's path ever reaches the disk."""
    folder = files("worker.ops.console").joinpath("static")
    found: dict[str, Static] = {}
    for each in folder.iterdir():
        suffix = each.name[each.name.rfind(".") :]
        if suffix in _TYPES:
            body = each.read_bytes()
            found[each.name] = Static(body, _TYPES[suffix], hashlib.sha256(body).hexdigest()[:16])
    return found


__all__ = [
    "DEFAULT_LANGUAGE",
    "THEMES",
    "VIEW",
    "View",
    "environment",
    "language_of",
    "preferences_middleware",
    "render",
    "theme_of",
    "translator_of",
    "wants_fragment",
]
