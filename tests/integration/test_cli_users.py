"""`linkferry user …`: the console's accounts from the command line."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.integration.cli_in_process import Cli, cli_on
from tests.repo import ROOT
from worker.domain.roles import Role
from worker.ops.passwords import Passwords

PASSWORD = "correct-horse-battery"


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


def fits(cli: Cli, name: str, password: str) -> bool:
    async def check(ledger) -> bool:
        credential = await ledger.users.credential(name)
        return (await Passwords().check(password, credential.password_hash)).is_right

    return bool(cli.on_ledger(check))


def test_with_nobody_to_ask_a_password_is_made_and_printed_once(cli: Cli) -> None:
    """It is the one that is kept, as its hash."""
    result = cli("user", "add", "Dana", "--role", "admin")

    assert result.exit_code == 0
    password = result.stdout.split("Password: ")[1].split()[0]
    assert "Added: dana, admin." in result.stdout
    assert fits(cli, "dana", password)
    listed = cli.json("user", "list")
    assert password not in repr(listed)
    [user] = listed["items"]
    assert (user["name"], user["role"], user["disabled"], user["sessions"]) == ("dana", "admin", False, 0)
    assert user["added_by"] == f"cli:{getpass.getuser()}"


def test_a_password_is_read_from_standard_input(cli: Cli) -> None:
    """Then it is not printed."""
    result = cli("user", "add", "dana", "--password-stdin", stdin=f"{PASSWORD}\n")

    assert result.exit_code == 0, result.output
    assert PASSWORD not in result.output
    assert fits(cli, "dana", PASSWORD)
    assert cli.json("user", "list")["items"][0]["role"] == "viewer"


def run(*words: str, stdin: bytes | None) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process of its own, with this on a pipe, or with nothing at all on standard input."""
    return subprocess.run(
        [sys.executable, "-m", "linkferry", "user", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_a_password_that_is_piped_in_is_never_passed_over(cli: Cli) -> None:
    """Who forgets --password-stdin is told so, instead of getting another password than he thinks; said, it is taken."""
    line = f"{PASSWORD}\n".encode()

    for verb in (("add", "dana", "--role", "admin"), ("password", "dana")):
        forgotten = run(*verb, stdin=line)
        assert forgotten.returncode == 2, forgotten.stderr
        assert b"--password-stdin" in forgotten.stderr
        assert forgotten.stdout == b""
        said = run(*verb, "--password-stdin", stdin=line)
        assert said.returncode == 0, said.stderr
        assert PASSWORD.encode() not in said.stdout + said.stderr
        assert fits(cli, "dana", PASSWORD)
    assert PASSWORD not in repr(cli.json("audit"))


@pytest.mark.parametrize("stdin", [None, b""])
def test_an_empty_pipe_is_nobody_to_ask(cli: Cli, stdin: bytes | None) -> None:
    """As under cron or behind ssh: a password is made."""
    result = run("add", "dana", stdin=stdin)

    assert result.returncode == 0, result.stderr
    assert fits(cli, "dana", result.stdout.decode().split("Password: ")[1].split()[0])


def test_programs_get_the_password_as_json(cli: Cli) -> None:
    """With the name as it is kept."""
    document = cli.json("user", "add", "Dana", "--role", "operator")

    assert set(document) == {"name", "role", "password"}
    assert (document["name"], document["role"]) == ("dana", "operator")
    assert fits(cli, "dana", document["password"])


@pytest.mark.parametrize(
    ("words", "stdin", "code", "text"),
    [
        (("dana",), "short\n", 1, "at least 12 characters"),
        (("dana",), "my-name-is-dana-levi\n", 1, "must not hold"),
        (("dana",), "administrator123\n", 1, "first"),
        (("dana",), b"\xff" * 12 + b"\n", 2, "not UTF-8"),
        (("da na",), f"{PASSWORD}\n", 1, "A name is"),
        (("dana",), "", 2, "no password on standard input"),
        (("dana", "--generate"), f"{PASSWORD}\n", 2, "not both"),
        (("dana", "--role", "owner"), f"{PASSWORD}\n", 2, "owner"),
    ],
)
def test_what_will_not_do_is_refused(
    cli: Cli, words: tuple[str, ...], stdin: str | bytes, code: int, text: str
) -> None:
    """In one line, and nobody is added."""
    result = cli("user", "add", *words, "--password-stdin", stdin=stdin)

    assert result.exit_code == code
    assert text in result.output
    assert cli.json("user", "list")["items"] == []


def test_a_name_is_added_once(cli: Cli) -> None:
    """The second is told."""
    cli.json("user", "add", "dana")

    result = cli("user", "add", "DANA")

    assert result.exit_code == 1
    assert "There is a user of that name already." in result.output


def test_disabling_a_new_role_and_a_new_password_end_the_sessions(cli: Cli) -> None:
    """At once, whatever process has them."""
    cli("user", "add", "dana", "--password-stdin", stdin=f"{PASSWORD}\n")

    async def sign_in(ledger) -> None:
        checked = (await ledger.users.credential("dana")).password_hash
        assert await ledger.sessions.open("s", name="dana", checked_hash=checked, length_s=60)

    def sessions() -> int:
        return int(cli.json("user", "list")["items"][0]["sessions"])

    for words in (("role", "dana", "admin"), ("password", "dana"), ("disable", "dana")):
        cli.on_ledger(sign_in)
        assert sessions() == 1
        assert cli("user", *words).exit_code == 0
        assert sessions() == 0

    user = cli.on_ledger(lambda ledger: ledger.users.get("dana"))
    assert (user.role, user.is_disabled) == (Role.ADMIN, True)
    assert cli.json("user", "enable", "dana") == {"name": "dana", "disabled": False}
    assert not cli.on_ledger(lambda ledger: ledger.users.get("dana")).is_disabled
    assert not fits(cli, "dana", PASSWORD)


@pytest.mark.parametrize("words", [("disable",), ("enable",), ("password",), ("role", "nobody", "admin")])
def test_nobody_cannot_be_changed(cli: Cli, words: tuple[str, ...]) -> None:
    """The line says where the names are."""
    result = cli("user", *(words if len(words) > 1 else (*words, "nobody")))

    assert result.exit_code == 1
    assert "There is no user of that name." in result.output
    assert "linkferry user list" in result.output


def test_a_person_is_asked_twice(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that differ change nothing."""
    from linkferry.commands import users

    answers = [PASSWORD, "another-password", PASSWORD, PASSWORD]
    monkeypatch.setattr(users, "_is_somebody_there", lambda: True)
    monkeypatch.setattr(users.getpass, "getpass", lambda _question: answers.pop(0))

    differing = cli("user", "add", "dana")
    assert differing.exit_code == 1
    assert "not the same" in differing.output

    assert cli("user", "add", "dana").exit_code == 0
    assert fits(cli, "dana", PASSWORD)
    assert answers == []


def test_an_empty_list_says_how_to_begin(cli: Cli) -> None:
    """With a command that can be typed."""
    assert "linkferry user add NAME --role admin" in cli("user", "list").stdout


def test_what_was_done_is_in_the_trail(cli: Cli) -> None:
    """Under the name of who sat at the terminal."""
    cli("user", "add", "dana")
    cli("user", "disable", "dana")

    page = cli.on_ledger(lambda ledger: ledger.trail.find(subject="dana"))

    assert [(entry.act, entry.by) for entry in page.items] == [
        ("user_disable", f"cli:{getpass.getuser()}"),
        ("user_add", f"cli:{getpass.getuser()}"),
    ]
