"""`job find`, and the filters of `job list` and the `failed` commands: one set of options for all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.by_hand import accepted, ended
from tests.factories import a_request
from tests.integration.cli_in_process import Cli, cli_on, fail_one
from worker.domain.outcome import Fail, Refused
from worker.domain.request import Contact
from worker.ledger import Ledger

pytestmark = pytest.mark.redis

LEVI = a_request(
    whatsapp="972501234567",
    business_name="Levi Gardens",
    external_id="crm-501",
    reference="spring",
    contact=Contact(name="Rina", email="rina@levi.example"),
)


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


@pytest.fixture
def levi(cli: Cli) -> str:
    """Return Levi's job, which failed again after a requeue, beside another's that failed once."""
    cli.on_ledger(fail_one)

    async def fail(ledger: Ledger) -> str:
        refused = Refused(fail=Fail(reason="name_refused", reason_class="bad_data", is_own_data=True))
        job_id = await ended(ledger, await accepted(ledger, request=LEVI), refused)
        await ledger.requeue(job_id, by="dana", why="mended")
        return await ended(ledger, job_id, refused)

    return str(cli.on_ledger(fail))


@pytest.mark.parametrize(
    "text", ["050-123-4567", "RINA@levi.example", "levi gar", "crm-501", "spring", "+972 50 1234567"]
)
def test_a_job_is_found_by_whatever_one_has(cli: Cli, levi: str, text: str) -> None:
    """Written as people write it."""
    document = cli.json("job", "find", text)

    assert [item["job_id"] for item in document["items"]] == [levi]
    assert levi in cli("job", "find", levi).output
    assert "972501234567" not in cli("job", "find", text).output
    assert "972501234567" in cli("job", "find", text, "--reveal").output


def test_a_part_of_a_number_is_not_searched_for(cli: Cli, levi: str) -> None:
    """And that is said, instead of nothing."""
    result = cli("job", "find", "0501")

    assert result.exit_code == 1
    assert "A number is found whole" in result.stderr
    assert "A number" not in cli("job", "find", "Nobody").stderr
    assert "A number is found whole" in cli("customer", "show", "0501").stderr


def test_who_asks_for_a_job_by_its_number_is_told_how_to_find_it(cli: Cli, levi: str) -> None:
    """A job is shown by its id; whoever is on the telephone has a number."""
    told = cli("job", "show", "050-123-4567").stderr

    assert "linkferry job find 050-123-4567" in told
    assert levi in cli("job", "find", "050-123-4567").output
    assert "linkferry job list" in cli("job", "show", f"{levi[:-1]}1").stderr


def test_what_is_not_there_is_told(cli: Cli) -> None:
    """With an exit code for scripts."""
    result = cli("job", "find", "nobody")

    assert (result.exit_code, result.output.strip()) == (1, "None.")


@pytest.mark.parametrize(
    "options",
    [
        ("--number", "0501234567"),
        ("--email", "rina@levi.example"),
        ("--name", "gardens"),
        ("--external-id", "crm-501"),
        ("--reference", "spring"),
        ("--min-attempts", "2"),
        ("--min-requeues", "1"),
        ("--reason", "name_refused", "--newer-than", "1h"),
        ("--name", "levi", "--class", "bad_data", "--min-attempts", "2", "--newer-than", "1h"),
    ],
)
@pytest.mark.parametrize("command", [("job", "list"), ("failed", "list")])
def test_lists_take_every_filter(cli: Cli, levi: str, command: tuple[str, str], options: list[str]) -> None:
    """And all of them together."""
    document = cli.json(*command, *options)

    assert [item["job_id"] for item in document["items"]] == [levi]
    assert (document["total"], document["is_total_exact"]) == (1, True)
    assert cli.json(*command, *options, "--older-than", "1h")["items"] == []


def test_acts_take_the_same_filters(cli: Cli, levi: str) -> None:
    """What the list shows is what is acted on."""
    result = cli("failed", "discard", "--name", "levi", "--yes", "--why", "gone")

    assert result.exit_code == 0, result.output
    assert [item["job_id"] for item in cli.json("failed", "list", "--state", "dead")["items"]] == [levi]
    assert cli.json("failed", "list")["total"] == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--number", "12"), "--number 12: "),
        (("--newer-than", "soon"), "--newer-than soon: say a length of time such as 30m, 2h or 3d."),
        (("--name", " "), "--name: say what to look for."),
        (("--external-id", ""), "--external-id: say what to look for."),
        (("--min-attempts", "0"), "--min-attempts"),
        (("--stage", "links"), "--stage links: say `link` or `delivery`."),
    ],
)
def test_a_filter_that_means_nothing_is_refused(cli: Cli, options: tuple[str, str], says: str) -> None:
    """By its name, rather than by listing everything or nothing."""
    result = cli("failed", "list", *options)

    assert result.exit_code == 2
    assert says in result.output


def test_an_inexact_total_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting stops at a bound: there are at least so many."""
    monkeypatch.setattr("worker.ledger.finding.COMPARED_LIMIT", 1)
    for _ in range(2):
        cli.on_ledger(fail_one)

    assert "1 of at least 2." in cli("job", "list", "--name", "dana", "--limit", "1").output
    assert cli.json("job", "list", "--name", "dana", "--limit", "1")["is_total_exact"] is False
