"""Sessions and the sign-in's throttle in the ledger: both count by the server's clock."""

from __future__ import annotations

import pytest

from tests.contract.ledger_desk import Desk
from worker.domain.roles import Role
from worker.ledger.sessions import Allowance, SessionUser, digest_of

IDLE_S, LENGTH_S = 600.0, 3600.0
FIVE = Allowance("name:dana", 5, 60.0)


@pytest.fixture
async def desk(store) -> Desk:
    desk = await Desk.open(store)
    await desk.ledger.users.add("dana", role=Role.OPERATOR, password_hash="hash", by="test")
    return desk


async def sign_in(desk: Desk, session_id: str, **changes: str) -> bool:
    return await desk.ledger.sessions.open(
        session_id, **({"name": "dana", "checked_hash": "hash"} | changes), length_s=LENGTH_S
    )


async def read(desk: Desk, session_id: str, *, is_active: bool = True) -> SessionUser | None:
    return await desk.ledger.sessions.read(session_id, idle_s=IDLE_S, length_s=LENGTH_S, is_active=is_active)


async def test_a_session_tells_whose_it_is(desk: Desk) -> None:
    """Name and role as they stand now, not as they stood at the sign-in."""
    assert await sign_in(desk, "s1")

    assert await read(desk, "s1") == SessionUser(
        name="dana", role=Role.OPERATOR, language=None, theme=None, began_at_ms=desk.now_ms
    )
    assert await read(desk, "s2") is None


async def test_a_session_that_is_idle_ends(desk: Desk) -> None:
    """And stays ended, whatever comes after."""
    await sign_in(desk, "s1")
    desk.advance(IDLE_S - 1)
    assert await read(desk, "s1")
    desk.advance(IDLE_S - 1)
    assert await read(desk, "s1")

    desk.advance(IDLE_S)

    assert await read(desk, "s1") is None
    assert (await desk.ledger.users.list())[0].sessions == 0


async def test_what_a_page_asks_for_by_itself_keeps_no_session_alive(desk: Desk) -> None:
    """A console left open overnight is signed out although its overview renews itself."""
    await sign_in(desk, "s1")
    for _ in range(3):
        desk.advance(IDLE_S / 4)
        assert await read(desk, "s1", is_active=False)

    desk.advance(IDLE_S / 4)

    assert await read(desk, "s1", is_active=False) is None


async def test_no_session_outlasts_its_absolute_end(desk: Desk) -> None:
    """However busy it is."""
    await sign_in(desk, "s1")
    for _ in range(7):
        desk.advance(IDLE_S - 100)
        assert await read(desk, "s1")

    desk.advance(100)

    assert await read(desk, "s1") is None


async def test_signing_out_ends_one_session(desk: Desk) -> None:
    """The others go on."""
    await sign_in(desk, "here")
    await sign_in(desk, "there")

    assert await desk.ledger.sessions.end("here")

    assert await read(desk, "here") is None
    assert await read(desk, "there")
    assert not await desk.ledger.sessions.end("here")
    assert [each.by for each in (await desk.ledger.trail.find(act="sign_out")).items] == ["user:dana"]


async def test_signing_out_everywhere_can_keep_one(desk: Desk) -> None:
    """It says how many ended, and the trail has it."""
    for session_id in ("here", "there", "elsewhere"):
        await sign_in(desk, session_id)

    assert await desk.ledger.sessions.end_all("dana", by="user:dana", keep=digest_of("here")) == 2

    assert [bool(await read(desk, each)) for each in ("here", "there", "elsewhere")] == [True, False, False]
    [entry] = (await desk.ledger.trail.find(act="sign_out_everywhere")).items
    assert (entry.by, entry.subject) == ("user:dana", "dana")


async def test_a_new_session_takes_the_place_of_the_browsers_former_one(desk: Desk) -> None:
    """Whoever knew the former id has nothing."""
    await sign_in(desk, "former")

    await sign_in(desk, "new", former_id="former")

    assert await read(desk, "former") is None
    assert await read(desk, "new")


async def test_a_password_changed_while_it_was_checked_opens_nothing(desk: Desk) -> None:
    """The check was of a hash that does not stand any more."""
    await desk.ledger.users.set_password("dana", "hash-2", by="x")

    assert not await sign_in(desk, "s1")
    assert await read(desk, "s1") is None


async def test_a_sign_in_can_bring_the_hash_up_to_date(desk: Desk) -> None:
    """Without ending anything."""
    await sign_in(desk, "s1")

    await sign_in(desk, "s2", new_hash="hash-of-today")

    credential = await desk.ledger.users.credential("dana")
    assert credential
    assert credential.password_hash == "hash-of-today"
    assert await read(desk, "s1")


async def test_a_user_has_a_bounded_number_of_sessions(desk: Desk) -> None:
    """The one that began first makes room."""
    for number in range(22):
        desk.advance(1)
        await sign_in(desk, f"s{number}")

    assert (await desk.ledger.users.list())[0].sessions == 20
    assert await read(desk, "s1") is None
    assert await read(desk, "s2")


async def test_tries_run_out_and_come_back_one_by_one(desk: Desk) -> None:
    """The answer is how long to wait."""
    take = desk.ledger.sessions.take
    assert [await take([FIVE]) for _ in range(6)] == [0, 0, 0, 0, 0, 60.0]

    desk.advance(59)
    assert await take([FIVE]) == 1.0
    desk.advance(1)
    assert await take([FIVE]) == 0
    assert await take([FIVE]) == 60.0

    desk.advance(3600)
    assert [await take([FIVE]) for _ in range(6)] == [0, 0, 0, 0, 0, 60.0]


async def test_a_try_is_taken_from_all_scopes_or_from_none(desk: Desk) -> None:
    """What one scope refuses costs the others nothing."""
    once, often = Allowance("once", 1, 30.0), Allowance("often", 2, 10.0)
    take = desk.ledger.sessions.take
    assert await take([once, often]) == 0

    assert await take([once, often]) == 30.0
    assert await take([once, often]) == 30.0

    assert await take([often]) == 0
    assert await take([often]) == 10.0


async def test_who_came_in_by_a_scope_is_known_for_a_while(desk: Desk, store) -> None:
    """Of the scope itself nothing is kept that can be read."""
    sessions = desk.ledger.sessions
    await sessions.know("pair:192.0.2.7:dana", for_s=60.0)

    assert await sessions.is_known("pair:192.0.2.7:dana")
    assert not await sessions.is_known("pair:192.0.2.8:dana")
    [key] = [each async for each in store.scan_iter("*:kn:*")]
    assert b"dana" not in (key if isinstance(key, bytes) else key.encode())
    assert 0 < await store.pttl(key) <= 60_000


async def test_a_try_can_be_given_back(desk: Desk) -> None:
    """A success counts as no try; more than all cannot be had."""
    sessions = desk.ledger.sessions
    for _ in range(5):
        await sessions.take([FIVE])

    await sessions.give([FIVE])

    assert await sessions.take([FIVE]) == 0
    assert await sessions.take([FIVE]) == 60.0
    for _ in range(9):
        await sessions.give([FIVE])
    assert [await sessions.take([FIVE]) for _ in range(6)] == [0, 0, 0, 0, 0, 60.0]
