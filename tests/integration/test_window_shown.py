"""A message that waits for the send window, on the command line and on the console's pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio

from tests.integration.cli_in_process import Cli, cli_on, link_one
from tests.integration.console_desk import a_console
from tests.integration.console_looker import Looker, words_of
from worker.domain.outcome import Sent
from worker.domain.roles import Role
from worker.domain.send_window import ClosedTimes
from worker.domain.states import Channel, JobState
from worker.ledger import Ledger

DAY_MS = 86_400_000
UNTIL = "2099-01-01T09:00:00Z"


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as ready:
        yield ready


async def put_off(ledger: Ledger) -> None:
    """Close the window for a day."""
    now = await ledger.now_ms()
    times = ClosedTimes(
        spans=((now - 1000, now + DAY_MS),), known_from_ms=now - DAY_MS, known_until_ms=now + DAY_MS
    )
    assert await ledger.deliveries.due(Channel.EMAIL, want=10, closed=times) == []


async def send(ledger: Ledger) -> None:
    """Send what is due."""
    for delivery_id in await ledger.deliveries.due(Channel.EMAIL, want=10):
        delivery = await ledger.deliveries.claim(delivery_id, worker_id="w", lease_s=60)
        assert delivery is not None
        await ledger.deliveries.begin_send(delivery.lease)
        await ledger.deliveries.settle(delivery.lease, Sent(), can_resend=True)


def test_a_job_the_status_and_the_customer_say_until_when_it_waits(cli: Cli) -> None:
    """For people in words, for programs as an instant."""
    job = cli.on_ledger(link_one)
    cli.on_ledger(put_off)

    shown, status, customer = cli("job", "show", job), cli("status"), cli("customer", "show", job)
    [message] = cli.json("job", "show", job)["deliveries"]
    until = message["waits_until"].split(".")[0]

    assert f"email pending, waits until {until}" in shown.output
    written = until.replace("T", " ") + " UTC"
    assert f"1 message waits until {written}: the send window is closed." in " ".join(status.output.split())
    assert written in " ".join(customer.output.split())
    assert cli.json("status")["window"]["waiting"] == 1


@pytest.mark.parametrize(("is_live_exempt", "says"), [("0", f"at {UNTIL}"), ("1", "will be sent again\n")])
def test_a_resend_says_that_it_waits(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, is_live_exempt: str, says: str
) -> None:
    """An operator hears that the message he asks for goes out when the window opens, unless live customers are exempt."""
    job = cli.on_ledger(link_one)
    cli.on_ledger(send)
    monkeypatch.setenv("LINKFERRY_SEND_WINDOW", "Thu 09:00-10:00; tz=UTC")
    monkeypatch.setenv("LINKFERRY_SEND_WINDOW_LIVE", is_live_exempt)
    monkeypatch.setattr("worker.domain.send_window.SendWindow.opens_at", _in_2099)

    result = cli("resend", job)

    assert result.exit_code == 0, result.output
    assert says in result.output


def _in_2099(_window: object, _at: object) -> object:
    from datetime import UTC, datetime

    return datetime(2099, 1, 1, 9, tzinfo=UTC)


def test_a_wrong_window_is_refused_with_the_remedy(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command says what is wrong with the setting, in one line."""
    monkeypatch.setenv("LINKFERRY_SEND_WINDOW", "Sun-Thu 09:00-20:00; tz=Asia/Jeruslem")

    result = cli("status")

    assert result.exit_code != 0
    assert "LINKFERRY_SEND_WINDOW has tz=Asia/Jeruslem" in result.output
    assert "did you mean Asia/Jerusalem?" in result.output


@pytest.fixture
async def looker(fake_redis: redis.asyncio.Redis) -> AsyncIterator[Looker]:
    """A console over an empty ledger."""
    async with a_console(fake_redis, sandbox=True) as console:
        yield Looker(console, fake_redis)


async def test_the_console_s_pages_say_until_when_it_waits(looker: Looker) -> None:
    """The overview in numbers, the job's page in words and beside the message; in both languages."""
    viewer = await looker.console.signed_in(Role.VIEWER)
    job = await looker.desk.job_in(JobState.LINKED)
    now = looker.desk.now_ms
    times = ClosedTimes(
        spans=((now - 1000, now + DAY_MS),), known_from_ms=now - DAY_MS, known_until_ms=now + DAY_MS
    )
    await looker.desk.ledger.deliveries.due(Channel.EMAIL, want=10, closed=times)

    page = words_of(await viewer.get(f"/jobs/{job}"))
    hebrew = words_of(await viewer.get(f"/jobs/{job}", **{"Accept-Language": "he"}))

    assert "when the send window opens" in page
    assert "waits until" in page
    assert "חלון השליחה" in hebrew
