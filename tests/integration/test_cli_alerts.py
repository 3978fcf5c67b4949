"""`linkferry alerts …` and what `doctor` says of alerts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli_in_process import Cli, cli_on
from tests.integration.events_receiver import SECRET
from tests.integration.sandbox_thread import a_sandbox
from tests.integration.test_cli_events import receiver_beside
from worker.domain.alerts import AlertKind, Trouble, mail_sink
from worker.domain.outgoing import NotTold, TellFault
from worker.ledger import Ledger
from worker.settings import SandboxAddress

HOLD = Trouble(kind=AlertKind.HOLD, scope="live", count=3, params={"target": "live", "reason": "unknown_17"})
MAIL = {
    "LINKFERRY_SMTP_URL": "smtp://127.0.0.1:9",
    "LINKFERRY_EMAIL_FROM": "Acme <links@acme.example>",
    "LINKFERRY_ALERT_EMAIL": "ops@example.com",
}


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as command_line:
        yield command_line


@pytest.fixture
def mailing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a command line whose alerts go to a mail server that is not there."""
    for name, value in MAIL.items():
        monkeypatch.setenv(name, value)
    return cli


def stand(cli: Cli, **changes: Any) -> str:
    """Open an incident; return its id."""

    async def act(ledger: Ledger) -> str:
        trouble = Trouble(
            **({"kind": HOLD.kind, "scope": HOLD.scope, "count": 3, "params": HOLD.params} | changes)
        )
        incident_id, _ = await ledger.incidents.stands(trouble, sinks=[mail_sink("ops@example.com")])
        return incident_id

    return str(cli.on_ledger(act))


async def end_all(ledger: Ledger) -> None:
    for incident in await ledger.incidents.open():
        await ledger.incidents.end(incident)


async def fail_to_tell(ledger: Ledger) -> None:
    for claimed in await ledger.incidents.claim(mail_sink("ops@example.com"), worker_id="w", lease_s=60):
        await ledger.incidents.settle(claimed, NotTold(fault=TellFault.UNREACHABLE), delay_s=60.0)


def findings(cli: Cli) -> list[tuple[str, str]]:
    """Return level and text of what doctor says of alerts."""
    document = cli.json("doctor", expect=1)
    return [(each["level"], each["text"]) for each in document["findings"] if each["about"] == "alerts"]


def test_the_list_shows_open_incidents_first(mailing: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is wrong, in words, and how far it was told; each page's cursor leads to the next."""
    monkeypatch.setenv("COLUMNS", "160")
    stand(mailing, scope="bulk", params={"target": "bulk", "reason": "unknown_18"})
    mailing.on_ledger(end_all)
    incident_id = stand(mailing)
    stand(mailing, scope="batch:b1", params={"target": "batch:b1", "reason": "unknown_17"})

    page = mailing.json("alerts", "list")
    assert [item["state"] for item in page["items"]] == ["open", "open", "ended"]
    assert (page["total"], page["open"], page["next"]) == (3, 2, None)
    [live] = [item for item in page["items"] if item["incident_id"] == incident_id]
    assert live["title"] == "live is held: unknown_17. 3 jobs wait"
    assert live["codes"]["title"] == "alert.hold.title"
    assert live["params"]["reason"] == "unknown_17"
    shown = mailing("alerts", "list").stdout
    assert incident_id in shown
    assert "1 to be told" in shown
    assert "alerts show ID" in shown


def test_the_list_keeps_what_matters_at_eighty_columns(mailing: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id, the state and what it is."""
    incident_id = stand(mailing)
    monkeypatch.setenv("COLUMNS", "80")

    shown = mailing("alerts", "list").stdout

    assert max(len(line) for line in shown.splitlines()) <= 80
    assert incident_id in shown
    assert "open" in shown


def test_show_says_what_to_do_and_how_telling_went(mailing: Cli) -> None:
    """Nobody's address in whole."""
    incident_id = stand(mailing)
    mailing.on_ledger(fail_to_tell)

    document = mailing.json("alerts", "show", incident_id)
    [telling] = document["tellings"]
    assert (telling["state"], telling["tries"], telling["fault"]) == ("waiting", 1, "unreachable")
    assert telling["sink"].startswith("email o")
    assert "ops@example.com" not in str(document)
    shown = mailing("alerts", "show", incident_id).stdout
    assert "linkferry resume --lane live" in shown or "resume --lane live" in shown
    assert "unreachable" in shown
    missing = mailing("alerts", "show", "alr_nobody")
    assert (missing.exit_code, "no such incident" in missing.stderr) == (1, True)


def test_where_nobody_is_told_it_says_how_to_change_that(cli: Cli) -> None:
    """In the list, in the test and in doctor; a bad cursor is refused in one line."""
    assert "LINKFERRY_ALERT_EMAIL" in cli("alerts", "list").stdout
    assert "Nothing is wrong" in cli("alerts", "list").stdout
    assert cli.json("alerts", "list") == {"items": [], "next": None, "total": 0, "open": 0}
    refused = cli("alerts", "test")
    assert (refused.exit_code, "LINKFERRY_ALERT_URL" in refused.stderr) == (2, True)
    [(level, text)] = findings(cli)
    assert (level, "Nobody is told" in text) == ("warn", True)
    assert cli("alerts", "list", "--cursor", "x").exit_code == 2


def test_test_tries_every_receiver(mailing: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with what came back and what to do about it; the exit code says whether all have taken it."""
    monkeypatch.setenv("LINKFERRY_ALERT_SECRET", SECRET)
    with receiver_beside() as receiver:
        monkeypatch.setenv("LINKFERRY_ALERT_URL", receiver.url)
        document = mailing.json("alerts", "test", expect=1)
        shown = mailing("alerts", "test").stdout

    webhook, mail = document["items"]
    assert (webhook["to"], webhook["told"], webhook["status"]) == ("ALERT_URL", True, 200)
    assert (mail["to"], mail["told"], mail["fault"]) == ("ops@example.com", False, "unreachable")
    assert mail["remedy"]
    assert {each["type"] for each in receiver.got} == {"alert.test"}
    assert len(set(receiver.ids)) == 2
    assert "ALERT_URL: taken (HTTP 200)" in shown


def test_in_the_sandbox_the_test_mail_is_captured(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is posted, whatever ALERT_URL says."""
    monkeypatch.setenv("LINKFERRY_ALERT_URL", "https://alerts.example.com/")
    monkeypatch.setenv("LINKFERRY_ALERT_EMAIL", "ops@example.com")
    monkeypatch.setenv("LINKFERRY_DATA_DIR", str(tmp_path))
    with a_sandbox() as sandbox:
        SandboxAddress(url=sandbox.url, smtp_port=sandbox.smtp_port).write(
            tmp_path / "sandbox" / "address.json"
        )
        document = cli.json("alerts", "test", "--sandbox")
        [mail] = [*sandbox.outbox.newest()]

    assert [item["to"] for item in document["items"]] == ["ops@example.com"]
    assert mail.subject.startswith("[Linkferry sandbox")
    monkeypatch.delenv("LINKFERRY_ALERT_EMAIL")
    assert "captured" in cli("--sandbox", "alerts", "test").stderr


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("ALERT_URL", "http://alerts.example.com/T0/B0/s3cret", "https://"),
        ("ALERT_SECRET", "a-word", "must begin with whsec_"),
        ("ALERT_EMAIL", "ops at example.com", "e-mail addresses"),
        ("ALERT_LATE_S", "5", "greater than or equal to 10"),
        ("ALERT_SURGE", "-1", "greater than or equal to 0"),
    ],
)
def test_a_setting_that_cannot_serve_is_refused(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    """In one line that names it, before anything runs; neither a secret nor an address of a chat tool is quoted."""
    monkeypatch.setenv(f"LINKFERRY_{name}", value)

    result = cli("alerts", "list")

    assert (result.exit_code, why in result.stderr) == (2, True), result.stderr
    assert f"LINKFERRY_{name}" in result.stderr
    assert "s3cret" not in result.stderr
    assert "a-word" not in result.stderr


def test_config_does_not_show_where_alerts_are_posted(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who knows a chat tool's address can post to it."""
    monkeypatch.setenv("LINKFERRY_ALERT_URL", "https://hooks.example.com/T0/B0/s3cret")

    shown = cli("config")

    assert "LINKFERRY_ALERT_URL" in shown.stdout
    assert "s3cret" not in shown.stdout


def test_doctor_knows_whether_alerts_arrive(mailing: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up, open incidents, those that could not be told, a secret without its address."""
    assert [level for level, _ in findings(mailing)] == ["ok"]
    stand(mailing)
    assert [level for level, _ in findings(mailing)] == ["ok", "warn"]
    mailing.on_ledger(fail_to_tell)
    assert [level for level, _ in findings(mailing)] == ["ok", "warn", "bad"]
    monkeypatch.setenv("LINKFERRY_ALERT_SECRET", SECRET)
    assert any("without ALERT_URL" in text for _, text in findings(mailing))


def test_alerts_that_nothing_can_mail_stop_who_would_send_them(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`up`, `worker` and `alerts test` say what is missing; whoever only looks is let be, and doctor tells him."""
    monkeypatch.setenv("LINKFERRY_ALERT_EMAIL", "ops@example.com")
    for name in ("SMTP_URL", "EMAIL_FROM"):
        monkeypatch.delenv(f"LINKFERRY_{name}", raising=False)
    for words in (("up",), ("worker",), ("alerts", "test")):
        result = cli(*words)
        assert result.exit_code != 0, words
        assert "LINKFERRY_ALERT_EMAIL needs LINKFERRY_SMTP_URL" in " ".join(result.output.split()), words
    assert cli("status").exit_code == 0
    assert "LINKFERRY_ALERT_EMAIL needs" in " ".join(cli("doctor").output.split())
