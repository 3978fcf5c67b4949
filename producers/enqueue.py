"""The one door: every request, whoever brings it, becomes an invitation here and nowhere else.

Parsed request in, receipt out. The ledger decides what is new; the door makes the ids and keys it decides by,
and rings the bells that the receipts name.
"""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from worker.clock import Clock, SystemClock
from worker.domain.dedupe import claim_key, contact_mark, event_key, fingerprint
from worker.domain.ids import new_invitation_id
from worker.domain.job import NewInvitation, Receipt, Verdict
from worker.domain.parse import ParsedRequest, ParseRules
from worker.domain.request import OnboardingRequest
from worker.domain.states import Channel, ChannelPolicy, Lane

CHUNK_ROWS = 100  #: rows of one script call: it stays under 5 ms, so that claims and settles get their turn
CHUNKS_IN_FLIGHT = 2  #: the server works on one chunk while the next is being parsed and packed
ID_CHANCE_BITS = 50  #: what an invitation id has room for
NO_CONTACT = "no_contact"
SWITCHED_OFF = "channel_not_configured"

Parcel = tuple[ParsedRequest, "Origin"]  #: a request and where it comes from


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request comes from."""

    source: str  #: `api`, `cli`, `csv`, `crm:hubspot`, …
    lane: Lane
    batch_id: str | None = None
    line: int | None = None  #: line of the batch's file
    idempotency_key: str | None = None  #: the caller's own key, or the CRM's event id
    row_text: str = ""  #: the request's fields as text; tells requests apart that have no number, key or id
    not_before_ms: int | None = None  #: milliseconds since 1970


class Bell(Protocol):
    """What wakes an actor for a job. Neither waits nor fails: what is not heard, the feeder rings again."""

    def ring(self, job_ids: Sequence[str], lane: Lane) -> None:
        """Have one message sent per job id."""
        ...


class Recorder(Protocol):
    """What the door needs of the ledger."""

    async def accept(
        self, invitations: Sequence[NewInvitation], *, max_waiting: int, durable: bool = True
    ) -> list[Receipt]:
        """Record what is new; raises LedgerUnavailable or LedgerFull."""
        ...


class Door:
    """Makes invitations of parsed requests, has the ledger record them and rings for the live ones."""

    def __init__(  # noqa: PLR0913 - all keyword-only, and all are settings or parts
        self,
        ledger: Recorder,
        bell: Bell,
        *,
        rules: ParseRules | None = None,
        channels: Sequence[Channel] = (Channel.EMAIL, Channel.SMS),
        switched_off: Iterable[Channel] = (),
        channel_policy: ChannelPolicy = ChannelPolicy.ALL,
        max_waiting: int = 2_000_000,
        clock: Clock | None = None,
    ) -> None:
        self.rules = rules or ParseRules()  #: how callers parse what they bring here
        self._ledger = ledger
        self._bell = bell
        self._channels = tuple(channels)
        self._switched_off = frozenset(switched_off)  # on purpose: a message for them would wait for ever
        self._channel_policy = channel_policy
        self._max_waiting = max_waiting
        self._clock = clock or SystemClock()
        self._draw = random.SystemRandom().getrandbits  # two processes must never draw the same ids

    async def enqueue(self, parsed: ParsedRequest, origin: Origin) -> Receipt:
        """Record one request durably and ring for it.

        Raises:
            LedgerUnavailable: Redis did not answer; it may or may not have been recorded, and asking again
                with the same data is harmless.
            LedgerFull: Redis is out of memory or cannot write its disk; nothing was recorded.
        """
        receipts = await self.enqueue_many([(parsed, origin)])
        return receipts[0]

    async def enqueue_many(self, parcels: Sequence[Parcel], *, durable: bool = True) -> list[Receipt]:
        """Record many requests, two chunks in flight, and return their receipts in the same order.

        With `durable=False` the caller has to make sure of the disk himself, once for many calls.

        Raises:
            LedgerUnavailable: as `enqueue`; other chunks may have been recorded.
            LedgerFull: as `enqueue`; other chunks may have been recorded.
        """
        if len(parcels) <= CHUNK_ROWS:
            return await self._accept(parcels, durable=durable)
        places = asyncio.Semaphore(CHUNKS_IN_FLIGHT)

        async def accept(start: int) -> list[Receipt]:
            async with places:
                return await self._accept(parcels[start : start + CHUNK_ROWS], durable=durable)

        starts = range(0, len(parcels), CHUNK_ROWS)
        endings = await asyncio.gather(*map(accept, starts), return_exceptions=True)
        return list(_unwrap(endings))

    async def _accept(self, parcels: Sequence[Parcel], *, durable: bool) -> list[Receipt]:
        if not parcels:
            return []
        invitations = self._invitations(parcels)
        receipts = await self._ledger.accept(invitations, max_waiting=self._max_waiting, durable=durable)
        for invitation, receipt in zip(invitations, receipts, strict=True):
            if receipt.ring and receipt.verdict is Verdict.ACCEPTED:
                self._bell.ring(receipt.ring, invitation.lane)
        return receipts

    def _invitations(self, parcels: Sequence[Parcel]) -> list[NewInvitation]:
        now_ms = self._clock.now_ms()
        return [self._invitation(parsed.request, origin, now_ms) for parsed, origin in parcels]

    def _invitation(self, request: OnboardingRequest, origin: Origin, now_ms: int) -> NewInvitation:
        key = origin.idempotency_key
        wanted = self._channels if request.channels is None else request.channels
        contact = request.contact
        channels, skips = _route(
            wanted, self._switched_off, has_email=bool(contact.email), has_phone=bool(contact.phone)
        )
        return NewInvitation(
            id=new_invitation_id(now_ms=now_ms, chance=self._draw(ID_CHANCE_BITS)),
            lane=origin.lane,
            source=origin.source,
            request=request,
            fingerprint=fingerprint(request),
            claim_key=claim_key(request, key, origin.row_text),
            contact_mark=contact_mark(request),
            channels=channels,
            channel_policy=request.channel_policy or self._channel_policy,
            skips=skips,
            event_key=event_key(origin.source, key) if key else None,
            batch_id=origin.batch_id,
            line=origin.line,
            not_before_ms=origin.not_before_ms,
        )


def row_text(fields: Mapping[str, str]) -> str:
    """Return a request's fields as one text, the same whatever order or file they came in."""
    return "\x1f".join(f"{name}={fields[name].strip()}" for name in sorted(fields) if fields[name].strip())


@functools.cache  # a handful of different arguments, asked for once a row
def _route(
    wanted: tuple[Channel, ...], switched_off: frozenset[Channel], *, has_email: bool, has_phone: bool
) -> tuple[tuple[Channel, ...], tuple[tuple[Channel, str], ...]]:
    """Return the channels that can reach the customer, and those that cannot with the reason."""
    has_contact = {Channel.EMAIL: has_email, Channel.SMS: has_phone}
    reasons = {
        channel: SWITCHED_OFF if channel in switched_off else None if has_contact[channel] else NO_CONTACT
        for channel in wanted
    }
    return (
        tuple(channel for channel, reason in reasons.items() if reason is None),
        tuple((channel, reason) for channel, reason in reasons.items() if reason is not None),
    )


def _unwrap(endings: Iterable[list[Receipt] | BaseException]) -> Iterable[Receipt]:
    """Yield the receipts of all chunks; the first failure is raised, after every chunk has come to its end."""
    for ending in endings:
        if isinstance(ending, BaseException):
            raise ending
        yield from ending
