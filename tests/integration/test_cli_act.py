"""Bulk acts on the command line: previewed, asked about, carried out, looked at, taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkferry.commands import bulk
from tests.integration.cli_in_process import DANA, Cli, cli_on, fail_one, state_of
from worker.ledger import Ledger

pytestmark = pytest.mark.redis
WHY = ("--yes", "--why", "partner is back")


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


def fail_some(cli: Cli, count: int) -> list[str]:
    async def run(ledger: Ledger) -> list[str]:
        return [await fail_one(ledger) for _ in range(count)]

    return list(cli.on_ledger(run))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list of what a person answers, in turn; the questions are put beside it by `asked`."""
    given: list[str] = []
    monkeypatch.setattr(bulk, "confirm", lambda _question: given.pop(0) == "y")
    monkeypatch.setattr(bulk, "ask", lambda _question: given.pop(0))
    return given


def test_a_preview_tells_what_it_comes_to_before_it_asks(cli: Cli, answers: list[str]) -> None:
    """How many, by reason, calls, time, and that five go first."""
    fail_some(cli, 7)
    answers[:] = ["n"]

    result = cli("failed", "requeue", "--all")

    assert result.exit_code == 2
    assert "7 jobs to requeue" in result.stdout
    assert "link_exists" in result.stdout
    assert "7 calls to the partner" in result.stdout
    assert "The first 5 go alone" in result.stdout
    assert "Nothing done" in result.stderr
    assert cli.json("act", "list")["items"] == []


def test_a_person_is_asked_why(cli: Cli, answers: list[str]) -> None:
    """It is kept on the act and in each job's history."""
    jobs = fail_some(cli, 2)
    answers[:] = ["y", "the list was old"]

    document = cli.json("failed", "discard", "--all")

    assert (document["state"], document["done"], document["why"]) == ("done", 2, "the list was old")
    history = cli.json("job", "show", jobs[0])["history"]
    assert [entry["why"] for entry in history if entry["event"] == "discarded"] == ["the list was old"]


@pytest.mark.parametrize("words", [("--all", "--yes"), ()])
def test_many_without_a_why_are_refused(cli: Cli, words: tuple[str, ...]) -> None:
    """Exit 2, in one line, and nothing is touched; ids or filters alike."""
    jobs = fail_some(cli, 2)

    result = cli("failed", "discard", *(words or jobs))

    assert result.exit_code == 2
    assert "--why" in result.stderr
    assert state_of(cli, jobs[0]) == "failed"


def test_one_job_needs_neither_a_why_nor_an_act(cli: Cli) -> None:
    """Requeued at once, in its own lane."""
    [job] = fail_some(cli, 1)

    assert cli.json("failed", "requeue", job)["done"] == 1
    again = cli.json("failed", "requeue", job, expect=1)
    assert again["refused"] == {"waits_already": 1}
    assert "it waits already" in cli("failed", "requeue", job).stdout
    assert cli.json("act", "list")["total"] == 0


def test_without_a_worker_five_go_and_the_rest_waits_for_one(cli: Cli) -> None:
    """The command does not wait for what cannot come; the act stays there."""
    fail_some(cli, 8)

    result = cli("failed", "requeue", "--all", *WHY)
    [act] = cli.json("act", "list")["items"]

    assert result.exit_code == 0
    assert "No worker runs" in result.stdout
    assert (act["state"], act["done"], act["waiting"]) == ("running", 5, 3)


def test_without_a_canary_all_go_at_once(cli: Cli) -> None:
    """For who is sure."""
    fail_some(cli, 8)

    document = cli.json("failed", "requeue", "--all", "--no-canary", *WHY)

    assert (document["done"], document["waiting"], document["is_canary"]) == (8, 0, False)
    assert cli.json("status")["lanes"]["bulk"]["waiting"] == 8


@pytest.mark.parametrize("verb", ["requeue", "discard"])
def test_who_detaches_without_a_worker_is_told_so(cli: Cli, verb: str) -> None:
    """Nobody sees to it until one runs, whatever it is that is to be done."""
    fail_some(cli, 3)

    told = cli("failed", verb, "--all", "--detach", *WHY).stdout
    [act] = cli.json("act", "list")["items"]

    assert "No worker runs" in told
    assert "No worker runs" in cli("act", "show", act["act_id"]).stdout
    assert (act["state"], act["waiting"]) == ("running", 3)


def test_a_detached_act_is_left_to_the_workers(cli: Cli) -> None:
    """Started, and nothing of it done by this process."""
    fail_some(cli, 2)

    result = cli("failed", "discard", "--all", "--detach", *WHY)
    [act] = cli.json("act", "list")["items"]

    assert f"linkferry act watch {act['act_id']}" in result.stdout
    assert (act["state"], act["done"]) == ("running", 0)


def test_an_act_is_stopped_continued_and_shown(cli: Cli) -> None:
    """By its id; who, when, why, and what came of each."""
    jobs = fail_some(cli, 8)
    cli("failed", "requeue", "--all", *WHY)
    act_id = cli.json("act", "list")["items"][0]["act_id"]

    stopped = cli.json("act", "stop", act_id, "--why", "wait")
    waiting = cli.json("act", "show", act_id, "--outcome", "waiting")
    shown = cli("act", "show", act_id).stdout
    watched = cli("act", "watch", act_id)
    going_on = cli("act", "continue", act_id, "--why", "go")

    assert stopped["stopped_because"]["text"] == f"stopped by {stopped['by']}: wait"
    assert len(waiting["items"]) == 3
    assert {item["job_id"] for item in waiting["items"]} < set(jobs)
    assert "3 were not touched" in shown
    assert "  on         all failed\n" in shown
    assert watched.exit_code == 1
    assert going_on.exit_code == 0
    assert cli("act", "stop", act_id).exit_code == 0
    assert cli("act", "stop", act_id).exit_code == 1


def test_a_bulk_discard_is_taken_back(cli: Cli) -> None:
    """Exactly what it discarded; the hint says how, and a second time says that it is done."""
    jobs = fail_some(cli, 3)
    result = cli("failed", "discard", *jobs[:2], "--why", "wrong")
    act_id = cli.json("act", "list")["items"][0]["act_id"]
    cli("failed", "discard", jobs[2])

    undone = cli.json("act", "undo", act_id, "--yes", "--why", "wrong list")

    assert f"linkferry act undo {act_id}" in result.stdout
    assert (undone["act"], undone["done"]) == ("restore", 2)
    assert [state_of(cli, job) for job in jobs] == ["failed", "failed", "dead"]
    assert cli("act", "undo", act_id, *WHY).exit_code == 1
    assert f"{undone['act_id']}: 2 of 2 taken back" in cli("act", "show", act_id).stdout


def test_a_dead_letter_is_restored_by_its_id(cli: Cli) -> None:
    """It stands in the failed queue with the reason it had."""
    [job] = fail_some(cli, 1)
    cli("failed", "discard", job)

    document = cli.json("failed", "restore", job, "--why", "by mistake")

    assert (document["done"], document["state"]) == (1, "failed")
    assert cli.json("job", "show", job)["reason"] == "link_exists"


def test_dead_letters_say_who_gave_them_up_and_when_they_go(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in a row that fits a narrow terminal."""
    [one, two] = fail_some(cli, 2)
    cli("failed", "discard", one, "--why", "gave up")
    cli("failed", "discard", "--all", *WHY)
    items = {item["job_id"]: item for item in cli.json("failed", "list", "--state", "dead")["items"]}
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line for line in cli("failed", "list", "--state", "dead").stdout.splitlines() if one in line]

    assert items[one]["dead_by"].startswith("cli:")
    assert (items[one]["dead_why"], items[one]["dead_act"]) == ("gave up", None)
    assert items[two]["dead_act"] == cli.json("act", "list")["items"][0]["act_id"]
    assert items[one]["expires_at"] > items[one]["changed_at"]
    assert "cli:" in lines[0]


def test_what_is_not_fit_is_told_beside_what_was_done(cli: Cli) -> None:
    """In words for people, in codes for programs."""
    [job] = fail_some(cli, 1)
    waiting = cli.json("enqueue", "whatsapp", *DANA)["job_id"]

    result = cli("failed", "discard", waiting, job, "--json")
    nothing = cli("failed", "discard", waiting, "0" * 20 + "w")

    document = json.loads(result.stdout.splitlines()[-1])
    assert (document["done"], document["not_eligible"]) == (1, {"is_available": 1})
    assert nothing.exit_code == 1
    assert "Left out: 1 (there is no such job), 1 (it is available)" in nothing.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("act", "show", "nobody"),
        ("act", "watch", "nobody"),
        ("act", "stop", "nobody"),
        ("act", "continue", "nobody"),
        ("act", "undo", "nobody"),
    ],
)
def test_an_act_that_is_not_there_is_one_line_and_exit_1(cli: Cli, words: tuple[str, ...]) -> None:
    """With where to look."""
    result = cli(*words)

    assert result.exit_code == 1
    assert "There is no" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_an_act_that_is_not_there_is_said_alike(cli: Cli) -> None:
    """Whatever is asked of it: with where to look."""
    for verb in ("undo", "watch", "show", "stop"):
        result = cli("act", verb, "nope")
        assert result.exit_code == 1, verb
        assert "There is no act nope. `linkferry act list`" in " ".join(result.stderr.split()), verb


@pytest.mark.parametrize("more", [("--reason", "partner_timeout"), ("--state", "dead"), ("--all",)])
@pytest.mark.parametrize("verb", ["requeue", "discard", "restore"])
def test_ids_beside_a_filter_are_refused(cli: Cli, verb: str, more: tuple[str, ...]) -> None:
    """One of them would be passed over in silence, and nobody knows which was meant."""
    job = cli.on_ledger(fail_one)

    told = cli("failed", verb, job, *more)

    assert (told.exit_code, "Say ids, or filters, or --all" in told.stderr) == (2, True)
    assert state_of(cli, job) == "failed"
