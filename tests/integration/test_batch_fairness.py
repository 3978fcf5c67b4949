"""Two backfills at once, imported and worked on for real: the bulk lane is shared fairly, whoever came first."""

from __future__ import annotations

from pathlib import Path

from producers.backfill.importer import run_backfill
from producers.backfill.intake import BackfillOptions
from producers.enqueue import Door
from tests.stack import Stack
from worker.domain.states import ENDED_STATES

RATE = 80
UNFAIR = 0.2  #: the share by which two batches may differ
#: Endings after which a batch's ramp is no narrower than the lane: whose canary ends first is ahead until then.
FULL_WIDTH = 40


async def backfill(stack: Stack, name: str, first: int, count: int) -> str:
    """Import a file of its own; return its run."""
    path = stack.folder / f"{name}.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("whatsapp,business_name,display_name\n")
        file.writelines(f"97250{nth:07d},Shop {nth},Shop {nth}\n" for nth in range(first, first + count))
    door = Door(stack.ledger, stack.bell, channels=())
    result = await run_backfill(path, door=door, ledger=stack.ledger, options=BackfillOptions())
    assert result.tally.accepted == count
    return result.run


async def ended(stack: Stack, *runs: str) -> list[int]:
    """Return how many jobs of each batch have come to their end."""
    records = [await stack.ledger.batches.get(run) for run in runs]
    return [sum(record.jobs[state] for state in ENDED_STATES) for record in records if record]


async def until_ended(stack: Stack, runs: tuple[str, ...], total: int) -> list[int]:
    """Wait until so many of all of them have; return how many of each."""

    async def are() -> list[int] | None:
        found = await ended(stack, *runs)
        return found if sum(found) >= total else None

    found: list[int] = await stack.until(are, f"{total} jobs have ended")
    return found


async def progress(stack: Stack, runs: tuple[str, ...], total: int) -> list[int]:
    """Wait until so many more have ended; return how many more of each."""
    before = await ended(stack, *runs)
    after = await until_ended(stack, runs, sum(before) + total)
    return [now - then for now, then in zip(after, before, strict=True)]


async def until_level(stack: Stack, runs: tuple[str, ...]) -> None:
    """Wait until each has its full width, and the bells that rang before, mostly one batch's, are answered."""
    for run in runs:
        await until_ended(stack, (run,), FULL_WIDTH)
    await progress(stack, runs, 2 * RATE)


def assert_fair(one: int, other: int) -> None:
    assert abs(one - other) <= UNFAIR * max(one, other), (one, other)


async def test_two_batches_progress_alike_and_a_late_one_is_not_behind_an_early_one(tmp_path: Path) -> None:
    """Side by side from their beginning; a third that comes when the others are far has its turns from then on."""
    async with Stack(tmp_path, provider_rate=RATE) as stack:
        early = await backfill(stack, "early", 0, 2_000), await backfill(stack, "other", 10_000, 2_000)
        for _ in range(2):
            stack.start_worker()
        await until_level(stack, early)
        assert_fair(*await progress(stack, early, 300))

        late = await backfill(stack, "late", 20_000, 2_000)
        await until_level(stack, (*early, late))
        one, other, last = await progress(stack, (*early, late), 300)
        assert_fair(one, other)
        assert_fair(one, last)
        assert_fair(other, last)
