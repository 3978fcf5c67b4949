"""The way into the console and out of it, over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import structlog

from tests.integration.console_desk import NAMES, PASSWORD, ConsoleDesk, a_console
from worker.domain.roles import Role
from worker.ops.console.csrf import LOGIN_COOKIE
from worker.ops.console.sessions import SESSION_COOKIE

IDLE_S, LENGTH_S = 1800, 43_200
VERA = NAMES[Role.VIEWER]


@pytest.fixture
async def desk(real_redis) -> AsyncIterator[ConsoleDesk]:
    async with a_console(real_redis) as desk:
        yield desk


async def test_nobody_can_come_in_before_there_is_an_account(desk: ConsoleDesk) -> None:
    """The sign-in page says how to make the first."""
    browser = desk.browser()

    assert "linkferry user add admin --role admin" in (await browser.get("/login")).text
    answer = await browser.sign_in("admin", "admin")

    assert answer.status == 403
    assert SESSION_COOKIE not in browser.cookies
    await desk.add(Role.ADMIN)
    assert "user add" not in (await browser.get("/login")).text


async def test_signing_in_leads_to_the_page_that_was_wanted(desk: ConsoleDesk) -> None:
    """By way of the sign-in page, with nothing lost of its address."""
    await desk.add(Role.VIEWER)
    browser = desk.browser()

    asked = await browser.get("/account?done=sessions")
    assert (asked.status, asked.place) == (303, "/login?next=%2Faccount%3Fdone%3Dsessions")
    page = await browser.get(asked.place)
    answer = await browser.post(
        asked.place, {"name": VERA, "password": PASSWORD, "next": "/account?done=sessions"}, csrf=page.csrf
    )

    assert (answer.status, answer.place) == (303, "/account?done=sessions")
    page = await browser.get(answer.place)
    assert page.status == 200
    assert VERA in page.text
    [entry] = await desk.trail("sign_in")
    assert (entry.by, entry.subject, entry.detail["address"]) == (f"user:{VERA}", VERA, "127.0.0.1")


async def test_a_name_is_known_however_it_is_typed(desk: ConsoleDesk) -> None:
    """Capitals and blanks around it are no matter; in the password they are."""
    await desk.add(Role.VIEWER)

    assert (await desk.browser().sign_in(f" {VERA.upper()} ")).status == 303
    assert (await desk.browser().sign_in(VERA, PASSWORD.upper())).status == 403
    assert (await desk.browser().sign_in(VERA, f"{PASSWORD} ")).status == 403


async def test_the_cookie_is_for_this_host_and_out_of_scripts_reach(desk: ConsoleDesk) -> None:
    """`__Host-`: Secure, no Domain, Path=/; it ends with the browser, or earlier."""
    await desk.add(Role.VIEWER)
    browser = desk.browser()

    cookie = (await browser.sign_in(VERA)).cookie(SESSION_COOKIE)

    assert cookie.key == "__Host-linkferry"
    assert len(cookie.value) == 43
    assert cookie["secure"] is True
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/"
    assert not cookie["domain"]
    assert not cookie["max-age"]
    assert not cookie["expires"]
    assert LOGIN_COOKIE not in browser.cookies


@pytest.mark.parametrize("name", [VERA, "nobody", "", "<script>", "x" * 3000, "\u202e"])
async def test_a_wrong_password_is_refused_like_a_wrong_name(desk: ConsoleDesk, name: str) -> None:
    """The page says the same and shows what was typed as text."""
    await desk.add(Role.VIEWER)
    browser = desk.browser()

    answer = await browser.sign_in(name, "wrong-password-1")

    assert answer.status == 403
    assert "That name and password do not go together." in answer.text
    assert "<script>alert" not in answer.text
    assert SESSION_COOKIE not in browser.cookies


async def test_refused_sign_ins_are_recorded_without_what_strangers_typed(desk: ConsoleDesk) -> None:
    """An unknown name may be a password in the wrong field."""
    await desk.add(Role.VIEWER)
    await desk.browser().sign_in(VERA, "wrong-password-1")
    await desk.browser().sign_in("my-secret-password", "oops")

    unknown, known = await desk.trail("sign_in_refused")

    assert (known.by, known.subject, known.detail["cause"]) == ("nobody", VERA, "wrong_password")
    assert (unknown.subject, unknown.detail["cause"]) == ("", "unknown_name")
    assert "my-secret-password" not in repr(unknown)


async def test_no_password_gets_into_the_logs(desk: ConsoleDesk) -> None:
    """Nor the name that was tried."""
    await desk.add(Role.VIEWER)
    with structlog.testing.capture_logs() as logs:
        await desk.browser().sign_in(VERA, "wrong-password-1")
        await desk.browser().sign_in("stranger", "wrong-password-2")

    assert [each["event"] for each in logs] == ["sign_in_refused", "sign_in_refused"]
    assert "wrong-password" not in repr(logs)
    assert "stranger" not in repr(logs)
    assert VERA not in repr(logs)


@pytest.mark.parametrize("wanted", ["//[", "//%E2%84%80"])
async def test_a_way_on_that_is_no_address_is_left_out(desk: ConsoleDesk, wanted: str) -> None:
    """Whatever somebody wrote into the link."""
    assert (await desk.browser().get(f"/login?next={wanted}")).status == 200


async def test_an_id_that_was_planted_is_not_taken_over(desk: ConsoleDesk) -> None:
    """Session fixation: the sign-in always makes a new id, and a known one of before ends."""
    await desk.add(Role.VIEWER)
    browser = desk.browser()
    browser.cookies[SESSION_COOKIE] = planted = "p" * 43

    assert (await browser.sign_in(VERA)).status == 303

    first = browser.cookies[SESSION_COOKIE]
    assert first != planted
    victim = desk.browser()
    victim.cookies[SESSION_COOKIE] = planted
    assert (await victim.get("/account")).status == 303

    page = await desk.browser().get("/login")
    again = desk.browser()
    again.cookies = {SESSION_COOKIE: first, LOGIN_COOKIE: page.cookie(LOGIN_COOKIE).value}
    fields = {"name": VERA, "password": PASSWORD}
    assert (await again.post("/login", fields, csrf=page.csrf)).status == 303
    assert again.cookies[SESSION_COOKIE] != first
    assert (await browser.get("/account")).status == 303


async def test_who_is_signed_in_needs_no_sign_in_page(desk: ConsoleDesk) -> None:
    """It leads on."""
    browser = await desk.signed_in(Role.VIEWER)

    answer = await browser.get("/login?next=/account")

    assert (answer.status, answer.place) == (303, "/account")


async def test_an_idle_session_ends(desk: ConsoleDesk) -> None:
    """After CONSOLE_IDLE_S; a page that renews itself does not keep it."""
    browser = await desk.signed_in(Role.VIEWER)
    desk.advance(IDLE_S - 10)
    assert (await browser.get("/account")).status == 200
    desk.advance(IDLE_S - 10)
    assert (await browser.get("/account", X_Poll="1")).status == 200

    desk.advance(10)

    assert (await browser.get("/account")).place == "/login?next=%2Faccount"


async def test_a_busy_session_ends_too(desk: ConsoleDesk) -> None:
    """After CONSOLE_SESSION_S."""
    browser = await desk.signed_in(Role.VIEWER)
    for _ in range(LENGTH_S // 1200 - 1):
        desk.advance(1200)
        assert (await browser.get("/account")).status == 200

    desk.advance(1200)

    assert (await browser.get("/account")).status == 303


@pytest.mark.parametrize(
    ("referer", "wanted"),
    [
        ("{base}/jobs?state=failed&told=requeue", "%2Fjobs%3Fstate%3Dfailed"),
        ("{base}/account?done=password", "%2Faccount"),
        ("{base}/jobs/x/reveal", None),
        ("{base}/account/password", None),
        ("{base}/nowhere", None),
        ("{base}/", None),
        ("https://evil.example/jobs", None),
        ("{base}//evil.example/", None),
        (None, None),
    ],
)
async def test_a_form_that_came_after_the_end_leads_back_to_its_page(
    desk: ConsoleDesk, referer: str | None, wanted: str | None
) -> None:
    """By way of the sign-in, which says that nothing was done; where its page cannot be loaded, to the overview."""
    browser = desk.browser()
    sent = {"Referer": referer.format(base=browser.base)} if referer else {}

    answer = await browser.post("/account/sessions", csrf="x", **sent)

    assert answer.place == (f"/login?next={wanted}&ended=1" if wanted else "/login?ended=1")
    page = (await browser.get(answer.place)).text
    assert "Your session had ended" in page
    assert "What you sent was not done." in page
    assert "Your session had ended" not in (await browser.get("/login")).text


async def test_a_part_of_a_page_says_401_when_the_session_has_ended(desk: ConsoleDesk) -> None:
    """It cannot show a sign-in page; the script loads the whole page again."""
    answer = await desk.browser().get("/account", HX_Request="true")

    assert (answer.status, answer.text) == (401, "")


async def test_signing_out_ends_the_session_for_good(desk: ConsoleDesk) -> None:
    """The cookie goes, and a copy of it opens nothing."""
    browser = await desk.signed_in(Role.VIEWER)
    copy = browser.cookies[SESSION_COOKIE]

    answer = await browser.post("/logout", csrf=await browser.csrf())

    assert (answer.status, answer.place) == (303, "/login")
    assert SESSION_COOKIE not in browser.cookies
    browser.cookies[SESSION_COOKIE] = copy
    assert (await browser.get("/account")).status == 303


async def test_a_disabled_user_is_out_at_once(desk: ConsoleDesk) -> None:
    """With every session, and no password lets him in."""
    browser = await desk.signed_in(Role.VIEWER)

    assert await desk.accounts.disable(VERA, by="cli:root") is None

    assert (await browser.get("/account")).status == 303
    refused = await desk.browser().sign_in(VERA)
    assert refused.status == 403
    assert "That name and password do not go together." in refused.text
    assert (await desk.trail("sign_in_refused"))[0].detail["cause"] == "disabled"


@pytest.mark.parametrize("change", ["role", "password"])
async def test_a_new_role_or_password_ends_the_sessions(desk: ConsoleDesk, change: str) -> None:
    """At once."""
    browser = await desk.signed_in(Role.VIEWER)

    if change == "role":
        await desk.accounts.set_role(VERA, Role.OPERATOR, by="x")
    else:
        await desk.accounts.set_password(VERA, "another-long-password", by="x")

    assert (await browser.get("/account")).status == 303


async def test_the_sign_in_form_has_a_token_of_its_own(desk: ConsoleDesk) -> None:
    """Nobody can be signed in to another's account by another's page; the page is shown again."""
    await desk.add(Role.VIEWER)
    fields = {"name": VERA, "password": PASSWORD}
    browser = desk.browser()
    page = await browser.get("/login")

    for token in (None, "", "0" * 64):
        answer = await browser.post("/login", fields, csrf=token)
        assert answer.status == 403
        assert "Try once more." in answer.text
    other = desk.browser()
    await other.get("/login")
    assert (await other.post("/login", fields, csrf=page.csrf)).status == 403
    assert (await browser.post("/login", fields, csrf=page.csrf)).status == 303


@pytest.mark.parametrize("host", ["ops.example", "192.0.2.7:8080", "0.0.0.0:8080"])
async def test_no_password_is_taken_where_others_could_read_it(desk: ConsoleDesk, host: str) -> None:
    """Over plain http by another name than this machine's own: the page says how to come instead."""
    await desk.add(Role.VIEWER)
    browser = desk.browser()
    browser.headers["Host"] = host

    page = await browser.get("/login")
    answer = await browser.post(
        "/login", {"name": VERA, "password": PASSWORD}, csrf="x", Origin=f"http://{host}"
    )

    for each in (page, answer):
        assert each.status == 403
        assert "ssh -L" in each.text
        assert 'type="password"' not in each.text
    assert browser.cookies == {}


async def test_behind_a_proxy_with_tls_it_is_the_same_as_here(real_redis) -> None:
    """PUBLIC_URL alone is enough for a proxy that keeps the Host; browsers are told to stay with TLS."""
    async with a_console(real_redis, public_url="https://ops.example") as desk:
        await desk.add(Role.VIEWER)
        browser = desk.browser()
        browser.headers["Host"] = "ops.example"
        page = await browser.get("/login")

        answer = await browser.post(
            "/login", {"name": VERA, "password": PASSWORD}, csrf=page.csrf, Origin="https://ops.example"
        )

        assert answer.status == 303
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")


async def test_no_address_is_told_to_stay_with_tls_that_has_none(desk: ConsoleDesk) -> None:
    """It would lock the machine's own address up for a year."""
    assert "Strict-Transport-Security" not in (await desk.browser().get("/login")).headers
