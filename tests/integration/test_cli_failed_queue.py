"""The failed queue and what stands beside it, as an operator reads them all day: counts, words, nothing passed over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.by_hand import ended
from tests.factories import an_invitation
from tests.integration.cli_in_process import Cli, cli_on, fail_one, link_one
from tests.integration.mending_desk import a_failed
from tests.integration.test_cli_words import a_failed_message
from worker.domain.outcome import Fail, Refused
from worker.domain.states import Lane
from worker.ledger import Ledger

pytestmark = pytest.mark.redis


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        monkeypatch.setenv("COLUMNS", "80")
        yield cli


async def fail_again(ledger: Ledger, job_id: str) -> None:
    """Requeue a failed job, and let it fail as before."""
    await ledger.requeue(job_id, by="cli:dana", why="once more")
    fail = Fail(reason="number_invalid", reason_class="bad_data", is_own_data=True)
    await ended(ledger, job_id, Refused(fail=fail))


# --- lists ---------------------------------------------------------------------------------------------------------


def test_the_total_tells_jobs_from_messages(cli: Cli) -> None:
    """So that it can be compared with the counts of the status; on every page, and where there is nothing."""
    empty = cli.json("failed", "list")
    a_failed(cli)
    cli.on_ledger(fail_one)
    cli.on_ledger(a_failed_message)

    first = cli.json("failed", "list", "--limit", "1")
    last = cli.json("failed", "list", "--limit", "2", "--cursor", first["next"])

    assert empty["by_stage"] == {"link": 0, "delivery": 0}
    assert first["by_stage"] == last["by_stage"] == {"link": 2, "delivery": 1}
    assert (first["total"], last["total"]) == (3, 3)
    assert "1 of 3: 2 jobs, 1 message." in cli("failed", "list", "--limit", "1").stdout
    assert "3 of 3: 2 jobs, 1 message." in cli("failed", "list").stdout
    assert "1 of 1." in cli("failed", "list", "--stage", "delivery").stdout


def test_an_empty_queue_says_that_it_is_empty(cli: Cli) -> None:
    """And an empty answer to a filter, only that."""
    assert cli("failed", "list").stdout == "The failed queue is empty.\n"
    assert cli("failed", "list", "--lane", "bulk").stdout == "None.\n"


def test_dead_letters_are_counted_as_well(cli: Cli) -> None:
    """As every list is."""
    cli("failed", "discard", a_failed(cli))

    assert "1 of 1." in cli("failed", "list", "--state", "dead").stdout


def test_what_failed_again_after_a_requeue_says_so(cli: Cli) -> None:
    """How often, beside its reason, in both lists; what was linked in the end does not."""
    job = a_failed(cli)
    for _ in range(2):
        cli.on_ledger(lambda ledger: fail_again(ledger, job))

    for words in (("failed", "list"), ("job", "list")):
        text = cli(*words).stdout
        assert "number_invalid ×2" in text
        assert "×: failed again, after so many requeues." in text
        assert max(map(len, text.splitlines())) <= 80
    cli("failed", "discard", job)
    assert "×" not in cli("job", "list").stdout


def test_messages_in_doubt_are_shown_as_the_failed_ones(cli: Cli) -> None:
    """In the same shape; a filter that could not be kept is refused rather than passed over."""
    words = ("failed", "list", "--stage", "delivery", "--state", "in_doubt")

    assert cli.json(*words).keys() == cli.json("failed", "list").keys()
    refused = cli(*words, "--lane", "bulk", "--class", "doubt")
    assert refused.exit_code == 2
    assert "leave out --class, --lane" in refused.stderr


def test_batches_are_listed_page_by_page(cli: Cli) -> None:
    """Newest first, with how many there are; names stand in 80 columns, counts in a column of their own."""

    async def some(ledger: Ledger) -> None:
        for n in range(3):
            await ledger.batches.open(f"2026112{n}-00000{n}", name=f"לקוחות {n}.csv", source="csv", by="dana")
        rows = [an_invitation(lane=Lane.BULK, batch_id="20261122-000002", line=n) for n in range(11)]
        await ledger.accept(rows, max_waiting=100, durable=False)

    cli.on_ledger(some)

    first = cli.json("batch", "list", "--limit", "2")
    second = cli.json("batch", "list", "--limit", "2", "--cursor", first["next"])
    text = cli("batch", "list", "--limit", "2").stdout

    assert [each["name"] for each in first["items"]] == ["לקוחות 2.csv", "לקוחות 1.csv"]
    assert (first["total"], first["is_total_exact"], second["next"]) == (3, True, None)
    assert [each["name"] for each in second["items"]] == ["לקוחות 0.csv"]
    assert "לקוחות 2.csv" in text
    assert "2 of 3." in text
    assert f"More: add --cursor {first['next']}" in text
    assert cli("batch", "list", "--cursor", "nowhere").exit_code == 2
    assert cli.json("batch", "list").keys() == first.keys()


# --- words that nothing can match ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("job", "list", "--state", "faild"), "Did you mean failed?"),
        (("failed", "list", "--class", "baddata"), "Did you mean bad_data?"),
        (("failed", "list", "--lane", "bukl"), "Did you mean bulk?"),
        (("failed", "list", "--stage", "deliver"), "Did you mean delivery?"),
        (("failed", "list", "--email", "dana"), "--email dana: that is no e-mail address. For names there is --name."),
        (("failed", "list", "--number", "abc"), "--number abc: it holds no telephone number."),
        (("failed", "groups", "number_invalidd"), "REASON number_invalidd: there is no such reason. Did you mean"),
        (("job", "find", "  "), "Say what to look for"),
        (("failed", "list", "--batch", "NOVEMBER"), "Did you mean 20261121-abcdef (customers of november.csv)?"),
        (("failed", "list", "--batch", "20261121"), "Did you mean 20261121-abcdef (customers of november.csv)?"),
        (("failed", "list", "--batch", "may"), "`linkferry batch list` shows what there is."),
    ],
)  # fmt: skip
def test_a_slip_is_answered_with_what_was_meant(cli: Cli, words: tuple[str, ...], says: str) -> None:
    """An empty list would be taken for an answer."""
    name = "customers of november.csv"
    cli.on_ledger(lambda ledger: ledger.batches.open("20261121-abcdef", name=name, source="csv", by="dana"))

    result = cli(*words)

    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_a_batch_is_found_by_what_its_file_is_called(cli: Cli) -> None:
    """Who asks for one batch has its file's name in mind."""
    cli.on_ledger(lambda ledger: ledger.batches.open("b1", name="לקוחות.csv", source="csv", by="dana"))

    for words in (("batch", "show"), ("batch", "pause"), ("batch", "report")):
        result = cli(*words, "לקוחות")
        assert result.exit_code == 1
        assert "There is no batch לקוחות. Did you mean b1 (לקוחות.csv)?" in result.stderr


def test_a_class_may_be_written_with_a_hyphen(cli: Cli) -> None:
    """As options are."""
    job = a_failed(cli)

    assert [each["job_id"] for each in cli.json("failed", "list", "--class", "bad-data")["items"]] == [job]


def test_a_beginning_that_is_too_short_is_told(cli: Cli) -> None:
    """Two letters are looked for as a whole word: a name may have no more."""
    a_failed(cli, business_name="דן פרחים")

    assert cli("job", "find", "דן").exit_code == 0
    result = cli("job", "find", "פר")
    assert (result.exit_code, result.stdout) == (1, "None.\n")
    assert "3 letters of it at least" in result.stderr
    assert cli("job", "find", "nobody").stderr == ""


# --- reasons -----------------------------------------------------------------------------------------------------------


def test_groups_show_since_when_and_the_latest(cli: Cli) -> None:
    """First and last seen, at 80 columns."""
    cli.on_ledger(fail_one)

    [head, row, *_] = cli("failed", "groups").stdout.splitlines()

    assert head.split()[:5] == ["count", "reason", "trend", "since", "last"]
    assert re.match(r" +1  link_exists  new +\d+ s +\d+ s ago ", row)


def test_one_reason_shows_what_came_back(cli: Cli) -> None:
    """Since when, how it goes, what it means, what to do, and the latest answers."""
    job = a_failed(cli, reason="unknown_17", code=17)
    message = cli.on_ledger(a_failed_message)[1]

    result = cli("failed", "groups", "unknown_17")
    of_message = cli("failed", "groups", "mailbox_unknown").stdout
    document = cli.json("failed", "groups", "unknown_17")

    assert result.exit_code == 0
    assert result.stdout.startswith("unknown_17: 1 failed job\n")
    for part in ("  first", "  last", "  trend", "What it means", "What to do", "The latest", job, "{}"):
        assert part in result.stdout
    assert "linkferry failed list --reason unknown_17" in result.stdout
    assert of_message.startswith("mailbox_unknown: 1 failed message\n")
    assert message in of_message
    assert document.keys() == cli.json("failed", "groups").keys()
    assert [each["answer"] for each in document["items"][0]["samples"]] == ["{}"]


def test_a_reason_with_which_nothing_failed_is_told(cli: Cli) -> None:
    """For programs as a list that is empty."""
    result = cli("failed", "groups", "foreign_link")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "Nothing has failed with foreign_link." in result.stderr
    assert cli.json("failed", "groups", "foreign_link", expect=1)["items"] == []


def test_what_is_not_tried_again_is_not_said_to_be(cli: Cli) -> None:
    """A job whose tries are used up waits for a person, whatever it failed with last."""
    job = cli.on_ledger(
        lambda ledger: fail_one(ledger, reason="partner_unreachable", reason_class="transient")
    )

    for words in (("failed", "groups"), ("failed", "groups", "partner_unreachable"), ("job", "show", job)):
        text = " ".join(cli(*words).stdout.split())
        assert "by itself" not in text
        assert "requeue" in text
    assert "requeue" in cli.json("failed", "list")["items"][0]["remedy"]


# --- the status ------------------------------------------------------------------------------------------------------


def test_the_status_draws_the_last_day(cli: Cli) -> None:
    """An hour each; failed messages among it."""
    cli.on_ledger(fail_one)
    cli.on_ledger(a_failed_message)

    text = cli("status").stdout
    [_, day] = text.split("Last hour")[1].split("Last day")

    assert [line.split()[-1] for line in day.splitlines()] == ["accepted", "linked", "failed", "failed"]
    assert len(day.split()[0]) == 24
    assert "messages failed" in day
    assert cli.json("status")["day"]["totals"]["delivery_failed"] == 1
    assert max(map(len, text.splitlines())) <= 80


def test_the_status_tells_who_paused_a_lane_and_why(cli: Cli) -> None:
    """Whoever wonders about it knows whom to ask."""
    cli("pause", "--lane", "bulk", "--why", "the partner moves")

    [line] = [line for line in cli("status").stdout.splitlines() if line.startswith("Lane      bulk")]

    assert line.startswith("Lane      bulk: 0 waiting, paused (by cli:")
    assert line.endswith(": the partner moves)")


def test_a_sentence_of_the_status_ends_once(cli: Cli) -> None:
    """Since when is a part of it."""
    rows = [an_invitation(lane=Lane.BULK, batch_id="b", line=n) for n in range(2)]
    cli.on_ledger(lambda ledger: ledger.accept(rows, max_waiting=100, durable=False))
    cli.on_ledger(lambda ledger: ledger.batches.hold("batch:b", "unknown_77"))

    text = " ".join(cli("status").stdout.split())

    assert ". (since" not in text
    assert "Z)." in text


def test_a_channels_hold_up_is_counted_in_messages(cli: Cli) -> None:
    """No job waits for it: links are made meanwhile."""
    cli("pause", "--channel", "email")
    cli.on_ledger(link_one)

    assert "waiting  1 message\n" in cli("holds").stdout


# --- one job -----------------------------------------------------------------------------------------------------------


def test_a_job_says_first_whose_it_is(cli: Cli) -> None:
    """By the name that everybody knows."""
    job = a_failed(cli, business_name="פרחי דנה")

    assert cli("job", "show", job).stdout.splitlines()[1].split(maxsplit=1) == ["customer", "פרחי דנה"]


@pytest.mark.parametrize(
    ("reason", "its_class", "command"),
    [
        ("number_invalid", "bad_data", "failed edit"),
        ("already_onboarded", "already_onboarded", "failed discard"),
        ("tries_used_up", "exhausted", "failed requeue"),
        ("number_not_registered", "not_registered", None),
    ],
)
def test_a_failed_job_shows_what_to_type(cli: Cli, reason: str, its_class: str, command: str | None) -> None:
    """What its remedy says, and nothing where it goes on by itself."""
    job = cli.on_ledger(lambda ledger: fail_one(ledger, reason=reason, reason_class=its_class))

    _, after = cli("job", "show", job).stdout.split("What to do\n")
    typed = [line.strip() for line in after.partition("What the")[0].splitlines() if "linkferry" in line]

    assert typed == ([f"linkferry {command} {job}"] if command else [])


def test_a_dead_letter_shows_how_it_comes_back(cli: Cli) -> None:
    """Before it is deleted."""
    job = a_failed(cli)
    cli("failed", "discard", job)

    assert f"    linkferry failed requeue {job}\n" in cli("job", "show", job).stdout


def test_a_message_that_did_not_reach_anybody_is_resent_by_its_job(cli: Cli) -> None:
    """The command can be typed as it stands."""
    job, _ = cli.on_ledger(a_failed_message)

    text = " ".join(cli("job", "show", job).stdout.split())

    assert f"linkferry resend {job} --to" in text
    assert "resend JOB" not in text


# --- who did what ------------------------------------------------------------------------------------------------------


def test_a_bulk_act_is_accounted_for_in_words(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it did, and of what; counts of nothing are left out, and a reason stands as it is typed."""
    for n in range(2):
        a_failed(cli, whatsapp=f"97250123456{n}")
    cli("failed", "discard", "--reason", "number_invalid", "--why", "the list was an old one", "--yes")
    monkeypatch.setenv("COLUMNS", "200")

    text = cli("audit", "--act", "act_end").stdout

    assert "a discard, 2 in all, 2 done, " in text
    assert "of failed, reason number_invalid" in text
    assert " 0" not in text.splitlines()[1]
    assert "canary" not in text


def test_the_trail_tells_to_what_in_eighty_columns(cli: Cli) -> None:
    """A bulk act, when, who, what and why stand beside it."""
    for n in range(2):
        a_failed(cli, whatsapp=f"97250123456{n}")
    cli("failed", "discard", "--all", "--why", "the list was an old one", "--yes")

    [head, row, *_] = cli("audit", "--act", "act_start").stdout.splitlines()

    assert head.split()[:6] == ["entry", "when", "who", "did", "to", "what"]
    assert len(row.rstrip()) <= 80
