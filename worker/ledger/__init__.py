"""The record of jobs in Redis: the truth. Nothing outside knows how jobs lie in it."""

from worker.ledger.api_keys import ApiKey
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
from worker.ledger.sessions import Allowance, SessionUser, digest_of
from worker.ledger.trail import TrailEntry
from worker.ledger.users import Credential, User
from worker.redis_client import open_redis

__all__ = [
    "Ahead",
    "Allowance",
    "ApiKey",
    "Audit",
    "BatchRecord",
    "BatchRow",
    "CancelResult",
    "Credential",
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
    "SessionUser",
    "TrailEntry",
    "User",
    "WorkerFacts",
    "digest_of",
    "open_redis",
]
