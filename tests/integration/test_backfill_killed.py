"""A backfill whose process is killed, at any moment and as often as may be: going on adds only the rest."""

from __future__ import annotations

import asyncio
import csv
import io
import random
import signal
import sys
from pathlib import Path

import pytest

from producers.backfill.importer import run_backfill
from producers.backfill.intake import BackfillOptions
from producers.enqueue import Door
from worker.domain.states import JobState
from worker.ledger import Ledger

ROOT = Path(__file__).parents[2]
ROWS = 10_000
EVERY_BAD, EVERY_TWICE = 50, 70  # one row in so many is bad, or stands in the file already
#: It kills itself, by a thread that looks on: another process might look too late, on a machine that stands still.
PROGRAM = """
import asyncio, os, signal, sys, threading
from pathlib import Path
from producers.backfill.importer import run_backfill
from producers.backfill.intake import BackfillOptions
from producers.enqueue import Door
from worker.ledger import Ledger, open_redis

async def die(url, enough):
    ledger = Ledger(open_redis(url), namespace="t")
    await ledger.open()
    while (await ledger.queries.counts())["available"] < enough:
        await asyncio.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)

async def main(url, path, enough, run=None):
    threading.Thread(target=lambda: asyncio.run(die(url, float(enough))), daemon=True).start()
    ledger = Ledger(open_redis(url), namespace="t")
    await ledger.open()
    options = BackfillOptions(resume=run, has_success_file=True)
    await run_backfill(Path(path), door=Door(ledger, None), ledger=ledger, options=options)

asyncio.run(main(*sys.argv[1:]))
"""


def a_row(nth: int) -> str:
    if nth % EVERY_BAD == 0:
        return f"wrong,Shop {nth},Shop {nth}\n"
    number = nth - 1 if nth % EVERY_TWICE == 0 and (nth - 1) % EVERY_BAD else nth
    return f"97250{number:07d},Shop {number},Shop {number}\n"


def lines_in(paths: tuple[Path, ...]) -> list[int]:
    """Return the line numbers in result files, half a row at the end of a killed process's left out."""
    lines = []
    for path in paths:
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
        whole = text[: text.rfind("\r\n") + 2]
        lines += [int(row["_line"]) for row in csv.DictReader(io.StringIO(whole, newline=""))]
    return lines


@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_at_random_moments_a_run_neither_loses_nor_doubles_a_row(
    tmp_path, valkey_url, real_redis, seed
):
    """SIGKILL leaves no chance to say good-bye: what is recorded and written down is so once, over all resumptions."""
    ledger = Ledger(real_redis, namespace="t")
    await ledger.open()
    path = tmp_path / "in.csv"
    path.write_text("whatsapp,business_name,display_name\n" + "".join(map(a_row, range(ROWS))))
    bad = [nth + 2 for nth in range(ROWS) if a_row(nth).startswith("wrong")]
    distinct = len({a_row(nth) for nth in range(ROWS)} - {a_row(line - 2) for line in bad})

    async def recorded() -> int:
        return (await ledger.queries.counts())[JobState.AVAILABLE]

    run: str | None = None
    chance = random.Random(seed)
    for share in sorted(chance.uniform(0.02, 0.95) for _ in range(4)):
        words = (valkey_url, str(path), str(share * distinct), *([run] if run else []))
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, *words, cwd=ROOT)
        assert await process.wait() == -signal.SIGKILL, "it ended before it was killed"
        run = (await ledger.batches.all())[0].id
    before = await recorded()
    assert 0 < before < distinct

    result = await run_backfill(
        path,
        door=Door(ledger, None),
        ledger=ledger,
        options=BackfillOptions(resume=run, has_success_file=True),
    )

    twice = ROWS - len(bad) - distinct
    assert (result.tally.accepted, result.tally.duplicates) == (distinct - before, before + twice)
    assert await recorded() == distinct
    batch = await ledger.batches.get(result.run)
    assert batch is not None
    assert (batch.accepted, batch.duplicates, batch.rejected) == (distinct, twice, len(bad))
    assert sorted(lines_in(result.failed_files)) == bad
    assert sorted(lines_in(result.success_files)) == sorted(set(range(2, ROWS + 2)) - set(bad))
    assert (await ledger.queries.audit()).difference == 0
