"""Settles what only the partner's lists can tell: one look-up serves every doubt and every unexplained FAIL."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TypeVar

from worker.broker import BrokerBell
from worker.domain.change import reference_of
from worker.domain.classify import Accounts, finding_for
from worker.domain.job import JobRecord
from worker.domain.outcome import (
    AccountEntry,
    Fail,
    Finding,
    FoundForeign,
    FoundOurs,
    NotDone,
    RegisteredNumber,
    Unanswered,
)
from worker.domain.reasons import Catalogue, ReasonClass
from worker.domain.states import JobState
from worker.ledger import JobFilter, Ledger
from worker.limits import Limits
from worker.maintenance.listing import listed
from worker.partner import PartnerClient
from worker.telemetry import Stats, log

_PAGE = 500
#: All doubts are looked at together, lest those that stay hide others behind them; more than this is a catastrophe.
_MOST_DOUBTS = 10_000
#: What a look-up could not explain is looked up again this much later: it may have been registered or linked meanwhile.
_LOOK_AGAIN_S = 900.0
_Row = TypeVar("_Row", AccountEntry, RegisteredNumber)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """Reads the partner's lists and tells the ledger what they show."""

    ledger: Ledger
    limits: Limits
    partner: PartnerClient
    bell: BrokerBell
    catalogue: Catalogue
    stats: Stats
    grace_s: float  #: a list counts against a doubt only when begun this long after the call ended

    async def run_once(self) -> int:
        """Resolve doubts and explain failures; return how many were settled. No call is made when there are none."""
        doubts = await self.ledger.queries.doubts(limit=_MOST_DOUBTS)
        unexplained = await self.ledger.queries.unexplained(limit=_PAGE, looked_before_s=_LOOK_AGAIN_S)
        if not doubts and not unexplained:
            return 0
        began_ms = await self.ledger.now_ms()
        entries = await self._list(self.partner.get_accounts)
        if entries is None:
            return 0
        accounts = Accounts(entries)
        settled = 0
        for job in doubts:
            settled += await self._resolve(job, accounts, began_ms)
        if unexplained:
            registered = await self._list(self.partner.get_registered)
            for job in unexplained:
                settled += await self._explain(job, accounts, registered, began_ms)
        return settled

    async def release_registered(self) -> int:
        """Put back the jobs whose number was not registered and now is; return how many."""
        async with aclosing(self._not_registered()) as waiting:
            if await anext(waiting, None) is None:
                return 0
        registered = await self._list(self.partner.get_registered)
        if registered is None:
            return 0
        numbers = {each.whatsapp for each in registered}
        released = 0
        async for job in self._not_registered():
            if job.number in numbers and await self.ledger.release(job.id):
                released += 1
        if released:
            log.info("jobs_released", count=released, reason="number_not_registered")
        return released

    async def _not_registered(self) -> AsyncGenerator[JobRecord]:
        """Yield every job that waits for its number, a page in memory at a time: there may be very many."""
        wanted = JobFilter(reason_class=ReasonClass.NOT_REGISTERED.value, state=JobState.FAILED)
        cursor: str | None = None
        while True:  # every page: rows that can't be helped must not hide those behind them
            page = await self.ledger.queries.find(wanted, limit=_PAGE, cursor=cursor)
            for job in page.items:
                # Not what a lesson only called so since: teaching alone sets no job going.
                if job.reason_class == ReasonClass.NOT_REGISTERED:
                    yield job
            cursor = page.next
            if cursor is None:
                break

    async def _list(
        self, call: Callable[[], Awaitable[list[_Row] | NotDone | Unanswered]]
    ) -> list[_Row] | None:
        """Return the partner's list under a slot of the rate, or None when it can't be had now."""
        return await listed(call, limits=self.limits, partner=self.partner, stats=self.stats)

    async def _resolve(self, job: JobRecord, accounts: Accounts, began_ms: int) -> bool:
        finding = self._finding(job, accounts, began_ms)
        state = await self.ledger.resolve(job.id, finding, grace_s=self.grace_s)
        if state is None or state is JobState.IN_DOUBT:
            return False
        self.stats.count("doubts_resolved", state=state.value)
        log.info("doubt_resolved", job_id=job.id, state=state.value)
        self._follow_up(job.id, state)
        return True

    async def _explain(
        self,
        job: JobRecord,
        accounts: Accounts,
        registered: list[RegisteredNumber] | None,
        began_ms: int,
    ) -> bool:
        finding = self._finding(job, accounts, began_ms)
        explanation = self._explanation(job, finding, registered)
        if explanation is None:
            return False
        state = await self.ledger.explain(job.id, explanation)
        if state is not None:
            self.stats.count("explained", state=state.value)
            reason = explanation.reason if isinstance(explanation, Fail) else None
            log.info("failure_explained", job_id=job.id, state=state.value, reason=reason)
            self._follow_up(job.id, state)
        return state is not None

    def _finding(self, job: JobRecord, accounts: Accounts, began_ms: int) -> Finding:
        reference = reference_of(job.id, job.replacements)
        return finding_for(
            reference, job.request.number, job.request.is_coexistence, accounts, began_ms, self.catalogue
        )

    def _explanation(
        self, job: JobRecord, finding: Finding, registered: list[RegisteredNumber] | None
    ) -> FoundOurs | Fail | None:
        if isinstance(finding, FoundOurs):
            return finding
        if isinstance(finding, FoundForeign):
            return replace(finding.fail, code=job.code, raw=job.raw or "")
        if registered is None:
            return None  # asked again at the next turn
        is_registered = any(each.whatsapp == job.number for each in registered)
        reason = (
            None if is_registered or job.number is None else self.catalogue.named("number_not_registered")
        )
        return Fail(
            reason=reason.name if reason else job.reason or "unknown",
            reason_class=reason.reason_class if reason else job.reason_class or "unknown",
            code=job.code,
            raw=job.raw or "",
            detail="looked up at the partner",
            is_own_data=reason is not None,
        )

    def _follow_up(self, job_id: str, state: JobState) -> None:
        if state in (JobState.LINKED, JobState.ONBOARDED):
            self.bell.ring_fan_out(job_id)
