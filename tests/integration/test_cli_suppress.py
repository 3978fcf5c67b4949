"""`suppress`, `watch` and `customer show` on a command line of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.by_hand import LINKED, accepted, ended, sent
from tests.factories import a_request, an_invitation
from tests.integration.cli_in_process import NAMESPACE, Cli, cli_on
from worker.domain.request import Contact, Product
from worker.ledger import Ledger

pytestmark = pytest.mark.redis

DANA = "dana@flowers.example"
CONTACT = Contact(name="Dana", email=DANA, phone="972502222222", locale="en")


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        monkeypatch.setenv("COLUMNS", "80")
        yield cli


async def told(ledger: Ledger) -> str:
    """Return a job whose customer was sent his link."""
    invitation = an_invitation(request=a_request(business_name="Dana Flowers", contact=CONTACT))
    job_id = await ended(ledger, await accepted(ledger, invitation), LINKED)
    [delivery] = await ledger.deliveries.of_invitation(job_id[:-1])
    await sent(ledger, delivery.id)
    return job_id


def test_a_customer_is_put_on_the_stop_list_and_taken_off(cli: Cli) -> None:
    """However the number is written; the list is masked, the trail knows who and why."""
    assert cli.json("suppress", "add", "050-222-2222", "--why", "asked by telephone") == {
        "added": 1,
        "known": 0,
        "problems": [],
    }
    assert cli.json("suppress", "add", "+972502222222")["known"] == 1

    shown, revealed = cli("suppress", "list"), cli("suppress", "list", "--reveal")

    assert "9725******22" in shown.stdout
    assert "972502222222" not in shown.stdout
    assert "972502222222" in revealed.stdout
    assert cli.json("suppress", "remove", "0502222222")["removed"] == 1
    assert cli("suppress", "list").stdout.strip() == "Nobody is on the stop list."
    acts = [each["act"] for each in cli.json("audit")["items"]]
    assert acts == ["unsuppress", "reveal", "suppress"]
    assert "972502222222" not in cli("audit", "--json").stdout


def test_taking_off_who_is_not_there_says_so(cli: Cli) -> None:
    """With the exit code of what was not done."""
    result = cli("suppress", "remove", DANA)

    assert result.exit_code == 1
    assert "1 did not stand there" in result.stdout


def test_a_file_of_many_is_taken_and_its_bad_lines_are_named(cli: Cli, tmp_path: Path) -> None:
    """Each with its number; the others count."""
    file = tmp_path / "stop.txt"
    file.write_text(f"{DANA}\n# comment\nnobody\n0502222222\n", encoding="utf-8")

    result = cli("suppress", "add", "--file", str(file))

    assert result.exit_code == 3
    assert "2 added" in result.stdout
    assert "line 3: " in result.output
    assert cli.json("suppress", "list")["total"] == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("suppress", "add"), "Give one ADDRESS or NUMBER"),
        (("suppress", "add", DANA, "--file", "x"), "Give one ADDRESS or NUMBER"),
        (("suppress", "add", "nobody"), "nobody"),
        (("suppress", "add", "--file", "none-such.txt"), "can't be read"),
    ],
)
def test_what_cannot_be_meant_is_refused(cli: Cli, words: tuple[str, ...], says: str) -> None:
    """With what to write instead."""
    result = cli(*words)

    assert result.exit_code == 2
    assert says in result.output


def test_a_resend_to_somebody_on_the_stop_list_is_refused(cli: Cli) -> None:
    """And says how to undo it; to another customer's contact it goes."""
    job = cli.on_ledger(told)
    cli.json("suppress", "add", DANA)

    refused = cli("resend", job)

    assert refused.exit_code == 1
    assert "stop list" in refused.stdout
    assert "linkferry suppress remove" in " ".join(refused.stdout.split())
    assert cli.json("resend", job, "--to", "dana@home.example")["messages"][0]["done"]


def test_the_customer_page_says_that_he_is_on_the_stop_list(cli: Cli) -> None:
    """With when it was sent, and what to do."""
    job = cli.on_ledger(told)
    cli.json("suppress", "add", DANA, "--why", "asked by telephone")

    shown = cli("customer", "show", job)
    text = " ".join(shown.stdout.split())

    assert "On the stop list since" in text
    assert "asked by telephone" in text
    assert "Sent by e-mail at" in text
    assert "d***@flowers.example" in text
    assert DANA not in text
    assert [line for line in shown.stdout.splitlines() if len(line.rstrip()) > 80] == []


def test_the_partner_is_left_alone_without_credentials_and_with_offline(cli: Cli) -> None:
    """The page is shown all the same."""
    job = cli.on_ledger(told)

    assert cli.json("customer", "show", job)["is_partner_asked"] is False
    assert cli.json("customer", "show", job, "--offline")["is_partner_asked"] is False


def test_watch_says_when_there_is_nothing_and_what_is_open_for_long(cli: Cli) -> None:
    """In 80 columns, with the command that lists them all."""
    assert "Nothing needs looking after." in cli("watch").stdout
    job = cli.on_ledger(told)
    assert cli.json("watch")["items"] == []
    with redis.Redis.from_url(cli.url) as client:
        client.zincrby(f"{{{NAMESPACE}}}:z:linked", -20 * 86_400_000, job)

    result = cli("watch")

    assert "1 customer has had the link for more than 14 days" in result.stdout
    assert "linkferry job list --state linked --older-than 14d" in result.stdout
    assert [line for line in result.stdout.splitlines() if len(line.rstrip()) > 80] == []


def test_what_is_neither_address_nor_number_is_said_to_be_so(cli: Cli) -> None:
    """It could have been either."""
    result = cli("suppress", "add", "garbage")
    assert result.exit_code == 2
    assert "no e-mail address and no number" in " ".join(result.stderr.split())


def test_an_empty_file_is_no_success(cli: Cli) -> None:
    """Whoever meant to stop messages with it has stopped none."""
    Path("empty.txt").write_text("# nobody yet\n", encoding="utf-8")
    result = cli("suppress", "add", "--file", "empty.txt")
    assert result.exit_code == 1
    assert "holds nothing" in result.stderr


def test_a_jobs_page_says_that_its_customer_is_on_the_stop_list(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since when, by whom and why; and what reminders are to come while he is not."""
    monkeypatch.setenv("LINKFERRY_REMINDERS", "2d")
    job = cli.on_ledger(told)
    assert "The next reminder is made at" in cli("job", "show", job).stdout

    cli("suppress", "add", DANA, "--why", "asked by telephone")
    shown = " ".join(cli("job", "show", job).stdout.split())

    assert "(asked by telephone): d***@flowers.example gets no message." in shown
    assert "No further reminder goes out." in shown


async def told_two(ledger: Ledger) -> list[str]:
    """Return two jobs whose links one message brought, which is sent again to another address."""
    products = (Product.WHATSAPP, Product.FACEBOOK_PAGE)
    invitation = an_invitation(request=a_request(products=products, contact=CONTACT))
    (receipt,) = await ledger.accept([invitation], max_waiting=100, durable=False)
    for job_id in receipt.job_ids:
        await ended(ledger, job_id, LINKED)
    [delivery] = await ledger.deliveries.of_invitation(receipt.invitation_id)
    await sent(ledger, delivery.id)
    return list(receipt.job_ids)


def test_what_one_message_brought_is_said_once(cli: Cli) -> None:
    """One advice with one command, each fact with both jobs; sent elsewhere, both addresses are shown."""
    jobs = cli.on_ledger(told_two)

    shown = " ".join(cli("customer", "show", jobs[0]).stdout.split())

    assert shown.count("linkferry resend") == 1
    assert shown.count("Sent by e-mail at") == 1
    assert cli("resend", jobs[0], "--to", "new@else.example").exit_code == 0
    shown = " ".join(cli("customer", "show", jobs[0]).stdout.split())
    assert "n***@else.example (before: d***@flowers.example)" in shown
