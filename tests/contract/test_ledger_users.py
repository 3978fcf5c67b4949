"""The console's users in the ledger: each change holds at once, ends what it must and leaves its entry in the trail."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.ledger_desk import Desk
from worker.domain.roles import Role
from worker.ledger.users import User

SECONDS = {"idle_s": 1800.0, "length_s": 43_200.0}


@pytest.fixture
async def desk(store) -> Desk:
    return await Desk.open(store)


async def add(desk: Desk, name: str = "dana", role: Role = Role.OPERATOR) -> str:
    assert await desk.ledger.users.add(name, role=role, password_hash="hash-1", by="cli:root")
    return name


async def sign_in(desk: Desk, name: str, session_id: str) -> None:
    assert await desk.ledger.sessions.open(session_id, name=name, checked_hash="hash-1", length_s=43_200)


async def is_living(desk: Desk, session_id: str) -> bool:
    return await desk.ledger.sessions.read(session_id, **SECONDS) is not None


async def trail(desk: Desk) -> list[tuple[str, str, str, dict[str, Any]]]:
    page = await desk.ledger.trail.find()
    return [(entry.act, entry.by, entry.subject, dict(entry.detail)) for entry in page.items]


async def test_a_user_is_added_once(desk: Desk) -> None:
    """The second of a name is refused and changes nothing."""
    await add(desk)

    assert not await desk.ledger.users.add("dana", role=Role.ADMIN, password_hash="other", by="x")
    assert await desk.ledger.users.list() == [
        User(
            name="dana",
            role=Role.OPERATOR,
            is_disabled=False,
            added_at_ms=desk.now_ms,
            added_by="cli:root",
            signed_in_at_ms=None,
            sessions=0,
            language=None,
            theme=None,
        )
    ]
    assert await trail(desk) == [("user_add", "cli:root", "dana", {"role": "operator"})]


async def test_there_is_nobody_at_first(desk: Desk) -> None:
    """So the sign-in page can tell how to begin."""
    assert not await desk.ledger.users.has_any()
    await add(desk)
    assert await desk.ledger.users.has_any()


async def test_users_are_listed_in_the_order_they_came(desk: Desk) -> None:
    """With their open sessions and the last sign-in."""
    await add(desk, "zoe")
    desk.advance(1)
    await add(desk, "adam")
    await sign_in(desk, "adam", "s1")

    zoe, adam = await desk.ledger.users.list()

    assert (zoe.name, zoe.sessions, zoe.signed_in_at_ms) == ("zoe", 0, None)
    assert (adam.name, adam.sessions, adam.signed_in_at_ms) == ("adam", 1, desk.now_ms)


async def test_a_session_that_rests_too_long_is_not_counted(desk: Desk) -> None:
    """Nobody comes back to it, so the list does not say that somebody is in."""
    await add(desk)
    await sign_in(desk, "dana", "s1")
    desk.advance(SECONDS["idle_s"] - 1)
    await sign_in(desk, "dana", "s2")
    desk.advance(1)

    [listed] = await desk.ledger.users.list(idle_s=SECONDS["idle_s"])
    one = await desk.ledger.users.get("dana", idle_s=SECONDS["idle_s"])

    assert one is not None
    assert (listed.sessions, one.sessions) == (1, 1)
    assert not await is_living(desk, "s1")
    assert await is_living(desk, "s2")


async def test_disabling_ends_the_sessions_and_keeps_out(desk: Desk) -> None:
    """At once: the very next request is nobody's."""
    await add(desk)
    await sign_in(desk, "dana", "s1")

    assert await desk.ledger.users.disable("dana", by="user:adina") is True

    assert not await is_living(desk, "s1")
    assert not await desk.ledger.sessions.open("s2", name="dana", checked_hash="hash-1", length_s=60)
    assert await desk.ledger.users.disable("dana", by="user:adina") is False
    assert (await trail(desk))[0] == ("user_disable", "user:adina", "dana", {"sessions_ended": "1"})


async def test_an_enabled_user_comes_in_again(desk: Desk) -> None:
    """With the same password; sessions of before stay ended."""
    await add(desk)
    await sign_in(desk, "dana", "s1")
    await desk.ledger.users.disable("dana", by="x")

    assert await desk.ledger.users.enable("dana", by="user:adina") is True

    assert not await is_living(desk, "s1")
    await sign_in(desk, "dana", "s2")
    assert await is_living(desk, "s2")
    assert await desk.ledger.users.enable("dana", by="x") is False


async def test_a_new_role_ends_the_sessions(desk: Desk) -> None:
    """Nobody goes on with what he may no longer do; the trail has before and after."""
    await add(desk)
    await sign_in(desk, "dana", "s1")

    assert await desk.ledger.users.set_role("dana", Role.VIEWER, by="user:adina") is True

    assert not await is_living(desk, "s1")
    found = await desk.ledger.users.get("dana")
    assert found
    assert found.role is Role.VIEWER
    assert (await trail(desk))[0] == (
        "user_role",
        "user:adina",
        "dana",
        {"before": "operator", "after": "viewer"},
    )
    assert await desk.ledger.users.set_role("dana", Role.VIEWER, by="x") is False


async def test_a_new_password_ends_all_sessions_but_the_one_to_keep(desk: Desk) -> None:
    """Whoever changes his own stays where he is."""
    from worker.ledger.sessions import digest_of

    await add(desk)
    for session_id in ("here", "there", "elsewhere"):
        await sign_in(desk, "dana", session_id)

    ended = await desk.ledger.users.set_password(
        "dana", "hash-2", by="user:dana", keep_session=digest_of("here")
    )

    assert ended == 2
    assert [await is_living(desk, each) for each in ("here", "there", "elsewhere")] == [True, False, False]
    assert not await desk.ledger.sessions.open("new", name="dana", checked_hash="hash-1", length_s=60)


async def test_changes_to_nobody_are_told(desk: Desk) -> None:
    """None, not False: there is no such user."""
    users = desk.ledger.users

    assert await users.disable("nobody", by="x") is None
    assert await users.enable("nobody", by="x") is None
    assert await users.set_role("nobody", Role.ADMIN, by="x") is None
    assert await users.set_password("nobody", "h", by="x") is None
    assert await users.prefer("nobody", language="he", theme=None) is False
    assert await users.get("nobody") is None
    assert await users.credential("nobody") is None
    assert await trail(desk) == []


async def test_preferences_are_kept_and_forgotten(desk: Desk) -> None:
    """They come with every request's session."""
    await add(desk)
    await sign_in(desk, "dana", "s1")

    assert await desk.ledger.users.prefer("dana", language="he", theme="dark")
    found = await desk.ledger.sessions.read("s1", **SECONDS)
    assert found
    assert (found.language, found.theme) == ("he", "dark")

    await desk.ledger.users.prefer("dana", language=None, theme="dark")
    found = await desk.ledger.sessions.read("s1", **SECONDS)
    assert found
    assert (found.language, found.theme) == (None, "dark")


async def test_the_password_is_nowhere_but_in_its_hash(desk: Desk) -> None:
    """What the ledger holds of a session cannot be used as its cookie."""
    await add(desk)
    await sign_in(desk, "dana", "a-session-id-that-is-secret")

    everything = b"".join([await _dump(desk, key) for key in await desk.redis.keys("*")])

    assert b"a-session-id-that-is-secret" not in everything
    assert b"hash-1" in everything


async def _dump(desk: Desk, key: bytes) -> bytes:
    kind = await desk.redis.type(key)
    if kind == b"hash":
        return key + repr(await desk.redis.hgetall(key)).encode()
    if kind == b"zset":
        return key + repr(await desk.redis.zrange(key, 0, -1)).encode()
    return key
