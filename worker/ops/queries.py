"""What operators ask, for the CLI and the console alike: plain dictionaries, ready for JSON."""

from __future__ import annotations

from typing import Any

from worker.domain.reasons import Catalogue
from worker.domain.states import DeliveryState, JobState
from worker.domain.targets import BATCH
from worker.ledger import BatchRecord, FailureGroup, JobFilter, Ledger
from worker.limits import Limits
from worker.limits.values import LimitsStatus
from worker.ops.batch_progress import BatchProgress
from worker.ops.eta import NOT_WATCHED, Pace
from worker.ops.find import Looking, failed_page, jobs_page, messages_page, page_of, search_page
from worker.ops.views import class_now, delivery_view, failed_view, full_job_view, iso

DEFAULT_LIMIT = 50


class Queries:
    """Answers from the ledger and the limits; changes nothing."""

    def __init__(
        self,
        ledger: Ledger,
        limits: Limits,
        catalogue: Catalogue,
        *,
        has_credentials: bool = True,
        region: str = "IL",
    ) -> None:
        """Ask *ledger* and *limits*.

        *has_credentials* tells whether the partner can be called at all, *region* where a number without its country's
        code belongs.
        """
        self._ledger = ledger
        self._limits = limits
        self._catalogue = catalogue
        self._has_credentials = has_credentials
        self._region = region

    async def status(self) -> dict[str, Any]:
        """Return the whole at a glance, in the fixed shape of `linkferry status --json`; raises LedgerUnavailable."""
        jobs = await self._ledger.queries.counts()
        deliveries = await self._ledger.deliveries.counts()
        lanes = await self._ledger.queries.lanes()
        return {
            "jobs": {state.value: jobs.get(state, 0) for state in JobState},
            "deliveries": {state.value: deliveries.get(state, 0) for state in DeliveryState},
            "lanes": {
                lane.value: {
                    "waiting": view.waiting,
                    "oldest_s": round(view.oldest_s or 0.0, 3),
                    "paused": view.paused,
                    "held": view.held,
                }
                for lane, view in lanes.items()
            },
            "provider": self._provider_view(await self._limits.status()),
            "workers": len(await self._ledger.fleet.workers()),
            "batches": await self._stopped_batches(),
        }

    async def _stopped_batches(self) -> dict[str, list[dict[str, Any]]]:
        """Return the batches that are paused or held, by name, and how much of them waits."""
        paused = {each for each in await self._ledger.batches.pauses() if each.startswith(BATCH)}
        held = {each for each in await self._ledger.batches.holds() if each.startswith(BATCH)}
        known = await self._ledger.batches.those([each.removeprefix(BATCH) for each in sorted(paused | held)])
        return {
            "paused": [stopped_view(each) for each in known if each.is_paused],
            "held": [stopped_view(each) | {"reason": each.hold.reason} for each in known if each.hold],
        }

    def _provider_view(self, status: LimitsStatus) -> dict[str, Any]:
        until = iso(status.paused_until_ms)
        credentials = status.credentials.value if self._has_credentials else "missing"
        return {
            "rate": status.rate,
            "breaker": status.breaker.value,
            "paused_until": until or ("resumed" if status.is_paused else None),
            "credentials": credentials,
        }

    async def job(self, job_id: str, *, is_revealed: bool = False) -> dict[str, Any] | None:
        """Return one job with its link, history and messages, or None; raises LedgerUnavailable."""
        record = await self._ledger.queries.job(job_id)
        if record is None:
            return None
        history = await self._ledger.queries.history(job_id)
        deliveries = await self._ledger.deliveries.of_invitation(record.invitation_id)
        mine = [each for each in deliveries if job_id in each.job_ids or not each.job_ids]
        return full_job_view(record, list(history), mine, self._catalogue, is_revealed=is_revealed)

    async def delivery(self, delivery_id: str) -> dict[str, Any] | None:
        """Return one message, or None; raises LedgerUnavailable."""
        record = await self._ledger.deliveries.get(delivery_id)
        return None if record is None else delivery_view(record, self._catalogue)

    async def jobs(
        self,
        wanted: JobFilter,
        *,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        is_revealed: bool = False,
    ) -> dict[str, Any]:
        """Return a page of jobs, newest first: `{"items", "next", "total", "is_total_exact"}`.

        A total that is not exact is the least there are. Raises LedgerUnavailable, ValueError (cursor).
        """
        return await jobs_page(self._looking(is_revealed=is_revealed), wanted, cursor=cursor, limit=limit)

    async def failed(
        self,
        wanted: JobFilter,
        *,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        is_revealed: bool = False,
    ) -> dict[str, Any]:
        """Return a page of the failed queue: jobs, newest first, then messages (`stage` tells them apart).

        A filter that is about jobs alone (attempts, requeues, dead letters) leaves messages out.

        Raises:
            LedgerUnavailable: see the ledger.
            ValueError: not one of our cursors.
        """
        return await failed_page(self._looking(is_revealed=is_revealed), wanted, cursor=cursor, limit=limit)

    async def search(
        self, text: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT, is_revealed: bool = False
    ) -> dict[str, Any]:
        """Return a page of the jobs that *text* may mean, with what it seems to be (`kind`).

        A job's or invitation's id, a number, an e-mail address, an external id, a reference, or a name (its words,
        or their beginnings). Raises LedgerUnavailable, ValueError (cursor).
        """
        return await search_page(
            self._looking(is_revealed=is_revealed), text, cursor=cursor, limit=limit, region=self._region
        )

    def _looking(self, *, is_revealed: bool) -> Looking:
        return Looking(self._ledger, self._catalogue, is_revealed=is_revealed)

    async def messages(
        self, state: str, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT, is_revealed: bool = False
    ) -> dict[str, Any]:
        """Return a page of messages in *state*, newest first; raises LedgerUnavailable, ValueError (cursor, state)."""
        looking = self._looking(is_revealed=is_revealed)
        return await messages_page(looking, DeliveryState(state), cursor=cursor, limit=limit)

    async def failure_groups(self) -> dict[str, Any]:
        """Return the failed queue by reason, each with its meaning and remedy; raises LedgerUnavailable."""
        groups = [("link", each) for each in await self._ledger.queries.groups()]
        groups += [("delivery", each) for each in await self._ledger.deliveries.groups()]
        items = [self._group_view(stage, group) for stage, group in groups]
        items.sort(key=lambda item: -int(item["count"]))
        return page_of(items, None, len(items))

    def _group_view(self, stage: str, group: FailureGroup) -> dict[str, Any]:
        reason = failed_view(group.reason, self._catalogue, is_message=stage == "delivery")
        name = self._catalogue.named(group.reason).name
        return {
            "stage": stage,
            **reason,
            "reason_class": class_now(group.reason_class, reason["reason_class"]),
            "taught_as": name if name != group.reason else None,
            "code": group.code,
            "count": group.count,
            "first_at": iso(group.first_ms),
            "last_at": iso(group.last_ms),
        }

    async def batches(self, *, cursor: str | None = None, limit: int = DEFAULT_LIMIT) -> dict[str, Any]:
        """Return a page of batches, newest first; raises LedgerUnavailable, ValueError (cursor)."""
        page = await self._ledger.batches.page(cursor=cursor, limit=limit)
        items = [self._batch_view(record) for record in page.items]
        return page_of(items, page.next, page.total)

    async def batch(self, batch_id: str) -> dict[str, Any] | None:
        """Return one batch, or None; raises LedgerUnavailable."""
        record = await self._ledger.batches.get(batch_id)
        return None if record is None else self._batch_view(record)

    async def batch_progress(self, batch_id: str, pace: Pace = NOT_WATCHED) -> dict[str, Any] | None:
        """Return one batch with how far it is (`progress`), or None; raises LedgerUnavailable, LimitsUnavailable."""
        record = await self._ledger.batches.get(batch_id)
        if record is None:
            return None
        progress = BatchProgress(
            ledger=self._ledger,
            limits=self._limits,
            catalogue=self._catalogue,
            has_credentials=self._has_credentials,
        )
        return {**self._batch_view(record), "progress": await progress.look(record, pace)}

    def _batch_view(self, record: BatchRecord) -> dict[str, Any]:
        return {
            "batch": record.id,
            "name": record.name,
            "source": record.source,
            "by": record.by,
            "opened_at": iso(record.opened_at_ms),
            "closed_at": iso(record.closed_at_ms),
            "cancelled_at": iso(record.cancelled_at_ms),
            "rows": record.accepted + record.duplicates + record.rejected,
            "total": record.total,  # what the file seemed to hold, to tell how far a run is
            "accepted": record.accepted,
            "duplicates": record.duplicates,
            "conflicts": record.conflicts,
            "rejected": record.rejected,
            "paused": record.is_paused,
            "held": record.hold.reason if record.hold else None,
            "jobs": {state.value: record.jobs.get(state, 0) for state in JobState},
        }


def stopped_view(record: BatchRecord) -> dict[str, Any]:
    """Return a batch that is paused or held, with how many of its jobs wait."""
    waiting = sum(record.jobs.get(state, 0) for state in (JobState.AVAILABLE, JobState.SCHEDULED))
    return {"batch": record.id, "name": record.name, "waiting": waiting}
