"""The console's pages of users, keys and one's own account, over real HTTP."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from tests.integration.console_desk import NAMES, PASSWORD, Answer, ConsoleDesk, a_console
from worker.domain.roles import Role

ADINA, VERA = NAMES[Role.ADMIN], NAMES[Role.VIEWER]
NEW = "another-long-password"


@pytest.fixture
async def desk(real_redis) -> AsyncIterator[ConsoleDesk]:
    async with a_console(real_redis, api_keys="from-the-settings") as desk:
        yield desk


def secret_on(page: Answer) -> str:
    """Return the secret that a page shows."""
    found = re.search(r'class="secret">.*?>([^<]+)<', page.text, re.DOTALL)
    assert found, page.text
    return found[1].removeprefix("Authorization: Bearer ")


# --- users -------------------------------------------------------------------------------------------------


async def test_an_admin_adds_a_user_with_a_password_made_for_him(desk: ConsoleDesk) -> None:
    """Shown this once; it works, and it is kept as a hash only."""
    browser = await desk.signed_in(Role.ADMIN)

    page = await browser.post(
        "/users", {"name": "Noa@example.com", "role": "operator"}, csrf=await browser.csrf()
    )

    assert page.status == 200
    password = secret_on(page)
    assert (await desk.browser().sign_in("noa@example.com", password)).status == 303
    assert password not in (await browser.get("/users")).text
    [entry] = (await desk.ledger.trail.find(act="user_add", subject="noa@example.com")).items
    assert (entry.by, entry.detail) == (f"user:{ADINA}", {"role": "operator"})


async def test_an_admin_may_choose_the_password(desk: ConsoleDesk) -> None:
    """Then it is not shown."""
    browser = await desk.signed_in(Role.ADMIN)

    answer = await browser.post(
        "/users", {"name": "noa", "role": "viewer", "password": NEW}, csrf=await browser.csrf()
    )

    assert (answer.status, answer.place) == (303, "/users?done=add")
    assert "The account is made." in (await browser.get(answer.place)).text
    assert (await desk.browser().sign_in("noa", NEW)).status == 303


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": ADINA, "role": "viewer"}, "There is a user of that name already."),
        ({"name": "no spaces", "role": "viewer"}, "A name is 1 to 64 letters"),
        ({"name": "noa", "role": "owner"}, "A role is viewer, operator or admin."),
        ({"name": "noa", "role": "viewer", "password": "short"}, "at least 12 characters"),
        ({"name": "noa", "role": "viewer", "password": "noa-and-more-of-it"}, "must not hold"),
    ],
)
async def test_what_cannot_be_a_user_is_refused_in_words(
    desk: ConsoleDesk, fields: dict[str, str], text: str
) -> None:
    """And nobody is added."""
    browser = await desk.signed_in(Role.ADMIN)

    page = await browser.post("/users", fields, csrf=await browser.csrf())

    assert page.status == 422
    assert text in page.text.replace("&#39;", "'")
    assert [user.name for user in await desk.ledger.users.list()] == [ADINA]


async def test_an_admin_disables_and_enables(desk: ConsoleDesk) -> None:
    """The one he disables is out at once."""
    vera, browser = await desk.signed_in(Role.VIEWER), await desk.signed_in(Role.ADMIN)
    csrf = await browser.csrf()

    assert (await browser.post("/users/disable", {"name": VERA}, csrf=csrf)).place == "/users?done=disable"
    assert (await vera.get("/account")).status == 303
    assert (await desk.browser().sign_in(VERA)).status == 403

    assert (await browser.post("/users/enable", {"name": VERA}, csrf=csrf)).place == "/users?done=enable"
    assert (await desk.browser().sign_in(VERA)).status == 303


async def test_an_admin_changes_a_role(desk: ConsoleDesk) -> None:
    """It holds with the next sign-in, which is needed at once."""
    vera, browser = await desk.signed_in(Role.VIEWER), await desk.signed_in(Role.ADMIN)

    answer = await browser.post("/users/role", {"name": VERA, "role": "admin"}, csrf=await browser.csrf())

    assert answer.place == "/users?done=role"
    assert (await vera.get("/users")).status == 303
    assert (await vera.sign_in(VERA)).status == 303
    assert (await vera.get("/users")).status == 200


async def test_a_role_that_somebody_has_already_is_said(desk: ConsoleDesk) -> None:
    """Nothing is changed: no session ends, and no entry says that one did."""
    browser = await desk.signed_in(Role.ADMIN)
    vera = await desk.signed_in(Role.VIEWER)
    answer = await browser.post("/users/role", {"name": VERA, "role": "viewer"}, csrf=await browser.csrf())

    assert "has that role already: nothing was changed" in (await browser.get(answer.place)).text
    assert (await vera.get("/")).status == 200
    assert await desk.trail("user_role") == []


async def test_an_admin_gives_a_new_password(desk: ConsoleDesk) -> None:
    """The old one and its sessions are worth nothing any more."""
    vera, browser = await desk.signed_in(Role.VIEWER), await desk.signed_in(Role.ADMIN)

    page = await browser.post("/users/password", {"name": VERA}, csrf=await browser.csrf())

    assert (await vera.get("/account")).status == 303
    assert (await desk.browser().sign_in(VERA)).status == 403
    assert (await desk.browser().sign_in(VERA, secret_on(page))).status == 303


@pytest.mark.parametrize("path", ["/users/disable", "/users/role", "/users/password"])
async def test_nobody_locks_himself_out(desk: ConsoleDesk, path: str) -> None:
    """So there is always an admin left who can come in."""
    browser = await desk.signed_in(Role.ADMIN)

    page = await browser.post(path, {"name": ADINA, "role": "viewer"}, csrf=await browser.csrf())

    assert page.status == 422
    assert "Another admin has to do that to your own account." in page.text
    assert (await browser.get("/users")).status == 200


@pytest.mark.parametrize("path", ["/users/disable", "/users/enable", "/users/role", "/users/password"])
async def test_changes_to_nobody_are_refused(desk: ConsoleDesk, path: str) -> None:
    """The page says that there is no such user."""
    browser = await desk.signed_in(Role.ADMIN)

    page = await browser.post(path, {"name": "nobody", "role": "viewer"}, csrf=await browser.csrf())

    assert page.status == 422
    assert "There is no user of that name." in page.text


# --- keys --------------------------------------------------------------------------------------------------


async def test_a_key_is_shown_once_and_works_until_it_is_revoked(desk: ConsoleDesk) -> None:
    """The list says who made it and when it was used."""
    browser = await desk.signed_in(Role.ADMIN)
    csrf = await browser.csrf()

    page = await browser.post("/keys", {"name": "crm"}, csrf=csrf)
    secret = secret_on(page)
    assert await desk.ledger.keys_of_api.check(secret) == "crm"

    listed = await browser.get("/keys")
    assert secret not in listed.text
    assert "crm" in listed.text
    assert f"user:{ADINA}" in listed.text
    assert "not yet" not in listed.text

    assert (await browser.post("/keys/revoke", {"name": "crm"}, csrf=csrf)).place == "/keys?done=revoke"
    assert await desk.ledger.keys_of_api.check(secret) is None
    assert [entry.by for entry in await desk.trail("key_revoke")] == [f"user:{ADINA}"]


async def test_a_key_needs_a_name_of_its_own(desk: ConsoleDesk) -> None:
    """Said in words; nothing is made."""
    browser = await desk.signed_in(Role.ADMIN)
    csrf = await browser.csrf()
    await browser.post("/keys", {"name": "crm"}, csrf=csrf)

    taken = await browser.post("/keys", {"name": "crm"}, csrf=csrf)
    empty = await browser.post("/keys", {"name": " "}, csrf=csrf)
    unknown = await browser.post("/keys/revoke", {"name": "none"}, csrf=csrf)

    assert [each.status for each in (taken, empty, unknown)] == [422, 422, 422]
    assert "There is a key of that name already" in taken.text
    assert "one line of at most 64 letters" in empty.text
    assert "There is no key of that name." in unknown.text
    assert len(await desk.ledger.keys_of_api.list()) == 1


async def test_keys_of_the_settings_are_mentioned(desk: ConsoleDesk) -> None:
    """They cannot be changed here, and their secrets are not shown."""
    page = await (await desk.signed_in(Role.ADMIN)).get("/keys")

    assert "One more key stands in the setting API_KEYS" in page.text
    assert "from-the-settings" not in page.text


# --- one's own account -------------------------------------------------------------------------------------


async def test_one_changes_ones_own_password(desk: ConsoleDesk) -> None:
    """This session goes on, the others end."""
    here, there = await desk.signed_in(Role.VIEWER), await desk.signed_in(Role.VIEWER)

    answer = await here.post(
        "/account/password", {"present": PASSWORD, "password": NEW, "again": NEW}, csrf=await here.csrf()
    )

    assert answer.place == "/account?done=password"
    assert (await here.get("/account")).status == 200
    assert (await there.get("/account")).status == 303
    assert (await desk.browser().sign_in(VERA)).status == 403
    assert (await desk.browser().sign_in(VERA, NEW)).status == 303


async def test_a_copy_of_the_cookie_is_worth_nothing_after_a_new_password(desk: ConsoleDesk) -> None:
    """Whoever changes his password because somebody may be in has shut him out: this session too has a new id."""
    here, thief = await desk.signed_in(Role.VIEWER), desk.browser()
    thief.cookies = dict(here.cookies)
    csrf = await thief.csrf()

    answer = await here.post(
        "/account/password", {"present": PASSWORD, "password": NEW, "again": NEW}, csrf=csrf
    )

    assert (await thief.get("/account")).status == 303
    page = await here.get(answer.place)
    assert page.status == 200
    assert page.csrf != csrf
    assert "End all other sessions" not in page.text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"present": "wrong", "password": NEW, "again": NEW}, "not your present password"),
        ({"present": PASSWORD, "password": NEW, "again": "other"}, "are not the same"),
        ({"present": PASSWORD, "password": "short", "again": "short"}, "at least 12 characters"),
        ({}, "not your present password"),
    ],
)
async def test_a_password_that_will_not_do_changes_nothing(
    desk: ConsoleDesk, fields: dict[str, str], text: str
) -> None:
    """The page says why; the old one still works."""
    browser = await desk.signed_in(Role.VIEWER)

    page = await browser.post("/account/password", fields, csrf=await browser.csrf())

    assert page.status == 422
    assert text in page.text
    assert (await desk.browser().sign_in(VERA)).status == 303


async def test_a_session_left_open_is_no_way_to_guess_the_password(desk: ConsoleDesk) -> None:
    """Tries at the present one count as tries to sign in."""
    browser = await desk.signed_in(Role.VIEWER)
    csrf = await browser.csrf()
    fields = {"present": "wrong", "password": NEW, "again": NEW}

    answers = [await browser.post("/account/password", fields, csrf=csrf) for _ in range(6)]

    assert [each.status for each in answers] == [422] * 5 + [429]
    assert "That is not your present password." in answers[4].text
    assert "That is not your present password." not in answers[5].text
    assert "Too many tries." in answers[5].text
    assert answers[5].headers["Retry-After"] == "60"


async def test_the_other_sessions_can_be_ended(desk: ConsoleDesk) -> None:
    """The page says how many there are."""
    here, there = await desk.signed_in(Role.VIEWER), await desk.signed_in(Role.VIEWER)
    page = await here.get("/account")
    assert "End all other sessions" in page.text

    assert (await here.post("/account/sessions", csrf=page.csrf)).place == "/account?done=sessions"

    assert (await there.get("/account")).status == 303
    assert "End all other sessions" not in (await here.get("/account")).text


async def test_language_and_colours_go_with_the_account(desk: ConsoleDesk) -> None:
    """To every browser; what this one was told before is forgotten."""
    here = await desk.signed_in(Role.VIEWER)
    await here.get("/account?lang=en")

    await here.post("/account/preferences", {"language": "he", "theme": "dark"}, csrf=await here.csrf())

    for browser in (here, await desk.signed_in(Role.VIEWER)):
        text = (await browser.get("/account")).text
        assert '<html lang="he" dir="rtl" data-theme="dark"' in text
    await here.post("/account/preferences", {"language": "xx", "theme": "pink"}, csrf=await here.csrf())
    assert '<html lang="en" dir="ltr">' in (await here.get("/account")).text
