"""Compares our links with the partner's list, whether or not a webhook tells: who has finished, and which links are gone.

One call serves all of it, and none is made while no link waits. Our links are read a page at a time, and no script runs
but for those of which something has to be written down.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from worker.broker import BrokerBell
from worker.domain.classify import Accounts
from worker.domain.outcome import RegisteredNumber
from worker.domain.request import Product
from worker.domain.states import JobState
from worker.execution.completion import Completer
from worker.ledger import Ledger
from worker.ledger.completing import MOST_NUMBERS, ExpiringNumber, PartnerView
from worker.limits import Limits
from worker.maintenance.listing import listed
from worker.partner import PartnerClient
from worker.telemetry import Stats, log

#: More of our links missing at once than this, and than half of them: not they are gone, the list is another's or broken.
_MOST_GONE_AT_ONCE = 10
#: Missing links taken note of in one turn; the others follow.
_MOST_ABSENT = 10_000
#: Numbers wait for 90 days: there is no need to look more often.
_REGISTERED_EVERY_MS = 3_600_000
#: A list that could not be had is asked for again after so long.
_TRY_AGAIN_S = 30.0
_WHATSAPP = Product.WHATSAPP.code


@dataclass(slots=True)
class _Seen:
    """What one list shows of our links."""

    links: int = 0  #: of ours, old enough to be in it
    missing: int = 0
    completed: int = 0
    absent: list[str] = field(default_factory=list)
    back: set[str] = field(default_factory=set)  #: marked as missing, and not missing in this list


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """Reads the partner's lists once in *poll_s* seconds and tells the ledger what they show."""

    ledger: Ledger
    limits: Limits
    partner: PartnerClient
    bell: BrokerBell
    stats: Stats
    completer: Completer
    poll_s: float
    grace_s: float  #: a link is in every list that was begun so long after it was made
    expiry_s: float  #: a registered number whose time ends within so long is kept for people to see

    async def run_once(self) -> int:
        """Poll if it is time; return how many customers had finished. Raises LedgerUnavailable, LimitsUnavailable.

        How long ago the last turn was stands in the ledger: whoever takes the duty over goes on from there.
        """
        now_ms, view = await self.ledger.now_ms(), await self.ledger.completing.view()
        poll_ms = round(self.poll_s * 1000)
        if view.polled_at_ms is not None and 0 <= now_ms - view.polled_at_ms < poll_ms:
            return 0
        await self.ledger.completing.note(polled_at_ms=now_ms)
        if view.polled_at_ms is None:  # a new ledger: nothing can have been finished yet
            return 0
        completed = await self._compare(view)
        if completed is None or not await self._look_at_numbers(view, now_ms):
            again_ms = poll_ms - min(poll_ms, round(_TRY_AGAIN_S * 1000))
            await self.ledger.completing.note(polled_at_ms=now_ms - again_ms)
        return completed or 0

    # --- links -----------------------------------------------------------------------------------------------

    async def _compare(self, view: PartnerView) -> int | None:
        """Compare our links with the list; return how many were finished, or None when it could not be had."""
        if not await self._has_links():
            return 0
        began_ms = await self.ledger.now_ms()
        entries = await listed(
            self.partner.get_accounts, limits=self.limits, partner=self.partner, stats=self.stats
        )
        if entries is None:
            return None
        seen = await self._see(await asyncio.to_thread(Accounts.indexed, entries), began_ms)
        if _is_suspicious(seen, has_entries=bool(entries)):
            await self._hold(seen, view, began_ms)
        else:
            await self._let_vanish(seen, began_ms)
        await self.ledger.completing.note(listed_at_ms=began_ms, listed=len(entries), missing=seen.missing)
        return seen.completed

    async def _has_links(self) -> bool:
        async for page in self.ledger.completing.linked():
            if any(job_id.endswith(_WHATSAPP) for job_id, _ in page):
                return True
        return False

    async def _see(self, accounts: Accounts, began_ms: int) -> _Seen:
        """Go through our links, completing those that the list shows as finished."""
        seen, grace_ms = _Seen(), round(self.grace_s * 1000)
        stale = set(await self.ledger.completing.absent(_MOST_ABSENT))
        async for page in self.ledger.completing.linked():
            ours = [(job_id, since_ms) for job_id, since_ms in page if job_id.endswith(_WHATSAPP)]
            for job_id, since_ms in ours:
                if accounts.latest_of(job_id) is not None:
                    seen.links += 1
                elif since_ms + grace_ms <= began_ms:
                    seen.links += 1
                    seen.missing += 1
                    stale.discard(job_id)
                    if len(seen.absent) < _MOST_ABSENT:
                        seen.absent.append(job_id)
            seen.completed += len(await self.completer.by_list([job_id for job_id, _ in ours], accounts))
        async for page in self.ledger.completing.linked(has_vanished=True):
            seen.completed += len(await self.completer.by_list([job_id for job_id, _ in page], accounts))
        seen.back = stale
        return seen

    async def _hold(self, seen: _Seen, view: PartnerView, began_ms: int) -> None:
        """Believe none of it; a link counts as missing only in lists that follow each other."""
        await self.ledger.completing.reappear([*seen.back, *seen.absent])
        since_ms = view.suspicious_since_ms or began_ms
        await self.ledger.completing.note(suspicious_since_ms=since_ms, missing=seen.missing)
        log.error("links_missing_at_once", missing=seen.missing, links=seen.links)

    async def _let_vanish(self, seen: _Seen, began_ms: int) -> None:
        states = await self.ledger.completing.vanish_all(
            seen.absent, began_ms, grace_s=self.grace_s, apart_s=self.poll_s / 2
        )
        for job_id, state in zip(seen.absent, states, strict=True):
            if state is JobState.FAILED:
                self.stats.count("links_vanished")
                self.bell.ring_failure(job_id)
        await self.ledger.completing.reappear(sorted(seen.back))
        await self.ledger.completing.note(suspicious_since_ms=None)

    # --- registered numbers ----------------------------------------------------------------------------------

    async def _look_at_numbers(self, view: PartnerView, now_ms: int) -> bool:
        """Note the registered numbers near their end, now and then; return False when the list could not be had."""
        if view.registered_at_ms is not None and 0 <= now_ms - view.registered_at_ms < _REGISTERED_EVERY_MS:
            return True
        if not any((await self.ledger.queries.counts()).values()):
            return True  # nothing was ever asked of the partner
        rows = await listed(
            self.partner.get_registered, limits=self.limits, partner=self.partner, stats=self.stats
        )
        if rows is None:
            return False
        until_s = now_ms / 1000 + self.expiry_s
        near = sorted((row for row in rows if 0 < row.expires_s <= until_s), key=lambda row: row.expires_s)
        numbers = await self._with_jobs(near[:MOST_NUMBERS])
        await self.ledger.completing.note(registered_at_ms=now_ms, numbers=numbers)
        return True

    async def _with_jobs(self, rows: list[RegisteredNumber]) -> list[ExpiringNumber]:
        """Return the rows with our job on each number, where there is one."""
        owners = await self.ledger.queries.known([f"n:{row.whatsapp}" for row in rows])
        return [
            ExpiringNumber(
                number=row.whatsapp,
                expires_at_ms=row.expires_s * 1000,
                job_id=next(
                    (job for job in (owner.job_ids if owner else ()) if job.endswith(_WHATSAPP)), None
                ),
                is_linked=row.link is not None,
            )
            for row, owner in zip(rows, owners, strict=True)
        ]


def _is_suspicious(seen: _Seen, *, has_entries: bool) -> bool:
    """Tell whether the list is more likely wrong than our links gone: an empty one, or most of them missing at once."""
    if not has_entries:
        return seen.missing > 0
    return seen.missing > _MOST_GONE_AT_ONCE and 2 * seen.missing > seen.links
