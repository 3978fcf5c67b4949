"""The partner API: `PartnerClient` and its `TokenKeeper`; `sandbox` is a faithful local stand-in."""

from worker.domain.token import StoredToken
from worker.partner.client import Gate, PartnerClient
from worker.partner.token import CredentialsGuard, TokenKeeper, TokenStore
from worker.partner.wire import create_body

__all__ = [
    "CredentialsGuard",
    "Gate",
    "PartnerClient",
    "StoredToken",
    "TokenKeeper",
    "TokenStore",
    "create_body",
]
