"""`linkferry forget` on a real Valkey: what is shown, what is asked, what is refused, and that nothing is left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.by_hand import LINKED, accepted
from tests.factories import a_request
from tests.integration.cli_in_process import Cli, cli_on, state_of
from tests.integration.mending_desk import NUMBER, a_failed
from worker.domain.outcome import Deleted
from worker.domain.request import Contact
from worker.ledger import Ledger, LedgerUnavailable
from worker.ledger.forgetting import Forgetting

WHY = ("--why", "asked by letter")


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


def a_linked(cli: Cli) -> str:
    """Return a job whose link stands."""
    job = a_failed(cli)
    assert cli("failed", "requeue", job).exit_code == 0
    cli.work(job, LINKED)
    return job


def test_a_customer_is_erased(cli: Cli) -> None:
    """Shown what would go and what stays elsewhere; then nobody finds him, and the books are right."""
    job = a_failed(cli)

    result = cli("forget", "050-123-4567", *WHY, "--yes")

    assert result.exit_code == 0, result.output
    assert job in result.stdout
    assert "What would go" in result.stdout
    assert "1  jobs, with their requests, links and histories" in result.stdout
    assert "docs/privacy.md" in result.stdout
    assert "Erased: 1 job, 0 messages, 0 events." in result.stdout
    assert "linkferry audit --act forget" in result.stdout
    assert NUMBER not in result.output
    assert cli("customer", "show", NUMBER).exit_code == 1
    assert cli.json("job", "list")["items"] == []
    entries = cli.json("audit", "--act", "forget")["items"]
    assert {entry["why"] for entry in entries} == {"asked by letter"}
    assert {entry["subject"] for entry in entries} == {job, ""}
    [erased] = [entry["detail"] for entry in entries if entry["subject"] == job]
    assert (erased["state"], erased["reason"]) == ("failed", "number_invalid")
    assert erased["accepted_at"].endswith("Z")


def test_a_customer_of_many_jobs_is_erased_at_once(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off in the middle, it says how far it came and how to finish; the table stays readable."""

    async def chain(ledger: Ledger) -> list[str]:
        contact = Contact(name="Dana", email="chain@example.com", locale="he")
        return [
            await accepted(ledger, request=a_request(business_name="Chain", contact=contact))
            for _ in range(120)
        ]

    jobs = cli.on_ledger(chain)
    invitation, left = Forgetting.invitation, [70]

    async def dying(self: Forgetting, *args: Any, **words: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise LedgerUnavailable("Connection refused")
        return await invitation(self, *args, **words)

    with monkeypatch.context() as patch:
        patch.setattr(Forgetting, "invitation", dying)
        broken = cli("forget", jobs[0], *WHY, "--yes")
    finished = cli("forget", jobs[0], *WHY, "--yes")

    assert broken.exit_code == 1
    assert "and 70 more jobs" in broken.stdout
    assert "Broken off: 70 of 120 jobs are erased. Say the same again" in broken.stderr
    assert finished.exit_code == 0, finished.output
    assert "Erased: 50 jobs" in finished.stdout
    assert cli.json("job", "list")["total"] == 0


def test_who_asks_for_an_erased_job_is_told_that_it_was_erased(cli: Cli) -> None:
    """By every command that takes its id; of one that never was, that there is none."""
    job = a_failed(cli)
    cli("forget", job, *WHY, "--yes")

    for words in (("job", "show", job), ("failed", "show", job), ("resend", job), ("customer", "show", job)):
        result = cli(*words)
        assert result.exit_code == 1
        assert f"Job {job} was erased by cli:" in result.stderr
        assert "asked by letter" in result.stderr
    assert "There is no job" in cli("job", "show", f"{job[:-1]}1").stderr


def test_a_look_changes_nothing(cli: Cli) -> None:
    """The same shape whether or not there is anything."""
    job = a_failed(cli)

    looked = cli.json("forget", job, "--dry-run")
    nobody = cli.json("forget", "0509999999", "--dry-run")

    assert (looked["found"], looked["done"], looked["counts"]["jobs"]) == (True, False, 1)
    assert (nobody["found"], nobody["done"], nobody["counts"]["jobs"]) == (False, False, 0)
    assert looked.keys() == nobody.keys()
    assert state_of(cli, job) == "failed"


def test_without_consent_nothing_is_erased(cli: Cli) -> None:
    """Nobody is there to ask; and why is asked for as well."""
    job = a_failed(cli)

    for words in ((NUMBER, *WHY), (NUMBER, "--yes"), (NUMBER, "--yes", "--why", "Dana Flowers asked")):
        result = cli("forget", *words)
        assert result.exit_code == 2, words
        assert NUMBER not in result.output
    assert state_of(cli, job) == "failed"


def test_a_name_is_no_way_to_erase(cli: Cli) -> None:
    """It says how to find whoever is meant."""
    result = cli("forget", "Dana Flowers", *WHY, "--yes")

    assert result.exit_code == 2
    assert "linkferry customer show NAME" in result.stderr


def test_said_again_it_is_done(cli: Cli) -> None:
    """A script may say it as often as it likes."""
    a_failed(cli)
    assert cli.json("forget", NUMBER, *WHY, "--yes")["gone"]["jobs"] == 1

    again = cli("forget", NUMBER, *WHY, "--yes")

    assert again.exit_code == 0
    assert "Nothing is held" in again.stdout
    assert cli.json("audit", "--act", "forget")["total"] == 2


def test_several_customers_are_told_apart(cli: Cli) -> None:
    """Each by a job; all of them only where that is said."""
    jobs = [a_failed(cli), a_failed(cli, whatsapp="972541112222", business_name="Avi Bikes")]

    refused = cli("forget", "d@example.com", *WHY, "--yes")

    assert refused.exit_code == 2
    assert "2 customers fit" in refused.stderr
    assert all(job in refused.stdout for job in jobs)
    assert cli.json("forget", "d@example.com", *WHY, "--yes", "--all")["gone"]["jobs"] == 2


def test_an_open_link_is_in_the_way(cli: Cli) -> None:
    """Nobody is asked before that is known; with --revoke the delete is asked for, and where it stands is said."""
    job = a_linked(cli)

    refused = cli("forget", NUMBER, *WHY, "--yes")

    assert refused.exit_code == 1
    assert "revoke it first" in " ".join(refused.stdout.split())
    assert "--revoke" in refused.stderr
    assert state_of(cli, job) == "linked"

    waits = cli("forget", NUMBER, *WHY, "--yes", "--revoke", "--wait", "0")

    assert waits.exit_code == 1
    assert "being replaced or deleted" in waits.stderr
    assert "No worker runs" in waits.stderr
    cli.work(job, Deleted())
    assert cli.json("forget", NUMBER, *WHY, "--yes", "--revoke")["done"] is True
    assert cli("job", "show", job).exit_code == 1


def test_the_stop_list_shows_that_somebody_was_erased(cli: Cli) -> None:
    """Not who; and he can be taken off by whoever knows his address."""
    a_failed(cli)
    assert cli("forget", NUMBER, *WHY, "--yes", "--stop").exit_code == 0

    listed = cli.json("suppress", "list", "--reveal")["items"]

    assert {each["contact"] for each in listed} == {"(erased)"}
    assert {each["kind"] for each in listed} == {"erased"}
    assert cli("suppress", "remove", "d@example.com").exit_code == 0
    assert len(cli.json("suppress", "list")["items"]) == len(listed) - 1


def test_redis_is_asked_to_write_its_file_anew(cli: Cli) -> None:
    """And that the old one holds it until then is said."""
    a_failed(cli)

    result = cli("forget", NUMBER, *WHY, "--yes", "--rewrite")

    assert result.exit_code == 0, result.output
    assert "writes its append-only file anew" in result.stdout


def test_an_edit_of_hers_can_still_be_looked_at(cli: Cli) -> None:
    """Who changed something, when and why; not what."""
    job = a_failed(cli)
    edited = cli("failed", "edit", job, "--set", "display_name=Dana Roses", "--why", "new sign", "--yes")
    assert edited.exit_code == 0, edited.output
    assert cli("forget", NUMBER, *WHY, "--yes").exit_code == 0

    [entry] = cli.json("audit", "--act", "edit", "--reveal")["items"]
    listed = cli("audit", "--reveal")
    shown = cli("audit", entry["id"], "--reveal")

    assert (entry["why"], entry["detail"]["changes"]) == ("new sign", "(erased)")
    assert (listed.exit_code, shown.exit_code) == (0, 0)
    assert "(erased)" in shown.stdout
    assert "Dana" not in listed.output + shown.output
