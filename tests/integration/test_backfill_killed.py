"""A backfill whose process is killed: running it again adds only the rest."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from producers.backfill.importer import run_backfill
from producers.backfill.intake import BackfillOptions
from producers.enqueue import Door
from worker.domain.states import JobState
from worker.ledger import Ledger

ROOT = Path(__file__).parents[2]
ROWS = 20_000
PROGRAM = """
import asyncio, sys
from pathlib import Path
from producers.backfill.importer import run_backfill
from producers.backfill.intake import BackfillOptions
from producers.enqueue import Door
from worker.ledger import Ledger, open_redis

async def main():
    ledger = Ledger(open_redis(sys.argv[1]), namespace="t")
    await ledger.open()
    await run_backfill(Path(sys.argv[2]), door=Door(ledger, None), ledger=ledger, options=BackfillOptions())

asyncio.run(main())
"""


async def accepted(ledger: Ledger) -> int:
    return (await ledger.queries.counts())[JobState.AVAILABLE]


async def test_a_killed_backfill_run_again_adds_only_the_rest(tmp_path, valkey_url, real_redis):
    """SIGKILL leaves no chance to say good-bye: what was recorded is recorded, each row once."""
    ledger = Ledger(real_redis, namespace="t")
    await ledger.open()
    path = tmp_path / "in.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("whatsapp,business_name,display_name\n")
        file.writelines(f"97250{nth:07d},Shop {nth},Shop {nth}\n" for nth in range(ROWS))
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, valkey_url, str(path)], cwd=ROOT)
    while (recorded := await accepted(ledger)) < 500:
        assert process.poll() is None
        await asyncio.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    recorded = await accepted(ledger)
    assert 0 < recorded < ROWS

    batch = (await ledger.batches.all())[0]
    door = Door(ledger, None)
    options = BackfillOptions(resume=batch.id)
    result = await run_backfill(path, door=door, ledger=ledger, options=options)

    assert (result.tally.accepted, result.tally.duplicates) == (ROWS - recorded, recorded)
    assert await accepted(ledger) == ROWS
    batch = await ledger.batches.get(batch.id)
    assert (batch.accepted, batch.duplicates) == (ROWS, 0)
