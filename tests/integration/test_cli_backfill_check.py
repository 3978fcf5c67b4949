"""`linkferry backfill --dry-run` and `--check-logos`: what is said of a file before anything is recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from linkferry import progress
from tests.integration.cli_in_process import Cli, cli_on
from tests.integration.customer_files import HEADER, findings, link_shop, number, on_limits, shop, write

pytestmark = pytest.mark.redis


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


# --- the dry run -------------------------------------------------------------------------------------------


def test_a_dry_run_says_what_the_run_would_come_to(cli: Cli) -> None:
    """Good, known, twice in the file, bad; the calls, the time they take, and nothing is changed by asking."""
    job = cli.on_ledger(lambda ledger: link_shop(ledger, 0))
    cli(
        "enqueue",
        "whatsapp",
        number(77),
        "--business-name",
        "N",
        "--display-name",
        "Noa",
        "--email",
        "n@x.example",
    )
    before = cli.json("status")["jobs"]
    write(shop(0), shop(1), shop(1), shop(1, name="Other"), "wrong,,,x", shop(2), header=HEADER)

    document = cli.json("backfill", "customers.csv", "--dry-run", expect=3)

    told = {name: document[name] for name in ("rows", "valid", "known", "duplicates_in_file", "invalid")}
    assert told == {"rows": 6, "valid": 2, "known": 1, "duplicates_in_file": 1, "invalid": 2}
    assert (document["dry_run"], document["jobs"], document["calls"]) == (True, 2, 2)
    assert (document["waiting_ahead"], document["rate"], document["eta_s"]) == (1, 5.0, 0.6)
    assert [each["line"] for each in document["problems"]] == [5, 6]
    assert len(document["problems"][1]["problems"]) == 4
    assert document["assumed"]["delimiter"] == ","
    assert cli.json("status")["jobs"] == before
    assert sorted(path.name for path in Path().iterdir()) == ["customers.csv"]
    assert job


def test_a_slowed_down_partner_is_reckoned_with(cli: Cli) -> None:
    """The limiter's present rate, not the configured one; and a pause is told."""
    write(shop(1))

    cli.on_ledger(lambda _: on_limits(cli, lambda limits: limits.pushback(600)))
    document = cli.json("backfill", "customers.csv", "--dry-run")
    words = cli("backfill", "customers.csv", "--dry-run").stdout

    assert document["rate"] == 2.5
    assert 590 < document["eta_s"] < 610
    assert document["calls_stopped"] == "partner_throttled"
    assert "2.5 calls/s (the partner has asked for less than 5)" in words


def test_a_paused_lane_is_told(cli: Cli) -> None:
    """Nobody knows how long: the time counts from when it goes on."""
    write(shop(1))
    cli("pause", "--lane", "bulk")

    assert "Calls stand still now (bulk_paused)" in cli("backfill", "customers.csv", "--dry-run").stdout


def test_without_a_redis_the_rest_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is known already is not made up."""
    write(shop(1), "wrong,,,x")
    monkeypatch.setenv("LINKFERRY_REDIS_URL", f"unix://{tmp_path}/nobody.sock")

    result = cli("backfill", "customers.csv", "--dry-run")

    assert result.exit_code == 3
    assert "1 good" in result.stdout
    assert "Redis does not answer, so nobody can tell which rows are known already." in result.stderr
    assert cli.json("backfill", "customers.csv", "--dry-run", expect=3)["known"] is None


def test_a_ledger_that_was_never_made_is_not_made_by_asking(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded server is not started for it, and no folder appears."""
    monkeypatch.delenv("LINKFERRY_REDIS_URL")
    write(shop(1))

    document = cli.json("backfill", "customers.csv", "--dry-run", "--preflight")

    assert (document["valid"], document["known"]) == (1, 0)
    assert [path.name for path in Path().iterdir()] == ["customers.csv"]


def test_bad_rows_beyond_twenty_are_in_the_report(cli: Cli) -> None:
    """On the terminal the first twenty and a count; `--report` has all, and says where."""
    write(*[f"wrong{n},,,x" for n in range(30)], shop(1))

    short = cli("backfill", "customers.csv", "--dry-run").stdout
    long = cli("backfill", "customers.csv", "--dry-run", "--report").stdout

    assert "Line 21:" in short
    assert "Line 22:" not in short
    assert "30 bad rows in all; add --report" in short
    assert "customers.dry-run.failed.csv" in long
    lines = Path("customers.dry-run.failed.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 31


def test_a_long_dry_run_shows_that_it_moves(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines beside the document, for people or programs; none with --quiet."""
    write(*[shop(nth) for nth in range(250)])
    for name in ("_FIRST_LINE_S", "_LINE_EVERY_S", "_JSON_LINE_EVERY_S"):
        monkeypatch.setattr(progress, name, 0.0)

    words = cli("backfill", "customers.csv", "--dry-run").stderr
    lines = cli("backfill", "customers.csv", "--dry-run", "--json").stderr

    assert "Checked 200 of about 250 rows, 0 bad" in words
    assert json.loads(lines.splitlines()[0]) == {"checked": 100, "total": 250, "invalid": 0}
    assert cli("backfill", "customers.csv", "--dry-run", "--quiet").stderr == ""


# --- options -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--encoding", "klingon"), "--encoding klingon"),
        (("--delimiter", "ab"), "--delimiter ab"),
        (("--report",), "--report: goes with --dry-run"),
        (("--max-errors", "-1"), "--max-errors"),
        (("--channel", "fax"), "--channel fax"),
        (("--map", "whatsapp"), "--map whatsapp"),
    ],
)
def test_an_option_that_makes_no_sense_is_exit_2(cli: Cli, words: tuple[str, ...], said: str) -> None:
    """Named, before anything is read or recorded."""
    write(shop(1))

    result = cli("backfill", "customers.csv", *words)

    assert result.exit_code == 2, result.output
    assert said in result.output.replace("│", "").replace("\n", " ")
    assert cli.json("status")["jobs"]["available"] == 0


@pytest.mark.parametrize("option", ["--preflight", "--only-ready", "--check-logos"])
def test_what_reads_a_file_twice_does_not_take_a_pipe(cli: Cli, option: str) -> None:
    """It says what to do instead."""
    result = cli("backfill", "-", option, stdin=f"{HEADER}\n{shop(1)}\n")

    assert result.exit_code == 2
    assert "save it first, or add --dry-run" in result.stderr


def test_a_delimiter_and_an_encoding_that_are_said_are_taken(cli: Cli) -> None:
    """And told back."""
    text = f"{HEADER}\n{shop(1, name='שלום')}\n".replace(",", "|")
    Path("customers.csv").write_bytes(text.encode("iso-8859-8"))

    document = cli.json(
        "backfill", "customers.csv", "--dry-run", "--delimiter", "pipe", "--encoding", "iso-8859-8"
    )

    assert document["valid"] == 1
    assert document["assumed"]["encoding"] == "iso-8859-8"


# --- logos -------------------------------------------------------------------------------------------------


def logos(*addresses: str) -> None:
    rows = [f"{shop(nth)},{address}" for nth, address in enumerate(addresses)]
    write(*rows, header=f"{HEADER},onboarding_logo")


def test_logos_on_our_own_network_are_not_fetched(cli: Cli) -> None:
    """They are told instead, by row; two rows with one logo are one finding."""
    logos("https://127.0.0.1:1/a.png", "https://127.0.0.1:1/a.png", "https://10.0.0.1/b.png", "")

    document = cli.json("backfill", "customers.csv", "--dry-run", "--check-logos")

    found: dict[str, Any] = document["logos"]
    assert (found["distinct"], found["private_address"], found["rows_in_trouble"]) == (2, 2, 3)
    listed = findings(found["file"])
    assert {line: row["finding"] for line, row in listed.items()} == dict.fromkeys(
        (2, 3, 4), "private_address"
    )
    assert found["file"] == "customers.dry-run.logos.csv"


def test_a_file_is_recorded_whatever_its_logos_are(cli: Cli) -> None:
    """They are told, in words, before it is."""
    logos("https://127.0.0.1:1/a.png")

    result = cli("backfill", "customers.csv", "--check-logos")

    assert result.exit_code == 0
    assert "Logos: 1 fetched: 1 at a private address." in result.stdout
    assert "1 accepted" in result.stdout


def test_a_file_without_logos_says_so(cli: Cli) -> None:
    """Nothing to fetch."""
    write(shop(1))

    assert "No row names a logo." in cli("backfill", "customers.csv", "--dry-run", "--check-logos").stdout
