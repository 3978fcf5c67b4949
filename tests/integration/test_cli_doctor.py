"""`doctor`, `config`, `preview`, and what every command does when something is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from linkferry.doctor_redis import look_at_room
from tests.integration.cli_in_process import DANA, Cli, cli_on
from worker.domain.states import JobState
from worker.ledger.survey import Fullness

pytestmark = pytest.mark.redis


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


def test_doctor_says_what_is_bad_and_exits_1(cli: Cli) -> None:
    """Nothing set: no credentials, no channel."""
    findings = cli.json("doctor", expect=1)["findings"]

    bad = {finding["about"] for finding in findings if finding["level"] == "bad"}
    assert bad == {"credentials", "messages"}
    assert all(finding["remedy"] for finding in findings if finding["level"] != "ok")
    assert {"persistence", "audit", "clock", "schema", "workers"} <= {
        finding["about"] for finding in findings
    }


def test_doctor_is_content_when_all_is_set(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 0: warnings may stay."""
    for name, text in {
        "PROVIDER_CLIENT_ID": "id",
        "PROVIDER_CLIENT_SECRET": "secret",
        "SMTP_URL": "smtp://localhost",
        "EMAIL_FROM": "links@example.com",
    }.items():
        monkeypatch.setenv(f"LINKFERRY_{name}", text)

    findings = cli.json("doctor")["findings"]

    assert not [finding for finding in findings if finding["level"] == "bad"]


def test_doctor_sees_jobs_that_wait_for_no_worker(cli: Cli) -> None:
    """What an operator would wonder about first."""
    cli("enqueue", "whatsapp", *DANA)

    text = cli("doctor").stdout

    assert "No worker runs, and 1 job waits." in text


def test_doctor_warns_of_a_store_that_may_lose_jobs(cli: Cli) -> None:
    """Eviction and a missing append-only file."""
    with redis.Redis.from_url(cli.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
        try:
            findings = cli.json("doctor", expect=1)["findings"]
        finally:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("appendonly", "yes")

    bad = {finding["about"] for finding in findings if finding["level"] == "bad"}
    assert {"eviction", "persistence"} <= bad


def test_doctor_says_what_a_redis_that_takes_no_writes_lacks(cli: Cli) -> None:
    """The overview sends people here: the memory that is used up is named, with how much there is."""
    cli("enqueue", "whatsapp", *DANA)
    with redis.Redis.from_url(cli.url) as client:
        client.config_set("maxmemory", "1mb")
        try:
            findings = cli.json("doctor", expect=1)["findings"]
        finally:
            client.config_set("maxmemory", "0")

    [room] = [finding for finding in findings if finding["about"] == "memory"]
    assert room["level"] == "bad"
    assert "of 1 MB): new requests are refused." in room["text"]
    assert "maxmemory" in room["remedy"]
    assert not [finding for finding in findings if "does not answer" in finding["text"]]


@pytest.mark.parametrize(
    ("room", "about"),
    [
        (Fullness(), []),
        (Fullness(used_bytes=5, most_bytes=9), []),
        (Fullness(used_bytes=9, most_bytes=9, can_evict=True), []),
        (Fullness(used_bytes=9, most_bytes=9), ["memory"]),
        (Fullness(is_write_refused=True), ["disk"]),
    ],
)
def test_each_want_of_room_is_a_finding(room: Fullness, about: list[str]) -> None:
    """And what is not wanting is none."""
    assert [finding.about for finding in look_at_room(room)] == about


@pytest.mark.parametrize(
    "words", [("status",), ("job", "list"), ("enqueue", "whatsapp", *DANA), ("failed", "groups"), ("pause",)]
)
def test_a_redis_that_is_gone_is_exit_1_with_what_to_check(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """No traceback, one line."""
    monkeypatch.setenv("LINKFERRY_REDIS_URL", f"unix://{tmp_path}/nobody.sock")

    result = cli(*words)

    assert result.exit_code == 1
    assert "LINKFERRY_REDIS_URL" in result.stderr
    assert "Traceback" not in result.stderr


def test_doctor_finds_a_redis_that_is_gone(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is a finding among others, not the end of the examination."""
    monkeypatch.setenv("LINKFERRY_REDIS_URL", f"unix://{tmp_path}/nobody.sock")

    findings = cli.json("doctor", expect=1)["findings"]

    assert "redis" in {finding["about"] for finding in findings if finding["level"] == "bad"}


def test_a_wrong_setting_is_exit_2_with_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command reads the settings first."""
    monkeypatch.setenv("LINKFERRY_PROVIDER_RATE", "fast")

    result = cli("status")

    assert result.exit_code == 2
    assert result.stderr.startswith("LINKFERRY_PROVIDER_RATE ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["web", "worker"])
def test_what_needs_a_redis_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """`web` and `worker` alone bring none with them."""
    monkeypatch.delenv("LINKFERRY_REDIS_URL")

    result = cli(command)

    assert result.exit_code == 2
    assert "linkferry up" in result.stderr


@pytest.mark.parametrize("words", [("--sandbox", "status"), ("status", "--sandbox")])
def test_the_sandbox_has_a_ledger_of_its_own(cli: Cli, words: tuple[str, ...]) -> None:
    """Before or after the command's name: real jobs do not show there."""
    cli("enqueue", "whatsapp", *DANA)

    assert cli.json(*words)["jobs"]["available"] == 0
    assert cli.json("status")["jobs"]["available"] == 1


def test_config_explains_every_setting_and_hides_secrets(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Safe to paste into a ticket."""
    monkeypatch.setenv("LINKFERRY_SMTP_URL", "smtp://user:hush@mail.example.com")

    result = cli("config")

    assert "LINKFERRY_SMTP_URL" in result.stdout
    assert "hush" not in result.stdout
    assert "******" in result.stdout


def test_a_preview_shows_both_messages_and_sends_nothing(cli: Cli, tmp_path: Path) -> None:
    """What the customer will see, before anybody does."""
    document = cli.json("preview", "--locale", "en")
    assert "https://" in document["email"]["text"]
    assert document["sms"]["segments"] >= 1
    assert "sms" not in cli.json("preview", "--channel", "email")

    cli("preview", "--html", str(tmp_path / "mail.html"))

    assert "<html" in (tmp_path / "mail.html").read_text(encoding="utf-8").lower()


def test_reasons_are_listed_with_remedies(cli: Cli) -> None:
    """The catalogue in the operator's hands."""
    items = cli.json("reasons", "list")["items"]

    assert all(item["remedy"] for item in items)


def test_a_bad_reasons_file_is_exit_2(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before anything is classified by it."""
    path = tmp_path / "reasons.toml"
    path.write_text("[nonsense")
    monkeypatch.setenv("LINKFERRY_REASONS_FILE", str(path))

    result = cli("reasons", "list")

    assert result.exit_code == 2
    assert "LINKFERRY_REASONS_FILE" in result.stderr


def test_every_command_explains_itself(cli: Cli) -> None:
    """`--help` works everywhere and shows --sandbox."""
    for words in (
        ("job", "list"),
        ("failed", "requeue"),
        ("backfill",),
        ("enqueue", "whatsapp"),
        ("up",),
        ("doctor",),
    ):
        result = cli(*words, "--help")
        assert result.exit_code == 0
        assert "--sandbox" in result.stdout


def test_every_state_shows_in_the_status(cli: Cli) -> None:
    """The shape is fixed: empty states are there, too."""
    assert list(cli.json("status")["jobs"]) == [state.value for state in JobState]
