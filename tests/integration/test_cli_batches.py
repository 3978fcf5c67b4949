"""`linkferry batch show|watch|cancel`: what an operator is told of a batch, and what stops it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.by_hand import called, ended
from tests.factories import an_invitation
from tests.integration.batch_desk import (
    LINKED,
    NAME,
    REFUSED,
    RUN,
    a_batch,
    cli_with_credentials,
    with_worker,
)
from tests.integration.cli_in_process import NAMESPACE, Cli
from worker.domain.job import Lease
from worker.domain.outcome import Doubtful, Fail, Retry
from worker.domain.states import JobState
from worker.ledger import Ledger
from worker.limits import Limits

pytestmark = pytest.mark.redis

ROOT = Path(__file__).parents[2]
RETRY = Retry(fail=Fail(reason="partner_busy", reason_class="transient"), delay_s=600, max_failures=8)


@pytest.fixture
def cli(valkey_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cli]:
    with cli_with_credentials(valkey_url, monkeypatch, tmp_path) as cli:
        yield cli


def limits_of(ledger: Ledger) -> Limits:
    return Limits(ledger._scripts.redis, namespace=NAMESPACE, ceiling=5)


def progress(cli: Cli) -> dict[str, Any]:
    found: dict[str, Any] = cli.json("batch", "show", RUN)["progress"]
    return found


# --- show --------------------------------------------------------------------------------------------------


def test_what_failed_is_told_by_reason_with_the_remedy(cli: Cli) -> None:
    """The most frequent first."""

    async def prepare(ledger: Ledger) -> None:
        jobs = await a_batch(ledger)
        await ended(ledger, jobs[0], REFUSED)
        await ended(ledger, jobs[1], LINKED)

    cli.on_ledger(prepare)

    found = progress(cli)

    assert (found["jobs"], found["ended"], found["under_way"]) == (4, 2, 2)
    [failure] = found["failures"]
    assert (failure["reason"], failure["count"]) == ("name_refused", 1)
    assert failure["remedy"]
    assert "1 name_refused" in cli("batch", "show", RUN).stdout


async def pause_the_batch(ledger: Ledger) -> None:
    await ledger.batches.pause(f"batch:{RUN}")


async def hold_the_lane(ledger: Ledger) -> None:
    await ledger.batches.hold("bulk", "partner_unreachable")


async def pause_all_calls(ledger: Ledger) -> None:
    await limits_of(ledger).pause(3600)


async def refuse_credentials(ledger: Ledger) -> None:
    await limits_of(ledger).hold_credentials("fingerprint", 2)


async def ask_for_a_pause(ledger: Ledger) -> None:
    await limits_of(ledger).pushback(60)


async def lose_the_worker(ledger: Ledger) -> None:
    await ledger.fleet.leave("w")


@pytest.mark.parametrize(
    ("what", "why", "says", "lifts"),
    [
        (pause_the_batch, "paused", "this batch is paused", f"linkferry batch resume {RUN}"),
        (hold_the_lane, "held", "partner_unreachable", "linkferry resume --lane bulk"),
        (pause_all_calls, "calls_paused", "until 20", "linkferry resume"),
        (refuse_credentials, "credentials_held", "refuses our credentials", "linkferry resume"),
        (ask_for_a_pause, "partner_throttled", "asked for a pause until 20", "by itself"),
        (lose_the_worker, "no_worker", "no worker runs", "linkferry up"),
    ],
)
def test_what_stops_a_batch_is_said_in_place_of_a_time(
    cli: Cli, what: Callable[[Ledger], Coroutine[Any, Any, None]], why: str, says: str, lifts: str
) -> None:
    """With what lifts it; without it there is a time."""
    cli.on_ledger(with_worker)
    cli.on_ledger(a_batch)
    assert progress(cli)["eta_s"] == pytest.approx(0.8, abs=0.1)
    assert "done in about" in cli("batch", "show", RUN).stdout

    cli.on_ledger(what)

    found = progress(cli)
    assert [stop["why"] for stop in found["stops"]] == [why]
    assert (found["eta_s"], found["eta_at"]) == (None, None)
    text = cli("batch", "show", RUN).stdout
    assert "stopped: " in text
    assert says in text
    assert lifts in text.replace(str(ROOT / ".venv/bin/linkferry"), "linkferry").replace(".venv/bin/", "")


def test_missing_credentials_stop_everything(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has set them."""
    monkeypatch.delenv("LINKFERRY_PROVIDER_CLIENT_SECRET")
    cli.on_ledger(with_worker)
    cli.on_ledger(a_batch)

    assert [stop["why"] for stop in progress(cli)["stops"]] == ["credentials_missing"]


def test_a_batch_that_has_ended_is_stopped_by_nothing(cli: Cli) -> None:
    """No worker is missed, no time is told."""

    async def prepare(ledger: Ledger) -> None:
        [job] = await a_batch(ledger, 1)
        await ended(ledger, job, LINKED)

    cli.on_ledger(prepare)

    found = progress(cli)
    assert (found["is_over"], found["stops"], found["eta_s"]) == (True, [], 0)


def test_jobs_that_wait_for_a_later_try_or_a_look_up_have_no_time(cli: Cli) -> None:
    """They come to their end when they do."""

    async def prepare(ledger: Ledger) -> None:
        await with_worker(ledger)
        later, doubt = await a_batch(ledger, 2)
        await ended(ledger, later, RETRY)
        await ended(ledger, doubt, Doubtful(fail=Fail(reason="partner_timeout", reason_class="transient")))

    cli.on_ledger(prepare)

    assert progress(cli)["eta_s"] is None
    text = cli("batch", "show", RUN).stdout
    assert "1 wait for a later try, 1 wait for a look-up at the partner" in text


def test_neighbours_in_the_lane_are_told(cli: Cli) -> None:
    """Two batches share it, live jobs go first."""

    async def prepare(ledger: Ledger) -> None:
        await with_worker(ledger)
        await a_batch(ledger)
        await a_batch(ledger, 100, run="other")
        await ledger.accept([an_invitation() for _ in range(9)], max_waiting=1000)

    cli.on_ledger(prepare)

    found = progress(cli)
    assert found["ahead"] == {"live": 9, "bulk": 4, "batches": 1}
    assert found["eta_s"] == pytest.approx(17 / (5 * 0.995), rel=0.1)
    assert "9 live jobs go first, the lane is shared with another batch" in cli("batch", "show", RUN).stdout


def test_an_import_under_way_counts_in_and_one_that_was_cut_off_is_told(cli: Cli) -> None:
    """With the command that goes on with it, its options included."""

    async def tell(ledger: Ledger, *, ago_ms: int) -> None:
        await ledger.batches.tell(RUN, read=1)
        key = ledger._keys.batch + RUN
        await ledger._scripts.redis.hset(key, "told", await ledger.now_ms() - ago_ms)

    cli.on_ledger(with_worker)
    cli.on_ledger(lambda ledger: a_batch(ledger, is_closed=False))
    assert progress(cli)["import"] == "unknown"
    cli.on_ledger(lambda ledger: tell(ledger, ago_ms=1_000))
    found = progress(cli)
    assert (found["import"], found["read"], found["is_over"]) == ("running", 1, False)

    cli.on_ledger(lambda ledger: tell(ledger, ago_ms=60_000))

    result = cli("batch", "show", RUN)
    assert "cut off at 1 of about 4 rows" in result.stdout
    assert f"backfill '/x/{NAME}' --channel none --resume {RUN}" in result.stderr

    cli.on_ledger(lambda ledger: ledger.batches.tell(RUN, read=3, is_leaving=True))
    assert "cut off at 3 of about 4 rows" in cli("batch", "show", RUN).stdout


# --- watch -------------------------------------------------------------------------------------------------


def start(cli: Cli, *words: str, stdout: Any = subprocess.PIPE) -> subprocess.Popen[bytes]:
    environment = os.environ | {"LINKFERRY_REDIS_URL": cli.url, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    return subprocess.Popen(
        [sys.executable, "-m", "linkferry", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


def test_a_batch_that_is_over_is_watched_to_its_end_at_once(cli: Cli) -> None:
    """Exit 3 where some failed, with where to look; 0 where none did."""

    async def prepare(ledger: Ledger) -> None:
        jobs = await a_batch(ledger, 2)
        await ended(ledger, jobs[0], REFUSED)
        await ended(ledger, jobs[1], LINKED)
        for job in await a_batch(ledger, 1, run="good"):
            await ended(ledger, job, LINKED)

    cli.on_ledger(prepare)

    result = cli("batch", "watch", RUN)
    assert result.exit_code == 3
    assert f"Batch {RUN} has ended: 1 linked, 1 failed." in result.stdout
    assert f"failed list --batch {RUN}" in result.stdout
    assert f"batch report {RUN}" in result.stdout
    assert cli("batch", "watch", "good").exit_code == 0
    assert cli("batch", "watch", "nobody").exit_code == 1


def test_json_lines_are_told_until_ctrl_c_which_leaves_the_batch_alone(cli: Cli) -> None:
    """A document for each look; exit 1, because it has not ended."""
    cli.on_ledger(with_worker)
    cli.on_ledger(a_batch)
    process = start(cli, "batch", "watch", RUN, "--json", "--every", "0.1")
    assert process.stdout is not None
    looks = [json.loads(process.stdout.readline()) for _ in range(3)]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert [look["progress"]["ended"] for look in looks] == [0, 0, 0]
    assert (looks[0]["pace"], looks[2]["pace"]["ended_per_s"]) == (None, 0)
    assert process.returncode == 1
    assert f"Stopped watching; batch {RUN} goes on." in err.decode()
    assert all(json.loads(line)["batch"] == RUN for line in out.splitlines())
    assert cli.json("batch", "show", RUN)["jobs"]["available"] == 4


def test_on_a_terminal_it_is_drawn_anew_until_the_batch_has_ended(cli: Cli) -> None:
    """Also when it is paused and goes on meanwhile."""
    cli.on_ledger(with_worker)
    jobs = cli.on_ledger(a_batch)
    ours, theirs = pty.openpty()
    process = start(cli, "batch", "watch", RUN, "--every", "0.1", stdout=theirs)
    os.close(theirs)
    screen = b""

    def until(text: bytes) -> None:
        nonlocal screen
        while text not in screen:
            screen += os.read(ours, 65536)

    until(b"0 of 4 jobs ended (0 %)")
    cli("batch", "pause", RUN)
    until(b"stopped: this batch is paused by an operator")
    cli("batch", "resume", RUN)

    async def work(ledger: Ledger) -> None:
        await ended(ledger, jobs[0], REFUSED)
        for job in jobs[1:]:
            await ended(ledger, job, LINKED)

    cli.on_ledger(work)
    until(b"has ended: 3 linked, 1 failed.")
    with contextlib.suppress(OSError):  # the other end is gone
        while os.read(ours, 65536):
            pass
    _, err = process.communicate(timeout=30)
    os.close(ours)

    assert process.returncode == 3, err
    assert b"failed: 1 name_refused" in screen
    assert b"\x1b[" in screen


# --- cancel ------------------------------------------------------------------------------------------------


def test_a_cancel_says_now_and_later_what_came_of_the_calls_under_way(cli: Cli) -> None:
    """At the cancel how many they are; then how many got through."""

    async def prepare(ledger: Ledger) -> list[Lease]:
        jobs = await a_batch(ledger, 6)
        return [await called(ledger, job) for job in jobs[:4]]

    leases = cli.on_ledger(prepare)

    text = cli("batch", "cancel", RUN, "--yes", "--why", "wrong list").stdout
    assert "2 cancelled; 4 are being worked on and end as they may." in text
    assert f"batch show {RUN}" in text
    assert "4 under way still" in cli("batch", "show", RUN).stdout

    async def work(ledger: Ledger) -> None:
        await ledger.settle(leases[0], LINKED)
        await ledger.settle(leases[1], LINKED)
        await ledger.settle(leases[2], REFUSED)
        await ledger.settle(leases[3], RETRY)

    cli.on_ledger(work)

    told = "of 4 calls that were under way at the cancel: 2 got through, 1 failed, 1 cancelled after all"
    assert told in cli("batch", "show", RUN).stdout
    assert told in cli("batch", "watch", RUN).stdout
    document = cli.json("batch", "cancel", RUN, "--yes", "--wait")
    assert document["spared"] == {"linked": 2, "failed": 1, "cancelled": 1}
    assert document["got_through"] == told


def test_a_cancel_waits_for_the_calls_under_way_when_asked(cli: Cli) -> None:
    """It returns with what came of them."""

    async def prepare(ledger: Ledger) -> Lease:
        [job, *_] = await a_batch(ledger, 3)
        return await called(ledger, job)

    lease = cli.on_ledger(prepare)
    process = start(cli, "batch", "cancel", RUN, "--yes", "--wait")

    async def work(ledger: Ledger) -> None:
        while (await ledger.queries.counts())[JobState.CANCELLED] < 2:
            await asyncio.sleep(0)
        await ledger.settle(lease, LINKED)

    cli.on_ledger(work)
    out, _ = process.communicate(timeout=30)

    assert b"2 cancelled; of 1 calls that were under way at the cancel: 1 got through." in out
