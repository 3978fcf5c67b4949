"""What commands say in words: of mistyped filters, of the wrong ledger, of what stands still, of messages and acts."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkferry import up_lock
from tests.contract.intake_desk import an_event
from tests.integration.cli_in_process import Cli, cli_on, link_one
from tests.integration.mending_desk import a_failed, the_act
from worker.domain.outcome import Fail, Undelivered
from worker.ledger import Ledger


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_on(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


# --- filters that match nothing by their very word -----------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("job", "list", "--source", "hubspot"), 0, "Did you mean crm:hubspot?"),
        (("failed", "list", "--source", "carrier-pigeon"), 0, "Known: api, cli, csv, crm:"),
        (("failed", "list", "--reason", "number_invalidd"), 2, "Did you mean number_invalid?"),
        (("failed", "list", "--reason", "unknwn_21"), 2, "Did you mean unknown_21?"),
        (("audit", "--act", "discarded"), 0, "Did you mean discard?"),
        (("audit", "--act", "zzz"), 0, "no act is called so. `linkferry audit`"),
        (("user", "add", "dana", "--role", "boss"), 2, "--role boss: say one of viewer, operator, admin."),
        (("user", "role", "dana", "boss"), 2, "ROLE boss: say one of viewer, operator, admin."),
    ],
)
def test_a_mistyped_word_is_answered_with_the_nearest(
    cli: Cli, words: tuple[str, ...], code: int, says: str
) -> None:
    """A list that is empty for its filter's sake is no news about the queue."""
    a_failed(cli)

    result = cli(*words)

    assert result.exit_code == code
    assert says in result.stderr


def test_a_word_that_is_known_says_nothing_more(cli: Cli) -> None:
    """Also where nothing is found."""
    for words in (("job", "list", "--source", "crm:hubspot"), ("audit", "--act", "discard")):
        assert cli(*words).stderr == ""


# --- a sandbox beside ----------------------------------------------------------------------------------------


@pytest.fixture
def sandbox(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LINKFERRY_DATA_DIR", str(tmp_path / "var"))
    (tmp_path / "var" / "sandbox").mkdir(parents=True)
    with (tmp_path / "var" / "sandbox" / up_lock._NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("1")
        lock.flush()
        yield


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    "words", [("user", "add", "dana", "--generate"), ("user", "list"), ("key", "add", "crm"), ("key", "list")]
)
def test_a_running_sandbox_is_mentioned_where_accounts_change(cli: Cli, words: tuple[str, ...]) -> None:
    """What is meant for the sandbox would be made in the real ledger, unnoticed."""
    result = cli(*words)

    assert result.exit_code == 0, result.output
    assert "This is the real ledger (" in result.stderr
    assert "did you mean linkferry --sandbox" in result.stderr


@pytest.mark.usefixtures("sandbox")
def test_who_is_not_here_may_be_in_the_sandbox(cli: Cli) -> None:
    """Rather than be sent to an empty list."""
    for words in (("user", "disable", "dana"), ("key", "revoke", "crm")):
        result = cli(*words)
        assert result.exit_code == 1
        assert "did you mean linkferry --sandbox" in result.stderr


def test_without_a_sandbox_nothing_is_said_of_one(cli: Cli) -> None:
    """Nor on standard error."""
    assert cli("key", "add", "crm").stderr == ""


# --- what stands still ---------------------------------------------------------------------------------------


def test_pauses_stand_beside_the_holds(cli: Cli) -> None:
    """Who paused what, why, and how to go on."""
    cli("pause", "--lane", "bulk", "--why", "the partner asked for it")
    cli("pause", "--channel", "sms")

    text = cli("holds").stdout
    document = cli.json("holds")

    assert text.startswith("Nothing is held.\n")
    assert "bulk is paused" in text
    assert "the partner asked for it" in text
    assert "linkferry resume --lane bulk" in text
    assert "linkferry resume --channel sms" in text
    assert [each["target"] for each in document["pauses"]] == ["bulk", "channel:sms"]
    assert document["pauses"][0]["why"] == "the partner asked for it"


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("bulk", "--lane bulk"),
        ("Email", "--channel email"),
        ("everything", "without any, it is everything"),
        ("20261122-sdvcf6", "linkferry batch {verb} RUN"),
    ],
)
def test_a_bare_word_behind_pause_is_answered_with_how_it_is_written(
    cli: Cli, verb: str, word: str, told: str
) -> None:
    """`pause bulk` is what comes to mind: nothing is done, and least of all to everything."""
    result = cli(verb, word)

    assert result.exit_code == 2
    assert told.format(verb=verb) in result.stderr
    assert cli.json("holds")["pauses"] == []


def test_a_cancelled_batch_is_neither_paused_nor_resumed(cli: Cli, tmp_path: Path) -> None:
    """Nothing of it is left; what to do instead is said."""
    (tmp_path / "in.csv").write_text(
        "whatsapp,business_name,display_name\n0501234567,Dana,Dana\n", encoding="utf-8"
    )
    run = cli.json("backfill", "in.csv", "--quiet")["run"]
    cli("batch", "cancel", run, "--yes")

    for verb in ("pause", "resume"):
        result = cli("batch", verb, run)
        assert result.exit_code == 1
        assert f"Batch {run} was cancelled" in result.stderr
        assert "backfill its file again" in result.stderr
    assert cli.json("holds")["pauses"] == []


# --- messages and acts ---------------------------------------------------------------------------------------


async def a_failed_message(ledger: Ledger) -> tuple[str, str]:
    job = await link_one(ledger)
    [delivery] = await ledger.deliveries.due("email", want=1)
    claimed = await ledger.deliveries.claim(delivery, worker_id="w", lease_s=60)
    assert claimed is not None
    await ledger.deliveries.begin_send(claimed.lease)
    fail = Fail(reason="mailbox_unknown", reason_class="bad_data", is_own_data=True)
    await ledger.deliveries.settle(claimed.lease, Undelivered(fail=fail), can_resend=True)
    return job, delivery


def test_a_failed_message_is_shown_in_words(cli: Cli) -> None:
    """Whom it is for, why, and a command to be typed as it stands."""
    job, message = cli.on_ledger(a_failed_message)

    text = cli("failed", "show", message).stdout

    assert text.startswith(f"Message {message}: failed\n")
    assert "Dana Flowers" in text
    assert f"linkferry resend {job} --to …" in text
    assert "JOB" not in text
    assert f"linkferry job show {job}" in text
    assert "{" not in text
    assert cli.json("failed", "list")["items"][0]["name"] == "Dana Flowers"


def test_an_act_tells_its_filter_in_words(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so does the trail, of an export too, with the file it went to."""
    monkeypatch.setenv("COLUMNS", "200")
    for n in range(2):
        a_failed(cli, whatsapp=f"97250123456{n}")
    cut = ("--reason", "number_invalid", "--newer-than", "2h", "--name", "dana")
    act = cli.json("failed", "discard", *cut, "--yes", "--why", "closed")["act_id"]
    cli("failed", "export", "out.csv", "--state", "dead", "--reason", "number_invalid", "--why", "for Noa")

    text = cli("act", "show", act).stdout
    [row] = [line for line in cli("audit", "--act", "export").stdout.splitlines() if "for Noa" in line]
    entry = cli("audit", the_act(cli, "export")["id"]).stdout

    assert "failed, reason number_invalid, name d***, changed within 2 h" in text
    assert "{" not in text
    assert " out.csv " in row
    assert "of dead, reason number_invalid" in row
    assert "dead, reason number_invalid" in entry


def test_an_event_that_was_altered_says_what_to_do(cli: Cli) -> None:
    """And nobody claims that it was a new customer."""

    async def record(ledger: Ledger) -> str:
        first = an_event()
        altered = an_event(key=first.key)
        await ledger.intake.record([first], max_waiting=10)
        await ledger.intake.record([altered], max_waiting=10)
        return altered.id

    event = cli.on_ledger(record)

    text = cli("crm", "show", event).stdout

    assert "The same event came before with other words" in text
    assert f"linkferry crm retry {event}" in text
    assert f"linkferry crm discard {event}" in text
    assert "is_new" not in text
    assert cli.json("crm", "show", event)["is_new"] is None


def test_an_edit_that_touches_other_jobs_needs_a_why(cli: Cli) -> None:
    """Like every act on more than one; an edit of one alone goes without."""
    alone = a_failed(cli)
    shared = a_failed(cli, whatsapp="972501234599", product="whatsapp,facebook:3")

    assert cli("failed", "edit", alone, "--set", "locale=en", "--yes").exit_code == 0
    result = cli("failed", "edit", shared, "--set", "locale=en", "--yes")
    assert result.exit_code == 2
    assert "say why with --why" in result.stderr
    assert cli("failed", "edit", shared, "--set", "locale=en", "--yes", "--why", "asked").exit_code == 0
