"""How fast and whether the fleet may call an outside party: one rate, its pauses, its guards, its token.

`Limits` is the adapter; everything it knows lies in one Redis hash, changed only by the scripts in `lua/`.
"""

from __future__ import annotations

from worker.domain.token import StoredToken
from worker.limits.headers import Advice, read_advice
from worker.limits.limits import Limits
from worker.limits.scripts import LimitsUnavailable
from worker.limits.tokens import TokenStore
from worker.limits.values import (
    BreakerChange,
    BreakerState,
    Closed,
    ClosedReason,
    CredentialsState,
    Granted,
    LimitsStatus,
    Wait,
)

__all__ = [
    "Advice",
    "BreakerChange",
    "BreakerState",
    "Closed",
    "ClosedReason",
    "CredentialsState",
    "Granted",
    "Limits",
    "LimitsStatus",
    "LimitsUnavailable",
    "StoredToken",
    "TokenStore",
    "Wait",
    "read_advice",
]
