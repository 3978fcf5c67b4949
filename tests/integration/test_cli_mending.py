"""`failed edit` and `failed export` on a real Valkey: what is said, what is done, what is kept."""

from __future__ import annotations

import csv
import io
import json
import shlex
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from linkferry.commands import failed_edit
from linkferry.commands.failed_edit import form_text, read_form
from tests.integration.cli_in_process import Cli, cli_on, fail_one, link_one, state_of
from tests.integration.mending_desk import NUMBER, a_failed, the_act
from worker.ledger import LedgerUnavailable


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


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
    assert "1 dead letter written to mend.csv" in result.stdout
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


def test_an_export_of_nothing_writes_nothing(cli: Cli, tmp_path: Path) -> None:
    """Neither a file nor an entry in the trail, nor does it touch a file that was there."""
    a_failed(cli)
    (tmp_path / "old.csv").write_text("mine")
    cut = ("--number", "0509999999")

    result = cli("failed", "export", "new.csv", *cut)

    assert result.exit_code == 1
    assert "Nothing matches: nothing was written." in result.stderr
    assert cli("failed", "export", "old.csv", "--force", *cut).exit_code == 1
    assert cli("failed", "export", "-", *cut).stdout == ""
    assert cli.json("failed", "export", "new.csv", *cut, expect=1) == {"file": None, "rows": 0}
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old.csv", "mine")]
    assert cli.json("audit", "--act", "export")["items"] == []


def test_the_way_from_the_failed_queue_through_a_file_can_be_pasted(cli: Cli, tmp_path: Path) -> None:
    """Discard what was exported, and no more; then bring the file in, whatever it is called."""
    job, other = a_failed(cli), a_failed(cli, reason="name_refused", whatsapp="972501234569")

    told = cli("failed", "export", "to mend.csv", "--reason", "number_invalid").stdout
    [bring] = [shlex.split(line)[4:] for line in told.splitlines() if "linkferry backfill" in line]
    [discard] = [line.partition(" hold: linkferry ")[2] for line in told.splitlines() if "discard" in line]
    since = a_failed(cli, whatsapp="972501234570")

    assert discard == "failed discard --file 'to mend.csv'"
    assert cli(*shlex.split(discard), "--yes").exit_code == 0
    assert [state_of(cli, each) for each in (job, other, since)] == ["dead", "failed", "failed"]
    assert bring == ["linkferry", "backfill", "to mend.csv"]
    assert cli.json(*bring[1:], "--quiet")["accepted"] == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "{0}\n\n{0}\n"),
        ("excel.csv", "\ufeffwhatsapp;_job_id\n972501234567;{0}\n972501234567;\n"),
        ("lines.json", '{{"_job_id": "{0}"}}\n'),
    ],
)
def test_a_file_of_ids_is_taken_in_any_of_its_forms(cli: Cli, tmp_path: Path, name: str, text: str) -> None:
    """As it was written, as a spreadsheet saved it, or as a plain list."""
    job = a_failed(cli)
    (tmp_path / name).write_text(text.format(job), encoding="utf-8")

    assert cli("failed", "discard", "--file", name, "--yes").exit_code == 0
    assert state_of(cli, job) == "dead"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("whatsapp,_job_id\n972501234567,nonsense\n", "line 2: 'nonsense' is no job's id"),
        ("whatsapp,business_name\n972501234567,Dana\n", "line 1: 'whatsapp,business_name' is no job's id"),
        ('{"_job_id": 7}\n', "line 1: '7' is no job's id"),
        ("{broken\n", "line 1: '{broken' is no job's id"),
        ("\n", "names no job: it needs a column _job_id"),
        ("whatsapp,_job_id\n", "names no job"),
    ],
)
def test_a_file_that_names_something_else_does_nothing(
    cli: Cli, tmp_path: Path, text: str, said: str
) -> None:
    """With the line, and what to do about it."""
    job = a_failed(cli)
    (tmp_path / "ids.csv").write_text(text, encoding="utf-8")

    result = cli("failed", "discard", "--file", "ids.csv", "--yes")

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert state_of(cli, job) == "failed"


def test_a_file_of_ids_stands_alone_and_can_be_read(cli: Cli, tmp_path: Path) -> None:
    """Beside a filter one of the two would be passed over; what is no text, or not there, is said to be so."""
    (tmp_path / "book.csv").write_bytes(b"PK\x03\x04\xff\xfe")

    assert "--file alone" in cli("failed", "discard", "--file", "book.csv", "--all").stderr
    assert "no text in UTF-8" in " ".join(cli("failed", "discard", "--file", "book.csv").stderr.split())
    assert "No such file" in cli("failed", "requeue", "--file", "none.csv").stderr


def test_rows_that_stand_in_the_failed_queue_say_what_to_do(cli: Cli) -> None:
    """Not only that they are known: as they stand, or instead."""
    job = a_failed(cli)
    cli("failed", "export", "all.csv")

    result = cli("backfill", "all.csv", "--quiet")

    assert "1 of those known already stands in the failed queue and keeps its number" in result.stdout
    assert f"The first: {job}" in result.stdout
    assert "linkferry failed requeue" in result.stdout
    assert "linkferry failed discard" in result.stdout


def test_a_mended_row_of_a_failed_job_says_what_to_do(cli: Cli, tmp_path: Path) -> None:
    """It contradicts what stands there."""
    job = a_failed(cli)
    cli("failed", "export", "all.csv")
    [row] = rows_of(tmp_path / "all.csv")
    write_rows(tmp_path / "all.csv", [row | {"business_name": "Noa Flowers"}])

    result = cli("backfill", "all.csv", "--quiet")

    assert f"linkferry failed edit {job}" in result.stdout
    assert f"linkferry failed discard {job}" in result.stdout


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


def test_an_export_that_breaks_off_is_accounted_for(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is recorded before the first row leaves: who reads a stream has what came until then."""
    a_failed(cli)

    async def break_off(*_: object, **__: object) -> AsyncIterator[dict[str, str]]:
        raise LedgerUnavailable("gone")
        yield {}

    monkeypatch.setattr("worker.ops.export.rows", break_off)

    assert cli("failed", "export", "mend.csv").exit_code != 0
    assert the_act(cli, "export")["detail"]["count"] == "1"
    assert list(tmp_path.glob("*mend*")) == []


def test_an_export_in_no_known_form_is_refused(cli: Cli, tmp_path: Path) -> None:
    """Before a file is made."""
    assert cli("failed", "export", "x.csv", "--format", "xml").exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_each_group_comes_with_what_its_remedy_says(cli: Cli) -> None:
    """Not the first alone; and a number's own link is not tried again blindly."""
    for reason, reason_class in (
        ("foreign_link", "link_exists"),
        ("already_onboarded", "already_onboarded"),
        ("replaced_link_stands", "link_exists"),
    ):
        cli.on_ledger(partial(fail_one, reason=reason, reason_class=reason_class))
    said = " ".join(cli("failed", "groups").stdout.split())
    assert "Once it is deleted: linkferry failed requeue --reason foreign_link" in said
    assert "Then: linkferry failed discard --reason already_onboarded" in said
    assert "linkferry job replace --state failed --reason replaced_link_stands" in said


def test_the_trail_tells_how_much_in_words(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by the names of its fields."""
    monkeypatch.setenv("COLUMNS", "200")
    job = cli.on_ledger(fail_one)
    cli("failed", "list", "--reveal")
    cli("failed", "discard", job)
    revealed, discarded = (
        " ".join(cli("audit", "--act", act).stdout.split()) for act in ("reveal", "discard")
    )
    assert "1 shown, in failed list" in revealed
    assert "for link_exists" in discarded
