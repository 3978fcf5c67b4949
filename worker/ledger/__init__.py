"""The record of jobs in Redis: the truth. Nothing outside knows how jobs lie in it."""

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
    HoldOutlook,
    JobFilter,
    Known,
    LaneView,
    Mended,
    Page,
    Readdress,
    RequestEdit,
    Rescued,
    ServerFacts,
    WorkerFacts,
)
from worker.redis_client import open_redis

__all__ = [
    "Ahead",
    "Audit",
    "BatchRecord",
    "BatchRow",
    "CancelResult",
    "FailureGroup",
    "Hold",
    "HoldOutlook",
    "JobFilter",
    "Known",
    "LaneView",
    "Ledger",
    "LedgerError",
    "LedgerFull",
    "LedgerUnavailable",
    "Mended",
    "Page",
    "Readdress",
    "RequestEdit",
    "Rescued",
    "SchemaMismatch",
    "ServerFacts",
    "WorkerFacts",
    "open_redis",
]
