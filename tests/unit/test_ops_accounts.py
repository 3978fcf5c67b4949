"""What a name and a password must be, and how passwords are hashed and checked."""

from __future__ import annotations

import asyncio

import argon2
import pytest

from worker.ops import passwords
from worker.ops.accounts import read_name
from worker.ops.console.pages_login import safe_next
from worker.ops.passwords import HASHER, Passwords, TooBusyError, new_password, password_fault

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
DEARER = argon2.PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)
GOOD = "correct-horse-battery"


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("dana", "dana"),
        ("  Dana ", "dana"),
        ("dana.levi@example.com", "dana.levi@example.com"),
        ("דנה", "דנה"),
        ("ｄａｎａ", "dana"),
        ("a", "a"),
        ("x" * 64, "x" * 64),
    ],
)
def test_names_that_are_taken(typed: str, name: str) -> None:
    """Written in one way, so that two users cannot differ by letters that look the same size or width."""
    assert read_name(typed) == name


@pytest.mark.parametrize(
    "typed",
    ["", " ", ".dana", "dana-", "da na", "dana:x", "<script>", "da\nna", "a\u202eb", "x" * 65, "user/x", "'"],
)
def test_names_that_are_not(typed: str) -> None:
    """Nothing that another page or the trail could mistake for something else."""
    assert read_name(typed) is None


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        (GOOD, None),
        ("eleven-char", "password_short"),
        ("x" * 300, "password_long"),
        ("i-am-DANA-levi", "password_has_name"),
        ("abababababababab", "password_plain"),
        ("סיסמה ארוכה מאוד", None),
    ],
)
def test_what_a_new_password_must_be(password: str, fault: str | None) -> None:
    """Long, not the name, not one letter over and over, not what everybody tries first; nothing else."""
    assert password_fault(password, "dana") == fault


@pytest.mark.parametrize(
    "password",
    [
        "123456789012", "098765432109", "1234567891234", "abcdefghijkl", "qwertyuiop123", "1q2w3e4r5t6y", "1qaz2wsx3edc",
        "Password1234", "P@ssw0rd!2026", "passwordpassword", "Admin-Admin-2026", "Welcome2Linkferry!", "Summer2026!!!!",
        "letmein123456", "sunshine-2026", "abcdef1abcdef1", "lkjhgfdsapoi", "סיסמה1234567", "שלום-שלום-1234",
    ],
)  # fmt: skip
def test_a_password_that_everybody_tries_is_none(password: str) -> None:
    """However many letters it has, and with numbers for letters."""
    assert password_fault(password, "dana") == "password_common"


@pytest.mark.parametrize(
    "password",
    [
        "correct-horse-battery", "another-long-password", "my-password-is-a-walrus", "winter boots and tea", "850213947265",
        "xkcd936xkcd!", "four words in a row", "ארבע מילים בשורה", "abcdefgh-walrus",
    ],
)  # fmt: skip
def test_a_password_of_words_that_do_not_belong_together_will_do(password: str) -> None:
    """Also with a well-known one among them."""
    assert password_fault(password, "dana") is None


def test_passwords_made_here_will_do() -> None:
    """And no two are the same."""
    made = {new_password() for _ in range(50)}

    assert len(made) == 50
    assert all(password_fault(each, "dana") is None for each in made)
    assert all(each[0].isalnum() for each in made)


def test_the_parameters_are_no_weaker_than_owasps() -> None:
    """argon2id with 46 MiB and one pass, or more."""
    assert HASHER.type is argon2.Type.ID
    assert HASHER.memory_cost >= 47_104
    assert HASHER.time_cost >= 1


async def test_a_password_fits_its_hash_only() -> None:
    """However its letters were composed."""
    keeper = Passwords(CHEAP)
    kept = await keeper.hash("pässwörter-alle")

    assert (await keeper.check("pässwörter-alle", kept)).is_right
    assert (await keeper.check("pa\u0308sswo\u0308rter-alle", kept)).is_right
    assert not (await keeper.check("passworter-alle", kept)).is_right
    assert "pässwörter" not in kept


async def test_a_hash_with_older_parameters_is_made_anew() -> None:
    """At the sign-in, where the password is at hand."""
    kept = await Passwords(CHEAP).hash(GOOD)

    assert (await Passwords(CHEAP).check(GOOD, kept)).new_hash is None
    anew = (await Passwords(DEARER).check(GOOD, kept)).new_hash
    assert anew
    assert (await Passwords(DEARER).check(GOOD, anew)).new_hash is None
    assert (await Passwords(DEARER).check("wrong-password", kept)).new_hash is None


async def test_nobodys_password_costs_the_same_work() -> None:
    """So the time taken does not tell whether a name is known."""
    verified: list[str] = []

    class Counting(argon2.PasswordHasher):
        def verify(self, *hash_and_password):
            verified.append(hash_and_password[0])
            return super().verify(*hash_and_password)

    keeper = Passwords(Counting(time_cost=1, memory_cost=8, parallelism=1))

    assert not (await keeper.check(GOOD, None)).is_right
    assert not (await keeper.check(GOOD, "no hash at all")).is_right
    assert len(verified) == 2
    assert verified[0].startswith("$argon2id$v=19$m=8,t=1,p=1$")


async def test_more_sign_ins_than_the_machine_can_bear_are_put_off(monkeypatch) -> None:
    """Hashing is dear on purpose: it must not be a way to stop the server."""
    monkeypatch.setattr(passwords, "_MOST_WAITING", 3)
    keeper = Passwords(CHEAP)

    outcomes = await asyncio.gather(*(keeper.hash(GOOD) for _ in range(8)), return_exceptions=True)

    assert sum(isinstance(each, TooBusyError) for each in outcomes) == 5
    assert (await keeper.hash(GOOD)).startswith("$argon2id$")


@pytest.mark.parametrize("wanted", ["/", "/jobs/01k8w", "/jobs?state=failed&x=//y", "/search?q=http://x"])
def test_the_way_on_is_a_page_of_ours(wanted: str) -> None:
    """With its parameters."""
    assert safe_next(wanted) == wanted


@pytest.mark.parametrize(
    "wanted",
    [
        "",
        "jobs",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/jobs\r\nSet-Cookie: x=1",
        "///evil.example",
        "/login",
        "/logout",
        "/login?next=/login",
        "//[",
        "//\u2100",
        "http://[::1",
    ],
)
def test_the_sign_in_leads_nowhere_else(wanted: str) -> None:
    """An address that somebody sent is no open door to his site, and no ring."""
    assert safe_next(wanted) == "/"


def test_words_that_can_be_split_in_many_ways_do_not_hold_up_the_server() -> None:
    """However long it is, the answer comes at once: no split is tried a second time."""
    assert password_fault("mypass" * 20 + "zqk", "dana") is None
