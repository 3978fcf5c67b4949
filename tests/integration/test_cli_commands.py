"""The commands as scripts and people use them: output, exit codes, one line for every trouble."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.factories import a_request, an_invitation
from tests.integration.cli_in_process import DANA, Cli, cli_on, fail_one, link_one, state_of
from worker.domain.dedupe import claim_key, fingerprint
from worker.domain.parse import ParsedRequest, parse_request
from worker.domain.states import Lane
from worker.ledger import Ledger

pytestmark = pytest.mark.redis


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


def test_enqueueing_answers_with_the_job_and_again_with_the_same(cli: Cli) -> None:
    """A duplicate is no failure: exit 0, the same id."""
    first = cli.json("enqueue", "whatsapp", *DANA)
    again = cli.json("enqueue", "whatsapp", *DANA)

    assert first == {"job_id": first["job_id"], "state": "available", "duplicate": False}
    assert again == {"job_id": first["job_id"], "state": "available", "duplicate": True}


def test_another_request_for_the_same_number_is_refused(cli: Cli) -> None:
    """Nothing accepted: exit 1, and the answer says what stands there."""
    first = cli.json("enqueue", "whatsapp", *DANA)

    other = cli.json(
        "enqueue", "whatsapp", "0501234567", "--business-name", "Ben", "--display-name", "Ben", expect=1
    )

    assert other["job_id"] == first["job_id"]
    assert other["conflict"] is True


def test_an_external_id_of_another_sources_customer_is_refused(cli: Cli) -> None:
    """It says what to do; the one that stands is told as for any conflict."""
    parsed = parse_request({"product": "facebook:1", "external_id": "42", "email": "dana@example.com"})
    assert isinstance(parsed, ParsedRequest)
    request = parsed.request
    theirs = an_invitation(
        request=request,
        source="crm:hubspot",
        claim_key=claim_key(request, None, None),
        fingerprint=fingerprint(request),
    )
    cli.on_ledger(lambda ledger: ledger.accept([theirs], max_waiting=10))
    words = ("enqueue", "facebook", "--type", "1", "--external-id", "42", "--email", "noa@example.com")

    assert cli.json(*words, expect=1)["job_id"] == f"{theirs.id}1"
    assert "an external_id of its own" in cli(*words).output


def test_several_products_have_a_job_each(cli: Cli) -> None:
    """`job_ids` for several."""
    document = cli.json(
        "enqueue", "facebook", "--type", "1", "--type", "3", "--external-id", "42", "--business-name", "Dana"
    )

    assert [job[-1] for job in document["job_ids"]] == ["1", "3"]
    assert document["job_id"] == document["job_ids"][0]


def test_an_invalid_request_names_every_field(cli: Cli) -> None:
    """All problems at once, each with its remedy; nothing is recorded."""
    result = cli("enqueue", "whatsapp", "abc", "--business-name", "Dana", "--display-name", "D" * 51)

    assert result.exit_code == 1
    assert "whatsapp:" in result.stderr
    assert "display_name:" in result.stderr
    assert "Nothing was recorded." in result.stderr
    assert cli.json("status")["jobs"]["available"] == 0


def test_waiting_for_a_link_that_does_not_come_ends_in_time(cli: Cli) -> None:
    """Without a worker the line says so; exit 1, the job waits on."""
    result = cli("enqueue", "whatsapp", *DANA, "--wait", "--timeout", "0.3")

    assert result.exit_code == 1
    assert "No worker runs" in result.stderr
    assert cli.json("status")["lanes"]["live"]["waiting"] == 1


def test_lists_have_items_a_cursor_and_a_total(cli: Cli) -> None:
    """Pages join up: every job shows once."""
    for number in range(3):
        cli("enqueue", "facebook", "--type", "1", "--external-id", str(number))
    first = cli.json("job", "list", "--limit", "2")
    second = cli.json("job", "list", "--limit", "2", "--cursor", first["next"])

    assert (first["total"], len(first["items"]), len(second["items"]), second["next"]) == (3, 2, 1, None)
    assert len({item["job_id"] for page in (first, second) for item in page["items"]}) == 3


def test_a_job_is_found_by_its_number_however_written(cli: Cli) -> None:
    """And shown masked, unless asked for."""
    job = cli.json("enqueue", "whatsapp", *DANA)["job_id"]

    (found,) = cli.json("job", "list", "--number", "+972 50-123-4567")["items"]

    assert found["job_id"] == job
    assert "1234567" not in json.dumps(cli.json("job", "show", job))
    assert cli.json("job", "show", job, "--reveal")["number"] == "972501234567"


def test_a_job_shows_its_link_history_and_messages(cli: Cli) -> None:
    """Everything about one customer on one screen."""
    job = cli.on_ledger(link_one)

    document = cli.json("job", "show", job)
    text = cli("job", "show", job).stdout

    assert document["link"] == "https://onboarding.example/1"
    assert [entry["event"] for entry in document["history"]] == ["accepted", "linked"]
    assert [each["channel"] for each in document["deliveries"]] == ["email"]
    assert "https://onboarding.example/1" in text


@pytest.mark.parametrize(
    "words",
    [
        ("job", "show", "0" * 20 + "w"),
        ("failed", "show", "nonsense"),
        ("batch", "show", "nope"),
        ("key", "revoke", "x"),
    ],
)
def test_what_does_not_exist_is_one_line_and_exit_1(cli: Cli, words: tuple[str, ...]) -> None:
    """The line says where to look."""
    result = cli(*words)

    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1


def test_a_waiting_job_can_be_cancelled_once(cli: Cli) -> None:
    """The second time there is nothing to cancel."""
    job = cli.json("enqueue", "whatsapp", *DANA)["job_id"]

    answer = cli.json("job", "cancel", job, "--why", "asked twice")
    assert answer == {"act": "cancel", "job_id": job, "done": True, "state": "cancelled", "refusal": None}
    assert cli("job", "cancel", job).exit_code == 1


def test_failed_jobs_are_grouped_explained_and_requeued_by_reason(cli: Cli) -> None:
    """Look, understand, mend: only what the filter matches."""
    wanted = cli.on_ledger(
        lambda ledger: fail_one(ledger, reason="partner_timeout", reason_class="transient")
    )
    other = cli.on_ledger(fail_one)
    groups = {item["reason"]: item for item in cli.json("failed", "groups")["items"]}
    assert groups["partner_timeout"]["count"] == 1
    assert groups["link_exists"]["remedy"]

    document = cli.json("failed", "requeue", "--class", "transient", "--yes", "--why", "partner is back")

    assert document["done"] == 1
    assert state_of(cli, wanted) == "available"
    assert state_of(cli, other) == "failed"
    assert cli.json("job", "show", wanted)["history"][-1]["why"] == "partner is back"


def test_a_bulk_act_without_a_person_to_ask_does_nothing(cli: Cli) -> None:
    """No terminal and no --yes: exit 2, and what would have been done is shown."""
    job = cli.on_ledger(fail_one)

    result = cli("failed", "discard", "--all")

    assert result.exit_code == 2
    assert "link_exists" in result.stdout
    assert "--yes" in result.stderr
    assert state_of(cli, job) == "failed"


def test_an_act_on_ids_is_not_asked_about(cli: Cli) -> None:
    """Who names a job means it; what is unfit among them is told."""
    job, waiting = cli.on_ledger(fail_one), cli.json("enqueue", "whatsapp", *DANA)["job_id"]

    document = cli.json("failed", "discard", job, waiting)

    assert document["done"] == 1
    assert document["not_eligible"] == {"is_available": 1}
    assert [item["job_id"] for item in cli.json("failed", "list", "--state", "dead")["items"]] == [job]


@pytest.mark.parametrize(
    "words",
    [
        ("failed", "requeue"),
        ("failed", "list", "--state", "linked"),
        ("failed", "list", "--older-than", "soon"),
        ("failed", "list", "--stage", "middle"),
        ("job", "list", "--state", "lost"),
        ("job", "list", "--reason", "no_such_reason"),
        ("job", "list", "--class", "no_such_class"),
        ("job", "list", "--batch", "no-such-batch"),
        ("job", "list", "--number", "nonsense"),
        ("failed", "list", "--reason", "no_such_reason"),
        ("failed", "requeue", "--batch", "no-such-batch", "--yes"),
        ("resend", "x", "--no-such-option"),
        ("job", "list", "--cursor", "nonsense"),
        ("pause", "--lane", "fast"),
        ("preview", "--locale", "fr"),
        ("enqueue", "facebook", "--type", "5"),
        ("no-such-command",),
    ],
)
def test_a_wrong_word_is_exit_2(cli: Cli, words: tuple[str, ...]) -> None:
    """Usage: nothing was done."""
    assert cli(*words).exit_code == 2


def test_up_refuses_a_crm_setting_before_it_starts_anything(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told once, by its name: no process was started that would tell it again."""
    monkeypatch.setenv("LINKFERRY_CRM_GENERIC_PATH", "short")
    result = cli("up")

    assert result.exit_code == 2
    assert result.output.count("LINKFERRY_CRM_GENERIC_PATH must be") == 1
    assert "Ready" not in result.output


def test_pausing_and_resuming_show_in_the_status(cli: Cli) -> None:
    """One lane, then all."""
    cli("pause", "--lane", "bulk")
    lanes = cli.json("status")["lanes"]
    assert (lanes["bulk"]["paused"], lanes["live"]["paused"]) == (True, False)
    cli("pause")
    assert cli.json("status")["lanes"]["live"]["paused"] is True

    cli("resume")

    assert not any(lane["paused"] for lane in cli.json("status")["lanes"].values())


def test_resuming_clears_holds_and_names_them(cli: Cli) -> None:
    """A guard's hold ends by the operator's word."""
    cli.on_ledger(lambda ledger: ledger.batches.hold("bulk", "unknown_77"))
    assert cli.json("status")["lanes"]["bulk"]["held"] == "unknown_77"

    assert cli.json("resume", "--lane", "bulk")["holds_cleared"] == ["bulk"]

    assert cli.json("status")["lanes"]["bulk"]["held"] is None


def test_who_resumes_the_bulk_lane_is_told_which_batches_stay_held(cli: Cli) -> None:
    """`Resumed: bulk.` alone would seem to end it, and nothing would go on."""
    cli.on_ledger(lambda ledger: ledger.batches.hold("batch:b1", "unknown_77"))

    assert "linkferry batch resume b1" in cli("resume", "--lane", "bulk").stdout
    assert cli.json("resume", "--lane", "bulk")["still_held"] == ["batch:b1"]
    assert cli.json("resume", "--lane", "live")["still_held"] == []
    assert cli.json("resume")["still_held"] == []


def test_who_resumes_a_batch_reads_why_its_hold_stood(cli: Cli) -> None:
    """As who resumes a lane does."""

    async def held(ledger: Ledger) -> None:
        await ledger.batches.open("20261121-abcdef", name="may.csv", source="csv", by="dana", total=1)
        await ledger.batches.hold("batch:20261121-abcdef", "unknown_77")

    cli.on_ledger(held)
    told = cli("batch", "resume", "20261121-abcdef").stdout

    assert "Hold cleared: batch:20261121-abcdef (may.csv), held since 20" in told
    assert "for unknown_77; 0 jobs waited. The partner refused it with code 77" in told
    cli.on_ledger(lambda ledger: ledger.batches.hold("batch:20261121-abcdef", "unknown_77"))
    document = cli.json("batch", "resume", "20261121-abcdef")
    assert [each["reason"] for each in document["holds"]] == ["unknown_77"]
    assert cli("batch", "resume", "20261121-abcdef").stdout == "Resumed.\n"


def test_who_clears_a_hold_by_resuming_reads_why_it_stood(cli: Cli) -> None:
    """The reason, since when, and what it means; once it is cleared nothing else shows that."""
    cli.on_ledger(lambda ledger: ledger.batches.hold("batch:20261121-abcdef", "unknown_77"))

    told = cli("resume", "--why", "mended").stdout

    assert "Hold cleared: batch:20261121-abcdef, held since 20" in told
    assert "for unknown_77; 0 jobs waited. The partner refused it with code 77" in told
    assert "Hold cleared" not in cli("resume").stdout


def test_batches_are_listed_paused_and_cancelled(cli: Cli) -> None:
    """A backfill as a whole."""

    async def open_batch(ledger: Ledger) -> None:
        await ledger.batches.open("run-1", name="a.csv", source="csv", by="test", total=2)
        invitations = [
            an_invitation(lane=Lane.BULK, batch_id="run-1", line=line, request=a_request()) for line in (2, 3)
        ]
        await ledger.accept(invitations, max_waiting=100, durable=False)

    cli.on_ledger(open_batch)

    assert cli.json("batch", "list")["items"][0]["batch"] == "run-1"
    cli("batch", "pause", "run-1")
    assert cli.json("batch", "show", "run-1")["paused"] is True
    cli("batch", "resume", "run-1")
    assert cli.json("batch", "show", "run-1")["paused"] is False
    assert cli("batch", "cancel", "run-1").exit_code == 2
    cancelled = cli.json("batch", "cancel", "run-1", "--yes")
    assert cancelled == {"batch": "run-1", "cancelled": 2, "running": 0, "in_doubt": 0}


def test_keys_of_the_settings_are_not_left_out(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks who may come in over HTTP sees that there are more, and where; never the keys themselves."""
    monkeypatch.setenv("LINKFERRY_API_KEYS", "first-secret,second-secret")

    listed = cli("key", "list").stdout

    assert "linkferry key add NAME" in listed
    assert "2 more in the setting API_KEYS" in listed
    assert "secret" not in listed
    assert cli.json("key", "list")["in_settings"] == 2


def test_a_key_works_until_it_is_revoked_and_only_its_hash_is_kept(cli: Cli) -> None:
    """Printed once, never again."""
    secret = cli.json("key", "add", "website")["key"]
    assert cli.on_ledger(lambda ledger: ledger.keys_of_api.check(secret)) == "website"
    assert cli("key", "add", "website").exit_code == 1
    assert [item["name"] for item in cli.json("key", "list")["items"]] == ["website"]
    assert "API_KEYS" not in cli("key", "list").stdout

    cli("key", "revoke", "website")

    assert cli.on_ledger(lambda ledger: ledger.keys_of_api.check(secret)) is None
