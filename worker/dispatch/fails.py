"""How a message's failure is written down: the catalogue's reason, the answer masked."""

from __future__ import annotations

from worker.domain.outcome import Fail
from worker.domain.phone import mask_text
from worker.domain.reasons import Catalogue, Reason

_RAW_LIMIT = 500


def fail(reason: str | Reason, *, code: int | None = None, raw: str = "", detail: str = "") -> Fail:
    """Return the Fail for *reason* (a name stands for the shipped catalogue's), its raw answer masked and cut."""
    known = Catalogue.shipped().named(reason) if isinstance(reason, str) else reason
    return Fail(
        reason=known.name,
        reason_class=known.reason_class.value,
        code=code,
        raw=mask_text(raw)[:_RAW_LIMIT],
        detail=detail,
        is_own_data=known.is_own_data,
    )
