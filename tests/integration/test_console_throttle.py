"""How often anybody may try to sign in, who is not kept out by it, and what the tries betray."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import argon2
import pytest

from tests.integration.console_desk import NAMES, Browser, ConsoleDesk, a_console
from worker.domain.roles import Role
from worker.ops.console.sessions import DEVICE_COOKIE

VERA = NAMES[Role.VIEWER]


@pytest.fixture
async def desk(real_redis) -> AsyncIterator[ConsoleDesk]:
    async with a_console(real_redis) as desk:
        yield desk


class CountingHasher(argon2.PasswordHasher):
    """Notes against which parameters a password was checked."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.checked: list[str] = []

    def verify(self, *given: Any) -> Literal[True]:
        self.checked.append(given[0][:26])
        return super().verify(*given)


async def test_a_name_that_is_nobodys_costs_as_much_as_a_wrong_password(
    desk: ConsoleDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same hashing, once, and the same questions to Redis: the time taken does not tell who has an account."""
    await desk.add(Role.VIEWER)
    await desk.add(Role.ADMIN)
    await desk.signed_in(Role.OPERATOR)
    await desk.ledger.users.disable(NAMES[Role.ADMIN], by="test")
    await desk.browser().sign_in("warm-up", "wrong-password-1")
    client = desk.ledger.users._scripts.redis
    execute = client.execute_command
    costs = []
    for name in (*NAMES.values(), "nobody"):
        browser, hasher, asked = desk.browser(), CountingHasher(), []
        page = await browser.get("/login")
        with monkeypatch.context() as counting:
            counting.setattr(desk.accounts.passwords, "_hasher", hasher)

            async def noting(*words: Any, asked: list[Any] = asked, **more: Any) -> Any:
                asked.append(words[0])
                return await execute(*words, **more)

            counting.setattr(client, "execute_command", noting)
            fields = {"name": name, "password": "wrong-password-1"}
            assert (await browser.post("/login", fields, csrf=page.csrf)).status == 403
        costs.append((hasher.checked, asked))

    assert costs == [costs[0]] * 4
    assert costs[0][0] == ["$argon2id$v=19$m=8,t=1,p=1"]
    assert "HMGET" in costs[0][1]


async def test_tries_at_one_name_run_out_and_come_back(desk: ConsoleDesk) -> None:
    """Five at once, then one a minute; the right password does not help before."""
    await desk.add(Role.VIEWER)
    browser = desk.browser()
    for _ in range(5):
        assert (await browser.sign_in(VERA, "wrong-password-1")).status == 403

    refused = await browser.sign_in(VERA)
    assert refused.status == 429
    assert refused.headers["Retry-After"] == "60"
    assert "Too many tries" in refused.text

    desk.advance(60)
    assert (await browser.sign_in(VERA)).status == 303


async def test_signing_in_rightly_uses_up_nothing(desk: ConsoleDesk) -> None:
    """Who comes and goes all day is not kept out."""
    await desk.add(Role.VIEWER)

    for _ in range(25):
        assert (await desk.browser().sign_in(VERA)).status == 303


async def test_one_address_cannot_try_many_names(desk: ConsoleDesk) -> None:
    """Twenty at once, whoever they are."""
    statuses = [(await desk.browser().sign_in(f"name-{n}", "wrong-password-1")).status for n in range(22)]

    assert statuses == [403] * 20 + [429] * 2


async def test_a_stranger_elsewhere_does_not_lock_the_owner_out(real_redis) -> None:
    """His tries are counted with his address."""
    async with a_console(real_redis, trusted_proxies="127.0.0.1", public_url="https://ops.example") as desk:
        await desk.add(Role.VIEWER)
        stranger, owner = desk.browser(), desk.browser()
        stranger.headers |= {"X-Forwarded-For": "198.51.100.66", "X-Forwarded-Proto": "https"}
        owner.headers |= {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
        for _ in range(7):
            await stranger.sign_in(VERA, "wrong-password-1")

        assert (await stranger.sign_in(VERA, "wrong-password-1")).status == 429
        assert (await owner.sign_in(VERA)).status == 303
        [entry] = await desk.trail("sign_in")
        assert entry.detail["address"] == "203.0.113.7"


async def test_many_strangers_do_not_lock_the_owner_out_of_where_he_works(real_redis) -> None:
    """Tries at his name from everywhere: who signed in from an address lately still comes in from there."""
    async with a_console(real_redis, trusted_proxies="127.0.0.1", public_url="https://ops.example") as desk:
        await desk.add(Role.VIEWER)

        def browser_at(address: str) -> Browser:
            browser = desk.browser()
            browser.headers |= {"X-Forwarded-For": address, "X-Forwarded-Proto": "https"}
            return browser

        assert (await browser_at("203.0.113.7").sign_in(VERA)).status == 303
        for nth in range(50):
            await browser_at(f"198.51.100.{nth}").sign_in(VERA, "wrong-password-1")

        assert (await browser_at("203.0.113.8").sign_in(VERA)).status == 429
        for _ in range(2):
            assert (await browser_at("203.0.113.7").sign_in(VERA)).status == 303
        assert (await browser_at("203.0.113.8").sign_in(VERA)).status == 429, "his success is not theirs"
        for _ in range(5):
            assert (await browser_at("203.0.113.7").sign_in(VERA, "wrong-password-1")).status == 403
        assert (await browser_at("203.0.113.7").sign_in(VERA)).status == 429, "nor may anybody guess there"


def device_only(browser: Browser) -> dict[str, str]:
    """Return the browser's cookies when it was closed and opened again: what ends with it has ended."""
    return {DEVICE_COOKIE: browser.cookies[DEVICE_COOKIE]}


async def test_strangers_at_the_owners_own_address_do_not_lock_him_out_of_his_browser(
    desk: ConsoleDesk,
) -> None:
    """Behind one address, as in an office or behind a proxy that nobody told us of: his browser is known for his name."""
    await desk.add(Role.VIEWER)
    await desk.add(Role.ADMIN)
    browser = desk.browser()
    assert (await browser.sign_in(VERA)).status == 303
    for nth in range(20):
        await desk.browser().sign_in(VERA if nth < 5 else f"name-{nth}", "wrong-password-1")
    browser.cookies = device_only(browser)

    assert (await desk.browser().sign_in(VERA)).status == 429
    assert (await desk.browser().sign_in(NAMES[Role.ADMIN])).status == 429
    assert (await browser.sign_in(NAMES[Role.ADMIN])).status == 429, "known for his own name only"
    for _ in range(2):
        assert (await browser.sign_in(VERA)).status == 303
        browser.cookies = device_only(browser)
    for _ in range(5):
        assert (await browser.sign_in(VERA, "wrong-password-1")).status == 403
    assert (await browser.sign_in(VERA)).status == 429, "nor may anybody guess in it"


async def test_a_browser_is_known_for_a_month(desk: ConsoleDesk) -> None:
    """By a cookie that opens nothing and that only our own pages' forms send; each sign-in begins the month anew."""
    await desk.add(Role.VIEWER)
    browser = desk.browser()
    first = (await browser.sign_in(VERA)).cookie(DEVICE_COOKIE)
    assert (first["secure"], first["httponly"], first["samesite"], first["path"], first["domain"]) == (
        True, True, "Strict", "/", "",
    )  # fmt: skip
    assert first["max-age"] == str(30 * 24 * 3600)
    browser.cookies = device_only(browser)
    assert (await browser.get("/account")).status == 303
    assert (await browser.sign_in(VERA)).cookie(DEVICE_COOKIE).value == first.value
    made_up = desk.browser()
    made_up.cookies = {DEVICE_COOKIE: "d" * 43}
    for _ in range(5):
        await made_up.sign_in(VERA, "wrong-password-1")
    assert (await made_up.sign_in(VERA)).status == 429


async def test_tries_that_come_too_early_are_recorded_but_do_not_fill_the_trail(desk: ConsoleDesk) -> None:
    """So that whoever is kept out finds in the trail why, and from where it was tried."""
    await desk.add(Role.VIEWER)
    for _ in range(5 + 30):
        await desk.browser().sign_in(VERA, "wrong-password-1")

    causes = [entry.detail["cause"] for entry in await desk.trail("sign_in_refused")]
    assert causes == ["too_many_tries"] * 20 + ["wrong_password"] * 5


async def test_a_try_whose_password_nobody_looked_at_is_none(desk: ConsoleDesk, monkeypatch) -> None:
    """Where too many sign in at once, whoever is sent away has lost nothing by it."""
    await desk.add(Role.VIEWER)
    browser = desk.browser()
    with monkeypatch.context() as crowd:
        crowd.setattr(desk.accounts.passwords, "_waiting", 16)
        for _ in range(6):
            assert (await browser.sign_in(VERA)).status == 503

    assert (await browser.sign_in(VERA)).status == 303
    browser.cookies = device_only(browser)
    with monkeypatch.context() as crowd:
        crowd.setattr(desk.accounts.passwords, "_waiting", 16)
        assert (await browser.sign_in(VERA)).status == 303, "where he was before, he has a place of his own"
        browser.cookies = device_only(browser)
        crowd.setattr(desk.accounts.passwords, "_waiting", 24)
        assert (await browser.sign_in(VERA)).status == 503
