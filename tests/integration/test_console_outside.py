"""What comes from outside, on the console's pages: text, wherever it stands; and what is ours, in the reader's language."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.ledger_desk import DOUBTFUL, LINKED
from tests.factories import a_request
from tests.integration.console_desk import Answer, Browser, a_console
from tests.integration.console_looker import Looker, plain, tags_of
from worker.domain.outcome import Linked
from worker.domain.request import Contact
from worker.domain.roles import Role
from worker.domain.states import JobState

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
async def looker(fake_redis: redis.asyncio.Redis) -> AsyncIterator[Looker]:
    """A console over an empty ledger."""
    async with a_console(fake_redis, sandbox=True) as console:
        yield Looker(console, fake_redis)


@pytest.fixture
async def operator(looker: Looker) -> Browser:
    """Somebody who may act."""
    return await looker.console.signed_in(Role.OPERATOR)


async def hostile_pages(looker: Looker, browser: Browser) -> list[Answer]:
    """Return every page for looking, of jobs whose every text from outside is hostile."""
    contact = Contact(name=HOSTILE, email="x@example.com", phone=None, locale="he")
    texts = dict.fromkeys(("business_name", "display_name", "reference", "external_id"), HOSTILE)
    request, another = (a_request(**texts, contact=contact) for _ in range(2))
    failed = await looker.failed("unknown_66", request=request, raw=HOSTILE, detail=HOSTILE)
    linked = (await looker.desk.accept(request=another)).job_ids[0]
    await looker.desk.end(
        linked, Linked(link="javascript:alert(3)", landing_page=f"data:text/html,{HOSTILE}")
    )
    doubtful = (await looker.desk.accept(source=HOSTILE)).job_ids[0]
    await looker.desk.end(doubtful, DOUBTFUL)
    quoted = "%3Cscript%3Ealert(1)%3C/script%3E%22'%3E%3Cimg%20src=x%20onerror=alert(2)%3E"
    paths = [
        "/", "/failed", "/failed/unknown_66", f"/failed/{quoted}", "/jobs", f"/jobs?name={quoted}&reference={quoted}",
        f"/jobs?state={quoted}&older_than={quoted}", f"/jobs/{failed}", f"/jobs/{linked}", f"/jobs/{doubtful}",
        f"/search?q={quoted}", f"/customers?q={quoted}", f"/customers?q={failed}", f"/customers?q={linked}",
    ]  # fmt: skip
    return [await browser.get(path) for path in paths]


async def test_nothing_from_outside_runs_on_any_page(looker: Looker, operator: Browser) -> None:
    """Names, references, partner bodies, FAIL details, sources, links and addresses are text, wherever they stand."""
    for page in await hostile_pages(looker, operator):
        tags = tags_of(page)
        assert page.status in {200, 400, 404}, page.text[:300]
        assert tags.tags["script"] == 2  # ours, from our own address
        assert tags.tags["img"] == 0
        assert not any(name.startswith("on") or name == "style" for name in tags.attributes)
        assert not [
            link for link in tags.links if re.match(r"\s*(javascript|data|vbscript):", link, re.IGNORECASE)
        ]


async def test_every_page_is_sound(looker: Looker, operator: Browser) -> None:
    """No id stands twice on a page, which would lead labels, links and readers astray; each has one main heading."""
    for page in await hostile_pages(looker, operator):
        tags = tags_of(page)
        assert [name for name, count in tags.ids.items() if count > 1] == []
        assert tags.tags["h1"] == 1
        assert tags.tags["main"] == 1


async def test_a_hebrew_page_has_no_english_sentence(looker: Looker, operator: Browser) -> None:
    """Every text that is ours is translated: what is left in Latin letters are names, ids and words of commands."""
    job = await looker.failed()
    linked = await looker.desk.job_in(JobState.LINKED)
    operator.cookies["linkferry_lang"] = "he"
    paths = [
        "/", "/failed", "/failed/number_invalid", "/jobs", "/jobs?older_than=x", f"/jobs/{job}", f"/jobs/{linked}",
        "/search", "/search?q=nobody", "/search?q=dana", f"/customers?q={job}", "/customers", "/nowhere",
    ]  # fmt: skip
    for path in paths:
        page = await operator.get(path)
        assert '<html lang="he" dir="rtl"' in page.text
        own = re.sub(r"<bdi.*?</bdi>|<pre>.*?</pre>", " ", page.text, flags=re.DOTALL)
        assert re.findall(r"\b[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}\b", plain(own)) == [], path


async def test_a_link_is_masked_until_it_is_revealed_and_can_be_followed_then(
    looker: Looker, operator: Browser
) -> None:
    """Who has it may finish in the customer's place; the page that it opens learns nothing of ours."""
    job = (await looker.desk.accept()).job_ids[0]
    await looker.desk.end(job, LINKED)
    page = await operator.get(f"/jobs/{job}")
    assert "https://partner.example/***" in page.text
    assert "https://partner.example/onboarding/1" not in page.text
    shown = await operator.post(f"/jobs/{job}/reveal", csrf=page.csrf)
    assert 'href="https://partner.example/onboarding/1" rel="noopener noreferrer nofollow"' in shown.text


async def test_a_made_up_link_is_never_followed(looker: Looker, operator: Browser) -> None:
    """A partner's answer that is no web address stays text, on the revealed pages too."""
    job = (await looker.desk.accept()).job_ids[0]
    await looker.desk.end(job, Linked(link="javascript:alert(3)", landing_page="data:text/html,x"))
    for path, fields in ((f"/jobs/{job}/reveal", {}), ("/customers/reveal", {"q": job})):
        shown = await operator.post(path, fields, csrf=await operator.csrf())
        assert shown.status == 200
        assert not [link for link in tags_of(shown).links if link.startswith(("javascript", "data"))]
