"""`linkferry provider webhook …`, and what `doctor` says of completions: against a sandbox in the partner's place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli_in_process import Cli, cli_on
from tests.integration.sandbox_thread import a_sandbox
from worker.partner.sandbox.serve import RunningSandbox

pytestmark = pytest.mark.redis

SECRET = "an-unguessable-secret-of-24"
OURS = f"https://links.example/provider/webhook/{SECRET}"
ANOTHERS = "https://crm.example/hooks/99digital?token=abc"


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    with a_sandbox() as running:
        yield running


@pytest.fixture
def cli(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sandbox: RunningSandbox
) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        for name, text in {
            "PROVIDER_URL": sandbox.url,
            "PROVIDER_CLIENT_ID": "sandbox-client",
            "PROVIDER_CLIENT_SECRET": "sandbox-secret",
            "PROVIDER_WEBHOOK_SECRET": SECRET,
            "PUBLIC_URL": "https://links.example",
        }.items():
            monkeypatch.setenv(f"LINKFERRY_{name}", text)
        yield cli


def findings(cli: Cli, *words: str, expect: int = 1) -> list[tuple[str, str]]:
    """Return level and text of what doctor says of the webhook."""
    document = cli.json("doctor", *words, expect=expect)
    return [(each["level"], each["text"]) for each in document["findings"] if each["about"] == "webhook"]


def test_it_is_set_where_nobody_listens(cli: Cli, sandbox: RunningSandbox) -> None:
    """By PUBLIC_URL and the secret, which is neither printed nor left in the trail; again changes nothing."""
    first = cli("provider", "webhook", "set", "--why", "going live")
    again = cli.json("provider", "webhook", "set")

    assert first.exit_code == 0, first.output
    assert sandbox.state.webhook_url == OURS
    assert SECRET not in first.output
    assert again["is_changed"] is False
    [entry] = cli.json("audit", "--act", "webhook_set")["items"]
    assert entry["why"] == "going live"
    assert SECRET not in str(entry)


def test_another_address_is_never_replaced_unasked(cli: Cli, sandbox: RunningSandbox) -> None:
    """Exit 1, and the way to keep the other one listening."""
    sandbox.state.set_webhook(ANOTHERS)

    result = cli("provider", "webhook", "set")

    assert result.exit_code == 1
    assert ANOTHERS in result.output
    assert "LINKFERRY_FORWARD_URL" in result.output
    assert sandbox.state.webhook_url == ANOTHERS


def test_with_replace_it_is_and_what_was_there_is_told(cli: Cli, sandbox: RunningSandbox) -> None:
    """Whoever forgot him can make good for it."""
    sandbox.state.set_webhook(ANOTHERS)

    result = cli("provider", "webhook", "set", "--replace")

    assert result.exit_code == 0, result.output
    assert sandbox.state.webhook_url == OURS
    assert ANOTHERS in result.output
    assert "LINKFERRY_FORWARD_URL" in result.output


def test_with_forward_only_what_is_passed_on_is_replaced(
    cli: Cli, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other listener misses nothing, or nothing is changed."""
    sandbox.state.set_webhook(ANOTHERS)
    refused = cli("provider", "webhook", "set", "--replace", "--forward")
    assert refused.exit_code == 1
    assert sandbox.state.webhook_url == ANOTHERS

    monkeypatch.setenv("LINKFERRY_FORWARD_URL", ANOTHERS)
    document = cli.json("provider", "webhook", "set", "--replace", "--forward")

    assert (document["replaced"], document["is_forwarded"]) == (ANOTHERS, True)
    assert sandbox.state.webhook_url == OURS


def test_what_cannot_be_known_is_not_replaced(cli: Cli, sandbox: RunningSandbox) -> None:
    """The partner does not answer: there may be somebody."""
    sandbox.faults.update({"calls": ["get_webhook"], "garbage": 1.0})

    assert cli("provider", "webhook", "set").exit_code == 1
    assert sandbox.state.webhook_url is None
    assert cli("provider", "webhook", "set", "--replace").exit_code == 0
    assert sandbox.state.webhook_url == OURS


@pytest.mark.parametrize(
    ("words", "unset", "named"),
    [
        ((), "PUBLIC_URL", "PUBLIC_URL"),
        ((), "PROVIDER_WEBHOOK_SECRET", "PROVIDER_WEBHOOK_SECRET"),
        (("ftp://links.example",), None, "URL"),
        (("https://links.example/" + "x" * 512,), None, "512"),
    ],
)
def test_what_is_lacking_is_named(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], unset: str | None, named: str
) -> None:
    """Exit 2, and no call."""
    if unset is not None:
        monkeypatch.delenv(f"LINKFERRY_{unset}")

    result = cli("provider", "webhook", "set", *words)

    assert result.exit_code == 2
    assert named in result.output


def test_get_says_whether_it_leads_here(cli: Cli, sandbox: RunningSandbox) -> None:
    """Nowhere, elsewhere, here."""
    assert "leads to nowhere" in cli("provider", "webhook", "get").stdout
    sandbox.state.set_webhook(ANOTHERS)
    assert ANOTHERS in cli("provider", "webhook", "get").stdout
    sandbox.state.set_webhook(OURS)

    assert "leads here" in cli("provider", "webhook", "get").stdout
    document = cli.json("provider", "webhook", "get")
    assert (document["is_known"], document["is_ours"]) == (True, True)
    assert SECRET not in str(document)


def test_doctor_says_when_the_webhook_leads_elsewhere(cli: Cli, sandbox: RunningSandbox) -> None:
    """Only with --live is the partner asked."""
    sandbox.state.set_webhook(ANOTHERS)
    assert not any("leads to" in text for _, text in findings(cli))

    assert ("bad", True) in [(level, ANOTHERS in text) for level, text in findings(cli, "--live")]
    sandbox.state.set_webhook(OURS)
    assert ("ok", "The partner's webhook leads here.") in findings(cli, "--live")


def test_doctor_says_that_without_a_secret_facebook_is_never_heard_of(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning with the way to mend it."""
    monkeypatch.delenv("LINKFERRY_PROVIDER_WEBHOOK_SECRET")

    [(level, text)] = findings(cli)

    assert level == "warn"
    assert "Facebook ones never" in text


def test_doctor_says_who_was_turned_away_and_that_links_are_missing(cli: Cli) -> None:
    """The partner may have moved; the account may be another's."""
    cli.on_ledger(
        lambda ledger: ledger.completing.note(
            refused_at_ms=1, refused_from="198.51.100.7", suspicious_since_ms=1, missing=40
        )
    )

    found = findings(cli)

    assert any(level == "warn" and "198.51.100.7" in text for level, text in found)
    assert any(level == "bad" and "40 of our links" in text for level, text in found)


def test_a_secret_that_can_be_guessed_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 2, with how to make one."""
    monkeypatch.setenv("LINKFERRY_PROVIDER_WEBHOOK_SECRET", "hunter2")

    result = cli("status")

    assert result.exit_code == 2
    assert "openssl rand -hex 24" in result.output
    assert "hunter2" not in result.output
