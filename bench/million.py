"""A backfill of a million rows: rows/s, the importer's memory, Redis per job; the same file again; killed and gone on with.

    .venv/bin/python -m bench.million [ROWS]

A file as an office would send it (Hebrew names, eleven columns, a few bad and repeated rows) is imported by the real command
in a process of its own into a real Valkey with its append-only file synced once a second. A tenth of it comes first, so that
growing memory would show. Then the same file again, which must add nothing; the report of the whole batch; and on a fresh
server an import that is killed half-way and gone on with, whose counts must be exact. Beside it, in the same run: a bare SET of
each row from a csv reader (the raw limit of one producer), and streaq's bare `enqueue_many`.
A million rows need about 3 GB of disk and 1 GB of memory, and take some minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from redis import Redis

from bench.stack import PEER_BIN, ROOT, a_server, has_peer, machine
from worker.ledger import Ledger, open_redis

GOAL_ROWS_PER_S = 15_000
GOAL_BYTES = 1_229  # 1.2 KB
GOAL_GROWTH_MB = 10.0  #: what ten times the rows may add to the importer
MOST_BESIDE = 200_000  #: rows of what is measured for comparison
EVERY_BAD, EVERY_TWICE = 400, 250
CHUNK = 100
HEADER = (
    *("whatsapp", "business_name", "display_name", "business_email", "business_address"),
    *("name", "email", "phone", "locale", "external_id", "reference"),
)
_TRADES = ("פרחי", "מאפיית", "מוסך", "מספרת", "Studio", "Café", "קליניקת", "חשמל")
_PEOPLE = ("דנה כהן", "יוסי לוי", "Noa Mizrahi", "אורית פרץ", "Avi Biton", "שירה אזולאי")
_STREETS = ("הרצל", "ויצמן", "דיזנגוף", "Ben Yehuda", "אלנבי")


def rows_of(count: int) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the file: one in so many is bad, or stands there already."""
    for nth in range(count):
        who = nth - 1 if nth % EVERY_TWICE == 1 and nth else nth
        number = "not yet" if is_bad(who) else f"9725{who:08d}"
        trade = f"{_TRADES[who % len(_TRADES)]} {who}"
        yield (
            number, trade, trade, f"office{who}@example.co.il", f"{_STREETS[who % 5]} {who % 200}, תל אביב",
            _PEOPLE[who % 6], f"customer{who}@example.com", f"9725{(who + 7) % 10**8:08d}", "he", f"crm-{who}", f"2026/{who}",
        )  # fmt: skip


def is_bad(nth: int) -> bool:
    return nth % EVERY_BAD == 5


def expected(count: int) -> dict[str, int]:
    """Return what becomes of so many rows."""
    twice = set(range(1, count, EVERY_TWICE))
    owners = [nth - 1 if nth in twice else nth for nth in range(count)]
    bad = sum(map(is_bad, owners))
    accepted = len({who for who in owners if not is_bad(who)})
    return {"accepted": accepted, "duplicates": count - bad - accepted, "rejected": bad}


def write_csv(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(rows_of(count))


@dataclass(frozen=True)
class Done:
    """One command, run and measured."""

    document: dict[str, Any]
    wall_s: float
    cpu_s: float
    peak_mb: float


class Command:
    """`linkferry …` in a process of its own."""

    def __init__(self, url: str, *words: str) -> None:
        clean = {name: text for name, text in os.environ.items() if not name.startswith("LINKFERRY_")}
        own = {"LINKFERRY_REDIS_URL": url, "LINKFERRY_NAMESPACE": "bench", "PYTHONPATH": str(ROOT)}
        self._began = time.perf_counter()
        self._words = words
        self.process = subprocess.Popen(
            [sys.executable, "-m", "linkferry", *words, "--json"],
            env=clean | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._peak_kb = 0

    def is_running(self) -> bool:
        """Look at the process once: its memory, and whether it goes on."""
        # Its own high-water mark, which begins anew with the program; what `wait4` tells includes what forked it.
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        except FileNotFoundError:
            return False
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                self._peak_kb = max(self._peak_kb, int(line.split()[1]))
        return self.process.poll() is None

    def done(self, *codes: int) -> Done:
        """Wait for its end; its exit code must be one of *codes*."""
        before = os.times()
        while self.is_running():
            time.sleep(0.02)
        after = os.times()
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        assert self.process.returncode in (codes or (0,)), (self._words, self.process.returncode, out)
        return Done(
            document=json.loads(out.splitlines()[-1]),
            wall_s=time.perf_counter() - self._began,
            cpu_s=after.children_user - before.children_user + after.children_system - before.children_system,
            peak_mb=self._peak_kb * 1024 / 1e6,
        )


def backfill(url: str, path: Path, *more: str) -> Done:
    return Command(url, "backfill", str(path), "--quiet", *more).done(0, 3)


def require(document: dict[str, Any], wanted: dict[str, int]) -> None:
    found = {name: document[name] for name in wanted}
    assert found == wanted, f"wrong counts: {found}, not {wanted}"


def told(what: str, done: Done) -> float:
    document = done.document
    rate = document["rows"] / document["elapsed_s"]
    cpu_us = done.cpu_s / document["rows"] * 1e6
    print(
        f"  {what:<28} {rate:9,.0f} rows/s   importer {cpu_us:5.1f} µs/row of CPU, peak {done.peak_mb:5.1f} MB   "
        f"({document['accepted']:,} accepted, {document['duplicates']:,} known, {document['rejected']:,} bad)",
        flush=True,
    )
    return float(rate)


def import_and_again(folder: Path, path: Path, tenth: Path, rows: int) -> tuple[float, float]:
    """Import the whole file, and again; return rows/s and Redis bytes per job."""
    with a_server() as url:
        small = backfill(url, tenth)
        told(f"{rows // 10:,} rows", small)
    with a_server() as url, Redis.from_url(url) as redis:
        before = redis.info("memory")["used_memory"]
        whole = backfill(url, path)
        rate = told(f"{rows:,} rows", whole)
        require(whole.document, expected(rows))
        size = (redis.info("memory")["used_memory"] - before) / whole.document["jobs"]
        again = backfill(url, path)
        told("the same file again", again)
        twice = expected(rows)
        require(again.document, {"accepted": 0, "duplicates": twice["accepted"] + twice["duplicates"]})
        look_back(url, folder, whole.document["run"])
    growth = whole.peak_mb - small.peak_mb
    verdict = "met" if growth <= GOAL_GROWTH_MB else "missed"
    print(
        f"  ten times the rows added {growth:.1f} MB to the importer (goal ≤ {GOAL_GROWTH_MB:.0f} MB): {verdict}"
    )
    return rate, size


def look_back(url: str, folder: Path, run: str) -> None:
    """Ask for the batch, and for the report of all its rows."""
    show = Command(url, "batch", "show", run).done()
    report = Command(url, "batch", "report", run, "--out", str(folder / "report.csv")).done()
    total = report.document["rows"]
    print(
        f"  batch show {show.wall_s * 1e3:.0f} ms with its start; batch report {total / report.wall_s:,.0f} rows/s, "
        f"peak {report.peak_mb:.1f} MB, {(folder / 'report.csv').stat().st_size / 1e6:,.0f} MB",
        flush=True,
    )


async def accepted_of(url: str) -> tuple[str, int]:
    redis = open_redis(url)
    ledger = Ledger(redis, namespace="bench")
    try:
        batches = await ledger.batches.all(1)
        return (batches[0].id, batches[0].accepted) if batches else ("", 0)
    finally:
        await redis.aclose()


def killed_and_gone_on_with(path: Path, rows: int) -> None:
    with a_server() as url:
        command = Command(url, "backfill", str(path), "--quiet")
        while asyncio.run(accepted_of(url))[1] < rows // 2:
            assert command.is_running(), "it ended before it could be killed"
            time.sleep(0.02)
        command.process.send_signal(signal.SIGKILL)
        command.process.wait()
        run, before = asyncio.run(accepted_of(url))
        rest = backfill(url, path, "--resume", run)
        told(f"killed at {before:,}, gone on", rest)
        wanted = expected(rows)
        require(rest.document, {"accepted": wanted["accepted"] - before, "rejected": wanted["rejected"]})
        batch = Command(url, "batch", "show", run).done().document
        require(batch, wanted)
        assert batch["jobs"]["available"] == wanted["accepted"], batch["jobs"]
        print("  its counts are exact: no row lost, none doubled", flush=True)


def bare_set(path: Path, rows: int) -> None:
    """The raw limit of one producer: read a row, set it, wait for each hundred; nothing checked, nothing indexed."""
    with a_server() as url, Redis.from_url(url) as redis, path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        next(reader)
        began, done = time.perf_counter(), 0
        for chunk in chunks(islice(reader, rows)):
            pipe = redis.pipeline(transaction=False)
            for row in chunk:
                done += 1
                pipe.set(f"row:{done}", "\x1f".join(row))
            pipe.execute()
        print(
            f"  beside it: a bare SET a row    {done / (time.perf_counter() - began):9,.0f} rows/s",
            flush=True,
        )


def chunks(rows: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    rows = iter(rows)
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def peer(rows: int) -> None:
    if not has_peer("streaq"):
        return
    with a_server() as url:
        script = str(ROOT / "bench" / "peers" / "streaq_enqueue.py")
        done = subprocess.run(
            [str(PEER_BIN / "python"), script, url, str(rows), "1000"],
            capture_output=True,
            text=True,
            check=True,
        )
    print(f"  beside it: streaq's enqueue    {rows / float(done.stdout):9,.0f} tasks/s", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("rows", type=int, nargs="?", default=1_000_000)
    rows = options.parse_args().rows
    print(machine())
    with tempfile.TemporaryDirectory(prefix="lf-million-") as name:
        folder = Path(name)
        path, tenth = folder / "customers.csv", folder / "tenth.csv"
        write_csv(path, rows)
        write_csv(tenth, rows // 10)
        print(f"{rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB")
        rate, size = import_and_again(folder, path, tenth, rows)
        killed_and_gone_on_with(path, rows)
        bare_set(path, min(rows, MOST_BESIDE))
        peer(min(rows, MOST_BESIDE))
    for what, value, goal, is_met in (
        ("rows/s", rate, GOAL_ROWS_PER_S, rate >= GOAL_ROWS_PER_S),
        ("bytes of Redis a waiting job", size, GOAL_BYTES, size <= GOAL_BYTES),
    ):
        print(f"{value:,.0f} {what} (goal {goal:,}): {'met' if is_met else 'missed'}")


if __name__ == "__main__":
    main()
