"""Deliveries: one message to one customer by one channel, from due to sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from worker.domain.dedupe import contact_mark
from worker.domain.ids import product_of
from worker.domain.job import ClaimedDelivery, DeliveryRecord, Lease, LinkToSend
from worker.domain.outcome import (
    ChannelDown,
    DeliveryDoubt,
    DeliveryOutcome,
    DeliveryRetry,
    Fail,
    Sent,
    Skipped,
    Undelivered,
)
from worker.domain.send_window import ALWAYS_OPEN, ClosedTimes
from worker.domain.states import Channel, DeliveryState
from worker.ledger.accepting import ms
from worker.ledger.codec import (
    base_of,
    delivery_parts,
    delivery_record,
    edited_terms,
    flag,
    join_record,
    mended,
    request_of,
    split_record,
)
from worker.ledger.errors import translated
from worker.ledger.finding_messages import MessageFinder
from worker.ledger.keys import Keys
from worker.ledger.paging import rank_of
from worker.ledger.records import FailureGroup, JobFilter, Mended, Page, Readdress
from worker.ledger.scripts import Scripts, text
from worker.ledger.working import new_token

_IDS_AT_ONCE = 500


class Deliveries:
    """The verbs and queries of deliveries; those that hold a lease compare its token and say whether it held."""

    def __init__(self, scripts: Scripts, keys: Keys) -> None:
        self._scripts = scripts
        self._keys = keys
        self._finder = MessageFinder(scripts, keys)

    async def due(
        self,
        channel: Channel,
        *,
        want: int,
        rering_after_s: float = 10.0,
        closed: ClosedTimes = ALWAYS_OPEN,
    ) -> list[str]:
        """Choose deliveries whose bells are to be rung now, so that *want* bells (≤ 500) are outstanding.

        Bells unclaimed for *rering_after_s* seconds are among them again. Within the times *closed*, up to a hundred
        are put off instead. Raises LedgerUnavailable.
        """
        reply = await self._scripts.run("delivery_due", channel, want, ms(rering_after_s), closed.encode())
        return [text(item) for item in reply]

    async def hand_back(self, delivery_id: str) -> None:
        """Put a rung delivery that nobody has room for back to the front of its queue; raises LedgerUnavailable."""
        await self._scripts.run("delivery_hand_back", delivery_id)

    async def claim(
        self, delivery_id: str, *, worker_id: str, lease_s: float, closed: ClosedTimes = ALWAYS_OPEN
    ) -> ClaimedDelivery | None:
        """Take a due delivery under a lease of *lease_s* seconds; None when it is not to be had.

        One none of whose links stands any more is skipped; within the times *closed* it is put off.
        Raises LedgerUnavailable.
        """
        try:
            invitation, channel, template, generation = delivery_parts(delivery_id)
        except ValueError:
            return None
        token = new_token(worker_id)
        reply = await self._scripts.run("delivery_claim", delivery_id, token, ms(lease_s), closed.encode())
        if not reply:
            return None
        return ClaimedDelivery(
            id=delivery_id,
            invitation_id=invitation,
            channel=channel,
            template=template,
            generation=generation,
            failures=int(reply[1]),
            is_resend=int(reply[2]) == 1,
            asked_again=int(reply[3]),
            first_sent_at_ms=int(reply[4]) if reply[4] else None,
            request=request_of(reply[5]),
            links=_links(reply[6:]),
            lease=Lease(subject_id=delivery_id, token=token, expires_at_ms=int(reply[0]), ttl_s=lease_s),
        )

    async def begin_send(self, lease: Lease, *, closed: ClosedTimes = ALWAYS_OPEN) -> bool:
        """Write down that the send begins now; the lease runs anew from here.

        Return False when nothing may be sent: the lease is lost or over, or a time *closed* has begun and the delivery
        was put off. Raises LedgerUnavailable: the same.
        """
        reply = await self._scripts.run(
            "delivery_begin", lease.subject_id, lease.token, ms(lease.ttl_s), closed.encode()
        )
        return int(reply) == 1

    async def settle(
        self, lease: Lease, outcome: DeliveryOutcome, *, can_resend: bool, resend_after_s: float = 60.0
    ) -> bool:
        """Write what a send came to, once, as the lease holder; return False when the lease was lost.

        *can_resend*: in doubt, it is sent once more after *resend_after_s*, counted in `doubts` (mail); else it waits in doubt
        for an operator (SMS). Raises LedgerUnavailable: say the same again.
        """
        verb, args = _verb_for(outcome, can_resend=can_resend, resend_after_s=resend_after_s)
        return int(await self._scripts.run(verb, lease.subject_id, lease.token, *args)) == 1

    async def rescue(self, limit: int = 100, *, resend_after_s: float = 60.0) -> int:
        """Take back up to *limit* deliveries whose leases ran out; return how many. Raises LedgerUnavailable."""
        return int(await self._scripts.run("delivery_rescue", limit, ms(resend_after_s)))

    async def fan_out(self, invitation_id: str) -> tuple[str, ...]:
        """Make deliveries, a generation of their own, for an invitation's links that nobody was told of.

        Return their ids, to be rung. Raises LedgerUnavailable, LedgerFull.
        """
        return tuple(text(item) for item in await self._scripts.run("fan_out", invitation_id))

    async def resend(self, delivery_id: str, *, by: str, why: str, to: Readdress | None = None) -> Mended:
        """Send a delivery again that was sent, failed, skipped or in doubt, perhaps *to* another contact.

        The contact is the invitation's from then on; `edited_meanwhile` where its request is no longer the one that was
        looked at. Raises LedgerUnavailable, LedgerFull.
        """
        rewriting = () if to is None else await self._readdressed(delivery_id, to)
        reply = await self._scripts.run("delivery_resend", delivery_id, by, why, *rewriting)
        return mended(reply, DeliveryState)

    async def _readdressed(self, delivery_id: str, to: Readdress) -> tuple[str, ...]:
        """Return the invitation's record, its new one, the search terms that it takes and gives, and what changes."""
        invitation = delivery_id.partition(".")[0]
        with translated():
            record = await self._scripts.redis.get(self._keys.invitation + invitation)
        if record is None:
            return ()  # the script says `gone`
        request = replace(to.base, contact=to.contact)
        # Of two messages to the same address the first has brought it.
        base = text(record) if request_of(record) == request else base_of(record, to.base)
        header, _ = split_record(record)
        header["contact_mark"] = contact_mark(request)
        return base, join_record(header, request), *edited_terms(record, request, invitation), to.changes

    async def late_invitations(self, older_than_s: float, limit: int) -> list[str]:
        """Return invitations that have waited longer than that with a link nobody was told of, oldest first.

        Raises LedgerUnavailable.
        """
        before = await self._scripts.now() - ms(older_than_s)
        with translated():
            ids = await self._scripts.redis.zrangebyscore(self._keys.late, "-inf", before, start=0, num=limit)
        return [text(item) for item in ids]

    async def get(self, delivery_id: str) -> DeliveryRecord | None:
        """Return one delivery, or None; raises LedgerUnavailable."""
        records = await self._records([delivery_id])
        return records[0] if records else None

    async def of_invitation(self, invitation_id: str) -> list[DeliveryRecord]:
        """Return an invitation's deliveries in the order they were made; raises LedgerUnavailable."""
        with translated():
            ids = await self._scripts.redis.lrange(self._keys.deliveries + invitation_id, 0, -1)
        return await self._records([text(item) for item in ids])

    async def find(
        self, state: DeliveryState, *, cursor: str | None = None, limit: int = 50
    ) -> Page[DeliveryRecord]:
        """Return the deliveries in a state, newest first (pending: latest due first).

        A cursor is a rank: what changes between two pages may show twice or be passed over. Raises LedgerUnavailable,
        and ValueError for a cursor that is none of ours.
        """
        start = rank_of(cursor)
        end, indexes = start + limit, self._indexes(state)
        # Of several, all that comes before the page is needed to know where it begins.
        first = start if len(indexes) == 1 else 0
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for key in indexes:
                    pipe.zrevrange(key, first, end, withscores=True)
                    pipe.zcard(key)
                replies = await pipe.execute()
        rows = sorted(((row[1], text(row[0])) for rows in replies[::2] for row in rows), reverse=True)
        total = sum(replies[1::2])
        records = await self._records([row[1] for row in rows[start - first : end - first]])
        return Page(items=tuple(records), next=str(end) if total > end else None, total=total)

    async def failed(
        self, wanted: JobFilter, *, cursor: str | None = None, limit: int = 50
    ) -> Page[DeliveryRecord]:
        """Return the failed messages that match, newest first; see `finding`.

        A filter that is about jobs alone (attempts, requeues, another state, stage `link`) has none.
        Raises LedgerUnavailable, ValueError (cursor).
        """
        ids, following, (total, is_exact) = await self._finder.find(wanted, cursor, limit)
        items = tuple(await self._records(ids))
        return Page(items=items, next=following, total=total, is_total_exact=is_exact)

    async def failed_ids(self, wanted: JobFilter) -> AsyncIterator[list[str]]:
        """Yield the ids of all failed messages that match, in bounded pieces; raises LedgerUnavailable."""
        cursor: str | None = None
        while True:
            ids, cursor, _ = await self._finder.find(wanted, cursor, _IDS_AT_ONCE)
            yield ids
            if cursor is None:
                break

    async def groups(self) -> list[FailureGroup]:
        """Return the failed messages by reason, largest group first; raises LedgerUnavailable."""
        return await self._finder.groups()

    async def counts(self) -> dict[DeliveryState, int]:
        """Return how many deliveries stand in each state; raises LedgerUnavailable."""
        groups = {state: self._indexes(state) for state in DeliveryState}
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for indexes in groups.values():
                    for key in indexes:
                        pipe.zcard(key)
                sizes = iter(await pipe.execute())
        return {state: sum(next(sizes) for _ in indexes) for state, indexes in groups.items()}

    def _indexes(self, state: DeliveryState) -> list[str]:
        if state is not DeliveryState.PENDING:
            return [self._keys.delivery_state + state]
        return [base + channel for channel in Channel for base in (self._keys.outgoing, self._keys.rung)]

    async def _records(self, ids: list[str]) -> list[DeliveryRecord]:
        with translated():
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for item in ids:
                    pipe.hgetall(self._keys.delivery + item)
                rows = await pipe.execute() if ids else []
        records = (
            delivery_record(item, {text(name): text(value) for name, value in row.items()})
            for item, row in zip(ids, rows, strict=True)
        )
        return [record for record in records if record is not None]


def _links(flat: list[Any]) -> tuple[LinkToSend, ...]:
    words = [text(value) for value in flat]
    return tuple(
        LinkToSend(
            job_id=job,
            product=product_of(job),
            link=link,
            number=number or None,
            replaces_at_ms=int(replaced) if replaced else None,
        )
        for job, link, number, replaced in zip(*(words[nth::4] for nth in range(4)), strict=True)
    )


def _verb_for(
    outcome: DeliveryOutcome, *, can_resend: bool, resend_after_s: float
) -> tuple[str, tuple[str | float, ...]]:
    """Return the script for *outcome* and what it takes after the delivery and the token."""
    match outcome:
        case Sent():
            return "delivery_sent", (outcome.provider_id, outcome.segments)
        case Undelivered(fail=fail):
            return "delivery_failed", ("failed", *_why(fail))
        case Skipped(reason=reason):
            return "delivery_failed", ("skipped", reason, "", "")
        case DeliveryRetry(fail=fail):
            return "delivery_retry", (*_why(fail), ms(outcome.delay_s), outcome.max_failures)
        case ChannelDown(fail=fail):
            return "delivery_retry", (*_why(fail), ms(outcome.pause_s), "")
        case DeliveryDoubt(fail=fail):
            return "delivery_doubt", (*_why(fail), flag(can_resend), ms(resend_after_s))


def _why(fail: Fail) -> tuple[str, str, str]:
    return fail.reason, fail.reason_class, "; ".join(filter(None, (fail.detail, fail.raw)))[:500]
