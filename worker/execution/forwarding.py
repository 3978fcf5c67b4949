"""Passes the partner's reports on to FORWARD_URL, out of the ledger: claim, post, settle.

At least once: a crash between the two last leaves the report under its lease, and it is passed on again.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from contextlib import ExitStack

from worker.dispatch.forward import pass_on
from worker.domain.event import ClaimedEvent, EventDone, EventFailed, EventOutcome, EventRetry
from worker.domain.report import FORWARD_SOURCE, unpacked
from worker.execution.shop import Shop
from worker.telemetry import log

FORWARDS = "provider_forwards"  #: the counter, by outcome
_AT_ONCE = 8
#: After each failure; beyond the last of them the report has failed, and a person may let it go again.
_AGAIN_AFTER_S = (10.0, 60.0, 300.0, 1_800.0)


class Forwarder:
    """Passes on what waits; several workers may, each under leases of its own."""

    def __init__(self, shop: Shop, url: str) -> None:
        self._shop = shop
        self._url = url

    async def run_once(self) -> int:
        """Pass on the reports that are due, some at once; return how many were tried. Raises LedgerUnavailable."""
        shop = self._shop
        claimed = await shop.ledger.intake.claim_due(
            FORWARD_SOURCE, want=_AT_ONCE, worker_id=shop.worker_id, lease_s=shop.lease_s
        )
        with ExitStack() as kept:
            for event in claimed:
                kept.enter_context(shop.heartbeat.keeping(event.lease))
            outcomes = await asyncio.gather(*(self._pass_on(event) for event in claimed))
            await shop.ledger.intake.settle(
                [(event.lease, outcome) for event, outcome in zip(claimed, outcomes, strict=True)]
            )
        return len(claimed)

    async def _pass_on(self, event: ClaimedEvent) -> EventOutcome:
        try:
            body, content_type, is_base64 = unpacked(event.body)
            raw = base64.b64decode(body, validate=True) if is_base64 else body.encode()
        except (ValueError, binascii.Error):
            return EventFailed(reason="unreadable")
        passed = await pass_on(self._url, raw, content_type=content_type)
        if passed.is_taken:
            self._shop.stats.count(FORWARDS, outcome="passed_on")
            return EventDone(job_ids=())
        is_last = event.failures >= len(_AGAIN_AFTER_S)
        self._shop.stats.count(FORWARDS, outcome="failed" if is_last else "retry")
        log.warning(
            "report_not_passed_on",
            event_id=event.id,
            status=passed.status,
            error=passed.error,
            outcome="failed" if is_last else "retry",
        )
        if is_last:
            return EventFailed(reason="forward_failed")
        return EventRetry(
            reason="forward_failed",
            delay_s=_AGAIN_AFTER_S[event.failures],
            max_failures=len(_AGAIN_AFTER_S) + 1,
        )
