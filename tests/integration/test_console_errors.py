"""A page that cannot be had now leads to the same page again: all of its address, and of a form the one it came from."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from aiohttp import web

from tests.integration.console_desk import ConsoleDesk, a_console
from worker.domain.roles import Role
from worker.ledger import LedgerUnavailable
from worker.ops.console.gate import requires


@requires(Role.VIEWER)
async def away(_request: web.Request) -> web.Response:
    """Go wrong as without Redis."""
    raise LedgerUnavailable("x")


@pytest.fixture
async def desk(real_redis) -> AsyncIterator[ConsoleDesk]:
    async with a_console(real_redis, routes=[web.get("/away", away), web.post("/away/act", away)]) as desk:
        yield desk


def again(text: str) -> str | None:
    """Return where the button leads."""
    found = re.search(r'<a class="button primary" href="([^"]*)"><span>Load it again', text)
    return found[1] if found else None


async def test_a_list_is_loaded_again_as_it_was_filtered(desk: ConsoleDesk) -> None:
    """Its address has more than its path."""
    browser = await desk.signed_in(Role.VIEWER)
    answer = await browser.get("/away?state=failed&name=%D7%93")
    assert answer.status == 503
    assert again(answer.text) == "/away?state=failed&amp;name=%D7%93"


async def test_after_a_form_its_page_is_loaded_again(desk: ConsoleDesk) -> None:
    """What a form would have done is not done by loading; where its page is not known, the overview is."""
    browser = await desk.signed_in(Role.VIEWER)
    csrf = await browser.csrf()
    told = await browser.post("/away/act", csrf=csrf, Referer=f"{browser.base}/account?told=clear")
    untold = await browser.post("/away/act", csrf=csrf)
    assert [told.status, untold.status] == [503, 503]
    assert again(told.text) == "/account"
    assert again(untold.text) == "/"


async def test_loading_again_leads_to_no_other_host(desk: ConsoleDesk, monkeypatch) -> None:
    """An address that begins with two slashes would."""
    browser = await desk.signed_in(Role.VIEWER)

    async def gone(*_args: object, **_kwargs: object) -> None:
        raise LedgerUnavailable("x")

    monkeypatch.setattr(desk.ledger, "sessions", SimpleNamespace(read=gone))
    answer = await browser.get("//elsewhere.example/x")
    assert answer.status == 503
    assert again(answer.text) == "/elsewhere.example/x"
