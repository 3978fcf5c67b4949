"""What people read: tables in a narrow terminal, hints that can be typed, what stands still and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkferry.hints import as_typed
from tests.by_hand import LINKED, accepted, ended
from tests.factories import an_invitation
from tests.integration.cli_in_process import DANA, Cli, cli_on, fail_one, link_one
from worker.domain.outcome import Fail, Undelivered
from worker.domain.states import Channel, Lane
from worker.ledger import Ledger

pytestmark = pytest.mark.redis


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


async def open_batch(ledger: Ledger, run: str = "20261121-abcdef", waiting: int = 2) -> None:
    await ledger.batches.open(run, name="customers of november.csv", source="csv", by="test", total=9)
    await ledger.batches.add_counts(run, rejected=1, duplicates=3)
    invitations = [an_invitation(lane=Lane.BULK, batch_id=run, line=line + 2) for line in range(waiting)]
    if invitations:
        await ledger.accept(invitations, max_waiting=100, durable=False)


@pytest.mark.parametrize("columns", [20, 60, 80, 100, 200])
@pytest.mark.parametrize(
    "words",
    [("job", "list"), ("failed", "list"), ("failed", "groups"), ("batch", "list"), ("reasons", "list")],
)
def test_what_is_to_be_copied_is_never_folded(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, columns: int, words: tuple[str, ...]
) -> None:
    """Ids and reasons stand whole on a line, however narrow the terminal; times have no milliseconds."""
    job = cli.on_ledger(lambda ledger: fail_one(ledger, reason="number_not_registered"))
    cli.on_ledger(open_batch)
    monkeypatch.setenv("COLUMNS", str(columns))

    text = cli(*words).stdout

    if words[0] == "batch":
        assert "20261121-abcdef" in text
    else:
        assert "number_not_registered" in text
    assert job in text or words[1] != "list" or words[0] not in {"job", "failed"}
    assert ".000Z" not in text
    if columns >= 60 and words[0] != "reasons":
        table = [line for line in text.splitlines() if "linkferry" not in line]
        assert max(len(line.rstrip()) for line in table) <= columns


@pytest.mark.parametrize(
    ("reason", "its_class", "says", "does_not_say"),
    [
        ("already_onboarded", "already_onboarded", "failed discard --reason already_onboarded", "requeue"),
        ("unknown_77", "unknown", "reasons set unknown_77", "discard"),
        ("partner_busy", "exhausted", "failed list", "discard"),
        ("number_invalid", "bad_data", "failed list --reason number_invalid", "failed requeue"),
        (
            "number_invalid",
            "bad_data",
            "failed export number_invalid.csv --reason number_invalid",
            "failed requeue",
        ),
        ("reference_invalid", "bad_data", "failed requeue --reason reference_invalid", "failed export"),
        ("unknown_outcome", "exhausted", "failed requeue --reason unknown_outcome", "discard"),
    ],
)
def test_the_next_step_follows_the_remedy(
    cli: Cli, reason: str, its_class: str, says: str, does_not_say: str
) -> None:
    """What there is nothing left to do about is not to be requeued."""
    cli.on_ledger(lambda ledger: fail_one(ledger, reason=reason, reason_class=its_class))

    steps = cli("failed", "groups").stdout.split("Look: ")[1]

    assert says in steps
    assert does_not_say not in steps


async def fail_message(ledger: Ledger, reason: str, reason_class: str) -> str:
    """Return a message that failed for good."""
    job = await ended(ledger, await accepted(ledger, channels=(Channel.SMS,)), LINKED)
    [delivery] = await ledger.deliveries.of_invitation(job[:-1])
    claimed = await ledger.deliveries.claim(delivery.id, worker_id="w", lease_s=60)
    assert claimed is not None
    assert await ledger.deliveries.begin_send(claimed.lease)
    fail = Fail(reason=reason, reason_class=reason_class, code=30007)
    await ledger.deliveries.settle(claimed.lease, Undelivered(fail=fail), can_resend=False)
    return delivery.id


@pytest.mark.parametrize(
    ("reason", "its_class", "says"),
    [
        ("sms_text_too_long", "configuration", "When it is mended: "),
        (
            "sms_number_invalid",
            "recipient",
            "To try them once more, to the addresses that they have by now: ",
        ),
        ("sms_in_doubt", "doubt", "To send them once more, though some may have arrived: "),
        ("unknown_30007", "unknown", "Then: "),
    ],
)
def test_a_group_of_messages_offers_to_send_them_again(
    cli: Cli, reason: str, its_class: str, says: str
) -> None:
    """By a command that can be pasted, from the whole queue and from the group's own page: it means the messages alone."""
    message = cli.on_ledger(lambda ledger: fail_message(ledger, reason, its_class))
    cli.on_ledger(lambda ledger: fail_one(ledger, reason="number_invalid", reason_class="bad_data"))
    command = f"linkferry failed requeue --stage delivery --reason {reason}"

    for shown in (cli("failed", "groups"), cli("failed", "groups", reason)):
        assert f"{says}{command}\n" in shown.stdout
        assert f"Look: linkferry failed list --stage delivery --reason {reason}\n" in shown.stdout
        assert (f"linkferry reasons set {reason}\n" in shown.stdout) == (its_class == "unknown")

    done = cli(*command.split()[1:], "--yes", "--why", "mended", "--json")
    assert json.loads(done.stdout)["total"] == 1, done.output
    [left] = cli.json("failed", "list")["items"]
    assert (left["stage"], left["reason"]) == ("link", "number_invalid"), message


def test_where_jobs_and_messages_failed_alike_each_command_means_its_own(cli: Cli) -> None:
    """A requeue by the reason alone would send the messages as well."""
    cli.on_ledger(lambda ledger: fail_message(ledger, "unknown_77", "unknown"))
    cli.on_ledger(lambda ledger: fail_one(ledger, reason="unknown_77", reason_class="unknown"))

    for shown in (cli("failed", "groups").stdout, cli("failed", "groups", "unknown_77").stdout):
        assert "Then: linkferry failed requeue --stage link --reason unknown_77\n" in shown
        assert "Then: linkferry failed requeue --stage delivery --reason unknown_77\n" in shown


def test_one_reasons_own_page_names_the_job_that_can_be_corrected(cli: Cli) -> None:
    """And a file that can be written: nothing is left to be filled in."""
    job = cli.on_ledger(lambda ledger: fail_one(ledger, reason="number_invalid", reason_class="bad_data"))

    shown = cli("failed", "groups", "number_invalid").stdout

    assert f"Correct one: linkferry failed edit {job}\n" in shown
    assert cli("failed", "export", "number_invalid.csv", "--reason", "number_invalid").exit_code == 0


def test_stopped_batches_show_in_the_status_and_resume_names_them(cli: Cli) -> None:
    """A paused batch is not lifted by `resume`, and neither is it forgotten."""
    cli.on_ledger(open_batch)
    cli.on_ledger(lambda ledger: open_batch(ledger, run="20261121-empty", waiting=0))
    cli("batch", "pause", "20261121-abcdef")
    cli("batch", "pause", "20261121-empty")
    cli.on_ledger(lambda ledger: ledger.batches.hold("batch:20261121-abcdef", "unknown_77"))

    batches = cli.json("status")["batches"]
    findings = [
        each["text"] for each in cli.json("doctor", expect=1)["findings"] if each["about"] == "pauses"
    ]

    assert [(each["batch"], each["waiting"]) for each in batches["paused"]] == [
        ("20261121-abcdef", 2),
        ("20261121-empty", 0),
    ]
    assert [each["reason"] for each in batches["held"]] == ["unknown_77"]
    assert "20261121-abcdef (customers of november.csv): paused, 2 waiting" in cli("status").stdout
    assert findings == ["batch:20261121-abcdef is paused."]
    assert "linkferry batch resume 20261121-abcdef" in cli("resume").stdout


def test_the_rows_of_a_batch_add_up(cli: Cli) -> None:
    """Rows are what a run read; the file's lines are an estimate beside it."""
    cli.on_ledger(open_batch)

    batch = cli.json("batch", "show", "20261121-abcdef")

    assert batch["rows"] == batch["accepted"] + batch["duplicates"] + batch["rejected"] == 6
    assert "6 of about 9" in cli("batch", "show", "20261121-abcdef").stdout


def test_a_linked_job_that_cannot_be_cancelled_is_one_line(cli: Cli) -> None:
    """Nothing on standard output that could be taken for success."""
    job = cli.on_ledger(link_one)

    result = cli("job", "cancel", job)

    assert (result.exit_code, result.stdout) == (1, "")
    instead = f"To have its link deleted at the partner: linkferry job revoke {job}"
    assert result.stderr == f"Not cancelled: {job} is linked already. {instead}\n"


def test_a_resend_before_the_link_prints_no_empty_line(cli: Cli) -> None:
    """It says where the job is."""
    job = cli.json("enqueue", "whatsapp", *DANA)["job_id"]

    result = cli("resend", job)

    assert (result.exit_code, result.stdout) == (1, "")
    assert "is available" in result.stderr


def test_a_job_shows_no_oddities_it_does_not_have(cli: Cli) -> None:
    """Orphans, failures and requeues are shown where there are any."""
    job = cli.json("enqueue", "whatsapp", *DANA)["job_id"]

    text = cli("job", "show", job).stdout

    assert "orphans" not in text
    assert "requeues" not in text


def test_hints_in_the_sandbox_stay_in_the_sandbox(cli: Cli) -> None:
    """Whoever says the line types it as it stands."""
    said = cli("--sandbox", "job", "show", "nope").stderr
    remedies = " ".join(each["remedy"] for each in cli.json("doctor", "--sandbox")["findings"])

    assert "linkferry --sandbox job list" in said
    assert "linkferry up --sandbox" in remedies
    assert "linkferry --sandbox up, or " in remedies


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("Say `linkferry status`.", "Say `lf --sandbox status`."),
        ("linkferry up --sandbox", "lf up --sandbox"),
        ("linkferry --sandbox job list", "lf --sandbox job list"),
        ("linkferry demo", "lf demo"),
        ("A linkferry is a ferry; ./bin/linkferry status", "A linkferry is a ferry; ./bin/linkferry status"),
    ],
)
def test_only_commands_are_rewritten(text: str, typed: str) -> None:
    """Once, and nothing that says the sandbox already."""
    assert as_typed(text, is_sandbox=True, by="lf") == typed
    assert as_typed(typed, is_sandbox=True, by="lf") == typed


def test_unknown_settings_are_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sets them would wait for something that does not happen."""
    monkeypatch.setenv("LINKFERRY_CRM_HUBSPOT_TOKEN", "hush")
    monkeypatch.setenv("LINKFERRY_FAVOURITE_COLOUR", "blue")
    monkeypatch.delenv("LINKFERRY_REDIS_URL")

    settings = [
        each["text"] for each in cli.json("doctor", expect=1)["findings"] if each["about"] == "settings"
    ]

    assert any("LINKFERRY_FAVOURITE_COLOUR" in text for text in settings)
    assert not any("LINKFERRY_CRM_HUBSPOT_TOKEN" in text for text in settings)
    assert "LINKFERRY_FAVOURITE_COLOUR" in cli("web").stderr


def test_a_channel_is_paused_seen_and_resumed(cli: Cli) -> None:
    """Its pause is told with how to lift it, and outlasts a resume of the lanes."""
    assert "linkferry resume --channel sms" in cli("pause", "--channel", "sms", "--why", "upkeep").stdout
    findings = [each for each in cli.json("doctor", expect=1)["findings"] if each["about"] == "pauses"]
    assert [each["text"] for each in findings] == ["channel:sms is paused."]
    assert "resume --channel sms" in findings[0]["remedy"]
    assert "Still paused: channel:sms" in cli("resume").stdout
    assert cli.json("resume", "--channel", "sms")["still_paused"] == []
    assert cli("pause", "--channel", "pigeon").exit_code == 2
    assert cli("pause", "--channel", "sms", "--lane", "live").exit_code == 2
