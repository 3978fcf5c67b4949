"""`linkferry events …` and what `doctor` says of our own events."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.factories import an_invitation
from tests.integration.cli_in_process import Cli, cli_on, fail_one
from tests.integration.events_receiver import SECRET, Receiver, a_receiver
from worker.domain.outgoing import NotTold, SinkGone, SinkPlan, TellFault, Told
from worker.ledger import Ledger

WEBHOOK = SinkPlan(name="webhook", mark="here")


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as command_line:
        yield command_line


@pytest.fixture
def told(cli: Cli) -> Cli:
    """Return a command line on a ledger with events on and three failures to tell of."""

    async def prepare(ledger: Ledger) -> None:
        await ledger.outbox.enable([WEBHOOK])
        for _ in range(3):
            await fail_one(ledger)

    cli.on_ledger(prepare)
    return cli


def settle(cli: Cli, telling: Any, *, want: int = 1) -> list[str]:
    """Try to tell so many events, with this ending; return their ids."""

    async def act(ledger: Ledger) -> list[str]:
        events = await ledger.outbox.claim("webhook", want=want, worker_id="w", lease_s=45)
        for event in events:
            await ledger.outbox.settle(event.lease, telling, delay_s=None)
        return [event.id for event in events]

    ids: list[str] = cli.on_ledger(act)
    return ids


@contextmanager
def receiver_beside(**how: Any) -> Iterator[Receiver]:
    """Run a receiver in a thread, beside a command that runs a loop of its own."""
    ready, done, found = threading.Event(), threading.Event(), []

    async def serve() -> None:
        async with a_receiver(**how) as receiver:
            found.append(receiver)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield found[0]
    finally:
        done.set()
        thread.join(10)


def test_list_shows_who_is_told_and_what_failed(told: Cli) -> None:
    """Failed unless another state is asked for."""
    [failed] = settle(told, NotTold(fault=TellFault.REFUSED, status=500))
    [gone] = settle(told, Told(status=200))

    document = told.json("events", "list")
    assert [item["event_id"] for item in document["items"]] == [failed]
    assert document["items"][0] | {"fault": "refused", "status": 500, "failures": 1} == document["items"][0]
    [sink] = document["sinks"]
    assert (sink["sink"], sink["standing"], sink["waiting"], sink["failed"], sink["told"]) == (
        "webhook", "on", 1, 1, 1
    )  # fmt: skip
    assert [each["event_id"] for each in told.json("events", "list", "--state", "told")["items"]] == [gone]
    shown = told("events", "list").stdout
    assert failed in shown
    assert "job.failed" in shown


def test_lists_are_paged(told: Cli) -> None:
    """Each event shows once."""
    first = told.json("events", "list", "--state", "waiting", "--limit", "2")
    second = told.json("events", "list", "--state", "waiting", "--limit", "2", "--cursor", first["next"])

    ids = [item["event_id"] for page in (first, second) for item in page["items"]]
    assert len(set(ids)) == len(ids) == first["total"] == 3
    assert second["next"] is None
    assert "--cursor" in told("events", "list", "--state", "waiting", "--limit", "2").stdout


def test_show_tells_all_of_one_event(told: Cli) -> None:
    """By the id that the receiver got as `webhook-id`."""
    [event_id] = settle(told, NotTold(fault=TellFault.TIMED_OUT))

    document = told.json("events", "show", event_id)

    assert (document["type"], document["state"], document["fault"]) == ("job.failed", "failed", "timed_out")
    assert event_id in told("events", "show", event_id).stdout
    missing = told("events", "show", "evt_nobody_1")
    assert (missing.exit_code, "No such event" in missing.stderr) == (1, True)


def test_retry_tells_again(told: Cli) -> None:
    """By id, or all that failed; twice has the effect of once."""
    ids = settle(told, NotTold(fault=TellFault.REFUSED), want=3)
    assert told.json("events", "retry", ids[0], "--why", "mended") == {"done": 1, "refused": {}}
    [one] = told.json("audit", "--act", "event_resend")["items"]
    assert (one["subject"], one["why"]) == (ids[0], "mended")
    assert told.json("events", "retry", "--all") == {"done": 2, "refused": {}}
    every = told.json("audit", "--act", "event_resend")["items"][0]
    assert (every["subject"], every["by"]) == ("webhook", one["by"])
    assert told.json("events", "retry", "--all") == {"done": 0, "refused": {}}
    assert told.json("events", "retry", "evt_nobody_1", expect=1) == {"done": 0, "refused": {"gone": 1}}
    assert "0 will be told again now. Not: 1 gone." in told("events", "retry", "evt_nobody_1").stdout

    assert sorted(settle(told, Told(), want=9)) == sorted(ids)


def test_retry_all_after_a_410_says_how_many_are_told(told: Cli) -> None:
    """They waited behind the receiver that wanted no more; those put off for hours come along."""
    settle(told, NotTold(fault=TellFault.REFUSED))

    async def put_off(ledger: Ledger) -> None:
        [event] = await ledger.outbox.claim("webhook", want=1, worker_id="w", lease_s=45)
        await ledger.outbox.settle(event.lease, NotTold(fault=TellFault.REFUSED), delay_s=7_200.0)

    told.on_ledger(put_off)
    settle(told, SinkGone(status=410))

    assert "3 will be told again now." in told("events", "retry", "--all").stdout
    assert len(settle(told, Told(), want=9)) == 3


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("retry",), "--all"),
        (("retry", "evt_1", "--all"), "--all"),
        (("list", "--state", "lost"), "waiting, sending, failed, told"),
        (("list", "--sink", "pipedrive"), "pipedrive"),
        (("list", "--cursor", "x"), "--cursor"),
    ],
)
def test_what_makes_no_sense_is_explained(told: Cli, words: tuple[str, ...], why: str) -> None:
    """Exit code 2 and one line."""
    result = told("events", *words)

    assert (result.exit_code, why in result.stderr) == (2, True), result.output


def test_where_events_never_were_on_it_says_how_to_turn_them_on(cli: Cli) -> None:
    """Instead of an empty table."""
    assert "LINKFERRY_EVENTS_URL" in cli("events", "list").stdout
    assert cli.json("events", "list") == {"items": [], "next": None, "total": 0, "sinks": []}
    assert "LINKFERRY_EVENTS_URL" in cli("events", "test").stderr
    assert cli("events", "test").exit_code == 2


def test_where_no_worker_has_the_settings_yet_it_says_so(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are on by the settings; nothing is left before a worker has started with them."""
    monkeypatch.setenv("LINKFERRY_EVENTS_URL", "https://events.example.com/")
    monkeypatch.setenv("LINKFERRY_EVENTS_SECRET", SECRET)

    shown = cli("events", "list").stdout

    assert "Events are off" not in shown
    assert "no worker has started with it yet" in shown


def test_test_sends_a_signed_sample(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """And tells what came back."""
    with receiver_beside() as receiver:
        monkeypatch.setenv("LINKFERRY_EVENTS_URL", receiver.url)
        monkeypatch.setenv("LINKFERRY_EVENTS_SECRET", SECRET)
        document = cli.json("events", "test")
        shown = cli("events", "test").stdout

    assert (document["told"], document["status"], document["answer"]) == (True, 200, "seen")
    assert document["event_id"] in receiver.ids
    assert {event["type"] for event in receiver.got} == {"events.test"}
    assert "HTTP 200" in shown
    assert "taken." in shown


def test_test_says_what_is_wrong(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do about it; exit code 1."""
    monkeypatch.setenv("LINKFERRY_EVENTS_SECRET", SECRET)
    with receiver_beside(then=301) as receiver:
        monkeypatch.setenv("LINKFERRY_EVENTS_URL", receiver.url)
        document = cli.json("events", "test", expect=1)
    assert (document["fault"], document["status"]) == ("redirected", 301)
    assert "not followed" in document["remedy"]

    monkeypatch.setenv("LINKFERRY_EVENTS_URL", "http://127.0.0.1:9/")
    result = cli("events", "test")
    assert result.exit_code == 1
    assert "No answer" in result.stdout


def test_in_the_sandbox_no_sample_leaves(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings are not even looked at."""
    monkeypatch.setenv("LINKFERRY_EVENTS_URL", "https://events.example.com/")
    monkeypatch.setenv("LINKFERRY_EVENTS_SECRET", SECRET)

    result = cli("--sandbox", "events", "test")

    assert (result.exit_code, "sandbox" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("EVENTS_URL", "https://events.example.com/", "needs LINKFERRY_EVENTS_SECRET"),
        ("EVENTS_URL", "http://events.example.com/", "https://"),
        ("EVENTS_SECRET", "a-word", "must begin with whsec_"),
    ],
)
def test_a_half_or_unsafe_setting_is_refused(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, value: str, why: str
) -> None:
    """In one line that names it, before anything runs; a secret is not quoted."""
    monkeypatch.setenv(f"LINKFERRY_{name}", value)

    result = cli("status")

    assert (result.exit_code, why in result.stderr) == (2, True), result.stderr
    assert f"LINKFERRY_{name}" in result.stderr
    assert "a-word" not in result.stderr


def findings(cli: Cli) -> list[tuple[str, str]]:
    """Return level and text of what doctor says of events."""
    document = cli.json("doctor", expect=1)
    return [(each["level"], each["text"]) for each in document["findings"] if each["about"] == "events"]


def test_doctor_says_when_events_fail(told: Cli) -> None:
    """Failed ones, a receiver that is down, one that is gone; nothing while all is well or off."""
    assert findings(told) == []
    settle(told, NotTold(fault=TellFault.REFUSED, status=500))
    assert [level for level, _ in findings(told)] == ["warn"]

    async def five_more(ledger: Ledger) -> None:
        for _ in range(5):
            await fail_one(ledger)

    told.on_ledger(five_more)
    settle(told, NotTold(fault=TellFault.TIMED_OUT), want=9)
    assert any(level == "bad" and "timed_out" in text for level, text in findings(told))
    told.json("events", "retry", "--all")
    settle(told, SinkGone(status=410), want=9)
    assert [level for level, text in findings(told) if "410" in text] == ["bad"]
    assert told.json("events", "list")["sinks"][0]["standing"] == "gone"

    told.on_ledger(lambda ledger: ledger.outbox.enable([]))

    assert findings(told) == []


def test_doctor_knows_the_settings(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret alone tells nobody anything."""
    monkeypatch.setenv("LINKFERRY_EVENTS_SECRET", SECRET)
    assert [level for level, _ in findings(cli)] == ["warn"]
    monkeypatch.setenv("LINKFERRY_EVENTS_URL", "https://events.example.com/")
    [(_, is_set), (level, text)] = findings(cli)
    assert "EVENTS_URL" in is_set
    assert (level, "did not have it" in text) == ("warn", True)
    cli.on_ledger(lambda ledger: ledger.outbox.enable([WEBHOOK]))
    assert [level for level, _ in findings(cli)] == ["ok"]


def test_an_invitation_alone_leaves_no_event(told: Cli) -> None:
    """What was accepted is known to whoever brought it."""
    told.on_ledger(lambda ledger: ledger.accept([an_invitation()], max_waiting=9, durable=False))

    assert told.json("events", "list", "--state", "waiting")["total"] == 3
