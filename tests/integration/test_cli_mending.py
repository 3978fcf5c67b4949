"""`failed edit`, `failed export`, `reasons set` and `audit` on a real Valkey: what is said, what is done, what is kept."""

from __future__ import annotations

import csv
import io
import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from linkferry.commands import failed_edit
from linkferry.commands.failed_edit import form_text, read_form
from tests.factories import an_invitation
from tests.integration.cli_in_process import Cli, cli_on, fail_one, link_one, state_of
from worker.domain.dedupe import claim_key, fingerprint
from worker.domain.job import ClaimedJob
from worker.domain.outcome import Fail, Refused
from worker.domain.parse import ParsedRequest, parse_request
from worker.ledger import Ledger

NUMBER = "972501234567"
ROW = {
    "whatsapp": NUMBER,
    "business_name": "Dana Flowers",
    "display_name": "Dana Flowers",
    "email": "d@example.com",
}
WORDS = (
    *("--name", "number_frozen", "--class", "bad_data", "--policy", "discard"),
    *("--meaning", "The number is frozen.", "--remedy", "Ask for another."),
)


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


def a_failed(cli: Cli, *, reason: str = "number_invalid", code: int | None = None, **fields: str) -> str:
    """Return a failed job that came in as a row would."""
    parsed = parse_request(ROW | fields)
    assert isinstance(parsed, ParsedRequest)
    request = parsed.request

    async def fail(ledger: Ledger) -> str:
        invitation = an_invitation(
            request=request, fingerprint=fingerprint(request), claim_key=claim_key(request, None, None)
        )
        (receipt,) = await ledger.accept([invitation], max_waiting=1_000, durable=False)
        job = await ledger.claim(receipt.job_ids[0], worker_id="w", lease_s=60)
        assert isinstance(job, ClaimedJob), job
        why = Fail(reason=reason, reason_class="bad_data", code=code, is_own_data=True, raw="{}")
        await ledger.settle(job.lease, Refused(fail=why))
        return job.id

    return str(cli.on_ledger(fail))


def the_act(cli: Cli, act: str, *words: str) -> dict[str, Any]:
    [entry] = cli.json("audit", "--act", act, *words)["items"]
    return dict(entry)


# --- edit ----------------------------------------------------------------------------------------------------


def test_an_edit_shows_before_and_after_and_requeues(cli: Cli) -> None:
    """The number that was is masked, the one that was typed is shown; both are kept."""
    job = a_failed(cli)

    result = cli("failed", "edit", job, "--set", "whatsapp=050-123-4568", "--yes", "--why", "she called")

    assert result.exit_code == 0, result.output
    assert "whatsapp: +9725******67 → +972501234568" in result.stdout
    assert NUMBER not in result.output
    assert state_of(cli, job) == "available"
    entry = the_act(cli, "edit", "--job", job)
    assert entry["why"] == "she called"
    assert entry["by"].startswith("cli:")
    assert entry["detail"]["changes"] == [
        {"field": "whatsapp", "before": "+9725******67", "after": "+9725******68"}
    ]
    whole = the_act(cli, "edit", "--reveal")
    assert whole["detail"]["changes"][0]["before"] == f"+{NUMBER}"


def test_an_edit_that_nobody_confirms_changes_nothing(cli: Cli) -> None:
    """Where nobody is there to ask, `--yes` says it."""
    job = a_failed(cli)

    result = cli("failed", "edit", job, "--set", "locale=en")

    assert result.exit_code == 2
    assert "locale: he → en" in result.stdout
    assert "--yes" in result.stderr
    assert state_of(cli, job) == "failed"


def test_everything_that_is_wrong_with_an_edit_is_said(cli: Cli) -> None:
    """For people a line each, for programs a document; nothing is done."""
    job = a_failed(cli)
    words = ("failed", "edit", job, "--set", "whatsapp=12", "--set", "emial=x", "--yes")

    result = cli(*words)
    document = cli.json(*words, expect=1)

    assert result.exit_code == 1
    assert "whatsapp " in result.stderr
    assert "Did you mean email?" in result.stderr
    assert {each["field"] for each in document["problems"]} == {"whatsapp", "emial"}
    assert not document["done"]
    assert state_of(cli, job) == "failed"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "--set FIELD=VALUE"),
        (("--set", "whatsapp"), 2, "say FIELD=VALUE"),
        (("--set", "whatsapp=0501234567", "--yes"), 1, "nothing is changed"),
    ],
)
def test_an_edit_of_nothing_says_what_to_write(
    cli: Cli, words: tuple[str, ...], code: int, says: str
) -> None:
    """Without a terminal there is no editor to open."""
    result = cli("failed", "edit", a_failed(cli), *words)

    assert result.exit_code == code
    assert says in result.stderr


def test_what_did_not_fail_cannot_be_edited(cli: Cli) -> None:
    """Said at once, before anything is asked for; an unknown job likewise."""
    job = cli.on_ledger(link_one)

    assert "only a failed job" in cli("failed", "edit", job, "--set", "locale=en").stderr
    assert "There is no job" in cli("failed", "edit", "0" * 21, "--set", "locale=en").stderr


def test_an_edit_in_the_editor(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It opens with every field, masked; what is saved is read by the same rules; the file is gone afterwards."""
    job = a_failed(cli)
    seen = tmp_path / "seen.txt"
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import pathlib, sys\n"
        "path = pathlib.Path(sys.argv[1])\n"
        f"pathlib.Path({str(seen)!r}).write_text(f'{{path}}\\n{{oct(path.stat().st_mode)}}\\n' + path.read_text())\n"
        "path.write_text(path.read_text().replace('locale:             he', 'locale: en'))\n"
    )
    monkeypatch.setenv("EDITOR", f"{sys.executable} {editor}")
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr(failed_edit, "is_on_terminal", lambda: True)

    document = cli.json("failed", "edit", job, "--yes")

    assert document["done"]
    assert [each["field"] for each in document["changes"]] == ["locale"]
    path, mode, *text = seen.read_text().splitlines()
    assert mode == "0o100600"
    assert not Path(path).exists()
    assert "whatsapp:           +9725******67" in text
    assert NUMBER not in seen.read_text()


def test_an_editor_that_changes_nothing_leaves_the_job_alone(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As does one that fails, or is not there."""
    job = a_failed(cli)
    monkeypatch.setattr(failed_edit, "is_on_terminal", lambda: True)
    for editor, says in (
        ("true", "nothing is changed"),
        ("false", "nothing done"),
        ("/no/such", "would not start"),
    ):
        monkeypatch.setenv("VISUAL", editor)
        result = cli("failed", "edit", job, "--yes")
        assert result.exit_code != 0
        assert says in result.stderr.lower()
    assert state_of(cli, job) == "failed"


def test_a_form_is_read_as_it_was_written() -> None:
    """Every field but those that belong to another job, with colons and leading stars in values."""
    form = {
        "job_id": "j",
        "state": "failed",
        "products": ["whatsapp"],
        "also_applies_to": ["k"],
        "locked": ["whatsapp"],
        "is_revealed": False,
        "fields": {"whatsapp": "1", "server": "https://x.example:8/", "name": "", "reference": "**a: b"},
    }
    text = form_text(form)

    assert "# Also changes the request of job k." in text
    assert read_form(text) == {"server": "https://x.example:8/", "name": "", "reference": "**a: b"}


# --- export --------------------------------------------------------------------------------------------------


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_dead_letters_are_exported_mended_and_brought_in_again(cli: Cli, tmp_path: Path) -> None:
    """The whole way: a wrong number becomes a dead letter, its row is corrected in the file, and a new job waits."""
    job = a_failed(cli, reference="=A1", business_name="Dana & Sons, Ltd; north")
    cli("failed", "discard", job)

    result = cli("failed", "export", "mend.csv", "--state", "dead")

    assert result.exit_code == 0, result.output
    assert "1 dead jobs written to mend.csv" in result.stdout
    path = tmp_path / "mend.csv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    [row] = rows_of(path)
    assert (row["_job_id"], row["_state"], row["_reason"]) == (job, "dead", "number_invalid")
    assert row["reference"] == "'=A1"
    write_rows(path, [row | {"whatsapp": "0501234568"}])

    brought = cli.json("backfill", str(path), "--quiet")

    assert (brought["accepted"], brought["rejected"], brought["duplicates"]) == (1, 0, 0)
    [new] = cli.json("job", "list", "--state", "available", "--reveal")["items"]
    assert (new["number"], new["reference"]) == ("972501234568", "=A1")


def test_rows_of_failed_jobs_come_in_again_once_those_are_discarded(cli: Cli, tmp_path: Path) -> None:
    """Until then the number is theirs: nothing is brought in twice."""
    job = a_failed(cli)
    cli("failed", "export", "all.csv")

    assert cli.json("backfill", "all.csv", "--quiet")["duplicates"] == 1
    cli("failed", "discard", job)
    assert cli.json("backfill", "all.csv", "--quiet")["accepted"] == 1


def test_an_export_never_overwrites_unasked(cli: Cli, tmp_path: Path) -> None:
    """Somebody's corrections may be in that file."""
    a_failed(cli)
    (tmp_path / "mend.csv").write_text("mine")

    refused = cli("failed", "export", "mend.csv")
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert (tmp_path / "mend.csv").read_text() == "mine"

    assert cli("failed", "export", "mend.csv", "--force").exit_code == 0
    assert len(rows_of(tmp_path / "mend.csv")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mend.csv"]


def test_an_export_is_of_what_the_filter_matches(cli: Cli, tmp_path: Path) -> None:
    """And can go to a stream, as documents; customers' data leaving is accounted for."""
    job = a_failed(cli, code=9)
    a_failed(cli, reason="foreign_link", whatsapp="972501234599")

    result = cli(
        "failed", "export", "-", "--format", "json", "--reason", "number_invalid", "--why", "for Noa"
    )

    [document] = [json.loads(line) for line in result.stdout.splitlines()]
    assert (document["_job_id"], document["_code"], document["whatsapp"]) == (job, "9", f"+{NUMBER}")
    entry = the_act(cli, "export")
    assert entry["why"] == "for Noa"
    assert entry["detail"]["filter"]["reason"] == "number_invalid"
    assert entry["detail"]["count"] == "1"


def test_an_export_in_no_known_form_is_refused(cli: Cli, tmp_path: Path) -> None:
    """Before a file is made."""
    assert cli("failed", "export", "x.csv", "--format", "xml").exit_code == 2
    assert list(tmp_path.iterdir()) == []


# --- teach ---------------------------------------------------------------------------------------------------


def unknown(cli: Cli) -> str:
    return a_failed(cli, reason="unknown_77", code=77)


def test_a_group_is_taught_and_its_jobs_are_described(cli: Cli) -> None:
    """By the group's own name; what to type to requeue them is said."""
    job = unknown(cli)

    result = cli("reasons", "set", "unknown_77", *WORDS, "--why", "the partner said so")

    assert result.exit_code == 0, result.output
    assert "code 77 of create_whatsapp is number_frozen" in result.stdout
    assert "failed requeue --reason unknown_77" in result.stdout
    assert "The number is frozen." in cli("failed", "show", job).stdout
    [item] = cli.json("reasons", "list", "--taught")["items"]
    assert (item["reason"], item["from"], item["policy"]) == ("number_frozen", "taught", "discard")
    assert item["codes"] == [{"call": "create_whatsapp", "code": 77}]
    entry = the_act(cli, "teach")
    assert (entry["subject"], entry["why"]) == ("create_whatsapp:77", "the partner said so")


def test_taught_jobs_are_requeued_where_that_is_asked_for(cli: Cli) -> None:
    """By the same path as every bulk act."""
    job = unknown(cli)

    result = cli("reasons", "set", "unknown_77", *WORDS, "--requeue")

    assert state_of(cli, job) == "available", result.output


def test_what_cannot_be_taught_is_said_in_the_files_own_words(cli: Cli) -> None:
    """And nothing is kept."""
    unknown(cli)
    for words, says in (
        (("unknown_77",), "Say what to teach"),
        (("77", "--class", "bad_data"), "--name"),
        (("unknown_77", "--name", "frozen", "--class", "bad_dta"), "did you mean bad_data"),
        (("unknown_77", "--name", "frozen", "--class", "bad_data"), "meaning: is missing"),
    ):
        result = cli("reasons", "set", *words)
        assert result.exit_code == 2
        assert says in result.stderr
    assert cli.json("reasons", "list", "--taught")["total"] == 0


def test_a_lesson_is_taken_back(cli: Cli) -> None:
    """And a second time there is none."""
    cli("reasons", "set", "77", *WORDS)

    assert "Taken back: code 77" in cli("reasons", "unset", "unknown_77").stdout
    assert cli.json("reasons", "list", "--taught")["total"] == 0
    again = cli("reasons", "unset", "unknown_77")
    assert again.exit_code == 1
    assert "nothing was taught" in again.stderr


def test_a_file_and_a_lesson_both_show_where_they_come_from(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The lesson wins."""
    (tmp_path / "r.toml").write_text(
        '[reasons.foreign_link]\nmeaning = "File."\n[reasons.number_invalid]\nmeaning = "File."'
    )
    monkeypatch.setenv("LINKFERRY_REASONS_FILE", str(tmp_path / "r.toml"))
    cli("reasons", "set", "foreign_link", "--meaning", "Taught.")

    items = {each["reason"]: each for each in cli.json("reasons", "list")["items"]}

    assert (items["foreign_link"]["from"], items["foreign_link"]["meaning"]) == ("taught", "Taught.")
    assert (items["number_invalid"]["from"], items["number_invalid"]["meaning"]) == ("file", "File.")
    assert items["partner_timeout"]["from"] == "shipped"


def test_reasons_can_be_listed_where_redis_is_not_there(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what was taught, which is said."""
    monkeypatch.setenv("LINKFERRY_REDIS_URL", "redis://127.0.0.1:1")

    result = cli("reasons", "list", "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)["total"] > 50
    assert "Without what was taught" in result.stderr


# --- audit ---------------------------------------------------------------------------------------------------


def test_every_act_is_accounted_for_with_who_and_why(cli: Cli) -> None:
    """Newest first."""
    job = a_failed(cli)
    cli("failed", "discard", job, "--why", "old list")
    cli("failed", "requeue", job, "--why", "asked again")
    cli("job", "cancel", job, "--why", "no more")
    cli("pause", "--lane", "bulk", "--why", "the partner asked")
    cli("resume")
    cli("key", "add", "crm")
    cli("key", "revoke", "crm")
    cli("job", "list", "--reveal")

    page = cli.json("audit")

    assert [(each["act"], each["subject"], each["why"]) for each in page["items"]] == [
        ("reveal", "", ""),
        ("key_revoke", "crm", ""),
        ("key_add", "crm", ""),
        ("resume", "all", ""),
        ("pause", "bulk", "the partner asked"),
        ("cancel", job, "no more"),
        ("requeue", job, "asked again"),
        ("discard", job, "old list"),
    ]
    assert {each["by"] for each in page["items"]} == {page["items"][0]["by"]}
    assert page["items"][0]["by"].startswith("cli:")
    assert page["total"] == 8
    assert [each["act"] for each in cli.json("audit", "--job", job)["items"]] == [
        "cancel",
        "requeue",
        "discard",
    ]
    assert cli.json("audit", "--by", "nobody")["items"] == []


def test_the_trail_is_readable_at_eighty_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who, what and to what stay; one entry shows all of itself."""
    job = a_failed(cli)
    cli("failed", "edit", job, "--set", "locale=en", "--yes", "--why", "a long story " * 10)
    monkeypatch.setenv("COLUMNS", "80")

    text = cli("audit").stdout

    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    assert "edit" in text
    assert job in text
    number = cli.json("audit")["items"][0]["id"].lstrip("0")
    shown = cli("audit", number).stdout
    assert "locale: he → en" in shown
    assert "a long story" in shown
    assert cli("audit", "999").exit_code == 1


def test_the_trail_goes_on_where_a_page_ended(cli: Cli) -> None:
    """And refuses a cursor that is none of its own, a span that is none."""
    for _ in range(3):
        cli("pause")
    page = cli.json("audit", "--limit", "2")

    assert page["total"] == 3
    rest = cli.json("audit", "--limit", "2", "--cursor", page["next"])
    assert (len(rest["items"]), rest["next"]) == (1, None)
    assert cli("audit", "--cursor", "x").exit_code == 2
    assert cli("audit", "--since", "soon").exit_code == 2
    assert cli.json("audit", "--since", "1h", "--act", "pause")["total"] == 3


def test_a_hold_that_is_cleared_by_resume_is_accounted_for(cli: Cli) -> None:
    """With which holds."""
    cli.on_ledger(lambda ledger: ledger.batches.hold("bulk", "unknown_17"))
    cli("resume", "--why", "partner is back")

    entry = the_act(cli, "resume")

    assert entry["detail"] == {"holds_cleared": "bulk"}
    assert entry["why"] == "partner is back"


def test_a_reveal_of_one_job_names_it(cli: Cli) -> None:
    """Whoever looks a customer up whole is known to have done so."""
    job = cli.on_ledger(fail_one)
    cli("job", "show", job, "--reveal")
    cli("failed", "show", job)

    entry = the_act(cli, "reveal")

    assert (entry["subject"], entry["detail"]["what"]) == (job, "job")
