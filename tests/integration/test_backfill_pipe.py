"""`linkferry backfill -` with a pipe held open: what came is recorded soon, and the run can be left at any moment."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.integration.test_cli_backfill import HEADER, Shell

SOON_S = 8.0  #: a few seconds, on a machine that has much else to do

pytestmark = pytest.mark.redis


@pytest.fixture
def shell(valkey_url: str, tmp_path: Path) -> Shell:
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    return Shell(tmp_path, valkey_url)


def rows(count: int) -> str:
    return "".join(f"05012{nth:05d},Shop {nth},Shop {nth},s{nth}@example.com\n" for nth in range(count))


def give(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()


def wait_until(process: subprocess.Popen[str], is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not is_so():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < until, "nothing came of it"


def is_heard(process: subprocess.Popen[str]) -> bool:
    """Tell whether the process handles SIGINT by the loop, so that it is past its start."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def left(process: subprocess.Popen[str], number: signal.Signals) -> tuple[str, str]:
    """Send the signal; return what the process says, its standard input held open until it has ended."""
    process.send_signal(number)
    try:
        process.wait(SOON_S)
    finally:
        process.kill()
        out, err = process.communicate()
    assert "Traceback" not in err
    assert "Fatal" not in err
    return out, err


def available(shell: Shell) -> int:
    count: int = shell.json("status")["jobs"]["available"]
    return count


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("text", ["", "whatsapp,busi", HEADER + "\n"])
def test_a_silent_pipe_is_left_before_its_first_row(shell: Shell, text: str, number: signal.Signals) -> None:
    """Without a header, in the middle of it, or with nothing after it: exit 1, one line, nothing recorded."""
    process = shell.start("backfill", "-")
    give(process, text)
    wait_until(process, lambda: is_heard(process))

    _, err = left(process, number)

    assert process.returncode == 1
    assert "interrupted before the first row came" in err
    assert available(shell) == 0


@pytest.mark.parametrize("count", [3, 250, 5_000])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_pipe_that_fell_silent_is_left_with_all_that_came_recorded(
    shell: Shell, count: int, number: signal.Signals
) -> None:
    """Rows are recorded though no chunk is full; then exit 1, exact counts and the way to go on."""
    process = shell.start("backfill", "-", "--json")
    give(process, f"{HEADER}\n{rows(count)}050999")
    url = shell.environment["LINKFERRY_REDIS_URL"]
    with redis.Redis.from_url(url) as client:
        wait_until(process, lambda: len(client.keys("{backfill-test}:i:*")) >= count)

    out, err = left(process, number)

    assert process.returncode == 1
    document = json.loads(out)
    assert (document["accepted"], document["rejected"]) == (count, 0)
    assert document["stopped"]["code"] == "interrupted"
    assert "give the same rows in again" in err
    assert available(shell) == count


def test_a_pipe_left_while_it_runs_loses_no_row_that_it_gave(shell: Shell) -> None:
    """What had been read out of it and not recorded is in the unprocessed file, down to the last row."""
    process = shell.start("backfill", "-", "--json")
    give(process, f"{HEADER}\n{rows(2000)}")
    url = shell.environment["LINKFERRY_REDIS_URL"]
    with redis.Redis.from_url(url) as client:
        wait_until(process, lambda: client.dbsize() >= 50)

    document = json.loads(left(process, signal.SIGINT)[0])

    assert document["accepted"] == available(shell)
    lines = []
    if document["unprocessed_file"]:
        text = (shell.folder / document["unprocessed_file"]).read_text(encoding="utf-8-sig")
        lines = [int(row["_line"]) for row in csv.DictReader(text.splitlines())]
    first = document["accepted"] + 2
    assert lines == list(range(first, first + document["unprocessed"]))


def test_a_dry_run_of_a_silent_pipe_is_left_too(shell: Shell) -> None:
    """It is read the same way."""
    process = shell.start("backfill", "-", "--dry-run")
    give(process, f"{HEADER}\n{rows(3)}050")
    threads = Path(f"/proc/{process.pid}/task")
    wait_until(process, lambda: len(list(threads.iterdir())) > 1)

    _, err = left(process, signal.SIGINT)

    assert process.returncode == 1
    assert "Interrupted." in err
