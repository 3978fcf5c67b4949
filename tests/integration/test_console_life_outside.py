"""The console's pages of a link's life: what comes from outside is text, and what is ours is in the reader's language."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.ledger_desk import LINKED
from tests.factories import a_request
from tests.integration.console_desk import Answer, Browser, a_console
from tests.integration.console_looker import Looker, plain, tags_of
from worker.domain.brand import Brand
from worker.domain.request import Contact
from worker.domain.roles import Role
from worker.ledger.completing import VANISHED, ExpiringNumber

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
_SCRIPT_LINK = re.compile(r"\s*(javascript|data|vbscript):", re.IGNORECASE)


@pytest.fixture
async def looker(fake_redis: redis.asyncio.Redis) -> AsyncIterator[Looker]:
    """A console over an empty ledger."""
    async with a_console(fake_redis, sandbox=True) as console:
        yield Looker(console, fake_redis)


async def a_life(looker: Looker, words: str) -> tuple[str, str]:
    """Fill every group of every page with *words*; return a job whose link vanished and one that is linked."""
    ledger = looker.console.ledger
    contact = Contact(name=words, email="x@example.com", phone=None, locale="he")
    request = a_request(business_name=words, display_name=words, contact=contact)
    vanished = await looker.failed(VANISHED, request=request)
    linked = (await looker.desk.accept()).job_ids[0]
    await looker.desk.end(linked, LINKED)
    links = dict.fromkeys(("logo", "privacy_url", "verify_url"), f"javascript:{words}")
    names = dict.fromkeys(("name_he", "name_en", "contact_person", "phone", "reply_to", "sms_sender"), words)
    for name in ("acme", "other"):
        await ledger.brands.keep(
            Brand(name=name, colour=words, **links, **names), seen=None, by=words, why=words
        )
    await ledger.brands.make_default("acme", by=words)
    await ledger.suppressing.add("x@example.com", "972501234567", by=words, why=words)
    now_ms = await ledger.now_ms()
    numbers = [
        ExpiringNumber(
            number="972501234567", expires_at_ms=now_ms + 86_400_000, job_id=linked, is_linked=True
        ),
        ExpiringNumber(number=words, expires_at_ms=now_ms + 1),
    ]
    await ledger.completing.note(
        numbers=numbers, suspicious_since_ms=now_ms, missing=40, listed_at_ms=now_ms, refused_from=words
    )
    looker.console.now_ms += 30 * 86_400_000
    return vanished, linked


async def pages(looker: Looker, words: str, *, language: str | None = None) -> list[Answer]:
    """Return the pages, to who may look and to who may do everything, and those of forms that were filled in badly."""
    vanished, linked = await a_life(looker, words)
    paths = [
        "/brands", "/brands/acme", "/brands/other", "/watch", "/suppressed", "/suppressed?told=no_contact_typed",
        f"/customers?q={vanished}", f"/customers?q={linked}", f"/jobs/{vanished}", f"/jobs/{linked}",
    ]  # fmt: skip
    found = []
    for role in (Role.VIEWER, Role.ADMIN):
        browser = await looker.console.signed_in(role)
        if language is not None:
            browser.cookies["linkferry_lang"] = language
        found += [await browser.get(path) for path in paths]
    found += [await browser.get(f"/jobs/{job}/replace") for job in (vanished, linked)]
    return found + await badly_filled(browser, linked, words)


async def badly_filled(browser: Browser, job: str, words: str) -> list[Answer]:
    """Return what forms say to what they cannot take."""
    csrf = await browser.csrf()
    brand = dict.fromkeys(
        ("name_he", "logo", "colour", "phone", "reply_to", "sms_sender", "privacy_url"),
        f"{words} https://x.y",
    )
    form = await browser.get(f"/jobs/{job}/replace")
    seen = re.search(r'name="seen" value="([^"]*)"', form.text)
    assert seen is not None
    changes = {"seen": seen[1], "do": "check", "whatsapp": words, "email": words}
    return [
        await browser.post("/brands", {"name": words} | brand, csrf=csrf),
        await browser.post("/brands", {"name": "new"}, csrf=csrf),
        await browser.post("/brands/other", brand | {"seen": "0"}, csrf=csrf),
        await browser.post("/brands/acme/remove", {}, csrf=csrf),
        await browser.post(f"/jobs/{job}/replace", changes, csrf=csrf),
    ]


async def test_nothing_from_outside_runs_on_any_page_of_a_links_life(looker: Looker) -> None:
    """Brands, names, numbers at the partner, who stopped whom and why: text, wherever they stand."""
    for page in await pages(looker, HOSTILE):
        tags = tags_of(page)
        assert page.status in {200, 422}, page.text[:300]
        assert tags.tags["script"] == 2  # ours, from our own address
        assert tags.tags["img"] == 0
        assert not any(name.startswith("on") or name == "style" for name in tags.attributes)
        assert not [link for link in tags.links if _SCRIPT_LINK.match(link)]
        assert [name for name, count in tags.ids.items() if count > 1] == []
        assert (tags.tags["h1"], tags.tags["main"]) == (1, 1)


async def test_in_hebrew_no_page_of_a_links_life_has_an_english_sentence(looker: Looker) -> None:
    """What forms refuse included."""
    for page in await pages(looker, "דנה", language="he"):
        assert '<html lang="he" dir="rtl"' in page.text
        own = re.sub(r"<bdi.*?</bdi>|<pre>.*?</pre>|<code.*?</code>", " ", page.text, flags=re.DOTALL)
        title = re.search(r"<h1.*?</h1>", page.text, flags=re.DOTALL)
        assert re.findall(r"\b[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}\b", plain(own)) == [], title


async def test_who_was_put_on_the_stop_list_is_masked_in_the_trail_until_it_is_revealed(
    looker: Looker,
) -> None:
    """By whoever may; that he looked is recorded, and the words around it are in his language."""
    await looker.console.ledger.suppressing.add("dana.cohen@example.com", by="vera")
    browser = await looker.console.signed_in(Role.OPERATOR)
    browser.cookies["linkferry_lang"] = "he"
    [entry] = await looker.console.trail("suppress")

    page = await browser.get(f"/audit/{entry.id}")
    shown = await browser.post(f"/audit/{entry.id}/reveal", csrf=page.csrf)

    assert f'action="/audit/{entry.id}/reveal"' in page.text
    assert "dana.cohen" not in page.text
    assert "נמען" in page.text
    assert "dana.cohen@example.com" in shown.text
    assert len(await looker.console.trail("reveal")) == 1


async def test_every_field_of_a_links_life_has_a_label(looker: Looker) -> None:
    """So that it can be filled in by who hears the page, and without a script."""
    for page in await pages(looker, "Dana"):
        labels = set(re.findall(r'<label[^>]* for="([^"]+)"', page.text))
        for field in re.findall(r"<(?:input|select|textarea)\b[^>]*>", page.text):
            if 'type="hidden"' in field:
                continue
            named = re.search(r' id="([^"]+)"', field)
            assert "aria-label" in field or (named and named[1] in labels) or 'type="checkbox"' in field, (
                field
            )
        assert page.text.count('method="post"') <= page.text.count('name="_csrf"')
