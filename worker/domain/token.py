"""The partner's access token as the fleet shares it: what `partner` asks for and `limits` keeps."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredToken:
    """One access token and when it ends. The value is a secret: it stays out of every repr and log."""

    value: str = field(repr=False)
    expires_ms: int  #: milliseconds since 1970, as the partner counts them
