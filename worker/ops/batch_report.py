"""The report of a batch: each row joined to its end, as documents and as lines of a CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from worker.domain.formulas import guard
from worker.domain.reasons import Catalogue
from worker.domain.states import ENDED_STATES
from worker.ledger import BatchRow
from worker.ops.remedies import FOR_GOOD
from worker.ops.views import failed_view, iso, reason_view

COLUMNS = (
    *("line", "number", "business_name", "product", "state", "link", "reason", "meaning", "remedy"),
    *("email", "email_reason", "email_at", "sms", "sms_reason", "sms_at"),
    *("accepted_at", "ended_at", "attempts", "reference", "external_id", "job_id"),
)
PRUNED = "deleted"  #: said of a job whose record was kept as long as the settings want
_Document = dict[str, Any]


def row_document(row: BatchRow, catalogue: Catalogue) -> _Document:
    """Return one row of the report, ready for JSON."""
    job = row.job
    if job is None:
        return {"job_id": row.job_id, "state": PRUNED, "messages": []}
    shown = (failed_view if job.state in FOR_GOOD else reason_view)(job.reason, catalogue)
    return {
        "line": job.line,
        "number": job.number,
        "business_name": job.request.business_name,
        "product": job.product.value,
        "state": job.state.value,
        "link": job.link,
        "reason": job.reason,
        "meaning": shown["meaning"],
        "remedy": shown["remedy"],
        "accepted_at": iso(job.accepted_at_ms),
        "ended_at": iso(job.changed_at_ms) if job.state in ENDED_STATES else None,
        "attempts": job.attempt,
        "reference": job.request.reference,
        "external_id": job.request.external_id,
        "job_id": job.id,
        "messages": [
            {
                "channel": each.channel.value,
                "state": each.state.value,
                "reason": each.reason,
                "changed_at": iso(each.changed_at_ms),
            }
            for each in row.messages
        ],
    }


def csv_head() -> str:
    """Return the first line of the file as a spreadsheet program takes it: UTF-8 by its mark, then the header."""
    return "\ufeff" + csv_line(None)


def csv_line(row: Mapping[str, Any] | None) -> str:
    """Return one row as a line of the file, the header for None; no cell of it runs as a formula."""
    line = io.StringIO(newline="")
    csv.writer(line).writerow(COLUMNS if row is None else _cells(row))
    return line.getvalue()


def _cells(row: Mapping[str, Any]) -> list[str]:
    # The last message of a channel is the one that counts: an earlier one carried fewer links, or failed.
    last = {message["channel"]: message for message in row["messages"]}
    return [guard(_cell(row, last, column)) for column in COLUMNS]


def _cell(row: Mapping[str, Any], messages: Mapping[str, _Document], column: str) -> str:
    channel, _, what = column.partition("_")
    if channel in {"email", "sms"}:
        name = {"": "state", "reason": "reason", "at": "changed_at"}[what]
        value = messages.get(channel, {}).get(name)
    else:
        value = row.get(column)
    return "" if value is None else str(value)
