"""Erasing a customer in the console: for admins alone, after a look, with a reason that does not name him."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.contract.forgetting_desk import EMAIL, NAME, NUMBER, her_request, named_in
from tests.contract.ledger_desk import own_fail
from tests.integration.console_mending import MendingDesk, a_mending_desk, post
from worker.domain.outcome import Refused
from worker.domain.roles import Role
from worker.ops.views import iso


@pytest.fixture
async def desk(real_redis: redis.asyncio.Redis) -> AsyncIterator[MendingDesk]:
    async with a_mending_desk(real_redis) as desk:
        yield desk
        await desk.balance()


async def hers(desk: MendingDesk) -> str:
    """Return a failed job of hers."""
    job = (await desk.accept(request=her_request())).job_ids[0]
    await desk.end(job, Refused(fail=own_fail()))
    return job


async def test_an_admin_erases_a_customer_from_her_page(desk: MendingDesk) -> None:
    """Shown first what would go; then nothing leads to her, and the trail says that it was done."""
    job = await hers(desk)
    browser = await desk.console.signed_in(Role.ADMIN)
    assert f'href="/customers/forget?job={job}"' in (await browser.get(f"/customers?q={NUMBER}")).text
    page = await browser.get(f"/customers/forget?job={job}")
    assert job in page.text
    assert f'<strong class="whose"><bdi class="outside">{NAME}</bdi></strong>' in page.text
    assert "ask it to erase this customer as well" in page.text
    assert NUMBER not in page.text
    assert EMAIL not in page.text

    answer = await post(browser, "/customers/forget", job=job, why="asked by letter", stop="1")

    assert "Erased." in (await browser.get(answer.place)).text
    assert await named_in(desk.redis) == []
    assert set(await desk.ledger.suppressing.holds([EMAIL])) == {EMAIL}
    assert {(each.by, each.why) for each in await desk.console.trail("forget")} == {
        ("user:adina", "asked by letter")
    }
    assert (await browser.get(f"/customers/forget?job={job}")).status == 404


@pytest.mark.parametrize(("language", "says"), [("en", "This job was erased"), ("he", "המשימה הזאת נמחקה")])
async def test_an_erased_job_says_so(desk: MendingDesk, language: str, says: str) -> None:
    """By whom, when and why, wherever an old link to it leads; one that never was is only not found."""
    job = await hers(desk)
    admin, viewer = await desk.console.signed_in(Role.ADMIN), await desk.console.signed_in(Role.VIEWER)
    await post(admin, "/customers/forget", job=job, why="asked by letter")

    for path in (f"/jobs/{job}", f"/jobs/{job}/edit"):
        page = await admin.get(path, **{"Accept-Language": language})
        assert page.status == 410
        assert f"<h1>{says}</h1>" in page.text
        assert "user:adina" in page.text
        assert "asked by letter" in page.text
        assert f'<time datetime="{iso(desk.now_ms)}">' in page.text
    assert (await viewer.get(f"/jobs/{job}")).status == 410
    for path in ("/search", "/customers"):
        found = await viewer.get(f"{path}?q={job}")
        assert (found.status, found.place) == (303, f"/jobs/{job}")
    assert (await viewer.get(f"/jobs/{'0' * 20}w")).status == 404


async def test_an_edit_of_hers_can_still_be_looked_at(desk: MendingDesk) -> None:
    """On the trail's pages, without what was changed."""
    job = await hers(desk)
    await desk.edit(job, her_request(display_name="Ofra"))
    browser = await desk.console.signed_in(Role.ADMIN)
    await post(browser, "/customers/forget", job=job, why="asked by letter")

    [entry] = await desk.console.trail("edit")
    shown = await browser.get(f"/audit/{entry.id}")
    listed = await browser.get("/audit")

    assert (shown.status, listed.status) == (200, 200)
    assert "(erased)" in shown.text
    assert "erased a customer" in listed.text


async def test_nobody_else_may(desk: MendingDesk) -> None:
    """Neither look at it nor do it; an operator is not offered it."""
    job = await hers(desk)
    for role in (Role.VIEWER, Role.OPERATOR):
        browser = await desk.console.signed_in(role)
        assert "/customers/forget" not in (await browser.get(f"/customers?q={NUMBER}")).text
        assert (await browser.get(f"/customers/forget?job={job}")).status == 403
        assert (await post(browser, "/customers/forget", job=job, why="asked")).status == 403
    assert await desk.ledger.queries.job(job) is not None


@pytest.mark.parametrize(
    ("why", "says"), [("", "Say why, without a name"), (f"{NAME} asked", "The reason names the customer")]
)
async def test_the_reason_is_asked_for_and_names_nobody(desk: MendingDesk, why: str, says: str) -> None:
    """The page comes back, and says so."""
    job = await hers(desk)
    browser = await desk.console.signed_in(Role.ADMIN)

    answer = await post(browser, "/customers/forget", job=job, why=why)

    assert answer.status == 422
    assert says in answer.text
    assert await desk.ledger.queries.job(job) is not None


async def test_what_stands_in_the_way_is_named(desk: MendingDesk) -> None:
    """No form is offered while a link can be opened; one that was sent all the same is refused."""
    job = await desk.linked()
    browser = await desk.console.signed_in(Role.ADMIN)

    page = await browser.get(f"/customers/forget?job={job}")
    answer = await post(browser, "/customers/forget", job=job, why="asked")

    assert "revoke it first" in page.text
    assert 'action="/customers/forget"' not in page.text
    assert answer.status == 409
    assert "Nothing was erased" in answer.text
