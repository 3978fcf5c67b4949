"""The record of jobs in Redis: the truth. Nothing outside knows how jobs lie in it."""

from worker.ledger.api_keys import ApiKey
from worker.ledger.connect import open_redis
from worker.ledger.errors import LedgerError, LedgerFull, LedgerUnavailable, SchemaMismatch
from worker.ledger.ledger import Ledger
from worker.ledger.records import (
    Ahead,
    Audit,
    BatchRecord,
    BatchRow,
    CancelResult,
    FailureGroup,
    Hold,
    JobFilter,
    Known,
    LaneView,
    Mended,
    Page,
    Rescued,
    ServerFacts,
    WorkerFacts,
)

__all__ = [
    "Ahead",
    "ApiKey",
    "Audit",
    "BatchRecord",
    "BatchRow",
    "CancelResult",
    "FailureGroup",
    "Hold",
    "JobFilter",
    "Known",
    "LaneView",
    "Ledger",
    "LedgerError",
    "LedgerFull",
    "LedgerUnavailable",
    "Mended",
    "Page",
    "Rescued",
    "SchemaMismatch",
    "ServerFacts",
    "WorkerFacts",
    "open_redis",
]
