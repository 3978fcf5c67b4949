"""`reasons set` and `audit` on a real Valkey: what is taught, what is said, what is kept."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.by_hand import accepted, ended
from tests.factories import a_request
from tests.integration.cli_in_process import Cli, cli_on, fail_one, state_of
from tests.integration.mending_desk import a_failed, the_act
from worker.domain.outcome import Fail, Refused
from worker.domain.request import Product
from worker.ledger import Ledger

WORDS = (
    *("--name", "number_frozen", "--class", "bad_data", "--policy", "discard"),
    *("--meaning", "The number is frozen.", "--remedy", "Ask for another."),
)


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


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


def test_a_group_that_was_taught_shows_class_name_and_remedy_of_now(cli: Cli) -> None:
    """Nobody is asked again what it means, and it is found by the class that was taught."""
    job = cli.on_ledger(lambda ledger: fail_one(ledger, reason="unknown_77", reason_class="unknown"))
    assert "When you know what it means: linkferry reasons set unknown_77" in cli("failed", "groups").stdout

    cli("reasons", "set", "unknown_77", *WORDS)

    for one, shown in (
        ("JOB", cli("failed", "groups").stdout),
        (job, cli("failed", "groups", "unknown_77").stdout),
    ):
        assert "When you know what it means" not in shown
        assert f"Correct one: linkferry failed edit {one}" in shown
        assert "number_frozen" in shown
    [group] = cli.json("failed", "groups")["items"]
    assert (group["reason"], group["taught_as"], group["reason_class"]) == (
        "unknown_77",
        "number_frozen",
        "bad_data",
    )
    assert (group["remedy"], group["is_unknown"]) == ("Ask for another.", False)
    [found] = cli.json("failed", "list", "--class", "bad_data", "--lane", "live")["items"]
    assert (found["job_id"], found["reason_class"]) == (job, "bad_data")
    assert f"linkferry failed edit {job}" in cli("job", "show", job).stdout
    assert cli.json("failed", "list", "--class", "unknown")["total"] == 0
    said = "1 failed job stands under unknown_77, from before it was taught: --reason unknown_77"
    assert said in cli("failed", "list", "--reason", "number_frozen").stderr
    assert said not in cli("failed", "list", "--reason", "unknown_77").stderr
    requeued = cli.json("failed", "requeue", "--class", "bad_data", "--yes", "--why", "x", "--detach")
    assert requeued["total"] == 1


def test_a_job_that_nobody_understands_leads_to_teaching_first(cli: Cli) -> None:
    """Requeued as it is, it would fail again; once its code is taught, that is no longer proposed."""
    job = cli.on_ledger(lambda ledger: fail_one(ledger, reason="unknown_77", reason_class="unknown"))

    before = cli("job", "show", job).stdout.split("What to do")[1].split("What the partner")[0]
    cli("reasons", "set", "unknown_77", *WORDS)
    after = cli("job", "show", job).stdout.split("What to do")[1].split("What the partner")[0]

    lines = [line.strip() for line in before.splitlines()]
    assert lines.index("linkferry reasons set unknown_77") < lines.index(f"linkferry failed requeue {job}")
    assert "reasons set" not in after


def test_a_code_typed_by_its_number_leads_to_its_group(cli: Cli) -> None:
    """As `reasons set` takes it."""
    unknown(cli)

    for words in (("failed", "groups", "77"), ("failed", "list", "--reason", "77")):
        result = cli(*words)
        assert result.exit_code == 2
        assert "Did you mean unknown_77?" in result.stderr


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


def test_a_code_of_several_calls_is_answered_with_the_whole_command(cli: Cli) -> None:
    """One for each call, as it was typed: to be pasted, and then it is taught."""
    unknown(cli)
    page = a_request(whatsapp=None, products=(Product.FACEBOOK_PAGE,))
    fail = Refused(fail=Fail(reason="unknown_77", reason_class="unknown", code=77))
    cli.work(cli.on_ledger(lambda ledger: accepted(ledger, request=page)), fail)

    refused = cli("reasons", "set", "unknown_77", *WORDS, "--not-own-data", "--why", "it's so")

    assert refused.exit_code == 2
    commands = [line.strip() for line in refused.stderr.splitlines() if "--call" in line]
    calls = ["create_facebook", "create_whatsapp"]
    assert [shlex.split(each)[5] for each in commands] == calls
    words = shlex.split(commands[0])[1:]
    assert words == [
        *("reasons", "set", "unknown_77", "--call", "create_facebook", *WORDS),
        *("--not-own-data", "--why", "it's so"),
    ]
    taught = cli(*words)
    assert taught.exit_code == 0, taught.output
    assert "code 77 of create_facebook is number_frozen" in taught.stdout
    assert cli(*shlex.split(commands[1])[1:]).exit_code == 0

    again = cli("reasons", "unset", "77")
    assert again.exit_code == 1
    assert "linkferry reasons unset 77 --call create_whatsapp" in again.stderr


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


def test_what_was_done_to_a_job_is_told_with_the_bulk_acts_that_touched_it(cli: Cli) -> None:
    """In the order of time, on the page where each belongs; not those of others."""
    job, other = a_failed(cli), a_failed(cli, whatsapp="972501234568")
    cli("failed", "discard", job, "--why", "first")
    cli("failed", "restore", "--all", "--why", "second", "--yes")
    cli("failed", "discard", "--all", "--why", "third", "--yes")
    cli("failed", "restore", job, "--why", "fourth")

    page = cli.json("audit", "--job", job)

    assert [each["why"] for each in page["items"]] == ["fourth", "third", "second", "first"]
    assert [each["act"] for each in page["items"]] == ["restore", "act_start", "act_start", "discard"]
    assert (page["total"], page["next"]) == (4, None)
    assert [each["why"] for each in cli.json("audit", "--job", other)["items"]] == ["third"]
    assert [each["why"] for each in cli.json("audit", "--job", job, "--act", "discard")["items"]] == ["first"]
    whys: list[str] = []
    cursor: list[str] = []
    while True:
        page = cli.json("audit", "--job", job, "--limit", "1", *cursor)
        whys += [each["why"] for each in page["items"]]
        if page["next"] is None:
            break
        cursor = ["--cursor", page["next"]]
    assert whys == ["fourth", "third", "second", "first"]


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
    """With which holds, and for what they stood: nobody can read that off them any more."""
    cli.on_ledger(lambda ledger: ledger.batches.hold("bulk", "unknown_17"))
    cli("resume", "--why", "partner is back")

    entry = the_act(cli, "resume")

    assert entry["detail"] == {"holds_cleared": "bulk (unknown_17)"}
    assert entry["why"] == "partner is back"


def test_a_reveal_of_one_job_names_it(cli: Cli) -> None:
    """Whoever looks a customer up whole is known to have done so."""
    job = cli.on_ledger(fail_one)
    cli("job", "show", job, "--reveal")
    cli("failed", "show", job)

    entry = the_act(cli, "reveal")

    assert (entry["subject"], entry["detail"]["what"]) == (job, "job")


def test_a_hold_is_seen_with_what_made_it_and_how_to_clear_it(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partner's answers, masked, before anybody goes on."""

    async def hold(ledger: Ledger) -> None:
        for _ in range(5):
            raw = '{"reason": 17, "number": "972501234567"}'
            fail = Fail(reason="unknown_17", reason_class="unknown", code=17, raw=raw)
            await ended(ledger, await accepted(ledger), Refused(fail=fail))

    assert "Nothing is held." in cli("holds").stdout
    cli.on_ledger(hold)
    monkeypatch.setenv("COLUMNS", "80")

    text = cli("holds").stdout
    [item] = cli.json("holds")["items"]

    assert "live is held: unknown_17" in text
    assert "resume --lane live" in text
    assert '"reason": 17' in text
    assert "972501234567" not in text
    assert len(item["evidence"]) == 5
    cli("resume", "--lane", "live")
    assert cli.json("holds")["total"] == 0
