"""`linkferry provider webhook …`, and what `doctor` says of completions: against a sandbox in the partner's place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli_in_process import Cli, cli_on
from tests.integration.sandbox_thread import a_sandbox
from worker.domain.event import NewEvent
from worker.domain.report import FORWARD_SOURCE, WEBHOOK_SOURCE, packed
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


def test_an_earlier_address_of_our_own_is_known_and_its_secret_not_shown(
    cli: Cli, sandbox: RunningSandbox
) -> None:
    """After the secret was changed: nobody listens there, so nothing is to be passed on to it."""
    sandbox.state.set_webhook("https://links.example/provider/webhook/the-secret-of-last-year")

    refused = cli("provider", "webhook", "set")
    shown = cli("provider", "webhook", "get")
    found = findings(cli, "--live")
    done = cli("provider", "webhook", "set", "--replace")

    assert (refused.exit_code, done.exit_code) == (1, 0)
    assert "by another PROVIDER_WEBHOOK_SECRET" in " ".join(shown.output.split())
    assert any(level == "bad" and "by another PROVIDER_WEBHOOK_SECRET" in text for level, text in found)
    assert "under another PROVIDER_WEBHOOK_SECRET" in " ".join(refused.output.split())
    assert sandbox.state.webhook_url == OURS
    for result in (refused, shown, done):
        assert "FORWARD_URL" not in result.output
        assert "the-secret-of-last-year" not in result.output
    assert "the-secret-of-last-year" not in str(cli.json("audit", "--act", "webhook_set"))


@pytest.mark.parametrize("host", ["links.example", "www.links.example"])
def test_our_own_address_is_not_taken_for_anothers(cli: Cli, sandbox: RunningSandbox, host: str) -> None:
    """To lead the webhook away from here takes --replace; the secret is not shown, nothing is to be passed on to us."""
    sandbox.state.set_webhook(OURS.replace("links.example", host))
    elsewhere = "https://other.example/hook"

    refused = cli("provider", "webhook", "set", elsewhere)
    done = cli("provider", "webhook", "set", elsewhere, "--replace")

    assert (refused.exit_code, done.exit_code) == (1, 0)
    told = " ".join(refused.output.split())
    assert "leads here" in told
    assert "--replace" in told
    assert "another PROVIDER_WEBHOOK_SECRET" not in told
    assert sandbox.state.webhook_url == elsewhere
    for result in (refused, done):
        assert "FORWARD_URL" not in result.output
        assert SECRET not in result.output


def test_a_lost_answer_is_not_called_a_refusal(cli: Cli, sandbox: RunningSandbox) -> None:
    """The partner may have taken the address: that is said, and stands in the trail."""
    sandbox.faults.update({"calls": ["set_webhook"], "error_after": 1.0})

    result = cli("provider", "webhook", "set")

    assert result.exit_code == 1
    assert "may have taken the address or not" in " ".join(result.output.split())
    assert "linkferry provider webhook get" in " ".join(result.output.split())
    assert sandbox.state.webhook_url == OURS
    [entry] = cli.json("audit", "--act", "webhook_set")["items"]
    assert entry["detail"]["reason"] == "partner_error"


def test_what_surely_did_nothing_is_not_in_the_trail(
    cli: Cli, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1 with the reason, and no secret in it."""
    monkeypatch.setenv("LINKFERRY_PROVIDER_CLIENT_SECRET", "a-wrong-one")

    result = cli("provider", "webhook", "set", "--replace")

    assert result.exit_code == 1
    assert "did not take the address (token_refused)" in " ".join(result.output.split())
    assert "a-wrong-one" not in result.output
    assert sandbox.state.webhook_url is None
    assert cli.json("audit", "--act", "webhook_set")["items"] == []


def test_a_listener_whose_address_is_written_without_https_is_seen(cli: Cli, sandbox: RunningSandbox) -> None:
    """Else it would be replaced unasked."""
    sandbox.state.set_webhook("crm.example/hooks")

    assert cli("provider", "webhook", "set").exit_code == 1
    assert sandbox.state.webhook_url == "crm.example/hooks"


def test_the_trail_keeps_no_key_of_another_system(cli: Cli, sandbox: RunningSandbox) -> None:
    """Told to the one who replaced it, and not to everybody who may read the trail."""
    sandbox.state.set_webhook(ANOTHERS)

    assert "token=abc" in cli("provider", "webhook", "set", "--replace").output
    [entry] = cli.json("audit", "--act", "webhook_set")["items"]
    assert entry["detail"]["was"] == "https://crm.example/hooks/99digital?…"


def test_reports_are_never_passed_on_to_ourselves(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would come again and again: refused at start, without the address."""
    monkeypatch.setenv("LINKFERRY_FORWARD_URL", OURS)

    result = cli("status")

    assert result.exit_code == 2
    assert "LINKFERRY_FORWARD_URL" in result.output
    assert SECRET not in result.output


def test_a_report_shows_its_names_masked_and_steers_no_terminal(cli: Cli) -> None:
    """What the partner's reports are like is seen without anybody's data; revealed, it is harmless on a screen."""
    said = {"Whatsapp": "972501234567", "who": {"Name": "Dana"}, "x": "\x9b31m\u202e\ud800", "deep": 1}
    record = packed(
        json.dumps(said, ensure_ascii=False).replace("\ud800", "\\ud800"), content_type="application/json"
    )
    deep = packed("[" * 600 + '"Dana"' + "]" * 600, content_type="application/json")
    events = [
        NewEvent(id=name, source=WEBHOOK_SOURCE, key=name, digest=name, body=body)
        for name, body in (("e1", record), ("e2", deep))
    ]
    cli.on_ledger(lambda ledger: ledger.intake.record(events, max_waiting=9))

    shown = cli("crm", "show", "e1").output
    revealed = cli("crm", "show", "e1", "--reveal").output

    assert all(f'"{name}"' in shown for name in ("Whatsapp", "who", "Name", "x"))
    assert "Dana" not in shown
    assert "972501234567" not in shown
    assert "Dana" in revealed
    for text in (shown, revealed):
        assert not re.search("[\x7f-\x9f\u202e\ud800]", text)
    assert cli("crm", "show", "e2").exit_code == 0
    assert "Dana" not in cli("crm", "show", "e2").output


@pytest.mark.parametrize("source", ["provider:webhook", "provider:forward"])
def test_reports_can_be_asked_for_before_the_first_has_come(cli: Cli, source: str) -> None:
    """As docs/completion.md says."""
    assert cli.json("crm", "events", "--source", source)["items"] == []


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


def test_doctor_never_advises_to_let_the_own_proxy_in(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not say whose a report is: its address among the partner's would let everybody in."""
    monkeypatch.setenv("LINKFERRY_TRUSTED_PROXIES", "10.0.0.0/8")
    cli.on_ledger(lambda ledger: ledger.completing.note(refused_at_ms=1, refused_from="10.1.2.3"))

    document = cli.json("doctor", expect=1)

    [told] = [each for each in document["findings"] if "10.1.2.3" in each["text"]]
    assert "your proxy" in told["text"]
    assert "X-Forwarded-For" in told["remedy"]
    assert "PROVIDER_WEBHOOK_FROM" not in told["remedy"]


def test_doctor_says_that_nobody_takes_what_waits_to_be_passed_on(cli: Cli) -> None:
    """FORWARD_URL was taken away while reports waited for it: nothing else would ever tell."""
    event = NewEvent(id="e1", source=FORWARD_SOURCE, key="k", digest="d", body=packed("{}", content_type=""))
    cli.on_ledger(lambda ledger: ledger.intake.record([event], max_waiting=9))

    assert any(level == "warn" and "1 reports wait to be passed on" in text for level, text in findings(cli))


def test_a_secret_that_can_be_guessed_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 2, with how to make one."""
    monkeypatch.setenv("LINKFERRY_PROVIDER_WEBHOOK_SECRET", "hunter2")

    result = cli("status")

    assert result.exit_code == 2
    assert "openssl rand -hex 24" in result.output
    assert "hunter2" not in result.output
