"""The failed queue, or the dead letters, as rows: mended in a spreadsheet, they are input of a backfill again."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from worker.domain.canonical import canonical_fields_of
from worker.domain.formulas import guard
from worker.domain.job import JobRecord
from worker.domain.parse import CANONICAL_FIELDS
from worker.domain.reasons import Catalogue
from worker.domain.states import JobState
from worker.ledger import JobFilter, Ledger
from worker.ops.views import class_now, failed_view

#: Ours come after what a backfill reads, and begin with a `_`, by which it leaves them alone.
OWN_COLUMNS = (
    "_job_id",
    "_state",
    "_reason",
    "_class",
    "_code",
    "_meaning",
    "_remedy",
    "_attempts",
    "_batch",
    "_line",
)
COLUMNS = (*CANONICAL_FIELDS, *OWN_COLUMNS)
_PAGE = 200


async def rows(
    ledger: Ledger, wanted: JobFilter, states: Sequence[JobState], catalogue: Catalogue
) -> AsyncIterator[dict[str, str]]:
    """Yield a row of `COLUMNS` per job of *wanted* in any of *states*, newest first, a page in memory at a time.

    Each asks for its own job's link alone: what of an invitation went well is not asked for again. Raises
    LedgerUnavailable.
    """
    for state in states:
        cursor: str | None = None
        while True:
            page = await ledger.queries.find(replace(wanted, state=state), cursor=cursor, limit=_PAGE)
            for job in page.items:
                yield row_of(job, catalogue)
            cursor = page.next
            if cursor is None:
                break


async def is_any(ledger: Ledger, wanted: JobFilter, states: Sequence[JobState]) -> bool:
    """Tell whether there will be a row at all; raises LedgerUnavailable."""
    for state in states:
        cursor: str | None = None
        while True:
            page = await ledger.queries.find(replace(wanted, state=state), cursor=cursor, limit=1)
            if page.items:
                return True
            cursor = page.next
            if cursor is None:
                break
    return False


async def count(ledger: Ledger, wanted: JobFilter, states: Sequence[JobState]) -> tuple[int, bool]:
    """Return how many rows there will be, and whether that is exact; raises LedgerUnavailable."""
    pages = [await ledger.queries.find(replace(wanted, state=state), limit=1) for state in states]
    return sum(page.total for page in pages), all(page.is_total_exact for page in pages)


def row_of(job: JobRecord, catalogue: Catalogue) -> dict[str, str]:
    """Return one job as a row."""
    reason = failed_view(job.reason, catalogue)
    own: dict[str, Any] = {
        "_job_id": job.id,
        "_state": job.state.value,
        "_reason": job.reason,
        "_class": class_now(job.reason_class, reason["reason_class"]) if job.reason_class else None,
        "_code": job.code,
        "_meaning": reason["meaning"],
        "_remedy": reason["remedy"],
        "_attempts": job.attempt,
        "_batch": job.batch_id,
        "_line": job.line,
    }
    texts = {name: "" if value is None else str(value) for name, value in own.items()}
    return canonical_fields_of(job.request, job.product) | texts


def csv_head() -> str:
    """Return the first line of the file as a spreadsheet program takes it: UTF-8 by its mark, then the header."""
    return "\ufeff" + csv_line(dict(zip(COLUMNS, COLUMNS, strict=True)))


def csv_line(row: Mapping[str, str]) -> str:
    """Return one row as a line of the file; no cell of it runs as a formula."""
    line = io.StringIO(newline="")
    csv.writer(line).writerow([guard(row[name]) for name in COLUMNS])
    return line.getvalue()
