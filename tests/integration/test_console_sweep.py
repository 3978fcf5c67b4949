"""A ledger whose every text from outside is hostile, and a browser that follows every link of the console.

A page added tomorrow is reached by its link, or the sweep says that it was not; a field added to a page is on it.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from html import unescape
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
import redis.asyncio

from tests.contract.ledger_desk import LINKED
from tests.factories import a_request
from tests.integration.console_desk import Answer, Browser, a_console
from tests.integration.console_looker import Tags, tags_of
from tests.integration.console_mending import MendingDesk, preview_all
from worker.domain.alerts import AlertKind, Trouble
from worker.domain.brand import Brand
from worker.domain.lessons import Lesson
from worker.domain.outcome import AccountEntry, Fail, Linked, Refused, Undelivered
from worker.domain.request import Contact
from worker.domain.roles import Role
from worker.domain.states import JobState, Lane
from worker.ops.console.app import console_routes
from worker.ops.console.pages_mailbox import MailboxPages
from worker.ops.partner_view import PartnerLists
from worker.partner.sandbox.outbox import Captured
from worker.partner.sandbox.reader import CapturedPage

#: Out of an attribute with or without quotes, out of a text, a title, a script; and templates that would be run.
BREAK = "\"'><x-evil onevil=1></title></textarea></script></style> onevil=1 {{'run'~'zq'}}${'run'+'zq'}"
_PER_ROUTE = 6  #: pages of one route that are looked at
_MOST_PAGES = 300
_SCRIPT_LINK = re.compile(r"[\s\x00-\x20]*(javascript|data|vbscript):", re.IGNORECASE)
_FORM = re.compile(r'<form[^>]*action="([^"]+/reveal)"[^>]*>(.*?)</form>', re.DOTALL)
_INPUT = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')
#: Reached by other ways than a link.
_NOT_LINKED = {"/login", "/robots.txt", "/static/{name}"}
#: Kept for programs alone, or shown in the mail's own frame.
_UNSEEN = {"zq-options-qz", "zq-html-qz"}
#: The mail itself, in a frame that its headers lock up.
_LINK = re.compile(r'\s(?:href|hx-get|src)="(/[^"]*)"')
_SWITCH = re.compile(r"[?&](lang|theme)=")
_RAW = "/mailbox/{message_id}/html"


class Evil:
    """Hostile words, each of which can be told from the others where it turns up."""

    def __init__(self) -> None:
        self.marks: set[str] = set()

    def __call__(self, mark: str) -> str:
        self.marks.add(f"zq-{mark}-qz")
        return f"zq-{mark}-qz{BREAK}"

    def name(self, mark: str) -> str:
        """Return words that stand in an address as well, where our server's routes take no braces."""
        return re.sub(r"[{}]", "", self(mark))


@pytest.fixture
async def desk(real_redis: redis.asyncio.Redis) -> AsyncIterator[MendingDesk]:
    async with a_console(real_redis, sandbox=True) as console:
        yield MendingDesk(real_redis, console)


async def furnished(desk: MendingDesk, evil: Evil, monkeypatch: pytest.MonkeyPatch) -> Browser:
    """Fill the ledger; return an admin's browser. (The browser's own acts are done by him, for the trail.)"""
    await the_jobs(desk, evil)
    await what_operators_wrote(desk, evil)
    await what_programs_wrote(desk, evil)
    the_partner_and_the_mailbox(desk, evil, monkeypatch)
    browser = await desk.console.signed_in(Role.ADMIN)
    path = await preview_all(browser, "requeue", reason="number_invalid")
    await browser.post(f"{path}/start", {"why": evil("act-why")}, csrf=await browser.csrf())
    await browser.post(f"{path}/stop", {"why": evil("stop-why")}, csrf=await browser.csrf())
    await preview_all(browser, "discard", name="zq")
    return browser


async def the_jobs(desk: MendingDesk, evil: Evil) -> None:
    """Jobs in the states that a page shows each in its own way."""
    contact = Contact(name=evil("contact"), email="x@example.com", phone=None, locale="he")
    fields = ("business_name", "display_name", "reference", "external_id", "business_address", "server")
    request = a_request(
        contact=contact,
        onboarding_message=evil("onboarding-message"),
        onboarding_logo=f"javascript:{evil('logo')}",
        **{field: evil(field) for field in fields},
    )
    fail = Fail(
        reason=f"unknown_{evil.name('reason')}",
        reason_class=evil("class"),
        code=66,
        raw=f'{{"reason": "{evil("raw")}"}}',
        detail=evil("detail"),
    )
    own = Fail(
        reason="number_invalid", reason_class="bad_data", code=4, raw=evil("own-raw"), is_own_data=True
    )
    for nth, (end, source) in enumerate([(fail, evil("source")), (own, "crm"), (own, "crm")]):
        changed = {"whatsapp": f"97252123000{nth}"}
        job = (
            await desk.accept(request=a_request(**{**vars_of(request), **changed}), source=source)
        ).job_ids[0]
        await desk.end(job, Refused(fail=end))
    for whys in ("discard", "dead-second"):
        [dead] = await desk.failed(business_name=evil(f"{whys}-name"))
        await desk.ledger.discard(dead, by=evil(f"{whys}-by"), why=evil(f"{whys}-why"))
    linked = (
        await desk.accept(request=a_request(whatsapp="972521230099", business_name=evil("linked")))
    ).job_ids[0]
    link = Linked(link=f"javascript:{evil('link')}", landing_page=f"data:text/html,{evil('landing')}")
    await desk.end(linked, link)
    delivery = await desk.a_delivery(request=a_request(business_name=evil("undelivered")))
    lost = Fail(
        reason="mailbox_unknown",
        reason_class="recipient",
        code=550,
        raw=evil("smtp"),
        detail=evil("smtp-detail"),
    )
    await desk.ledger.deliveries.settle(await desk.send(delivery), Undelivered(fail=lost), can_resend=False)
    await desk.job_in(JobState.IN_DOUBT)


def vars_of(request: object) -> dict[str, object]:
    """Return a frozen record's fields."""
    return {name: getattr(request, name) for name in request.__dataclass_fields__}  # type: ignore[attr-defined]


async def what_operators_wrote(desk: MendingDesk, evil: Evil) -> None:
    """Accounts, keys, brands, lessons, pauses, the stop list, the trail: what a restored ledger could hold."""
    ledger = desk.ledger
    await ledger.users.add(evil("user"), role=Role.VIEWER, password_hash="x", by=evil("user-by"))
    await ledger.keys_of_api._scripts.run("key_add", "0" * 64, evil("key"), evil("key-by"))
    links = {field: f"javascript:{evil(field)}" for field in ("logo", "privacy_url", "verify_url")}
    names = {
        field: evil(field)
        for field in ("name_he", "name_en", "contact_person", "phone", "reply_to", "sms_sender")
    }
    brand = Brand(name="acme", colour=evil("colour"), **links, **names)
    await ledger.brands.keep(brand, seen=None, by=evil("brand-by"), why="")
    lesson = Lesson(
        name="number_invalid",
        meaning=evil("meaning"),
        remedy=evil("remedy"),
        reason_class="bad_data",
        by=evil("lesson-by"),
        why=evil("lesson-why"),
    )
    await ledger.taught.teach(lesson)
    await ledger.taught.refresh(desk.console.deps.catalogue)
    await ledger.suppressing.add("x@example.com", by=evil("suppress-by"), why=evil("suppress-why"))
    await ledger.batches.pause("bulk", by=evil("pause-by"), why=evil("pause-why"))
    await ledger.trail.record(
        "reveal", by=evil("trail-by"), why=evil("trail-why"), subject=evil("subject"), detail={"what": evil("what"), "x": {"y": evil("detail-deep")}}
    )  # fmt: skip


async def what_programs_wrote(desk: MendingDesk, evil: Evil) -> None:
    """Batches, holds, alerts, workers."""
    ledger = desk.ledger
    await ledger.batches.open(
        "b", name=evil("batch"), source=evil("batch-source"), by=evil("batch-by"), total=3, path=evil("path"), options=evil("options")
    )  # fmt: skip
    await desk.accept_batch("b", 3, request=a_request(whatsapp="972521230088", business_name=evil("row")))
    await desk.drain(Lane.BULK, LINKED)
    await ledger.batches.hold("batch:b", evil.name("hold"))
    await ledger.batches.hold("live", evil.name("lane-hold"))
    trouble = Trouble(
        kind=AlertKind.HOLD, scope=evil("scope"), count=3, params={"target": evil("target"), "reason": evil.name("alert-reason")}
    )  # fmt: skip
    await ledger.incidents.stands(trouble, sinks=(evil("sink"),))
    await ledger.fleet.beat(evil("worker"), {"host": evil("host"), "pid": evil("pid")}, 60.0)


def the_partner_and_the_mailbox(desk: MendingDesk, evil: Evil, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the partner lists, and what the sandbox caught."""

    async def ask() -> PartnerLists:
        entry = AccountEntry(
            whatsapp="972521230000", reference=evil("partner-reference"), link=evil("partner-link")
        )
        return PartnerLists(accounts=[entry], registered=[], reason=None)

    mail = Captured(
        id="1", kind="mail", at=1.79e9, sender=evil("sender"), to=evil("to"), subject=evil("mail-subject"), text=evil("text"),
        html=f"<p>{evil('html')}</p>", headers={evil("header"): evil("header-value")}, note=evil("note"),
    )  # fmt: skip

    async def outbox(*_: object, **__: object) -> CapturedPage:
        return CapturedPage(items=(mail,), total=1)

    async def message(*_: object) -> Captured:
        return mail

    desk.console.deps.ask_partner = ask
    monkeypatch.setattr(MailboxPages, "_url", lambda _: "http://127.0.0.1:1")
    monkeypatch.setattr("worker.ops.console.pages_mailbox.read_outbox", outbox)
    monkeypatch.setattr("worker.ops.console.pages_mailbox.read_message", message)


class Sweep:
    """Follows links, at most a few of each route."""

    def __init__(self, desk: MendingDesk, browser: Browser) -> None:
        self._browser = browser
        self._patterns = [
            (path, re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))))
            for path in sorted(
                {
                    canonical(route.path)
                    for route in console_routes(desk.console.deps)
                    if route.method == "GET"
                }
            )
        ]
        self._seen: Counter[str] = Counter()
        self._asked: set[str] = set()
        self.pages: list[tuple[str, str, Answer]] = []  #: route, address, answer

    @property
    def left_out(self) -> set[str]:
        """Return the routes that nothing led to."""
        return {path for path, _ in self._patterns} - {route for route, _, _ in self.pages}

    async def run(self, *starts: str) -> None:
        """Look at *starts* and at what they lead to, reveals among it."""
        todo = deque(starts)
        while todo and len(self.pages) < _MOST_PAGES:
            address = todo.popleft()
            if (route := self._wanted(address)) is None:
                continue
            page = await self._browser.get(address)
            self.pages.append((route, address, page))
            todo.extend(links_of(page))
            for action, fields in reveals_of(page):
                if self._wanted(action, "POST ") is not None:
                    shown = await self._browser.post(action, fields, csrf=page.csrf)
                    self.pages.append((f"POST {route}", action, shown))

    def _wanted(self, address: str, method: str = "") -> str | None:
        parts = urlsplit(address)
        route = next((path for path, pattern in self._patterns if pattern.fullmatch(parts.path)), None)
        if method:
            route = re.sub(r"/[^/]*\d[^/]*/", "/…/", parts.path)
        # The same filters with other values are the same page.
        kind = f"{method}{route} {sorted(name for name, _ in parse_qsl(parts.query))}"
        if parts.scheme or parts.netloc or route is None or method + address in self._asked:
            return None
        if self._seen[kind] >= _PER_ROUTE:
            return None
        self._asked.add(method + address)
        self._seen[kind] += 1
        return route


def canonical(path: str) -> str:
    return re.sub(r"\{(\w+):[^/]*\}(?=/|$)", r"{\1}", path)


def links_of(page: Answer) -> Iterator[str]:
    for link in map(unescape, _LINK.findall(page.text)):
        if not link.startswith(("//", "/static/")) and not _SWITCH.search(link):
            yield link.partition("#")[0]


def reveals_of(page: Answer) -> Iterator[tuple[str, dict[str, str]]]:
    for action, inside in _FORM.findall(page.text):
        yield (
            unescape(action),
            {unescape(name): unescape(value) for name, value in _INPUT.findall(inside) if name != "_csrf"},
        )


def assert_harmless(told: str, tags: Tags) -> None:
    """See that nothing of the words has become a part of the page."""
    assert "x-evil" not in tags.tags, told
    foreign = {name for name in tags.attributes if name.startswith("on") or name in {"style", "srcdoc"}}
    assert foreign == set(), told
    assert not [link for link in tags.links if _SCRIPT_LINK.match(link)], told
    assert (tags.tags["main"], tags.tags["h1"]) in {(1, 1), (0, 0)}, told  # a page, or a part of one


@pytest.mark.parametrize("language", ["en", "he"])
async def test_every_page_that_a_link_leads_to_shows_what_is_foreign_as_text(
    desk: MendingDesk, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    """Each page of each route, masked and revealed, in both directions of reading."""
    evil = Evil()
    browser = await furnished(desk, evil, monkeypatch)
    browser.cookies["linkferry_lang"] = language
    sweep = Sweep(desk, browser)

    await sweep.run("/", "/search?q=zq", "/customers?q=972521230099", "/customers?q=972521230000")

    assert sweep.left_out == _NOT_LINKED
    assert [(unquote(address), page.status) for _, address, page in sweep.pages if page.status != 200] == []
    for route, address, page in sweep.pages:
        if route == _RAW:
            assert page.headers["Content-Security-Policy"].startswith(
                "sandbox allow-popups; default-src 'none'"
            )
            continue
        assert "runzq" not in page.text, address
        assert_harmless(f"{route} at {unquote(address)}", tags_of(page))
    everything = "".join(page.text for route, _, page in sweep.pages if route != _RAW)
    assert {mark for mark in evil.marks if mark not in everything} == _UNSEEN
