"""Brings jobs from `linked` to `onboarded`: by the partner's list, and for Facebook, which has none, by its webhook.

What the webhook tells was recorded before it was acked, and is worked on here: one look-up serves all reports that wait.
A report is a hint: where the list does not show the customer as finished, nothing is changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

from worker.clock import Clock
from worker.domain.change import DELETING
from worker.domain.classify import Accounts
from worker.domain.event import (
    ClaimedEvent,
    EventDone,
    EventFailed,
    EventOutcome,
    EventRetry,
    EventSkipped,
)
from worker.domain.job import JobRecord
from worker.domain.parse import Problem
from worker.domain.report import WEBHOOK_SOURCE, Report, Standing, read_report, unpacked
from worker.domain.request import Product
from worker.domain.states import WAITING_STATES, JobState
from worker.execution.shop import Shop
from worker.ledger import Ledger
from worker.ledger.completing import How
from worker.maintenance.listing import listed
from worker.telemetry import Stats, log

REPORTS = "provider_reports"  #: the counter, by outcome and reason
COMPLETIONS = "completions"  #: the counter, by kind
_HUNDRED = 100
#: Reports that one look-up serves: of a wave, or of a flood, none waits long behind the others.
_MOST_AT_ONCE = 500
#: The list may lag behind the webhook: a report that it does not bear out yet is looked up again after so long.
_LOOK_AGAIN_S = (5.0, 15.0, 30.0)
#: The partner's list can't be had: no try is used up, the poll does the same meanwhile.
_AWAY_S = 15.0
#: A link may stand at the partner. The answer to its create may be on its way, or lost.
_MAY_HAVE_FINISHED = frozenset({JobState.LINKED, JobState.RUNNING, JobState.IN_DOUBT, JobState.FAILED})
#: A Facebook link that is being replaced stays valid, and its customer may finish meanwhile: the report is kept until
#: the job stands as linked again.
_MAY_BE_LINKED = frozenset(
    {JobState.AVAILABLE, JobState.SCHEDULED, JobState.RUNNING, JobState.IN_DOUBT, JobState.FAILED}
)
#: However many reports come, their look-ups take no more of the rate than one call in so long.
_APART_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completer:
    """Writes down who has finished."""

    ledger: Ledger
    stats: Stats

    async def by_list(self, job_ids: Iterable[str], accounts: Accounts) -> list[str]:
        """Complete those of the jobs that a complete list shows as finished; return them. Raises LedgerUnavailable.

        A link is a job's own where its reference names the job. Coexistence takes its final number from the list.
        """
        entries = {job_id: accounts.latest_of(job_id) for job_id in job_ids}
        finished = {job_id: entry for job_id, entry in entries.items() if entry and entry.is_finished}
        completed = []
        for job in await self.ledger.queries.jobs(list(finished)) if finished else []:
            number = finished[job.id].whatsapp if job.request.is_coexistence else None
            if await self._complete(job.id, number=number, how="list", link=finished[job.id].link):
                completed.append(job.id)
        return completed

    async def by_report(self, job_id: str) -> bool:
        """Complete a Facebook job that the webhook told of; raises LedgerUnavailable."""
        return await self._complete(job_id, number=None, how="webhook", link=None)

    async def _complete(self, job_id: str, *, number: str | None, how: How, link: str | None) -> bool:
        if await self.ledger.completing.complete(job_id, number=number, how=how, link=link) is None:
            return False
        self.stats.count(COMPLETIONS, kind=how)
        log.info("job_completed", job_id=job_id, kind=how)
        return True


@dataclass(frozen=True, slots=True)
class _Hint:
    """A report with the jobs of ours that it may be about."""

    event: ClaimedEvent
    report: Report
    jobs: tuple[JobRecord, ...]


class ReportWorker:
    """Works on what the partner's webhook told. In one worker of the fleet at a time, so that one look-up serves all."""

    def __init__(self, shop: Shop, completer: Completer) -> None:
        self._shop = shop
        self._completer = completer
        self._clock: Clock = shop.clock
        self._rests_until_s = 0.0  #: by the clock's monotonic seconds

    async def run_once(self) -> int:
        """Work on the reports that are due; return how many. Raises LedgerUnavailable, LedgerFull, LimitsUnavailable."""
        if self._clock.monotonic() < self._rests_until_s:
            return 0
        shop = self._shop
        claimed = await self._claimed()
        if not claimed:
            return 0
        with ExitStack() as kept:
            for event in claimed:
                kept.enter_context(shop.heartbeat.keeping(event.lease))
            outcomes = await self._work(claimed)
            await shop.ledger.intake.settle(
                [(event.lease, outcome) for event, outcome in zip(claimed, outcomes, strict=True)]
            )
        for event, outcome in zip(claimed, outcomes, strict=True):
            self._tell(event, outcome)
        await shop.ledger.completing.note(hinted_at_ms=max(event.received_at_ms for event in claimed))
        return len(claimed)

    async def _claimed(self) -> list[ClaimedEvent]:
        """Take the reports that are due, as many as one look-up is to serve."""
        shop, claimed = self._shop, list[ClaimedEvent]()
        while len(claimed) < _MOST_AT_ONCE:
            page = await shop.ledger.intake.claim_due(
                WEBHOOK_SOURCE, want=_HUNDRED, worker_id=shop.worker_id, lease_s=shop.lease_s
            )
            claimed += page
            if len(page) < _HUNDRED:  # no more, or one that is to be worked on alone
                break
        return claimed

    async def _work(self, claimed: Sequence[ClaimedEvent]) -> list[EventOutcome]:
        reports = [_read(event) for event in claimed]
        jobs = await self._jobs_of([report for report in reports if report is not None])
        hints = [
            None
            if report is None
            else _Hint(event, report, tuple(jobs[each] for each in _named(report, jobs)))
            for event, report in zip(claimed, reports, strict=True)
        ]
        accounts = await self._accounts([hint for hint in hints if hint is not None])
        completed = await self._complete_listed(hints, accounts)
        return [
            _unreadable(event)
            if hint is None
            else await self._outcome(hint, completed, has_list=accounts is not None)
            for event, hint in zip(claimed, hints, strict=True)
        ]

    async def _jobs_of(self, reports: Sequence[Report]) -> dict[str, JobRecord]:
        """Return the jobs that the reports may be about: by their ids, and by the numbers as `n:<number>`."""
        ledger = self._shop.ledger
        claims = list(dict.fromkeys(f"n:{number}" for report in reports for number in report.numbers))
        by_claim: dict[str, str] = {}
        for claim, known in zip(claims, await ledger.queries.known(claims), strict=True):
            for job_id in known.job_ids if known else ():
                if job_id.endswith(Product.WHATSAPP.code):
                    by_claim[claim] = job_id
        ids = dict.fromkeys([*(job for report in reports for job in report.job_ids), *by_claim.values()])
        records = {job.id: job for job in await ledger.queries.jobs(list(ids))}
        return records | {claim: records[job_id] for claim, job_id in by_claim.items() if job_id in records}

    async def _accounts(self, hints: Sequence[_Hint]) -> Accounts | None:
        """Return the partner's list if any report needs it and it can be had."""
        if not any(_needs_list(job) for hint in hints for job in hint.jobs):
            return None
        shop = self._shop
        self._rests_until_s = self._clock.monotonic() + _APART_S
        entries = await listed(
            shop.partner.get_accounts, limits=shop.limits, partner=shop.partner, stats=shop.stats
        )
        return None if entries is None else await asyncio.to_thread(Accounts.indexed, entries)

    async def _complete_listed(
        self, hints: Sequence[_Hint | None], accounts: Accounts | None
    ) -> frozenset[str]:
        if accounts is None:
            return frozenset()
        asked = {job.id for hint in hints if hint for job in hint.jobs if _needs_list(job)}
        return frozenset(await self._completer.by_list(sorted(asked), accounts))

    async def _outcome(self, hint: _Hint, completed: frozenset[str], *, has_list: bool) -> EventOutcome:
        if not hint.jobs:
            return EventSkipped(reason="not_ours")
        ids = tuple(dict.fromkeys(job.id for job in hint.jobs))
        for job in hint.jobs:
            doubt = await self._facebook(job, hint) if job.product is not Product.WHATSAPP else None
            if doubt is not None:
                return doubt
        if any(_needs_list(job) and job.id not in completed for job in hint.jobs):
            return _look_again(hint.event, has_list=has_list)
        is_new = any(job.id in completed or _is_by_report(job) for job in hint.jobs)
        return EventDone(job_ids=ids, is_new=is_new)

    async def _facebook(self, job: JobRecord, hint: _Hint) -> EventOutcome | None:
        """Complete a Facebook job if the report may be believed; else return what becomes of the report."""
        report = hint.report
        if not _is_by_report(job) and job.state not in _MAY_BE_LINKED:
            return None
        if report.standing is Standing.NOT_FINISHED:
            return EventSkipped(reason="not_finished")
        if not report.says_finished:
            return EventFailed(reason="status_unknown", problems=(_STATUS_UNKNOWN,))
        if _names_another_link(job, report):
            return EventFailed(reason="link_differs", problems=(_LINK_DIFFERS,))
        if await self._completer.by_report(job.id):
            return None
        return _wait_for_link(hint.event)

    def _tell(self, event: ClaimedEvent, outcome: EventOutcome) -> None:
        word = type(outcome).__name__.removeprefix("Event").lower()
        reason = getattr(outcome, "reason", None)
        self._shop.stats.count(REPORTS, outcome=word, reason=reason)
        tell = log.warning if isinstance(outcome, EventFailed) else log.info
        tell("report_finished", event_id=event.id, outcome=word, reason=reason)


_STATUS_UNKNOWN = Problem(
    "status",
    "status_unknown",
    "the report has a status that is not known to mean finished",
    "Ask the partner whether this customer has finished; docs/completion.md names the words that are understood.",
)
_LINK_DIFFERS = Problem(
    "onboarding_link",
    "link_differs",
    "the report names our reference with another link",
    "Ask the partner what it was about: nothing was changed by it.",
)
_NOT_LINKED = Problem(
    "reference",
    "not_linked",
    "the customer finished a link whose job is not linked now",
    "Look at the job; once it is linked, or a replacement has ended, let the report go again.",
)


def _read(event: ClaimedEvent) -> Report | None:
    try:
        body, _, is_base64 = unpacked(event.body)
    except ValueError:
        return None
    return None if is_base64 else read_report(body)


def _unreadable(event: ClaimedEvent) -> EventOutcome:
    """Leave what nobody understands to a person: it may tell of a Facebook customer. An empty one tells of nothing."""
    try:
        is_empty = not unpacked(event.body)[0].strip()
    except ValueError:
        is_empty = False
    return EventSkipped(reason="unreadable") if is_empty else EventFailed(reason="unreadable")


def _named(report: Report, jobs: dict[str, JobRecord]) -> list[str]:
    names = [*report.job_ids, *(f"n:{number}" for number in report.numbers)]
    return [name for name in names if name in jobs]


def _needs_list(job: JobRecord) -> bool:
    """Tell whether the list is to say that the customer has finished: nothing else is believed of WhatsApp."""
    is_to_be_deleted = job.op in DELETING and job.state in WAITING_STATES
    return job.product is Product.WHATSAPP and (job.state in _MAY_HAVE_FINISHED or is_to_be_deleted)


def _is_by_report(job: JobRecord) -> bool:
    """Tell whether the report alone may complete the job."""
    return job.product is not Product.WHATSAPP and job.state is JobState.LINKED


def _names_another_link(job: JobRecord, report: Report) -> bool:
    """Tell whether the report names links of the same site, and none of them is the job's.

    A link that was replaced stays valid, and nobody keeps it: of such a job any will do.
    """
    if job.replacements or job.link is None:
        return False
    same_site = [link for link in report.links if _site_of(link) == _site_of(job.link)]
    return bool(same_site) and job.link not in same_site


def _site_of(link: str) -> str:
    try:
        return urlsplit(link).netloc.lower()
    except ValueError:  # `http://[::1`: anybody wrote it
        return ""


def _look_again(event: ClaimedEvent, *, has_list: bool) -> EventOutcome:
    if not has_list:
        return EventRetry(reason="lookup_failed", delay_s=_AWAY_S, max_failures=None)
    if event.failures >= len(_LOOK_AGAIN_S):
        return EventSkipped(reason="not_finished")  # the poll goes on looking
    return EventRetry(
        reason="not_finished", delay_s=_LOOK_AGAIN_S[event.failures], max_failures=len(_LOOK_AGAIN_S) + 1
    )


def _wait_for_link(event: ClaimedEvent) -> EventOutcome:
    """Let a Facebook report wait for its job, and in the end for a person: nothing else tells of this customer."""
    if event.failures >= len(_LOOK_AGAIN_S):
        return EventFailed(reason="not_linked", problems=(_NOT_LINKED,))
    return EventRetry(
        reason="not_linked", delay_s=_LOOK_AGAIN_S[event.failures], max_failures=len(_LOOK_AGAIN_S) + 1
    )
