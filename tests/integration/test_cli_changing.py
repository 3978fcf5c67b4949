"""`job replace` and `job revoke` on a real Valkey: what is said, what is asked for, what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.by_hand import LINKED, accepted, ended, sent
from tests.factories import a_request, an_invitation
from tests.integration.cli_in_process import Cli, cli_on, fail_one, link_one, state_of
from worker.domain.outcome import Deleted, Fail, Refused
from worker.domain.request import Contact, Product
from worker.ledger import Ledger


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


def test_a_replace_is_asked_for_and_said(cli: Cli) -> None:
    """The job's page says what is under way, the trail who wanted it."""
    job = cli.on_ledger(link_one)
    result = cli("job", "replace", job, "--why", "link was shared", "--yes")
    assert result.exit_code == 0, result.output
    assert "1 being replaced" in result.stdout
    assert "The link is deleted at the partner" in result.stdout
    assert "The message goes to d***@example.com" in result.stdout
    assert f"linkferry job show {job}" in result.stdout

    shown = " ".join(cli("job", "show", job).stdout.split())
    assert "the old one is to be deleted at the partner first" in shown
    assert "asked for the link to be replaced: link was shared" in shown
    [entry] = cli.json("audit", "--job", job)["items"]
    assert (entry["act"], entry["why"]) == ("replace", "link was shared")


def test_a_failed_second_half_is_visible_as_such(cli: Cli) -> None:
    """On the job's page and the customer's: the old link is deleted, the new one is not made."""
    job = cli.on_ledger(link_one)
    cli("job", "replace", job, "--yes")
    cli.work(job, Deleted())
    cli.work(job, Refused(fail=Fail(reason="number_invalid", reason_class="bad_data", is_own_data=True)))
    for words in (("job", "show", job), ("failed", "show", job), ("customer", "show", job)):
        said = " ".join(cli(*words).stdout.split())
        assert "The old link is deleted, and the new one is not made" in said, words
    document = cli.json("job", "show", job)
    assert document["change"]["code"] == "changing_making_failed"
    assert cli("failed", "requeue", job).exit_code == 0
    assert cli.json("job", "show", job)["change"]["code"] == "changing_making"


def test_new_data_are_shown_before_and_after(cli: Cli) -> None:
    """With what will happen; the number that was stays masked."""
    job = cli.on_ledger(link_one)
    changes = ("--set", "display_name=Dana", "--new-number", "0501110009")
    result = cli("job", "replace", job, *changes, "--why", "new", "--yes")
    assert result.exit_code == 0, result.output
    assert "display_name:" in result.stdout
    assert "→ Dana" in result.stdout
    assert "→ +972501110009" in result.stdout
    assert "The link is deleted at the partner" in result.stdout
    assert state_of(cli, job) == "available"
    cli.work(job, Deleted())
    assert cli.json("job", "show", job, "--reveal")["asked"]["whatsapp"] == "972501110009"


def test_all_that_is_wrong_with_new_data_is_said(cli: Cli) -> None:
    """By the rules of a new request; nothing is begun."""
    job = cli.on_ledger(link_one)
    result = cli("job", "replace", job, "--set", "whatsapp=12", "--set", "emial=x")
    assert result.exit_code == 1
    assert "Did you mean email?" in result.stderr
    assert state_of(cli, job) == "linked"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "Say which links to replace"),
        (("--set", "locale=en"), "say the job's id"),
        (("--state", "linked", "--set", "locale=en"), "say the job's id"),
        (("--name", "Dana Flowers", "--set", "locale=en"), "job list --state linked --name 'Dana Flowers'"),
        (
            ("--state", "failed", "--class", "bad_data", "--set", "locale=en"),
            "failed export mend.csv --class bad_data, then discard them here (linkferry failed discard --file mend.csv)",
        ),
        (
            ("--state", "failed", "--new-number", "0501110009"),
            "linkferry failed export mend.csv, then discard",
        ),
        (("--state", "available"), "only the links of `linked` and `failed` jobs"),
        (("JOB", "--number", "0501110009"), "--new-number"),
        (("JOB", "--state", "linked"), "not both"),
        (("JOB", "--set", "locale"), "FIELD=VALUE"),
    ],
)
def test_what_is_not_to_be_understood_is_refused(cli: Cli, words: tuple[str, ...], says: str) -> None:
    """With the remedy; nothing is done."""
    job = cli.on_ledger(link_one)
    result = cli("job", "replace", *(job if word == "JOB" else word for word in words))
    assert result.exit_code == 2, result.output
    assert says in " ".join(result.stderr.split())
    assert state_of(cli, job) == "linked"


@pytest.mark.parametrize("verb", ["replace", "revoke"])
def test_a_refusal_says_why(cli: Cli, verb: str) -> None:
    """For a job whose link is being changed already; and for none."""
    job = cli.on_ledger(link_one)
    cli("job", "replace", job, "--yes")
    result = cli("job", verb, job, "--yes")
    assert result.exit_code == 1
    assert "its link is being changed already" in result.output
    assert cli("job", verb, "nobodys").exit_code == 1


def test_a_change_is_called_off(cli: Cli) -> None:
    """`job cancel` says what that came to, before the delete and after."""
    job = cli.on_ledger(link_one)
    cli("job", "replace", job, "--yes")
    assert "keeps its link as it is" in cli("job", "cancel", job).stdout
    cli("job", "replace", job, "--yes")
    cli.work(job, Deleted())
    assert "deleted already" in cli("job", "cancel", job).stdout
    assert state_of(cli, job) == "revoked"


def test_a_revoke_by_filter_is_previewed_and_counted(cli: Cli) -> None:
    """Asked about unless `--yes`; failed jobs only where they are meant."""
    job = cli.on_ledger(link_one)
    failed = cli.on_ledger(fail_one)
    asked = cli("job", "revoke", "--lane", "live", "--why", "over")
    assert asked.exit_code == 2
    assert "1 jobs to revoke" in asked.stdout
    assert "1 calls to the partner" in asked.stdout
    assert cli("job", "revoke", "--lane", "live", "--why", "over", "--yes", "--detach").exit_code == 0
    [act] = cli.json("act", "list")["items"]
    assert (act["act"], act["total"]) == ("revoke", 1)
    assert state_of(cli, failed) == "failed"
    assert state_of(cli, job) == "linked"  # its turn comes with a worker


def test_a_message_whose_link_is_changed_is_not_sent_again(cli: Cli) -> None:
    """And it is said why."""
    job = cli.on_ledger(link_one)

    async def settle_message(ledger: Ledger) -> None:
        for delivery in await ledger.deliveries.of_invitation(job[:-1]):
            await sent(ledger, delivery.id, can_resend=True)

    cli.on_ledger(settle_message)
    cli("job", "replace", job, "--yes")
    result = cli("resend", job)
    assert result.exit_code == 1
    assert "its link is being changed already" in " ".join(result.output.split())


@pytest.mark.parametrize("words", [("replace",), ("revoke",), ("replace", "--set", "display_name=Dana")])
def test_nobody_there_to_ask_is_no_consent(cli: Cli, words: tuple[str, ...]) -> None:
    """Without a terminal and without `--yes` it is said what would happen, and no link is touched."""
    job = cli.on_ledger(link_one)
    result = cli("job", words[0], job, *words[1:])
    assert result.exit_code == 2, result.output
    assert "Nothing done. Add --yes" in result.stderr
    assert "The link is deleted at the partner" in result.stdout
    assert state_of(cli, job) == "linked"


def test_two_named_links_are_asked_about_too(cli: Cli) -> None:
    """With what it would come to."""
    job = cli.on_ledger(link_one)
    result = cli("job", "revoke", job, job[:-1] + "m", "--why", "over")
    assert result.exit_code == 2, result.output
    assert "Nothing done. Add --yes" in result.stderr
    assert state_of(cli, job) == "linked"


def test_a_facebook_link_is_said_to_stay(cli: Cli) -> None:
    """Before it is replaced; a revoke is refused without being asked about."""

    async def link_a_page(ledger: Ledger) -> str:
        invitation = an_invitation(request=a_request(products=(Product.FACEBOOK_PAGE,)))
        return await ended(ledger, await accepted(ledger, invitation), LINKED)

    job = cli.on_ledger(link_a_page)
    refused = cli("job", "revoke", job)
    assert "can't delete Facebook" in " ".join(refused.output.split())
    replaced = cli("job", "replace", job, "--yes")
    assert "stays valid" in " ".join(replaced.stdout.split())


def test_a_customer_on_the_stop_list_is_told_of_before(cli: Cli) -> None:
    """His link would go, and nobody would tell him of the new one."""
    job = cli.on_ledger(link_one)
    cli("suppress", "add", "dana@example.com")
    asked = " ".join(cli("job", "replace", job).stdout.split())
    assert "on the stop list and gets no message" in asked
    assert "goes to" not in asked


def test_the_phone_follows_a_corrected_number(cli: Cli) -> None:
    """Where both were one: the SMS with the new link does not go to the wrong number's owner; and that is said."""

    async def link_by_text(ledger: Ledger) -> str:
        contact = Contact(phone="972501234567", locale="he")
        invitation = an_invitation(request=a_request(whatsapp="972501234567", contact=contact))
        return await ended(ledger, await accepted(ledger, invitation), LINKED)

    job = cli.on_ledger(link_by_text)
    kept = ("--set", "phone=+972501234567")
    as_it_was = cli("job", "replace", job, "--new-number", "0501110009", *kept)
    assert "phone is still the number that whatsapp was" in " ".join(as_it_was.stderr.split())
    result = cli("job", "replace", job, "--new-number", "0501110009", "--yes")
    assert result.exit_code == 0, result.output
    assert "phone: +9725******67 → +972501110009" in result.stdout
    assert "becomes the new one with it" in " ".join(result.stderr.split())
    cli.work(job, Deleted())
    asked = cli.json("job", "show", job, "--reveal")
    assert asked["contact"]["phone"] == "972501110009", asked


def test_a_linked_job_is_revoked_not_cancelled(cli: Cli) -> None:
    """The refusal says how."""
    job = cli.on_ledger(link_one)
    assert f"linkferry job revoke {job}" in " ".join(cli("job", "cancel", job).stderr.split())
