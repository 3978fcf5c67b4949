"""How pages are made: escaped, in the reader's language and colours, with files that are kept by their version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from jinja2 import Environment, UndefinedError, meta

from tests.console_texts import templates
from worker.domain.roles import Role
from worker.ops.console.nav import NAV, is_at, nav_items
from worker.ops.console.pages_static import serve_static
from worker.ops.console.roles import USER, SignedIn
from worker.ops.console.view import (
    VIEW,
    View,
    environment,
    language_of,
    preferences_middleware,
    read_statics,
    render,
    same_page,
    theme_of,
    wants_fragment,
)

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


class FixedClock:
    """A clock that stands."""

    def now_ms(self) -> int:
        """Return the present instant in milliseconds since 1970."""
        return 1_790_000_000_000


def a_request(
    path: str = "/",
    *,
    headers: Mapping[str, str] | None = None,
    role: Role | None = Role.VIEWER,
    name: str = "dana",
    is_sandbox: bool = False,
    counts: Mapping[str, Mapping[str, int]] | None = None,
    **account: Any,
) -> web.Request:
    """Return a request of somebody who is signed in (of nobody where *role* is None)."""
    app = web.Application()

    async def counted() -> Mapping[str, Mapping[str, int]]:
        return counts or {}

    app[VIEW] = View(is_sandbox=is_sandbox, clock=FixedClock(), counts=counted)  # type: ignore[arg-type]
    request = make_mocked_request("GET", path, headers=headers or {}, app=app)
    if role is not None:
        request[USER] = SignedIn(name=name, role=role, csrf="token-1", session="s", **account)
    return request


async def text_of(request: web.Request, name: str = "base.html", **context: Any) -> str:
    """Return the page's text."""
    return str((await render(request, name, **context)).text)


# --- escaping ----------------------------------------------------------------------------------------------


async def test_a_name_from_outside_is_text_on_a_page() -> None:
    """Whatever a user, a search or an address holds, it is shown and not run."""
    page = await text_of(a_request(f"/search?q={HOSTILE}", name=HOSTILE))
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)" in page


async def test_a_template_that_asks_for_what_is_not_there_is_an_error() -> None:
    """A slip in a template is found by its test, and does not show as an empty place."""
    with pytest.raises(UndefinedError):
        await text_of(a_request(), "search.html")


def test_every_template_is_escaped_throughout() -> None:
    """No template marks as safe what it did not make itself."""
    allowed = {'{{ "</a>" | safe if href else "</button>" | safe }}'}
    for path in templates():
        text = path.read_text()
        for marked in re.findall(r"\{\{[^{}]*\|\s*safe\b[^{}]*\}\}", text):
            assert marked in allowed, f"{path.name}: {marked}"
        assert "autoescape" not in text, path.name
    assert environment("en").autoescape is True


@pytest.mark.parametrize("name", [path.name for path in templates()])
@pytest.mark.parametrize("language", ["en", "he"])
def test_every_template_can_be_read(name: str, language: str) -> None:
    """One that does not compile, or takes parts from another that is not there, is found before anybody opens its page."""
    made = environment(language)
    assert made.loader is not None
    source, _, _ = made.loader.get_source(made, name)
    parts = {part for part in meta.find_referenced_templates(made.parse(source)) if part}

    assert callable(made.get_template(name).root_render_func)
    assert parts <= set(made.list_templates())


def macros() -> Any:
    """Return the parts of pages, made for a reader of English."""
    maker: Environment = environment("en")
    return maker.get_template("macros.html").make_module(
        {
            "csrf": "token-1",
            "now_ms": 1_790_000_000_000,
            "now": "2026-09-21T14:13:20.000Z",
            "reason_text": lambda *_: "",
            "query": {},
            "here": str,
        }
    )


@pytest.mark.parametrize(
    ("address", "is_link"),
    [("https://partner.example/1", True), ("javascript:alert(1)", False), ("data:text/html,x", False)],
)
def test_only_web_addresses_can_be_followed(address: str, is_link: bool) -> None:
    """A link that a partner made up is text unless it is http(s), and leads away without our address."""
    shown = str(macros().address(address))
    assert ("<a " in shown) == is_link
    assert address in shown
    if is_link:
        assert 'rel="noopener noreferrer nofollow"' in shown


def test_a_state_says_its_word_beside_its_colour_and_sign() -> None:
    """Who sees no colours reads the word."""
    shown = str(macros().badge("failed"))
    assert "tone-bad" in shown
    assert "<span>failed</span>" in shown
    assert 'aria-hidden="true"' in shown


def test_a_number_is_revealed_by_a_form_that_carries_the_token() -> None:
    """A reveal is an act: it is posted, and only from our own page."""
    shown = str(macros().number("9725******12", "/jobs/1/reveal"))
    assert 'method="post" action="/jobs/1/reveal"' in shown
    assert 'name="_csrf" value="token-1"' in shown
    assert '<bdi class="mono" dir="ltr">9725******12</bdi>' in shown


def test_a_field_names_its_help_and_its_error() -> None:
    """A reader aloud hears what is wrong with a field when it has the focus."""
    shown = str(macros().form_field("why", "Why", HOSTILE, error="Say why.", help="It is kept."))
    assert 'aria-invalid="true"' in shown
    assert 'aria-describedby="field-why-help field-why-error"' in shown
    assert 'id="field-why-error"' in shown
    assert "<script>" not in shown


def test_an_act_that_asks_first_works_without_a_script() -> None:
    """Its question lies in a disclosure, and its form posts what it is about."""
    shown = str(macros().confirm("/jobs/1/discard", "Discard …", "It is given up.", "Discard", {"seen": "7"}))
    assert shown.lstrip().startswith("<details")
    assert 'method="post" action="/jobs/1/discard"' in shown
    assert 'name="seen" value="7"' in shown
    assert 'name="_csrf" value="token-1"' in shown


def test_an_instant_is_told_by_its_distance_and_kept_exactly() -> None:
    """How long ago for the eye, the instant itself for the pointer and the script."""
    shown = str(macros().time("2026-09-21T14:10:20Z"))
    assert '<time datetime="2026-09-21T14:10:20Z" title="2026-09-21 14:10:20 UTC">3 min ago</time>' in shown


# --- language and colours ----------------------------------------------------------------------------------


async def test_hebrew_is_laid_out_from_the_right_and_says_so() -> None:
    """The page's language and direction are those of its texts."""
    page = await text_of(a_request(headers={"Accept-Language": "he-IL"}))
    assert '<html lang="he" dir="rtl"' in page
    assert "מבט כללי" in page
    english = await text_of(a_request())
    assert '<html lang="en" dir="ltr"' in english
    assert "מבט כללי" not in english


def test_the_browsers_switch_comes_before_the_account_and_that_before_the_browsers_wish() -> None:
    """The nearest choice holds; one that is no language of ours is passed over."""
    wish = {"Accept-Language": "he"}
    assert language_of(a_request(headers=wish)) == "he"
    assert language_of(a_request(headers=wish, language="en")) == "en"
    assert language_of(a_request(headers=wish | {"Cookie": "linkferry_lang=he"}, language="en")) == "he"
    assert language_of(a_request(headers={"Cookie": "linkferry_lang=xx"}, language="he")) == "he"


def test_colours_follow_the_system_unless_somebody_chose() -> None:
    """Light, dark, or as the system has it; a browser can go back to that against its account."""
    assert theme_of(a_request()) is None
    assert theme_of(a_request(theme="dark")) == "dark"
    assert theme_of(a_request(headers={"Cookie": "linkferry_theme=light"}, theme="dark")) == "light"
    assert theme_of(a_request(headers={"Cookie": "linkferry_theme=auto"}, theme="dark")) is None
    assert theme_of(a_request(headers={"Cookie": "linkferry_theme=pink"})) is None


async def switched(path: str, **headers: str) -> web.StreamResponse:
    """Return what the middleware answers to a page's address."""

    async def page(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="the page")

    request = a_request(path, headers={"Accept": "text/html", **headers})
    return await preferences_middleware(request, page)


async def test_a_switch_is_remembered_and_leads_back_to_the_same_page() -> None:
    """The address that is left is the page's own, with its filter, to be shared without the choice."""
    answer = await switched("/jobs?state=failed&lang=he&name=a%26b")
    assert answer.status == 303
    assert answer.headers["Location"] == "/jobs?state=failed&name=a%26b"
    assert answer.cookies["linkferry_lang"].value == "he"
    assert answer.cookies["linkferry_lang"]["httponly"]
    dark = await switched("/?theme=dark")
    assert (dark.headers["Location"], dark.cookies["linkferry_theme"].value) == ("/", "dark")


@pytest.mark.parametrize(
    "path", ["//elsewhere.example/?lang=he", "/\\elsewhere.example/?lang=he", "///x?theme=dark"]
)
async def test_a_switch_never_leads_away(path: str) -> None:
    """An address that begins with two slashes would be another site's."""
    answer = await switched(path)
    assert re.match(r"/(?![/\\])", answer.headers["Location"])


async def test_a_choice_that_is_none_of_ours_is_not_remembered() -> None:
    """It is only taken off the address."""
    answer = await switched("/?lang=xx&theme=pink")
    assert answer.status == 303
    assert not answer.cookies


async def test_a_program_that_calls_the_api_is_not_sent_elsewhere() -> None:
    """Only pages have switches; what does not ask for HTML is answered as it asked."""
    answer = await switched("/v1/jobs?lang=he", Accept="application/json")
    assert answer.status == 200


# --- the frame ---------------------------------------------------------------------------------------------


async def test_the_sandbox_cannot_be_mistaken() -> None:
    """A bar names it in both languages, whatever the page's own; the real thing has none."""
    page = await text_of(a_request(is_sandbox=True))
    assert "SANDBOX" in page
    assert "סביבת ניסוי" in page
    assert "env-bar" not in await text_of(a_request())


async def test_a_page_can_be_walked_by_keyboard() -> None:
    """The first link skips to the content, which can take the focus; the search has a label."""
    page = await text_of(a_request())
    body = page.partition("<body")[2]
    assert re.search(r"<a [^>]*>", body)[0] == '<a class="skip" href="#main">'  # type: ignore[index]
    assert '<main id="main" tabindex="-1">' in body
    assert '<label class="aloud" for="search">' in body


async def test_nobody_sees_the_pages_before_he_signs_in() -> None:
    """The sign-in page has the switches, and neither navigation nor search."""
    page = await text_of(a_request(role=None))
    assert "sidebar" not in page
    assert 'role="search"' not in page
    assert "עברית" in page


def test_the_navigation_shows_what_a_role_may_follow() -> None:
    """Users and keys are an admin's; the mailbox is there in the sandbox only."""

    def paths(role: Role, *, is_sandbox: bool) -> set[str]:
        user = SignedIn(name="x", role=role, csrf="", session="")
        shown = nav_items("/jobs/1", user, is_sandbox=is_sandbox, counts={})
        return {each.item.path for _label, items in shown for each in items}

    every = {item.path for group in NAV for item in group.items}
    assert paths(Role.ADMIN, is_sandbox=True) == every
    assert paths(Role.ADMIN, is_sandbox=False) == every - {"/mailbox"}
    assert paths(Role.VIEWER, is_sandbox=True) == every - {"/users", "/keys"}


def test_an_entry_is_current_on_its_own_pages_only() -> None:
    """A job's page belongs to the jobs; the overview is not everything's parent."""
    assert is_at("/jobs/1/edit", "/jobs")
    assert is_at("/", "/")
    assert not is_at("/jobs", "/")
    assert not is_at("/jobsearch", "/jobs")


async def test_the_navigation_says_how_much_waits_for_a_person() -> None:
    """The number of the failed stands beside their entry, with what it counts; nothing stands where there are none."""
    counts = {"/failed": {"job": 1200, "message": 34}, "/dead": {"job": 0}, "/alerts": {"alert": 1}}
    page = await text_of(a_request(counts=counts))
    badges = re.findall(
        r'class="nav-count tone-bad" title="(.+?)"><span aria-hidden="true">(.+?)</span>'
        r'<span class="aloud">(.+?)</span></span></a>',
        page,
    )
    assert badges == [
        ("1200 jobs, 34 messages", "1,234", "1200 jobs, 34 messages"),
        ("1 alert is open", "1", "1 alert is open"),
    ]
    assert page.count("nav-count") == 2


def test_a_pages_address_is_changed_in_one_place_only() -> None:
    """A filter stays in the address when the page is turned, and a notice of what was done does not."""
    here = same_page(a_request("/jobs?state=failed&cursor=1&told=requeue"))
    assert here(cursor="2") == "/jobs?state=failed&cursor=2"
    assert here(state=None, cursor=None) == "/jobs"


def test_a_part_of_a_page_is_for_htmx_and_not_for_its_history() -> None:
    """Going back in history wants the whole page."""
    assert wants_fragment(a_request(headers={"HX-Request": "true"}))
    assert not wants_fragment(a_request())
    assert not wants_fragment(a_request(headers={"HX-Request": "true", "HX-History-Restore-Request": "true"}))


@pytest.mark.parametrize("path", [each for each in templates() if each.stem.endswith("_live")], ids=str)
def test_every_part_that_renews_itself_can_say_since_when_it_could_not(path: Path) -> None:
    """By the clock of when it was made: how long ago that was would stand still with it."""
    assert "{{ ui.stale_note() }}" in path.read_text()
    assert 'datetime="2026-09-21T14:13:20.000Z"' in macros().stale_note()


async def test_a_part_is_only_the_part() -> None:
    """It has no frame around it."""
    request = a_request(headers={"HX-Request": "true"})
    part = await render(request, "failed_live.html", groups=[], at="2026-09-21T14:10:20Z", total=0)
    assert "Nothing has failed" in str(part.text)
    assert "<html" not in str(part.text)


# --- static files ------------------------------------------------------------------------------------------


async def served(name: str, query: str = "", **headers: str) -> web.Response:
    """Return what is answered to a file's address."""
    request = make_mocked_request("GET", f"/static/{name}{query}", headers=headers, match_info={"name": name})
    return await serve_static(request)


async def test_a_file_is_kept_for_ever_by_its_version() -> None:
    """Its address changes with its content, so the browser need not ask again; without a version it does ask."""
    static = read_statics()["linkferry.css"]
    versioned = await served("linkferry.css", f"?v={static.version}")
    assert versioned.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert versioned.headers["Content-Type"] == "text/css; charset=utf-8"
    assert versioned.body == static.body
    for query in ("", "?v=older"):
        assert (await served("linkferry.css", query)).headers["Cache-Control"] == "no-cache"
    unchanged = await served("linkferry.css", **{"If-None-Match": f'"{static.version}"'})
    assert unchanged.status == 304


@pytest.mark.parametrize("name", ["../view.py", "..%2fview.py", "none.css", "", "he.toml"])
async def test_only_the_files_that_are_there_are_served(name: str) -> None:
    """No path reaches the disk: what is not one of the shipped files is not found."""
    with pytest.raises(web.HTTPNotFound):
        await served(name)


def test_the_library_comes_with_its_licence() -> None:
    """htmx is served as it was published, and its terms lie beside it."""
    statics = read_statics()
    assert statics["htmx.min.js"].body.startswith(b"var htmx=")
    assert b"Zero-Clause BSD" in statics["htmx.LICENSE.txt"].body
