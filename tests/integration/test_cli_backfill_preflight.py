"""`linkferry backfill --preflight` and `--only-ready`: what the partner's lists tell before a create is spent."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli_in_process import Cli, cli_on
from tests.integration.customer_files import (
    HEADER,
    findings,
    link_shop,
    number,
    on_limits,
    rows_of,
    shop,
    write,
)
from tests.integration.sandbox_thread import a_sandbox
from worker.limits import Limits
from worker.partner.sandbox.serve import RunningSandbox
from worker.settings import SandboxAddress

pytestmark = pytest.mark.redis

DAY_S = 86_400


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


@pytest.fixture
def partner(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    """Stand in for the real partner: the commands are not in sandbox mode."""
    with a_sandbox() as running:
        monkeypatch.setenv("LINKFERRY_PROVIDER_URL", running.api_url)
        monkeypatch.setenv("LINKFERRY_PROVIDER_CLIENT_ID", "sandbox-client")
        monkeypatch.setenv("LINKFERRY_PROVIDER_CLIENT_SECRET", "sandbox-secret")
        monkeypatch.setenv("LINKFERRY_PROVIDER_RATE", "500")
        yield running


def prepare(cli: Cli, partner: RunningSandbox) -> str:
    """Write a file with a number of every standing; return our own job's id."""
    job = str(cli.on_ledger(lambda ledger: link_shop(ledger, 4)))
    state, api = partner.state, partner.sandbox.api
    state.register(number(1))
    state.register(number(2), time.time() + 3 * DAY_S)
    for nth, reference in ((4, job), (5, "someone-else")):
        state.register(number(nth))
        api.plant(number(nth), reference=reference)
    api.plant(number(6), reference="someone-else", is_finished=True)
    facebook = ",Shop 8,,shop8@example.com,facebook:1"
    write(
        *[f"{shop(nth)},whatsapp" for nth in range(1, 7)],
        "coexistence,Shop 7,Shop 7,shop7@example.com,whatsapp",
        facebook,
        "wrong,,,,whatsapp",
        header=f"{HEADER},product",
    )
    return job


STANDINGS = {
    2: "ready",
    3: "near_expiry",
    4: "not_registered",
    5: "linked_by_us",
    6: "linked_by_others",
    7: "onboarded",
}


def calls(partner: RunningSandbox) -> dict[str, int]:
    return {name: count for name, count in partner.state.calls.items() if name != "access_token"}


def test_a_preflight_tells_of_every_number(cli: Cli, partner: RunningSandbox) -> None:
    """One call for each list, none that creates; every standing with its remedy, and our own job."""
    job = prepare(cli, partner)

    document = cli.json("backfill", "customers.csv", "--dry-run", "--preflight", expect=3)

    found = document["preflight"]
    assert calls(partner) == {"get_registered": 1, "get_accounts": 1}
    assert {name: found[name] for name in STANDINGS.values()} == dict.fromkeys(STANDINGS.values(), 1)
    assert (found["numbers"], found["not_needed"], found["waves"], found["missing"]) == (6, 2, [1], {})
    assert found["file"] == "customers.dry-run.preflight.csv"
    listed = findings(found["file"])
    assert {line: row["finding"] for line, row in listed.items()} == STANDINGS
    assert listed[5]["job"] == job
    assert listed[4]["wave"] == "1"
    assert all(row["remedy"] or row["finding"] == "ready" for row in listed.values())
    assert Path(found["file"]).stat().st_mode & 0o777 == 0o600
    assert (document["known"], document["calls"]) == (1, 7)


def test_a_preflight_in_words(cli: Cli, partner: RunningSandbox) -> None:
    """Counts, waves, and where the list is."""
    prepare(cli, partner)

    words = cli("backfill", "customers.csv", "--dry-run", "--preflight").stdout

    assert "6 looked up at the partner: 1 ready, 1 ready, but registered for less than 7 days more" in words
    assert "register them in 1 wave of 1" in words
    assert "customers.dry-run.preflight.csv" in words


def test_many_unregistered_numbers_come_in_waves(cli: Cli, partner: RunningSandbox) -> None:
    """Of what is free now, then five hundred each."""
    for nth in range(20):
        partner.state.register(number(nth))
    write(*[shop(nth) for nth in range(1_300)])

    found = cli.json("backfill", "customers.csv", "--dry-run", "--preflight")["preflight"]

    assert (found["ready"], found["not_registered"], found["waves"]) == (20, 1_280, [480, 500, 300])


def test_the_run_goes_on_after_its_preflight(cli: Cli, partner: RunningSandbox) -> None:
    """All good rows are recorded, and the list bears the run's name."""
    prepare(cli, partner)

    document = cli.json("backfill", "customers.csv", "--preflight", expect=3)

    assert (document["accepted"], document["duplicates"], document["rejected"]) == (7, 1, 1)
    assert document["preflight"]["file"] == f"customers.{document['run']}.preflight.csv"
    assert calls(partner) == {"get_registered": 1, "get_accounts": 1}


def test_only_ready_rows_are_recorded_when_asked_for(cli: Cli, partner: RunningSandbox) -> None:
    """The others lie in the unprocessed file, which is the next input once they are registered."""
    prepare(cli, partner)

    plan = cli.json("backfill", "customers.csv", "--dry-run", "--only-ready", expect=3)
    document = cli.json("backfill", "customers.csv", "--only-ready", expect=3)

    assert plan["calls"] == document["jobs"] == 4  # ready, near expiry, coexistence, Facebook
    assert (document["accepted"], document["duplicates"], document["unprocessed"]) == (4, 1, 3)
    assert document["rows"] == 4 + 1 + 3 + document["rejected"]
    assert [row["_line"] for row in rows_of(document["unprocessed_file"])] == ["4", "6", "7"]
    partner.state.register(number(3))
    again = cli.json("backfill", document["unprocessed_file"], "--only-ready", expect=3)
    assert (again["accepted"], again["unprocessed"]) == (1, 2)


def test_a_run_that_held_rows_back_is_gone_on_with_so_only(cli: Cli, partner: RunningSandbox) -> None:
    """Without the option it would record what it had held back."""
    partner.state.register(number(1))
    write(shop(1), shop(2))
    run = cli.json("backfill", "customers.csv", "--only-ready", expect=3)["run"]

    result = cli("backfill", "customers.csv", "--resume", run)
    again = cli.json("backfill", "customers.csv", "--only-ready", "--resume", run, expect=3)

    assert result.exit_code == 2
    assert f"customers.csv --only-ready --resume {run}" in result.stderr
    assert (again["accepted"], again["duplicates"], again["unprocessed"]) == (0, 1, 1)


def test_rows_held_back_alone_are_exit_3(cli: Cli, partner: RunningSandbox) -> None:
    """Done, but not with every row: a script must see it."""
    partner.state.register(number(1))
    write(shop(1), shop(2))

    result = cli("backfill", "customers.csv", "--only-ready")

    assert result.exit_code == 3
    assert "1 rows held back, as their numbers are not ready" in result.stdout


@pytest.mark.parametrize(("fault", "value"), [("list_error", 1.0), ("list_broken", 1.0)])
def test_a_list_that_cannot_be_had_is_told_and_the_rest_stands(
    cli: Cli, partner: RunningSandbox, fault: str, value: float
) -> None:
    """The exit code is the rows' own; a broken row makes no half a list."""
    write(shop(1))
    partner.faults.update({fault: value})

    result = cli("backfill", "customers.csv", "--dry-run", "--preflight")

    assert result.exit_code == 0
    assert "getAccounts could not be had" in result.stderr
    assert "Try again in a while" in result.stderr
    assert "linkferry doctor --live" in result.stderr
    assert "1 good" in result.stdout
    document = cli.json("backfill", "customers.csv", "--preflight")
    assert document["accepted"] == 1
    assert set(document["preflight"]["missing"]) == {"getRegisteredNumbers", "getAccounts"}


def test_one_list_without_the_other_tells_what_it_can(cli: Cli, partner: RunningSandbox) -> None:
    """Who is registered and without a link is ready, whatever the accounts say; of others nobody can tell."""
    partner.state.register(number(1))
    write(shop(1), shop(2))
    partner.faults.update({"calls": ["get_accounts"], "error_before": 1.0})

    found = cli.json("backfill", "customers.csv", "--dry-run", "--preflight")["preflight"]

    assert (found["ready"], found["unknown"]) == (1, 1)
    assert found["missing"]["getAccounts"]["reason"] == "partner_error"


def test_only_ready_records_nothing_when_nobody_can_tell(cli: Cli, partner: RunningSandbox) -> None:
    """Better none than the wrong ones."""
    write(shop(1))
    partner.faults.update({"list_error": 1.0})

    result = cli("backfill", "customers.csv", "--only-ready")

    assert result.exit_code == 1
    assert "Nothing was recorded" in result.stderr
    assert cli.json("status")["jobs"]["available"] == 0


def test_without_credentials_it_says_which_settings_to_set(cli: Cli) -> None:
    """And the rest of the dry run is told."""
    write(shop(1), "wrong,,,x")

    result = cli("backfill", "customers.csv", "--dry-run", "--preflight")

    assert result.exit_code == 3
    assert "LINKFERRY_PROVIDER_CLIENT_ID and LINKFERRY_PROVIDER_CLIENT_SECRET" in result.stderr
    assert "1 good" in result.stdout


def test_refused_credentials_hold_the_fleet_and_are_told(
    cli: Cli, partner: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once: the partner blocks who tries too often."""
    monkeypatch.setenv("LINKFERRY_PROVIDER_CLIENT_SECRET", "wrong")
    write(shop(1))

    result = cli("backfill", "customers.csv", "--dry-run", "--preflight")

    assert result.exit_code == 0
    assert "could not be had" in result.stderr
    assert partner.state.token_calls == 1


def test_a_token_that_ended_early_is_no_reason_to_give_up(cli: Cli, partner: RunningSandbox) -> None:
    """The fleet's token is dropped, and asked for anew."""
    partner.state.register(number(1))
    write(shop(1))
    cli.json("backfill", "customers.csv", "--dry-run", "--preflight")
    partner.sandbox.door.tokens.revoke_all()

    found = cli.json("backfill", "customers.csv", "--dry-run", "--preflight")["preflight"]

    assert found["ready"] == 1
    assert partner.state.token_calls == 2


def test_a_paused_fleet_makes_no_list_calls(cli: Cli, partner: RunningSandbox) -> None:
    """They go under the fleet's limit like any other."""
    write(shop(1))
    cli.on_ledger(lambda _: on_limits(cli, Limits.pause))

    document = cli.json("backfill", "customers.csv", "--dry-run", "--preflight")

    assert calls(partner) == {}
    assert len(document["preflight"]["missing"]) == 2


def test_facebook_and_coexistence_need_no_list(cli: Cli, partner: RunningSandbox) -> None:
    """No call is made for them."""
    write(
        ",Shop,,s@example.com,facebook:1",
        "coexistence,Shop,Shop,s@example.com,whatsapp",
        header=f"{HEADER},product",
    )

    document = cli.json("backfill", "customers.csv", "--dry-run", "--preflight")

    assert calls(partner) == {}
    assert (document["preflight"]["numbers"], document["preflight"]["not_needed"]) == (0, 2)


def test_the_sandbox_has_a_preflight_of_its_own(cli: Cli, partner: RunningSandbox, tmp_path: Path) -> None:
    """And says that its list is not all that its creates take."""
    address = SandboxAddress(url=partner.url, smtp_port=partner.smtp_port)
    address.write(tmp_path / "var" / "sandbox" / "address.json")
    partner.state.register(number(1))
    write(shop(1), shop(2))

    result = cli("--sandbox", "backfill", "customers.csv", "--dry-run", "--preflight")

    assert result.exit_code == 0
    assert "1 ready, 1 not registered" in result.stdout
    assert "The sandbox lists the numbers that were registered in it" in result.stdout


def test_a_sandbox_that_does_not_run_is_told(cli: Cli) -> None:
    """With the command that starts it."""
    write(shop(1))

    result = cli("--sandbox", "backfill", "customers.csv", "--dry-run", "--preflight")

    assert result.exit_code == 0
    assert "--sandbox" in result.stderr
    assert "1 good" in result.stdout


def test_standard_input_is_checked_too(cli: Cli, partner: RunningSandbox) -> None:
    """A dry run reads it once, preflight and all."""
    text = Path(write(shop(1))).read_text(encoding="utf-8")
    partner.state.register(number(1))

    result = cli("backfill", "-", "--dry-run", "--preflight", "--json", stdin=text)

    assert json.loads(result.stdout)["preflight"]["ready"] == 1
