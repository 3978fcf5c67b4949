"""`status`, `job show`, `customer show`, `failed groups`: what an operator reads in a terminal of 80 columns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from linkferry.commands.status import sparkline
from tests.factories import a_request, an_invitation
from tests.integration.cli_in_process import DANA, NAMESPACE, Cli, cli_on, fail_one, link_one
from worker.domain.request import Contact
from worker.domain.states import Lane
from worker.ledger import Ledger

pytestmark = pytest.mark.redis

#: The shape that scripts rely on.
FIXED = {"jobs", "deliveries", "lanes", "provider", "workers", "batches"}


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        monkeypatch.setenv("COLUMNS", "80")
        yield cli


def assert_narrow(text: str) -> None:
    """Check that a person's terminal folds nothing."""
    assert [line for line in text.splitlines() if len(line.rstrip()) > 80] == []


# --- status --------------------------------------------------------------------------------------------------


def test_the_status_keeps_its_shape_and_tells_more(cli: Cli) -> None:
    """Keys may be added, never taken away or changed."""
    cli.on_ledger(link_one)

    document = cli.json("status")

    assert document.keys() >= FIXED
    assert document["jobs"]["linked"] == 1
    assert document["provider"].keys() == {"rate", "breaker", "paused_until", "credentials"}
    assert isinstance(document["workers"], int)
    assert document["hour"]["totals"]["linked"] == 1
    assert document["outage"]["kind"] == "no_worker"


def test_the_status_draws_the_last_hour(cli: Cli) -> None:
    """A bar for what came in, what was linked, what failed."""
    cli.on_ledger(link_one)
    cli.on_ledger(fail_one)

    text = cli("status").stdout

    assert_narrow(text)
    text = text.partition("Last day")[0]
    [accepted] = [line for line in text.splitlines() if line.endswith("accepted")]
    assert accepted.startswith("Last hour")
    assert accepted.split()[-2] == "2"
    assert len(accepted.split()[2]) == 30
    assert [line.split()[-2:] for line in text.splitlines() if line.endswith(("linked", "failed"))] == [
        ["1", "linked"],
        ["1", "failed"],
    ]


def test_the_status_says_first_what_is_wrong_and_for_whom(cli: Cli) -> None:
    """A batch that is held: since when, how many customers, when they will be served, what to do."""
    rows = [an_invitation(lane=Lane.BULK, batch_id="b", line=n) for n in range(7)]
    cli.on_ledger(lambda ledger: ledger.accept(rows, max_waiting=100, durable=False))
    cli.on_ledger(lambda ledger: ledger.batches.hold("batch:b", "unknown_77"))

    text = cli("status").stdout
    sentences = " ".join(line.strip() for line in text.splitlines())

    assert_narrow(text)
    assert sentences.startswith("! Batch b is held, because its calls fail alike (unknown_77).")
    assert "(since 2" in sentences
    assert "7 customers wait; once it is over, they are served within about " in sentences
    assert "linkferry batch resume b" in sentences.partition("Jobs ")[0]


def test_watching_goes_on_until_ctrl_c(cli: Cli, tmp_path: Path) -> None:
    """A JSON line for each look; it ends well when it is told to."""
    cli.on_ledger(link_one)
    env = os.environ | {"LINKFERRY_REDIS_URL": cli.url, "LINKFERRY_NAMESPACE": NAMESPACE}
    watching = subprocess.Popen(
        [sys.executable, "-m", "linkferry", "status", "--watch", "--every", "0.2", "--json"],
        env=env | {"PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    looks = [watching.stdout.readline() for _ in range(2)]
    watching.send_signal(signal.SIGINT)
    _, errors = watching.communicate(timeout=20)

    assert ['"linked": 1' in look for look in looks] == [True, True]
    assert (watching.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("values", "points", "bars"),
    [
        ([0, 0, 0, 0], 4, "▁▁▁▁"),
        ([0, 1, 100, 50], 4, "▁▂█▅"),
        ([1, 1, 1, 1], 2, "██"),
        ([], 4, ""),
    ],
)
def test_bars_show_any_at_all_as_more_than_none(values: list[int], points: int, bars: str) -> None:
    """One failure among a hundred is seen."""
    assert sparkline(values, points) == bars


def test_a_plain_terminal_gets_plain_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sign that it cannot write."""

    class Plain:
        encoding = "ascii"

    monkeypatch.setattr(sys, "stdout", Plain())

    assert sparkline([0, 7], 2) == "_#"


# --- one job ---------------------------------------------------------------------------------------------------


def test_a_job_tells_its_story(cli: Cli) -> None:
    """Why it is there, what to do, what was asked and answered, in lines that fit."""
    job = cli.on_ledger(lambda ledger: fail_one(ledger, reason="number_invalid", reason_class="bad_data"))

    text = cli("job", "show", job).stdout

    assert_narrow(text)
    assert text.startswith(f"Job {job}: failed\n")
    parts = ["Why it is there", "What to do", "What the partner is asked for", "What happened"]
    assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)
    assert "Attempt 1 failed" in text
    assert "number_invalid" in text
    assert "answered: {}" in text


def test_the_whole_story_is_in_the_json(cli: Cli) -> None:
    """With codes and params for programs."""
    job = cli.on_ledger(link_one)

    document = cli.json("job", "show", job)

    assert [entry["code"] for entry in document["timeline"]][:2] == [
        "accepted_source",
        "attempt_linked",
    ]
    assert document["next"]["code"] == "remedy_no_worker"
    assert document["link"] == "https://onboarding.example/1"
    assert document["others"] == {"items": [], "total": 0, "is_total_exact": True}


def test_a_look_at_details_is_accounted_for(cli: Cli) -> None:
    """Who looked, in the trail and in the job's own story; a masked look is nobody's business."""
    job = cli.json("enqueue", "whatsapp", *DANA)["job_id"]
    cli("job", "show", job)
    cli("failed", "show", job)

    async def reveals(ledger: Ledger) -> Any:
        return [entry.subject for entry in (await ledger.trail.find(act="reveal")).items]

    assert cli.on_ledger(reveals) == []
    assert "972501234567" in cli("job", "show", job, "--reveal").stdout
    cli("customer", "show", job, "--reveal")
    assert cli.on_ledger(reveals) == [job, job]
    assert "looked at the customer's details unmasked" in cli("job", "show", job).stdout


# --- one customer ------------------------------------------------------------------------------------------------


def test_a_customer_is_one_screen(cli: Cli) -> None:
    """Who he is (masked), how he stands, what to say, links, messages, story."""
    job = cli.json("enqueue", "whatsapp", *DANA)["job_id"]

    result = cli("customer", "show", "050-123-4567")

    assert result.exit_code == 0
    assert_narrow(result.stdout)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Dana Flowers  9725******67  d***@example.com")
    assert "The customer's link is still being made." in lines
    assert job in result.stdout
    for part in ("What to say and do", "Links", "What happened"):
        assert part in lines
    assert cli.json("customer", "show", "050-123-4567")["links"][0]["job_id"] == job


def test_several_that_fit_are_listed_to_choose_from(cli: Cli) -> None:
    """Each by a query that means it alone; the exit code is that of an answer."""

    async def two(ledger: Ledger) -> None:
        requests = [
            a_request(business_name=name, display_name=name, contact=Contact(email="agency@example.com"))
            for name in ("First Shop", "Second Shop")
        ]
        rows = [an_invitation(request=request) for request in requests]
        await ledger.accept(rows, max_waiting=100, durable=False)

    cli.on_ledger(two)

    result = cli("customer", "show", "agency@example.com")

    assert result.exit_code == 0
    assert "First Shop" in result.stdout
    assert "Second Shop" in result.stdout
    assert "2 of 2 customers fit. Look at one: " in result.stdout
    assert "linkferry customer show 01" in result.stdout


def test_nobody_found_is_said(cli: Cli) -> None:
    """On standard error, with where to look; the JSON is there all the same."""
    result = cli("customer", "show", "nobody@example.com")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "linkferry job list" in result.stderr
    assert cli.json("customer", "show", "nobody@example.com", expect=1)["found"] is False


# --- the failed queue by reason ------------------------------------------------------------------------------------


def test_groups_show_their_trend(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word at 80 columns; the bars of the day where there is room."""
    for _ in range(3):
        cli.on_ledger(lambda ledger: fail_one(ledger, reason="number_not_registered"))

    narrow = cli("failed", "groups").stdout
    monkeypatch.setenv("COLUMNS", "200")
    wide = cli("failed", "groups").stdout

    assert_narrow(narrow)
    assert "new" in narrow.splitlines()[1]
    assert "▁▁▁▁▁▁▁▁▁▁▁█" in wide
    assert cli.json("failed", "groups")["items"][0]["trend"]["hours"][-1] == 3
