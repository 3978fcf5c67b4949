"""`linkferry resend`: the same links once more, elsewhere if asked, without another partner call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli_in_process import Cli, cli_on, link_one
from worker.domain.outcome import Sent
from worker.ledger import Ledger
from worker.ops.readdress import readdressed


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as ready:
        yield ready


async def send_all(ledger: Ledger) -> list[Any]:
    """Send every message that is due; return what was claimed."""
    claimed = []
    for channel in ("email", "sms"):
        for delivery_id in await ledger.deliveries.due(channel, want=10):
            delivery = await ledger.deliveries.claim(delivery_id, worker_id="w", lease_s=60)
            await ledger.deliveries.begin_send(delivery.lease)
            await ledger.deliveries.settle(delivery.lease, Sent(), can_resend=True)
            claimed.append(delivery)
    return claimed


def test_a_message_goes_out_again_to_another_address(cli: Cli) -> None:
    """The contact is the invitation's from then on, and the second mail is another than the first."""
    job = cli.on_ledger(link_one)
    (first,) = cli.on_ledger(send_all)

    document = cli.json("resend", job, "--to", "Dana@Flowers.example", "--why", "asked by phone")
    (second,) = cli.on_ledger(send_all)

    assert [message["done"] for message in document["messages"]] == [True]
    assert second.request.contact.email == "Dana@flowers.example"
    assert second.links == first.links
    assert (first.asked_again, second.asked_again) == (0, 1)
    history = cli.json("job", "show", job)["history"]
    assert history[-1]["event"] == "resend"
    assert history[-1]["why"] == "asked by phone"


def test_another_number_is_said_to_be_kept(cli: Cli) -> None:
    """Where it goes, masked, and that later messages go there, too."""
    job = cli.on_ledger(link_one)
    cli.on_ledger(send_all)

    said = cli("resend", job, "--to", "dana@flowers.example").stdout

    assert "email: will be sent again to d***@flowers.example" in said
    assert "the customer's from now on" in said
    assert "later messages" not in cli("resend", job).stdout


def test_a_message_that_still_waits_is_not_doubled(cli: Cli) -> None:
    """Asked for twice in a row, it goes out once."""
    job = cli.on_ledger(link_one)

    document = cli.json("resend", job, expect=1)

    assert [message["refusal"] for message in document["messages"]] == ["waits_already"]
    assert "email: not sent again, it waits already" in cli("resend", job).output
    assert len(cli.on_ledger(send_all)) == 1


def test_a_message_by_a_paused_channel_is_said_to_wait(cli: Cli) -> None:
    """Who resends on the phone must not promise what does not go out; and reads how it would."""
    job = cli.on_ledger(link_one)
    cli.on_ledger(send_all)
    cli("pause", "--channel", "email")

    said = cli("resend", job).stdout

    assert said.strip() == (
        "email: will be sent again once its channel is resumed: linkferry resume --channel email"
    )


def test_an_edit_that_came_between_is_said_with_what_to_do(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that was seen may not be the one that is there: nothing is sent."""
    job = cli.on_ledger(link_one)
    cli.on_ledger(send_all)

    def as_seen_before(request: Any, to: str, **how: Any) -> Any:
        return readdressed(replace(request, business_name="As it was before"), to, **how)

    monkeypatch.setattr("worker.ops.readdress.readdressed", as_seen_before)
    result = cli("resend", job, "--to", "dana@flowers.example")

    assert result.exit_code == 1
    assert "its request was edited meanwhile: look at it again" in result.output
    assert cli.on_ledger(send_all) == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--to", "dana(at)flowers"), 2, "--to"),
        (("--to", "dana", "--channel", "email"), 2, "has no @"),
        (("--channel", "fax"), 2, "--channel fax: say one of email, sms"),
        (("--to", "not-an@address@x"), 2, "@"),
        (("--to", "dana@flowers.example", "--channel", "sms"), 2, "--channel says sms"),
        (("--channel", "sms"), 1, "no such message"),
    ],
)
def test_what_cannot_be_sent_is_said_in_a_line(
    cli: Cli, words: tuple[str, ...], code: int, says: str
) -> None:
    """A wrong address or channel names itself; nothing is changed."""
    job = cli.on_ledger(link_one)
    cli.on_ledger(send_all)

    result = cli("resend", job, *words)

    assert result.exit_code == code
    assert says in result.output
    assert cli.on_ledger(send_all) == []
