"""A batch's jobs in the order of its file, however many: read in pieces, a piece ahead of who takes them."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator

from worker.ledger import BatchRow, Ledger

PAGE = 100  #: jobs of one script: about 2 ms of the server's time
#: Rows that are held back to be put in order. Chunks of an import overtake one another, by two at the most; so does
#: what a killed import had under way. Only the rows of a file that grew between two runs come in that order instead.
WINDOW = 1_000


async def rows_of(ledger: Ledger, batch_id: str) -> AsyncIterator[BatchRow]:
    """Yield each job of the batch with its messages, by line; raises LedgerUnavailable."""
    window: list[tuple[int, int, BatchRow]] = []
    line = 0
    nth = 0
    async for row in _as_recorded(ledger, batch_id):
        # A job that was pruned has lost its line; it stays beside its neighbour.
        line = (row.job.line or 0) if row.job is not None else line
        nth += 1
        heapq.heappush(window, (line, nth, row))
        if len(window) > WINDOW:
            yield heapq.heappop(window)[2]
    while window:
        yield heapq.heappop(window)[2]


async def _as_recorded(ledger: Ledger, batch_id: str) -> AsyncIterator[BatchRow]:
    start = 0
    page = asyncio.ensure_future(ledger.batches.rows(batch_id, start, PAGE))
    try:
        while rows := await page:
            start += len(rows)
            page = asyncio.ensure_future(ledger.batches.rows(batch_id, start, PAGE))
            for row in rows:
                yield row
    finally:
        page.cancel()
