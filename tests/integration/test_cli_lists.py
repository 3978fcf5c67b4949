"""Lists in a terminal of 80 columns: what an operator needs of each is there, and whom it is about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.factories import a_request, an_invitation
from tests.integration.cli_in_process import Cli, cli_on
from tests.integration.mending_desk import a_failed
from worker.domain.request import Product

HEBREW = "פרחי דנה"


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        monkeypatch.setenv("COLUMNS", "80")
        yield cli


def table_of(text: str) -> list[str]:
    """Return the lines of a list, no longer than the terminal."""
    lines = [line.rstrip() for line in text.splitlines()]
    assert [line for line in lines if len(line) > 80] == []
    return lines


def a_row(cli: Cli, *words: str) -> tuple[list[str], str]:
    [head, row, *_] = table_of(cli(*words).stdout)
    return head.split(), row


def test_the_failed_queue_shows_whom_why_and_when(cli: Cli) -> None:
    """Even with the longest reason."""
    job = a_failed(cli, reason="number_not_registered", business_name=HEBREW)

    head, row = a_row(cli, "failed", "list")

    assert head == ["job", "customer", "reason", "failed"]
    assert row.startswith(f"{job}  {HEBREW}  number_not_registered  ")
    assert row.endswith("Z")


def test_a_dead_letter_shows_when_it_is_deleted(cli: Cli) -> None:
    """And whom it is about."""
    job = a_failed(cli, business_name=HEBREW)
    cli("failed", "discard", job)

    head, row = a_row(cli, "failed", "list", "--state", "dead")

    assert head[:4] == ["job", "customer", "reason", "deleted"]
    assert HEBREW in row


def test_jobs_are_found_by_name_and_show_it(cli: Cli) -> None:
    """In `job find` and `job list` alike."""
    job = a_failed(cli, business_name=HEBREW)

    for words in (("job", "find", "פרחי"), ("job", "list")):
        head, row = a_row(cli, *words)
        assert head[:3] == ["job", "state", "customer"]
        assert row.startswith(f"{job}  failed  {HEBREW}  ")


def test_a_person_is_named_to_who_asks_to_see_it(cli: Cli) -> None:
    """A customer without a business is somebody: not named unasked, and who looked is recorded."""
    page = a_request(products=(Product.FACEBOOK_PAGE,), whatsapp=None, business_name=None, display_name=None)
    cli.on_ledger(lambda ledger: ledger.accept([an_invitation(request=page)], max_waiting=9, durable=False))

    assert cli.json("job", "list")["items"][0]["name"] is None
    assert cli.json("job", "list", "--reveal")["items"][0]["name"] == "Dana"
    assert cli.json("audit", "--act", "reveal")["items"][0]["detail"]["what"] == "job list"


def test_the_jobs_of_an_act_show_whom_they_are_about(cli: Cli) -> None:
    """By whichever outcome they are listed."""
    jobs = [a_failed(cli, whatsapp=f"97250123456{n}", business_name=f"{HEBREW} {n}") for n in range(2)]
    act = cli.json("failed", "discard", *jobs, "--why", "closed")["act_id"]

    [head, *rows] = table_of(cli("act", "show", act, "--outcome", "done").stdout)

    assert head.split() == ["job", "customer", "outcome", "why"]
    assert sorted(row[:33].split("  ")[1] for row in rows[:2]) == [f"{HEBREW} 0", f"{HEBREW} 1"]
    document: dict[str, Any] = cli.json("act", "show", act, "--outcome", "done", "--reveal")
    assert {each["name"] for each in document["items"]} == {f"{HEBREW} 0", f"{HEBREW} 1"}
    assert cli.json("audit", "--act", "reveal")["items"][0]["detail"]["what"] == "act show"


def test_the_trail_shows_when_and_why(cli: Cli) -> None:
    """To what, too, where there is room."""
    job = a_failed(cli)
    cli("failed", "discard", job, "--why", "asked for twice")

    head, row = a_row(cli, "audit")

    assert head[:4] == ["entry", "when", "who", "did"]
    assert "why" in head
    assert "asked for twice" in row


def test_the_catalogue_shows_class_and_policy(cli: Cli) -> None:
    """Beside what to do."""
    [head, *_] = table_of(cli("reasons", "list").stdout)

    assert [word for word in head.split() if word in {"reason", "class", "policy", "do"}] == [
        "reason",
        "class",
        "policy",
        "do",
    ]
