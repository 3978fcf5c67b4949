"""A batch's rows in the order of its file, however it came in, without holding more than a window of them."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from worker.ledger import BatchRow
from worker.ops.batch_rows import PAGE, WINDOW, rows_of


class FakeBatches:
    """Gives out rows in the order recorded; counts those it gave out."""

    def __init__(self, lines: list[int | None]) -> None:
        self._lines = lines
        self.given = 0

    async def rows(self, batch_id: str, start: int, count: int) -> list[BatchRow]:
        lines = self._lines[start : start + count]
        self.given += len(lines)
        return [
            BatchRow(job_id=f"j{line}", job=None if line is None else SimpleNamespace(line=line))  # type: ignore[arg-type]
            for line in lines
        ]


async def lines_of(batches: FakeBatches) -> list[int | None]:
    rows = rows_of(SimpleNamespace(batches=batches), "b")  # type: ignore[arg-type]
    return [row.job.line if row.job else None async for row in rows]


async def test_chunks_that_overtook_one_another_are_put_in_order() -> None:
    """Two chunks of an import are under way at once; one that was killed left a chunk for the next."""
    chunks = [list(range(at, at + 100)) for at in range(0, 5_000, 100)]
    chance = random.Random(7)
    for at in range(0, len(chunks) - 1, 2):
        if chance.random() < 0.5:
            chunks[at], chunks[at + 1] = chunks[at + 1], chunks[at]

    assert await lines_of(FakeBatches([line for chunk in chunks for line in chunk])) == list(range(5_000))


async def test_no_more_rows_are_held_than_the_window_and_a_page_ahead() -> None:
    """So that a million rows need no more memory than a thousand."""
    batches = FakeBatches(list(range(10_000)))
    taken = most = 0
    async for _ in rows_of(SimpleNamespace(batches=batches), "b"):  # type: ignore[arg-type]
        taken += 1
        most = max(most, batches.given - taken)

    assert taken == 10_000
    assert most <= WINDOW + 2 * PAGE


@pytest.mark.parametrize("lines", [[], [None], [5, None, 6, 3], [None, None, 1]])
async def test_every_row_comes_once_whatever_is_known_of_it(lines) -> None:
    """A job that was deleted has no line any more."""
    found = await lines_of(FakeBatches(lines))

    assert sorted(found, key=str) == sorted(lines, key=str)
    assert [line for line in found if line] == sorted(line for line in lines if line)
