"""`linkferry backfill` as a process of its own: files, signals, exit codes."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from worker.domain.job import ClaimedJob
from worker.domain.outcome import Fail, Refused
from worker.domain.states import Lane
from worker.ledger import Ledger, open_redis

ROOT = Path(__file__).parents[2]
HEADER = "whatsapp,business_name,display_name,email"

pytestmark = pytest.mark.redis


class Shell:
    """Runs `linkferry …` in a folder, as a script would."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self.folder = folder
        self.environment = {
            name: text for name, text in os.environ.items() if not name.startswith("LINKFERRY_")
        }
        self.environment |= {"PYTHONPATH": str(ROOT), "LINKFERRY_NAMESPACE": "backfill-test"}
        if url is not None:
            self.environment["LINKFERRY_REDIS_URL"] = url

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "linkferry", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment,
        )

    def __call__(self, *words: str, stdin: str = "", expect: int = 0) -> tuple[str, str]:
        process = self.start(*words)
        out, err = process.communicate(stdin, timeout=60)
        assert process.returncode == expect, out + err
        assert "Traceback" not in err
        return out, err

    def json(self, *words: str, stdin: str = "", expect: int = 0) -> Any:
        out, _ = self(*words, "--json", stdin=stdin, expect=expect)
        return json.loads(out)


@pytest.fixture
def shell(valkey_url: str, tmp_path: Path) -> Shell:
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    return Shell(tmp_path, valkey_url)


def write_customers(folder: Path, count: int, *, bad: int = 0) -> Path:
    rows = [
        f"05012{number:05d},Shop {number},Shop {number},shop{number}@example.com" for number in range(count)
    ]
    rows += [f"wrong,Shop,Shop,bad{number}@example.com" for number in range(bad)]
    path = folder / "customers.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def test_bad_rows_come_back_and_the_same_file_again_adds_nothing(shell: Shell) -> None:
    """Exit 3 for bad rows; the failed file, mended, is valid input."""
    write_customers(shell.folder, 20, bad=1)

    first = shell.json("backfill", "customers.csv", expect=3)
    again = shell.json("backfill", "customers.csv", expect=3)

    assert (first["accepted"], first["rejected"], first["duplicates"]) == (20, 1, 0)
    assert (again["accepted"], again["duplicates"]) == (0, 20)
    failed_file = shell.folder / first["failed_file"]
    rows = list(csv.DictReader(failed_file.read_text(encoding="utf-8-sig").splitlines()))
    assert (rows[0]["_line"], rows[0]["_error_code"]) == ("22", "whatsapp:not_a_number")
    mended = failed_file.read_text(encoding="utf-8-sig").replace("wrong", "0521111111")
    failed_file.write_text(mended, encoding="utf-8")
    assert shell.json("backfill", failed_file.name)["accepted"] == 1


def test_a_dry_run_writes_nothing_and_lists_every_error(shell: Shell) -> None:
    """The same checks, no Redis needed at all."""
    write_customers(shell.folder, 3, bad=2)
    shell.environment["LINKFERRY_REDIS_URL"] = f"unix://{shell.folder}/nobody.sock"

    document = shell.json("backfill", "customers.csv", "--dry-run", expect=3)

    assert (document["valid"], document["invalid"], document["known"]) == (3, 2, None)
    assert [each["line"] for each in document["problems"]] == [5, 6]
    assert [path.name for path in shell.folder.iterdir()] == ["customers.csv"]


def test_all_bad_is_exit_1(shell: Shell) -> None:
    """Nothing accepted is no success."""
    write_customers(shell.folder, 0, bad=2)

    assert shell.json("backfill", "customers.csv", expect=1)["accepted"] == 0


@pytest.mark.parametrize(
    ("words", "expect", "said"),
    [
        (("nowhere.csv",), 1, "nowhere.csv"),
        (("customers.csv", "--map", "whatsapp=Tel"), 2, "Tel"),
        (("customers.csv", "--map", "whatsapp"), 2, "field=Column"),
        (("customers.csv", "--resume", "20200101-aaaaaa"), 2, "20200101-aaaaaa"),
        (("customers.csv", "--channel", "fax"), 2, "fax: say one of email, sms, none"),
        (("customers.csv", "--channel", "none,email"), 2, "none"),
    ],
)
def test_what_stops_before_the_first_row_records_nothing(
    shell: Shell, words: tuple[str, ...], expect: int, said: str
) -> None:
    """One line that names it."""
    write_customers(shell.folder, 2)

    _, err = shell("backfill", *words, expect=expect)

    assert said in err
    assert shell.json("status")["jobs"]["available"] == 0


def test_standard_input_is_a_file_too(shell: Shell) -> None:
    """`-` for pipes."""
    path = write_customers(shell.folder, 3)

    assert shell.json("backfill", "-", stdin=path.read_text(encoding="utf-8"))["accepted"] == 3


def test_channels_are_said_for_rows_that_do_not(shell: Shell) -> None:
    """`--channel none`: links are made, nobody is told."""
    write_customers(shell.folder, 1)

    run = shell.json("backfill", "customers.csv", "--channel", "none")["run"]

    assert shell.json("batch", "show", run)["jobs"]["available"] == 1


def test_too_many_bad_rows_stop_it_with_the_way_to_go_on(shell: Shell) -> None:
    """`--max-errors`: exit 1, the rest is in the unprocessed file, the command to resume is told."""
    path = write_customers(shell.folder, 0, bad=3)
    path.write_text(path.read_text() + write_customers(shell.folder, 500).read_text().split("\n", 1)[1])
    text = path.read_text().splitlines()
    path.write_text("\n".join([HEADER, *["wrong,Shop,Shop,x@example.com"] * 3, *text[1:]]) + "\n")

    out, err = shell("backfill", "customers.csv", "--max-errors", "2", expect=1)

    assert "--resume" in err
    assert "unprocessed" in out


def until_some_are_recorded(shell: Shell) -> None:
    """Wait for the run's first rows in the ledger."""
    url = shell.environment["LINKFERRY_REDIS_URL"]
    with redis.Redis.from_url(url) as client:
        while client.dbsize() < 200:
            client.ping()


def test_an_interrupted_run_is_resumed_and_adds_only_the_rest(shell: Shell) -> None:
    """Ctrl-C: what is in flight is counted, the command to go on is printed; run again, every row is there once."""
    write_customers(shell.folder, 30_000)
    process = shell.start("backfill", "customers.csv")
    until_some_are_recorded(shell)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert process.returncode == 1, "the run ended before it could be interrupted"
    run = err.rsplit("--resume ", 1)[1].split()[0]
    done = shell.json("status")["jobs"]["available"]
    assert done < 30_000

    document = shell.json("backfill", "customers.csv", "--resume", run)

    assert document["accepted"] == 30_000 - done
    assert shell.json("status")["jobs"]["available"] == 30_000
    batch = shell.json("batch", "show", run)
    assert batch["rows"] == batch["accepted"] + batch["duplicates"] + batch["rejected"] == 30_000


def test_a_killed_run_is_run_again_and_adds_only_the_rest(shell: Shell) -> None:
    """`kill -9` half-way: nothing doubled, nothing lost."""
    write_customers(shell.folder, 30_000)
    process = shell.start("backfill", "customers.csv")
    until_some_are_recorded(shell)
    process.kill()
    process.communicate()
    done = shell.json("status")["jobs"]["available"]

    document = shell.json("backfill", "customers.csv")

    assert (document["accepted"], document["duplicates"]) == (30_000 - done, done)
    audit = shell.json("doctor", expect=1)["findings"]
    assert [each["level"] for each in audit if each["about"] == "audit"] == ["ok"]


def test_standard_error_is_json_lines_for_programs_and_text_for_people(shell: Shell) -> None:
    """Never mixed; standard output stays one document, and --quiet has nothing beside it."""
    write_customers(shell.folder, 10)

    out, err = shell("backfill", "customers.csv", "--json")
    assert json.loads(out)["accepted"] == 10
    assert ["No worker runs" in json.loads(line)["notice"] for line in err.splitlines()] == [True]
    _, err = shell("backfill", "customers.csv")
    assert err.startswith("No worker runs on this ledger (unix://")
    assert err.count("\n") == 1
    assert shell("backfill", "customers.csv", "--quiet")[1] == ""


def test_the_file_to_start_from_is_clean(shell: Shell) -> None:
    """Three good rows, no note about any of them."""
    template = ROOT / "linkferry" / "data" / "template.csv"

    document = shell.json("backfill", str(template), "--dry-run")

    assert (document["valid"], document["invalid"], document["warnings"]) == (3, 0, 0)


def test_what_waits_in_vain_names_the_ledger_and_what_to_do(tmp_path: Path) -> None:
    """The embedded ledger by its folder; a data folder that cannot be one is exit 2."""
    shell = Shell(tmp_path, None)
    write_customers(tmp_path, 1)

    assert "(folder ./var)" in shell("backfill", "customers.csv")[1]
    _, sandbox = shell("--sandbox", "backfill", "customers.csv")
    assert "(folder ./var/sandbox)" in sandbox
    assert "linkferry --sandbox up" in sandbox
    shell.environment["LINKFERRY_DATA_DIR"] = "customers.csv"
    assert "customers.csv" in shell("status", expect=2)[1]
    assert "customers.csv" in shell("up", expect=2)[1]


def test_without_a_redis_the_embedded_one_keeps_it(tmp_path: Path) -> None:
    """Two commands, one after the other: each brings Valkey up, and the second finds what the first recorded."""
    shell = Shell(tmp_path, None)
    write_customers(tmp_path, 5)

    shell("backfill", "customers.csv")

    assert shell.json("status")["jobs"]["available"] == 5
    assert (tmp_path / "var" / "valkey").is_dir()


def test_a_reader_that_goes_away_is_no_fault(shell: Shell) -> None:
    """`linkferry reasons list | head -1`."""
    process = shell.start("reasons", "list")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.wait(30)
    process.stderr.close()
    assert process.stdin is not None
    process.stdin.close()

    assert "Traceback" not in err
    assert "fault" not in err


async def fail_the_waiting(url: str) -> None:
    """Play the worker: the one job that waits comes to a bad end, as soon as it is there."""
    client = open_redis(url)
    ledger = Ledger(client, namespace="backfill-test")
    await ledger.open()
    while not (ids := await ledger.feed(Lane.BULK, want=1)):
        await asyncio.sleep(0)
    job = await ledger.claim(ids[0], worker_id="w", lease_s=60)
    assert isinstance(job, ClaimedJob)
    fail = Fail(reason="number_invalid", reason_class="bad_data", is_own_data=True, raw="{}")
    await ledger.settle(job.lease, Refused(fail=fail))
    await client.aclose()


def test_waiting_for_jobs_that_fail_is_exit_3(shell: Shell) -> None:
    """Every row was accepted, and not all came of it."""
    write_customers(shell.folder, 1)
    process = shell.start("backfill", "customers.csv", "--wait", "--json")

    asyncio.run(fail_the_waiting(shell.environment["LINKFERRY_REDIS_URL"]))
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 3
    assert json.loads(out)["jobs_by_state"] == {"failed": 1}
